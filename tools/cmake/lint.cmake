# clang-tidy and cppcheck as tests, over all that a build compiles. What they look for, and what not and why: .clang-tidy,
# vit/.clang-tidy and tools/cppcheck.supp. And the libraries where addresses have 32 bits.
find_program(RUN_CLANG_TIDY NAMES run-clang-tidy REQUIRED)
find_program(CPPCHECK cppcheck REQUIRED)
find_program(GCC_32_BITS i686-linux-gnu-gcc REQUIRED)

add_test(NAME lint_clang_tidy COMMAND ${RUN_CLANG_TIDY} -quiet -j 2 -p ${PROJECT_BINARY_DIR}
         "^${PROJECT_SOURCE_DIR}/(base|vit|imgio|weights|eval|tools)/.*[.]c$")
add_test(NAME lint_cppcheck COMMAND ${CPPCHECK} --quiet -j 2 --error-exitcode=1 --template=gcc --inline-suppr
         --enable=warning,performance,portability --suppressions-list=${PROJECT_SOURCE_DIR}/tools/cppcheck.supp
         --relative-paths=${PROJECT_SOURCE_DIR} --project=${PROJECT_BINARY_DIR}/compile_commands.json)
set_tests_properties(lint_clang_tidy lint_cppcheck PROPERTIES LABELS lint PROCESSORS 2 TIMEOUT 3600)

add_executable(narrow tests/house/narrow.c)
target_link_libraries(narrow PRIVATE vit_api)
add_test(NAME lint_32_bits COMMAND ${PROJECT_SOURCE_DIR}/tests/house/test_32_bits.sh ${GCC_32_BITS} ${PROJECT_SOURCE_DIR}
                                   ${PROJECT_BINARY_DIR}/32_bits $<TARGET_FILE:narrow>)
set_tests_properties(lint_32_bits PROPERTIES LABELS lint PROCESSORS 2 TIMEOUT 1800)

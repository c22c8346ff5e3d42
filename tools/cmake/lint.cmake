# clang-tidy and cppcheck as tests, over what this build compiles. What they look for, and what not and why: .clang-tidy,
# vit/.clang-tidy and tools/cppcheck.supp.
find_program(RUN_CLANG_TIDY NAMES run-clang-tidy REQUIRED)
find_program(CPPCHECK cppcheck REQUIRED)

add_test(NAME lint_clang_tidy COMMAND ${RUN_CLANG_TIDY} -quiet -j 2 -p ${PROJECT_BINARY_DIR}
         "^${PROJECT_SOURCE_DIR}/(base|vit|imgio|weights|eval|tools)/.*[.]c$")
add_test(NAME lint_cppcheck COMMAND ${CPPCHECK} --quiet -j 2 --error-exitcode=1 --template=gcc --inline-suppr
         --enable=warning,performance,portability --suppressions-list=${PROJECT_SOURCE_DIR}/tools/cppcheck.supp
         --relative-paths=${PROJECT_SOURCE_DIR} --project=${PROJECT_BINARY_DIR}/compile_commands.json)
set_tests_properties(lint_clang_tidy lint_cppcheck PROPERTIES LABELS lint PROCESSORS 2 TIMEOUT 3600)

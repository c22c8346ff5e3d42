# What a distribution asks of a program that reads strangers' files. tests/house/test_hardening.sh looks for each of these in
# what was built.
if(NOT CMAKE_EXECUTABLE_FORMAT STREQUAL ELF) # in a browser the engine sees to all of it
    return()
endif()
include(CheckCSourceCompiles)
include(CheckPIESupported)

check_pie_supported() # CMAKE_POSITION_INDEPENDENT_CODE alone compiles for it, and leaves the linking to chance
add_compile_options(-fstack-protector-strong)
add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack)

# Control-flow enforcement. Sources in assembly say that they comply by themselves (<cet.h>). Debian's crt files do not,
# so there the marks of our objects are lost when they are linked.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    add_compile_options(-fcf-protection=full)
endif()

# Checked copies and formats: an optimisation, and one that hides from the sanitizers what they look for.
add_compile_options(-U_FORTIFY_SOURCE) # some compilers bring a level of their own
get_directory_property(options COMPILE_OPTIONS)
if(NOT "${options} ${CMAKE_C_FLAGS}" MATCHES "-fsanitize=")
    set(CMAKE_REQUIRED_FLAGS "-O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3")
    check_c_source_compiles("
        #include <features.h>
        _Static_assert(__USE_FORTIFY_LEVEL == 3, \"the compiler or the C library is too old\");
        int main(void) { return 0; }" MOHVIT_FORTIFY_3)
    unset(CMAKE_REQUIRED_FLAGS)
    set(level 2)
    if(MOHVIT_FORTIFY_3)
        set(level 3)
    endif()
    add_compile_options($<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=${level}>) # needs an optimiser
endif()

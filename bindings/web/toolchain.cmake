# Toolchain for WebAssembly: Debian's Emscripten, or that of the environment variable EMSCRIPTEN. All browsers since 2023
# have vectors of 128 bits, so that they are the baseline here, as SSE2 is on x86-64.
set(emscripten /usr/share/emscripten)
if(DEFINED ENV{EMSCRIPTEN})
    set(emscripten $ENV{EMSCRIPTEN})
endif()
if(NOT EXISTS ${emscripten}/cmake/Modules/Platform/Emscripten.cmake)
    message(FATAL_ERROR "missing: emscripten\nOn Debian: apt-get install emscripten   (or run tools/setup --web)")
endif()
set(CMAKE_C_FLAGS_RELEASE "-O2 -DNDEBUG" CACHE STRING "") # the kernels have their own
include(${emscripten}/cmake/Modules/Platform/Emscripten.cmake)
set(CMAKE_ASM_COMPILER ${CMAKE_C_COMPILER})
# Atomics are no more than what mohvit_threads.wasm needs: without threads they are loads and stores.
set(CMAKE_C_FLAGS_INIT "-msimd128 -matomics -mbulk-memory")

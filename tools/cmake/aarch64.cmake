# Toolchain for 64-bit ARM: Debian's cross compiler, a tree of arm64 libraries at build/aarch64/root, and qemu to run
# what was built. tools/test-aarch64 makes the tree and uses this file.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_ASM_COMPILER aarch64-linux-gnu-gcc)

cmake_path(SET root NORMALIZE "${CMAKE_CURRENT_LIST_DIR}/../../build/aarch64/root")
set(CMAKE_SYSROOT ${root})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

# The tree is unpacked and not installed: no alternatives system chose one OpenBLAS.
set(lib ${root}/usr/lib/aarch64-linux-gnu)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${root})
set(ENV{PKG_CONFIG_LIBDIR} ${lib}/pkgconfig:${lib}/openblas-pthread/pkgconfig:${root}/usr/share/pkgconfig)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static -L ${root} -E
    LD_LIBRARY_PATH=${lib}/openblas-pthread)

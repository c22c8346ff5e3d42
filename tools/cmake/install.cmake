# What `cmake --install` puts where. Nothing installed names the prefix, so the tree may be moved, and --prefix and
# DESTDIR work alike.
include(CMakePackageConfigHelpers)

# The components are those that packages.cmake makes packages of.
install(TARGETS mohvit EXPORT mohvitTargets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT lib NAMELINK_COMPONENT dev)
install(DIRECTORY ${PROJECT_BINARY_DIR}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev)
# CMake package: find_package(mohvit), target mohvit::mohvit.
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/mohvit)
install(EXPORT mohvitTargets NAMESPACE mohvit:: DESTINATION ${package_dir} COMPONENT dev)
configure_package_config_file(tools/cmake/mohvitConfig.cmake.in ${PROJECT_BINARY_DIR}/mohvitConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/mohvitConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/mohvitConfig.cmake ${PROJECT_BINARY_DIR}/mohvitConfigVersion.cmake
        DESTINATION ${package_dir} COMPONENT dev)

# pkg-config: the prefix is found from where the file lies, unless the folders were given as absolute paths.
set(pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
    set(pc_prefix "${CMAKE_INSTALL_PREFIX}")
else()
    file(RELATIVE_PATH pc_up "/${pc_dir}" "/")
    string(REGEX REPLACE "/$" "" pc_up "${pc_up}")
    set(pc_prefix "\${pcfiledir}/${pc_up}")
endif()
foreach(dir LIBDIR INCLUDEDIR)
    if(IS_ABSOLUTE "${CMAKE_INSTALL_${dir}}")
        set(pc_${dir} "${CMAKE_INSTALL_${dir}}")
    else()
        set(pc_${dir} "\${prefix}/${CMAKE_INSTALL_${dir}}")
    endif()
endforeach()
configure_file(tools/cmake/mohvit.pc.in ${PROJECT_BINARY_DIR}/mohvit.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/mohvit.pc DESTINATION ${pc_dir} COMPONENT dev)

if(NOT MOHVIT_PROGRAM)
    return()
endif()
install(TARGETS mohvit_tool RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tool)
if(TARGET mpi_module)
    install(TARGETS mpi_module LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/mohvit COMPONENT mpi)
endif()
install(FILES weights/imagenet1k.tsv DESTINATION ${CMAKE_INSTALL_DATADIR}/mohvit COMPONENT tool)
install(DIRECTORY ${PROJECT_BINARY_DIR}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT tool
        FILES_MATCHING PATTERN "*.1")
install(FILES tools/completion.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME mohvit
        COMPONENT tool)
install(FILES README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md CITATION.cff LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR}
        COMPONENT tool)
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT tool)
# Where the pages' pictures and links look for them.
install(FILES vit/mohvit.h DESTINATION ${CMAKE_INSTALL_DOCDIR}/vit COMPONENT tool)
install(FILES tests/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR}/tests COMPONENT tool)
install(FILES bindings/web/README.md bindings/web/index.d.ts DESTINATION ${CMAKE_INSTALL_DOCDIR}/bindings/web COMPONENT tool)
install(FILES bindings/web/demo/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR}/bindings/web/demo COMPONENT tool)
install(DIRECTORY tools/samples DESTINATION ${CMAKE_INSTALL_DOCDIR}/tools COMPONENT tool)
install(DIRECTORY tools/pytorch/runs DESTINATION ${CMAKE_INSTALL_DOCDIR}/tools/pytorch COMPONENT tool)

# All that is installed, without the tests.
set(shipped mohvit mohvit_tool manual)
foreach(target mpi_module python_module)
    if(TARGET ${target})
        list(APPEND shipped ${target})
    endif()
endforeach()
add_custom_target(shipped DEPENDS ${shipped})

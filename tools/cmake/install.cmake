# What `cmake --install` puts where. Nothing installed names the prefix, so the tree may be moved, and --prefix and
# DESTDIR work alike.
include(CMakePackageConfigHelpers)

install(TARGETS mohvit_tool RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
set_target_properties(mohvit PROPERTIES PUBLIC_HEADER ${PROJECT_SOURCE_DIR}/vit/mohvit.h) # install() starts here, not in vit
install(TARGETS mohvit EXPORT mohvitTargets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        PUBLIC_HEADER DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(TARGET mpi_module) # a component of its own, so that it can be a package of its own
    install(TARGETS mpi_module LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/mohvit COMPONENT mpi)
endif()
install(FILES weights/imagenet1k.tsv DESTINATION ${CMAKE_INSTALL_DATADIR}/mohvit)
install(DIRECTORY tools/samples DESTINATION ${CMAKE_INSTALL_DATADIR}/mohvit)
install(FILES tools/mohvit.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES README.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR})

# CMake package: find_package(mohvit), target mohvit::mohvit.
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/mohvit)
install(EXPORT mohvitTargets NAMESPACE mohvit:: DESTINATION ${package_dir})
configure_package_config_file(tools/cmake/mohvitConfig.cmake.in ${PROJECT_BINARY_DIR}/mohvitConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/mohvitConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/mohvitConfig.cmake ${PROJECT_BINARY_DIR}/mohvitConfigVersion.cmake
        DESTINATION ${package_dir})

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
install(FILES ${PROJECT_BINARY_DIR}/mohvit.pc DESTINATION ${pc_dir})

# Debian packages, a component of install.cmake each; tools/package makes them.
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_GENERATOR DEB)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_COMPONENTS_ALL lib dev tool)
if(TARGET mpi_module)
    list(APPEND CPACK_COMPONENTS_ALL mpi)
endif()
if(TARGET python_module)
    list(APPEND CPACK_COMPONENTS_ALL python)
endif()
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(MOHVIT_MAINTAINER "Nobody named <nobody@mohvit.invalid>" CACHE STRING "Who answers for the packages: NAME <ADDRESS>")
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "${MOHVIT_MAINTAINER}")
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON) # what the libraries of the system are called and which versions do
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")

# package(<component> <name> <section> <synopsis> <text> [<depends>])
function(package component name section synopsis text)
    string(TOUPPER ${component} upper)
    set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${name} PARENT_SCOPE)
    set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${section} PARENT_SCOPE)
    set(CPACK_DEBIAN_${upper}_DESCRIPTION "${synopsis}\n${text}" PARENT_SCOPE)
    set(CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS "${ARGN}" PARENT_SCOPE)
    # What a package of Debian has to have beside its files; package_files.cmake puts it there.
    set(CPACK_MOHVIT_${upper}_PACKAGE ${name} PARENT_SCOPE)
endfunction()

# What no link tells: these are loaded when they are first needed.
set(loaded libopenblas0)
if(TARGET dep_heif)
    string(APPEND loaded ", libheif1")
endif()

set(library libmohvit${MOHVIT_ABI})
set(same "(= ${PROJECT_VERSION})")
package(lib ${library} libs "image classification with MoH-ViT (library)"
        "Computes MoH-ViT and TransNeXt, vision transformers, on the CPU. In a MoH-ViT a\nrouter picks, for each \
part of the picture, which attention heads work; the\nothers are not computed. This is the shared library."
        "${loaded}")
package(dev libmohvit-dev libdevel "image classification with MoH-ViT (development files)"
        "Header, CMake package and pkg-config file for programs that classify pictures\nwith libmohvit."
        "${library} ${same}")
package(tool mohvit science "image classification with MoH-ViT (program)"
        "Says what is on pictures, scores models on labelled pictures, counts which\nattention heads work for which \
class, and reads the published checkpoints as\nthey are. A small model that knows ten kinds of clothing is built in."
        libopenblas0)
package(mpi mohvit-mpi science "image classification with MoH-ViT (module for MPI)"
        "With it, \"mpirun mohvit eval\" spreads an evaluation over machines. Nothing else\nloads it."
        "mohvit ${same}, openmpi-bin")
package(python python3-mohvit python "image classification with MoH-ViT (Python module)"
        "Classifies files, arrays and tensors from Python, says which attention heads\neach part of a picture used, and \
counts and draws which heads work for which\nclass."
        "${library} ${same}, mohvit ${same}, python3, python3-numpy, python3-cffi-backend")
set(CPACK_DEBIAN_PYTHON_PACKAGE_SUGGESTS "python3-matplotlib, python3-pil")
# Debian's Python compiles a package's modules when it is installed, and takes away what it compiled.
set(CPACK_DEBIAN_PYTHON_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/tools/cmake/python/postinst
    ${PROJECT_SOURCE_DIR}/tools/cmake/python/prerm)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR}/vit/api) # where python3-mohvit's libmohvit is
set(CPACK_DEBIAN_TOOL_PACKAGE_RECOMMENDS fonts-liberation) # which figures are drawn with
set(CPACK_DEBIAN_TOOL_PACKAGE_SUGGESTS "mohvit-mpi, bash-completion")

set(CPACK_MOHVIT_SOURCE ${PROJECT_SOURCE_DIR})
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/tools/cmake/package_files.cmake)
set(CPACK_PACKAGE_NAME mohvit)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # each package has its own
set(CPACK_PACKAGE_VENDOR "")
set(CPACK_PACKAGE_CONTACT "${MOHVIT_MAINTAINER}")
set(CPACK_THREADS 0)
include(CPack)

# CPack runs this once the components lie in their folders: each package gets its copyright and changelog, compressed as
# Debian wants it, and so are the manual pages.
string(TIMESTAMP day "%a, %d %b %Y %H:%M:%S +0000" UTC) # of SOURCE_DATE_EPOCH, where that is set
foreach(component IN LISTS CPACK_COMPONENTS_ALL)
    string(TOUPPER ${component} upper)
    set(root ${CPACK_TEMPORARY_DIRECTORY}/${component}/usr)
    set(doc ${root}/share/doc/${CPACK_MOHVIT_${upper}_PACKAGE})
    file(MAKE_DIRECTORY ${doc})
    configure_file(${CPACK_MOHVIT_SOURCE}/tools/cmake/copyright ${doc}/copyright COPYONLY)
    file(WRITE ${doc}/changelog "mohvit (${CPACK_PACKAGE_VERSION}) unstable; urgency=medium\n\n"
         "  * What is new is in CHANGELOG.md, in the package mohvit.\n\n"
         " -- ${CPACK_DEBIAN_PACKAGE_MAINTAINER}  ${day}\n")
    file(GLOB pages ${root}/share/man/man1/*.1)
    execute_process(COMMAND gzip -9 --no-name ${doc}/changelog ${pages} COMMAND_ERROR_IS_FATAL ANY)
endforeach()

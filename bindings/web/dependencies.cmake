# The libraries underneath, compiled along: zlib and Jansson of Debian's sources (tools/setup --web), xxHash and stb of its
# headers. tools/cmake/dependencies.cmake asks for these.
set(folder ${CMAKE_CURRENT_LIST_DIR}/sources)
set(headers ${PROJECT_BINARY_DIR}/headers)
set(absent "")

# source_of(<variable> <file> <Debian package>): the folder of sources that has the file, whatever its version.
function(source_of variable file package)
    file(GLOB found ${folder}/${package}-*/${file})
    if(NOT found)
        set(absent ${absent} "source of ${package}" PARENT_SCOPE)
        return()
    endif()
    string(REPLACE /${file} "" found ${found})
    set(${variable} ${found} PARENT_SCOPE)
endfunction()

# header(<file> <folder of the system> <Debian package>): copied, since others that lie there are of another system.
function(header file system package)
    if(NOT EXISTS ${system}/${file})
        set(absent ${absent} ${package} PARENT_SCOPE)
        return()
    endif()
    configure_file(${system}/${file} ${headers}/${file} COPYONLY)
endfunction()

source_of(zlib zlib.h zlib)
source_of(jansson src/jansson.h jansson)
header(xxhash.h /usr/include libxxhash-dev)
header(stb_image_resize.h /usr/include/stb libstb-dev)
if(absent)
    list(JOIN absent ", " absent)
    message(FATAL_ERROR "missing: ${absent}\nOn Debian: tools/setup --web")
endif()

list(TRANSFORM zlib APPEND / OUTPUT_VARIABLE at)
add_library(dep_zlib STATIC ${at}adler32.c ${at}crc32.c ${at}inffast.c ${at}inflate.c ${at}inftrees.c ${at}zutil.c)
target_include_directories(dep_zlib SYSTEM PUBLIC ${zlib})

file(GLOB sources ${jansson}/src/*.c)
add_library(dep_jansson STATIC ${sources})
# In place of what its configure finds out: what its authors wrote down for a system that has no more than this one.
file(CONFIGURE OUTPUT ${headers}/jansson_private_config.h CONTENT "")
target_compile_definitions(dep_jansson PRIVATE HAVE_STDINT_H HAVE_SYS_TIME_H HAVE_GETTIMEOFDAY)
target_include_directories(dep_jansson SYSTEM PUBLIC ${jansson}/src ${jansson}/android PRIVATE ${headers})

add_library(dep_xxhash INTERFACE)
target_compile_definitions(dep_xxhash INTERFACE XXH_INLINE_ALL)
target_include_directories(dep_xxhash SYSTEM INTERFACE ${headers})

foreach(target dep_zlib dep_jansson)
    target_compile_options(${target} PRIVATE -w -Os) # their warnings are not ours; every byte is loaded over a net
endforeach()
set(STB_INCLUDE_DIR ${headers} CACHE PATH "" FORCE)

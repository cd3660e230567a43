# Third-party libraries as parts of the program (FBL_STATIC): under the names that cmake/dependencies.cmake gives the shared ones.
# fbl_static(NAME library...): PkgConfig::NAME from lib<library>.a, in linking order.
function(fbl_static name)
    add_library(PkgConfig::${name} INTERFACE IMPORTED GLOBAL)
    foreach(library ${ARGN})
        find_library(FBL_STATIC_${library} NAMES lib${library}.a REQUIRED)
        target_link_libraries(PkgConfig::${name} INTERFACE ${FBL_STATIC_${library}})
    endforeach()
endfunction()
fbl_static(MD md)
fbl_static(PNG png16 z)
fbl_static(JPEG jpeg)
fbl_static(PROTOBUF_C protobuf-c)
fbl_static(ARCHIVE archive nettle acl lzma zstd lz4 bz2 z)

# cJSON: cmake/cjson_static.c says how.
find_library(FBL_CJSON NAMES libcjson.so REQUIRED)
file(REAL_PATH ${FBL_CJSON} FBL_CJSON)
set(cjson_c ${CMAKE_BINARY_DIR}/generated/cjson_bytes.c)
add_custom_command(OUTPUT ${cjson_c} COMMAND ${CMAKE_COMMAND} -D FILES=${FBL_CJSON} -D NAME=fbl_cjson_bytes -D SIZE_NAME=fbl_cjson_size -D OUT=${cjson_c}
                           -P ${CMAKE_SOURCE_DIR}/cmake/embed_text.cmake DEPENDS ${FBL_CJSON} VERBATIM)
add_library(fbl_cjson STATIC ${cjson_c} ${CMAKE_SOURCE_DIR}/cmake/cjson_static.c)
add_library(PkgConfig::CJSON ALIAS fbl_cjson)

# The lexer and the parser, made by flex and bison into the build folder.
if(EXISTS ${CMAKE_SOURCE_DIR}/frontend/parse.y)
    bison_target(fbl_parse ${CMAKE_SOURCE_DIR}/frontend/parse.y ${CMAKE_BINARY_DIR}/generated/frontend/parse.c
                 DEFINES_FILE ${CMAKE_BINARY_DIR}/generated/frontend/parse.h COMPILE_FLAGS "-Werror")
    flex_target(fbl_lex ${CMAKE_SOURCE_DIR}/frontend/lex.l ${CMAKE_BINARY_DIR}/generated/frontend/lex.c
                DEFINES_FILE ${CMAKE_BINARY_DIR}/generated/frontend/lex.h)
    add_flex_bison_dependency(fbl_lex fbl_parse)
    target_sources(fbl_frontend PRIVATE ${BISON_fbl_parse_OUTPUTS} ${FLEX_fbl_lex_OUTPUTS})
    target_include_directories(fbl_frontend PUBLIC ${CMAKE_BINARY_DIR}/generated)
    set_source_files_properties(${BISON_fbl_parse_OUTPUTS} ${FLEX_fbl_lex_OUTPUTS} PROPERTIES COMPILE_OPTIONS "-w")
endif()
# Where the library's .fbl files are when nothing else is said.
set_source_files_properties(${CMAKE_SOURCE_DIR}/frontend/sema_program.c PROPERTIES
                            COMPILE_DEFINITIONS "FBL_LIBRARY_DIR=\"${CMAKE_SOURCE_DIR}/models\"")
# A copy of them inside the program, for when that folder is not there.
file(GLOB library_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/models/*.fbl)
list(JOIN library_files "," library_list)
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/generated/frontend/library.c
                   COMMAND ${CMAKE_COMMAND} -D "FILES=${library_list}" -D OUT=${CMAKE_BINARY_DIR}/generated/frontend/library.c
                           -P ${CMAKE_SOURCE_DIR}/cmake/embed_library.cmake
                   DEPENDS ${library_files} ${CMAKE_SOURCE_DIR}/cmake/embed_library.cmake VERBATIM)
target_sources(fbl_frontend PRIVATE ${CMAKE_BINARY_DIR}/generated/frontend/library.c)

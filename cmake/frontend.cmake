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

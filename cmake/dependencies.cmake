# Libraries of the system; docs/dependencies.md says why each was chosen.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(BISON 3.8 REQUIRED)
find_package(FLEX 2.6 REQUIRED)
pkg_check_modules(MD REQUIRED IMPORTED_TARGET libmd)
pkg_check_modules(ARCHIVE REQUIRED IMPORTED_TARGET libarchive)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)
pkg_check_modules(PNG REQUIRED IMPORTED_TARGET libpng)
pkg_check_modules(JPEG REQUIRED IMPORTED_TARGET libjpeg)
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)

find_program(FBL_LLVM_CONFIG NAMES llvm-config-19 REQUIRED)
execute_process(COMMAND ${FBL_LLVM_CONFIG} --includedir OUTPUT_VARIABLE FBL_LLVM_INCLUDE OUTPUT_STRIP_TRAILING_WHITESPACE)
execute_process(COMMAND ${FBL_LLVM_CONFIG} --libdir OUTPUT_VARIABLE FBL_LLVM_LIBDIR OUTPUT_STRIP_TRAILING_WHITESPACE)

# fbl_unit_test(name lib...): tests/<folder>/name.c, a cmocka program run by ctest from the source root.
function(fbl_unit_test name)
    add_executable(${name} ${name}.c)
    target_link_libraries(${name} PRIVATE ${ARGN} PkgConfig::CMOCKA)
    add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
endfunction()

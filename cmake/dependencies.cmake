# Libraries of the system; docs/dependencies.md says why each was chosen.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(BISON 3.8 REQUIRED)
find_package(FLEX 2.6 REQUIRED)
if(FBL_STATIC)
    include(cmake/static.cmake)
else()
    pkg_check_modules(MD REQUIRED IMPORTED_TARGET libmd)
    pkg_check_modules(ARCHIVE REQUIRED IMPORTED_TARGET libarchive)
    pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)
    pkg_check_modules(PNG REQUIRED IMPORTED_TARGET libpng)
    pkg_check_modules(JPEG REQUIRED IMPORTED_TARGET libjpeg)
    pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c)
    pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
endif()

if(FBL_CPU)
    find_program(FBL_LLVM_CONFIG NAMES llvm-config-19 REQUIRED)
    execute_process(COMMAND ${FBL_LLVM_CONFIG} --includedir OUTPUT_VARIABLE FBL_LLVM_INCLUDE OUTPUT_STRIP_TRAILING_WHITESPACE)
    execute_process(COMMAND ${FBL_LLVM_CONFIG} --libdir OUTPUT_VARIABLE FBL_LLVM_LIBDIR OUTPUT_STRIP_TRAILING_WHITESPACE)
    # The compiler itself takes LLVM's archives, of which only what is called becomes part of it: it starts sooner and holds
    # 23 MB less than with the shared library, whose relocations alone touch that much. Tests take the shared library, which
    # links in no time. A target asks for the archives by its property FBL_LLVM_ARCHIVES.
    execute_process(COMMAND ${FBL_LLVM_CONFIG} --link-static --libs x86codegen passes orcjit
                    OUTPUT_VARIABLE FBL_LLVM_ARCHIVES OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE missing)
    separate_arguments(FBL_LLVM_ARCHIVES)
    set(FBL_LLVM LLVM-19)
    find_library(FBL_ZLIB z) # for compressed debug sections, which LLVM can write
    find_library(FBL_ZSTD zstd)
    if(missing EQUAL 0 AND EXISTS ${FBL_LLVM_LIBDIR}/libLLVMX86CodeGen.a AND FBL_ZLIB AND FBL_ZSTD)
        set(FBL_LLVM $<IF:$<BOOL:$<TARGET_PROPERTY:FBL_LLVM_ARCHIVES>>,${FBL_LLVM_ARCHIVES};${FBL_ZLIB};${FBL_ZSTD};-lstdc++,LLVM-19>)
    endif()
endif()

# fbl_protobuf(target file.proto): C code for the messages of file.proto, made by protoc-c, as part of target.
find_program(FBL_PROTOC_C NAMES protoc-c REQUIRED)
function(fbl_protobuf target file)
    get_filename_component(folder ${CMAKE_SOURCE_DIR}/${file} DIRECTORY)
    get_filename_component(name ${file} NAME_WE)
    set(out ${CMAKE_BINARY_DIR}/generated)
    file(MAKE_DIRECTORY ${out})
    add_custom_command(OUTPUT ${out}/${name}.pb-c.c ${out}/${name}.pb-c.h
                       COMMAND ${FBL_PROTOC_C} --proto_path=${folder} --c_out=${out} ${CMAKE_SOURCE_DIR}/${file}
                       DEPENDS ${CMAKE_SOURCE_DIR}/${file} VERBATIM)
    set_source_files_properties(${out}/${name}.pb-c.c PROPERTIES COMPILE_OPTIONS "-w")
    target_sources(${target} PRIVATE ${out}/${name}.pb-c.c ${out}/${name}.pb-c.h)
    target_include_directories(${target} PRIVATE ${out})
endfunction()

# fbl_unit_test(name lib...): tests/<folder>/name.c, a cmocka program run by ctest from the source root.
function(fbl_unit_test name)
    add_executable(${name} ${name}.c)
    target_link_libraries(${name} PRIVATE ${ARGN} PkgConfig::CMOCKA)
    add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
endfunction()

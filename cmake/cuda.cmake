# Texts of CUDA C inside the program.
# fbl_embed_text(target symbol file...): adds `const unsigned char symbol[]` to a library.
function(fbl_embed_text target symbol)
    set(out ${CMAKE_BINARY_DIR}/generated/${symbol}.c)
    add_custom_command(OUTPUT ${out} COMMAND ${CMAKE_COMMAND} -D "FILES=${ARGN}" -D NAME=${symbol} -D OUT=${out} -P ${CMAKE_SOURCE_DIR}/cmake/embed_text.cmake
                       DEPENDS ${ARGN} ${CMAKE_SOURCE_DIR}/cmake/embed_text.cmake VERBATIM)
    target_sources(${target} PRIVATE ${out})
endfunction()

# What precedes every kernel.
fbl_embed_text(fbl_codegen fbl_cuda_preamble_bytes ${CMAKE_SOURCE_DIR}/codegen/cuda/preamble.cuh ${CMAKE_SOURCE_DIR}/codegen/cuda/hopper.cuh)
# The kernels around a train step.
fbl_embed_text(fbl_runtime fbl_session_source_bytes ${CMAKE_SOURCE_DIR}/runtime/cuda/session_random.cuh ${CMAKE_SOURCE_DIR}/runtime/data/window.inc
               ${CMAKE_SOURCE_DIR}/runtime/cuda/session_kernels.cuh)
# Tuned tiles that come with the program.
fbl_embed_text(fbl_codegen fbl_cuda_tune_bytes ${CMAKE_SOURCE_DIR}/codegen/cuda/bundled.tune)

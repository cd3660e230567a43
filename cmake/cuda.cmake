# The text that precedes every CUDA kernel, inside the program.
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/generated/codegen/cuda_preamble.c
                   COMMAND ${CMAKE_COMMAND} -D FILE=${CMAKE_SOURCE_DIR}/codegen/cuda/preamble.cuh -D NAME=fbl_cuda_preamble_bytes
                           -D OUT=${CMAKE_BINARY_DIR}/generated/codegen/cuda_preamble.c -P ${CMAKE_SOURCE_DIR}/cmake/embed_text.cmake
                   DEPENDS ${CMAKE_SOURCE_DIR}/codegen/cuda/preamble.cuh ${CMAKE_SOURCE_DIR}/cmake/embed_text.cmake VERBATIM)
target_sources(fbl_codegen PRIVATE ${CMAKE_BINARY_DIR}/generated/codegen/cuda_preamble.c)

// The part of NVRTC that is used. The declarations are our own, after the public reference of the library;
// tests/cudart/cuda_header.cpp compares them with the library's header where that is installed.
// Ownership: a table is a plain value. Threads: no state.
#ifndef FBL_CODEGEN_CUDA_NVRTC_API_H
#define FBL_CODEGEN_CUDA_NVRTC_API_H

#include <stddef.h>

enum { FBL_NVRTC_SUCCESS = 0, FBL_NVRTC_INVALID_OPTION = 5 }; // nvrtcResult

// FBL_NVRTC(name in the table, name in the library, result, parameters). A program is a pointer to the library's own.
#define FBL_NVRTC_FUNCTIONS(FBL_NVRTC)                                                                                     \
    FBL_NVRTC(version, "nvrtcVersion", int, (int *major, int *minor))                                                      \
    FBL_NVRTC(create, "nvrtcCreateProgram", int,                                                                           \
              (void **program, const char *source, const char *name, int headers, const char *const *texts, const char *const *names)) \
    FBL_NVRTC(compile, "nvrtcCompileProgram", int, (void *program, int options, const char *const *list))                  \
    FBL_NVRTC(destroy, "nvrtcDestroyProgram", int, (void **program))                                                       \
    FBL_NVRTC(log_size, "nvrtcGetProgramLogSize", int, (void *program, size_t *size))                                      \
    FBL_NVRTC(log, "nvrtcGetProgramLog", int, (void *program, char *text))                                                 \
    FBL_NVRTC(cubin_size, "nvrtcGetCUBINSize", int, (void *program, size_t *size))                                         \
    FBL_NVRTC(cubin, "nvrtcGetCUBIN", int, (void *program, char *bytes))                                                   \
    FBL_NVRTC(ptx_size, "nvrtcGetPTXSize", int, (void *program, size_t *size))                                             \
    FBL_NVRTC(ptx, "nvrtcGetPTX", int, (void *program, char *text))                                                        \
    FBL_NVRTC(error_string, "nvrtcGetErrorString", const char *, (int result))

typedef struct FblNvrtcApi {
#define FBL_NVRTC(field, symbol, result, parameters) result(*field) parameters;
    FBL_NVRTC_FUNCTIONS(FBL_NVRTC)
#undef FBL_NVRTC
} FblNvrtcApi;

#endif

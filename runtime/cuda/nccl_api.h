// The part of NCCL that is used. The declarations are our own, after the public reference of the library (version 2);
// tests/cudart/nccl_header.c compares them with the library's header where that is installed.
// Ownership: a table is a plain value. Threads: no state.
#ifndef FBL_RUNTIME_CUDA_NCCL_API_H
#define FBL_RUNTIME_CUDA_NCCL_API_H

#include <stddef.h>

enum { FBL_NCCL_SUCCESS = 0 };                                    // ncclResult_t
enum { FBL_NCCL_INT8 = 0, FBL_NCCL_INT32 = 2, FBL_NCCL_FLOAT32 = 7 }; // ncclDataType_t
enum { FBL_NCCL_SUM = 0 };                                        // ncclRedOp_t

// FBL_NCCL(name in the table, name in the library, result, parameters). Communicators and streams are pointers.
#define FBL_NCCL_FUNCTIONS(FBL_NCCL)                                                                                                           \
    FBL_NCCL(version, "ncclGetVersion", int, (int *version))                                                                                   \
    FBL_NCCL(init_all, "ncclCommInitAll", int, (void **communicators, int count, const int *devices))                                          \
    FBL_NCCL(destroy, "ncclCommDestroy", int, (void *communicator))                                                                            \
    FBL_NCCL(group_start, "ncclGroupStart", int, (void))                                                                                       \
    FBL_NCCL(group_end, "ncclGroupEnd", int, (void))                                                                                           \
    FBL_NCCL(all_reduce, "ncclAllReduce", int, (const void *from, void *to, size_t count, int type, int op, void *communicator, void *stream)) \
    FBL_NCCL(all_gather, "ncclAllGather", int, (const void *from, void *to, size_t count, int type, void *communicator, void *stream))         \
    FBL_NCCL(error_text, "ncclGetErrorString", const char *, (int result))

typedef struct FblNcclApi {
#define FBL_NCCL(field, symbol, result, parameters) result(*field) parameters;
    FBL_NCCL_FUNCTIONS(FBL_NCCL)
#undef FBL_NCCL
} FblNcclApi;

#endif

// The part of the CUDA driver API that is used, found at run time in libcuda.so.1: neither building nor starting the
// program needs CUDA. The declarations are our own, after the public reference of the API; its 64-bit (_v2) entry points.
// tests/cudart/cuda_header.cpp compares them with NVIDIA's header where that is installed.
//
// FBL_CUDA_DRIVER=PATH in the environment names another library that offers the same functions (a debugging aid: the
// tests bring one that runs on the CPU).
// Ownership: a table is a plain value; the library stays loaded. Threads: no state.
#ifndef FBL_RUNTIME_CUDA_CUDA_API_H
#define FBL_RUNTIME_CUDA_CUDA_API_H

#include "base/context.h"

typedef int FblCuResult;
typedef int FblCuDevice;
typedef unsigned long long FblCuPtr;
typedef void *FblCuHandle; // contexts, modules, functions, streams, events, graphs

// Results that are told apart; others are named by the driver.
enum {
    FBL_CU_SUCCESS = 0,
    FBL_CU_INVALID_VALUE = 1,
    FBL_CU_OUT_OF_MEMORY = 2,
    FBL_CU_NO_DEVICE = 100,
    FBL_CU_INVALID_IMAGE = 200,
    FBL_CU_NO_BINARY_FOR_GPU = 209,
    FBL_CU_UNKNOWN = 999,
};

enum { // CUdevice_attribute
    FBL_CU_MULTIPROCESSORS = 16,
    FBL_CU_COMPUTE_MAJOR = 75,
    FBL_CU_COMPUTE_MINOR = 76,
};

enum { FBL_CU_FUNC_MAX_SHARED = 8 }; // CUfunction_attribute: largest dynamic shared memory
enum { FBL_CU_STREAM_NON_BLOCKING = 1, FBL_CU_EVENT_DISABLE_TIMING = 2, FBL_CU_CAPTURE_THREAD_LOCAL = 1 };

// Tensor maps: CUtensorMapDataType, -Interleave, -Swizzle, -L2promotion, -FloatOOBfill.
enum { FBL_CU_MAP_F16 = 6, FBL_CU_MAP_F32 = 7, FBL_CU_MAP_BF16 = 9 };
enum { FBL_CU_MAP_INTERLEAVE_NONE = 0, FBL_CU_MAP_FILL_ZERO = 0 };
enum { FBL_CU_MAP_SWIZZLE_32 = 1, FBL_CU_MAP_SWIZZLE_64 = 2, FBL_CU_MAP_SWIZZLE_128 = 3 }; // bytes a row
enum { FBL_CU_MAP_PROMOTION_128 = 2 };                                                     // lines of the second-level cache, bytes

// FBL_CU(name in the table, name in the library, parameters)
#define FBL_CU_FUNCTIONS(FBL_CU)                                                                                             \
    FBL_CU(init, "cuInit", (unsigned flags))                                                                                 \
    FBL_CU(driver_version, "cuDriverGetVersion", (int *version))                                                             \
    FBL_CU(device_count, "cuDeviceGetCount", (int *count))                                                                   \
    FBL_CU(device_get, "cuDeviceGet", (FblCuDevice * device, int ordinal))                                                   \
    FBL_CU(device_name, "cuDeviceGetName", (char *name, int length, FblCuDevice device))                                     \
    FBL_CU(device_attribute, "cuDeviceGetAttribute", (int *value, int attribute, FblCuDevice device))                        \
    FBL_CU(context_retain, "cuDevicePrimaryCtxRetain", (FblCuHandle * context, FblCuDevice device))                          \
    FBL_CU(context_release, "cuDevicePrimaryCtxRelease_v2", (FblCuDevice device))                                            \
    FBL_CU(context_set, "cuCtxSetCurrent", (FblCuHandle context))                                                            \
    FBL_CU(memory_info, "cuMemGetInfo_v2", (size_t * free_bytes, size_t *total_bytes))                                       \
    FBL_CU(memory_alloc, "cuMemAlloc_v2", (FblCuPtr * address, size_t bytes))                                                \
    FBL_CU(memory_free, "cuMemFree_v2", (FblCuPtr address))                                                                  \
    FBL_CU(host_alloc, "cuMemHostAlloc", (void **memory, size_t bytes, unsigned flags))                                      \
    FBL_CU(host_free, "cuMemFreeHost", (void *memory))                                                                       \
    FBL_CU(copy_up, "cuMemcpyHtoDAsync_v2", (FblCuPtr to, const void *from, size_t bytes, FblCuHandle stream))               \
    FBL_CU(copy_down, "cuMemcpyDtoHAsync_v2", (void *to, FblCuPtr from, size_t bytes, FblCuHandle stream))                   \
    FBL_CU(copy_within, "cuMemcpyDtoDAsync_v2", (FblCuPtr to, FblCuPtr from, size_t bytes, FblCuHandle stream))              \
    FBL_CU(fill, "cuMemsetD8Async", (FblCuPtr to, unsigned char value, size_t bytes, FblCuHandle stream))                    \
    FBL_CU(module_load, "cuModuleLoadData", (FblCuHandle * module, const void *image))                                       \
    FBL_CU(module_unload, "cuModuleUnload", (FblCuHandle module))                                                            \
    FBL_CU(module_function, "cuModuleGetFunction", (FblCuHandle * function, FblCuHandle module, const char *name))           \
    FBL_CU(function_set, "cuFuncSetAttribute", (FblCuHandle function, int attribute, int value))                             \
    FBL_CU(map_tiled, "cuTensorMapEncodeTiled",                                                                              \
           (void *map, int format, unsigned rank, void *address, const uint64_t *extents, const uint64_t *strides, const uint32_t *box, \
            const uint32_t *steps, int interleave, int swizzle, int promotion, int fill))                                    \
    FBL_CU(map_pixels, "cuTensorMapEncodeIm2col",                                                                            \
           (void *map, int format, unsigned rank, void *address, const uint64_t *extents, const uint64_t *strides, const int *lower, \
            const int *upper, uint32_t channels, uint32_t pixels, const uint32_t *steps, int interleave, int swizzle, int promotion, int fill)) \
    FBL_CU(launch, "cuLaunchKernel",                                                                                         \
           (FblCuHandle function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,     \
            unsigned block_z, unsigned shared_bytes, FblCuHandle stream, void **parameters, void **extra))                   \
    FBL_CU(stream_create, "cuStreamCreate", (FblCuHandle * stream, unsigned flags))                                          \
    FBL_CU(stream_destroy, "cuStreamDestroy_v2", (FblCuHandle stream))                                                       \
    FBL_CU(stream_wait, "cuStreamSynchronize", (FblCuHandle stream))                                                         \
    FBL_CU(stream_wait_event, "cuStreamWaitEvent", (FblCuHandle stream, FblCuHandle event, unsigned flags))                  \
    FBL_CU(capture_begin, "cuStreamBeginCapture_v2", (FblCuHandle stream, int mode))                                         \
    FBL_CU(capture_end, "cuStreamEndCapture", (FblCuHandle stream, FblCuHandle * graph))                                     \
    FBL_CU(graph_instantiate, "cuGraphInstantiateWithFlags", (FblCuHandle * exec, FblCuHandle graph, unsigned long long flags)) \
    FBL_CU(graph_launch, "cuGraphLaunch", (FblCuHandle exec, FblCuHandle stream))                                            \
    FBL_CU(graph_exec_destroy, "cuGraphExecDestroy", (FblCuHandle exec))                                                     \
    FBL_CU(graph_destroy, "cuGraphDestroy", (FblCuHandle graph))                                                             \
    FBL_CU(event_create, "cuEventCreate", (FblCuHandle * event, unsigned flags))                                             \
    FBL_CU(event_record, "cuEventRecord", (FblCuHandle event, FblCuHandle stream))                                           \
    FBL_CU(event_wait, "cuEventSynchronize", (FblCuHandle event))                                                            \
    FBL_CU(event_elapsed, "cuEventElapsedTime", (float *milliseconds, FblCuHandle start, FblCuHandle end))                   \
    FBL_CU(event_destroy, "cuEventDestroy_v2", (FblCuHandle event))                                                          \
    FBL_CU(error_name, "cuGetErrorName", (FblCuResult error, const char **name))                                             \
    FBL_CU(error_text, "cuGetErrorString", (FblCuResult error, const char **text))

typedef struct FblCudaApi {
#define FBL_CU(field, symbol, parameters) FblCuResult(*field) parameters;
    FBL_CU_FUNCTIONS(FBL_CU)
#undef FBL_CU
} FblCudaApi;

// Finds the driver's functions. FBL_DEVICE with E0640 when there is no driver, E0641 when it lacks a function (too old).
FblStatus fbl_cuda_api_load(FblContext *ctx, FblCudaApi *out_api);

// "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered", in `out`.
void fbl_cuda_error_text(const FblCudaApi *api, FblCuResult error, char out[256]);

#endif

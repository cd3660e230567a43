// The declarations of runtime/cuda/cuda_api.h, codegen/cuda/nvrtc_api.h and (their functions; the numbers are in cublaslt_header.c and cudnn_header.c)
// runtime/cuda/cublaslt_api.h and cudnn_api.h against NVIDIA's headers: compiled where those are installed, never linked or run. C++, as templates take function types apart. For each function: the symbol that the header maps its
// name to (_v2, _v3), the number of its parameters, and for each parameter and the result what a call depends on - pointer or number,
// integer or float, size, signedness, and what a pointer points to, const included.
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <cuda.h>
#include <nvrtc.h>
#if __has_include(<cublasLt.h>)
#include <cublasLt.h>
#include "runtime/cuda/cublaslt_api.h"
#endif
#if __has_include(<cudnn.h>) && __has_include(<cuda_runtime.h>)
#include <cudnn.h>
#include "runtime/cuda/cudnn_api.h"
#endif
#if __has_include(<nccl.h>)
#include <nccl.h>
#include "runtime/cuda/nccl_api.h"
#endif

#define _Noreturn // of C headers
#include "codegen/cuda/nvrtc_api.h"
#include "codegen/tensor_map.h"
#include "runtime/cuda/cuda_api.h"

// Whether a value of type B can be passed where A is declared. Handles are void pointers here and pointers to structures there.
template <typename A, typename B> constexpr bool same() {
    if constexpr (std::is_pointer_v<A> || std::is_pointer_v<B>) {
        if constexpr (!std::is_pointer_v<A> || !std::is_pointer_v<B>) {
            return false;
        } else {
            using To = std::remove_pointer_t<A>;
            using There = std::remove_pointer_t<B>;
            if constexpr (std::is_const_v<To> != std::is_const_v<There>) {
                return false;
            } else if constexpr (std::is_void_v<To> || std::is_void_v<There>) {
                return std::is_void_v<There> || std::is_class_v<There>;
            } else if constexpr (std::is_class_v<There>) { // a structure of ours as large, or the words of an opaque one
                return std::is_class_v<To> ? sizeof(To) == sizeof(There) : std::is_same_v<std::remove_cv_t<To>, uint64_t> && sizeof(There) % sizeof(uint64_t) == 0;
            } else {
                return same<std::remove_cv_t<To>, std::remove_cv_t<There>>();
            }
        }
    } else if constexpr (std::is_enum_v<B>) {
        return std::is_integral_v<A> && sizeof(A) == sizeof(B);
    } else {
        return sizeof(A) == sizeof(B) && std::is_integral_v<A> == std::is_integral_v<B> && std::is_floating_point_v<A> == std::is_floating_point_v<B> && std::is_signed_v<A> == std::is_signed_v<B>;
    }
}
template <typename A, typename B> struct Same : std::false_type {};
template <typename A, typename... P, typename B, typename... Q> struct Same<A (*)(P...), B (*)(Q...)> {
    static constexpr bool every() {
        if constexpr (sizeof...(P) != sizeof...(Q)) {
            return false;
        } else {
            return (same<A, B>() && ... && same<P, Q>());
        }
    }
    static constexpr bool value = every();
};

constexpr bool equal(const char *a, const char *b) {
    while (*a && *a == *b) {
        a++, b++;
    }
    return *a == *b;
}
#define TEXT(x) #x
#define NAME(x) TEXT(x) // after the header's own macros

// One structure a table of ours: symbol_FIELD.
struct Symbols {
#define FBL_CU(field, symbol, parameters) static constexpr const char *field = symbol;
    FBL_CU_FUNCTIONS(FBL_CU)
#undef FBL_CU
};
struct NvrtcSymbols {
#define FBL_NVRTC(field, symbol, result, parameters) static constexpr const char *field = symbol;
    FBL_NVRTC_FUNCTIONS(FBL_NVRTC)
#undef FBL_NVRTC
};

// Every function of the table once: the sum of the lines is the number of its entries.
enum { FIRST = __COUNTER__ };
#define TYPE(field, theirs) static_assert(Same<decltype(FblCudaApi::field), decltype(&theirs)>::value, #theirs); static_assert(__COUNTER__ > FIRST, "")
#define FUNCTION(field, theirs) static_assert(equal(Symbols::field, NAME(theirs)), #theirs); TYPE(field, theirs)
FUNCTION(init, cuInit);
FUNCTION(driver_version, cuDriverGetVersion);
FUNCTION(device_count, cuDeviceGetCount);
FUNCTION(device_get, cuDeviceGet);
FUNCTION(device_name, cuDeviceGetName);
FUNCTION(device_attribute, cuDeviceGetAttribute);
FUNCTION(context_retain, cuDevicePrimaryCtxRetain);
FUNCTION(context_release, cuDevicePrimaryCtxRelease);
FUNCTION(context_set, cuCtxSetCurrent);
FUNCTION(memory_info, cuMemGetInfo);
FUNCTION(memory_alloc, cuMemAlloc);
FUNCTION(memory_free, cuMemFree);
FUNCTION(host_alloc, cuMemHostAlloc);
FUNCTION(host_free, cuMemFreeHost);
FUNCTION(copy_up, cuMemcpyHtoDAsync);
FUNCTION(copy_down, cuMemcpyDtoHAsync);
FUNCTION(copy_within, cuMemcpyDtoDAsync);
FUNCTION(fill, cuMemsetD8Async);
FUNCTION(module_load, cuModuleLoadData);
FUNCTION(module_unload, cuModuleUnload);
FUNCTION(module_function, cuModuleGetFunction);
FUNCTION(function_set, cuFuncSetAttribute);
FUNCTION(map_tiled, cuTensorMapEncodeTiled);
FUNCTION(map_pixels, cuTensorMapEncodeIm2col);
FUNCTION(launch, cuLaunchKernel);
FUNCTION(stream_create, cuStreamCreate);
FUNCTION(stream_destroy, cuStreamDestroy);
FUNCTION(stream_wait, cuStreamSynchronize);
FUNCTION(stream_wait_event, cuStreamWaitEvent);
FUNCTION(capture_begin, cuStreamBeginCapture);
FUNCTION(capture_end, cuStreamEndCapture);
FUNCTION(graph_instantiate, cuGraphInstantiate); // since CUDA 12 the form with flags alone
FUNCTION(graph_launch, cuGraphLaunch);
FUNCTION(graph_exec_destroy, cuGraphExecDestroy);
FUNCTION(graph_destroy, cuGraphDestroy);
FUNCTION(event_create, cuEventCreate);
FUNCTION(event_record, cuEventRecord);
FUNCTION(event_wait, cuEventSynchronize);
TYPE(event_elapsed, cuEventElapsedTime);
// Drivers for CUDA 12 have the first form alone; the second has the same parameters.
static_assert(equal(Symbols::event_elapsed, "cuEventElapsedTime") && (CUDA_VERSION < 13000 || equal(NAME(cuEventElapsedTime), "cuEventElapsedTime_v2")), "cuEventElapsedTime");
FUNCTION(event_destroy, cuEventDestroy);
FUNCTION(error_name, cuGetErrorName);
FUNCTION(error_text, cuGetErrorString);
static_assert(__COUNTER__ - FIRST - 1 == sizeof(FblCudaApi) / sizeof(void *), "a function of the table is missing above");

#define SAME(ours, theirs) static_assert((long long)(ours) == (long long)(theirs), #theirs)
SAME(FBL_CU_SUCCESS, CUDA_SUCCESS);
SAME(FBL_CU_INVALID_VALUE, CUDA_ERROR_INVALID_VALUE);
SAME(FBL_CU_OUT_OF_MEMORY, CUDA_ERROR_OUT_OF_MEMORY);
SAME(FBL_CU_NO_DEVICE, CUDA_ERROR_NO_DEVICE);
SAME(FBL_CU_INVALID_IMAGE, CUDA_ERROR_INVALID_IMAGE);
SAME(FBL_CU_NO_BINARY_FOR_GPU, CUDA_ERROR_NO_BINARY_FOR_GPU);
SAME(FBL_CU_UNKNOWN, CUDA_ERROR_UNKNOWN);
SAME(FBL_CU_MULTIPROCESSORS, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
SAME(FBL_CU_COMPUTE_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
SAME(FBL_CU_COMPUTE_MINOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
SAME(FBL_CU_FUNC_MAX_SHARED, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
SAME(FBL_CU_STREAM_NON_BLOCKING, CU_STREAM_NON_BLOCKING);
SAME(FBL_CU_EVENT_DISABLE_TIMING, CU_EVENT_DISABLE_TIMING);
SAME(FBL_CU_CAPTURE_THREAD_LOCAL, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
SAME(FBL_CU_MAP_F16, CU_TENSOR_MAP_DATA_TYPE_FLOAT16);
SAME(FBL_CU_MAP_F32, CU_TENSOR_MAP_DATA_TYPE_FLOAT32);
SAME(FBL_CU_MAP_BF16, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16);
SAME(FBL_CU_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_INTERLEAVE_NONE);
SAME(FBL_CU_MAP_FILL_ZERO, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
SAME(FBL_CU_MAP_SWIZZLE_32, CU_TENSOR_MAP_SWIZZLE_32B);
SAME(FBL_CU_MAP_SWIZZLE_64, CU_TENSOR_MAP_SWIZZLE_64B);
SAME(FBL_CU_MAP_SWIZZLE_128, CU_TENSOR_MAP_SWIZZLE_128B);
SAME(FBL_CU_MAP_PROMOTION_128, CU_TENSOR_MAP_L2_PROMOTION_L2_128B);
SAME(FBL_TENSOR_MAP_BYTES, sizeof(CUtensorMap));
static_assert(FBL_TENSOR_MAP_ALIGN % alignof(CUtensorMap) == 0, "alignof(CUtensorMap)"); // FblMap in codegen/cuda/hopper.cuh is aligned so, too
SAME(sizeof(FblCuPtr), sizeof(CUdeviceptr));
static_assert(std::is_same_v<std::underlying_type_t<CUresult>, unsigned> || std::is_same_v<std::underlying_type_t<CUresult>, int>, "results are words");

enum { NVRTC_FIRST = __COUNTER__ };
#define NVRTC(field, theirs) \
    static_assert(equal(NvrtcSymbols::field, NAME(theirs)), #theirs); \
    static_assert(Same<decltype(FblNvrtcApi::field), decltype(&theirs)>::value, #theirs); \
    static_assert(__COUNTER__ > NVRTC_FIRST, "")
NVRTC(version, nvrtcVersion);
NVRTC(create, nvrtcCreateProgram);
NVRTC(compile, nvrtcCompileProgram);
NVRTC(destroy, nvrtcDestroyProgram);
NVRTC(log_size, nvrtcGetProgramLogSize);
NVRTC(log, nvrtcGetProgramLog);
NVRTC(cubin_size, nvrtcGetCUBINSize);
NVRTC(cubin, nvrtcGetCUBIN);
NVRTC(ptx_size, nvrtcGetPTXSize);
NVRTC(ptx, nvrtcGetPTX);
NVRTC(error_string, nvrtcGetErrorString);
static_assert(__COUNTER__ - NVRTC_FIRST - 1 == sizeof(FblNvrtcApi) / sizeof(void *), "a function of the table is missing above");
SAME(FBL_NVRTC_SUCCESS, NVRTC_SUCCESS);
SAME(FBL_NVRTC_INVALID_OPTION, NVRTC_ERROR_INVALID_OPTION);

#if __has_include(<cublasLt.h>)
struct LtSymbols {
#define FBL_LT(field, symbol, result, parameters) static constexpr const char *field = symbol;
    FBL_LT_FUNCTIONS(FBL_LT)
#undef FBL_LT
};
enum { LT_FIRST = __COUNTER__ };
#define LT(field, theirs) \
    static_assert(equal(LtSymbols::field, NAME(theirs)), #theirs); \
    static_assert(Same<decltype(FblLtApi::field), decltype(&theirs)>::value, #theirs); \
    static_assert(__COUNTER__ > LT_FIRST, "")
LT(create, cublasLtCreate);
LT(destroy, cublasLtDestroy);
LT(version, cublasLtGetVersion);
LT(operation_create, cublasLtMatmulDescCreate);
LT(operation_destroy, cublasLtMatmulDescDestroy);
LT(operation_set, cublasLtMatmulDescSetAttribute);
LT(layout_create, cublasLtMatrixLayoutCreate);
LT(layout_destroy, cublasLtMatrixLayoutDestroy);
LT(layout_set, cublasLtMatrixLayoutSetAttribute);
LT(preference_create, cublasLtMatmulPreferenceCreate);
LT(preference_destroy, cublasLtMatmulPreferenceDestroy);
LT(preference_set, cublasLtMatmulPreferenceSetAttribute);
LT(heuristic, cublasLtMatmulAlgoGetHeuristic);
LT(algorithm_check, cublasLtMatmulAlgoCheck);
LT(algorithm_get, cublasLtMatmulAlgoConfigGetAttribute);
LT(multiply, cublasLtMatmul);
static_assert(__COUNTER__ - LT_FIRST - 1 == sizeof(FblLtApi) / sizeof(void *), "a function of the table is missing above");
#endif

// That the comparison can fail.
static_assert(!Same<int (*)(int), CUresult (*)(size_t)>::value && !Same<int (*)(void *), CUresult (*)(CUdeviceptr)>::value && !Same<int (*)(int), CUresult (*)(int, int)>::value &&
                  !Same<int (*)(unsigned *), CUresult (*)(size_t *)>::value && !Same<int (*)(void *), CUresult (*)(const void *)>::value && !Same<int (*)(void *), CUresult (*)(CUstream *)>::value &&
                  !Same<int (*)(float *), CUresult (*)(int *)>::value,
              "");

#if __has_include(<nccl.h>)
struct NcclSymbols {
#define FBL_NCCL(field, symbol, result, parameters) static constexpr const char *field = symbol;
    FBL_NCCL_FUNCTIONS(FBL_NCCL)
#undef FBL_NCCL
};
enum { NCCL_FIRST = __COUNTER__ };
#define NCCL_FUNCTION(field, theirs) static_assert(equal(NcclSymbols::field, #theirs) && Same<decltype(FblNcclApi::field), decltype(&theirs)>::value, #theirs); static_assert(__COUNTER__ > NCCL_FIRST, "")
NCCL_FUNCTION(version, ncclGetVersion);
NCCL_FUNCTION(init_all, ncclCommInitAll);
NCCL_FUNCTION(destroy, ncclCommDestroy);
NCCL_FUNCTION(group_start, ncclGroupStart);
NCCL_FUNCTION(group_end, ncclGroupEnd);
NCCL_FUNCTION(all_reduce, ncclAllReduce);
NCCL_FUNCTION(all_gather, ncclAllGather);
NCCL_FUNCTION(error_text, ncclGetErrorString);
static_assert(__COUNTER__ - NCCL_FIRST - 1 == sizeof(FblNcclApi) / sizeof(void *), "a function of the table is missing above");
SAME(FBL_NCCL_SUCCESS, ncclSuccess);
SAME(FBL_NCCL_INT8, ncclInt8);
SAME(FBL_NCCL_INT32, ncclInt32);
SAME(FBL_NCCL_FLOAT32, ncclFloat32);
SAME(FBL_NCCL_SUM, ncclSum);
#endif

#if __has_include(<cudnn.h>) && __has_include(<cuda_runtime.h>)
struct DnnSymbols {
#define FBL_DNN(field, symbol, result, parameters) static constexpr const char *field = symbol;
    FBL_DNN_FUNCTIONS(FBL_DNN)
#undef FBL_DNN
};
enum { DNN_FIRST = __COUNTER__ };
#define DNN(field, theirs) static_assert(equal(DnnSymbols::field, NAME(theirs)) && Same<decltype(FblDnnApi::field), decltype(&theirs)>::value, #theirs); static_assert(__COUNTER__ > DNN_FIRST, "")
DNN(create, cudnnCreate);
DNN(destroy, cudnnDestroy);
DNN(version, cudnnGetVersion);
DNN(set_stream, cudnnSetStream);
DNN(make, cudnnBackendCreateDescriptor);
DNN(drop, cudnnBackendDestroyDescriptor);
DNN(finalize, cudnnBackendFinalize);
DNN(set, cudnnBackendSetAttribute);
DNN(get, cudnnBackendGetAttribute);
DNN(execute, cudnnBackendExecute);
static_assert(__COUNTER__ - DNN_FIRST - 1 == sizeof(FblDnnApi) / sizeof(void *), "a function of the table is missing above");
#endif

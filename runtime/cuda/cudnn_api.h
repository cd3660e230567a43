// The part of cuDNN that is used: its graph interface ("backend"), which describes a computation by descriptors with attributes. The declarations are our
// own, after the public reference of the library (versions 8 and 9); tests/cudart/cudnn_header.c compares them with the library's header where
// that is installed.
// Ownership: a table is a plain value. Threads: no state.
#ifndef FBL_RUNTIME_CUDA_CUDNN_API_H
#define FBL_RUNTIME_CUDA_CUDNN_API_H

#include <stddef.h>
#include <stdint.h>

enum { FBL_DNN_SUCCESS = 0 };                                              // cudnnStatus_t
enum { FBL_DNN_FLOAT = 0, FBL_DNN_HALF = 2, FBL_DNN_BFLOAT16 = 9 };        // cudnnDataType_t
enum { FBL_DNN_CROSS_CORRELATION = 1 };                                    // cudnnConvolutionMode_t
enum { FBL_DNN_HEURISTIC_FALLBACK = 2, FBL_DNN_HEURISTIC_A = 3 };          // cudnnBackendHeurMode_t
// cudnnBackendDescriptorType_t
enum {
    FBL_DNN_CONVOLUTION = 1,
    FBL_DNN_ENGINE = 2,
    FBL_DNN_CONFIG = 3,
    FBL_DNN_HEURISTIC = 4,
    FBL_DNN_PLAN = 5,
    FBL_DNN_KNOB = 7,
    FBL_DNN_FORWARD = 10,
    FBL_DNN_WEIGHT_GRAD = 11,
    FBL_DNN_DATA_GRAD = 12,
    FBL_DNN_GRAPH = 15,
    FBL_DNN_PACK = 16,
    FBL_DNN_TENSOR = 17
};
// cudnnBackendAttributeType_t
enum {
    FBL_DNN_TYPE_HANDLE = 0,
    FBL_DNN_TYPE_DATA_TYPE = 1,
    FBL_DNN_TYPE_INT64 = 3,
    FBL_DNN_TYPE_FLOAT = 4,
    FBL_DNN_TYPE_POINTER = 6,
    FBL_DNN_TYPE_CONVOLUTION_MODE = 7,
    FBL_DNN_TYPE_HEURISTIC_MODE = 8,
    FBL_DNN_TYPE_KNOB = 9,
    FBL_DNN_TYPE_NUMERICAL_NOTE = 11,
    FBL_DNN_TYPE_DESCRIPTOR = 15
};
// cudnnBackendAttributeName_t
enum {
    FBL_DNN_CONVOLUTION_COMPUTE = 100,
    FBL_DNN_CONVOLUTION_MODE = 101,
    FBL_DNN_CONVOLUTION_DILATIONS = 102,
    FBL_DNN_CONVOLUTION_STRIDES = 103,
    FBL_DNN_CONVOLUTION_PADDING_AFTER = 104,
    FBL_DNN_CONVOLUTION_PADDING_BEFORE = 105,
    FBL_DNN_CONVOLUTION_DIMENSIONS = 106,
    FBL_DNN_HEURISTIC_MODE = 200,
    FBL_DNN_HEURISTIC_GRAPH = 201,
    FBL_DNN_HEURISTIC_RESULTS = 202,
    FBL_DNN_CONFIG_ENGINE = 300,
    FBL_DNN_CONFIG_KNOBS = 302,
    FBL_DNN_PLAN_HANDLE = 400,
    FBL_DNN_PLAN_CONFIG = 401,
    FBL_DNN_PLAN_WORKSPACE = 402,
    FBL_DNN_KNOB_TYPE = 600,
    FBL_DNN_KNOB_VALUE = 601,
    FBL_DNN_FORWARD_ALPHA = 700, // then beta, convolution, w, x, y
    FBL_DNN_DATA_GRAD_ALPHA = 706, // the same, with dx and dy
    FBL_DNN_WEIGHT_GRAD_ALPHA = 712, // the same, with dw and dy
    FBL_DNN_GRAPH_HANDLE = 800,
    FBL_DNN_GRAPH_OPERATIONS = 801,
    FBL_DNN_TENSOR_ALIGNMENT = 900,
    FBL_DNN_TENSOR_DATA_TYPE = 901,
    FBL_DNN_TENSOR_EXTENTS = 902,
    FBL_DNN_TENSOR_STRIDES = 903,
    FBL_DNN_TENSOR_ID = 906,
    FBL_DNN_PACK_IDS = 1000,
    FBL_DNN_PACK_POINTERS = 1001,
    FBL_DNN_PACK_WORKSPACE = 1003,
    FBL_DNN_ENGINE_GRAPH = 1300,
    FBL_DNN_ENGINE_INDEX = 1301,
    FBL_DNN_ENGINE_NOTES = 1303
};
// cudnnBackendNumericalNote_t
enum {
    FBL_DNN_NOTE_TENSOR_CORE = 0,
    FBL_DNN_NOTE_DOWN_CONVERT = 1,
    FBL_DNN_NOTE_REDUCED_PRECISION = 2,
    FBL_DNN_NOTE_FFT = 3,
    FBL_DNN_NOTE_NONDETERMINISTIC = 4,
    FBL_DNN_NOTE_WINOGRAD = 5
};

// FBL_DNN(name in the table, name in the library, result, parameters). Handles and descriptors are pointers to the library's own.
#define FBL_DNN_FUNCTIONS(FBL_DNN)                                                                                                       \
    FBL_DNN(create, "cudnnCreate", int, (void **handle))                                                                                 \
    FBL_DNN(destroy, "cudnnDestroy", int, (void *handle))                                                                                \
    FBL_DNN(version, "cudnnGetVersion", size_t, (void))                                                                                  \
    FBL_DNN(set_stream, "cudnnSetStream", int, (void *handle, void *stream))                                                             \
    FBL_DNN(make, "cudnnBackendCreateDescriptor", int, (int type, void **descriptor))                                                    \
    FBL_DNN(drop, "cudnnBackendDestroyDescriptor", int, (void *descriptor))                                                              \
    FBL_DNN(finalize, "cudnnBackendFinalize", int, (void *descriptor))                                                                   \
    FBL_DNN(set, "cudnnBackendSetAttribute", int, (void *descriptor, int name, int type, int64_t count, const void *values))             \
    FBL_DNN(get, "cudnnBackendGetAttribute", int, (void *descriptor, int name, int type, int64_t most, int64_t *count, void *values))    \
    FBL_DNN(execute, "cudnnBackendExecute", int, (void *handle, void *plan, void *pack))

typedef struct FblDnnApi {
#define FBL_DNN(field, symbol, result, parameters) result(*field) parameters;
    FBL_DNN_FUNCTIONS(FBL_DNN)
#undef FBL_DNN
} FblDnnApi;

#endif

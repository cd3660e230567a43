// The part of cuBLASLt that is used. The declarations are our own, after the public reference of the library (versions 12 and
// 13); tests/cudart/cublaslt_header.c compares them with the library's header where that is installed.
// Ownership: a table is a plain value. Threads: no state.
#ifndef FBL_RUNTIME_CUDA_CUBLASLT_API_H
#define FBL_RUNTIME_CUDA_CUBLASLT_API_H

#include <stddef.h>
#include <stdint.h>

enum { FBL_LT_SUCCESS = 0 };                                                                                                              // cublasStatus_t
enum { FBL_LT_R_32F = 0, FBL_LT_R_16F = 2, FBL_LT_R_16BF = 14 };                                                                          // cudaDataType
enum { FBL_LT_COMPUTE_F32 = 68, FBL_LT_COMPUTE_F16 = 74, FBL_LT_COMPUTE_BF16 = 75, FBL_LT_COMPUTE_TF32 = 77 };                            // cublasComputeType_t
enum { FBL_LT_LAYOUT_BATCH_COUNT = 5, FBL_LT_LAYOUT_BATCH_OFFSET = 6 };                                                                   // cublasLtMatrixLayoutAttribute_t
enum { FBL_LT_OPERATION_TRANSPOSE_A = 3, FBL_LT_OPERATION_TRANSPOSE_B = 4, FBL_LT_OPERATION_EPILOGUE = 7, FBL_LT_OPERATION_BIAS = 8 };    // cublasLtMatmulDescAttributes_t
enum { FBL_LT_EPILOGUE_BIAS = 4 };                                                                                                        // cublasLtEpilogue_t
enum { FBL_LT_PREFER_WORKSPACE = 1, FBL_LT_PREFER_REDUCTIONS = 3, FBL_LT_PREFER_ALIGNMENT_A = 5 };                                        // cublasLtMatmulPreferenceAttributes_t
enum { FBL_LT_REDUCE_COMPUTE_TYPE = 2 };                                                                                                  // cublasLtReductionScheme_t
enum { FBL_LT_CONFIG_ID = 0, FBL_LT_CONFIG_TILE = 1, FBL_LT_CONFIG_SPLITS = 2, FBL_LT_CONFIG_REDUCTION = 3, FBL_LT_CONFIG_STAGES = 6 }; // cublasLtMatmulAlgoConfigAttributes_t

// cublasLtMatmulHeuristicResult_t
typedef struct FblLtHeuristic {
    uint64_t algorithm[8];
    size_t workspace_bytes;
    int state;
    float waves;
    int reserved[4];
} FblLtHeuristic;

// FBL_LT(name in the table, name in the library, result, parameters). Handles and descriptors are pointers to the library's own.
#define FBL_LT_FUNCTIONS(FBL_LT)                                                                                                                        \
    FBL_LT(create, "cublasLtCreate", int, (void **handle))                                                                                              \
    FBL_LT(destroy, "cublasLtDestroy", int, (void *handle))                                                                                             \
    FBL_LT(version, "cublasLtGetVersion", size_t, (void))                                                                                               \
    FBL_LT(operation_create, "cublasLtMatmulDescCreate", int, (void **operation, int compute_type, int scale_type))                                     \
    FBL_LT(operation_destroy, "cublasLtMatmulDescDestroy", int, (void *operation))                                                                      \
    FBL_LT(operation_set, "cublasLtMatmulDescSetAttribute", int, (void *operation, int attribute, const void *value, size_t size))                      \
    FBL_LT(layout_create, "cublasLtMatrixLayoutCreate", int, (void **layout, int type, uint64_t rows, uint64_t columns, int64_t ld))                    \
    FBL_LT(layout_destroy, "cublasLtMatrixLayoutDestroy", int, (void *layout))                                                                          \
    FBL_LT(layout_set, "cublasLtMatrixLayoutSetAttribute", int, (void *layout, int attribute, const void *value, size_t size))                          \
    FBL_LT(preference_create, "cublasLtMatmulPreferenceCreate", int, (void **preference))                                                               \
    FBL_LT(preference_destroy, "cublasLtMatmulPreferenceDestroy", int, (void *preference))                                                              \
    FBL_LT(preference_set, "cublasLtMatmulPreferenceSetAttribute", int, (void *preference, int attribute, const void *value, size_t size))              \
    FBL_LT(heuristic, "cublasLtMatmulAlgoGetHeuristic", int,                                                                                            \
           (void *handle, void *operation, void *a, void *b, void *c, void *d, void *preference, int most, FblLtHeuristic *results, int *count))        \
    FBL_LT(algorithm_check, "cublasLtMatmulAlgoCheck", int,                                                                                             \
           (void *handle, void *operation, void *a, void *b, void *c, void *d, const uint64_t *algorithm, FblLtHeuristic *result))                      \
    FBL_LT(algorithm_get, "cublasLtMatmulAlgoConfigGetAttribute", int, (const uint64_t *algorithm, int attribute, void *value, size_t size, size_t *written)) \
    FBL_LT(multiply, "cublasLtMatmul", int,                                                                                                             \
           (void *handle, void *operation, const void *alpha, const void *a, void *a_layout, const void *b, void *b_layout, const void *beta, const void *c, void *c_layout, \
            void *d, void *d_layout, const uint64_t *algorithm, void *workspace, size_t workspace_bytes, void *stream))

typedef struct FblLtApi {
#define FBL_LT(field, symbol, result, parameters) result(*field) parameters;
    FBL_LT_FUNCTIONS(FBL_LT)
#undef FBL_LT
} FblLtApi;

#endif

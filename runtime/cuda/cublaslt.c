#include "runtime/cuda/cublaslt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/library_work.h"
#include "runtime/cuda/cublaslt_api.h"
#include "runtime/cuda/load.h"

struct FblCublasLt {
    FblLtApi api;
    void *handle;
    char version[24];
};

struct FblLtCall {
    FblCudaDevice *device;
    void *operation, *layouts[4]; // of P, Q, C, D
    FblDevicePtr matrices[4];
    float alpha, beta;
    uint64_t algorithm[8];
    int64_t workspace_bytes;
};

bool fbl_cublaslt_open(FblCudaDevice *device) {
    static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so", "/usr/local/cuda/lib64/libcublasLt.so", NULL};
    static const char *const symbols[] = {
#define FBL_LT(field, symbol, result, parameters) symbol,
        FBL_LT_FUNCTIONS(FBL_LT)
#undef FBL_LT
            NULL};
    if (device->lt || *device->lt_why) {
        return device->lt != NULL;
    }
    FblCublasLt *lt = calloc(1, sizeof *lt);
    if (!lt) {
        fbl_out_of_memory();
    }
    FblLoad load = {"FBL_CUBLASLT", names, symbols, (void **)&lt->api, device->lt_why, sizeof device->lt_why};
    int status = 0;
    if (!fbl_cuda_load(&load) || (status = lt->api.create(&lt->handle)) != FBL_LT_SUCCESS) {
        if (status) {
            snprintf(device->lt_why, sizeof device->lt_why, "it does not start (status %d)", status);
        }
        free(lt);
        return false;
    }
    size_t version = lt->api.version(); // 130002 for 13.0.2, as 12.x wrote 120506
    snprintf(lt->version, sizeof lt->version, "%zu.%zu.%zu", version / 10000, version / 100 % 100, version % 100);
    device->lt = lt;
    return true;
}

void fbl_cublaslt_close(FblCublasLt *lt) {
    if (lt) {
        lt->api.destroy(lt->handle);
        free(lt);
    }
}

static int element_type(FblDtype dtype) { return dtype == FBL_BF16 ? FBL_LT_R_16BF : dtype == FBL_F16 ? FBL_LT_R_16F : FBL_LT_R_32F; }

static int compute_type(const FblProduct *product, int32_t precision) {
    static const int types[] = {FBL_LT_COMPUTE_F32, FBL_LT_COMPUTE_TF32, FBL_LT_COMPUTE_BF16, FBL_LT_COMPUTE_F16}; // as FblCudaPrecision
    return fbl_dtype_is_half(product->p.dtype) ? FBL_LT_COMPUTE_F32 : types[precision];
}

// A matrix as the library sees it, column after column: rows run along the stride 1.
static bool make_layout(const FblLtApi *api, const FblProductMatrix *matrix, int64_t first, int64_t second, int64_t batch, void **out) {
    int64_t rows = matrix->transposed ? second : first, columns = matrix->transposed ? first : second;
    int32_t count = (int32_t)batch;
    if (batch > INT32_MAX || api->layout_create(out, element_type(matrix->dtype), (uint64_t)rows, (uint64_t)columns, matrix->ld) != FBL_LT_SUCCESS) {
        return false;
    }
    return api->layout_set(*out, FBL_LT_LAYOUT_BATCH_COUNT, &count, sizeof count) == FBL_LT_SUCCESS &&
           api->layout_set(*out, FBL_LT_LAYOUT_BATCH_OFFSET, &matrix->batch_stride, sizeof matrix->batch_stride) == FBL_LT_SUCCESS;
}

static bool make_layouts(const FblLtApi *api, const FblProduct *x, void *out[4]) {
    return make_layout(api, &x->p, x->i, x->k, x->batch, &out[0]) && make_layout(api, &x->q, x->k, x->j, x->batch, &out[1]) &&
           make_layout(api, x->c.buffer >= 0 ? &x->c : &x->d, x->i, x->j, x->batch, &out[2]) && make_layout(api, &x->d, x->i, x->j, x->batch, &out[3]);
}

static bool set_operation(const FblLtApi *api, void *operation, int attribute, const void *value, size_t size) {
    return api->operation_set(operation, attribute, value, size) == FBL_LT_SUCCESS;
}

// `bias`: its address, or another one that is aligned like it where only an algorithm is asked for.
static bool make_operation(const FblLtApi *api, const FblProduct *x, int32_t precision, FblDevicePtr bias, void **out) {
    int32_t transpose[2] = {x->p.transposed, x->q.transposed}; // CUBLAS_OP_N, CUBLAS_OP_T
    int32_t epilogue = FBL_LT_EPILOGUE_BIAS;
    if (api->operation_create(out, compute_type(x, precision), FBL_LT_R_32F) != FBL_LT_SUCCESS ||
        !set_operation(api, *out, FBL_LT_OPERATION_TRANSPOSE_A, &transpose[0], sizeof transpose[0]) ||
        !set_operation(api, *out, FBL_LT_OPERATION_TRANSPOSE_B, &transpose[1], sizeof transpose[1])) {
        return false;
    }
    void *address = (void *)(uintptr_t)bias;
    return x->bias < 0 || (set_operation(api, *out, FBL_LT_OPERATION_EPILOGUE, &epilogue, sizeof epilogue) &&
                           set_operation(api, *out, FBL_LT_OPERATION_BIAS, &address, sizeof address));
}

static int64_t bytes_before(const FblProductMatrix *matrix) { return matrix->offset * fbl_dtype_bytes(matrix->dtype); }

// Buffers are 16-byte aligned.
static uint32_t alignment_of(const FblProductMatrix *matrix) {
    uint32_t alignment = 16;
    while (bytes_before(matrix) % alignment != 0) {
        alignment /= 2;
    }
    return alignment;
}

static bool make_preference(const FblLtApi *api, const FblProduct *x, void **out) {
    uint64_t workspace = (uint64_t)FBL_CUBLASLT_WORKSPACE;
    uint32_t schemes = FBL_LT_REDUCE_COMPUTE_TYPE;
    const FblProductMatrix *matrices[4] = {&x->p, &x->q, x->c.buffer >= 0 ? &x->c : &x->d, &x->d};
    if (api->preference_create(out) != FBL_LT_SUCCESS || api->preference_set(*out, FBL_LT_PREFER_WORKSPACE, &workspace, sizeof workspace) != FBL_LT_SUCCESS ||
        api->preference_set(*out, FBL_LT_PREFER_REDUCTIONS, &schemes, sizeof schemes) != FBL_LT_SUCCESS) {
        return false;
    }
    for (int m = 0; m < 4; m++) {
        uint32_t alignment = alignment_of(matrices[m]);
        if (api->preference_set(*out, FBL_LT_PREFER_ALIGNMENT_A + m, &alignment, sizeof alignment) != FBL_LT_SUCCESS) {
            return false;
        }
    }
    return true;
}

static uint32_t configuration(const FblLtApi *api, const uint64_t algorithm[8], int attribute) {
    uint32_t value = 0;
    size_t written;
    return api->algorithm_get(algorithm, attribute, &value, sizeof value, &written) == FBL_LT_SUCCESS ? value : 0;
}

bool fbl_cublaslt_choose(FblCudaDevice *device, const FblProduct *product, int32_t precision, FblGpuLibrary *out) {
    memset(out, 0, sizeof *out);
    if (!fbl_cublaslt_open(device)) {
        return false;
    }
    const FblLtApi *api = &device->lt->api;
    void *operation = NULL, *layouts[4] = {NULL}, *preference = NULL;
    FblLtHeuristic found = {0};
    int count = 0;
    FblDevicePtr aligned = product->bias_offset % 4 == 0 ? 256 : 260;
    bool ok = make_operation(api, product, precision, aligned, &operation) && make_layouts(api, product, layouts) && make_preference(api, product, &preference) &&
              api->heuristic(device->lt->handle, operation, layouts[0], layouts[1], layouts[2], layouts[3], preference, 1, &found, &count) == FBL_LT_SUCCESS && count == 1 &&
              found.state == FBL_LT_SUCCESS && found.workspace_bytes <= (size_t)FBL_CUBLASLT_WORKSPACE;
    // The mask of schemes is asked for; that it was heard is checked.
    uint32_t scheme = ok ? configuration(api, found.algorithm, FBL_LT_CONFIG_REDUCTION) : 0;
    ok = ok && (scheme & ~(uint32_t)FBL_LT_REDUCE_COMPUTE_TYPE) == 0;
    if (ok) {
        *out = (FblGpuLibrary){.used = true, .kind = FBL_LIBRARY_CUBLASLT, .precision = precision, .workspace_bytes = (int64_t)found.workspace_bytes};
        memcpy(out->algorithm, found.algorithm, sizeof found.algorithm);
        uint32_t splits = configuration(api, found.algorithm, FBL_LT_CONFIG_SPLITS);
        snprintf(out->name, sizeof out->name, "cuBLASLt %s: algorithm %u, tile %u, stages %u, %u split%s", device->lt->version, configuration(api, found.algorithm, FBL_LT_CONFIG_ID),
                 configuration(api, found.algorithm, FBL_LT_CONFIG_TILE), configuration(api, found.algorithm, FBL_LT_CONFIG_STAGES), splits, splits == 1 ? "" : "s");
    }
    if (preference) {
        api->preference_destroy(preference);
    }
    for (int m = 0; m < 4; m++) {
        if (layouts[m]) {
            api->layout_destroy(layouts[m]);
        }
    }
    if (operation) {
        api->operation_destroy(operation);
    }
    return ok;
}

bool fbl_cublaslt_prepare(FblCudaDevice *device, const FblProduct *product, const FblGpuLibrary *library, const FblDevicePtr *buffers, FblLtCall **out_call) {
    *out_call = NULL;
    if (!fbl_cublaslt_open(device)) {
        return false;
    }
    FblLtCall *call = calloc(1, sizeof *call);
    if (!call) {
        fbl_out_of_memory();
    }
    const FblLtApi *api = &device->lt->api;
    const FblProductMatrix *matrices[4] = {&product->p, &product->q, product->c.buffer >= 0 ? &product->c : &product->d, &product->d};
    *call = (FblLtCall){.device = device, .alpha = (float)product->alpha, .beta = (float)product->beta, .workspace_bytes = library->workspace_bytes};
    memcpy(call->algorithm, library->algorithm, sizeof call->algorithm);
    for (int m = 0; m < 4; m++) {
        call->matrices[m] = buffers[matrices[m]->buffer] + (FblDevicePtr)bytes_before(matrices[m]);
    }
    FblDevicePtr bias = product->bias >= 0 ? buffers[product->bias] + (FblDevicePtr)product->bias_offset * sizeof(float) : 0;
    FblLtHeuristic checked = {0};
    bool ok = make_operation(api, product, library->precision, bias, &call->operation) && make_layouts(api, product, call->layouts) &&
              api->algorithm_check(device->lt->handle, call->operation, call->layouts[0], call->layouts[1], call->layouts[2], call->layouts[3], call->algorithm, &checked) ==
                  FBL_LT_SUCCESS &&
              checked.workspace_bytes <= (size_t)library->workspace_bytes;
    if (!ok) {
        fbl_cublaslt_destroy(call);
        return false;
    }
    *out_call = call;
    return true;
}

void fbl_cublaslt_destroy(FblLtCall *call) {
    if (!call) {
        return;
    }
    const FblLtApi *api = &call->device->lt->api;
    for (int m = 0; m < 4; m++) {
        if (call->layouts[m]) {
            api->layout_destroy(call->layouts[m]);
        }
    }
    if (call->operation) {
        api->operation_destroy(call->operation);
    }
    free(call);
}

FblCuResult fbl_cublaslt_launch(FblLtCall *call, FblDevicePtr workspace) {
    const FblCublasLt *lt = call->device->lt;
    const void *a = (const void *)(uintptr_t)call->matrices[0], *b = (const void *)(uintptr_t)call->matrices[1], *c = (const void *)(uintptr_t)call->matrices[2];
    void *d = (void *)(uintptr_t)call->matrices[3];
    int status = lt->api.multiply(lt->handle, call->operation, &call->alpha, a, call->layouts[0], b, call->layouts[1], &call->beta, c, call->layouts[2], d, call->layouts[3],
                                  call->algorithm, (void *)(uintptr_t)workspace, (size_t)call->workspace_bytes, call->device->stream);
    return status == FBL_LT_SUCCESS ? FBL_CU_SUCCESS : FBL_CU_UNKNOWN;
}

#include "runtime/cuda/library.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/cuda/cublaslt.h"
#include "runtime/cuda/cuda_call.h"
#include "runtime/cuda/cudnn.h"

struct FblLibraryCall {
    FblCudaDevice *device;
    const FblKernelCode *code;
    FblLtCall *lt; // one of the two is there
    FblDnnCall *dnn;
    FblDevicePtr workspace; // the library's own
    FblCuHandle functions[FBL_ARRAY_COUNT];
    void **parameters[FBL_ARRAY_COUNT];
    FblDevicePtr *values; // the kernel's buffers, the arrays, the scalars
};

static const char *const names[FBL_LIBRARY_COUNT] = {[FBL_LIBRARY_NONE] = "", [FBL_LIBRARY_CUBLASLT] = "cuBLASLt", [FBL_LIBRARY_CUDNN] = "cuDNN"};

static const char *const items[FBL_LIBRARY_COUNT] = {[FBL_LIBRARY_NONE] = "", [FBL_LIBRARY_CUBLASLT] = "matrix products", [FBL_LIBRARY_CUDNN] = "convolutions"};

const char *fbl_library_name(FblLibraryKind kind) { return names[kind]; }
const char *fbl_library_items(FblLibraryKind kind) { return items[kind]; }

bool fbl_library_open(FblCudaDevice *device, FblLibraryKind kind) {
    return kind == FBL_LIBRARY_CUBLASLT ? fbl_cublaslt_open(device) : kind == FBL_LIBRARY_CUDNN && fbl_cudnn_open(device);
}

const char *fbl_library_why(const FblCudaDevice *device, FblLibraryKind kind) {
    return kind == FBL_LIBRARY_CUBLASLT ? device->lt_why : kind == FBL_LIBRARY_CUDNN ? device->dnn_why : "";
}

bool fbl_library_choose(FblCudaDevice *device, const FblLibraryWork *work, int32_t precision, FblGpuLibrary *out) {
    switch (work->kind) {
    case FBL_LIBRARY_CUBLASLT: return fbl_cublaslt_choose(device, &work->product, precision, out);
    case FBL_LIBRARY_CUDNN: return fbl_cudnn_choose(device, &work->convolution, precision, out);
    default: return false;
    }
}

bool fbl_library_recorded(const FblKernel *kernel, const FblKernelCode *code, FblLibraryWork *out) {
    static const FblDtype factors[] = {FBL_F32, FBL_F32, FBL_BF16, FBL_F16}; // as FblCudaPrecision
    static const int64_t most[FBL_LIBRARY_COUNT] = {[FBL_LIBRARY_CUBLASLT] = FBL_CUBLASLT_WORKSPACE, [FBL_LIBRARY_CUDNN] = FBL_CUDNN_WORKSPACE};
    const FblGpuLibrary *library = &code->library;
    if (!library->used || library->kind <= FBL_LIBRARY_NONE || library->kind >= FBL_LIBRARY_COUNT || library->precision < 0 || library->precision > 3 ||
        library->workspace_bytes < 0 || library->workspace_bytes > most[library->kind] ||
        !fbl_library_work(kernel, (FblLibraryKind)library->kind, factors[library->precision], out)) {
        return false;
    }
    int32_t before = 0;
    for (int t = 0; t < 2; t++) {
        before += out->arrays[t].elements > 0;
    }
    return code->before == before && code->after == (out->arrays[FBL_ARRAY_RESULT].elements > 0);
}

int64_t fbl_library_workspace(const FblKernel *kernel, const FblKernelCode *code) {
    FblLibraryWork work;
    return fbl_library_recorded(kernel, code, &work) ? work.bytes + code->library.workspace_bytes : 0;
}

// The entry points around the call, with their arguments.
static bool prepare_around(FblLibraryCall *call, const FblKernel *kernel, const FblLibraryWork *work, FblCuHandle module) {
    const FblCudaApi *api = &call->device->api;
    size_t buffers = (size_t)kernel->buffer_count;
    int32_t phase = 0;
    for (size_t array = 0; array < FBL_ARRAY_COUNT; array++) {
        if (work->arrays[array].elements == 0) {
            continue;
        }
        const FblGpuPhase *shape = &call->code->around[phase];
        void **parameters = call->parameters[phase] = calloc(buffers + 2, sizeof *parameters);
        if (!parameters) {
            fbl_out_of_memory();
        }
        for (size_t b = 0; b < buffers; b++) {
            parameters[b] = &call->values[b];
        }
        parameters[buffers] = &call->values[buffers + array];
        parameters[buffers + 1] = &call->values[buffers + FBL_ARRAY_COUNT];
        if (shape->map_count != 0 || fbl_cuda_entry(api, module, shape, &call->functions[phase]) != FBL_CU_SUCCESS) {
            return false;
        }
        phase++;
    }
    return true;
}

bool fbl_library_prepare(FblCudaDevice *device, const FblKernel *kernel, const FblKernelCode *code, const FblLibraryPlace *place, FblLibraryCall **out_call) {
    FblLibraryWork work;
    *out_call = NULL;
    if (!fbl_library_recorded(kernel, code, &work)) {
        return false;
    }
    size_t buffers = (size_t)kernel->buffer_count;
    FblLibraryCall *call = calloc(1, sizeof *call);
    FblDevicePtr *values = calloc(buffers + FBL_ARRAY_COUNT + 1, sizeof *values);
    if (!call || !values) {
        fbl_out_of_memory();
    }
    *call = (FblLibraryCall){.device = device, .code = code, .values = values, .workspace = place->workspace + (FblDevicePtr)work.bytes};
    memcpy(values, place->buffers, buffers * sizeof *values);
    for (size_t array = 0; array < FBL_ARRAY_COUNT; array++) {
        values[buffers + array] = place->workspace + (FblDevicePtr)work.arrays[array].at;
    }
    values[buffers + FBL_ARRAY_COUNT] = place->scalars;
    if (!prepare_around(call, kernel, &work, place->module) || !(work.kind == FBL_LIBRARY_CUDNN
                                                                     ? fbl_cudnn_prepare(device, &work.convolution, &code->library, values, call->workspace, &call->dnn)
                                                                     : fbl_cublaslt_prepare(device, &work.product, &code->library, values, &call->lt))) {
        fbl_library_destroy(call);
        return false;
    }
    *out_call = call;
    return true;
}

void fbl_library_destroy(FblLibraryCall *call) {
    if (!call) {
        return;
    }
    fbl_cublaslt_destroy(call->lt);
    fbl_cudnn_destroy(call->dnn);
    for (int phase = 0; phase < FBL_ARRAY_COUNT; phase++) {
        free(call->parameters[phase]);
    }
    free(call->values);
    free(call);
}

static FblCuResult launch_phase(FblLibraryCall *call, int32_t phase) {
    const FblGpuPhase *s = &call->code->around[phase];
    return call->device->api.launch(call->functions[phase], s->grid[0], s->grid[1], s->grid[2], s->block[0], s->block[1], s->block[2], s->shared_bytes, call->device->stream,
                                    call->parameters[phase], NULL);
}

FblCuResult fbl_library_launch(FblLibraryCall *call) {
    FblCuResult result = FBL_CU_SUCCESS;
    int32_t phase = 0;
    for (; phase < call->code->before && result == FBL_CU_SUCCESS; phase++) {
        result = launch_phase(call, phase);
    }
    result = result ? result : call->dnn ? fbl_cudnn_launch(call->dnn) : fbl_cublaslt_launch(call->lt, call->workspace);
    for (; phase < call->code->before + call->code->after && result == FBL_CU_SUCCESS; phase++) {
        result = launch_phase(call, phase);
    }
    return result;
}

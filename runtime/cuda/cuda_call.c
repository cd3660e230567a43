#include "runtime/cuda/cuda_call.h"

#define DEFAULT_SHARED 49152 // dynamic shared memory that needs no permission

FblCuResult fbl_cuda_entry(const FblCudaApi *api, FblCuHandle module, const FblGpuPhase *phase, FblCuHandle *out_function) {
    FblCuResult result = api->module_function(out_function, module, phase->symbol);
    bool large = phase->shared_bytes > DEFAULT_SHARED;
    return result || !large ? result : api->function_set(*out_function, FBL_CU_FUNC_MAX_SHARED, (int)phase->shared_bytes);
}

void fbl_cuda_call_set(FblCudaCall *call, FblCuHandle function, uint32_t blocks, uint32_t threads, const FblDevicePtr *values, int count) {
    *call = (FblCudaCall){.function = function, .blocks = blocks, .threads = threads};
    for (int i = 0; i < count; i++) {
        call->values[i] = values[i];
        call->parameters[i] = &call->values[i];
    }
}

FblCuResult fbl_cuda_call_launch(const FblCudaDevice *device, const FblCudaCall *call) {
    return device->api.launch(call->function, call->blocks, 1, 1, call->threads, 1, 1, 0, device->stream, (void **)call->parameters, NULL);
}

#include "runtime/cuda/cuda_call.h"

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

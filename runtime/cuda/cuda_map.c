#include "runtime/cuda/cuda_map.h"

static int64_t buffer_bytes(const FblKernelBuffer *buffer) {
    int64_t bytes = fbl_dtype_bytes(buffer->dtype);
    for (int32_t d = 0; d < buffer->rank; d++) {
        bytes *= buffer->extents[d];
    }
    return bytes;
}

FblCuResult fbl_cuda_map_encode(const FblCudaApi *api, const FblTensorMap *map, const FblKernel *kernel,
                                const FblDevicePtr *buffers, FblDevicePtr workspace, int64_t workspace_bytes,
                                void *out) {
    static const int formats[] = {
        [FBL_TENSOR_MAP_BF16] = FBL_CU_MAP_BF16, [FBL_TENSOR_MAP_F16] = FBL_CU_MAP_F16, [FBL_TENSOR_MAP_F32] = FBL_CU_MAP_F32};
    uint64_t extents[FBL_TENSOR_MAP_RANK], strides[FBL_TENSOR_MAP_RANK];
    uint32_t box[FBL_TENSOR_MAP_RANK], steps[FBL_TENSOR_MAP_RANK];
    if (map->buffer < -1 || map->buffer >= kernel->buffer_count ||
        !fbl_tensor_map_valid(map, map->buffer < 0 ? workspace_bytes : buffer_bytes(&kernel->buffers[map->buffer]))) {
        return FBL_CU_INVALID_VALUE;
    }
    FblDevicePtr memory = map->buffer < 0 ? workspace : buffers[map->buffer];
    unsigned rank = (unsigned)map->rank;
    int swizzle = map->swizzle == 128 ? FBL_CU_MAP_SWIZZLE_128 : map->swizzle == 64 ? FBL_CU_MAP_SWIZZLE_64 : FBL_CU_MAP_SWIZZLE_32;
    void *address = (void *)(uintptr_t)(memory + (FblDevicePtr)map->offset);
    for (unsigned d = 0; d < rank; d++) {
        extents[d] = (uint64_t)map->extents[d];
        strides[d] = d + 1 < rank ? (uint64_t)map->strides[d + 1] : 0; // the driver's begin with the second dimension
        box[d] = (uint32_t)map->box[d];
        steps[d] = 1;
    }
    if (map->kind == FBL_TENSOR_MAP_TILED) {
        return api->map_tiled(out, formats[map->format], rank, address, extents, strides, box, steps,
                              FBL_CU_MAP_INTERLEAVE_NONE, swizzle, FBL_CU_MAP_PROMOTION_128, FBL_CU_MAP_FILL_ZERO);
    }
    steps[1] = (uint32_t)map->steps[0];
    steps[2] = (uint32_t)map->steps[1];
    return api->map_pixels(out, formats[map->format], rank, address, extents, strides, map->lower, map->upper,
                           (uint32_t)map->channels, (uint32_t)map->pixels, steps, FBL_CU_MAP_INTERLEAVE_NONE, swizzle,
                           FBL_CU_MAP_PROMOTION_128, FBL_CU_MAP_FILL_ZERO);
}

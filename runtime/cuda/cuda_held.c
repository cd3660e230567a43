#include "runtime/cuda/cuda_held.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(FBL_AUGMENT_MAX == 8, "as in session_kernels.cuh");

bool fbl_cuda_can_hold(const FblCudaDevice *device, const FblDataset *data, const FblTransform *transform) {
    int crops = 0;
    for (int i = 0; i < transform->count; i++) {
        FblAugmentKind kind = transform->ops[i].kind;
        if (kind != FBL_AUGMENT_RANDOM_CROP && kind != FBL_AUGMENT_RANDOM_FLIP && kind != FBL_AUGMENT_CENTER_CROP) {
            return false;
        }
        crops += kind != FBL_AUGMENT_RANDOM_FLIP;
    }
    size_t free_bytes = 0, total = 0;
    if (!data->pixels || crops > 1 || data->count > INT32_MAX || device->api.memory_info(&free_bytes, &total) != FBL_CU_SUCCESS) {
        return false;
    }
    return (double)data->count * 3 * data->height * data->width < 0.25 * (double)free_bytes;
}

FblStatus fbl_cuda_hold(FblContext *ctx, FblCudaDevice *device, const FblDataset *data, const FblTransform *transform, int64_t length, FblCudaHeld *held) {
    FblNormTable table;
    fbl_norm_table_make(transform, &table);
    int64_t pixels = data->count * 3 * data->height * data->width;
    *held = (FblCudaHeld){.length = length, .order_host = malloc((size_t)length * 4 + 4)};
    if (!held->order_host) {
        fbl_out_of_memory();
    }
    FBL_TRY(fbl_cuda_allocate(ctx, device, pixels, "the data set", &held->pixels));
    FBL_TRY(fbl_cuda_allocate(ctx, device, data->count * 4, "the labels", &held->labels));
    FBL_TRY(fbl_cuda_allocate(ctx, device, (int64_t)sizeof table, "the table of levels", &held->table));
    FBL_TRY(fbl_cuda_allocate(ctx, device, length * 4, "the order of an epoch", &held->order));
    FBL_TRY(fbl_cuda_upload(ctx, device, held->pixels, data->pixels, pixels));
    FBL_TRY(fbl_cuda_upload(ctx, device, held->labels, data->labels, data->count * 4));
    return fbl_cuda_upload(ctx, device, held->table, &table, (int64_t)sizeof table);
}

void fbl_cuda_held_release(FblCudaDevice *device, FblCudaHeld *held) {
    FblDevicePtr memory[] = {held->pixels, held->labels, held->order, held->table};
    for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++) {
        fbl_cuda_release(device, memory[i]);
    }
    free(held->order_host);
    *held = (FblCudaHeld){0};
}

FblStatus fbl_cuda_held_order(FblContext *ctx, FblCudaDevice *device, FblCudaHeld *held, const int64_t *order) {
    for (int64_t i = 0; i < held->length; i++) {
        held->order_host[i] = (int32_t)order[i];
    }
    return fbl_cuda_upload(ctx, device, held->order, held->order_host, held->length * 4);
}

void fbl_cuda_shape_set(FblCudaShape *shape, const FblDataset *data, const FblTransform *transform) {
    shape->source_height = data->height;
    shape->source_width = data->width;
    shape->ops = transform->count;
    for (int i = 0; i < shape->ops; i++) {
        shape->kind[i] = (int32_t)transform->ops[i].kind;
        shape->size[i] = transform->ops[i].size;
        shape->pad[i] = transform->ops[i].pad;
    }
}

const FblPlanTensor *fbl_cuda_tensor(const FblPlanTensor *tensors, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(tensors[i].name, name) == 0) {
            return &tensors[i];
        }
    }
    return NULL;
}

FblDevicePtr fbl_cuda_address(const FblDeviceExec *exec, const FblPlanTensor *tensor) {
    return tensor ? fbl_cuda_exec_region(exec, tensor->region) + (FblDevicePtr)tensor->offset : 0;
}

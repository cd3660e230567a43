#include "runtime/cuda/cuda_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "runtime/cuda/cublaslt.h"
#include "runtime/cuda/cudnn.h"
#include "runtime/cuda/cuda_exec.h"
#include "runtime/cuda/cuda_group.h"

#define OLDEST_DRIVER 12000 // cuGraphInstantiateWithFlags and the other entry points in the form used here

FblStatus fbl_cuda_check(FblContext *ctx, FblCudaDevice *device, FblCuResult result, const char *doing) {
    if (result == FBL_CU_SUCCESS) {
        return FBL_OK;
    }
    char text[256];
    fbl_cuda_error_text(&device->api, result, text);
    fbl_error(ctx, "E0647", FBL_NO_LOC, "%s: %s failed: %s", device->name, doing, text);
    return FBL_DEVICE;
}

static FblStatus find_gpu(FblContext *ctx, FblCudaDevice *device, int ordinal, int wanted) {
    const FblCudaApi *api = &device->api;
    int version = 0, count = 0, major = 0, minor = 0;
    FblCuResult result = api->init(0);
    if (result == FBL_CU_SUCCESS) {
        result = api->device_count(&count);
    }
    if (result != FBL_CU_SUCCESS || count == 0) {
        char text[256] = "it reports none";
        if (result != FBL_CU_SUCCESS) {
            fbl_cuda_error_text(api, result, text);
        }
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0642", FBL_NO_LOC, "the CUDA driver finds no GPU: %s", text);
        fbl_diag_hint(ctx, diag, "`nvidia-smi` shows what the driver sees; CUDA_VISIBLE_DEVICES may hide it");
        return FBL_DEVICE;
    }
    FBL_TRY(fbl_cuda_check(ctx, device, api->driver_version(&version), "asking for the driver's version"));
    if (version < OLDEST_DRIVER) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0641", FBL_NO_LOC, "the CUDA driver is too old: it is for CUDA %d.%d", version / 1000, version % 1000 / 10);
        fbl_diag_hint(ctx, diag, "install a driver for CUDA %d or newer", OLDEST_DRIVER / 1000);
        return FBL_DEVICE;
    }
    FBL_TRY(fbl_cuda_check(ctx, device, api->device_get(&device->ordinal, ordinal), "opening the GPU"));
    FBL_TRY(fbl_cuda_check(ctx, device, api->device_name(device->name, sizeof device->name, device->ordinal), "asking for the GPU's name"));
    FBL_TRY(fbl_cuda_check(ctx, device, api->device_attribute(&major, FBL_CU_COMPUTE_MAJOR, device->ordinal), "asking for the architecture"));
    FBL_TRY(fbl_cuda_check(ctx, device, api->device_attribute(&minor, FBL_CU_COMPUTE_MINOR, device->ordinal), "asking for the architecture"));
    FBL_TRY(fbl_cuda_check(ctx, device, api->device_attribute(&device->multiprocessors, FBL_CU_MULTIPROCESSORS, device->ordinal), "asking for the multiprocessors"));
    int have = 10 * major + minor;
    if (have < FBL_CUDA_OLDEST_ARCH) {
        fbl_error(ctx, "E0643", FBL_NO_LOC, "%s is sm_%d; code can be generated for sm_%d and newer", device->name, have, FBL_CUDA_OLDEST_ARCH);
        return FBL_DEVICE;
    }
    // Machine code for an architecture runs on those of the same major number and an equal or higher minor one.
    if (wanted && (wanted / 10 != have / 10 || wanted > have)) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0643", FBL_NO_LOC, "code for sm_%d does not run on %s, which is sm_%d", wanted, device->name, have);
        fbl_diag_hint(ctx, diag, "--target cuda takes the GPU's own");
        return FBL_DEVICE;
    }
    device->arch = wanted ? wanted : have;
    device->native_arch = have;
    return FBL_OK;
}

static FblStatus open_one(FblContext *ctx, int ordinal, int arch, FblCudaDevice **out_device) {
    FblCudaDevice *device = calloc(1, sizeof *device);
    *out_device = NULL;
    if (!device) {
        fbl_out_of_memory();
    }
    snprintf(device->name, sizeof device->name, "the GPU");
    const char *sync = getenv("FBL_CUDA_SYNC");
    device->sync = sync && strcmp(sync, "1") == 0;
    FblStatus status = fbl_cuda_api_load(ctx, &device->api);
    status = status == FBL_OK ? find_gpu(ctx, device, ordinal, arch) : status;
    if (status != FBL_OK) {
        free(device);
        return status;
    }
    const FblCudaApi *api = &device->api;
    status = fbl_cuda_check(ctx, device, api->context_retain(&device->context, device->ordinal), "making a context");
    if (status == FBL_OK) {
        status = fbl_cuda_check(ctx, device, api->context_set(device->context), "making a context");
    }
    if (status == FBL_OK) {
        status = fbl_cuda_check(ctx, device, api->stream_create(&device->stream, FBL_CU_STREAM_NON_BLOCKING), "making a stream");
    }
    if (status == FBL_OK) {
        status = fbl_cuda_check(ctx, device, api->stream_create(&device->copy_stream, FBL_CU_STREAM_NON_BLOCKING), "making a stream");
    }
    snprintf(device->identity, sizeof device->identity, "cuda sm_%d", device->arch);
    device->base = (FblDevice){&fbl_cuda_ops, device->identity, device->name};
    if (status != FBL_OK) {
        fbl_cuda_close(device);
        return status;
    }
    *out_device = device;
    return FBL_OK;
}

FblStatus fbl_cuda_open(FblContext *ctx, int arch, int gpus, FblCudaDevice **out_device) {
    FBL_TRY(open_one(ctx, 0, arch, out_device));
    FblStatus status = gpus > 1 ? fbl_cuda_group_open(ctx, *out_device, gpus) : FBL_OK;
    if (status != FBL_OK) {
        fbl_cuda_close(*out_device);
        *out_device = NULL;
    }
    return status;
}

FblStatus fbl_cuda_open_peer(FblContext *ctx, const FblCudaDevice *first, int ordinal, FblCudaDevice **out_device) {
    FBL_TRY(open_one(ctx, ordinal, 0, out_device));
    (*out_device)->arch = first->arch;
    (*out_device)->group = first->group;
    return FBL_OK;
}

void fbl_cuda_close(FblCudaDevice *device) {
    if (!device) {
        return;
    }
    const FblCudaApi *api = &device->api;
    fbl_cuda_group_close(device->group);
    fbl_cublaslt_close(device->lt);
    fbl_cudnn_close(device->dnn);
    if (device->copy_stream) {
        api->stream_destroy(device->copy_stream);
    }
    if (device->stream) {
        api->stream_destroy(device->stream);
    }
    if (device->context) {
        api->context_release(device->ordinal);
    }
    free(device);
}

FblStatus fbl_cuda_allocate(FblContext *ctx, FblCudaDevice *device, int64_t bytes, const char *what, FblDevicePtr *out_address) {
    const FblCudaApi *api = &device->api;
    *out_address = 0;
    if (bytes <= 0) {
        return FBL_OK;
    }
    FblCuPtr address = 0;
    FblCuResult result = api->memory_alloc(&address, (size_t)bytes);
    if (result == FBL_CU_OUT_OF_MEMORY) {
        size_t free_bytes = 0, total = 0;
        api->memory_info(&free_bytes, &total);
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0644", FBL_NO_LOC, "not enough memory on %s: %s needs %.1f MB, %.1f of %.1f MB are free", device->name, what,
                                 (double)bytes / 1e6, (double)free_bytes / 1e6, (double)total / 1e6);
        fbl_diag_hint(ctx, diag, "a smaller batch needs less (--batch N)");
        return FBL_NOMEM;
    }
    FBL_TRY(fbl_cuda_check(ctx, device, result, "allocating memory"));
    FBL_TRY(fbl_cuda_check(ctx, device, api->fill(address, 0, (size_t)bytes, device->stream), "clearing memory"));
    *out_address = address;
    return FBL_OK;
}

void fbl_cuda_release(FblCudaDevice *device, FblDevicePtr address) {
    if (address) {
        device->api.stream_wait(device->stream); // clearing it may be under way
        device->api.memory_free(address);
    }
}

FblStatus fbl_cuda_upload(FblContext *ctx, FblCudaDevice *device, FblDevicePtr to, const void *from, int64_t bytes) {
    if (bytes <= 0) {
        return FBL_OK;
    }
    FBL_TRY(fbl_cuda_check(ctx, device, device->api.copy_up(to, from, (size_t)bytes, device->stream), "copying to the GPU"));
    return fbl_cuda_check(ctx, device, device->api.stream_wait(device->stream), "copying to the GPU");
}

static FblStatus allocate(FblContext *ctx, FblDevice *base, int64_t bytes, const char *what, FblDevicePtr *out_address) {
    FblCudaDevice *device = (FblCudaDevice *)base;
    return device->group ? fbl_cuda_group_allocate(ctx, device, bytes, what, out_address) : fbl_cuda_allocate(ctx, device, bytes, what, out_address);
}

static void release(FblDevice *base, FblDevicePtr address) {
    FblCudaDevice *device = (FblCudaDevice *)base;
    if (device->group) {
        fbl_cuda_group_release(device, address);
    } else {
        fbl_cuda_release(device, address);
    }
}

static FblStatus upload(FblContext *ctx, FblDevice *base, FblDevicePtr to, const void *from, int64_t bytes) {
    FblCudaDevice *device = (FblCudaDevice *)base;
    return device->group ? fbl_cuda_group_upload(ctx, device, to, from, bytes) : fbl_cuda_upload(ctx, device, to, from, bytes);
}

static FblStatus download(FblContext *ctx, FblDevice *base, void *to, FblDevicePtr from, int64_t bytes) {
    FblCudaDevice *device = (FblCudaDevice *)base;
    if (bytes <= 0) {
        return FBL_OK;
    }
    FBL_TRY(fbl_cuda_check(ctx, device, device->api.copy_down(to, from, (size_t)bytes, device->stream), "copying from the GPU"));
    return fbl_cuda_check(ctx, device, device->api.stream_wait(device->stream), "copying from the GPU");
}

const FblDeviceOps fbl_cuda_ops = {
    .allocate = allocate,
    .release = release,
    .upload = upload,
    .download = download,
    .exec_create = fbl_cuda_exec_create,
    .exec_destroy = fbl_cuda_exec_destroy,
    .exec_write = fbl_cuda_exec_write,
    .exec_call = fbl_cuda_exec_call,
    .exec_wait = fbl_cuda_exec_wait,
    .exec_region = fbl_cuda_exec_region,
    .exec_bytes = fbl_cuda_exec_bytes,
};

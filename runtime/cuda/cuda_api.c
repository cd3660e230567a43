#include "runtime/cuda/cuda_api.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"

static const char *library_name(void) {
    const char *chosen = getenv("FBL_CUDA_DRIVER");
    return chosen && *chosen ? chosen : "libcuda.so.1";
}

FblStatus fbl_cuda_api_load(FblContext *ctx, FblCudaApi *out_api) {
    const char *name = library_name();
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0640", FBL_NO_LOC, "no CUDA driver: %s", dlerror());
        fbl_diag_hint(ctx, diag, "--target cuda needs an NVIDIA GPU and its driver on this machine; `fblc compile --target cuda:sm_90` works without, and --target cpu runs here");
        return FBL_DEVICE;
    }
    static const char *const symbols[] = {
#define FBL_CU(field, symbol, parameters) symbol,
        FBL_CU_FUNCTIONS(FBL_CU)
#undef FBL_CU
    };
    void **slots = (void **)out_api; // the table has nothing but function pointers
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        slots[i] = dlsym(library, symbols[i]);
        if (!slots[i]) {
            FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0641", FBL_NO_LOC, "the CUDA driver is too old: %s has no %s", name, symbols[i]);
            fbl_diag_hint(ctx, diag, "install a driver for CUDA 12 or newer");
            dlclose(library);
            return FBL_DEVICE;
        }
    }
    return FBL_OK;
}

void fbl_cuda_error_text(const FblCudaApi *api, FblCuResult error, char out[256]) {
    const char *name = NULL, *text = NULL;
    api->error_name(error, &name);
    api->error_text(error, &text);
    snprintf(out, 256, "%s%s%s", name ? name : "unknown error", text ? ": " : "", text ? text : "");
}

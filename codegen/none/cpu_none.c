// The CPU's code generator of a build without one (FBL_CPU=OFF, for machines that only drive a GPU): programs are read, checked, lowered and
// printed as ever; what would need machine code for the CPU says so.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "codegen/target.h"

#define MISSING "this build of fblc has no code generator for the CPU; use --target cuda"

struct FblCpuTarget {
    int32_t vector_bytes;
};

void fbl_kernel_code_free(FblKernelCode *code) {
    free(code->object);
    code->object = NULL;
    code->object_size = 0;
}

FblStatus fbl_cpu_target_create(FblContext *ctx, const FblCpuOptions *options, FblCpuTarget **out_target) {
    (void)ctx;
    FblCpuTarget *target = calloc(1, sizeof *target);
    if (!target) {
        fbl_out_of_memory();
    }
    target->vector_bytes = options->vector_bytes > 0 ? options->vector_bytes : 32; // decides layouts alone
    *out_target = target;
    return FBL_OK;
}

void fbl_cpu_target_destroy(FblCpuTarget *target) { free(target); }

const char *fbl_cpu_target_identity(const FblCpuTarget *target) {
    (void)target;
    return "no CPU code";
}

int32_t fbl_cpu_target_vector_bytes(const FblCpuTarget *target) { return target->vector_bytes; }

FblStatus fbl_cpu_compile(const FblCpuTarget *target, const FblKernel *kernel, FblKernelCode *out_code, char *error, size_t error_size) {
    (void)target;
    (void)kernel;
    memset(out_code, 0, sizeof *out_code);
    snprintf(error, error_size, MISSING);
    return FBL_UNSUPPORTED;
}

FblStatus fbl_cpu_emit_text(const FblCpuTarget *target, const FblKernel *kernel, bool assembly, char **out_text, char *error, size_t error_size) {
    (void)target;
    (void)kernel;
    (void)assembly;
    *out_text = NULL;
    snprintf(error, error_size, MISSING);
    return FBL_UNSUPPORTED;
}

FblStatus fbl_cpu_load(FblContext *ctx, const FblCpuTarget *target, FblKernel *const *kernels, const FblKernelCode *codes, size_t count, FblCpuModule **out_module) {
    (void)target;
    (void)kernels;
    (void)codes;
    (void)count;
    *out_module = NULL;
    fbl_error(ctx, "E0650", FBL_NO_LOC, MISSING);
    return FBL_UNSUPPORTED;
}

void fbl_cpu_unload(FblCpuModule *module) { (void)module; }

FblKernelFn fbl_cpu_entry(const FblCpuModule *module, size_t index, int32_t phase) {
    (void)module;
    (void)index;
    (void)phase;
    return NULL;
}

// golden_sources FILE.fbl FOLDER: the CUDA C of one kernel a family of a program into FOLDER, a file each: the first pointwise kernel
// on images, the first reductions along channels and along points, the loss, the optimizer, and a contraction of each kind, a strided data gradient besides;
// contractions in f32 and, the first one, in each format of the tensor cores. Then the same families with activations in bf16
// (NAME_half.cu).
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/cuda/cuda_target.h"
#include "frontend/build.h"
#include "passes/lower.h"
#include "passes/manager.h"

static int write_source(const FblKernel *kernel, FblCudaPrecision precision, const char *folder, const char *name) {
    char path[1024], error[512];
    FblCudaSource source;
    if (fbl_cuda_emit(kernel, &(FblCudaOptions){.arch = 90, .precision = precision}, &source, error, sizeof error) != FBL_OK) {
        fprintf(stderr, "%s: %s\n", kernel->name, error);
        return 1;
    }
    snprintf(path, sizeof path, "%s/%s.cu", folder, name);
    FILE *out = fopen(path, "w");
    if (!out) {
        perror(path);
        return 1;
    }
    for (int32_t p = 0; p < source.phases; p++) {
        const FblCudaPhase *phase = &source.phase[p];
        fprintf(out, "// phase %d: grid %u x %u x %u, block %u, %u bytes of dynamic shared memory\n", p, phase->grid[0], phase->grid[1], phase->grid[2], phase->block[0],
                phase->shared_bytes);
    }
    fputs(source.text, out);
    fclose(out);
    fbl_cuda_source_free(&source);
    return 0;
}

// The family of a kernel; NULL: none that is recorded.
static const char *family(const FblKernel *kernel) {
    static const char *const contractions[] = {"conv_forward", "conv_data_grad", "conv_weight_grad", "matmul"};
    if (kernel->kind == FBL_KERNEL_CONTRACTION) {
        if (kernel->contraction.kind == FBL_CONV_DATA_GRAD && kernel->contraction.stride_h > 1) {
            return "conv_data_grad_strided";
        }
        return contractions[kernel->contraction.kind];
    }
    if (kernel->kind != FBL_KERNEL_LOOPS) {
        return NULL;
    }
    if (kernel->result_count == 0) {
        return kernel->bytes > 1 << 20 ? "pointwise" : NULL;
    }
    if (kernel->result_count > 1) {
        return kernel->bytes > 1 << 20 ? "reduce_two" : "loss";
    }
    return kernel->vector_loop >= 0 && kernel->vector_loop < kernel->outer_count ? "reduce_along_items" : "reduce_along_points";
}

// Writes the first kernel of every family of `plan`.
static int write_plan(const FblPlan *plan, FblDtype storage, const char *folder) {
    static const char *const precisions[] = {"f32", "tf32", "bf16", "f16"};
    const char *done[16]; // more than there are families
    int count = 0, failed = 0;
    for (size_t i = 0; i < plan->kernel_count; i++) {
        const char *name = family(plan->kernels[i]);
        for (int k = 0; name && k < count; k++) {
            name = strcmp(done[k], name) == 0 ? NULL : name;
        }
        // The first convolution has three channels; the second is the usual one.
        if (!name || (plan->kernels[i]->kind == FBL_KERNEL_CONTRACTION && plan->kernels[i]->contraction.c % 4 != 0)) {
            continue;
        }
        done[count++] = name;
        char file[64];
        if (storage != FBL_F32) {
            bool stored = false;
            for (int32_t b = 0; b < plan->kernels[i]->buffer_count; b++) {
                stored |= plan->kernels[i]->buffers[b].dtype == storage;
            }
            if (!stored) {
                continue;
            }
            snprintf(file, sizeof file, "%s_half", name);
            failed |= write_source(plan->kernels[i], FBL_CUDA_BF16, folder, file);
            continue;
        }
        bool first = strcmp(name, "conv_forward") == 0;
        for (int p = 0; p < (first ? 4 : 1); p++) {
            snprintf(file, sizeof file, first ? "%s_%s" : "%s", name, precisions[p]);
            failed |= write_source(plan->kernels[i], (FblCudaPrecision)p, folder, file);
        }
    }
    return failed;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: golden_sources FILE.fbl FOLDER\n");
        return 2;
    }
    FblContext *ctx = fbl_context_create();
    FblProgram *program;
    FblModule *module;
    FblPlan *plan, *half;
    int failed = 0;
    FblPassOptions passes = fbl_options_default();
    FblLowerOptions options = {.vector_bytes = 32, .fuse = true, .block_layouts = true, .channels_last = true, .epilogue_sums = true, .with_train = true, .with_optimizer = true};
    FblStatus status = fbl_program_load(ctx, &(FblProgramOptions){.path = argv[1]}, &program);
    status = status == FBL_OK ? fbl_program_build(program, &(FblBuildOptions){.class_extent = 10}, &module) : status;
    status = status == FBL_OK ? fbl_passes_run(module, &passes) : status;
    status = status == FBL_OK ? fbl_lower_module(module, &options, &plan) : status;
    options.storage = FBL_BF16;
    status = status == FBL_OK ? fbl_lower_module(module, &options, &half) : status;
    fbl_diag_flush(ctx, stderr, false);
    if (status != FBL_OK) {
        return 1;
    }
    failed |= write_plan(plan, FBL_F32, argv[2]);
    failed |= write_plan(half, FBL_BF16, argv[2]);
    fbl_context_destroy(ctx);
    return failed;
}

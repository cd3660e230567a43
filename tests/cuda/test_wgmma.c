// Contractions by wgmma through NVRTC to sm_90a cubins, without a GPU: of each program, the contraction of each kind
// and tile that does the most work. No kernel may spill registers, nor may ptxas say that its products run one by one.
// test_wgmma PRECISION wgmma|tma FILE...; exits with 77 where NVRTC is not installed.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/cuda/cuda_target.h"
#include "codegen/cuda/nvrtc.h"
#include "frontend/build.h"
#include "passes/lower.h"
#include "passes/manager.h"

#define MAX_KERNELS 24
#define BATCH 64

typedef struct Choice {
    FblCudaSource source;
    FblContractionKind kind;
    char tile[48];
    int64_t flops;
} Choice;

static Choice choices[MAX_KERNELS];
static int count;

// "128 x 64 x 64" of the comment above the product; false: another product.
static bool read_tile(const char *text, char out[48]) {
    const char *at = strstr(text, " by wgmma, tile ");
    snprintf(out, 48, "%.*s", at ? (int)strcspn(at + 16, ",") : 0, at ? at + 16 : "");
    return at != NULL;
}

static int add_kernel(const FblKernel *kernel, const FblCudaOptions *options) {
    char error[512], tile[48];
    FblCudaSource source;
    if (kernel->kind != FBL_KERNEL_CONTRACTION) {
        return 0;
    }
    if (fbl_cuda_emit(kernel, options, &source, error, sizeof error) != FBL_OK) {
        fprintf(stderr, "%s: %s\n", kernel->name, error);
        return 1;
    }
    if (!read_tile(source.text, tile)) {
        bool expected = options->precision == FBL_CUDA_TF32 && kernel->contraction.kind == FBL_CONV_WEIGHT_GRAD;
        fbl_cuda_source_free(&source);
        return expected ? 0 : (fprintf(stderr, "%s is not done by wgmma\n", kernel->name), 1);
    }
    int at = 0;
    while (at < count && (choices[at].kind != kernel->contraction.kind || strcmp(choices[at].tile, tile) != 0)) {
        at++;
    }
    if (at == MAX_KERNELS || (at < count && choices[at].flops >= kernel->flops)) {
        fbl_cuda_source_free(&source);
        return 0;
    }
    if (at == count) {
        count++;
    } else {
        fbl_cuda_source_free(&choices[at].source);
    }
    choices[at] = (Choice){.source = source, .kind = kernel->contraction.kind, .flops = kernel->flops};
    memcpy(choices[at].tile, tile, sizeof tile);
    return 0;
}

static int add_file(const char *path, const FblCudaOptions *target) {
    FblContext *ctx = fbl_context_create();
    FblProgram *program;
    FblModule *module;
    FblPlan *plan;
    FblPassOptions passes = fbl_options_default();
    FblLowerOptions options = {.vector_bytes = 32,
                               .fuse = true,
                               .block_layouts = true,
                               .channels_last = true, .epilogue_sums = true,
                               .with_train = true,
                               .storage = target->precision == FBL_CUDA_BF16 ? FBL_BF16 : FBL_F32};
    FblStatus status = fbl_program_load(ctx, &(FblProgramOptions){.path = path}, &program);
    status = status == FBL_OK ? fbl_program_build(program, &(FblBuildOptions){.batch = BATCH}, &module) : status;
    status = status == FBL_OK ? fbl_passes_run(module, &passes) : status;
    status = status == FBL_OK ? fbl_lower_module(module, &options, &plan) : status;
    fbl_diag_flush(ctx, stderr, false);
    int failed = status != FBL_OK;
    for (size_t i = 0; !failed && i < plan->kernel_count; i++) {
        failed = add_kernel(plan->kernels[i], target);
    }
    fbl_context_destroy(ctx);
    return failed;
}

// Every "N bytes spill" of ptxas's report must be of none.
static int check_log(const char *log) {
    int failed = strstr(log, "serialized") != NULL, reports = 0;
    for (const char *at = log; (at = strstr(at, " bytes spill ")) != NULL; at++) {
        const char *digit = at;
        while (digit > log && digit[-1] >= '0' && digit[-1] <= '9') {
            digit--;
        }
        failed |= atoi(digit) != 0;
        reports++;
    }
    if (failed || reports == 0) {
        fprintf(stderr, "registers spill, or products are serialized:\n%s\n", log);
    }
    return failed || reports == 0;
}

int main(int argc, char **argv) {
    char error[4096], *log = NULL, *text = NULL;
    int32_t version;
    size_t length, size;
    void *image;
    if (argc < 4) {
        fprintf(stderr, "usage: test_wgmma PRECISION wgmma|tma FILE...\n");
        return 2;
    }
    if (!fbl_nvrtc_available(&version, error, sizeof error)) {
        printf("skipped: %s\n", error);
        return 77;
    }
    FblCudaOptions target = {.arch = 90,
                             .precision = strcmp(argv[1], "tf32") == 0 ? FBL_CUDA_TF32 : FBL_CUDA_BF16,
                             .gemm = strcmp(argv[2], "tma") == 0 ? FBL_CUDA_GEMM_TMA : FBL_CUDA_GEMM_WGMMA};
    int failed = 0;
    for (int i = 3; i < argc; i++) {
        failed |= add_file(argv[i], &target);
    }
    FILE *out = open_memstream(&text, &length);
    fputs(fbl_cuda_preamble(), out);
    for (int i = 0; i < count; i++) {
        printf("kind %d, tile %s, %.3g operations\n", choices[i].kind, choices[i].tile, (double)choices[i].flops);
        fprintf(out, "\n%s", choices[i].source.text);
        failed |= !choices[i].source.specific;
    }
    fclose(out);
    if (fbl_nvrtc_compile(text, 90, true, false, &image, &size, &log, error, sizeof error) != FBL_OK) {
        fprintf(stderr, "%s\n", error);
        failed = 1;
    } else {
        failed |= check_log(log);
        printf("%d kernels, %zu bytes of cubin\n", count, size);
    }
    if (getenv("FBL_KEEP") && log) {
        puts(log);
    }
    for (int i = 0; i < count; i++) {
        fbl_cuda_source_free(&choices[i].source);
    }
    free(image);
    free(log);
    free(text);
    return failed || count < 3;
}

// Every kernel of every program in models/ through NVRTC to a cubin, without a GPU: several kernels a translation unit, on
// all cores; and every launch against what the compiler says of its kernel: registers of a block, shared memory, bytes of parameters.
// test_nvrtc ARCH PRECISION FILE...; exits with 77 where NVRTC is not installed.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/cuda/cuda_target.h"
#include "codegen/cuda/nvrtc.h"
#include "frontend/build.h"
#include "passes/lower.h"
#include "passes/manager.h"

#define UNIT_KERNELS 24 // of a translation unit: enough to spread the compiler's start, few enough to share the work
#define BATCH 8         // images: shapes other than the batch are the recipe's

typedef struct Work {
    FblCudaSource *sources;
    int32_t *buffers; // of each kernel
    size_t count, capacity;
    int32_t arch;
    atomic_size_t next, bytes;
    atomic_int failed, fewest_left; // registers that a block leaves of the 65536
} Work;

static bool known(const Work *work, const char *symbol) {
    for (size_t i = 0; i < work->count; i++) {
        if (strcmp(work->sources[i].phase[0].symbol, symbol) == 0) {
            return true;
        }
    }
    return false;
}

static int add_file(Work *work, const char *path, const FblCudaOptions *target) {
    FblContext *ctx = fbl_context_create();
    FblProgram *program;
    FblModule *module;
    FblPlan *plan;
    FblPassOptions passes = fbl_options_default();
    FblLowerOptions options = {
        .vector_bytes = 32, .fuse = true, .block_layouts = true, .channels_last = true, .epilogue_sums = true, .with_train = true, .with_eval = true, .with_optimizer = true,
        .storage = target->precision == FBL_CUDA_BF16 ? FBL_BF16 : target->precision == FBL_CUDA_F16 ? FBL_F16 : FBL_F32};
    FblStatus status = fbl_program_load(ctx, &(FblProgramOptions){.path = path}, &program);
    if (status == FBL_OK && !fbl_program_has_train(program)) {
        fbl_context_destroy(ctx);
        return 0; // a library file
    }
    status = status == FBL_OK ? fbl_program_build(program, &(FblBuildOptions){.batch = BATCH}, &module) : status;
    status = status == FBL_OK ? fbl_passes_run(module, &passes) : status;
    status = status == FBL_OK ? fbl_lower_module(module, &options, &plan) : status;
    fbl_diag_flush(ctx, stderr, false);
    size_t before = work->count;
    for (size_t i = 0; status == FBL_OK && i < plan->kernel_count; i++) {
        char error[512];
        FblCudaSource source;
        status = fbl_cuda_emit(plan->kernels[i], target, &source, error, sizeof error);
        if (status != FBL_OK) {
            fprintf(stderr, "%s: %s: %s\n", path, plan->kernels[i]->name, error);
        } else if (known(work, source.phase[0].symbol)) {
            fbl_cuda_source_free(&source);
        } else {
            if (work->count == work->capacity) {
                work->capacity = work->capacity ? 2 * work->capacity : 256;
                work->sources = realloc(work->sources, work->capacity * sizeof *work->sources);
                work->buffers = realloc(work->buffers, work->capacity * sizeof *work->buffers);
                if (!work->sources || !work->buffers) {
                    abort();
                }
            }
            work->buffers[work->count] = plan->kernels[i]->buffer_count;
            work->sources[work->count++] = source;
        }
    }
    printf("%s: %zu kernels more\n", path, work->count - before);
    fbl_context_destroy(ctx);
    return status == FBL_OK ? 0 : 1;
}

// Of a kernel in the compiler's log: "Compiling entry function 'NAME' ... Used 40 registers, used 1 barriers, 2048 bytes smem, 376 bytes cmem[0]".
static bool read_usage(const char *log, const char *symbol, long *registers, long *shared, long *constants) {
    char wanted[160];
    snprintf(wanted, sizeof wanted, "function '%s' for", symbol);
    const char *at = log ? strstr(log, wanted) : NULL, *used = at ? strstr(at, "Used ") : NULL;
    *registers = *shared = *constants = 0;
    if (!used) {
        return false;
    }
    int length = (int)strcspn(used, "\n");
    *registers = strtol(used + 5, NULL, 10);
    for (const char *item = used; (item = memchr(item, ',', (size_t)(used + length - item))) != NULL;) {
        char *unit;
        long number = strtol(++item, &unit, 10);
        *shared = strncmp(unit, " bytes smem", 11) == 0 ? number : *shared;
        *constants = strncmp(unit, " bytes cmem[0]", 14) == 0 ? number : *constants;
    }
    return true;
}

// Whether the GPU starts a phase, by what the driver's reference says of launches, and its parameters are those that the runtime passes.
static int check_launch(Work *work, const FblCudaSource *source, int32_t buffers, int32_t p, const char *log) {
    const FblCudaPhase *phase = &source->phase[p];
    long registers, shared, constants;
    int64_t threads = (int64_t)phase->block[0] * phase->block[1] * phase->block[2];
    if (!read_usage(log, phase->symbol, &registers, &shared, &constants)) {
        fprintf(stderr, "%s: the compiler says nothing of it\n", phase->symbol);
        return 1;
    }
    // Registers are given to warps, in units of 256.
    int64_t left = 65536 - (threads + 31) / 32 * ((registers * 32 + 255) / 256 * 256);
    int fewest = atomic_load(&work->fewest_left);
    while (left < fewest && !atomic_compare_exchange_weak(&work->fewest_left, &fewest, (int)left)) {
    }
    long most = 1024 * (work->arch == 75 ? 64 : work->arch == 80 ? 163 : 227); // of a block, by the compute capability
    bool grid = phase->grid[0] >= 1 && phase->grid[0] <= INT32_MAX && phase->grid[1] >= 1 && phase->grid[1] <= 65535 && phase->grid[2] >= 1 && phase->grid[2] <= 65535;
    bool block = threads >= 1 && threads <= 1024 && phase->block[2] <= 64;
    if (!grid || !block || left < 0 || shared + (long)phase->shared_bytes > most) {
        fprintf(stderr, "%s: grid %u %u %u, block of %lld, %ld registers, %ld + %u bytes of shared memory: no such launch\n", phase->symbol, phase->grid[0], phase->grid[1], phase->grid[2],
                (long long)threads, registers, shared, phase->shared_bytes);
        return 1;
    }
    // Behind the driver's own part of the bank: pointers, the workspace, the scalars. From sm_90 on the compiler says nothing of it.
    long own = 352, wanted = 8 * (buffers + (source->workspace_bytes > 0) + 1);
    if (constants != own + wanted && (constants != 0 || work->arch < 90)) {
        fprintf(stderr, "%s: %ld bytes of parameters instead of %ld\n", phase->symbol, constants - own, wanted);
        return 1;
    }
    return 0;
}

static void *compile_units(void *arg) {
    Work *work = arg;
    for (;;) {
        size_t first = atomic_fetch_add(&work->next, UNIT_KERNELS);
        if (first >= work->count) {
            return NULL;
        }
        size_t last = first + UNIT_KERNELS < work->count ? first + UNIT_KERNELS : work->count;
        char *text = NULL, error[4096];
        size_t length;
        FILE *out = open_memstream(&text, &length);
        fputs(fbl_cuda_preamble(), out);
        for (size_t i = first; i < last; i++) {
            fprintf(out, "\n%s", work->sources[i].text);
        }
        fclose(out);
        void *image;
        size_t size;
        char *log = NULL;
        if (fbl_nvrtc_compile(text, work->arch, false, false, &image, &size, &log, error, sizeof error) != FBL_OK) {
            fprintf(stderr, "%s\n", error);
            atomic_store(&work->failed, 1);
        }
        // A cubin is an ELF file that defines every phase.
        for (size_t i = first; image && i < last; i++) {
            for (int32_t p = 0; p < work->sources[i].phases; p++) {
                const char *symbol = work->sources[i].phase[p].symbol;
                if (memcmp(image, "\177ELF", 4) != 0 || !memmem(image, size, symbol, strlen(symbol) + 1)) {
                    fprintf(stderr, "%s is not in its cubin\n", symbol);
                    atomic_store(&work->failed, 1);
                }
                if (check_launch(work, &work->sources[i], work->buffers[i], p, log)) {
                    atomic_store(&work->failed, 1);
                }
            }
        }
        free(log);
        atomic_fetch_add(&work->bytes, size);
        free(image);
        free(text);
    }
}

int main(int argc, char **argv) {
    static const char *const names[] = {"f32", "tf32", "bf16", "f16"};
    char error[1024];
    int32_t version;
    if (argc < 4) {
        fprintf(stderr, "usage: test_nvrtc ARCH PRECISION FILE...\n");
        return 2;
    }
    if (!fbl_nvrtc_available(&version, error, sizeof error)) {
        printf("skipped: %s\n", error);
        return 77;
    }
    FblCudaOptions target = {.arch = atoi(argv[1])};
    for (int i = 0; i < 4; i++) {
        target.precision = strcmp(argv[2], names[i]) == 0 ? (FblCudaPrecision)i : target.precision;
    }
    Work work = {.arch = target.arch, .fewest_left = 65536};
    int failed = 0;
    for (int i = 3; i < argc; i++) {
        failed |= add_file(&work, argv[i], &target);
    }
    pthread_t threads[2];
    for (int t = 0; t < 2; t++) {
        failed |= pthread_create(&threads[t], NULL, compile_units, &work) != 0;
    }
    for (int t = 0; t < 2; t++) {
        pthread_join(threads[t], NULL);
    }
    printf("%zu kernels, %zu bytes of cubin for sm_%d with NVRTC %d.%d\n", work.count, atomic_load(&work.bytes), target.arch, version / 1000, version % 1000 / 10);
    printf("the largest block leaves %d of 65536 registers\n", atomic_load(&work.fewest_left));
    for (size_t i = 0; i < work.count; i++) {
        fbl_cuda_source_free(&work.sources[i]);
    }
    free(work.buffers);
    free(work.sources);
    return failed || atomic_load(&work.failed) || work.count == 0;
}

#include "cli/driver_cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/hash.h"
#include "base/io.h"
#include "codegen/cuda/nvrtc.h"
#include "runtime/cuda/cuda_group.h"
#include "runtime/cuda/library.h"
#include "runtime/cuda/session_source.h"

static const char *const precisions[] = {[FBL_CUDA_F32] = "f32", [FBL_CUDA_TF32] = "tf32", [FBL_CUDA_BF16] = "bf16", [FBL_CUDA_F16] = "f16"};
enum { PRECISIONS = sizeof precisions / sizeof precisions[0] };

// "cuda" gives 0, "cuda:sm_90" 90; -1 for anything else.
static int read_arch(const char *target) {
    if (strcmp(target, "cuda") == 0) {
        return 0;
    }
    char *end;
    if (strncmp(target, "cuda:sm_", 8) != 0 || target[8] < '1' || target[8] > '9') {
        return -1;
    }
    long arch = strtol(target + 8, &end, 10);
    return *end == 0 && arch >= 10 && arch < 1000 ? (int)arch : -1;
}

void fbl_driver_cuda_name(FblContext *ctx, FblDriverCuda *cuda) {
    const char *tiles = fbl_driver_cuda_tiles(ctx, cuda);
    char digest[65];
    FblHash hash = fbl_hash(tiles, strlen(tiles));
    fbl_hash_hex(&hash, digest);
    snprintf(cuda->identity, sizeof cuda->identity, *tiles ? "%s tiles %.12s" : "%s", cuda->target, digest);
}

const char *fbl_driver_cuda_tiles(FblContext *ctx, const FblDriverCuda *cuda) {
    return fbl_cuda_tune_print(ctx, &cuda->tune, cuda->options.arch, (int32_t)cuda->options.precision, false);
}

FblStatus fbl_driver_cuda_use_tiles(FblContext *ctx, FblDriverCuda *cuda, const char *path, const char *text) {
    const char *name = fbl_arena_printf(fbl_context_arena(ctx), "%s(tuned tiles)", path);
    cuda->tune = cuda->own = (FblCudaTune){0};
    FBL_TRY(fbl_cuda_tune_read(ctx, fbl_source_add(ctx, name, text, strlen(text)), &cuda->tune));
    fbl_driver_cuda_name(ctx, cuda);
    return FBL_OK;
}

static const FblCudaTuneRow *row_of(const FblDriverCuda *cuda, const FblKernel *kernel) {
    FblCudaProblem problem;
    const FblCudaTune *tune = cuda->options.tune;
    return tune && tune->count > 0 && fbl_cuda_problem(kernel, &cuda->options, &problem, NULL, 0, NULL) ? fbl_cuda_tune_find(tune, &problem) : NULL;
}

FblLibraryKind fbl_driver_cuda_library(const FblDriverCuda *cuda, const FblKernel *kernel) {
    FblLibraryWork work;
    const FblCudaTuneRow *row = row_of(cuda, kernel);
    FblLibraryKind kind = row ? fbl_cuda_choice_library(&row->choice) : FBL_LIBRARY_CUBLASLT;
    bool wanted = kind != FBL_LIBRARY_NONE && cuda->libraries[kind] && fbl_library_work(kernel, kind, fbl_cuda_factors(cuda->options.precision), &work);
    return wanted && (row || !work.images_too) ? kind : FBL_LIBRARY_NONE;
}

void fbl_driver_cuda_key(const FblDriverCuda *cuda, const FblKernel *kernel, char out[FBL_CUDA_TUNE_TEXT + 64]) {
    char choice[FBL_CUDA_TUNE_TEXT] = "";
    const FblCudaTuneRow *row = row_of(cuda, kernel);
    FblLibraryKind library = fbl_driver_cuda_library(cuda, kernel);
    FblLibraryWork work;
    bool around = library && fbl_library_work(kernel, library, fbl_cuda_factors(cuda->options.precision), &work) && work.bytes > 0; // phases for arrays
    if (row && row->choice.variant > FBL_CUDA_VARIANT_CUDNN) {
        fbl_cuda_choice_print(&row->choice, choice);
    }
    snprintf(out, FBL_CUDA_TUNE_TEXT + 64, "%s%s%s%s%s", cuda->target, *choice ? " " : "", choice, around ? " beside " : "", around ? fbl_library_name(library) : "");
}

// The tables of tuned tiles that the options ask for.
static FblStatus read_tiles(FblContext *ctx, const FblPassOptions *options, FblDriverCuda *cuda) {
    bool search = strcmp(options->tune, "search") == 0;
    cuda->options.tune = &cuda->tune;
    if (strcmp(options->tune, "off") == 0) {
        return FBL_OK;
    }
    if (!search && strcmp(options->tune, "file") != 0) {
        return fbl_error(ctx, "E0652", FBL_NO_LOC, "--tune takes file, search or off, not `%s`", options->tune);
    }
    if (search && !*options->tune_file) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0652", FBL_NO_LOC, "--tune=search needs a file for what it finds");
        fbl_diag_hint(ctx, diag, "--tune-file FILE names it; it is made when it is not there yet");
        return FBL_USER;
    }
    const char *bundled = fbl_cuda_tune_bundled();
    FBL_TRY(fbl_cuda_tune_read(ctx, fbl_source_add(ctx, "bundled.tune", bundled, strlen(bundled)), &cuda->tune));
    if (!*options->tune_file || (search && !fbl_path_exists(options->tune_file))) {
        return FBL_OK;
    }
    char *text;
    size_t size;
    FBL_TRY(fbl_read_file(ctx, options->tune_file, FBL_CUDA_TUNE_MAX_FILE, &text, &size));
    uint32_t file = fbl_source_add(ctx, options->tune_file, text, size);
    free(text);
    FBL_TRY(fbl_cuda_tune_read(ctx, file, &cuda->own));
    return fbl_cuda_tune_read(ctx, file, &cuda->tune);
}

static const char *const gemms[] = {[FBL_CUDA_GEMM_AUTO] = "auto", [FBL_CUDA_GEMM_MMA] = "mma", [FBL_CUDA_GEMM_WGMMA] = "wgmma", [FBL_CUDA_GEMM_TMA] = "tma"};

// The options' --gemm; FBL_USER with a diagnostic for anything else.
static FblStatus read_gemm(FblContext *ctx, const char *text, FblCudaGemm *out_gemm) {
    for (size_t i = 0; i < sizeof gemms / sizeof *gemms; i++) {
        if (strcmp(gemms[i], text) == 0) {
            *out_gemm = (FblCudaGemm)i;
            return FBL_OK;
        }
    }
    return fbl_error(ctx, "E0649", FBL_NO_LOC, "--gemm takes auto, mma, wgmma or tma, not `%s`", text);
}

FblStatus fbl_driver_cuda_create(FblContext *ctx, const FblPassOptions *options, FblDriverCuda **out_cuda) {
    const char *target = options->target, *precision = options->precision;
    FblCudaGemm gemm = FBL_CUDA_GEMM_AUTO;
    *out_cuda = NULL;
    if (options->gpus < 1 || options->gpus > FBL_CUDA_MAX_GPUS) {
        return fbl_error(ctx, "E0664", FBL_NO_LOC, "--gpus takes 1 to %d, not %lld", FBL_CUDA_MAX_GPUS, (long long)options->gpus);
    }
    if (strcmp(target, "cpu") == 0) {
        return options->gpus == 1 ? FBL_OK : fbl_error(ctx, "E0664", FBL_NO_LOC, "--gpus %lld needs --target cuda", (long long)options->gpus);
    }
    int arch = read_arch(target);
    if (arch < 0) {
        return fbl_error(ctx, "E0649", FBL_NO_LOC, "--target takes cpu, cuda or cuda:sm_90, not `%s`", target);
    }
    if (arch > 0 && arch < FBL_CUDA_OLDEST_ARCH) {
        fbl_error(ctx, "E0649", FBL_NO_LOC, "code can be generated for sm_%d and newer, not for sm_%d", FBL_CUDA_OLDEST_ARCH, arch);
        return FBL_UNSUPPORTED;
    }
    int wanted = 0;
    while (wanted < PRECISIONS && strcmp(precisions[wanted], precision) != 0) {
        wanted++;
    }
    if (wanted == PRECISIONS) {
        return fbl_error(ctx, "E0649", FBL_NO_LOC, "--precision takes f32, tf32, bf16 or f16, not `%s`", precision);
    }
    FBL_TRY(read_gemm(ctx, options->gemm, &gemm));
    FblDriverCuda *cuda = calloc(1, sizeof *cuda);
    if (!cuda) {
        fbl_out_of_memory();
    }
    cuda->gpus = (int)options->gpus;
    cuda->options = (FblCudaOptions){.arch = arch, .precision = (FblCudaPrecision)wanted, .gemm = gemm};
    if (arch == 0) {
        FblStatus status = fbl_cuda_open(ctx, 0, cuda->gpus, &cuda->device);
        if (status != FBL_OK) {
            free(cuda);
            return status;
        }
        cuda->options.arch = cuda->device->arch;
    }
    snprintf(cuda->target, sizeof cuda->target, "cuda sm_%d %s%s%s", cuda->options.arch, precision, gemm > FBL_CUDA_GEMM_MMA ? " " : "",
             gemm > FBL_CUDA_GEMM_MMA ? gemms[gemm] : "");
    FblStatus status = read_tiles(ctx, options, cuda);
    if (status != FBL_OK) {
        fbl_driver_cuda_destroy(cuda);
        return status;
    }
    fbl_driver_cuda_name(ctx, cuda);
    *out_cuda = cuda;
    return FBL_OK;
}

void fbl_driver_cuda_destroy(FblDriverCuda *cuda) {
    if (cuda) {
        fbl_cuda_close(cuda->device);
        free(cuda);
    }
}

FblStatus fbl_driver_cuda_device(FblContext *ctx, FblDriverCuda *cuda, FblDevice **out_device) {
    if (!cuda->device) {
        FBL_TRY(fbl_cuda_open(ctx, cuda->options.arch, cuda->gpus, &cuda->device));
    }
    *out_device = &cuda->device->base;
    return FBL_OK;
}

FblStatus fbl_driver_cuda_check(FblContext *ctx) {
    char error[1024];
    int32_t version;
    if (fbl_nvrtc_available(&version, error, sizeof error)) {
        return FBL_OK;
    }
    FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0648", FBL_NO_LOC, "no CUDA compiler (NVRTC): %s", error);
    fbl_diag_hint(ctx, diag, "it is part of the CUDA toolkit; FBL_NVRTC=/path/to/libnvrtc.so names it; a file of `fblc compile --target cuda:sm_90` runs without");
    return FBL_UNSUPPORTED;
}

// preamble + text, malloc'ed.
static char *unit_text(const char *text) {
    size_t size = strlen(fbl_cuda_preamble()) + strlen(text) + 2;
    char *unit = malloc(size);
    if (!unit) {
        fbl_out_of_memory();
    }
    snprintf(unit, size, "%s\n%s", fbl_cuda_preamble(), text);
    return unit;
}

static void take_phase(const FblCudaPhase *from, FblGpuPhase *to) {
    snprintf(to->symbol, sizeof to->symbol, "%s", from->symbol);
    memcpy(to->grid, from->grid, sizeof to->grid);
    memcpy(to->block, from->block, sizeof to->block);
    to->shared_bytes = from->shared_bytes;
    to->map_count = from->map_count;
    memcpy(to->maps, from->maps, sizeof to->maps);
}

static void take_code(const FblCudaSource *source, const void *image, size_t size, FblKernelCode *out_code) {
    *out_code = (FblKernelCode){.object = malloc(size), .object_size = size, .phases = source->phases, .workspace_bytes = source->workspace_bytes,
                                .before = source->before, .after = source->after};
    if (!out_code->object) {
        fbl_out_of_memory();
    }
    memcpy(out_code->object, image, size);
    for (int32_t p = 0; p < source->phases; p++) {
        take_phase(&source->phase[p], &out_code->gpu[p]);
    }
    for (int32_t p = 0; p < source->before + source->after; p++) {
        take_phase(&source->around[p], &out_code->around[p]);
    }
}

FblStatus fbl_driver_cuda_compile(const FblDriverCuda *cuda, FblKernel *const *kernels, size_t count, FblKernelCode *const *out_codes, char *error, size_t error_size) {
    FblCudaSource sources[FBL_CUDA_UNIT];
    char *text = NULL;
    size_t length = 0, made = 0;
    bool specific = false;
    FILE *out = open_memstream(&text, &length);
    FblStatus status = out ? FBL_OK : FBL_NOMEM;
    for (; status == FBL_OK && made < count; made++) {
        FblCudaOptions options = cuda->options;
        options.library = fbl_driver_cuda_library(cuda, kernels[made]);
        status = fbl_cuda_emit(kernels[made], &options, &sources[made], error, error_size);
        if (status != FBL_OK) {
            break;
        }
        specific |= sources[made].specific;
        fprintf(out, "%s\n", sources[made].text);
    }
    if (out) {
        fclose(out);
    }
    if (status == FBL_OK) {
        char *unit = unit_text(text);
        void *image = NULL;
        size_t size = 0;
        status = fbl_nvrtc_compile(unit, cuda->options.arch, specific, false, &image, &size, NULL, error, error_size);
        for (size_t k = 0; status == FBL_OK && k < count; k++) {
            take_code(&sources[k], image, size, out_codes[k]);
        }
        free(image);
        free(unit);
    }
    for (size_t k = 0; k < made; k++) {
        fbl_cuda_source_free(&sources[k]);
    }
    free(text);
    return status;
}

FblStatus fbl_driver_cuda_session(const FblDriverCuda *cuda, FblKernelCode *out_code, char *error, size_t error_size) {
    char *unit = unit_text(fbl_session_source());
    void *image;
    size_t size;
    memset(out_code, 0, sizeof *out_code);
    FblStatus status = fbl_nvrtc_compile(unit, cuda->options.arch, false, false, &image, &size, NULL, error, error_size);
    if (status == FBL_OK) {
        *out_code = (FblKernelCode){.object = image, .object_size = size, .phases = 1};
    }
    free(unit);
    return status;
}

FblStatus fbl_driver_cuda_emit(const FblDriverCuda *cuda, const FblKernel *kernel, char form, char **out_text, size_t *out_size, char *error, size_t error_size) {
    FblCudaSource source;
    FblCudaOptions options = cuda->options;
    options.library = fbl_driver_cuda_library(cuda, kernel);
    FBL_TRY(fbl_cuda_emit(kernel, &options, &source, error, error_size));
    FblStatus status = FBL_OK;
    if (form == 'c') {
        *out_text = source.text;
        *out_size = strlen(source.text);
        source.text = NULL;
    } else {
        char *unit = unit_text(source.text);
        void *image = NULL;
        status = fbl_nvrtc_compile(unit, cuda->options.arch, source.specific, form == 'p', &image, out_size, NULL, error, error_size);
        *out_text = image;
        *out_size -= status == FBL_OK && form == 'p' ? 1 : 0;
        free(unit);
    }
    fbl_cuda_source_free(&source);
    return status;
}

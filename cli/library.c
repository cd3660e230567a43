#include "cli/library.h"

#include <math.h>
#include <string.h>

#include "base/diag.h"
#include "runtime/cuda/cuda_trial.h"
#include "runtime/cuda/library.h"

#define COMPARED ((int64_t)8 << 20) // bytes of a result at its beginning and at its end

// How far two orders of summing k products of random factors may be apart, with the factors rounded in another way (tf32: to nearest by
// fblc's kernels, cut by some GPUs): 2^-10 of each product for 11 bits, 2^-7 for 8, random in sign, so that the root of k products
// of the result's size remain; and the additions' own rounding, as cli/tune.c explains. Factors that the library gets in halves have no other
// rounding than the kernel's: theirs is the same, to nearest.
double fbl_driver_library_tolerance(const FblLibraryWork *work, FblCudaPrecision precision) {
    static const double factors[] = {[FBL_CUDA_F32] = 0, [FBL_CUDA_TF32] = 0x1p-9, [FBL_CUDA_BF16] = 0x1p-6, [FBL_CUDA_F16] = 0x1p-9};
    double k = (double)work->sum;
    bool halves = fbl_dtype_is_half(work->factors);
    return (halves ? 0 : 4 * factors[precision]) + 0x1p-24 * (32 + 8 * sqrt(k) + (precision == FBL_CUDA_F32 ? 0 : k / 4));
}

// LOOPS kernels multiply in f32 whatever the precision: the library does as well then.
static FblCudaPrecision precision_of(const FblDriver *driver, const FblKernel *kernel) {
    return kernel->kind == FBL_KERNEL_CONTRACTION ? driver->cuda->options.precision : FBL_CUDA_F32;
}

static FblStatus choose(FblDriver *driver, const FblKernel *kernel, FblKernelCode *code) {
    FblLibraryWork work;
    FblCudaDevice *device = driver->cuda->device;
    FblGpuLibrary library;
    FblCudaPrecision precision = precision_of(driver, kernel);
    FblLibraryKind kind = fbl_driver_cuda_library(driver->cuda, kernel);
    if (kind == FBL_LIBRARY_NONE || !fbl_library_work(kernel, kind, fbl_cuda_factors(precision), &work) || !fbl_library_choose(device, &work, (int32_t)precision, &library)) {
        return FBL_OK;
    }
    FblKernelCode codes[2] = {*code, *code};
    FblCudaTrialResult results[2];
    codes[0].library.used = false;
    codes[1].library = library;
    FblCudaTrialOptions options = {device, kernel, codes, 2, 0, fbl_driver_library_tolerance(&work, precision), COMPARED, false};
    FBL_TRY(fbl_cuda_trial(driver->ctx, &options, results));
    if (results[1].verdict == FBL_CUDA_TRIAL_RIGHT) {
        code->library = library;
    } else if (results[1].verdict == FBL_CUDA_TRIAL_WRONG) {
        FblDiag *diag = fbl_diag(driver->ctx, FBL_WARNING, "E0655", FBL_NO_LOC, "%s gives another result than kernel %s and is not used for it", library.name, kernel->name);
        fbl_diag_hint(driver->ctx, diag, "the largest difference is %.3g times what rounding explains; --library-%s=off does without the library", results[1].difference, kind == FBL_LIBRARY_CUDNN ? "conv" : "gemm");
    }
    return FBL_OK;
}

// Whether the table has a line for the library: cuDNN is hundreds of megabytes of code, which are not loaded for nothing.
static bool is_named(const FblDriverCuda *cuda, FblLibraryKind kind) {
    for (size_t i = 0; i < cuda->tune.count; i++) {
        const FblCudaTuneRow *row = &cuda->tune.rows[i];
        if (row->problem.arch == cuda->options.arch && row->problem.precision == (int32_t)cuda->options.precision && fbl_cuda_choice_library(&row->choice) == kind) {
            return true;
        }
    }
    return false;
}

// The value of an option that is auto or off.
static FblStatus read_automatic(FblContext *ctx, const char *name, const char *value, bool *out) {
    *out = strcmp(value, "auto") == 0;
    return *out || strcmp(value, "off") == 0 ? FBL_OK : fbl_error(ctx, "E0656", FBL_NO_LOC, "--%s takes auto or off, not `%s`", name, value);
}

FblStatus fbl_driver_library_open(FblDriver *driver) {
    bool gemm, conv;
    FBL_TRY(read_automatic(driver->ctx, "library-gemm", driver->passes.library_gemm, &gemm));
    FBL_TRY(read_automatic(driver->ctx, "library-conv", driver->passes.library_conv, &conv));
    FblDriverCuda *cuda = driver->cuda;
    if (cuda && cuda->device) {
        bool wanted = strcmp(driver->passes.tune, "search") == 0 || is_named(cuda, FBL_LIBRARY_CUDNN);
        cuda->libraries[FBL_LIBRARY_CUBLASLT] = gemm && fbl_library_open(cuda->device, FBL_LIBRARY_CUBLASLT);
        cuda->libraries[FBL_LIBRARY_CUDNN] = conv && wanted && fbl_library_open(cuda->device, FBL_LIBRARY_CUDNN);
    }
    return FBL_OK;
}

FblStatus fbl_driver_library(FblDriver *driver, const FblPlan *plan, FblKernelCode *codes) {
    for (size_t k = 0; k < plan->kernel_count && driver->cuda; k++) {
        memset(&codes[k].library, 0, sizeof codes[k].library);
        if (driver->cuda->device && codes[k].object) {
            FBL_TRY(choose(driver, plan->kernels[k], &codes[k]));
        }
    }
    return FBL_OK;
}

// What a plan has for a library, and what of it the library does.
typedef struct Share {
    size_t items, done; // kernels
    const char *name;   // of an algorithm
} Share;

static Share share_of(const FblDriver *driver, const FblPlan *plan, const FblKernelCode *codes, FblLibraryKind kind) {
    Share share = {0, 0, ""};
    for (size_t k = 0; k < plan->kernel_count && driver->cuda; k++) {
        FblLibraryWork work;
        const FblKernel *kernel = plan->kernels[k];
        bool fits = fbl_library_work(kernel, kind, fbl_cuda_factors(precision_of(driver, kernel)), &work);
        bool used = codes && codes[k].library.used && codes[k].library.kind == (int32_t)kind;
        share.items += fits && (used || kind == FBL_LIBRARY_CUDNN || !work.images_too);
        share.done += used;
        share.name = used ? codes[k].library.name : share.name;
    }
    return share;
}

static const char *products_text(const FblDriver *driver, const FblPlan *plan, const FblKernelCode *codes) {
    Share share = share_of(driver, plan, codes, FBL_LIBRARY_CUBLASLT);
    FblArena *arena = fbl_context_arena(driver->ctx);
    FblCudaDevice *device = driver->cuda ? driver->cuda->device : NULL;
    bool off = strcmp(driver->passes.library_gemm, "off") == 0;
    if (share.items == 0) {
        return "";
    }
    if (share.done > 0) {
        return fbl_arena_printf(arena, "%zu of %zu kernels that are plain matrix products are done by %.*s", share.done, share.items, (int)strcspn(share.name, ":"), share.name);
    }
    if (!codes && device && !off && fbl_library_open(device, FBL_LIBRARY_CUBLASLT)) {
        return fbl_arena_printf(arena, "%zu kernels are plain matrix products; cuBLASLt is there for them (--measure says which it does)", share.items);
    }
    const char *why = device ? fbl_library_why(device, FBL_LIBRARY_CUBLASLT) : "the GPU was not at hand";
    return fbl_arena_printf(arena, "%zu kernels are plain matrix products, none done by cuBLASLt: %s", share.items, off ? "--library-gemm=off" : *why ? why : "it takes none");
}

// Only where a table of tuned tiles, or a compiled file, has something for cuDNN.
static const char *convolutions_text(const FblDriver *driver, const FblPlan *plan, const FblKernelCode *codes) {
    Share share = share_of(driver, plan, codes, FBL_LIBRARY_CUDNN);
    FblArena *arena = fbl_context_arena(driver->ctx);
    FblCudaDevice *device = driver->cuda ? driver->cuda->device : NULL;
    bool off = strcmp(driver->passes.library_conv, "off") == 0;
    if (share.done > 0) {
        return fbl_arena_printf(arena, "%zu of %zu convolutions are done by %.*s", share.done, share.items, (int)strcspn(share.name, ":"), share.name);
    }
    if (share.items == 0 || !is_named(driver->cuda, FBL_LIBRARY_CUDNN)) {
        return "";
    }
    if (!codes && device && !off && fbl_library_open(device, FBL_LIBRARY_CUDNN)) {
        return fbl_arena_printf(arena, "%zu convolutions; cuDNN is there for those that the table of tuned tiles leaves to it (--measure says which it does)", share.items);
    }
    const char *why = device ? fbl_library_why(device, FBL_LIBRARY_CUDNN) : "the GPU was not at hand";
    return fbl_arena_printf(arena, "%zu convolutions, none done by cuDNN, to which the table of tuned tiles leaves some: %s", share.items, off ? "--library-conv=off" : *why ? why : "it takes none");
}

const char *fbl_driver_library_text(const FblDriver *driver, const FblPlan *plan, const FblKernelCode *codes) {
    const char *products = products_text(driver, plan, codes), *convolutions = convolutions_text(driver, plan, codes);
    return fbl_arena_printf(fbl_context_arena(driver->ctx), "%s%s%s", products, *products && *convolutions ? "\n" : "", convolutions);
}

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
    double k = (double)work->product.k;
    bool halves = fbl_dtype_is_half(work->product.p.dtype);
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
        fbl_diag_hint(driver->ctx, diag, "the largest difference is %.3g times what rounding explains; --library-gemm=off does without the library", results[1].difference);
    }
    return FBL_OK;
}

FblStatus fbl_driver_library_open(FblDriver *driver) {
    bool automatic = strcmp(driver->passes.library_gemm, "auto") == 0;
    if (!automatic && strcmp(driver->passes.library_gemm, "off") != 0) {
        return fbl_error(driver->ctx, "E0656", FBL_NO_LOC, "--library-gemm takes auto or off, not `%s`", driver->passes.library_gemm);
    }
    if (driver->cuda && driver->cuda->device) {
        driver->cuda->libraries[FBL_LIBRARY_CUBLASLT] = automatic && fbl_library_open(driver->cuda->device, FBL_LIBRARY_CUBLASLT);
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

const char *fbl_driver_library_text(const FblDriver *driver, const FblPlan *plan, const FblKernelCode *codes) {
    size_t products = 0, done = 0;
    FblLibraryWork work;
    const char *name = "";
    for (size_t k = 0; k < plan->kernel_count && driver->cuda; k++) {
        bool product = fbl_library_work(plan->kernels[k], FBL_LIBRARY_CUBLASLT, fbl_cuda_factors(precision_of(driver, plan->kernels[k])), &work);
        bool used = codes && codes[k].library.used;
        products += product && (used || !work.images_too);
        done += used;
        name = codes && codes[k].library.used ? codes[k].library.name : name;
    }
    FblArena *arena = fbl_context_arena(driver->ctx);
    FblCudaDevice *device = driver->cuda ? driver->cuda->device : NULL;
    if (products == 0) {
        return "";
    }
    if (done > 0) {
        return fbl_arena_printf(arena, "%zu of %zu kernels that are plain matrix products are done by %.*s", done, products, (int)strcspn(name, ":"), name);
    }
    if (!codes && device && strcmp(driver->passes.library_gemm, "off") != 0 && fbl_library_open(device, FBL_LIBRARY_CUBLASLT)) {
        return fbl_arena_printf(arena, "%zu kernels are plain matrix products; cuBLASLt is there for them (--measure says which it does)", products);
    }
    const char *why = strcmp(driver->passes.library_gemm, "off") == 0 ? "--library-gemm=off" : !device ? "the GPU was not at hand" : *fbl_library_why(device, FBL_LIBRARY_CUBLASLT) ? fbl_library_why(device, FBL_LIBRARY_CUBLASLT) : "it takes none";
    return fbl_arena_printf(arena, "%zu kernels are plain matrix products, none done by cuBLASLt: %s", products, why);
}

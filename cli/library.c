#include "cli/library.h"

#include <math.h>
#include <string.h>

#include "base/diag.h"
#include "ir/product.h"
#include "runtime/cuda/cublaslt.h"
#include "runtime/cuda/cuda_trial.h"

#define COMPARED ((int64_t)8 << 20) // bytes of a result at its beginning and at its end

// How far two orders of summing k products of random factors may be apart, with the factors rounded in another way (tf32: to nearest by
// fblc's kernels, cut by some GPUs): 2^-10 of each product for 11 bits, 2^-7 for 8, random in sign, so that the root of k products
// of the result's size remain; and the additions' own rounding, as cli/tune.c explains.
static double tolerance_of(const FblProduct *product, FblCudaPrecision precision) {
    static const double factors[] = {[FBL_CUDA_F32] = 0, [FBL_CUDA_TF32] = 0x1p-9, [FBL_CUDA_BF16] = 0x1p-6, [FBL_CUDA_F16] = 0x1p-9};
    double k = (double)product->k;
    return 4 * factors[precision] + 0x1p-24 * (32 + 8 * sqrt(k) + (precision == FBL_CUDA_F32 ? 0 : k / 4));
}

// LOOPS kernels multiply in f32 whatever the precision: the library does as well then.
static int32_t precision_of(const FblDriver *driver, const FblKernel *kernel) {
    return kernel->kind == FBL_KERNEL_CONTRACTION ? (int32_t)driver->cuda->options.precision : FBL_CUDA_F32;
}

// Whether the table of tuned tiles leaves the kernel to the library: it does unless it has another choice for it.
static bool table_agrees(const FblDriver *driver, const FblKernel *kernel) {
    FblCudaProblem problem;
    const FblCudaTuneRow *row = fbl_cuda_problem(kernel, &driver->cuda->options, &problem, NULL, 0, NULL) ? fbl_cuda_tune_find(&driver->cuda->tune, &problem) : NULL;
    return !row || row->choice.variant == FBL_CUDA_VARIANT_LIBRARY;
}

static FblStatus choose(FblDriver *driver, const FblKernel *kernel, FblKernelCode *code) {
    FblProduct product;
    FblCudaDevice *device = driver->cuda->device;
    FblGpuLibrary library;
    int32_t precision = precision_of(driver, kernel);
    if (!fbl_kernel_product(kernel, &product) || !table_agrees(driver, kernel) || !fbl_cublaslt_choose(device, &product, precision, &library)) {
        return FBL_OK;
    }
    FblKernelCode codes[2] = {*code, *code};
    FblCudaTrialResult results[2];
    codes[0].library.used = false;
    codes[1].library = library;
    FblCudaTrialOptions options = {device, kernel, codes, 2, tolerance_of(&product, (FblCudaPrecision)precision), COMPARED, false};
    FBL_TRY(fbl_cuda_trial(driver->ctx, &options, results));
    if (results[1].verdict == FBL_CUDA_TRIAL_RIGHT) {
        code->library = library;
    } else if (results[1].verdict == FBL_CUDA_TRIAL_WRONG) {
        FblDiag *diag = fbl_diag(driver->ctx, FBL_WARNING, "E0655", FBL_NO_LOC, "%s gives another result than kernel %s and is not used for it", library.name, kernel->name);
        fbl_diag_hint(driver->ctx, diag, "the largest difference is %.3g times what rounding explains; --library-gemm=off does without the library", results[1].difference);
    }
    return FBL_OK;
}

FblStatus fbl_driver_library(FblDriver *driver, const FblPlan *plan, FblKernelCode *codes) {
    bool automatic = strcmp(driver->passes.library_gemm, "auto") == 0;
    if (!automatic && strcmp(driver->passes.library_gemm, "off") != 0) {
        return fbl_error(driver->ctx, "E0656", FBL_NO_LOC, "--library-gemm takes auto or off, not `%s`", driver->passes.library_gemm);
    }
    for (size_t k = 0; k < plan->kernel_count && driver->cuda; k++) {
        memset(&codes[k].library, 0, sizeof codes[k].library);
        if (automatic && driver->cuda->device && codes[k].object) {
            FBL_TRY(choose(driver, plan->kernels[k], &codes[k]));
        }
    }
    return FBL_OK;
}

const char *fbl_driver_library_text(const FblDriver *driver, const FblPlan *plan, const FblKernelCode *codes) {
    size_t products = 0, done = 0;
    FblProduct product;
    const char *name = "";
    for (size_t k = 0; k < plan->kernel_count && driver->cuda; k++) {
        products += fbl_kernel_product(plan->kernels[k], &product);
        done += codes && codes[k].library.used;
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
    if (!codes && device && strcmp(driver->passes.library_gemm, "off") != 0 && fbl_cublaslt_open(device)) {
        return fbl_arena_printf(arena, "%zu kernels are plain matrix products; cuBLASLt is there for them (--measure says which it does)", products);
    }
    const char *why = strcmp(driver->passes.library_gemm, "off") == 0 ? "--library-gemm=off" : !device ? "the GPU was not at hand" : *device->lt_why ? device->lt_why : "it takes none";
    return fbl_arena_printf(arena, "%zu kernels are plain matrix products, none done by cuBLASLt: %s", products, why);
}

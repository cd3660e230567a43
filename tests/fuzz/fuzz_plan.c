// The readers of kernels and plans, as compiled files hold them: any text gives a verified plan that prints and reads back to the same bytes, or a diagnostic.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "ir/plan.h"

static void expect(bool condition) {
    if (!condition) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    FblContext *ctx = fbl_context_create();
    FblPlan *plan, *again;
    if (fbl_plan_read(ctx, fbl_source_add(ctx, "fuzz", (const char *)data, size), &plan) == FBL_OK) {
        const char *printed = fbl_plan_print(ctx, plan);
        expect(fbl_plan_verify(ctx, plan) == FBL_OK);
        expect(fbl_plan_read(ctx, fbl_source_add(ctx, "again", printed, strlen(printed)), &again) == FBL_OK);
        expect(strcmp(fbl_plan_print(ctx, again), printed) == 0);
    } else {
        expect(fbl_diag_error_count(ctx) > 0);
    }
    fbl_context_destroy(ctx);
    FblKernel *kernel;
    ctx = fbl_context_create();
    if (fbl_kernel_read(ctx, fbl_source_add(ctx, "fuzz", (const char *)data, size), &kernel) != FBL_OK) {
        expect(fbl_diag_error_count(ctx) > 0);
    }
    fbl_context_destroy(ctx);
    return 0;
}

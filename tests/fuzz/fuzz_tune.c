// The reader of tuned tiles: any text gives a sorted table that prints and reads back to the same bytes, or a diagnostic and the
// table as it was.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "codegen/cuda/tune.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool condition) {
    if (!condition) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    FblContext *ctx = fbl_context_create();
    FblCudaTune tune = {0}, again = {0};
    if (fbl_cuda_tune_read(ctx, fbl_source_add(ctx, "fuzz", (const char *)data, size), &tune) == FBL_OK) {
        const char *printed = fbl_cuda_tune_print(ctx, &tune, 0, 0, true);
        for (size_t i = 0; i < tune.count; i++) {
            expect(fbl_cuda_tune_find(&tune, &tune.rows[i].problem) == &tune.rows[i] && fbl_cuda_choice_known(&tune.rows[i].choice));
        }
        expect(fbl_cuda_tune_read(ctx, fbl_source_add(ctx, "again", printed, strlen(printed)), &again) == FBL_OK);
        expect(strcmp(fbl_cuda_tune_print(ctx, &again, 0, 0, true), printed) == 0);
        // Read over itself and set row by row it stays the same.
        expect(fbl_cuda_tune_read(ctx, fbl_source_add(ctx, "over", printed, strlen(printed)), &tune) == FBL_OK);
        for (size_t i = tune.count < 64 ? tune.count : 64; i-- > 0;) {
            fbl_cuda_tune_set(ctx, &tune, &tune.rows[i].problem, &tune.rows[i].choice, tune.rows[i].note);
        }
        expect(strcmp(fbl_cuda_tune_print(ctx, &tune, 0, 0, true), printed) == 0);
    } else {
        expect(fbl_diag_error_count(ctx) > 0 && tune.count == 0);
    }
    fbl_context_destroy(ctx);
    return 0;
}

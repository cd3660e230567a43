#include <math.h>
#include <stdlib.h>

#include "base/diag.h"
#include "runtime/data/dataset.h"
#include "runtime/data/numpy.h"

void fbl_imbalance_counts(const FblImbalance *imbalance, double n_max, int32_t classes, int64_t *out_counts) {
    for (int32_t c = 0; c < classes; c++) {
        double count = n_max;
        if (imbalance->kind == FBL_IMBALANCE_EXPONENTIAL && classes > 1) {
            count = n_max * pow(imbalance->factor, (double)c / ((double)classes - 1.0));
        } else if (imbalance->kind == FBL_IMBALANCE_STEP && c >= classes / 2) {
            count = n_max * imbalance->factor;
        }
        out_counts[c] = (int64_t)count;
    }
}

static FblStatus check_counts(FblContext *ctx, const FblImbalance *imbalance, const int64_t *have, int64_t *want,
                              int32_t classes) {
    for (int32_t c = 0; c < classes; c++) {
        if (have[c] == 0) {
            return fbl_error(ctx, "E0809", FBL_NO_LOC,
                             "the data set cannot be made long-tailed: class %d has no images", c);
        }
        if (want[c] == 0) {
            FblDiag *diag =
                fbl_diag(ctx, FBL_ERROR, "E0809", FBL_NO_LOC,
                         "the imbalance factor %g would leave class %d without images", imbalance->factor, c);
            fbl_diag_hint(ctx, diag, "choose a larger factor; 0.01 is the usual \"imbalance 100\"");
            return FBL_USER;
        }
        if (want[c] > have[c]) {
            want[c] = have[c]; // as slicing past the end does
        }
    }
    return FBL_OK;
}

FblStatus fbl_imbalance_select(FblContext *ctx, const FblImbalance *imbalance, const int32_t *labels, int64_t count,
                               int32_t classes, int64_t **out_indices, int64_t *out_count) {
    *out_indices = NULL;
    *out_count = 0;
    if (!(imbalance->factor > 0 && imbalance->factor <= 1)) {
        return fbl_error(ctx, "E0809", FBL_NO_LOC, "an imbalance factor lies above 0 and at most at 1, not at %g",
                         imbalance->factor);
    }
    int64_t *have = calloc((size_t)classes, sizeof *have);
    int64_t *want = calloc((size_t)classes, sizeof *want);
    int64_t *indices = malloc(((size_t)count + 1) * sizeof *indices);
    int64_t *all = malloc(((size_t)count + 1) * sizeof *all);
    FblNumpyRandom *random = malloc(sizeof *random);
    FblStatus status = FBL_NOMEM;
    if (have != NULL && want != NULL && indices != NULL && all != NULL && random != NULL) {
        for (int64_t i = 0; i < count; i++) {
            have[labels[i]]++;
        }
        fbl_imbalance_counts(imbalance, (double)count / classes, classes, want);
        status = check_counts(ctx, imbalance, have, want, classes);
    }
    if (status == FBL_OK) {
        fbl_numpy_seed(random, imbalance->seed);
        int64_t kept = 0;
        for (int32_t c = 0; c < classes; c++) {
            int64_t n = 0;
            for (int64_t i = 0; i < count; i++) {
                if (labels[i] == c) {
                    all[n++] = i;
                }
            }
            fbl_numpy_shuffle(random, all, n);
            for (int64_t i = 0; i < want[c]; i++) {
                indices[kept++] = all[i];
            }
        }
        *out_indices = indices;
        *out_count = kept;
        indices = NULL;
    }
    free(have);
    free(want);
    free(indices);
    free(all);
    free(random);
    return status;
}

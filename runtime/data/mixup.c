#include "runtime/data/mixup.h"

#include <math.h>
#include <stdbool.h>

static double normal(FblRandom *random) {
    double radius = sqrt(-2 * log(fbl_random_unit(random)));
    return radius * cos(2 * 3.14159265358979323846 * fbl_random_unit(random));
}

// Logarithm of a draw from Gamma(alpha, 1), by Marsaglia and Tsang (2000). Logarithms, because for small alpha the
// draws themselves underflow.
static double log_gamma_draw(FblRandom *random, double alpha) {
    double lift = 0;
    if (alpha < 1) {
        lift = log(fbl_random_unit(random)) / alpha;
        alpha += 1;
    }
    double d = alpha - 1.0 / 3.0;
    double c = 1 / sqrt(9 * d);
    for (;;) {
        double x = normal(random);
        double v = 1 + c * x;
        if (v > 0) {
            double log_v = 3 * log(v);
            if (log(fbl_random_unit(random)) < 0.5 * x * x + d * (1 - v * v * v + log_v)) {
                return log(d) + log_v + lift;
            }
        }
    }
}

double fbl_mixup_beta(FblRandom *random, double alpha) {
    double a = log_gamma_draw(random, alpha);
    double b = log_gamma_draw(random, alpha);
    return 1 / (1 + exp(b - a));
}

// Room for the draws of one batch: a partner may need more than one word, the weight a few hundred at the very worst.
static FblRandom sequence(uint64_t seed, int64_t epoch, int64_t step, int64_t batch, uint32_t stream) {
    return (FblRandom){.seed = seed,
                       .step = (uint64_t)epoch,
                       .next = (uint64_t)step * (2 * (uint64_t)batch + 1024),
                       .stream = stream};
}

static void draw_partners(FblRandom *random, int64_t size, int32_t *out_partner) {
    for (int64_t i = 0; i < size; i++) {
        out_partner[i] = (int32_t)i;
    }
    for (int64_t i = size - 1; i > 0; i--) {
        int64_t j = (int64_t)fbl_random_below(random, (uint32_t)i + 1);
        int32_t partner = out_partner[i];
        out_partner[i] = out_partner[j];
        out_partner[j] = partner;
    }
}

float fbl_mixup_draw(uint64_t seed, int64_t epoch, int64_t step, int64_t batch, double alpha, int64_t size,
                     int32_t *out_partner) {
    FblRandom random = sequence(seed, epoch, step, batch, FBL_STREAM_MIXUP);
    float weight = (float)fbl_mixup_beta(&random, alpha);
    draw_partners(&random, size, out_partner);
    return weight;
}

// One side of the rectangle: `part` of `extent` around a place, cut off at the ends.
static void draw_side(FblRandom *random, double part, int32_t extent, int32_t *out_first, int32_t *out_length) {
    int32_t length = (int32_t)(part * extent), middle = (int32_t)fbl_random_below(random, (uint32_t)extent);
    int32_t first = middle - length / 2, end = middle + length / 2;
    *out_first = first < 0 ? 0 : first;
    *out_length = (end > extent ? extent : end) - *out_first;
}

float fbl_cutmix_draw(uint64_t seed, int64_t epoch, int64_t step, int64_t batch, double alpha, bool or_mixup, int64_t size,
                      int32_t height, int32_t width, int32_t *out_partner, FblRectangle *out_rectangle) {
    FblRandom random = sequence(seed, epoch, step, batch, FBL_STREAM_CUTMIX);
    bool mixup = or_mixup && fbl_random_next(&random) >> 31 != 0;
    if (mixup) {
        return -1;
    }
    double part = sqrt(1 - fbl_mixup_beta(&random, alpha));
    draw_side(&random, part, height, &out_rectangle->top, &out_rectangle->height);
    draw_side(&random, part, width, &out_rectangle->left, &out_rectangle->width);
    draw_partners(&random, size, out_partner);
    double area = (double)out_rectangle->width * out_rectangle->height;
    return (float)(1 - area / ((double)width * height));
}

#include "base/beta.h"

#include <math.h>

#include "base/philox.h"

// The words of one draw, in order.
typedef struct Draw {
    uint64_t seed, step, index;
    uint32_t stream;
} Draw;

// Inside (0, 1), 53 bits.
static double uniform(Draw *draw) {
    uint64_t high = fbl_random_u32(draw->seed, draw->stream, draw->step, draw->index++);
    uint64_t low = fbl_random_u32(draw->seed, draw->stream, draw->step, draw->index++);
    return ((double)(((high << 32) | low) >> 12) + 0.5) * 0x1p-52;
}

static double normal(Draw *draw) {
    double u = uniform(draw);
    double v = uniform(draw);
    return sqrt(-2 * log(u)) * cos(6.283185307179586477 * v);
}

// The logarithm of a Gamma(shape, 1) number (Marsaglia and Tsang, "A simple method for generating gamma variables",
// 2000). In logarithms because for a small shape the number itself underflows.
static double log_gamma_number(Draw *draw, double shape) {
    double boost = 0;
    if (shape < 1) { // Gamma(a) is Gamma(a + 1) * U^(1/a)
        boost = log(uniform(draw)) / shape;
        shape += 1;
    }
    double d = shape - 1.0 / 3;
    double c = 1 / sqrt(9 * d);
    for (int attempt = 0; attempt < 1000; attempt++) { // each succeeds with a chance above 0.95
        double x = normal(draw);
        double v = 1 + c * x;
        if (v <= 0) {
            continue;
        }
        v = v * v * v;
        if (log(uniform(draw)) < 0.5 * x * x + d - d * v + d * log(v)) {
            return log(d) + log(v) + boost;
        }
    }
    return log(d) + boost;
}

double fbl_random_beta(uint64_t seed, uint32_t stream, uint64_t step, double a, double b) {
    Draw draw = {.seed = seed, .step = step, .stream = stream};
    if (!(a > 0) || !(b > 0) || isinf(a) || isinf(b)) {
        return NAN;
    }
    double x = log_gamma_number(&draw, a);
    double y = log_gamma_number(&draw, b);
    return 1 / (1 + exp(y - x));
}

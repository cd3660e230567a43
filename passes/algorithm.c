#include "passes/algorithm.h"

#include <string.h>

#include "base/diag.h"

#define MAX_CHUNKS 16
// A chunk of a weight gradient has at least this many tiles, so that transforming its sums back is a small part of it.
#define CHUNK_TILES 32

static const char *const SETTINGS[] = {"direct", "winograd2", "winograd4"}; // by FblConvAlgorithm

FblStatus fbl_conv_check_setting(FblContext *ctx, const char *setting) {
    bool known = setting == NULL || strcmp(setting, "auto") == 0;
    for (size_t i = 0; i < 3 && !known; i++) {
        known = strcmp(setting, SETTINGS[i]) == 0;
    }
    return known ? FBL_OK : fbl_error(ctx, "E0403", FBL_NO_LOC, "option `conv` takes auto, direct, winograd2 or winograd4, not `%s`", setting);
}

static int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

static int64_t tiles_of(const FblContraction *c, int64_t m) {
    bool data = c->kind == FBL_CONV_DATA_GRAD;
    return c->n * divide_up(data ? c->h : c->oh, m) * divide_up(data ? c->w : c->ow, m);
}

// Images that a weight gradient sums at once: a number that depends on shapes alone.
static int64_t chunks_for(const FblContraction *c, FblConvAlgorithm algorithm) {
    int64_t chunks = c->n < MAX_CHUNKS ? c->n : MAX_CHUNKS;
    if (algorithm != FBL_CONV_DIRECT) {
        int64_t most = tiles_of(c, algorithm == FBL_CONV_WINOGRAD4 ? 4 : 2) / CHUNK_TILES;
        chunks = most < 1 ? 1 : most < chunks ? most : chunks;
    }
    return chunks;
}

double fbl_conv_cost(const FblContraction *c, FblConvAlgorithm algorithm, int32_t lanes) {
    // Vectors lie along the channels of the result (of the weight gradient: of the gradient that comes in).
    int64_t in = c->kind == FBL_CONV_DATA_GRAD ? c->o : c->c, out = c->kind == FBL_CONV_DATA_GRAD ? c->c : c->o;
    double vectors_in = (double)divide_up(in, lanes), vectors_out = (double)divide_up(out, lanes);
    if (algorithm == FBL_CONV_DIRECT) {
        double pixels = (double)c->n * (double)(c->oh * c->ow);
        return pixels * (double)(c->kh * c->kw) * (double)(in / c->groups) * vectors_out + pixels * (2 * vectors_in + 2 * vectors_out);
    }
    // Work of transforming a vector's tile of an operand or of the result, of the weights, and of summing back.
    bool large = algorithm == FBL_CONV_WINOGRAD4;
    double operand = large ? 220 : 90, weight = large ? 300 : 200, back = large ? 200 : 100;
    int64_t m = large ? 4 : 2;
    double tiles = (double)tiles_of(c, m), weights = (double)in * vectors_out;
    double cost = tiles * ((double)((m + 2) * (m + 2)) * (double)in * vectors_out + operand * (vectors_in + vectors_out));
    if (c->kind != FBL_CONV_WEIGHT_GRAD) {
        return cost + weights * weight;
    }
    double strips = tiles / CHUNK_TILES, chunks = (double)chunks_for(c, algorithm);
    return cost + weights * back * (strips > chunks ? strips : chunks);
}

void fbl_conv_choose(FblContraction *c, const char *setting, int32_t lanes) {
    c->algorithm = FBL_CONV_DIRECT;
    bool automatic = setting == NULL || strcmp(setting, "auto") == 0;
    if (c->kind != FBL_MATMUL && fbl_contraction_has_winograd(c)) {
        double best = fbl_conv_cost(c, FBL_CONV_DIRECT, lanes);
        for (int i = FBL_CONV_WINOGRAD2; i <= FBL_CONV_WINOGRAD4; i++) {
            double cost = fbl_conv_cost(c, (FblConvAlgorithm)i, lanes);
            // The larger rounding error must be worth something.
            if (automatic ? cost < 0.85 * best : strcmp(setting, SETTINGS[i]) == 0) {
                c->algorithm = (FblConvAlgorithm)i;
                best = cost;
            }
        }
    }
    c->chunks = c->kind == FBL_CONV_WEIGHT_GRAD ? chunks_for(c, c->algorithm) : 0;
}

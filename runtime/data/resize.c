#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/image.h"

// Pillow keeps weights as integers scaled by 2^22: 8 bits of pixel and 2 of head-room fill a 32-bit accumulator.
#define WEIGHT_BITS 22

// Compiled twice, for the vectors that every x86-64 has and for AVX2; the arithmetic is integer, so the bytes are the same.
#if defined(__x86_64__)
#define HAVE_AVX2 1
#endif

// The input range and the weights behind every output position.
typedef struct Taps {
    int32_t stride; // weights per output
    int32_t *first;
    int32_t *count;
    int32_t *weight;
} Taps;

static void free_taps(Taps *taps) {
    free(taps->first);
    free(taps->count);
    free(taps->weight);
}

// Triangle filter over the inputs from `from` to `to`, widened when shrinking so that every input pixel counts.
static FblStatus make_taps(int32_t in_size, double from, double to, int32_t out_size, Taps *out) {
    double scale = (to - from) / out_size;
    double widen = scale < 1.0 ? 1.0 : scale;
    out->stride = (int32_t)ceil(widen) * 2 + 1;
    out->first = malloc((size_t)out_size * sizeof *out->first);
    out->count = malloc((size_t)out_size * sizeof *out->count);
    out->weight = malloc((size_t)out_size * (size_t)out->stride * sizeof *out->weight);
    double *exact = malloc((size_t)out->stride * sizeof *exact);
    if (out->first == NULL || out->count == NULL || out->weight == NULL || exact == NULL) {
        free_taps(out);
        free(exact);
        return FBL_NOMEM;
    }
    for (int32_t i = 0; i < out_size; i++) {
        double center = from + (i + 0.5) * scale;
        int32_t low = (int32_t)(center - widen + 0.5);
        int32_t high = (int32_t)(center + widen + 0.5);
        low = low < 0 ? 0 : low;
        high = high > in_size ? in_size : high;
        double sum = 0;
        for (int32_t k = 0; k < high - low; k++) {
            double distance = fabs((k + low - center + 0.5) * (1.0 / widen));
            exact[k] = distance < 1.0 ? 1.0 - distance : 0.0;
            sum += exact[k];
        }
        for (int32_t k = 0; k < high - low; k++) {
            double weight = sum != 0.0 ? exact[k] / sum : exact[k];
            out->weight[(int64_t)i * out->stride + k] = (int32_t)(0.5 + weight * (1 << WEIGHT_BITS));
        }
        out->first[i] = low;
        out->count[i] = high - low;
    }
    free(exact);
    return FBL_OK;
}

static inline uint8_t rounded(int32_t sum) {
    int32_t value = sum >> WEIGHT_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

typedef int32_t Quad __attribute__((vector_size(16)));
typedef uint8_t Bytes4 __attribute__((vector_size(4)));

// One row, from pixels to `out_width` pixels. A pixel is read with the byte after it, which the caller provides.
static inline __attribute__((always_inline)) void filter_row(const Taps *taps, int32_t out_width, const uint8_t *line,
                                                             uint8_t *out) {
    const Quad half = {1 << (WEIGHT_BITS - 1), 1 << (WEIGHT_BITS - 1), 1 << (WEIGHT_BITS - 1), 0};
    for (int32_t x = 0; x < out_width; x++, out += 3) {
        const int32_t *weight = taps->weight + (int64_t)x * taps->stride;
        const uint8_t *at = line + (size_t)taps->first[x] * 3;
        Quad sum = half;
        for (int32_t k = 0; k < taps->count[x]; k++, at += 3) {
            Bytes4 pixel;
            memcpy(&pixel, at, sizeof pixel);
            sum += __builtin_convertvector(pixel, Quad) * weight[k];
        }
        out[0] = rounded(sum[0]);
        out[1] = rounded(sum[1]);
        out[2] = rounded(sum[2]);
    }
}

// One line of the output: a weighted sum of `count` rows, `pitch` bytes each, into sums[pitch] and out[pitch].
static inline __attribute__((always_inline)) void filter_rows(const int32_t *weight, int32_t count, const uint8_t *rows,
                                                              size_t pitch, int32_t *restrict sums,
                                                              uint8_t *restrict out) {
    for (size_t x = 0; x < pitch; x++) {
        sums[x] = (1 << (WEIGHT_BITS - 1)) + rows[x] * weight[0];
    }
    for (int32_t k = 1; k < count; k++) {
        const uint8_t *row = rows + (size_t)k * pitch;
        int32_t w = weight[k];
        for (size_t x = 0; x < pitch; x++) {
            sums[x] += row[x] * w;
        }
    }
    for (size_t x = 0; x < pitch; x++) {
        out[x] = rounded(sums[x]);
    }
}

#define FILTERS(suffix, attribute)                                                                                     \
    attribute static void row_##suffix(const Taps *taps, int32_t out_width, const uint8_t *line, uint8_t *out) {       \
        filter_row(taps, out_width, line, out);                                                                        \
    }                                                                                                                  \
    attribute static void rows_##suffix(const int32_t *weight, int32_t count, const uint8_t *rows, size_t pitch,       \
                                        int32_t *sums, uint8_t *out) {                                                 \
        filter_rows(weight, count, rows, pitch, sums, out);                                                            \
    }

FILTERS(plain, )
#ifdef HAVE_AVX2
FILTERS(avx2, __attribute__((target("avx2"))))
#endif

static bool use_avx2(void) {
#ifdef HAVE_AVX2
    return __builtin_cpu_supports("avx2");
#else
    return false;
#endif
}

static void one_row(const Taps *taps, int32_t out_width, const uint8_t *line, uint8_t *out) {
#ifdef HAVE_AVX2
    if (use_avx2()) {
        row_avx2(taps, out_width, line, out);
        return;
    }
#endif
    row_plain(taps, out_width, line, out);
}

static void one_line(const int32_t *weight, int32_t count, const uint8_t *rows, size_t pitch, int32_t *sums, uint8_t *out) {
#ifdef HAVE_AVX2
    if (use_avx2()) {
        rows_avx2(weight, count, rows, pitch, sums, out);
        return;
    }
#endif
    rows_plain(weight, count, rows, pitch, sums, out);
}

// A part of an image in one direction: where it begins and ends, and the whole pixels that the filter reads.
typedef struct Side {
    double from, to;
    bool same; // nothing to do: Pillow leaves out a pass that changes nothing
    Taps taps;
} Side;

static FblStatus make_side(int32_t in_size, double from, double length, int32_t out_size, Side *out) {
    out->from = from;
    out->to = from + length;
    out->same = out_size == length && from == floor(from);
    return out->same ? FBL_OK : make_taps(in_size, out->from, out->to, out_size, &out->taps);
}

static int32_t first_of(const Side *side) {
    return side->same ? (int32_t)side->from : side->taps.first[0];
}

static int32_t end_of(const Side *side, int32_t out_size) {
    return side->same ? (int32_t)side->to : side->taps.first[out_size - 1] + side->taps.count[out_size - 1];
}

// Rows `top` to `bottom`, brought to out_width. `spare` has room for one row of the image and a byte.
static void resize_rows(const FblImage *image, const Side *across, int32_t top, int32_t bottom, int32_t out_width,
                        uint8_t *spare, uint8_t *out) {
    size_t pitch = (size_t)image->width * 3, out_pitch = (size_t)out_width * 3;
    for (int32_t y = top; y < bottom; y++, out += out_pitch) {
        const uint8_t *row = image->pixels + (size_t)y * pitch;
        if (across->same) {
            memcpy(out, row + (size_t)across->from * 3, out_pitch);
        } else if (y + 1 < image->height) { // the byte after the row is the next row's
            one_row(&across->taps, out_width, row, out);
        } else {
            memcpy(spare, row, pitch);
            one_row(&across->taps, out_width, spare, out);
        }
    }
}

static void resize_columns(const uint8_t *rows, int32_t top, const Side *down, size_t pitch, int32_t out_height,
                           int32_t *sums, uint8_t *out) {
    for (int32_t y = 0; y < out_height; y++, out += pitch) {
        if (down->same) {
            memcpy(out, rows + (size_t)y * pitch, pitch);
        } else {
            const Taps *taps = &down->taps;
            one_line(taps->weight + (int64_t)y * taps->stride, taps->count[y], rows + (size_t)(taps->first[y] - top) * pitch,
                     pitch, sums, out);
        }
    }
}

FblStatus fbl_image_resize_part(const FblImage *image, double left, double top, double width, double height,
                                int32_t out_width, int32_t out_height, FblImage *out) {
    *out = (FblImage){.width = out_width, .height = out_height};
    bool inside = left >= 0 && top >= 0 && width > 0 && height > 0 && left + width <= image->width && top + height <= image->height;
    if (!inside || out_width <= 0 || out_height <= 0 || (int64_t)out_width * image->height > FBL_IMAGE_MAX_PIXELS ||
        (int64_t)out_width * out_height > FBL_IMAGE_MAX_PIXELS) {
        return FBL_NOMEM;
    }
    Side across = {0}, down = {0};
    FblStatus status = make_side(image->width, left, width, out_width, &across);
    status = status == FBL_OK ? make_side(image->height, top, height, out_height, &down) : status;
    uint8_t *rows = NULL, *spare = NULL;
    int32_t *sums = NULL;
    if (status == FBL_OK) {
        int32_t first = first_of(&down), end = end_of(&down, out_height);
        size_t pitch = (size_t)out_width * 3;
        rows = malloc(pitch * (size_t)(end - first) + 1);
        spare = malloc((size_t)image->width * 3 + 1);
        sums = malloc(pitch * sizeof *sums);
        out->pixels = malloc(pitch * (size_t)out_height);
        status = rows && spare && sums && out->pixels ? FBL_OK : FBL_NOMEM;
        if (status == FBL_OK) {
            spare[(size_t)image->width * 3] = 0;
            resize_rows(image, &across, first, end, out_width, spare, rows);
            resize_columns(rows, first, &down, pitch, out_height, sums, out->pixels);
        }
    }
    free(rows);
    free(spare);
    free(sums);
    free_taps(&across.taps);
    free_taps(&down.taps);
    if (status != FBL_OK) {
        fbl_image_deinit(out);
    }
    return status;
}

// Pillow resizes a picture that was cropped before: pixels outside of the rectangle do not count, not even at its edges.
FblStatus fbl_image_resize(const FblImage *image, int32_t left, int32_t top, int32_t width, int32_t height,
                           int32_t out_width, int32_t out_height, FblImage *out) {
    if (left == 0 && top == 0 && width == image->width && height == image->height) {
        return fbl_image_resize_part(image, left, top, width, height, out_width, out_height, out);
    }
    *out = (FblImage){0};
    if (left < 0 || top < 0 || width <= 0 || height <= 0 || width > image->width - left || height > image->height - top) {
        return FBL_NOMEM;
    }
    FblImage cut = {.width = width, .height = height, .pixels = malloc((size_t)width * (size_t)height * 3)};
    if (cut.pixels == NULL) {
        return FBL_NOMEM;
    }
    for (int32_t y = 0; y < height; y++) {
        memcpy(cut.pixels + (size_t)y * (size_t)width * 3,
               image->pixels + ((size_t)(top + y) * (size_t)image->width + (size_t)left) * 3, (size_t)width * 3);
    }
    FblStatus status = fbl_image_resize_part(&cut, 0, 0, width, height, out_width, out_height, out);
    fbl_image_deinit(&cut);
    return status;
}

bool fbl_image_shorter_size(int32_t width, int32_t height, int32_t shorter, int32_t *out_width, int32_t *out_height) {
    double longer = width <= height ? (double)shorter * (double)height / (double)width
                                    : (double)shorter * (double)width / (double)height;
    if (!(longer < (double)INT32_MAX)) {
        return false;
    }
    *out_width = width <= height ? shorter : (int32_t)longer;
    *out_height = width <= height ? (int32_t)longer : shorter;
    return true;
}

FblStatus fbl_image_resize_shorter(const FblImage *image, int32_t shorter, FblImage *out) {
    *out = (FblImage){0};
    int32_t width, height;
    if (!fbl_image_shorter_size(image->width, image->height, shorter, &width, &height)) {
        return FBL_NOMEM;
    }
    return fbl_image_resize(image, 0, 0, image->width, image->height, width, height, out);
}

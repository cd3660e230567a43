#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/image.h"

// Pillow keeps weights as integers scaled by 2^22: 8 bits of pixel and 2 of head-room fill a 32-bit accumulator.
#define WEIGHT_BITS 22

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

// Triangle filter, widened when shrinking so that every input pixel counts.
static FblStatus make_taps(int32_t in_size, int32_t out_size, Taps *out) {
    double scale = (double)in_size / out_size;
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
        double center = (i + 0.5) * scale;
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

static uint8_t rounded(int32_t sum) {
    int32_t value = sum >> WEIGHT_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

// Output position i is a weighted sum of pixels `step` bytes apart.
static void filter_line(const Taps *taps, int32_t i, const uint8_t *line, size_t step, uint8_t out[3]) {
    const int32_t *weight = taps->weight + (int64_t)i * taps->stride;
    const uint8_t *at = line + (size_t)taps->first[i] * step;
    int32_t sum[3] = {1 << (WEIGHT_BITS - 1), 1 << (WEIGHT_BITS - 1), 1 << (WEIGHT_BITS - 1)};
    for (int32_t k = 0; k < taps->count[i]; k++, at += step) {
        for (int channel = 0; channel < 3; channel++) {
            sum[channel] += at[channel] * weight[k];
        }
    }
    for (int channel = 0; channel < 3; channel++) {
        out[channel] = rounded(sum[channel]);
    }
}

static FblStatus resize_rows(const uint8_t *in, size_t pitch, int32_t width, int32_t height, int32_t out_width,
                             uint8_t *out) {
    if (width == out_width) { // Pillow leaves out a pass that changes nothing
        for (int32_t y = 0; y < height; y++) {
            memcpy(out + (size_t)y * (size_t)width * 3, in + (size_t)y * pitch, (size_t)width * 3);
        }
        return FBL_OK;
    }
    Taps taps;
    FBL_TRY(make_taps(width, out_width, &taps));
    for (int32_t y = 0; y < height; y++) {
        for (int32_t x = 0; x < out_width; x++) {
            filter_line(&taps, x, in + (size_t)y * pitch, 3, out + ((size_t)y * (size_t)out_width + (size_t)x) * 3);
        }
    }
    free_taps(&taps);
    return FBL_OK;
}

static FblStatus resize_columns(const uint8_t *in, int32_t width, int32_t height, int32_t out_height, uint8_t *out) {
    size_t pitch = (size_t)width * 3;
    if (height == out_height) {
        memcpy(out, in, (size_t)height * pitch);
        return FBL_OK;
    }
    Taps taps;
    FBL_TRY(make_taps(height, out_height, &taps));
    for (int32_t y = 0; y < out_height; y++) {
        for (int32_t x = 0; x < width; x++) {
            filter_line(&taps, y, in + (size_t)x * 3, pitch, out + (size_t)y * pitch + (size_t)x * 3);
        }
    }
    free_taps(&taps);
    return FBL_OK;
}

FblStatus fbl_image_resize(const FblImage *image, int32_t left, int32_t top, int32_t width, int32_t height,
                           int32_t out_width, int32_t out_height, FblImage *out) {
    *out = (FblImage){.width = out_width, .height = out_height};
    if (width <= 0 || height <= 0 || out_width <= 0 || out_height <= 0 ||
        (int64_t)out_width * height > FBL_IMAGE_MAX_PIXELS || (int64_t)out_width * out_height > FBL_IMAGE_MAX_PIXELS) {
        return FBL_NOMEM;
    }
    size_t pitch = (size_t)image->width * 3;
    uint8_t *rows = malloc((size_t)out_width * (size_t)height * 3);
    out->pixels = malloc((size_t)out_width * (size_t)out_height * 3);
    FblStatus status = rows == NULL || out->pixels == NULL ? FBL_NOMEM : FBL_OK;
    if (status == FBL_OK) {
        status =
            resize_rows(image->pixels + (size_t)top * pitch + (size_t)left * 3, pitch, width, height, out_width, rows);
    }
    if (status == FBL_OK) {
        status = resize_columns(rows, out_width, height, out_height, out->pixels);
    }
    free(rows);
    if (status != FBL_OK) {
        fbl_image_deinit(out);
    }
    return status;
}

FblStatus fbl_image_resize_shorter(const FblImage *image, int32_t shorter, FblImage *out) {
    int64_t width = image->width;
    int64_t height = image->height;
    int64_t out_width = width <= height ? shorter : (int64_t)((double)shorter * (double)width / (double)height);
    int64_t out_height = width <= height ? (int64_t)((double)shorter * (double)height / (double)width) : shorter;
    *out = (FblImage){0};
    if (out_width > INT32_MAX || out_height > INT32_MAX) {
        return FBL_NOMEM;
    }
    return fbl_image_resize(image, 0, 0, image->width, image->height, (int32_t)out_width, (int32_t)out_height, out);
}

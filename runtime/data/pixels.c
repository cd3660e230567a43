#include "runtime/data/pixels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t values_of(const FblImage *image) {
    return 3 * (size_t)image->width * (size_t)image->height;
}

static uint8_t clipped(int value) {
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

// Luma of ITU-R 601 in 16 bits of fraction.
static uint8_t grey(const uint8_t *pixel) {
    return (uint8_t)((pixel[0] * 19595u + pixel[1] * 38470u + pixel[2] * 7471u + 0x8000u) >> 16);
}

// From `other` (factor 0) to `value` (factor 1) and beyond, cut off and not rounded, in single precision.
static uint8_t blend(int other, int value, float factor) {
    float mixed = (float)other + factor * (float)(value - other);
    return (uint8_t)(mixed <= 0.0f ? 0 : mixed >= 255.0f ? 255 : (int)mixed);
}

static void map(FblImage *image, const uint8_t table[3][256]) {
    size_t count = values_of(image);
    for (size_t i = 0; i < count; i += 3) {
        for (size_t c = 0; c < 3; c++) {
            image->pixels[i + c] = table[c][image->pixels[i + c]];
        }
    }
}

static void blend_with(FblImage *image, int other, float factor) {
    uint8_t table[3][256];
    for (int v = 0; v < 256; v++) {
        table[0][v] = table[1][v] = table[2][v] = blend(other, v, factor);
    }
    map(image, (const uint8_t(*)[256])table);
}

void fbl_pixels_brightness(FblImage *image, float factor) {
    blend_with(image, 0, factor);
}

void fbl_pixels_contrast(FblImage *image, float factor) {
    size_t count = values_of(image);
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i += 3) {
        sum += grey(image->pixels + i);
    }
    blend_with(image, (int)((double)sum / (double)(count / 3) + 0.5), factor);
}

void fbl_pixels_saturation(FblImage *image, float factor) {
    size_t count = values_of(image);
    for (size_t i = 0; i < count; i += 3) {
        int other = grey(image->pixels + i);
        for (size_t c = 0; c < 3; c++) {
            image->pixels[i + c] = blend(other, image->pixels[i + c], factor);
        }
    }
}

// The kernel (1 1 1, 1 5 1, 1 1 1) / 13; pixels of the edge stay.
FblStatus fbl_pixels_sharpness(FblImage *image, float factor) {
    size_t count = values_of(image), pitch = (size_t)image->width * 3;
    uint8_t *smooth = malloc(count + 1);
    if (smooth == NULL) {
        return FBL_NOMEM;
    }
    memcpy(smooth, image->pixels, count);
    const float one = 1.0f / 13.0f, five = 5.0f / 13.0f;
    for (int32_t y = 1; y + 1 < image->height; y++) {
        for (size_t x = 3; x + 3 < pitch; x++) {
            const uint8_t *at = image->pixels + (size_t)y * pitch + x, *above = at - pitch, *below = at + pitch;
            float sum = 0.5f;
            sum += (float)below[-3] * one + (float)below[0] * one + (float)below[3] * one;
            sum += (float)at[-3] * one + (float)at[0] * five + (float)at[3] * one;
            sum += (float)above[-3] * one + (float)above[0] * one + (float)above[3] * one;
            smooth[(size_t)y * pitch + x] = clipped((int)sum);
        }
    }
    for (size_t i = 0; i < count; i++) {
        image->pixels[i] = blend(smooth[i], image->pixels[i], factor);
    }
    free(smooth);
    return FBL_OK;
}

// Hue, saturation and value in 0..255.
static void to_hsv(const uint8_t *rgb, uint8_t *hsv) {
    int r = rgb[0], g = rgb[1], b = rgb[2];
    int most = r > g ? r : g, least = r < g ? r : g;
    most = b > most ? b : most;
    least = b < least ? b : least;
    hsv[2] = (uint8_t)most;
    if (most == least) {
        hsv[0] = hsv[1] = 0;
        return;
    }
    float range = (float)(most - least);
    float saturation = range / (float)most;
    float red = (float)(most - r) / range, green = (float)(most - g) / range, blue = (float)(most - b) / range;
    float hue = r == most   ? blue - green
                : g == most ? (float)(2.0 + (double)red - (double)blue)
                            : (float)(4.0 + (double)green - (double)red);
    hue = (float)fmod((double)hue / 6.0 + 1.0, 1.0);
    hsv[0] = clipped((int)((double)hue * 255.0));
    hsv[1] = clipped((int)((double)saturation * 255.0));
}

static void to_rgb(const uint8_t *hsv, uint8_t *rgb) {
    double value = (double)hsv[2];
    if (hsv[1] == 0) {
        rgb[0] = rgb[1] = rgb[2] = hsv[2];
        return;
    }
    double turned = (double)((float)hsv[0]) * 6.0 / 255.0;
    int sector = (int)floor(turned);
    float rest = (float)(turned - (double)(float)sector), saturation = (float)((double)hsv[1] / 255.0);
    uint8_t p = clipped((int)round(value * (1.0 - (double)saturation)));
    uint8_t q = clipped((int)round(value * (1.0 - (double)(saturation * rest))));
    uint8_t t = clipped((int)round(value * (1.0 - (double)saturation * (1.0 - (double)rest))));
    uint8_t v = hsv[2];
    const uint8_t sectors[6][3] = {{v, t, p}, {q, v, p}, {p, v, t}, {p, q, v}, {t, p, v}, {v, p, q}};
    memcpy(rgb, sectors[sector % 6], 3);
}

void fbl_pixels_hue(FblImage *image, double turns) {
    uint8_t shift = (uint8_t)(int)(turns * 255);
    size_t count = values_of(image);
    for (size_t i = 0; i < count; i += 3) {
        uint8_t hsv[3];
        to_hsv(image->pixels + i, hsv);
        hsv[0] = (uint8_t)(hsv[0] + shift);
        to_rgb(hsv, image->pixels + i);
    }
}

void fbl_pixels_posterize(FblImage *image, int bits) {
    uint8_t mask = (uint8_t)(0xFF00 >> bits);
    size_t count = values_of(image);
    for (size_t i = 0; i < count; i++) {
        image->pixels[i] &= mask;
    }
}

void fbl_pixels_solarize(FblImage *image, double threshold) {
    size_t count = values_of(image);
    for (size_t i = 0; i < count; i++) {
        uint8_t v = image->pixels[i];
        image->pixels[i] = (double)v < threshold ? v : (uint8_t)(255 - v);
    }
}

static void histograms(const FblImage *image, uint32_t out[3][256]) {
    memset(out, 0, sizeof(uint32_t[3][256]));
    size_t count = values_of(image);
    for (size_t i = 0; i < count; i += 3) {
        for (size_t c = 0; c < 3; c++) {
            out[c][image->pixels[i + c]]++;
        }
    }
}

void fbl_pixels_autocontrast(FblImage *image) {
    uint32_t histogram[3][256];
    uint8_t table[3][256];
    histograms(image, histogram);
    for (int c = 0; c < 3; c++) {
        int low = 0, high = 255;
        while (low < 255 && histogram[c][low] == 0) {
            low++;
        }
        while (high > 0 && histogram[c][high] == 0) {
            high--;
        }
        double scale = high > low ? 255.0 / (high - low) : 1, offset = high > low ? -low * scale : 0;
        for (int v = 0; v < 256; v++) {
            table[c][v] = clipped((int)(v * scale + offset));
        }
    }
    map(image, (const uint8_t(*)[256])table);
}

void fbl_pixels_equalize(FblImage *image) {
    uint32_t histogram[3][256];
    uint8_t table[3][256];
    histograms(image, histogram);
    for (int c = 0; c < 3; c++) {
        uint32_t total = 0, last = 0, used = 0;
        for (int v = 0; v < 256; v++) {
            total += histogram[c][v];
            last = histogram[c][v] > 0 ? histogram[c][v] : last;
            used += histogram[c][v] > 0;
        }
        uint32_t step = (total - last) / 255, sum = step / 2;
        for (int v = 0; v < 256; v++) {
            bool plain = used <= 1 || step == 0;
            table[c][v] = plain ? (uint8_t)v : clipped((int)(sum / step));
            sum += histogram[c][v];
        }
    }
    map(image, (const uint8_t(*)[256])table);
}

void fbl_pixels_erase(FblImage *image, int64_t left, int64_t top, int64_t width, int64_t height) {
    int64_t right = left + width < image->width ? left + width : image->width;
    int64_t bottom = top + height < image->height ? top + height : image->height;
    left = left < 0 ? 0 : left;
    for (int64_t y = top < 0 ? 0 : top; y < bottom && left < right; y++) {
        memset(image->pixels + 3 * ((size_t)y * (size_t)image->width + (size_t)left), 0, 3 * (size_t)(right - left));
    }
}

// -------------------------------------------------------------------------------------------------- geometry

static void copy_pixel(const FblImage *from, int64_t x, int64_t y, uint8_t *to) {
    if (x >= 0 && x < from->width && y >= 0 && y < from->height) {
        memcpy(to, from->pixels + 3 * ((size_t)y * (size_t)from->width + (size_t)x), 3);
    }
}

static int64_t fixed(double value) {
    return (int64_t)floor(value * 65536.0 + 0.5);
}

// Output (x, y) is the input at (m0 x + m1 y + m2, m3 x + m4 y + m5), x and y being the middles of pixels. Pillow steps in
// 16 bits of fraction, and in floating point where rows and columns stay what they are.
static FblStatus transform(FblImage *image, const double m[6]) {
    FblImage out = {image->width, image->height, calloc(values_of(image) + 1, 1)};
    if (out.pixels == NULL) {
        return FBL_NOMEM;
    }
    bool straight = m[1] == 0 && m[3] == 0;
    double fy = m[5] + m[4] * 0.5;
    int64_t row_x = fixed(m[2] + m[0] * 0.5 + m[1] * 0.5), row_y = fixed(m[5] + m[3] * 0.5 + m[4] * 0.5);
    uint8_t *to = out.pixels;
    for (int32_t y = 0; y < out.height; y++, fy += m[4], row_x += fixed(m[1]), row_y += fixed(m[4])) {
        double fx = m[2] + m[0] * 0.5;
        int64_t at_x = row_x, at_y = row_y;
        for (int32_t x = 0; x < out.width; x++, to += 3, fx += m[0], at_x += fixed(m[0]), at_y += fixed(m[3])) {
            if (straight) {
                copy_pixel(image, fx < 0 ? -1 : (int64_t)fx, fy < 0 ? -1 : (int64_t)fy, to);
            } else {
                copy_pixel(image, at_x >> 16, at_y >> 16, to);
            }
        }
    }
    fbl_image_deinit(image);
    *image = out;
    return FBL_OK;
}

// The angle in degrees whose tangent is asked for, back in radians: torchvision's detour, with its rounding.
static double angle_of(double slope) {
    const double degree = 3.14159265358979323846 / 180.0;
    return atan(slope) * (180.0 / 3.14159265358979323846) * degree;
}

FblStatus fbl_pixels_shear(FblImage *image, double across, double down) {
    double sx = angle_of(across), sy = angle_of(down);
    double m[6] = {sin(sy) * tan(sx) / cos(sy) + 1, tan(sx), 0, tan(sy), 1, 0};
    return transform(image, m);
}

FblStatus fbl_pixels_translate(FblImage *image, int32_t across, int32_t down) {
    double m[6] = {1, 0, -(double)across, 0, 1, -(double)down};
    return transform(image, m);
}

static double to_15_digits(double x) {
    return rint(x * 1e15) / 1e15;
}

FblStatus fbl_pixels_rotate(FblImage *image, double degrees) {
    degrees = fmod(degrees, 360.0);
    degrees += degrees < 0 ? 360.0 : 0.0;
    if (degrees == 0) {
        return FBL_OK;
    }
    double angle = -(degrees * (3.14159265358979323846 / 180.0));
    double m[6] = {to_15_digits(cos(angle)), to_15_digits(sin(angle)), 0, to_15_digits(-sin(angle)), to_15_digits(cos(angle)), 0};
    double x = image->width / 2.0, y = image->height / 2.0;
    m[2] = m[0] * -x + m[1] * -y + m[2] + x;
    m[5] = m[3] * -x + m[4] * -y + m[5] + y;
    return transform(image, m);
}

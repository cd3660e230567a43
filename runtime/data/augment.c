#include "runtime/data/augment.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "runtime/data/pixels.h"
#include "runtime/data/policy.h"

_Static_assert((int)FBL_AUGMENT_RANDOM_CROP == FBL_WINDOW_RANDOM_CROP && (int)FBL_AUGMENT_RANDOM_FLIP == FBL_WINDOW_RANDOM_FLIP &&
                   (int)FBL_AUGMENT_CENTER_CROP == FBL_WINDOW_CENTER_CROP,
               "kinds of augmentation and of windows");

FblTransform fbl_transform_for_test(const FblTransform *train, const FblDataset *test) {
    FblTransform out = {0};
    memcpy(out.mean, train->mean, sizeof out.mean);
    memcpy(out.std, train->std, sizeof out.std);
    for (int i = 0; i < train->count; i++) {
        const FblAugment *op = &train->ops[i];
        if (op->kind == FBL_AUGMENT_RESIZE || op->kind == FBL_AUGMENT_CENTER_CROP) {
            out.ops[out.count++] = *op;
        } else if (op->kind == FBL_AUGMENT_RANDOM_RESIZED_CROP ||
                   (op->kind == FBL_AUGMENT_RANDOM_CROP && (test->height != op->size || test->width != op->size))) {
            if (op->kind == FBL_AUGMENT_RANDOM_RESIZED_CROP && out.count + 1 < FBL_AUGMENT_MAX) {
                out.ops[out.count++] = (FblAugment){.kind = FBL_AUGMENT_RESIZE, .size = op->size * 256 / 224};
            }
            if (out.count < FBL_AUGMENT_MAX) {
                out.ops[out.count++] = (FblAugment){.kind = FBL_AUGMENT_CENTER_CROP, .size = op->size};
            }
        }
    }
    return out;
}

// Whether height and width are known at this point of the transform.
typedef struct Size {
    int32_t height, width; // 0 = differs from image to image
    int32_t shorter;       // a lower bound of the shorter side; 0 = none
} Size;

// The kinds that leave the size as it is.
static FblStatus check_in_place(FblContext *ctx, const FblAugment *op) {
    static const char *const amounts[] = {"brightness", "contrast", "saturation", "hue"};
    for (int i = 0; op->kind == FBL_AUGMENT_COLOR_JITTER && i < 4; i++) {
        if (!(op->amount[i] >= 0 && op->amount[i] <= (i < 3 ? 1e6 : 0.5))) {
            return fbl_error(ctx, "E0810", FBL_NO_LOC, "the %s of color_jitter must be %s, not %g", amounts[i],
                             i < 3 ? "at least 0" : "between 0 and 0.5", op->amount[i]);
        }
    }
    if (op->kind == FBL_AUGMENT_CUTOUT && (op->size < 1 || op->size > 1 << 14 || op->count < 1 || op->count > 16)) {
        return fbl_error(ctx, "E0810", FBL_NO_LOC, "cutout needs a size of 1 to 16384 and a count of 1 to 16");
    }
    if (op->kind == FBL_AUGMENT_RAND_AUGMENT && (op->size < 0 || op->size > 30 || op->count < 1 || op->count > 16)) {
        return fbl_error(ctx, "E0810", FBL_NO_LOC, "rand_augment needs a magnitude of 0 to 30 and 1 to 16 operations");
    }
    return FBL_OK;
}

static FblStatus check_op(FblContext *ctx, const FblAugment *op, Size *size) {
    static const char *const names[] = {"random_crop", "random_flip", "random_resized_crop", "resize", "center_crop"};
    if (op->kind == FBL_AUGMENT_RANDOM_FLIP || op->kind > FBL_AUGMENT_CENTER_CROP) {
        return check_in_place(ctx, op);
    }
    const char *name = names[op->kind];
    if (op->size <= 0 || op->size > 1 << 14 || op->pad < 0 || op->pad > 1 << 14) {
        return fbl_error(ctx, "E0810", FBL_NO_LOC, "%s needs a size of 1 to 16384 and a padding of 0 to 16384", name);
    }
    if (op->kind == FBL_AUGMENT_RESIZE) {
        bool square = size->height > 0 && size->height == size->width;
        *size = (Size){square ? op->size : 0, square ? op->size : 0, op->size};
        return FBL_OK;
    }
    int32_t room = size->shorter + (op->kind == FBL_AUGMENT_RANDOM_CROP ? 2 * op->pad : 0);
    if (op->kind != FBL_AUGMENT_RANDOM_RESIZED_CROP && room < op->size) {
        FblDiag *diag =
            fbl_diag(ctx, FBL_ERROR, "E0810", FBL_NO_LOC, "%s of %d pixels does not fit the images", name, op->size);
        if (size->shorter > 0) {
            fbl_diag_hint(ctx, diag, "their shorter side is %d", size->shorter);
        } else {
            fbl_diag_hint(ctx, diag, "their sizes differ: put random_resized_crop(224) or resize(256) before it");
        }
        return FBL_USER;
    }
    *size = (Size){op->size, op->size, op->size};
    return FBL_OK;
}

FblStatus fbl_transform_check(FblContext *ctx, const FblTransform *transform, const FblDataset *data,
                              int32_t *out_height, int32_t *out_width) {
    Size size = {data->height, data->width, data->height < data->width ? data->height : data->width};
    for (int i = 0; i < transform->count; i++) {
        FBL_TRY(check_op(ctx, &transform->ops[i], &size));
    }
    if (size.height == 0 || size.width == 0) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0810", FBL_NO_LOC, "the images have different sizes");
        fbl_diag_hint(ctx, diag,
                      "bring them to one with random_resized_crop(224), or resize(256) and center_crop(224)");
        return FBL_USER;
    }
    for (int c = 0; c < 3; c++) {
        bool unset =
            transform->std[c] == 0 && transform->std[0] == 0 && transform->std[1] == 0 && transform->std[2] == 0;
        if (!unset && !(transform->std[c] > 0 && isfinite(transform->std[c]) && isfinite(transform->mean[c]))) {
            return fbl_error(ctx, "E0810", FBL_NO_LOC, "each std of the normalisation must be positive, not %g",
                             (double)transform->std[c]);
        }
    }
    *out_height = size.height;
    *out_width = size.width;
    return FBL_OK;
}

void fbl_norm_table_make(const FblTransform *transform, FblNormTable *out) {
    bool unset = transform->std[0] == 0 && transform->std[1] == 0 && transform->std[2] == 0;
    for (int c = 0; c < 3; c++) {
        for (int v = 0; v < 256; v++) {
            float value = (float)v / 255.0f;
            out->value[c][v] = unset ? value : (value - transform->mean[c]) / transform->std[c];
        }
    }
}

static int32_t below(FblRandom *random, int32_t bound) {
    return (int32_t)fbl_random_below(random, (uint32_t)bound);
}

// Moves the window as a crop or flip says; false for the kinds that need resampling.
static bool move_window(const FblAugment *op, FblRandom *random, FblWindow *w) {
    return fbl_window_move((int)op->kind, op->size, op->pad, random, w) != 0;
}

// Source pixels `step` bytes apart in a row and rows `pitch` bytes apart, one channel.
static void normalise_plane(const uint8_t *source, size_t step, size_t pitch, int32_t source_height,
                            int32_t source_width, const FblWindow *w, const float table[256], float *out) {
    int32_t first = w->left < 0 ? -w->left : 0; // columns first .. last - 1 of the unmirrored window are in the source
    int32_t last = w->left + w->width > source_width ? source_width - w->left : w->width;
    for (int32_t y = 0; y < w->height; y++, out += w->width) {
        int32_t sy = w->top + y;
        bool inside = sy >= 0 && sy < source_height;
        for (int32_t x = 0; x < w->width; x++) {
            out[x] = table[0];
        }
        for (int32_t x = first; inside && x < last; x++) {
            uint8_t value = source[(size_t)sy * pitch + (size_t)(w->left + x) * step];
            out[w->flip ? w->width - 1 - x : x] = table[value];
        }
    }
}

// The window cut out of an interleaved image, black outside.
static FblStatus cut(FblImage *image, const FblWindow *w) {
    FblImage out = {.width = w->width, .height = w->height};
    out.pixels = calloc((size_t)w->width * (size_t)w->height, 3);
    if (out.pixels == NULL) {
        return FBL_NOMEM;
    }
    for (int32_t y = 0; y < w->height; y++) {
        for (int32_t x = 0; x < w->width; x++) {
            int32_t sy = w->top + y;
            int32_t sx = w->left + x;
            if (sy >= 0 && sy < image->height && sx >= 0 && sx < image->width) {
                int32_t ox = w->flip ? w->width - 1 - x : x;
                memcpy(out.pixels + ((size_t)y * (size_t)w->width + (size_t)ox) * 3,
                       image->pixels + ((size_t)sy * (size_t)image->width + (size_t)sx) * 3, 3);
            }
        }
    }
    fbl_image_deinit(image);
    *image = out;
    return FBL_OK;
}

// The rectangle of torchvision's RandomResizedCrop: ten tries, then the largest middle part of an allowed shape.
static FblWindow random_rectangle(int32_t full_width, int32_t full_height, FblRandom *random) {
    const double low_ratio = 3.0 / 4.0;
    const double high_ratio = 4.0 / 3.0;
    double area = (double)full_width * full_height;
    for (int i = 0; i < 10; i++) {
        double target = area * (0.08 + 0.92 * fbl_random_unit(random));
        double ratio = exp(log(low_ratio) + (log(high_ratio) - log(low_ratio)) * fbl_random_unit(random));
        double width = rint(sqrt(target * ratio));
        double height = rint(sqrt(target / ratio));
        if (width > 0 && width <= full_width && height > 0 && height <= full_height) {
            int32_t w = (int32_t)width;
            int32_t h = (int32_t)height;
            int32_t top = below(random, full_height - h + 1);
            int32_t left = below(random, full_width - w + 1);
            return (FblWindow){top, left, h, w, false};
        }
    }
    int32_t width = full_width;
    int32_t height = full_height;
    double ratio = (double)width / height;
    if (ratio < low_ratio) {
        height = (int32_t)fmin(rint(width / low_ratio), height);
    } else if (ratio > high_ratio) {
        width = (int32_t)fmin(rint(height * high_ratio), width);
    }
    return (FblWindow){(full_height - height) / 2, (full_width - width) / 2, height, width, false};
}

// Brightness, contrast, saturation and hue in an order of their own for each image, as torchvision's ColorJitter.
static void jitter(const FblAugment *op, FblRandom *random, FblImage *image) {
    int order[4] = {0, 1, 2, 3};
    for (int i = 3; i > 0; i--) {
        int j = below(random, i + 1), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
    double factor[4];
    for (int i = 0; i < 4; i++) {
        double low = i < 3 ? fmax(0, 1 - op->amount[i]) : -op->amount[i];
        double high = i < 3 ? 1 + op->amount[i] : op->amount[i];
        factor[i] = low + (high - low) * fbl_random_unit(random);
    }
    for (int i = 0; i < 4; i++) {
        if (op->amount[order[i]] > 0) {
            switch (order[i]) {
            case 0:
                fbl_pixels_brightness(image, (float)factor[0]);
                break;
            case 1:
                fbl_pixels_contrast(image, (float)factor[1]);
                break;
            case 2:
                fbl_pixels_saturation(image, (float)factor[2]);
                break;
            default:
                fbl_pixels_hue(image, factor[3]);
            }
        }
    }
}

static void cut_out(const FblAugment *op, FblRandom *random, FblImage *image) {
    for (int i = 0; i < op->count; i++) {
        int64_t y = below(random, image->height), x = below(random, image->width);
        fbl_pixels_erase(image, x - op->size / 2, y - op->size / 2, op->size, op->size);
    }
}

static FblStatus resize_to(FblImage *image, const FblWindow *w, int32_t width, int32_t height) {
    FblImage out;
    FBL_TRY(fbl_image_resize(image, w->left, w->top, w->width, w->height, width, height, &out));
    fbl_image_deinit(image);
    *image = out;
    return FBL_OK;
}

// Where a resampling operation takes its pixels from and the size it brings them to; it depends on the size alone.
static bool plan_resample(const FblAugment *op, FblRandom *random, int32_t width, int32_t height, FblWindow *out_from,
                          int32_t *out_width, int32_t *out_height) {
    *out_width = *out_height = op->size;
    if (op->kind == FBL_AUGMENT_RANDOM_RESIZED_CROP) {
        *out_from = random_rectangle(width, height, random);
        return true;
    }
    *out_from = (FblWindow){0, 0, height, width, false};
    return fbl_image_shorter_size(width, height, op->size, out_width, out_height);
}

static FblStatus apply_op(const FblAugment *op, FblRandom *random, FblImage *image) {
    FblWindow w = {0, 0, image->height, image->width, false};
    int32_t width, height;
    switch (op->kind) {
    case FBL_AUGMENT_RANDOM_CROP:
    case FBL_AUGMENT_RANDOM_FLIP:
    case FBL_AUGMENT_CENTER_CROP:
        move_window(op, random, &w);
        return cut(image, &w);
    case FBL_AUGMENT_RANDOM_RESIZED_CROP:
    case FBL_AUGMENT_RESIZE:
        return plan_resample(op, random, image->width, image->height, &w, &width, &height) ? resize_to(image, &w, width, height) : FBL_NOMEM;
    case FBL_AUGMENT_COLOR_JITTER:
        jitter(op, random, image);
        return FBL_OK;
    case FBL_AUGMENT_CUTOUT:
        cut_out(op, random, image);
        return FBL_OK;
    case FBL_AUGMENT_AUTO_AUGMENT:
        return fbl_auto_augment(image, random);
    case FBL_AUGMENT_RAND_AUGMENT:
        return fbl_rand_augment(image, op->count, op->size, random);
    }
    return FBL_INTERNAL;
}

// In-memory images, when the window never reaches outside of an earlier one: no pixel is copied twice.
static bool apply_window(const FblTransform *transform, const FblNormTable *table, const FblDataset *data,
                         int64_t index, FblRandom random, float *out) {
    FblWindow w = {0, 0, data->height, data->width, false};
    int crops = 0;
    for (int i = 0; i < transform->count; i++) {
        crops += transform->ops[i].kind != FBL_AUGMENT_RANDOM_FLIP;
        if (crops > 1 || !move_window(&transform->ops[i], &random, &w)) {
            return false;
        }
    }
    size_t plane = (size_t)data->height * (size_t)data->width;
    const uint8_t *source = data->pixels + (size_t)index * 3 * plane;
    for (int c = 0; c < 3; c++) {
        normalise_plane(source + (size_t)c * plane, 1, (size_t)data->width, data->height, data->width, &w,
                        table->value[c], out + (size_t)c * (size_t)w.height * (size_t)w.width);
    }
    return true;
}

static FblStatus unpack(const FblDataset *data, int64_t index, FblImage *out) {
    size_t plane = (size_t)data->height * (size_t)data->width;
    *out = (FblImage){.width = data->width, .height = data->height, .pixels = malloc(3 * plane)};
    if (out->pixels == NULL) {
        return FBL_NOMEM;
    }
    const uint8_t *source = data->pixels + (size_t)index * 3 * plane;
    for (size_t i = 0; i < plane; i++) {
        for (size_t c = 0; c < 3; c++) {
            out->pixels[3 * i + c] = source[c * plane + i];
        }
    }
    return FBL_OK;
}

// A file's picture and the transform's first operation, when that resamples: what it does not need is not decoded.
static FblStatus decode_first(const FblAugment *op, FblRandom *random, const uint8_t *bytes, size_t size, FblImage *out,
                              FblImageError *error) {
    int32_t width, height, to_width, to_height;
    FblWindow from;
    FBL_TRY(fbl_image_size(bytes, size, &width, &height, error));
    if (!plan_resample(op, random, width, height, &from, &to_width, &to_height)) {
        return FBL_NOMEM;
    }
    FblImagePart part = {.left = from.left, .top = from.top, .width = from.width, .height = from.height,
                         .shrink = fbl_image_shrink(from.width, from.height, to_width, to_height)};
    FBL_TRY(fbl_image_decode_part(bytes, size, &part, error));
    bool whole = part.left == floor(part.left) && part.top == floor(part.top) && part.width == floor(part.width) && part.height == floor(part.height);
    FblStatus status = whole ? fbl_image_resize(&part.image, (int32_t)part.left, (int32_t)part.top, (int32_t)part.width, (int32_t)part.height, to_width, to_height, out)
                   : fbl_image_resize_part(&part.image, part.left, part.top, part.width, part.height, to_width, to_height, out);
    fbl_image_deinit(&part.image);
    return status;
}

static bool resamples_first(const FblTransform *transform) {
    FblAugmentKind kind = transform->ops[0].kind;
    return transform->count > 0 && (kind == FBL_AUGMENT_RANDOM_RESIZED_CROP || kind == FBL_AUGMENT_RESIZE);
}

// The picture of a file, the first operation done when that resamples.
static FblStatus read_file(const FblTransform *transform, FblRandom *random, const char *path, FblImage *out, FblImageError *error) {
    uint8_t *bytes;
    size_t size;
    FBL_TRY(fbl_image_load(path, &bytes, &size, error));
    FblStatus status = resamples_first(transform) ? decode_first(&transform->ops[0], random, bytes, size, out, error)
                                                  : fbl_image_decode(bytes, size, out, error);
    free(bytes);
    return status;
}

// The same of a packed picture, whose pixels are not ours.
static FblStatus read_packed(const FblTransform *transform, FblRandom *random, const FblPack *pack, int64_t index, FblImage *out,
                             FblImageError *error) {
    FblImage packed;
    if (!fbl_pack_picture(pack, index, &packed)) {
        snprintf(error->text, sizeof error->text, "it could not be decoded when the images were packed");
        return FBL_USER;
    }
    if (resamples_first(transform)) {
        FblWindow from;
        int32_t width, height;
        return plan_resample(&transform->ops[0], random, packed.width, packed.height, &from, &width, &height)
                   ? fbl_image_resize(&packed, from.left, from.top, from.width, from.height, width, height, out)
                   : FBL_NOMEM;
    }
    size_t bytes = 3 * (size_t)packed.width * (size_t)packed.height;
    *out = (FblImage){packed.width, packed.height, malloc(bytes)};
    if (out->pixels == NULL) {
        return FBL_NOMEM;
    }
    memcpy(out->pixels, packed.pixels, bytes);
    return FBL_OK;
}

static FblStatus read_first(const FblTransform *transform, FblRandom *random, const FblDataset *data, int64_t index, FblImage *out,
                            int *out_done, FblImageError *error) {
    *out_done = 0;
    if (data->paths == NULL) {
        return unpack(data, index, out);
    }
    *out_done = resamples_first(transform);
    return data->pack.bytes != NULL ? read_packed(transform, random, &data->pack, index, out, error)
                                    : read_file(transform, random, data->paths[index], out, error);
}

FblStatus fbl_transform_apply(const FblTransform *transform, const FblNormTable *table, const FblDataset *data,
                              int64_t index, uint64_t seed, int64_t epoch, int64_t position, int32_t height,
                              int32_t width, float *out, FblImageError *error) {
    FblRandom random = {.seed = seed,
                        .step = (uint64_t)epoch,
                        .next = (uint64_t)position * FBL_WORDS_PER_IMAGE,
                        .stream = FBL_STREAM_AUGMENT};
    error->text[0] = 0;
    if (data->pixels != NULL && apply_window(transform, table, data, index, random, out)) {
        return FBL_OK;
    }
    FblImage image = {0};
    int done = 0;
    FblStatus status = read_first(transform, &random, data, index, &image, &done, error);
    for (int i = done; i < transform->count && status == FBL_OK; i++) {
        status = apply_op(&transform->ops[i], &random, &image);
    }
    if (status == FBL_OK && (image.height != height || image.width != width)) {
        snprintf(error->text, sizeof error->text, "it comes out as %d x %d instead of %d x %d", image.width,
                 image.height, width, height);
        status = FBL_USER;
    }
    if (status == FBL_OK) {
        FblWindow all = {0, 0, height, width, false};
        for (int c = 0; c < 3; c++) {
            normalise_plane(image.pixels + c, 3, (size_t)width * 3, height, width, &all, table->value[c],
                            out + (size_t)c * (size_t)height * (size_t)width);
        }
    }
    fbl_image_deinit(&image);
    return status;
}

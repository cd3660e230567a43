// Decoding JPEG and PNG to RGB, and resizing.
//
// Errors come back as text, not as diagnostics, because loader threads decode and only one thread may use a context.
// Ownership: an image owns its pixels. Threads: no shared state.
#ifndef FBL_RUNTIME_DATA_IMAGE_H
#define FBL_RUNTIME_DATA_IMAGE_H

#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Interleaved RGB, rows without padding.
typedef struct FblImage {
    int32_t width, height;
    uint8_t *pixels;
} FblImage;

typedef struct FblImageError {
    char text[200];
} FblImageError;

// Pictures of more pixels than this are refused (a small file can claim a huge picture).
#define FBL_IMAGE_MAX_PIXELS (INT64_C(1) << 27)

// Decodes a JPEG or PNG held in memory; the content, not the name, says which. Grey, palette, CMYK and 16-bit pictures
// become 8-bit RGB; alpha is dropped. FBL_USER with a reason for anything damaged or unknown.
FblStatus fbl_image_decode(const uint8_t *bytes, size_t size, FblImage *out, FblImageError *error);

// Reads and decodes a file.
FblStatus fbl_image_read(const char *path, FblImage *out, FblImageError *error);

void fbl_image_deinit(FblImage *image);

// Antialiased bilinear resize of the rectangle (left, top, width, height) of `image` to out_width x out_height: the
// same fixed-point arithmetic as Pillow, so the same bytes.
FblStatus fbl_image_resize(const FblImage *image, int32_t left, int32_t top, int32_t width, int32_t height,
                           int32_t out_width, int32_t out_height, FblImage *out);

// The shorter side becomes `shorter` (the longer one int(shorter * longer / short)).
FblStatus fbl_image_resize_shorter(const FblImage *image, int32_t shorter, FblImage *out);

#endif

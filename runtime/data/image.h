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

// The bytes of a file (malloc'ed) of at most 256 MiB.
FblStatus fbl_image_load(const char *path, uint8_t **out_bytes, size_t *out_size, FblImageError *error);

// Width and height, from the header alone.
FblStatus fbl_image_size(const uint8_t *bytes, size_t size, int32_t *out_width, int32_t *out_height, FblImageError *error);

// A picture of which a part is needed, perhaps smaller than it is. On return (left, top, width, height) is the same part in
// `image`, whose pixels around it may be left out.
typedef struct FblImagePart {
    double left, top, width, height; // in: whole numbers
    int32_t shrink;                  // 1, 2, 4 or 8: a JPEG is decoded at that fraction of its size
    FblImage image;
} FblImagePart;

// Decodes at least the part. Without `shrink` its pixels are those that fbl_image_decode gives: only work is saved, above
// all for JPEGs (inverse transforms outside of the part, everything below it). A cut-off JPEG is refused even if the part
// itself is whole. A shrunk JPEG is its low-frequency part: see FBL_IMAGE_SHRINK_FROM.
FblStatus fbl_image_decode_part(const uint8_t *bytes, size_t size, FblImagePart *part, FblImageError *error);

// 2 when `from_width` x `from_height` pixels of a JPEG that become `to_width` x `to_height` should be decoded at half size,
// which is when the resize shrinks by FBL_IMAGE_SHRINK_FROM at least; else 1. Pixels then differ from those of a full decode
// by less than 1.5 of 255 in the mean and by less than 40 at the sharpest edges (tests/data/test_image_part.c). Smaller
// fractions are not used: chroma of some subsamplings loses too much.
#define FBL_IMAGE_SHRINK_FROM 2.0
int32_t fbl_image_shrink(double from_width, double from_height, int32_t to_width, int32_t to_height);

// Reads and decodes a file.
FblStatus fbl_image_read(const char *path, FblImage *out, FblImageError *error);

void fbl_image_deinit(FblImage *image);

// Antialiased bilinear resize of the rectangle (left, top, width, height) of `image` to out_width x out_height: the
// same fixed-point arithmetic as Pillow, so the same bytes.
FblStatus fbl_image_resize(const FblImage *image, int32_t left, int32_t top, int32_t width, int32_t height,
                           int32_t out_width, int32_t out_height, FblImage *out);

// The same of a part with fractional edges, as Pillow's resize(box=...) has it; it must lie inside the image.
FblStatus fbl_image_resize_part(const FblImage *image, double left, double top, double width, double height,
                                int32_t out_width, int32_t out_height, FblImage *out);

// The shorter side becomes `shorter` (the longer one int(shorter * longer / short)).
FblStatus fbl_image_resize_shorter(const FblImage *image, int32_t shorter, FblImage *out);

// The size that the above gives a picture of width x height; false when it is beyond all bounds.
bool fbl_image_shorter_size(int32_t width, int32_t height, int32_t shorter, int32_t *out_width, int32_t *out_height);

#endif

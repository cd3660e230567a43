// Changes of a picture's colours and geometry, each with the same bytes as Pillow's (as torchvision uses it).
//
// All work in place on interleaved RGB and fail only with FBL_NOMEM. Ownership: the image stays the caller's. Threads: no
// shared state.
#ifndef FBL_RUNTIME_DATA_PIXELS_H
#define FBL_RUNTIME_DATA_PIXELS_H

#include "runtime/data/image.h"

// The picture mixed with black, with its mean grey, with its grey version: factor 1 changes nothing, 0 leaves the other
// one, above 1 exaggerates.
void fbl_pixels_brightness(FblImage *image, float factor);
void fbl_pixels_contrast(FblImage *image, float factor);
void fbl_pixels_saturation(FblImage *image, float factor);

// Mixed with a smoothed version, as above.
FblStatus fbl_pixels_sharpness(FblImage *image, float factor);

// The hue turned by `turns` (-0.5 to 0.5) of the circle.
void fbl_pixels_hue(FblImage *image, double turns);

// The upper `bits` (0 to 8) of each value; values from `threshold` on inverted (255.5: none, 0: all).
void fbl_pixels_posterize(FblImage *image, int bits);
void fbl_pixels_solarize(FblImage *image, double threshold);

// Each channel stretched to the full range; each channel's histogram evened out.
void fbl_pixels_autocontrast(FblImage *image);
void fbl_pixels_equalize(FblImage *image);

// Black where `y` and `x` lie within the rectangle; what lies outside of the picture is ignored.
void fbl_pixels_erase(FblImage *image, int64_t left, int64_t top, int64_t width, int64_t height);

// Nearest neighbours, black outside. Shear: `across` pixels to the side a row (or `down` a column), about the corner.
FblStatus fbl_pixels_shear(FblImage *image, double across, double down);
FblStatus fbl_pixels_translate(FblImage *image, int32_t across, int32_t down);
FblStatus fbl_pixels_rotate(FblImage *image, double degrees); // against the clock, about the middle

#endif

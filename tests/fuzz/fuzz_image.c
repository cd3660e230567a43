// Any bytes as a picture: decoded and resized, or refused with a reason; a part of it holds the same pixels.
#include <stdlib.h>
#include <string.h>

#include "runtime/data/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Where the whole can be decoded a part can, unless the file is damaged in ways that only show at its end.
static void try_part(const uint8_t *data, size_t size, const FblImage *whole, int32_t shrink) {
    int32_t width = (whole->width + 1) / 2, height = (whole->height + 2) / 3, left = whole->width / 3, top = whole->height / 2;
    FblImagePart part = {.left = left, .top = top, .width = width, .height = height, .shrink = shrink};
    FblImage small;
    FblImageError error;
    if (fbl_image_decode_part(data, size, &part, &error) != FBL_OK) {
        if (error.text[0] == 0 || part.image.pixels != NULL) {
            abort();
        }
        return;
    }
    if (fbl_image_resize_part(&part.image, part.left, part.top, part.width, part.height, 7, 5, &small) != FBL_OK) {
        abort(); // a part lies inside of what was decoded
    }
    fbl_image_deinit(&small);
    fbl_image_deinit(&part.image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    FblImage image;
    FblImage small;
    FblImageError error;
    if (fbl_image_decode(data, size, &image, &error) != FBL_OK) {
        if (error.text[0] == 0 || image.pixels != NULL) {
            abort();
        }
        return 0;
    }
    if ((int64_t)image.width * image.height < 1 << 20 && fbl_image_resize_shorter(&image, 8, &small) == FBL_OK) {
        fbl_image_deinit(&small);
    }
    if ((int64_t)image.width * image.height < 1 << 20) {
        try_part(data, size, &image, 1);
        try_part(data, size, &image, 2);
    }
    fbl_image_deinit(&image);
    return 0;
}

// Any bytes as a picture: decoded and resized, or refused with a reason.
#include <stdlib.h>

#include "runtime/data/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    fbl_image_deinit(&image);
    return 0;
}

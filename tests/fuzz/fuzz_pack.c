// Any bytes as packed pictures, under the digest, count and size that they carry: what is accepted can be read to the last byte.
#include <stdlib.h>
#include <string.h>

#include "runtime/data/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 64) {
        return 0;
    }
    int64_t count;
    int32_t shorter;
    FblHash key;
    FblPack pack;
    memcpy(&count, data + 8, sizeof count);
    memcpy(&shorter, data + 16, sizeof shorter);
    memcpy(key.bytes, data + 24, sizeof key.bytes);
    if (!fbl_pack_parse(data, size, count, shorter, &key, &pack)) {
        return 0;
    }
    for (int64_t i = 0; i < pack.count; i++) {
        FblImage image;
        if (fbl_pack_picture(&pack, i, &image)) {
            volatile uint8_t last = image.pixels[3 * (size_t)image.width * (size_t)image.height - 1];
            (void)last;
        }
    }
    return 0;
}

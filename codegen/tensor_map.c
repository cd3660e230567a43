#include "codegen/tensor_map.h"

#define MAX_EXTENT ((int64_t)1 << 32)
#define MAX_STRIDE ((int64_t)1 << 40)

static bool between(int64_t x, int64_t low, int64_t high) {
    return x >= low && x <= high;
}

static bool valid_box(const FblTensorMap *map, int64_t element) {
    for (int d = 0; d < map->rank; d++) {
        if (!between(map->box[d], 1, 256)) {
            return false;
        }
    }
    return map->box[0] * element % 16 == 0 && map->box[0] * element <= map->swizzle;
}

static bool valid_pixels(const FblTensorMap *map, int64_t element) {
    for (int d = 0; d < 2; d++) {
        bool corners = between(map->lower[d], -128, 127) && between(map->upper[d], -128, 127);
        if (!corners || !between(map->steps[d], 1, 8) || map->extents[d + 1] + map->upper[d] <= map->lower[d]) {
            return false;
        }
    }
    return between(map->channels, 1, 256) && between(map->pixels, 1, 1024) && map->channels * element % 16 == 0 &&
           map->channels * element <= map->swizzle;
}

bool fbl_tensor_map_valid(const FblTensorMap *map, int64_t bytes) {
    bool pixels = map->kind == FBL_TENSOR_MAP_PIXELS;
    bool sane = (pixels || map->kind == FBL_TENSOR_MAP_TILED) &&
                between(map->format, FBL_TENSOR_MAP_BF16, FBL_TENSOR_MAP_F32) && map->rank == (pixels ? 4 : 3) &&
                (map->swizzle == 32 || map->swizzle == 64 || map->swizzle == 128) && map->offset >= 0 &&
                map->offset <= bytes && map->offset % 16 == 0;
    if (!sane) {
        return false;
    }
    int64_t element = fbl_tensor_map_element(map), left = bytes - map->offset;
    for (int d = 0; d < map->rank; d++) {
        bool dense = d == 0 ? map->strides[d] == element
                            : between(map->strides[d], 16, MAX_STRIDE - 1) && map->strides[d] % 16 == 0;
        // The last element's distance from the first, dimension by dimension: no product overflows, as each is checked
        // against `left`.
        if (!between(map->extents[d], 1, MAX_EXTENT) || !dense || map->extents[d] - 1 > left / map->strides[d]) {
            return false;
        }
        left -= (map->extents[d] - 1) * map->strides[d];
    }
    return left >= element && (pixels ? valid_pixels(map, element) : valid_box(map, element));
}

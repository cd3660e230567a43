// Tensor maps without a driver: cuTensorMapEncodeTiled and cuTensorMapEncodeIm2col for what shim_hopper.h and the software driver know,
// with the limits of the driver's reference. C and C++. An encoded map is a SoftMap in 128 bytes.
#ifndef FBL_TESTS_CUDA_SOFT_MAP_H
#define FBL_TESTS_CUDA_SOFT_MAP_H

#include <stdint.h>
#include <string.h>

#define SOFT_MAP_MARK 0x70616d66u

typedef struct SoftMap {
    uint64_t address, strides[4]; // bytes, from dimension 1 on
    uint32_t extents[5];          // innermost first
    uint32_t mark;
    uint16_t box[5];
    int16_t lower[3], upper[3];
    uint16_t channels, pixels;
    uint8_t steps[5];
    uint8_t walked, rank, element, swizzle; // bytes
} SoftMap;

// What both kinds have in common; false: CUDA_ERROR_INVALID_VALUE.
static inline int soft_map_common(SoftMap *map, int format, unsigned rank, const void *address, const uint64_t *extents, const uint64_t *strides, const uint32_t *steps,
                                  int interleave, int swizzle, int promotion, int fill) {
    memset(map, 0, sizeof *map);
    map->element = format == 6 || format == 9 ? 2 : format == 7 || format == 11 ? 4 : 0; // f16, bf16; f32, tf32
    if (map->element == 0 || rank < 3 || rank > 5 || (uintptr_t)address % 16 != 0 || interleave != 0 || swizzle < 1 || swizzle > 3 || promotion < 0 || promotion > 3 || fill != 0) {
        return 0;
    }
    map->mark = SOFT_MAP_MARK;
    map->address = (uint64_t)(uintptr_t)address;
    map->rank = (uint8_t)rank;
    map->swizzle = (uint8_t)(16 << swizzle);
    for (unsigned d = 0; d < rank; d++) {
        if (extents[d] == 0 || extents[d] > UINT32_MAX || steps[d] == 0 || steps[d] > 8) {
            return 0;
        }
        map->extents[d] = (uint32_t)extents[d];
        map->steps[d] = (uint8_t)steps[d];
    }
    for (unsigned d = 0; d + 1 < rank; d++) {
        if (strides[d] % 16 != 0 || strides[d] >> 40 != 0) {
            return 0;
        }
        map->strides[d] = strides[d];
    }
    return 1;
}

static inline int soft_map_tiled(void *out, int format, unsigned rank, const void *address, const uint64_t *extents, const uint64_t *strides, const uint32_t *box,
                                 const uint32_t *steps, int interleave, int swizzle, int promotion, int fill) {
    SoftMap map;
    if (!soft_map_common(&map, format, rank, address, extents, strides, steps, interleave, swizzle, promotion, fill)) {
        return 1;
    }
    for (unsigned d = 0; d < rank; d++) {
        if (box[d] == 0 || box[d] > 256) {
            return 1;
        }
        map.box[d] = (uint16_t)box[d];
    }
    if (box[0] * map.element % 16 != 0 || box[0] * map.element > map.swizzle) {
        return 1;
    }
    memset(out, 0, 128);
    memcpy(out, &map, sizeof map);
    return 0;
}

static inline int soft_map_pixels(void *out, int format, unsigned rank, const void *address, const uint64_t *extents, const uint64_t *strides, const int *lower,
                                  const int *upper, uint32_t channels, uint32_t pixels, const uint32_t *steps, int interleave, int swizzle, int promotion, int fill) {
    SoftMap map;
    if (!soft_map_common(&map, format, rank, address, extents, strides, steps, interleave, swizzle, promotion, fill) || rank != 4) {
        return 1;
    }
    for (unsigned d = 0; d < rank - 2; d++) {
        if (lower[d] < -128 || lower[d] > 127 || upper[d] < -128 || upper[d] > 127 || (int64_t)extents[d + 1] + upper[d] <= lower[d]) {
            return 1;
        }
        map.lower[d] = (int16_t)lower[d];
        map.upper[d] = (int16_t)upper[d];
    }
    if (channels == 0 || channels > 256 || pixels == 0 || pixels > 1024 || channels * map.element % 16 != 0 || channels * map.element > map.swizzle) {
        return 1;
    }
    map.walked = 1;
    map.channels = (uint16_t)channels;
    map.pixels = (uint16_t)pixels;
    memset(out, 0, 128);
    memcpy(out, &map, sizeof map);
    return 0;
}

#endif

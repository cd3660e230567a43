// The check of tensor maps that come from files: maps that the generator makes pass, each broken field is found, and
// whatever passes is one that the driver's reference allows (soft_map.h) and that stays inside its memory.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/target.h"
#include "soft_map.h"

#define BYTES 1048576

static const FblTensorMap tiled = {.kind = FBL_TENSOR_MAP_TILED,
                                   .format = FBL_TENSOR_MAP_BF16,
                                   .buffer = -1,
                                   .rank = 3,
                                   .offset = 256,
                                   .extents = {64, 100, 3},
                                   .strides = {2, 128, 12800},
                                   .box = {64, 128, 1},
                                   .swizzle = 128};
static const FblTensorMap pixels = {.kind = FBL_TENSOR_MAP_PIXELS,
                                    .format = FBL_TENSOR_MAP_F32,
                                    .buffer = 0,
                                    .rank = 4,
                                    .extents = {8, 9, 11, 2},
                                    .strides = {4, 32, 288, 3168},
                                    .lower = {-1, -1},
                                    .upper = {-1, -1},
                                    .steps = {1, 2},
                                    .channels = 8,
                                    .pixels = 64,
                                    .swizzle = 32};

static int failed;

static void expect(const FblTensorMap *map, bool want, const char *what) {
    if (fbl_tensor_map_valid(map, BYTES) != want) {
        fprintf(stderr, "%s is %s\n", what, want ? "refused" : "taken");
        failed = 1;
    }
}

#define BROKEN(base, field, value)                                                                                     \
    do {                                                                                                               \
        FblTensorMap map = base;                                                                                       \
        map.field = value;                                                                                             \
        expect(&map, false, #base " with " #field " = " #value);                                                       \
    } while (0)

static int encode(const FblTensorMap *map, void *out) {
    uint64_t extents[4], strides[4];
    uint32_t box[4], steps[4] = {1, (uint32_t)map->steps[0], (uint32_t)map->steps[1], 1}, ones[4] = {1, 1, 1, 1};
    for (int d = 0; d < map->rank; d++) {
        extents[d] = (uint64_t)map->extents[d];
        strides[d] = d + 1 < map->rank ? (uint64_t)map->strides[d + 1] : 0;
        box[d] = (uint32_t)map->box[d];
    }
    int format = map->format == FBL_TENSOR_MAP_BF16  ? 9
                 : map->format == FBL_TENSOR_MAP_F16 ? 6
                                                     : 7,
        swizzle = map->swizzle == 128  ? 3
                  : map->swizzle == 64 ? 2
                                       : 1;
    void *address = (void *)(uintptr_t)(4096 + map->offset);
    return map->kind == FBL_TENSOR_MAP_TILED
               ? soft_map_tiled(out, format, (unsigned)map->rank, address, extents, strides, box, ones, 0, swizzle, 2,
                                0)
               : soft_map_pixels(out, format, (unsigned)map->rank, address, extents, strides, map->lower, map->upper,
                                 (uint32_t)map->channels, (uint32_t)map->pixels, steps, 0, swizzle, 2, 0);
}

int main(void) {
    expect(&tiled, true, "a box");
    expect(&pixels, true, "a walk");
    BROKEN(tiled, kind, 2);
    BROKEN(tiled, format, 3);
    BROKEN(tiled, format, -1);
    BROKEN(tiled, rank, 5);
    BROKEN(tiled, rank, 0);
    BROKEN(tiled, offset, -16);
    BROKEN(tiled, offset, 8);
    BROKEN(tiled, offset, BYTES);
    BROKEN(tiled, extents[0], 0);
    BROKEN(tiled, extents[1], INT64_MAX);
    BROKEN(tiled, extents[2], 100); // beyond the memory
    BROKEN(tiled, strides[0], 4);
    BROKEN(tiled, strides[1], 0);
    BROKEN(tiled, strides[2], 12808);
    BROKEN(tiled, strides[2], INT64_MIN);
    BROKEN(tiled, box[0], 128); // wider than the swizzle
    BROKEN(tiled, box[1], 257);
    BROKEN(tiled, box[2], 0);
    BROKEN(tiled, swizzle, 16);
    BROKEN(pixels, rank, 3);
    BROKEN(pixels, lower[0], -129);
    BROKEN(pixels, upper[1], 128);
    BROKEN(pixels, upper[0], -10); // an empty rectangle
    BROKEN(pixels, steps[1], 9);
    BROKEN(pixels, steps[0], 0);
    BROKEN(pixels, channels, 16);
    BROKEN(pixels, channels, 0);
    BROKEN(pixels, pixels, 1025);
    // Bytes changed at random.
    uint64_t random = 7;
    size_t taken = 0;
    for (int i = 0; i < 200000; i++) {
        FblTensorMap map = i % 2 ? tiled : pixels;
        unsigned char encoded[128];
        for (int k = 0; k < 1 + i % 3; k++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            ((unsigned char *)&map)[(random >> 33) % sizeof map] = (unsigned char)(random >> 56);
        }
        if (!fbl_tensor_map_valid(&map, BYTES)) {
            continue;
        }
        taken++;
        int64_t last = map.offset;
        for (int d = 0; d < map.rank; d++) {
            last += (map.extents[d] - 1) * map.strides[d];
        }
        if (encode(&map, encoded) != 0 || last + fbl_tensor_map_element(&map) > BYTES) {
            fprintf(stderr, "a map that no driver takes passes, number %d\n", i);
            failed = 1;
        }
    }
    printf("%zu of 200000 changed maps pass\n", taken);
    return failed || taken < 1000;
}

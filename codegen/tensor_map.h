// Tensor maps: how the copy engine of a GPU (TMA, from sm_90 on) finds boxes of a tensor in memory. The code generator describes them
// with plain data, which compiled files carry; the runtime asks the driver to encode them for an address. Tests read the same data.
//
// Dimensions are innermost first; the innermost is dense. A box lies in shared memory as rows of `swizzle` bytes whose pieces of 16
// bytes are exchanged by the row's number, which makes them what a warpgroup product reads.
//   TILED   the box of `box` elements at the coordinates that the copy names; what is outside the tensor is zero
//   PIXELS  dimensions channel, width, height, image: `channels` of `pixels` pixels, from the pixel that the copy names on. The walk goes
//           along width, then height, then images, in steps of `steps`, inside the rectangle [lower, extent + upper) of (width,
//           height); the copy adds an offset, its tap, to where a pixel is read. (What the driver calls im2col.)
// Ownership: plain values. Threads: no state.
#ifndef FBL_CODEGEN_TENSOR_MAP_H
#define FBL_CODEGEN_TENSOR_MAP_H

#include <stdbool.h>
#include <stdint.h>

#define FBL_TENSOR_MAP_RANK 4
#define FBL_TENSOR_MAP_BYTES 128 // of an encoded map
#define FBL_TENSOR_MAP_ALIGN 128 // of its address: CUDA 12 asks for 64, CUDA 13 for 128

typedef enum FblTensorMapKind { FBL_TENSOR_MAP_TILED, FBL_TENSOR_MAP_PIXELS } FblTensorMapKind;
typedef enum FblTensorMapFormat { FBL_TENSOR_MAP_BF16, FBL_TENSOR_MAP_F16, FBL_TENSOR_MAP_F32 } FblTensorMapFormat;

typedef struct FblTensorMap {
    int32_t kind, format;
    int32_t buffer; // of the kernel's; -1: the workspace
    int32_t rank;   // TILED: 3; PIXELS: 4
    int64_t offset; // of the tensor in the buffer, in bytes
    int64_t extents[FBL_TENSOR_MAP_RANK];
    int64_t strides[FBL_TENSOR_MAP_RANK]; // in bytes; the innermost is the element's size
    int32_t box[FBL_TENSOR_MAP_RANK];     // TILED
    int32_t lower[2], upper[2], steps[2]; // PIXELS: width, height
    int32_t channels, pixels;
    int32_t swizzle; // bytes: 32, 64 or 128
} FblTensorMap;

static inline int64_t fbl_tensor_map_element(const FblTensorMap *map) { return map->format == FBL_TENSOR_MAP_F32 ? 4 : 2; }

// Whether the driver takes such a map (the limits of cuTensorMapEncodeTiled and cuTensorMapEncodeIm2col) and its tensor lies inside
// `bytes` of memory. Any content is safe to ask about.
bool fbl_tensor_map_valid(const FblTensorMap *map, int64_t bytes);

#endif

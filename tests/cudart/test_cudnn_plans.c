// What runtime/cuda/cudnn.c describes is taken by NVIDIA's own library: engines chosen for an H100 that is only described (described_cudnn.c), and made again from what was
// recorded. Skipped (77) where the library is not installed.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/library_work.h"
#include "runtime/cuda/cudnn.h"

enum { F32, TF32, BF16, F16, PRECISIONS }; // as FblCudaPrecision
static const char *const kinds[] = {"forward", "data gradient", "weight gradient"};
static const char *const precisions[] = {"f32", "tf32", "bf16", "f16"};

static FblConvolution convolution(FblContractionKind kind, int precision, const int64_t s[9]) {
    static const FblDtype factors[PRECISIONS] = {FBL_F32, FBL_F32, FBL_BF16, FBL_F16};
    FblContraction c = {.kind = kind, .n = s[0], .c = s[1], .h = s[2], .w = s[2], .o = s[3], .kh = s[4], .kw = s[4], .stride_h = s[5], .stride_w = s[5],
                        .pad_h = s[6], .pad_w = s[6], .dilation_h = s[7], .dilation_w = s[7], .groups = s[8]};
    c.oh = c.ow = (c.h + 2 * c.pad_h - (c.dilation_h * (c.kh - 1) + 1)) / c.stride_h + 1;
    FblDtype dtype = factors[precision];
    return (FblConvolution){.shape = c,
                            .x = {0, dtype, {c.n, c.c, c.h, c.w}},
                            .weight = {1, dtype, {c.o, c.c / c.groups, c.kh, c.kw}},
                            .y = {2, dtype, {c.n, c.o, c.oh, c.ow}},
                            .factors = dtype};
}

int main(void) {
    // Batch, channels, height and width, output channels, kernel, stride, padding, dilation, groups: a ResNet's, its first, and some that are less usual.
    static const int64_t shapes[][9] = {{64, 64, 56, 64, 3, 1, 1, 1, 1},  {64, 128, 56, 128, 3, 2, 1, 1, 1}, {64, 256, 56, 512, 1, 2, 0, 1, 1},
                                        {64, 64, 56, 256, 1, 1, 0, 1, 1}, {64, 3, 224, 64, 7, 2, 3, 1, 1},   {4, 16, 9, 24, 3, 1, 2, 2, 1}};
    FblCudaDevice device;
    int wrong = 0, cases = 0, knobs = 0;
    memset(&device, 0, sizeof device);
    if (!fbl_cudnn_open(&device)) {
        printf("skipped: %s\n", device.dnn_why);
        return 77;
    }
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (int kind = FBL_CONV_FORWARD; kind <= FBL_CONV_WEIGHT_GRAD; kind++) {
            for (int precision = 0; precision < PRECISIONS; precision++, cases++) {
                static const FblDevicePtr buffers[3] = {1 << 20, 2 << 20, 3 << 20}; // addresses of no memory: nothing is launched
                FblConvolution c = convolution((FblContractionKind)kind, precision, shapes[s]);
                FblGpuLibrary library;
                FblDnnCall *call = NULL;
                bool chosen = fbl_cudnn_choose(&device, &c, precision, &library), again = chosen && fbl_cudnn_prepare(&device, &c, &library, buffers, 4 << 20, &call);
                printf("%s %s of case %zu: %s%s\n", precisions[precision], kinds[kind], s, chosen ? library.name : "no engine", chosen && !again ? ", not made again" : "");
                wrong += !again;
                knobs += library.algorithm[1] > 0;
                fbl_cudnn_destroy(call);
            }
        }
    }
    fbl_cudnn_close(device.dnn);
    printf("%d cases, %d wrong, %d engines with knobs\n", cases, wrong, knobs);
    return wrong > 0 || knobs == 0; // most of its engines have some: reading none would be our mistake
}

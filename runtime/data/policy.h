// Learned and random augmentation policies: AutoAugment's for CIFAR-10 (Cubuk et al. 2019) and RandAugment (Cubuk et al.
// 2020), with the operations and strengths of torchvision's.
//
// Ownership: plain values. Threads: no state.
#ifndef FBL_RUNTIME_DATA_POLICY_H
#define FBL_RUNTIME_DATA_POLICY_H

#include "runtime/data/image.h"
#include "runtime/data/random.h"

typedef enum FblPolicyOp {
    FBL_POLICY_IDENTITY,
    FBL_POLICY_SHEAR_X,
    FBL_POLICY_SHEAR_Y,
    FBL_POLICY_TRANSLATE_X,
    FBL_POLICY_TRANSLATE_Y,
    FBL_POLICY_ROTATE,
    FBL_POLICY_BRIGHTNESS,
    FBL_POLICY_COLOR,
    FBL_POLICY_CONTRAST,
    FBL_POLICY_SHARPNESS,
    FBL_POLICY_POSTERIZE,
    FBL_POLICY_SOLARIZE,
    FBL_POLICY_AUTOCONTRAST,
    FBL_POLICY_EQUALIZE,
    FBL_POLICY_INVERT, // AutoAugment only
    FBL_POLICY_OP_COUNT
} FblPolicyOp;

// The strength of `op` at step `level` of `bins` evenly spaced ones (0 .. bins - 1) for a picture of this size, without its
// sign; *out_signed says whether it has one.
double fbl_policy_strength(FblPolicyOp op, int level, int bins, int32_t width, int32_t height, bool *out_signed);

// Applies one operation at a strength.
FblStatus fbl_policy_apply(FblPolicyOp op, double strength, FblImage *image);

// One of the 25 pairs of operations, each with its probability.
FblStatus fbl_auto_augment(FblImage *image, FblRandom *random);

// `count` operations drawn out of 14, at `level` of 31.
FblStatus fbl_rand_augment(FblImage *image, int count, int level, FblRandom *random);

#endif

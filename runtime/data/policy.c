#include "runtime/data/policy.h"

#include <math.h>

#include "runtime/data/pixels.h"

#define RAND_OPS FBL_POLICY_INVERT // RandAugment draws from those before
#define RAND_BINS 31
#define AUTO_BINS 10

// Element `i` of `count` evenly spaced numbers in single precision, counted from the nearer end as PyTorch does.
static double spaced(double first, double last, int i, int count) {
    float step = ((float)last - (float)first) / (float)(count - 1);
    return (double)(i < count / 2 ? (float)first + step * (float)i : (float)last - step * (float)(count - 1 - i));
}

double fbl_policy_strength(FblPolicyOp op, int level, int bins, int32_t width, int32_t height, bool *out_signed) {
    *out_signed = op >= FBL_POLICY_SHEAR_X && op <= FBL_POLICY_SHARPNESS;
    switch (op) {
    case FBL_POLICY_SHEAR_X:
    case FBL_POLICY_SHEAR_Y:
        return spaced(0, 0.3, level, bins);
    case FBL_POLICY_TRANSLATE_X:
        return spaced(0, 150.0 / 331.0 * width, level, bins);
    case FBL_POLICY_TRANSLATE_Y:
        return spaced(0, 150.0 / 331.0 * height, level, bins);
    case FBL_POLICY_ROTATE:
        return spaced(0, 30, level, bins);
    case FBL_POLICY_BRIGHTNESS:
    case FBL_POLICY_COLOR:
    case FBL_POLICY_CONTRAST:
    case FBL_POLICY_SHARPNESS:
        return spaced(0, 0.9, level, bins);
    case FBL_POLICY_POSTERIZE:
        return 8 - rint((double)((float)level / (float)((bins - 1) / 4.0)));
    case FBL_POLICY_SOLARIZE:
        return spaced(255, 0, level, bins);
    case FBL_POLICY_IDENTITY:
    case FBL_POLICY_AUTOCONTRAST:
    case FBL_POLICY_EQUALIZE:
    case FBL_POLICY_INVERT:
    case FBL_POLICY_OP_COUNT:
        break;
    }
    return 0;
}

FblStatus fbl_policy_apply(FblPolicyOp op, double strength, FblImage *image) {
    float factor = (float)(1.0 + strength);
    switch (op) {
    case FBL_POLICY_SHEAR_X:
        return fbl_pixels_shear(image, strength, 0);
    case FBL_POLICY_SHEAR_Y:
        return fbl_pixels_shear(image, 0, strength);
    case FBL_POLICY_TRANSLATE_X:
        return fbl_pixels_translate(image, (int32_t)strength, 0);
    case FBL_POLICY_TRANSLATE_Y:
        return fbl_pixels_translate(image, 0, (int32_t)strength);
    case FBL_POLICY_ROTATE:
        return fbl_pixels_rotate(image, strength);
    case FBL_POLICY_BRIGHTNESS:
        fbl_pixels_brightness(image, factor);
        break;
    case FBL_POLICY_COLOR:
        fbl_pixels_saturation(image, factor);
        break;
    case FBL_POLICY_CONTRAST:
        fbl_pixels_contrast(image, factor);
        break;
    case FBL_POLICY_SHARPNESS:
        return fbl_pixels_sharpness(image, factor);
    case FBL_POLICY_POSTERIZE:
        fbl_pixels_posterize(image, (int)strength);
        break;
    case FBL_POLICY_SOLARIZE:
        fbl_pixels_solarize(image, strength);
        break;
    case FBL_POLICY_AUTOCONTRAST:
        fbl_pixels_autocontrast(image);
        break;
    case FBL_POLICY_EQUALIZE:
        fbl_pixels_equalize(image);
        break;
    case FBL_POLICY_INVERT:
        fbl_pixels_solarize(image, 0);
        break;
    case FBL_POLICY_IDENTITY:
    case FBL_POLICY_OP_COUNT:
        break;
    }
    return FBL_OK;
}

typedef struct Step {
    FblPolicyOp op;
    double probability;
    int level;
} Step;

// The policy that was found for CIFAR-10: appendix of the paper.
static const Step cifar10[25][2] = {
    {{FBL_POLICY_INVERT, 0.1, 0}, {FBL_POLICY_CONTRAST, 0.2, 6}},
    {{FBL_POLICY_ROTATE, 0.7, 2}, {FBL_POLICY_TRANSLATE_X, 0.3, 9}},
    {{FBL_POLICY_SHARPNESS, 0.8, 1}, {FBL_POLICY_SHARPNESS, 0.9, 3}},
    {{FBL_POLICY_SHEAR_Y, 0.5, 8}, {FBL_POLICY_TRANSLATE_Y, 0.7, 9}},
    {{FBL_POLICY_AUTOCONTRAST, 0.5, 0}, {FBL_POLICY_EQUALIZE, 0.9, 0}},
    {{FBL_POLICY_SHEAR_Y, 0.2, 7}, {FBL_POLICY_POSTERIZE, 0.3, 7}},
    {{FBL_POLICY_COLOR, 0.4, 3}, {FBL_POLICY_BRIGHTNESS, 0.6, 7}},
    {{FBL_POLICY_SHARPNESS, 0.3, 9}, {FBL_POLICY_BRIGHTNESS, 0.7, 9}},
    {{FBL_POLICY_EQUALIZE, 0.6, 0}, {FBL_POLICY_EQUALIZE, 0.5, 0}},
    {{FBL_POLICY_CONTRAST, 0.6, 7}, {FBL_POLICY_SHARPNESS, 0.6, 5}},
    {{FBL_POLICY_COLOR, 0.7, 7}, {FBL_POLICY_TRANSLATE_X, 0.5, 8}},
    {{FBL_POLICY_EQUALIZE, 0.3, 0}, {FBL_POLICY_AUTOCONTRAST, 0.4, 0}},
    {{FBL_POLICY_TRANSLATE_Y, 0.4, 3}, {FBL_POLICY_SHARPNESS, 0.2, 6}},
    {{FBL_POLICY_BRIGHTNESS, 0.9, 6}, {FBL_POLICY_COLOR, 0.2, 8}},
    {{FBL_POLICY_SOLARIZE, 0.5, 2}, {FBL_POLICY_INVERT, 0.0, 0}},
    {{FBL_POLICY_EQUALIZE, 0.2, 0}, {FBL_POLICY_AUTOCONTRAST, 0.6, 0}},
    {{FBL_POLICY_EQUALIZE, 0.2, 0}, {FBL_POLICY_EQUALIZE, 0.6, 0}},
    {{FBL_POLICY_COLOR, 0.9, 9}, {FBL_POLICY_EQUALIZE, 0.6, 0}},
    {{FBL_POLICY_AUTOCONTRAST, 0.8, 0}, {FBL_POLICY_SOLARIZE, 0.2, 8}},
    {{FBL_POLICY_BRIGHTNESS, 0.1, 3}, {FBL_POLICY_COLOR, 0.7, 0}},
    {{FBL_POLICY_SOLARIZE, 0.4, 5}, {FBL_POLICY_AUTOCONTRAST, 0.9, 0}},
    {{FBL_POLICY_TRANSLATE_Y, 0.9, 9}, {FBL_POLICY_TRANSLATE_Y, 0.7, 9}},
    {{FBL_POLICY_AUTOCONTRAST, 0.9, 0}, {FBL_POLICY_SOLARIZE, 0.8, 3}},
    {{FBL_POLICY_EQUALIZE, 0.8, 0}, {FBL_POLICY_INVERT, 0.1, 0}},
    {{FBL_POLICY_TRANSLATE_Y, 0.7, 9}, {FBL_POLICY_AUTOCONTRAST, 0.9, 0}},
};

static FblStatus apply_level(FblPolicyOp op, int level, int bins, FblImage *image, FblRandom *random) {
    bool has_sign;
    double strength = fbl_policy_strength(op, level, bins, image->width, image->height, &has_sign);
    bool negative = fbl_random_next(random) >> 31 != 0; // drawn for every operation: the others do not shift
    return fbl_policy_apply(op, has_sign && negative ? -strength : strength, image);
}

FblStatus fbl_auto_augment(FblImage *image, FblRandom *random) {
    const Step *steps = cifar10[fbl_random_below(random, 25)];
    for (int i = 0; i < 2; i++) {
        bool wanted = fbl_random_unit(random) <= steps[i].probability;
        if (wanted) {
            FBL_TRY(apply_level(steps[i].op, steps[i].level, AUTO_BINS, image, random));
        }
    }
    return FBL_OK;
}

FblStatus fbl_rand_augment(FblImage *image, int count, int level, FblRandom *random) {
    for (int i = 0; i < count; i++) {
        FblPolicyOp op = (FblPolicyOp)fbl_random_below(random, RAND_OPS);
        FBL_TRY(apply_level(op, level, RAND_BINS, image, random));
    }
    return FBL_OK;
}

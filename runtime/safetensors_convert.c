#include "runtime/safetensors.h"

#include <math.h>
#include <string.h>

float fbl_bf16_to_f32(uint16_t bits) {
    uint32_t word = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

uint16_t fbl_f32_to_bf16(float value) {
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    if (value != value) {
        return (uint16_t)(word >> 16 | 0x40); // quiet, and never rounded up into infinity
    }
    return (uint16_t)((word + 0x7FFF + (word >> 16 & 1)) >> 16);
}

float fbl_f16_to_f32(uint16_t bits) {
    int exponent = bits >> 10 & 31;
    int fraction = bits & 1023;
    float value;
    if (exponent == 0) {
        value = ldexpf((float)fraction, -24);
    } else if (exponent < 31) {
        value = ldexpf((float)(fraction + 1024), exponent - 25);
    } else {
        uint32_t word = 0x7F800000u | (uint32_t)fraction << 13 | (fraction != 0 ? 0x400000u : 0u);
        memcpy(&value, &word, sizeof value);
    }
    return bits & 0x8000 ? -value : value;
}

uint16_t fbl_f32_to_f16(float value) {
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    uint16_t sign = (uint16_t)(word >> 16 & 0x8000);
    word &= 0x7FFFFFFF;
    if (word > 0x7F800000) {
        return (uint16_t)(sign | 0x7E00 | (word >> 13 & 0x1FF));
    }
    if (word >= 0x477FF000) { // 65520 and above round to infinity
        return (uint16_t)(sign | 0x7C00);
    }
    if (word < 0x38800000) { // below the smallest normal f16: a multiple of 2^-24
        float magnitude;
        memcpy(&magnitude, &word, sizeof magnitude);
        return (uint16_t)(sign | (uint16_t)rintf(magnitude * 0x1p24f));
    }
    word += 0xFFF + (word >> 13 & 1);
    return (uint16_t)(sign | ((word >> 13) - (112 << 10)));
}

// Element `i` as a double: exact for every type but I64 beyond 2^53, which to_i32 reads by itself.
static double element(const FblFileTensor *tensor, int64_t i) {
    const char *at = (const char *)tensor->data + (size_t)i * fbl_file_dtype_size(tensor->dtype);
    switch (tensor->dtype) {
    case FBL_FILE_F32: {
        float value;
        memcpy(&value, at, sizeof value);
        return (double)value;
    }
    case FBL_FILE_F64: {
        double value;
        memcpy(&value, at, sizeof value);
        return value;
    }
    case FBL_FILE_F16:
    case FBL_FILE_BF16: {
        uint16_t value;
        memcpy(&value, at, sizeof value);
        return (double)(tensor->dtype == FBL_FILE_F16 ? fbl_f16_to_f32(value) : fbl_bf16_to_f32(value));
    }
    case FBL_FILE_I64: {
        int64_t value;
        memcpy(&value, at, sizeof value);
        return (double)value;
    }
    case FBL_FILE_I32: {
        int32_t value;
        memcpy(&value, at, sizeof value);
        return (double)value;
    }
    case FBL_FILE_U8:
        return (double)*(const uint8_t *)at;
    case FBL_FILE_BOOL:
        return *(const uint8_t *)at != 0 ? 1.0 : 0.0;
    case FBL_FILE_DTYPE_COUNT:
        break;
    }
    return (double)NAN;
}

bool fbl_file_tensor_to_f32(const FblFileTensor *tensor, float *out, int64_t count) {
    if (count != fbl_file_tensor_elements(tensor)) {
        return false;
    }
    if (tensor->dtype == FBL_FILE_F32) {
        if (count > 0) {
            memcpy(out, tensor->data, tensor->size);
        }
        return true;
    }
    for (int64_t i = 0; i < count; i++) {
        out[i] = (float)element(tensor, i);
    }
    return true;
}

bool fbl_file_tensor_to_f64(const FblFileTensor *tensor, double *out, int64_t count) {
    if (count != fbl_file_tensor_elements(tensor)) {
        return false;
    }
    for (int64_t i = 0; i < count; i++) {
        out[i] = element(tensor, i);
    }
    return true;
}

bool fbl_file_tensor_to_i32(const FblFileTensor *tensor, int32_t *out, int64_t count) {
    if (count != fbl_file_tensor_elements(tensor)) {
        return false;
    }
    for (int64_t i = 0; i < count; i++) {
        // Rounding an I64 to double cannot bring it into the range of i32 from outside.
        double value = element(tensor, i);
        if (!(value >= INT32_MIN && value <= INT32_MAX) || value != floor(value)) {
            return false;
        }
        out[i] = (int32_t)value;
    }
    return true;
}

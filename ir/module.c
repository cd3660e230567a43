#include "ir/module.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/philox.h"

const FblValue *fbl_value_get(const FblValue *call, const char *key, int position) {
    int at = 0;
    if (call == NULL || (call->kind != FBL_VALUE_LIST && call->kind != FBL_VALUE_CALL)) {
        return NULL;
    }
    for (size_t i = 0; i < call->count; i++) {
        const char *have = call->keys == NULL ? NULL : call->keys[i];
        if (have != NULL) {
            if (key != NULL && strcmp(have, key) == 0) {
                return &call->items[i];
            }
        } else if (at++ == position && position >= 0) {
            return &call->items[i];
        }
    }
    return NULL;
}

bool fbl_loss_scale_is_state(const char *path) {
    return strcmp(path, FBL_LOSS_SCALE_STATE) == 0 || strcmp(path, FBL_GOOD_STEPS_STATE) == 0 || strcmp(path, FBL_SKIPPED_STATE) == 0 || strcmp(path, FBL_APPLIED_STATE) == 0;
}

const FblParam *fbl_param_find(const FblParamList *list, FblName path) {
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].path == path) {
            return &list->items[i];
        }
    }
    return NULL;
}

// Box-Muller on the elements' own words: element i takes words 2i and 2i+1, so any element can be drawn alone.
static double normal_at(uint64_t seed, uint32_t stream, uint64_t index) {
    double u = (double)fbl_uniform_f32(fbl_random_u32(seed, stream, 0, 2 * index));
    double v = (double)fbl_uniform_f32(fbl_random_u32(seed, stream, 0, 2 * index + 1));
    return sqrt(-2 * log(u)) * cos(6.283185307179586477 * v);
}

void fbl_init_tensor(const FblParam *param, uint64_t seed, double *out) {
    int64_t elements = fbl_type_elements(&param->type);
    uint32_t stream = (uint32_t)fbl_hash_u64(param->path, strlen(param->path));
    for (int64_t i = 0; i < elements; i++) {
        double value = param->init.a;
        if (param->init.kind == FBL_INIT_NORMAL) {
            value = param->init.a + param->init.b * normal_at(seed, stream, (uint64_t)i);
        } else if (param->init.kind == FBL_INIT_UNIFORM) {
            double u = (double)fbl_uniform_f32(fbl_random_u32(seed, stream, 0, (uint64_t)i));
            value = param->init.a + (param->init.b - param->init.a) * u;
        }
        out[i] = (double)(float)value;
    }
}

bool fbl_shard_is_input(const char *name) { return strncmp(name, FBL_SHARD_INPUT, strlen(FBL_SHARD_INPUT)) == 0; }

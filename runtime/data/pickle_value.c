#include "runtime/data/pickle.h"

#include <string.h>

const FblPickleValue *fbl_pickle_get(const FblPickleValue *dict, const char *key) {
    size_t length = strlen(key);
    for (size_t i = 0; dict->kind == FBL_PICKLE_DICT && i + 1 < dict->count; i += 2) {
        const FblPickleValue *item = dict->items[i];
        if (item->kind == FBL_PICKLE_STRING && item->length == length && memcmp(item->text, key, length) == 0) {
            return dict->items[i + 1];
        }
    }
    return NULL;
}

bool fbl_pickle_u8_array(const FblPickleValue *value, int rank, int64_t *out_shape, const uint8_t **out_data) {
    if (value == NULL || value->kind != FBL_PICKLE_ARRAY || value->count != 2 || value->integer != 0 ||
        value->length != 2 || memcmp(value->text, "u1", 2) != 0 || value->items[0]->count != (size_t)rank) {
        return false;
    }
    int64_t total = 1;
    for (int i = 0; i < rank; i++) {
        const FblPickleValue *extent = value->items[0]->items[i];
        if (extent->kind != FBL_PICKLE_INT || !fbl_mul_i64(total, extent->integer, &total)) {
            return false;
        }
        out_shape[i] = extent->integer;
    }
    if ((uint64_t)total != value->items[1]->length) {
        return false;
    }
    *out_data = (const uint8_t *)value->items[1]->text;
    return true;
}

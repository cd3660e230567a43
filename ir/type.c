#include "ir/graph.h"

#include "ir/text.h"

FblType fbl_type_scalar(FblDtype dtype) {
    return (FblType){.dtype = dtype};
}

void fbl_type_add_axis(FblType *type, FblName name, int64_t extent) {
    type->axes[type->rank++] = (FblAxis){name, extent};
}

int fbl_type_find(const FblType *type, FblName axis) {
    for (int i = 0; i < type->rank; i++) {
        if (type->axes[i].name == axis) {
            return i;
        }
    }
    return -1;
}

static bool same_element(const FblType *a, const FblType *b) {
    return a->dtype == b->dtype && a->index_axis == b->index_axis &&
           (a->index_axis == NULL || a->index_extent == b->index_extent);
}

bool fbl_type_equal(const FblType *a, const FblType *b) {
    if (!same_element(a, b) || a->rank != b->rank) {
        return false;
    }
    for (int i = 0; i < a->rank; i++) {
        if (a->axes[i].name != b->axes[i].name || a->axes[i].extent != b->axes[i].extent) {
            return false;
        }
    }
    return true;
}

bool fbl_type_same_axes(const FblType *a, const FblType *b) {
    if (a->rank != b->rank) {
        return false;
    }
    for (int i = 0; i < a->rank; i++) {
        int j = fbl_type_find(b, a->axes[i].name);
        if (j < 0 || b->axes[j].extent != a->axes[i].extent) {
            return false;
        }
    }
    return true;
}

int64_t fbl_type_elements(const FblType *type) {
    int64_t elements = 1;
    for (int i = 0; i < type->rank; i++) {
        if (!fbl_mul_i64(elements, type->axes[i].extent, &elements)) {
            return -1;
        }
    }
    return elements;
}

const char *fbl_dtype_name(FblDtype dtype) {
    switch (dtype) {
    case FBL_F32:
        return "f32";
    case FBL_I32:
        return "i32";
    case FBL_BOOL:
        return "bool";
    case FBL_BF16:
        return "bf16";
    case FBL_F16:
        return "f16";
    }
    return "?";
}

const char *fbl_type_string(FblContext *ctx, const FblType *type) {
    FblText text;
    fbl_text_init(&text, fbl_context_arena(ctx));
    fbl_text_type(&text, type, false);
    return text.data;
}

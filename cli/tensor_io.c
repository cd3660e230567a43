#include "cli/tensor_io.h"

#include <stdlib.h>
#include <string.h>

#include "base/diag.h"

static const char *file_shape(FblContext *ctx, const FblFileTensor *tensor) {
    const char *text = "";
    for (int d = 0; d < tensor->rank; d++) {
        text = fbl_arena_printf(fbl_context_arena(ctx), "%s%s%lld", text, d ? ", " : "", (long long)tensor->shape[d]);
    }
    return text;
}

static FblStatus shape_error(FblContext *ctx, const char *path, const FblFileTensor *tensor, const FblType *type) {
    return fbl_error(ctx, "E0730", FBL_NO_LOC, "%s: tensor `%s` is %s[%s], but the program needs %s", path, tensor->name,
                     fbl_file_dtype_name(tensor->dtype), file_shape(ctx, tensor), fbl_type_string(ctx, type));
}

FblStatus fbl_tensor_from_file(FblContext *ctx, const FblTensorFile *file, const char *path, const char *name,
                               const FblType *type, FblTensor *out_tensor, bool *out_found) {
    const FblFileTensor *tensor = fbl_tensor_file_find(file, name);
    *out_found = tensor != NULL;
    if (!tensor) {
        return FBL_OK;
    }
    int64_t elements = fbl_type_elements(type);
    bool fits = tensor->rank == type->rank || (type->rank == 0 && fbl_file_tensor_elements(tensor) == 1);
    for (int32_t d = 0; fits && d < type->rank; d++) {
        fits = tensor->shape[d] == type->axes[d].extent;
    }
    if (!fits || elements < 0) {
        return shape_error(ctx, path, tensor, type);
    }
    FBL_TRY(fbl_tensor_create(type, out_tensor));
    if (!fbl_file_tensor_to_f64(tensor, out_tensor->data, elements)) {
        fbl_tensor_free(out_tensor);
        return shape_error(ctx, path, tensor, type);
    }
    for (int64_t i = 0; type->index_axis && i < elements; i++) {
        double label = out_tensor->data[i];
        if (!(label >= 0 && label < (double)type->index_extent) || label != (double)(int64_t)label) {
            fbl_tensor_free(out_tensor);
            return fbl_error(ctx, "E0731", FBL_NO_LOC, "%s: `%s` holds %g at element %lld, but axis `%s` has the indices 0 to %lld", path, name,
                             label, (long long)i, type->index_axis, (long long)type->index_extent - 1);
        }
    }
    return FBL_OK;
}

void fbl_dump_init(FblDump *dump, bool f64) {
    memset(dump, 0, sizeof *dump);
    fbl_arena_init(&dump->arena);
    dump->f64 = f64;
}

void fbl_dump_deinit(FblDump *dump) { fbl_arena_deinit(&dump->arena); }

void fbl_dump_add(FblDump *dump, const char *name, const FblType *type, const double *values) {
    int64_t elements = fbl_type_elements(type);
    void *data;
    if (dump->f64) {
        double *copy = fbl_arena_array(&dump->arena, (size_t)elements, sizeof *copy);
        memcpy(copy, values, (size_t)elements * sizeof *copy);
        data = copy;
    } else {
        float *copy = fbl_arena_array(&dump->arena, (size_t)elements, sizeof *copy);
        for (int64_t i = 0; i < elements; i++) {
            copy[i] = (float)values[i];
        }
        data = copy;
    }
    int64_t shape[FBL_MAX_RANK];
    for (int32_t d = 0; d < type->rank; d++) {
        shape[d] = type->axes[d].extent;
    }
    FblFileTensor tensor;
    const char *own_name = fbl_arena_strndup(&dump->arena, name, strlen(name));
    if (fbl_file_tensor_init(&tensor, own_name, dump->f64 ? FBL_FILE_F64 : FBL_FILE_F32, type->rank, shape, data)) {
        FBL_PUSH(&dump->arena, dump->tensors, dump->count, dump->capacity, tensor);
    }
}

FblStatus fbl_dump_write(FblContext *ctx, FblDump *dump, const char *path) {
    return fbl_tensor_file_write(ctx, path, dump->tensors, dump->count, NULL, 0);
}

double *fbl_doubles_from_memory(const FblType *type, const void *data) {
    int64_t elements = fbl_type_elements(type);
    double *values = malloc((size_t)(elements > 0 ? elements : 1) * sizeof *values);
    if (!values) {
        fbl_out_of_memory();
    }
    for (int64_t i = 0; i < elements; i++) {
        values[i] = type->dtype == FBL_F32 ? (double)((const float *)data)[i] : type->dtype == FBL_I32 ? (double)((const int32_t *)data)[i] : (double)((const uint8_t *)data)[i];
    }
    return values;
}

void fbl_note_unused(FblContext *ctx, const FblTensorFile *file, const char *path, bool (*used)(void *arg, const char *name), void *arg) {
    for (size_t i = 0; i < file->count; i++) {
        if (!used(arg, file->tensors[i].name)) {
            fbl_diag(ctx, FBL_NOTE, "E0732", FBL_NO_LOC, "%s: nothing asks for the tensor `%s`", path, file->tensors[i].name);
        }
    }
}

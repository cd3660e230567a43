#include "runtime/safetensors.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/io.h"

// The limit of the reference implementation: a longer header is damage, not data.
#define HEADER_LIMIT ((uint64_t)100000000)

static const struct {
    const char *name;
    size_t size;
} dtypes[FBL_FILE_DTYPE_COUNT] = {
    [FBL_FILE_F32] = {"F32", 4},   [FBL_FILE_F64] = {"F64", 8},   [FBL_FILE_F16] = {"F16", 2},
    [FBL_FILE_BF16] = {"BF16", 2}, [FBL_FILE_I64] = {"I64", 8},   [FBL_FILE_I32] = {"I32", 4},
    [FBL_FILE_U8] = {"U8", 1},     [FBL_FILE_BOOL] = {"BOOL", 1},
};

size_t fbl_file_dtype_size(FblFileDtype dtype) {
    return dtypes[dtype].size;
}

const char *fbl_file_dtype_name(FblFileDtype dtype) {
    return dtypes[dtype].name;
}

bool fbl_file_tensor_init(FblFileTensor *tensor, const char *name, FblFileDtype dtype, int rank, const int64_t *shape,
                          const void *data) {
    if (rank < 0 || rank > FBL_FILE_MAX_RANK) {
        return false;
    }
    int64_t bytes = (int64_t)dtypes[dtype].size;
    *tensor = (FblFileTensor){.name = name, .dtype = dtype, .rank = rank, .data = data};
    bool empty = false;
    for (int i = 0; i < rank; i++) {
        tensor->shape[i] = shape[i];
        if (shape[i] == 0) {
            empty = true; // a zero extent makes the product zero whatever the others are
        } else if (!fbl_mul_i64(bytes, shape[i], &bytes)) {
            return false;
        }
    }
    tensor->size = empty ? 0 : (size_t)bytes;
    return true;
}

int64_t fbl_file_tensor_elements(const FblFileTensor *tensor) {
    return (int64_t)(tensor->size / dtypes[tensor->dtype].size);
}

void fbl_tensor_file_deinit(FblTensorFile *file) {
    free(file->tensors);
    free(file->metadata);
    free(file->bytes);
    free(file->names);
    free(file->copies);
    *file = (FblTensorFile){0};
}

static int tensor_by_name(const void *a, const void *b) {
    return strcmp(((const FblFileTensor *)a)->name, ((const FblFileTensor *)b)->name);
}

static int string_by_key(const void *a, const void *b) {
    return strcmp(((const FblFileString *)a)->key, ((const FblFileString *)b)->key);
}

static int tensor_by_place(const void *a, const void *b) {
    const FblFileTensor *x = *(FblFileTensor *const *)a;
    const FblFileTensor *y = *(FblFileTensor *const *)b;
    if (x->data != y->data) {
        return (const char *)x->data < (const char *)y->data ? -1 : 1;
    }
    return (x->size > y->size) - (x->size < y->size); // empty tensors before the one that starts at the same byte
}

const FblFileTensor *fbl_tensor_file_find(const FblTensorFile *file, const char *name) {
    FblFileTensor key = {.name = name};
    return file->count == 0 ? NULL : bsearch(&key, file->tensors, file->count, sizeof key, tensor_by_name);
}

const char *fbl_tensor_file_string(const FblTensorFile *file, const char *key) {
    FblFileString wanted = {.key = key};
    FblFileString *found = file->metadata_count == 0
                               ? NULL
                               : bsearch(&wanted, file->metadata, file->metadata_count, sizeof wanted, string_by_key);
    return found != NULL ? found->value : NULL;
}

// A JSON number that is a count: whole, not negative, exact in a double.
static bool json_count(const cJSON *item, int64_t *out) {
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > 0x1p53 ||
        item->valuedouble != floor(item->valuedouble)) {
        return false;
    }
    *out = (int64_t)item->valuedouble;
    return true;
}

static FblStatus damaged(FblContext *ctx, const char *path, const char *what) {
    return fbl_error(ctx, "E0811", FBL_NO_LOC, "`%s` is not a valid safetensors file: %s", path, what);
}

// Where the parser of one file stands.
typedef struct Parser {
    FblContext *ctx;
    const char *path;
    char *names; // next free byte of the string pool
    const char *data;
    int64_t data_size;
} Parser;

static const char *keep_string(Parser *p, const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = memcpy(p->names, text, size);
    p->names += size;
    return copy;
}

static FblStatus tensor_error(Parser *p, const char *name, const char *what) {
    return fbl_error(p->ctx, "E0811", FBL_NO_LOC, "`%s` is not a valid safetensors file: tensor `%.120s` %s", p->path,
                     name, what);
}

static FblStatus parse_tensor(Parser *p, const cJSON *entry, FblFileTensor *out) {
    const char *name = entry->string;
    const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(entry, "dtype");
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(entry, "shape");
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
    if (!cJSON_IsObject(entry) || !cJSON_IsString(dtype) || !cJSON_IsArray(shape) || !cJSON_IsArray(offsets)) {
        return tensor_error(p, name, "lacks `dtype`, `shape` or `data_offsets`");
    }
    int type = 0;
    while (type < FBL_FILE_DTYPE_COUNT && strcmp(dtypes[type].name, dtype->valuestring) != 0) {
        type++;
    }
    if (type == FBL_FILE_DTYPE_COUNT) {
        FblDiag *diag =
            fbl_diag(p->ctx, FBL_ERROR, "E0814", FBL_NO_LOC, "`%s`: tensor `%.120s` has the element type `%.20s`",
                     p->path, name, dtype->valuestring);
        fbl_diag_hint(p->ctx, diag, "F32, F64, F16, BF16, I64, I32, U8 and BOOL can be read");
        return FBL_USER;
    }
    int rank = 0;
    int64_t extents[FBL_FILE_MAX_RANK];
    for (const cJSON *item = shape->child; item != NULL; item = item->next) {
        if (rank == FBL_FILE_MAX_RANK) {
            return tensor_error(p, name, "has more than 8 axes");
        }
        if (!json_count(item, &extents[rank++])) {
            return tensor_error(p, name, "has an extent that is not a count");
        }
    }
    int64_t begin;
    int64_t end;
    const cJSON *first = offsets->child;
    if (first == NULL || first->next == NULL || first->next->next != NULL || !json_count(first, &begin) ||
        !json_count(first->next, &end)) {
        return tensor_error(p, name, "needs two counts as `data_offsets`");
    }
    if (begin > end || end > p->data_size) {
        return tensor_error(p, name, "lies outside the file (was the file cut off?)");
    }
    if (!fbl_file_tensor_init(out, NULL, (FblFileDtype)type, rank, extents, p->data + begin)) {
        return tensor_error(p, name, "has a shape too large to count");
    }
    if (out->size != (size_t)(end - begin)) {
        return tensor_error(p, name, "has a shape that does not fit its bytes");
    }
    out->name = keep_string(p, name);
    return FBL_OK;
}

// The format demands that tensors cover the data exactly: no byte belongs to two tensors or to none.
static FblStatus check_cover(Parser *p, FblTensorFile *file) {
    FblFileTensor **order = malloc((file->count + 1) * sizeof *order);
    if (order == NULL) {
        return FBL_NOMEM;
    }
    for (size_t i = 0; i < file->count; i++) {
        order[i] = &file->tensors[i];
    }
    qsort(order, file->count, sizeof *order, tensor_by_place);
    const char *at = p->data;
    FblStatus status = FBL_OK;
    for (size_t i = 0; i < file->count && status == FBL_OK; i++) {
        if ((const char *)order[i]->data != at) {
            status =
                tensor_error(p, order[i]->name,
                             (const char *)order[i]->data < at ? "overlaps another tensor" : "leaves a hole before it");
        }
        at += order[i]->size;
    }
    free(order);
    if (status == FBL_OK && at != p->data + p->data_size) {
        status = damaged(p->ctx, p->path, "there are bytes after the last tensor");
    }
    return status;
}

static FblStatus parse_entries(Parser *p, const cJSON *root, FblTensorFile *file) {
    size_t tensors = 0;
    size_t strings = 0;
    size_t pool = 1;
    for (const cJSON *entry = root->child; entry != NULL; entry = entry->next) {
        pool += strlen(entry->string) + 1;
        if (strcmp(entry->string, "__metadata__") != 0) {
            tensors++;
            continue;
        }
        if (!cJSON_IsObject(entry) || file->metadata != NULL || strings != 0) {
            return damaged(p->ctx, p->path, "`__metadata__` must be one table of strings");
        }
        for (const cJSON *item = entry->child; item != NULL; item = item->next) {
            if (!cJSON_IsString(item)) {
                return damaged(p->ctx, p->path, "`__metadata__` must be one table of strings");
            }
            strings++;
            pool += strlen(item->string) + strlen(item->valuestring) + 2;
        }
    }
    file->tensors = malloc((tensors + 1) * sizeof *file->tensors);
    file->metadata = malloc((strings + 1) * sizeof *file->metadata);
    file->names = malloc(pool);
    if (file->tensors == NULL || file->metadata == NULL || file->names == NULL) {
        return FBL_NOMEM;
    }
    p->names = file->names;
    for (const cJSON *entry = root->child; entry != NULL; entry = entry->next) {
        if (strcmp(entry->string, "__metadata__") != 0) {
            FBL_TRY(parse_tensor(p, entry, &file->tensors[file->count]));
            file->count++;
            continue;
        }
        for (const cJSON *item = entry->child; item != NULL; item = item->next) {
            FblFileString *string = &file->metadata[file->metadata_count++];
            string->key = keep_string(p, item->string);
            string->value = keep_string(p, item->valuestring);
        }
    }
    qsort(file->tensors, file->count, sizeof *file->tensors, tensor_by_name);
    qsort(file->metadata, file->metadata_count, sizeof *file->metadata, string_by_key);
    for (size_t i = 1; i < file->count; i++) {
        if (strcmp(file->tensors[i - 1].name, file->tensors[i].name) == 0) {
            return tensor_error(p, file->tensors[i].name, "is there twice");
        }
    }
    for (size_t i = 1; i < file->metadata_count; i++) {
        if (strcmp(file->metadata[i - 1].key, file->metadata[i].key) == 0) {
            return damaged(p->ctx, p->path, "a key of `__metadata__` is there twice");
        }
    }
    return check_cover(p, file);
}

static FblStatus parse(FblContext *ctx, const char *path, FblTensorFile *file) {
    if (file->size < 8) {
        return damaged(ctx, path, "it is shorter than 8 bytes");
    }
    uint64_t header = 0;
    for (int i = 7; i >= 0; i--) {
        header = header << 8 | (uint8_t)file->bytes[i];
    }
    if (header > HEADER_LIMIT || header > file->size - 8) {
        return damaged(ctx, path, "the length of its header goes beyond the file");
    }
    cJSON *root = cJSON_ParseWithLength(file->bytes + 8, (size_t)header);
    if (!cJSON_IsObject(root)) {
        cJSON_Delete(root);
        return damaged(ctx, path, "its header is not a JSON object");
    }
    Parser parser = {.ctx = ctx,
                     .path = path,
                     .data = file->bytes + 8 + header,
                     .data_size = (int64_t)(file->size - 8 - (size_t)header)};
    FblStatus status = parse_entries(&parser, root, file);
    cJSON_Delete(root);
    return status;
}

FblStatus fbl_tensor_file_parse(FblContext *ctx, const char *path, char *bytes, size_t size, FblTensorFile *out) {
    *out = (FblTensorFile){.bytes = bytes, .size = size};
    FblStatus status = parse(ctx, path, out);
    if (status != FBL_OK) {
        fbl_tensor_file_deinit(out);
    }
    return status;
}

FblStatus fbl_tensor_file_read(FblContext *ctx, const char *path, FblTensorFile *out) {
    *out = (FblTensorFile){0};
    char *bytes;
    size_t size;
    FBL_TRY(fbl_read_file(ctx, path, SIZE_MAX / 4, &bytes, &size));
    return fbl_tensor_file_parse(ctx, path, bytes, size, out);
}

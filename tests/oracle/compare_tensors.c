// compare_tensors EXPECTED ACTUAL TOLERANCE: whether every tensor of EXPECTED is in ACTUAL, with the same shape and nearly the same numbers.
//
// The measure is the norm of the difference over the norm of the expected tensor, each tensor by itself. NAME@K in EXPECTED stands for every K-th
// element of NAME in row-major order. It reads safetensors by code of its own, so that it shares no bug with the program it checks.
#include <cjson/cJSON.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// An expected tensor of (almost) zeros is compared absolutely: its root mean square counts as at least this.
#define SMALLEST_SCALE 1e-6

typedef struct File {
    char *bytes;
    size_t size, data_at;
    cJSON *header;
} File;

typedef struct Tensor {
    const char *data, *type;
    size_t count, width;
    const cJSON *shape;
} Tensor;

static bool read_file(const char *path, File *out)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "cannot open %s\n", path);
        return false;
    }
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    out->size = size > 0 ? (size_t)size : 0;
    out->bytes = malloc(out->size + 1);
    bool ok = out->bytes != NULL && fread(out->bytes, 1, out->size, file) == out->size && out->size >= 8;
    fclose(file);
    uint64_t length = 0;
    for (int i = 7; ok && i >= 0; i--) {
        length = length << 8 | (unsigned char)out->bytes[i];
    }
    ok = ok && length <= out->size - 8;
    out->data_at = 8 + (size_t)length;
    out->header = ok ? cJSON_ParseWithLength(out->bytes + 8, (size_t)length) : NULL;
    if (out->header == NULL) {
        fprintf(stderr, "%s is no safetensors file\n", path);
    }
    return out->header != NULL;
}

static bool find_tensor(const File *file, const char *name, Tensor *out)
{
    const cJSON *entry = cJSON_GetObjectItemCaseSensitive(file->header, name);
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(entry, "dtype");
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
    out->shape = cJSON_GetObjectItemCaseSensitive(entry, "shape");
    const cJSON *begin = cJSON_GetArrayItem(offsets, 0), *end = cJSON_GetArrayItem(offsets, 1);
    if (!cJSON_IsString(type) || !cJSON_IsArray(out->shape) || !cJSON_IsNumber(begin) || !cJSON_IsNumber(end)) {
        return false;
    }
    out->type = type->valuestring;
    out->width = strcmp(out->type, "F64") == 0 || strcmp(out->type, "I64") == 0 ? 8 : 4;
    size_t from = (size_t)begin->valuedouble, to = (size_t)end->valuedouble;
    if (from > to || to > file->size - file->data_at) {
        return false;
    }
    out->data = file->bytes + file->data_at + from;
    out->count = (to - from) / out->width;
    return true;
}

static double element(const Tensor *tensor, size_t index)
{
    const char *at = tensor->data + index * tensor->width;
    union {
        float f;
        double d;
        int32_t i;
        int64_t l;
    } value;
    memcpy(&value, at, tensor->width);
    if (tensor->type[0] == 'F') {
        return tensor->width == 8 ? value.d : (double)value.f;
    }
    return tensor->width == 8 ? (double)value.l : (double)value.i;
}

// Shapes are equal; a scalar may be stored as [] or [1].
static bool same_shape(const Tensor *a, const Tensor *b)
{
    if (a->count == 1 && b->count == 1) {
        return true;
    }
    return cJSON_Compare(a->shape, b->shape, true);
}

// Returns the relative error, or NaN with a message when the two cannot be compared.
static double compare(const char *name, const Tensor *expected, const File *actual)
{
    char base[512];
    snprintf(base, sizeof base, "%s", name);
    size_t stride = 1;
    char *mark = strrchr(base, '@');
    if (mark != NULL) {
        *mark = '\0';
        stride = strtoul(mark + 1, NULL, 10);
    }
    Tensor found;
    if (!find_tensor(actual, base, &found)) {
        printf("%s: missing\n", base);
        return NAN;
    }
    if (stride == 1 ? !same_shape(expected, &found) : expected->count != (found.count + stride - 1) / stride) {
        printf("%s: another shape, %zu elements instead of %zu\n", base, found.count, expected->count);
        return NAN;
    }
    double difference = 0, norm = 0, worst = -1;
    size_t worst_at = 0;
    for (size_t i = 0; i < expected->count; i++) {
        double e = element(expected, i), a = element(&found, i * stride), gap = fabs(a - e);
        difference += gap * gap;
        norm += e * e;
        if (!(gap <= worst)) {
            worst = gap;
            worst_at = i * stride;
        }
    }
    double scale = fmax(sqrt(norm), SMALLEST_SCALE * sqrt((double)expected->count));
    double error = expected->count == 0 ? 0 : sqrt(difference) / scale;
    if (expected->count > 0) {
        printf("%-32s %10zu elements  error %.3e  worst at %zu: %.9g, expected %.9g\n", name, expected->count, error, worst_at,
               element(&found, worst_at), element(expected, worst_at / stride));
    }
    return error;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: compare_tensors EXPECTED ACTUAL TOLERANCE\n");
        return 2;
    }
    File expected, actual;
    if (!read_file(argv[1], &expected) || !read_file(argv[2], &actual)) {
        return 3;
    }
    double tolerance = strtod(argv[3], NULL), worst = -1;
    const char *worst_name = "nothing";
    bool ok = true;
    for (const cJSON *entry = expected.header->child; entry != NULL; entry = entry->next) {
        Tensor tensor;
        if (strcmp(entry->string, "__metadata__") == 0) {
            continue;
        }
        if (!find_tensor(&expected, entry->string, &tensor)) {
            fprintf(stderr, "%s: bad entry %s\n", argv[1], entry->string);
            return 3;
        }
        double error = compare(entry->string, &tensor, &actual);
        if (!(error <= worst)) { // NaN is the worst of all
            worst = error;
            worst_name = entry->string;
        }
        ok = ok && error <= tolerance;
    }
    ok = ok && worst >= 0;
    printf("%s: worst %s with %.3e, allowed %.1e\n", ok ? "ok" : "FAILED", worst_name, worst, tolerance);
    cJSON_Delete(expected.header);
    cJSON_Delete(actual.header);
    free(expected.bytes);
    free(actual.bytes);
    return ok ? 0 : 1;
}

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/io.h"
#include "runtime/data/dataset_internal.h"
#include "runtime/data/numpy.h"

#define LIST_LIMIT ((size_t)1 << 30)
#define MAX_CLASSES (1 << 20)

static FblStatus bad_line(FblContext *ctx, const char *path, size_t line, const char *what) {
    return fbl_error(ctx, "E0808", FBL_NO_LOC, "line %zu of the list `%s` %s; expected `relative/path.jpg label`", line,
                     path, what);
}

// Splits "path label" (the path may hold spaces: the label is the last word).
static const char *split_line(char *begin, char *end, int32_t *out_label) {
    while (end > begin && isspace((unsigned char)end[-1])) {
        end--;
    }
    *end = 0;
    char *label = end;
    while (label > begin && isdigit((unsigned char)label[-1])) {
        label--;
    }
    if (label == begin || label == end || end - label > 9 || !isspace((unsigned char)label[-1])) {
        return NULL;
    }
    *out_label = (int32_t)strtol(label, NULL, 10);
    char *path_end = label - 1;
    while (path_end > begin && isspace((unsigned char)path_end[-1])) {
        path_end--;
    }
    *path_end = 0;
    return path_end > begin ? begin : NULL;
}

static FblStatus read_lines(FblContext *ctx, const char *path, const char *root, char *text, size_t size,
                            FblDataset *out) {
    size_t lines = 1;
    for (size_t i = 0; i < size; i++) {
        lines += text[i] == '\n';
    }
    FBL_TRY(fbl_dataset_allocate(ctx, (int64_t)lines, 0, 0, out));
    out->count = 0;
    int32_t largest = -1;
    char *at = text;
    for (size_t line = 1; at < text + size; line++) {
        char *newline = memchr(at, '\n', (size_t)(text + size - at));
        char *end = newline != NULL ? newline : text + size;
        char *begin = at;
        at = end + 1;
        while (begin < end && isspace((unsigned char)*begin)) {
            begin++;
        }
        if (begin == end) {
            continue;
        }
        int32_t label;
        const char *name = split_line(begin, end, &label);
        if (name == NULL) {
            return bad_line(ctx, path, line, "cannot be understood");
        }
        if (label >= MAX_CLASSES) {
            return bad_line(ctx, path, line, "has a label above a million");
        }
        char *full = NULL;
        if ((name[0] == '/' || root == NULL || root[0] == 0 ? asprintf(&full, "%s", name)
                                                            : asprintf(&full, "%s/%s", root, name)) < 0) {
            return fbl_data_no_memory(ctx, path);
        }
        out->labels[out->count] = label;
        out->paths[out->count++] = full;
        largest = label > largest ? label : largest;
    }
    if (out->count == 0) {
        return fbl_error(ctx, "E0808", FBL_NO_LOC, "the list `%s` is empty", path);
    }
    out->classes = largest + 1;
    return FBL_OK;
}

static FblStatus read_list(FblContext *ctx, const char *path, const char *root, FblDataset *out) {
    *out = (FblDataset){0};
    if (path == NULL) {
        return fbl_error(ctx, "E0808", FBL_NO_LOC, "an image list needs both a training and a test file");
    }
    if (!fbl_is_regular(path)) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0801", FBL_NO_LOC, "the image list `%s` does not exist", path);
        fbl_diag_hint(ctx, diag, "expected a text file of lines `relative/path.jpg label`");
        return FBL_USER;
    }
    char *text;
    size_t size;
    FBL_TRY(fbl_read_file(ctx, path, LIST_LIMIT, &text, &size));
    FblStatus status = read_lines(ctx, path, root, text, size, out);
    free(text);
    if (status != FBL_OK) {
        fbl_dataset_deinit(out);
    }
    return status;
}

// Classes numbered by falling training count.
static FblStatus renumber(FblContext *ctx, const int64_t *counts, int32_t classes, FblDataset *data) {
    int64_t *negated = malloc((size_t)classes * sizeof *negated);
    int64_t *order = malloc((size_t)classes * sizeof *order);
    int32_t *number = malloc((size_t)classes * sizeof *number);
    FblStatus status = FBL_OK;
    if (negated == NULL || order == NULL || number == NULL) {
        status = fbl_data_no_memory(ctx, "the class numbers");
    } else {
        for (int32_t c = 0; c < classes; c++) {
            negated[c] = -counts[c];
        }
        fbl_numpy_argsort(negated, classes, order);
        for (int32_t i = 0; i < classes; i++) {
            number[order[i]] = i;
        }
        for (int64_t i = 0; i < data->count; i++) {
            data->labels[i] = number[data->labels[i]];
        }
    }
    free(negated);
    free(order);
    free(number);
    return status == FBL_OK ? fbl_dataset_count_classes(ctx, data, classes) : status;
}

static FblStatus check_labels(FblContext *ctx, const char *path, const FblDataset *data, int32_t classes) {
    if (data->classes > classes) {
        return fbl_error(ctx, "E0804", FBL_NO_LOC, "the list `%s` has the label %d, but labels lie in 0..%d", path,
                         data->classes - 1, classes - 1);
    }
    return FBL_OK;
}

static FblStatus load(FblContext *ctx, const FblDatasetSpec *spec, FblSplit split, FblDataset *train, FblDataset *out) {
    FBL_TRY(read_list(ctx, spec->train_list, spec->root, train));
    int32_t classes = spec->classes > 0 ? spec->classes : train->classes;
    FBL_TRY(check_labels(ctx, spec->train_list, train, classes));
    FBL_TRY(fbl_dataset_count_classes(ctx, train, classes));
    const char *path = spec->train_list;
    if (split == FBL_SPLIT_TRAIN) {
        int64_t *counts = train->class_counts;
        train->class_counts = NULL;
        *out = *train;
        *train = (FblDataset){.class_counts = counts};
    } else {
        path = spec->test_list;
        FBL_TRY(read_list(ctx, spec->test_list, spec->root, out));
        FBL_TRY(check_labels(ctx, path, out, classes));
    }
    FBL_TRY(spec->renumber ? renumber(ctx, train->class_counts, classes, out)
                           : fbl_dataset_count_classes(ctx, out, classes));
    if (asprintf(&out->description, "image list %s", path) < 0) {
        out->description = NULL;
        return fbl_data_no_memory(ctx, "the description");
    }
    return FBL_OK;
}

FblStatus fbl_list_load(FblContext *ctx, const FblDatasetSpec *spec, FblSplit split, FblDataset *out) {
    *out = (FblDataset){0};
    FblDataset train = {0};
    FblStatus status = load(ctx, spec, split, &train, out);
    fbl_dataset_deinit(&train);
    if (status != FBL_OK) {
        fbl_dataset_deinit(out);
    }
    return status;
}

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/io.h"
#include "runtime/data/dataset_internal.h"
#include "runtime/data/numpy.h"

#define LIST_LIMIT ((size_t)1 << 30)
#define MAX_CLASSES (1 << 20)

// A list while it is read.
typedef struct List {
    const char *path, *root;
    int32_t limit; // labels lie below it; 0: no bound known
} List;

static FblStatus bad_line(FblContext *ctx, const List *list, size_t line, const char *what) {
    return fbl_error(ctx, "E0808", FBL_NO_LOC, "line %zu of the list `%s` %s; expected `relative/path.jpg label`", line,
                     list->path, what);
}

// Splits "path label" (the path may hold spaces: the label is the last word). Returns what is wrong, or NULL.
static const char *split_line(char *begin, char *end, int32_t *out_label) {
    while (end > begin && isspace((unsigned char)end[-1])) {
        end--;
    }
    if (memchr(begin, 0, (size_t)(end - begin)) != NULL) {
        return "holds a zero byte";
    }
    *end = 0;
    char *label = end;
    while (label > begin && !isspace((unsigned char)label[-1])) {
        label--;
    }
    char *path_end = label;
    while (path_end > begin && isspace((unsigned char)path_end[-1])) {
        path_end--;
    }
    size_t digits = strspn(label, "0123456789");
    if (label[0] == '-' && label[1 + strspn(label + 1, "0123456789")] == 0 && label[1] != 0) {
        return "has a negative label";
    }
    if (path_end == begin) {
        return label[digits] == 0 ? "has no path" : "has no label";
    }
    if (label[digits] != 0) {
        return "does not end with a label, a whole number";
    }
    if (digits > 7 || strtol(label, NULL, 10) >= MAX_CLASSES) {
        return "has a label above a million";
    }
    *path_end = 0;
    *out_label = (int32_t)strtol(label, NULL, 10);
    return NULL;
}

static FblStatus add_line(FblContext *ctx, const List *list, size_t line, char *begin, char *end, FblDataset *out) {
    int32_t label;
    const char *wrong = split_line(begin, end, &label);
    if (wrong != NULL) {
        return bad_line(ctx, list, line, wrong);
    }
    if (list->limit > 0 && label >= list->limit) {
        return fbl_error(ctx, "E0804", FBL_NO_LOC, "line %zu of the list `%s` has the label %d, but labels lie in 0..%d", line,
                         list->path, label, list->limit - 1);
    }
    char *full = NULL;
    bool alone = begin[0] == '/' || list->root == NULL || list->root[0] == 0;
    if ((alone ? asprintf(&full, "%s", begin) : asprintf(&full, "%s/%s", list->root, begin)) < 0) {
        return fbl_data_no_memory(ctx, list->path);
    }
    out->origin.lines[out->count] = (int64_t)line;
    out->labels[out->count] = label;
    out->paths[out->count++] = full;
    out->classes = label >= out->classes ? label + 1 : out->classes;
    return FBL_OK;
}

// All bad lines are reported, up to the limit of diagnostics.
static FblStatus read_lines(FblContext *ctx, const List *list, char *text, size_t size, FblDataset *out) {
    size_t lines = 1;
    for (size_t i = 0; i < size; i++) {
        lines += text[i] == '\n';
    }
    FBL_TRY(fbl_dataset_allocate(ctx, (int64_t)lines, 0, 0, out));
    out->count = 0;
    out->origin = (FblImageOrigin){.list = strdup(list->path), .lines = malloc(lines * sizeof *out->origin.lines)};
    if (out->origin.list == NULL || out->origin.lines == NULL) {
        return fbl_data_no_memory(ctx, list->path);
    }
    FblStatus status = FBL_OK;
    char *at = text + (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0); // a mark that some editors write
    for (size_t line = 1; at < text + size; line++) {
        char *newline = memchr(at, '\n', (size_t)(text + size - at));
        char *end = newline != NULL ? newline : text + size;
        char *begin = at;
        at = end + 1;
        while (begin < end && isspace((unsigned char)*begin)) {
            begin++;
        }
        FblStatus one = begin < end ? add_line(ctx, list, line, begin, end, out) : FBL_OK;
        if (one == FBL_NOMEM) {
            return one;
        }
        status = status == FBL_OK ? one : status;
    }
    if (status == FBL_OK && out->count == 0) {
        return fbl_error(ctx, "E0808", FBL_NO_LOC, "the list `%s` is empty", list->path);
    }
    return status;
}

#define PROGRESS_FROM 20000 // files: fewer are a matter of a moment
#define PROGRESS_STEP 5000

// Every file of the list is there.
static FblStatus check_files(FblContext *ctx, const List *list, const FblDataset *data, FILE *progress) {
    progress = data->count >= PROGRESS_FROM ? progress : NULL;
    int64_t missing = 0;
    for (int64_t i = 0; i < data->count; i++) {
        if (progress != NULL && i % PROGRESS_STEP == 0) {
            fprintf(progress, "\rchecking %s: %lld of %lld files", list->path, (long long)i, (long long)data->count);
            fflush(progress);
        }
        if (!fbl_is_regular(data->paths[i])) {
            missing++;
            fbl_error(ctx, "E0816", FBL_NO_LOC, "line %lld of the list `%s`: there is no image `%s`", (long long)data->origin.lines[i], list->path,
                      data->paths[i]);
        }
    }
    if (progress != NULL) {
        fprintf(progress, "\rchecking %s: %lld of %lld files\n", list->path, (long long)data->count, (long long)data->count);
    }
    if (missing == 0) {
        return FBL_OK;
    }
    fbl_diag_hint(ctx, fbl_diag_latest(ctx), "%lld of the list's %lld images are missing; paths are relative to `%s`", (long long)missing,
                  (long long)data->count, list->root != NULL ? list->root : ".");
    return FBL_USER;
}

// Reads the list, and with `check` looks for its files.
static FblStatus read_list(FblContext *ctx, const List *list, bool check, FILE *progress, FblDataset *out) {
    *out = (FblDataset){0};
    if (list->path == NULL) {
        return fbl_error(ctx, "E0808", FBL_NO_LOC, "an image list needs both a training and a test file");
    }
    if (!fbl_is_regular(list->path)) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0801", FBL_NO_LOC, "the image list `%s` does not exist", list->path);
        fbl_diag_hint(ctx, diag, "expected a text file of lines `relative/path.jpg label`");
        return FBL_USER;
    }
    char *text;
    size_t size;
    FBL_TRY(fbl_read_file(ctx, list->path, LIST_LIMIT, &text, &size));
    FblStatus status = read_lines(ctx, list, text, size, out);
    free(text);
    if (status == FBL_OK && check) {
        status = check_files(ctx, list, out, progress);
    }
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

static FblStatus load(FblContext *ctx, const FblDatasetSpec *spec, FblSplit split, List *list, FblDataset *train, FblDataset *out) {
    FBL_TRY(read_list(ctx, list, spec->check && split == FBL_SPLIT_TRAIN, spec->progress, train));
    int32_t classes = spec->classes > 0 ? spec->classes : train->classes;
    FBL_TRY(fbl_dataset_count_classes(ctx, train, classes));
    if (split == FBL_SPLIT_TRAIN) {
        // Before classes get other numbers: the message is about labels of the list.
        FBL_TRY(spec->check ? fbl_dataset_check_classes(ctx, train, fbl_arena_printf(fbl_context_arena(ctx), "the list `%s`", list->path)) : FBL_OK);
        int64_t *counts = train->class_counts;
        train->class_counts = NULL;
        *out = *train;
        *train = (FblDataset){.class_counts = counts};
    } else {
        *list = (List){.path = spec->test_list, .root = spec->root, .limit = classes};
        FBL_TRY(read_list(ctx, list, spec->check, spec->progress, out));
    }
    FBL_TRY(spec->renumber ? renumber(ctx, train->class_counts, classes, out)
                           : fbl_dataset_count_classes(ctx, out, classes));
    if (asprintf(&out->description, "image list %s", list->path) < 0) {
        out->description = NULL;
        return fbl_data_no_memory(ctx, "the description");
    }
    return spec->check ? fbl_dataset_decode_small(ctx, spec->skip_bad, out) : FBL_OK;
}

FblStatus fbl_list_load(FblContext *ctx, const FblDatasetSpec *spec, FblSplit split, FblDataset *out) {
    *out = (FblDataset){0};
    FblDataset train = {0};
    List list = {.path = spec->train_list, .root = spec->root, .limit = spec->classes};
    FblStatus status = load(ctx, spec, split, &list, &train, out);
    fbl_dataset_deinit(&train);
    if (status != FBL_OK) {
        fbl_dataset_deinit(out);
    }
    return status;
}

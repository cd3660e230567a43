#include "runtime/weights_table.h"

#include <string.h>

static size_t part_length(const char *name) {
    return strcspn(name, ".");
}

static bool same_part(const char *a, const char *b) {
    size_t length = part_length(a);
    return length == part_length(b) && memcmp(a, b, length) == 0;
}

// Tensors of the part of rows[i] that were set; all of the part in *out_all; *out_first is false when an earlier row is of it.
static size_t count_part(const FblWeightRow *rows, size_t count, size_t i, size_t *out_all, bool *out_first) {
    size_t set = 0;
    *out_all = 0;
    *out_first = true;
    for (size_t k = 0; k < count; k++) {
        if (same_part(rows[k].name, rows[i].name)) {
            *out_first = *out_first && k >= i;
            *out_all += 1;
            set += !rows[k].fate;
        }
    }
    return set;
}

static bool is_counter(const char *name) {
    static const char counter[] = "num_batches_tracked";
    size_t length = strlen(name);
    return length >= sizeof counter - 1 && strcmp(name + length - (sizeof counter - 1), counter) == 0;
}

void fbl_weights_table(FILE *out, const char *path, const FblWeightRow *rows, size_t count, const FblTensorFile *file) {
    size_t set = 0;
    for (size_t i = 0; i < count; i++) {
        set += !rows[i].fate;
    }
    fprintf(out, "%s: %zu of %zu tensors set\n", path, set, count);
    for (size_t i = 0; i < count; i++) {
        size_t all;
        bool first;
        size_t part = count_part(rows, count, i, &all, &first);
        if (first && part > 0) {
            fprintf(out, "  %-40.*s set: %zu%s of %zu\n", (int)part_length(rows[i].name), rows[i].name, part, part == all ? ", all" : "", all);
        }
        if (rows[i].fate) {
            fprintf(out, "  %-40s %s\n  %-40s %s\n", rows[i].name, rows[i].fate, "", rows[i].type);
        }
    }
    for (size_t i = 0; i < file->count; i++) {
        const char *name = file->tensors[i].name;
        bool known = is_counter(name);
        for (size_t k = 0; k < count && !known; k++) {
            known = strcmp(rows[k].name, name) == 0;
        }
        if (!known) {
            fprintf(out, "  %-40s not used: the program has no such tensor\n", name);
        }
    }
}

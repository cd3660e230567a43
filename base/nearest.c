#include "base/diag.h"

#include <string.h>
#include <strings.h>

#define MAX_NAME 64

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

// Edits (insertions, deletions, replacements, swaps of neighbours) that turn a into b; both at most MAX_NAME long.
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length) {
    size_t rows[3][MAX_NAME + 1];
    for (size_t j = 0; j <= b_length; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_length; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            row[j] = least(least(row[j - 1], above[j]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = least(row[j], above2[j - 2] + 1);
            }
        }
    }
    return rows[a_length % 3][b_length];
}

const char *fbl_nearest_name(const char *name, const char *const *candidates, size_t count) {
    size_t length = strlen(name);
    const char *best = NULL;
    // A third of the letters may be wrong; more would be another word.
    size_t best_distance = (length + 2) / 3 + 1;
    if (length > MAX_NAME) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        const char *candidate = candidates[i];
        size_t other = candidate == NULL ? 0 : strlen(candidate);
        if (other == 0 || other > MAX_NAME) {
            continue;
        }
        size_t d = distance(name, length, candidate, other);
        if (d > 1 && strcasecmp(name, candidate) == 0) {
            d = 1;
        }
        // Something of the name must be left: `x` is not a slip for `y`.
        if (d < best_distance && (d < least(length, other) || strcasecmp(name, candidate) == 0)) {
            best = candidate;
            best_distance = d;
        }
    }
    return best;
}

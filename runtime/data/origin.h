// Where the images of a set are named, for messages: lines of a text list.
// Ownership: an origin's fields are its owner's (of a data set: the data set's). Threads: immutable once made, but the text is the context's.
#ifndef FBL_RUNTIME_DATA_ORIGIN_H
#define FBL_RUNTIME_DATA_ORIGIN_H

#include "base/arena.h"
#include "base/context.h"

typedef struct FblImageOrigin {
    char *list;     // the list's path; NULL: images are named nowhere
    int64_t *lines; // of each image, from 1
} FblImageOrigin;

// "line 12 of the list `train.txt`: " for an image, to stand before a message; "" where there is no list. In the context's arena.
static inline const char *fbl_image_origin(FblContext *ctx, const FblImageOrigin *origin, int64_t image) {
    return origin->list == NULL ? "" : fbl_arena_printf(fbl_context_arena(ctx), "line %lld of the list `%s`: ", (long long)origin->lines[image], origin->list);
}

#endif

// NCCL without GPUs, on the software driver and in one library with it: the part of its API that runtime/cuda uses. Written from the public
// reference. Sums are added in the order of the ranks, in float.
//
// It refuses what the reference forbids, and what would hang: calls of several ranks outside of a group, ranks that ask for different
// operations, streams of another device. FBL_SOFT_NCCL=refuse makes it refuse to connect.
// Threads: one caller.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "soft.h"

#define EXPORT __attribute__((visibility("default")))
enum { NCCL_SUCCESS = 0, NCCL_SYSTEM_ERROR = 2, NCCL_INVALID_ARGUMENT = 4, NCCL_INVALID_USAGE = 5 };
enum { INT8 = 0, INT32 = 2, FLOAT32 = 7 };

typedef struct Clique Clique;

typedef struct Communicator {
    Clique *clique;
    int rank;
} Communicator;

// One operation, asked for by every rank.
typedef struct Operation {
    SoftMeeting meeting; // the first member: what soft_meet hands to `meet`
    bool sum;
    int type, asked;
    size_t count;
    const void *from[SOFT_DEVICES];
    void *to[SOFT_DEVICES];
    Stream *streams[SOFT_DEVICES];
    struct Operation *next; // of the group
} Operation;

struct Clique {
    int count, alive;
    int devices[SOFT_DEVICES];
    Communicator ranks[SOFT_DEVICES];
    Operation *first, *last;     // of the group
    Operation *at[SOFT_DEVICES];    // the last that a rank asked for
    struct Clique *next;
};

static Clique *cliques;
static int depth; // of groups
static int failed; // within the group

static size_t size_of(int type) { return type == INT8 ? 1 : 4; }

// All ranks' parts at once: inputs may be overwritten by results.
static void meet(SoftMeeting *meeting) {
    const Operation *o = (const Operation *)(const void *)meeting;
    int ranks = o->meeting.count;
    size_t bytes = o->count * size_of(o->type);
    uint8_t *all = malloc(bytes * (size_t)ranks + 1);
    if (!all) {
        abort();
    }
    for (int r = 0; r < ranks; r++) {
        memcpy(all + (size_t)r * bytes, o->from[r], bytes);
    }
    for (size_t i = 0; o->sum && i < o->count; i++) {
        for (int r = 1; r < ranks; r++) {
            if (o->type == FLOAT32) {
                ((float *)(void *)all)[i] += ((const float *)(const void *)(all + (size_t)r * bytes))[i];
            } else {
                ((int32_t *)(void *)all)[i] += ((const int32_t *)(const void *)(all + (size_t)r * bytes))[i];
            }
        }
    }
    for (int r = 0; r < ranks; r++) {
        memcpy(o->to[r], all, o->sum ? bytes : bytes * (size_t)ranks);
    }
    free(all);
}

EXPORT int ncclGetVersion(int *version);
EXPORT int ncclGetVersion(int *version) {
    *version = 22800;
    return NCCL_SUCCESS;
}

EXPORT int ncclCommInitAll(Communicator **communicators, int count, const int *devices);
EXPORT int ncclCommInitAll(Communicator **communicators, int count, const int *devices) {
    const char *setting = getenv("FBL_SOFT_NCCL");
    if (setting && strcmp(setting, "refuse") == 0) {
        return NCCL_SYSTEM_ERROR;
    }
    if (count < 1 || count > SOFT_DEVICES) {
        return NCCL_INVALID_ARGUMENT;
    }
    Clique *clique = calloc(1, sizeof *clique);
    if (!clique) {
        abort();
    }
    clique->count = clique->alive = count;
    for (int r = 0; r < count; r++) {
        clique->devices[r] = devices ? devices[r] : r;
        clique->ranks[r] = (Communicator){clique, r};
        communicators[r] = &clique->ranks[r];
    }
    clique->next = cliques;
    cliques = clique;
    return NCCL_SUCCESS;
}

EXPORT int ncclCommDestroy(Communicator *communicator);
EXPORT int ncclCommDestroy(Communicator *communicator) {
    Clique *clique = communicator->clique;
    if (--clique->alive == 0) {
        for (Clique **at = &cliques; *at; at = &(*at)->next) {
            if (*at == clique) {
                *at = clique->next;
                break;
            }
        }
        free(clique); // its operations stay: graphs may have them
    }
    return NCCL_SUCCESS;
}

static int ask(bool sum, const void *from, void *to, size_t count, int type, Communicator *communicator, Stream *stream) {
    Clique *clique = communicator->clique;
    int rank = communicator->rank;
    size_t bytes = count * size_of(type), out = sum ? bytes : bytes * (size_t)clique->count;
    if (depth == 0 && clique->count > 1) {
        return failed = NCCL_INVALID_USAGE; // a real one would wait for the other ranks for ever
    }
    if ((type != INT8 && type != INT32 && type != FLOAT32) || (sum && type == INT8) || stream->handle.device != clique->devices[rank] ||
        !soft_inside(from, bytes, clique->devices[rank]) || !soft_inside(to, out, clique->devices[rank])) {
        return failed = NCCL_INVALID_ARGUMENT;
    }
    Operation *o = clique->at[rank] ? clique->at[rank]->next : clique->first;
    if (!o) {
        o = calloc(1, sizeof *o);
        if (!o) {
            abort();
        }
        *o = (Operation){.meeting = {.count = clique->count, .meet = meet}, .sum = sum, .type = type, .count = count};
        *(clique->last ? &clique->last->next : &clique->first) = o;
        clique->last = o;
    }
    if (o->sum != sum || o->type != type || o->count != count) {
        return failed = NCCL_INVALID_USAGE;
    }
    o->from[rank] = from;
    o->to[rank] = to;
    o->streams[rank] = stream;
    o->asked++;
    clique->at[rank] = o;
    return NCCL_SUCCESS;
}

EXPORT int ncclAllReduce(const void *from, void *to, size_t count, int type, int op, Communicator *communicator, Stream *stream);
EXPORT int ncclAllReduce(const void *from, void *to, size_t count, int type, int op, Communicator *communicator, Stream *stream) {
    return op == 0 ? ask(true, from, to, count, type, communicator, stream) : (failed = NCCL_INVALID_ARGUMENT);
}

EXPORT int ncclAllGather(const void *from, void *to, size_t count, int type, Communicator *communicator, Stream *stream);
EXPORT int ncclAllGather(const void *from, void *to, size_t count, int type, Communicator *communicator, Stream *stream) {
    return ask(false, from, to, count, type, communicator, stream);
}

EXPORT int ncclGroupStart(void);
EXPORT int ncclGroupStart(void) {
    failed = depth++ == 0 ? NCCL_SUCCESS : failed;
    return NCCL_SUCCESS;
}

// What operations of one group read and write must not meet: they run at the same time.
static bool overlap(const void *a, size_t a_bytes, const void *b, size_t b_bytes) {
    return (uintptr_t)a < (uintptr_t)b + b_bytes && (uintptr_t)b < (uintptr_t)a + a_bytes;
}

static bool apart(const Operation *x, const Operation *y) {
    for (int r = 0; r < x->meeting.count; r++) {
        size_t x_in = x->count * size_of(x->type), y_in = y->count * size_of(y->type);
        size_t x_out = x->sum ? x_in : x_in * (size_t)x->meeting.count, y_out = y->sum ? y_in : y_in * (size_t)y->meeting.count;
        if (overlap(x->to[r], x_out, y->to[r], y_out) || overlap(x->to[r], x_out, y->from[r], y_in) || overlap(x->from[r], x_in, y->to[r], y_out)) {
            return false;
        }
    }
    return true;
}

EXPORT int ncclGroupEnd(void);
EXPORT int ncclGroupEnd(void) {
    if (--depth > 0) {
        return NCCL_SUCCESS;
    }
    for (Clique *clique = cliques; clique; clique = clique->next) {
        for (Operation *o = clique->first; o; o = o->next) {
            failed = o->asked != clique->count ? NCCL_INVALID_USAGE : failed;
            for (const Operation *other = clique->first; other != o; other = other->next) {
                if (!apart(o, other)) {
                    soft_violation("collectives of one group share memory");
                }
            }
        }
        for (Operation *o = clique->first; o && failed == NCCL_SUCCESS; o = o->next) {
            for (int r = 0; r < clique->count; r++) {
                soft_meet(o->streams[r], &o->meeting, r);
            }
        }
        clique->first = clique->last = NULL;
        memset(clique->at, 0, sizeof clique->at);
    }
    return failed;
}

EXPORT const char *ncclGetErrorString(int result);
EXPORT const char *ncclGetErrorString(int result) {
    switch (result) {
    case NCCL_SUCCESS: return "no error";
    case NCCL_SYSTEM_ERROR: return "unhandled system error";
    case NCCL_INVALID_ARGUMENT: return "invalid argument";
    case NCCL_INVALID_USAGE: return "invalid usage";
    default: return "unknown result code";
    }
}

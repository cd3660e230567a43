// Work on the software driver's streams, and its memory. See soft.h.
#include "soft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Block {
    void *memory;
    size_t bytes;
    bool pinned;
    int device;
    struct Block *next;
} Block;

Stream *soft_streams;
int soft_sticky;
size_t soft_used;
static Block *blocks;
static uint64_t launches; // kernels run so far
static double charged;    // microseconds that they were charged

_Noreturn void soft_violation(const char *what) {
    fprintf(stderr, "software driver: %s\n", what);
    abort();
}

double soft_setting(const char *name, double otherwise) {
    const char *all = getenv("FBL_SOFT_GPU");
    size_t length = strlen(name);
    for (const char *at = all; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        if (strncmp(at, name, length) == 0 && (at[length] == '=' || at[length] == ',' || at[length] == 0)) {
            return at[length] == '=' ? strtod(at + length + 1, NULL) : 1;
        }
    }
    return otherwise;
}

double soft_charge_of(const char *tile) {
    const char *all = getenv("FBL_SOFT_CHARGE");
    for (const char *at = all ? all : ""; *at;) {
        size_t item = strcspn(at, ";"), name = strcspn(at, "=");
        char wanted[200];
        if (name < item && name < sizeof wanted) {
            snprintf(wanted, sizeof wanted, "%.*s", (int)name, at);
            if (tile && *tile && strstr(tile, wanted)) {
                return strtod(at + name + 1, NULL);
            }
        }
        at += item + (at[item] == ';');
    }
    return 1000;
}

// Memory ------------------------------------------------------------------------------------------------------------

// The allocation that an address lies in, its end included.
static Block *find_block(const void *memory) {
    for (Block *block = blocks; block; block = block->next) {
        if ((const uint8_t *)memory >= (uint8_t *)block->memory && (const uint8_t *)memory <= (uint8_t *)block->memory + block->bytes) {
            return block;
        }
    }
    return NULL;
}

static bool inside(const Block *block, const void *memory, size_t bytes) { return bytes <= block->bytes - (size_t)((const uint8_t *)memory - (const uint8_t *)block->memory); }

bool soft_inside_pinned(const void *memory, size_t bytes) {
    const Block *block = find_block(memory);
    return block && block->pinned && inside(block, memory, bytes);
}

bool soft_inside(const void *memory, size_t bytes, int device) {
    const Block *block = find_block(memory);
    return block && !block->pinned && block->device == device && inside(block, memory, bytes);
}

int soft_allocate(void **out, size_t bytes, bool pinned, int device) {
    if (!pinned && (double)soft_used + (double)bytes > soft_setting("memory", 8e9)) {
        return OUT_OF_MEMORY;
    }
    Block *block = calloc(1, sizeof *block);
    size_t size = (bytes + 511) / 256 * 256;
    block->memory = aligned_alloc(256, size);
    if (!block->memory) {
        free(block);
        return OUT_OF_MEMORY;
    }
    memset(block->memory, 0xff, size); // NaN to who reads before writing
    block->bytes = bytes;
    block->pinned = pinned;
    block->device = device;
    block->next = blocks;
    blocks = block;
    soft_used += pinned ? 0 : bytes;
    *out = block->memory;
    return SUCCESS;
}

static bool in_block(const Block *block, const void *memory) { return memory && find_block(memory) == block; }

static bool op_uses(const Op *op, const Block *block) {
    for (int i = 0; op->kind == LAUNCH && i < op->function->kernel->count; i++) {
        if (op->function->kernel->sizes[i] == 0 && in_block(block, (const void *)(uintptr_t)op->arguments[i])) {
            return true;
        }
    }
    return (op->kind == COPY || op->kind == FILL) && (in_block(block, op->to) || in_block(block, op->from));
}

static bool pending(const Block *block) {
    for (const Stream *stream = soft_streams; stream; stream = stream->next) {
        for (size_t i = stream->done; i < stream->queue.count; i++) {
            if (op_uses(&stream->queue.ops[i], block)) {
                return true;
            }
        }
    }
    return false;
}

int soft_release(void *memory, bool pinned) {
    for (Block **at = &blocks; *at; at = &(*at)->next) {
        if ((*at)->memory == memory && (*at)->pinned == pinned) {
            Block *block = *at;
            if (!soft_sticky && pending(block)) {
                soft_violation("memory is freed that work under way uses");
            }
            *at = block->next;
            soft_used -= block->pinned ? 0 : block->bytes;
            free(block->memory);
            free(block);
            return soft_sticky;
        }
    }
    return INVALID_VALUE;
}

size_t soft_blocks(int device) {
    size_t count = 0;
    for (const Block *block = blocks; block; block = block->next) {
        count += block->device == device;
    }
    return count;
}

// Work --------------------------------------------------------------------------------------------------------------

Op *soft_push(Graph *graph) {
    if (graph->count == graph->capacity) {
        graph->capacity = graph->capacity ? 2 * graph->capacity : 64;
        graph->ops = realloc(graph->ops, graph->capacity * sizeof *graph->ops);
        if (!graph->ops) {
            abort();
        }
    }
    Op *op = &graph->ops[graph->count++];
    memset(op, 0, sizeof *op);
    return op;
}

// A kernel's pointers are into the device's memory, and aligned as generated code relies on.
static int check_pointers(const Op *op) {
    for (int i = 0; i < op->function->kernel->count; i++) {
        uint64_t address = op->arguments[i];
        if (op->function->kernel->sizes[i] != 0 || address == 0) {
            continue;
        }
        if (!soft_inside((const void *)(uintptr_t)address, 0, op->function->handle.device)) {
            return ILLEGAL_ADDRESS;
        }
        if (address % 16 != 0) {
            return MISALIGNED_ADDRESS;
        }
    }
    return SUCCESS;
}

static void run_launch(Op *op) {
    const SoftKernel *kernel = op->function->kernel;
    if (++launches == (uint64_t)soft_setting("fault", 0)) {
        soft_sticky = ILLEGAL_ADDRESS;
    }
    charged += op->function->charge;
    soft_sticky = soft_sticky ? soft_sticky : check_pointers(op);
    void *pointers[MAX_ARGUMENTS];
    _Alignas(128) unsigned char maps[MAX_MAPS][128];
    memcpy(maps, op->maps, sizeof maps);
    for (int i = 0, map = 0; i < kernel->count; i++) {
        pointers[i] = kernel->sizes[i] > 8 ? (void *)maps[map++] : &op->arguments[i];
    }
    if (!soft_sticky) {
        op->function->module->launch(op->function->name, op->function->call, pointers, op->grid, op->block, op->shared, 0);
    }
}

static void run_op(Op *op) {
    switch (op->kind) {
    case LAUNCH: run_launch(op); break;
    case HOST:
        charged += soft_charge_of(op->tile);
        op->host(op->to);
        break;
    case COPY: memcpy(op->to, op->from, op->bytes); break;
    case FILL: memset(op->to, op->value, op->bytes); break;
    case RECORD:
        op->event->completed = op->number;
        op->event->charged = charged;
        clock_gettime(CLOCK_MONOTONIC, &op->event->time);
        break;
    case WAIT:
        while (op->event->completed < op->number && op->event->stream->done < op->event->stream->queue.count) {
            soft_drain(op->event->stream, op->event->stream->done + 1);
        }
        break;
    case MEET: break; // come_together has done it
    }
    free(op->owned);
    op->owned = NULL;
}

static bool eager_call; // work is done before others may have put theirs

// Whether all streams have come to the meeting that is next on `stream`: runs the others up to it. False where that must wait.
static bool come_together(Stream *stream, Op *op) {
    SoftMeeting *meeting = op->meeting;
    if (stream->meeting) {
        return false; // it is being waited for
    }
    if (op->number == 0) {
        op->number = ++meeting->arrived[op->rank];
    }
    uint64_t round = op->number;
    stream->meeting = true;
    bool all = true;
    for (int r = 0; r < meeting->count && meeting->finished < round; r++) {
        Stream *other = meeting->streams[r];
        while (meeting->arrived[r] < round) {
            size_t done = other->done, count = other->queue.count;
            soft_drain(other, done + 1);
            if (other->done == done && other->queue.count == count && meeting->arrived[r] < round) {
                if (!eager_call && !other->meeting) {
                    soft_violation("a collective that not all devices come to");
                }
                all = false;
                break;
            }
        }
    }
    stream->meeting = false;
    if (all && meeting->finished < round) {
        meeting->meet(meeting);
        meeting->finished = round;
    }
    return meeting->finished >= round;
}

void soft_drain(Stream *stream, size_t until) {
    while (stream->done < until && stream->done < stream->queue.count) {
        if (stream->queue.ops[stream->done].kind == MEET && !soft_sticky && !come_together(stream, &stream->queue.ops[stream->done])) {
            return;
        }
        Op op = stream->queue.ops[stream->done++];
        if (!soft_sticky) {
            run_op(&op);
        }
    }
    if (stream->done == stream->queue.count) {
        stream->done = stream->queue.count = 0;
    }
}

void soft_added(Stream *stream) {
    if (!stream->capturing && stream->number == (unsigned)soft_setting("eager", 0)) {
        eager_call = true;
        soft_drain(stream, SIZE_MAX);
        eager_call = false;
    }
}

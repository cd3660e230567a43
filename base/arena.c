#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Under AddressSanitizer every object is fenced by poisoned bytes, so that overruns inside a block are caught.
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISON 1
#endif
#endif
#ifdef ARENA_POISON
#include <sanitizer/asan_interface.h>
#define REDZONE ((size_t)16)
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define REDZONE ((size_t)0)
#endif

#define ALIGNMENT ((size_t)16)
#define FIRST_BLOCK ((size_t)16 << 10)
#define LARGEST_BLOCK ((size_t)1 << 20)

struct FblArenaBlock {
    FblArenaBlock *next;
    size_t size;
    size_t used;
    _Alignas(16) unsigned char data[];
};

_Noreturn void fbl_out_of_memory(void) {
    fputs("fblc: out of memory\n", stderr);
    exit(3);
}

void fbl_arena_init(FblArena *arena) { arena->head = NULL; }

void fbl_arena_deinit(FblArena *arena) {
    FblArenaBlock *block = arena->head;
    while (block != NULL) {
        FblArenaBlock *next = block->next;
        ASAN_UNPOISON_MEMORY_REGION(block->data, block->size);
        free(block);
        block = next;
    }
    arena->head = NULL;
}

static FblArenaBlock *new_block(size_t size) {
    if (size > SIZE_MAX - sizeof(FblArenaBlock)) {
        fbl_out_of_memory();
    }
    // calloc gives the zeroed bytes that every allocation promises; blocks are never reused.
    FblArenaBlock *block = calloc(1, sizeof(FblArenaBlock) + size);
    if (block == NULL) {
        fbl_out_of_memory();
    }
    block->size = size;
    ASAN_POISON_MEMORY_REGION(block->data, size);
    return block;
}

void *fbl_arena_alloc(FblArena *arena, size_t size) {
    if (size > SIZE_MAX / 2) {
        fbl_out_of_memory();
    }
    size_t need = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (need == 0) {
        need = ALIGNMENT;
    }
    need += REDZONE;
    FblArenaBlock *block = arena->head;
    if (block == NULL || block->size - block->used < need) {
        size_t block_size = FIRST_BLOCK;
        if (block != NULL) {
            block_size = block->size < LARGEST_BLOCK / 2 ? block->size * 2 : LARGEST_BLOCK;
        }
        if (need > block_size / 4 && block != NULL) {
            // A block of its own, behind the head: the head's free room stays in use.
            FblArenaBlock *own = new_block(need);
            own->next = block->next;
            block->next = own;
            block = own;
        } else {
            FblArenaBlock *fresh = new_block(need > block_size ? need : block_size);
            fresh->next = block;
            arena->head = fresh;
            block = fresh;
        }
    }
    unsigned char *p = block->data + block->used;
    block->used += need;
    ASAN_UNPOISON_MEMORY_REGION(p, size);
    return p;
}

void *fbl_arena_array(FblArena *arena, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        fbl_out_of_memory();
    }
    return fbl_arena_alloc(arena, bytes);
}

char *fbl_arena_strndup(FblArena *arena, const char *text, size_t length) {
    if (length == SIZE_MAX) {
        fbl_out_of_memory();
    }
    char *copy = fbl_arena_alloc(arena, length + 1);
    if (length > 0) {
        memcpy(copy, text, length);
    }
    return copy;
}

char *fbl_arena_vprintf(FblArena *arena, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    if (length < 0) {
        // Only an output of more than INT_MAX bytes gets here.
        fbl_out_of_memory();
    }
    char *text = fbl_arena_alloc(arena, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

char *fbl_arena_printf(FblArena *arena, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text = fbl_arena_vprintf(arena, format, args);
    va_end(args);
    return text;
}

void *fbl_arena_grow(FblArena *arena, void *items, size_t count, size_t *capacity, size_t item_size) {
    if (count < *capacity) {
        return items;
    }
    size_t larger = *capacity < 8 ? 8 : *capacity;
    do {
        if (__builtin_mul_overflow(larger, (size_t)2, &larger)) {
            fbl_out_of_memory();
        }
    } while (larger <= count);
    void *copy = fbl_arena_array(arena, larger, item_size);
    if (count > 0) {
        memcpy(copy, items, count * item_size);
    }
    *capacity = larger;
    return copy;
}

bool fbl_mul_i64(int64_t a, int64_t b, int64_t *out) {
    int64_t product;
    if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product)) {
        return false;
    }
    *out = product;
    return true;
}

bool fbl_add_i64(int64_t a, int64_t b, int64_t *out) {
    int64_t sum;
    if (a < 0 || b < 0 || __builtin_add_overflow(a, b, &sum)) {
        return false;
    }
    *out = sum;
    return true;
}

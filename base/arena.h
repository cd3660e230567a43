// Bump allocator: objects live exactly as long as their arena. Also checked size arithmetic and a growable-array helper.
//
// Ownership: the arena owns every block; nothing is freed singly. Threads: one thread per arena at a time.
// Running out of memory in an arena prints a message and ends the process with exit code 3: arenas hold compiler
// objects, which are small; tensor memory is allocated elsewhere with a status.
#ifndef FBL_BASE_ARENA_H
#define FBL_BASE_ARENA_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct FblArenaBlock FblArenaBlock;

typedef struct FblArena {
    FblArenaBlock *head; // newest block; blocks are chained
} FblArena;

void fbl_arena_init(FblArena *arena);
void fbl_arena_deinit(FblArena *arena);

// `size` zeroed bytes aligned to 16; size 0 gives a valid unique pointer. Never NULL.
void *fbl_arena_alloc(FblArena *arena, size_t size);

// `count * size` zeroed bytes, overflow checked (overflow ends the process like exhaustion).
void *fbl_arena_array(FblArena *arena, size_t count, size_t size);

// A NUL-terminated copy of `length` bytes of `text`.
char *fbl_arena_strndup(FblArena *arena, const char *text, size_t length);

// printf into the arena; NUL-terminated.
char *fbl_arena_printf(FblArena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *fbl_arena_vprintf(FblArena *arena, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

// Makes room for one more element: returns `items`, or a larger copy with *capacity doubled. Used as
//   v->items = fbl_arena_grow(arena, v->items, v->count, &v->capacity, sizeof *v->items);
void *fbl_arena_grow(FblArena *arena, void *items, size_t count, size_t *capacity, size_t item_size);

// Typed conveniences.
#define FBL_NEW(arena, Type) ((Type *)fbl_arena_alloc((arena), sizeof(Type)))
#define FBL_NEW_ARRAY(arena, Type, count) ((Type *)fbl_arena_array((arena), (size_t)(count), sizeof(Type)))
// Appends `value` to the arena array `items` with fields `count` and `capacity` (size_t lvalues).
#define FBL_PUSH(arena, items, count, capacity, value)                                                  \
    do {                                                                                                \
        (items) = fbl_arena_grow((arena), (items), (count), &(capacity), sizeof *(items));              \
        (items)[(count)++] = (value);                                                                   \
    } while (0)

// *out = a * b or a + b; false on overflow or a negative operand, then *out is unchanged.
bool fbl_mul_i64(int64_t a, int64_t b, int64_t *out);
bool fbl_add_i64(int64_t a, int64_t b, int64_t *out);

// Prints "out of memory" to stderr and exits with code 3. For small allocations that no caller can go on without.
_Noreturn void fbl_out_of_memory(void);

#endif

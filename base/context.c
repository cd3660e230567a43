#include "base/context.h"

#include <stdlib.h>
#include <string.h>

#include "base/context_internal.h"
#include "base/utf8.h"

FblContext *fbl_context_create(void) {
    FblContext *ctx = calloc(1, sizeof *ctx);
    if (ctx == NULL) {
        fbl_out_of_memory();
    }
    fbl_arena_init(&ctx->arena);
    ctx->slot_count = 1024;
    ctx->slots = calloc(ctx->slot_count, sizeof *ctx->slots);
    if (ctx->slots == NULL) {
        fbl_out_of_memory();
    }
    return ctx;
}

void fbl_context_destroy(FblContext *ctx) {
    if (ctx == NULL) {
        return;
    }
    while (ctx->scratch != NULL) {
        fbl_context_scratch_close(&ctx->scratch->arena);
    }
    fbl_arena_deinit(&ctx->arena);
    free(ctx->slots);
    free(ctx);
}

FblArena *fbl_context_arena(FblContext *ctx) { return &ctx->arena; }

FblArena *fbl_context_scratch_open(FblContext *ctx) {
    FblScratch *scratch = calloc(1, sizeof *scratch);
    if (scratch == NULL) {
        fbl_out_of_memory();
    }
    fbl_arena_init(&scratch->arena);
    scratch->next = ctx->scratch;
    scratch->link = &ctx->scratch;
    if (scratch->next != NULL) {
        scratch->next->link = &scratch->next;
    }
    ctx->scratch = scratch;
    return &scratch->arena;
}

void fbl_context_scratch_close(FblArena *arena) {
    FblScratch *scratch = (FblScratch *)arena;
    if (scratch == NULL) {
        return;
    }
    *scratch->link = scratch->next;
    if (scratch->next != NULL) {
        scratch->next->link = scratch->link;
    }
    fbl_arena_deinit(&scratch->arena);
    free(scratch);
}

static uint64_t name_hash(const char *text, size_t length) {
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < length; i++) {
        h = (h ^ (unsigned char)text[i]) * 0x100000001B3u;
    }
    return h ^ h >> 32;
}

static void grow_slots(FblContext *ctx) {
    size_t larger = ctx->slot_count * 2;
    FblInternSlot *slots = calloc(larger, sizeof *slots);
    if (slots == NULL) {
        fbl_out_of_memory();
    }
    for (size_t i = 0; i < ctx->slot_count; i++) {
        if (ctx->slots[i].text != NULL) {
            size_t at = ctx->slots[i].hash & (larger - 1);
            while (slots[at].text != NULL) {
                at = (at + 1) & (larger - 1);
            }
            slots[at] = ctx->slots[i];
        }
    }
    free(ctx->slots);
    ctx->slots = slots;
    ctx->slot_count = larger;
}

FblName fbl_intern_n(FblContext *ctx, const char *text, size_t length) {
    if (ctx->name_count >= ctx->slot_count / 2) {
        grow_slots(ctx);
    }
    uint64_t hash = name_hash(text, length);
    size_t at = hash & (ctx->slot_count - 1);
    while (ctx->slots[at].text != NULL) {
        const FblInternSlot *slot = &ctx->slots[at];
        if (slot->hash == hash && slot->length == length && (length == 0 || memcmp(slot->text, text, length) == 0)) {
            return slot->text;
        }
        at = (at + 1) & (ctx->slot_count - 1);
    }
    ctx->slots[at] = (FblInternSlot){fbl_arena_strndup(&ctx->arena, text, length), length, hash};
    ctx->name_count++;
    return ctx->slots[at].text;
}

FblName fbl_intern(FblContext *ctx, const char *text) { return fbl_intern_n(ctx, text, strlen(text)); }

uint32_t fbl_source_add(FblContext *ctx, const char *path, const char *text, size_t length) {
    FblSourceEntry entry = {0};
    const char *copy = fbl_arena_strndup(&ctx->arena, text, length);
    entry.source = (FblSource){fbl_arena_strndup(&ctx->arena, path, strlen(path)), copy, length};
    uint32_t count = 1;
    for (const char *p = copy; length > 0 && (p = memchr(p, '\n', length - (size_t)(p - copy))) != NULL; p++) {
        count++;
    }
    entry.lines = FBL_NEW_ARRAY(&ctx->arena, uint32_t, count);
    entry.line_count = 1;
    for (const char *p = copy; length > 0 && (p = memchr(p, '\n', length - (size_t)(p - copy))) != NULL; p++) {
        entry.lines[entry.line_count++] = (uint32_t)(p - copy) + 1;
    }
    FBL_PUSH(&ctx->arena, ctx->sources, ctx->source_count, ctx->source_capacity, entry);
    return (uint32_t)ctx->source_count;
}

const FblSource *fbl_source_get(const FblContext *ctx, uint32_t file) {
    return file == 0 || file > ctx->source_count ? NULL : &ctx->sources[file - 1].source;
}

uint32_t fbl_source_count(const FblContext *ctx) { return (uint32_t)ctx->source_count; }

uint32_t fbl_source_line_of(const FblSourceEntry *entry, uint32_t offset) {
    uint32_t low = 0;
    uint32_t high = entry->line_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (entry->lines[middle] <= offset) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

void fbl_source_line_span(const FblSourceEntry *entry, uint32_t line, size_t *out_begin, size_t *out_end) {
    size_t begin = entry->lines[line];
    size_t end = entry->source.length;
    if (line + 1 < entry->line_count) {
        end = (size_t)entry->lines[line + 1] - 1;
        if (end > begin && entry->source.text[end - 1] == '\r') {
            end--;
        }
    }
    *out_begin = begin;
    *out_end = end;
}

void fbl_source_line_column(const FblContext *ctx, uint32_t file, uint32_t offset, uint32_t *out_line,
                            uint32_t *out_column) {
    *out_line = 0;
    *out_column = 0;
    if (fbl_source_get(ctx, file) == NULL) {
        return;
    }
    const FblSourceEntry *entry = &ctx->sources[file - 1];
    size_t end = offset < entry->source.length ? offset : entry->source.length;
    uint32_t line = fbl_source_line_of(entry, (uint32_t)end);
    uint32_t column = 1;
    size_t at = entry->lines[line];
    while (at < end) {
        uint32_t code;
        at += fbl_utf8_decode(entry->source.text + at, entry->source.length - at, &code);
        // An offset inside a character counts as the character's own column.
        column += at <= end;
    }
    *out_line = line + 1;
    *out_column = column;
}

const char *fbl_loc_string(FblContext *ctx, FblLoc loc, bool short_path) {
    const FblSource *source = fbl_source_get(ctx, loc.file);
    if (source == NULL) {
        return "-";
    }
    const char *path = source->path;
    const char *slash = strrchr(path, '/');
    if (short_path && slash != NULL) {
        path = slash + 1;
    }
    uint32_t line = fbl_source_line_of(&ctx->sources[loc.file - 1], loc.begin) + 1;
    return fbl_arena_printf(&ctx->arena, "%s:%u", path, line);
}

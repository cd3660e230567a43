#include "runtime/fblx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/hash.h"
#include "base/io.h"

#define MAGIC "FBLXFIL1"

// Little-endian on disk; x86-64 and the other supported hosts are little-endian too.
typedef struct Head {
    char magic[8];
    uint64_t size; // of the whole file
    uint8_t digest[32]; // of everything after this field
    uint64_t count;
} Head;

typedef struct Row {
    uint32_t kind, index;
    uint64_t offset, size; // a NUL follows each section
} Row;

enum { DIGEST_END = 48 };

static int compare_entries(const void *a, const void *b) {
    const FblxEntry *x = a, *y = b;
    if (x->kind != y->kind) {
        return x->kind < y->kind ? -1 : 1;
    }
    return (x->index > y->index) - (x->index < y->index);
}

FblStatus fblx_write(FblContext *ctx, const char *path, const FblxEntry *entries, size_t count) {
    size_t size = sizeof(Head) + count * sizeof(Row);
    for (size_t i = 0; i < count; i++) {
        size += entries[i].size + 1;
    }
    char *bytes = calloc(size, 1);
    FblxEntry *sorted = malloc((count + 1) * sizeof *sorted);
    if (!bytes || !sorted) {
        fbl_out_of_memory();
    }
    if (count) {
        memcpy(sorted, entries, count * sizeof *sorted);
        qsort(sorted, count, sizeof *sorted, compare_entries);
    }
    Head head = {.size = size, .count = count};
    memcpy(head.magic, MAGIC, 8);
    size_t at = sizeof head + count * sizeof(Row);
    for (size_t i = 0; i < count; i++) {
        Row row = {(uint32_t)sorted[i].kind, sorted[i].index, at, sorted[i].size};
        memcpy(bytes + sizeof head + i * sizeof row, &row, sizeof row);
        if (sorted[i].size) {
            memcpy(bytes + at, sorted[i].data, sorted[i].size);
        }
        at += sorted[i].size + 1;
    }
    memcpy(bytes, &head, sizeof head);
    FblHash digest = fbl_hash(bytes + DIGEST_END, size - DIGEST_END);
    memcpy(bytes + DIGEST_END - sizeof digest.bytes, digest.bytes, sizeof digest.bytes);
    FblSpan span = {bytes, size};
    FblStatus status = fbl_write_file_atomic(ctx, path, &span, 1);
    free(bytes);
    free(sorted);
    return status;
}

static FblStatus refuse(FblContext *ctx, char *bytes, FblxFile *out, const char *id, const char *path, const char *why) {
    free(bytes);
    memset(out, 0, sizeof *out);
    FblDiag *diag = fbl_diag(ctx, FBL_ERROR, id, FBL_NO_LOC, "%s %s", path, why);
    fbl_diag_hint(ctx, diag, "compile it again with `fblc compile F.fbl -o F.fblx`");
    return FBL_USER;
}

FblStatus fblx_parse(FblContext *ctx, const char *path, char *bytes, size_t size, FblxFile *out) {
    memset(out, 0, sizeof *out);
    Head head;
    if (size < sizeof head) {
        return refuse(ctx, bytes, out, "E0601", path, "is not a compiled program");
    }
    memcpy(&head, bytes, sizeof head);
    if (memcmp(head.magic, MAGIC, 7) != 0) {
        return refuse(ctx, bytes, out, "E0601", path, "is not a compiled program");
    }
    if (head.magic[7] != MAGIC[7]) {
        return refuse(ctx, bytes, out, "E0603", path, "was written by another version of fblc");
    }
    FblHash digest = fbl_hash(bytes + DIGEST_END, size - DIGEST_END);
    if (head.size != size || memcmp(digest.bytes, head.digest, sizeof digest.bytes) != 0) {
        return refuse(ctx, bytes, out, "E0602", path, "is damaged: its checksum does not fit");
    }
    if (head.count > (size - sizeof head) / sizeof(Row)) {
        return refuse(ctx, bytes, out, "E0602", path, "is damaged: its table is longer than the file");
    }
    out->entries = calloc((size_t)head.count + 1, sizeof *out->entries);
    if (!out->entries) {
        fbl_out_of_memory();
    }
    uint64_t at = sizeof head + head.count * sizeof(Row);
    for (uint64_t i = 0; i < head.count; i++) {
        Row row;
        memcpy(&row, bytes + sizeof head + i * sizeof row, sizeof row);
        FblxEntry entry = {(FblxSection)row.kind, row.index, bytes + at, (size_t)row.size};
        bool ordered = i == 0 || compare_entries(&out->entries[i - 1], &entry) < 0;
        // Sections lie one after the other, each with its NUL.
        if (row.offset != at || row.size >= size - at || bytes[at + row.size] != 0 || row.kind < FBLX_META || row.kind > FBLX_SOURCE || !ordered) {
            free(out->entries);
            return refuse(ctx, bytes, out, "E0602", path, "is damaged: its table does not fit");
        }
        out->entries[i] = entry;
        at += row.size + 1;
    }
    if (at != size) {
        free(out->entries);
        return refuse(ctx, bytes, out, "E0602", path, "is damaged: it has bytes of no section");
    }
    out->count = (size_t)head.count;
    out->bytes = bytes;
    out->size = size;
    return FBL_OK;
}

FblStatus fblx_read(FblContext *ctx, const char *path, FblxFile *out) {
    char *bytes;
    size_t size;
    memset(out, 0, sizeof *out);
    FBL_TRY(fbl_read_file(ctx, path, FBLX_MAX_FILE, &bytes, &size));
    return fblx_parse(ctx, path, bytes, size, out);
}

void fblx_deinit(FblxFile *file) {
    free(file->entries);
    free(file->bytes);
    memset(file, 0, sizeof *file);
}

const FblxEntry *fblx_find(const FblxFile *file, FblxSection kind, uint32_t index) {
    FblxEntry key = {.kind = kind, .index = index};
    return file->count ? bsearch(&key, file->entries, file->count, sizeof key, compare_entries) : NULL;
}

bool fblx_is(const char *path) {
    FILE *file = fopen(path, "rb");
    char magic[8] = {0};
    bool is = file && fread(magic, 1, sizeof magic, file) == sizeof magic && memcmp(magic, MAGIC, 7) == 0;
    if (file) {
        fclose(file);
    }
    return is;
}

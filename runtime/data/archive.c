#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "runtime/data/dataset_internal.h"

// The largest batch file is 185 MB (the CIFAR-100 pickle); more is not what we look for.
#define ENTRY_LIMIT ((int64_t)1 << 30)

static FblStatus bad_archive(FblContext *ctx, const char *path, struct archive *archive) {
    const char *reason = archive_error_string(archive);
    return fbl_error(ctx, "E0807", FBL_NO_LOC, "cannot read the archive `%s`: %s", path,
                     reason != NULL ? reason : "it is damaged");
}

static FblStatus read_entry(FblContext *ctx, const char *path, struct archive *archive, const char *name,
                            FblArchiveFile *file) {
    size_t capacity = (size_t)1 << 20;
    size_t size = 0;
    uint8_t *bytes = malloc(capacity);
    for (;;) {
        if (bytes != NULL && size == capacity) {
            uint8_t *larger = realloc(bytes, capacity * 2);
            if (larger == NULL) {
                free(bytes);
            }
            bytes = larger;
            capacity *= 2;
        }
        if (bytes == NULL) {
            return fbl_data_no_memory(ctx, name);
        }
        la_ssize_t got = archive_read_data(archive, bytes + size, capacity - size);
        if (got < 0) {
            free(bytes);
            return bad_archive(ctx, path, archive);
        }
        if (got == 0) {
            break;
        }
        size += (size_t)got;
        if (size > (size_t)ENTRY_LIMIT) {
            free(bytes);
            return fbl_error(ctx, "E0807", FBL_NO_LOC, "`%s` in the archive `%s` is too large", name, path);
        }
    }
    file->bytes = bytes;
    file->size = size;
    return FBL_OK;
}

static FblStatus read_entries(FblContext *ctx, const char *path, struct archive *archive, const char *const *names,
                              int count, FblArchiveFile *out_files) {
    if (archive_read_open_filename(archive, path, (size_t)1 << 16) != ARCHIVE_OK) {
        return bad_archive(ctx, path, archive);
    }
    for (;;) {
        struct archive_entry *entry;
        int result = archive_read_next_header(archive, &entry);
        if (result == ARCHIVE_EOF) {
            return FBL_OK;
        }
        if (result != ARCHIVE_OK && result != ARCHIVE_WARN) {
            return bad_archive(ctx, path, archive);
        }
        const char *pathname = archive_entry_pathname(entry);
        if (pathname == NULL || archive_entry_filetype(entry) != AE_IFREG) {
            continue;
        }
        const char *slash = strrchr(pathname, '/');
        const char *name = slash != NULL ? slash + 1 : pathname;
        for (int i = 0; i < count; i++) {
            if (out_files[i].bytes == NULL && strcmp(name, names[i]) == 0) {
                FBL_TRY(read_entry(ctx, path, archive, names[i], &out_files[i]));
                break;
            }
        }
    }
}

FblStatus fbl_archive_read(FblContext *ctx, const char *path, const char *const *names, int count,
                           FblArchiveFile *out_files) {
    memset(out_files, 0, (size_t)count * sizeof *out_files);
    struct archive *archive = archive_read_new();
    if (archive == NULL) {
        return fbl_data_no_memory(ctx, path);
    }
    archive_read_support_filter_all(archive);
    archive_read_support_format_tar(archive);
    archive_read_support_format_zip(archive);
    FblStatus status = read_entries(ctx, path, archive, names, count, out_files);
    archive_read_free(archive);
    for (int i = 0; status != FBL_OK && i < count; i++) {
        free(out_files[i].bytes);
        out_files[i] = (FblArchiveFile){0};
    }
    return status;
}

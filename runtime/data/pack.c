#include "runtime/data/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/io.h"
#include "runtime/data/dataset_internal.h"

#define HEADER 64
#define ENTRY 16
static const char magic[] = "FBLPACK1";

static void put(uint8_t *to, uint64_t value, int width) {
    for (int i = 0; i < width; i++) {
        to[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t get(const uint8_t *from, int width) {
    uint64_t value = 0;
    for (int i = width - 1; i >= 0; i--) {
        value = value << 8 | from[i];
    }
    return value;
}

static void write_header(uint8_t *header, const FblPackOptions *options, const FblHash *key) {
    memset(header, 0, HEADER);
    memcpy(header, magic, 8);
    put(header + 8, (uint64_t)options->count, 8);
    put(header + 16, (uint64_t)options->shorter, 8);
    memcpy(header + 24, key->bytes, sizeof key->bytes);
}

bool fbl_pack_parse(const uint8_t *bytes, size_t size, int64_t count, int32_t shorter, const FblHash *key, FblPack *out) {
    *out = (FblPack){.bytes = bytes, .size = size, .count = count};
    if (size < HEADER || count < 0 || (uint64_t)count > (size - HEADER) / ENTRY || memcmp(bytes, magic, 8) != 0 ||
        get(bytes + 8, 8) != (uint64_t)count || get(bytes + 16, 8) != (uint64_t)shorter || memcmp(bytes + 24, key->bytes, sizeof key->bytes) != 0) {
        return false;
    }
    for (int64_t i = 0; i < count; i++) {
        const uint8_t *entry = bytes + HEADER + ENTRY * (size_t)i;
        uint64_t offset = get(entry, 8), width = get(entry + 8, 4), height = get(entry + 12, 4);
        if (width == 0 && offset == 0) {
            continue;
        }
        if (width == 0 || height == 0 || width > (uint64_t)FBL_IMAGE_MAX_PIXELS / height || offset > size || 3 * width * height > size - offset) {
            return false;
        }
    }
    return true;
}

bool fbl_pack_picture(const FblPack *pack, int64_t index, FblImage *out) {
    const uint8_t *entry = pack->bytes + HEADER + ENTRY * (size_t)index;
    *out = (FblImage){.width = (int32_t)get(entry + 8, 4), .height = (int32_t)get(entry + 12, 4)};
    // The pixels are only read; FblImage has no form for that.
    memcpy(&out->pixels, &(const uint8_t *){pack->bytes + get(entry, 8)}, sizeof out->pixels);
    return out->width > 0;
}

// What the pack depends on: the files by name, size and time of change.
static FblHash key_of(FblContext *ctx, const FblPackOptions *options) {
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    FblHash key = {{0}};
    if (stream == NULL) {
        return key;
    }
    fprintf(stream, "%s %d", FBL_VERSION, options->shorter);
    for (int64_t i = 0; i < options->count; i++) {
        struct stat info = {0};
        (void)stat(options->images[i], &info);
        fprintf(stream, "\n%s %lld %lld.%09ld", options->images[i], (long long)info.st_size, (long long)info.st_mtim.tv_sec,
                info.st_mtim.tv_nsec);
    }
    if (fclose(stream) == 0) {
        key = fbl_hash(text, size);
    }
    free(text);
    (void)ctx;
    return key;
}

// One picture, shrunk.
static FblStatus load_picture(const char *path, int32_t shorter, FblImage *out, FblImageError *error) {
    FBL_TRY(fbl_image_read(path, out, error));
    if (out->width <= shorter || out->height <= shorter) {
        return FBL_OK;
    }
    FblImage small;
    FblStatus status = fbl_image_resize_shorter(out, shorter, &small);
    fbl_image_deinit(out);
    *out = small;
    return status;
}

static FblStatus write_pictures(FblContext *ctx, const FblPackOptions *options, FILE *file, uint8_t *table) {
    uint64_t offset = HEADER + ENTRY * (uint64_t)options->count;
    int64_t bad = 0;
    for (int64_t i = 0; i < options->count; i++) {
        if (options->progress && i % 500 == 0) {
            fprintf(options->progress, "\rpacking %s: %lld of %lld images", options->path, (long long)i, (long long)options->count);
            fflush(options->progress);
        }
        FblImage image = {0};
        FblImageError error;
        FblStatus status = load_picture(options->images[i], options->shorter, &image, &error);
        if (status == FBL_NOMEM || (status != FBL_OK && !options->skip_bad)) {
            fbl_error(ctx, "E0805", FBL_NO_LOC, "%scannot use the image `%s`: %s", fbl_image_origin(ctx, &options->origin, i), options->images[i], status == FBL_NOMEM ? "not enough memory" : error.text);
            return status;
        }
        if (status != FBL_OK) {
            fbl_diag(ctx, FBL_WARNING, "E0815", FBL_NO_LOC, "%sleft out the image `%s`: %s (%lld so far)", fbl_image_origin(ctx, &options->origin, i), options->images[i], error.text, (long long)++bad);
            continue;
        }
        size_t bytes = 3 * (size_t)image.width * (size_t)image.height;
        uint8_t *entry = table + ENTRY * (size_t)i;
        put(entry, offset, 8);
        put(entry + 8, (uint64_t)image.width, 4);
        put(entry + 12, (uint64_t)image.height, 4);
        offset += bytes;
        bool written = fwrite(image.pixels, 1, bytes, file) == bytes;
        fbl_image_deinit(&image);
        if (!written) {
            return FBL_IO;
        }
    }
    if (options->progress) {
        fprintf(options->progress, "\rpacking %s: %lld of %lld images\n", options->path, (long long)options->count, (long long)options->count);
    }
    return FBL_OK;
}

static FblStatus write_file(FblContext *ctx, const FblPackOptions *options, const FblHash *key, FILE *file) {
    size_t head = HEADER + ENTRY * (size_t)options->count;
    uint8_t *table = calloc(head, 1);
    if (table == NULL) {
        return fbl_data_no_memory(ctx, options->path);
    }
    write_header(table, options, key);
    bool ok = fwrite(table, 1, head, file) == head;
    FblStatus status = ok ? write_pictures(ctx, options, file, table + HEADER) : FBL_IO;
    if (status == FBL_OK) {
        ok = fseek(file, 0, SEEK_SET) == 0 && fwrite(table, 1, head, file) == head && fflush(file) == 0 && fsync(fileno(file)) == 0;
        status = ok ? FBL_OK : FBL_IO;
    }
    free(table);
    return status;
}

// Written beside its place and renamed: another run sees the old or the whole new file.
static FblStatus make(FblContext *ctx, const FblPackOptions *options, const FblHash *key) {
    FBL_TRY(fbl_make_dirs(ctx, fbl_path_directory(ctx, options->path)));
    char *temporary = fbl_arena_printf(fbl_context_arena(ctx), "%s.%ld.tmp", options->path, (long)getpid());
    size_t errors = fbl_diag_error_count(ctx);
    FILE *file = fopen(temporary, "wb");
    FblStatus status = file ? write_file(ctx, options, key, file) : FBL_IO;
    int error = errno;
    if (file && fclose(file) != 0 && status == FBL_OK) {
        error = errno;
        status = FBL_IO;
    }
    if (status == FBL_OK && rename(temporary, options->path) != 0) {
        error = errno;
        status = FBL_IO;
    }
    if (status != FBL_OK) {
        unlink(temporary);
    }
    if (status == FBL_IO && fbl_diag_error_count(ctx) == errors) {
        fbl_error(ctx, "E0823", FBL_NO_LOC, "cannot make the packed images `%s`: %s", options->path, strerrordesc_np(error));
    }
    return status;
}

// Maps the file when it fits.
static bool open_file(const FblPackOptions *options, const FblHash *key, FblPack *out) {
    int fd = open(options->path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0 || info.st_size < HEADER) {
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    void *bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (bytes == MAP_FAILED) {
        return false;
    }
    if (!fbl_pack_parse(bytes, (size_t)info.st_size, options->count, options->shorter, key, out)) {
        munmap(bytes, (size_t)info.st_size);
        *out = (FblPack){0};
        return false;
    }
    out->mapped = true;
    return true;
}

FblStatus fbl_pack_open(FblContext *ctx, const FblPackOptions *options, FblPack *out) {
    *out = (FblPack){0};
    if (options->shorter < 1 || options->shorter > 4096) {
        return fbl_error(ctx, "E0823", FBL_NO_LOC, "packed images need a shorter side of 1 to 4096 pixels, not %d", options->shorter);
    }
    FblHash key = key_of(ctx, options);
    if (open_file(options, &key, out)) {
        return FBL_OK;
    }
    FBL_TRY(make(ctx, options, &key));
    if (open_file(options, &key, out)) {
        return FBL_OK;
    }
    fbl_error(ctx, "E0823", FBL_NO_LOC, "cannot read the packed images `%s` that were just made", options->path);
    return FBL_IO;
}

void fbl_pack_close(FblPack *pack) {
    if (pack->mapped) {
        void *bytes;
        memcpy(&bytes, &pack->bytes, sizeof bytes);
        munmap(bytes, pack->size);
    }
    *pack = (FblPack){0};
}

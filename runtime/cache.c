#include "runtime/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "FBLKRNL5"
#define MAX_OBJECT ((int64_t)1 << 28)

struct FblCache {
    char *directory; // NULL: off
};

// An entry: magic, SHA-256 of the rest, then this head and the object.
typedef struct EntryHead {
    char symbol[96];
    int64_t phases;
    int64_t items[FBL_KERNEL_MAX_PHASES];
    int64_t scratch_bytes, workspace_bytes, image_groups, object_size;
    FblGpuPhase gpu[FBL_KERNEL_MAX_PHASES];
    FblGpuLibrary library;
    int64_t before, after;
    FblGpuPhase around[FBL_ARRAY_COUNT];
} EntryHead;

enum { HEAD_AT = 8 + 32, OBJECT_AT = HEAD_AT + (int)sizeof(EntryHead) };

static bool make_dirs(char *path) {
    for (char *slash = path + 1; *slash; slash++) {
        if (*slash == '/') {
            *slash = 0;
            bool ok = mkdir(path, 0777) == 0 || errno == EEXIST;
            *slash = '/';
            if (!ok) {
                return false;
            }
        }
    }
    return mkdir(path, 0777) == 0 || errno == EEXIST;
}

FblCache *fbl_cache_open(const char *directory) {
    FblCache *cache = calloc(1, sizeof *cache);
    if (!cache) {
        fbl_out_of_memory();
    }
    char path[4096];
    const char *fbl = getenv("FBL_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int length = 0;
    if (directory) {
        length = snprintf(path, sizeof path, "%s", directory);
    } else if (fbl && *fbl) {
        length = strcmp(fbl, "off") == 0 ? 0 : snprintf(path, sizeof path, "%s", fbl);
    } else if (xdg && *xdg) {
        length = snprintf(path, sizeof path, "%s/fblc", xdg);
    } else if (home && *home) {
        length = snprintf(path, sizeof path, "%s/.cache/fblc", home);
    }
    if (length > 0 && (size_t)length < sizeof path && make_dirs(path)) {
        cache->directory = strdup(path);
    }
    return cache;
}

const char *fbl_cache_directory(const FblCache *cache) { return cache->directory; }

void fbl_cache_close(FblCache *cache) {
    if (cache) {
        free(cache->directory);
        free(cache);
    }
}

void fbl_kernel_code_pack(const FblKernelCode *code, uint8_t **out_bytes, size_t *out_size) {
    size_t size = OBJECT_AT + code->object_size;
    uint8_t *bytes = calloc(1, size);
    if (!bytes) {
        fbl_out_of_memory();
    }
    EntryHead head;
    memset(&head, 0, sizeof head);
    memcpy(head.symbol, code->symbol, sizeof head.symbol);
    head.phases = code->phases;
    memcpy(head.items, code->items, sizeof head.items);
    head.scratch_bytes = code->scratch_bytes;
    head.workspace_bytes = code->workspace_bytes;
    head.image_groups = code->image_groups;
    head.object_size = (int64_t)code->object_size;
    memcpy(head.gpu, code->gpu, sizeof head.gpu);
    memcpy(&head.library, &code->library, sizeof head.library);
    head.before = code->before;
    head.after = code->after;
    memcpy(head.around, code->around, sizeof head.around);
    memcpy(bytes, MAGIC, 8);
    memcpy(bytes + HEAD_AT, &head, sizeof head);
    if (code->object_size) {
        memcpy(bytes + OBJECT_AT, code->object, code->object_size);
    }
    FblHash hash = fbl_hash(bytes + HEAD_AT, size - HEAD_AT);
    memcpy(bytes + 8, hash.bytes, 32);
    *out_bytes = bytes;
    *out_size = size;
}

bool fbl_kernel_code_unpack(const uint8_t *bytes, size_t size, FblKernelCode *out_code) {
    memset(out_code, 0, sizeof *out_code);
    if (size < OBJECT_AT || memcmp(bytes, MAGIC, 8) != 0) {
        return false;
    }
    FblHash hash = fbl_hash(bytes + HEAD_AT, size - HEAD_AT);
    if (memcmp(bytes + 8, hash.bytes, 32) != 0) {
        return false;
    }
    EntryHead head;
    memcpy(&head, bytes + HEAD_AT, sizeof head);
    bool sane = head.phases >= 1 && head.phases <= FBL_KERNEL_MAX_PHASES && head.scratch_bytes >= 0 && head.workspace_bytes >= 0 && head.image_groups >= 0 &&
                head.object_size >= 0 && head.object_size <= MAX_OBJECT && (size_t)head.object_size == size - OBJECT_AT;
    unsigned char used; // a bool of any other value must not be read as one
    memcpy(&used, &head.library.used, sizeof used);
    sane = sane && used <= 1 && head.library.workspace_bytes >= 0;
    sane = sane && head.before >= 0 && head.before <= FBL_ARRAY_COUNT && head.after >= 0 && head.after <= FBL_ARRAY_COUNT - head.before;
    for (int k = 0; k < FBL_KERNEL_MAX_PHASES; k++) {
        sane = sane && head.items[k] >= 0 && head.gpu[k].map_count >= 0 && head.gpu[k].map_count <= FBL_GPU_MAX_MAPS;
    }
    if (!sane) {
        return false;
    }
    memcpy(out_code->symbol, head.symbol, sizeof head.symbol);
    out_code->symbol[sizeof out_code->symbol - 1] = 0;
    out_code->phases = (int32_t)head.phases;
    memcpy(out_code->gpu, head.gpu, sizeof head.gpu);
    for (int k = 0; k < FBL_KERNEL_MAX_PHASES; k++) {
        out_code->gpu[k].symbol[sizeof out_code->gpu[k].symbol - 1] = 0;
    }
    out_code->library = head.library;
    out_code->library.name[sizeof out_code->library.name - 1] = 0;
    out_code->before = (int32_t)head.before;
    out_code->after = (int32_t)head.after;
    memcpy(out_code->around, head.around, sizeof head.around);
    for (int k = 0; k < FBL_ARRAY_COUNT; k++) {
        out_code->around[k].symbol[sizeof out_code->around[k].symbol - 1] = 0;
    }
    memcpy(out_code->items, head.items, sizeof head.items);
    out_code->scratch_bytes = head.scratch_bytes;
    out_code->workspace_bytes = head.workspace_bytes;
    out_code->image_groups = head.image_groups;
    if (head.object_size) {
        out_code->object = malloc((size_t)head.object_size);
        if (!out_code->object) {
            fbl_out_of_memory();
        }
        memcpy(out_code->object, bytes + OBJECT_AT, (size_t)head.object_size);
        out_code->object_size = (size_t)head.object_size;
    }
    return true;
}

static void entry_path(const FblCache *cache, const FblHash *key, char path[4224]) {
    char hex[65];
    fbl_hash_hex(key, hex);
    snprintf(path, 4224, "%s/%s.k", cache->directory, hex);
}

bool fbl_cache_get(FblCache *cache, const FblHash *key, FblKernelCode *out_code) {
    memset(out_code, 0, sizeof *out_code);
    if (!cache->directory) {
        return false;
    }
    char path[4224];
    entry_path(cache, key, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    struct stat info;
    bool ok = fstat(fd, &info) == 0 && info.st_size > 0 && info.st_size < MAX_OBJECT;
    uint8_t *bytes = ok ? malloc((size_t)info.st_size) : NULL;
    size_t have = 0;
    while (bytes && have < (size_t)info.st_size) {
        ssize_t got = read(fd, bytes + have, (size_t)info.st_size - have);
        if (got <= 0) {
            break;
        }
        have += (size_t)got;
    }
    close(fd);
    ok = bytes && have == (size_t)info.st_size && fbl_kernel_code_unpack(bytes, have, out_code);
    free(bytes);
    if (!ok) {
        fprintf(stderr, "warning: damaged cache entry %s; the kernel is compiled again\n", path);
        unlink(path);
    }
    return ok;
}

void fbl_cache_put(FblCache *cache, const FblHash *key, const FblKernelCode *code) {
    if (!cache->directory) {
        return;
    }
    char path[4224], temporary[4300];
    entry_path(cache, key, path);
    snprintf(temporary, sizeof temporary, "%s.%ld.%lx", path, (long)getpid(), (unsigned long)pthread_self());
    uint8_t *bytes;
    size_t size;
    fbl_kernel_code_pack(code, &bytes, &size);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool ok = fd >= 0;
    for (size_t done = 0; ok && done < size;) {
        ssize_t put = write(fd, bytes + done, size - done);
        ok = put > 0;
        done += ok ? (size_t)put : 0;
    }
    // The checksum finds a torn entry after a crash, so an fsync for each of a hundred kernels would buy nothing.
    ok = fd >= 0 && close(fd) == 0 && ok;
    if (!ok || rename(temporary, path) != 0) {
        unlink(temporary);
    }
    free(bytes);
}

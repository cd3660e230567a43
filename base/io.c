#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/diag.h"

// Linux moves at most 0x7ffff000 bytes a call; smaller pieces also keep the loop interruptible.
#define LARGEST_CALL ((size_t)1 << 30)

static const char *reason(int error) {
    const char *text = strerrordesc_np(error);
    return text != NULL ? text : "unknown error";
}

static FblStatus fail(FblContext *ctx, const char *id, const char *verb, const char *path, int error) {
    FblDiag *diag = fbl_diag(ctx, FBL_ERROR, id, FBL_NO_LOC, "cannot %s `%s`: %s", verb, path, reason(error));
    if (error == ENOSPC || error == EDQUOT) {
        fbl_diag_hint(ctx, diag, "free some space or choose another folder");
    }
    return FBL_IO;
}

static FblStatus too_large(FblContext *ctx, const char *path, size_t limit) {
    fbl_error(ctx, "E0902", FBL_NO_LOC, "`%s` is too large: the limit here is %zu bytes", path, limit);
    return FBL_IO;
}

static FblStatus read_all(FblContext *ctx, const char *path, int fd, size_t limit, char **out_data, size_t *out_size) {
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return fail(ctx, "E0904", "read", path, errno);
    }
    if (S_ISDIR(info.st_mode)) {
        return fail(ctx, "E0904", "read", path, EISDIR);
    }
    if (S_ISREG(info.st_mode) && (uint64_t)info.st_size > limit) {
        return too_large(ctx, path, limit);
    }
    // The size is a guess only: pipes have none and files may change under us. One byte more shows the end at once.
    size_t capacity = S_ISREG(info.st_mode) ? (size_t)info.st_size + 2 : (size_t)1 << 16;
    size_t size = 0;
    char *data = malloc(capacity);
    while (data != NULL) {
        size_t room = capacity - size - 1;
        if (room == 0) {
            char *larger = capacity > SIZE_MAX / 2 ? NULL : realloc(data, capacity * 2);
            if (larger == NULL) {
                free(data);
                data = NULL;
                break;
            }
            data = larger;
            capacity *= 2;
            continue;
        }
        ssize_t got = read(fd, data + size, room < LARGEST_CALL ? room : LARGEST_CALL);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            int error = errno;
            free(data);
            return fail(ctx, "E0904", "read", path, error);
        }
        if (got == 0) {
            data[size] = 0;
            *out_data = data;
            *out_size = size;
            return FBL_OK;
        }
        size += (size_t)got;
        if (size > limit) {
            free(data);
            return too_large(ctx, path, limit);
        }
    }
    fbl_error(ctx, "E0906", FBL_NO_LOC, "not enough memory to read `%s`", path);
    return FBL_NOMEM;
}

FblStatus fbl_read_file(FblContext *ctx, const char *path, size_t limit, char **out_data, size_t *out_size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fail(ctx, "E0901", "open", path, errno);
    }
    FblStatus status = read_all(ctx, path, fd, limit, out_data, out_size);
    close(fd);
    return status;
}

// Zero or an errno.
static int write_spans(int fd, const FblSpan *spans, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const char *p = spans[i].data;
        size_t left = spans[i].size;
        while (left > 0) {
            ssize_t done = write(fd, p, left < LARGEST_CALL ? left : LARGEST_CALL);
            if (done < 0) {
                if (errno == EINTR) {
                    continue;
                }
                return errno;
            }
            p += done;
            left -= (size_t)done;
        }
    }
    return 0;
}

// Writes, flushes and closes `fd`. Zero or an errno.
static int write_and_close(int fd, const FblSpan *spans, size_t count) {
    int error = write_spans(fd, spans, count);
    // Pipes and terminals cannot be synced; that is no failure.
    if (error == 0 && fsync(fd) != 0 && errno != EINVAL && errno != EROFS) {
        error = errno;
    }
    if (close(fd) != 0 && error == 0 && errno != EINTR) {
        error = errno;
    }
    return error;
}

static int sync_folder(const char *folder) {
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        // A folder that may be written but not read cannot be synced.
        return errno == EACCES ? 0 : errno;
    }
    // Some file systems cannot sync folders.
    int error = fsync(fd) != 0 && errno != EINVAL && errno != EROFS ? errno : 0;
    close(fd);
    return error;
}

FblStatus fbl_write_file_atomic(FblContext *ctx, const char *path, const FblSpan *spans, size_t count) {
    struct stat old;
    bool replaces = stat(path, &old) == 0;
    if (replaces && S_ISDIR(old.st_mode)) {
        return fail(ctx, "E0903", "write", path, EISDIR);
    }
    if (replaces && !S_ISREG(old.st_mode)) {
        // A device or a pipe such as /dev/stdout: a rename would replace it, so it is written in place.
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        int error = fd < 0 ? errno : write_and_close(fd, spans, count);
        return error == 0 ? FBL_OK : fail(ctx, "E0903", "write", path, error);
    }
    const char *folder = fbl_path_directory(ctx, path);
    char *temporary = NULL;
    int fd = -1;
    // Short names of our own rather than path + suffix, which could be over the length limit. O_EXCL rather than
    // mkstemp, so that the user's umask decides the permissions.
    for (int attempt = 0; attempt < 1000 && fd < 0; attempt++) {
        temporary = fbl_arena_printf(fbl_context_arena(ctx), "%s/.fbl-%ld-%d.tmp", folder, (long)getpid(), attempt);
        fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST) {
            break;
        }
    }
    if (fd < 0) {
        return fail(ctx, "E0903", "write", path, errno);
    }
    int error = 0;
    if (replaces && fchmod(fd, old.st_mode & 07777) != 0) {
        error = errno == EPERM ? 0 : errno;
    }
    if (error == 0) {
        error = write_and_close(fd, spans, count);
    } else {
        close(fd);
    }
    if (error == 0 && rename(temporary, path) != 0) {
        error = errno;
    }
    if (error != 0) {
        unlink(temporary);
        return fail(ctx, "E0903", "write", path, error);
    }
    error = sync_folder(folder);
    return error == 0 ? FBL_OK : fail(ctx, "E0903", "write", path, error);
}

FblStatus fbl_make_dirs(FblContext *ctx, const char *path) {
    size_t length = strlen(path);
    char *part = fbl_arena_strndup(fbl_context_arena(ctx), path, length);
    for (size_t i = 1; i <= length; i++) {
        if (part[i] != '/' && part[i] != 0) {
            continue;
        }
        char saved = part[i];
        part[i] = 0;
        if (mkdir(part, 0777) != 0) {
            int error = errno;
            struct stat info;
            // The folder may exist although mkdir gives another reason than EEXIST (read-only parents).
            if (stat(part, &info) != 0) {
                return fail(ctx, "E0905", "make the folder", part, error);
            }
            if (!S_ISDIR(info.st_mode)) {
                return fail(ctx, "E0905", "make the folder", part, ENOTDIR);
            }
        }
        part[i] = saved;
    }
    return FBL_OK;
}

bool fbl_path_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

const char *fbl_path_join(FblContext *ctx, const char *directory, const char *name) {
    FblArena *arena = fbl_context_arena(ctx);
    size_t length = directory == NULL ? 0 : strlen(directory);
    if (length == 0 || name[0] == '/') {
        return fbl_arena_strndup(arena, name, strlen(name));
    }
    return fbl_arena_printf(arena, "%s%s%s", directory, directory[length - 1] == '/' ? "" : "/", name);
}

const char *fbl_path_directory(FblContext *ctx, const char *path) {
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return ".";
    }
    while (slash > path && slash[-1] == '/') {
        slash--;
    }
    return fbl_arena_strndup(fbl_context_arena(ctx), path, slash == path ? 1 : (size_t)(slash - path));
}

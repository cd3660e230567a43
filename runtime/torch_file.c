#include "runtime/torch_file.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/io.h"
#include "runtime/data/pickle.h"

// The older form begins with a pickled number, 0x1950a86a20f9469cfc6c, in ten bytes.
static const uint8_t old_magic[] = {0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, '.'};

// A piece of the file: an entry of the archive, or a storage of the older form.
typedef struct Piece {
    const char *name;
    size_t offset; // in Reader.data
    size_t size;
} Piece;

typedef struct Reader {
    FblContext *ctx;
    const char *path;
    FblArena *arena;
    bool zip;
    const char *data; // of the pieces
    Piece *pieces;
    size_t count, capacity;
    FblPickle pickle;
    FblTensorFile *out;
    size_t copied, copy_limit; // bytes of tensors brought into order
} Reader;

static FblStatus damaged(const Reader *r, const char *reason) {
    return fbl_error(r->ctx, "E0736", FBL_NO_LOC, "cannot read the PyTorch file `%s`: %s", r->path, reason);
}

static FblStatus no_memory(const Reader *r) {
    fbl_error(r->ctx, "E0819", FBL_NO_LOC, "not enough memory for %s", r->path);
    return FBL_NOMEM;
}

static int by_piece_name(const void *a, const void *b) {
    return strcmp(((const Piece *)a)->name, ((const Piece *)b)->name);
}

static void sort_pieces(Reader *r) {
    if (r->count > 0) {
        qsort(r->pieces, r->count, sizeof *r->pieces, by_piece_name);
    }
}

static const Piece *find_piece(const Reader *r, const char *name) {
    Piece key = {.name = name};
    return r->count > 0 ? bsearch(&key, r->pieces, r->count, sizeof key, by_piece_name) : NULL;
}

// ------------------------------------------------------------------------------------------------ the zip form

// One entry into `to` from *used on. PyTorch stores its entries plain, so all of them together are smaller than the file.
static FblStatus take_entry(Reader *r, struct archive *archive, const char *name, char *to, size_t limit, size_t *used) {
    // A folder of the archive's name is around all: it does not matter.
    const char *slash = strchr(name, '/');
    Piece piece = {.name = fbl_arena_strndup(r->arena, slash ? slash + 1 : name, strlen(slash ? slash + 1 : name))};
    *used = (*used + 15) / 16 * 16;
    piece.offset = *used;
    for (;;) {
        if (*used >= limit) {
            return damaged(r, "its entries are compressed, which PyTorch does not do");
        }
        la_ssize_t got = archive_read_data(archive, to + *used, limit - *used);
        if (got < 0) {
            const char *reason = archive_error_string(archive);
            return damaged(r, reason ? reason : "it is damaged");
        }
        if (got == 0) {
            break;
        }
        *used += (size_t)got;
    }
    piece.size = *used - piece.offset;
    FBL_PUSH(r->arena, r->pieces, r->count, r->capacity, piece);
    return FBL_OK;
}

static FblStatus take_entries(Reader *r, struct archive *archive, char *to, size_t limit) {
    size_t used = 0;
    for (;;) {
        struct archive_entry *entry;
        int result = archive_read_next_header(archive, &entry);
        if (result == ARCHIVE_EOF) {
            return FBL_OK;
        }
        if (result != ARCHIVE_OK) {
            const char *reason = archive_error_string(archive);
            return damaged(r, reason ? reason : "it is damaged");
        }
        const char *name = archive_entry_pathname(entry);
        if (name && archive_entry_filetype(entry) == AE_IFREG) {
            FBL_TRY(take_entry(r, archive, name, to, limit, &used));
        }
    }
}

// The entries in memory of their own, each aligned for its elements.
static FblStatus unzip(Reader *r, const char *bytes, size_t size, char **out_data) {
    size_t limit = size + 16; // and 16 for the alignment of each entry, which its header of 30 bytes and more covers
    char *to = malloc(limit);
    struct archive *archive = archive_read_new();
    FblStatus status = to && archive ? FBL_OK : no_memory(r);
    if (status == FBL_OK) {
        archive_read_support_format_zip_seekable(archive);
        status = archive_read_open_memory(archive, bytes, size) == ARCHIVE_OK ? take_entries(r, archive, to, limit)
                                                                             : damaged(r, "it is damaged");
    }
    archive_read_free(archive);
    *out_data = to;
    r->data = to;
    return status;
}

static FblStatus bad_pickle(const Reader *r) {
    const char *reason = r->pickle.error;
    if (strncmp(reason, "it calls", 8) != 0 && strncmp(reason, "it holds objects", 16) != 0) {
        return damaged(r, reason);
    }
    FblDiag *diag = fbl_diag(r->ctx, FBL_ERROR, "E0737", FBL_NO_LOC, "refused to load `%s`: %s", r->path, reason);
    fbl_diag_hint(r->ctx, diag, "nothing of it was run; in Python save the weights alone: torch.save(model.state_dict(), \"W.pth\")");
    return FBL_USER;
}

static FblStatus read_pickle_of_zip(Reader *r) {
    const Piece *pickle = find_piece(r, "data.pkl");
    const Piece *order = find_piece(r, "byteorder");
    if (!pickle || find_piece(r, "constants.pkl")) {
        return damaged(r, pickle ? "it is a TorchScript program, not weights" : "it has no entry data.pkl");
    }
    if (order && order->size >= 3 && memcmp(r->data + order->offset, "big", 3) == 0) {
        return damaged(r, "its numbers are big-endian");
    }
    size_t used;
    FblStatus status = fbl_pickle_read_torch(&r->pickle, (const uint8_t *)r->data + pickle->offset, pickle->size, &used);
    return status == FBL_OK ? FBL_OK : bad_pickle(r);
}

// ---------------------------------------------------------------------------------------------- the older form

static size_t element_size(const char *type) {
    return type[1] == 'f' ? 2 : (size_t)(type[1] - '0');
}

static int by_key(const void *a, const void *b) {
    const FblPickleValue *x = (*(FblPickleValue *const *)a)->items[2], *y = (*(FblPickleValue *const *)b)->items[2];
    size_t length = x->length < y->length ? x->length : y->length;
    int order = memcmp(x->text, y->text, length);
    return order != 0 ? order : (x->length > y->length) - (x->length < y->length);
}

// The type of the storage that the pickle calls `key`; NULL when it names none such. Its storages are sorted.
static const char *type_of_storage(const FblPickle *pickle, FblPickleValue *key) {
    FblPickleValue *items[3] = {NULL, NULL, key};
    FblPickleValue sought = {.items = items}, *at = &sought;
    FblPickleValue **found = pickle->storage_count > 0 ? bsearch(&at, pickle->storages, pickle->storage_count, sizeof at, by_key) : NULL;
    return found ? fbl_pickle_storage_type((*found)->items[1]) : NULL;
}

// After the pickle: a pickled list of keys, then for each the number of elements and the elements.
static FblStatus read_storages(Reader *r, const char *bytes, size_t size, size_t at) {
    FblPickle keys;
    size_t used;
    if (r->pickle.storage_count > 0) {
        qsort(r->pickle.storages, r->pickle.storage_count, sizeof *r->pickle.storages, by_key);
    }
    FblStatus status = fbl_pickle_read_torch(&keys, (const uint8_t *)bytes + at, size - at, &used);
    at += used;
    if (status == FBL_OK && keys.root->kind != FBL_PICKLE_LIST) {
        status = FBL_USER;
    }
    for (size_t i = 0; status == FBL_OK && i < keys.root->count; i++) {
        FblPickleValue *key = keys.root->items[i];
        uint64_t elements = 0;
        const char *type = key->kind == FBL_PICKLE_STRING ? type_of_storage(&r->pickle, key) : NULL;
        if (size - at >= 8) {
            memcpy(&elements, bytes + at, 8);
        }
        if (size - at < 8 || !type || elements > (size - at - 8) / element_size(type)) {
            status = FBL_USER;
            break;
        }
        Piece piece = {fbl_arena_strndup(r->arena, key->text, key->length), at + 8, (size_t)elements * element_size(type)};
        FBL_PUSH(r->arena, r->pieces, r->count, r->capacity, piece);
        at += 8 + piece.size;
    }
    fbl_pickle_deinit(&keys);
    sort_pieces(r);
    return status == FBL_OK ? FBL_OK : damaged(r, "its storages are damaged or cut off");
}

static FblStatus read_old(Reader *r, const char *bytes, size_t size) {
    size_t at = sizeof old_magic;
    r->data = bytes;
    for (int i = 0; i < 2; i++) { // the version of the protocol, facts about the machine
        size_t used;
        FblPickle skipped;
        FblStatus status = fbl_pickle_read_torch(&skipped, (const uint8_t *)bytes + at, size - at, &used);
        fbl_pickle_deinit(&skipped);
        if (status != FBL_OK) {
            return damaged(r, "it is damaged");
        }
        at += used;
    }
    size_t used;
    if (fbl_pickle_read_torch(&r->pickle, (const uint8_t *)bytes + at, size - at, &used) != FBL_OK) {
        return bad_pickle(r);
    }
    return read_storages(r, bytes, size, at + used);
}

// --------------------------------------------------------------------------------------------------- tensors

static bool dtype_of(const char *type, FblFileDtype *out) {
    static const struct {
        const char *type;
        FblFileDtype dtype;
    } rows[] = {{"f4", FBL_FILE_F32}, {"f8", FBL_FILE_F64}, {"f2", FBL_FILE_F16}, {"bf", FBL_FILE_BF16},
                {"i8", FBL_FILE_I64}, {"i4", FBL_FILE_I32}, {"u1", FBL_FILE_U8},  {"b1", FBL_FILE_BOOL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].type, type) == 0) {
            *out = rows[i].dtype;
            return true;
        }
    }
    return false;
}

static FblStatus bad_tensor(const Reader *r, const char *name, const char *reason) {
    return fbl_error(r->ctx, "E0736", FBL_NO_LOC, "cannot read the PyTorch file `%s`: its tensor `%s` %s", r->path, name, reason);
}

// Elements of a strided view, in row-major order, into the file's own storage of copies.
static FblStatus copy_view(Reader *r, FblFileTensor *tensor, const char *from, const int64_t *strides) {
    size_t size = fbl_file_dtype_size(tensor->dtype);
    if (tensor->size > r->copy_limit - r->copied) {
        return bad_tensor(r, tensor->name, "shares its numbers with too many others");
    }
    if (!r->out->copies) {
        r->out->copies = malloc(r->copy_limit + 1);
    }
    if (!r->out->copies) {
        return no_memory(r);
    }
    char *to = r->out->copies + r->copied;
    r->copied += tensor->size;
    tensor->data = to;
    int64_t index[FBL_FILE_MAX_RANK] = {0};
    for (int64_t n = fbl_file_tensor_elements(tensor); n > 0; n--, to += size) {
        int64_t at = 0;
        for (int i = 0; i < tensor->rank; i++) {
            at += index[i] * strides[i];
        }
        memcpy(to, from + (size_t)at * size, size);
        for (int i = tensor->rank - 1; i >= 0 && ++index[i] == tensor->shape[i]; i--) {
            index[i] = 0;
        }
    }
    return FBL_OK;
}

// Shape and strides of a tensor as they must be: whole numbers from 0 up, the last element inside the storage.
static FblStatus read_view(const Reader *r, const char *name, const FblPickleValue *value, size_t elements, int64_t *shape,
                           int64_t *strides, int64_t *out_first, bool *out_ordered) {
    const FblPickleValue *extents = value->items[2], *steps = value->items[3];
    int64_t last = value->items[1]->integer, expected = 1;
    bool empty = false;
    *out_first = last;
    *out_ordered = true;
    if (extents->count > FBL_FILE_MAX_RANK) {
        return bad_tensor(r, name, "has more than eight dimensions");
    }
    for (size_t i = extents->count; i > 0; i--) {
        const FblPickleValue *extent = extents->items[i - 1], *step = steps->items[i - 1];
        if (extent->kind != FBL_PICKLE_INT || step->kind != FBL_PICKLE_INT || extent->integer < 0 || step->integer < 0) {
            return bad_tensor(r, name, "has an impossible shape");
        }
        shape[i - 1] = extent->integer;
        strides[i - 1] = step->integer;
        empty = empty || extent->integer == 0;
        *out_ordered = *out_ordered && (extent->integer <= 1 || step->integer == expected);
        int64_t reach;
        if (!empty && (!fbl_mul_i64(extent->integer - 1, step->integer, &reach) || !fbl_add_i64(last, reach, &last) ||
                       !fbl_mul_i64(expected, extent->integer, &expected))) {
            return bad_tensor(r, name, "has an impossible shape");
        }
    }
    if (*out_first < 0 || (!empty && ((uint64_t)last >= elements || (uint64_t)expected > elements))) {
        return bad_tensor(r, name, "reaches beyond its storage");
    }
    *out_first = empty ? 0 : *out_first;
    return FBL_OK;
}

static FblStatus read_tensor(Reader *r, const char *name, const FblPickleValue *value, FblFileTensor *out) {
    const FblPickleValue *storage = value->items[0], *key = storage->items[2];
    const char *type = fbl_pickle_storage_type(storage->items[1]);
    FblFileDtype dtype;
    if (!dtype_of(type, &dtype)) {
        return bad_tensor(r, name, "is of a type that weights do not have");
    }
    const Piece *piece = find_piece(r, fbl_arena_printf(r->arena, "%s%.*s", r->zip ? "data/" : "", (int)(key->length > 200 ? 200 : key->length), key->text));
    if (!piece) {
        return bad_tensor(r, name, "has no storage in the file");
    }
    int64_t shape[FBL_FILE_MAX_RANK], strides[FBL_FILE_MAX_RANK], first;
    bool ordered;
    size_t size = fbl_file_dtype_size(dtype);
    FBL_TRY(read_view(r, name, value, piece->size / size, shape, strides, &first, &ordered));
    const char *from = r->data + piece->offset + (size_t)first * size;
    if (!fbl_file_tensor_init(out, name, dtype, (int)value->items[2]->count, shape, from)) {
        return bad_tensor(r, name, "has an impossible shape");
    }
    return ordered || out->size == 0 ? FBL_OK : copy_view(r, out, from, strides);
}

static size_t count_tensors(const FblPickleValue *dict) {
    size_t count = 0;
    for (size_t i = 0; dict && dict->kind == FBL_PICKLE_DICT && i + 1 < dict->count; i += 2) {
        count += dict->items[i]->kind == FBL_PICKLE_STRING && dict->items[i + 1]->kind == FBL_PICKLE_TENSOR;
    }
    return count;
}

// The dictionary of tensors in what was saved.
static const FblPickleValue *find_state_dict(const FblPickleValue *root) {
    static const char *const keys[] = {"state_dict", "model_state_dict", "model", "net"};
    for (int depth = 0; depth < 3 && root->kind == FBL_PICKLE_DICT; depth++) {
        const FblPickleValue *inner = NULL;
        for (size_t i = 0; i < sizeof keys / sizeof *keys && !inner; i++) {
            const FblPickleValue *value = fbl_pickle_get(root, keys[i]);
            inner = value && value->kind == FBL_PICKLE_DICT ? value : NULL;
        }
        if (!inner) {
            break;
        }
        root = inner;
    }
    return count_tensors(root) > 0 ? root : NULL;
}

static void strip_prefix(FblTensorFile *file, const char *prefix) {
    size_t length = strlen(prefix);
    for (size_t i = 0; i < file->count; i++) {
        if (strncmp(file->tensors[i].name, prefix, length) != 0) {
            return;
        }
    }
    for (size_t i = 0; i < file->count; i++) {
        file->tensors[i].name += length;
    }
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const FblFileTensor *)a)->name, ((const FblFileTensor *)b)->name);
}

static FblStatus read_tensors(Reader *r) {
    const FblPickleValue *dict = find_state_dict(r->pickle.root);
    if (!dict) {
        FblDiag *diag = fbl_diag(r->ctx, FBL_ERROR, "E0736", FBL_NO_LOC, "cannot read the PyTorch file `%s`: it holds no state dictionary", r->path);
        fbl_diag_hint(r->ctx, diag, "expected tensors by name, or such a dictionary under state_dict, model_state_dict, model or net");
        return FBL_USER;
    }
    FblTensorFile *out = r->out;
    size_t text = 1;
    for (size_t i = 0; i + 1 < dict->count; i += 2) {
        text += dict->items[i]->length + 1;
    }
    out->tensors = malloc((count_tensors(dict) + 1) * sizeof *out->tensors);
    out->names = malloc(text);
    if (!out->tensors || !out->names) {
        return no_memory(r);
    }
    char *at = out->names;
    for (size_t i = 0; i + 1 < dict->count; i += 2) {
        const FblPickleValue *key = dict->items[i];
        if (key->kind == FBL_PICKLE_STRING && dict->items[i + 1]->kind == FBL_PICKLE_TENSOR) {
            memcpy(at, key->text, key->length);
            at[key->length] = 0;
            FBL_TRY(read_tensor(r, at, dict->items[i + 1], &out->tensors[out->count]));
            out->count++;
            at += key->length + 1;
        }
    }
    strip_prefix(out, "module.");
    strip_prefix(out, "_orig_mod.");
    qsort(out->tensors, out->count, sizeof *out->tensors, by_name);
    for (size_t i = 1; i < out->count; i++) {
        if (strcmp(out->tensors[i - 1].name, out->tensors[i].name) == 0) {
            return bad_tensor(r, out->tensors[i].name, "is there twice");
        }
    }
    return FBL_OK;
}

bool fbl_torch_file_is(const char *bytes, size_t size) {
    return (size >= 4 && memcmp(bytes, "PK\3\4", 4) == 0) || (size >= sizeof old_magic && memcmp(bytes, old_magic, sizeof old_magic) == 0);
}

FblStatus fbl_torch_file_parse(FblContext *ctx, const char *path, char *bytes, size_t size, FblTensorFile *out) {
    FblArena arena;
    fbl_arena_init(&arena);
    *out = (FblTensorFile){.bytes = bytes, .size = size};
    Reader r = {.ctx = ctx, .path = path, .arena = &arena, .out = out};
    fbl_arena_init(&r.pickle.arena);
    FblStatus status;
    if (size >= 4 && memcmp(bytes, "PK\3\4", 4) == 0) {
        char *entries = NULL;
        r.zip = true;
        status = unzip(&r, bytes, size, &entries);
        sort_pieces(&r);
        free(bytes);
        out->bytes = entries;
        status = status == FBL_OK ? read_pickle_of_zip(&r) : status;
    } else if (fbl_torch_file_is(bytes, size)) {
        status = read_old(&r, bytes, size);
    } else {
        status = damaged(&r, "it is neither a zip archive nor of the older form");
    }
    for (size_t i = 0; i < r.count; i++) {
        r.copy_limit += r.pieces[i].size;
    }
    status = status == FBL_OK ? read_tensors(&r) : status;
    fbl_pickle_deinit(&r.pickle);
    fbl_arena_deinit(&arena);
    if (status != FBL_OK) {
        fbl_tensor_file_deinit(out);
    }
    return status;
}

FblStatus fbl_weights_read(FblContext *ctx, const char *path, FblTensorFile *out) {
    *out = (FblTensorFile){0};
    char *bytes;
    size_t size;
    FBL_TRY(fbl_read_file(ctx, path, SIZE_MAX / 4, &bytes, &size));
    return fbl_torch_file_is(bytes, size) ? fbl_torch_file_parse(ctx, path, bytes, size, out) : fbl_tensor_file_parse(ctx, path, bytes, size, out);
}

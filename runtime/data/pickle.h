// Reads the pickles that Python data sets and PyTorch checkpoints come in, executing nothing.
//
// Protocols 0 to 4, limited to what such files hold: None, booleans, integers, floats, strings, bytes, tuples, lists,
// dictionaries, numpy arrays, and (where asked for) PyTorch's tensors. A call of any other Python object is refused by
// name.
// Ownership: values live in the arena of the FblPickle and point into the bytes given to it. Threads: one.
#ifndef FBL_RUNTIME_DATA_PICKLE_H
#define FBL_RUNTIME_DATA_PICKLE_H

#include "base/arena.h"
#include "base/status.h"

typedef enum FblPickleKind {
    FBL_PICKLE_NONE,
    FBL_PICKLE_BOOL,
    FBL_PICKLE_INT,
    FBL_PICKLE_FLOAT,
    FBL_PICKLE_STRING, // str or bytes
    FBL_PICKLE_TUPLE,
    FBL_PICKLE_LIST,
    FBL_PICKLE_DICT,   // items: key, value, key, value ...
    FBL_PICKLE_GLOBAL, // one of the few known callables
    FBL_PICKLE_DTYPE,  // numpy.dtype
    FBL_PICKLE_ARRAY,  // numpy.ndarray
    FBL_PICKLE_STORAGE, // torch: items of its persistent id: "storage", its type (GLOBAL), key, device, elements
    FBL_PICKLE_TENSOR,  // torch: items: STORAGE, offset, shape (tuple), strides (tuple), in elements
} FblPickleKind;

typedef struct FblPickleValue FblPickleValue;
struct FblPickleValue {
    FblPickleKind kind;
    int64_t integer; // INT, BOOL; GLOBAL: which
    double real;
    const char *text; // STRING, and DTYPE: its code such as "u1"
    size_t length;
    FblPickleValue **items; // containers; ARRAY: the shape (a tuple) and the data (a string)
    size_t count;
    size_t capacity;
};

typedef struct FblPickle {
    FblArena arena;
    FblPickleValue *root;
    FblPickleValue **storages; // torch: every STORAGE in the order of the file
    size_t storage_count, storage_capacity;
    char error[200]; // why reading failed
} FblPickle;

// FBL_OK with pickle->root set, or FBL_USER with pickle->error. Call fbl_pickle_deinit in either case.
FblStatus fbl_pickle_read(FblPickle *pickle, const uint8_t *bytes, size_t size);

// The same for a pickle of PyTorch's, which may be followed by other bytes: *out_used gets its length. Tensors come back
// as descriptions; their storages are elsewhere.
FblStatus fbl_pickle_read_torch(FblPickle *pickle, const uint8_t *bytes, size_t size, size_t *out_used);

// The element type that a GLOBAL names as one of torch's storage classes: "f4", "f8", "f2", "bf", "i8", "i4", "i2", "i1",
// "u1", "b1"; NULL for other values.
const char *fbl_pickle_storage_type(const FblPickleValue *value);
void fbl_pickle_deinit(FblPickle *pickle);

// The value under a string key, or NULL.
const FblPickleValue *fbl_pickle_get(const FblPickleValue *dict, const char *key);

// A complete uint8 array in C order of `rank` axes: its shape and its bytes.
bool fbl_pickle_u8_array(const FblPickleValue *value, int rank, int64_t *out_shape, const uint8_t **out_data);

#endif

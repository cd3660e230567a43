// The safetensors file format: named tensors with their shapes, and a table of strings.
//
// A file is an 8-byte little-endian header length, a JSON header and the raw little-endian data. Reading validates
// everything (lengths, JSON, types, shapes, offsets, no overlap and no holes, as the format demands) before a tensor is
// handed out: a damaged file gives a diagnostic, never a crash.
// Ownership: a read FblTensorFile owns its bytes and names; fbl_tensor_file_deinit frees all. Tensors given to the
// writer stay the caller's. Threads: a read file may be shared by readers; the context is used by one thread.
#ifndef FBL_RUNTIME_SAFETENSORS_H
#define FBL_RUNTIME_SAFETENSORS_H

#include "base/context.h"

#define FBL_FILE_MAX_RANK 8

// Element types of the format that we read and write.
typedef enum FblFileDtype {
    FBL_FILE_F32,
    FBL_FILE_F64,
    FBL_FILE_F16,
    FBL_FILE_BF16,
    FBL_FILE_I64,
    FBL_FILE_I32,
    FBL_FILE_U8,
    FBL_FILE_BOOL,
    FBL_FILE_DTYPE_COUNT
} FblFileDtype;

typedef struct FblFileTensor {
    const char *name;
    FblFileDtype dtype;
    int rank; // 0 for a scalar
    int64_t shape[FBL_FILE_MAX_RANK];
    const void *data; // row-major, little-endian; in a read file not necessarily aligned to the element size
    size_t size;      // bytes: product of the shape times the element size
} FblFileTensor;

// One entry of the header's `__metadata__` table.
typedef struct FblFileString {
    const char *key;
    const char *value;
} FblFileString;

// A file read into memory. Tensors are sorted by name, metadata by key.
typedef struct FblTensorFile {
    FblFileTensor *tensors;
    size_t count;
    FblFileString *metadata;
    size_t metadata_count;
    char *bytes; // the whole file
    size_t size; // of `bytes`
    char *names; // storage of names and strings
    char *copies; // storage of tensors that do not lie in `bytes` in their order; NULL when all do
} FblTensorFile;

// Bytes of one element, and the format's name of the type ("F32").
size_t fbl_file_dtype_size(FblFileDtype dtype);
const char *fbl_file_dtype_name(FblFileDtype dtype);

// Fills a tensor description; `size` is computed. False when the shape overflows or the rank is over the limit.
bool fbl_file_tensor_init(FblFileTensor *tensor, const char *name, FblFileDtype dtype, int rank, const int64_t *shape,
                          const void *data);

// Number of elements.
int64_t fbl_file_tensor_elements(const FblFileTensor *tensor);

// Reads and validates `path`. On failure nothing is to be freed and *out is zeroed.
FblStatus fbl_tensor_file_read(FblContext *ctx, const char *path, FblTensorFile *out);

// The same from memory: takes over `bytes` (malloc'ed) whether it succeeds or not. `path` is for messages.
FblStatus fbl_tensor_file_parse(FblContext *ctx, const char *path, char *bytes, size_t size, FblTensorFile *out);

void fbl_tensor_file_deinit(FblTensorFile *file);

// The tensor called `name`, or NULL. The metadata string of `key`, or NULL.
const FblFileTensor *fbl_tensor_file_find(const FblTensorFile *file, const char *name);
const char *fbl_tensor_file_string(const FblTensorFile *file, const char *key);

// Converts all elements of `tensor` from any type to the named one. To i32: floats must be whole numbers and values in
// range, otherwise false and `out` is unspecified. To f32 rounds to nearest even. `count` must equal the elements.
bool fbl_file_tensor_to_f32(const FblFileTensor *tensor, float *out, int64_t count);
bool fbl_file_tensor_to_f64(const FblFileTensor *tensor, double *out, int64_t count);
bool fbl_file_tensor_to_i32(const FblFileTensor *tensor, int32_t *out, int64_t count);

// f16 and bf16 bits to and from f32 (round to nearest even, NaN kept quiet).
float fbl_f16_to_f32(uint16_t bits);
float fbl_bf16_to_f32(uint16_t bits);
uint16_t fbl_f32_to_f16(float value);
uint16_t fbl_f32_to_bf16(float value);

// Writes the tensors atomically (old or whole new file, never a mixture). Wider elements come first in the file so that
// every tensor is aligned; within a width the given order is kept. Names must be unique and not "__metadata__".
FblStatus fbl_tensor_file_write(FblContext *ctx, const char *path, const FblFileTensor *tensors, size_t count,
                                const FblFileString *metadata, size_t metadata_count);

// Where tensor data of a file to be written goes, and its header: for writers that add to it, like the checkpoint.
typedef struct FblFileLayout {
    char *header;                // length prefix, JSON and padding
    size_t header_size;          // a multiple of 8
    const FblFileTensor **order; // tensors in file order
} FblFileLayout;

FblStatus fbl_file_layout_make(FblContext *ctx, const char *path, const FblFileTensor *tensors, size_t count,
                               const FblFileString *metadata, size_t metadata_count, FblFileLayout *out);
void fbl_file_layout_deinit(FblFileLayout *layout);

// Writes the header and the `count` tensors of the layout.
FblStatus fbl_file_layout_write(FblContext *ctx, const char *path, const FblFileLayout *layout, size_t count);

#endif

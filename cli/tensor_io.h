// Tensors between safetensors files, the interpreter and executors: for the verbs that work on given tensors.
//
// Ownership: stated per function. Threads: as the context.
#ifndef FBL_CLI_TENSOR_IO_H
#define FBL_CLI_TENSOR_IO_H

#include "ir/interp.h"
#include "runtime/exec.h"
#include "runtime/safetensors.h"

// The file's tensor `name` as doubles in the shape of `type` (row-major in its axis order; extents must agree, a label must
// lie inside its axis). *out_found is false, and no error, when the file has none.
FblStatus fbl_tensor_from_file(FblContext *ctx, const FblTensorFile *file, const char *path, const char *name,
                               const FblType *type, FblTensor *out_tensor, bool *out_found);

// Collects results under names and writes them as one safetensors file. F64 or F32.
typedef struct FblDump {
    FblFileTensor *tensors;
    size_t count, capacity;
    FblArena arena; // names and data
    bool f64;
} FblDump;

void fbl_dump_init(FblDump *dump, bool f64);
void fbl_dump_deinit(FblDump *dump);
void fbl_dump_add(FblDump *dump, const char *name, const FblType *type, const double *values);
FblStatus fbl_dump_write(FblContext *ctx, FblDump *dump, const char *path);

// Elements at `data` (f32, i32 or byte bools, as `type` says) as doubles, malloc'ed.
double *fbl_doubles_from_memory(const FblType *type, const void *data);

// Names a tensor of `file` that `graph` and `others` do not ask for, one note each.
void fbl_note_unused(FblContext *ctx, const FblTensorFile *file, const char *path, bool (*used)(void *arg, const char *name), void *arg);

#endif

// The model while it is being written. Private to codegen/onnx.
#ifndef FBL_CODEGEN_ONNX_ONNX_BUILD_H
#define FBL_CODEGEN_ONNX_ONNX_BUILD_H

#include "codegen/onnx/onnx.h"
#include "onnx.pb-c.h"

enum { FBL_ONNX_FLOAT = 1, FBL_ONNX_INT32 = 6, FBL_ONNX_INT64 = 7, FBL_ONNX_BOOL = 9 };

typedef struct FblOnnx {
    FblContext *ctx;
    FblArena *arena;
    const FblGraph *graph;
    const char **names; // per node: of its value
    int next;           // number of the next value without a name of its own
    bool fixed_batch;   // some operation holds the number
    Onnx__NodeProto **nodes;
    size_t node_count, node_capacity;
    Onnx__TensorProto **tensors;
    size_t tensor_count, tensor_capacity;
    FblNodeId at; // node in work, for messages
    FblStatus status;
} FblOnnx;

// A node of up to four inputs (NULL ends the list) with one output, whose name is returned; `out` NULL: a fresh name.
const char *fbl_onnx_node(FblOnnx *o, const char *op, const char *const *inputs, const char *out);
const char *fbl_onnx_unary(FblOnnx *o, const char *op, const char *x, const char *out);
const char *fbl_onnx_binary(FblOnnx *o, const char *op, const char *a, const char *b, const char *out);
// Attributes of the node made last.
void fbl_onnx_int(FblOnnx *o, const char *name, int64_t value);
void fbl_onnx_ints(FblOnnx *o, const char *name, const int64_t *values, size_t count);
void fbl_onnx_string(FblOnnx *o, const char *name, const char *value);

// Constants: their names.
const char *fbl_onnx_list(FblOnnx *o, const int64_t *values, size_t count); // int64 [count]
const char *fbl_onnx_scalar(FblOnnx *o, FblDtype dtype, double value);
void fbl_onnx_tensor(FblOnnx *o, const char *name, const FblType *type, const void *data);

int32_t fbl_onnx_dtype(FblDtype dtype);
FblStatus fbl_onnx_refuse(FblOnnx *o, const char *why);

// onnx_ops.c: the nodes of graph node o->at, which is no leaf; its value gets the name `out`.
void fbl_onnx_op(FblOnnx *o, const char *out);

#endif

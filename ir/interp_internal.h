// What the interpreter's op functions share. Private to ir/interp*.c.
//
// Ownership: borrows everything. Threads: one per call of fbl_interp_run.
#ifndef FBL_IR_INTERP_INTERNAL_H
#define FBL_IR_INTERP_INTERNAL_H

#include "ir/interp.h"

// One node being evaluated. `out` has the node's type and holds zeros.
typedef struct FblEval {
    const FblGraph *graph;
    const FblNode *node;
    const FblTensor *const *in;
    const FblTensor *shards; // collectives: the operand of every shard
    int shard_count;
    FblTensor *out;
    FblBindings *leaves;
    const FblInterpOptions *options;
} FblEval;

// One function an op: fbl_interp_ADD, ...
#define FBL_OP(ENUM, text, arity, class_, attr, grad, doc) FblStatus fbl_interp_##ENUM(FblEval *e);
#include "ir/ops.def"
#undef FBL_OP

// Visits all elements of a type in row-major order, with the offset of the matching element in up to four tensors.
#define FBL_WALK_OPERANDS 4
typedef struct FblWalk {
    int rank;
    int64_t extent[FBL_MAX_RANK], index[FBL_MAX_RANK];
    int64_t stride[FBL_WALK_OPERANDS][FBL_MAX_RANK];
    int64_t offset[FBL_WALK_OPERANDS];
    bool done;
} FblWalk;

void fbl_walk_init(FblWalk *walk, const FblType *type);
// Operand `slot` is aligned by axis names; axes that it has not are repeated.
void fbl_walk_operand(FblWalk *walk, int slot, const FblType *type, const FblType *operand);
void fbl_walk_next(FblWalk *walk);

// Row-major stride of axis number `index`.
int64_t fbl_type_stride(const FblType *type, int index);

#endif

// What the parts of lowering share: the prepared graph, a plan per node, and groups of nodes that become kernels.
//
// A node is *kept* when it has a place in memory; all others are computed where they are used. Each kept node that is no
// leaf is a member of one group; groups are numbered in the order in which their kernels run.
// Ownership: everything lives in the function's scratch arena. Threads: as the context. Private to lowering.
#ifndef FBL_PASSES_LOWER_INTERNAL_H
#define FBL_PASSES_LOWER_INTERNAL_H

#include "passes/index.h"
#include "passes/lower.h"

typedef struct FblMember {
    FblNodeId node;
    int32_t level; // reductions of lower levels are finished before it
    bool stored;
    int32_t result; // number of the reduction, when it is one
} FblMember;

typedef struct FblGroup {
    FblKernelKind kind;
    FblNodeId anchor; // contraction or library node; the first member otherwise
    FblAxis outer[FBL_MAX_RANK]; // LOOPS: the axes that all members share
    int32_t outer_rank;
    bool reduces; // has members that need inner loops to compute
    FblMember *members;
    size_t count, capacity;
    FblNodeId *touched; // kept nodes and leaves it loads
    size_t touched_count, touched_capacity;
    // The kernel and, per buffer, the node it holds.
    FblKernel *kernel;
    FblNodeId *buffer_nodes;
    int32_t chain; // FblLaunch.chain
    int32_t chain_first, chain_last; // its groups; the group itself when it is in none
} FblGroup;

// Per node.
typedef struct FblNodePlan {
    bool kept;
    bool index_only; // computed by index arithmetic alone (slice, rename, ...) from one load
    bool dense;      // must be row-major in its type's order (library operands and results)
    int32_t group;   // of a kept node that is no leaf; else -1
    int32_t uses;
    int32_t root;    // index of the root it is stored for, or -1
    int32_t ops, loads, depth; // of computing one element in place: work, large loads, nesting
    FblLayout layout;
    FblDtype storage; // element type in memory: the node's own, or a half of f32
    FblRegion region;
    int64_t offset, bytes;
    int32_t first, last; // launches between which it is alive
} FblNodePlan;

typedef struct FblQuad {
    FblName axes[4]; // batch, channel, height, width
} FblQuad;

typedef struct FblLower {
    FblContext *ctx;
    FblArena *arena;
    const FblLowerOptions *options;
    int32_t lanes; // f32 a vector
    FblGraph *graph;
    FblNodePlan *nodes;
    FblQuad *quads;
    size_t quad_count, quad_capacity;
    FblGroup *groups;
    size_t group_count, group_capacity;
    FblFuseNote *notes;
    size_t note_count, note_capacity;
} FblLower;

// Whether `op` loads its elements from a region by itself (input, param, state).
static inline bool fbl_lower_is_leaf(FblOp op) { return op == FBL_OP_INPUT || op == FBL_OP_PARAM || op == FBL_OP_STATE; }
// Ops computed by inner loops (reductions, windows, small contractions), by contraction kernels, by library functions.
bool fbl_lower_is_loopy(const FblLower *lower, FblNodeId id);
bool fbl_lower_is_contraction(const FblLower *lower, FblNodeId id);
bool fbl_lower_is_library(FblOp op);

// lower_prepare.c: the graph in the form that lowering wants: only live nodes, one root a node, long reductions in two
// steps. E0401 for extents that aren't known or too large.
FblStatus fbl_lower_prepare(FblContext *ctx, const FblGraph *graph, const FblLowerOptions *options, FblGraph **out_graph);

// layout.c
void fbl_lower_layouts(FblLower *lower);
// Row-major over the axes of `type`.
FblLayout fbl_layout_plain(const FblType *type);

// storage.c: element types in memory, and from them and the layouts the bytes of every node.
void fbl_lower_storage(FblLower *lower);

// fuse_keep.c: decides which nodes are kept. fuse.c: forms the groups.
void fbl_lower_keep(FblLower *lower);
FblStatus fbl_lower_groups(FblLower *lower);
// schedule.c: with several devices, collectives that need not wait for each other next to each other.
void fbl_lower_schedule(FblLower *lower);
// After fbl_lower_chains: neighbouring collectives are under way at once, so that what they read and write must not share memory.
void fbl_lower_overlap(FblLower *lower);
void fbl_lower_note(FblLower *lower, FblNodeId producer, FblNodeId consumer, const char *reason);
FblMember *fbl_group_member(FblGroup *group, FblNodeId node);

// lower_emit.c: scalar code for values of nodes.
typedef struct FblMemo {
    FblNodeId node;
    int32_t guard, value;
    int32_t index[FBL_MAX_RANK];
} FblMemo;

typedef struct FblScope {
    FblLower *lower;
    FblGroup *group;
    int32_t group_id;
    FblKBuild *build;
    int32_t level;
    bool keep_unit_dims; // buffers keep dimensions of extent 1
    int32_t guard;       // condition under which the current code is evaluated, or -1
    int32_t outer[FBL_MAX_RANK]; // index of each outer axis
    int32_t acc; // contractions: the accumulated value of the anchor in the epilogue and for a row; -1 elsewhere
    int32_t row_number, pixel[3]; // for a row of a part: its number, and its batch, height and width; -1 elsewhere
    FblMemo *memo;
    size_t memo_count, memo_capacity;
    int32_t *memo_table;
    size_t memo_size;
    // The kernel's buffers so far.
    FblKernelBuffer *buffers;
    FblNodeId *buffer_nodes;
    size_t buffer_count, buffer_capacity, node_capacity;
    FblStatus status;
} FblScope;

void fbl_scope_init(FblScope *scope, FblLower *lower, int32_t group_id, FblKBuild *build);
void fbl_scope_begin(FblScope *scope); // a stage or body
// The value of `id` at logical `index` (one instruction an axis, in the order of its type): inline, loaded, or a result.
int32_t fbl_scope_value(FblScope *scope, FblNodeId id, const int32_t *index);
// The same, computed here although it has a place in memory.
int32_t fbl_scope_compute(FblScope *scope, FblNodeId id, const int32_t *index);
// The element of a reduction member at outer `index` and `inner` indices (reduced axes in the attribute's order, or window
// taps); the reduction's op and dtype.
int32_t fbl_scope_element(FblScope *scope, FblNodeId id, const int32_t *index, const int32_t *inner, FblOp *out_op,
                          FblDtype *out_dtype);
void fbl_scope_store(FblScope *scope, FblNodeId id, const int32_t *index, int32_t value, FblKStore *out_store);
// lower_window.c: the parts of fbl_scope_element and fbl_scope_value for pools.
int32_t fbl_scope_window_element(FblScope *scope, const FblNode *node, const int32_t *index, const int32_t *taps,
                                 FblOp *out_op, FblDtype *out_dtype);
int32_t fbl_scope_window_finish(FblScope *scope, const FblNode *node, const int32_t *index, int32_t result);
// `id` at `index` where `guard` holds, else `otherwise`.
int32_t fbl_scope_guarded(FblScope *scope, FblNodeId id, const int32_t *index, int32_t guard, int32_t otherwise);

// The inner axes of a member: reduced axes or window taps for reductions, axes beyond the outer ones for others.
int32_t fbl_member_inner(const FblLower *lower, const FblGroup *group, FblNodeId id, FblAxis *out_axes);

// lower_kernel.c, lower_contract.c: the kernel of a group.
FblStatus fbl_lower_loops(FblLower *lower, int32_t group);
FblStatus fbl_lower_contraction(FblLower *lower, int32_t group);
FblStatus fbl_lower_library(FblLower *lower, int32_t group);
void fbl_lower_contract_roles(const FblNode *node, const FblType *a, const FblType *b, FblAxis roles[4][FBL_MAX_RANK],
                              int32_t counts[4]);
// Buffers into the kernel, name, note and estimates.
void fbl_lower_finish(FblLower *lower, FblScope *scope, FblGroup *group, FblKernel *kernel);

// loops.c: merges loops that are one run through memory, splits long ones, picks the loop to vectorise and the parallel
// ones. `flat`: the kernel has no reductions, so that any of its loops may be parallel.
void fbl_kernel_shape_loops(FblContext *ctx, FblKernel *kernel, int32_t lanes, bool flat);
// Whether output `out` may be stored over input `in`: each element is read only to compute the same element.
bool fbl_kernel_in_place(const FblKernel *kernel, int32_t out, int32_t in);

// chain.c: which neighbouring kernels may run image by image.
void fbl_lower_chains(FblLower *lower);

// memory.c: offsets of the arena, in place where possible. Returns its size and the largest live set.
FblStatus fbl_lower_memory(FblLower *lower, int64_t *out_bytes, int64_t *out_bound);

static inline int64_t fbl_align_up(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

#endif

// Builds the instructions of one kernel: hash-consed scalar code whose i32 index arithmetic is kept in affine form.
//
// An index is a sum of coefficient * atom + constant, where an atom is a loop or an integer that can't be taken apart.
// Ranges come with it, so that divisions and remainders by constants dissolve where blocks meet ((8*b + i)/8 is b), and
// range checks that always or never hold become constants.
// Ownership: arrays live in the arena. Threads: as the arena.
#ifndef FBL_PASSES_INDEX_H
#define FBL_PASSES_INDEX_H

#include "ir/kernel.h"

#define FBL_AFFINE_MAX_TERMS 6

// Value of an i32 instruction: sum of terms + constant, within [low, high].
typedef struct FblAffine {
    int32_t count;
    int32_t atoms[FBL_AFFINE_MAX_TERMS]; // instructions, ascending
    int64_t coefs[FBL_AFFINE_MAX_TERMS];
    int64_t constant;
    int64_t low, high;
    bool atom; // stands for itself
} FblAffine;

typedef struct FblKBuild {
    FblArena *arena;
    FblKernel *kernel; // its loops give the ranges
    FblKInstr *instrs;
    FblAffine *affine; // per instruction; only of i32
    size_t count, capacity, affine_capacity;
    int32_t *table; // hash table of this scope's instructions, -1 where empty
    size_t table_size;
    int32_t scope; // first instruction of the current scope
} FblKBuild;

void fbl_kb_init(FblKBuild *build, FblArena *arena, FblKernel *kernel);
// Starts a scope: instructions before it are not reused (a stage or body stands alone).
void fbl_kb_scope(FblKBuild *build);
// Adds or finds an instruction.
int32_t fbl_kb_instr(FblKBuild *build, const FblKInstr *instr);

int32_t fbl_kb_const(FblKBuild *build, FblDtype dtype, double value);
// The constant value of `id`, if it is one.
bool fbl_kb_is_const(const FblKBuild *build, int32_t id, double *out_value);
int32_t fbl_kb_op(FblKBuild *build, FblOp op, FblDtype dtype, int32_t a, int32_t b, int32_t c);
// `id` as `dtype`.
int32_t fbl_kb_cast(FblKBuild *build, int32_t id, FblDtype dtype);
// `id` (f32) as memory of type `storage` would give it back.
int32_t fbl_kb_round(FblKBuild *build, int32_t id, FblDtype storage);

// Index arithmetic; all operands i32.
int32_t fbl_ix_const(FblKBuild *build, int64_t value);
int32_t fbl_ix_loop(FblKBuild *build, int32_t loop);
int32_t fbl_ix_add(FblKBuild *build, int32_t a, int32_t b);
int32_t fbl_ix_add_const(FblKBuild *build, int32_t a, int64_t value);
int32_t fbl_ix_scale(FblKBuild *build, int32_t a, int64_t factor);
int32_t fbl_ix_div(FblKBuild *build, int32_t a, int64_t divisor); // floor, divisor > 0
int32_t fbl_ix_mod(FblKBuild *build, int32_t a, int64_t divisor); // in [0, divisor)
// A bool: a >= 0, a == 0.
int32_t fbl_ix_at_least_zero(FblKBuild *build, int32_t a);
int32_t fbl_ix_is_zero(FblKBuild *build, int32_t a);
// low <= a < high
int32_t fbl_ix_in_range(FblKBuild *build, int32_t a, int64_t low, int64_t high);
// a and b; -1 stands for true on both sides of the call.
int32_t fbl_kb_and(FblKBuild *build, int32_t a, int32_t b);
// Whether a bool is the constant `value`; -1 is true.
bool fbl_kb_known(const FblKBuild *build, int32_t id, bool value);
// `a` confined to [low, high]; nothing where its range says so already.
int32_t fbl_ix_clamp(FblKBuild *build, int32_t a, int64_t low, int64_t high);

#endif

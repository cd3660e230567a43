#include "passes/index.h"

#include <string.h>

void fbl_kb_init(FblKBuild *build, FblArena *arena, FblKernel *kernel) {
    *build = (FblKBuild){.arena = arena, .kernel = kernel};
    build->table_size = 256;
    build->table = FBL_NEW_ARRAY(arena, int32_t, build->table_size);
    fbl_kb_scope(build);
}

void fbl_kb_scope(FblKBuild *build) {
    build->scope = (int32_t)build->count;
    memset(build->table, 0xff, build->table_size * sizeof *build->table);
}

static uint64_t mix(uint64_t hash, uint64_t word) {
    return (hash ^ word) * 0x9E3779B97F4A7C15u ^ (hash >> 29);
}

static uint64_t hash_instr(const FblKInstr *q) {
    uint64_t bits;
    memcpy(&bits, &q->value, sizeof bits);
    uint64_t hash = mix(mix((uint64_t)q->kind * 64 + (uint64_t)q->dtype * 16, (uint64_t)q->op), (uint32_t)q->a);
    hash = mix(hash, bits);
    for (int i = 0; i < 3; i++) {
        hash = mix(hash, (uint32_t)q->args[i]);
    }
    for (int i = 0; i < FBL_KERNEL_MAX_DIMS; i++) {
        hash = mix(hash, (uint32_t)q->index[i]);
    }
    return mix(mix(hash, (uint32_t)q->guard), (uint32_t)q->otherwise);
}

static bool same_instr(const FblKInstr *a, const FblKInstr *b) {
    return a->kind == b->kind && a->dtype == b->dtype && a->op == b->op && a->a == b->a &&
           memcmp(&a->value, &b->value, sizeof a->value) == 0 && memcmp(a->args, b->args, sizeof a->args) == 0 &&
           memcmp(a->index, b->index, sizeof a->index) == 0 && a->guard == b->guard && a->otherwise == b->otherwise;
}

static void insert(FblKBuild *build, int32_t id) {
    size_t at = hash_instr(&build->instrs[id]) & (build->table_size - 1);
    while (build->table[at] >= 0) {
        at = (at + 1) & (build->table_size - 1);
    }
    build->table[at] = id;
}

static int32_t append(FblKBuild *build, const FblKInstr *instr, const FblAffine *affine) {
    FblArena *arena = build->arena;
    size_t count = build->count;
    build->affine = fbl_arena_grow(arena, build->affine, count, &build->affine_capacity, sizeof *build->affine);
    FBL_PUSH(arena, build->instrs, build->count, build->capacity, *instr);
    build->affine[count] = *affine;
    if ((build->count - (size_t)build->scope) * 2 > build->table_size) {
        build->table_size *= 2;
        build->table = FBL_NEW_ARRAY(arena, int32_t, build->table_size);
        memset(build->table, 0xff, build->table_size * sizeof *build->table);
        for (size_t i = (size_t)build->scope; i < build->count; i++) {
            insert(build, (int32_t)i);
        }
    } else {
        insert(build, (int32_t)count);
    }
    return (int32_t)count;
}

static int32_t find(const FblKBuild *build, const FblKInstr *instr) {
    size_t at = hash_instr(instr) & (build->table_size - 1);
    while (build->table[at] >= 0) {
        if (same_instr(&build->instrs[build->table[at]], instr)) {
            return build->table[at];
        }
        at = (at + 1) & (build->table_size - 1);
    }
    return -1;
}

static FblKInstr blank(FblKInstrKind kind, FblDtype dtype) {
    FblKInstr q;
    memset(&q, 0, sizeof q);
    q.kind = kind;
    q.dtype = dtype;
    q.args[0] = q.args[1] = q.args[2] = -1;
    for (int i = 0; i < FBL_KERNEL_MAX_DIMS; i++) {
        q.index[i] = -1;
    }
    q.guard = q.otherwise = -1;
    return q;
}

// The instruction with this affine value; an atom when `affine` is NULL.
static int32_t add(FblKBuild *build, const FblKInstr *instr, const FblAffine *affine) {
    int32_t id = find(build, instr);
    if (id >= 0) {
        return id;
    }
    FblAffine own = {.count = 1, .coefs = {1}, .low = INT32_MIN, .high = INT32_MAX, .atom = true};
    own.atoms[0] = (int32_t)build->count;
    return append(build, instr, affine == NULL ? &own : affine);
}

int32_t fbl_kb_instr(FblKBuild *build, const FblKInstr *instr) {
    return add(build, instr, NULL);
}

int32_t fbl_kb_const(FblKBuild *build, FblDtype dtype, double value) {
    FblKInstr q = blank(FBL_K_CONST, dtype);
    q.value = dtype == FBL_F32 ? (double)(float)value : value;
    FblAffine affine = {.constant = (int64_t)0, .low = 0, .high = 0};
    if (dtype == FBL_I32) {
        affine.constant = affine.low = affine.high = (int64_t)value;
    }
    return add(build, &q, &affine);
}

bool fbl_kb_is_const(const FblKBuild *build, int32_t id, double *out_value) {
    if (id < 0 || build->instrs[id].kind != FBL_K_CONST) {
        return false;
    }
    *out_value = build->instrs[id].value;
    return true;
}

bool fbl_kb_known(const FblKBuild *build, int32_t id, bool value) {
    double have;
    if (id < 0) {
        return value;
    }
    return fbl_kb_is_const(build, id, &have) && (have != 0) == value;
}

int32_t fbl_kb_op(FblKBuild *build, FblOp op, FblDtype dtype, int32_t a, int32_t b, int32_t c) {
    FblKInstr q = blank(FBL_K_OP, dtype);
    q.op = op;
    q.args[0] = a;
    q.args[1] = b;
    q.args[2] = c;
    if (op == FBL_OP_SELECT) {
        if (fbl_kb_known(build, a, true)) {
            return b;
        }
        if (fbl_kb_known(build, a, false) || b == c) {
            return c;
        }
    }
    return add(build, &q, NULL);
}

int32_t fbl_kb_cast(FblKBuild *build, int32_t id, FblDtype dtype) {
    const FblKInstr *from = &build->instrs[id];
    if (from->dtype == dtype) {
        return id;
    }
    if (from->kind == FBL_K_CONST && dtype == FBL_F32) {
        return fbl_kb_const(build, dtype, from->value);
    }
    return fbl_kb_op(build, FBL_OP_CAST, dtype, id, -1, -1);
}

int32_t fbl_kb_round(FblKBuild *build, int32_t id, FblDtype storage) {
    FblKInstr q = blank(FBL_K_ROUND, FBL_F32);
    q.a = (int32_t)storage;
    q.args[0] = id;
    return fbl_kb_instr(build, &q);
}

int32_t fbl_kb_and(FblKBuild *build, int32_t a, int32_t b) {
    if (fbl_kb_known(build, a, true)) {
        return fbl_kb_known(build, b, true) ? -1 : b;
    }
    if (fbl_kb_known(build, b, true) || a == b || fbl_kb_known(build, a, false)) {
        return a;
    }
    if (fbl_kb_known(build, b, false)) {
        return b;
    }
    return fbl_kb_op(build, FBL_OP_AND, FBL_BOOL, a, b, -1);
}

// Index arithmetic --------------------------------------------------------------------------------------------------

int32_t fbl_ix_const(FblKBuild *build, int64_t value) {
    return fbl_kb_const(build, FBL_I32, (double)value);
}

int32_t fbl_ix_loop(FblKBuild *build, int32_t loop) {
    int64_t extent = build->kernel->loops[loop].extent;
    if (extent == 1) {
        return fbl_ix_const(build, 0);
    }
    FblKInstr q = blank(FBL_K_LOOP, FBL_I32);
    q.a = loop;
    int32_t id = add(build, &q, NULL);
    build->affine[id].low = 0;
    build->affine[id].high = extent - 1;
    return id;
}

static void set_range(const FblKBuild *build, FblAffine *x) {
    x->low = x->high = x->constant;
    for (int i = 0; i < x->count; i++) {
        const FblAffine *atom = &build->affine[x->atoms[i]];
        x->low += x->coefs[i] * (x->coefs[i] > 0 ? atom->low : atom->high);
        x->high += x->coefs[i] * (x->coefs[i] > 0 ? atom->high : atom->low);
    }
}

// The instructions that compute `x`: terms in order of their atoms, then the constant.
static int32_t emit(FblKBuild *build, FblAffine x) {
    int32_t sum = -1;
    FblAffine part = {0};
    set_range(build, &x);
    if (x.low == x.high) {
        return fbl_ix_const(build, x.low);
    }
    for (int i = 0; i < x.count; i++) {
        int32_t term = x.atoms[i];
        FblAffine one = {.count = 1};
        one.atoms[0] = x.atoms[i];
        one.coefs[0] = x.coefs[i];
        set_range(build, &one);
        if (x.coefs[i] != 1) {
            FblKInstr q = blank(FBL_K_OP, FBL_I32);
            q.op = FBL_OP_MUL;
            q.args[0] = term;
            q.args[1] = fbl_ix_const(build, x.coefs[i]);
            term = add(build, &q, &one);
        }
        part.atoms[part.count] = x.atoms[i];
        part.coefs[part.count++] = x.coefs[i];
        if (sum < 0) {
            sum = term;
        } else {
            set_range(build, &part);
            FblKInstr q = blank(FBL_K_OP, FBL_I32);
            q.op = FBL_OP_ADD;
            q.args[0] = sum;
            q.args[1] = term;
            sum = add(build, &q, &part);
        }
    }
    if (x.constant != 0) {
        FblKInstr q = blank(FBL_K_OP, FBL_I32);
        q.op = FBL_OP_ADD;
        q.args[0] = sum;
        q.args[1] = fbl_ix_const(build, x.constant);
        sum = add(build, &q, &x);
    }
    return sum;
}

// a + factor * b, or false when there are too many terms.
static bool combine(const FblAffine *a, const FblAffine *b, int64_t factor, FblAffine *out) {
    FblAffine sum = {.constant = a->constant + factor * b->constant};
    int i = 0;
    int j = 0;
    while (i < a->count || j < b->count) {
        int32_t atom;
        int64_t coef = 0;
        if (j >= b->count || (i < a->count && a->atoms[i] <= b->atoms[j])) {
            atom = a->atoms[i];
        } else {
            atom = b->atoms[j];
        }
        if (i < a->count && a->atoms[i] == atom) {
            coef += a->coefs[i++];
        }
        if (j < b->count && b->atoms[j] == atom) {
            coef += factor * b->coefs[j++];
        }
        if (coef != 0) {
            if (sum.count == FBL_AFFINE_MAX_TERMS) {
                return false;
            }
            sum.atoms[sum.count] = atom;
            sum.coefs[sum.count++] = coef;
        }
    }
    *out = sum;
    return true;
}

static FblAffine as_atom(int32_t id) {
    FblAffine x = {.count = 1, .coefs = {1}};
    x.atoms[0] = id;
    return x;
}

// a + factor * b
static int32_t linear(FblKBuild *build, int32_t a, int32_t b, int64_t factor) {
    FblAffine sum;
    FblAffine x = build->affine[a];
    FblAffine y = build->affine[b];
    if (!combine(&x, &y, factor, &sum)) { // take the operands whole
        x = as_atom(a);
        y = as_atom(b);
        combine(&x, &y, factor, &sum);
    }
    return emit(build, sum);
}

int32_t fbl_ix_add(FblKBuild *build, int32_t a, int32_t b) {
    return linear(build, a, b, 1);
}

int32_t fbl_ix_add_const(FblKBuild *build, int32_t a, int64_t value) {
    FblAffine x = build->affine[a];
    x.constant += value;
    return emit(build, x);
}

int32_t fbl_ix_scale(FblKBuild *build, int32_t a, int64_t factor) {
    FblAffine x = build->affine[a];
    if (factor == 0) {
        return fbl_ix_const(build, 0);
    }
    x.constant *= factor;
    for (int i = 0; i < x.count; i++) {
        x.coefs[i] *= factor;
    }
    return emit(build, x);
}

static int64_t floor_div(int64_t a, int64_t b) {
    int64_t q = a / b;
    return a % b < 0 ? q - 1 : q;
}

// a = divisor * quotient + rest with rest in [0, divisor) known: true, and the two parts.
static bool divide(const FblKBuild *build, int32_t a, int64_t divisor, FblAffine *out_quotient, FblAffine *out_rest) {
    const FblAffine *x = &build->affine[a];
    FblAffine quotient = {0};
    FblAffine rest = {.constant = x->constant};
    for (int i = 0; i < x->count; i++) {
        FblAffine *part = x->coefs[i] % divisor == 0 ? &quotient : &rest;
        part->atoms[part->count] = x->atoms[i];
        part->coefs[part->count++] = part == &quotient ? x->coefs[i] / divisor : x->coefs[i];
    }
    set_range(build, &rest);
    int64_t k = floor_div(rest.low, divisor);
    if (floor_div(rest.high, divisor) != k) {
        return false;
    }
    quotient.constant = k;
    rest.constant -= k * divisor;
    *out_quotient = quotient;
    *out_rest = rest;
    return true;
}

int32_t fbl_ix_div(FblKBuild *build, int32_t a, int64_t divisor) {
    FblAffine quotient;
    FblAffine rest;
    if (divisor == 1) {
        return a;
    }
    if (divide(build, a, divisor, &quotient, &rest)) {
        return emit(build, quotient);
    }
    FblKInstr q = blank(FBL_K_OP, FBL_I32);
    q.op = FBL_OP_DIV;
    q.args[0] = a;
    q.args[1] = fbl_ix_const(build, divisor);
    int64_t low = floor_div(build->affine[a].low, divisor);
    int64_t high = floor_div(build->affine[a].high, divisor);
    int32_t id = add(build, &q, NULL);
    build->affine[id].low = low;
    build->affine[id].high = high;
    return id;
}

int32_t fbl_ix_mod(FblKBuild *build, int32_t a, int64_t divisor) {
    FblAffine quotient;
    FblAffine rest;
    if (divisor == 1) {
        return fbl_ix_const(build, 0);
    }
    if (divide(build, a, divisor, &quotient, &rest)) {
        return emit(build, rest);
    }
    FblKInstr q = blank(FBL_K_OP, FBL_I32);
    q.op = FBL_OP_MOD;
    q.args[0] = a;
    q.args[1] = fbl_ix_const(build, divisor);
    int32_t id = add(build, &q, NULL);
    build->affine[id].low = 0;
    build->affine[id].high = divisor - 1;
    return id;
}

int32_t fbl_ix_at_least_zero(FblKBuild *build, int32_t a) {
    // floor(a / d) >= 0 exactly when a >= 0: divide by a coefficient where that drops terms.
    for (int round = 0; round < FBL_AFFINE_MAX_TERMS; round++) {
        FblAffine x = build->affine[a];
        int64_t best = 1;
        for (int i = 0; i < x.count; i++) {
            FblAffine quotient;
            FblAffine rest;
            int64_t d = x.coefs[i] < 0 ? -x.coefs[i] : x.coefs[i];
            if (d > best && divide(build, a, d, &quotient, &rest)) {
                best = d;
            }
        }
        if (best == 1) {
            break;
        }
        a = fbl_ix_div(build, a, best);
    }
    const FblAffine *x = &build->affine[a];
    if (x->low >= 0) {
        return -1;
    }
    if (x->high < 0) {
        return fbl_kb_const(build, FBL_BOOL, 0);
    }
    return fbl_kb_op(build, FBL_OP_LE, FBL_BOOL, fbl_ix_const(build, 0), a, -1);
}

int32_t fbl_ix_is_zero(FblKBuild *build, int32_t a) {
    const FblAffine *x = &build->affine[a];
    if (x->low == 0 && x->high == 0) {
        return -1;
    }
    if (x->low > 0 || x->high < 0) {
        return fbl_kb_const(build, FBL_BOOL, 0);
    }
    return fbl_kb_op(build, FBL_OP_EQ, FBL_BOOL, a, fbl_ix_const(build, 0), -1);
}

int32_t fbl_ix_in_range(FblKBuild *build, int32_t a, int64_t low, int64_t high) {
    int32_t above = fbl_ix_at_least_zero(build, fbl_ix_add_const(build, a, -low));
    int32_t below = fbl_ix_at_least_zero(build, fbl_ix_add_const(build, fbl_ix_scale(build, a, -1), high - 1));
    return fbl_kb_and(build, above, below);
}

int32_t fbl_ix_clamp(FblKBuild *build, int32_t a, int64_t low, int64_t high) {
    if (build->affine[a].low >= low && build->affine[a].high <= high) {
        return a;
    }
    int32_t id = fbl_kb_op(build, FBL_OP_MAX, FBL_I32, a, fbl_ix_const(build, low), -1);
    id = fbl_kb_op(build, FBL_OP_MIN, FBL_I32, id, fbl_ix_const(build, high), -1);
    build->affine[id].low = low;
    build->affine[id].high = high;
    return id;
}

#include "codegen/cuda/emit.h"

#include <math.h>
#include <string.h>

#include "base/integer.h"

void fbl_cuda_body_init(FblCudaBody *body, FblCudaEmit *e, int lanes, int32_t lane_loop) {
    memset(body, 0, sizeof *body);
    body->e = e;
    body->lanes = lanes;
    body->lane_loop = lane_loop;
    body->lane_align = lanes;
    body->indent = 1;
    body->values = FBL_NEW_ARRAY(e->arena, FblCudaVal, e->kernel->instr_count + 1);
}

void fbl_cuda_body_need(FblCudaBody *body, int32_t id) {
    const FblKernel *kernel = body->e->kernel;
    if (id < 0 || body->values[id].needed) {
        return;
    }
    body->values[id].needed = true;
    for (int32_t at = id; at >= 0; at--) { // operands come before their uses
        int32_t operands[FBL_KERNEL_MAX_DIMS + 5];
        int count = body->values[at].needed ? fbl_kernel_operands(kernel, &kernel->instrs[at], operands) : 0;
        for (int k = 0; k < count; k++) {
            if (operands[k] >= 0) {
                body->values[operands[k]].needed = true;
            }
        }
    }
}

void fbl_cuda_body_need_store(FblCudaBody *body, const FblKStore *store) {
    fbl_cuda_body_need(body, store->value);
    fbl_cuda_body_need(body, store->guard);
    for (int32_t d = 0; d < body->e->kernel->buffers[store->buffer].rank; d++) {
        fbl_cuda_body_need(body, store->index[d]);
    }
}

static const char *real_literal(FblCudaEmit *e, double value) {
    if (isnan(value)) {
        return "FBL_NAN";
    }
    if (isinf((float)value)) {
        return value > 0 ? "FBL_INF" : "(-FBL_INF)";
    }
    const char *digits = fbl_arena_printf(e->arena, "%.9g", (double)(float)value);
    bool whole = strpbrk(digits, ".e") == NULL;
    return fbl_arena_printf(e->arena, digits[0] == '-' ? "(%s%sf)" : "%s%sf", digits, whole ? ".0" : "");
}

static const char *convert(FblCudaEmit *e, const char *text, FblDtype from, FblDtype to) {
    if (from == to) {
        return text;
    }
    if (to == FBL_F32) {
        return fbl_arena_printf(e->arena, from == FBL_BOOL ? "(%s ? 1.0f : 0.0f)" : "(float)(%s)", text);
    }
    if (to == FBL_I32) {
        return fbl_arena_printf(e->arena, from == FBL_BOOL ? "(%s ? 1 : 0)" : "fbl_to_int(%s)", text);
    }
    return fbl_arena_printf(e->arena, from == FBL_F32 ? "(%s != 0.0f)" : "(%s != 0)", text);
}

const char *fbl_cuda_body_lane(FblCudaBody *body, int32_t id, int lane, FblDtype dtype) {
    const FblCudaVal *value = &body->values[id];
    const char *text = value->name[value->lanes ? lane : 0];
    if (!value->lanes && value->step != 0 && lane > 0) {
        text = fbl_arena_printf(body->e->arena, "(%s + %lld)", text, (long long)(lane * value->step));
    }
    return convert(body->e, text, body->e->kernel->instrs[id].dtype, dtype);
}

static bool varies(const FblCudaVal *value) { return value->lanes || value->step != 0; }

static bool constant_of(const FblCudaBody *body, int32_t id, int64_t *out) {
    const FblKInstr *instr = &body->e->kernel->instrs[id];
    *out = (int64_t)instr->value;
    return instr->kind == FBL_K_CONST && instr->dtype == FBL_I32;
}

// Range of an integer operation, or the whole line.
static void find_range(FblOp op, const FblCudaVal *a, const FblCudaVal *b, int64_t divisor, FblCudaVal *out) {
    out->low = INT32_MIN;
    out->high = INT32_MAX;
    switch (op) {
    case FBL_OP_ADD: out->low = a->low + b->low, out->high = a->high + b->high; break;
    case FBL_OP_SUB: out->low = a->low - b->high, out->high = a->high - b->low; break;
    case FBL_OP_MUL:
        if (a->low >= 0 && b->low >= 0) {
            out->low = a->low * b->low, out->high = a->high * b->high;
        }
        break;
    case FBL_OP_DIV:
        if (divisor > 0 && a->low >= 0) {
            out->low = a->low / divisor, out->high = a->high / divisor;
        }
        break;
    case FBL_OP_MOD:
        if (divisor > 0) {
            out->low = 0, out->high = divisor - 1;
        }
        break;
    case FBL_OP_MIN: out->low = fbl_cuda_min(a->low, b->low), out->high = fbl_cuda_min(a->high, b->high); break;
    case FBL_OP_MAX: out->low = fbl_cuda_max(a->low, b->low), out->high = fbl_cuda_max(a->high, b->high); break;
    default: break;
    }
    if (out->low < INT32_MIN || out->high > INT32_MAX) { // may wrap
        out->low = INT32_MIN;
        out->high = INT32_MAX;
    }
}

// How an op is written: the name of a function, or an operator. NULL: the operand itself.
typedef struct OpForm {
    FblOp op;
    const char *real, *integer;
} OpForm;

static const OpForm op_forms[] = {
    {FBL_OP_NEG, "-", "-"},
    {FBL_OP_ABS, "fabsf", "abs"},
    {FBL_OP_EXP, "expf", NULL},
    {FBL_OP_EXPM1, "expm1f", NULL},
    {FBL_OP_LOG, "logf", NULL},
    {FBL_OP_LOG1P, "log1pf", NULL},
    {FBL_OP_SQRT, "sqrtf", NULL},
    {FBL_OP_SIN, "sinf", NULL},
    {FBL_OP_COS, "cosf", NULL},
    {FBL_OP_TANH, "tanhf", NULL},
    {FBL_OP_SIGMOID, "fbl_sigmoid", NULL},
    {FBL_OP_ERF, "erff", NULL},
    {FBL_OP_FLOOR, "floorf", NULL},
    {FBL_OP_NOT, "!", "!"},
    {FBL_OP_ADD, "+", "+"},
    {FBL_OP_SUB, "-", "-"},
    {FBL_OP_MUL, "*", "*"},
    {FBL_OP_DIV, "/", "fbl_div"},
    {FBL_OP_MOD, "fbl_fmod", "fbl_mod"},
    {FBL_OP_POW, "powf", NULL},
    {FBL_OP_MIN, "fbl_min", "fbl_imin"},
    {FBL_OP_MAX, "fbl_max", "fbl_imax"},
    {FBL_OP_EQ, "==", "=="},
    {FBL_OP_NE, "!=", "!="},
    {FBL_OP_LT, "<", "<"},
    {FBL_OP_LE, "<=", "<="},
    {FBL_OP_AND, "&&", "&&"},
    {FBL_OP_OR, "||", "||"},
};

// The C expression of an op over operand expressions already of the right dtype. `small`: an integer division whose
// dividend is not negative by a positive constant.
static const char *op_text(FblCudaBody *body, const FblKInstr *instr, bool real, bool small, const char *const *args) {
    FblArena *arena = body->e->arena;
    if (instr->op == FBL_OP_SELECT) {
        return fbl_arena_printf(arena, "%s ? %s : %s", args[0], args[1], args[2]);
    }
    const char *form = NULL;
    for (size_t i = 0; i < sizeof op_forms / sizeof *op_forms; i++) {
        if (op_forms[i].op == instr->op) {
            form = real ? op_forms[i].real : op_forms[i].integer;
        }
    }
    if (small) {
        form = instr->op == FBL_OP_DIV ? "/" : "%";
    }
    int arity = fbl_op_info(instr->op)->arity;
    if (!form) {
        return args[0]; // CAST, STOP_GRADIENT, BROADCAST of an operand that is converted already
    }
    bool function = form[0] >= 'a' && form[0] <= 'z';
    if (arity == 1) {
        return fbl_arena_printf(arena, function ? "%s(%s)" : "%s(%s)", form, args[0]);
    }
    return function ? fbl_arena_printf(arena, "%s(%s, %s)", form, args[0], args[1]) : fbl_arena_printf(arena, "%s %s %s", args[0], form, args[1]);
}

static FblDtype operand_dtype(const FblKernel *kernel, const FblKInstr *instr, int k) {
    switch (instr->op) {
    case FBL_OP_SELECT: return k == 0 ? FBL_BOOL : instr->dtype;
    case FBL_OP_EQ:
    case FBL_OP_NE:
    case FBL_OP_LT:
    case FBL_OP_LE: return kernel->instrs[instr->args[0]].dtype == FBL_F32 || kernel->instrs[instr->args[1]].dtype == FBL_F32 ? FBL_F32 : FBL_I32;
    case FBL_OP_AND:
    case FBL_OP_OR:
    case FBL_OP_NOT: return FBL_BOOL;
    default: return instr->dtype;
    }
}

// Integer arithmetic that keeps its operands' affine form; false where a value a lane is needed.
static bool affine(const FblCudaBody *body, const FblKInstr *instr, FblCudaVal *out) {
    const FblCudaVal *a = &body->values[instr->args[0]], *b = &body->values[instr->args[1]];
    int64_t c;
    bool constant = constant_of(body, instr->args[1], &c);
    switch (instr->op) {
    case FBL_OP_ADD:
    case FBL_OP_SUB:
        out->step = a->step + (instr->op == FBL_OP_ADD ? b->step : -b->step);
        out->align = fbl_gcd(a->align, b->align);
        return true;
    case FBL_OP_MUL: {
        int64_t left;
        bool left_constant = constant_of(body, instr->args[0], &left);
        if (a->step == 0 && b->step == 0) {
            out->align = a->align * b->align > INT32_MAX ? 1 : a->align * b->align;
            return true;
        }
        if (!constant && !left_constant) {
            return false;
        }
        out->step = constant ? a->step * c : b->step * left;
        out->align = a->align * b->align > INT32_MAX ? 1 : a->align * b->align;
        return true;
    }
    case FBL_OP_DIV:
    case FBL_OP_MOD: {
        if (a->step == 0 && b->step == 0) {
            out->align = constant && c > 0 ? (instr->op == FBL_OP_MOD ? fbl_gcd(a->align, c) : a->align % c == 0 ? a->align / c : 1) : 1;
            return true;
        }
        bool inside = constant && c > 0 && a->step == 1 && a->low >= 0 && fbl_gcd(a->align, c) % body->lanes == 0; // lanes in one block
        out->step = instr->op == FBL_OP_MOD ? 1 : 0;
        out->align = instr->op == FBL_OP_MOD ? fbl_gcd(a->align, c) : 1;
        return inside;
    }
    default: out->align = 1; return a->step == 0 && b->step == 0;
    }
}

static void define(FblCudaBody *body, int32_t id, int lane, const char *text) {
    FblCudaVal *out = &body->values[id];
    FblCudaEmit *e = body->e;
    const char *name = out->lanes ? fbl_arena_printf(e->arena, "v%d_%d", id, lane) : fbl_arena_printf(e->arena, "v%d", id);
    fbl_cuda_line(e, body->indent, "const %s %s = %s;", fbl_cuda_ctype(e->kernel->instrs[id].dtype), name, text);
    out->name[out->lanes ? lane : 0] = name;
}

static void emit_op(FblCudaBody *body, int32_t id) {
    const FblKernel *kernel = body->e->kernel;
    const FblKInstr *instr = &kernel->instrs[id];
    FblCudaVal *out = &body->values[id];
    int arity = fbl_op_info(instr->op)->arity;
    bool lanes = false, steps = false, integer = instr->dtype == FBL_I32;
    for (int k = 0; k < arity; k++) {
        lanes |= body->values[instr->args[k]].lanes;
        steps |= body->values[instr->args[k]].step != 0;
        integer &= kernel->instrs[instr->args[k]].dtype == FBL_I32;
    }
    bool small = false;
    out->align = 1;
    if (integer && arity == 2) {
        int64_t c = 0;
        const FblCudaVal *a = &body->values[instr->args[0]];
        bool constant = constant_of(body, instr->args[1], &c);
        find_range(instr->op, a, &body->values[instr->args[1]], constant ? c : 0, out);
        small = (instr->op == FBL_OP_DIV || instr->op == FBL_OP_MOD) && a->low >= 0 && constant && c > 0;
        out->lanes = lanes || !affine(body, instr, out);
    } else {
        out->lanes = lanes || steps;
        out->low = INT32_MIN;
        out->high = INT32_MAX;
    }
    if (out->lanes) {
        out->step = 0;
    }
    bool real = operand_dtype(kernel, instr, arity - 1) == FBL_F32;
    for (int lane = 0; lane < (out->lanes ? body->lanes : 1); lane++) {
        const char *args[3] = {NULL, NULL, NULL};
        for (int k = 0; k < arity; k++) {
            args[k] = fbl_cuda_body_lane(body, instr->args[k], lane, operand_dtype(kernel, instr, k));
        }
        define(body, id, lane, op_text(body, instr, real, small, args));
    }
}

// Where an element lies: C expressions of the element number.
typedef struct Address {
    const char *text[FBL_CUDA_MAX_LANES]; // [0] alone unless `lanes`
    bool lanes;
    int64_t step, align;
} Address;

static Address address_of(FblCudaBody *body, int32_t buffer, const int32_t *index) {
    FblCudaEmit *e = body->e;
    const FblKernelBuffer *info = &e->kernel->buffers[buffer];
    Address address = {{0}, false, 0, 0};
    int64_t stride = 1;
    for (int32_t d = info->rank - 1; d >= 0; d--) {
        const FblCudaVal *value = &body->values[index[d]];
        if (info->extents[d] > 1) { // else the index is 0
            address.lanes |= value->lanes;
            address.step += value->step * stride;
            address.align = fbl_gcd(address.align, value->align * stride);
        }
        stride *= info->extents[d];
    }
    for (int lane = 0; lane < (address.lanes ? body->lanes : 1); lane++) {
        const char *text = "";
        stride = 1;
        for (int32_t d = info->rank - 1; d >= 0; d--) {
            const char *part = fbl_cuda_body_lane(body, index[d], lane, FBL_I32);
            if (info->extents[d] > 1 && strcmp(part, "0") != 0) {
                part = stride == 1 ? part : fbl_arena_printf(e->arena, "%s * %lld", part, (long long)stride);
                text = *text ? fbl_arena_printf(e->arena, "%s + %s", part, text) : part;
            }
            stride *= info->extents[d];
        }
        address.text[lane] = *text ? text : "0";
    }
    return address;
}

static const char *lane_address(FblCudaBody *body, const Address *address, int lane) {
    const char *text = address->text[address->lanes ? lane : 0];
    if (!address->lanes && address->step != 0 && lane > 0) {
        return fbl_arena_printf(body->e->arena, "%s + %lld", text, (long long)(lane * address->step));
    }
    return text;
}

// What four neighbours are, or eight: a pair of such, `low` and `high`.
static const char *quad_type(FblDtype dtype) { return dtype == FBL_BOOL ? "uchar4" : dtype == FBL_I32 ? "int4" : "float4"; }
static const char *run_type(const FblCudaBody *body, FblDtype dtype) {
    const char *quad = quad_type(dtype);
    return body->lanes == FBL_CUDA_LANES ? quad : fbl_arena_printf(body->e->arena, "FblPair<%s>", quad);
}

// A value of run_type from an expression a lane.
static const char *run_text(FblCudaBody *body, FblDtype dtype, const char *const *lane) {
    FblArena *arena = body->e->arena;
    const char *half[2] = {"", ""};
    for (int i = 0; i < body->lanes / FBL_CUDA_LANES; i++) {
        half[i] = fbl_arena_printf(arena, "make_%s(%s, %s, %s, %s)", quad_type(dtype), lane[4 * i], lane[4 * i + 1], lane[4 * i + 2], lane[4 * i + 3]);
    }
    return body->lanes == FBL_CUDA_LANES ? half[0] : fbl_arena_printf(arena, "%s{%s, %s}", run_type(body, dtype), half[0], half[1]);
}

// Lanes that are neighbours in memory from an aligned one on; eight may be aligned to four only.
static bool is_quad(const FblCudaBody *body, const Address *address) {
    return body->lanes >= FBL_CUDA_LANES && !address->lanes && address->step == 1 && address->align % FBL_CUDA_LANES == 0;
}

// The function that loads or stores a run of halves: with eight, one access of 16 bytes, or two of 8.
static const char *half_function(const FblCudaBody *body, const char *what, const char *half, const Address *address) {
    const char *count = body->lanes == FBL_CUDA_LANES ? "" : address->align % FBL_CUDA_MAX_LANES == 0 ? "8" : "44";
    return fbl_arena_printf(body->e->arena, "fbl_%s%s_%s", what, count, half);
}

bool fbl_cuda_body_run(FblCudaBody *body, int32_t id, FblDtype dtype, const char **out_address) {
    const FblKInstr *instr = &body->e->kernel->instrs[id];
    if (instr->kind != FBL_K_LOAD || instr->guard >= 0 || body->e->kernel->buffers[instr->a].dtype != dtype) {
        return false;
    }
    Address address = address_of(body, instr->a, instr->index);
    *out_address = address.text[0];
    return is_quad(body, &address) && address.align % body->lane_align == 0;
}

bool fbl_cuda_body_contiguous(FblCudaBody *body, int32_t id, const char **out_address) { return fbl_cuda_body_run(body, id, FBL_F32, out_address); }

static void emit_load(FblCudaBody *body, int32_t id) {
    FblCudaEmit *e = body->e;
    const FblKInstr *instr = &e->kernel->instrs[id];
    FblCudaVal *out = &body->values[id];
    Address address = address_of(body, instr->a, instr->index);
    bool guard_varies = instr->guard >= 0 && varies(&body->values[instr->guard]);
    bool other_varies = instr->guard >= 0 && instr->otherwise >= 0 && varies(&body->values[instr->otherwise]);
    FblDtype memory = e->kernel->buffers[instr->a].dtype;
    const char *half = fbl_dtype_is_half(memory) ? fbl_dtype_name(memory) : NULL;
    out->low = INT32_MIN;
    out->high = INT32_MAX;
    out->align = 1;
    out->lanes = address.lanes || address.step != 0 || guard_varies || other_varies;
    if (out->lanes && is_quad(body, &address) && !guard_varies) {
        const char *run = run_type(body, instr->dtype);
        const char *load = half ? fbl_arena_printf(e->arena, "%s(b%d + %s)", half_function(body, "load", half, &address), instr->a, address.text[0])
                                : fbl_arena_printf(e->arena, "*(const %s *)(b%d + %s)", run, instr->a, address.text[0]);
        if (instr->guard >= 0) {
            const char *other[FBL_CUDA_MAX_LANES];
            for (int lane = 0; lane < body->lanes; lane++) {
                other[lane] = instr->otherwise >= 0 ? fbl_cuda_body_lane(body, instr->otherwise, lane, instr->dtype) : "0";
            }
            load = fbl_arena_printf(e->arena, "%s ? %s : %s", fbl_cuda_body_lane(body, instr->guard, 0, FBL_BOOL), load, run_text(body, instr->dtype, other));
        }
        fbl_cuda_line(e, body->indent, "const %s v%d = %s;", run, id, load);
        for (int lane = 0; lane < body->lanes; lane++) {
            const char *half_of = body->lanes == FBL_CUDA_LANES ? "" : lane < FBL_CUDA_LANES ? ".low" : ".high";
            out->name[lane] = fbl_arena_printf(e->arena, instr->dtype == FBL_BOOL ? "(v%d%s.%c != 0)" : "v%d%s.%c", id, half_of, "xyzw"[lane % FBL_CUDA_LANES]);
        }
        return;
    }
    for (int lane = 0; lane < (out->lanes ? body->lanes : 1); lane++) {
        const char *load = fbl_arena_printf(e->arena, instr->dtype == FBL_BOOL ? "b%d[%s] != 0" : "b%d[%s]", instr->a, lane_address(body, &address, lane));
        load = half ? fbl_arena_printf(e->arena, "fbl_from_%s(%s)", half, load) : load;
        if (instr->guard >= 0) {
            const char *zero = instr->dtype == FBL_F32 ? "0.0f" : instr->dtype == FBL_I32 ? "0" : "false";
            load = fbl_arena_printf(e->arena, "%s ? %s : %s", fbl_cuda_body_lane(body, instr->guard, lane, FBL_BOOL), load,
                                    instr->otherwise >= 0 ? fbl_cuda_body_lane(body, instr->otherwise, lane, instr->dtype) : zero);
        }
        define(body, id, lane, load);
    }
}

static void emit_instr(FblCudaBody *body, int32_t id) {
    FblCudaEmit *e = body->e;
    const FblKInstr *instr = &e->kernel->instrs[id];
    FblCudaVal *out = &body->values[id];
    out->emitted = true;
    out->align = 1;
    out->low = INT32_MIN;
    out->high = INT32_MAX;
    switch (instr->kind) {
    case FBL_K_CONST:
        out->name[0] = instr->dtype == FBL_F32    ? real_literal(e, instr->value)
                       : instr->dtype == FBL_BOOL ? (instr->value != 0 ? "true" : "false")
                       : instr->value < 0         ? fbl_arena_printf(e->arena, "(%lld)", (long long)instr->value)
                                                  : fbl_arena_printf(e->arena, "%lld", (long long)instr->value);
        if (instr->dtype == FBL_I32) {
            out->low = out->high = (int64_t)instr->value;
            out->align = out->low < 0 ? -out->low : out->low;
            out->name[0] = out->low == INT32_MIN ? "(-2147483647 - 1)" : out->name[0];
        }
        break;
    case FBL_K_LOOP:
        out->name[0] = body->loops[instr->a];
        out->low = 0;
        out->high = e->kernel->loops[instr->a].extent - 1;
        if (instr->a == body->lane_loop && body->lanes > 1) {
            out->step = 1;
            out->align = body->lane_align;
        } else if (strcmp(out->name[0], "0") == 0) {
            out->align = 0;
        }
        break;
    case FBL_K_LOAD: emit_load(body, id); break;
    case FBL_K_OP: emit_op(body, id); break;
    case FBL_K_RESULT:
        out->lanes = body->lane_results;
        for (int lane = 0; lane < (out->lanes ? body->lanes : 1); lane++) {
            out->name[lane] = fbl_arena_printf(e->arena, out->lanes ? "r%d_%d" : "r%d", instr->a, lane);
        }
        break;
    case FBL_K_ACC:
        out->lanes = body->lanes > 1;
        memcpy(out->name, body->acc, sizeof out->name);
        break;
    case FBL_K_UNIFORM:
        out->lanes = varies(&body->values[instr->args[0]]);
        for (int lane = 0; lane < (out->lanes ? body->lanes : 1); lane++) {
            define(body, id, lane, fbl_arena_printf(e->arena, "fbl_uniform(scalars, %du, %s)", instr->a, fbl_cuda_body_lane(body, instr->args[0], lane, FBL_I32)));
        }
        break;
    case FBL_K_ROUND:
        out->lanes = varies(&body->values[instr->args[0]]);
        for (int lane = 0; lane < (out->lanes ? body->lanes : 1); lane++) {
            const char *half = fbl_dtype_name((FblDtype)instr->a);
            define(body, id, lane, fbl_arena_printf(e->arena, "fbl_from_%s(fbl_to_%s(%s))", half, half, fbl_cuda_body_lane(body, instr->args[0], lane, FBL_F32)));
        }
        break;
    }
}

void fbl_cuda_body_emit(FblCudaBody *body, int depth) {
    const FblKernel *kernel = body->e->kernel;
    for (int32_t id = 0; id < kernel->instr_count; id++) {
        FblCudaVal *value = &body->values[id];
        if (!value->needed || value->emitted) {
            continue;
        }
        int32_t operands[FBL_KERNEL_MAX_DIMS + 5];
        int count = fbl_kernel_operands(kernel, &kernel->instrs[id], operands);
        const FblKInstr *instr = &kernel->instrs[id];
        value->depth = instr->kind == FBL_K_LOOP ? (int8_t)(body->inner >> instr->a & 1) : instr->kind == FBL_K_ACC && body->inner != 0;
        for (int k = 0; k < count; k++) {
            if (operands[k] >= 0 && body->values[operands[k]].depth > value->depth) {
                value->depth = body->values[operands[k]].depth;
            }
        }
        if (value->depth <= depth) {
            emit_instr(body, id);
        }
    }
}

static const char *to_memory(FblCudaBody *body, const FblKStore *store, FblDtype dtype, int lane) {
    const char *text = fbl_cuda_body_lane(body, store->value, lane, fbl_dtype_value(dtype));
    return dtype == FBL_BOOL ? fbl_arena_printf(body->e->arena, "(%s) ? 1 : 0", text) : text;
}

void fbl_cuda_body_store(FblCudaBody *body, const FblKStore *store, const char *guard) {
    FblCudaEmit *e = body->e;
    FblDtype dtype = e->kernel->buffers[store->buffer].dtype;
    Address address = address_of(body, store->buffer, store->index);
    bool guard_varies = store->guard >= 0 && varies(&body->values[store->guard]);
    bool quad = is_quad(body, &address) && !guard_varies;
    bool any = address.lanes || address.step != 0 || guard_varies || varies(&body->values[store->value]);
    const char *half = fbl_dtype_is_half(dtype) ? fbl_dtype_name(dtype) : NULL;
    for (int lane = 0; lane < (!quad && any ? body->lanes : 1); lane++) {
        const char *one = quad ? "" : to_memory(body, store, dtype, lane);
        one = half && !quad ? fbl_arena_printf(e->arena, "fbl_to_%s(%s)", half, one) : one;
        const char *text = fbl_arena_printf(e->arena, "b%d[%s] = %s;", store->buffer, lane_address(body, &address, lane), one);
        if (quad) {
            const char *value[FBL_CUDA_MAX_LANES];
            for (int k = 0; k < body->lanes; k++) {
                value[k] = to_memory(body, store, dtype, k);
            }
            const char *run = run_text(body, dtype, value);
            text = half ? fbl_arena_printf(e->arena, "%s(b%d + %s, %s);", half_function(body, "store", half, &address), store->buffer, address.text[0], run)
                        : fbl_arena_printf(e->arena, "*(%s *)(b%d + %s) = %s;", run_type(body, dtype), store->buffer, address.text[0], run);
        }
        const char *own = store->guard >= 0 ? fbl_cuda_body_lane(body, store->guard, lane, FBL_BOOL) : NULL;
        const char *both = own && guard ? fbl_arena_printf(e->arena, "%s && %s", own, guard) : own ? own : guard;
        if (both) {
            fbl_cuda_line(e, body->indent, "if (%s) {", both);
            fbl_cuda_line(e, body->indent + 1, "%s", text);
            fbl_cuda_line(e, body->indent, "}");
        } else {
            fbl_cuda_line(e, body->indent, "%s", text);
        }
    }
}

#include "ir/interp.h"

#include <math.h>

#include "ir/interp_internal.h"

// One function an op over doubles. `dtype` is the result's, `from` the first operand's.
#define SCALAR(ENUM) static double scalar_##ENUM(FblDtype dtype, FblDtype from, const double *x)
#define UNUSED ((void)dtype, (void)from)

// 32-bit arithmetic wraps around, as the machine's does. Called with exact integers only.
static double wrap(int64_t value) {
    return (double)(int32_t)(uint32_t)(uint64_t)value;
}

static double to_i32(double x) {
    if (isnan(x)) {
        return 0;
    }
    x = trunc(x);
    return x < INT32_MIN ? INT32_MIN : (x > INT32_MAX ? INT32_MAX : x);
}

static int64_t floor_div(int64_t a, int64_t b) {
    if (b == 0) {
        return 0;
    }
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

#define UNARY(ENUM, expr)                                                                                              \
    SCALAR(ENUM) {                                                                                                     \
        UNUSED;                                                                                                        \
        return expr;                                                                                                   \
    }
UNARY(EXP, exp(x[0]))
UNARY(EXPM1, expm1(x[0]))
UNARY(LOG, log(x[0]))
UNARY(LOG1P, log1p(x[0]))
UNARY(SQRT, sqrt(x[0]))
UNARY(SIN, sin(x[0]))
UNARY(COS, cos(x[0]))
UNARY(TANH, tanh(x[0]))
UNARY(SIGMOID, x[0] >= 0 ? 1 / (1 + exp(-x[0])) : exp(x[0]) / (1 + exp(x[0])))
UNARY(ERF, erf(x[0]))
UNARY(FLOOR, floor(x[0]))
UNARY(NOT, x[0] == 0)
UNARY(STOP_GRADIENT, x[0])
UNARY(BROADCAST, x[0])
UNARY(POW, pow(x[0], x[1]))
UNARY(MIN, isnan(x[0]) || x[0] < x[1] ? x[0] : x[1])
UNARY(MAX, isnan(x[0]) || x[0] > x[1] ? x[0] : x[1])
UNARY(EQ, x[0] == x[1])
UNARY(NE, x[0] != x[1])
UNARY(LT, x[0] < x[1])
UNARY(LE, x[0] <= x[1])
UNARY(AND, x[0] != 0 && x[1] != 0)
UNARY(OR, x[0] != 0 || x[1] != 0)
UNARY(SELECT, x[0] != 0 ? x[1] : x[2])

#define ARITHMETIC(ENUM, real, integer)                                                                                \
    SCALAR(ENUM) {                                                                                                     \
        (void)from;                                                                                                    \
        return dtype == FBL_F32 ? (real) : wrap(integer);                                                              \
    }
ARITHMETIC(NEG, -x[0], -(int64_t)x[0])
ARITHMETIC(ABS, fabs(x[0]), (int64_t)fabs(x[0]))
ARITHMETIC(ADD, x[0] + x[1], (int64_t)x[0] + (int64_t)x[1])
ARITHMETIC(SUB, x[0] - x[1], (int64_t)x[0] - (int64_t)x[1])
ARITHMETIC(MUL, x[0] * x[1], (int64_t)x[0] * (int64_t)x[1])
ARITHMETIC(DIV, x[0] / x[1], floor_div((int64_t)x[0], (int64_t)x[1]))
ARITHMETIC(MOD, x[0] - x[1] * floor(x[0] / x[1]),
           x[1] == 0 ? 0 : (int64_t)x[0] - (int64_t)x[1] * floor_div((int64_t)x[0], (int64_t)x[1]))

SCALAR(CAST) {
    switch (dtype) {
    case FBL_F32:
        return x[0];
    case FBL_I32:
        return from == FBL_F32 ? to_i32(x[0]) : x[0];
    case FBL_BOOL:
        return x[0] != 0;
    default:
        break;
    }
    return x[0];
}

typedef double (*Scalar)(FblDtype dtype, FblDtype from, const double *x);

#define ROW_LEAF(ENUM)
#define ROW_POINTWISE(ENUM) [FBL_OP_##ENUM] = scalar_##ENUM,
#define ROW_REDUCE(ENUM)
#define ROW_CONTRACT(ENUM)
#define ROW_WINDOW(ENUM)
#define ROW_SHAPE(ENUM)
#define ROW_INDEX(ENUM)
#define ROW_SCAN(ENUM)
#define ROW_COLLECTIVE(ENUM)
static const Scalar scalars[FBL_OP_COUNT] = {
#define FBL_OP(ENUM, text, arity, class_, attr, grad, doc) ROW_##class_(ENUM)
#include "ir/ops.def"
#undef FBL_OP
};
#undef ROW_POINTWISE

double fbl_interp_scalar(FblOp op, FblDtype dtype, FblDtype input_dtype, const double *args) {
    return scalars[op] == NULL ? NAN : scalars[op](dtype, input_dtype, args);
}

static FblStatus pointwise(FblEval *e) {
    const FblNode *node = e->node;
    Scalar scalar = scalars[node->op];
    FblWalk walk;
    double args[3] = {0};
    fbl_walk_init(&walk, &node->type);
    for (int i = 0; i < node->input_count; i++) {
        fbl_walk_operand(&walk, i, &node->type, &e->in[i]->type);
    }
    for (int64_t k = 0; !walk.done; k++, fbl_walk_next(&walk)) {
        for (int i = 0; i < node->input_count; i++) {
            args[i] = e->in[i]->data[walk.offset[i]];
        }
        e->out->data[k] = scalar(node->type.dtype, e->in[0]->type.dtype, args);
    }
    return FBL_OK;
}

#define ROW_POINTWISE(ENUM)                                                                                            \
    FblStatus fbl_interp_##ENUM(FblEval *e) {                                                                          \
        return pointwise(e);                                                                                           \
    }
#define FBL_OP(ENUM, text, arity, class_, attr, grad, doc) ROW_##class_(ENUM)
#include "ir/ops.def"
#undef FBL_OP

// Derivatives of pointwise ops. Operands align by axis name, so a share may have more axes than its operand: give()
// sums.
#include "passes/grad_rules.h"

static FblNodeId in(const FblGrad *grad, int32_t index) {
    return grad->node->inputs[index];
}

void fbl_grad_neg(FblGrad *grad) {
    fbl_grad_give(grad, 0, fbl_emit_unary(grad, FBL_OP_NEG, grad->g));
}

// sign(x) with sign(0) = 0.
void fbl_grad_abs(FblGrad *grad) {
    FblNodeId zero = fbl_emit_const(grad, 0);
    FblNodeId positive = fbl_emit_binary(grad, FBL_OP_LT, zero, in(grad, 0));
    FblNodeId negative = fbl_emit_binary(grad, FBL_OP_LT, in(grad, 0), zero);
    FblNodeId minus = fbl_emit_unary(grad, FBL_OP_NEG, grad->g);
    FblNodeId below = fbl_emit_select(grad, negative, minus, zero);
    fbl_grad_give(grad, 0, fbl_emit_select(grad, positive, grad->g, below));
}

void fbl_grad_exp(FblGrad *grad) {
    fbl_grad_give(grad, 0, fbl_emit_binary(grad, FBL_OP_MUL, grad->g, grad->id));
}

void fbl_grad_expm1(FblGrad *grad) {
    FblNodeId e = fbl_emit_binary(grad, FBL_OP_ADD, grad->id, fbl_emit_const(grad, 1));
    fbl_grad_give(grad, 0, fbl_emit_binary(grad, FBL_OP_MUL, grad->g, e));
}

void fbl_grad_log(FblGrad *grad) {
    fbl_grad_give(grad, 0, fbl_emit_binary(grad, FBL_OP_DIV, grad->g, in(grad, 0)));
}

void fbl_grad_log1p(FblGrad *grad) {
    FblNodeId below = fbl_emit_binary(grad, FBL_OP_ADD, in(grad, 0), fbl_emit_const(grad, 1));
    fbl_grad_give(grad, 0, fbl_emit_binary(grad, FBL_OP_DIV, grad->g, below));
}

// g / (2 sqrt x): infinite at 0, as the mathematics has it. The prelude's norm goes round it with a select.
void fbl_grad_sqrt(FblGrad *grad) {
    FblNodeId half = fbl_emit_scale(grad, grad->g, 0.5);
    fbl_grad_give(grad, 0, fbl_emit_binary(grad, FBL_OP_DIV, half, grad->id));
}

void fbl_grad_sin(FblGrad *grad) {
    FblNodeId slope = fbl_emit_unary(grad, FBL_OP_COS, in(grad, 0));
    fbl_grad_give(grad, 0, fbl_emit_binary(grad, FBL_OP_MUL, grad->g, slope));
}

void fbl_grad_cos(FblGrad *grad) {
    FblNodeId slope = fbl_emit_unary(grad, FBL_OP_NEG, fbl_emit_unary(grad, FBL_OP_SIN, in(grad, 0)));
    fbl_grad_give(grad, 0, fbl_emit_binary(grad, FBL_OP_MUL, grad->g, slope));
}

void fbl_grad_tanh(FblGrad *grad) {
    FblNodeId square = fbl_emit_binary(grad, FBL_OP_MUL, grad->id, grad->id);
    FblNodeId slope = fbl_emit_binary(grad, FBL_OP_SUB, fbl_emit_const(grad, 1), square);
    fbl_grad_give(grad, 0, fbl_emit_binary(grad, FBL_OP_MUL, grad->g, slope));
}

void fbl_grad_sigmoid(FblGrad *grad) {
    FblNodeId other = fbl_emit_binary(grad, FBL_OP_SUB, fbl_emit_const(grad, 1), grad->id);
    FblNodeId slope = fbl_emit_binary(grad, FBL_OP_MUL, grad->id, other);
    fbl_grad_give(grad, 0, fbl_emit_binary(grad, FBL_OP_MUL, grad->g, slope));
}

void fbl_grad_erf(FblGrad *grad) {
    FblNodeId square = fbl_emit_binary(grad, FBL_OP_MUL, in(grad, 0), in(grad, 0));
    FblNodeId bell = fbl_emit_unary(grad, FBL_OP_EXP, fbl_emit_unary(grad, FBL_OP_NEG, square));
    FblNodeId slope = fbl_emit_scale(grad, bell, 1.1283791670955126); // 2 / sqrt(pi)
    fbl_grad_give(grad, 0, fbl_emit_binary(grad, FBL_OP_MUL, grad->g, slope));
}

void fbl_grad_cast(FblGrad *grad) {
    fbl_grad_give(grad, 0, grad->g);
}

void fbl_grad_broadcast(FblGrad *grad) {
    fbl_grad_give(grad, 0, grad->g);
}

void fbl_grad_add(FblGrad *grad) {
    fbl_grad_give(grad, 0, grad->g);
    fbl_grad_give(grad, 1, grad->g);
}

void fbl_grad_sub(FblGrad *grad) {
    fbl_grad_give(grad, 0, grad->g);
    if (fbl_grad_wants(grad, 1)) {
        fbl_grad_give(grad, 1, fbl_emit_unary(grad, FBL_OP_NEG, grad->g));
    }
}

void fbl_grad_mul(FblGrad *grad) {
    if (in(grad, 0) == in(grad, 1)) { // a square: one share, 2 g x, with the factor on what is smaller
        fbl_grad_give(grad, 0, fbl_emit_binary(grad, FBL_OP_MUL, fbl_emit_scale(grad, grad->g, 2), in(grad, 0)));
        return;
    }
    for (int32_t k = 0; k < 2; k++) {
        if (fbl_grad_wants(grad, k)) {
            fbl_grad_give(grad, k, fbl_emit_binary(grad, FBL_OP_MUL, grad->g, in(grad, 1 - k)));
        }
    }
}

// a / b: g / b and -(g / b) (a / b); the quotient g / b is shared.
void fbl_grad_div(FblGrad *grad) {
    FblNodeId quotient = fbl_emit_binary(grad, FBL_OP_DIV, grad->g, in(grad, 1));
    fbl_grad_give(grad, 0, quotient);
    if (fbl_grad_wants(grad, 1)) {
        FblNodeId product = fbl_emit_binary(grad, FBL_OP_MUL, quotient, grad->id);
        fbl_grad_give(grad, 1, fbl_emit_unary(grad, FBL_OP_NEG, product));
    }
}

// a - b floor(a / b): 1 and -floor(a / b) away from the jumps.
void fbl_grad_mod(FblGrad *grad) {
    fbl_grad_give(grad, 0, grad->g);
    if (fbl_grad_wants(grad, 1)) {
        FblNodeId whole =
            fbl_emit_unary(grad, FBL_OP_FLOOR, fbl_emit_binary(grad, FBL_OP_DIV, in(grad, 0), in(grad, 1)));
        FblNodeId product = fbl_emit_binary(grad, FBL_OP_MUL, grad->g, whole);
        fbl_grad_give(grad, 1, fbl_emit_unary(grad, FBL_OP_NEG, product));
    }
}

// The value of a constant, looked for behind broadcasts.
static bool constant_value(const FblGrad *grad, FblNodeId id, double *out_value) {
    const FblNode *node = fbl_graph_node(grad->graph, id);
    while (node->op == FBL_OP_BROADCAST) {
        node = fbl_graph_node(grad->graph, node->inputs[0]);
    }
    *out_value = node->attr.value;
    return node->op == FBL_OP_CONST;
}

// With respect to the base: n a^(n-1), right for negative a because pow takes integral exponents there; a variable
// exponent of 0 gives 0 also at a = 0 (b a^(b-1) would be 0 * inf). With respect to the exponent: a^b log a, and 0
// where a <= 0: there the power is either constant in b (0^b) or not defined around b.
void fbl_grad_pow(FblGrad *grad) {
    FblNodeId a = in(grad, 0);
    FblNodeId b = in(grad, 1);
    FblNodeId zero = fbl_emit_const(grad, 0);
    if (fbl_grad_wants(grad, 0)) {
        double n;
        FblNodeId slope;
        if (constant_value(grad, b, &n)) {
            if (n == 0) {
                slope = zero;
            } else if (n == 1) {
                slope = fbl_emit_const(grad, 1);
            } else if (n == 2) {
                slope = fbl_emit_scale(grad, a, 2);
            } else {
                FblNodeId power = fbl_emit_binary(grad, FBL_OP_POW, a, fbl_emit_const(grad, n - 1));
                slope = fbl_emit_scale(grad, power, n);
            }
        } else {
            FblNodeId lower = fbl_emit_binary(grad, FBL_OP_SUB, b, fbl_emit_const(grad, 1));
            slope = fbl_emit_binary(grad, FBL_OP_MUL, b, fbl_emit_binary(grad, FBL_OP_POW, a, lower));
            slope = fbl_emit_select(grad, fbl_emit_binary(grad, FBL_OP_EQ, b, zero), zero, slope);
        }
        fbl_grad_give(grad, 0, fbl_emit_binary(grad, FBL_OP_MUL, grad->g, slope));
    }
    if (fbl_grad_wants(grad, 1)) {
        FblNodeId positive = fbl_emit_binary(grad, FBL_OP_LT, zero, a);
        FblNodeId safe = fbl_emit_select(grad, positive, a, fbl_emit_const(grad, 1));
        FblNodeId slope = fbl_emit_binary(grad, FBL_OP_MUL, grad->id, fbl_emit_unary(grad, FBL_OP_LOG, safe));
        FblNodeId share = fbl_emit_binary(grad, FBL_OP_MUL, grad->g, slope);
        fbl_grad_give(grad, 1, fbl_emit_select(grad, positive, share, zero));
    }
}

// `less`: the operands in the order in which "first < second" means that operand 0 loses.
static void extremum(FblGrad *grad, FblNodeId low, FblNodeId high, bool zero_wins_when_less) {
    FblNodeId zero = fbl_emit_const(grad, 0);
    FblNodeId less = fbl_emit_binary(grad, FBL_OP_LT, low, high);
    FblNodeId tie = fbl_emit_binary(grad, FBL_OP_EQ, low, high);
    FblNodeId half = fbl_emit_scale(grad, grad->g, 0.5);
    FblNodeId tied_or_none = fbl_emit_select(grad, tie, half, zero);
    FblNodeId tied_or_all = fbl_emit_select(grad, tie, half, grad->g);
    FblNodeId winner_when_less = fbl_emit_select(grad, less, grad->g, tied_or_none);
    FblNodeId loser_when_less = fbl_emit_select(grad, less, zero, tied_or_all);
    fbl_grad_give(grad, 0, zero_wins_when_less ? winner_when_less : loser_when_less);
    fbl_grad_give(grad, 1, zero_wins_when_less ? loser_when_less : winner_when_less);
}

void fbl_grad_min(FblGrad *grad) {
    extremum(grad, in(grad, 0), in(grad, 1), true);
}

void fbl_grad_max(FblGrad *grad) {
    extremum(grad, in(grad, 0), in(grad, 1), false);
}

// The chosen branch alone: the other gets exact zeros, whatever its value.
void fbl_grad_select(FblGrad *grad) {
    FblNodeId zero = fbl_emit_const(grad, 0);
    if (fbl_grad_wants(grad, 1)) {
        fbl_grad_give(grad, 1, fbl_emit_select(grad, in(grad, 0), grad->g, zero));
    }
    if (fbl_grad_wants(grad, 2)) {
        fbl_grad_give(grad, 2, fbl_emit_select(grad, in(grad, 0), zero, grad->g));
    }
}

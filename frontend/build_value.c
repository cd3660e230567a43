#include "frontend/sema.h"

#include <inttypes.h>
#include <math.h>

FblVal fbl_val_int(int64_t value) { return (FblVal){.kind = FBL_VAL_INT, .integer = value}; }
FblVal fbl_val_real(double value) { return (FblVal){.kind = FBL_VAL_REAL, .real = value}; }
FblVal fbl_val_bool(bool value) { return (FblVal){.kind = FBL_VAL_BOOL, .integer = value}; }
FblVal fbl_val_string(const char *value) { return (FblVal){.kind = FBL_VAL_STRING, .string = value}; }

FblVal fbl_val_node(FblNodeId node) {
    return node == FBL_NO_NODE ? FBL_POISON : (FblVal){.kind = FBL_VAL_TENSOR, .node = node};
}

FblVal fbl_val_axis(FblName name, int64_t extent, FblLoc loc) {
    return (FblVal){.kind = FBL_VAL_AXIS, .loc = loc, .axis = {name, extent}};
}

bool fbl_val_is_number(FblVal v) {
    return (v.kind == FBL_VAL_INT && !v.symbolic) || v.kind == FBL_VAL_REAL || v.kind == FBL_VAL_BOOL;
}

double fbl_val_number(FblVal v) { return v.kind == FBL_VAL_REAL ? v.real : (double)v.integer; }

bool fbl_val_is_tensor(FblVal v) { return v.kind == FBL_VAL_TENSOR; }

const FblType *fbl_val_type(const FblBuild *b, FblVal v) { return fbl_graph_type(b->graph, v.node); }

// ------------------------------------------------------------------------------------------------------- text

const char *fbl_build_type_text(FblBuild *b, const FblType *type) {
    const char *text = fbl_dtype_name(type->dtype);
    if (type->index_axis != NULL) {
        text = type->index_axis;
        if (type->index_extent > 0) {
            text = fbl_arena_printf(b->arena, "%s<%" PRId64 ">", text, type->index_extent);
        }
    }
    text = fbl_arena_printf(b->arena, "%s[", text);
    for (int i = 0; i < type->rank; i++) {
        const FblAxis *axis = &type->axes[i];
        const char *comma = i == 0 ? "" : ", ";
        if (axis->extent > 0) {
            text = fbl_arena_printf(b->arena, "%s%s%s=%" PRId64, text, comma, axis->name, axis->extent);
        } else if (axis->extent < 0 && fbl_symbolic_axis(b, axis->name) != axis->extent) {
            text = fbl_arena_printf(b->arena, "%s%s%s=%s", text, comma, axis->name, fbl_symbolic_text(b, axis->extent));
        } else {
            text = fbl_arena_printf(b->arena, "%s%s%s", text, comma, axis->name);
        }
    }
    return fbl_arena_printf(b->arena, "%s]", text);
}

const char *fbl_val_describe(FblBuild *b, FblVal v) {
    switch (v.kind) {
    case FBL_VAL_POISON:
    case FBL_VAL_NONE:
        return "nothing";
    case FBL_VAL_INT:
        if (v.symbolic) {
            size_t index = (size_t)(-v.integer - 1);
            bool axis = index < b->symbol_count && b->symbols[index].axis != NULL;
            return fbl_arena_printf(b->arena, axis ? "the extent of `%s`" : "the number %s",
                                    fbl_symbolic_text(b, v.integer));
        }
        return fbl_arena_printf(b->arena, "%" PRId64, v.integer);
    case FBL_VAL_REAL:
        return fbl_arena_printf(b->arena, "%.9g", v.real);
    case FBL_VAL_BOOL:
        return v.integer ? "true" : "false";
    case FBL_VAL_STRING:
        return fbl_arena_printf(b->arena, "\"%s\"", v.string);
    case FBL_VAL_AXIS:
        return fbl_arena_printf(b->arena, "the axis `%s`", v.axis.name);
    case FBL_VAL_SEQ:
        return fbl_arena_printf(b->arena, "a %s of %zu", v.is_list ? "list" : "tuple", v.seq.count);
    case FBL_VAL_RANGE:
        return fbl_arena_printf(b->arena, "the range %" PRId64 "..%" PRId64, v.range.first, v.range.last);
    case FBL_VAL_TENSOR:
        if (fbl_val_type(b, v)->rank == 0) {
            return fbl_arena_printf(b->arena, "a run-time %s", fbl_dtype_name(fbl_val_type(b, v)->dtype));
        }
        return fbl_build_type_text(b, fbl_val_type(b, v));
    case FBL_VAL_INIT:
        return "an initialiser";
    }
    return "nothing";
}

// --------------------------------------------------------------------------------------------- symbolic numbers

static int64_t add_symbol(FblBuild *b, FblSymbolic symbol) {
    FBL_PUSH(b->arena, b->symbols, b->symbol_count, b->symbol_capacity, symbol);
    return -(int64_t)b->symbol_count;
}

int64_t fbl_symbolic_axis(FblBuild *b, FblName axis) {
    for (size_t i = 0; i < b->symbol_count; i++) {
        if (b->symbols[i].axis == axis) {
            return -(int64_t)i - 1;
        }
    }
    return add_symbol(b, (FblSymbolic){.text = axis, .axis = axis});
}

const char *fbl_symbolic_text(const FblBuild *b, int64_t extent) {
    size_t index = (size_t)(-extent - 1);
    return extent < 0 && index < b->symbol_count ? b->symbols[index].text : "?";
}

FblVal fbl_symbolic_op(FblBuild *b, int op, FblVal x, FblVal y) {
    // Operands are told apart by what they are: a symbol's number is negative, a plain number is kept beside it.
    int64_t keys[2];
    FblVal sides[2] = {x, y};
    for (int i = 0; i < 2; i++) {
        if (sides[i].symbolic || sides[i].kind == FBL_VAL_INT) {
            keys[i] = sides[i].integer;
        } else {
            keys[i] = 0;
        }
    }
    if (!y.symbolic && y.kind == FBL_VAL_INT && x.symbolic &&
        ((y.integer == 1 && (op == FBL_BINARY_MUL || op == FBL_BINARY_DIV || op == FBL_BINARY_IDIV)) ||
         (y.integer == 0 && (op == FBL_BINARY_ADD || op == FBL_BINARY_SUB)))) {
        return x;
    }
    if (!x.symbolic && x.kind == FBL_VAL_INT && y.symbolic &&
        ((x.integer == 1 && op == FBL_BINARY_MUL) || (x.integer == 0 && op == FBL_BINARY_ADD))) {
        return y;
    }
    FblVal result = {.kind = FBL_VAL_INT, .symbolic = true};
    const char *p = x.symbolic ? fbl_symbolic_text(b, x.integer) : fbl_val_describe(b, x);
    const char *q = y.symbolic ? fbl_symbolic_text(b, y.integer) : fbl_val_describe(b, y);
    const char *text = op >= 0 ? fbl_arena_printf(b->arena, "(%s %s %s)", p, fbl_binary_op_text((FblBinaryOp)op), q)
                               : fbl_arena_printf(b->arena, "%s(%s, %s)", op == FBL_SYMBOLIC_MAX ? "max" : "min", p, q);
    bool exact = (x.symbolic || x.kind == FBL_VAL_INT) && (y.symbolic || y.kind == FBL_VAL_INT);
    for (size_t i = 0; exact && i < b->symbol_count; i++) {
        const FblSymbolic *s = &b->symbols[i];
        if (s->axis == NULL && s->op == op && s->a == keys[0] && s->b == keys[1]) {
            result.integer = -(int64_t)i - 1;
            return result;
        }
    }
    result.integer = add_symbol(b, (FblSymbolic){.text = text, .op = exact ? op : -1, .a = keys[0], .b = keys[1]});
    return result;
}

// ------------------------------------------------------------------------------------------------ conversions

static bool wrong(FblBuild *b, FblVal v, FblLoc loc, const char *what, const char *wanted) {
    if (v.kind == FBL_VAL_POISON) {
        return false;
    }
    FblDiag *diag =
        fbl_build_error(b, "E0113", loc, "%s must be %s, found %s", what, wanted, fbl_val_describe(b, v));
    if (v.kind == FBL_VAL_TENSOR) {
        fbl_diag_hint(b->ctx, diag,
                      "it is known only at run time; declare a hyper-parameter `int` or `bool` to fix it at compile time");
    } else if (v.symbolic) {
        fbl_diag_hint(b->ctx, diag, "its value isn't known here; give it with --set AXIS=N");
    }
    return false;
}

bool fbl_val_to_int(FblBuild *b, FblVal v, FblLoc loc, const char *what, int64_t *out) {
    if (v.kind == FBL_VAL_INT && !v.symbolic) {
        *out = v.integer;
        return true;
    }
    if (v.kind == FBL_VAL_REAL && v.real == floor(v.real) && fabs(v.real) < 9e15) {
        *out = (int64_t)v.real;
        return true;
    }
    return wrong(b, v, loc, what, "a whole number");
}

bool fbl_val_to_extent(FblBuild *b, FblVal v, FblLoc loc, const char *what, int64_t *out) {
    if (v.kind == FBL_VAL_INT && v.symbolic) {
        *out = v.integer;
        return true;
    }
    if (!fbl_val_to_int(b, v, loc, what, out)) {
        return false;
    }
    if (*out < 1 || *out > INT32_MAX) {
        fbl_build_error(b, "E0114", loc, "%s must be a whole number of at least 1, found %" PRId64, what, *out);
        return false;
    }
    return true;
}

bool fbl_val_to_bool(FblBuild *b, FblVal v, FblLoc loc, const char *what, bool *out) {
    if (v.kind == FBL_VAL_BOOL) {
        *out = v.integer != 0;
        return true;
    }
    return wrong(b, v, loc, what, "true or false at compile time");
}

bool fbl_val_to_real(FblBuild *b, FblVal v, FblLoc loc, const char *what, double *out) {
    if (fbl_val_is_number(v)) {
        *out = fbl_val_number(v);
        return true;
    }
    return wrong(b, v, loc, what, "a number known at compile time");
}

// ------------------------------------------------------------------------------------------------------ nodes

FblNodeId fbl_build_add(FblBuild *b, FblOp op, const FblNodeId *inputs, int32_t count, const FblAttr *attr,
                        const FblType *given, FblLoc loc) {
    for (int32_t i = 0; i < count; i++) {
        if (inputs[i] == FBL_NO_NODE) {
            return FBL_NO_NODE;
        }
    }
    FblNodeId id = fbl_graph_add(b->graph, op, inputs, count, attr, given, fbl_build_loc(b, loc));
    if (id == FBL_NO_NODE) {
        fbl_build_note_path(b, fbl_diag_latest(b->ctx), loc);
        return id;
    }
    b->graph->nodes[id].path = b->frame != NULL && b->frame->call_path[0] != '\0' ? b->frame->call_path : NULL;
    return id;
}

FblNodeId fbl_build_unary(FblBuild *b, FblOp op, FblNodeId x, FblLoc loc) {
    return fbl_build_add(b, op, &x, 1, NULL, NULL, loc);
}

FblNodeId fbl_build_binary(FblBuild *b, FblOp op, FblNodeId x, FblNodeId y, FblLoc loc) {
    return fbl_build_add(b, op, (FblNodeId[]){x, y}, 2, NULL, NULL, loc);
}

FblNodeId fbl_build_const(FblBuild *b, FblDtype dtype, double value, FblLoc loc) {
    FblAttr attr = {.value = value};
    FblType type = fbl_type_scalar(dtype);
    return fbl_build_add(b, FBL_OP_CONST, NULL, 0, &attr, &type, loc);
}

FblNodeId fbl_build_cast(FblBuild *b, FblNodeId x, FblDtype dtype, FblLoc loc) {
    if (x == FBL_NO_NODE) {
        return x;
    }
    const FblType *type = fbl_graph_type(b->graph, x);
    if (type->dtype == dtype && type->index_axis == NULL) {
        return x;
    }
    FblType to = fbl_type_scalar(dtype);
    return fbl_build_add(b, FBL_OP_CAST, &x, 1, NULL, &to, loc);
}

FblNodeId fbl_build_input(FblBuild *b, FblName symbol, const FblType *type, FblLoc loc) {
    for (size_t i = 0; i < b->graph->count; i++) {
        const FblNode *node = &b->graph->nodes[i];
        if (node->op == FBL_OP_INPUT && node->attr.names[0] == symbol) {
            if (!fbl_type_equal(&node->type, type)) {
                FblDiag *diag = fbl_build_error(b, "E0115", loc, "the input `%s` is wanted as %s here, but as %s before",
                                                symbol, fbl_build_type_text(b, type),
                                                fbl_build_type_text(b, &node->type));
                fbl_diag_note(b->ctx, diag, node->loc, "here");
                return FBL_NO_NODE;
            }
            return (FblNodeId)i;
        }
    }
    FblAttr attr = {.name_count = 1};
    attr.names[0] = symbol;
    return fbl_build_add(b, FBL_OP_INPUT, NULL, 0, &attr, type, loc);
}

FblNodeId fbl_val_to_node(FblBuild *b, FblVal v, FblDtype dtype, FblLoc loc) {
    if (v.kind == FBL_VAL_POISON) {
        return FBL_NO_NODE;
    }
    if (v.kind == FBL_VAL_TENSOR) {
        return v.node;
    }
    if (v.kind == FBL_VAL_INT && v.symbolic) { // stands for the number that a build with known extents has here
        FblType type = fbl_type_scalar(FBL_F32);
        const char *symbol = fbl_arena_printf(b->arena, "extent.%s", fbl_symbolic_text(b, v.integer));
        return fbl_build_input(b, fbl_intern(b->ctx, symbol), &type, loc);
    }
    if (!fbl_val_is_number(v)) {
        FblDiag *diag = fbl_build_error(b, "E0116", loc, "a tensor or a number is needed here, found %s",
                                        fbl_val_describe(b, v));
        if (v.kind == FBL_VAL_AXIS) {
            fbl_diag_hint(b->ctx, diag, "extent(x, %s) is its length in x", v.axis.name);
        }
        return FBL_NO_NODE;
    }
    double number = fbl_val_number(v);
    if (v.kind == FBL_VAL_REAL || (dtype == FBL_I32 && fabs(number) > INT32_MAX)) {
        dtype = FBL_F32;
    } else if (v.kind == FBL_VAL_INT && dtype == FBL_BOOL) {
        dtype = FBL_I32;
    }
    return fbl_build_const(b, dtype, number, loc);
}

FblNodeId fbl_val_to_f32(FblBuild *b, FblVal v, FblLoc loc) {
    return fbl_build_cast(b, fbl_val_to_node(b, v, FBL_F32, loc), FBL_F32, loc);
}

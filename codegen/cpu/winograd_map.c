// The linear maps of Winograd tiles and the register-blocked products of transformed tiles.
#include <string.h>

#include "codegen/cpu/winograd_internal.h"

// The points of the tiles of 4 are 0, A, -A, B, -B and infinity. With M(x) = x (x^2 - A^2) (x^2 - B^2), row p of B' holds the
// coefficients of M(x) / (x - p) (of M itself for infinity), row p of G is (1, p, p^2) / M'(p), column p of A' is (1, p, p^2, p^3).
// A and B trade the sizes of these numbers against each other: these two round five times less than the usual 1 and 2
// (docs/numerics.md), and their powers are exact.
#define A 0.75
#define B 1.5
#define A2 (A * A)
#define B2 (B * B)
#define NORM_A (2 * A2 * (A2 - B2)) // M'(A) = M'(-A)
#define NORM_B (2 * B2 * (B2 - A2))

// Results that share terms are computed together: at most two at a time, so that two rows of a tile, and not all of it,
// are in registers. -1 ends a group early.
typedef struct Group {
    int outputs[2];
} Group;

typedef struct Shape {
    int inputs, outputs, group_count;
    Group groups[3];
} Shape;

static const Shape SHAPES[5][2] = {
    {{4, 4, 2, {{{0, 3}}, {{1, 2}}}}, {6, 6, 3, {{{0, 5}}, {{1, 2}}, {{3, 4}}}}},  // INPUT
    {{3, 4, 2, {{{0, 3}}, {{1, 2}}}}, {3, 6, 3, {{{0, 5}}, {{1, 2}}, {{3, 4}}}}},  // WEIGHT
    {{4, 2, 1, {{{0, 1}}}}, {6, 4, 2, {{{0, 2}}, {{1, 3}}}}},                      // OUTPUT
    {{2, 4, 2, {{{0, 3}}, {{1, 2}}}}, {4, 6, 3, {{{0, 5}}, {{1, 2}}, {{3, 4}}}}},  // GRADIENT
    {{4, 3, 2, {{{0, 2}}, {{1, -1}}}}, {6, 3, 2, {{{0, 2}}, {{1, -1}}}}},          // SUMS
};

// Vectors of one column (or row) to be mapped; loaded when first used, so that what a group does not need isn't loaded.
typedef struct Line {
    FblEmit *e;
    LLVMValueRef base; // NULL: all values are there
    int64_t step;
    LLVMValueRef values[FBL_WINOGRAD_SIDE_MAX];
} Line;

static LLVMValueRef at(Line *line, int i) {
    if (!line->values[i]) {
        line->values[i] = fbl_emit_load_floats(line->e, fbl_emit_floats_at(line->e, line->base, i * line->step), line->e->width);
    }
    return line->values[i];
}

static LLVMValueRef plus(Line *l, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFAdd(l->e->b, a, b, ""); }

static LLVMValueRef minus(Line *l, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFSub(l->e->b, a, b, ""); }

// scale * a + b
static LLVMValueRef scaled_plus(Line *l, double scale, LLVMValueRef a, LLVMValueRef b) {
    return fbl_emit_fma(l->e, fbl_emit_f32(l->e, scale, l->e->width), a, b);
}

static LLVMValueRef scaled(Line *l, double scale, LLVMValueRef a) {
    return LLVMBuildFMul(l->e->b, fbl_emit_f32(l->e, scale, l->e->width), a, "");
}

static void map_small(Line *l, FblWinogradMap map, int group, LLVMValueRef *out) {
    switch (map) {
    case FBL_WINOGRAD_INPUT:
        if (group == 0) {
            out[0] = minus(l, at(l, 0), at(l, 2));
            out[3] = minus(l, at(l, 1), at(l, 3));
        } else {
            out[1] = plus(l, at(l, 1), at(l, 2));
            out[2] = minus(l, at(l, 2), at(l, 1));
        }
        break;
    case FBL_WINOGRAD_WEIGHT:
        if (group == 0) {
            out[0] = at(l, 0);
            out[3] = at(l, 2);
        } else {
            LLVMValueRef even = scaled(l, 0.5, plus(l, at(l, 0), at(l, 2)));
            out[1] = scaled_plus(l, 0.5, at(l, 1), even);
            out[2] = scaled_plus(l, -0.5, at(l, 1), even);
        }
        break;
    case FBL_WINOGRAD_OUTPUT:
        out[0] = plus(l, at(l, 0), plus(l, at(l, 1), at(l, 2)));
        out[1] = minus(l, minus(l, at(l, 1), at(l, 2)), at(l, 3));
        break;
    case FBL_WINOGRAD_GRADIENT:
        if (group == 0) {
            out[0] = at(l, 0);
            out[3] = scaled(l, -1, at(l, 1));
        } else {
            out[1] = plus(l, at(l, 0), at(l, 1));
            out[2] = minus(l, at(l, 0), at(l, 1));
        }
        break;
    case FBL_WINOGRAD_SUMS:
        if (group == 0) {
            LLVMValueRef both = plus(l, at(l, 1), at(l, 2));
            out[0] = scaled_plus(l, 0.5, both, at(l, 0));
            out[2] = scaled_plus(l, 0.5, both, at(l, 3));
        } else {
            out[1] = scaled(l, 0.5, minus(l, at(l, 1), at(l, 2)));
        }
        break;
    }
}

static void map_input(Line *l, int group, LLVMValueRef *out) {
    if (group == 0) {
        out[0] = scaled_plus(l, A2 * B2, at(l, 0), scaled_plus(l, -(A2 + B2), at(l, 2), at(l, 4)));
        out[5] = scaled_plus(l, A2 * B2, at(l, 1), scaled_plus(l, -(A2 + B2), at(l, 3), at(l, 5)));
        return;
    }
    double own = group == 1 ? A : B, other = group == 1 ? B2 : A2;
    LLVMValueRef even = scaled_plus(l, -other, at(l, 2), at(l, 4)), odd = scaled_plus(l, -other, at(l, 1), at(l, 3));
    out[2 * group - 1] = scaled_plus(l, own, odd, even);
    out[2 * group] = scaled_plus(l, -own, odd, even);
}

static void map_weight(Line *l, int group, LLVMValueRef *out) {
    if (group == 0) {
        out[0] = scaled(l, 1 / (A2 * B2), at(l, 0));
        out[5] = at(l, 2);
        return;
    }
    double own = group == 1 ? A : B, norm = group == 1 ? NORM_A : NORM_B;
    LLVMValueRef even = scaled_plus(l, own * own / norm, at(l, 2), scaled(l, 1 / norm, at(l, 0)));
    out[2 * group - 1] = scaled_plus(l, own / norm, at(l, 1), even);
    out[2 * group] = scaled_plus(l, -own / norm, at(l, 1), even);
}

static void map_output(Line *l, int group, LLVMValueRef *out) {
    if (group == 0) {
        LLVMValueRef near = plus(l, at(l, 1), at(l, 2)), far = plus(l, at(l, 3), at(l, 4));
        out[0] = plus(l, at(l, 0), plus(l, near, far));
        out[2] = scaled_plus(l, B2, far, scaled(l, A2, near));
    } else {
        LLVMValueRef near = minus(l, at(l, 1), at(l, 2)), far = minus(l, at(l, 3), at(l, 4));
        out[1] = scaled_plus(l, B, far, scaled(l, A, near));
        out[3] = scaled_plus(l, A2 * A, near, scaled_plus(l, B2 * B, far, at(l, 5)));
    }
}

static void map_gradient(Line *l, int group, LLVMValueRef *out) {
    if (group == 0) {
        out[0] = at(l, 0);
        out[5] = at(l, 3);
        return;
    }
    double own = group == 1 ? A : B;
    LLVMValueRef even = scaled_plus(l, own * own, at(l, 2), at(l, 0)), odd = scaled_plus(l, own * own, at(l, 3), at(l, 1));
    out[2 * group - 1] = scaled_plus(l, own, odd, even);
    out[2 * group] = scaled_plus(l, -own, odd, even);
}

static void map_sums(Line *l, int group, LLVMValueRef *out) {
    if (group == 0) {
        LLVMValueRef near = plus(l, at(l, 1), at(l, 2)), far = plus(l, at(l, 3), at(l, 4));
        out[0] = scaled_plus(l, 1 / (A2 * B2), at(l, 0), scaled_plus(l, 1 / NORM_B, far, scaled(l, 1 / NORM_A, near)));
        out[2] = scaled_plus(l, A2 / NORM_A, near, scaled_plus(l, B2 / NORM_B, far, at(l, 5)));
    } else {
        LLVMValueRef near = minus(l, at(l, 1), at(l, 2)), far = minus(l, at(l, 3), at(l, 4));
        out[1] = scaled_plus(l, A / NORM_A, near, scaled(l, B / NORM_B, far));
    }
}

// The results of one group into out[].
static void map_line(Line *l, FblWinogradMap map, int m, int group, LLVMValueRef *out) {
    if (m == 2) {
        map_small(l, map, group, out);
        return;
    }
    switch (map) {
    case FBL_WINOGRAD_INPUT: map_input(l, group, out); break;
    case FBL_WINOGRAD_WEIGHT: map_weight(l, group, out); break;
    case FBL_WINOGRAD_OUTPUT: map_output(l, group, out); break;
    case FBL_WINOGRAD_GRADIENT: map_gradient(l, group, out); break;
    case FBL_WINOGRAD_SUMS: map_sums(l, group, out); break;
    }
}

void fbl_winograd_transform(FblEmit *e, FblWinogradMap map, int m, const FblWinogradPlace *from, const FblWinogradPlace *to, bool add) {
    const Shape *shape = &SHAPES[map][m == 4];
    for (int g = 0; g < shape->group_count; g++) {
        // Down the columns for the rows of this group, then along these rows. The loads are repeated for each group: that
        // costs less than keeping a whole tile, which no register file holds.
        LLVMValueRef rows[FBL_WINOGRAD_SIDE_MAX][FBL_WINOGRAD_SIDE_MAX];
        for (int x = 0; x < shape->inputs; x++) {
            Line column = {.e = e, .base = fbl_emit_floats_at(e, from->base, x * from->column_step), .step = from->row_step};
            LLVMValueRef out[FBL_WINOGRAD_SIDE_MAX];
            map_line(&column, map, m, g, out);
            for (int i = 0; i < 2 && shape->groups[g].outputs[i] >= 0; i++) {
                rows[shape->groups[g].outputs[i]][x] = out[shape->groups[g].outputs[i]];
            }
        }
        for (int i = 0; i < 2 && shape->groups[g].outputs[i] >= 0; i++) {
            int y = shape->groups[g].outputs[i];
            Line line = {.e = e};
            LLVMValueRef out[FBL_WINOGRAD_SIDE_MAX];
            memcpy(line.values, rows[y], sizeof line.values);
            for (int k = 0; k < shape->group_count; k++) {
                map_line(&line, map, m, k, out);
            }
            for (int x = 0; x < shape->outputs; x++) {
                LLVMValueRef address = fbl_emit_floats_at(e, to->base, y * to->row_step + x * to->column_step);
                fbl_emit_store_floats(e, add ? LLVMBuildFAdd(e->b, fbl_emit_load_floats(e, address, e->width), out[x], "") : out[x], address);
            }
        }
    }
}

// One register tile of `p` rows from `row`.
static void emit_tile(FblEmit *e, const FblWinogradProduct *v, int64_t p, LLVMValueRef row) {
    LLVMValueRef values[FBL_CARRY_MAX];
    int count = (int)(p * v->vecs);
    for (int i = 0; i < count; i++) {
        values[i] = fbl_emit_f32(e, 0, e->width);
    }
    values[count] = fbl_emit_floats(e, v->a, fbl_emit_scaled(e, row, v->a_row));
    values[count + 1] = v->b;
    FblCarryLoop s;
    fbl_carry_begin(e, &s, fbl_emit_i64(e, 0), v->steps, v->unroll, values, count + 2);
    for (int64_t u = 0; u < v->unroll; u++) {
        LLVMValueRef vectors[8];
        for (int64_t j = 0; j < v->vecs; j++) {
            vectors[j] = fbl_emit_load_floats(e, fbl_emit_floats_at(e, values[count + 1], u * v->b_step + j * e->width), e->width);
        }
        for (int64_t i = 0; i < p; i++) {
            LLVMValueRef x = fbl_emit_splat(e, fbl_emit_load_floats(e, fbl_emit_floats_at(e, values[count], u * v->a_step + i * v->a_row), 1), e->width);
            for (int64_t j = 0; j < v->vecs; j++) {
                values[i * v->vecs + j] = fbl_emit_fma(e, x, vectors[j], values[i * v->vecs + j]);
            }
        }
    }
    values[count] = fbl_emit_floats_at(e, values[count], v->unroll * v->a_step);
    values[count + 1] = fbl_emit_floats_at(e, values[count + 1], v->unroll * v->b_step);
    fbl_carry_end(e, &s, values);
    LLVMValueRef c = fbl_emit_floats(e, v->c, fbl_emit_scaled(e, row, v->c_row));
    for (int64_t i = 0; i < p; i++) {
        for (int64_t j = 0; j < v->vecs; j++) {
            fbl_emit_store_floats(e, values[i * v->vecs + j], fbl_emit_floats_at(e, c, i * v->c_row + j * e->width));
        }
    }
}

void fbl_winograd_product(FblEmit *e, const FblTiling *tiling, const FblWinogradProduct *product) {
    int64_t from = 0;
    for (int part = 0; part < 2; part++) {
        int64_t p = tiling->p - part, to = from + p * (part ? tiling->small : tiling->big);
        if (from == to) {
            continue;
        }
        FblCarryLoop row;
        fbl_carry_begin(e, &row, fbl_emit_i64(e, from), fbl_emit_i64(e, to), p, NULL, 0);
        emit_tile(e, product, p, row.index);
        fbl_carry_end(e, &row, NULL);
        from = to;
    }
}

void fbl_winograd_tiles(FblEmit *e, const FblWinogradTiles *t, LLVMValueRef packed, LLVMValueRef to) {
    int64_t side = t->m + 2;
    FblCarryLoop y, x, c;
    fbl_carry_begin(e, &y, fbl_emit_i64(e, 0), fbl_emit_i64(e, t->tiles_h), 1, NULL, 0);
    fbl_carry_begin(e, &x, fbl_emit_i64(e, 0), fbl_emit_i64(e, t->tiles_w), 1, NULL, 0);
    LLVMValueRef at_y = fbl_emit_scaled(e, y.index, t->distance * t->row_floats), at_x = fbl_emit_scaled(e, x.index, t->distance * t->channels);
    LLVMValueRef source = fbl_emit_floats(e, packed, fbl_emit_sum(e, at_y, at_x));
    LLVMValueRef tile = fbl_emit_sum(e, fbl_emit_scaled(e, y.index, t->tiles_w), x.index);
    LLVMValueRef target = fbl_emit_floats(e, to, fbl_emit_scaled(e, tile, t->tile_step));
    fbl_carry_begin(e, &c, fbl_emit_i64(e, 0), fbl_emit_i64(e, t->channels), e->width, NULL, 0);
    FblWinogradPlace from = {fbl_emit_floats(e, source, c.index), t->row_floats, t->channels};
    FblWinogradPlace place = {fbl_emit_floats(e, target, c.index), side * t->position_step, t->position_step};
    fbl_winograd_transform(e, t->map, t->m, &from, &place, false);
    fbl_carry_end(e, &c, NULL);
    fbl_carry_end(e, &x, NULL);
    fbl_carry_end(e, &y, NULL);
}

// An odd number of cache lines.
int64_t fbl_winograd_spread(int64_t floats) { return ((floats + 15) / 16 | 1) * 16; }

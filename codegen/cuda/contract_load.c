// Operands of contractions on their way into shared memory.
#include <string.h>

#include "codegen/cuda/contract_internal.h"

#define USUAL_TILE 128

static void open_body(FblCudaProduct *p, const FblCudaOperand *o, FblCudaBody *body, int lanes) {
    fbl_cuda_body_init(body, p->e, lanes, lanes > 1 ? o->body->loops[o->lane_at] : -1);
    for (int i = 0; i < o->body->loop_count; i++) {
        body->loops[o->body->loops[i]] = fbl_arena_printf(p->e->arena, "i%d", i);
    }
}

// Whether runs of `run` neighbours along the operand's lane loop are single loads of aligned elements of `dtype`. Leaves no
// text.
static bool is_run(FblCudaProduct *p, const FblCudaOperand *o, FblDtype dtype, int run) {
    const FblKInstr *value = &p->e->kernel->instrs[o->body->value];
    if (value->kind != FBL_K_LOAD || value->guard >= 0) {
        return false;
    }
    size_t length = p->e->text.length;
    FblCudaBody body;
    const char *address;
    open_body(p, o, &body, FBL_CUDA_LANES);
    body.lane_align = run;
    for (int32_t d = 0; d < p->e->kernel->buffers[value->a].rank; d++) {
        fbl_cuda_body_need(&body, value->index[d]);
    }
    fbl_cuda_body_emit(&body, 1);
    bool plain = fbl_cuda_body_run(&body, o->body->value, dtype, &address);
    p->e->text.length = length;
    return plain;
}

static bool is_half_run(FblCudaProduct *p, const FblCudaOperand *o, int run) {
    return p->halves && p->e->options->arch >= 80 && is_run(p, o, p->e->options->precision == FBL_CUDA_BF16 ? FBL_BF16 : FBL_F16, run);
}

static bool is_plain(FblCudaProduct *p, const FblCudaOperand *o) { return is_run(p, o, FBL_F32, FBL_CUDA_LANES) || is_half_run(p, o, FBL_CUDA_LANES); }

// Channels (or other neighbours) that quads run along: their number, which decides whether quads are whole.
static int64_t run_of(const FblCudaProduct *p, const FblCudaOperand *o) {
    switch (p->c->kind) {
    case FBL_CONV_FORWARD: return p->group_c;
    case FBL_CONV_DATA_GRAD: return p->group_o;
    case FBL_CONV_WEIGHT_GRAD: return o->name == 'a' ? p->group_o : p->group_c;
    default: return o->rows ? (o->name == 'a' ? p->m : p->n) : p->k;
    }
}

int fbl_cuda_operand_pack_lanes(const FblCudaProduct *p, const FblCudaOperand *o) {
    return p->halves && run_of(p, o) % FBL_CUDA_MAX_LANES == 0 ? FBL_CUDA_MAX_LANES : FBL_CUDA_LANES;
}

// Whether evaluating an operand on the way, in each tile along the product's other side, costs more than packing it once. On tensor
// cores an operand that is computed takes about twelve instructions an element beside products that are done in as little time;
// packing an element moves 6 bytes (halves; else 12). By the rates of an H100 the one outweighs the other from about this many tiles on.
static bool is_used_often(const FblCudaProduct *p, const FblCudaOperand *o) {
    int64_t tiles = fbl_cuda_ceil(o->name == 'a' ? p->n : p->m, USUAL_TILE);
    // Of x a stride leaves out pixels.
    if (o->name == (p->c->kind == FBL_CONV_FORWARD ? 'a' : p->c->kind == FBL_CONV_WEIGHT_GRAD ? 'b' : 0)) {
        tiles /= p->c->stride_h * p->c->stride_w;
    }
    return p->tensor && tiles >= (p->halves ? 6 : 12);
}

void fbl_cuda_operand_prepare(FblCudaProduct *p, FblCudaOperand *o) {
    switch (p->c->kind) {
    case FBL_CONV_FORWARD: o->rows = false; o->lane_at = 1; break;
    case FBL_CONV_DATA_GRAD: o->rows = false; o->lane_at = o->name == 'a' ? 1 : 0; break;
    case FBL_CONV_WEIGHT_GRAD: o->rows = true; o->lane_at = 1; break;
    default: // along whichever of its two loops memory runs
        o->rows = o->name == 'b';
        o->lane_at = 2;
        if (!is_plain(p, o)) {
            FblCudaOperand other = *o;
            other.rows = !o->rows;
            other.lane_at = 1;
            if (is_plain(p, &other)) {
                *o = other;
            }
        }
        break;
    }
    o->quad = run_of(p, o) % FBL_CUDA_LANES == 0;
    bool plain = o->quad && is_plain(p, o);
    // What is used for many taps or in many tiles is worth evaluating once; weights, because their channels are not neighbours in memory.
    bool weights = o->name == 'b' && (p->c->kind == FBL_CONV_FORWARD || p->c->kind == FBL_CONV_DATA_GRAD);
    bool taps = p->c->kh * p->c->kw > 1 && (p->c->kind == FBL_CONV_WEIGHT_GRAD) == (o->name == 'b');
    bool half = plain && is_half_run(p, o, FBL_CUDA_LANES), factor = plain && (half || !p->halves); // else rounded on the way
    o->packed = p->c->kind != FBL_MATMUL && !factor && ((!plain && (weights || taps)) || is_used_often(p, o));
    o->direct = half || (p->halves && o->packed); // what is packed is packed as factors
    bool eight = half ? run_of(p, o) % 8 == 0 && is_half_run(p, o, 8) : o->direct && fbl_cuda_pack_padded(p, o) % 8 == 0;
    o->run = eight ? 8 : FBL_CUDA_LANES;
    o->async = o->direct || (!p->halves && p->e->options->arch >= 80 && (plain || o->packed));
}

static const char *index_parameters = "int i0, int i1, int i2, int i3";

void fbl_cuda_operand_functions(FblCudaProduct *p, FblCudaOperand *o) {
    FblCudaEmit *e = p->e;
    FblCudaBody body;
    const char *parameters = fbl_cuda_parameters(e, false);
    const FblKInstr *value = &e->kernel->instrs[o->body->value];
    bool eight = o->packed && o->pack_lanes == FBL_CUDA_MAX_LANES;
    open_body(p, o, &body, !o->quad ? 1 : eight ? FBL_CUDA_MAX_LANES : FBL_CUDA_LANES);
    if (o->async && !o->packed) {
        const char *address;
        fbl_cuda_line(e, 0, "FBL_DEVICE const float *%s_%c(%s, %s) {", e->name, o->name, parameters, index_parameters);
        for (int32_t d = 0; d < e->kernel->buffers[value->a].rank; d++) {
            fbl_cuda_body_need(&body, value->index[d]);
        }
        fbl_cuda_body_emit(&body, 1);
        fbl_cuda_body_run(&body, o->body->value, e->kernel->buffers[value->a].dtype, &address);
        fbl_cuda_line(e, 1, o->direct ? "return (const float *)(b%d + (%s));" : "return b%d + (%s);", value->a, address);
        fbl_cuda_line(e, 0, "}");
        return;
    }
    fbl_cuda_line(e, 0, "FBL_DEVICE %s %s_%c%s(%s, %s) {", !o->quad ? "float" : eight ? "FblPair<float4>" : "float4", e->name, o->name, o->quad ? "" : "1", parameters, index_parameters);
    fbl_cuda_body_need(&body, o->body->value);
    fbl_cuda_body_emit(&body, 1);
    if (o->quad) {
        const char *lane_value[FBL_CUDA_MAX_LANES], *half[2] = {"", ""};
        for (int lane = 0; lane < body.lanes; lane++) {
            lane_value[lane] = fbl_cuda_body_lane(&body, o->body->value, lane, FBL_F32);
        }
        for (int i = 0; i < body.lanes; i += FBL_CUDA_LANES) {
            half[i / FBL_CUDA_LANES] = fbl_arena_printf(e->arena, "make_float4(%s, %s, %s, %s)", lane_value[i], lane_value[i + 1], lane_value[i + 2], lane_value[i + 3]);
        }
        fbl_cuda_line(e, 1, eight ? "return {%s, %s};" : "return %s;", half[0], half[1]);
        fbl_cuda_line(e, 0, "}");
        return;
    }
    fbl_cuda_line(e, 1, "return %s;", fbl_cuda_body_lane(&body, o->body->value, 0, FBL_F32));
    fbl_cuda_line(e, 0, "}");
    fbl_cuda_line(e, 0, "FBL_DEVICE float4 %s_%c(%s, %s, int left) {", e->name, o->name, parameters, index_parameters);
    const char *lanes[FBL_CUDA_LANES];
    for (int lane = 0; lane < FBL_CUDA_LANES; lane++) {
        const char *index = "";
        for (int i = 0; i < 4; i++) {
            index = fbl_arena_printf(e->arena, i == o->lane_at && lane > 0 ? "%s, i%d + %d" : "%s, i%d", index, i, lane);
        }
        lanes[lane] = fbl_arena_printf(e->arena, "%s_%c1(%s%s)", e->name, o->name, fbl_cuda_arguments(e), index);
        if (lane > 0) {
            lanes[lane] = fbl_arena_printf(e->arena, "left > %d ? %s : 0.0f", lane, lanes[lane]);
        }
    }
    fbl_cuda_line(e, 1, "return make_float4(%s, %s, %s, %s);", lanes[0], lanes[1], lanes[2], lanes[3]);
    fbl_cuda_line(e, 0, "}");
}

// What a thread keeps of a unit of work until it goes to shared memory: halves are rounded as they come, which takes half the registers.
static const char *next_type(const FblCudaProduct *p, const FblCudaOperand *o) { return !p->halves ? "float4" : o->rows ? "uint4" : "uint2"; }

// Coordinates that a thread's rows keep during the whole sum.
void fbl_cuda_operand_setup(FblCudaProduct *p, const FblCudaOperand *o) {
    FblCudaEmit *e = p->e;
    const FblContraction *c = p->c;
    long long passes = o->passes, quads = p->tile.bk / o->run;
    if (!o->async) {
        fbl_cuda_line(e, 1, "%s %c_next[%lld];", next_type(p, o), o->name, passes);
    }
    if (o->name == 'a' && (c->kind == FBL_CONV_FORWARD || c->kind == FBL_CONV_DATA_GRAD)) {
        fbl_cuda_line(e, 1, "int a_n[%lld], a_h[%lld], a_w[%lld];", passes, passes, passes);
        fbl_cuda_line(e, 1, "#pragma unroll");
        fbl_cuda_line(e, 1, "for (int i = 0; i < %lld; i++) {", passes);
        fbl_cuda_line(e, 2, "const int m = m0 + tid / %lld + i * %lld;", quads, (long long)p->tile.threads / quads);
        fbl_cuda_pixel_setup(p, 2);
        fbl_cuda_line(e, 1, "}");
    }
}

// `base + z * extent`, where there are several groups.
static const char *in_group(FblCudaProduct *p, const char *text, int64_t extent) {
    return p->z == 1 ? text : fbl_arena_printf(p->e->arena, "z * %lld + %s", (long long)extent, text);
}

// What a unit of work loads: C expressions of the body's indices, of whether it is inside, and of the lanes that are.
typedef struct Place {
    const char *index[4], *inside, *left;
} Place;

static Place place_conv(FblCudaProduct *p, const FblCudaOperand *o, int indent) {
    FblCudaEmit *e = p->e;
    Place place = {{"0", "0", "kh", "kw"}, "", ""};
    bool forward = p->c->kind == FBL_CONV_FORWARD;
    if (o->name == 'b') {
        long long rows = forward ? p->group_o : p->group_c;
        place.index[0] = forward ? in_group(p, "row", p->group_o) : in_group(p, "c", p->group_o);
        place.index[1] = forward ? "c" : "row";
        place.index[2] = fbl_cuda_weight_tap(p, 0);
        place.index[3] = fbl_cuda_weight_tap(p, 1);
        place.inside = fbl_arena_printf(e->arena, "k < %s && row < %lld", fbl_cuda_part_sum(p), rows);
        place.left = fbl_arena_printf(e->arena, "%lld - c", (long long)(forward ? p->group_c : p->group_o));
        return place;
    }
    place.index[0] = "a_n[i]";
    place.index[1] = in_group(p, "c", forward ? p->group_c : p->group_o);
    place.index[2] = "h";
    place.index[3] = "w";
    place.left = fbl_arena_printf(e->arena, "%lld - c", (long long)(forward ? p->group_c : p->group_o));
    place.inside = fbl_cuda_pixel_at_tap(p, indent);
    return place;
}

static Place place_weight_grad(FblCudaProduct *p, const FblCudaOperand *o, int indent) {
    FblCudaEmit *e = p->e;
    const FblContraction *c = p->c;
    long long oh = c->oh, ow = c->ow;
    Place place = {{"n", "", "oh", "ow"}, "", ""};
    fbl_cuda_line(e, indent, "const int n = k / %lld, oh = k / %lld %% %lld, ow = k %% %lld;", oh * ow, ow, oh, ow);
    if (o->name == 'a') {
        place.index[1] = in_group(p, "row", p->group_o);
        place.inside = fbl_arena_printf(e->arena, "k < %lld && row < %lld", (long long)p->k, (long long)p->m);
        place.left = fbl_arena_printf(e->arena, "%lld - row", (long long)p->group_o);
        return place;
    }
    fbl_cuda_line(e, indent, "const int h = oh * %lld - %lld + kh * %lld, w = ow * %lld - %lld + kw * %lld;", (long long)c->stride_h, (long long)c->pad_h,
                  (long long)c->dilation_h, (long long)c->stride_w, (long long)c->pad_w, (long long)c->dilation_w);
    place.index[1] = in_group(p, "c", p->group_c);
    place.index[2] = "h";
    place.index[3] = "w";
    place.inside = fbl_arena_printf(e->arena, "k < %lld && row < %lld && (unsigned)h < %lldu && (unsigned)w < %lldu", (long long)p->k, (long long)p->n, (long long)c->h,
                                    (long long)c->w);
    place.left = fbl_arena_printf(e->arena, "%lld - c", (long long)p->group_c);
    return place;
}

static Place place_matmul(FblCudaProduct *p, const FblCudaOperand *o) {
    FblCudaEmit *e = p->e;
    long long rows = o->name == 'a' ? p->m : p->n;
    Place place = {{"z", "row", "k", "0"}, "", ""};
    if (o->name == 'b') {
        place.index[1] = "k";
        place.index[2] = "row";
    }
    place.inside = fbl_arena_printf(e->arena, "k < %lld && row < %lld", (long long)p->k, rows);
    place.left = o->rows ? fbl_arena_printf(e->arena, "%lld - row", rows) : fbl_arena_printf(e->arena, "%lld - k", (long long)p->k);
    return place;
}

// One quad at sum index k: into registers, or on its way to `to` in shared memory.
static void fetch_quad(FblCudaProduct *p, const FblCudaOperand *o, int indent, const char *next, const char *to) {
    FblCudaEmit *e = p->e;
    const FblContraction *c = p->c;
    Place place = c->kind == FBL_MATMUL ? place_matmul(p, o) : c->kind == FBL_CONV_WEIGHT_GRAD ? place_weight_grad(p, o, indent) : place_conv(p, o, indent);
    const char *call = fbl_arena_printf(e->arena, "%s_%c(%s, %s, %s, %s, %s%s%s)", e->name, o->name, fbl_cuda_arguments(e), place.index[0], place.index[1], place.index[2],
                                        place.index[3], o->quad ? "" : ", ", o->quad ? "" : place.left);
    fbl_cuda_line(e, indent, "const bool inside = %s;", place.inside);
    const char *base = "workspace";
    if (o->packed) {
        call = fbl_arena_printf(e->arena, o->async ? "%s" : "*(const float4 *)(%s)", fbl_cuda_packed_address(p, o, place.index[0]));
    } else if (o->async) {
        base = fbl_arena_printf(e->arena, o->direct ? "(const float *)b%d" : "b%d", e->kernel->instrs[o->body->value].a);
    }
    if (o->async) {
        fbl_cuda_line(e, indent, "fbl_copy_async%s(%s, inside ? %s : %s, inside);", o->direct && o->run == 4 ? "8" : "", to, call, base);
    } else {
        fbl_cuda_line(e, indent, "%s = inside ? %s : make_float4(0.0f, 0.0f, 0.0f, 0.0f);", next, call);
    }
}

static void begin_units(FblCudaProduct *p, const FblCudaOperand *o, const char **out_end) {
    FblCudaEmit *e = p->e;
    fbl_cuda_line(e, 2, "#pragma unroll");
    fbl_cuda_line(e, 2, "for (int i = 0; i < %lld; i++) {", (long long)o->passes);
    *out_end = "";
    if (o->units % p->tile.threads != 0) {
        fbl_cuda_line(e, 3, "if (tid + i * %lld >= %lld) {", (long long)p->tile.threads, (long long)o->units);
        fbl_cuda_line(e, 4, "continue;");
        fbl_cuda_line(e, 3, "}");
    }
}

// The first word of a quad in its tile: along the sum at (row, quad), along rows at (word, quad of rows).
static const char *word_of(FblCudaProduct *p, const FblCudaOperand *o) {
    long long words = fbl_cuda_words(p), threads = p->tile.threads, quads = p->tile.bk / o->run, rows = o->tile;
    if (o->rows && o->direct) {
        long long runs = rows / o->run;
        return fbl_arena_printf(p->e->arena, "(tid / %lld + i * %lld) * %lld + tid %% %lld * %d", runs, threads / runs, (rows + 8) / 2, runs, o->run / 2);
    }
    if (o->rows) {
        return fbl_arena_printf(p->e->arena, "(tid / %lld + i * %lld) * %lld + tid %% %lld * 4", rows / 4, threads / (rows / 4), rows + 8, rows / 4);
    }
    return fbl_arena_printf(p->e->arena, "(tid / %lld + i * %lld) * %lld + tid %% %lld * %d", quads, threads / quads, words + 4, quads, p->halves ? o->run / 2 : 4);
}

void fbl_cuda_operand_fetch(FblCudaProduct *p, const FblCudaOperand *o) {
    FblCudaEmit *e = p->e;
    long long threads = p->tile.threads, quads = p->tile.bk / o->run;
    const char *end;
    const char *to = fbl_arena_printf(e->arena, "%c_tile + stage * %lld + %s", o->name, (long long)o->words, word_of(p, o));
    bool conv = p->c->kind != FBL_MATMUL, weight_grad = p->c->kind == FBL_CONV_WEIGHT_GRAD;
    fbl_cuda_line(e, 2, "{");
    if (o->rows) {
        fbl_cuda_line(e, 2, "const int row = %s + tid %% %lld * %d;", o->name == 'a' ? "m0" : "n0", (long long)o->tile / o->run, o->run);
        if (weight_grad && o->name == 'b') {
            fbl_cuda_tap_of(p, 2, "row", "c");
        }
        begin_units(p, o, &end);
        if (p->halves && !o->direct) {
            fbl_cuda_line(e, 3, "const int pair = step * %lld + (tid / %lld + i * %lld) * 2;", (long long)p->tile.bk, (long long)o->tile / 4, threads / (o->tile / 4));
            const char *pack = fbl_cuda_pack_function(p);
            fbl_cuda_line(e, 3, "float4 both[2];");
            fbl_cuda_line(e, 3, "#pragma unroll");
            fbl_cuda_line(e, 3, "for (int half = 0; half < 2; half++) {");
            fbl_cuda_line(e, 4, "const int k = pair + half;");
            fetch_quad(p, o, 4, "both[half]", to);
            fbl_cuda_line(e, 3, "}");
            fbl_cuda_line(e, 3, "%c_next[i] = make_uint4(%s(both[0].x, both[1].x), %s(both[0].y, both[1].y), %s(both[0].z, both[1].z), %s(both[0].w, both[1].w));", o->name, pack, pack,
                          pack, pack);
        } else {
            fbl_cuda_line(e, 3, "const int k = step * %lld + tid / %lld + i * %lld;", (long long)p->tile.bk, (long long)o->tile / o->run, threads / (o->tile / o->run));
            fetch_quad(p, o, 3, fbl_arena_printf(e->arena, "%c_next[i]", o->name), to);
        }
    } else {
        fbl_cuda_line(e, 2, "const int k = step * %lld + tid %% %lld * %d;", (long long)p->tile.bk, quads, o->run);
        if (conv) {
            fbl_cuda_tap_of(p, 2, "k", "c");
        }
        begin_units(p, o, &end);
        if (o->name == 'b' || !conv) {
            fbl_cuda_line(e, 3, "const int row = %s + tid / %lld + i * %lld;", o->name == 'a' ? "m0" : "n0", quads, threads / quads);
        }
        bool rounds = p->halves && !o->async;
        fetch_quad(p, o, 3, rounds ? "const float4 v" : fbl_arena_printf(e->arena, "%c_next[i]", o->name), to);
        if (rounds) {
            const char *pack = fbl_cuda_pack_function(p);
            fbl_cuda_line(e, 3, "%c_next[i] = make_uint2(%s(v.x, v.y), %s(v.z, v.w));", o->name, pack, pack);
        }
    }
    fbl_cuda_line(e, 2, "}");
    fbl_cuda_line(e, 2, "}");
}

void fbl_cuda_operand_put(FblCudaProduct *p, const FblCudaOperand *o) {
    FblCudaEmit *e = p->e;
    const char *end;
    if (o->async) {
        return;
    }
    begin_units(p, o, &end);
    fbl_cuda_line(e, 3, "unsigned *to = %c_tile + stage * %lld + %s;", o->name, (long long)o->words, word_of(p, o));
    fbl_cuda_line(e, 3, "*(%s *)to = %c_next[i];", next_type(p, o), o->name);
    fbl_cuda_line(e, 2, "}");
}

// Pixels and taps of forward convolutions and data gradients as C expressions, and the parts of strided data gradients.
//
// Along an axis of stride s, pixel i of dx takes tap k from row (i + pad - k * dilation) / s of y where that is whole.
// The taps that pixel i has so depend on i modulo s alone: a part is the pixels of one residue, and within it
// neighbouring pixels read neighbouring rows of y, with every `hop`-th tap, hop = s / gcd(s, dilation). Part j begins
// with tap j % hop; from j = hop on parts have no taps. A tap belongs to exactly one part, so the parts' tiles are
// never more work than tiles of the whole would be.
#include "base/integer.h"
#include "codegen/cuda/contract_internal.h"

#define MAX_STRIDE 64          // of an axis that is cut: a grid has a share of blocks for each part
#define MAX_DILATION (1 << 20) // keeps first taps inside an int
#define OUTSIDE "-1073741824"  // a coordinate that stays outside whatever tap is added

static int64_t modulo(int64_t a, int64_t b) {
    return (a % b + b) % b;
}

static FblCudaAxis axis_of(int64_t extent, int64_t y_extent, int64_t taps, int64_t stride, int64_t pad,
                           int64_t dilation) {
    FblCudaAxis axis = {.extent = extent,
                        .y_extent = y_extent,
                        .taps = taps,
                        .stride = stride,
                        .pad = pad,
                        .dilation = dilation,
                        .parts = 1,
                        .hop = 1,
                        .move = dilation};
    if (stride > 1 && stride <= MAX_STRIDE && dilation <= MAX_DILATION) {
        axis.parts = stride;
        axis.hop = stride / fbl_gcd(stride, dilation);
        axis.move = dilation / fbl_gcd(stride, dilation);
    }
    return axis;
}

// The first pixel of a part, which is not in dx when the part has none; its numbers of pixels and taps.
static int64_t from_of(const FblCudaAxis *a, int64_t part) {
    return a->parts == 1 ? 0 : modulo(part % a->hop * a->dilation + part / a->hop - a->pad, a->stride);
}
static int64_t count_of(const FblCudaAxis *a, int64_t part) {
    return fbl_cuda_ceil(a->extent - from_of(a, part), a->parts);
}
static int64_t taps_of(const FblCudaAxis *a, int64_t part) {
    return part < a->hop && part < a->taps ? fbl_cuda_ceil(a->taps - part, a->hop) : 0;
}

static int64_t most(const FblCudaAxis *a, int64_t (*number)(const FblCudaAxis *, int64_t)) {
    int64_t value = 0;
    for (int64_t part = 0; part < a->parts; part++) {
        value = fbl_cuda_max(value, number(a, part));
    }
    return value;
}

void fbl_cuda_part_plan(FblCudaProduct *p) {
    const FblContraction *c = p->c;
    p->parts = 1;
    p->row_k = p->k;
    if (c->kind != FBL_CONV_DATA_GRAD) {
        return;
    }
    p->axis[0] = axis_of(c->h, c->oh, c->kh, c->stride_h, c->pad_h, c->dilation_h);
    p->axis[1] = axis_of(c->w, c->ow, c->kw, c->stride_w, c->pad_w, c->dilation_w);
    p->parts = p->axis[0].parts * p->axis[1].parts;
    p->m = c->n * most(&p->axis[0], count_of) * most(&p->axis[1], count_of);
    p->k = most(&p->axis[0], taps_of) * most(&p->axis[1], taps_of) * p->padded;
    p->row_k = c->kh * c->kw * p->padded;
}

void fbl_cuda_part_reach(const FblCudaProduct *p, int d, int64_t *out_least, int64_t *out_most) {
    const FblCudaAxis *a = &p->axis[d];
    bool any = false;
    for (int64_t part = 0; part < a->parts; part++) {
        int64_t taps = taps_of(a, part);
        if (taps > 0) {
            int64_t base = a->parts == 1 ? a->pad : (from_of(a, part) + a->pad - part * a->dilation) / a->stride;
            *out_least = any ? fbl_cuda_min(*out_least, base - (taps - 1) * a->move) : base - (taps - 1) * a->move;
            *out_most = any ? fbl_cuda_max(*out_most, base) : base;
            any = true;
        }
    }
}

FblCudaWork fbl_cuda_part_work(const FblCudaProduct *p, const FblCudaTile *t) {
    if (p->parts == 1) {
        int64_t blocks = p->z * fbl_cuda_ceil(p->m, t->bm) * fbl_cuda_ceil(p->n, t->bn) * t->splits;
        return (FblCudaWork){blocks, blocks * t->per_split};
    }
    FblCudaWork work = {0, 0};
    for (int64_t part = 0; part < p->parts; part++) {
        const FblCudaAxis *h = &p->axis[0], *w = &p->axis[1];
        int64_t at_h = part / w->parts, at_w = part % w->parts;
        int64_t tiles =
            p->z * fbl_cuda_ceil(p->n, t->bn) * fbl_cuda_ceil(p->c->n * count_of(h, at_h) * count_of(w, at_w), t->bm);
        int64_t steps = fbl_cuda_ceil(taps_of(h, at_h) * taps_of(w, at_w) * p->padded, t->bk);
        work.blocks += tiles * (t->splits > 1 ? fbl_cuda_ceil(steps, t->per_split) : 1);
        work.steps += tiles * steps;
    }
    return work;
}

// "stem_h" or "stem_w", or the number where it is the same for all parts.
static const char *name_of(const FblCudaProduct *p, int d, const char *stem) {
    return fbl_arena_printf(p->e->arena, "%s_%c", stem, "hw"[d]);
}
static const char *number(const FblCudaProduct *p, int64_t value) {
    return fbl_arena_printf(p->e->arena, "%lld", (long long)value);
}

static const char *count_text(const FblCudaProduct *p, int d) {
    const FblCudaAxis *a = &p->axis[d];
    return a->extent % a->parts == 0 ? number(p, a->extent / a->parts) : name_of(p, d, "count");
}
static bool even_taps(const FblCudaAxis *a) {
    return a->parts == 1 || (a->hop == a->stride && a->taps % a->hop == 0);
}
static const char *taps_text(const FblCudaProduct *p, int d) {
    const FblCudaAxis *a = &p->axis[d];
    return even_taps(a) ? number(p, a->taps / a->hop) : name_of(p, d, "taps");
}
const char *fbl_cuda_part_base(const FblCudaProduct *p, int d) {
    return p->axis[d].parts == 1 ? number(p, p->axis[d].pad) : name_of(p, d, "base");
}

const char *fbl_cuda_part_rows(const FblCudaProduct *p) {
    return p->parts == 1 ? number(p, p->m) : "rows";
}
const char *fbl_cuda_part_sum(const FblCudaProduct *p) {
    return p->parts == 1 ? number(p, p->k) : "depth";
}
const char *fbl_cuda_part_steps(const FblCudaProduct *p) {
    long long bk = p->tile.bk;
    return p->parts == 1 ? number(p, fbl_cuda_ceil(p->k, bk))
                         : fbl_arena_printf(p->e->arena, "(depth + %lld) / %lld", bk - 1, bk);
}

void fbl_cuda_part_enter(FblCudaProduct *p, int indent, const char *part) {
    FblCudaEmit *e = p->e;
    if (p->parts == 1) {
        return;
    }
    for (int d = 0; d < 2; d++) {
        const FblCudaAxis *a = &p->axis[d];
        char x = "hw"[d];
        if (a->parts == 1) {
            continue;
        }
        long long s = a->stride, hop = a->hop, others = p->axis[1].parts, turn = modulo(-a->pad, s);
        const char *at =
            p->parts == a->parts ? part : fbl_arena_printf(e->arena, d == 0 ? "%s / %lld" : "%s %% %lld", part, others);
        fbl_cuda_line(
            e, indent,
            "const int part_%c = %s; // pixels from_%c, from_%c + %lld, ...; taps first_%c, first_%c + %lld, ...", x,
            at, x, x, s, x, x, hop);
        if (hop == s) {
            fbl_cuda_line(e, indent, "const int first_%c = part_%c, from_%c = (first_%c * %lld + %lld) %% %lld;", x, x,
                          x, x, (long long)(a->dilation % s), turn, s);
        } else {
            fbl_cuda_line(
                e, indent,
                "const int first_%c = part_%c %% %lld, from_%c = (first_%c * %lld + part_%c / %lld + %lld) %% %lld;", x,
                x, hop, x, x, (long long)(a->dilation % s), x, hop, turn, s);
        }
        fbl_cuda_line(e, indent, "const int base_%c = (from_%c + %lld - first_%c * %lld) / %lld;", x, x,
                      (long long)a->pad, x, (long long)a->dilation, s);
        if (!even_taps(a)) {
            fbl_cuda_line(e, indent, "const int taps_%c = part_%c < %lld ? (%lld - part_%c) / %lld : 0;", x, x,
                          (long long)fbl_cuda_min(hop, a->taps), (long long)(a->taps + hop - 1), x, hop);
        }
        if (a->extent % s != 0) {
            fbl_cuda_line(e, indent, "const int count_%c = (%lld - from_%c) / %lld;", x, (long long)(a->extent + s - 1),
                          x, s);
        }
    }
    fbl_cuda_line(e, indent, "const int rows = %lld * %s * %s, depth = %s * %s * %lld;", (long long)p->c->n,
                  count_text(p, 0), count_text(p, 1), taps_text(p, 0), taps_text(p, 1), (long long)p->padded);
}

void fbl_cuda_block_place(FblCudaProduct *p) {
    FblCudaEmit *e = p->e;
    const FblCudaTile *t = &p->tile;
    long long m_tiles = fbl_cuda_ceil(p->m, t->bm), n_tiles = fbl_cuda_ceil(p->n, t->bn), slice = n_tiles * p->parts;
    fbl_cuda_line(
        e, 1, "const int n0 = blockIdx.x %% %lld * %lld, m0 = blockIdx.x / %lld %% %lld * %lld, z = blockIdx.x / %lld;",
        n_tiles, (long long)t->bn, slice, m_tiles, (long long)t->bm, slice * m_tiles);
    if (p->parts > 1) {
        fbl_cuda_line(e, 1, "const int part = blockIdx.x / %lld %% %lld;", n_tiles, (long long)p->parts);
        fbl_cuda_part_enter(p, 1, "part");
    }
    if (t->splits > 1) {
        fbl_cuda_line(e, 1, "const int first = blockIdx.y * %lld, last = fbl_imin(first + %lld, %s);",
                      (long long)t->per_split, (long long)t->per_split, fbl_cuda_part_steps(p));
    } else {
        fbl_cuda_line(e, 1, "const int first = 0, last = %s;", fbl_cuda_part_steps(p));
    }
    if (p->parts > 1) {
        fbl_cuda_line(e, 1, t->splits > 1 ? "if (m0 >= rows || first >= last) {" : "if (m0 >= rows) {");
        fbl_cuda_line(e, 2, "return;");
        fbl_cuda_line(e, 1, "}");
    }
}

// Of axis d of a data gradient: the pixel's place in its part, and the pixel.
static const char *in_part(const FblCudaProduct *p, int d, const char *m) {
    const char *count = count_text(p, 1);
    return d == 0 ? fbl_arena_printf(p->e->arena, "%s / %s %% %s", m, count, count_text(p, 0))
                  : fbl_arena_printf(p->e->arena, "%s %% %s", m, count);
}
static const char *image_of(const FblCudaProduct *p) {
    const FblCudaAxis *h = &p->axis[0], *w = &p->axis[1];
    bool known = h->extent % h->parts == 0 && w->extent % w->parts == 0;
    return known ? number(p, h->extent / h->parts * (w->extent / w->parts))
                 : fbl_arena_printf(p->e->arena, "(%s * %s)", count_text(p, 0), count_text(p, 1));
}

const char *fbl_cuda_pixel_of_row(FblCudaProduct *p, const char *channel) {
    FblArena *arena = p->e->arena;
    if (p->c->kind == FBL_CONV_FORWARD) {
        long long oh = p->c->oh, ow = p->c->ow;
        return fbl_arena_printf(arena, "m / %lld, %s, m / %lld %% %lld, m %% %lld", oh * ow, channel, ow, oh, ow);
    }
    const char *at[2];
    for (int d = 0; d < 2; d++) {
        at[d] = in_part(p, d, "m");
        at[d] = p->axis[d].parts == 1
                    ? at[d]
                    : fbl_arena_printf(arena, "%s * %lld + from_%c", at[d], (long long)p->axis[d].stride, "hw"[d]);
    }
    return fbl_arena_printf(arena, "m / %s, %s, %s, %s", image_of(p), channel, at[0], at[1]);
}

void fbl_cuda_pixel_setup(FblCudaProduct *p, int indent) {
    FblCudaEmit *e = p->e;
    const FblContraction *c = p->c;
    if (c->kind == FBL_CONV_FORWARD) {
        long long h = c->oh, w = c->ow;
        fbl_cuda_line(e, indent, "a_n[i] = m / %lld;", h * w);
        fbl_cuda_line(e, indent, "a_h[i] = m < %lld ? m / %lld %% %lld * %lld - %lld : " OUTSIDE ";", (long long)p->m,
                      w, h, (long long)c->stride_h, (long long)c->pad_h);
        fbl_cuda_line(e, indent, "a_w[i] = m %% %lld * %lld - %lld;", w, (long long)c->stride_w, (long long)c->pad_w);
        return;
    }
    fbl_cuda_line(e, indent, "a_n[i] = m / %s;", image_of(p));
    fbl_cuda_line(e, indent, "a_h[i] = m < %s ? %s + %s : " OUTSIDE ";", fbl_cuda_part_rows(p), in_part(p, 0, "m"),
                  fbl_cuda_part_base(p, 0));
    fbl_cuda_line(e, indent, "a_w[i] = %s + %s;", in_part(p, 1, "m"), fbl_cuda_part_base(p, 1));
}

void fbl_cuda_tap_of(FblCudaProduct *p, int indent, const char *index, const char *channel) {
    FblCudaEmit *e = p->e;
    long long padded = p->padded, kw = p->c->kw;
    fbl_cuda_line(e, indent, "const int tap = %s / %lld, %s = %s %% %lld;", index, padded, channel, index, padded);
    const FblCudaAxis *w = &p->axis[1];
    if (p->c->kind != FBL_CONV_DATA_GRAD || w->parts == 1 || even_taps(w)) {
        kw = p->c->kind == FBL_CONV_DATA_GRAD ? w->taps / w->hop : kw;
        fbl_cuda_line(e, indent, "const int kh = tap / %lld, kw = tap %% %lld;", kw, kw);
        return;
    }
    long long few = w->taps / w->hop; // taps_w is this or one more, and 0 where nothing is loaded
    if (few == 0) {
        fbl_cuda_line(e, indent, "const int kh = tap, kw = 0;");
    } else {
        fbl_cuda_line(e, indent, "const int kh = taps_w == %lld ? tap / %lld : tap / %lld, kw = tap - kh * taps_w;",
                      few, few, few + 1);
    }
}

const char *fbl_cuda_weight_tap(const FblCudaProduct *p, int d) {
    const char *tap = d == 0 ? "kh" : "kw";
    const FblCudaAxis *a = &p->axis[d];
    bool cut = p->c->kind == FBL_CONV_DATA_GRAD && a->parts > 1;
    return !cut ? tap : fbl_arena_printf(p->e->arena, "first_%c + %s * %lld", "hw"[d], tap, (long long)a -> hop);
}

const char *fbl_cuda_weight_at(const FblCudaProduct *p) {
    if (p->parts == 1) {
        return "k";
    }
    return fbl_arena_printf(p->e->arena, "((%s) * %lld + %s) * %lld + c", fbl_cuda_weight_tap(p, 0),
                            (long long)p->c->kw, fbl_cuda_weight_tap(p, 1), (long long)p->padded);
}

const char *fbl_cuda_pixel_at_tap(FblCudaProduct *p, int indent) {
    FblCudaEmit *e = p->e;
    const FblContraction *c = p->c;
    if (c->kind == FBL_CONV_FORWARD) {
        fbl_cuda_line(e, indent, "const int h = a_h[i] + kh * %lld, w = a_w[i] + kw * %lld;", (long long)c->dilation_h,
                      (long long)c->dilation_w);
        return fbl_arena_printf(e->arena, "k < %lld && (unsigned)h < %lldu && (unsigned)w < %lldu", (long long)p->k,
                                (long long)c->h, (long long)c->w);
    }
    const char *inside = fbl_arena_printf(e->arena, "k < %s", fbl_cuda_part_sum(p));
    for (int d = 0; d < 2; d++) {
        const FblCudaAxis *a = &p->axis[d];
        char x = "hw"[d];
        long long move = a->move, s = a->stride, extent = a->y_extent;
        if (a->parts == s) {
            fbl_cuda_line(e, indent, "const int %c = a_%c[i] - k%c * %lld;", x, x, x, move);
            inside = fbl_arena_printf(e->arena, "%s && (unsigned)%c < %lldu", inside, x, extent);
        } else { // an axis that is not cut
            fbl_cuda_line(e, indent, "const int at_%c = a_%c[i] - k%c * %lld, %c = at_%c / %lld;", x, x, x, move, x, x,
                          s);
            inside = fbl_arena_printf(e->arena, "%s && at_%c >= 0 && %c < %lld && at_%c %% %lld == 0", inside, x, x,
                                      extent, x, s);
        }
    }
    return inside;
}

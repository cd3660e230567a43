// Factors of a product by wgmma that the copy engine brings: their tensor maps, and the copies of a step.
#include "codegen/cuda/contract_wgmma.h"

// The walk over the pixels of an image: position i of an axis reads lower + i * step + offset, the offset being a
// tap's: from 0 to reach.
typedef struct Walk {
    int64_t lower, upper, step, positions, reach;
} Walk;

// Position i of a data gradient's axis is pixel i of its part, and reads i + base - tap * move: with the same number of
// pixels in all parts they share a walk that begins where the least of them does.
static Walk backward_walk(const FblCudaProduct *p, int d) {
    const FblCudaAxis *a = &p->axis[d];
    int64_t least, most;
    fbl_cuda_part_reach(p, d, &least, &most);
    return (Walk){.lower = least,
                  .upper = least + a->extent / a->parts - a->y_extent,
                  .step = 1,
                  .positions = a->extent / a->parts,
                  .reach = most - least};
}

static void walks(const FblCudaProduct *p, Walk *h, Walk *w) {
    const FblContraction *c = p->c;
    if (c->kind == FBL_CONV_DATA_GRAD) {
        *h = backward_walk(p, 0);
        *w = backward_walk(p, 1);
        return;
    }
    *h = (Walk){.lower = -c->pad_h, .step = c->stride_h, .positions = c->oh, .reach = (c->kh - 1) * c->dilation_h};
    *w = (Walk){.lower = -c->pad_w, .step = c->stride_w, .positions = c->ow, .reach = (c->kw - 1) * c->dilation_w};
    h->upper = h->lower + (c->oh - 1) * c->stride_h - (c->h - 1);
    w->upper = w->lower + (c->ow - 1) * c->stride_w - (c->w - 1);
}

static bool fits(const Walk *walk) {
    return walk->lower >= -128 && walk->lower <= 127 && walk->upper >= -128 && walk->upper <= 127 && walk->step <= 8 &&
           walk->reach <= 255;
}

// Whether pixels are read tap by tap; else the factor is boxes of a matrix.
static bool is_walked(const FblCudaWide *wide, const FblCudaFactor *f) {
    return f->form == FBL_CUDA_IMAGE && !(f->o->name == 'a' && wide->p->c->kind == FBL_CONV_WEIGHT_GRAD);
}

void fbl_cuda_wide_plan_map(FblCudaWide *wide, FblCudaFactor *f) {
    const FblCudaProduct *p = wide->p;
    f->span = 128;
    // A box of weights must not reach into the next tap, which may be of another part.
    f->engine = wide->engine && !(f->form == FBL_CUDA_WEIGHTS && p->parts > 1 && f->padded % (128 / wide->size));
    if (!f->engine || !is_walked(wide, f)) {
        return;
    }
    Walk h, w;
    walks(p, &h, &w);
    while (f->span >= 32 && f->padded % (f->span / wide->size) != 0) {
        f->span /= 2;
    }
    bool even = true; // parts of one size
    for (int d = 0; d < 2 && p->c->kind == FBL_CONV_DATA_GRAD; d++) {
        even = even && p->axis[d].parts == p->axis[d].stride && p->axis[d].extent % p->axis[d].parts == 0;
    }
    f->engine = f->span >= 32 && fits(&h) && fits(&w) && even;
    f->span = f->engine ? f->span : 128;
}

FblTensorMap fbl_cuda_wide_map(const FblCudaWide *wide, const FblCudaFactor *f) {
    const FblCudaProduct *p = wide->p;
    int64_t size = wide->size, row = f->span / size; // factors in a row of shared memory
    FblTensorMap map = {.kind = FBL_TENSOR_MAP_TILED,
                        .format = size == 4                                   ? FBL_TENSOR_MAP_F32
                                  : p->e->options->precision == FBL_CUDA_BF16 ? FBL_TENSOR_MAP_BF16
                                                                              : FBL_TENSOR_MAP_F16,
                        .buffer = f->buffer,
                        .rank = 3,
                        .offset = f->buffer >= 0 ? 0 : f->o->packed_at * 4,
                        .swizzle = (int32_t)f->span};
    map.strides[0] = size;
    map.box[0] = (int32_t)row;
    if (is_walked(wide, f)) {
        Walk h, w;
        walks(p, &h, &w);
        map.kind = FBL_TENSOR_MAP_PIXELS;
        map.rank = 4;
        map.box[0] = 0;
        map.channels = (int32_t)row;
        map.pixels = (int32_t)(f->turned ? p->tile.bk : f->tile);
        const int64_t extents[4] = {p->z * f->padded, f->w, f->h, p->c->n};
        for (int d = 0; d < 4; d++) {
            map.extents[d] = extents[d];
            map.strides[d] = d ? map.strides[d - 1] * extents[d - 1] : size;
        }
        map.lower[0] = (int32_t)w.lower, map.lower[1] = (int32_t)h.lower;
        map.upper[0] = (int32_t)w.upper, map.upper[1] = (int32_t)h.upper;
        map.steps[0] = (int32_t)w.step, map.steps[1] = (int32_t)h.step;
        return map;
    }
    // channel, group, pixel; or along the sum, row, group; or row, index of the sum, batch
    bool image = f->form == FBL_CUDA_IMAGE;
    int64_t inner = f->form == FBL_CUDA_WEIGHTS ? p->row_k : f->padded, lines = f->turned ? p->k : f->rows;
    map.extents[0] = inner;
    map.extents[1] = image ? p->z : lines;
    map.extents[2] = image ? lines : p->z;
    map.strides[1] = inner * size;
    map.strides[2] = map.strides[1] * map.extents[1];
    map.box[1] = image ? 1 : (int32_t)(f->turned ? p->tile.bk : f->tile);
    map.box[2] = image ? (int32_t)p->tile.bk : 1;
    return map;
}

// The pixel where position `index` of the walk starts, as variables X_n, X_h, X_w.
static void start_pixel(FblCudaWide *wide, int indent, char name, const char *index) {
    Walk h, w;
    walks(wide->p, &h, &w);
    fbl_cuda_line(
        wide->p->e, indent,
        "const int %c_n = %s / %lld, %c_h = %s / %lld %% %lld * %lld + (%lld), %c_w = %s %% %lld * %lld + (%lld);",
        name, index, (long long)(h.positions * w.positions), name, index, (long long)w.positions,
        (long long)h.positions, (long long)h.step, (long long)h.lower, name, index, (long long)w.positions,
        (long long)w.step, (long long)w.lower);
}

void fbl_cuda_wide_map_setup(FblCudaWide *wide, const FblCudaFactor *f) {
    if (is_walked(wide, f) && !f->turned) {
        start_pixel(wide, 4, f->o->name, "m0");
    }
}

// How far tap `tap` (kh or kw) of axis d is from the walk's own pixel.
static const char *offset_of(const FblCudaProduct *p, int d, const Walk *walk, const char *tap) {
    if (p->c->kind == FBL_CONV_DATA_GRAD) {
        return fbl_arena_printf(p->e->arena, "%s - %s * %lld - (%lld)", fbl_cuda_part_base(p, d), tap,
                                (long long)p->axis[d].move, (long long)walk->lower);
    }
    return fbl_arena_printf(p->e->arena, "%s * %lld", tap, (long long)(d == 0 ? p->c->dilation_h : p->c->dilation_w));
}

// A copy of span bytes a pixel at tap and channel `at`, which is below `limit`; past that, of zeros: an image that does
// not exist.
static void copy_pixels(FblCudaWide *wide, const FblCudaFactor *f, const char *at, const char *limit, const char *to) {
    FblCudaProduct *p = wide->p;
    char name = f->o->name;
    Walk h, w;
    walks(p, &h, &w);
    fbl_cuda_line(p->e, 5, "const int at = %s, k = at < %s ? at : 0;", at, limit);
    fbl_cuda_tap_of(p, 5, "k", "c");
    fbl_cuda_line(p->e, 5,
                  "fbl_map_pixels(%s, &%c_map, full + stage * 8, z * %lld + c, %c_w, %c_h, at < %s ? %c_n : %lld, %s, "
                  "%s);",
                  to, name, (long long)f->padded, name, name, limit, name, (long long)p->c->n,
                  offset_of(p, 1, &w, "kw"), offset_of(p, 0, &h, "kh"));
}

void fbl_cuda_wide_map_fetch(FblCudaWide *wide, const FblCudaFactor *f) {
    FblCudaProduct *p = wide->p;
    FblCudaEmit *e = p->e;
    char name = f->o->name;
    const char *first = name == 'a' ? "m0" : "n0";
    long long bk = p->tile.bk, row = f->span / wide->size, block = f->turned ? bk * f->span : f->tile * f->span,
              blocks = f->bytes / block;
    const char *to =
        fbl_arena_printf(e->arena, blocks > 1 ? "%c_tile + stage * %lld + j * %lld" : "%c_tile + stage * %lld", name,
                         (long long)f->bytes, block);
    fbl_cuda_line(e, 4, "#pragma unroll");
    fbl_cuda_line(e, 4, "for (int j = 0; j < %lld; j++) {", blocks);
    if (is_walked(wide, f)) {
        if (f->turned) {
            start_pixel(wide, 5, name, fbl_arena_printf(e->arena, "step * %lld", bk));
        }
        copy_pixels(wide, f,
                    fbl_arena_printf(e->arena, f->turned ? "n0 + j * %lld" : "step * %lld + j * %lld",
                                     f->turned ? row : bk, row),
                    f->turned ? fbl_arena_printf(e->arena, "%lld", (long long)p->n) : fbl_cuda_part_sum(p), to);
    } else if (f->form == FBL_CUDA_IMAGE) {
        fbl_cuda_line(e, 5, "fbl_map_tile(%s, &%c_map, full + stage * 8, %s + j * %lld, z, step * %lld);", to, name,
                      first, row, bk);
    } else if (f->turned) {
        fbl_cuda_line(e, 5, "fbl_map_tile(%s, &%c_map, full + stage * 8, %s + j * %lld, step * %lld, z);", to, name,
                      first, row, bk);
    } else if (f->form == FBL_CUDA_WEIGHTS && p->parts > 1) {
        fbl_cuda_tap_of(p, 5, fbl_arena_printf(e->arena, "(step * %lld)", bk), "c");
        fbl_cuda_line(e, 5, "fbl_map_tile(%s, &%c_map, full + stage * 8, %s, %s, z);", to, name, fbl_cuda_weight_at(p),
                      first);
    } else {
        fbl_cuda_line(e, 5, "fbl_map_tile(%s, &%c_map, full + stage * 8, step * %lld, %s, z);", to, name, bk, first);
    }
    fbl_cuda_line(e, 4, "}");
}

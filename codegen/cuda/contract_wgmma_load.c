// Factors of a product by wgmma: packed into the workspace in phase 0, and from there into shared memory by cp.async.
#include "codegen/cuda/contract_wgmma.h"

#define PACK_THREADS 256
#define OUTSIDE "-1073741824" // a coordinate that stays outside whatever tap is added

static bool is_convolution(const FblCudaWide *wide) {
    return wide->p->c->kind != FBL_MATMUL;
}

// Rows that memory runs along, but the product wants the sum to (tf32): packing turns them.
static bool turns(const FblCudaFactor *f) {
    return f->o->rows && !f->turned;
}

// The buffer of the kernel that is the factor as packing would make it: an image [n][h][w][channels] in the format of
// the product whose groups need no padding, read without condition. -1: none is.
static int32_t plain_buffer(const FblCudaWide *wide, const FblCudaFactor *f) {
    static const int order[4] = {0, 2, 3, 1}; // of the body's loops n, c, h, w in memory
    const FblKernel *kernel = wide->p->e->kernel;
    const FblKInstr *value = &kernel->instrs[f->o->body->value];
    FblDtype format = wide->p->e->options->precision == FBL_CUDA_BF16 ? FBL_BF16 : FBL_F16;
    if (f->form != FBL_CUDA_IMAGE || value->kind != FBL_K_LOAD || value->guard >= 0 || f->padded != f->channels ||
        wide->size != 2) {
        return -1;
    }
    const FblKernelBuffer *buffer = &kernel->buffers[value->a];
    const int64_t extents[4] = {wide->p->c->n, f->h, f->w, wide->p->z * f->channels};
    bool plain = buffer->dtype == format && buffer->rank == 4 && f->o->body->loop_count == 4;
    for (int d = 0; d < 4 && plain; d++) {
        const FblKInstr *index = &kernel->instrs[value->index[d]];
        plain =
            buffer->extents[d] == extents[d] && index->kind == FBL_K_LOOP && index->a == f->o->body->loops[order[d]];
    }
    return plain ? value->a : -1;
}

void fbl_cuda_wide_plan(FblCudaWide *wide) {
    FblCudaProduct *p = wide->p;
    const FblContraction *c = p->c;
    int64_t taps = c->kh * c->kw;
    for (int i = 0; i < 2; i++) {
        FblCudaFactor *f = &wide->factor[i];
        f->o = &p->operand[i];
        f->turned = f->o->rows && wide->size == 2;
        f->rows = i == 0 ? p->m : p->n;
        bool y = c->kind == FBL_CONV_DATA_GRAD ||
                 (c->kind == FBL_CONV_WEIGHT_GRAD && i == 0); // the image y, or its channels
        switch (c->kind) {
        case FBL_CONV_FORWARD:
        case FBL_CONV_DATA_GRAD:
            f->form = i == 0 ? FBL_CUDA_IMAGE : FBL_CUDA_WEIGHTS;
            break;
        case FBL_CONV_WEIGHT_GRAD:
            f->form = FBL_CUDA_IMAGE;
            break;
        default:
            f->form = FBL_CUDA_MATRIX;
            break;
        }
        if (f->form == FBL_CUDA_MATRIX) {
            f->channels = f->turned ? f->rows : p->k;
            f->lines = f->turned ? p->k : f->rows;
        } else {
            f->channels = y ? p->group_o : p->group_c;
            f->h = y ? c->oh : c->h;
            f->w = y ? c->ow : c->w;
        }
        f->padded = fbl_cuda_ceil(f->channels, wide->piece) * wide->piece;
        f->elements = f->form == FBL_CUDA_IMAGE
                          ? c->n * f->h * f->w * p->z * f->padded
                          : p->z * f->padded * (f->form == FBL_CUDA_WEIGHTS ? f->rows * taps : f->lines);
        f->buffer = plain_buffer(wide, f);
    }
    if (c->kind == FBL_CONV_WEIGHT_GRAD) {
        p->padded = wide->factor[1].padded;
        p->n = p->columns = wide->factor[1].rows = taps * p->padded;
    } else if (is_convolution(wide)) {
        p->padded = wide->factor[0].padded;
        p->k = taps * p->padded;
        fbl_cuda_part_plan(p);
    }
    fbl_cuda_wide_plan_map(wide, &wide->factor[0]);
    fbl_cuda_wide_plan_map(wide, &wide->factor[1]);
}

// The neighbours `v`, in the format of the product, as element `at` of the factor.
static void put_run(FblCudaWide *wide, const FblCudaFactor *f, const char *at) {
    if (wide->size == 2) {
        fbl_cuda_pack_halves(wide->p, f->o, at);
    } else {
        fbl_cuda_line(wide->p->e, 2, "*(uint4 *)(workspace + %lld + %s) = make_uint4(%s);", (long long)f->o->packed_at,
                      at,
                      "fbl_to_tf32(fbl_bits(v.x)), fbl_to_tf32(fbl_bits(v.y)), fbl_to_tf32(fbl_bits(v.z)), "
                      "fbl_to_tf32(fbl_bits(v.w))");
    }
}

// Runs of work that packing a factor is: of pack_lanes, or of four that are turned.
static int64_t pack_runs(const FblCudaWide *wide, const FblCudaFactor *f) {
    return f->buffer >= 0 ? 0
           : turns(f)     ? wide->p->z * f->padded * fbl_cuda_ceil(f->rows, 4)
                          : f->elements / f->o->pack_lanes;
}

// Reads along rows, writes along the sum.
static void pack_turning(FblCudaWide *wide, const FblCudaFactor *f) {
    FblCudaEmit *e = wide->p->e;
    long long quads = fbl_cuda_ceil(f->rows, 4), padded = f->padded, rows = f->rows;
    fbl_cuda_line(e, 2, "const int row = q %% %lld * 4, k = q / %lld %% %lld, z = q / %lld;", quads, quads, padded,
                  quads * padded);
    const char *left = f->o->quad ? "" : fbl_arena_printf(e->arena, ", %lld - row", rows);
    fbl_cuda_line(e, 2, "const float4 v = k < %lld ? %s_%c(%s, z, %s, 0%s) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);",
                  (long long)f->channels, e->name, f->o->name, fbl_cuda_arguments(e),
                  f->o->name == 'a' ? "row, k" : "k, row", left);
    fbl_cuda_line(e, 2, "unsigned *to = (unsigned *)workspace + %lld + (z * %lld + row) * %lld + k;",
                  (long long)f->o->packed_at, rows, padded);
    for (int lane = 0; lane < FBL_CUDA_LANES; lane++) {
        fbl_cuda_line(e, 2, "if (row + %d < %lld) {", lane, rows);
        fbl_cuda_line(e, 3, "to[%lld] = fbl_to_tf32(fbl_bits(v.%c));", lane * padded, "xyzw"[lane]);
        fbl_cuda_line(e, 2, "}");
    }
}

static void pack_factor(FblCudaWide *wide, const FblCudaFactor *f) {
    FblCudaProduct *p = wide->p;
    FblCudaEmit *e = p->e;
    long long padded = f->padded, channels = f->channels, kw = p->c->kw, taps = p->c->kh * p->c->kw,
              quads = padded / f->o->pack_lanes;
    const char *index;
    fbl_cuda_line(e, 2, "const int c = q %% %lld * %d;", quads, f->o->pack_lanes);
    switch (f->form) {
    case FBL_CUDA_IMAGE:
        fbl_cuda_line(e, 2, "const int z = q / %lld %% %lld, pixel = q / %lld;", quads, (long long)p->z,
                      quads * (long long)p->z);
        index = fbl_arena_printf(e->arena, "pixel / %lld, z * %lld + c, pixel / %lld %% %lld, pixel %% %lld",
                                 (long long)(f->h * f->w), channels, (long long)f->w, (long long)f->h, (long long)f->w);
        break;
    case FBL_CUDA_WEIGHTS:
        fbl_cuda_line(e, 2, "const int tap = q / %lld %% %lld, row = q / %lld %% %lld, z = q / %lld;", quads, taps,
                      quads * taps, (long long)f->rows, quads * taps * (long long)f->rows);
        index = fbl_arena_printf(e->arena,
                                 p->c->kind == FBL_CONV_FORWARD ? "z * %lld + row, c, tap / %lld, tap %% %lld"
                                                                : "z * %lld + c, row, tap / %lld, tap %% %lld",
                                 (long long)p->group_o, kw, kw);
        break;
    default:
        fbl_cuda_line(e, 2, "const int line = q / %lld %% %lld, z = q / %lld;", quads, (long long)f->lines,
                      quads * (long long)f->lines);
        index = (f->o->name == 'a') == f->turned ? "z, c, line, 0" : "z, line, c, 0";
        break;
    }
    const char *left = f->o->quad ? "" : fbl_arena_printf(e->arena, ", %lld - c", channels);
    const char *call =
        fbl_arena_printf(e->arena, "%s_%c(%s, %s%s)", e->name, f->o->name, fbl_cuda_arguments(e), index, left);
    if (padded - channels >= 4) { // whole quads of padding
        call = fbl_arena_printf(e->arena, "c < %lld ? %s : make_float4(0.0f, 0.0f, 0.0f, 0.0f)", channels, call);
    }
    fbl_cuda_pack_value(p, f->o, call);
    put_run(wide, f, fbl_arena_printf(e->arena, "q * %d", f->o->pack_lanes));
}

void fbl_cuda_wide_pack(FblCudaWide *wide) {
    FblCudaEmit *e = wide->p->e;
    int64_t quads[2] = {pack_runs(wide, &wide->factor[0]), pack_runs(wide, &wide->factor[1])};
    const uint32_t grid[3] = {(uint32_t)fbl_cuda_ceil(quads[0] + quads[1], PACK_THREADS), 1, 1};
    fbl_cuda_begin_entry(e, 0, true, PACK_THREADS, grid);
    fbl_cuda_line(e, 1, "int q = blockIdx.x * %d + threadIdx.x;", PACK_THREADS);
    for (int i = 0; i < 2; i++) {
        const FblCudaFactor *f = &wide->factor[i];
        if (quads[i] == 0) {
            continue;
        }
        fbl_cuda_line(e, 1, "if (q < %lld) {", (long long)quads[i]);
        if (turns(f)) {
            pack_turning(wide, f);
        } else {
            pack_factor(wide, f);
        }
        fbl_cuda_line(e, 2, "return;");
        fbl_cuda_line(e, 1, "}");
        fbl_cuda_line(e, 1, "q -= %lld;", (long long)quads[i]);
    }
    fbl_cuda_line(e, 0, "}");
}

void fbl_cuda_wide_setup(FblCudaWide *wide, const FblCudaFactor *f) {
    FblCudaProduct *p = wide->p;
    FblCudaEmit *e = p->e;
    const FblContraction *c = p->c;
    char name = f->o->name;
    const char *type = wide->size == 2 ? "unsigned short" : "float";
    if (f->buffer >= 0) {
        fbl_cuda_line(e, 2, "const %s *%c_from = b%d;", type, name, f->buffer);
    } else {
        fbl_cuda_line(e, 2, "const %s *%c_from = (const %s *)(workspace + %lld);", type, name, type,
                      (long long)f->o->packed_at);
    }
    if (f->turned) {
        fbl_cuda_line(e, 2, "const int %c_row = %s + t %% %lld * 8;", name, name == 'a' ? "m0" : "n0",
                      (long long)f->tile / 8);
        if (f->form == FBL_CUDA_IMAGE && name == 'b') {
            fbl_cuda_line(e, 2, "const int b_c = b_row %% %lld, b_tap = b_row / %lld;", (long long)f->padded,
                          (long long)f->padded);
            fbl_cuda_line(e, 2,
                          "const int b_h = b_row < %lld ? b_tap / %lld * %lld - %lld : " OUTSIDE
                          ", b_w = b_tap %% %lld * %lld - %lld;",
                          (long long)f->rows, (long long)c->kw, (long long)c->dilation_h, (long long)c->pad_h,
                          (long long)c->kw, (long long)c->dilation_w, (long long)c->pad_w);
        }
        return;
    }
    if (f->form != FBL_CUDA_IMAGE) {
        return;
    }
    long long passes = f->tile / 16;
    fbl_cuda_line(e, 2, "int a_n[%lld], a_h[%lld], a_w[%lld];", passes, passes, passes);
    fbl_cuda_line(e, 2, "#pragma unroll");
    fbl_cuda_line(e, 2, "for (int i = 0; i < %lld; i++) {", passes);
    fbl_cuda_line(e, 3, "const int m = m0 + t / 8 + i * 16;");
    fbl_cuda_pixel_setup(p, 3);
    fbl_cuda_line(e, 2, "}");
}

// The place of pixel (n, h, w) and channel c of this product's group.
static const char *image_place(FblCudaWide *wide, const FblCudaFactor *f, const char *n, const char *channel) {
    return fbl_arena_printf(wide->p->e->arena, "((%s * %lld + h) * %lld + w) * %lld + z * %lld + %s", n,
                            (long long)f->h, (long long)f->w, (long long)(wide->p->z * f->padded), (long long)f->padded,
                            channel);
}

// A piece of an image at a tap of pixel i: `h`, `w` and `inside`.
static const char *place_pixel(FblCudaWide *wide, const FblCudaFactor *f) {
    fbl_cuda_line(wide->p->e, 5, "const bool inside = %s;", fbl_cuda_pixel_at_tap(wide->p, 5));
    return image_place(wide, f, "a_n[i]", "c");
}

// Rows along the sum: thread t has piece t % 8 of rows t / 8, t / 8 + 16, ...
static void fetch_along(FblCudaWide *wide, const FblCudaFactor *f) {
    FblCudaProduct *p = wide->p;
    FblCudaEmit *e = p->e;
    char name = f->o->name;
    fbl_cuda_line(e, 4, "const int k = step * %lld + t %% 8 * %lld;", (long long)p->tile.bk, (long long)wide->piece);
    if (f->form == FBL_CUDA_IMAGE || (f->form == FBL_CUDA_WEIGHTS && p->parts > 1)) {
        fbl_cuda_tap_of(p, 4, "k", "c");
    }
    fbl_cuda_line(e, 4, "const unsigned to = %c_tile + stage * %lld + t / 8 * 128 + (t ^ t / 8) %% 8 * 16;", name,
                  (long long)f->bytes);
    fbl_cuda_line(e, 4, "#pragma unroll");
    fbl_cuda_line(e, 4, "for (int i = 0; i < %lld; i++) {", (long long)f->tile / 16);
    const char *place;
    if (f->form == FBL_CUDA_IMAGE) {
        place = place_pixel(wide, f);
    } else {
        bool weights = f->form == FBL_CUDA_WEIGHTS;
        fbl_cuda_line(e, 5, "const int row = %s + t / 8 + i * 16;", name == 'a' ? "m0" : "n0");
        fbl_cuda_line(e, 5, "const bool inside = k < %s && row < %lld;",
                      weights ? fbl_cuda_part_sum(p) : fbl_arena_printf(e->arena, "%lld", (long long)f->padded),
                      (long long)f->rows);
        place = fbl_arena_printf(e->arena, "(z * %lld + row) * %lld + %s", (long long)f->rows,
                                 (long long)(weights ? p->row_k : f->padded), weights ? fbl_cuda_weight_at(p) : "k");
    }
    fbl_cuda_line(e, 5, "fbl_copy_async_to(to + i * 2048, inside ? %c_from + (%s) : %c_from, inside);", name, place,
                  name);
    fbl_cuda_line(e, 4, "}");
}

// Turned: thread t has one piece of 8 rows of some indices of the sum.
static void fetch_turned(FblCudaWide *wide, const FblCudaFactor *f) {
    FblCudaProduct *p = wide->p;
    FblCudaEmit *e = p->e;
    const FblContraction *c = p->c;
    char name = f->o->name;
    long long pieces = f->tile / 8, bk = p->tile.bk;
    fbl_cuda_line(e, 4, "const unsigned to = %c_tile + stage * %lld + t %% %lld / 8 * %lld;", name, (long long)f->bytes,
                  pieces, bk * 128);
    fbl_cuda_line(e, 4, "#pragma unroll");
    fbl_cuda_line(e, 4, "for (int i = 0; i < %lld; i++) {", (long long)f->tile / 16);
    fbl_cuda_line(e, 5, "const int line = t / %lld + i * %lld, k = step * %lld + line;", pieces,
                  FBL_CUDA_WARPGROUP / pieces, bk);
    const char *place;
    if (f->form == FBL_CUDA_MATRIX) {
        fbl_cuda_line(e, 5, "const bool inside = k < %lld && %c_row < %lld;", (long long)p->k, name,
                      (long long)f->padded);
        place =
            fbl_arena_printf(e->arena, "(z * %lld + k) * %lld + %c_row", (long long)p->k, (long long)f->padded, name);
    } else if (name == 'a') { // every pixel of y
        fbl_cuda_line(e, 5, "const bool inside = k < %lld && a_row < %lld;", (long long)p->k, (long long)f->padded);
        place = fbl_arena_printf(e->arena, "k * %lld + z * %lld + a_row", (long long)(p->z * f->padded),
                                 (long long)f->padded);
    } else {
        long long oh = c->oh, ow = c->ow;
        fbl_cuda_line(e, 5, "const int h = k / %lld %% %lld * %lld + b_h, w = k %% %lld * %lld + b_w;", ow, oh,
                      (long long)c->stride_h, ow, (long long)c->stride_w);
        fbl_cuda_line(e, 5, "const bool inside = k < %lld && (unsigned)h < %lldu && (unsigned)w < %lldu;",
                      (long long)p->k, (long long)c->h, (long long)c->w);
        place = image_place(wide, f, fbl_arena_printf(e->arena, "k / %lld", oh * ow), "b_c");
    }
    fbl_cuda_line(
        e, 5,
        "fbl_copy_async_to(to + line * 128 + (t %% %lld ^ line) %% 8 * 16, inside ? %c_from + (%s) : %c_from, inside);",
        pieces, name, place, name);
    fbl_cuda_line(e, 4, "}");
}

void fbl_cuda_wide_fetch(FblCudaWide *wide, const FblCudaFactor *f) {
    FblCudaEmit *e = wide->p->e;
    fbl_cuda_line(e, 3, "{");
    if (f->turned) {
        fetch_turned(wide, f);
    } else {
        fetch_along(wide, f);
    }
    fbl_cuda_line(e, 3, "}");
}

// Phase 0 of a contraction: operands that are no plain loads, evaluated once into the workspace in the order in which tiles
// want them, as halves where the product multiplies halves. Images: [n][h][w][group][channels padded to 4]. Weights:
// [group][row][tap][channels padded to 4].
#include "codegen/cuda/contract_internal.h"

#define PACK_THREADS 256
#define PACK_LIMIT ((int64_t)1 << 28) // floats; also keeps addresses inside an int

static bool is_weights(const FblCudaProduct *p, const FblCudaOperand *o) {
    return o->name == 'b' && p->c->kind != FBL_CONV_WEIGHT_GRAD;
}

// Whether an operand that is an image has the pixels and channels of y; else those of x.
static bool is_y(const FblCudaProduct *p, const FblCudaOperand *o) {
    return p->c->kind == FBL_CONV_DATA_GRAD || (p->c->kind == FBL_CONV_WEIGHT_GRAD && o->name == 'a');
}

static void image_extents(const FblCudaProduct *p, const FblCudaOperand *o, long long *h, long long *w) {
    *h = is_y(p, o) ? p->c->oh : p->c->h;
    *w = is_y(p, o) ? p->c->ow : p->c->w;
}

int64_t fbl_cuda_pack_padded(const FblCudaProduct *p, const FblCudaOperand *o) {
    return p->c->kind == FBL_CONV_WEIGHT_GRAD ? fbl_cuda_ceil(is_y(p, o) ? p->group_o : p->group_c, 4) * 4 : p->padded;
}

void fbl_cuda_pack_plan(FblCudaProduct *p) {
    for (int i = 0; i < 2; i++) {
        FblCudaOperand *o = &p->operand[i];
        long long h, w;
        image_extents(p, o, &h, &w);
        int64_t floats = is_weights(p, o) ? p->z * p->n * p->row_k : p->c->n * h * w * p->z * fbl_cuda_pack_padded(p, o);
        if (o->packed && floats > PACK_LIMIT) {
            o->packed = o->async = o->direct = false;
            o->run = FBL_CUDA_LANES;
        }
        if (o->packed) {
            o->packed_at = p->partial_at;
            o->pack_lanes = fbl_cuda_operand_pack_lanes(p, o);
            o->packed_runs = floats / o->pack_lanes;
            p->partial_at += p->halves ? fbl_cuda_ceil(floats, 8) * 4 : floats;
            p->phase = 1;
        }
    }
}

const char *fbl_cuda_packed_address(FblCudaProduct *p, const FblCudaOperand *o, const char *n) {
    FblCudaEmit *e = p->e;
    const char *at;
    if (is_weights(p, o)) {
        at = fbl_arena_printf(e->arena, "(z * %lld + row) * %lld + %s", (long long)p->n, (long long)p->row_k, fbl_cuda_weight_at(p));
    } else {
        long long h, w, padded = fbl_cuda_pack_padded(p, o);
        image_extents(p, o, &h, &w);
        const char *form = p->c->kind == FBL_CONV_WEIGHT_GRAD && o->name == 'a' ? "((%s * %lld + oh) * %lld + ow) * %lld + z * %lld + row" : "((%s * %lld + h) * %lld + w) * %lld + z * %lld + c";
        at = fbl_arena_printf(e->arena, form, n, h, w, p->z * padded, padded);
    }
    return fbl_arena_printf(e->arena, p->halves ? "(const float *)((const unsigned short *)(workspace + %lld) + %s)" : "workspace + %lld + %s", (long long)o->packed_at, at);
}

void fbl_cuda_pack_value(FblCudaProduct *p, const FblCudaOperand *o, const char *call) {
    fbl_cuda_line(p->e, 2, "const %s v = %s;", o->pack_lanes == FBL_CUDA_MAX_LANES ? "FblPair<float4>" : "float4", call);
}

void fbl_cuda_pack_halves(FblCudaProduct *p, const FblCudaOperand *o, const char *at) {
    fbl_cuda_line(p->e, 2, "fbl_store%s_%s((unsigned short *)(workspace + %lld) + %s, v);", o->pack_lanes == FBL_CUDA_MAX_LANES ? "8" : "",
                  p->e->options->precision == FBL_CUDA_BF16 ? "bf16" : "f16", (long long)o->packed_at, at);
}

static void pack_operand(FblCudaProduct *p, const FblCudaOperand *o) {
    FblCudaEmit *e = p->e;
    long long padded = fbl_cuda_pack_padded(p, o), kw = p->c->kw, h, w;
    bool forward = p->c->kind == FBL_CONV_FORWARD;
    const char *index;
    // Channels of a group of this operand, of which the last quad may have fewer than four.
    long long channels = is_y(p, o) ? p->group_o : p->group_c;
    image_extents(p, o, &h, &w);
    fbl_cuda_line(e, 1, "if (q < %lld) {", (long long)o->packed_runs);
    if (is_weights(p, o)) {
        long long quads = p->row_k / o->pack_lanes;
        fbl_cuda_line(e, 2, "const int k = q %% %lld * %d, row = q / %lld %% %lld, z = q / %lld;", quads, o->pack_lanes, quads, (long long)p->n, quads * (long long)p->n);
        fbl_cuda_line(e, 2, "const int tap = k / %lld, c = k %% %lld;", padded, padded);
        index = fbl_arena_printf(e->arena, forward ? "z * %lld + row, c, tap / %lld, tap %% %lld" : "z * %lld + c, row, tap / %lld, tap %% %lld", (long long)p->group_o, kw, kw);
    } else {
        long long quads = p->z * padded / o->pack_lanes, lanes = o->pack_lanes;
        fbl_cuda_line(e, 2, "const int z = q %% %lld * %lld / %lld, c = q %% %lld * %lld %% %lld, pixel = q / %lld;", quads, lanes, padded, quads, lanes, padded, quads);
        index = fbl_arena_printf(e->arena, "pixel / %lld, z * %lld + c, pixel / %lld %% %lld, pixel %% %lld", h * w, channels, w, h, w);
    }
    const char *left = o->quad ? "" : fbl_arena_printf(e->arena, ", %lld - c", channels);
    const char *call = fbl_arena_printf(e->arena, "%s_%c(%s, %s%s)", e->name, o->name, fbl_cuda_arguments(e), index, left);
    if (p->halves) {
        fbl_cuda_pack_value(p, o, call);
        fbl_cuda_pack_halves(p, o, fbl_arena_printf(e->arena, "q * %d", o->pack_lanes));
    } else {
        fbl_cuda_line(e, 2, "*(float4 *)(workspace + %lld + q * 4) = %s;", (long long)o->packed_at, call);
    }
    fbl_cuda_line(e, 2, "return;");
    fbl_cuda_line(e, 1, "}");
    fbl_cuda_line(e, 1, "q -= %lld;", (long long)o->packed_runs);
}

void fbl_cuda_pack_emit(FblCudaProduct *p) {
    FblCudaEmit *e = p->e;
    int64_t quads = 0;
    for (int i = 0; i < 2; i++) {
        quads += p->operand[i].packed ? p->operand[i].packed_runs : 0;
    }
    const uint32_t grid[3] = {(uint32_t)fbl_cuda_ceil(quads, PACK_THREADS), 1, 1};
    fbl_cuda_begin_entry(e, 0, true, PACK_THREADS, grid);
    fbl_cuda_line(e, 1, "int q = blockIdx.x * %d + threadIdx.x;", PACK_THREADS);
    for (int i = 0; i < 2; i++) {
        if (p->operand[i].packed) {
            pack_operand(p, &p->operand[i]);
        }
    }
    fbl_cuda_line(e, 0, "}");
}

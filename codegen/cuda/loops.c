// LOOPS kernels. Without reductions a thread does one point, or four neighbours along the innermost loop, or eight where halves
// are read or written: those are 16 bytes. With reductions a block does TX neighbouring items (combinations of the outer loops)
// with TY threads each: thread = ty * TX + tx; the threads of an item share the points of every stage, and their partial results
// are combined in a fixed tree (fbl_reduce). Where halves are read, a thread does eight (or four) neighbours at once, along
// whichever loop memory runs: items, each with its own result, or points, whose partial results are combined first.
#include <string.h>

#include "codegen/cuda/emit.h"

#define FLAT_THREADS 256
#define STATIC_SHARED (48 * 1024)

static int64_t extent_of(const FblKernel *kernel, const int32_t *loops, int32_t count) {
    int64_t extent = 1;
    for (int32_t i = 0; i < count; i++) {
        extent *= kernel->loops[loops[i]].extent;
    }
    return extent;
}

// Variables for the loops `order` (outermost first) from the C expression `linear`, each loop `unit` steps a number.
static void split_index(FblCudaBody *body, const int32_t *order, int32_t count, const char *linear, int64_t last_unit) {
    FblCudaEmit *e = body->e;
    int64_t stride = 1;
    for (int32_t i = count - 1; i >= 0; i--) {
        const FblKLoop *loop = &e->kernel->loops[order[i]];
        int64_t unit = i == count - 1 ? last_unit : 1;
        int64_t extent = loop->extent / unit;
        const char *name = fbl_arena_printf(e->arena, "i%d", order[i]);
        const char *text = linear;
        if (extent == 1) {
            body->loops[order[i]] = "0";
            continue;
        }
        if (stride > 1) {
            text = fbl_arena_printf(e->arena, "%s / %lld", text, (long long)stride);
        }
        bool outermost = true;
        for (int32_t k = 0; k < i; k++) {
            outermost &= e->kernel->loops[order[k]].extent == 1;
        }
        if (!outermost) {
            text = fbl_arena_printf(e->arena, "%s %% %lld", text, (long long)extent);
        }
        if (unit > 1) {
            text = fbl_arena_printf(e->arena, "(%s) * %lld", text, (long long)unit);
        }
        fbl_cuda_line(e, body->indent, "const int %s = %s; // %s", name, text, loop->label ? loop->label : "");
        body->loops[order[i]] = name;
        stride *= extent;
    }
}

static bool has_halves(const FblKernel *kernel) {
    for (int32_t i = 0; i < kernel->buffer_count; i++) {
        if (fbl_dtype_is_half(kernel->buffers[i].dtype)) {
            return true;
        }
    }
    return false;
}

// Neighbours that a thread does along a loop of a kernel that has halves.
static int wide_lanes(int64_t extent) { return extent % FBL_CUDA_MAX_LANES == 0 ? FBL_CUDA_MAX_LANES : extent % FBL_CUDA_LANES == 0 ? FBL_CUDA_LANES : 1; }

static FblStatus emit_flat(FblCudaEmit *e) {
    const FblKernel *kernel = e->kernel;
    const FblKStage *stage = &kernel->stages[0];
    int32_t order[FBL_KERNEL_MAX_LOOPS];
    int32_t count = 0;
    for (int32_t i = 0; i < kernel->outer_count; i++) {
        order[count++] = i;
    }
    for (int32_t i = 0; i < stage->loop_count; i++) {
        order[count++] = stage->loops[i];
    }
    // The innermost loop that is one comes last, so that its neighbours are a thread's or a warp's.
    int32_t last = count - 1;
    while (last > 0 && kernel->loops[order[last]].extent == 1) {
        last--;
    }
    if (count > 0 && last != count - 1) {
        int32_t swap = order[last];
        memmove(&order[last], &order[last + 1], (size_t)(count - 1 - last) * sizeof *order);
        order[count - 1] = swap;
    }
    int64_t points = extent_of(kernel, order, count);
    int lanes = count > 0 ? wide_lanes(kernel->loops[order[count - 1]].extent) : 1;
    if (!has_halves(kernel)) {
        lanes = (int)fbl_cuda_min(lanes, FBL_CUDA_LANES);
    }
    int64_t threads = points / lanes;
    uint32_t block = (uint32_t)fbl_cuda_min(FLAT_THREADS, fbl_cuda_max(32, fbl_cuda_pow2(threads)));
    const uint32_t grid[3] = {(uint32_t)fbl_cuda_ceil(threads, block), 1, 1};
    FblCudaBody body;
    fbl_cuda_body_init(&body, e, lanes, lanes > 1 ? order[count - 1] : -1);
    fbl_cuda_begin_entry(e, 0, false, block, grid);
    fbl_cuda_line(e, 1, "const int point = blockIdx.x * %u + threadIdx.x;", block);
    if (threads % block != 0) {
        fbl_cuda_line(e, 1, "if (point >= %lld) {", (long long)threads);
        fbl_cuda_line(e, 2, "return;");
        fbl_cuda_line(e, 1, "}");
    }
    split_index(&body, order, count, "point", lanes);
    for (int32_t k = 0; k < stage->store_count; k++) {
        fbl_cuda_body_need_store(&body, &stage->stores[k]);
    }
    fbl_cuda_body_emit(&body, 1);
    for (int32_t k = 0; k < stage->store_count; k++) {
        fbl_cuda_body_store(&body, &stage->stores[k], NULL);
    }
    fbl_cuda_line(e, 0, "}");
    return FBL_OK;
}

// How a reducing kernel is spread over threads.
typedef struct Spread {
    int64_t items, tx, ty; // items: runs of `lanes` where along_items
    bool along_items;      // memory runs along the items
    int lanes;             // neighbours that a thread does: items, or points of the stages that have them
} Spread;

static Spread choose_spread(const FblCudaEmit *e, int most_lanes) {
    const FblKernel *kernel = e->kernel;
    Spread s = {.items = 1, .tx = 1, .ty = 1, .lanes = 1};
    s.along_items = kernel->vector_loop >= 0 && kernel->vector_loop < kernel->outer_count;
    if (kernel->vector_loop >= 0 && has_halves(kernel)) {
        s.lanes = (int)fbl_cuda_min(most_lanes, wide_lanes(kernel->loops[kernel->vector_loop].extent));
    }
    int64_t inner = 1;
    for (int32_t i = 0; i < kernel->outer_count; i++) {
        s.items *= kernel->loops[i].extent;
    }
    for (int32_t i = 0; i < kernel->stage_count; i++) {
        inner = fbl_cuda_max(inner, extent_of(kernel, kernel->stages[i].loops, kernel->stages[i].loop_count));
    }
    int64_t processors = fbl_cuda_processors(e->options->arch);
    s.items /= s.along_items ? s.lanes : 1;
    if (s.along_items) {
        // Memory runs along the items: a warp's threads take neighbouring items.
        if (inner <= 16 || s.items >= 64 * 256 * processors) {
            s.tx = 256;
        } else {
            s.tx = 32;
            int64_t sector = s.lanes == 1 ? 8 : 16 / s.lanes; // threads whose neighbours are a sector of memory
            while (s.tx > sector && s.items / s.tx < processors) { // more blocks than that help
                s.tx /= 2;
            }
            while (s.ty * s.tx < 1024 && s.ty * 4 < inner && (s.ty * s.tx < 256 || s.items / s.tx < processors)) {
                s.ty *= 2;
            }
            while (s.ty * s.tx < 1024 && inner / s.ty > 512) { // long runs in one accumulator round more
                s.ty *= 2;
            }
        }
        s.tx = fbl_cuda_min(s.tx, fbl_cuda_pow2(s.items));
    } else {
        // Memory runs along the points of an item: a warp's threads take neighbouring points.
        int64_t most = s.items >= 2 * processors ? 256 : 1024;
        s.ty = fbl_cuda_min(fbl_cuda_pow2(fbl_cuda_ceil(inner, s.lanes)), most);
        s.tx = fbl_cuda_min(fbl_cuda_max(128 / s.ty, 1), fbl_cuda_pow2(s.items));
    }
    while (s.tx * s.ty < 32) { // whole warps: shuffles name all lanes
        s.ty *= 2;
    }
    return s;
}

// The type in preamble.cuh that combines partial results, and its neutral element.
static const char *reducer(const FblKReduce *reduce, const char **out_neutral) {
    bool real = reduce->dtype == FBL_F32;
    switch (reduce->op) {
    case FBL_OP_SUM: *out_neutral = real ? "{0.0f}" : "{0}"; return real ? "FblSum" : "FblIntSum";
    case FBL_OP_REDUCE_MAX: *out_neutral = real ? "{-FBL_INF}" : "{-2147483647 - 1}"; return real ? "FblMax" : "FblIntMax";
    case FBL_OP_REDUCE_MIN: *out_neutral = real ? "{FBL_INF}" : "{2147483647}"; return real ? "FblMin" : "FblIntMin";
    default: *out_neutral = "{-FBL_INF, 2147483647}"; return "FblArgmax";
    }
}

// The row-major number of a point over the stage's loops in their declared order.
static const char *point_number(FblCudaBody *body, const FblKStage *stage, int lane) {
    const char *text = "0";
    int64_t stride = 1;
    for (int32_t k = stage->loop_count - 1; k >= 0; k--) {
        const char *part = body->loops[stage->loops[k]];
        if (stage->loops[k] == body->lane_loop && lane > 0) {
            part = fbl_arena_printf(body->e->arena, "(%s + %d)", part, lane);
        }
        if (strcmp(part, "0") != 0) {
            part = stride == 1 ? part : fbl_arena_printf(body->e->arena, "%s * %lld", part, (long long)stride);
            text = strcmp(text, "0") == 0 ? part : fbl_arena_printf(body->e->arena, "%s + %s", part, text);
        }
        stride *= body->e->kernel->loops[stage->loops[k]].extent;
    }
    return text;
}

// The partial results of a thread: one, or one a lane: s<result> where the lanes are items, m<result> where they are points.
static void declare(FblCudaEmit *e, const char *type, const char *neutral, int32_t result, int lanes, bool many) {
    if (lanes == 1) {
        fbl_cuda_line(e, 1, "%s s%d = %s;", type, result, neutral);
        return;
    }
    const char *all = neutral;
    for (int lane = 1; lane < lanes; lane++) {
        all = fbl_arena_printf(e->arena, "%s, %s", all, neutral);
    }
    fbl_cuda_line(e, 1, "FblMany<%s, %d> %c%d = {{%s}};", type, lanes, many ? 's' : 'm', result, all);
}

static void emit_stage(FblCudaEmit *e, FblCudaBody *outer, const Spread *spread, int32_t number, bool shared) {
    const FblKernel *kernel = e->kernel;
    const FblKStage *stage = &kernel->stages[number];
    bool has_vector = false;
    for (int32_t i = 0; i < stage->loop_count; i++) {
        has_vector |= stage->loops[i] == kernel->vector_loop;
    }
    int lanes = spread->along_items || has_vector ? spread->lanes : 1;
    bool many = lanes > 1 && spread->along_items, points_at_once = lanes > 1 && !spread->along_items;
    FblCudaBody body;
    fbl_cuda_body_init(&body, e, lanes, lanes > 1 ? kernel->vector_loop : -1);
    body.lane_results = many;
    memcpy(body.loops, outer->loops, sizeof body.loops);
    int32_t order[FBL_KERNEL_MAX_LOOPS];
    int32_t count = 0;
    for (int32_t i = 0; i < stage->loop_count; i++) {
        body.inner |= 1u << stage->loops[i];
        if (stage->loops[i] != kernel->vector_loop) {
            order[count++] = stage->loops[i];
        }
    }
    if (count < stage->loop_count) {
        order[count++] = kernel->vector_loop;
    }
    for (int32_t k = 0; k < stage->store_count; k++) {
        fbl_cuda_body_need_store(&body, &stage->stores[k]);
    }
    for (int32_t k = 0; k < stage->reduce_count; k++) {
        const char *neutral;
        const char *type = reducer(&stage->reduces[k], &neutral);
        fbl_cuda_body_need(&body, stage->reduces[k].value);
        declare(e, type, neutral, stage->reduces[k].result, lanes, many);
    }
    fbl_cuda_line(e, 1, "{");
    body.indent = 2;
    fbl_cuda_body_emit(&body, 0);
    int64_t points = extent_of(kernel, order, count) / (points_at_once ? lanes : 1);
    const char *guard = spread->items % spread->tx != 0 ? "live" : NULL;
    bool looped = points > 1;
    if (looped) {
        if (points > spread->ty) {
            fbl_cuda_line(e, 2, "#pragma unroll %d", lanes == FBL_CUDA_MAX_LANES ? 4 : 8);
        }
        fbl_cuda_line(e, 2, "for (int p = ty; p < %lld; p += %lld) {", (long long)points, (long long)spread->ty);
        body.indent = 3;
    } else if (spread->ty > 1) {
        guard = guard ? "live && ty == 0" : "ty == 0";
    }
    split_index(&body, order, count, "p", points_at_once ? lanes : 1);
    fbl_cuda_body_emit(&body, 1);
    for (int32_t k = 0; k < stage->store_count; k++) {
        fbl_cuda_body_store(&body, &stage->stores[k], guard);
    }
    for (int32_t k = 0; k < stage->reduce_count; k++) {
        const FblKReduce *reduce = &stage->reduces[k];
        const char *neutral;
        const char *type = reducer(reduce, &neutral);
        bool argmax = reduce->op == FBL_OP_ARGMAX, once = !looped && spread->ty > 1;
        if (once) {
            fbl_cuda_line(e, body.indent, "if (ty == 0) {");
        }
        for (int lane = 0; lane < lanes; lane++) {
            const char *value = fbl_cuda_body_lane(&body, reduce->value, lane, argmax ? FBL_F32 : reduce->dtype);
            value = argmax ? fbl_arena_printf(e->arena, "%s, %s", value, point_number(&body, stage, lane)) : value;
            const char *to = lanes == 1 ? fbl_arena_printf(e->arena, "s%d", reduce->result) : fbl_arena_printf(e->arena, "%c%d.v[%d]", many ? 's' : 'm', reduce->result, lane);
            fbl_cuda_line(e, body.indent + once, "%s.take(%s{%s});", to, type, value);
        }
        if (once) {
            fbl_cuda_line(e, body.indent, "}");
        }
    }
    if (looped) {
        fbl_cuda_line(e, 2, "}");
    }
    fbl_cuda_line(e, 1, "}");
    for (int32_t k = 0; k < stage->reduce_count; k++) {
        const FblKReduce *reduce = &stage->reduces[k];
        const char *neutral;
        const char *type = reducer(reduce, &neutral), *field = reduce->op == FBL_OP_ARGMAX ? "index" : "v";
        const char *ctype = reduce->op == FBL_OP_ARGMAX ? "int" : fbl_cuda_ctype(reduce->dtype);
        if (points_at_once) {
            fbl_cuda_line(e, 1, "%s s%d = m%d.all();", type, reduce->result, reduce->result);
        }
        if (spread->ty > 1) {
            fbl_cuda_line(e, 1, "fbl_reduce<%s, %lld, %lld>(s%d, %s);", many ? fbl_arena_printf(e->arena, "FblMany<%s, %d>", type, lanes) : type, (long long)spread->tx,
                          (long long)spread->ty, reduce->result, shared ? "parts" : "0");
        }
        for (int lane = 0; many && lane < lanes; lane++) {
            fbl_cuda_line(e, 1, "const %s r%d_%d = s%d.v[%d].%s;", ctype, reduce->result, lane, reduce->result, lane, field);
        }
        if (!many) {
            fbl_cuda_line(e, 1, "const %s r%d = s%d.%s;", ctype, reduce->result, reduce->result, field);
        }
    }
}

// What fbl_reduce needs: the results of each row of threads.
static int64_t shared_floats(const FblKernel *kernel, const Spread *s) {
    int64_t rows = s->tx < 32 ? s->tx * s->ty / 32 : s->ty;
    bool pairs = false;
    for (int32_t i = 0; i < kernel->stage_count; i++) {
        for (int32_t k = 0; k < kernel->stages[i].reduce_count; k++) {
            pairs |= kernel->stages[i].reduces[k].op == FBL_OP_ARGMAX;
        }
    }
    return rows > 1 && kernel->result_count > 0 ? rows * s->tx * (pairs ? 2 : 1) * (s->along_items ? s->lanes : 1) : 0;
}

static FblStatus emit_reducing(FblCudaEmit *e) {
    const FblKernel *kernel = e->kernel;
    Spread s = choose_spread(e, FBL_CUDA_MAX_LANES);
    if (shared_floats(kernel, &s) * 4 > STATIC_SHARED) {
        s = choose_spread(e, FBL_CUDA_LANES);
    }
    const uint32_t grid[3] = {(uint32_t)fbl_cuda_ceil(s.items, s.tx), 1, 1};
    int64_t threads = s.tx * s.ty;
    fbl_cuda_begin_entry(e, 0, false, (uint32_t)threads, grid);
    bool shared = shared_floats(kernel, &s) > 0;
    if (shared) {
        fbl_cuda_line(e, 1, "__shared__ float parts[%lld];", (long long)shared_floats(kernel, &s));
    }
    if (s.ty > 1) {
        fbl_cuda_line(e, 1, "const int tx = threadIdx.x %% %lld, ty = threadIdx.x / %lld;", (long long)s.tx, (long long)s.tx);
    } else {
        fbl_cuda_line(e, 1, "const int tx = threadIdx.x, ty = 0;");
    }
    if (s.items % s.tx != 0) {
        fbl_cuda_line(e, 1, "const bool live = blockIdx.x * %lld + tx < %lld; // the others compute the last item again", (long long)s.tx, (long long)s.items);
        fbl_cuda_line(e, 1, "const int item = live ? blockIdx.x * %lld + tx : %lld;", (long long)s.tx, (long long)(s.items - 1));
    } else {
        fbl_cuda_line(e, 1, "const int item = blockIdx.x * %lld + tx;", (long long)s.tx);
    }
    FblCudaBody outer;
    fbl_cuda_body_init(&outer, e, 1, -1);
    int32_t order[FBL_KERNEL_MAX_LOOPS];
    int32_t count = 0;
    for (int32_t i = 0; i < kernel->outer_count; i++) {
        if (i != kernel->vector_loop) {
            order[count++] = i;
        }
    }
    if (count < kernel->outer_count) {
        order[count++] = kernel->vector_loop;
    }
    split_index(&outer, order, count, "item", s.along_items ? s.lanes : 1);
    for (int32_t i = 0; i < kernel->stage_count; i++) {
        emit_stage(e, &outer, &s, i, shared);
    }
    fbl_cuda_line(e, 0, "}");
    return FBL_OK;
}

FblStatus fbl_cuda_emit_loops(FblCudaEmit *e) {
    const FblKernel *kernel = e->kernel;
    return kernel->result_count == 0 && kernel->stage_count == 1 ? emit_flat(e) : emit_reducing(e);
}

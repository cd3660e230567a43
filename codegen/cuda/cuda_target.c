#include "codegen/cuda/cuda_target.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "codegen/cuda/emit.h"
#include "ir/kernel_text.h"

extern const unsigned char fbl_cuda_preamble_bytes[]; // made from preamble.cuh by cmake/cuda.cmake

const char *fbl_cuda_preamble(void) { return (const char *)fbl_cuda_preamble_bytes; }

void fbl_cuda_line(FblCudaEmit *e, int indent, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *text = fbl_arena_vprintf(e->arena, format, args);
    va_end(args);
    fbl_text_printf(&e->text, "%*s%s\n", 4 * indent, "", text);
}

const char *fbl_cuda_ctype(FblDtype dtype) { return dtype == FBL_F32 ? "float" : dtype == FBL_I32 ? "int" : "bool"; }

static const char *memory_type(FblDtype dtype) {
    return dtype == FBL_BOOL ? "unsigned char" : fbl_dtype_is_half(dtype) ? "unsigned short" : fbl_cuda_ctype(dtype);
}

// Whether another buffer of the kernel may be the same memory.
static bool is_shared(const FblKernel *kernel, int32_t buffer) {
    for (int32_t i = 0; i < kernel->buffer_count; i++) {
        if (kernel->buffers[i].alias == buffer || (i == buffer && kernel->buffers[i].alias >= 0)) {
            return true;
        }
    }
    return false;
}

const char *fbl_cuda_parameters(FblCudaEmit *e, bool workspace) {
    const char *text = "";
    for (int32_t i = 0; i < e->kernel->buffer_count; i++) {
        const FblKernelBuffer *buffer = &e->kernel->buffers[i];
        text = fbl_arena_printf(e->arena, "%s%s%s *%sb%d, ", text, buffer->is_output ? "" : "const ", memory_type(buffer->dtype),
                                is_shared(e->kernel, i) ? "" : "__restrict__ ", i);
    }
    return fbl_arena_printf(e->arena, "%s%sconst FblScalars *scalars", text, workspace ? "float *__restrict__ workspace, " : "");
}

const char *fbl_cuda_arguments(FblCudaEmit *e) {
    const char *text = "";
    for (int32_t i = 0; i < e->kernel->buffer_count; i++) {
        text = fbl_arena_printf(e->arena, "%sb%d, ", text, i);
    }
    return fbl_arena_printf(e->arena, "%sscalars", text);
}

void fbl_cuda_begin_entry(FblCudaEmit *e, int32_t phase, bool workspace, uint32_t threads, const uint32_t grid[3]) {
    FblCudaPhase *out = &e->source->phase[phase];
    snprintf(out->symbol, sizeof out->symbol, phase ? "%s_%d" : "%s", e->name, phase);
    memcpy(out->grid, grid, sizeof out->grid);
    out->block[0] = threads;
    out->block[1] = out->block[2] = 1;
    e->source->phases = phase + 1;
    const char *blocks = e->blocks > 0 ? fbl_arena_printf(e->arena, ", %d", e->blocks) : "";
    fbl_cuda_line(e, 0, "extern \"C\" __global__ void __launch_bounds__(%u%s) %s(%s%s) {", threads, blocks, out->symbol, fbl_cuda_parameters(e, workspace), e->maps ? e->maps : "");
    e->maps = NULL;
    e->blocks = 0;
}

int64_t fbl_cuda_pow2(int64_t x) {
    int64_t p = 1;
    while (p < x) {
        p *= 2;
    }
    return p;
}

int64_t fbl_cuda_processors(int32_t arch) {
    static const int32_t table[][2] = {{75, 68}, {80, 108}, {86, 84}, {87, 16}, {89, 128}, {90, 132}, {100, 148}};
    int64_t count = 128;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        count = table[i][0] <= arch ? table[i][1] : count;
    }
    return count;
}

// A comment with what a reader wants to know first: where the kernel came from and what it moves and computes.
static void describe(FblCudaEmit *e) {
    const FblKernel *kernel = e->kernel;
    static const char *const kinds[] = {"conv2d", "conv2d data gradient", "conv2d weight gradient", "matmul"};
    fbl_cuda_line(e, 0, "// %s", e->name);
    for (const char *at = kernel->note ? kernel->note : ""; *at;) { // a newline in a note must not end the comment
        size_t length = strcspn(at, "\r\n\\");
        if (length > 0) {
            fbl_cuda_line(e, 0, "// from %.*s", (int)length, at);
        }
        at += length + (at[length] != 0);
    }
    for (int32_t i = 0; i < kernel->buffer_count; i++) {
        const FblKernelBuffer *buffer = &kernel->buffers[i];
        fbl_text_printf(&e->text, "// b%d %s [", i, fbl_dtype_name(buffer->dtype));
        for (int32_t d = 0; d < buffer->rank; d++) {
            fbl_text_printf(&e->text, "%s%lld", d ? ", " : "", (long long)buffer->extents[d]);
        }
        fbl_text_printf(&e->text, "] %s\n", buffer->is_output ? "out" : "in");
    }
    if (kernel->kind == FBL_KERNEL_CONTRACTION) {
        fbl_cuda_line(e, 0, "// %s", kinds[kernel->contraction.kind]);
    }
    fbl_cuda_line(e, 0, "// about %lld bytes, %lld operations", (long long)kernel->bytes, (long long)kernel->flops);
}

// The kernel's name as an identifier, with a hash of its text: the same in every translation unit, and no two kernels of
// one plan share it.
static const char *identifier(FblArena *arena, const FblKernel *kernel) {
    FblText text;
    fbl_text_init(&text, arena);
    fbl_kernel_print_to(&text, kernel, false);
    char *name = fbl_arena_printf(arena, "%s%.64s_%08x", kernel->name && isalpha((unsigned char)kernel->name[0]) ? "" : "k_",
                                  kernel->name ? kernel->name : "", (unsigned)fbl_hash_u64(text.data, text.length));
    for (char *c = name; *c; c++) {
        *c = isalnum((unsigned char)*c) ? *c : '_';
    }
    return name;
}

FblStatus fbl_cuda_emit(const FblKernel *kernel, const FblCudaOptions *options, FblCudaSource *out_source, char *error, size_t error_size) {
    memset(out_source, 0, sizeof *out_source);
    snprintf(error, error_size, "%s", "");
    if (options->arch < 75) {
        snprintf(error, error_size, "compute capability %d.%d is not supported, 7.5 is the least", options->arch / 10, options->arch % 10);
        return FBL_UNSUPPORTED;
    }
    if (options->arch < 80 && options->precision != FBL_CUDA_F32) {
        snprintf(error, error_size, "compute capability %d.%d has no tensor cores for this precision, 8.0 is the least; f32 works", options->arch / 10,
                 options->arch % 10);
        return FBL_UNSUPPORTED;
    }
    FblArena arena;
    fbl_arena_init(&arena);
    FblCudaEmit e = {.arena = &arena, .kernel = kernel, .options = options, .source = out_source, .error = error, .error_size = error_size};
    fbl_text_init(&e.text, &arena);
    e.name = identifier(&arena, kernel);
    describe(&e);
    FblStatus status = kernel->kind == FBL_KERNEL_LOOPS     ? fbl_cuda_emit_loops(&e)
                       : kernel->kind == FBL_KERNEL_LIBRARY ? fbl_cuda_emit_library(&e)
                                                            : fbl_cuda_emit_contraction(&e);
    if (status == FBL_OK) {
        status = fbl_cuda_emit_around(&e);
    }
    if (status == FBL_OK) {
        out_source->text = malloc(e.text.length + 1);
        if (out_source->text) {
            memcpy(out_source->text, e.text.data, e.text.length + 1);
        } else {
            status = FBL_NOMEM;
        }
    }
    fbl_arena_deinit(&arena);
    return status;
}

void fbl_cuda_source_free(FblCudaSource *source) {
    free(source->text);
    memset(source, 0, sizeof *source);
}

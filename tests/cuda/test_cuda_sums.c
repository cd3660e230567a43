// Sums over a convolution's result that begin in its kernel, as CUDA C run on the CPU: the sum over all pixels and the squares about the
// mean, and sums of a masked data gradient, over odd extents, groups, strides, one and several runs of the sum, whole and partly filled tiles, and numbers of pixels that
// have parts and that have none. Every launch against what it must make of the memory that it reads, the sums against the
// interpreter, and the same bits with the threads shuffled.
// test_cuda_sums PRECISION [wgmma|tma]
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_run.h"
#include "ir/interp.h"
#include "kernel_truth.h"
#include "passes/lower.h"

#define SEED 3
#define STEP 2

typedef struct Case {
    int64_t n, c, h, w, o, kernel, stride, pad, groups;
    double offset;      // added to images and weights: the mean is then far larger than the deviation
    int64_t rows;       // of a part that the convolution's kernel must have; 0: none
    bool backward;      // sums of a masked data gradient, and of it times the image, in place of the statistics
} Case;

static const Case CASES[] = {
    {8, 5, 16, 16, 12, 3, 1, 1, 1, 0, 64, false},     // tiles wider than the result
    {32, 6, 9, 7, 33, 3, 2, 1, 1, 0, 64, false},      // parts across images; columns not in quads; 640 pixels: tiles end inside
    {32, 8, 5, 5, 48, 3, 1, 1, 1, 0, 32, false},      // 800 pixels
    {16, 4, 7, 9, 80, 3, 1, 1, 2, 0, 16, false},      // 1008 pixels, groups
    {32, 8, 9, 9, 32, 1, 1, 0, 1, 0, 0, false},       // a product of matrices: a library may do it
    {3, 4, 19, 17, 70, 3, 1, 1, 1, 0, 0, false},      // 969 pixels: no parts
    {8, 256, 8, 8, 64, 3, 1, 1, 1, 0, 64, false},     // few tiles and a long sum: several runs
    {16, 96, 10, 10, 36, 3, 1, 1, 1, 0, 64, false},   // ... and partly filled ones
    {4, 3, 16, 16, 24, 3, 1, 0, 1, 1, 16, false},     // 784 pixels, whose mean is far larger than their deviation
    {64, 2, 24, 24, 3, 2, 1, 0, 1, 0.5, 64, false},   // 529 parts: added in groups
    {32, 24, 8, 6, 10, 3, 1, 1, 1, 0, 64, true},  // channels in fours: loads of four neighbours
    {16, 37, 9, 7, 64, 3, 1, 1, 1, 0, 16, true},  // ... one by one
    {16, 64, 8, 8, 128, 3, 1, 1, 1, 0, 64, true}, // several runs of the sum
    {16, 16, 9, 9, 16, 3, 2, 1, 1, 0, 0, true},   // a strided data gradient has none
};

static FblType type_of(FblContext *ctx, const char *const names[4], const int64_t extents[4]) {
    FblType type = {.dtype = FBL_F32};
    for (int i = 0; i < 4; i++) {
        fbl_type_add_axis(&type, fbl_intern(ctx, names[i]), extents[i]);
    }
    return type;
}

static int64_t size_out(const Case *k, int64_t extent) { return (extent + 2 * k->pad - k->kernel) / k->stride + 1; }

static FblGraph *build(FblContext *ctx, const Case *k) {
    FblGraph *graph = fbl_graph_create(ctx, "sums");
    FblLoc loc = FBL_NO_LOC;
    FblType x = type_of(ctx, (const char *const[]){"n", "c", "h", "w"}, (int64_t[]){k->n, k->c, k->h, k->w});
    FblType w = type_of(ctx, (const char *const[]){"c", "k", "i", "j"}, (int64_t[]){k->o, k->c / k->groups, k->kernel, k->kernel});
    FblNodeId inputs[2] = {fbl_graph_leaf(graph, FBL_OP_INPUT, "x", &x, loc), fbl_graph_leaf(graph, FBL_OP_INPUT, "w", &w, loc)};
    FblAttr attr = {.name_count = 4, .i = {k->stride, k->stride, k->pad, k->pad, 1, 1, k->groups}};
    for (int i = 0; i < 4; i++) {
        attr.names[i] = x.axes[i].name;
    }
    FblNodeId y = fbl_graph_add(graph, FBL_OP_CONV2D, inputs, 2, &attr, NULL, loc);
    const FblName pixels[3] = {attr.names[0], attr.names[2], attr.names[3]};
    FblNodeId sum = fbl_graph_reduce(graph, FBL_OP_SUM, y, pixels, 3, loc);
    double count = (double)(k->n * size_out(k, k->h) * size_out(k, k->w));
    FblNodeId mean = fbl_graph_binary(graph, FBL_OP_DIV, sum, fbl_graph_const(graph, FBL_F32, count, loc), loc);
    FblNodeId from = fbl_graph_binary(graph, FBL_OP_SUB, y, mean, loc);
    FblNodeId squares = fbl_graph_reduce(graph, FBL_OP_SUM, fbl_graph_binary(graph, FBL_OP_MUL, from, from, loc), pixels, 3, loc);
    FblNodeId scaled = fbl_graph_binary(graph, FBL_OP_MUL, from, fbl_graph_binary(graph, FBL_OP_ADD, squares, sum, loc), loc);
    fbl_graph_root(graph, FBL_ROOT_OUTPUT, fbl_intern(ctx, "sum"), sum);
    fbl_graph_root(graph, FBL_ROOT_OUTPUT, fbl_intern(ctx, "squares"), squares);
    fbl_graph_root(graph, FBL_ROOT_OUTPUT, fbl_intern(ctx, "scaled"), scaled); // reads the result, which is therefore stored
    return graph;
}

// What a batch normalisation's backward sums, and the sums of its squares to compare with.
static FblGraph *build_backward(FblContext *ctx, const Case *k) {
    FblGraph *graph = fbl_graph_create(ctx, "sums");
    FblLoc loc = FBL_NO_LOC;
    FblType x = type_of(ctx, (const char *const[]){"n", "c", "h", "w"}, (int64_t[]){k->n, k->c, k->h, k->w});
    FblType g = type_of(ctx, (const char *const[]){"n", "o", "h", "w"}, (int64_t[]){k->n, k->o, size_out(k, k->h), size_out(k, k->w)});
    FblType w = type_of(ctx, (const char *const[]){"o", "k", "i", "j"}, (int64_t[]){k->o, k->c, k->kernel, k->kernel});
    g.axes[1].name = fbl_intern(ctx, "c");
    FblNodeId inputs[2] = {fbl_graph_leaf(graph, FBL_OP_INPUT, "g", &g, loc), fbl_graph_leaf(graph, FBL_OP_INPUT, "w", &w, loc)}, image = fbl_graph_leaf(graph, FBL_OP_INPUT, "x", &x, loc);
    FblAttr attr = {.name_count = 4, .i = {k->stride, k->stride, k->pad, k->pad, 1, 1, 1}};
    for (int i = 0; i < 4; i++) {
        attr.names[i] = x.axes[i].name;
    }
    FblNodeId dx = fbl_graph_add(graph, FBL_OP_CONV2D_DATA_GRAD, inputs, 2, &attr, &x, loc), zero = fbl_graph_const(graph, FBL_F32, 0, loc);
    FblNodeId masked = fbl_graph_select(graph, fbl_graph_binary(graph, FBL_OP_LE, image, zero, loc), zero, dx, loc);
    FblNodeId terms[2] = {masked, fbl_graph_binary(graph, FBL_OP_MUL, masked, image, loc)}, all = zero;
    const FblName pixels[3] = {attr.names[0], attr.names[2], attr.names[3]};
    static const char *const names[2][2] = {{"sum", "squares"}, {"size.sum", "size.squares"}};
    for (int i = 0; i < 4; i++) {
        FblNodeId term = i < 2 ? terms[i] : fbl_graph_binary(graph, FBL_OP_MUL, terms[i - 2], terms[i - 2], loc);
        FblNodeId sum = fbl_graph_reduce(graph, FBL_OP_SUM, term, pixels, 3, loc);
        fbl_graph_root(graph, FBL_ROOT_OUTPUT, fbl_intern(ctx, names[i / 2][i % 2]), sum);
        all = fbl_graph_binary(graph, FBL_OP_ADD, all, sum, loc);
    }
    fbl_graph_root(graph, FBL_ROOT_OUTPUT, fbl_intern(ctx, "scaled"), fbl_graph_binary(graph, FBL_OP_MUL, masked, all, loc));
    return graph;
}

static uint64_t random_state = 99;

static void fill(const FblGraph *graph, const Case *k, FblBindings *leaves) {
    for (size_t id = 0; id < graph->count; id++) {
        const FblNode *node = &graph->nodes[id];
        FblTensor tensor;
        if (node->op != FBL_OP_INPUT) {
            continue;
        }
        if (fbl_tensor_create(&node->type, &tensor) != FBL_OK || fbl_bindings_set(leaves, node->attr.names[0], tensor) != FBL_OK) {
            exit(1);
        }
        for (int64_t i = 0; i < fbl_type_elements(&node->type); i++) {
            random_state = random_state * 6364136223846793005u + 1442695040888963407u;
            double r = (double)(random_state >> 33) / 1073741824.0 - 1; // [-1, 1)
            tensor.data[i] = (double)(float)(k->offset != 0 ? k->offset + r / 16 : r);
        }
    }
}

// As test_cuda_step: f32 sums of some thousand terms in another order; halves that fall on the other side of a tie, and sums of them.
// Where the mean is far larger than the deviation (up to 140 times), a deviation is off as the mean is, be it by the sums' order or by a
// half on the other side of a tie: ten times as much is allowed there, a hundredth of what squares of the elements in place of squares
// about the mean would lose in f32.
static double allowed_launch(const Case *k, bool half) { return (k->offset != 0 ? 10 : 1) * (half ? 1e-4 : 2e-6); }

static int run_checked(const Case *k, const CudaRun *run, const FblPlan *plan, uint8_t *const regions[FBL_REGION_COUNT], FblCudaPrecision precision) {
    const FblPlanFunction *f = &plan->functions[0];
    int failed = 0;
    for (size_t i = 0; i < f->launch_count; i++) {
        const FblKernel *kernel = plan->kernels[f->launches[i].kernel];
        double *want[16] = {NULL};
        void *buffers[16];
        for (int32_t b = 0; b < kernel->buffer_count; b++) {
            buffers[b] = regions[f->launches[i].bindings[b].region] + f->launches[i].bindings[b].offset;
        }
        kernel_truth(kernel, buffers, precision, SEED, STEP, want);
        cuda_run_kernel(run, kernel, buffers, SEED, STEP, 0);
        for (int32_t b = 0; b < kernel->buffer_count; b++) {
            double worst = 0;
            failed |= want[b] && !kernel_truth_check(kernel, b, buffers[b], want[b], allowed_launch(k, false), allowed_launch(k, true), &worst);
            free(want[b]);
        }
    }
    return failed;
}

static const FblTensor *result(FblContext *ctx, FblBindings *results, const char *name) { return fbl_bindings_find(results, fbl_intern(ctx, name)); }

// Relative to the size of what is summed: the products' factors are rounded, by 2^-9 (bf16) or 2^-12 (tf32, f16) of each at most, and
// with halves the result once more. In f32 sums of at most 2304 products and 36864 pixels round in trees and short runs.
static const double allowed_total[] = {2e-6, 0x1p-10, 0x1p-7, 0x1p-10};

static int check_total(const Case *k, FblContext *ctx, const FblPlan *plan, uint8_t *const regions[FBL_REGION_COUNT], FblBindings *results, FblCudaPrecision precision, double count, size_t number) {
    const FblTensor *sum = result(ctx, results, "sum"), *squares = result(ctx, results, "squares");
    int failed = 0;
    for (size_t i = 0; i < plan->functions[0].output_count; i++) {
        const FblPlanTensor *output = &plan->functions[0].outputs[i];
        bool is_sum = strcmp(output->name, "sum") == 0;
        for (int64_t o = 0; o < fbl_type_elements(&sum->type) && (is_sum || strcmp(output->name, "squares") == 0); o++) {
            double mean = sum->data[o] / count, deviation = sqrt(squares->data[o] / count), size = sqrt(mean * mean + deviation * deviation);
            double got = ((const float *)(regions[output->region] + output->offset))[o], want = is_sum ? sum->data[o] : squares->data[o];
            // An error e of every element moves the sum by count e, the squares by 2 count deviation e.
            double allowed = allowed_total[precision] * size * count * (is_sum ? 1 : 2 * deviation + allowed_total[precision] * size);
            if (k->backward) {
                allowed = allowed_total[precision] * sqrt(count * result(ctx, results, is_sum ? "size.sum" : "size.squares")->data[o]);
            }
            if (!(fabs(got - want) <= allowed)) {
                fprintf(stderr, "case %zu, channel %d: %s is %.9g instead of %.9g, allowed are %.3g\n", number, (int)o, output->name, got, want, allowed);
                failed = 1;
            }
        }
    }
    return failed;
}

// Whether the convolution's kernel has the parts that it must have, and no other kernel reads its result for sums.
static int check_form(const FblPlan *plan, const Case *k, size_t number) {
    int64_t rows = k->rows;
    for (size_t i = 0; i < plan->kernel_count; i++) {
        const FblKernel *kernel = plan->kernels[i];
        if (kernel->kind == FBL_KERNEL_CONTRACTION && (kernel->part_rows != rows || kernel->result_count != (rows == 0 ? 0 : k->backward ? 4 : 2))) {
            fprintf(stderr, "case %zu: parts of %d rows instead of %d\n", number, (int)kernel->part_rows, (int)rows);
            return 1;
        }
    }
    return 0;
}

static FblStatus read_text(FblContext *ctx, const char *text, FblKernel **out_kernel) {
    return fbl_kernel_read(ctx, fbl_source_add(ctx, "kernel", text, strlen(text)), out_kernel);
}

// The text of a kernel gives the kernel; with parts that are not its rows, a row outside of a stage over rows, or anything but sums it is refused.
static int check_text(FblContext *ctx, const FblKernel *kernel, size_t number) {
    static const char *const wrong[][2] = {{"  parts 64 ", "  parts 32 "}, {"  stage [] ", "  stage [9] "}, {"reduce sum f32", "reduce reduce_max f32"}, {"  parts 64 12", "  parts 64 8"}, {"  parts 64 12 13\n", ""}};
    FblKernel *again;
    const char *text = fbl_kernel_print(ctx, kernel, true);
    if (read_text(ctx, text, &again) != FBL_OK || strcmp(fbl_kernel_print(ctx, again, true), text) != 0 ||
        strcmp(fbl_kernel_print(ctx, fbl_kernel_copy(fbl_context_arena(ctx), kernel), true), text) != 0) {
        fprintf(stderr, "case %zu: the text is not the kernel:\n%s", number, text);
        return 1;
    }
    for (size_t i = 0; kernel->part_rows == 64 && i < sizeof wrong / sizeof *wrong; i++) {
        const char *at = strstr(text, wrong[i][0]);
        char *other = at ? malloc(strlen(text) + 64) : NULL;
        if (!other) {
            fprintf(stderr, "case %zu: no `%s` in\n%s", number, wrong[i][0], text);
            return 1;
        }
        sprintf(other, "%.*s%s%s", (int)(at - text), text, wrong[i][1], at + strlen(wrong[i][0]));
        bool taken = read_text(ctx, other, &again) == FBL_OK;
        free(other);
        if (taken) {
            fprintf(stderr, "case %zu: a kernel with `%s` is taken\n", number, wrong[i][1]);
            return 1;
        }
    }
    return 0;
}

int main(int argc, char **argv) {
    static const char *const names[] = {"f32", "tf32", "bf16", "f16"};
    enum { COUNT = sizeof CASES / sizeof *CASES };
    if (argc < 2) {
        fprintf(stderr, "usage: test_cuda_sums PRECISION [wgmma|tma]\n");
        return 2;
    }
    if (!cuda_run_possible()) {
        printf("skipped: no C++ compiler\n");
        return 77;
    }
    FblCudaOptions target = {.arch = argc == 3 ? 90 : 80, .gemm = argc < 3 ? FBL_CUDA_GEMM_AUTO : strcmp(argv[2], "tma") == 0 ? FBL_CUDA_GEMM_TMA : FBL_CUDA_GEMM_WGMMA};
    for (int i = 0; i < 4; i++) {
        target.precision = strcmp(argv[1], names[i]) == 0 ? (FblCudaPrecision)i : target.precision;
    }
    FblContext *ctx = fbl_context_create();
    FblGraph *graphs[COUNT];
    FblPlan *plans[COUNT];
    CudaRun run;
    cuda_run_init(&run, &target);
    int failed = 0;
    for (size_t i = 0; i < COUNT; i++) {
        FblLowerOptions options = {.vector_bytes = 32, .fuse = true, .block_layouts = true, .channels_last = true, .epilogue_sums = true,
                                   .storage = target.precision == FBL_CUDA_BF16 ? FBL_BF16 : target.precision == FBL_CUDA_F16 ? FBL_F16 : FBL_F32};
        graphs[i] = (CASES[i].backward ? build_backward : build)(ctx, &CASES[i]);
        if (fbl_lower_graph(graphs[i], &options, &plans[i]) != FBL_OK) {
            fbl_diag_flush(ctx, stderr, false);
            return 1;
        }
        failed |= check_form(plans[i], &CASES[i], i);
        for (size_t n = 0; n < plans[i]->kernel_count; n++) {
            failed |= check_text(ctx, plans[i]->kernels[n], i);
        }
        cuda_run_add(&run, plans[i]);
    }
    cuda_run_build(&run);
    size_t split = 0;
    for (size_t i = 0; i < run.count; i++) {
        split += run.kernels[i].kernel->part_rows > 0 && !strstr(run.kernels[i].source.text, ", 1 runs of the sum");
    }
    printf("%zu kernels with several runs of the sum\n", split);
    failed |= split == 0;
    for (size_t i = 0; i < COUNT; i++) {
        const Case *k = &CASES[i];
        FblBindings leaves = {0}, results = {0};
        fill(graphs[i], k, &leaves);
        if (fbl_interp_run(graphs[i], &leaves, &(FblInterpOptions){.seed = SEED, .step = STEP}, &results) != FBL_OK) {
            return 1;
        }
        uint8_t *regions[2][FBL_REGION_COUNT];
        for (int way = 0; way < 2; way++) {
            cuda_run_regions(plans[i], regions[way]);
            for (size_t t = 0; t < plans[i]->functions[0].input_count; t++) {
                const FblPlanTensor *input = &plans[i]->functions[0].inputs[t];
                const FblTensor *value = fbl_bindings_find(&leaves, input->name);
                for (int64_t e = 0; e < fbl_type_elements(&value->type); e++) {
                    ((float *)(regions[way][input->region] + input->offset))[e] = (float)value->data[e];
                }
            }
        }
        failed |= run_checked(k, &run, plans[i], regions[0], target.precision);
        cuda_run_function(&run, plans[i], 0, regions[1], SEED, STEP, 17);
        if (memcmp(regions[0][FBL_REGION_OUTPUTS], regions[1][FBL_REGION_OUTPUTS], (size_t)plans[i]->region_bytes[FBL_REGION_OUTPUTS]) != 0) {
            fprintf(stderr, "case %zu: another order of the threads gives another result: a race\n", i);
            failed = 1;
        }
        double pixels = k->backward ? (double)(k->n * k->h * k->w) : (double)(k->n * size_out(k, k->h) * size_out(k, k->w));
        failed |= check_total(k, ctx, plans[i], regions[0], &results, target.precision, pixels, i);
        for (int r = 0; r < FBL_REGION_COUNT; r++) {
            free(regions[0][r]);
            free(regions[1][r]);
        }
        fbl_bindings_free(&leaves);
        fbl_bindings_free(&results);
    }
    cuda_run_free(&run);
    fbl_context_destroy(ctx);
    return failed;
}

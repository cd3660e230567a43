// Contractions as CUDA C, run on the CPU, against sums in double: every kind, odd, unit and large shapes, channels first and
// last, with and without fused bodies, products in the four orders of memory; each with the threads in order and shuffled.
// test_cuda_contract PRECISION [tiles|wgmma|tma]
// `tiles`: with other tiles than the cost model's, a table of tuned tiles for each kernel (every fifth case).
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_run.h"
#include "kernel_build.h"

static FblCudaPrecision precision;
static CudaRun run;
static bool other_tiles;
static int filled_parts; // cases whose work was held against what is useful

typedef struct Case {
    Build *build;
    FblContraction c;
    bool fused, last, alone;
    FblDtype stored; // images, and a product's operands and result: f32 or a half
    int order; // of a product's operands: bit 0: a transposed; bit 1: b transposed
    float *buffers[6]; // their numbers
    uint16_t *halves[6]; // what the kernel gets instead, for buffers in half precision
    size_t sizes[6];
    int result; // number of the result's buffer
    char name[200];
} Case;

static size_t elements(const FblKernelBuffer *buffer) {
    size_t count = 1;
    for (int32_t d = 0; d < buffer->rank; d++) {
        count *= (size_t)buffer->extents[d];
    }
    return count;
}

// A factor as the tensor cores see it.
static double rounded(float x) {
    int bits = precision == FBL_CUDA_F32 ? 24 : precision == FBL_CUDA_BF16 ? 8 : 11, e;
    double f = frexp(x, &e);
    f = ldexp(f, bits);
    // tf32 rounds ties away, the halves to even; random operands of 24 bits hit no tie that matters at the tolerance.
    return ldexp(precision == FBL_CUDA_TF32 ? round(f) : nearbyint(f), e - bits);
}

static size_t image_at(const Case *k, int64_t channels, int64_t height, int64_t width, int64_t n, int64_t c, int64_t h, int64_t w) {
    return (size_t)(k->last ? ((n * height + h) * width + w) * channels + c : ((n * channels + c) * height + h) * width + w);
}

// Element `at` of channel `c` of the first operand after its body.
static double first_operand(const Case *k, size_t at, int64_t c) {
    float x = k->buffers[0][at];
    if (k->fused) {
        x = x * k->buffers[3][c] + k->buffers[4][c];
        x = x > 0 ? x : 0;
    }
    return rounded(x);
}

typedef struct Sums {
    double *sum, *size;
} Sums;

static void add(Sums *s, size_t at, double product) {
    s->sum[at] += product;
    s->size[at] += fabs(product);
}

static void reference_conv(const Case *k, Sums *s) {
    const FblContraction *c = &k->c;
    int64_t cg = c->c / c->groups, og = c->o / c->groups;
    for (int64_t n = 0; n < c->n; n++) {
        for (int64_t o = 0; o < c->o; o++) {
            for (int64_t y = 0; y < c->oh * c->ow; y++) {
                for (int64_t t = 0; t < cg * c->kh * c->kw; t++) {
                    int64_t ci = t / (c->kh * c->kw), i = t / c->kw % c->kh, j = t % c->kw, ch = o / og * cg + ci;
                    int64_t h = y / c->ow * c->stride_h - c->pad_h + i * c->dilation_h, w = y % c->ow * c->stride_w - c->pad_w + j * c->dilation_w;
                    if (h < 0 || h >= c->h || w < 0 || w >= c->w) {
                        continue;
                    }
                    size_t x_at = image_at(k, c->c, c->h, c->w, n, ch, h, w), y_at = image_at(k, c->o, c->oh, c->ow, n, o, y / c->ow, y % c->ow);
                    size_t w_at = (size_t)(((o * cg + ci) * c->kh + i) * c->kw + j);
                    if (c->kind == FBL_CONV_FORWARD) {
                        add(s, y_at, first_operand(k, x_at, ch) * rounded(k->buffers[1][w_at]));
                    } else if (c->kind == FBL_CONV_DATA_GRAD) {
                        add(s, x_at, first_operand(k, y_at, o) * rounded(k->buffers[1][w_at]));
                    } else {
                        add(s, w_at, first_operand(k, x_at, ch) * rounded(k->buffers[1][y_at]));
                    }
                }
            }
        }
    }
}

static void reference_product(const Case *k, Sums *s) {
    const FblContraction *c = &k->c;
    for (int64_t i = 0; i < c->n_batch * c->m * c->n_; i++) {
        int64_t g = i / (c->m * c->n_), m = i / c->n_ % c->m, n = i % c->n_;
        for (int64_t p = 0; p < c->k; p++) {
            float a = k->order & 1 ? k->buffers[0][(g * c->k + p) * c->m + m] : k->buffers[0][(g * c->m + m) * c->k + p];
            float b = k->order & 2 ? k->buffers[1][(g * c->n_ + n) * c->k + p] : k->buffers[1][(g * c->k + p) * c->n_ + n];
            add(s, (size_t)i, rounded(a) * rounded(b));
        }
    }
}

static void build_product(Case *k) {
    Build *b = k->build;
    const FblContraction *c = &k->c;
    int64_t extents[3][3] = {{c->n_batch, c->m, c->k}, {c->n_batch, c->k, c->n_}, {c->n_batch, c->m, c->n_}};
    build_init(b, FBL_KERNEL_CONTRACTION, "matmul");
    b->kernel.contraction = *c;
    for (int i = 0; i < 3; i++) {
        bool swap = i < 2 && k->order & (1 << i);
        build_buffer(b, k->stored, i == 2, 3, (int64_t[]){extents[i][0], extents[i][swap ? 2 : 1], extents[i][swap ? 1 : 2]});
        FblKBody body = {.loop_count = 3, .first = b->kernel.instr_count, .value = -1};
        int32_t index[3];
        for (int d = 0; d < 3; d++) {
            body.loops[d] = build_loop(b, extents[i][d]);
            index[d] = build_index(b, body.loops[d]);
        }
        int32_t at[3] = {index[0], index[swap ? 2 : 1], index[swap ? 1 : 2]};
        if (i < 2) {
            body.value = build_load(b, i, at);
        } else {
            int32_t value = b->kernel.instr_count++;
            b->instrs[value] = (FblKInstr){.kind = FBL_K_ACC, .dtype = FBL_F32, .guard = -1, .otherwise = -1};
            body.stores = &b->stores[0];
            body.store_count = 1;
            build_store(b, 2, value, -1, index);
        }
        body.last = b->kernel.instr_count;
        *(i < 2 ? &b->kernel.operands[i] : &b->kernel.epilogue) = body;
    }
}

static void open_case(Case *k) {
    uint64_t seed = 17;
    if (k->c.kind == FBL_MATMUL) {
        build_product(k);
    } else {
        build_conv_stored(k->build, &k->c, k->last ? -1 : 0, k->fused, k->stored);
    }
    for (int32_t i = 0; i < k->build->kernel.buffer_count; i++) {
        k->sizes[i] = elements(&k->build->buffers[i]);
        k->result = k->build->buffers[i].is_output ? i : k->result;
        k->buffers[i] = malloc((k->sizes[i] + 1) * sizeof(float));
        for (size_t e = 0; e < k->sizes[i]; e++) {
            k->buffers[i][e] = random_real(&seed);
        }
        if (fbl_dtype_is_half(k->build->buffers[i].dtype)) {
            k->halves[i] = malloc((k->sizes[i] + 1) * sizeof(uint16_t));
            for (size_t e = 0; e < k->sizes[i]; e++) {
                k->halves[i][e] = half_nearest(k->stored, k->buffers[i][e]);
                k->buffers[i][e] = (float)half_value(k->stored, k->halves[i][e]);
            }
        }
    }
    FblCudaTuneRow row = {.note = ""};
    FblCudaTune table = {&row, 1, 1};
    if (other_tiles) { // the last candidates are the ones with more or fewer stages
        static size_t turn;
        FblCudaChoice choices[40];
        size_t count = 0;
        fbl_cuda_problem(&k->build->kernel, &run.options, &row.problem, choices, sizeof choices / sizeof *choices, &count);
        row.choice = choices[count - 1 - turn++ % count];
        run.options.tune = &table;
        cuda_run_add_kernel(&run, &k->build->kernel);
        run.options.tune = NULL;
        if (!strstr(run.kernels[run.count - 1].source.text, "\n// tuned: ")) {
            fprintf(stderr, "%s: the tile of the table is not taken\n", k->name);
            exit(1);
        }
        return;
    }
    cuda_run_add_kernel(&run, &k->build->kernel);
}

// Multiply-adds of a strided data gradient that meet a pixel of y, padding around it included, channels and tiles not: a tap counts for
// the pixels of dx that are a multiple of the stride from its first.
static double useful_work(const FblContraction *c) {
    double taps[2] = {0, 0};
    const int64_t extents[2][5] = {{c->h, c->kh, c->stride_h, c->pad_h, c->dilation_h}, {c->w, c->kw, c->stride_w, c->pad_w, c->dilation_w}};
    for (int d = 0; d < 2; d++) {
        for (int64_t i = 0; i < extents[d][0]; i++) {
            for (int64_t t = 0; t < extents[d][1]; t++) {
                taps[d] += (i + extents[d][3] - t * extents[d][4]) % extents[d][2] == 0;
            }
        }
    }
    return (double)c->n * (double)c->c * (double)c->o / (double)c->groups * taps[0] * taps[1];
}

// What the comment says is in the tiles is what the tensor cores did. Where tiles are about filled it is less than twice what is useful;
// with all taps for all pixels it would be four times that.
static int check_work(const Case *k, const char *source, unsigned long long done) {
    const char *line = strstr(source, " multiply-adds in tiles\n");
    if (!line || precision == FBL_CUDA_F32) {
        return 0;
    }
    while (line[-1] != ' ') {
        line--;
    }
    unsigned long long said = strtoull(line, NULL, 10);
    if (said != done) {
        fprintf(stderr, "%s: %llu multiply-adds were done, the comment says %llu\n", k->name, done, said);
        return 1;
    }
    bool filled = k->c.c == 64 && k->c.o == 64 && k->c.h == 14 && !other_tiles;
    if (filled && (double)done >= 2 * useful_work(&k->c)) {
        fprintf(stderr, "%s: %llu multiply-adds, %.0f are useful\n", k->name, done, useful_work(&k->c));
        return 1;
    }
    filled_parts += filled;
    return 0;
}

static int check_case(Case *k, size_t number) {
    size_t count = k->sizes[k->result];
    Sums sums = {calloc(count + 1, sizeof(double)), calloc(count + 1, sizeof(double))};
    float *first = malloc((count + 1) * sizeof *first);
    int failed = 0;
    if (!sums.sum || !sums.size || !first) {
        exit(1);
    }
    if (k->c.kind == FBL_MATMUL) {
        reference_product(k, &sums);
    } else {
        reference_conv(k, &sums);
    }
    for (uint64_t order = 0; order < 2 && !failed; order++) {
        for (size_t i = 0; i < count; i++) {
            k->buffers[k->result][i] = NAN;
        }
        void *pointers[6];
        for (int i = 0; i < 6; i++) {
            pointers[i] = k->halves[i] ? (void *)k->halves[i] : (void *)k->buffers[i];
        }
        if (k->halves[k->result]) {
            memset(k->halves[k->result], 0xff, count * sizeof(uint16_t));
        }
        unsigned long long before = *run.multiply_adds;
        cuda_run_kernel(&run, &k->build->kernel, pointers, 1, 2, order);
        failed |= check_work(k, run.kernels[number].source.text, *run.multiply_adds - before);
        for (size_t i = 0; i < count && k->halves[k->result]; i++) {
            k->buffers[k->result][i] = (float)half_value(k->stored, k->halves[k->result][i]);
        }
        if (order > 0 && memcmp(first, k->buffers[k->result], count * sizeof *first) != 0) {
            fprintf(stderr, "%s: another order of the threads gives another result: a race\n", k->name);
            failed = 1;
        }
        memcpy(first, k->buffers[k->result], count * sizeof *first);
    }
    for (size_t i = 0; i < count && !failed; i++) {
        double want = sums.sum[i];
        if (k->fused) {
            want += k->buffers[5][i];
            want = want > 0 ? want : 0;
        }
        // Products and partial sums are rounded once each; a prologue's result may round to the neighbouring factor (a unit
        // in its last place) where the interpreter's did not.
        double unit = k->fused && precision != FBL_CUDA_F32 ? (precision == FBL_CUDA_BF16 ? 0x1p-8 : 0x1p-11) : 0;
        double allowed = (2e-6 + unit) * (sums.size[i] + 1);
        if (k->halves[k->result]) { // half a unit in the last of 8 or 11 bits, or of f16's smallest number
            allowed += (k->stored == FBL_BF16 ? 0x1p-8 : 0x1p-11) * (fabs(want) + allowed) + 0x1p-25;
        }
        if (!(fabs(first[i] - want) <= allowed)) {
            fprintf(stderr, "%s: element %zu is %.9g, not %.9g (allowed %.3g)\n", k->name, i, (double)first[i], want, allowed);
            failed = 1;
        }
    }
    free(first);
    free(sums.sum);
    free(sums.size);
    return failed;
}

static const int convs[][14] = {
    // n c h w o kh kw sh sw ph pw dh dw groups
    {2, 16, 8, 8, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1},  {3, 3, 9, 11, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1},
    {1, 5, 7, 13, 3, 5, 3, 1, 1, 2, 1, 1, 1, 1},   {5, 16, 9, 9, 32, 3, 3, 2, 2, 1, 1, 1, 1, 1}, {2, 16, 8, 8, 32, 1, 1, 2, 2, 0, 0, 1, 1, 1},
    {2, 8, 12, 10, 24, 3, 3, 1, 1, 2, 2, 2, 2, 1}, {2, 7, 14, 11, 5, 3, 3, 3, 2, 3, 0, 1, 2, 1}, {2, 32, 6, 6, 32, 3, 3, 1, 1, 1, 1, 1, 1, 2},
    {2, 6, 6, 6, 12, 3, 3, 1, 1, 1, 1, 1, 1, 3},   {2, 8, 6, 6, 8, 3, 3, 1, 1, 1, 1, 1, 1, 8},   {2, 64, 8, 8, 72, 3, 3, 1, 1, 1, 1, 1, 1, 1},
    {1, 16, 33, 40, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1}, {1, 160, 14, 14, 136, 1, 1, 1, 1, 0, 0, 1, 1, 1}, {2, 3, 32, 24, 64, 7, 7, 2, 2, 3, 3, 1, 1, 1},
    // So many columns or rows that the other side is packed.
    {1, 9, 5, 6, 1410, 1, 1, 1, 1, 0, 0, 1, 1, 1}, {1, 1410, 5, 6, 9, 1, 1, 1, 1, 0, 0, 1, 1, 1}, {2, 16, 3, 4, 1416, 1, 1, 1, 1, 0, 0, 1, 1, 1}, {2, 1416, 3, 4, 16, 1, 1, 1, 1, 0, 0, 1, 1, 1},
};
// Data gradients alone, in parts: images smaller than the stride, taps without pixels and pixels without taps, a stride beyond those
// that are cut, dilations with and without a common divisor with the stride, groups, and long sums over few pixels.
static const int strided[][14] = {
    {2, 5, 1, 1, 7, 1, 1, 2, 2, 0, 0, 1, 1, 1},    {2, 4, 2, 3, 8, 3, 3, 4, 5, 1, 1, 1, 1, 1},   {1, 3, 70, 5, 4, 2, 2, 66, 2, 0, 0, 1, 1, 1},
    {2, 8, 13, 12, 6, 3, 3, 2, 4, 2, 3, 3, 2, 1},  {2, 12, 7, 10, 24, 3, 2, 2, 2, 1, 0, 1, 1, 3}, {1, 24, 7, 7, 256, 3, 3, 2, 2, 1, 1, 1, 1, 1},
    {3, 16, 9, 8, 64, 4, 4, 4, 3, 0, 1, 1, 1, 1},  {2, 64, 14, 14, 64, 3, 3, 2, 2, 1, 1, 1, 1, 1}, {2, 128, 8, 6, 64, 1, 1, 2, 2, 0, 0, 1, 1, 1},
};
static const int products[][4] = {{1, 1, 1, 1}, {1, 64, 10, 64}, {2, 5, 7, 3}, {1, 97, 33, 100}, {3, 24, 16, 8}, {1, 300, 100, 1}, {1, 10, 64, 1024}, {1, 136, 264, 68}};

int main(int argc, char **argv) {
    static const char *const names[] = {"f32", "tf32", "bf16", "f16"};
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: test_cuda_contract PRECISION [tiles|wgmma|tma]\n");
        return 2;
    }
    other_tiles = argc == 3 && strcmp(argv[2], "tiles") == 0;
    const char *way = argc == 3 && !other_tiles ? argv[2] : NULL;
    if (!cuda_run_possible()) {
        printf("skipped: no C++ compiler\n");
        return 77;
    }
    for (int i = 0; i < 4; i++) {
        precision = strcmp(argv[1], names[i]) == 0 ? (FblCudaPrecision)i : precision;
    }
    cuda_run_init(&run, &(FblCudaOptions){.arch = 90, .precision = precision, .gemm = !way ? FBL_CUDA_GEMM_AUTO : strcmp(way, "tma") == 0 ? FBL_CUDA_GEMM_TMA : FBL_CUDA_GEMM_WGMMA});
    size_t conv_count = sizeof convs / sizeof *convs, strided_count = sizeof strided / sizeof *strided, product_count = sizeof products / sizeof *products, count = 0;
    Case *cases = calloc(2 * (conv_count * 12 + strided_count * 4 + product_count * 4), sizeof *cases);
    if (!cases) {
        return 1;
    }
    for (size_t i = 0; i < conv_count * 12 + strided_count * 4; i++) {
        bool alone = i >= conv_count * 12;
        size_t number = alone ? (i - conv_count * 12) / 4 : i / 12;
        const int *v = alone ? strided[number] : convs[number];
        if (!alone && v[1] + v[4] > 1000 && i % 2 == 0) { // many columns or rows: an operand must be computed
            continue;
        }
        if (way && (alone ? number + 2 : i / 4 + i / 12) % 4 != i % 4) { // one of the four bodies of each: the others differ in phase 0 and the epilogue
            continue;
        }
        Case *k = &cases[count++];
        k->c = (FblContraction){.kind = alone ? FBL_CONV_DATA_GRAD : (FblContractionKind)(i % 12 / 4), .n = v[0], .c = v[1], .h = v[2], .w = v[3], .o = v[4], .kh = v[5], .kw = v[6], .stride_h = v[7], .stride_w = v[8],
                                .pad_h = v[9], .pad_w = v[10], .dilation_h = v[11], .dilation_w = v[12], .groups = v[13]};
        k->c.oh = (k->c.h + 2 * k->c.pad_h - (k->c.kh - 1) * k->c.dilation_h - 1) / k->c.stride_h + 1;
        k->c.ow = (k->c.w + 2 * k->c.pad_w - (k->c.kw - 1) * k->c.dilation_w - 1) / k->c.stride_w + 1;
        k->fused = i % 2;
        k->alone = alone;
        k->last = i % 4 / 2;
        snprintf(k->name, sizeof k->name, "kind %d, %sconvolution %zu%s%s", k->c.kind, alone ? "strided " : "", number, k->fused ? ", fused" : "", k->last ? ", channels last" : "");
    }
    for (size_t i = 0; i < product_count * 4; i++) {
        const int *v = products[i / 4];
        Case *k = &cases[count++];
        k->c = (FblContraction){.kind = FBL_MATMUL, .n_batch = v[0], .m = v[1], .n_ = v[2], .k = v[3]};
        k->order = (int)(i % 4);
        snprintf(k->name, sizeof k->name, "product %d x %d x %d x %d, order %d", v[0], v[1], v[2], v[3], k->order);
    }
    // The same with buffers in half precision, channels last: of the factors' own kind, which are read where they lie, or of the
    // other one, which are converted.
    // Few shapes, as each takes its time; of them fewer where all are converted.
    bool halves = precision == FBL_CUDA_BF16 || precision == FBL_CUDA_F16;
    size_t full = count;
    for (size_t i = 0; i < full; i++) {
        Case *k = &cases[count];
        bool matmul = cases[i].c.kind == FBL_MATMUL;
        if (matmul ? i % 8 / 4 == 0 : cases[i].last && (i / 12 < 11 || cases[i].alone) && (cases[i].alone ? halves : halves ? i / 12 % 2 == 0 : i / 12 % 6 == 0)) {
            *k = cases[i];
            k->stored = (precision == FBL_CUDA_F16) == (i % 5 != 4) ? FBL_F16 : FBL_BF16;
            snprintf(k->name, sizeof k->name, "%.160s, in %s", cases[i].name, fbl_dtype_name(k->stored));
            count++;
        }
    }
    if (other_tiles) {
        for (size_t i = 0; 5 * i < count; i++) {
            cases[i] = cases[5 * i];
        }
        count = (count + 4) / 5;
    }
    int failed = 0, split = 0;
    for (size_t i = 0; i < count; i++) {
        cases[i].build = calloc(1, sizeof *cases[i].build);
        if (!cases[i].build) {
            return 1;
        }
        open_case(&cases[i]);
    }
    cuda_run_build(&run);
    for (size_t i = 0; i < count; i++) {
        failed += check_case(&cases[i], i);
        split += run.kernels[i].source.phases > 1;
    }
    int direct = 0, turned = 0;
    for (size_t i = 0; i < count; i++) {
        const FblCudaSource *source = &run.kernels[i].source;
        bool mapped = false; // a buffer by the copy engine
        for (int32_t p = 0; p < source->phases; p++) {
            for (int32_t m = 0; m < source->phase[p].map_count; m++) {
                mapped = mapped || source->phase[p].maps[m].buffer >= 0;
            }
        }
        direct += mapped || strstr(source->text, "return (const float *)(b") || strstr(source->text, "_from = b");
        turned += strstr(source->text, "fbl_turn") || strstr(source->text, "<1, 1>(sum");
    }
    printf("%zu contractions, %d of them in several phases (operands packed, or the sum split over blocks); %d read halves where they lie, %d turn them around\n", count, split,
           direct, turned);
    for (size_t i = 0; i < count; i++) {
        for (int b = 0; b < 6; b++) {
            free(cases[i].buffers[b]);
            free(cases[i].halves[b]);
        }
        free(cases[i].build);
    }
    free(cases);
    cuda_run_free(&run);
    return failed > 0 || split == 0 || (filled_parts == 0 && precision != FBL_CUDA_F32 && !other_tiles) || (direct > 0) != halves || (turned > 0) != halves;
}

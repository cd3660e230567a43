// Generated CUDA C, run on the CPU, against the double-precision interpreter for every op of the table, over odd, unit and
// large extents, fused and not, with threads in order and shuffled: the same bits either way.
// test_cuda_ops CLASS PRECISION: the ops of one class (its number in FblOpClass), contractions in f32, tf32, bf16 or f16.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cuda_run.h"
#include "op_cases.h"
#include "passes/lower.h"

#define SEED 11
#define STEP 4

static int op_class;
static FblCudaPrecision precision;

// What one rounding of both factors adds to the error of a sum of products, relative to the sum of absolute products:
// two factors, each off by at most half a unit in the last of 11 (tf32, f16) or 8 (bf16) bits. (f16 operands of the cases
// are of size 1, far from its limits; products below 2^-14 round to fewer bits, which the absolute term covers.)
static double factor_error(void) { return precision == FBL_CUDA_F32 ? 0 : precision == FBL_CUDA_BF16 ? 2 * 0x1p-8 : 2 * 0x1p-11; }

typedef struct Way {
    const OpCase *c;
    bool fuse, blocks;
    FblPlan *plan;
} Way;

static double element(const void *data, FblDtype dtype, int64_t i) {
    return dtype == FBL_F32 ? ((const float *)data)[i] : dtype == FBL_I32 ? ((const int32_t *)data)[i] : ((const uint8_t *)data)[i];
}

static void set_element(void *data, FblDtype dtype, int64_t i, double value) {
    if (dtype == FBL_F32) {
        ((float *)data)[i] = (float)value;
    } else if (dtype == FBL_I32) {
        ((int32_t *)data)[i] = (int32_t)value;
    } else {
        ((uint8_t *)data)[i] = value != 0;
    }
}

static const FblPlanTensor *output_of(const FblPlan *plan) {
    for (size_t i = 0; i < plan->functions[0].output_count; i++) {
        if (strcmp(plan->functions[0].outputs[i].name, "y") == 0) {
            return &plan->functions[0].outputs[i];
        }
    }
    fail_msg("the plan has no output");
    return NULL;
}

static void compare(const Way *way, const void *data, const FblTensor *want, const FblTensor *size) {
    const OpCase *c = way->c;
    for (int64_t i = 0; i < fbl_type_elements(&want->type); i++) {
        double got = element(data, want->type.dtype, i), wanted = want->data[i], allowed = 0;
        if (c->bound == OP_ROUNDED) {
            allowed = 4e-6 * fabs(wanted) + 1e-6;
        } else if (c->bound == OP_SUMMED) {
            allowed = (1e-6 + factor_error()) * size->data[i] + (precision == FBL_CUDA_F16 ? 1e-5 : 1e-30);
        } else if (want->type.dtype == FBL_F32) {
            wanted = (float)wanted;
        }
        if (!(fabs(got - wanted) <= allowed) && !(isnan(got) && isnan(wanted)) && got != wanted) {
            fail_msg("%s%s%s: element %lld is %.9g instead of %.9g (allowed %.3g), inputs from seed %d", c->name, way->fuse ? ", fused" : "",
                     way->blocks ? ", layouts chosen" : "", (long long)i, got, wanted, allowed, SEED);
        }
    }
}

static void run_way(const CudaRun *run, const Way *way, FblBindings *leaves, const FblTensor *want, const FblTensor *size) {
    const FblPlanTensor *output = output_of(way->plan);
    size_t bytes = (size_t)fbl_type_elements(&output->type) * (output->type.dtype == FBL_BOOL ? 1 : 4);
    uint8_t *first = NULL;
    for (uint64_t order = 0; order < 3; order++) {
        uint8_t *regions[FBL_REGION_COUNT];
        cuda_run_regions(way->plan, regions);
        for (size_t i = 0; i < way->plan->functions[0].input_count; i++) {
            const FblPlanTensor *input = &way->plan->functions[0].inputs[i];
            const FblTensor *value = fbl_bindings_find(leaves, input->name);
            assert_non_null(value);
            for (int64_t k = 0; k < fbl_type_elements(&value->type); k++) {
                set_element(regions[input->region] + input->offset, input->type.dtype, k, value->data[k]);
            }
        }
        cuda_run_function(run, way->plan, 0, regions, SEED, STEP, order);
        const uint8_t *data = regions[output->region] + output->offset;
        compare(way, data, want, size);
        if (!first) {
            first = malloc(bytes + 1);
            assert_non_null(first);
            memcpy(first, data, bytes);
        } else if (memcmp(first, data, bytes) != 0) {
            fail_msg("%s: another order of the threads (seed %d) gives another result: a race", way->c->name, (int)order);
        }
        for (int r = 0; r < FBL_REGION_COUNT; r++) {
            free(regions[r]);
        }
    }
    free(first);
}

static FblTensor *interpret(const OpCase *c, FblBindings *leaves, FblBindings *results) {
    FblInterpOptions options = {.seed = SEED, .step = STEP};
    FblStatus status = fbl_interp_run(c->graph, leaves, &options, results);
    fbl_diag_flush(c->graph->ctx, stderr, false);
    assert_int_equal(status, FBL_OK);
    return fbl_bindings_find(results, fbl_intern(c->graph->ctx, "y"));
}

static void every_op(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    OpCases cases = {0};
    for (int op = 0; op < FBL_OP_COUNT; op++) {
        if ((int)fbl_op_info((FblOp)op)->op_class == op_class) {
            op_cases_of(ctx, (FblOp)op, &cases);
        }
    }
    assert_true(cases.count > 0);
    Way *ways = calloc(2 * cases.count, sizeof *ways);
    assert_non_null(ways);
    CudaRun run;
    cuda_run_init(&run, &(FblCudaOptions){.arch = 80, .precision = precision});
    for (size_t i = 0; i < 2 * cases.count; i++) {
        ways[i] = (Way){&cases.items[i / 2], i % 2 == 1, i % 2 == 1, NULL};
        FblLowerOptions options = {.vector_bytes = 32, .fuse = ways[i].fuse, .block_layouts = ways[i].blocks, .channels_last = true};
        assert_int_equal(fbl_lower_graph(ways[i].c->graph, &options, &ways[i].plan), FBL_OK);
        cuda_run_add(&run, ways[i].plan);
    }
    cuda_run_build(&run);
    for (size_t i = 0; i < cases.count; i++) {
        const OpCase *c = &cases.items[i];
        FblBindings leaves = {0}, absolute = {0}, results = {0}, sizes = {0};
        op_case_inputs(c->graph, SEED, false, &leaves);
        op_case_inputs(c->graph, SEED, true, &absolute);
        const FblTensor *want = interpret(c, &leaves, &results);
        const FblTensor *size = c->bound == OP_SUMMED ? interpret(c, &absolute, &sizes) : NULL;
        run_way(&run, &ways[2 * i], &leaves, want, size);
        run_way(&run, &ways[2 * i + 1], &leaves, want, size);
        fbl_bindings_free(&leaves);
        fbl_bindings_free(&absolute);
        fbl_bindings_free(&results);
        fbl_bindings_free(&sizes);
    }
    cuda_run_free(&run);
    free(ways);
    fbl_context_destroy(ctx);
}

int main(int argc, char **argv) {
    static const char *const names[] = {"f32", "tf32", "bf16", "f16"};
    if (argc != 3) {
        fprintf(stderr, "usage: test_cuda_ops CLASS PRECISION\n");
        return 2;
    }
    if (!cuda_run_possible()) {
        printf("skipped: no C++ compiler\n");
        return 77;
    }
    op_class = atoi(argv[1]);
    for (int i = 0; i < 4; i++) {
        precision = strcmp(argv[2], names[i]) == 0 ? (FblCudaPrecision)i : precision;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_op)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// Programs whose batch is divided among devices, against the same programs undivided, both in the interpreter: every op along
// every axis, and whole train steps with their gradients. Sums are only reordered, hence 1e-9 of the largest value.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/build.h"
#include "op_cases.h"
#include "passes/manager.h"
#include "passes/shard.h"

#define MOST 4 // shards

static int divided, collectives;

static void count_collectives(const FblGraph *graph) {
    for (size_t id = 0; id < graph->count; id++) {
        collectives += fbl_op_info(graph->nodes[id].op)->op_class == FBL_CLASS_COLLECTIVE;
    }
}

static FblTensor copy_of(const FblTensor *tensor) {
    FblTensor copy;
    assert_int_equal(fbl_tensor_create(&tensor->type, &copy), FBL_OK);
    memcpy(copy.data, tensor->data, (size_t)fbl_type_elements(&tensor->type) * sizeof *copy.data);
    return copy;
}

// The leaves of shard `shard`: those of all, and the numbers of its share.
static void shard_leaves(const FblGraph *graph, const FblBindings *all, int shard, FblBindings *out) {
    for (size_t i = 0; i < all->count; i++) {
        assert_int_equal(fbl_bindings_set(out, all->items[i].name, copy_of(&all->items[i].tensor)), FBL_OK);
    }
    for (size_t id = 0; id < graph->count; id++) {
        const FblNode *node = &graph->nodes[id];
        if (node->op == FBL_OP_INPUT && strncmp(node->attr.names[0], FBL_SHARD_INPUT, strlen(FBL_SHARD_INPUT)) == 0) {
            FblTensor tensor;
            assert_int_equal(fbl_tensor_create(&node->type, &tensor), FBL_OK);
            for (int64_t i = 0; i < node->type.axes[0].extent; i++) {
                tensor.data[i] = (double)(shard * node->type.axes[0].extent + i);
            }
            assert_int_equal(fbl_bindings_set(out, node->attr.names[0], tensor), FBL_OK);
        }
    }
}

static void compare(const char *what, const FblGraph *graph, const FblTensor *got, const FblTensor *want, const char *name) {
    assert_true(fbl_type_equal(&got->type, &want->type));
    double size = 0;
    for (int64_t i = 0; i < fbl_type_elements(&want->type); i++) {
        size = isfinite(want->data[i]) ? fmax(size, fabs(want->data[i])) : size;
    }
    for (int64_t i = 0; i < fbl_type_elements(&want->type); i++) {
        bool same = got->data[i] == want->data[i] || (isnan(got->data[i]) && isnan(want->data[i])) || fabs(got->data[i] - want->data[i]) <= 1e-9 * size;
        if (!same) {
            fail_msg("%s: `%s`, element %lld: %.17g instead of %.17g\n%s", what, name, (long long)i, got->data[i], want->data[i], fbl_graph_print(graph, false));
        }
    }
}

// All roots of `sharded` on all of `count` shards against those of `graph`.
static void check_shards(const char *what, const FblGraph *graph, const FblGraph *sharded, int count, FblBindings *leaves) {
    FblInterpOptions options = {.seed = 3, .step = 5};
    FblBindings want = {0}, inputs[MOST] = {{0}}, got[MOST] = {{0}};
    assert_int_equal(fbl_interp_run(graph, leaves, &options, &want), FBL_OK);
    for (int s = 0; s < count; s++) {
        shard_leaves(sharded, leaves, s, &inputs[s]);
    }
    FblStatus status = fbl_interp_shards(sharded, count, inputs, &options, got);
    fbl_diag_flush(graph->ctx, stderr, false);
    assert_int_equal(status, FBL_OK);
    for (int s = 0; s < count; s++) {
        assert_int_equal(got[s].count, want.count);
        for (size_t i = 0; i < want.count; i++) {
            compare(what, sharded, fbl_bindings_find(&got[s], want.items[i].name), &want.items[i].tensor, want.items[i].name);
        }
        fbl_bindings_free(&inputs[s]);
        fbl_bindings_free(&got[s]);
    }
    fbl_bindings_free(&want);
    divided++;
    count_collectives(sharded);
}

static void check_case(FblContext *ctx, const OpCase *one, const char *axis, int count) {
    FblGraph *sharded;
    FblStatus status = fbl_graph_shard(one->graph, fbl_intern(ctx, axis), count, &sharded);
    fbl_diag_flush(ctx, stderr, false);
    assert_int_equal(status, FBL_OK);
    if (sharded == one->graph) {
        return;
    }
    assert_int_equal(fbl_graph_verify(sharded), FBL_OK);
    FblBindings leaves = {0};
    op_case_inputs(one->graph, 11, false, &leaves);
    check_shards(one->name, one->graph, sharded, count, &leaves);
    fbl_bindings_free(&leaves);
    fbl_graph_discard(sharded);
}

static void every_op(void **state) {
    (void)state;
    int before = 0;
    for (int op = 0; op < FBL_OP_COUNT; op++) {
        FblContext *ctx = fbl_context_create();
        OpCases cases = {0};
        op_cases_of(ctx, (FblOp)op, &cases);
        for (size_t i = 0; i < cases.count; i++) {
            const FblGraph *graph = cases.items[i].graph;
            int64_t elements = 0;
            for (size_t id = 0; id < graph->count; id++) {
                int64_t n = fbl_type_elements(&graph->nodes[id].type);
                elements = n > elements ? n : elements;
            }
            // Each axis name once: from the nodes, as they come.
            const char *seen[32];
            int seen_count = 0;
            for (size_t id = 0; id < graph->count && elements < 20000; id++) {
                const FblType *type = &graph->nodes[id].type;
                for (int a = 0; a < type->rank; a++) {
                    bool known = false;
                    for (int k = 0; k < seen_count; k++) {
                        known |= seen[k] == type->axes[a].name;
                    }
                    if (!known && seen_count < 32) {
                        seen[seen_count++] = type->axes[a].name;
                        for (int count = 2; count <= MOST; count++) {
                            check_case(ctx, &cases.items[i], type->axes[a].name, count);
                        }
                    }
                }
            }
        }
        if (cases.count > 0 && divided == before && op != FBL_OP_CONST && op != FBL_OP_BETA) { // those have scalars alone
            fail_msg("no case of `%s` was divided", fbl_op_info((FblOp)op)->text);
        }
        before = divided;
        fbl_context_destroy(ctx);
    }
    assert_true(divided > 1000);
    assert_true(collectives > 500);
}

// Whole programs
// ---------------------------------------------------------------------------------------------------------------------------

static const char *const PROGRAMS[] = {
    // Batch norm and dropout see all images; the loss is weighted over the batch.
    "import \"losses.fbl\"\n"
    "model net(image: f32[batch, channel=3, height=32, width=32], class) -> (feature, score) {\n"
    "    h = image |> conv2d(4, kernel=4, stride=4) as conv |> batch_norm as bn |> relu |> dropout(0.3)\n"
    "    feature = h |> mean(over=(height, width)) |> rename(channel -> dim)\n"
    "    score = linear(feature, class) as linear\n"
    "    return feature, score\n"
    "}\n"
    "train {\n"
    "    dataset = cifar10(\"models/data/cifar10_lt_sample\")\n"
    "    model = net()\n"
    "    loss = class_balanced()\n"
    "    optimizer = sgd(momentum=0.9)\n"
    "    batch = 12\n"
    "}\n",
    // Every image against every other, a sort and a running sum along the batch, the largest loss of the batch.
    "loss pairs(score: f32[batch, class], label: class[batch]) {\n"
    "    q = cross_entropy(score, label, over=class)\n"
    "    other = rename(score, batch -> row)\n"
    "    alike = contract(score, other, over=class)\n"
    "    contrast = logsumexp(alike, over=row) - mean(alike, over=row)\n"
    "    sorted = sort(q, over=batch, descending=true)\n"
    "    hard = mean(slice(sorted, batch = 0:4:1), over=batch)\n"
    "    spread = mean(abs(flip(q, over=batch) - q), over=batch)\n"
    "    return mean(contrast, over=batch) + hard + max(q, over=batch) + spread + 0.01 * mean(cumsum(q, over=batch), over=batch)\n"
    "}\n"
    "model net(image: f32[batch, channel=3, height=32, width=32], class) -> score {\n"
    "    h = reshape(image, (channel, height, width) -> dim)\n"
    "    view = reshape(image, (batch, channel) -> row)\n"
    "    extra = reshape(mean(abs(view), over=(height, width)), row -> (batch=12, channel=3)) |> rename(channel -> dim)\n"
    "    return linear(h, class) + linear(extra, class) as extra\n"
    "}\n"
    "train {\n"
    "    dataset = cifar10(\"models/data/cifar10_lt_sample\")\n"
    "    model = net()\n"
    "    loss = pairs()\n"
    "    optimizer = sgd(momentum=0.9)\n"
    "    batch = 12\n"
    "}\n",
};

static FblModule *build(FblContext *ctx, const char *text, int gpus) {
    FblProgram *program;
    FblModule *module = NULL;
    FblPassOptions options = fbl_options_default();
    options.gpus = gpus;
    options.verify_text = true;
    FblStatus status = fbl_program_load(ctx, &(FblProgramOptions){.path = "models/shard_test.fbl", .text = text}, &program);
    static const FblSetting ten[] = {{"class", "10"}};
    status = status == FBL_OK ? fbl_program_build(program, &(FblBuildOptions){.settings = ten, .setting_count = 1}, &module) : status;
    status = status == FBL_OK ? fbl_passes_run(module, &options) : status;
    fbl_diag_flush(ctx, stderr, false);
    assert_int_equal(status, FBL_OK);
    return module;
}

static double value_of(uint64_t *state) { // [-1, 1), exact in f32
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(float)((double)(*state >> 40) / 8388608.0 - 1);
}

static void every_program(void **state) {
    (void)state;
    for (size_t p = 0; p < sizeof PROGRAMS / sizeof *PROGRAMS; p++) {
        FblContext *ctx = fbl_context_create();
        FblModule *plain = build(ctx, PROGRAMS[p], 1);
        FblBindings leaves = {0};
        uint64_t random = 17;
        for (size_t id = 0; id < plain->train->count; id++) {
            const FblNode *node = &plain->train->nodes[id];
            if ((node->op == FBL_OP_INPUT || node->op == FBL_OP_PARAM || node->op == FBL_OP_STATE) && !fbl_bindings_find(&leaves, node->attr.names[0])) {
                FblTensor tensor;
                assert_int_equal(fbl_tensor_create(&node->type, &tensor), FBL_OK);
                for (int64_t i = 0; i < fbl_type_elements(&node->type); i++) {
                    double value = value_of(&random);
                    tensor.data[i] = node->type.index_axis ? floor((value + 1) / 2 * (double)node->type.index_extent) : node->type.dtype == FBL_I32 ? 3 : value;
                }
                assert_int_equal(fbl_bindings_set(&leaves, node->attr.names[0], tensor), FBL_OK);
            }
        }
        for (int count = 2; count <= MOST; count++) {
            int before = collectives;
            check_shards("program", plain->train, build(ctx, PROGRAMS[p], count)->train, count, &leaves);
            assert_true(collectives > before + 2);
        }
        fbl_bindings_free(&leaves);
        fbl_context_destroy(ctx);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_op), cmocka_unit_test(every_program)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

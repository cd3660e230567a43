// What programs come to, evaluated by the reference interpreter and compared with the formulas written out in C.
// Both sides compute in double; the tolerance 1e-9 allows for another order of operations only.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/build.h"
#include "ir/interp.h"

static FblProgram *load(FblContext *ctx, const char *text) {
    FblProgram *program = NULL;
    FblStatus status = fbl_program_load(
        ctx, &(FblProgramOptions){.path = "models/test.fbl", .text = text, .library_dir = "models"}, &program);
    fbl_diag_flush(ctx, stderr, false);
    assert_int_equal(status, FBL_OK);
    return program;
}

static FblModule *build(FblContext *ctx, const char *text, const FblBuildOptions *options) {
    FblModule *module = NULL;
    FblStatus status = fbl_program_build(load(ctx, text), options, &module);
    fbl_diag_flush(ctx, stderr, false);
    assert_int_equal(status, FBL_OK);
    return module;
}

// The value of the only loss of `text`, whose inputs are all given.
typedef struct Input {
    const char *name;
    const double *values;
} Input;

static void bind(FblContext *ctx, FblBindings *leaves, const char *name, const FblType *type, const double *values) {
    FblTensor tensor;
    assert_int_equal(fbl_tensor_create(type, &tensor), FBL_OK);
    memcpy(tensor.data, values, sizeof *values * (size_t)fbl_type_elements(type));
    assert_int_equal(fbl_bindings_set(leaves, fbl_intern(ctx, name), tensor), FBL_OK);
}

static void run(const FblGraph *graph, const FblModule *module, const Input *inputs, size_t count, FblBindings *out) {
    FblContext *ctx = module->ctx;
    FblBindings leaves = {0};
    assert_int_equal(fbl_graph_verify(graph), FBL_OK);
    for (size_t i = 0; i < graph->count; i++) {
        const FblNode *node = &graph->nodes[i];
        if (node->op != FBL_OP_INPUT && node->op != FBL_OP_PARAM && node->op != FBL_OP_STATE) {
            continue;
        }
        const char *name = node->attr.names[0];
        const double *values = NULL;
        for (size_t j = 0; j < count; j++) {
            if (strcmp(inputs[j].name, name) == 0) {
                values = inputs[j].values;
            }
        }
        for (size_t j = 0; values == NULL && j < module->hyper_count; j++) {
            if (strcmp(module->hypers[j].name, name) == 0) {
                values = &module->hypers[j].value;
            }
        }
        if (values == NULL) {
            fail_msg("the test gives no value for the leaf %s", name);
        }
        bind(ctx, &leaves, name, &node->type, values);
    }
    FblStatus status = fbl_interp_run(graph, &leaves, &(FblInterpOptions){.seed = 1}, out);
    fbl_diag_flush(ctx, stderr, false);
    assert_int_equal(status, FBL_OK);
    fbl_bindings_free(&leaves);
}

static double output(FblContext *ctx, FblBindings *out, const char *name, int index) {
    FblTensor *tensor = fbl_bindings_find(out, fbl_intern(ctx, name));
    assert_non_null(tensor);
    return tensor->data[index];
}

static double loss_of(const char *text, const char *name, const FblSetting *settings, size_t setting_count,
                      const Input *inputs, size_t count) {
    FblContext *ctx = fbl_context_create();
    FblModule *module = NULL;
    FblBuildOptions options = {.settings = settings, .setting_count = setting_count};
    // Extents come from the signatures (written with extents in these tests).
    FblStatus status = fbl_program_build_loss(load(ctx, text), name, NULL, 0, &options, &module);
    fbl_diag_flush(ctx, stderr, false);
    assert_int_equal(status, FBL_OK);
    FblBindings out = {0};
    run(module->train, module, inputs, count, &out);
    double value = output(ctx, &out, "loss", 0);
    fbl_bindings_free(&out);
    fbl_context_destroy(ctx);
    return value;
}

static void close_to(double have, double want, int line) {
    if (!(fabs(have - want) <= 1e-9 * fmax(1, fabs(want)))) {
        fail_msg("line %d: %.17g instead of %.17g", line, have, want);
    }
}
#define CLOSE(have, want) close_to(have, want, __LINE__)

static const double score[] = {1.5, -0.25, 0.75, -1, 2, 0.5};  // [batch=2, class=3]
static const double feature[] = {3, 4, 0, 1, 2, 2};            // [batch=2, dim=3]
static const double label[] = {2, 0};
static const double counts[] = {1000, 100, 10};

#define SIZES {"batch", "2"}, {"class", "3"}, {"dim", "3"}

static double cross_entropy(const double *z, int y) {
    double sum = 0;
    for (int c = 0; c < 3; c++) {
        sum += exp(z[c]);
    }
    return log(sum) - z[y];
}

static void test_feature_balanced(void **state) {
    (void)state;
    const double epoch = 7;
    const double epochs = 30;
    Input inputs[] = {{"score", score}, {"feature", feature}, {"label", label}, {"class_count", counts},
                      {"epoch", &epoch}, {"epochs", &epochs}};
    FblSetting settings[] = {SIZES, {"loss.lambda", "5"}};
    double have = loss_of("import \"losses.fbl\"", "feature_balanced", settings, 4, inputs, 6);
    double want = 0;
    for (int i = 0; i < 2; i++) {
        double z[3];
        double length = 0;
        for (int d = 0; d < 3; d++) {
            length += feature[3 * i + d] * feature[3 * i + d];
        }
        for (int c = 0; c < 3; c++) {
            double rarity = (log(1000) - log(counts[c])) / (log(1000) - log(10));
            z[c] = score[3 * i + c] - (7.0 / 20) * (7.0 / 20) * 5 * rarity / (sqrt(length) + 1e-12);
        }
        want += cross_entropy(z, (int)label[i]) / 2;
    }
    CLOSE(have, want);
}

// A loss of one scalar expression of the scalar inputs x and y.
static double expression(const char *expr, double x, double y) {
    char text[500];
    snprintf(text, sizeof text, "loss l(x: f32[], y: f32[]) { return %s }", expr);
    Input inputs[] = {{"x", &x}, {"y", &y}};
    return loss_of(text, "l", NULL, 0, inputs, 2);
}

static void test_numbers(void **state) {
    (void)state;
    CLOSE(expression("x^3 + 0 * y", -1.5, 0), -3.375);
    CLOSE(expression("x^-2 + 0 * y", -2, 0), 0.25);
    CLOSE(expression("-x^2 + 0 * y", 3, 0), -9);
    CLOSE(expression("x^0.5 + x^y", 2, 3), sqrt(2) + 8);
    CLOSE(expression("x^0 + y", 0, 1), 2);
    CLOSE(expression("2^x^2 * y", 1.5, 1), pow(2, 2.25));
    CLOSE(expression("x / y * (7 // 2) + 7 % 4 - -7 // 2", 1, 4), 0.25 * 3 + 3 + 4);
    CLOSE(expression("x // y + x % y", -7, 2), -4 + 1);
    CLOSE(expression("(x > 1) + (x < y) * 10 + (x != y)", 2, 3), 12);
    CLOSE(expression("if x >= y and not (x == 2) then x else if x == 2 then 2 * y else y", 2, 3), 6);
    CLOSE(expression("min(x, 3) + max(y, over=())", 5, 7), 3 + 7);
}

static void test_numbers_of_the_compiler(void **state) {
    (void)state;
    CLOSE(expression("(1 - 0.9999) / (1 - 0.9999^5000) * x + 0 * y", 1, 0), (1 - 0.9999) / (1 - pow(0.9999, 5000)));
    CLOSE(expression("x * 6 / 2 * 1 + y * (if 6 / 2 == 3 then 1 else 0)", 2, 5), 11);
    CLOSE(expression("x * sqrt(2) + y * log1p(0.5) + sin(pi / 2)", 1, 1), sqrt(2) + log1p(0.5) + 1);
    CLOSE(expression("float(3 == 3) * x + int(2.9) * y + abs(-3) + floor(2.5)", 1, 1), 1 + 2 + 3 + 2);
}

static double axes_loss(const char *body) {
    char text[900];
    snprintf(text, sizeof text, "loss l(score: f32[batch=2, class=3], label: class[batch]) { %s }", body);
    Input inputs[] = {{"score", score}, {"label", label}};
    return loss_of(text, "l", NULL, 0, inputs, 2);
}

static void test_axes(void **state) {
    (void)state;
    CLOSE(axes_loss("return sum(score[class = label])"), 0.75 - 1);
    CLOSE(axes_loss("return sum(score[class = 1])"), -0.25 + 2);
    CLOSE(axes_loss("return sum(score |> slice(class = ::2))"), 1.5 + 0.75 - 1 + 0.5);
    CLOSE(axes_loss("return sum(score |> slice(class = -1:))"), 0.75 + 0.5);
    CLOSE(axes_loss("a = score |> pad(class = (1, 2), value=2)\nreturn sum(a) + extent(a, class)"), 3.5 + 12 + 6);
    CLOSE(axes_loss("return sum(concat(score, score, over=class)[class = 4])"), -0.25 + 2);
    CLOSE(axes_loss("return sum(flip(score, over=class)[class = 0])"), 0.75 + 0.5);
    CLOSE(axes_loss("return sum(reshape(score, (class, batch) -> all) |> slice(all = 0:2))"), 1.5 - 1);
    CLOSE(axes_loss("return sum(reshape(score, class -> (one=1, rest))[rest = 2])"), 0.75 + 0.5);
    CLOSE(axes_loss("return sum(top_k(score, 2, over=class))"), 1.5 + 0.75 + 2 + 0.5);
    CLOSE(axes_loss("return sum(cumsum(score, over=class)[class = 1])"), 1.25 + 1);
    CLOSE(axes_loss("return sum(contract(score, rename(score, batch -> other), over=class))"),
          (1.5 - 1) * (1.5 - 1) + (2 - 0.25) * (2 - 0.25) + 1.25 * 1.25);
    CLOSE(axes_loss("return sum(one_hot(label, class) * score)"), 0.75 - 1);
    CLOSE(axes_loss("return sum(float(argmax(score, over=class) == label)) + extent(label, class)"), 0 + 3);
    CLOSE(axes_loss("dim = 5\nh = score |> rename(class -> dim)\nreturn mean(h, over=dim) |> sum"), 3.5 / 3);
}

static void test_losses_take_by_name(void **state) {
    (void)state;
    const char *text = "import \"losses.fbl\"\n"
                       "loss two(score: f32[batch, class], label: class[batch], class_count: f32[class], tau = 2) {\n"
                       "    return logit_adjustment() + ce(score=2 * score) + sum(prior_of())\n}\n";
    FblSetting settings[] = {SIZES, {"loss.tau", "0.5"}};
    Input inputs[] = {{"score", score}, {"label", label}, {"class_count", counts}};
    double have = loss_of(text, "two", settings, 4, inputs, 3);
    double want = 1;
    for (int i = 0; i < 2; i++) {
        double a[3];
        double b[3];
        for (int c = 0; c < 3; c++) {
            a[c] = score[3 * i + c] + 0.5 * log(counts[c] / 1110);
            b[c] = 2 * score[3 * i + c];
        }
        want += (cross_entropy(a, (int)label[i]) + cross_entropy(b, (int)label[i])) / 2;
    }
    CLOSE(have, want);
}

#define TINY                                                                                                           \
    "import \"losses.fbl\"\n"                                                                                          \
    "model tiny(image: f32[batch, channel=1, height=1, width=3], class, gain = 2, wide: int = 4) -> (feature, score) {\n" \
    "    feature = image |> reshape((channel, height, width) -> dim) |> linear(hidden=wide) as fc1\n"                  \
    "    score = gain * (feature |> batch_norm(along=hidden) as bn |> linear(class) as fc2)\n"                         \
    "    return feature |> rename(hidden -> dim), score\n}\n"

static const FblParam *param(const FblModule *module, const char *path) {
    return fbl_param_find(&module->params, fbl_intern(module->ctx, path));
}

static void test_parameters(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblSetting settings[] = {{"class", "3"}, {"model.wide", "2^3"}, {"model.gain", "0.5"}};
    FblModule *module = build(ctx, TINY "train {\n model = tiny()\n loss = ce\n }",
                              &(FblBuildOptions){.settings = settings, .setting_count = 3, .batch = 5});
    const char *paths[] = {"fc1.weight", "fc1.bias", "bn.weight", "bn.bias", "fc2.weight", "fc2.bias"};
    assert_int_equal(module->params.count, 6);
    for (int i = 0; i < 6; i++) {
        assert_string_equal(module->params.items[i].path, paths[i]);
        assert_true(module->params.items[i].trainable);
    }
    const FblParam *w = param(module, "fc1.weight");
    assert_string_equal(fbl_type_string(ctx, &w->type), "f32[hidden=8, dim=3]");
    assert_int_equal(w->init.kind, FBL_INIT_NORMAL);
    CLOSE(w->init.b, sqrt(2.0 / 3));
    CLOSE(param(module, "fc2.bias")->init.b, 1 / sqrt(8));
    assert_int_equal(module->states.count, 2);
    assert_string_equal(module->states.items[1].path, "bn.running_var");
    assert_string_equal(fbl_type_string(ctx, &w->type), "f32[hidden=8, dim=3]");
    assert_int_equal(module->recipe.batch, 5);
    assert_string_equal(module->recipe.predict, "score");
    assert_string_equal(module->recipe.loss_name, "ce");
    double gain = 0;
    for (size_t i = 0; i < module->hyper_count; i++) {
        if (strcmp(module->hypers[i].name, "model.gain") == 0) {
            gain = module->hypers[i].value;
        }
    }
    CLOSE(gain, 0.5);
    fbl_context_destroy(ctx);
}

static size_t updates(const FblGraph *graph) {
    size_t count = 0;
    for (size_t i = 0; i < graph->root_count; i++) {
        count += graph->roots[i].kind == FBL_ROOT_UPDATE;
    }
    return count;
}

static void test_freezing(void **state) {
    (void)state;
    const char *recipes[] = {"train {\n model = tiny()\n loss = ce\n }",
                             "train {\n model = tiny()\n loss = ce\n freeze = [\"bn.*\", \"fc1.w*\"]\n }",
                             "train {\n model = tiny()\n loss = ce\n freeze = except(\"fc2.*\")\n }"};
    const bool trainable[3][6] = {{1, 1, 1, 1, 1, 1}, {0, 1, 0, 0, 1, 1}, {0, 0, 0, 0, 1, 1}};
    const size_t updated[] = {2, 0, 0};
    FblSetting settings[] = {{"class", "3"}};
    for (int r = 0; r < 3; r++) {
        FblContext *ctx = fbl_context_create();
        char text[2000];
        snprintf(text, sizeof text, "%s%s", TINY, recipes[r]);
        FblModule *module = build(ctx, text, &(FblBuildOptions){.settings = settings, .setting_count = 1});
        for (int i = 0; i < 6; i++) {
            assert_int_equal(module->params.items[i].trainable, trainable[r][i]);
        }
        assert_int_equal(updates(module->train), updated[r]);
        assert_int_equal(updates(module->eval), 0);
        fbl_context_destroy(ctx);
    }
}

static void test_batch_norm_updates(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    const char *text = "model m(image: f32[batch, channel=1, height=2, width=2]) -> (score) {\n"
                       "    score = image |> batch_norm as bn\n    return score\n}\n"
                       "loss l(score: f32[batch, channel, height, width]) { return sum(score^2) }\n"
                       "train {\n model = m()\n loss = l\n batch = 1\n }";
    FblModule *module = build(ctx, text, NULL);
    const double image[] = {1, 2, 3, 6};
    const double weight = 2;
    const double bias = 0.5;
    const double mean0 = 0.25;
    const double var0 = 4;
    Input inputs[] = {{"image", image},
                      {"bn.weight", &weight},
                      {"bn.bias", &bias},
                      {"bn.running_mean", &mean0},
                      {"bn.running_var", &var0}};
    FblBindings out = {0};
    run(module->train, module, inputs, 5, &out);
    // mean 3, biased variance (4 + 1 + 0 + 9) / 4 = 3.5, unbiased 14 / 3
    CLOSE(output(ctx, &out, "bn.running_mean", 0), 0.9 * 0.25 + 0.1 * 3);
    CLOSE(output(ctx, &out, "bn.running_var", 0), 0.9 * 4 + 0.1 * 14 / 3);
    CLOSE(output(ctx, &out, "score", 3), (6 - 3) * 2 / sqrt(3.5 + 1e-5) + 0.5);
    fbl_bindings_free(&out);
    FblBindings eval = {0};
    run(module->eval, module, inputs, 5, &eval);
    CLOSE(output(ctx, &eval, "score", 3), (6 - 0.25) * 2 / sqrt(4 + 1e-5) + 0.5);
    fbl_bindings_free(&eval);
    fbl_context_destroy(ctx);
}

// The heads of the prelude, in training and evaluation, against their formulas.
static void test_heads(void **state) {
    (void)state;
    const double image[] = {3, -4}, weight[] = {1, 2, -2, 0.5, 0, 3}, bias[] = {0.1, 0.2, 0.3}, scale[] = {2, -1, 0.5};
    const double truth = 1;
    const char *heads[] = {"cosine_linear(h, class)", "scaled_linear(h, class)", "tau_linear(h, class, 0.5)"};
    for (int head = 0; head < 3; head++) {
        FblContext *ctx = fbl_context_create();
        char text[1000];
        snprintf(text, sizeof text,
                 "import \"losses.fbl\"\nmodel m(image: f32[batch, channel=2, height=1, width=1], class) -> (score) {\n"
                 "    h = image |> mean(over=(height, width)) |> rename(channel -> dim)\n    score = %s as fc\n"
                 "    return score\n}\ntrain {\n model = m()\n loss = ce\n batch = 1\n }",
                 heads[head]);
        FblSetting settings[] = {{"class", "3"}};
        FblModule *module = build(ctx, text, &(FblBuildOptions){.settings = settings, .setting_count = 1});
        for (int training = 0; training < 2; training++) {
            Input inputs[] = {{"image", image}, {"fc.weight", weight}, {"fc.bias", bias}, {"fc.scale", scale}, {"label", &truth}};
            FblBindings out = {0};
            run(training ? module->train : module->eval, module, inputs, 5, &out);
            for (int c = 0; c < 3; c++) {
                // The cosine head's weight is [dim, class], as LDAM-DRW stores it, the others' [class, dim].
                double w0 = head == 0 ? weight[c] : weight[2 * c], w1 = head == 0 ? weight[3 + c] : weight[2 * c + 1];
                double dot = 3 * w0 - 4 * w1, length = hypot(w0, w1);
                double want = head == 0   ? dot / 5 / length
                              : head == 1 ? scale[c] * (dot + bias[c])
                              : training  ? dot
                                          : dot / sqrt(length);
                CLOSE(output(ctx, &out, "score", c), want);
            }
            fbl_bindings_free(&out);
        }
        fbl_context_destroy(ctx);
    }
}

// An int of the signature may stand in the extents of the inputs before it.
static void test_extents_of_arguments(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    const char *text = "import \"losses.fbl\"\n"
                       "model m(image: f32[batch, channel=3, height=size, width=size], class, size: int = 7) -> (score) {\n"
                       "    return image |> mean(over=(height, width)) |> rename(channel -> dim) |> linear(class)\n}\n"
                       "train {\n model = m()\n loss = ce\n batch = 2\n }";
    for (int given = 0; given < 2; given++) {
        FblSetting settings[] = {{"class", "3"}, {"model.size", "5"}};
        FblModule *module = build(ctx, text, &(FblBuildOptions){.settings = settings, .setting_count = given ? 2 : 1});
        const FblNode *image = NULL;
        for (size_t i = 0; i < module->train->count && image == NULL; i++) {
            image = module->train->nodes[i].op == FBL_OP_INPUT && module->train->nodes[i].type.rank == 4 ? &module->train->nodes[i] : NULL;
        }
        assert_non_null(image);
        assert_int_equal(image->type.axes[3].extent, given ? 5 : 7);
    }
    fbl_context_destroy(ctx);
}

// Stages: a setting holds everywhere, train.KEY in the block and what takes the key from it, NAME.KEY in one stage.
static void test_scopes_of_settings(void **state) {
    (void)state;
    const char *text = "import \"losses.fbl\"\nmodel m(image: f32[batch, channel=3, height=1, width=1], class) -> (score) {\n"
                       "    return image |> mean(over=(height, width)) |> rename(channel -> dim) |> linear(class) as fc\n}\n"
                       "train {\n model = m()\n loss = focal(gamma=2)\n batch = 2\n epochs = 9\n"
                       " stage late { epochs = 4 \n reinit = [\"fc.*\"] }\n stage last { loss = ce() }\n }";
    static const struct {
        const char *key;
        int64_t epochs[3]; // of the block, of late, of last
    } cases[] = {{"epochs", {3, 3, 3}}, {"train.epochs", {3, 4, 3}}, {"late.epochs", {9, 3, 9}}};
    const char *stages[] = {NULL, "late", "last"};
    for (int c = 0; c < 3; c++) {
        for (int s = 0; s < 3; s++) {
            FblContext *ctx = fbl_context_create();
            // the block's loss is another than the last stage's: its argument must not reach that one
            FblSetting settings[] = {{"class", "3"}, {cases[c].key, "3"}, {"train.loss.gamma", "3"}};
            FblModule *module = build(
                ctx, text, &(FblBuildOptions){.settings = settings, .setting_count = 3, .stage = stages[s]});
            assert_int_equal(module->recipe.epochs, cases[c].epochs[s]);
            assert_string_equal(module->recipe.loss_name, s == 2 ? "ce" : "focal");
            assert_int_equal(module->recipe.reinit.count, s == 1 ? 2 : 0);
            for (size_t i = 0; i < module->hyper_count; i++) {
                assert_true(strcmp(module->hypers[i].name, "loss.gamma") != 0 || module->hypers[i].value == 3);
            }
            fbl_context_destroy(ctx);
        }
    }
}

#define PLAIN                                                                                                          \
    "import \"losses.fbl\"\n"                                                                                          \
    "model m(image: f32[batch, channel=3, height=1, width=1], class) -> (score) {\n"                                   \
    "    return image |> mean(over=(height, width)) |> rename(channel -> class)\n}\n"

static void test_mixup(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblSetting settings[] = {{"class", "3"}};
    FblModule *module = build(ctx, PLAIN "train {\n model = m()\n loss = ce\n batch = 2\n mixup = 1\n }",
                              &(FblBuildOptions){.settings = settings, .setting_count = 1});
    const double other[] = {1, 1};
    const double mix = 0.3;
    Input inputs[] = {{"image", score}, {"label", label}, {"label2", other}, {"mix", &mix}};
    FblBindings out = {0};
    run(module->train, module, inputs, 4, &out);
    double first = (cross_entropy(score, 2) + cross_entropy(score + 3, 0)) / 2;
    double second = (cross_entropy(score, 1) + cross_entropy(score + 3, 1)) / 2;
    CLOSE(output(ctx, &out, "loss", 0), 0.3 * first + 0.7 * second);
    CLOSE(module->recipe.mixup.real, 1);
    fbl_bindings_free(&out);
    fbl_context_destroy(ctx);
}

static void test_state_of_a_loss(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblSetting settings[] = {{"class", "3"}};
    FblModule *module = build(ctx, PLAIN "train {\n model = m()\n loss = seesaw()\n batch = 2\n mixup = 1\n }",
                              &(FblBuildOptions){.settings = settings, .setting_count = 1});
    assert_int_equal(module->states.count, 1);
    assert_string_equal(module->states.items[0].path, "loss.seen");
    assert_int_equal(updates(module->train), 1);
    const double other[] = {1, 1};
    const double mix = 1;
    const double seen[] = {5, 3, 2};
    Input inputs[] = {{"image", score}, {"label", label}, {"label2", other}, {"mix", &mix}, {"loss.seen", seen}};
    FblBindings out = {0};
    run(module->train, module, inputs, 5, &out);
    CLOSE(output(ctx, &out, "loss.seen", 0), 6);
    CLOSE(output(ctx, &out, "loss.seen", 1), 3);
    CLOSE(output(ctx, &out, "loss.seen", 2), 3);
    fbl_bindings_free(&out);
    fbl_context_destroy(ctx);
}

static void test_predict(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblSetting settings[] = {{"class", "3"}};
    FblModule *module = build(
        ctx, PLAIN "train {\n model = m()\n loss = ce\n batch = 2\n predict = without_prior(score, class_count, 0.5)\n }",
        &(FblBuildOptions){.settings = settings, .setting_count = 1});
    assert_string_equal(module->recipe.predict, "predict");
    Input inputs[] = {{"image", score}, {"class_count", counts}};
    FblBindings out = {0};
    run(module->eval, module, inputs, 2, &out);
    for (int i = 0; i < 6; i++) {
        CLOSE(output(ctx, &out, "predict", i), score[i] - 0.5 * log(counts[i % 3] / 1110));
    }
    fbl_bindings_free(&out);
    fbl_context_destroy(ctx);
}

static void test_rate(void **state) {
    (void)state;
    const char *rate = "0.1 * (if epoch < 5 then (epoch + 1) / 5 else if epoch >= 18 then 1e-4 else 1) * epochs / 20";
    char text[1000];
    snprintf(text, sizeof text, "%strain {\n model = m()\n loss = ce\n rate = %s\n stage last { rate = 3 \n epochs = 4 }\n }",
             PLAIN, rate);
    for (int stage = 0; stage < 2; stage++) {
        FblContext *ctx = fbl_context_create();
        FblSetting settings[] = {{"class", "3"}};
        FblModule *module = build(
            ctx, text,
            &(FblBuildOptions){.settings = settings, .setting_count = 1, .stage = stage == 1 ? "last" : NULL});
        assert_int_equal(module->recipe.epochs, stage == 1 ? 4 : 1);
        for (int e = 0; e < 20; e++) {
            const double epoch = e;
            const double epochs = 20;
            Input inputs[] = {{"epoch", &epoch}, {"epochs", &epochs}};
            FblBindings out = {0};
            run(module->epoch, module, inputs, 2, &out);
            double want = 0.1 * (e < 5 ? (e + 1) / 5.0 : e >= 18 ? 1e-4 : 1);
            CLOSE(output(ctx, &out, "rate", 0), stage == 1 ? 3 : want);
            fbl_bindings_free(&out);
        }
        fbl_context_destroy(ctx);
    }
}

// Steps of the optimizer graph on one number, with the gradient g = w - 3 at every step.
static void optimizer(const char *spec, int steps, double *w) {
    FblContext *ctx = fbl_context_create();
    char text[1000];
    snprintf(text, sizeof text, "%strain {\n model = m()\n loss = ce\n optimizer = %s\n }", PLAIN, spec);
    FblSetting settings[] = {{"class", "3"}};
    FblModule *module = build(ctx, text, &(FblBuildOptions){.settings = settings, .setting_count = 1});
    double slots[2] = {0, 0};
    const double rate = 0.1;
    const double decay = module->recipe.groups[0].weight_decay;
    FblGraph *graph = module->optimizer;
    for (size_t i = 0; i < graph->count; i++) { // the flat axis gets a size for the test
        for (int a = 0; a < graph->nodes[i].type.rank; a++) {
            graph->nodes[i].type.axes[a].extent = 1;
        }
    }
    for (int t = 1; t <= steps; t++) {
        const double g = *w - 3;
        const double now = t;
        Input inputs[] = {{"w", w},       {"g", &g},           {"slot.0", &slots[0]}, {"slot.1", &slots[1]},
                          {"rate", &rate}, {"weight_decay", &decay}, {"t", &now}};
        FblBindings out = {0};
        run(graph, module, inputs, 7, &out);
        *w = output(ctx, &out, "w", 0);
        for (int s = 0; s < module->slot_count; s++) {
            slots[s] = output(ctx, &out, s == 0 ? "slot.0" : "slot.1", 0);
        }
        fbl_bindings_free(&out);
    }
    fbl_context_destroy(ctx);
}

static void test_sgd(void **state) {
    (void)state;
    const struct {
        const char *spec;
        double momentum, decay;
        bool nesterov;
    } cases[] = {{"sgd", 0, 0, false},
                 {"sgd(momentum=0.9, weight_decay=0.01)", 0.9, 0.01, false},
                 {"sgd(momentum=0.8, nesterov=true, weight_decay=0.1)", 0.8, 0.1, true}};
    for (int c = 0; c < 3; c++) {
        double have = 1;
        optimizer(cases[c].spec, 5, &have);
        double w = 1;
        double v = 0;
        for (int t = 1; t <= 5; t++) {
            double g = w - 3 + cases[c].decay * w;
            v = t == 1 ? g : cases[c].momentum * v + g;
            w -= 0.1 * (cases[c].nesterov ? g + cases[c].momentum * v : v);
        }
        CLOSE(have, w);
    }
}

static void test_adamw(void **state) {
    (void)state;
    double have = 1;
    optimizer("adamw(beta1=0.8, beta2=0.99, eps=1e-6, weight_decay=0.05)", 5, &have);
    double w = 1;
    double m = 0;
    double v = 0;
    for (int t = 1; t <= 5; t++) {
        double g = w - 3;
        w *= 1 - 0.1 * 0.05;
        m = 0.8 * m + 0.2 * g;
        v = 0.99 * v + 0.01 * g * g;
        w -= 0.1 / (1 - pow(0.8, t)) * m / (sqrt(v) / sqrt(1 - pow(0.99, t)) + 1e-6);
    }
    CLOSE(have, w);
}

static void test_input_shapes(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblModule *module = NULL;
    const FblInputShape shapes[] = {{"score", 2, {4, 7}}, {"label", 1, {4}}, {"unused", 1, {9}}};
    FblProgram *program = load(ctx, "import \"losses.fbl\"");
    assert_int_equal(fbl_program_build_loss(program, "ce", shapes, 3, NULL, &module), FBL_OK);
    assert_string_equal(fbl_type_string(ctx, &module->train->nodes[0].type), "f32[batch=4, class=7]");
    // class_count is not given
    assert_int_equal(fbl_program_build_loss(program, "drw", shapes, 3, NULL, &module), FBL_USER);
    assert_int_equal(fbl_diag_error_count(ctx), 1);
    // two extents of `batch`
    const FblInputShape unequal[] = {{"score", 2, {4, 7}}, {"label", 1, {5}}};
    assert_int_equal(fbl_program_build_loss(program, "ce", unequal, 2, NULL, &module), FBL_USER);
    const FblName *names;
    assert_true(fbl_program_losses(program, &names) > 15);
    assert_string_equal(names[0], "ce");
    fbl_context_destroy(ctx);
}

static void test_same_twice(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblProgram *program = NULL;
    FblModule *modules[2];
    assert_int_equal(fbl_program_load(ctx, &(FblProgramOptions){.path = "models/cifar10_lt.fbl"}, &program), FBL_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fbl_program_build(program, NULL, &modules[i]), FBL_OK);
    }
    assert_string_equal(fbl_graph_print(modules[0]->train, false), fbl_graph_print(modules[1]->train, false));
    assert_int_equal(modules[0]->params.count, 95);
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_feature_balanced),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_numbers_of_the_compiler),
        cmocka_unit_test(test_axes),
        cmocka_unit_test(test_losses_take_by_name),
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_freezing),
        cmocka_unit_test(test_batch_norm_updates),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_extents_of_arguments),
        cmocka_unit_test(test_scopes_of_settings),
        cmocka_unit_test(test_mixup),
        cmocka_unit_test(test_state_of_a_loss),
        cmocka_unit_test(test_predict),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_sgd),
        cmocka_unit_test(test_adamw),
        cmocka_unit_test(test_input_shapes),
        cmocka_unit_test(test_same_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

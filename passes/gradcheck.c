#include "passes/gradcheck.h"

#include <math.h>
#include <string.h>

#include "base/philox.h"
#include "passes/rebuild.h"
#include "passes/simplify.h"

// Steps tried before an entry counts as a kink; each is a fifth of the one before. Smaller ones would drown in
// rounding.
#define ATTEMPTS 3

typedef struct Checker {
    const FblModule *module;
    const FblGradCheckOptions *options;
    FblInterpOptions interp;
    FblGraph *loss; // the forward pass alone
    FblName loss_name;
    FblBindings leaves;
    FblBindings analytic;
    double base; // the loss itself
} Checker;

static FblName stop_name(const FblGraph *graph, size_t node) {
    return fbl_intern(graph->ctx, fbl_arena_printf(fbl_context_arena(graph->ctx), "stop_gradient.%zu", node));
}

// The part of `forward` that the loss needs. What stop_gradient holds back counts as a constant for the derivative, so
// the differences must not move it: with `freeze`, each becomes an INPUT "stop_gradient.N"; without, an OUTPUT of that
// name.
static FblStatus loss_only(const FblGraph *forward, FblName loss_name, bool freeze, FblGraph **out_graph) {
    FblGraph *to = fbl_rebuild_begin(forward);
    FblNodeId *map = fbl_rebuild_map(forward);
    for (size_t i = 0; i < forward->count; i++) {
        const FblNode *node = &forward->nodes[i];
        if (node->op == FBL_OP_STOP_GRADIENT && freeze) {
            map[i] = fbl_graph_leaf(to, FBL_OP_INPUT, stop_name(forward, i), &node->type, node->loc);
        } else if (fbl_rebuild_copy(to, forward, (FblNodeId)i, map) == FBL_NO_NODE) {
            return FBL_INTERNAL;
        }
        if (node->op == FBL_OP_STOP_GRADIENT && !freeze) {
            fbl_graph_root(to, FBL_ROOT_OUTPUT, stop_name(forward, i), map[i]);
        }
    }
    for (size_t i = 0; i < forward->root_count; i++) {
        const FblRoot *root = &forward->roots[i];
        if (root->kind == FBL_ROOT_OUTPUT && root->name == loss_name) {
            fbl_graph_root(to, FBL_ROOT_OUTPUT, loss_name, map[root->node]);
        }
    }
    return fbl_graph_dce(to, out_graph);
}

// Moves the results of running `graph` to the leaves.
static FblStatus run_into_leaves(Checker *c, const FblGraph *graph) {
    FblBindings results = {0};
    FblStatus status = fbl_interp_run(graph, &c->leaves, &c->interp, &results);
    for (size_t i = 0; i < results.count && status == FBL_OK; i++) {
        status = fbl_bindings_set(&c->leaves, results.items[i].name, results.items[i].tensor);
        results.items[i].tensor.data = NULL; // the leaves have taken it over, or freed it
    }
    fbl_bindings_free(&results);
    return status;
}

static FblStatus evaluate(Checker *c, double *out_loss) {
    FblBindings results = {0};
    FblStatus status = fbl_interp_run(c->loss, &c->leaves, &c->interp, &results);
    if (status == FBL_OK) {
        FblTensor *loss = fbl_bindings_find(&results, c->loss_name);
        *out_loss = loss != NULL ? loss->data[0] : NAN;
    }
    fbl_bindings_free(&results);
    return status;
}

// The values around one entry at distances h, h / 2 and h / 4.
#define RINGS 3
typedef struct Stencil {
    double up[RINGS], down[RINGS];
} Stencil;

static FblStatus measure(Checker *c, double *entry, double h, Stencil *s) {
    double x = *entry;
    FblStatus status = FBL_OK;
    for (int i = 0; i < RINGS && status == FBL_OK; i++, h /= 2) {
        *entry = x + h;
        status = evaluate(c, &s->up[i]);
        *entry = x - h;
        status = status == FBL_OK ? evaluate(c, &s->down[i]) : status;
    }
    *entry = x;
    return status;
}

// The derivative by central differences; *out_kink when the loss has a corner at the entry, or so near to it that no
// step avoids it. At a smooth point the second difference over h halves with h, and extrapolations to fourth order from
// different steps agree; a corner at the entry breaks the first law, one beside it the second.
static FblStatus numeric_derivative(Checker *c, double *entry, double scale, double *out_value, bool *out_kink) {
    double h = c->options->step * fmax(1, fabs(*entry));
    for (int attempt = 0; attempt < ATTEMPTS; attempt++, h /= 5) {
        Stencil s;
        FBL_TRY(measure(c, entry, h, &s));
        double slope[RINGS];
        double bend[RINGS];
        for (int i = 0; i < RINGS; i++) {
            double distance = ldexp(h, -i);
            slope[i] = (s.up[i] - s.down[i]) / (2 * distance);
            bend[i] = fabs(s.up[i] - 2 * c->base + s.down[i]) / distance;
        }
        double size = fmax(fmax(fabs(slope[0]), fabs(slope[2])), scale);
        bool corner = !(bend[2] <= 0.4 * bend[0]) && !(bend[2] <= 1e-7 * size);
        double coarse = (4 * slope[1] - slope[0]) / 3;
        *out_value = (4 * slope[2] - slope[1]) / 3;
        bool beside = !(fabs(*out_value - coarse) <= 0.3 * c->options->threshold * size);
        *out_kink = corner || beside;
        if (!*out_kink) {
            return FBL_OK;
        }
    }
    return FBL_OK;
}

static FblStatus check_leaf(Checker *c, FblName name, FblGradCheckResult *out) {
    FblContext *ctx = c->module->ctx;
    FblName grad_name = fbl_intern(ctx, fbl_arena_printf(fbl_context_arena(ctx), "grad.%s", name));
    FblTensor *leaf = fbl_bindings_find(&c->leaves, name);
    FblTensor *grad = fbl_bindings_find(&c->analytic, grad_name);
    *out = (FblGradCheckResult){.name = name, .worst = -1, .ok = true};
    if (grad == NULL || (leaf != NULL && !fbl_type_equal(&leaf->type, &grad->type))) {
        return FBL_INTERNAL;
    }
    int64_t count = fbl_type_elements(&grad->type);
    double largest = 0;
    for (int64_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs(grad->data[i]));
    }
    double floor_size = fmax(1e-3 * largest, 1e-4 * fabs(c->base));
    int64_t samples = count < c->options->samples ? count : c->options->samples;
    for (int64_t k = 0; k < samples; k++) {
        int64_t i = k;
        if (samples < count) { // one entry from each of `samples` even parts
            double u = (double)fbl_uniform_f32(fbl_random_u32(c->options->seed, 77, 0, (uint64_t)k));
            i = (int64_t)(((double)k + u) * (double)count / (double)samples);
        }
        double numeric = 0;
        bool kink = false;
        if (leaf != NULL) { // a leaf that simplification has removed changes nothing
            FBL_TRY(numeric_derivative(c, &leaf->data[i], floor_size, &numeric, &kink));
        }
        if (kink) {
            out->kinks++;
            continue;
        }
        double analytic = grad->data[i];
        double size = fmax(fmax(fabs(analytic), fabs(numeric)), fmax(floor_size, 1e-300));
        double error = fabs(analytic - numeric) / size;
        out->checked++;
        if (!(error <= out->max_relative_error)) {
            out->max_relative_error = error;
            out->worst = i;
            out->analytic = analytic;
            out->numeric = numeric;
        }
    }
    out->ok = out->max_relative_error <= c->options->threshold;
    return FBL_OK;
}

static FblStatus copy_bindings(const FblBindings *from, FblBindings *to) {
    for (size_t i = 0; from != NULL && i < from->count; i++) {
        FblTensor copy;
        FBL_TRY(fbl_tensor_create(&from->items[i].tensor.type, &copy));
        memcpy(copy.data, from->items[i].tensor.data, sizeof(double) * (size_t)fbl_type_elements(&copy.type));
        FBL_TRY(fbl_bindings_set(to, from->items[i].name, copy));
    }
    return FBL_OK;
}

// Runs the epoch graph and adds what it computes for the step ("hoist.N") to the leaves.
static FblStatus fill_hoisted(Checker *c) {
    const FblGraph *epoch = c->module->epoch;
    if (epoch == NULL) {
        return FBL_OK;
    }
    FBL_TRY(fbl_gradcheck_fill(c->module, epoch, c->options->seed, &c->leaves));
    return run_into_leaves(c, epoch);
}

static FblStatus check_all(Checker *c, const FblGraph *forward, const FblBindings *leaves,
                           FblGradCheckResult **out_results, size_t *out_count) {
    const FblGraph *train = c->module->train;
    FblGraph *stops = NULL;
    FBL_TRY(loss_only(forward, c->loss_name, false, &stops));
    FBL_TRY(loss_only(forward, c->loss_name, true, &c->loss));
    FBL_TRY(copy_bindings(leaves, &c->leaves));
    FBL_TRY(fill_hoisted(c));
    FBL_TRY(fbl_gradcheck_fill(c->module, train, c->options->seed, &c->leaves));
    FBL_TRY(fbl_gradcheck_fill(c->module, forward, c->options->seed, &c->leaves));
    FBL_TRY(run_into_leaves(c, stops));
    FBL_TRY(evaluate(c, &c->base));
    FBL_TRY(fbl_interp_run(train, &c->leaves, &c->interp, &c->analytic));
    *out_results = FBL_NEW_ARRAY(fbl_context_arena(c->module->ctx), FblGradCheckResult, train->root_count + 1);
    for (size_t i = 0; i < train->root_count; i++) {
        if (train->roots[i].kind == FBL_ROOT_GRAD) {
            FBL_TRY(check_leaf(c, train->roots[i].name, &(*out_results)[(*out_count)++]));
        }
    }
    return FBL_OK;
}

FblStatus fbl_gradcheck(const FblModule *module, const FblGraph *forward, const FblBindings *leaves,
                        const FblGradCheckOptions *options, FblGradCheckResult **out_results, size_t *out_count) {
    *out_count = 0;
    if (module->train == NULL) {
        return fbl_error(module->ctx, "E0303", FBL_NO_LOC, "the program has no loss to differentiate");
    }
    Checker c = {.module = module,
                 .options = options,
                 .interp = {.seed = options->seed, .step = 3},
                 .loss_name = fbl_intern(module->ctx, "loss")};
    FblStatus status = check_all(&c, forward != NULL ? forward : module->train, leaves, out_results, out_count);
    fbl_bindings_free(&c.leaves);
    fbl_bindings_free(&c.analytic);
    return status;
}

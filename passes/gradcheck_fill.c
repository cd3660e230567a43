#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/philox.h"
#include "passes/gradcheck.h"

typedef struct Draw {
    uint64_t seed;
    uint32_t stream;
} Draw;

static double uniform(const Draw *draw, int64_t i) {
    return (double)fbl_uniform_f32(fbl_random_u32(draw->seed, draw->stream, 0, (uint64_t)i));
}

static double normal(const Draw *draw, int64_t i) {
    return sqrt(-2 * log(uniform(draw, 2 * i))) * cos(6.283185307179586477 * uniform(draw, 2 * i + 1));
}

// Scalars of the trainer, as they might be in mid-training.
static bool trainer_scalar(FblName name, double *out_value) {
    static const struct {
        const char *name;
        double value;
    } SCALARS[] = {{"epoch", 7},  {"epochs", 20}, {"step", 350}, {"steps", 1000},
                   {"rate", 0.1}, {"mix", 0.3},   {"t", 351}};
    for (size_t i = 0; i < sizeof SCALARS / sizeof *SCALARS; i++) {
        if (strcmp(name, SCALARS[i].name) == 0) {
            *out_value = SCALARS[i].value;
            return true;
        }
    }
    return false;
}

static bool is_class_count(FblName name) {
    return strcmp(name, "class_count") == 0 || strcmp(name, "test_class_count") == 0;
}

static void fill_param(const FblParam *param, const Draw *draw, uint64_t seed, int64_t count, bool jitter,
                       double *out) {
    fbl_init_tensor(param, seed, out);
    for (int64_t i = 0; jitter && param->init.kind == FBL_INIT_CONSTANT && i < count; i++) {
        out[i] += 0.3 * (uniform(draw, i) - 0.5);
    }
}

static void fill(const FblModule *module, const FblNode *node, uint64_t seed, const FblTensor *tensor, int64_t count) {
    FblName name = node->attr.names[0];
    Draw draw = {seed, (uint32_t)fbl_hash_u64(name, strlen(name))};
    const FblParamList *list = node->op == FBL_OP_PARAM ? &module->params : &module->states;
    const FblParam *param = node->op == FBL_OP_INPUT ? NULL : fbl_param_find(list, name);
    if (param != NULL && fbl_type_elements(&param->type) == count) {
        fill_param(param, &draw, seed, count, node->op == FBL_OP_PARAM, tensor->data);
        return;
    }
    double scalar = 0;
    bool known = node->op == FBL_OP_INPUT && trainer_scalar(name, &scalar);
    for (size_t i = 0; i < module->hyper_count && !known; i++) {
        known = module->hypers[i].name == name;
        scalar = module->hypers[i].value;
    }
    const FblType *type = &node->type;
    for (int64_t i = 0; i < count; i++) {
        if (known) {
            tensor->data[i] = scalar;
        } else if (is_class_count(name)) {
            tensor->data[i] = floor(5000 * pow(0.01, count > 1 ? (double)i / (double)(count - 1) : 0));
        } else if (type->dtype == FBL_BOOL) {
            tensor->data[i] = uniform(&draw, i) < 0.5;
        } else if (type->dtype == FBL_I32) {
            tensor->data[i] = floor(uniform(&draw, i) * (type->index_axis != NULL ? (double)type->index_extent : 10));
        } else {
            tensor->data[i] = normal(&draw, i);
        }
    }
}

FblStatus fbl_gradcheck_fill(const FblModule *module, const FblGraph *graph, uint64_t seed, FblBindings *bindings) {
    for (size_t i = 0; i < graph->count; i++) {
        const FblNode *node = &graph->nodes[i];
        if (node->op != FBL_OP_INPUT && node->op != FBL_OP_PARAM && node->op != FBL_OP_STATE) {
            continue;
        }
        FblName name = node->attr.names[0];
        if (fbl_bindings_find(bindings, name) != NULL) {
            continue;
        }
        int64_t count = fbl_type_elements(&node->type);
        if (count < 0) {
            return fbl_error(module->ctx, "E0304", node->loc,
                             "`%s` has no known extents, so no values can be made up: %s", name,
                             fbl_type_string(module->ctx, &node->type));
        }
        FblTensor tensor;
        FBL_TRY(fbl_tensor_create(&node->type, &tensor));
        fill(module, node, seed, &tensor, count);
        FBL_TRY(fbl_bindings_set(bindings, name, tensor));
    }
    return FBL_OK;
}

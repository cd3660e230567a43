#include "step_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "passes/loss_scale.h"

static uint64_t random_state = 12345;

static double random_real(void) { // [-1, 1)
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 33) / 1073741824.0 - 1;
}

_Noreturn static void give_up(const char *what, const char *detail) {
    fprintf(stderr, "%s: %s\n", what, detail);
    exit(1);
}

static const FblParam *find_param(const FblParamList *list, FblName path) {
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].path == path) {
            return &list->items[i];
        }
    }
    return NULL;
}

static double initial(const FblInit *init) {
    switch (init->kind) {
    case FBL_INIT_NORMAL: return init->a + init->b * 1.7320508 * random_real(); // of the same variance
    case FBL_INIT_UNIFORM: return init->a + (init->b - init->a) * (random_real() + 1) / 2;
    default: return init->a + 0.1 * random_real();
    }
}

void step_case_fill(FblModule *module, FblBindings *leaves) {
    const FblGraph *graph = module->train;
    for (size_t id = 0; id < graph->count; id++) {
        const FblNode *node = &graph->nodes[id];
        FblTensor tensor;
        if ((node->op != FBL_OP_INPUT && node->op != FBL_OP_PARAM && node->op != FBL_OP_STATE) || fbl_bindings_find(leaves, node->attr.names[0])) {
            continue;
        }
        if (fbl_tensor_create(&node->type, &tensor) != FBL_OK) {
            give_up("no memory for", node->attr.names[0]);
        }
        const FblParam *param = find_param(node->op == FBL_OP_PARAM ? &module->params : &module->states, node->attr.names[0]);
        for (int64_t i = 0; i < fbl_type_elements(&node->type); i++) {
            double value = 0.5 + 0.5 * random_real(); // hoisted data, scalars
            if (param && node->op != FBL_OP_INPUT) {
                value = fbl_loss_scale_is_state(param->path) ? param->init.a : initial(&param->init);
            } else if (node->type.index_axis) {
                value = (double)(int64_t)((random_real() + 1) / 2 * (double)node->type.index_extent);
            } else if (strcmp(node->attr.names[0], "image") == 0) {
                value = 1.7 * random_real();
            } else if (node->type.dtype == FBL_I32) {
                value = 3;
            }
            tensor.data[i] = node->type.dtype == FBL_F32 ? (double)(float)value : value;
        }
        if (fbl_bindings_set(leaves, node->attr.names[0], tensor) != FBL_OK) {
            give_up("no memory for", node->attr.names[0]);
        }
    }
}

void step_case_place(uint8_t *const regions[FBL_REGION_COUNT], const FblPlanTensor *tensor, FblBindings *leaves) {
    FblTensor *value = fbl_bindings_find(leaves, tensor->name);
    for (int64_t i = 0; value && i < fbl_type_elements(&tensor->type); i++) {
        uint8_t *base = regions[tensor->region] + tensor->offset;
        if (tensor->type.dtype == FBL_F32) {
            ((float *)base)[i] = (float)value->data[i];
        } else {
            ((int32_t *)base)[i] = (int32_t)value->data[i];
        }
    }
}

#include "runtime/epoch.h"

#include <string.h>

bool fbl_epoch_scalar(const FblModule *module, const FblEpochInputs *inputs, FblName name, double *out_value) {
    if (strcmp(name, "epoch") == 0) {
        *out_value = (double)inputs->epoch;
        return true;
    }
    if (strcmp(name, "epochs") == 0) {
        *out_value = (double)inputs->epochs;
        return true;
    }
    if (strcmp(name, "steps") == 0) {
        *out_value = (double)inputs->steps;
        return true;
    }
    for (size_t i = 0; i < module->hyper_count; i++) {
        if (module->hypers[i].name == name) {
            *out_value = module->hypers[i].value;
            return true;
        }
    }
    return false;
}

static FblStatus bind_input(const FblModule *module, const FblEpochInputs *inputs, const FblNode *node, FblBindings *leaves) {
    FblName name = node->attr.names[0];
    double scalar;
    FblTensor tensor;
    if (node->type.rank == 0 && fbl_epoch_scalar(module, inputs, name, &scalar)) {
        FBL_TRY(fbl_tensor_create(&node->type, &tensor));
        tensor.data[0] = scalar;
        return fbl_bindings_set(leaves, name, tensor);
    }
    if (strcmp(name, "class_count") == 0 && inputs->class_count && fbl_type_elements(&node->type) == inputs->classes) {
        FBL_TRY(fbl_tensor_create(&node->type, &tensor));
        memcpy(tensor.data, inputs->class_count, (size_t)inputs->classes * sizeof(double));
        return fbl_bindings_set(leaves, name, tensor);
    }
    if (strcmp(name, "class_count") == 0) {
        FblDiag *diag = fbl_diag(module->ctx, FBL_ERROR, "E0720", node->loc, "the loss needs `class_count`: %s", inputs->class_count ? "it has another number of classes" : "nobody gives it");
        fbl_diag_hint(module->ctx, diag, "a data set gives it, or a tensor `class_count` in the batch file");
        return FBL_USER;
    }
    return fbl_error(module->ctx, "E0721", node->loc, "nothing gives the input `%s`", name);
}

FblStatus fbl_epoch_values(const FblModule *module, const FblEpochInputs *inputs, FblBindings *outputs) {
    const FblGraph *graph = module->epoch;
    if (!graph || graph->root_count == 0) {
        return FBL_OK;
    }
    FblBindings leaves = {0};
    FblStatus status = FBL_OK;
    for (size_t id = 0; id < graph->count && status == FBL_OK; id++) {
        if (graph->nodes[id].op == FBL_OP_INPUT) {
            status = bind_input(module, inputs, &graph->nodes[id], &leaves);
        }
    }
    if (status == FBL_OK) {
        status = fbl_interp_run(graph, &leaves, &(FblInterpOptions){0}, outputs);
    }
    fbl_bindings_free(&leaves);
    return status;
}

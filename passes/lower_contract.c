// Convolutions as contraction kernels with their operands and result as bodies; library kernels.
#include <string.h>

#include "passes/algorithm.h"
#include "passes/lower_internal.h"

static int64_t extent_of(const FblType *type, FblName axis) { return type->axes[fbl_type_find(type, axis)].extent; }

// An image's logical loops are batch, channel, height, width whatever the order of its type; a weight's are positional.
static void body_index(FblKBuild *build, const FblType *type, const FblName *quad, const FblKBody *body, int32_t *out) {
    for (int i = 0; i < type->rank; i++) {
        int at = i;
        for (int d = 0; quad && d < 4; d++) {
            at = type->axes[i].name == quad[d] ? d : at;
        }
        out[i] = fbl_ix_loop(build, body->loops[at]);
    }
}

static void body_loops(FblKernel *kernel, const FblType *type, const FblName *quad, FblKBody *body) {
    static const char *const labels[4] = {"n", "c", "h", "w"};
    body->loop_count = 4;
    for (int d = 0; d < 4; d++) {
        body->loops[d] = kernel->loop_count++;
        kernel->loops[body->loops[d]] = (FblKLoop){quad ? extent_of(type, quad[d]) : type->axes[d].extent, labels[d]};
    }
    body->value = -1;
}

static void fill_extents(const FblGraph *graph, const FblNode *node, FblContraction *c) {
    const FblName *q = node->attr.names;
    const FblType *x, *y, *w;
    if (node->op == FBL_OP_CONV2D) {
        c->kind = FBL_CONV_FORWARD;
        x = &graph->nodes[node->inputs[0]].type;
        w = &graph->nodes[node->inputs[1]].type;
        y = &node->type;
    } else if (node->op == FBL_OP_CONV2D_DATA_GRAD) {
        c->kind = FBL_CONV_DATA_GRAD;
        y = &graph->nodes[node->inputs[0]].type;
        w = &graph->nodes[node->inputs[1]].type;
        x = &node->type;
    } else {
        c->kind = FBL_CONV_WEIGHT_GRAD;
        x = &graph->nodes[node->inputs[0]].type;
        y = &graph->nodes[node->inputs[1]].type;
        w = &node->type;
    }
    c->n = extent_of(x, q[0]);
    c->c = extent_of(x, q[1]);
    c->h = extent_of(x, q[2]);
    c->w = extent_of(x, q[3]);
    c->o = extent_of(y, q[1]);
    c->oh = extent_of(y, q[2]);
    c->ow = extent_of(y, q[3]);
    c->kh = w->axes[2].extent;
    c->kw = w->axes[3].extent;
    c->stride_h = node->attr.i[FBL_CONV_STRIDE_H];
    c->stride_w = node->attr.i[FBL_CONV_STRIDE_W];
    c->pad_h = node->attr.i[FBL_CONV_PAD_H];
    c->pad_w = node->attr.i[FBL_CONV_PAD_W];
    c->dilation_h = node->attr.i[FBL_CONV_DILATION_H];
    c->dilation_w = node->attr.i[FBL_CONV_DILATION_W];
    c->groups = node->attr.i[FBL_CONV_GROUPS];
}

static int32_t accumulated(FblKBuild *build) {
    FblKInstr acc;
    memset(&acc, 0, sizeof acc);
    acc.kind = FBL_K_ACC;
    acc.dtype = FBL_F32;
    acc.args[0] = acc.args[1] = acc.args[2] = acc.guard = acc.otherwise = -1;
    memset(acc.index, 0xff, sizeof acc.index);
    return fbl_kb_instr(build, &acc);
}

static FblKStage *add_stage(FblLower *lower, FblKernel *kernel, const FblGroup *group, bool over_rows) {
    FblKStage *stage = &kernel->stages[kernel->stage_count++];
    stage->loops = FBL_NEW(lower->arena, int32_t);
    stage->loops[0] = kernel->row_loop;
    stage->loop_count = over_rows;
    stage->stores = FBL_NEW_ARRAY(lower->arena, FblKStore, group->count);
    stage->reduces = FBL_NEW_ARRAY(lower->arena, FblKReduce, group->count);
    return stage;
}

// Members that are sums over parts of the rows: a stage for each level of them, and one that stores them.
static void lower_sums(FblLower *lower, FblGroup *group, FblScope *scope) {
    FblKBuild *build = scope->build;
    FblKernel *kernel = build->kernel;
    const FblMember *first = NULL;
    int32_t levels = 0;
    for (size_t m = 0; m < group->count; m++) {
        if (fbl_lower_is_loopy(lower, group->members[m].node)) {
            first = first ? first : &group->members[m];
            levels = group->members[m].level + 1 > levels ? group->members[m].level + 1 : levels;
        }
    }
    if (!first) {
        return;
    }
    const FblNode *node = &lower->graph->nodes[first->node];
    const FblType *type = &node->type;
    const FblName *quad = lower->graph->nodes[group->anchor].attr.names;
    int channel = fbl_type_find(type, quad[1]);
    kernel->part_rows = extent_of(&lower->graph->nodes[node->inputs[0]].type, node->attr.names[0]);
    kernel->part_loop = kernel->loop_count++;
    kernel->loops[kernel->part_loop] = (FblKLoop){type->axes[1 - channel].extent, "part"};
    kernel->row_loop = kernel->loop_count++;
    kernel->loops[kernel->row_loop] = (FblKLoop){kernel->part_rows, "row"};
    kernel->stages = FBL_NEW_ARRAY(lower->arena, FblKStage, levels + 1);
    group->outer_rank = type->rank;
    memcpy(group->outer, type->axes, sizeof group->outer);
    for (scope->level = 0; scope->level <= levels; scope->level++) {
        bool over_rows = scope->level < levels;
        FblKStage *stage = add_stage(lower, kernel, group, over_rows);
        fbl_scope_begin(scope);
        stage->first = build->scope;
        int32_t index[2];
        index[channel] = scope->outer[channel] = fbl_ix_loop(build, kernel->epilogue.loops[1]);
        index[1 - channel] = scope->outer[1 - channel] = fbl_ix_loop(build, kernel->part_loop);
        scope->acc = over_rows ? accumulated(build) : -1;
        int32_t row = over_rows ? fbl_ix_loop(build, kernel->row_loop) : -1;
        scope->row_number = over_rows ? fbl_ix_add(build, fbl_ix_scale(build, index[1 - channel], kernel->part_rows), row) : -1;
        for (int d = 0; d < 3 && over_rows; d++) {
            scope->pixel[d] = fbl_ix_loop(build, kernel->epilogue.loops[d == 0 ? 0 : d + 1]);
        }
        for (size_t m = 0; m < group->count; m++) {
            FblMember *member = &group->members[m];
            if (!fbl_lower_is_loopy(lower, member->node)) {
                continue;
            }
            if (member->level == scope->level) {
                FblKReduce *reduce = &stage->reduces[stage->reduce_count++];
                reduce->value = fbl_scope_element(scope, member->node, index, &row, &reduce->op, &reduce->dtype);
                reduce->result = member->result = kernel->result_count++;
            } else if (!over_rows && member->stored) {
                fbl_scope_store(scope, member->node, index, fbl_scope_compute(scope, member->node, index), &stage->stores[stage->store_count++]);
            }
        }
        stage->last = (int32_t)build->count;
    }
}

FblStatus fbl_lower_contraction(FblLower *lower, int32_t number) {
    FblGroup *group = &lower->groups[number];
    const FblGraph *graph = lower->graph;
    const FblNode *node = &graph->nodes[group->anchor];
    FblKernel *kernel = FBL_NEW(lower->arena, FblKernel);
    kernel->kind = FBL_KERNEL_CONTRACTION;
    kernel->vector_loop = -1;
    fill_extents(graph, node, &kernel->contraction);
    // Code for GPUs has the direct form only.
    fbl_conv_choose(&kernel->contraction, lower->options->channels_last ? "direct" : lower->options->conv, lower->lanes);
    bool weight_grad = node->op == FBL_OP_CONV2D_WEIGHT_GRAD;
    const FblName *quad = node->attr.names;

    FblKBuild build;
    FblScope scope;
    const FblName *operand_quads[2] = {quad, weight_grad ? quad : NULL};
    const FblName *result_quad = weight_grad ? NULL : quad;
    for (int k = 0; k < 2; k++) {
        body_loops(kernel, &graph->nodes[node->inputs[k]].type, operand_quads[k], &kernel->operands[k]);
    }
    body_loops(kernel, &node->type, result_quad, &kernel->epilogue);
    fbl_kb_init(&build, lower->arena, kernel);
    fbl_scope_init(&scope, lower, number, &build);
    for (int k = 0; k < 2; k++) {
        FblKBody *body = &kernel->operands[k];
        int32_t index[FBL_MAX_RANK];
        fbl_scope_begin(&scope);
        body->first = build.scope;
        body_index(&build, &graph->nodes[node->inputs[k]].type, operand_quads[k], body, index);
        body->value = fbl_kb_cast(&build, fbl_scope_value(&scope, node->inputs[k], index), FBL_F32);
        body->last = (int32_t)build.count;
    }
    FblKBody *body = &kernel->epilogue;
    fbl_scope_begin(&scope);
    body->first = build.scope;
    scope.acc = accumulated(&build);
    body->stores = FBL_NEW_ARRAY(lower->arena, FblKStore, group->count);
    for (size_t m = 0; m < group->count; m++) {
        FblNodeId id = group->members[m].node;
        if (group->members[m].stored && !fbl_lower_is_loopy(lower, id)) {
            int32_t index[FBL_MAX_RANK];
            body_index(&build, &graph->nodes[id].type, result_quad, body, index);
            int32_t value = fbl_scope_compute(&scope, id, index);
            fbl_scope_store(&scope, id, index, value, &body->stores[body->store_count++]);
        }
    }
    body->last = (int32_t)build.count;
    lower_sums(lower, group, &scope);
    kernel->instrs = build.instrs;
    kernel->instr_count = (int32_t)build.count;
    fbl_lower_finish(lower, &scope, group, kernel);
    return scope.status;
}

FblStatus fbl_lower_library(FblLower *lower, int32_t number) {
    FblGroup *group = &lower->groups[number];
    const FblNode *node = &lower->graph->nodes[group->anchor];
    FblKernel *kernel = FBL_NEW(lower->arena, FblKernel);
    kernel->kind = FBL_KERNEL_LIBRARY;
    kernel->library_op = node->op;
    kernel->vector_loop = -1;
    if (node->op == FBL_OP_BETA) {
        kernel->ints[0] = node->attr.i[0];
    } else if (fbl_op_info(node->op)->op_class == FBL_CLASS_COLLECTIVE) {
        kernel->ints[0] = fbl_type_elements(&lower->graph->nodes[node->inputs[0]].type);
        kernel->ints[1] = lower->options->devices;
    } else {
        int at = fbl_type_find(&node->type, node->attr.names[0]);
        kernel->ints[0] = kernel->ints[2] = 1;
        for (int i = 0; i < node->type.rank; i++) {
            int64_t extent = node->type.axes[i].extent;
            kernel->ints[i < at ? 0 : i == at ? 1 : 2] = i == at ? extent : kernel->ints[i < at ? 0 : 2] * extent;
        }
        kernel->ints[3] = node->op == FBL_OP_ARGSORT ? node->attr.i[0] : 0;
    }
    FblKBuild build;
    FblScope scope;
    fbl_kb_init(&build, lower->arena, kernel);
    fbl_scope_init(&scope, lower, number, &build);
    size_t count = (size_t)node->input_count + 1;
    scope.buffers = FBL_NEW_ARRAY(lower->arena, FblKernelBuffer, count);
    scope.buffer_nodes = FBL_NEW_ARRAY(lower->arena, FblNodeId, count);
    for (size_t i = 0; i < count; i++) {
        FblNodeId id = i + 1 < count ? node->inputs[i] : group->anchor;
        const FblType *type = &lower->graph->nodes[id].type;
        FblKernelBuffer *buffer = &scope.buffers[i];
        *buffer = (FblKernelBuffer){.dtype = type->dtype, .rank = type->rank, .is_output = i + 1 == count, .alias = -1};
        for (int d = 0; d < type->rank; d++) {
            buffer->extents[d] = type->axes[d].extent;
        }
        scope.buffer_nodes[i] = id;
    }
    scope.buffer_count = count;
    fbl_lower_finish(lower, &scope, group, kernel);
    return scope.status;
}

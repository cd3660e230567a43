#include "codegen/onnx/onnx.h"

#include <string.h>

#include "codegen/onnx/onnx_build.h"

int32_t fbl_onnx_dtype(FblDtype dtype) { return dtype == FBL_F32 ? FBL_ONNX_FLOAT : dtype == FBL_I32 ? FBL_ONNX_INT32 : FBL_ONNX_BOOL; }

FblStatus fbl_onnx_refuse(FblOnnx *o, const char *why) {
    const FblNode *node = &o->graph->nodes[o->at];
    if (o->status == FBL_OK) {
        fbl_error(o->ctx, "E0708", node->loc, "`%s` cannot be written as ONNX: %s", fbl_op_info(node->op)->text, why);
        o->status = FBL_UNSUPPORTED;
    }
    return o->status;
}

static const char *fresh(FblOnnx *o) { return fbl_arena_printf(o->arena, "v%d", o->next++); }

const char *fbl_onnx_node(FblOnnx *o, const char *op, const char *const *inputs, const char *out) {
    Onnx__NodeProto *node = FBL_NEW(o->arena, Onnx__NodeProto);
    onnx__node_proto__init(node);
    while (inputs[node->n_input]) {
        node->n_input++;
    }
    node->input = FBL_NEW_ARRAY(o->arena, char *, node->n_input + 1);
    for (size_t i = 0; i < node->n_input; i++) {
        node->input[i] = (char *)inputs[i];
    }
    node->n_output = 1;
    node->output = FBL_NEW_ARRAY(o->arena, char *, 1);
    node->output[0] = (char *)(out ? out : fresh(o));
    node->op_type = (char *)op;
    node->name = fbl_arena_printf(o->arena, "%s_%zu", op, o->node_count);
    node->doc_string = (char *)fbl_loc_string(o->ctx, o->graph->nodes[o->at].loc, true);
    FBL_PUSH(o->arena, o->nodes, o->node_count, o->node_capacity, node);
    return node->output[0];
}

const char *fbl_onnx_unary(FblOnnx *o, const char *op, const char *x, const char *out) { return fbl_onnx_node(o, op, (const char *const[]){x, NULL}, out); }

const char *fbl_onnx_binary(FblOnnx *o, const char *op, const char *a, const char *b, const char *out) {
    return fbl_onnx_node(o, op, (const char *const[]){a, b, NULL}, out);
}

static Onnx__AttributeProto *attribute(FblOnnx *o, const char *name, int32_t type) {
    Onnx__NodeProto *node = o->nodes[o->node_count - 1];
    Onnx__AttributeProto *attr = FBL_NEW(o->arena, Onnx__AttributeProto), **all = FBL_NEW_ARRAY(o->arena, Onnx__AttributeProto *, node->n_attribute + 1);
    onnx__attribute_proto__init(attr);
    attr->name = (char *)name;
    attr->has_type = true;
    attr->type = type;
    for (size_t i = 0; i < node->n_attribute; i++) {
        all[i] = node->attribute[i];
    }
    all[node->n_attribute++] = attr;
    node->attribute = all;
    return attr;
}

void fbl_onnx_int(FblOnnx *o, const char *name, int64_t value) {
    Onnx__AttributeProto *attr = attribute(o, name, 2);
    attr->has_i = true;
    attr->i = value;
}

void fbl_onnx_ints(FblOnnx *o, const char *name, const int64_t *values, size_t count) {
    Onnx__AttributeProto *attr = attribute(o, name, 7);
    attr->n_ints = count;
    attr->ints = FBL_NEW_ARRAY(o->arena, int64_t, count + 1);
    memcpy(attr->ints, values, count * sizeof *values);
}

void fbl_onnx_string(FblOnnx *o, const char *name, const char *value) {
    Onnx__AttributeProto *attr = attribute(o, name, 3);
    attr->has_s = true;
    attr->s = (ProtobufCBinaryData){strlen(value), (uint8_t *)value};
}

static Onnx__TensorProto *tensor(FblOnnx *o, const char *name, int32_t dtype, const int64_t *dims, size_t rank, const void *data, size_t size) {
    Onnx__TensorProto *made = FBL_NEW(o->arena, Onnx__TensorProto);
    onnx__tensor_proto__init(made);
    made->name = (char *)name;
    made->has_data_type = made->has_raw_data = true;
    made->data_type = dtype;
    made->n_dims = rank;
    made->dims = FBL_NEW_ARRAY(o->arena, int64_t, rank + 1);
    for (size_t i = 0; i < rank; i++) {
        made->dims[i] = dims[i];
    }
    made->raw_data = (ProtobufCBinaryData){size, (uint8_t *)data};
    FBL_PUSH(o->arena, o->tensors, o->tensor_count, o->tensor_capacity, made);
    return made;
}

const char *fbl_onnx_list(FblOnnx *o, const int64_t *values, size_t count) {
    const int64_t dims[1] = {(int64_t)count};
    int64_t *kept = FBL_NEW_ARRAY(o->arena, int64_t, count + 1);
    memcpy(kept, values, count * sizeof *values);
    return tensor(o, fresh(o), FBL_ONNX_INT64, dims, 1, kept, count * sizeof *values)->name;
}

const char *fbl_onnx_scalar(FblOnnx *o, FblDtype dtype, double value) {
    union {
        float real;
        int32_t integer;
        uint8_t truth;
    } *kept = fbl_arena_alloc(o->arena, 4);
    if (dtype == FBL_F32) {
        kept->real = (float)value;
    } else if (dtype == FBL_I32) {
        kept->integer = (int32_t)value;
    } else {
        kept->truth = value != 0;
    }
    return tensor(o, fresh(o), fbl_onnx_dtype(dtype), NULL, 0, kept, dtype == FBL_BOOL ? 1 : 4)->name;
}

void fbl_onnx_tensor(FblOnnx *o, const char *name, const FblType *type, const void *data) {
    int64_t dims[FBL_MAX_RANK];
    for (int i = 0; i < type->rank; i++) {
        dims[i] = type->axes[i].extent;
    }
    tensor(o, name, fbl_onnx_dtype(type->dtype), dims, (size_t)type->rank, data, (size_t)fbl_type_elements(type) * (type->dtype == FBL_BOOL ? 1 : 4));
}

static Onnx__ValueInfoProto *value_info(FblOnnx *o, const char *name, const FblType *type) {
    Onnx__ValueInfoProto *info = FBL_NEW(o->arena, Onnx__ValueInfoProto);
    onnx__value_info_proto__init(info);
    info->name = (char *)name;
    info->type = FBL_NEW(o->arena, Onnx__TypeProto);
    onnx__type_proto__init(info->type);
    Onnx__TensorTypeProto *tensor_type = info->type->tensor_type = FBL_NEW(o->arena, Onnx__TensorTypeProto);
    onnx__tensor_type_proto__init(tensor_type);
    tensor_type->has_elem_type = true;
    tensor_type->elem_type = fbl_onnx_dtype(type->dtype);
    Onnx__TensorShapeProto *shape = tensor_type->shape = FBL_NEW(o->arena, Onnx__TensorShapeProto);
    onnx__tensor_shape_proto__init(shape);
    shape->n_dim = (size_t)type->rank;
    shape->dim = FBL_NEW_ARRAY(o->arena, Onnx__DimensionProto *, type->rank + 1);
    for (int i = 0; i < type->rank; i++) {
        Onnx__DimensionProto *dim = shape->dim[i] = FBL_NEW(o->arena, Onnx__DimensionProto);
        onnx__dimension_proto__init(dim);
        if (!o->fixed_batch && strcmp(type->axes[i].name, "batch") == 0) {
            dim->value_case = ONNX__DIMENSION_PROTO__VALUE_DIM_PARAM;
            dim->dim_param = (char *)"batch";
        } else {
            dim->value_case = ONNX__DIMENSION_PROTO__VALUE_DIM_VALUE;
            dim->dim_value = type->axes[i].extent;
        }
    }
    return info;
}

// Marks what the wanted outputs need.
static void mark(const FblGraph *graph, bool *needed) {
    for (size_t id = graph->count; id-- > 0;) {
        for (int32_t i = 0; needed[id] && i < graph->nodes[id].input_count; i++) {
            needed[graph->nodes[id].inputs[i]] = true;
        }
    }
}

static void leaf(FblOnnx *o, const FblOnnxOptions *options) {
    const FblNode *node = &o->graph->nodes[o->at];
    if (node->op == FBL_OP_CONST) {
        o->names[o->at] = fbl_onnx_scalar(o, node->type.dtype, node->attr.value);
    } else if (node->op == FBL_OP_IOTA) {
        int64_t count = node->type.axes[0].extent;
        int32_t *data = FBL_NEW_ARRAY(o->arena, int32_t, count + 1);
        for (int64_t i = 0; i < count; i++) {
            data[i] = (int32_t)i;
        }
        o->names[o->at] = fresh(o);
        fbl_onnx_tensor(o, o->names[o->at], &node->type, data);
    } else if (node->op == FBL_OP_PARAM || node->op == FBL_OP_STATE) {
        const float *data = options->weights(options->weights_arg, node->attr.names[0]);
        if (!data) {
            fbl_onnx_refuse(o, "its values are not there");
            return;
        }
        o->names[o->at] = node->attr.names[0];
        fbl_onnx_tensor(o, node->attr.names[0], &node->type, data);
    } else if (node->op == FBL_OP_INPUT) {
        o->names[o->at] = node->attr.names[0];
    } else {
        fbl_onnx_refuse(o, "it draws random numbers");
    }
}


static void encode(FblOnnx *o, const FblOnnxOptions *options, const bool *needed, const FblNodeId *roots, const uint8_t **out_bytes, size_t *out_size) {
    Onnx__GraphProto graph;
    onnx__graph_proto__init(&graph);
    graph.name = (char *)o->graph->name;
    graph.n_node = o->node_count;
    graph.node = o->nodes;
    graph.n_initializer = o->tensor_count;
    graph.initializer = o->tensors;
    graph.input = FBL_NEW_ARRAY(o->arena, Onnx__ValueInfoProto *, o->graph->count + 1);
    for (size_t id = 0; id < o->graph->count; id++) {
        if (needed[id] && o->graph->nodes[id].op == FBL_OP_INPUT) {
            graph.input[graph.n_input++] = value_info(o, o->names[id], &o->graph->nodes[id].type);
        }
    }
    graph.output = FBL_NEW_ARRAY(o->arena, Onnx__ValueInfoProto *, options->output_count + 1);
    for (size_t i = 0; i < options->output_count; i++) {
        graph.output[graph.n_output++] = value_info(o, options->outputs[i], &o->graph->nodes[roots[i]].type);
    }
    Onnx__OperatorSetIdProto opset, *opsets[1] = {&opset};
    onnx__operator_set_id_proto__init(&opset);
    opset.domain = (char *)"";
    opset.has_version = true;
    opset.version = 18;
    Onnx__ModelProto model;
    onnx__model_proto__init(&model);
    model.has_ir_version = true;
    model.ir_version = 8;
    model.producer_name = (char *)"fblc";
    model.producer_version = (char *)FBL_VERSION;
    model.graph = &graph;
    model.n_opset_import = 1;
    model.opset_import = opsets;
    *out_size = onnx__model_proto__get_packed_size(&model);
    uint8_t *bytes = fbl_arena_alloc(o->arena, *out_size + 1);
    onnx__model_proto__pack(&model, bytes);
    *out_bytes = bytes;
}

FblStatus fbl_onnx_encode(const FblGraph *graph, const FblOnnxOptions *options, const uint8_t **out_bytes, size_t *out_size) {
    FblArena *arena = fbl_context_arena(graph->ctx);
    FblOnnx o = {.ctx = graph->ctx, .arena = arena, .graph = graph};
    o.names = FBL_NEW_ARRAY(arena, const char *, graph->count + 1);
    bool *needed = FBL_NEW_ARRAY(arena, bool, graph->count + 1);
    FblNodeId *roots = FBL_NEW_ARRAY(arena, FblNodeId, options->output_count + 1);
    for (size_t i = 0; i < options->output_count; i++) {
        roots[i] = FBL_NO_NODE;
        for (size_t r = 0; r < graph->root_count; r++) {
            if (graph->roots[r].kind == FBL_ROOT_OUTPUT && graph->roots[r].name == options->outputs[i]) {
                roots[i] = graph->roots[r].node;
            }
        }
        if (roots[i] == FBL_NO_NODE) {
            return fbl_error(graph->ctx, "E0708", FBL_NO_LOC, "the program has no output `%s` to write", options->outputs[i]);
        }
        needed[roots[i]] = true;
    }
    mark(graph, needed);
    for (size_t id = 0; id < graph->count && o.status == FBL_OK; id++) {
        o.at = (FblNodeId)id;
        if (needed[id] && fbl_op_info(graph->nodes[id].op)->op_class == FBL_CLASS_LEAF) {
            leaf(&o, options);
        } else if (needed[id]) {
            o.names[id] = fresh(&o);
            fbl_onnx_op(&o, o.names[id]);
        }
    }
    for (size_t i = 0; i < options->output_count && o.status == FBL_OK; i++) { // outputs under their own names
        o.at = roots[i];
        fbl_onnx_unary(&o, "Identity", o.names[roots[i]], options->outputs[i]);
    }
    FBL_TRY(o.status);
    encode(&o, options, needed, roots, out_bytes, out_size);
    return FBL_OK;
}

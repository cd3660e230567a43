#include "ir/graph.h"

#include <string.h>

#include "ir/print.h"
#include "ir/reader.h"

static FblStatus read_op(FblReader *r, FblOp *out_op) {
    if (r->token == FBL_TOKEN_WORD) {
        for (int op = 0; op < FBL_OP_COUNT; op++) {
            if (strcmp(fbl_op_info((FblOp)op)->text, r->name) == 0) {
                *out_op = (FblOp)op;
                return fbl_reader_next(r);
            }
        }
        const char *names[FBL_OP_COUNT];
        for (int op = 0; op < FBL_OP_COUNT; op++) {
            names[op] = fbl_op_info((FblOp)op)->text;
        }
        FblDiag *diag = fbl_diag(r->ctx, FBL_ERROR, "E0211", r->loc, "no operation is called `%s`", r->name);
        const char *near = fbl_nearest_name(r->name, names, FBL_OP_COUNT);
        if (near != NULL) {
            fbl_diag_hint(r->ctx, diag, "did you mean `%s`?", near);
        }
        return FBL_USER;
    }
    return fbl_reader_expected(r, "an operation");
}

typedef struct Inputs {
    FblNodeId *ids;
    size_t count, capacity;
} Inputs;

static FblStatus read_inputs(FblReader *r, const FblGraph *graph, Inputs *out) {
    FBL_TRY(fbl_reader_punct(r, '('));
    while (!fbl_reader_at(r, ')')) {
        if (r->token != FBL_TOKEN_NODE) {
            return fbl_reader_expected(r, "an operand like %0");
        }
        if ((uint64_t)r->integer >= graph->count) {
            return fbl_error(r->ctx, "E0214", r->loc, "%%%d isn't defined before its use", (int)r->integer);
        }
        FBL_PUSH(fbl_context_arena(r->ctx), out->ids, out->count, out->capacity, (FblNodeId)r->integer);
        FBL_TRY(fbl_reader_next(r));
        if (!fbl_reader_at(r, ',')) {
            break;
        }
        FBL_TRY(fbl_reader_next(r));
    }
    return fbl_reader_punct(r, ')');
}

// Adds one name to the list that is being read.
static FblStatus read_list_name(FblReader *r, FblAttr *attr) {
    if (attr->name_count == 2 * FBL_MAX_RANK) {
        return fbl_reader_expected(r, "fewer names");
    }
    FBL_TRY(fbl_reader_name(r, &attr->names[attr->name_count]));
    attr->name_count++;
    return FBL_OK;
}

static FblStatus read_list(FblReader *r, bool single, FblAttr *attr) {
    if (single) {
        return read_list_name(r, attr);
    }
    FBL_TRY(fbl_reader_punct(r, '['));
    while (!fbl_reader_at(r, ']')) {
        FBL_TRY(read_list_name(r, attr));
        if (!fbl_reader_at(r, ',')) {
            break;
        }
        FBL_TRY(fbl_reader_next(r));
    }
    return fbl_reader_punct(r, ']');
}

// One "name=" of the fields, with the comma before it.
static FblStatus read_field(FblReader *r, bool *first, FblFieldName field) {
    FBL_TRY(fbl_reader_punct(r, *first ? '{' : ','));
    *first = false;
    if (r->token != FBL_TOKEN_WORD || strlen(r->name) != (size_t)field.length ||
        memcmp(r->name, field.text, (size_t)field.length) != 0) {
        char *name = fbl_arena_strndup(fbl_context_arena(r->ctx), field.text, (size_t)field.length);
        return fbl_reader_expected(r, fbl_arena_printf(fbl_context_arena(r->ctx), "`%s=`", name));
    }
    FBL_TRY(fbl_reader_next(r));
    return fbl_reader_punct(r, '=');
}

// The fields stand in the order of attrs.def; all of them.
static FblStatus read_attr(FblReader *r, FblAttrKind kind, FblAttr *attr) {
    FblAttrFields fields = fbl_attr_fields(kind);
    bool first = true;
    for (int l = 0; l < fields.list_count; l++) {
        FBL_TRY(read_field(r, &first, fields.lists[l]));
        if (l == 1) {
            attr->split = attr->name_count;
        }
        FBL_TRY(read_list(r, fbl_attr_single(kind, l), attr));
    }
    for (int i = 0; i < fields.int_count; i++) {
        FBL_TRY(read_field(r, &first, fields.ints[i]));
        FBL_TRY(fbl_reader_integer(r, &attr->i[i]));
    }
    if (fields.has_value) {
        FBL_TRY(read_field(r, &first, (FblFieldName){"value", 5}));
        FBL_TRY(fbl_reader_double(r, &attr->value));
    }
    return first ? FBL_OK : fbl_reader_punct(r, '}');
}

static FblStatus read_node(FblReader *r, FblGraph *graph) {
    Inputs inputs = {0};
    FblAttr attr = {0};
    FblType type;
    FblOp op = FBL_OP_CONST;
    FblLoc begin = r->loc;
    if ((uint64_t)r->integer != graph->count) {
        return fbl_error(r->ctx, "E0214", r->loc, "nodes are numbered in order: expected %%%zu", graph->count);
    }
    FBL_TRY(fbl_reader_next(r));
    FBL_TRY(fbl_reader_punct(r, '='));
    FBL_TRY(read_op(r, &op));
    FBL_TRY(read_inputs(r, graph, &inputs));
    FBL_TRY(read_attr(r, fbl_op_info(op)->attr, &attr));
    FBL_TRY(fbl_reader_punct(r, ':'));
    FblLoc type_loc = r->loc;
    FBL_TRY(fbl_reader_type(r, &type));
    FblLoc loc = {r->file, begin.begin, type_loc.end};
    FblNodeId id = fbl_graph_add(graph, op, inputs.ids, (int32_t)inputs.count, &attr, &type, loc);
    if (id == FBL_NO_NODE) {
        return FBL_USER;
    }
    if (!fbl_type_equal(fbl_graph_type(graph, id), &type)) {
        return fbl_error(r->ctx, "E0213", type_loc, "the type of %%%d is %s, not %s", (int)id,
                         fbl_type_string(r->ctx, fbl_graph_type(graph, id)), fbl_type_string(r->ctx, &type));
    }
    if (fbl_reader_at_word(r, "from")) {
        FBL_TRY(fbl_reader_next(r));
        if (r->token != FBL_TOKEN_NODE) {
            return fbl_reader_expected(r, "a node");
        }
        graph->nodes[id].origin = (FblNodeId)r->integer;
        FBL_TRY(fbl_reader_next(r));
    }
    return FBL_OK;
}

static FblStatus read_root(FblReader *r, FblGraph *graph) {
    for (int kind = FBL_ROOT_OUTPUT; kind <= FBL_ROOT_UPDATE; kind++) {
        FblName name;
        if (!fbl_reader_at_word(r, fbl_root_kind_name((FblRootKind)kind))) {
            continue;
        }
        FBL_TRY(fbl_reader_next(r));
        FBL_TRY(fbl_reader_name(r, &name));
        FBL_TRY(fbl_reader_punct(r, '='));
        if (r->token != FBL_TOKEN_NODE || (uint64_t)r->integer >= graph->count) {
            return fbl_reader_expected(r, "a node of the graph");
        }
        fbl_graph_root(graph, (FblRootKind)kind, name, (FblNodeId)r->integer);
        return fbl_reader_next(r);
    }
    return fbl_reader_expected(r, "a node, a root or `}`");
}

FblStatus fbl_reader_graph(FblReader *reader, FblGraph **out_graph) {
    FblName name;
    FBL_TRY(fbl_reader_word(reader, "graph"));
    FBL_TRY(fbl_reader_name(reader, &name));
    FblGraph *graph = fbl_graph_create(reader->ctx, name);
    FBL_TRY(fbl_reader_punct(reader, '{'));
    FblLoc end = reader->loc;
    while (!fbl_reader_at(reader, '}')) {
        FBL_TRY(reader->token == FBL_TOKEN_NODE ? read_node(reader, graph) : read_root(reader, graph));
        end = reader->loc;
    }
    for (size_t i = 0; i < graph->count; i++) {
        if (graph->nodes[i].origin >= (FblNodeId)graph->count) {
            return fbl_error(reader->ctx, "E0214", graph->nodes[i].loc, "%%%d, the origin of %%%zu, isn't in the graph",
                             (int)graph->nodes[i].origin, i);
        }
    }
    for (size_t i = 0; i < graph->root_count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (graph->roots[j].kind == graph->roots[i].kind && graph->roots[j].name == graph->roots[i].name) {
                return fbl_error(reader->ctx, "E0215", end, "the root `%s` stands twice", graph->roots[i].name);
            }
        }
    }
    FBL_TRY(fbl_reader_punct(reader, '}'));
    *out_graph = graph;
    return FBL_OK;
}

FblStatus fbl_graph_read(FblContext *ctx, uint32_t file, FblGraph **out_graph) {
    FblReader reader;
    FblGraph *graph;
    FBL_TRY(fbl_reader_init(&reader, ctx, file));
    FBL_TRY(fbl_reader_graph(&reader, &graph));
    if (reader.token != FBL_TOKEN_END) {
        return fbl_reader_expected(&reader, "the end of the text");
    }
    *out_graph = graph;
    return FBL_OK;
}

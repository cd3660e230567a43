#include "ir/print.h"

#include <inttypes.h>

static const struct {
    const char *ints, *names;
    bool has_value;
} attr_fields[FBL_ATTR_COUNT] = {
#define FBL_ATTR(ENUM, ints_, names_, has_value_) [FBL_ATTR_##ENUM] = {ints_, names_, has_value_},
#include "ir/attrs.def"
#undef FBL_ATTR
};

FblAttrFields fbl_attr_fields(FblAttrKind kind) {
    FblAttrFields fields = {.has_value = attr_fields[kind].has_value};
    const char *lists[2] = {attr_fields[kind].ints, attr_fields[kind].names};
    for (int which = 0; which < 2; which++) {
        const char *p = lists[which];
        while (*p != '\0') {
            const char *end = p;
            while (*end != '\0' && *end != ',') {
                end++;
            }
            FblFieldName name = {p, (int)(end - p)};
            if (which == 0) {
                fields.ints[fields.int_count++] = name;
            } else {
                fields.lists[fields.list_count++] = name;
            }
            p = *end == ',' ? end + 1 : end;
        }
    }
    return fields;
}

bool fbl_attr_single(FblAttrKind kind, int list) {
    switch (kind) {
    case FBL_ATTR_SYMBOL:
    case FBL_ATTR_SLICE:
    case FBL_ATTR_PAD:
    case FBL_ATTR_SORT:
        return true;
    case FBL_ATTR_SPLIT:
        return list == 0;
    case FBL_ATTR_JOIN:
        return list == 1;
    default:
        return false;
    }
}

static void print_attr(FblText *text, FblAttrKind kind, const FblAttr *attr) {
    FblAttrFields fields = fbl_attr_fields(kind);
    const char *separator = " {";
    for (int l = 0; l < fields.list_count; l++) {
        int from = l == 0 ? 0 : attr->split;
        int to = fields.list_count == 2 && l == 0 ? attr->split : attr->name_count;
        fbl_text_printf(text, "%s%.*s=", separator, fields.lists[l].length, fields.lists[l].text);
        if (kind == FBL_ATTR_SYMBOL) {
            fbl_text_quoted(text, attr->names[0]);
        } else if (fbl_attr_single(kind, l)) {
            fbl_text_name(text, attr->names[from]);
        } else {
            fbl_text_add(text, "[", 1);
            for (int i = from; i < to; i++) {
                fbl_text_printf(text, "%s", i == from ? "" : ", ");
                fbl_text_name(text, attr->names[i]);
            }
            fbl_text_add(text, "]", 1);
        }
        separator = ", ";
    }
    for (int i = 0; i < fields.int_count; i++) {
        fbl_text_printf(text, "%s%.*s=%" PRId64, separator, fields.ints[i].length, fields.ints[i].text, attr->i[i]);
        separator = ", ";
    }
    if (fields.has_value) {
        fbl_text_printf(text, "%svalue=", separator);
        fbl_text_double(text, attr->value);
        separator = ", ";
    }
    if (separator[0] == ',') {
        fbl_text_add(text, "}", 1);
    }
}

static void print_node(FblText *text, const FblGraph *graph, size_t id, int indent, bool locations) {
    const FblNode *node = &graph->nodes[id];
    fbl_text_printf(text, "%*s%%%zu = %s(", indent, "", id, fbl_op_info(node->op)->text);
    for (int32_t i = 0; i < node->input_count; i++) {
        fbl_text_printf(text, "%s%%%d", i == 0 ? "" : ", ", (int)node->inputs[i]);
    }
    fbl_text_add(text, ")", 1);
    print_attr(text, fbl_op_info(node->op)->attr, &node->attr);
    fbl_text_add(text, " : ", 3);
    fbl_text_type(text, &node->type, true);
    if (node->origin != FBL_NO_NODE) {
        fbl_text_printf(text, " from %%%d", (int)node->origin);
    }
    if (locations && (node->loc.file != 0 || node->path != NULL)) {
        fbl_text_printf(text, "  # %s%s%s", fbl_loc_string(graph->ctx, node->loc, true), node->path == NULL ? "" : " ",
                        node->path == NULL ? "" : node->path);
    }
    fbl_text_add(text, "\n", 1);
}

const char *fbl_root_kind_name(FblRootKind kind) {
    switch (kind) {
    case FBL_ROOT_OUTPUT:
        return "output";
    case FBL_ROOT_GRAD:
        return "grad";
    case FBL_ROOT_UPDATE:
        return "update";
    }
    return "?";
}

void fbl_graph_print_to(FblText *text, const FblGraph *graph, int indent, bool locations) {
    fbl_text_add(text, "graph ", 6);
    fbl_text_name(text, graph->name);
    fbl_text_add(text, " {\n", 3);
    for (size_t i = 0; i < graph->count; i++) {
        print_node(text, graph, i, indent + 2, locations);
    }
    for (size_t i = 0; i < graph->root_count; i++) {
        const FblRoot *root = &graph->roots[i];
        fbl_text_printf(text, "%*s%s ", indent + 2, "", fbl_root_kind_name(root->kind));
        fbl_text_name(text, root->name);
        fbl_text_printf(text, " = %%%d\n", (int)root->node);
    }
    fbl_text_printf(text, "%*s}\n", indent, "");
}

const char *fbl_graph_print(const FblGraph *graph, bool locations) {
    FblText text;
    fbl_text_init(&text, fbl_context_arena(graph->ctx));
    fbl_graph_print_to(&text, graph, 0, locations);
    return text.data;
}

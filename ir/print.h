// What the printer and the reader of the textual IR share. Private to ir/.
//
// Ownership: borrows everything. Threads: as the context.
#ifndef FBL_IR_PRINT_H
#define FBL_IR_PRINT_H

#include "ir/graph.h"
#include "ir/text.h"

// A field's name inside the tables of attrs.def; not NUL-terminated.
typedef struct FblFieldName {
    const char *text;
    int length;
} FblFieldName;

// The textual fields of an attribute kind, in order.
typedef struct FblAttrFields {
    FblFieldName ints[8], lists[2];
    int int_count, list_count;
    bool has_value;
} FblAttrFields;

FblAttrFields fbl_attr_fields(FblAttrKind kind);
// Whether name list `list` of this kind holds exactly one name, written without brackets.
bool fbl_attr_single(FblAttrKind kind, int list);

const char *fbl_root_kind_name(FblRootKind kind);
// fbl_graph_print into a text that has been begun, the first line already indented.
void fbl_graph_print_to(FblText *text, const FblGraph *graph, int indent, bool locations);

#endif

// Prints docs/ops.md from ir/ops.def; with a file name instead compares, and fails when the file is out of date.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/graph.h"

typedef struct Section {
    FblOpClass op_class;
    const char *title, *text;
} Section;

static const Section sections[] = {
    {FBL_CLASS_LEAF, "Leaves",
     "No operands; the type is given with the node. `const`, `iota` and `uniform` are computed; `input`, `param` and\n"
     "`state` are provided by name.\n"},
    {FBL_CLASS_POINTWISE, "Pointwise",
     "Operands align by axis name. The result has the first operand's axes, then those of the next that are new, and "
     "so\n"
     "on; an axis that two operands share must have one extent (E0201).\n\n"
     "Element types: arithmetic converts its operands: a bool counts as 0 or 1, an i32 beside an f32 becomes f32, and\n"
     "the result is f32 if any operand is, else i32. i32 arithmetic wraps around. Comparisons convert likewise and "
     "give\n"
     "bool. `exp` to `erf` and `pow` always give f32. `not`, `and`, `or` and the condition of `select` take bool "
     "alone;\n"
     "the branches of `select` keep a common type, else they are converted.\n\n"
     "An i32 may index an axis (a label, written `i32<class=10>`). Arithmetic and `cast` drop the axis, `select` "
     "keeps\n"
     "the one that both branches index, `stop_gradient` and `broadcast` keep it. `eq` and `ne` of labels of different\n"
     "axes are an error (E0202).\n"},
    {FBL_CLASS_REDUCE, "Reductions",
     "Over the named axes, in any number, none included; the rest keep their order. An axis that is not there is "
     "E0204.\n"
     "A bool sums as f32; otherwise i32 stays i32 (bools count as i32 in `reduce_max` and `reduce_min`). A NaN among\n"
     "the elements wins a maximum, a minimum and `argmax`. Only `argmax` gives a label.\n"},
    {FBL_CLASS_CONTRACT, "Contractions",
     "`contract`: the result has the axes of the first operand that are not summed, then those of the second which "
     "the\n"
     "first has not. Convolutions: `axes` names batch, channel, height and width of x, which stand in any order; the "
     "result\n"
     "keeps that order with new extents. The weight is read by position and its axis names don't matter.\n"},
    {FBL_CLASS_WINDOW, "Windows",
     "`axes` names the two spatial axes; all others stay. The extent of the result is rounded down unless the given "
     "type\n"
     "has the extent of rounding up, whose last window must start inside the input or its left padding (PyTorch's\n"
     "ceil mode). A NaN in a window is its maximum. The average divides by the window's elements, padding included "
     "when\n"
     "`count_pad` is 1, and never by what lies beyond the padding.\n"},
    {FBL_CLASS_SHAPE, "Shape",
     "Elements move and keep their type; labels stay labels, except where `pad` fills with a number that is none or\n"
     "`concat` mixes them. `concat` takes operands with the same axes and converts their element types like "
     "arithmetic.\n"
     "`join` puts the new axis where the first axis named stood; `split` puts the new axes, whose extents are given "
     "with\n"
     "the result, in the old one's place.\n"},
    {FBL_CLASS_INDEX, "Indexing and draws",
     "`gather`: the index must be a label of the named axis and of its extent (E0203). The result has x's other axes, "
     "then\n"
     "those of the index that are new; shared axes align. The index may itself carry the gathered axis.\n"},
    {FBL_CLASS_SCAN, "Scans",
     "The result has x's axes. `cumsum` counts a bool as f32. `argsort` puts NaN last in either direction and keeps "
     "the\n"
     "order of equals.\n"},
    {FBL_CLASS_COLLECTIVE, "Collectives",
     "No program has them before the pass `shard` divides its batch among devices.\n"},
};

static void print_row(FILE *out, FblOp op, const char *grad, const char *ints, const char *names, int has_value) {
    const FblOpInfo *info = fbl_op_info(op);
    char fields[256];
    snprintf(fields, sizeof fields, "%s%s%s%s%s", names, names[0] != '\0' && ints[0] != '\0' ? "," : "", ints,
             (names[0] != '\0' || ints[0] != '\0') && has_value ? "," : "", has_value ? "value" : "");
    fprintf(out, "| `%s` | ", info->text);
    if (info->arity < 0) {
        fprintf(out, "1 or more");
    } else {
        fprintf(out, "%d", info->arity);
    }
    fprintf(out, " | ");
    for (const char *p = fields; *p != '\0'; p++) {
        if (*p == ',') {
            fprintf(out, ", ");
        } else {
            fputc(*p, out);
        }
    }
    fprintf(out, " | ");
    for (const char *p = info->doc; *p != '\0'; p++) {
        fprintf(out, *p == '|' ? "\\%c" : "%c", *p);
    }
    fprintf(out, " | %s |\n", grad);
}

static void print_document(FILE *out) {
    static const char *const grads[FBL_OP_COUNT] = {
#define FBL_OP(ENUM, text, arity, class_, attr, grad, doc) [FBL_OP_##ENUM] = #grad,
#include "ir/ops.def"
#undef FBL_OP
    };
    static const struct {
        const char *ints, *names;
        int has_value;
    } attrs[FBL_ATTR_COUNT] = {
#define FBL_ATTR(ENUM, ints_, names_, has_value_) [FBL_ATTR_##ENUM] = {ints_, names_, has_value_},
#include "ir/attrs.def"
#undef FBL_ATTR
    };
    fprintf(
        out,
        "# Operations\n\n"
        "Generated from `ir/ops.def` by `ops_doc`; a test compares. Every level of the compiler works on these and on\n"
        "nothing else: softmax, norms and losses are compositions. All are pure functions of their operands.\n\n"
        "A type is `f32`, `i32` or `bool` over named axes: `f32[batch=64, class=10]`. Extents that are not known\n"
        "print as `?1`; where a value is needed they are an error (E0205). The derivative names the rule in "
        "`passes/`:\n"
        "`zero` is a derivative of 0, `none` has no derivative (a leaf or an integer result).\n");
    for (size_t s = 0; s < sizeof sections / sizeof *sections; s++) {
        fprintf(out, "\n## %s\n\n%s\n", sections[s].title, sections[s].text);
        fprintf(out, "| operation | operands | attributes | meaning | derivative |\n|---|---|---|---|---|\n");
        for (int op = 0; op < FBL_OP_COUNT; op++) {
            const FblOpInfo *info = fbl_op_info((FblOp)op);
            if (info->op_class == sections[s].op_class) {
                print_row(out, (FblOp)op, grads[op], attrs[info->attr].ints, attrs[info->attr].names,
                          attrs[info->attr].has_value);
            }
        }
    }
}

static int compare(const char *path, const char *text, size_t size) {
    FILE *file = fopen(path, "rb");
    char *have = calloc(size + 2, 1);
    if (file == NULL || have == NULL) {
        fprintf(stderr, "cannot read %s\n", path);
        return 3;
    }
    size_t length = fread(have, 1, size + 1, file);
    fclose(file);
    int differs = length != size || memcmp(have, text, size) != 0;
    free(have);
    if (differs) {
        fprintf(stderr, "%s is out of date: run ops_doc > %s\n", path, path);
    }
    return differs;
}

int main(int argc, char **argv) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return 3;
    }
    print_document(out);
    fclose(out);
    int status = 0;
    if (argc > 1) {
        status = compare(argv[1], text, size);
    } else {
        fwrite(text, 1, size, stdout);
    }
    free(text);
    return status;
}

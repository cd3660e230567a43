#include "frontend/ast.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *fbl_expr_plain_string(const FblExpr *expr) {
    if (expr->kind != FBL_EXPR_STRING || expr->string.count > 1) {
        return NULL;
    }
    if (expr->string.count == 0) {
        return "";
    }
    return expr->string.items[0].expr == NULL ? expr->string.items[0].text : NULL;
}

const char *fbl_unary_op_text(FblUnaryOp op) { return op == FBL_UNARY_NEG ? "-" : "not"; }

const char *fbl_binary_op_text(FblBinaryOp op) {
    static const char *const texts[] = {"or", "and", "==", "!=", "<", "<=", ">", ">=",
                                        "+",  "-",   "*",  "/",  "//", "%",  "^"};
    return texts[op];
}

const char *fbl_decl_kind_text(FblDeclKind kind) {
    static const char *const texts[] = {"import", "const", "fn", "layer", "model", "loss", "train"};
    return texts[kind];
}

const char *fbl_expr_describe(FblContext *ctx, const FblExpr *expr) {
    FblArena *arena = fbl_context_arena(ctx);
    switch (expr->kind) {
    case FBL_EXPR_NUMBER:
        return "a number";
    case FBL_EXPR_STRING:
        return "a string";
    case FBL_EXPR_BOOL:
        return expr->boolean ? "`true`" : "`false`";
    case FBL_EXPR_NAME:
        return fbl_arena_printf(arena, "`%s`", expr->name);
    case FBL_EXPR_CALL:
        return fbl_arena_printf(arena, "a call of `%s`", expr->call.callee.name);
    case FBL_EXPR_INDEX:
        return "an indexing";
    case FBL_EXPR_UNARY:
        return fbl_arena_printf(arena, "the result of `%s`", fbl_unary_op_text(expr->unary.op));
    case FBL_EXPR_BINARY:
        return fbl_arena_printf(arena, "the result of `%s`", fbl_binary_op_text(expr->binary.op));
    case FBL_EXPR_IF:
        return "an `if` expression";
    case FBL_EXPR_TUPLE:
        return "a tuple";
    case FBL_EXPR_LIST:
        return "a list";
    case FBL_EXPR_RANGE:
        return "a range";
    case FBL_EXPR_SLICE:
        return "a slice";
    }
    return "an expression";
}

// ----------------------------------------------------------------------------------------------------------- dump

static void dump_expr(FILE *out, const FblExpr *expr);

static void dump_text(FILE *out, const char *text) {
    fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            fputc('\\', out);
        }
        if (*text == '\n') {
            fputs("\\n", out);
        } else {
            fputc(*text, out);
        }
    }
    fputc('"', out);
}

static void dump_args(FILE *out, const FblArgs *args) {
    for (size_t i = 0; i < args->count; i++) {
        const FblArg *arg = &args->items[i];
        fputc(' ', out);
        if (arg->name.name != NULL) {
            fprintf(out, "%s=", arg->name.name);
        }
        dump_expr(out, arg->value);
        if (arg->to != NULL) {
            fputs("->", out);
            dump_expr(out, arg->to);
        }
    }
}

static void dump_optional(FILE *out, const FblExpr *expr) {
    if (expr == NULL) {
        fputs(" _", out);
    } else {
        fputc(' ', out);
        dump_expr(out, expr);
    }
}

static void dump_string(FILE *out, const FblStringParts *parts) {
    if (parts->count == 0) {
        fputs("\"\"", out);
    } else if (parts->count == 1 && parts->items[0].expr == NULL) {
        dump_text(out, parts->items[0].text);
    } else {
        fputs("(string", out);
        for (size_t i = 0; i < parts->count; i++) {
            fputc(' ', out);
            if (parts->items[i].expr != NULL) {
                dump_expr(out, parts->items[i].expr);
            } else {
                dump_text(out, parts->items[i].text);
            }
        }
        fputc(')', out);
    }
}

static void dump_expr(FILE *out, const FblExpr *expr) {
    switch (expr->kind) {
    case FBL_EXPR_NUMBER:
        if (expr->number.is_int) {
            fprintf(out, "%" PRId64, expr->number.integer);
        } else {
            fprintf(out, "%.17gr", expr->number.value);
        }
        return;
    case FBL_EXPR_STRING:
        dump_string(out, &expr->string);
        return;
    case FBL_EXPR_BOOL:
        fputs(expr->boolean ? "true" : "false", out);
        return;
    case FBL_EXPR_NAME:
        fputs(expr->name, out);
        return;
    case FBL_EXPR_CALL:
        fprintf(out, "(%s %s", expr->call.piped ? "pipe" : "call", expr->call.callee.name);
        dump_args(out, &expr->call.args);
        if (expr->call.as != NULL) {
            fputs(" as", out);
            dump_optional(out, expr->call.as);
        }
        break;
    case FBL_EXPR_INDEX:
        fputs("(index ", out);
        dump_expr(out, expr->index.base);
        dump_args(out, &expr->index.args);
        break;
    case FBL_EXPR_UNARY:
        fprintf(out, "(%s", fbl_unary_op_text(expr->unary.op));
        dump_optional(out, expr->unary.operand);
        break;
    case FBL_EXPR_BINARY:
        fprintf(out, "(%s", fbl_binary_op_text(expr->binary.op));
        dump_optional(out, expr->binary.left);
        dump_optional(out, expr->binary.right);
        break;
    case FBL_EXPR_IF:
        fputs("(if", out);
        dump_optional(out, expr->conditional.condition);
        dump_optional(out, expr->conditional.then_value);
        dump_optional(out, expr->conditional.else_value);
        break;
    case FBL_EXPR_TUPLE:
        fputs("(tuple", out);
        dump_args(out, &expr->tuple);
        break;
    case FBL_EXPR_LIST:
        fputs("(list", out);
        for (size_t i = 0; i < expr->list.count; i++) {
            dump_optional(out, expr->list.items[i]);
        }
        break;
    case FBL_EXPR_RANGE:
        fputs("(range", out);
        dump_optional(out, expr->range.first);
        dump_optional(out, expr->range.last);
        break;
    case FBL_EXPR_SLICE:
        fputs("(slice", out);
        dump_optional(out, expr->slice.start);
        dump_optional(out, expr->slice.stop);
        dump_optional(out, expr->slice.step);
        break;
    }
    fputc(')', out);
}

static void dump_type(FILE *out, const FblTypeNode *type) {
    fputs(type->base.name, out);
    if (!type->has_axes) {
        return;
    }
    fputc('[', out);
    for (size_t i = 0; i < type->axis_count; i++) {
        fprintf(out, "%s%s", i > 0 ? " " : "", type->axes[i].name.name);
        if (type->axes[i].extent != NULL) {
            fputc('=', out);
            dump_expr(out, type->axes[i].extent);
        }
    }
    fputc(']', out);
}

static void dump_idents(FILE *out, const FblIdents *idents) {
    for (size_t i = 0; i < idents->count; i++) {
        fprintf(out, " %s", idents->items[i].name);
    }
}

static void indent(FILE *out, int level) { fprintf(out, "%*s", level * 2, ""); }

static void dump_block(FILE *out, const FblBlock *block, int level);

static void dump_stmt(FILE *out, const FblStmt *stmt, int level) {
    indent(out, level);
    switch (stmt->kind) {
    case FBL_STMT_ASSIGN:
        fputs("(let", out);
        dump_idents(out, &stmt->assign.targets);
        dump_optional(out, stmt->assign.value);
        break;
    case FBL_STMT_IF:
        for (size_t i = 0; i < stmt->branch.arm_count; i++) {
            if (i > 0) {
                indent(out, level);
            }
            fputs(i == 0 ? "(if" : "elif", out);
            dump_optional(out, stmt->branch.arms[i].condition);
            fputc('\n', out);
            dump_block(out, stmt->branch.arms[i].block, level + 1);
        }
        if (stmt->branch.else_block != NULL) {
            indent(out, level);
            fputs("else\n", out);
            dump_block(out, stmt->branch.else_block, level + 1);
        }
        indent(out, level);
        break;
    case FBL_STMT_FOR:
        fputs("(for", out);
        dump_idents(out, &stmt->loop.vars);
        fputs(" in", out);
        dump_optional(out, stmt->loop.over);
        fputc('\n', out);
        dump_block(out, stmt->loop.body, level + 1);
        indent(out, level);
        break;
    case FBL_STMT_RETURN:
        fputs("(return", out);
        for (size_t i = 0; i < stmt->results.count; i++) {
            dump_optional(out, stmt->results.items[i]);
        }
        break;
    case FBL_STMT_PARAM:
    case FBL_STMT_STATE:
        fprintf(out, "(%s %s ", stmt->kind == FBL_STMT_PARAM ? "param" : "state", stmt->variable.name.name);
        dump_type(out, stmt->variable.type);
        dump_optional(out, stmt->variable.init);
        break;
    case FBL_STMT_UPDATE:
        fprintf(out, "(<- %s", stmt->update.target.name);
        dump_optional(out, stmt->update.value);
        break;
    case FBL_STMT_AXIS:
        fprintf(out, "(axis %s", stmt->axis.name.name);
        dump_optional(out, stmt->axis.extent);
        break;
    case FBL_STMT_EXPR:
        fputs("(do", out);
        dump_optional(out, stmt->expr);
        break;
    }
    fputs(")\n", out);
}

static void dump_block(FILE *out, const FblBlock *block, int level) {
    for (size_t i = 0; i < block->stmts.count; i++) {
        dump_stmt(out, block->stmts.items[i], level);
    }
}

static void dump_entries(FILE *out, const FblTrainEntries *entries, int level) {
    for (size_t i = 0; i < entries->count; i++) {
        const FblTrainEntry *entry = &entries->items[i];
        indent(out, level);
        if (entry->value != NULL) {
            fprintf(out, "(%s", entry->name.name);
            dump_optional(out, entry->value);
        } else {
            fprintf(out, "(stage %s\n", entry->name.name);
            dump_entries(out, &entry->stage, level + 1);
            indent(out, level);
        }
        fputs(")\n", out);
    }
}

static void dump_function(FILE *out, const FblDecl *decl) {
    fputs(" (", out);
    for (size_t i = 0; i < decl->function.params.count; i++) {
        const FblParamNode *param = &decl->function.params.items[i];
        fprintf(out, "%s%s", i > 0 ? " " : "", param->name.name);
        if (param->type != NULL) {
            fputc(':', out);
            dump_type(out, param->type);
        }
        if (param->default_value != NULL) {
            fputc('=', out);
            dump_expr(out, param->default_value);
        }
    }
    fputc(')', out);
    if (decl->function.results.count > 0) {
        fputs(" ->", out);
        dump_idents(out, &decl->function.results);
    }
    fputc('\n', out);
    dump_block(out, decl->function.body, 1);
}

char *fbl_ast_dump(const FblAstFile *file) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < file->decl_count; i++) {
        const FblDecl *decl = file->decls[i];
        fprintf(out, "(%s", fbl_decl_kind_text(decl->kind));
        if (decl->name.name != NULL) {
            fprintf(out, " %s", decl->name.name);
        }
        switch (decl->kind) {
        case FBL_DECL_IMPORT:
            fputc(' ', out);
            dump_text(out, decl->import.path);
            break;
        case FBL_DECL_CONST:
            dump_optional(out, decl->constant);
            break;
        case FBL_DECL_TRAIN:
            fputc('\n', out);
            dump_entries(out, &decl->train, 1);
            break;
        default:
            dump_function(out, decl);
            break;
        }
        fputs(")\n", out);
    }
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}

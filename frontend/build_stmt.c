#include "frontend/sema.h"

#include <inttypes.h>

static void eval_stmt(FblBuild *b, const FblStmt *stmt);

void fbl_eval_block(FblBuild *b, const FblBlock *block) {
    FblFrame *frame = b->frame;
    for (size_t i = 0; i < block->stmts.count && !frame->returned; i++) {
        if (fbl_build_exhausted(b, block->stmts.items[i]->loc)) {
            frame->poisoned = true;
            return;
        }
        eval_stmt(b, block->stmts.items[i]);
    }
}

// Names first bound inside end with the block.
static void eval_inner(FblBuild *b, const FblBlock *block) {
    FblFrame *frame = b->frame;
    size_t locals = frame->local_count;
    size_t axes = frame->axis_count;
    size_t states = frame->state_count;
    fbl_eval_block(b, block);
    frame->local_count = locals;
    frame->axis_count = axes;
    frame->state_count = states;
}

static void bind_all(FblBuild *b, const FblIdents *targets, FblVal value, FblLoc loc) {
    FblFrame *frame = b->frame;
    if (targets->count == 1) {
        fbl_frame_bind(b, frame, targets->items[0].name, value, targets->items[0].loc);
        return;
    }
    bool fits = value.kind == FBL_VAL_SEQ && value.seq.count == targets->count;
    if (!fits && value.kind != FBL_VAL_POISON) {
        if (value.kind == FBL_VAL_SEQ) {
            fbl_build_error(b, "E0130", loc, "%zu names take apart a tuple of %zu", targets->count, value.seq.count);
        } else {
            fbl_build_error(b, "E0130", loc, "%zu names take apart %s, which is no tuple", targets->count,
                            fbl_val_describe(b, value));
        }
    }
    for (size_t i = 0; i < targets->count; i++) {
        fbl_frame_bind(b, frame, targets->items[i].name, fits ? value.seq.items[i] : FBL_POISON, targets->items[i].loc);
    }
}

static void eval_branch(FblBuild *b, const FblStmt *stmt) {
    for (size_t i = 0; i < stmt->branch.arm_count; i++) {
        const FblIfArm *arm = &stmt->branch.arms[i];
        FblVal condition = fbl_eval(b, arm->condition);
        bool taken;
        if (!fbl_val_to_bool(b, condition, arm->condition->loc, "the condition of an `if` statement", &taken)) {
            b->frame->poisoned = true; // what the block would have bound or returned is unknown
            return;
        }
        if (taken) {
            eval_inner(b, arm->block);
            return;
        }
    }
    if (stmt->branch.else_block != NULL) {
        eval_inner(b, stmt->branch.else_block);
    }
}

static void eval_loop(FblBuild *b, const FblStmt *stmt) {
    FblFrame *frame = b->frame;
    FblVal over = fbl_eval(b, stmt->loop.over);
    if (over.kind == FBL_VAL_POISON) {
        frame->poisoned = true;
        return;
    }
    if (over.kind != FBL_VAL_RANGE && over.kind != FBL_VAL_SEQ) {
        FblDiag *diag = fbl_build_error(b, "E0131", stmt->loop.over->loc, "`for` runs over a range or a list, found %s",
                                        fbl_val_describe(b, over));
        if (over.kind == FBL_VAL_INT) {
            fbl_diag_hint(b->ctx, diag, "write 0..n-1");
        }
        frame->poisoned = true;
        return;
    }
    size_t errors = fbl_diag_error_count(b->ctx);
    int64_t first = over.kind == FBL_VAL_RANGE ? over.range.first : 0;
    int64_t last = over.kind == FBL_VAL_RANGE ? over.range.last : (int64_t)over.seq.count - 1;
    for (int64_t i = first; i <= last && !frame->returned; i++) {
        if (fbl_build_exhausted(b, stmt->loc)) {
            frame->poisoned = true;
            return;
        }
        size_t locals = frame->local_count;
        size_t axes = frame->axis_count;
        size_t states = frame->state_count;
        bind_all(b, &stmt->loop.vars, over.kind == FBL_VAL_RANGE ? fbl_val_int(i) : over.seq.items[i],
                 stmt->loop.over->loc);
        fbl_eval_block(b, stmt->loop.body);
        frame->local_count = locals;
        frame->axis_count = axes;
        frame->state_count = states;
        if (fbl_diag_error_count(b->ctx) > errors) { // the same again for every turn helps nobody
            frame->poisoned = true;
            return;
        }
        if (i == INT64_MAX) {
            return;
        }
    }
}

static void eval_return(FblBuild *b, const FblStmt *stmt) {
    FblFrame *frame = b->frame;
    frame->returned = true;
    if (stmt->results.count == 1) {
        frame->result = fbl_eval(b, stmt->results.items[0]);
        return;
    }
    FblVal seq = {.kind = FBL_VAL_SEQ, .loc = stmt->loc};
    seq.seq.items = FBL_NEW_ARRAY(b->arena, FblVal, stmt->results.count);
    for (size_t i = 0; i < stmt->results.count; i++) {
        seq.seq.items[seq.seq.count++] = fbl_eval(b, stmt->results.items[i]);
    }
    frame->result = seq;
}

static void eval_stmt(FblBuild *b, const FblStmt *stmt) {
    switch (stmt->kind) {
    case FBL_STMT_ASSIGN:
        bind_all(b, &stmt->assign.targets, fbl_eval(b, stmt->assign.value), stmt->assign.value->loc);
        break;
    case FBL_STMT_IF:
        eval_branch(b, stmt);
        break;
    case FBL_STMT_FOR:
        eval_loop(b, stmt);
        break;
    case FBL_STMT_RETURN:
        eval_return(b, stmt);
        break;
    case FBL_STMT_PARAM:
        fbl_declare_param(b, stmt);
        break;
    case FBL_STMT_STATE:
        fbl_declare_state(b, stmt);
        break;
    case FBL_STMT_UPDATE:
        fbl_update_state(b, stmt);
        break;
    case FBL_STMT_AXIS: {
        int64_t extent;
        const char *what = fbl_arena_printf(b->arena, "the extent of `%s`", stmt->axis.name.name);
        if (fbl_val_to_extent(b, fbl_eval(b, stmt->axis.extent), stmt->axis.extent->loc, what, &extent)) {
            fbl_frame_replace_axis(b, b->frame, stmt->axis.name.name, extent, stmt->axis.name.loc);
        } else {
            b->frame->poisoned = true;
        }
        break;
    }
    case FBL_STMT_EXPR:
        fbl_eval(b, stmt->expr);
        break;
    }
}

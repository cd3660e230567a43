#include "passes/manager.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/io.h"
#include "ir/module_text.h"
#include "passes/grad.h"
#include "passes/hoist.h"
#include "passes/shard.h"
#include "passes/simplify.h"

typedef struct PassRecord {
    const char *name;
    double milliseconds;
    size_t nodes_before, nodes_after; // of all graphs; 0 for later phases
    bool ran;
} PassRecord;

struct FblPassManager {
    FblContext *ctx;
    FblPassOptions options;
    FILE *out;
    FblRuleHits hits;
    PassRecord *records;
    size_t record_count, record_capacity;
    int64_t optional_runs; // for --opt-bisect
    int dump_number;
    bool stopped;
    double entered;        // time of the last fbl_manager_enter, milliseconds
    const char *last_text; // for --print-changed
    const char *done;      // --start-from: the pass after which the program was written, until it has been passed by
};

// The passes
// -----------------------------------------------------------------------------------------------------------------

#define START_MAX_BYTES ((size_t)1 << 30)

typedef struct PlanText {
    FblContext *ctx;
    FblPlan *plan;
} PlanText;

typedef FblStatus GraphPass(FblPassManager *manager, FblModule *module);

static bool listed(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *p = list; *p != '\0';) {
        size_t item = strcspn(p, ",");
        if (item == length && strncmp(p, name, length) == 0) {
            return true;
        }
        p += item + (p[item] == ',');
    }
    return false;
}

static FblStatus canon_all(FblPassManager *manager, FblModule *module, bool before_grad) {
    bool share = !listed(manager->options.disable_pass, "cse");
    FblGraph **graphs[] = {&module->train, &module->eval, &module->epoch, &module->optimizer};
    for (int i = 0; i < 4; i++) {
        if (*graphs[i] != NULL) {
            FBL_TRY(fbl_graph_canon(*graphs[i], share, before_grad && i == 0, &manager->hits, graphs[i]));
        }
    }
    return FBL_OK;
}

static FblStatus run_canon_forward(FblPassManager *manager, FblModule *module) {
    return canon_all(manager, module, true);
}

static FblStatus run_canon(FblPassManager *manager, FblModule *module) {
    return canon_all(manager, module, false);
}

static FblStatus run_cse(FblPassManager *manager, FblModule *module) {
    (void)manager;
    FblGraph **graphs[] = {&module->train, &module->eval, &module->epoch, &module->optimizer};
    for (int i = 0; i < 4; i++) {
        if (*graphs[i] != NULL) {
            FBL_TRY(fbl_graph_cse(*graphs[i], graphs[i]));
        }
    }
    return FBL_OK;
}

static FblStatus run_dce(FblPassManager *manager, FblModule *module) {
    (void)manager;
    FblGraph **graphs[] = {&module->train, &module->eval, &module->epoch, &module->optimizer};
    for (int i = 0; i < 4; i++) {
        if (*graphs[i] != NULL) {
            FBL_TRY(fbl_graph_dce(*graphs[i], graphs[i]));
        }
    }
    return FBL_OK;
}

static FblStatus run_grad(FblPassManager *manager, FblModule *module) {
    // What stores gradients in f16 (FblLowerOptions.storage) scales them.
    bool scale = strncmp(manager->options.target, "cuda", 4) == 0 && strcmp(manager->options.precision, "f16") == 0;
    return fbl_pass_grad(module, &(FblGradOptions){.wrt_inputs = manager->options.wrt_inputs, .scale_loss = scale});
}

static FblStatus run_hoist(FblPassManager *manager, FblModule *module) {
    (void)manager;
    return fbl_pass_hoist(module);
}

static FblStatus run_shard(FblPassManager *manager, FblModule *module) {
    FblGraph **graphs[] = {&module->train, &module->eval};
    for (int i = 0; i < 2; i++) {
        if (*graphs[i] != NULL) {
            FBL_TRY(fbl_graph_shard(*graphs[i], fbl_intern(manager->ctx, "batch"), (int)manager->options.gpus, graphs[i]));
        }
    }
    return FBL_OK;
}

static const struct {
    const char *name;
    GraphPass *run;
    bool required;
} GRAPH_PASSES[] = {
#define FBL_GRAPH_PASS(name, function, required, doc) {name, function, required},
#define FBL_LATER_PASS(name, doc)
#include "passes/passes.def"
#undef FBL_GRAPH_PASS
#undef FBL_LATER_PASS
};

static const char *const PASS_NAMES[] = {
#define FBL_GRAPH_PASS(name, function, required, doc) name,
#define FBL_LATER_PASS(name, doc) name,
#include "passes/passes.def"
#undef FBL_GRAPH_PASS
#undef FBL_LATER_PASS
};

#define PASS_COUNT (sizeof PASS_NAMES / sizeof *PASS_NAMES)

// Creation
// --------------------------------------------------------------------------------------------------------------------

static FblStatus check_pass_name(FblContext *ctx, const char *option, const char *name) {
    for (size_t i = 0; i < PASS_COUNT; i++) {
        if (strcmp(PASS_NAMES[i], name) == 0) {
            return FBL_OK;
        }
    }
    FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0404", FBL_NO_LOC, "--%s: no pass `%s`", option, name);
    const char *near = fbl_nearest_name(name, PASS_NAMES, PASS_COUNT);
    if (near != NULL) {
        fbl_diag_hint(ctx, diag, "did you mean `%s`?", near);
    }
    return FBL_USER;
}

static FblStatus check_options(FblContext *ctx, const FblPassOptions *options) {
    if (*options->print_after != '\0') {
        FBL_TRY(check_pass_name(ctx, "print-after", options->print_after));
    }
    if (*options->stop_after != '\0') {
        FBL_TRY(check_pass_name(ctx, "stop-after", options->stop_after));
    }
    for (const char *p = options->disable_pass; *p != '\0';) {
        size_t length = strcspn(p, ",");
        if (length > 0) {
            const char *name = fbl_arena_strndup(fbl_context_arena(ctx), p, length);
            FBL_TRY(check_pass_name(ctx, "disable-pass", name));
        }
        p += length + (p[length] == ',');
    }
    if (*options->dump_dir != '\0') {
        FBL_TRY(fbl_make_dirs(ctx, options->dump_dir));
    }
    return FBL_OK;
}

FblStatus fbl_manager_create(FblContext *ctx, const FblPassOptions *options, FILE *out, FblPassManager **out_manager) {
    FBL_TRY(check_options(ctx, options));
    FblPassManager *manager = FBL_NEW(fbl_context_arena(ctx), FblPassManager);
    manager->ctx = ctx;
    manager->options = *options;
    manager->out = out != NULL ? out : stderr;
    *out_manager = manager;
    return FBL_OK;
}

// Dumps and going on from them
// -------------------------------------------------------------------------------------------------------------

static FblStatus dump(FblPassManager *manager, const char *pass, const char *suffix, const char *text) {
    char name[96];
    snprintf(name, sizeof name, "%02d-%s.%s", manager->dump_number++, pass, suffix);
    const char *path = fbl_path_join(manager->ctx, manager->options.dump_dir, name);
    const char *head = fbl_arena_printf(fbl_context_arena(manager->ctx), "# after %s\n# go on from here: fblc compile FILE.fbl --start-from=%s\n", pass, path);
    FblSpan spans[] = {{head, strlen(head)}, {text, strlen(text)}};
    return fbl_write_file_atomic(manager->ctx, path, spans, 2);
}

FblStatus fbl_manager_start_from(FblPassManager *manager, uint32_t *out_file, const char **out_pass) {
    const char *path = manager->options.start_from;
    char *text;
    size_t size;
    *out_file = 0;
    FBL_TRY(fbl_read_file(manager->ctx, path, START_MAX_BYTES, &text, &size));
    *out_file = fbl_source_add(manager->ctx, path, text, size);
    free(text);
    const char *kept = fbl_source_get(manager->ctx, *out_file)->text;
    static const char head[] = "# after ";
    size_t length = strncmp(kept, head, sizeof head - 1) == 0 ? strcspn(kept + sizeof head - 1, " \n") : 0;
    const char *pass = fbl_arena_strndup(fbl_context_arena(manager->ctx), length ? kept + sizeof head - 1 : "", length);
    bool known = strcmp(pass, "input") == 0;
    for (size_t i = 0; i < PASS_COUNT; i++) {
        known |= strcmp(PASS_NAMES[i], pass) == 0;
    }
    if (!known) {
        FblDiag *diag = fbl_diag(manager->ctx, FBL_ERROR, "E0407", FBL_NO_LOC, "`%s` does not say after which pass it was written", path);
        fbl_diag_hint(manager->ctx, diag, "files of --dump-dir begin with `# after PASS`");
        return FBL_USER;
    }
    manager->done = *out_pass = strcmp(pass, "input") == 0 ? NULL : pass;
    return FBL_OK;
}

// Around a pass
// ---------------------------------------------------------------------------------------------------------------

static double now_milliseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

bool fbl_manager_stopped(const FblPassManager *manager) {
    return manager->stopped;
}

bool fbl_manager_enter(FblPassManager *manager, const char *pass, bool required) {
    const FblPassOptions *options = &manager->options;
    bool run = !manager->stopped;
    if (run && !required) {
        run = !listed(options->disable_pass, pass);
        if (run && options->opt_bisect >= 0) {
            run = manager->optional_runs < options->opt_bisect;
            manager->optional_runs++;
            fprintf(manager->out, "bisect: %s pass (%lld) %s\n", run ? "running" : "not running",
                    (long long)manager->optional_runs, pass);
        }
    }
    PassRecord record = {.name = pass, .ran = run};
    FBL_PUSH(fbl_context_arena(manager->ctx), manager->records, manager->record_count, manager->record_capacity,
             record);
    manager->entered = now_milliseconds();
    return run;
}

FblStatus fbl_manager_leave(FblPassManager *manager, const char *pass, const char *suffix,
                            const char *(*print)(void *object), void *object) {
    const FblPassOptions *options = &manager->options;
    manager->records[manager->record_count - 1].milliseconds = now_milliseconds() - manager->entered;
    const char *text = NULL;
    if (strcmp(options->print_after, pass) == 0 || options->print_changed || *options->dump_dir != '\0') {
        text = print(object);
    }
    bool changed = options->print_changed && (manager->last_text == NULL || strcmp(manager->last_text, text) != 0);
    if (changed || strcmp(options->print_after, pass) == 0) {
        fprintf(manager->out, "# after %s\n%s", pass, text);
    } else if (options->print_changed) {
        fprintf(manager->out, "# after %s: no change\n", pass);
    }
    manager->last_text = text;
    if (*options->dump_dir != '\0') {
        FBL_TRY(dump(manager, pass, suffix, text));
    }
    manager->stopped = manager->stopped || strcmp(options->stop_after, pass) == 0;
    return FBL_OK;
}

// Graph level
// -----------------------------------------------------------------------------------------------------------------

static size_t node_count(const FblModule *module) {
    const FblGraph *graphs[] = {module->train, module->eval, module->epoch, module->optimizer};
    size_t count = 0;
    for (int i = 0; i < 4; i++) {
        count += graphs[i] != NULL ? graphs[i]->count : 0;
    }
    return count;
}

static FblStatus blame(FblPassManager *manager, const char *pass, const char *what) {
    fbl_error(manager->ctx, "E0401", FBL_NO_LOC, "the pass `%s` %s: this is a bug of the compiler", pass, what);
    return FBL_INTERNAL;
}

static FblStatus verify(FblPassManager *manager, const char *pass, const FblModule *module) {
    const FblGraph *graphs[] = {module->train, module->eval, module->epoch, module->optimizer};
    for (int i = 0; i < 4; i++) {
        if (graphs[i] != NULL && fbl_graph_verify(graphs[i]) != FBL_OK) {
            return blame(manager, pass, "left a graph that is not valid");
        }
    }
    return FBL_OK;
}

static FblStatus verify_text(FblPassManager *manager, const char *pass, const FblModule *module) {
    const char *text = fbl_module_print(module);
    uint32_t file = fbl_source_add(manager->ctx, pass, text, strlen(text));
    FblModule *again = NULL;
    if (fbl_module_read(manager->ctx, file, &again) != FBL_OK) {
        return blame(manager, pass, "left a program whose text cannot be read back");
    }
    if (strcmp(text, fbl_module_print(again)) != 0) {
        return blame(manager, pass, "left a program whose text reads back as another");
    }
    return FBL_OK;
}

static const char *print_module(void *object) {
    return fbl_module_print(object);
}

// What a pass that failed without saying why owes its reader.
static FblStatus explain_failure(FblPassManager *manager, const char *pass, FblStatus status) {
    return status == FBL_INTERNAL ? blame(manager, pass, "failed") : status;
}

// Frees the graphs of `old` that `module` no longer has.
static void discard_replaced(const FblModule *old, const FblModule *module) {
    FblGraph *const before[] = {old->train, old->eval, old->epoch, old->optimizer};
    const FblGraph *const after[] = {module->train, module->eval, module->epoch, module->optimizer};
    for (int i = 0; i < 4; i++) {
        if (before[i] != after[i]) {
            fbl_graph_discard(before[i]);
        }
    }
}

FblStatus fbl_manager_run(FblPassManager *manager, FblModule *module) {
    if (manager->options.print_changed) {
        manager->last_text = fbl_module_print(module);
    }
    if (*manager->options.dump_dir != '\0' && manager->dump_number == 0) {
        FBL_TRY(dump(manager, "input", "module", fbl_module_print(module)));
    }
    for (size_t i = 0; i < sizeof GRAPH_PASSES / sizeof *GRAPH_PASSES; i++) {
        const char *name = GRAPH_PASSES[i].name;
        if (manager->done != NULL) { // done before the file was written
            manager->done = strcmp(manager->done, name) == 0 ? NULL : manager->done;
            continue;
        }
        size_t before = node_count(module);
        if (!fbl_manager_enter(manager, name, GRAPH_PASSES[i].required)) {
            continue;
        }
        const FblModule old = *module;
        FblStatus status = GRAPH_PASSES[i].run(manager, module);
        if (status != FBL_OK) {
            return explain_failure(manager, name, status);
        }
        PassRecord *record = &manager->records[manager->record_count - 1];
        record->nodes_before = before;
        record->nodes_after = node_count(module);
        discard_replaced(&old, module);
        FBL_TRY(fbl_manager_leave(manager, name, "module", print_module, module));
        if (manager->options.verify) {
            FBL_TRY(verify(manager, name, module));
        }
        if (manager->options.verify_text) {
            FBL_TRY(verify_text(manager, name, module));
        }
    }
    return FBL_OK;
}

static const char *print_plan(void *object) {
    PlanText *plan = object;
    return fbl_plan_print(plan->ctx, plan->plan);
}

FblStatus fbl_manager_lower(FblPassManager *manager, FblModule *module, const FblLowerOptions *options, FblPlan **out_plan) {
    fbl_manager_enter(manager, "lower", true);
    FBL_TRY(fbl_lower_module(module, options, out_plan)); // verifies what it made
    PlanText plan = {manager->ctx, *out_plan};
    FBL_TRY(fbl_manager_leave(manager, "lower", "plan", print_plan, &plan));
    if (manager->options.verify_text) {
        const char *text = print_plan(&plan);
        uint32_t file = fbl_source_add(manager->ctx, "lower", text, strlen(text));
        if (fbl_plan_read(manager->ctx, file, &plan.plan) != FBL_OK) {
            return blame(manager, "lower", "made a plan whose text cannot be read back");
        }
        if (strcmp(text, print_plan(&plan)) != 0) {
            return blame(manager, "lower", "made a plan whose text reads back as another");
        }
    }
    return FBL_OK;
}

void fbl_manager_report(const FblPassManager *manager) {
    if (!manager->options.time_passes) {
        return;
    }
    fprintf(manager->out, "%-16s %9s %8s %8s\n", "pass", "ms", "nodes", "after");
    for (size_t i = 0; i < manager->record_count; i++) {
        const PassRecord *r = &manager->records[i];
        if (r->ran) {
            fprintf(manager->out, "%-16s %9.3f %8zu %8zu\n", r->name, r->milliseconds, r->nodes_before, r->nodes_after);
        } else {
            fprintf(manager->out, "%-16s   not run\n", r->name);
        }
    }
    for (int r = 0; r < FBL_RULE_COUNT; r++) {
        const FblRuleInfo *info = fbl_rule_info((FblRuleId)r);
        if (manager->hits.count[r] > 0) {
            fprintf(manager->out, "  %8llu  %s on %s\n", (unsigned long long)manager->hits.count[r], info->name,
                    info->op == FBL_OP_COUNT ? "any" : fbl_op_info((FblOp)info->op)->text);
        }
    }
}

const FblRuleHits *fbl_manager_hits(const FblPassManager *manager) {
    return &manager->hits;
}

FblStatus fbl_passes_run(FblModule *module, const FblPassOptions *options) {
    FblPassManager *manager = NULL;
    FBL_TRY(fbl_manager_create(module->ctx, options, NULL, &manager));
    FBL_TRY(fbl_manager_run(manager, module));
    fbl_manager_report(manager);
    return FBL_OK;
}

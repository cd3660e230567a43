// The manager's debugging options, and the table of compiler options.
#include "tests/passes/support.h"

#include <unistd.h>

#include "base/io.h"
#include "passes/manager.h"

#define PROGRAM                                                                                                        \
    "graph train {\n %0 = param() {symbol=\"w\"} : f32[a=3]\n %1 = const() {value=1} : f32\n %2 = mul(%0, %1) : "      \
    "f32[a=3]\n"                                                                                                       \
    " %3 = mul(%2, %2) : f32[a=3]\n %4 = sum(%3) {axes=[a]} : f32\n output loss = %4\n}\n"

typedef struct Run {
    FblStatus status;
    const char *printed;
    FblModule *module;
    bool stopped;
    uint64_t mul_one;
} Run;

// Runs the passes with options given as name, value, name, value, ..., NULL.
static Run run(FblContext *ctx, const char *const *settings) {
    Run result = {0};
    FblPassOptions options = fbl_options_default();
    for (; *settings != NULL; settings += 2) {
        must(ctx, fbl_options_set(ctx, &options, settings[0], settings[1]), settings[0]);
    }
    result.module = module_of(ctx, read_graph(ctx, PROGRAM));
    char *buffer = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&buffer, &size);
    FblPassManager *manager = NULL;
    result.status = fbl_manager_create(ctx, &options, file, &manager);
    if (result.status == FBL_OK) {
        result.status = fbl_manager_run(manager, result.module);
        fbl_manager_report(manager);
        result.stopped = fbl_manager_stopped(manager);
        result.mul_one = fbl_manager_hits(manager)->count[FBL_RULE_MUL_mul_one];
    }
    fclose(file);
    result.printed = fbl_arena_strndup(fbl_context_arena(ctx), buffer, size);
    free(buffer);
    return result;
}

#define RUN(ctx, ...) run(ctx, (const char *const[]){__VA_ARGS__, NULL})

static void prints_after_a_pass(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    Run r = RUN(ctx, "print-after", "canon-forward");
    must(ctx, r.status, "run");
    assert_ptr_equal(strstr(r.printed, "# after canon-forward\n"), r.printed);
    assert_non_null(strstr(r.printed, "%1 = mul(%0, %0) : f32[a=3]"));
    assert_null(strstr(r.printed, "# after grad"));
    assert_true(r.mul_one == 1);
    r = RUN(ctx, "print-changed", "true");
    assert_non_null(strstr(r.printed, "# after hoist: no change\n"));
    assert_non_null(strstr(r.printed, "# after grad\n"));
    r = RUN(ctx, "time-passes", "1");
    assert_non_null(strstr(r.printed, "mul_one on mul"));
    fbl_context_destroy(ctx);
}

static void stops_and_leaves_out(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    Run r = RUN(ctx, "stop-after", "canon-forward");
    assert_true(r.stopped);
    assert_null(find_root(r.module->train, FBL_ROOT_GRAD, "w"));
    r = RUN(ctx, "disable-pass", "canon-forward,canon");
    assert_false(r.stopped);
    assert_true(r.mul_one == 0);
    assert_non_null(find_root(r.module->train, FBL_ROOT_GRAD, "w"));
    r = RUN(ctx, "disable-pass", "grad"); // required passes run all the same
    assert_non_null(find_root(r.module->train, FBL_ROOT_GRAD, "w"));
    r = RUN(ctx, "opt-bisect", "0");
    assert_true(r.mul_one == 0);
    assert_non_null(strstr(r.printed, "bisect: not running pass (1) canon-forward\n"));
    assert_non_null(find_root(r.module->train, FBL_ROOT_GRAD, "w"));
    r = RUN(ctx, "opt-bisect", "1");
    assert_true(r.mul_one == 1);
    assert_non_null(
        strstr(r.printed, "bisect: running pass (1) canon-forward\nbisect: not running pass (2) cse-forward\n"));
    fbl_context_destroy(ctx);
}

static void dumps_every_phase(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    char folder[512];
    const char *temporary = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/fbl_dump_XXXXXX", temporary != NULL ? temporary : P_tmpdir);
    assert_non_null(mkdtemp(folder));
    Run r = RUN(ctx, "dump-dir", folder);
    must(ctx, r.status, "run");
    const char *names[] = {"00-input.module", "01-canon-forward.module", "02-cse-forward.module", "03-grad.module",
                           "04-canon.module", "05-hoist.module",         "06-shard.module",       "07-cse.module", "08-dce.module"};
    for (int i = 0; i < 9; i++) {
        const char *path = fbl_path_join(ctx, folder, names[i]);
        assert_true(fbl_path_exists(path));
        unlink(path);
    }
    assert_int_equal(rmdir(folder), 0); // and nothing else
    fbl_context_destroy(ctx);
}

static const char *print_nothing(void *object) {
    return object;
}

// A phase outside the graph level gets the same treatment.
static void later_phases_are_bracketed(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblPassOptions options = fbl_options_default();
    options.print_after = "lower";
    options.stop_after = "lower";
    char *buffer = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&buffer, &size);
    FblPassManager *manager = NULL;
    must(ctx, fbl_manager_create(ctx, &options, file, &manager), "create");
    char text[] = "the plan\n";
    assert_true(fbl_manager_enter(manager, "lower", true));
    must(ctx, fbl_manager_leave(manager, "lower", "plan", print_nothing, text), "leave");
    assert_true(fbl_manager_stopped(manager));
    assert_false(fbl_manager_enter(manager, "lower", true));
    fclose(file);
    assert_string_equal(buffer, "# after lower\nthe plan\n");
    free(buffer);
    fbl_context_destroy(ctx);
}

static void unknown_names(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblPassOptions options = fbl_options_default();
    FblPassManager *manager = NULL;
    options.print_after = "hoits";
    assert_int_equal(fbl_manager_create(ctx, &options, NULL, &manager), FBL_USER);
    assert_string_equal(diagnostics(ctx),
                        "error[E0404]: --print-after: no pass `hoits`\nhint: did you mean `hoist`?\n");
    assert_int_equal(fbl_options_set(ctx, &options, "opt-bisekt", "3"), FBL_USER);
    assert_non_null(strstr(diagnostics(ctx), "no option `opt-bisekt`"));
    assert_int_equal(fbl_options_set(ctx, &options, "opt-bisect", "3x"), FBL_USER);
    assert_non_null(strstr(diagnostics(ctx), "option `opt-bisect` takes an integer, not `3x`"));
    assert_int_equal(fbl_options_set(ctx, &options, "fast", "maybe"), FBL_USER);
    assert_non_null(strstr(diagnostics(ctx), "option `fast` takes true or false, not `maybe`"));
    assert_int_equal(fbl_options_set(ctx, &options, "target", NULL), FBL_USER);
    fbl_context_destroy(ctx);
}

// Options that affect code change the key; those for looking on do not.
static void the_key(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblPassOptions options = fbl_options_default();
    const char *key = fbl_options_key(ctx, &options);
    must(ctx, fbl_options_set(ctx, &options, "time_passes", NULL), "time");
    must(ctx, fbl_options_set(ctx, &options, "print-after", "grad"), "print");
    assert_string_equal(fbl_options_key(ctx, &options), key);
    for (size_t i = 0; fbl_option_info(i) != NULL; i++) {
        const FblOptionInfo *info = fbl_option_info(i);
        FblPassOptions other = fbl_options_default();
        const char *value = info->kind == FBL_OPTION_BOOL ? "true" : info->kind == FBL_OPTION_INT ? "77" : "something";
        must(ctx, fbl_options_set(ctx, &other, info->name, value), info->name);
        bool differs = strcmp(fbl_options_key(ctx, &other), key) != 0;
        if (!differs && info->kind == FBL_OPTION_BOOL) { // true may be the default
            must(ctx, fbl_options_set(ctx, &other, info->name, "false"), info->name);
            differs = strcmp(fbl_options_key(ctx, &other), key) != 0;
        }
        if (differs != info->affects_code) {
            fail_msg("option %s", info->name);
        }
    }
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_after_a_pass), cmocka_unit_test(stops_and_leaves_out),
        cmocka_unit_test(dumps_every_phase),   cmocka_unit_test(later_phases_are_bracketed),
        cmocka_unit_test(unknown_names),       cmocka_unit_test(the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

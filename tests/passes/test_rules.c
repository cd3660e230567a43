// One file a rule, tests/passes/rules/NAME.txt: graphs on which the rule must fire (`# fires`) and graphs that it must
// leave alone (`# stays`). A rule that fires must keep the value: to the bit for [exact] rules, also on NaN, infinities
// and signed zeros, and to rounding for [rounds] ones. FBL_UPDATE=1 rewrites the `# becomes` texts after a look at the
// differences.
#include "tests/passes/support.h"

#include <math.h>

#include "base/io.h"
#include "passes/rewrite.h"

#define SECTIONS 24

typedef struct Section {
    char kind[16];
    const char *text;
} Section;

// Splits a file at its "# word" lines.
static int read_sections(FblContext *ctx, const char *path, Section *out) {
    char *data = NULL;
    size_t size = 0;
    must(ctx, fbl_read_file(ctx, path, 1 << 20, &data, &size), path);
    int count = 0;
    for (char *line = data; *line != '\0';) {
        assert_int_equal(sscanf(line, "# %15s\n", out[count].kind), 1);
        char *begin = strchr(line, '\n') + 1;
        char *end = strstr(begin, "\n# ");
        end = end != NULL ? end + 1 : begin + strlen(begin);
        assert_true(count < SECTIONS);
        out[count++].text = fbl_arena_strndup(fbl_context_arena(ctx), begin, (size_t)(end - begin));
        line = end;
    }
    free(data);
    return count;
}

static FblGraph *apply(const FblGraph *graph, int rule, uint64_t *out_hits) {
    FblRuleHits hits = {0};
    FblRewriteOptions options = {.rules = true, .only_rule = rule};
    FblGraph *result = NULL;
    must(graph->ctx, fbl_rewrite(graph, &options, &hits, &result), fbl_rule_info((FblRuleId)rule)->name);
    must(graph->ctx, fbl_graph_verify(result), "verify");
    *out_hits = hits.count[rule];
    return result;
}

// Values of the float leaves: normal numbers, or a walk over the awkward ones that starts elsewhere for each leaf.
static void awkward(const FblGraph *graph, FblBindings *leaves) {
    static const double VALUES[] = {-0.0, 0.0, 1.5, INFINITY, -2.0, NAN, -INFINITY, 1e-300, -1e300};
    size_t next = 0;
    for (size_t i = 0; i < leaves->count; i++) {
        FblTensor *tensor = &leaves->items[i].tensor;
        for (int64_t k = 0; tensor->type.dtype == FBL_F32 && k < fbl_type_elements(&tensor->type); k++) {
            tensor->data[k] = VALUES[next++ % (sizeof VALUES / sizeof *VALUES)];
        }
    }
    (void)graph;
}

static bool same_bits(double a, double b) {
    return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b));
}

static void same_values(const FblGraph *before, const FblGraph *after, bool exact, bool special) {
    FblContext *ctx = before->ctx;
    FblBindings leaves = {0};
    FblBindings a = {0};
    FblBindings b = {0};
    must(ctx, fbl_gradcheck_fill(module_of(ctx, NULL), before, 5, &leaves), "fill");
    if (special) {
        awkward(before, &leaves);
    }
    must(ctx, fbl_interp_run(before, &leaves, &(FblInterpOptions){0}, &a), "interp");
    must(ctx, fbl_interp_run(after, &leaves, &(FblInterpOptions){0}, &b), "interp");
    const FblTensor *x = &a.items[0].tensor;
    const FblTensor *y = &b.items[0].tensor;
    assert_true(fbl_type_equal(&x->type, &y->type));
    for (int64_t i = 0; i < fbl_type_elements(&x->type); i++) {
        // Sums here have at most 15 terms of size 1: their rounding stays below 1e-14.
        bool same =
            exact ? same_bits(x->data[i], y->data[i]) : fabs(x->data[i] - y->data[i]) <= 1e-13 * (1 + fabs(x->data[i]));
        if (!same) {
            fail_msg("element %lld was %.17g, is %.17g\n%s%s", (long long)i, x->data[i], y->data[i],
                     fbl_graph_print(before, false), fbl_graph_print(after, false));
        }
    }
    fbl_bindings_free(&leaves);
    fbl_bindings_free(&a);
    fbl_bindings_free(&b);
}

static bool known_extents(const FblGraph *graph) {
    for (size_t i = 0; i < graph->count; i++) {
        if (fbl_type_elements(&graph->nodes[i].type) < 0) {
            return false;
        }
    }
    return true;
}

// Rules of the same name on several ops share a file; each must fire somewhere in it.
static void one_file(const char *name, FILE *update) {
    FblContext *ctx = fbl_context_create();
    Section sections[SECTIONS];
    const char *path = fbl_arena_printf(fbl_context_arena(ctx), "tests/passes/rules/%s.txt", name);
    int count = read_sections(ctx, path, sections);
    int stays = 0;
    uint64_t fired_on[FBL_RULE_COUNT] = {0};
    for (int s = 0; s < count; s++) {
        bool must_fire = strcmp(sections[s].kind, "fires") == 0;
        stays += strcmp(sections[s].kind, "stays") == 0;
        if (strcmp(sections[s].kind, "becomes") == 0) {
            continue;
        }
        FblGraph *graph = read_graph(ctx, sections[s].text);
        uint64_t fired = 0;
        for (int r = 0; r < FBL_RULE_COUNT; r++) {
            const FblRuleInfo *info = fbl_rule_info((FblRuleId)r);
            uint64_t hits = 0;
            if (strcmp(info->name, name) != 0) {
                continue;
            }
            FblGraph *after = apply(graph, r, &hits);
            fired += hits;
            fired_on[r] += hits;
            if (hits == 0) {
                continue;
            }
            bool exact = strncmp(info->doc, "[exact]", 7) == 0;
            assert_true(known_extents(graph));
            same_values(graph, after, exact, false);
            if (exact) {
                same_values(graph, after, true, true);
            }
            const char *text = fbl_graph_print(after, false);
            if (update != NULL) {
                fprintf(update, "# fires\n%s# becomes\n%s", sections[s].text, text);
            } else {
                assert_true(s + 1 < count);
                assert_string_equal(sections[s + 1].kind, "becomes");
                assert_string_equal(sections[s + 1].text, text);
            }
        }
        if (update != NULL && !must_fire) {
            fprintf(update, "# stays\n%s", sections[s].text);
        }
        if ((fired > 0) != must_fire) {
            fail_msg("rule %s %s on\n%s", name, fired > 0 ? "fires" : "does not fire", sections[s].text);
        }
    }
    assert_true(stays > 0);
    for (int r = 0; r < FBL_RULE_COUNT; r++) {
        const FblRuleInfo *info = fbl_rule_info((FblRuleId)r);
        if (strcmp(info->name, name) == 0 && fired_on[r] == 0) {
            fail_msg("no case where %s fires on %s", name, fbl_op_info((FblOp)info->op)->text);
        }
    }
    fbl_context_destroy(ctx);
}

static void every_rule(void **state) {
    (void)state;
    const char *update = getenv("FBL_UPDATE");
    for (int r = 0; r < FBL_RULE_COUNT; r++) {
        const FblRuleInfo *info = fbl_rule_info((FblRuleId)r);
        bool seen = false;
        for (int s = 0; s < r; s++) {
            seen = seen || strcmp(fbl_rule_info((FblRuleId)s)->name, info->name) == 0;
        }
        if (seen) {
            continue;
        }
        print_message("rule %s\n", info->name);
        if (update == NULL) {
            one_file(info->name, NULL);
            continue;
        }
        char *buffer = NULL;
        size_t size = 0;
        FILE *memory = open_memstream(&buffer, &size);
        one_file(info->name, memory);
        fclose(memory);
        char path[128];
        snprintf(path, sizeof path, "tests/passes/rules/%s.txt", info->name);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fwrite(buffer, 1, size, file);
        fclose(file);
        free(buffer);
    }
}

// stop_gradient goes only once the graph is differentiated.
static void stop_gradient_is_kept(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblGraph *graph = read_graph(
        ctx, "graph g {\n %0 = input() {symbol=\"x\"} : f32\n %1 = stop_gradient(%0) : f32\n output y = %1\n}\n");
    FblRewriteOptions options = {.rules = true, .keep_stop_gradient = true, .only_rule = -1};
    FblGraph *result = NULL;
    must(ctx, fbl_rewrite(graph, &options, NULL, &result), "rewrite");
    assert_int_equal(result->count, 2);
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_rule), cmocka_unit_test(stop_gradient_is_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

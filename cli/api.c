// libfblc on top of the verbs: each call reads a command line of its own, so that both always mean the same.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "cli/options.h"
#include "cli/facts.h"
#include "fblc.h"

struct fblc_context {
    char **options; // "--set", "a=b", "--threads", "2", ...
    size_t count;
    fblc_diagnostic_fn callback;
    void *user;
};

fblc_context *fblc_create(void) { return calloc(1, sizeof(fblc_context)); }

void fblc_destroy(fblc_context *context) {
    if (context) {
        for (size_t i = 0; i < context->count; i++) {
            free(context->options[i]);
        }
        free(context->options);
        free(context);
    }
}

void fblc_on_diagnostic(fblc_context *context, fblc_diagnostic_fn callback, void *user) {
    context->callback = callback;
    context->user = user;
}

static int add_option(fblc_context *context, char *text) {
    char **options = realloc(context->options, (context->count + 1) * sizeof *options);
    if (!options || !text) {
        free(text);
        context->options = options ? options : context->options;
        return FBLC_SYSTEM;
    }
    context->options = options;
    options[context->count++] = text;
    return FBLC_OK;
}

int fblc_set(fblc_context *context, const char *key, const char *value) {
    char *text = NULL;
    if (asprintf(&text, "--set=%s=%s", key, value) < 0) {
        return FBLC_SYSTEM;
    }
    return add_option(context, text);
}

// Passes what was collected to the callback, one JSON line each.
static void report(fblc_context *context, FblContext *ctx) {
    if (!context->callback) {
        fbl_diag_flush(ctx, stderr, false);
        return;
    }
    char *text = NULL, *save = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) {
        return;
    }
    fbl_diag_flush(ctx, out, true);
    fclose(out);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        context->callback(context->user, line);
    }
    free(text);
}

// Reads "fblc VERB options... extra... operand" and calls `run` (NULL: the verb's own function).
static int call(fblc_context *context, const char *verb, const char *path, const char *flag, const char *value,
                FblStatus (*run)(FblCli *cli, void *arg), void *arg) {
    char **argv = calloc(context->count + 8, sizeof *argv);
    if (!argv) {
        return FBLC_SYSTEM;
    }
    int argc = 0;
    argv[argc++] = (char *)"fblc";
    argv[argc++] = (char *)verb;
    for (size_t i = 0; i < context->count; i++) {
        argv[argc++] = context->options[i];
    }
    argv[argc++] = (char *)"--quiet";
    if (flag) {
        argv[argc++] = (char *)flag;
        argv[argc++] = (char *)value;
    }
    argv[argc++] = (char *)path;
    FblContext *ctx = fbl_context_create();
    FblCli cli = {.ctx = ctx};
    const FblVerb *found = NULL;
    FblStatus status = fbl_cli_parse(&cli, argc, argv, &found);
    if (status == FBL_OK && found) {
        status = run ? run(&cli, arg) : found->run(&cli);
    }
    report(context, ctx);
    int code = cli.exit_code ? cli.exit_code : fbl_status_exit_code(status);
    fbl_context_destroy(ctx);
    free(argv);
    return code;
}

int fblc_option(fblc_context *context, const char *name, const char *value) {
    FblContext *ctx = fbl_context_create();
    FblCli cli = {.ctx = ctx};
    const FblVerb *verb = NULL;
    char *text = NULL;
    bool flag = strcmp(value, "true") == 0;
    if (asprintf(&text, flag ? "--%s" : "--%s=%s", name, value) < 0) {
        fbl_context_destroy(ctx);
        return FBLC_SYSTEM;
    }
    char *argv[] = {(char *)"fblc", (char *)"check", text, (char *)"-"};
    FblStatus status = fbl_cli_parse(&cli, 4, argv, &verb);
    report(context, ctx);
    fbl_context_destroy(ctx);
    if (status != FBL_OK) {
        free(text);
        return FBLC_USAGE;
    }
    return add_option(context, text);
}

static FblStatus check(FblCli *cli, void *arg) {
    fblc_facts *out = arg;
    FblFacts facts;
    FBL_TRY(fbl_cli_facts(cli, cli->args[0], &facts));
    *out = (fblc_facts){facts.parameters, facts.forward, facts.step, facts.memory};
    return FBL_OK;
}

int fblc_check(fblc_context *context, const char *path, fblc_facts *out_facts) {
    fblc_facts facts;
    return call(context, "check", path, NULL, NULL, check, out_facts ? out_facts : &facts);
}

static FblStatus silent(FblCli *cli, void *arg) {
    (void)arg;
    FILE *kept = stdout; // results of verbs go to stdout; a library prints nothing
    FILE *nothing = fopen("/dev/null", "w");
    stdout = nothing ? nothing : kept;
    const FblVerb *verb;
    FblStatus status = FBL_INTERNAL;
    for (size_t i = 0; (verb = fbl_cli_verb(i)); i++) {
        if (strcmp(verb->name, cli->verb) == 0) {
            status = verb->run(cli);
        }
    }
    stdout = kept;
    if (nothing) {
        fclose(nothing);
    }
    return status;
}

int fblc_compile(fblc_context *context, const char *path, const char *out_path) {
    return call(context, "compile", path, "--output", out_path, silent, NULL);
}

int fblc_run(fblc_context *context, const char *path, const char *run_dir) {
    return call(context, "run", path, "--out", run_dir, silent, NULL);
}

const char *fblc_version(void) { return FBL_VERSION; }

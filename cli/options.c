#include "cli/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"

typedef enum CliKind { KIND_BOOL, KIND_INT, KIND_STRING } CliKind;

typedef struct CliRow {
    const char *name;
    int letter;
    CliKind kind;
    size_t offset;
    const char *value, *verbs, *doc;
} CliRow;

static const CliRow rows[] = {
#define FBL_CLI_OPTION(field, letter, kind, default_, value, verbs, doc) \
    {#field, letter, KIND_##kind, offsetof(FblCli, field), value, verbs, doc},
#include "cli/options.def"
#undef FBL_CLI_OPTION
};
enum { ROW_COUNT = sizeof rows / sizeof rows[0] };

static const FblVerb verbs_table[] = {
#define FBL_VERB(name, function, least, most, operands, help) {#name, function, least, most, operands, help},
#include "cli/verbs.def"
#undef FBL_VERB
};
enum { VERB_COUNT = sizeof verbs_table / sizeof verbs_table[0] };

// Values that getopt_long gives back for long options.
enum { OPT_SET = 256, OPT_SEED, OPT_HELP, OPT_VERSION, OPT_ROW = 1000, OPT_PASS = 2000 };

const FblVerb *fbl_cli_verb(size_t index) { return index < VERB_COUNT ? &verbs_table[index] : NULL; }

FblStatus fbl_cli_usage(FblCli *cli, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "fblc: ");
    vfprintf(stderr, format, args);
    va_end(args);
    if (cli->verb) {
        fprintf(stderr, "\nfblc %s --help lists the options\n", cli->verb);
    } else {
        fprintf(stderr, "\nfblc --help lists the verbs\n");
    }
    cli->exit_code = 2;
    return FBL_USER;
}

static const char *dashed(FblContext *ctx, const char *name) {
    char *text = fbl_arena_strndup(fbl_context_arena(ctx), name, strlen(name));
    for (char *c = text; *c; c++) {
        *c = *c == '_' ? '-' : *c;
    }
    return text;
}

// Whether the space-separated list `verbs` names `verb`, or is "*".
static bool row_fits(const CliRow *row, const char *verb) {
    if (strcmp(row->verbs, "*") == 0) {
        return true;
    }
    size_t length = strlen(verb);
    for (const char *at = row->verbs; at; at = strchr(at, ' ')) {
        at += *at == ' ';
        if (strncmp(at, verb, length) == 0 && (at[length] == ' ' || at[length] == 0)) {
            return true;
        }
    }
    return false;
}

static void print_option(const char *left, const char *doc) {
    printf("  %-30s %s%s\n", left, strlen(left) > 30 ? "\n                                 " : "", doc);
}

static void print_row(FblCli *cli, const CliRow *row) {
    FblArena *arena = fbl_context_arena(cli->ctx);
    const char *letter = row->letter ? fbl_arena_printf(arena, "-%c, ", row->letter) : "";
    print_option(fbl_arena_printf(arena, "%s--%s%s%s", letter, dashed(cli->ctx, row->name), *row->value ? " " : "", row->value), row->doc);
}

static void print_help(FblCli *cli, const FblVerb *verb) {
    if (!verb) {
        printf("usage: fblc VERB [options] ...\n\nCompiles and trains long-tailed recognition models written in .fbl files.\n\n");
        for (size_t i = 0; i < VERB_COUNT; i++) {
            printf("  %-10s %-14s %s\n", verbs_table[i].name, verbs_table[i].operands, verbs_table[i].help);
        }
        printf("\nfblc VERB --help lists the options of a verb; fblc --version prints the version.\n");
        return;
    }
    printf("usage: fblc %s [options] %s\n\n%s\n\n", verb->name, verb->operands, verb->help);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (strcmp(rows[i].verbs, "*") != 0 && row_fits(&rows[i], verb->name)) {
            print_row(cli, &rows[i]);
        }
    }
    printf("\nCommon:\n");
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (strcmp(rows[i].verbs, "*") == 0) {
            print_row(cli, &rows[i]);
        }
    }
    print_option("--set KEY=VALUE", "a recipe key, an argument or an extent: loss.lambda=120, epochs=2, class=10 (repeatable)");
    print_option("--seed N", "seed of initial weights, order, augmentation and random numbers");
    printf("\nCompiler:\n");
    const FblOptionInfo *info;
    for (size_t i = 0; (info = fbl_option_info(i)); i++) {
        print_option(fbl_arena_printf(fbl_context_arena(cli->ctx), "--%s%s", dashed(cli->ctx, info->name),
                                      info->kind == FBL_OPTION_BOOL ? "" : "=..."), info->doc);
    }
}

// All option names of `verb`, for hints; the array lives in the arena.
static const char *nearest_option(FblCli *cli, const char *name) {
    const char *names[ROW_COUNT + 64];
    size_t count = 0;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (row_fits(&rows[i], cli->verb)) {
            names[count++] = dashed(cli->ctx, rows[i].name);
        }
    }
    const FblOptionInfo *info;
    for (size_t i = 0; (info = fbl_option_info(i)) && count < ROW_COUNT + 60; i++) {
        names[count++] = dashed(cli->ctx, info->name);
    }
    names[count++] = "set";
    names[count++] = "seed";
    return fbl_nearest_name(name, names, count);
}

static FblStatus read_integer(FblCli *cli, const char *name, const char *text, int64_t *out) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno || value < 0) {
        return fbl_cli_usage(cli, "--%s takes a whole number from 0 up, not `%s`", name, text);
    }
    *out = value;
    return FBL_OK;
}

static FblStatus set_row(FblCli *cli, const CliRow *row, const char *text) {
    void *field = (char *)cli + row->offset;
    switch (row->kind) {
    case KIND_BOOL: *(bool *)field = true; break;
    case KIND_INT: return read_integer(cli, dashed(cli->ctx, row->name), text, field);
    case KIND_STRING: *(const char **)field = text; break;
    }
    return FBL_OK;
}

static FblStatus add_setting(FblCli *cli, const char *text) {
    const char *equals = strchr(text, '=');
    if (!equals || equals == text) {
        return fbl_cli_usage(cli, "--set takes KEY=VALUE, not `%s`", text);
    }
    FblArena *arena = fbl_context_arena(cli->ctx);
    FblSetting setting = {fbl_arena_strndup(arena, text, (size_t)(equals - text)), equals + 1};
    FBL_PUSH(arena, cli->settings, cli->setting_count, cli->setting_capacity, setting);
    return FBL_OK;
}

static FblStatus set_seed(FblCli *cli, const char *text) {
    char *end;
    errno = 0;
    cli->seed = strtoull(text, &end, 10);
    if (end == text || *end || errno || *text == '-') {
        return fbl_cli_usage(cli, "--seed takes a whole number from 0 up, not `%s`", text);
    }
    cli->has_seed = true;
    return FBL_OK;
}

static FblStatus unknown_option(FblCli *cli, const char *argument, int letter) {
    if (letter) {
        return fbl_cli_usage(cli, "`%s` has no option -%c, or its value is missing", cli->verb, letter);
    }
    if (strncmp(argument, "--", 2) != 0) {
        return fbl_cli_usage(cli, "`%s` has no option `%s`", cli->verb, argument);
    }
    size_t length = strcspn(argument + 2, "=");
    const char *name = fbl_arena_strndup(fbl_context_arena(cli->ctx), argument + 2, length);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (strcmp(dashed(cli->ctx, rows[i].name), name) == 0) {
            return fbl_cli_usage(cli, row_fits(&rows[i], cli->verb) ? "--%s is missing its value or has one too many" : "--%s is an option of: %s",
                                 name, rows[i].verbs);
        }
    }
    const char *near = nearest_option(cli, name);
    return fbl_cli_usage(cli, near ? "`%s` has no option --%s; did you mean --%s?" : "`%s` has no option --%s", cli->verb, name, near);
}

static FblStatus handle_option(FblCli *cli, int code, const char *argument, const struct option *options, int index) {
    if (code >= OPT_PASS) {
        FblStatus status = fbl_options_set(cli->ctx, &cli->passes, options[index].name, optarg);
        if (status != FBL_OK) {
            cli->exit_code = 2;
        }
        return status;
    }
    if (code >= OPT_ROW) {
        return set_row(cli, &rows[code - OPT_ROW], optarg);
    }
    switch (code) {
    case OPT_SET: return add_setting(cli, optarg);
    case OPT_SEED: return set_seed(cli, optarg);
    case '?':
    case ':': return unknown_option(cli, argument, strncmp(argument, "--", 2) == 0 ? 0 : optopt);
    default:
        for (size_t i = 0; i < ROW_COUNT; i++) {
            if (rows[i].letter && rows[i].letter == code) {
                return set_row(cli, &rows[i], optarg);
            }
        }
        return FBL_INTERNAL;
    }
}

// The getopt tables of the current verb, in the arena.
static struct option *make_options(FblCli *cli, char *letters, size_t letters_size) {
    size_t pass_count = 0;
    while (fbl_option_info(pass_count)) {
        pass_count++;
    }
    struct option *options = FBL_NEW_ARRAY(fbl_context_arena(cli->ctx), struct option, ROW_COUNT + pass_count + 5);
    size_t n = 0;
    size_t used = (size_t)snprintf(letters, letters_size, ":h");
    options[n++] = (struct option){"set", required_argument, NULL, OPT_SET};
    options[n++] = (struct option){"seed", required_argument, NULL, OPT_SEED};
    options[n++] = (struct option){"help", no_argument, NULL, OPT_HELP};
    options[n++] = (struct option){"version", no_argument, NULL, OPT_VERSION};
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (row_fits(&rows[i], cli->verb)) {
            int takes = rows[i].kind == KIND_BOOL ? no_argument : required_argument;
            options[n++] = (struct option){dashed(cli->ctx, rows[i].name), takes, NULL, OPT_ROW + (int)i};
            if (rows[i].letter && used + 2 < letters_size) {
                used += (size_t)snprintf(letters + used, letters_size - used, "%c%s", rows[i].letter, takes ? ":" : "");
            }
        }
    }
    for (size_t i = 0; i < pass_count; i++) {
        const FblOptionInfo *info = fbl_option_info(i);
        int takes = info->kind == FBL_OPTION_BOOL ? optional_argument : required_argument;
        options[n++] = (struct option){dashed(cli->ctx, info->name), takes, NULL, OPT_PASS + (int)i};
    }
    return options;
}

static FblStatus parse_options(FblCli *cli, const FblVerb *verb, int argc, char **argv, bool *out_done) {
    char letters[64];
    struct option *options = make_options(cli, letters, sizeof letters);
    optind = 1;
    opterr = 0;
    for (;;) {
        int index = 0, at = optind;
        int code = getopt_long(argc, argv, letters, options, &index);
        if (code < 0) {
            break;
        }
        if (code == OPT_HELP || code == 'h') {
            print_help(cli, verb);
            *out_done = true;
            return FBL_OK;
        }
        if (code == OPT_VERSION) {
            printf("fblc %s\n", FBL_VERSION);
            *out_done = true;
            return FBL_OK;
        }
        // getopt has moved operands behind the option it has just read, so that is the one before optind.
        const char *argument = code == '?' || code == ':' ? argv[optind > 1 ? optind - 1 : at] : "";
        FBL_TRY(handle_option(cli, code, argument, options, index));
    }
    cli->args = (const char **)argv + optind;
    cli->arg_count = argc - optind;
    return FBL_OK;
}

static const FblVerb *find_verb(const char *name) {
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(verbs_table[i].name, name) == 0) {
            return &verbs_table[i];
        }
    }
    return NULL;
}

FblStatus fbl_cli_parse(FblCli *cli, int argc, char **argv, const FblVerb **out_verb) {
    FblContext *ctx = cli->ctx;
    *cli = (FblCli){
        .ctx = ctx,
        .program = argc > 0 ? argv[0] : "fblc",
        .passes = fbl_options_default(),
#define FBL_CLI_OPTION(field, letter, kind, default_, value, verbs, doc) .field = default_,
#include "cli/options.def"
#undef FBL_CLI_OPTION
    };
    *out_verb = NULL;
    if (argc < 2) {
        return fbl_cli_usage(cli, "a verb is missing");
    }
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0) {
        printf("fblc %s\n", FBL_VERSION);
        return FBL_OK;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        print_help(cli, argc > 2 ? find_verb(argv[2]) : NULL);
        return FBL_OK;
    }
    const FblVerb *verb = find_verb(word);
    if (!verb) {
        const char *names[VERB_COUNT];
        for (size_t i = 0; i < VERB_COUNT; i++) {
            names[i] = verbs_table[i].name;
        }
        const char *near = fbl_nearest_name(word, names, VERB_COUNT);
        return fbl_cli_usage(cli, near ? "no verb `%s`; did you mean `%s`?" : "no verb `%s`", word, near);
    }
    cli->verb = verb->name;
    bool done = false;
    FBL_TRY(parse_options(cli, verb, argc - 1, argv + 1, &done));
    if (done) {
        return FBL_OK;
    }
    if (cli->arg_count < verb->min_args || (verb->max_args >= 0 && cli->arg_count > verb->max_args)) {
        return fbl_cli_usage(cli, cli->arg_count < verb->min_args ? "`%s` needs %s" : "`%s` takes only %s", verb->name, verb->operands);
    }
    if (strcmp(cli->diag, "text") != 0 && strcmp(cli->diag, "json") != 0) {
        return fbl_cli_usage(cli, "--diag takes text or json, not `%s`", cli->diag);
    }
    *out_verb = verb;
    return FBL_OK;
}

FblBuildOptions fbl_cli_build_options(FblCli *cli) {
    FblArena *arena = fbl_context_arena(cli->ctx);
    if (cli->epochs > 0) { // as the last word on `epochs`
        FblSetting setting = {"epochs", fbl_arena_printf(arena, "%lld", (long long)cli->epochs)};
        FBL_PUSH(arena, cli->settings, cli->setting_count, cli->setting_capacity, setting);
        cli->epochs = 0;
    }
    return (FblBuildOptions){.settings = cli->settings, .setting_count = cli->setting_count, .stage = cli->stage, .batch = cli->batch,
                             .has_seed = cli->has_seed, .seed = cli->seed};
}

FblStatus fbl_cli_load(FblCli *cli, const char *path, FblProgram **out_program) {
    return fbl_program_load(cli->ctx, &(FblProgramOptions){.path = path, .library_dir = cli->library}, out_program);
}

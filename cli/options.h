// The command line: verbs, options, and what every verb is called with.
//
// Options come from two tables: cli/options.def (one struct field a row) and the compiler's own, passes/options.def.
// Ownership: everything lives in the context. Threads: one.
#ifndef FBL_CLI_OPTIONS_H
#define FBL_CLI_OPTIONS_H

#include "frontend/build.h"
#include "passes/options.h"

#define FBL_CLI_TYPE_BOOL bool
#define FBL_CLI_TYPE_INT int64_t
#define FBL_CLI_TYPE_STRING const char *

typedef struct FblCli {
    FblContext *ctx;
    const char *verb;
    const char *program;   // argv[0]
    const char **args;     // operands, without the verb
    int arg_count;
    FblPassOptions passes; // --target, --precision, debug options
    FblSetting *settings;  // --set, in order
    size_t setting_count, setting_capacity;
    bool has_seed; // --seed
    uint64_t seed;
    int exit_code; // what to exit with instead of the status' own code; 0: the status decides
#define FBL_CLI_OPTION(field, letter, kind, default_, value, verbs, doc) FBL_CLI_TYPE_##kind field;
#include "cli/options.def"
#undef FBL_CLI_OPTION
} FblCli;

typedef struct FblVerb {
    const char *name;
    FblStatus (*run)(FblCli *cli);
    int min_args, max_args; // operands; -1: any number
    const char *operands;
    const char *help;
} FblVerb;

// Row `index` of cli/verbs.def, or NULL past its end.
const FblVerb *fbl_cli_verb(size_t index);

#define FBL_VERB(name, function, least, most, operands, help) FblStatus function(FblCli *cli);
#include "cli/verbs.def"
#undef FBL_VERB

// Reads argv. FBL_OK with *out_verb set, or NULL when only help or the version was asked for and has been printed.
// FBL_USER with exit_code 2 (and a message on stderr) for a mistake of usage.
FblStatus fbl_cli_parse(FblCli *cli, int argc, char **argv, const FblVerb **out_verb);

// A mistake of usage found by a verb: prints it and a pointer to the help, sets exit_code 2; for `return fbl_cli_usage(...)`.
FblStatus fbl_cli_usage(FblCli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

// What --set, --batch, --epochs, --seed and --stage ask of the front end.
FblBuildOptions fbl_cli_build_options(FblCli *cli);
// Loads the program in file `path`.
FblStatus fbl_cli_load(FblCli *cli, const char *path, FblProgram **out_program);

#endif

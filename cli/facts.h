// What can be said about a program without data and machine code: the numbers of `fblc check`.
#ifndef FBL_CLI_FACTS_H
#define FBL_CLI_FACTS_H

#include "cli/options.h"

typedef struct FblFacts {
    double parameters, trainable, forward, step, memory, bound; // -1: not known
} FblFacts;

// Checks everything in the file at `path`, and counts.
FblStatus fbl_cli_facts(FblCli *cli, const char *path, FblFacts *out_facts);

#endif

// The entry point: reads the command line, runs one verb, prints what was collected, and maps the status to an exit code.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "base/diag.h"

int main(int argc, char **argv) {
    FblContext *ctx = fbl_context_create();
    FblCli cli = {.ctx = ctx};
    const FblVerb *verb = NULL;
    FblStatus status = fbl_cli_parse(&cli, argc, argv, &verb);
    if (status == FBL_OK && verb) {
        status = verb->run(&cli);
    }
    if (status == FBL_INTERNAL) {
        fbl_diag_hint(ctx, fbl_diag(ctx, FBL_NOTE, "E9999", FBL_NO_LOC, "fblc has found a mistake of its own and stops"),
                      "--dump-dir=DIR writes the program after every phase, which helps to report it");
    }
    fbl_diag_flush(ctx, stderr, cli.diag && strcmp(cli.diag, "json") == 0);
    int code = cli.exit_code ? cli.exit_code : fbl_status_exit_code(status);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "fblc: writing the results failed\n");
        code = code ? code : 3;
    }
    fbl_context_destroy(ctx);
    return code;
}

// fblc fmt: files into the canonical layout.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/io.h"
#include "cli/options.h"
#include "frontend/format.h"
#include "frontend/parser.h"

static FblStatus format_one(FblCli *cli, const char *path, bool *out_changed) {
    char *text, *formatted;
    size_t size;
    FBL_TRY(fbl_read_file(cli->ctx, path, FBL_SOURCE_MAX_BYTES, &text, &size));
    uint32_t file = fbl_source_add(cli->ctx, path, text, size);
    FblStatus status = fbl_format_source(cli->ctx, file, &formatted);
    if (status == FBL_OK) {
        FblSpan span = {formatted, strlen(formatted)};
        *out_changed = span.size != size || memcmp(formatted, text, size) != 0;
        if (*out_changed && !cli->check) {
            status = fbl_write_file_atomic(cli->ctx, path, &span, 1);
        }
        free(formatted);
    }
    free(text);
    return status;
}

FblStatus fbl_cmd_fmt(FblCli *cli) {
    FblStatus status = FBL_OK;
    for (int i = 0; i < cli->arg_count; i++) {
        bool changed = false;
        FblStatus one = format_one(cli, cli->args[i], &changed);
        status = status == FBL_OK ? one : status;
        if (one == FBL_OK && changed) {
            printf("%s\n", cli->args[i]);
            if (cli->check) {
                FblDiag *diag = fbl_diag(cli->ctx, FBL_ERROR, "E0050", FBL_NO_LOC, "%s is not in the canonical layout", cli->args[i]);
                fbl_diag_hint(cli->ctx, diag, "`fblc fmt %s` brings it there", cli->args[i]);
                status = status == FBL_OK ? FBL_USER : status;
            }
        }
    }
    return status;
}

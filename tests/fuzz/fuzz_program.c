// The whole front end on any text: imports, names, axes, compile-time evaluation, graph construction, and the passes after it. Whatever the text says,
// there is a program whose graphs verify, or a diagnostic.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "frontend/build.h"
#include "passes/manager.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 4096 || memchr(data, 0, size) != NULL) {
        return 0;
    }
    char text[4097];
    memcpy(text, data, size);
    text[size] = 0;
    FblContext *ctx = fbl_context_create();
    FblProgram *program = NULL;
    FblModule *module = NULL;
    FblStatus status = fbl_program_load(ctx, &(FblProgramOptions){.path = "fuzz.fbl", .text = text}, &program);
    if (status == FBL_OK) {
        status = fbl_program_check(program, &(FblBuildOptions){.symbolic = true}, &module);
    }
    if (status == FBL_OK && module != NULL && module->recipe.has_train) {
        FblPassOptions options = fbl_options_default();
        status = fbl_passes_run(module, &options);
    }
    if (status == FBL_INTERNAL || (status != FBL_OK && fbl_diag_error_count(ctx) == 0)) {
        abort();
    }
    fbl_context_destroy(ctx);
    return 0;
}

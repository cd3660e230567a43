// Compiled files: any bytes, and bytes under a right checksum (so that the table and the embedded texts are reached).
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/hash.h"
#include "ir/module_text.h"
#include "ir/plan.h"
#include "runtime/cache.h"
#include "runtime/fblx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(FblContext *ctx, const FblxFile *file) {
    for (size_t i = 0; i < file->count; i++) {
        const FblxEntry *entry = &file->entries[i];
        uint32_t source = entry->kind == FBLX_CODE ? 0 : fbl_source_add(ctx, "section", entry->data, entry->size);
        FblModule *module;
        FblPlan *plan;
        FblKernelCode code;
        if (entry->kind == FBLX_MODULE) {
            (void)fbl_module_read(ctx, source, &module);
        } else if (entry->kind == FBLX_PLAN) {
            (void)fbl_plan_read(ctx, source, &plan);
        } else if (entry->kind == FBLX_CODE && fbl_kernel_code_unpack(entry->data, entry->size, &code)) {
            fbl_kernel_code_free(&code);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (int mended = 0; mended < 2; mended++) {
        FblContext *ctx = fbl_context_create();
        char *bytes = calloc(size + 1, 1);
        if (!bytes) {
            return 0;
        }
        memcpy(bytes, data, size);
        if (mended && size >= 56) {
            uint64_t length = size;
            memcpy(bytes, "FBLXFIL1", 8);
            memcpy(bytes + 8, &length, sizeof length);
            FblHash digest = fbl_hash(bytes + 48, size - 48);
            memcpy(bytes + 16, digest.bytes, sizeof digest.bytes);
        }
        FblxFile file;
        if (fblx_parse(ctx, "input", bytes, size, &file) == FBL_OK) {
            read_all(ctx, &file);
            fblx_deinit(&file);
        }
        fbl_diag_clear(ctx);
        fbl_context_destroy(ctx);
    }
    return 0;
}

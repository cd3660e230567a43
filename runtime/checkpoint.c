#include "runtime/checkpoint.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/io.h"

#define DIGEST_KEY "\"sha256\":\""
#define DIGEST_DIGITS 64
#define FORMAT "fblc checkpoint 1"

static void hex(const uint8_t digest[32], char out[DIGEST_DIGITS + 1]) {
    for (int i = 0; i < 32; i++) {
        snprintf(out + (ptrdiff_t)2 * i, 3, "%02x", digest[i]);
    }
}

// The digits of the digest inside a header, or NULL. The digest is taken with these digits being zeros.
static char *find_digest(char *header, size_t size) {
    char *found = memmem(header, size, DIGEST_KEY, strlen(DIGEST_KEY));
    if (found == NULL || (size_t)(header + size - found) < strlen(DIGEST_KEY) + DIGEST_DIGITS + 1) {
        return NULL;
    }
    char *digits = found + strlen(DIGEST_KEY);
    return digits[DIGEST_DIGITS] == '"' ? digits : NULL;
}

FblStatus fbl_checkpoint_write(FblContext *ctx, const char *run_dir, const char *file_name,
                               const FblFileTensor *tensors, size_t count, const FblCheckpointInfo *info) {
    char stage[24];
    char first_epoch[24];
    char first_step[24];
    char epoch[24];
    char epoch_step[24];
    char step[24];
    char seed[24];
    char best_metric[40];
    char best_epoch[24];
    char zeros[DIGEST_DIGITS + 1];
    snprintf(stage, sizeof stage, "%" PRId64, info->stage);
    snprintf(first_epoch, sizeof first_epoch, "%" PRId64, info->first_epoch);
    snprintf(first_step, sizeof first_step, "%" PRId64, info->first_step);
    snprintf(epoch, sizeof epoch, "%" PRId64, info->epoch);
    snprintf(epoch_step, sizeof epoch_step, "%" PRId64, info->epoch_step);
    snprintf(step, sizeof step, "%" PRId64, info->step);
    snprintf(seed, sizeof seed, "%" PRIu64, info->seed);
    snprintf(best_metric, sizeof best_metric, "%a", info->best_metric); // hexadecimal: every bit comes back
    snprintf(best_epoch, sizeof best_epoch, "%" PRId64, info->best_epoch);
    memset(zeros, '0', DIGEST_DIGITS);
    zeros[DIGEST_DIGITS] = 0;
    // The digest comes first, so that no other value can be taken for it when a reader searches the header.
    FblFileString metadata[] = {
        {"sha256", zeros},
        {"format", FORMAT},
        {"stage", stage},
        {"stage_name", info->stage_name},
        {"first_epoch", first_epoch},
        {"first_step", first_step},
        {"epoch", epoch},
        {"epoch_step", epoch_step},
        {"step", step},
        {"seed", seed},
        {"best_metric", best_metric},
        {"best_epoch", best_epoch},
        {"recipe_hash", info->recipe_hash},
        {"version", info->version},
    };
    const char *path = fbl_path_join(ctx, run_dir, file_name);
    FblFileLayout layout;
    FBL_TRY(fbl_file_layout_make(ctx, path, tensors, count, metadata, sizeof metadata / sizeof *metadata, &layout));
    SHA2_CTX sha;
    SHA256Init(&sha);
    SHA256Update(&sha, (const uint8_t *)layout.header, layout.header_size);
    for (size_t i = 0; i < count; i++) {
        SHA256Update(&sha, layout.order[i]->data, layout.order[i]->size);
    }
    uint8_t digest[32];
    SHA256Final(digest, &sha);
    char digits[DIGEST_DIGITS + 1];
    hex(digest, digits);
    memcpy(find_digest(layout.header, layout.header_size), digits, DIGEST_DIGITS);
    FblStatus status = fbl_file_layout_write(ctx, path, &layout, count);
    fbl_file_layout_deinit(&layout);
    return status;
}

static FblStatus damaged(FblContext *ctx, const char *path, const char *what) {
    return fbl_error(ctx, "E0780", FBL_NO_LOC, "the checkpoint `%s` cannot be used: %s", path, what);
}

static FblStatus check_digest(FblContext *ctx, const char *path, char *bytes, size_t size) {
    if (size < 8) {
        return damaged(ctx, path, "it is shorter than 8 bytes");
    }
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) {
        length = length << 8 | (uint8_t)bytes[i];
    }
    if (length > size - 8) {
        return damaged(ctx, path, "it is cut off or damaged (its header goes beyond the file)");
    }
    char *place = find_digest(bytes, 8 + (size_t)length);
    if (place == NULL) {
        return damaged(ctx, path, "it carries no SHA-256, so it is damaged or not a checkpoint of this program");
    }
    char stored[DIGEST_DIGITS];
    memcpy(stored, place, DIGEST_DIGITS);
    memset(place, '0', DIGEST_DIGITS);
    SHA2_CTX sha;
    SHA256Init(&sha);
    SHA256Update(&sha, (const uint8_t *)bytes, size);
    uint8_t digest[32];
    SHA256Final(digest, &sha);
    memcpy(place, stored, DIGEST_DIGITS);
    char digits[DIGEST_DIGITS + 1];
    hex(digest, digits);
    if (memcmp(digits, stored, DIGEST_DIGITS) != 0) {
        return damaged(ctx, path, "its SHA-256 does not match its content, so it is cut off or damaged");
    }
    return FBL_OK;
}

static bool read_count(const FblTensorFile *file, const char *key, int64_t lowest, int64_t *out) {
    const char *text = fbl_tensor_file_string(file, key);
    char *end;
    if (text == NULL || text[0] == 0 || isspace((unsigned char)text[0])) {
        return false;
    }
    long long value = strtoll(text, &end, 10);
    *out = value;
    return *end == 0 && value >= lowest;
}

static bool read_info(const FblTensorFile *file, FblCheckpointInfo *out) {
    *out = (FblCheckpointInfo){0};
    const char *format = fbl_tensor_file_string(file, "format");
    const char *seed = fbl_tensor_file_string(file, "seed");
    const char *metric = fbl_tensor_file_string(file, "best_metric");
    const char *hash = fbl_tensor_file_string(file, "recipe_hash");
    const char *version = fbl_tensor_file_string(file, "version");
    const char *stage_name = fbl_tensor_file_string(file, "stage_name");
    if (format == NULL || strcmp(format, FORMAT) != 0 || seed == NULL || metric == NULL || hash == NULL ||
        version == NULL || stage_name == NULL || strlen(stage_name) >= sizeof out->stage_name || strlen(hash) >= sizeof out->recipe_hash || strlen(version) >= sizeof out->version) {
        return false;
    }
    char *end;
    out->seed = strtoull(seed, &end, 10);
    if (*seed == 0 || *end != 0) {
        return false;
    }
    out->best_metric = strtod(metric, &end);
    if (*metric == 0 || *end != 0) {
        return false;
    }
    strcpy(out->recipe_hash, hash);
    strcpy(out->version, version);
    strcpy(out->stage_name, stage_name);
    return read_count(file, "stage", 0, &out->stage) && read_count(file, "first_epoch", 0, &out->first_epoch) &&
           read_count(file, "first_step", 0, &out->first_step) &&
           read_count(file, "epoch", 0, &out->epoch) && read_count(file, "epoch_step", 0, &out->epoch_step) &&
           read_count(file, "step", 0, &out->step) && read_count(file, "best_epoch", -1, &out->best_epoch);
}

FblStatus fbl_checkpoint_parse(FblContext *ctx, const char *path, char *bytes, size_t size, FblCheckpointInfo *out_info,
                               FblTensorFile *out_file) {
    *out_file = (FblTensorFile){0};
    FblStatus status = check_digest(ctx, path, bytes, size);
    if (status != FBL_OK) {
        free(bytes);
        return status;
    }
    FBL_TRY(fbl_tensor_file_parse(ctx, path, bytes, size, out_file));
    if (!read_info(out_file, out_info)) {
        fbl_tensor_file_deinit(out_file);
        return damaged(ctx, path, "the facts about the run are missing from it");
    }
    return FBL_OK;
}

FblStatus fbl_checkpoint_read(FblContext *ctx, const char *path, FblCheckpointInfo *out_info, FblTensorFile *out_file) {
    *out_file = (FblTensorFile){0};
    char *bytes;
    size_t size;
    FBL_TRY(fbl_read_file(ctx, path, SIZE_MAX / 4, &bytes, &size));
    return fbl_checkpoint_parse(ctx, path, bytes, size, out_info, out_file);
}

FblStatus fbl_checkpoint_open(FblContext *ctx, const char *run_dir, const char *preferred, FblCheckpointInfo *out_info,
                              FblTensorFile *out_file, const char **out_path) {
    *out_file = (FblTensorFile){0};
    bool last = strcmp(preferred, FBL_CHECKPOINT_LAST) == 0;
    const char *first = fbl_path_join(ctx, run_dir, preferred);
    const char *second = fbl_path_join(ctx, run_dir, last ? FBL_CHECKPOINT_BEST : FBL_CHECKPOINT_LAST);
    if (!fbl_path_exists(first) && !fbl_path_exists(second)) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0781", FBL_NO_LOC, "`%s` holds no checkpoint", run_dir);
        fbl_diag_hint(ctx, diag, "a run writes %s and %s there", FBL_CHECKPOINT_LAST, FBL_CHECKPOINT_BEST);
        return FBL_USER;
    }
    if (!fbl_path_exists(second)) {
        *out_path = first;
        return fbl_checkpoint_read(ctx, first, out_info, out_file);
    }
    if (fbl_path_exists(first)) {
        // Tried in a context of its own: diagnostics cannot be taken back singly, and a damaged file is no error as
        // long as the other one serves.
        FblContext *trial = fbl_context_create();
        FblStatus status = fbl_checkpoint_read(trial, first, out_info, out_file);
        fbl_context_destroy(trial);
        if (status == FBL_OK) {
            *out_path = first;
            return FBL_OK;
        }
    }
    FblStatus status = fbl_checkpoint_read(ctx, second, out_info, out_file);
    if (status != FBL_OK) {
        return status;
    }
    FblDiag *diag = fbl_diag(ctx, FBL_WARNING, "E0782", FBL_NO_LOC, "`%s` is %s; `%s` of epoch %" PRId64 " is used",
                             first, fbl_path_exists(first) ? "damaged" : "missing", second, out_info->first_epoch + out_info->epoch);
    fbl_diag_hint(ctx, diag, "the run goes on from there; epochs after it are computed again");
    *out_path = second;
    return FBL_OK;
}

bool fbl_checkpoint_exists(FblContext *ctx, const char *run_dir) {
    return fbl_path_exists(fbl_path_join(ctx, run_dir, FBL_CHECKPOINT_LAST)) ||
           fbl_path_exists(fbl_path_join(ctx, run_dir, FBL_CHECKPOINT_BEST));
}

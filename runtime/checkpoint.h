// Checkpoints: one safetensors file with everything that training needs to go on, protected by a SHA-256.
//
// Tensors: parameters and running statistics under their own names, optimizer state as "opt.NAME.momentum" and the
// like: the checkpoint does not interpret names. Facts about the run are metadata strings. The digest covers header and
// data, so any flipped bit or truncation is found. Any safetensors reader can open the file. Ownership: as
// FblTensorFile. Threads: as the context.
#ifndef FBL_RUNTIME_CHECKPOINT_H
#define FBL_RUNTIME_CHECKPOINT_H

#include "runtime/safetensors.h"

typedef struct FblCheckpointInfo {
    int64_t stage;       // 0 for the train block itself, then its stages in the order of the text
    int64_t first_epoch; // epochs and optimizer steps of the stages before this one
    int64_t first_step;
    int64_t epoch;      // of the stage, to continue in
    int64_t epoch_step; // batch within that epoch to continue with (0 = its start)
    int64_t step;       // optimizer steps of the stage done so far
    uint64_t seed;
    double best_metric;   // best test top-1 so far, of all stages; NAN when none
    int64_t best_epoch;   // counted over all stages; -1 when none
    char stage_name[64];  // "" for the train block itself
    char recipe_hash[65]; // hex digest of the resolved recipe; "" when unknown
    char version[32];     // of fblc
} FblCheckpointInfo;

#define FBL_CHECKPOINT_LAST "last.safetensors"
#define FBL_CHECKPOINT_BEST "best.safetensors"

// Writes run_dir/file_name atomically.
FblStatus fbl_checkpoint_write(FblContext *ctx, const char *run_dir, const char *file_name,
                               const FblFileTensor *tensors, size_t count, const FblCheckpointInfo *info);

// Reads and verifies one checkpoint file. On failure *out_file is zeroed.
FblStatus fbl_checkpoint_read(FblContext *ctx, const char *path, FblCheckpointInfo *out_info, FblTensorFile *out_file);

// The same from memory (takes over `bytes`).
FblStatus fbl_checkpoint_parse(FblContext *ctx, const char *path, char *bytes, size_t size, FblCheckpointInfo *out_info,
                               FblTensorFile *out_file);

// Reads run_dir's `preferred` checkpoint; when it is missing or damaged, the other one with a warning that says why.
// With neither usable: an error. *out_path (arena) says which was read.
FblStatus fbl_checkpoint_open(FblContext *ctx, const char *run_dir, const char *preferred, FblCheckpointInfo *out_info,
                              FblTensorFile *out_file, const char **out_path);

// Does run_dir hold a checkpoint of either name?
bool fbl_checkpoint_exists(FblContext *ctx, const char *run_dir);

#endif

// Writes scalars in TensorBoard's event files.
//
// Each opening starts a new file in the folder; TensorBoard joins them. After a resume it drops the points at and after
// the step resumed from, which will come again.
// Ownership: open/close pair. Threads: one at a time.
#ifndef FBL_RUNTIME_TENSORBOARD_H
#define FBL_RUNTIME_TENSORBOARD_H

#include "base/context.h"

typedef struct FblTensorboard FblTensorboard;

// resume_step: the first step that will be written again, 0 for a new run.
FblStatus fbl_tensorboard_open(FblContext *ctx, const char *directory, int64_t resume_step, FblTensorboard **out);

// One point of the curve `tag` (such as "train/loss"); NaN is left out.
void fbl_tensorboard_scalar(FblTensorboard *board, const char *tag, int64_t step, double value);

// Makes what was written visible to readers.
FblStatus fbl_tensorboard_flush(FblContext *ctx, FblTensorboard *board);

void fbl_tensorboard_close(FblTensorboard *board);

// CRC-32C (Castagnoli), as the files use it.
uint32_t fbl_crc32c(const void *data, size_t size);

#endif

// Reads the weights in a PyTorch file (.pth, .pt): both the zip form and the older one of pickles in a row.
//
// Nothing in the file is executed: its pickle may hold plain data and tensors, and anything else is refused by name. What
// is read becomes a FblTensorFile, as if it came from safetensors.
// Ownership and threads: as runtime/safetensors.h.
#ifndef FBL_RUNTIME_TORCH_FILE_H
#define FBL_RUNTIME_TORCH_FILE_H

#include "runtime/safetensors.h"

// True when the first bytes are those of a PyTorch file.
bool fbl_torch_file_is(const char *bytes, size_t size);

// The tensors of the state dictionary in the file: the dictionary itself, or the one under `state_dict`,
// `model_state_dict`, `model` or `net` of what was saved. A prefix `module.` or `_orig_mod.` that all names have is taken
// off. Takes over `bytes` (malloc'ed) whether it succeeds or not; `path` is for messages. E0736 for a damaged or
// unreadable file, E0737 for one that holds more than data.
FblStatus fbl_torch_file_parse(FblContext *ctx, const char *path, char *bytes, size_t size, FblTensorFile *out);

// Reads `path` as safetensors or as a PyTorch file; its content decides, not its name.
FblStatus fbl_weights_read(FblContext *ctx, const char *path, FblTensorFile *out);

#endif

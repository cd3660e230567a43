// The table that says what became of the weights of a file: which tensors of the program were set, which not, and why.
//
// Ownership: borrows everything. Threads: no state.
#ifndef FBL_RUNTIME_WEIGHTS_TABLE_H
#define FBL_RUNTIME_WEIGHTS_TABLE_H

#include <stdio.h>

#include "runtime/safetensors.h"

typedef struct FblWeightRow {
    const char *name; // of a tensor of the program
    const char *type;
    const char *fate; // NULL: set; else why not
} FblWeightRow;

// One line for each part (the name up to its first dot) whose tensors were all set, one for each tensor that was not, one for
// each tensor of the file that the program has none for. PyTorch's counters `num_batches_tracked`, which nothing reads, are
// left out.
void fbl_weights_table(FILE *out, const char *path, const FblWeightRow *rows, size_t count, const FblTensorFile *file);

#endif

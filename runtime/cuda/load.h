// Opening one of NVIDIA's libraries at run time.
//
// Ownership: everything in the request is borrowed for the call; an opened library is kept for the life of the process. Threads: one caller.
#ifndef FBL_RUNTIME_CUDA_LOAD_H
#define FBL_RUNTIME_CUDA_LOAD_H

#include <stdbool.h>
#include <stddef.h>

typedef struct FblLoad {
    const char *variable;       // of the environment: names the one library to try
    const char *const *names;   // else these, up to a NULL; with FBL_CUDA_DRIVER set, none: the real library needs the real driver
    const char *const *symbols; // functions, up to a NULL
    void **slots;               // one a symbol
    char *why;                  // when it fails: why, in one line, of why_size bytes
    size_t why_size;
} FblLoad;

// The first library that opens and has all symbols.
bool fbl_cuda_load(const FblLoad *load);

#endif

// The kernel cache: compiled code under the hash of all that determines it.
//
// One file an entry in $FBL_CACHE, else $XDG_CACHE_HOME/fblc, else $HOME/.cache/fblc; "off" as $FBL_CACHE disables it.
// Entries are written to a temporary and renamed, so readers never see half of one; a damaged entry is a warning and a
// miss. Ownership: stated per function. Threads: get and put may be called from many threads (messages go to stderr).
#ifndef FBL_RUNTIME_CACHE_H
#define FBL_RUNTIME_CACHE_H

#include "base/hash.h"
#include "codegen/target.h"

typedef struct FblCache FblCache;

// Never fails: without a usable folder the cache is empty and keeps nothing. `directory` NULL: as above.
FblCache *fbl_cache_open(const char *directory);
void fbl_cache_close(FblCache *cache);
// The folder, which may not exist yet; NULL when the cache is off.
const char *fbl_cache_directory(const FblCache *cache);

// True and *out_code (owned by the caller) when the entry is there and whole.
bool fbl_cache_get(FblCache *cache, const FblHash *key, FblKernelCode *out_code);
// Stores a copy; failure to write is silent, the next run compiles again.
void fbl_cache_put(FblCache *cache, const FblHash *key, const FblKernelCode *code);

// The bytes of an entry, for embedding in .fblx files as well: malloc'ed; the reader checks everything.
void fbl_kernel_code_pack(const FblKernelCode *code, uint8_t **out_bytes, size_t *out_size);
bool fbl_kernel_code_unpack(const uint8_t *bytes, size_t size, FblKernelCode *out_code);

#endif

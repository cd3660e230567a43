// What this machine can do at most: multiply-adds and bytes a second on the pool's threads, measured once.
//
// Ownership: values. Threads: one caller; measuring runs on the pool.
#ifndef FBL_CLI_CALIBRATE_H
#define FBL_CLI_CALIBRATE_H

#include "base/pool.h"
#include "runtime/cache.h"

typedef struct FblLimits {
    double flops; // f32 operations a second of all threads: independent multiply-adds in registers, two operations each
    double bytes; // a second to and from memory of all threads: copying arrays larger than any cache
} FblLimits;

// From the file "limits" of the cache's folder when it has a line for `identity` (of the target) and this number of
// threads; else measured in some tenths of a second and added there. Without a folder it is measured each time.
FblLimits fbl_limits_measure(const FblCache *cache, FblPool *pool, const char *identity);

#endif

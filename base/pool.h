// A static thread pool: one job at a time, split into fixed item ranges.
//
// The split never affects results: an item's work must not depend on which thread runs it or on the number of threads.
// Ownership: the creator destroys. Threads: one submitting thread at a time.
#ifndef FBL_BASE_POOL_H
#define FBL_BASE_POOL_H

#include "base/status.h"
#include <stdint.h>

typedef struct FblPool FblPool;

// Does items [begin, end) on pool thread `thread` (0 is the submitter).
typedef void (*FblPoolFn)(void *arg, int64_t begin, int64_t end, int thread);

// Starts `threads - 1` workers (the submitter is the first); threads is clamped to 1..256. pin: bind each to a core.
FblStatus fbl_pool_create(int threads, int pin, FblPool **out_pool);
void fbl_pool_destroy(FblPool *pool);
int fbl_pool_threads(const FblPool *pool);

// Runs fn over [0, items), each thread getting one contiguous share, and returns when all are done. Waiting threads
// spin briefly before they sleep, so that back-to-back launches cost microseconds.
void fbl_pool_run(FblPool *pool, FblPoolFn fn, void *arg, int64_t items);

// Cores that this process may use (its affinity mask when first asked, before any pool bound a thread), at least 1.
int fbl_cpu_count(void);
// Lets the calling thread run on all of them. For threads started by one that a pool has bound, whose mask they inherit.
void fbl_thread_unbind(void);

#endif

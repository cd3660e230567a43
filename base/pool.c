#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#define MAX_THREADS 256
#define SPIN_PAUSES 2000 // some tens of microseconds
#define SPIN_YIELDS 16

typedef struct Worker {
    FblPool *pool;
    int index;
    pthread_t handle;
} Worker;

// A launch is a new `generation`; workers watch it, first spinning, then asleep on `wake`. The last worker to finish
// brings `pending` to zero, which the submitter watches in the same way.
//
// No wake-up is lost: a sleeper announces itself (`sleepers`, `submitter_sleeps`) and then looks once more; the other
// side changes the value and then looks for sleepers. All four are sequentially consistent, so one of them sees the
// other; and the lock around the second look and the wait keeps the signal from falling in between.
struct FblPool {
    int threads;
    int pauses; // of a spinning thread before it starts to yield; 0 when there are more threads than cores
    bool pinned;
    cpu_set_t submitter_cores; // to be restored
    pthread_t submitter;

    // The job: written by the submitter before the generation, read by the workers after it.
    FblPoolFn fn;
    void *arg;
    int64_t items;
    bool stop;

    // On cache lines of their own: spinning on one must not slow the others.
    _Alignas(64) atomic_uint generation;
    _Alignas(64) atomic_int pending;
    _Alignas(64) atomic_int sleepers;
    atomic_bool submitter_sleeps;

    _Alignas(64) pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_cond_t done;
    Worker *workers; // threads - 1
};

static void pause_cpu(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// Thread t's share of [0, items): contiguous, sizes differing by at most one.
static void run_share(const FblPool *pool, int t) {
    int64_t each = pool->items / pool->threads;
    int64_t rest = pool->items % pool->threads;
    int64_t begin = each * t + (t < rest ? t : rest);
    int64_t end = begin + each + (t < rest);
    if (begin < end) {
        pool->fn(pool->arg, begin, end, t);
    }
}

static void wait_for_generation(FblPool *pool, unsigned seen) {
    for (int i = 0; i < pool->pauses + SPIN_YIELDS; i++) {
        if (atomic_load_explicit(&pool->generation, memory_order_acquire) != seen) {
            return;
        }
        if (i < pool->pauses) {
            pause_cpu();
        } else {
            sched_yield();
        }
    }
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->generation) == seen) {
        pthread_cond_wait(&pool->wake, &pool->lock);
    }
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
}

static void wait_for_workers(FblPool *pool) {
    for (int i = 0; i < pool->pauses + SPIN_YIELDS; i++) {
        if (atomic_load_explicit(&pool->pending, memory_order_acquire) == 0) {
            return;
        }
        if (i < pool->pauses) {
            pause_cpu();
        } else {
            sched_yield();
        }
    }
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->submitter_sleeps, true);
    while (atomic_load(&pool->pending) != 0) {
        pthread_cond_wait(&pool->done, &pool->lock);
    }
    atomic_store(&pool->submitter_sleeps, false);
    pthread_mutex_unlock(&pool->lock);
}

static void launch(FblPool *pool) {
    atomic_store_explicit(&pool->pending, pool->threads - 1, memory_order_relaxed);
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->sleepers) > 0) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->lock);
    }
}

static void *work(void *arg) {
    Worker *worker = arg;
    FblPool *pool = worker->pool;
    unsigned seen = 0;
    for (;;) {
        wait_for_generation(pool, seen);
        // One launch at a time: the next generation cannot start before this thread has counted itself off.
        seen++;
        if (pool->stop) {
            return NULL;
        }
        run_share(pool, worker->index);
        if (atomic_fetch_sub(&pool->pending, 1) == 1 && atomic_load(&pool->submitter_sleeps)) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->done);
            pthread_mutex_unlock(&pool->lock);
        }
    }
}

// The process's cores: read once, since the mask of a thread that a pool has bound no longer tells them.
static cpu_set_t process_cores;
static pthread_once_t cores_once = PTHREAD_ONCE_INIT;

static void read_cores(void) {
    if (sched_getaffinity(0, sizeof process_cores, &process_cores) != 0) {
        CPU_ZERO(&process_cores);
    }
}

// The n-th core of `cores`, alone in *out_one.
static void nth_core(const cpu_set_t *cores, int n, cpu_set_t *out_one) {
    CPU_ZERO(out_one);
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (CPU_ISSET(core, cores) && n-- == 0) {
            CPU_SET(core, out_one);
            return;
        }
    }
}

// Binding is a help, not a promise: what the system refuses is left as it was.
static void pin_threads(FblPool *pool) {
    pool->submitter = pthread_self();
    if (pthread_getaffinity_np(pool->submitter, sizeof pool->submitter_cores, &pool->submitter_cores) != 0 || fbl_cpu_count() < pool->threads) {
        return;
    }
    cpu_set_t one;
    for (int t = 1; t < pool->threads; t++) {
        nth_core(&process_cores, t, &one);
        pthread_setaffinity_np(pool->workers[t - 1].handle, sizeof one, &one);
    }
    nth_core(&process_cores, 0, &one);
    pool->pinned = pthread_setaffinity_np(pool->submitter, sizeof one, &one) == 0;
}

static void free_pool(FblPool *pool) {
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool->workers);
    free(pool);
}

static void stop_workers(FblPool *pool, int started) {
    pool->stop = true;
    launch(pool);
    for (int i = 0; i < started; i++) {
        pthread_join(pool->workers[i].handle, NULL);
    }
}

FblStatus fbl_pool_create(int threads, int pin, FblPool **out_pool) {
    threads = threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
    FblPool *pool = aligned_alloc(64, sizeof *pool);
    Worker *workers = calloc((size_t)threads, sizeof *workers);
    if (pool == NULL || workers == NULL) {
        free(pool);
        free(workers);
        return FBL_NOMEM;
    }
    *pool = (FblPool){.threads = threads, .workers = workers};
    pool->pauses = threads <= fbl_cpu_count() ? SPIN_PAUSES : 0;
    atomic_init(&pool->generation, 0);
    atomic_init(&pool->pending, 0);
    atomic_init(&pool->sleepers, 0);
    atomic_init(&pool->submitter_sleeps, false);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->done, NULL);
    // Signals are for the submitter's thread: workers inherit a full mask.
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int started = 0;
    int error = 0;
    while (started < threads - 1 && error == 0) {
        workers[started] = (Worker){.pool = pool, .index = started + 1};
        error = pthread_create(&workers[started].handle, NULL, work, &workers[started]);
        started += error == 0;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error != 0) {
        stop_workers(pool, started);
        free_pool(pool);
        return FBL_IO;
    }
    if (pin) {
        pin_threads(pool);
    }
    *out_pool = pool;
    return FBL_OK;
}

void fbl_pool_destroy(FblPool *pool) {
    if (pool == NULL) {
        return;
    }
    stop_workers(pool, pool->threads - 1);
    if (pool->pinned) {
        pthread_setaffinity_np(pool->submitter, sizeof pool->submitter_cores, &pool->submitter_cores);
    }
    free_pool(pool);
}

int fbl_pool_threads(const FblPool *pool) { return pool->threads; }

void fbl_pool_run(FblPool *pool, FblPoolFn fn, void *arg, int64_t items) {
    if (items <= 0) {
        return;
    }
    if (pool->threads == 1 || items == 1) {
        fn(arg, 0, items, 0);
        return;
    }
    pool->fn = fn;
    pool->arg = arg;
    pool->items = items;
    launch(pool);
    run_share(pool, 0);
    wait_for_workers(pool);
}

int fbl_cpu_count(void) {
    pthread_once(&cores_once, read_cores);
    int count = CPU_COUNT(&process_cores);
    return count < 1 ? 1 : count;
}

void fbl_thread_unbind(void) {
    pthread_once(&cores_once, read_cores);
    if (CPU_COUNT(&process_cores) > 0) {
        pthread_setaffinity_np(pthread_self(), sizeof process_cores, &process_cores);
    }
}

#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/base/unit.h"

enum { ITEMS = 1000 };

typedef struct Job {
    uint8_t visits[ITEMS];
    int64_t begins[256], ends[256];
    int64_t limit;
    int bad; // an atomic is not needed: only ever set by a failing test
} Job;

static void visit(void *arg, int64_t begin, int64_t end, int thread) {
    Job *job = arg;
    if (begin < 0 || begin >= end || end > job->limit || thread < 0 || thread > 255) {
        job->bad = 1;
        return;
    }
    job->begins[thread] = begin;
    job->ends[thread] = end;
    for (int64_t i = begin; i < end; i++) {
        job->visits[i]++;
    }
}

static void each_item_once(void **state) {
    (void)state;
    static const int thread_counts[] = {1, 2, 3, 4, 7, 16};
    static const int64_t item_counts[] = {0, 1, 2, 3, 6, 7, 15, 17, 999, ITEMS};
    for (size_t t = 0; t < sizeof thread_counts / sizeof thread_counts[0]; t++) {
        FblPool *pool = NULL;
        assert_int_equal(fbl_pool_create(thread_counts[t], 0, &pool), FBL_OK);
        assert_int_equal(fbl_pool_threads(pool), thread_counts[t]);
        for (size_t n = 0; n < sizeof item_counts / sizeof item_counts[0]; n++) {
            Job job = {.limit = item_counts[n]};
            fbl_pool_run(pool, visit, &job, item_counts[n]);
            assert_int_equal(job.bad, 0);
            for (int64_t i = 0; i < ITEMS; i++) {
                assert_int_equal(job.visits[i], i < item_counts[n]);
            }
            // Shares are contiguous and ordered by thread, and differ by at most one.
            int64_t at = 0;
            for (int i = 0; i < thread_counts[t] && item_counts[n] > thread_counts[t]; i++) {
                assert_int_equal(job.begins[i], at);
                at = job.ends[i];
                int64_t share = job.ends[i] - job.begins[i];
                int64_t each = item_counts[n] / thread_counts[t];
                assert_true(share == each || share == each + 1);
            }
        }
        fbl_pool_destroy(pool);
    }
}

typedef struct Sum {
    const double *values;
    double *squares;
} Sum;

static void square(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    Sum *sum = arg;
    for (int64_t i = begin; i < end; i++) {
        sum->squares[i] = sum->values[i] * sum->values[i] + sum->squares[i];
    }
}

// Many dependent launches in a row: each reads what the one before wrote, so that a lost or early barrier shows.
static void launches_are_ordered(void **state) {
    (void)state;
    enum { COUNT = 64, ROUNDS = 2000 };
    for (int threads = 1; threads <= 6; threads++) {
        FblPool *pool = NULL;
        assert_int_equal(fbl_pool_create(threads, 0, &pool), FBL_OK);
        double a[COUNT];
        double b[COUNT] = {0};
        for (int i = 0; i < COUNT; i++) {
            a[i] = i;
        }
        for (int round = 0; round < ROUNDS; round++) {
            Sum sum = {a, b};
            fbl_pool_run(pool, square, &sum, COUNT);
            // Now and then give the workers time to fall asleep.
            if (round % 500 == 499) {
                usleep(3000);
            }
        }
        for (int i = 0; i < COUNT; i++) {
            // Integers below 2^53: exact.
            assert_true(b[i] == (double)ROUNDS * i * i);
        }
        fbl_pool_destroy(pool);
    }
}

static void slow_worker(void *arg, int64_t begin, int64_t end, int thread) {
    int *done = arg;
    if (thread != 0) {
        usleep(20000); // long enough for the submitter to stop spinning and sleep
    }
    for (int64_t i = begin; i < end; i++) {
        done[i] = 1;
    }
}

static void the_submitter_waits_for_slow_workers(void **state) {
    (void)state;
    FblPool *pool = NULL;
    assert_int_equal(fbl_pool_create(3, 0, &pool), FBL_OK);
    for (int round = 0; round < 3; round++) {
        int done[9] = {0};
        fbl_pool_run(pool, slow_worker, done, 9);
        for (int i = 0; i < 9; i++) {
            assert_int_equal(done[i], 1);
        }
    }
    fbl_pool_destroy(pool);
}

static void sizes_are_clamped_and_pools_start_and_stop(void **state) {
    (void)state;
    assert_true(fbl_cpu_count() >= 1);
    FblPool *pool = NULL;
    assert_int_equal(fbl_pool_create(-3, 0, &pool), FBL_OK);
    assert_int_equal(fbl_pool_threads(pool), 1);
    fbl_pool_destroy(pool);
    assert_int_equal(fbl_pool_create(100000, 0, &pool), FBL_OK);
    assert_int_equal(fbl_pool_threads(pool), 256);
    fbl_pool_destroy(pool);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(fbl_pool_create(4, 0, &pool), FBL_OK);
        fbl_pool_destroy(pool);
    }
    fbl_pool_destroy(NULL);
}

static void *count_cores(void *arg) {
    (void)arg;
    cpu_set_t cores;
    fbl_thread_unbind();
    pthread_getaffinity_np(pthread_self(), sizeof cores, &cores);
    return (void *)(intptr_t)CPU_COUNT(&cores);
}

// A bound submitter passes its mask on to the threads that it starts; they can leave it.
static void threads_of_a_bound_submitter_can_use_all_cores(void **state) {
    (void)state;
    int cores = fbl_cpu_count();
    FblPool *pool, *second;
    assert_int_equal(fbl_pool_create(cores, 1, &pool), FBL_OK);
    assert_int_equal(fbl_cpu_count(), cores);
    pthread_t thread;
    void *counted = NULL;
    assert_int_equal(pthread_create(&thread, NULL, count_cores, NULL), 0);
    assert_int_equal(pthread_join(thread, &counted), 0);
    assert_int_equal((intptr_t)counted, cores);
    assert_int_equal(fbl_pool_create(fbl_cpu_count(), 1, &second), FBL_OK);
    assert_int_equal(fbl_pool_threads(second), cores);
    fbl_pool_destroy(second);
    fbl_pool_destroy(pool);
}

static void pinning_is_undone(void **state) {
    (void)state;
    cpu_set_t before;
    cpu_set_t after;
    assert_int_equal(pthread_getaffinity_np(pthread_self(), sizeof before, &before), 0);
    FblPool *pool = NULL;
    assert_int_equal(fbl_pool_create(fbl_cpu_count(), 1, &pool), FBL_OK);
    Job job = {.limit = ITEMS};
    fbl_pool_run(pool, visit, &job, ITEMS);
    assert_int_equal(job.bad, 0);
    fbl_pool_destroy(pool);
    assert_int_equal(pthread_getaffinity_np(pthread_self(), sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&before, &after));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_item_once),
        cmocka_unit_test(launches_are_ordered),
        cmocka_unit_test(the_submitter_waits_for_slow_workers),
        cmocka_unit_test(sizes_are_clamped_and_pools_start_and_stop),
        cmocka_unit_test(threads_of_a_bound_submitter_can_use_all_cores),
        cmocka_unit_test(pinning_is_undone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// What a run leaves to read: log_train.csv, log_test.csv, TensorBoard events, a progress line, and JSON lines for
// scripts.
//
// Results go to `results` (stdout), progress to `progress` (stderr). Ownership: open/close pair; the streams stay the
// caller's. Threads: one at a time.
#ifndef FBL_RUNTIME_RUNLOG_H
#define FBL_RUNTIME_RUNLOG_H

#include "runtime/metrics.h"
#include <stdio.h>

typedef struct FblRunLogOptions {
    const char *directory; // run directory; NULL writes no files
    int64_t resume_epoch;  // rows of this epoch and later are cut off (they will be written again); 0 starts anew
    int64_t epochs;        // in all, for the time left
    FILE *results;         // stdout; NULL for none
    FILE *progress;        // stderr; NULL for none
    bool json;             // one JSON object per epoch on `results`
    bool log_steps;        // one JSON object per step as well
    bool quiet;            // no progress
} FblRunLogOptions;

typedef struct FblRunLog FblRunLog;

// One finished epoch. Accuracies are fractions; NAN (test not run) becomes null and an empty CSV field.
typedef struct FblEpochRow {
    int64_t epoch;
    double train_loss, train_top1;
    FblMetricsSummary test; // test.loss, top1, top5, many, medium, few
    double rate;
    double seconds;
} FblEpochRow;

FblStatus fbl_runlog_open(FblContext *ctx, const FblRunLogOptions *options, FblRunLog **out_log);
void fbl_runlog_close(FblRunLog *log);

// After every step: `loss` and `top1` are means of the epoch so far, `images` those done in the epoch, step counts from
// 0. Redraws at most ten times a second on a terminal; prints a plain line now and then otherwise.
void fbl_runlog_step(FblRunLog *log, int64_t epoch, int64_t step, int64_t steps, int64_t global_step, double step_loss,
                     double mean_loss, double mean_top1, int64_t images);

// Appends to both CSV files (flushed to disk) and the TensorBoard events, and prints the epoch's line.
FblStatus fbl_runlog_epoch(FblContext *ctx, FblRunLog *log, const FblEpochRow *row);

// A line of text on `progress` that does not tear the progress line.
void fbl_runlog_note(FblRunLog *log, const char *format, ...) __attribute__((format(printf, 2, 3)));

// "1:02:03" or "4:05" for a number of seconds, into `out`.
void fbl_format_duration(double seconds, char out[32]);

#endif

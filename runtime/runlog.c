#include "runtime/runlog.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/io.h"
#include "runtime/tensorboard.h"

#define TRAIN_HEADER "epoch,loss,top1,rate,seconds\n"
#define TEST_HEADER "epoch,loss,top1,top5,many,medium,few\n"
#define LOG_LIMIT ((size_t)1 << 28)

#define TERMINAL_INTERVAL 0.1 // seconds between redraws
#define PLAIN_INTERVAL 10.0   // seconds between lines of a log file

struct FblRunLog {
    FblRunLogOptions options;
    FILE *train;
    FILE *test;
    FblTensorboard *board;
    bool terminal;
    bool line_open; // a progress line stands unfinished on the terminal
    double last_drawn;
    // Speed is measured from the first step of an epoch, so that compiling does not count.
    int64_t epoch;
    double epoch_start;
    int64_t epoch_start_images;
};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

void fbl_format_duration(double seconds, char out[32]) {
    if (!(seconds >= 0) || seconds > 1e9) {
        snprintf(out, 32, "-:--");
        return;
    }
    int64_t whole = (int64_t)(seconds + 0.5);
    if (whole >= 3600) {
        snprintf(out, 32, "%" PRId64 ":%02d:%02d", whole / 3600, (int)(whole / 60 % 60), (int)(whole % 60));
    } else {
        snprintf(out, 32, "%d:%02d", (int)(whole / 60), (int)(whole % 60));
    }
}

// Length of the part of a CSV log that a run resumed at `epoch` keeps: the header and the rows of earlier epochs. A row
// without its newline was cut off by the end of the earlier run.
static size_t kept_length(const char *text, size_t size, const char *header, int64_t epoch) {
    size_t at = strlen(header);
    if (size < at || memcmp(text, header, at) != 0) {
        return 0;
    }
    for (;;) {
        const char *newline = memchr(text + at, '\n', size - at);
        char *end;
        if (newline == NULL) {
            return at;
        }
        long long row = strtoll(text + at, &end, 10);
        if (end == text + at || *end != ',' || row >= epoch) {
            return at;
        }
        at = (size_t)(newline - text) + 1;
    }
}

static FblStatus open_csv(FblContext *ctx, const FblRunLogOptions *options, const char *name, const char *header,
                          FILE **out) {
    const char *path = fbl_path_join(ctx, options->directory, name);
    char *text = NULL;
    size_t size = 0;
    size_t kept = 0;
    if (options->resume_epoch > 0 && fbl_path_exists(path)) {
        FBL_TRY(fbl_read_file(ctx, path, LOG_LIMIT, &text, &size));
        kept = kept_length(text, size, header, options->resume_epoch);
    }
    FblSpan span = kept > 0 ? (FblSpan){text, kept} : (FblSpan){header, strlen(header)};
    FblStatus status = fbl_write_file_atomic(ctx, path, &span, 1);
    free(text);
    FBL_TRY(status);
    *out = fopen(path, "ae");
    if (*out == NULL) {
        fbl_error(ctx, "E0790", FBL_NO_LOC, "cannot append to `%s`", path);
        return FBL_IO;
    }
    return FBL_OK;
}

FblStatus fbl_runlog_open(FblContext *ctx, const FblRunLogOptions *options, FblRunLog **out_log) {
    *out_log = NULL;
    FblRunLog *log = calloc(1, sizeof *log);
    if (log == NULL) {
        return FBL_NOMEM;
    }
    log->options = *options;
    log->epoch = -1;
    log->terminal = options->progress != NULL && isatty(fileno(options->progress)) != 0;
    FblStatus status = FBL_OK;
    if (options->directory != NULL) {
        status = open_csv(ctx, options, "log_train.csv", TRAIN_HEADER, &log->train);
        if (status == FBL_OK) {
            status = open_csv(ctx, options, "log_test.csv", TEST_HEADER, &log->test);
        }
        if (status == FBL_OK) {
            status = fbl_tensorboard_open(ctx, options->directory, options->resume_epoch, &log->board);
        }
    }
    if (status != FBL_OK) {
        fbl_runlog_close(log);
        return status;
    }
    *out_log = log;
    return FBL_OK;
}

static void clear_line(FblRunLog *log) {
    if (log->line_open) {
        fputs("\r\033[K", log->options.progress);
        fflush(log->options.progress);
        log->line_open = false;
    }
}

void fbl_runlog_close(FblRunLog *log) {
    if (log == NULL) {
        return;
    }
    clear_line(log);
    if (log->train != NULL) {
        fclose(log->train);
    }
    if (log->test != NULL) {
        fclose(log->test);
    }
    fbl_tensorboard_close(log->board);
    free(log);
}

static int terminal_width(FILE *stream) {
    struct winsize size;
    return ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static void write_json_number(FILE *out, const char *name, double value) {
    if (isfinite(value)) {
        fprintf(out, ",\"%s\":%.9g", name, value);
    } else {
        fprintf(out, ",\"%s\":null", name);
    }
}

static void draw_progress(FblRunLog *log, int64_t epoch, int64_t step, int64_t steps, double loss, double top1,
                          double speed, double time_left) {
    char left[32];
    char text[256];
    char bar[21];
    fbl_format_duration(time_left, left);
    int filled = steps > 0 ? (int)(20 * (step + 1) / steps) : 0;
    for (int i = 0; i < 20; i++) {
        bar[i] = i < filled ? '#' : '.';
    }
    bar[20] = 0;
    if (log->terminal) {
        snprintf(text, sizeof text,
                 "epoch %" PRId64 "/%" PRId64 " [%s] %" PRId64 "/%" PRId64
                 "  loss %.4f  accuracy %.2f%%  %.0f images/s  %s left",
                 epoch + 1, log->options.epochs, bar, step + 1, steps, loss, 100 * top1, speed, left);
        fprintf(log->options.progress, "\r%.*s\033[K", terminal_width(log->options.progress) - 1, text);
        log->line_open = true;
    } else {
        fprintf(log->options.progress,
                "epoch %" PRId64 "/%" PRId64 " step %" PRId64 "/%" PRId64
                " loss %.4f accuracy %.2f%% %.0f images/s %s left\n",
                epoch + 1, log->options.epochs, step + 1, steps, loss, 100 * top1, speed, left);
    }
    fflush(log->options.progress);
}

void fbl_runlog_step(FblRunLog *log, int64_t epoch, int64_t step, int64_t steps, int64_t global_step, double step_loss,
                     double mean_loss, double mean_top1, int64_t images) {
    FILE *results = log->options.results;
    if (log->options.log_steps && results != NULL) {
        if (log->options.json) {
            fprintf(results, "{\"step\":%" PRId64, global_step);
            write_json_number(results, "loss", step_loss);
            fputs("}\n", results);
        } else {
            fprintf(results, "step %" PRId64 " loss %.9g\n", global_step, step_loss);
        }
        fflush(results);
    }
    if (log->options.progress == NULL || log->options.quiet) {
        return;
    }
    double time = now();
    if (log->epoch != epoch) {
        log->epoch = epoch;
        log->epoch_start = time;
        log->epoch_start_images = images;
        log->last_drawn = log->terminal ? 0 : time;
        return;
    }
    if (time - log->last_drawn < (log->terminal ? TERMINAL_INTERVAL : PLAIN_INTERVAL)) {
        return;
    }
    log->last_drawn = time;
    double elapsed = time - log->epoch_start;
    double speed = elapsed > 0 ? (double)(images - log->epoch_start_images) / elapsed : 0;
    double per_step = step >= 0 ? (double)images / (double)(step + 1) : 0;
    double steps_left = (double)(steps - step - 1) + (double)(log->options.epochs - epoch - 1) * (double)steps;
    double time_left = speed > 0 ? steps_left * per_step / speed : -1;
    draw_progress(log, epoch, step, steps, mean_loss, mean_top1, speed, time_left);
}

// A CSV field; nothing for a number that is not there.
static void write_field(FILE *out, double value, char end) {
    if (!isnan(value)) {
        fprintf(out, "%.9g", value);
    }
    fputc(end, out);
}

static FblStatus push_to_disk(FblContext *ctx, FILE *file, const char *name) {
    if (fflush(file) != 0 || ferror(file) || fsync(fileno(file)) != 0) {
        fbl_error(ctx, "E0790", FBL_NO_LOC, "cannot write `%s` of the run", name);
        return FBL_IO;
    }
    return FBL_OK;
}

static FblStatus write_rows(FblContext *ctx, FblRunLog *log, const FblEpochRow *row) {
    fprintf(log->train, "%" PRId64 ",", row->epoch);
    write_field(log->train, row->train_loss, ',');
    write_field(log->train, row->train_top1, ',');
    write_field(log->train, row->rate, ',');
    write_field(log->train, row->seconds, '\n');
    FBL_TRY(push_to_disk(ctx, log->train, "log_train.csv"));
    if (isnan(row->test.loss) && isnan(row->test.top1)) {
        return FBL_OK; // the epoch was not tested
    }
    fprintf(log->test, "%" PRId64 ",", row->epoch);
    write_field(log->test, row->test.loss, ',');
    write_field(log->test, row->test.top1, ',');
    write_field(log->test, row->test.top5, ',');
    write_field(log->test, row->test.many, ',');
    write_field(log->test, row->test.medium, ',');
    write_field(log->test, row->test.few, '\n');
    return push_to_disk(ctx, log->test, "log_test.csv");
}

static FblStatus write_board(FblContext *ctx, FblRunLog *log, const FblEpochRow *row) {
    const struct {
        const char *tag;
        double value;
    } points[] = {
        {"train/loss", row->train_loss}, {"train/top1", row->train_top1},   {"train/rate", row->rate},
        {"test/loss", row->test.loss},   {"test/top1", row->test.top1},     {"test/top5", row->test.top5},
        {"test/many", row->test.many},   {"test/medium", row->test.medium}, {"test/few", row->test.few},
    };
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        fbl_tensorboard_scalar(log->board, points[i].tag, row->epoch, points[i].value);
    }
    return fbl_tensorboard_flush(ctx, log->board);
}

static void print_plain(FILE *out, const FblRunLog *log, const FblEpochRow *row) {
    char seconds[32];
    fbl_format_duration(row->seconds, seconds);
    fprintf(out, "epoch %3" PRId64 "/%" PRId64 "  train loss %.4f top-1 %5.2f%%", row->epoch + 1, log->options.epochs,
            row->train_loss, 100 * row->train_top1);
    if (!isnan(row->test.top1)) {
        fprintf(out, "  test loss %.4f top-1 %5.2f%% top-5 %5.2f%%", row->test.loss, 100 * row->test.top1,
                100 * row->test.top5);
    }
    const double groups[3] = {row->test.many, row->test.medium, row->test.few};
    const char *const names[3] = {"many", "medium", "few"};
    for (int i = 0; i < 3; i++) {
        if (!isnan(groups[i])) {
            fprintf(out, " %s %5.2f%%", names[i], 100 * groups[i]);
        }
    }
    fprintf(out, "  rate %.4g  %s\n", row->rate, seconds);
}

FblStatus fbl_runlog_epoch(FblContext *ctx, FblRunLog *log, const FblEpochRow *row) {
    clear_line(log);
    log->epoch = -1;
    FILE *out = log->options.results;
    if (out != NULL && log->options.json) {
        fprintf(out, "{\"epoch\":%" PRId64, row->epoch);
        write_json_number(out, "train_loss", row->train_loss);
        write_json_number(out, "train_top1", row->train_top1);
        write_json_number(out, "test_loss", row->test.loss);
        write_json_number(out, "test_top1", row->test.top1);
        write_json_number(out, "test_top5", row->test.top5);
        write_json_number(out, "many", row->test.many);
        write_json_number(out, "medium", row->test.medium);
        write_json_number(out, "few", row->test.few);
        write_json_number(out, "rate", row->rate);
        write_json_number(out, "seconds", row->seconds);
        fputs("}\n", out);
    } else if (out != NULL) {
        print_plain(out, log, row);
    }
    if (out != NULL) {
        fflush(out);
    }
    if (log->train == NULL) {
        return FBL_OK;
    }
    FBL_TRY(write_rows(ctx, log, row));
    return write_board(ctx, log, row);
}

void fbl_runlog_note(FblRunLog *log, const char *format, ...) {
    if (log->options.progress == NULL || log->options.quiet) {
        return;
    }
    clear_line(log);
    va_list args;
    va_start(args, format);
    vfprintf(log->options.progress, format, args);
    va_end(args);
    fputc('\n', log->options.progress);
    fflush(log->options.progress);
}

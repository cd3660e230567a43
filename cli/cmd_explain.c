// fblc explain and profile: the launches of a step by source line; bytes, FLOPs, estimated and measured times, against what
// the machine can do; why values go through memory.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "cli/calibrate.h"
#include "cli/library.h"
#include "cli/training.h"

// What the estimate assumes of one core: the order of magnitude of current server cores.
#define CORE_FLOPS 100e9
#define MEMORY_BANDWIDTH 20e9

// A launch, or all launches of a kernel.
typedef struct Row {
    const FblLaunch *launch;
    const FblKernel *kernel;
    int64_t count;
    double bytes, far_bytes, flops; // far: without what an earlier launch of the same chain has left in the cache
    double estimated_us, measured_us; // measured below 0: not
} Row;

typedef struct Explain {
    FblCli *cli;
    FblTraining training;
    const char *function_name;
    FblLowerReport report;
    Row *rows;
    size_t count;
    double waiting_us;
    FblLimits limits;
    FblPlan *plan;
} Explain;

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int compare_rows(const void *a, const void *b) {
    const Row *x = a, *y = b;
    double difference = y->measured_us - x->measured_us;
    return difference != 0 ? (difference > 0) - (difference < 0) : (x->launch > y->launch) - (x->launch < y->launch);
}

// Random numbers rather than zeros: a step on zeros would divide by zero deviations.
static void fill_inputs(const FblExec *exec, int function) {
    const FblPlanFunction *f = &fbl_exec_plan(exec)->functions[function];
    uint32_t state = 12345;
    for (size_t i = 0; i < f->input_count; i++) {
        int64_t elements = fbl_type_elements(&f->inputs[i].type);
        double *values = malloc((size_t)(elements + 1) * sizeof *values);
        if (!values) {
            fbl_out_of_memory();
        }
        for (int64_t k = 0; k < elements; k++) {
            state = state * 1664525u + 1013904223u;
            values[k] = f->inputs[i].type.dtype == FBL_F32 ? (double)(state >> 8) / 16777216.0 : 0;
        }
        fbl_exec_set_tensor(exec, &f->inputs[i], values);
        free(values);
    }
}

static FblStatus measure(Explain *x) {
    FblTraining *training = &x->training;
    FblBuilt *built = &training->main.built;
    FBL_TRY(fbl_driver_load(&training->driver, built));
    FBL_TRY(fbl_driver_store(&training->driver, built, &training->store));
    FBL_TRY(fbl_driver_exec(&training->driver, built, training->store, &training->main.exec));
    FblTrainPrograms programs = fbl_training_programs(training);
    FBL_TRY(fbl_train_init_weights(x->cli->ctx, &programs, 0));
    int function = fbl_exec_function(training->main.exec, x->function_name);
    fill_inputs(training->main.exec, function);
    size_t runs = x->cli->steps > 1 ? (size_t)x->cli->steps : 9;
    size_t numbers = x->count + 1;
    int64_t *nanoseconds = calloc(numbers * runs + 1, sizeof *nanoseconds);
    double *sorted = calloc(runs + 1, sizeof *sorted);
    if (!nanoseconds || !sorted) {
        fbl_out_of_memory();
    }
    fbl_exec_call(training->main.exec, function, 0, 0, NULL);
    for (size_t r = 0; r < runs; r++) {
        fbl_exec_call(training->main.exec, function, 0, 0, nanoseconds + r * numbers);
    }
    FblStatus status = fbl_exec_wait(x->cli->ctx, training->main.exec);
    for (size_t i = 0; i < numbers; i++) {
        for (size_t r = 0; r < runs; r++) {
            sorted[r] = (double)nanoseconds[r * numbers + i] / 1e3;
        }
        qsort(sorted, runs, sizeof *sorted, compare_doubles);
        *(i < x->count ? &x->rows[i].measured_us : &x->waiting_us) = sorted[runs / 2];
    }
    free(nanoseconds);
    free(sorted);
    return status;
}

static int64_t bytes_of(const FblKernelBuffer *buffer) {
    int64_t bytes = fbl_dtype_bytes(buffer->dtype);
    for (int32_t d = 0; d < buffer->rank; d++) {
        bytes *= buffer->extents[d];
    }
    return bytes;
}

// Bytes that launch `at` finds in the cache: buffers that an earlier launch of its chain has touched.
static int64_t near_bytes(const FblPlan *plan, const FblPlanFunction *function, size_t at) {
    const FblLaunch *launch = &function->launches[at];
    int64_t bytes = 0;
    for (int32_t b = 0; b < plan->kernels[launch->kernel]->buffer_count; b++) {
        bool near = false;
        for (size_t k = at; k > 0 && launch->chain > 0 && function->launches[k - 1].chain == launch->chain && !near; k--) {
            const FblLaunch *other = &function->launches[k - 1];
            for (int32_t i = 0; i < plan->kernels[other->kernel]->buffer_count; i++) {
                near |= other->bindings[i].region == launch->bindings[b].region && other->bindings[i].offset == launch->bindings[b].offset;
            }
        }
        bytes += near ? bytes_of(&plan->kernels[launch->kernel]->buffers[b]) : 0;
    }
    return bytes;
}

static FblStatus make_rows(Explain *x, bool measured) {
    FblTraining *training = &x->training;
    FBL_TRY(fbl_training_open(x->cli, x->cli->args[0], 0, training));
    FblModule *module = training->main.module;
    FblLowerOptions options = fbl_driver_lower_options(&training->driver);
    options.with_eval = module->eval != NULL;
    options.with_train = module->train != NULL;
    options.with_optimizer = module->optimizer != NULL;
    options.report = &x->report;
    FblPlan *plan;
    FBL_TRY(fbl_lower_module(module, &options, &plan));
    const FblPlanFunction *function = NULL;
    x->plan = plan;
    for (size_t i = 0; i < plan->function_count; i++) {
        function = strcmp(plan->functions[i].name, x->function_name) == 0 ? &plan->functions[i] : function;
    }
    if (!function) {
        return fbl_cli_usage(x->cli, "--mode takes train or eval, not `%s`", x->function_name);
    }
    x->count = function->launch_count;
    x->rows = calloc(x->count + 1, sizeof *x->rows);
    if (!x->rows) {
        fbl_out_of_memory();
    }
    for (size_t i = 0; i < x->count; i++) {
        const FblKernel *kernel = plan->kernels[function->launches[i].kernel];
        double far = (double)(kernel->bytes - near_bytes(plan, function, i));
        double compute = (double)kernel->flops / (CORE_FLOPS * training->driver.threads), move = far / MEMORY_BANDWIDTH;
        x->rows[i] = (Row){&function->launches[i], kernel, 1, (double)kernel->bytes, far, (double)kernel->flops, 1e6 * (compute > move ? compute : move), -1};
    }
    if (!measured) {
        return FBL_OK;
    }
    FBL_TRY(fbl_driver_compile_plan(&training->driver, plan, &training->main.built));
    return measure(x);
}

static void print_string(const char *text) {
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            putchar('\\');
        }
        putchar((unsigned char)*text < ' ' ? ' ' : *text);
    }
    putchar('"');
}

// Time at the machine's limits: of arithmetic or of memory, whichever is more.
static double limit_us(const Explain *x, const Row *row) {
    double compute = row->flops / x->limits.flops, move = row->far_bytes / x->limits.bytes;
    return 1e6 * (compute > move ? compute : move);
}

static void print_row(const Explain *x, const Row *row, double total, bool profile) {
    const char *note = row->launch->note ? row->launch->note : row->kernel->note ? row->kernel->note : "-";
    double us = row->measured_us < 0 ? row->estimated_us : row->measured_us;
    if (x->cli->json) {
        printf("{\"function\":\"%s\",\"kernel\":\"%s\",\"source\":", x->function_name, row->kernel->name);
        print_string(note);
        printf(",\"launches\":%lld,\"bytes\":%.0f,\"memory_bytes\":%.0f,\"flops\":%.0f,\"estimated_us\":%.3f", (long long)row->count, row->bytes, row->far_bytes, row->flops, row->estimated_us);
        if (row->measured_us >= 0) {
            printf(",\"measured_us\":%.3f", row->measured_us);
        } else {
            printf(",\"measured_us\":null");
        }
        if (profile) {
            printf(",\"limit_us\":%.3f", limit_us(x, row));
        } else {
            printf(",\"chain\":%d", row->launch->chain);
        }
        printf("}\n");
        return;
    }
    printf("%9.1f %5.1f%%", us, total > 0 ? 100 * us / total : 0);
    if (profile) {
        printf(" %5.0f%% %4lldx", us > 0 ? 100 * limit_us(x, row) / us : 0, (long long)row->count);
    } else if (row->launch->chain > 0) {
        printf(" %5d", row->launch->chain);
    } else {
        printf(" %5s", "");
    }
    printf(" %9.2f %9.2f %8.1f %8.1f  %-34s %s\n", row->bytes / 1e6, row->flops / 1e6, us > 0 ? row->flops / us / 1e3 : 0, us > 0 ? row->bytes / us / 1e3 : 0, row->kernel->name, note);
}

static void print_rows(const Explain *x, bool profile) {
    double total = 0, bytes = 0, far = 0, flops = 0, limit = 0;
    long long launches = 0;
    bool measured = x->count > 0 && x->rows[0].measured_us >= 0;
    for (size_t i = 0; i < x->count; i++) {
        const Row *row = &x->rows[i];
        total += measured ? row->measured_us : row->estimated_us;
        bytes += row->bytes;
        far += row->far_bytes;
        flops += row->flops;
        limit += profile ? limit_us(x, row) : 0;
        launches += row->count;
    }
    if (!x->cli->json) {
        printf("%9s %6s%s %9s %9s %8s %8s  %-34s %s\n", measured ? "us" : "us (est.)", "", profile ? "  limit       " : " chain", "MB", "MFLOP", "GFLOP/s", "GB/s", "kernel", "source");
    }
    for (size_t i = 0; i < x->count; i++) {
        print_row(x, &x->rows[i], total, profile);
    }
    if (x->cli->json && profile) {
        printf("{\"function\":\"%s\",\"total\":true,\"launches\":%lld,\"bytes\":%.0f,\"memory_bytes\":%.0f,\"flops\":%.0f,\"measured_us\":%.3f,\"waiting_us\":%.3f,\"limit_us\":%.3f,"
               "\"peak_gflops\":%.1f,\"peak_gbytes\":%.1f}\n",
               x->function_name, launches, bytes, far, flops, total, x->waiting_us, limit, x->limits.flops / 1e9, x->limits.bytes / 1e9);
    } else if (!x->cli->json) {
        printf("%9.1f us in all, %lld launches, %.2f MFLOP; %.2f MB touched, %.2f MB of them not left in the cache by the same chain\n", total, launches, flops / 1e6, bytes / 1e6, far / 1e6);
        const char *library = fbl_driver_library_text(&x->training.driver, x->plan, x->training.main.built.codes);
        printf("%s%s", library, *library ? "\n" : "");
    }
    if (!x->cli->json && profile) {
        printf("%9.1f us of waiting for other threads; %.1f us at the limits of this machine (%.1f GFLOP/s, %.1f GB/s), %.0f%% of the time\n", x->waiting_us, limit,
               x->limits.flops / 1e9, x->limits.bytes / 1e9, total > 0 ? 100 * limit / (total + x->waiting_us) : 0);
    }
}

// One row a kernel in place of one a launch; what identical launches sum to.
static void join_rows(Explain *x) {
    size_t count = 0;
    for (size_t i = 0; i < x->count; i++) {
        size_t k = 0;
        while (k < count && x->rows[k].kernel != x->rows[i].kernel) {
            k++;
        }
        if (k == count) {
            x->rows[count++] = x->rows[i];
            continue;
        }
        Row *to = &x->rows[k];
        const Row *from = &x->rows[i];
        to->count += from->count;
        to->bytes += from->bytes;
        to->far_bytes += from->far_bytes;
        to->flops += from->flops;
        to->estimated_us += from->estimated_us;
        to->measured_us += from->measured_us;
    }
    x->count = count;
}

static void print_notes(const Explain *x) {
    if (x->cli->json || x->report.note_count == 0) {
        return;
    }
    printf("\nThrough memory, and why:\n");
    for (size_t i = 0; i < x->report.note_count; i++) {
        const FblFuseNote *note = &x->report.notes[i];
        if (strcmp(note->function, x->function_name) == 0) {
            printf("%9.2f MB  %s -> %s: %s\n", (double)note->bytes / 1e6, note->producer ? note->producer : "-", note->consumer ? note->consumer : "-", note->reason);
        }
    }
}

FblStatus fbl_cmd_explain(FblCli *cli) {
    Explain x = {.cli = cli, .function_name = cli->mode};
    FblStatus status = make_rows(&x, cli->measure);
    if (status == FBL_OK) {
        print_rows(&x, false);
        print_notes(&x);
    }
    free(x.rows);
    fbl_training_deinit(&x.training);
    return status;
}

FblStatus fbl_cmd_profile(FblCli *cli) {
    Explain x = {.cli = cli, .function_name = cli->mode};
    FblStatus status = make_rows(&x, true);
    if (status == FBL_OK) {
        x.limits = fbl_limits_measure(x.training.driver.cache, x.training.driver.pool, fbl_cpu_target_identity(x.training.driver.target));
        join_rows(&x);
        qsort(x.rows, x.count, sizeof *x.rows, compare_rows);
        print_rows(&x, true);
    }
    free(x.rows);
    fbl_training_deinit(&x.training);
    return status;
}

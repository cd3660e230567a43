// fblc explain and profile: the launches of a step by source line; bytes, FLOPs, estimated and measured times; why values
// go through memory.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "cli/training.h"

// What the estimate assumes of one core: the order of magnitude of current server cores.
#define CORE_FLOPS 100e9
#define MEMORY_BANDWIDTH 20e9

typedef struct Row {
    const FblLaunch *launch;
    const FblKernel *kernel;
    double estimated_us, measured_us; // measured below 0: not
} Row;

typedef struct Explain {
    FblCli *cli;
    FblTraining training;
    const char *function_name;
    FblLowerReport report;
    Row *rows;
    size_t count;
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
    FBL_TRY(fbl_store_create(x->cli->ctx, built->plan, &training->store));
    FBL_TRY(fbl_driver_exec(&training->driver, built, training->store, &training->main.exec));
    FblTrainPrograms programs = fbl_training_programs(training);
    FBL_TRY(fbl_train_init_weights(x->cli->ctx, &programs, 0));
    int function = fbl_exec_function(training->main.exec, x->function_name);
    fill_inputs(training->main.exec, function);
    size_t runs = x->cli->steps > 1 ? (size_t)x->cli->steps : 9;
    int64_t *nanoseconds = calloc(x->count * runs + 1, sizeof *nanoseconds);
    double *sorted = calloc(runs + 1, sizeof *sorted);
    if (!nanoseconds || !sorted) {
        fbl_out_of_memory();
    }
    fbl_exec_call(training->main.exec, function, 0, 0, NULL);
    for (size_t r = 0; r < runs; r++) {
        fbl_exec_call(training->main.exec, function, 0, 0, nanoseconds + r * x->count);
    }
    for (size_t i = 0; i < x->count; i++) {
        for (size_t r = 0; r < runs; r++) {
            sorted[r] = (double)nanoseconds[r * x->count + i] / 1e3;
        }
        qsort(sorted, runs, sizeof *sorted, compare_doubles);
        x->rows[i].measured_us = sorted[runs / 2];
    }
    free(nanoseconds);
    free(sorted);
    return FBL_OK;
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
        double compute = (double)kernel->flops / (CORE_FLOPS * training->driver.threads), move = (double)kernel->bytes / MEMORY_BANDWIDTH;
        x->rows[i] = (Row){&function->launches[i], kernel, 1e6 * (compute > move ? compute : move), -1};
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

static void print_row(const Explain *x, const Row *row, double total) {
    const char *note = row->launch->note ? row->launch->note : row->kernel->note ? row->kernel->note : "-";
    if (x->cli->json) {
        printf("{\"function\":\"%s\",\"kernel\":\"%s\",\"source\":", x->function_name, row->kernel->name);
        print_string(note);
        printf(",\"bytes\":%lld,\"flops\":%lld,\"estimated_us\":%.3f,\"measured_us\":", (long long)row->kernel->bytes, (long long)row->kernel->flops, row->estimated_us);
        printf(row->measured_us < 0 ? "null}\n" : "%.3f}\n", row->measured_us);
        return;
    }
    double us = row->measured_us < 0 ? row->estimated_us : row->measured_us;
    printf("%9.1f %5.1f%% %9.2f %9.2f %8.1f %8.1f  %-34s %s\n", us, total > 0 ? 100 * us / total : 0, (double)row->kernel->bytes / 1e6,
           (double)row->kernel->flops / 1e6, us > 0 ? (double)row->kernel->flops / us / 1e3 : 0, us > 0 ? (double)row->kernel->bytes / us / 1e3 : 0, row->kernel->name,
           note);
}

static void print_rows(const Explain *x) {
    double total = 0, bytes = 0, flops = 0;
    for (size_t i = 0; i < x->count; i++) {
        total += x->rows[i].measured_us < 0 ? x->rows[i].estimated_us : x->rows[i].measured_us;
        bytes += (double)x->rows[i].kernel->bytes;
        flops += (double)x->rows[i].kernel->flops;
    }
    if (!x->cli->json) {
        printf("%9s %6s %9s %9s %8s %8s  %-34s %s\n", x->count && x->rows[0].measured_us >= 0 ? "us" : "us (est.)", "", "MB", "MFLOP", "GFLOP/s", "GB/s", "kernel", "source");
    }
    for (size_t i = 0; i < x->count; i++) {
        print_row(x, &x->rows[i], total);
    }
    if (!x->cli->json) {
        printf("%9.1f %6s %9.2f %9.2f  %zu launches\n", total, "", bytes / 1e6, flops / 1e6, x->count);
    }
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
        print_rows(&x);
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
        qsort(x.rows, x.count, sizeof *x.rows, compare_rows);
        print_rows(&x);
    }
    free(x.rows);
    fbl_training_deinit(&x.training);
    return status;
}

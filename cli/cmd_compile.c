// fblc compile: a program into one file of machine code, or the text of one of its forms.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/diag.h"
#include "base/io.h"
#include "cli/training.h"
#include "ir/module_text.h"

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static FblStatus emit_kernels(FblCli *cli, FblTraining *training, FILE *out) {
    const FblPlan *plan = training->main.built.plan;
    bool text = strcmp(cli->emit, "kernels") == 0, assembly = strcmp(cli->emit, "asm") == 0;
    for (size_t i = 0; i < plan->kernel_count; i++) {
        if (text) {
            fprintf(out, "%s\n", fbl_kernel_print(cli->ctx, plan->kernels[i], true));
            continue;
        }
        if (plan->kernels[i]->kind == FBL_KERNEL_LIBRARY) {
            fprintf(out, "; %s is a function of the library\n", plan->kernels[i]->name);
            continue;
        }
        char *code, error[1024] = "";
        FblStatus status = fbl_cpu_emit_text(training->driver.target, plan->kernels[i], assembly, &code, error, sizeof error);
        if (status != FBL_OK) {
            fbl_error(cli->ctx, "E0504", FBL_NO_LOC, "kernel %s: %s", plan->kernels[i]->name, error);
            return status;
        }
        fprintf(out, "%s\n", code);
        free(code);
    }
    return FBL_OK;
}

static FblStatus emit(FblCli *cli, FblTraining *training) {
    static const char *const forms[] = {"graph", "kernels", "plan", "llvm", "asm"};
    size_t count = sizeof forms / sizeof forms[0], form = 0;
    while (form < count && strcmp(forms[form], cli->emit) != 0) {
        form++;
    }
    if (form == count) {
        static const char *const gpu[] = {"cuda", "ptx", "cubin"};
        for (size_t i = 0; i < 3; i++) {
            if (strcmp(gpu[i], cli->emit) == 0) {
                fbl_error(cli->ctx, "E0505", FBL_NO_LOC, "this build has no code generator for --emit %s", cli->emit);
                return FBL_UNSUPPORTED;
            }
        }
        return fbl_cli_usage(cli, "--emit takes graph, kernels, plan, llvm or asm, not `%s`", cli->emit);
    }
    FBL_TRY(fbl_training_open(cli, cli->args[0], form == 0 ? 0 : FBL_TRAINING_CODE, training));
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) {
        return FBL_NOMEM;
    }
    FblStatus status = FBL_OK;
    if (form == 0) {
        fputs(fbl_module_print(training->main.module), out);
    } else if (form == 2) {
        fputs(fbl_plan_print(cli->ctx, training->main.built.plan), out);
    } else {
        status = emit_kernels(cli, training, out);
    }
    fclose(out);
    if (status == FBL_OK && cli->output) {
        FblSpan span = {text, size};
        status = fbl_write_file_atomic(cli->ctx, cli->output, &span, 1);
    } else if (status == FBL_OK) {
        fwrite(text, 1, size, stdout);
    }
    free(text);
    return status;
}

static FblStatus compile(FblCli *cli, FblTraining *training) {
    double start = now_ms();
    FBL_TRY(fbl_training_open(cli, cli->args[0], FBL_TRAINING_CODE | FBL_TRAINING_DATA_IF_ANY, training));
    const char *output = cli->output ? cli->output : fbl_arena_printf(fbl_context_arena(cli->ctx), "%s.fblx", training->name);
    FBL_TRY(fbl_training_write(training, output));
    size_t kernels, cached;
    double milliseconds;
    fbl_training_counts(training, &kernels, &cached, &milliseconds);
    milliseconds = now_ms() - start; // what the user waited for: reading and passes included
    if (cli->json) {
        printf("{\"compile_ms\":%.1f,\"kernels\":%zu,\"cached\":%zu}\n", milliseconds, kernels, cached);
    } else {
        printf("%s: %zu kernels (%zu cached) in %.0f ms\n", output, kernels, cached, milliseconds);
    }
    return FBL_OK;
}

FblStatus fbl_cmd_compile(FblCli *cli) {
    FblTraining training = {0};
    FblStatus status = cli->emit ? emit(cli, &training) : compile(cli, &training);
    fbl_training_deinit(&training);
    return status;
}

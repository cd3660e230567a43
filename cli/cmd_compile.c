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

// One kernel as LLVM IR, assembly, CUDA C or PTX; cubins one after another.
static FblStatus emit_code(FblCli *cli, FblTraining *training, const FblKernel *kernel, FILE *out) {
    char *code = NULL, error[1024] = "";
    size_t size = 0;
    FblStatus status;
    bool assembly = strcmp(cli->emit, "asm") == 0;
    if (assembly || strcmp(cli->emit, "llvm") == 0) {
        if (kernel->kind == FBL_KERNEL_LIBRARY) {
            fprintf(out, "; %s is a function of the library\n", kernel->name);
            return FBL_OK;
        }
        status = fbl_cpu_emit_text(training->driver.target, kernel, assembly, &code, error, sizeof error);
        size = status == FBL_OK ? strlen(code) : 0;
    } else {
        char form = strcmp(cli->emit, "cuda") == 0 ? 'c' : strcmp(cli->emit, "ptx") == 0 ? 'p' : 'b';
        status = fbl_driver_cuda_emit(training->driver.cuda, kernel, form, &code, &size, error, sizeof error);
    }
    if (status != FBL_OK) {
        bool nvrtc = training->driver.cuda && strcmp(cli->emit, "cuda") != 0;
        FBL_TRY(nvrtc ? fbl_driver_cuda_check(cli->ctx) : FBL_OK);
        fbl_error(cli->ctx, status == FBL_UNSUPPORTED ? "E0650" : "E0504", FBL_NO_LOC, "kernel %s: %s", kernel->name, error);
        return status;
    }
    fwrite(code, 1, size, out);
    if (strcmp(cli->emit, "cubin") != 0) {
        fputc('\n', out);
    }
    free(code);
    return FBL_OK;
}

static FblStatus emit_kernels(FblCli *cli, FblTraining *training, FILE *out) {
    const FblPlan *plan = training->main.built.plan;
    for (size_t i = 0; i < plan->kernel_count; i++) {
        if (strcmp(cli->emit, "kernels") == 0) {
            fprintf(out, "%s\n", fbl_kernel_print(cli->ctx, plan->kernels[i], true));
        } else {
            FBL_TRY(emit_code(cli, training, plan->kernels[i], out));
        }
    }
    return FBL_OK;
}

static FblStatus emit(FblCli *cli, FblTraining *training) {
    static const char *const forms[] = {"graph", "kernels", "plan", "llvm", "asm", "cuda", "ptx", "cubin"};
    size_t count = sizeof forms / sizeof forms[0], form = 0;
    while (form < count && strcmp(forms[form], cli->emit) != 0) {
        form++;
    }
    if (form == count) {
        return fbl_cli_usage(cli, "--emit takes graph, kernels, plan, llvm, asm, cuda, ptx or cubin, not `%s`", cli->emit);
    }
    bool gpu = strncmp(cli->passes.target, "cuda", 4) == 0;
    if (form >= 3 && gpu != (form >= 5)) {
        return fbl_cli_usage(cli, "--emit %s goes with --target %s", cli->emit, form >= 5 ? "cuda:sm_90 (or another GPU)" : "cpu");
    }
    // A dump of the kernels and a search of tiles are parts of compiling.
    int code = *cli->passes.dump_dir || strcmp(cli->passes.tune, "search") == 0 ? FBL_TRAINING_CODE : FBL_TRAINING_PLAN;
    FBL_TRY(fbl_training_open(cli, cli->args[0], form == 0 ? 0 : code, training));
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

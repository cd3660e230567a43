// fblc bench: the time of a step on synthetic data, the median of many after warm-up.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/diag.h"
#include "base/philox.h"
#include "cli/options.h"
#include "cli/simulate.h"

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

// Processor time of all threads, waiting ones included while they spin.
static double cpu_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double median_of(const double *sorted, int64_t count) {
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

// Highest resident size of this process so far. Not ru_maxrss: that counts the memory of the process that started this one,
// up to the exec.
static int64_t peak_rss_bytes(void) {
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    long long kilobytes = 0;
    while (status && fgets(line, sizeof line, status) && sscanf(line, "VmHWM: %lld kB", &kilobytes) != 1) {
    }
    if (status) {
        fclose(status);
    }
    return kilobytes * 1024;
}

static void fill_inputs(FblExec *exec, int function, uint64_t seed) {
    const FblPlanFunction *f = &fbl_exec_plan(exec)->functions[function];
    for (size_t i = 0; i < f->input_count; i++) {
        const FblPlanTensor *tensor = &f->inputs[i];
        int64_t count = fbl_shard_is_input(tensor->name) ? 0 : fbl_type_elements(&tensor->type); // the executor's own
        int64_t bytes = count * fbl_dtype_bytes(tensor->type.dtype);
        void *at = calloc((size_t)bytes + 1, 1);
        if (!at) {
            fbl_out_of_memory();
        }
        for (int64_t k = 0; k < count && tensor->type.rank > 0; k++) {
            uint32_t word = fbl_random_u32(seed, (uint32_t)i, 0, (uint64_t)k);
            switch (tensor->type.dtype) {
            case FBL_F32: ((float *)at)[k] = 4 * fbl_uniform_f32(word) - 2; break;
            case FBL_I32: ((int32_t *)at)[k] = (int32_t)(word % (uint32_t)(tensor->type.index_axis ? tensor->type.index_extent : 2)); break;
            case FBL_BOOL: ((uint8_t *)at)[k] = word & 1; break;
            default: break; // no tensor has another type
            }
        }
        if (tensor->type.rank > 0 && count > 0) {
            fbl_exec_write(exec, tensor, 0, at, bytes);
        }
        free(at);
    }
}

static int64_t flops_of(const FblPlan *plan, int function) {
    int64_t flops = 0;
    for (size_t i = 0; function >= 0 && i < plan->functions[function].launch_count; i++) {
        flops += plan->kernels[plan->functions[function].launches[i].kernel]->flops;
    }
    return flops;
}

static FblStatus measure(FblCli *cli, FblDriver *driver, FblModule *module, bool eval) {
    FblBuilt built;
    FblStore *store = NULL;
    FblExec *exec = NULL;
    FblLowerOptions options = fbl_driver_lower_options(driver);
    options.with_eval = eval;
    options.with_train = options.with_optimizer = !eval;
    FBL_TRY(fbl_driver_compile(driver, module, &options, &built));
    double compile_ms = built.milliseconds;
    FblStatus status = fbl_driver_load(driver, &built);
    if (status == FBL_OK) {
        status = fbl_driver_store(driver, &built, &store);
    }
    if (status == FBL_OK) {
        status = fbl_driver_exec(driver, &built, store, &exec);
    }
    if (status == FBL_OK) {
        int64_t group = driver->cuda ? 10 : 1; // a training does not wait for the GPU after each step either
        for (size_t i = 0; i < built.plan->param_count; i++) {
            const FblParam *param = fbl_param_find(&module->params, built.plan->params[i].name);
            double *values = calloc((size_t)fbl_type_elements(&param->type) + 1, sizeof *values);
            if (!values) {
                fbl_out_of_memory();
            }
            fbl_init_tensor(param, module->recipe.seed, values);
            fbl_exec_set_tensor(exec, &built.plan->params[i], values);
            free(values);
        }
        status = fbl_store_push(cli->ctx, store, -1);
        int main_function = fbl_exec_function(exec, eval ? "eval" : "train"), optimizer = eval ? -1 : fbl_exec_function(exec, "optimizer");
        if (status == FBL_OK && main_function < 0) {
            status = fbl_error(cli->ctx, "E0740", FBL_NO_LOC, "the program has nothing to run in mode %s", eval ? "eval" : "train");
        } else if (status == FBL_OK) {
            fill_inputs(exec, main_function, 1);
            int64_t repeats = cli->steps > 1 ? cli->steps : 30;
            double *times = FBL_NEW_ARRAY(fbl_context_arena(cli->ctx), double, repeats), *cpu_times = FBL_NEW_ARRAY(fbl_context_arena(cli->ctx), double, repeats);
            double begin = now_ms();
            int64_t warm = 0;
            for (; warm < 3 || (warm < 100 && now_ms() - begin < 300); warm++) {
                fbl_exec_call(exec, main_function, 1, 0, NULL);
                status = fbl_exec_wait(cli->ctx, exec);
                if (status != FBL_OK) {
                    break;
                }
            }
            for (int64_t i = 0; i < repeats && status == FBL_OK; i++) {
                double start = now_ms(), cpu_start = cpu_ms();
                for (int64_t g = 0; g < group; g++) {
                    fbl_exec_call(exec, main_function, 1, (uint64_t)i, NULL);
                    if (optimizer >= 0) {
                        fbl_exec_call(exec, optimizer, 1, (uint64_t)i, NULL);
                    }
                }
                status = fbl_exec_wait(cli->ctx, exec);
                times[i] = (now_ms() - start) / (double)group;
                cpu_times[i] = (cpu_ms() - cpu_start) / (double)group;
            }
            qsort(times, (size_t)repeats, sizeof *times, by_value);
            qsort(cpu_times, (size_t)repeats, sizeof *cpu_times, by_value);
            double median = median_of(times, repeats), cpu = cpu_times[0];
            double gflops = (double)(flops_of(built.plan, main_function) + flops_of(built.plan, optimizer)) / median / 1e6;
            double images = (double)module->recipe.batch / median * 1e3;
            if (status != FBL_OK) {
                // said already
            } else if (cli->json) {
                printf("{\"step_ms\":%.4f,\"fastest_ms\":%.4f,\"cpu_ms\":%.4f,\"images_per_second\":%.2f,\"gflops\":%.2f,\"peak_rss_bytes\":%lld,\"compile_ms\":%.1f,\"compiled\":%zu,\"cached\":%zu,\"device\":\"%s\",\"threads\":%d}\n",
                       median, times[0], cpu, images, gflops, (long long)peak_rss_bytes(), compile_ms, built.compiled, built.cached, fbl_driver_identity(driver), driver->threads);
            } else {
                printf("%s step: %.3f ms, the median of %lld (fastest %.3f; least processor time %.3f); %.1f images/s, %.1f GFLOP/s, peak memory %.1f MB\n", eval ? "eval" : "train", median,
                       (long long)repeats, times[0], cpu, images, gflops, (double)peak_rss_bytes() / 1e6);
                printf("compiled %zu kernels (%zu from the cache) in %.0f ms; %s, %d threads\n", built.compiled, built.cached, compile_ms, fbl_driver_identity(driver),
                       driver->threads);
            }
        }
    }
    fbl_exec_destroy(exec);
    fbl_store_destroy(store);
    fbl_built_deinit(&built);
    return status;
}

FblStatus fbl_cmd_bench(FblCli *cli) {
    bool eval = strcmp(cli->mode, "eval") == 0;
    if (!eval && strcmp(cli->mode, "train") != 0) {
        return fbl_cli_usage(cli, "--mode is train or eval, not `%s`", cli->mode);
    }
    FblProgram *program;
    FblModule *module;
    FblDriver driver;
    FBL_TRY(fbl_cli_load(cli, cli->args[0], &program));
    FblBuildOptions build = fbl_cli_build_options(cli);
    FBL_TRY(fbl_program_build(program, &build, &module));
    FBL_TRY(fbl_driver_init(&driver, cli->ctx, &cli->passes, (int)cli->threads));
    FblStatus status = fbl_driver_check_batch(&driver, module);
    status = status == FBL_OK ? fbl_driver_optimize(&driver, module) : status;
    if (status == FBL_OK) {
        status = measure(cli, &driver, module, eval);
    }
    fbl_driver_deinit(&driver);
    return status;
}

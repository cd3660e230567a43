// fblc check: everything that can be said about a file without data and without machine code.
#include <stdio.h>
#include <string.h>

#include "base/diag.h"
#include "cli/cost.h"
#include "cli/driver.h"
#include "cli/facts.h"
#include "cli/options.h"

static double count_parameters(const FblModule *module, bool trainable) {
    double total = 0;
    for (size_t i = 0; i < module->params.count; i++) {
        int64_t elements = fbl_type_elements(&module->params.items[i].type);
        if (elements < 0) {
            return -1;
        }
        total += !trainable || module->params.items[i].trainable ? (double)elements : 0;
    }
    return total;
}

static int64_t batch_of(const FblGraph *graph) {
    for (size_t i = 0; i < graph->count; i++) {
        const FblNode *node = &graph->nodes[i];
        if (node->op == FBL_OP_INPUT && node->type.rank > 0 && strcmp(node->type.axes[0].name, "batch") == 0 && node->type.axes[0].extent > 0) {
            return node->type.axes[0].extent;
        }
    }
    return 1;
}

// Bytes of all regions with the largest arena, and with the largest live set in its place.
static void plan_memory(const FblPlan *plan, FblFacts *facts) {
    int64_t arena = 0, bound = 0, rest = 0;
    for (size_t i = 0; i < plan->function_count; i++) {
        arena = plan->functions[i].arena_bytes > arena ? plan->functions[i].arena_bytes : arena;
        bound = plan->functions[i].lower_bound_bytes > bound ? plan->functions[i].lower_bound_bytes : bound;
    }
    for (int region = 0; region < FBL_REGION_COUNT; region++) {
        rest += region == FBL_REGION_ARENA ? 0 : plan->region_bytes[region];
    }
    facts->memory = (double)(arena + rest);
    facts->bound = (double)(bound + rest);
}

static FblStatus measure(FblCli *cli, FblModule *module, FblFacts *facts) {
    facts->parameters = count_parameters(module, false);
    facts->trainable = count_parameters(module, true);
    const FblGraph *forward = module->eval ? module->eval : module->train;
    bool symbolic = (module->train && fbl_graph_symbolic(module->train)) || (forward && fbl_graph_symbolic(forward));
    bool trains = module->train && module->recipe.has_train;
    FblPassManager *manager;
    FBL_TRY(fbl_manager_create(cli->ctx, &cli->passes, NULL, &manager));
    if (trains) { // also finds losses without derivatives
        FBL_TRY(fbl_manager_run(manager, module));
        forward = module->eval ? module->eval : module->train;
    }
    if (symbolic || !forward) {
        return FBL_OK;
    }
    facts->forward = fbl_graph_flops(forward) / (double)batch_of(forward);
    if (!trains) {
        return FBL_OK;
    }
    facts->step = fbl_graph_flops(module->train);
    if (module->optimizer) { // per parameter, whatever extent its graph was written with
        double ops = 0;
        for (size_t i = 0; i < module->optimizer->count; i++) {
            ops += fbl_op_info(module->optimizer->nodes[i].op)->op_class == FBL_CLASS_POINTWISE && module->optimizer->nodes[i].op != FBL_OP_BROADCAST;
        }
        facts->step += ops * facts->trainable;
    }
    FblCpuTarget *target;
    FBL_TRY(fbl_cpu_target_create(cli->ctx, &(FblCpuOptions){.vector_bytes = (int32_t)cli->passes.vector_bytes, .opt_level = 2}, &target));
    FblLowerOptions options = {.vector_bytes = fbl_cpu_target_vector_bytes(target), .fuse = cli->passes.fuse, .block_layouts = cli->passes.block_layouts, .conv = cli->passes.conv,
                               .with_train = true, .with_eval = module->eval != NULL, .with_optimizer = module->optimizer != NULL};
    FblPlan *plan;
    FblStatus status = fbl_manager_lower(manager, module, &options, &plan);
    fbl_cpu_target_destroy(target);
    fbl_manager_report(manager);
    if (status == FBL_OK) {
        plan_memory(plan, facts);
    }
    return status;
}

static void print_json(const char *name, double value, const char *end) {
    if (value < 0) {
        printf("\"%s\":null%s", name, end);
    } else {
        printf("\"%s\":%.0f%s", name, value, end);
    }
}

static void print_text(const char *label, double value, double unit, const char *unit_name) {
    if (value >= 0) {
        printf("%-22s %.4g%s\n", label, value / unit, unit_name);
    }
}

FblStatus fbl_cli_facts(FblCli *cli, const char *path, FblFacts *out_facts) {
    FblProgram *program;
    FblModule *module = NULL;
    *out_facts = (FblFacts){-1, -1, -1, -1, -1, -1};
    FBL_TRY(fbl_cli_load(cli, path, &program));
    FblBuildOptions options = fbl_cli_build_options(cli);
    options.symbolic = true;
    FBL_TRY(fbl_program_check(program, &options, &module));
    return module ? measure(cli, module, out_facts) : FBL_OK;
}

FblStatus fbl_cmd_check(FblCli *cli) {
    FblFacts facts;
    FBL_TRY(fbl_cli_facts(cli, cli->args[0], &facts));
    if (cli->json) {
        printf("{");
        print_json("parameters", facts.parameters, ",");
        print_json("trainable", facts.trainable, ",");
        print_json("flops_forward_per_image", facts.forward, ",");
        print_json("flops_train_step", facts.step, ",");
        print_json("memory_bytes", facts.memory, ",");
        print_json("memory_lower_bound_bytes", facts.bound, "}\n");
        return FBL_OK;
    }
    printf("%s: no mistakes\n", cli->args[0]);
    if (facts.parameters >= 0) {
        printf("%-22s %.0f (%.0f trained)\n", "parameters", facts.parameters, facts.trainable);
    }
    print_text("forward, per image", facts.forward, 1e6, " MFLOP");
    print_text("train step", facts.step, 1e9, " GFLOP");
    print_text("memory", facts.memory, 1e6, " MB");
    print_text("memory, lower bound", facts.bound, 1e6, " MB");
    return FBL_OK;
}

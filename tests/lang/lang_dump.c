// Prints what a .fbl file comes to: lang_dump FILE [--library DIR] [--stage NAME] [--loss NAME] [--check] [--graph] [--batch N] [--set KEY=VALUE]...
// A tool for the tests of this folder; errors go to stdout, so that they can be compared.
#include "frontend/build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_graph(const FblGraph *graph, bool text) {
    if (graph == NULL) {
        return;
    }
    printf("graph %s: %zu nodes, %zu roots%s\n", graph->name, graph->count, graph->root_count,
           fbl_graph_verify(graph) == FBL_OK ? "" : ", BROKEN");
    if (text) {
        fputs(fbl_graph_print(graph, false), stdout);
    }
}

static void print_module(const FblModule *module, bool text) {
    int64_t elements = 0;
    for (size_t i = 0; i < module->params.count; i++) {
        const FblParam *p = &module->params.items[i];
        int64_t n = fbl_type_elements(&p->type);
        elements = n < 0 || elements < 0 ? -1 : elements + n;
        if (text) {
            printf("param %s %s init %d %g %g%s group %d\n", p->path, fbl_type_string(module->ctx, &p->type),
                   (int)p->init.kind, p->init.a, p->init.b, p->trainable ? "" : " frozen", (int)p->group);
        }
    }
    for (size_t i = 0; text && i < module->states.count; i++) {
        const FblParam *p = &module->states.items[i];
        printf("state %s %s init %d %g %g\n", p->path, fbl_type_string(module->ctx, &p->type), (int)p->init.kind,
               p->init.a, p->init.b);
    }
    for (size_t i = 0; i < module->hyper_count; i++) {
        printf("hyper %s = %g\n", module->hypers[i].name, module->hypers[i].value);
    }
    printf("%zu parameters of %lld elements, %zu states\n", module->params.count, (long long)elements,
           module->states.count);
    print_graph(module->train, text);
    print_graph(module->eval, text);
    print_graph(module->epoch, text);
    print_graph(module->optimizer, text);
}

int main(int argc, char **argv) {
    FblContext *ctx = fbl_context_create();
    FblSetting settings[64];
    FblBuildOptions options = {.settings = settings};
    FblProgramOptions where = {0};
    const char *loss = NULL;
    bool check = false;
    bool text = false;
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--loss") == 0) {
            loss = next;
            i++;
        } else if (strcmp(argv[i], "--library") == 0) {
            where.library_dir = next;
            i++;
        } else if (strcmp(argv[i], "--batch") == 0) {
            options.batch = atoll(next);
            i++;
        } else if (strcmp(argv[i], "--stage") == 0) {
            options.stage = next;
            i++;
        } else if (strcmp(argv[i], "--set") == 0 && options.setting_count < 64 && strchr(next, '=') != NULL) {
            char *equals = strchr(argv[++i], '=');
            *equals = '\0';
            settings[options.setting_count++] = (FblSetting){argv[i], equals + 1};
        } else if (strcmp(argv[i], "--check") == 0) {
            check = true;
        } else if (strcmp(argv[i], "--graph") == 0) {
            text = true;
        } else {
            where.path = argv[i];
        }
    }
    FblProgram *program;
    FblModule *module = NULL;
    FblStatus status = where.path == NULL ? FBL_USER : fbl_program_load(ctx, &where, &program);
    if (status == FBL_OK && loss != NULL) {
        status = fbl_program_build_loss(program, loss, NULL, 0, &options, &module);
    } else if (status == FBL_OK && check) {
        status = fbl_program_check(program, &options, &module);
    } else if (status == FBL_OK) {
        status = fbl_program_build(program, &options, &module);
    }
    if (module != NULL) {
        print_module(module, text);
    }
    fbl_diag_flush(ctx, stdout, false);
    fbl_context_destroy(ctx);
    return status == FBL_OK ? 0 : 1;
}

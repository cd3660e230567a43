// fblc graph: the dataflow graph as DOT text or as an SVG drawn in layers.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/io.h"
#include "cli/training.h"

typedef struct Box {
    const char *title, *detail;
    int32_t *from; // boxes it reads
    size_t from_count, from_capacity;
    int layer;
    double x; // centre within the layer, in boxes
    int order;
} Box;

typedef struct Picture {
    FblContext *ctx;
    Box *boxes;
    size_t count, capacity;
} Picture;

static size_t add_box(Picture *p, const char *title, const char *detail) {
    Box box = {.title = title, .detail = detail};
    FBL_PUSH(fbl_context_arena(p->ctx), p->boxes, p->count, p->capacity, box);
    return p->count - 1;
}

static void add_edge(Picture *p, size_t box, int32_t from) {
    Box *b = &p->boxes[box];
    for (size_t i = 0; i < b->from_count; i++) {
        if (b->from[i] == from) {
            return;
        }
    }
    if (from >= 0 && (size_t)from < box) {
        FBL_PUSH(fbl_context_arena(p->ctx), b->from, b->from_count, b->from_capacity, from);
    }
}

// Constants and broadcasts only clutter a picture: a broadcast stands for its operand, a constant is left out.
static void draw_nodes(Picture *p, const FblGraph *graph) {
    FblArena *arena = fbl_context_arena(p->ctx);
    int32_t *box_of = FBL_NEW_ARRAY(arena, int32_t, graph->count + 1);
    for (size_t id = 0; id < graph->count; id++) {
        const FblNode *node = &graph->nodes[id];
        box_of[id] = -1;
        if (node->op == FBL_OP_CONST) {
            continue;
        }
        if (node->op == FBL_OP_BROADCAST) {
            box_of[id] = box_of[node->inputs[0]];
            continue;
        }
        bool leaf = node->op == FBL_OP_INPUT || node->op == FBL_OP_PARAM || node->op == FBL_OP_STATE;
        const char *title = leaf ? node->attr.names[0] : fbl_op_info(node->op)->text;
        size_t box = add_box(p, title, fbl_arena_printf(arena, "%s  %s", fbl_type_string(p->ctx, &node->type), fbl_loc_string(p->ctx, node->loc, true)));
        box_of[id] = (int32_t)box;
        for (int32_t i = 0; i < node->input_count; i++) {
            add_edge(p, box, box_of[node->inputs[i]]);
        }
    }
    for (size_t i = 0; i < graph->root_count; i++) {
        static const char *const kinds[] = {"output", "gradient", "update"};
        size_t box = add_box(p, graph->roots[i].name, kinds[graph->roots[i].kind]);
        add_edge(p, box, box_of[graph->roots[i].node]);
    }
}

typedef struct Writer {
    FblRegion region;
    int64_t offset;
    int32_t box;
} Writer;

static void draw_launches(Picture *p, const FblPlan *plan, const FblPlanFunction *function) {
    FblArena *arena = fbl_context_arena(p->ctx);
    Writer *writers = NULL;
    size_t count = 0, capacity = 0;
    for (size_t i = 0; i < function->launch_count; i++) {
        const FblLaunch *launch = &function->launches[i];
        const FblKernel *kernel = plan->kernels[launch->kernel];
        size_t box = add_box(p, kernel->name, fbl_arena_printf(arena, "%.2f MB, %.1f MFLOP  %s", (double)kernel->bytes / 1e6, (double)kernel->flops / 1e6,
                                                               launch->note ? launch->note : ""));
        for (int32_t b = 0; b < kernel->buffer_count; b++) {
            for (size_t w = count; w-- > 0 && !kernel->buffers[b].is_output;) {
                if (writers[w].region == launch->bindings[b].region && writers[w].offset == launch->bindings[b].offset) {
                    add_edge(p, box, writers[w].box);
                    break;
                }
            }
        }
        for (int32_t b = 0; b < kernel->buffer_count; b++) {
            if (kernel->buffers[b].is_output) {
                Writer writer = {launch->bindings[b].region, launch->bindings[b].offset, (int32_t)box};
                FBL_PUSH(arena, writers, count, capacity, writer);
            }
        }
    }
}

static int compare_x(const void *a, const void *b) {
    const Box *x = *(Box *const *)a, *y = *(Box *const *)b;
    return x->x != y->x ? (x->x > y->x) - (x->x < y->x) : (x > y) - (x < y);
}

// Layers by longest path; within a layer by the mean place of what a box reads.
static int lay_out(Picture *p, int *out_widest) {
    int layers = 0;
    for (size_t i = 0; i < p->count; i++) {
        Box *box = &p->boxes[i];
        for (size_t k = 0; k < box->from_count; k++) {
            int above = p->boxes[box->from[k]].layer + 1;
            box->layer = above > box->layer ? above : box->layer;
        }
        layers = box->layer + 1 > layers ? box->layer + 1 : layers;
    }
    // Leaves go right above their first reader.
    for (size_t i = p->count; i-- > 0;) {
        for (size_t k = 0; k < p->boxes[i].from_count; k++) {
            Box *from = &p->boxes[p->boxes[i].from[k]];
            if (from->from_count == 0 && (from->order == 0 || p->boxes[i].layer - 1 < from->layer)) {
                from->layer = p->boxes[i].layer - 1;
                from->order = 1;
            }
        }
    }
    *out_widest = 1;
    Box **row = FBL_NEW_ARRAY(fbl_context_arena(p->ctx), Box *, p->count + 1);
    for (int layer = 0; layer < layers; layer++) {
        int n = 0;
        for (size_t i = 0; i < p->count; i++) {
            Box *box = &p->boxes[i];
            if (box->layer == layer) {
                box->x = 0;
                for (size_t k = 0; k < box->from_count; k++) {
                    box->x += p->boxes[box->from[k]].x / (double)box->from_count;
                }
                row[n++] = box;
            }
        }
        qsort(row, (size_t)n, sizeof *row, compare_x);
        for (int i = 0; i < n; i++) {
            row[i]->order = i;
            row[i]->x = i - (n - 1) / 2.0;
        }
        *out_widest = n > *out_widest ? n : *out_widest;
    }
    return layers;
}

static void escape(FILE *out, const char *text, bool xml) {
    for (; *text; text++) {
        if (xml && strchr("<>&\"", *text)) {
            fprintf(out, "&#%d;", *text);
        } else {
            fprintf(out, !xml && (*text == '"' || *text == '\\') ? "\\%c" : "%c", *text);
        }
    }
}

static void write_svg(Picture *p, FILE *out) {
    int widest, layers = lay_out(p, &widest);
    const double width = 230, height = 34, gap = 34;
    double middle = widest * width / 2 + 10;
    fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" font-family=\"sans-serif\" font-size=\"11\">\n", 2 * middle,
            layers * (height + gap) + 20);
    fprintf(out, "<style>rect{fill:#f4f4f0;stroke:#777}.leaf{fill:#dce9f5}path{fill:none;stroke:#999}.d{font-size:8px;fill:#555}</style>\n");
    for (size_t i = 0; i < p->count; i++) {
        const Box *to = &p->boxes[i];
        for (size_t k = 0; k < to->from_count; k++) {
            const Box *from = &p->boxes[to->from[k]];
            double x0 = middle + from->x * width, y0 = 10 + from->layer * (height + gap) + height, x1 = middle + to->x * width, y1 = 10 + to->layer * (height + gap);
            fprintf(out, "<path d=\"M%.0f %.0fC%.0f %.0f %.0f %.0f %.0f %.0f\"/>\n", x0, y0, x0, y0 + gap / 2, x1, y1 - gap / 2, x1, y1);
        }
    }
    for (size_t i = 0; i < p->count; i++) {
        const Box *box = &p->boxes[i];
        double x = middle + box->x * width, y = 10 + box->layer * (height + gap);
        fprintf(out, "<g><rect%s x=\"%.0f\" y=\"%.0f\" width=\"%.0f\" height=\"%.0f\" rx=\"4\"/><text text-anchor=\"middle\" x=\"%.0f\" y=\"%.0f\">",
                box->from_count ? "" : " class=\"leaf\"", x - width / 2 + 4, y, width - 8, height, x, y + 14);
        escape(out, box->title, true);
        fprintf(out, "</text><text class=\"d\" text-anchor=\"middle\" x=\"%.0f\" y=\"%.0f\">", x, y + 27);
        char detail[56];
        snprintf(detail, sizeof detail, "%s", box->detail);
        escape(out, detail, true);
        fprintf(out, "</text><title>");
        escape(out, box->title, true);
        fprintf(out, "\n");
        escape(out, box->detail, true);
        fprintf(out, "</title></g>\n");
    }
    fprintf(out, "</svg>\n");
}

static void write_dot(const Picture *p, FILE *out) {
    fprintf(out, "digraph program {\n    node [shape=box, fontsize=10];\n");
    for (size_t i = 0; i < p->count; i++) {
        fprintf(out, "    n%zu [label=\"", i);
        escape(out, p->boxes[i].title, false);
        fprintf(out, "\\n");
        escape(out, p->boxes[i].detail, false);
        fprintf(out, "\"];\n");
        for (size_t k = 0; k < p->boxes[i].from_count; k++) {
            fprintf(out, "    n%d -> n%zu;\n", p->boxes[i].from[k], i);
        }
    }
    fprintf(out, "}\n");
}

static FblStatus draw(FblCli *cli, Picture *p) {
    FblProgram *program;
    FblModule *module = NULL;
    FBL_TRY(fbl_cli_load(cli, cli->args[0], &program));
    FblBuildOptions options = fbl_cli_build_options(cli);
    options.symbolic = !cli->fused;
    FBL_TRY(fbl_program_check(program, &options, &module));
    bool eval = strcmp(cli->mode, "eval") == 0;
    if (!eval && strcmp(cli->mode, "train") != 0) {
        return fbl_cli_usage(cli, "--mode takes train or eval, not `%s`", cli->mode);
    }
    if (!module || !(eval ? module->eval : module->train)) {
        return fbl_error(cli->ctx, "E0709", FBL_NO_LOC, "%s has no model to draw", cli->args[0]);
    }
    if (!cli->fused) {
        draw_nodes(p, eval ? module->eval : module->train);
        return FBL_OK;
    }
    FblDriver driver;
    FBL_TRY(fbl_driver_init(&driver, cli->ctx, &cli->passes, 1));
    FblStatus status = fbl_driver_optimize(&driver, module);
    FblPlan *plan = NULL;
    if (status == FBL_OK) {
        FblLowerOptions lowering = fbl_driver_lower_options(&driver);
        lowering.with_eval = eval;
        lowering.with_train = !eval;
        lowering.with_optimizer = false;
        status = fbl_lower_module(module, &lowering, &plan);
    }
    for (size_t i = 0; status == FBL_OK && i < plan->function_count; i++) {
        draw_launches(p, plan, &plan->functions[i]);
    }
    fbl_driver_deinit(&driver);
    return status;
}

FblStatus fbl_cmd_graph(FblCli *cli) {
    Picture p = {.ctx = cli->ctx};
    FBL_TRY(draw(cli, &p));
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) {
        return FBL_NOMEM;
    }
    size_t length = cli->output ? strlen(cli->output) : 0;
    bool dot = !cli->output || (length > 4 && strcmp(cli->output + length - 4, ".dot") == 0);
    if (dot) {
        write_dot(&p, out);
    } else {
        write_svg(&p, out);
    }
    fclose(out);
    FblStatus status = FBL_OK;
    if (cli->output) {
        FblSpan span = {text, size};
        status = fbl_write_file_atomic(cli->ctx, cli->output, &span, 1);
    } else {
        fwrite(text, 1, size, stdout);
    }
    free(text);
    return status;
}

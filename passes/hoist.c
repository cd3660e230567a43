#include "passes/hoist.h"

#include <string.h>

#include "passes/rebuild.h"

static bool epoch_input(const FblModule *module, FblName name) {
    static const char *const NAMES[] = {"class_count", "epoch", "epochs"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        if (strcmp(name, NAMES[i]) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < module->hyper_count; i++) {
        if (module->hypers[i].name == name) {
            return true;
        }
    }
    return false;
}

// What is known of a node: may it be computed in the epoch graph, and does it depend on an input at all (or is it a
// mere constant).
typedef struct Mobility {
    bool movable, depends, frontier;
} Mobility;

static Mobility mobility(const FblModule *module, const FblNode *node, const Mobility *before) {
    Mobility m = {0};
    switch (node->op) {
    case FBL_OP_CONST:
    case FBL_OP_IOTA:
        m.movable = true;
        return m;
    case FBL_OP_INPUT:
        m.movable = m.depends = epoch_input(module, node->attr.names[0]);
        return m;
    case FBL_OP_PARAM:
    case FBL_OP_STATE:
    case FBL_OP_UNIFORM:
    case FBL_OP_BETA:
    case FBL_OP_BROADCAST: // moving it would turn arithmetic on a small tensor into reading a large one
        return m;
    default:
        break;
    }
    m.movable = true;
    for (int32_t k = 0; k < node->input_count; k++) {
        m.movable = m.movable && before[node->inputs[k]].movable;
        m.depends = m.depends || before[node->inputs[k]].depends;
    }
    return m;
}

// Whether the node is worth moving if the step uses its value.
static bool moves(const FblNode *node, const Mobility *m) {
    return m->movable && m->depends && node->op != FBL_OP_INPUT;
}

static Mobility *find_frontier(const FblModule *module, const FblGraph *train, size_t *out_count) {
    Mobility *m = FBL_NEW_ARRAY(train->arena, Mobility, train->count + 1);
    bool *live = fbl_graph_live(train);
    for (size_t i = 0; i < train->count; i++) {
        const FblNode *node = &train->nodes[i];
        m[i] = mobility(module, node, m);
        for (int32_t k = 0; live[i] && !m[i].movable && k < node->input_count; k++) {
            m[node->inputs[k]].frontier = true;
        }
    }
    for (size_t i = 0; i < train->root_count; i++) {
        m[train->roots[i].node].frontier = true;
    }
    *out_count = 0;
    for (size_t i = 0; i < train->count; i++) {
        m[i].frontier = m[i].frontier && moves(&train->nodes[i], &m[i]);
        *out_count += m[i].frontier;
    }
    return m;
}

static int64_t hoisted_before(const FblGraph *epoch) {
    int64_t count = 0;
    for (size_t i = 0; i < epoch->root_count; i++) {
        count += strncmp(epoch->roots[i].name, "hoist.", 6) == 0;
    }
    return count;
}

static FblNodeId existing_input(const FblGraph *graph, FblName name) {
    for (size_t i = 0; i < graph->count; i++) {
        if (graph->nodes[i].op == FBL_OP_INPUT && graph->nodes[i].attr.names[0] == name) {
            return (FblNodeId)i;
        }
    }
    return FBL_NO_NODE;
}

// A copy of the epoch graph to which nodes may be added.
static FblStatus copy_epoch(const FblModule *module, FblGraph **out_graph) {
    if (module->epoch == NULL) {
        *out_graph = fbl_graph_create(module->ctx, "epoch");
        return FBL_OK;
    }
    FblGraph *to = fbl_rebuild_begin(module->epoch);
    FblNodeId *map = fbl_rebuild_map(module->epoch);
    for (size_t i = 0; i < module->epoch->count; i++) {
        if (fbl_rebuild_copy(to, module->epoch, (FblNodeId)i, map) == FBL_NO_NODE) {
            return FBL_INTERNAL;
        }
    }
    *out_graph = to;
    return fbl_rebuild_roots(to, module->epoch, map);
}

// Copies into `epoch` what the frontier needs; the copies are forward nodes there.
static FblStatus fill_epoch(FblGraph *epoch, const FblGraph *train, const Mobility *m, FblNodeId *map) {
    bool *needed = FBL_NEW_ARRAY(train->arena, bool, train->count + 1);
    FblNodeId *no_origins = fbl_rebuild_map(train);
    for (size_t i = train->count; i-- > 0;) {
        needed[i] = needed[i] || m[i].frontier;
        for (int32_t k = 0; needed[i] && k < train->nodes[i].input_count; k++) {
            needed[train->nodes[i].inputs[k]] = true;
        }
    }
    for (size_t i = 0; i < train->count; i++) {
        const FblNode *node = &train->nodes[i];
        if (!needed[i]) {
            continue;
        }
        map[i] = node->op == FBL_OP_INPUT ? existing_input(epoch, node->attr.names[0]) : FBL_NO_NODE;
        if (map[i] != FBL_NO_NODE) {
            continue;
        }
        FblNodeId *inputs = FBL_NEW_ARRAY(train->arena, FblNodeId, node->input_count);
        for (int32_t k = 0; k < node->input_count; k++) {
            inputs[k] = map[node->inputs[k]];
        }
        map[i] = fbl_rebuild_add(epoch, node, inputs, no_origins);
        if (map[i] == FBL_NO_NODE) {
            return FBL_INTERNAL;
        }
    }
    return FBL_OK;
}

FblStatus fbl_pass_hoist(FblModule *module) {
    const FblGraph *train = module->train;
    if (train == NULL) {
        return FBL_OK;
    }
    size_t count;
    const Mobility *m = find_frontier(module, train, &count);
    if (count == 0) {
        return FBL_OK;
    }
    FblGraph *epoch = NULL;
    FBL_TRY(copy_epoch(module, &epoch));
    FblNodeId *epoch_map = fbl_rebuild_map(train);
    FBL_TRY(fill_epoch(epoch, train, m, epoch_map));

    FblGraph *to = fbl_rebuild_begin(train);
    FblNodeId *map = fbl_rebuild_map(train);
    int64_t number = hoisted_before(epoch);
    bool *live = fbl_graph_live(train);
    for (size_t i = 0; i < train->count; i++) {
        const FblNode *node = &train->nodes[i];
        if (!live[i]) {
            continue;
        }
        if (m[i].frontier) {
            FblName name = fbl_intern(
                module->ctx, fbl_arena_printf(fbl_context_arena(module->ctx), "hoist.%lld", (long long)number++));
            map[i] = fbl_graph_leaf(to, FBL_OP_INPUT, name, &node->type, node->loc);
            fbl_graph_root(epoch, FBL_ROOT_OUTPUT, name, epoch_map[i]);
            if (map[i] == FBL_NO_NODE) {
                return FBL_INTERNAL;
            }
            to->nodes[map[i]].path = node->path;
        } else if (!moves(node, &m[i]) && fbl_rebuild_copy(to, train, (FblNodeId)i, map) == FBL_NO_NODE) {
            return FBL_INTERNAL;
        }
    }
    FBL_TRY(fbl_rebuild_roots(to, train, map));
    module->train = to;
    module->epoch = epoch;
    return FBL_OK;
}

#include "passes/rewrite.h"

#include <string.h>

#include "passes/rebuild.h"

#define MAX_ROUNDS 8
// Rules build simplified nodes, whose rules build others; real chains are short, and past this depth nodes are added
// plain.
#define MAX_DEPTH 64

#define FBL_OP_ANY FBL_OP_COUNT
static const FblRuleInfo INFOS[FBL_RULE_COUNT] = {
#define FBL_RULE(op_, name_, doc_) [FBL_RULE_##op_##_##name_] = {#name_, (int)FBL_OP_##op_, doc_},
#include "passes/rules.def"
#undef FBL_RULE
};

static FblRule *const RULES[FBL_RULE_COUNT] = {
#define FBL_RULE(op_, name_, doc_) [FBL_RULE_##op_##_##name_] = fbl_rule_##name_,
#include "passes/rules.def"
#undef FBL_RULE
};

const FblRuleInfo *fbl_rule_info(FblRuleId rule) {
    return &INFOS[rule];
}

struct FblRewrite {
    FblGraph *to;
    const FblRewriteOptions *options;
    FblRuleHits *hits;
    uint64_t fired;
    int depth;
    FblLoc loc; // of the node being rewritten
    const char *path;
    FblNodeId origin; // in the new graph
    // Open-addressed table of nodes by content, when sharing.
    FblNodeId *table;
    size_t table_size, table_used;
};

const FblNode *fbl_rewrite_node(const FblRewrite *rw, FblNodeId id) {
    return &rw->to->nodes[id];
}

FblContext *fbl_rewrite_context(const FblRewrite *rw) {
    return rw->to->ctx;
}

bool fbl_rewrite_keeps_stop_gradient(const FblRewrite *rw) {
    return rw->options->keep_stop_gradient;
}

// Sharing
// ----------------------------------------------------------------------------------------------------------------

static bool commutes(FblOp op) {
    return op == FBL_OP_ADD || op == FBL_OP_MUL || op == FBL_OP_EQ || op == FBL_OP_NE || op == FBL_OP_AND ||
           op == FBL_OP_OR;
}

static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * 0x9E3779B97F4A7C15u;
    return h ^ (h >> 29);
}

// Names enter by their text so that the table's behaviour is the same in every run.
static uint64_t mix_name(uint64_t h, FblName name) {
    for (const char *p = name; p != NULL && *p != '\0'; p++) {
        h = mix(h, (unsigned char)*p);
    }
    return h;
}

static uint64_t node_hash(const FblNode *node) {
    uint64_t h = mix(0, (uint64_t)node->op);
    uint64_t inputs = 0;
    for (int32_t i = 0; i < node->input_count; i++) {
        uint64_t one = mix(commutes(node->op) ? 0 : (uint64_t)i + 1, (uint64_t)node->inputs[i]);
        inputs += one; // a sum, so that the order does not matter where ops commute
    }
    h = mix(h, inputs);
    for (int i = 0; i < 8; i++) {
        h = mix(h, (uint64_t)node->attr.i[i]);
    }
    uint64_t bits;
    memcpy(&bits, &node->attr.value, sizeof bits);
    h = mix(h, bits);
    for (int32_t i = 0; i < node->attr.name_count; i++) {
        h = mix_name(h, node->attr.names[i]);
    }
    return mix(h, (uint64_t)node->type.dtype);
}

static bool same_inputs(const FblNode *a, const FblNode *b) {
    if (a->input_count != b->input_count) {
        return false;
    }
    bool straight = true;
    for (int32_t i = 0; i < a->input_count; i++) {
        straight = straight && a->inputs[i] == b->inputs[i];
    }
    return straight || (commutes(a->op) && a->inputs[0] == b->inputs[1] && a->inputs[1] == b->inputs[0]);
}

static bool same_node(const FblNode *a, const FblNode *b) {
    return a->op == b->op && same_inputs(a, b) && fbl_type_equal(&a->type, &b->type) &&
           a->attr.name_count == b->attr.name_count && a->attr.split == b->attr.split &&
           memcmp(a->attr.i, b->attr.i, sizeof a->attr.i) == 0 &&
           memcmp(&a->attr.value, &b->attr.value, sizeof a->attr.value) == 0 &&
           memcmp(a->attr.names, b->attr.names, sizeof(FblName) * (size_t)a->attr.name_count) == 0;
}

static void table_insert(FblRewrite *rw, FblNodeId id);

static void table_grow(FblRewrite *rw) {
    FblNodeId *old = rw->table;
    size_t old_size = rw->table_size;
    rw->table_size = old_size == 0 ? 256 : old_size * 2;
    rw->table = FBL_NEW_ARRAY(rw->to->arena, FblNodeId, rw->table_size);
    rw->table_used = 0;
    memset(rw->table, 0xff, rw->table_size * sizeof *rw->table); // FBL_NO_NODE
    for (size_t i = 0; i < old_size; i++) {
        if (old[i] != FBL_NO_NODE) {
            table_insert(rw, old[i]);
        }
    }
}

static void table_insert(FblRewrite *rw, FblNodeId id) {
    if ((rw->table_used + 1) * 2 > rw->table_size) {
        table_grow(rw);
    }
    size_t at = (size_t)node_hash(&rw->to->nodes[id]) & (rw->table_size - 1);
    while (rw->table[at] != FBL_NO_NODE) {
        at = (at + 1) & (rw->table_size - 1);
    }
    rw->table[at] = id;
    rw->table_used++;
}

static FblNodeId table_find(const FblRewrite *rw, const FblNode *node) {
    if (rw->table_size == 0) {
        return FBL_NO_NODE;
    }
    size_t at = (size_t)node_hash(node) & (rw->table_size - 1);
    while (rw->table[at] != FBL_NO_NODE) {
        if (same_node(&rw->to->nodes[rw->table[at]], node)) {
            return rw->table[at];
        }
        at = (at + 1) & (rw->table_size - 1);
    }
    return FBL_NO_NODE;
}

// Adding nodes
// ------------------------------------------------------------------------------------------------------------

static FblNodeId apply_rules(FblRewrite *rw, const FblNode *node) {
    for (int r = 0; r < FBL_RULE_COUNT; r++) {
        if ((INFOS[r].op != (int)node->op && INFOS[r].op != FBL_OP_ANY) ||
            (rw->options->only_rule >= 0 && rw->options->only_rule != r)) {
            continue;
        }
        FblNodeId id = RULES[r](rw, node);
        if (id != FBL_NO_NODE && fbl_type_equal(&rw->to->nodes[id].type, &node->type)) {
            rw->fired++;
            if (rw->hits != NULL) {
                rw->hits->count[r]++;
            }
            return id;
        }
    }
    return FBL_NO_NODE;
}

FblNodeId fbl_rw_add(FblRewrite *rw, FblOp op, const FblNodeId *inputs, int32_t count, const FblAttr *attr,
                     const FblType *given) {
    size_t mark = rw->to->count;
    FblType given_copy = given != NULL ? *given : (FblType){0};
    FblNodeId id = fbl_graph_add(rw->to, op, inputs, count, attr, given != NULL ? &given_copy : NULL, rw->loc);
    if (id == FBL_NO_NODE) {
        return FBL_NO_NODE;
    }
    // The plain node was only needed for its type and canonical attributes. It is taken back while it is the last one.
    FblNode node = rw->to->nodes[id];
    rw->to->count = mark;
    if (rw->options->rules && rw->depth < MAX_DEPTH) {
        rw->depth++;
        FblNodeId better = apply_rules(rw, &node);
        rw->depth--;
        if (better != FBL_NO_NODE) {
            return better;
        }
    }
    if (rw->options->share) {
        FblNodeId same = table_find(rw, &node);
        if (same != FBL_NO_NODE) {
            return same;
        }
    }
    node.path = rw->path;
    node.origin = rw->origin;
    FBL_PUSH(rw->to->arena, rw->to->nodes, rw->to->count, rw->to->capacity, node);
    id = (FblNodeId)rw->to->count - 1;
    if (rw->options->share) {
        table_insert(rw, id);
    }
    return id;
}

FblNodeId fbl_rw_unary(FblRewrite *rw, FblOp op, FblNodeId x) {
    return fbl_rw_add(rw, op, &x, 1, NULL, NULL);
}

FblNodeId fbl_rw_binary(FblRewrite *rw, FblOp op, FblNodeId a, FblNodeId b) {
    return fbl_rw_add(rw, op, (FblNodeId[]){a, b}, 2, NULL, NULL);
}

FblNodeId fbl_rw_const(FblRewrite *rw, FblDtype dtype, double value) {
    FblAttr attr = {.value = value};
    FblType type = fbl_type_scalar(dtype);
    return fbl_rw_add(rw, FBL_OP_CONST, NULL, 0, &attr, &type);
}

FblNodeId fbl_rw_as(FblRewrite *rw, FblNodeId x, const FblType *type) {
    if (x == FBL_NO_NODE || fbl_type_equal(fbl_graph_type(rw->to, x), type)) {
        return x;
    }
    return fbl_rw_add(rw, FBL_OP_BROADCAST, &x, 1, NULL, type);
}

bool fbl_is_const(const FblRewrite *rw, FblNodeId id, double *out_value) {
    const FblNode *node = fbl_rewrite_node(rw, id);
    *out_value = node->attr.value;
    return node->op == FBL_OP_CONST;
}

bool fbl_is_splat(const FblRewrite *rw, FblNodeId id, double *out_value) {
    const FblNode *node = fbl_rewrite_node(rw, id);
    while (node->op == FBL_OP_BROADCAST) {
        node = fbl_rewrite_node(rw, node->inputs[0]);
    }
    *out_value = node->attr.value;
    return node->op == FBL_OP_CONST;
}

bool fbl_type_lacks(const FblType *type, const FblName *names, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        if (fbl_type_find(type, names[i]) >= 0) {
            return false;
        }
    }
    return true;
}

// Rounds
// --------------------------------------------------------------------------------------------------------------------

static FblStatus one_round(const FblGraph *from, const FblRewriteOptions *options, FblRuleHits *hits,
                           FblGraph **out_graph, uint64_t *out_fired) {
    FblRewrite rw = {.to = fbl_rebuild_begin(from), .options = options, .hits = hits};
    FblNodeId *map = fbl_rebuild_map(from);
    bool *live = fbl_graph_live(from);
    FblArena *arena = from->arena;
    for (size_t i = 0; i < from->count; i++) {
        const FblNode *node = &from->nodes[i];
        if (!live[i]) {
            continue;
        }
        FblNodeId *inputs = FBL_NEW_ARRAY(arena, FblNodeId, node->input_count);
        for (int32_t k = 0; k < node->input_count; k++) {
            inputs[k] = map[node->inputs[k]];
        }
        rw.loc = node->loc;
        rw.path = node->path;
        rw.origin = node->origin == FBL_NO_NODE ? FBL_NO_NODE : map[node->origin];
        map[i] = fbl_rw_add(&rw, node->op, inputs, node->input_count, &node->attr,
                            fbl_op_type_given(node->op) ? &node->type : NULL);
        if (map[i] == FBL_NO_NODE) {
            return FBL_INTERNAL;
        }
    }
    *out_graph = rw.to;
    *out_fired = rw.fired;
    return fbl_rebuild_roots(rw.to, from, map);
}

FblStatus fbl_rewrite(const FblGraph *graph, const FblRewriteOptions *options, FblRuleHits *hits,
                      FblGraph **out_graph) {
    const FblRewriteOptions sweep = {.only_rule = -1};
    FblGraph *current = NULL;
    uint64_t fired = 0;
    for (int round = 0; round < MAX_ROUNDS; round++) {
        FblGraph *before = current;
        FBL_TRY(one_round(before == NULL ? graph : before, options, hits, &current, &fired));
        fbl_graph_discard(before);
        if (fired == 0) {
            break;
        }
    }
    // What the rules of the last round left without a use.
    FBL_TRY(one_round(current, &sweep, NULL, out_graph, &fired));
    fbl_graph_discard(current);
    return FBL_OK;
}

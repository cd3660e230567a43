#include "frontend/format.h"

#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "frontend/format_internal.h"
#include "frontend/lexer.h"
#include "frontend/parse.h"
#include "frontend/parser.h"

static uint32_t text_width(const char *text, uint32_t begin, uint32_t end) {
    uint32_t width = 0;
    for (uint32_t i = begin; i < end; i++) {
        width += ((unsigned char)text[i] & 0xC0) != 0x80;
    }
    return width;
}

static FblItem *add(FblItems *items, int kind, uint32_t begin, uint32_t end, uint32_t newlines, uint32_t line_begin) {
    items->items =
        fbl_arena_grow(items->arena, items->items, items->count, &items->capacity, sizeof *items->items);
    FblItem *item = &items->items[items->count++];
    *item = (FblItem){.kind = kind, .begin = begin, .end = end, .newline = newlines > 0, .blank = newlines > 1};
    item->width = text_width(items->text, begin, end);
    if (kind == FBL_ITEM_COMMENT) {
        item->column = text_width(items->text, line_begin, begin);
    }
    return item;
}

static void add_comments(FblItems *items, const FblLexer *lexer, size_t *next, uint32_t before) {
    while (*next < lexer->comment_count && lexer->comments[*next].loc.begin < before) {
        const FblComment *comment = &lexer->comments[(*next)++];
        add(items, FBL_ITEM_COMMENT, comment->loc.begin, comment->loc.end, comment->newlines_before,
            comment->line_begin);
    }
}

// Tokens and comments in source order; a string with all that is inside it is one item.
static void collect(FblItems *items, FblLexer *lexer) {
    size_t comment = 0;
    size_t strings = 0;
    bool starts = true;
    for (;;) {
        FblToken token = fbl_lexer_next(lexer);
        if (token.kind == FBL_TOKEN_NEWLINE) {
            starts = true;
            continue;
        }
        if (strings > 0) {
            items->items[items->count - 1].end = token.loc.end;
            strings += token.kind == FBL_TOKEN_STRING_OPEN;
            strings -= token.kind == FBL_TOKEN_STRING_CLOSE;
            if (strings == 0) {
                FblItem *item = &items->items[items->count - 1];
                item->width = text_width(items->text, item->begin, item->end);
            }
            continue;
        }
        add_comments(items, lexer, &comment, token.kind == 0 ? UINT32_MAX : token.loc.begin);
        if (token.kind == 0) {
            return;
        }
        bool is_string = token.kind == FBL_TOKEN_STRING_OPEN;
        strings += is_string;
        FblItem *item = add(items, is_string ? FBL_ITEM_STRING : token.kind, token.loc.begin, token.loc.end,
                            token.newlines_before, 0);
        item->starts = starts;
        starts = token.kind == '{';
        if (token.kind == '}') {
            item->starts = true;
        }
    }
}

// ------------------------------------------------------------------------------------------------------- spacing

typedef enum Inside { IN_BLOCK, IN_PARAMS, IN_CALL, IN_GROUP, IN_TYPE, IN_INDEX, IN_LIST } Inside;

typedef struct Level {
    Inside inside;
    uint32_t segment; // operands between commas and the like
    uint32_t open;    // item of the bracket
} Level;

static bool is_word(int kind) {
    switch (kind) {
    case FBL_TOKEN_NAME: case FBL_TOKEN_IMPORT: case FBL_TOKEN_CONST: case FBL_TOKEN_FN: case FBL_TOKEN_LAYER:
    case FBL_TOKEN_MODEL: case FBL_TOKEN_LOSS: case FBL_TOKEN_TRAIN: case FBL_TOKEN_PARAM: case FBL_TOKEN_STATE:
    case FBL_TOKEN_AXIS: case FBL_TOKEN_STAGE: case FBL_TOKEN_IN:
        return true;
    default:
        return false;
    }
}

static bool ends_operand(int kind) {
    return is_word(kind) || kind == FBL_TOKEN_NUMBER || kind == FBL_ITEM_STRING || kind == FBL_TOKEN_TRUE ||
           kind == FBL_TOKEN_FALSE || kind == ')' || kind == ']';
}

static bool is_arithmetic(int kind) {
    return kind == '+' || kind == '-' || kind == '*' || kind == '/' || kind == '%' || kind == FBL_TOKEN_IDIV;
}

static bool is_infix(int kind) {
    return is_arithmetic(kind) || kind == FBL_TOKEN_EQ || kind == FBL_TOKEN_NE || kind == '<' || kind == '>' ||
           kind == FBL_TOKEN_LE || kind == FBL_TOKEN_GE || kind == FBL_TOKEN_AND || kind == FBL_TOKEN_OR ||
           kind == FBL_TOKEN_THEN || kind == FBL_TOKEN_ELSE;
}

// True when the argument whose `=` is item i is a slice (`height = ::2`).
static bool is_slice(const FblItems *items, uint32_t i) {
    int depth = 0;
    for (uint32_t j = i + 1; j < items->count; j++) {
        int kind = items->items[j].kind;
        if (kind == '(' || kind == '[') {
            depth++;
        } else if (kind == ')' || kind == ']') {
            if (depth-- == 0) {
                return false;
            }
        } else if (depth == 0 && kind == ',') {
            return false;
        } else if (depth == 0 && kind == ':') {
            return true;
        }
    }
    return false;
}

typedef struct Spacer {
    FblItems *items;
    Level levels[FBL_LEXER_MAX_OPEN + 2];
    size_t level_count;
    uint32_t segments;
    uint32_t *segment_of; // of each item
    bool *unary;          // of each item: a sign, not an operator
    bool *spaced;         // of each `=`: blanks around it
    Inside *inside;       // of each item
    bool *keyword;        // of each item: a contextual keyword used as one
    bool *in_results;     // of each item: inside `-> (...)` of a declaration
} Spacer;

static Inside bracket_inside(const Spacer *s, uint32_t i, int before, bool in_signature, bool in_annotation) {
    int kind = s->items->items[i].kind;
    if (kind == '{') {
        return IN_BLOCK;
    }
    bool attached = i > 0 && ends_operand(before) && !s->keyword[i - 1];
    if (kind == '(') {
        return in_signature ? IN_PARAMS : attached ? IN_CALL : IN_GROUP;
    }
    return in_annotation ? IN_TYPE : attached ? IN_INDEX : IN_LIST;
}

// What surrounds each item, which minus signs are signs, which words are keywords.
static void classify(Spacer *s, bool *tight_segment) {
    FblItems *items = s->items;
    s->levels[0] = (Level){IN_BLOCK, 0, 0};
    s->level_count = 1;
    int before = 0;
    bool for_pending = false;
    bool results = false;
    bool signature = false; // after a declaration's keyword, before its block
    for (uint32_t i = 0; i < items->count; i++) {
        FblItem *item = &items->items[i];
        int kind = item->kind;
        if (kind == FBL_ITEM_COMMENT) {
            s->inside[i] = s->levels[s->level_count - 1].inside;
            continue;
        }
        Level *level = &s->levels[s->level_count - 1];
        if (item->starts && is_word(kind) && i + 1 < items->count) {
            int next = items->items[i + 1].kind;
            s->keyword[i] = is_word(next) || (kind == FBL_TOKEN_IMPORT && next == FBL_ITEM_STRING) ||
                            (kind == FBL_TOKEN_TRAIN && next == '{');
            signature = s->keyword[i] && s->level_count == 1;
        }
        results = (results || (signature && s->level_count == 1 && kind == FBL_TOKEN_ARROW)) && kind != '{';
        s->in_results[i] = results;
        if (kind == FBL_TOKEN_FOR) {
            for_pending = true;
        } else if (kind == FBL_TOKEN_IN && for_pending && before != FBL_TOKEN_FOR && before != ',' && before != '(') {
            for_pending = false;
            s->keyword[i] = true;
        } else if (kind == FBL_TOKEN_AS && i + 1 < items->count) {
            s->keyword[i] = false;
        }
        s->unary[i] = kind == '-' && !(ends_operand(before) && !(i > 0 && s->keyword[i - 1]));
        if (kind == ')' || kind == ']' || kind == '}') {
            if (s->level_count > 1) {
                s->level_count--;
            }
            level = &s->levels[s->level_count - 1];
            items->items[level[1].open].pair = i;
            item->pair = level[1].open;
        }
        if (item->starts || kind == ',' || kind == '=' || kind == '{' || kind == ':' || kind == FBL_TOKEN_ARROW ||
            kind == FBL_TOKEN_UPDATE || s->keyword[i] || kind == FBL_TOKEN_PIPE ||
            (is_infix(kind) && !is_arithmetic(kind)) || kind == FBL_TOKEN_IF || kind == FBL_TOKEN_RETURN) {
            level->segment = ++s->segments;
        }
        s->segment_of[i] = level->segment;
        s->inside[i] = level->inside;
        if (kind == FBL_TOKEN_RANGE) {
            tight_segment[level->segment] = true;
        }
        if (kind == '=') {
            Inside in = level->inside;
            s->spaced[i] = in == IN_BLOCK || in == IN_PARAMS || in == IN_INDEX || is_slice(items, i);
        }
        if (kind == '(' || kind == '[' || kind == '{') {
            // In a signature or after `param w:` a bracket behind `name:` belongs to a type.
            bool annotation = i >= 2 && items->items[i - 2].kind == ':' &&
                              (s->inside[i - 2] == IN_PARAMS || s->inside[i - 2] == IN_BLOCK);
            Inside in = bracket_inside(s, i, before, signature && s->level_count == 1, annotation);
            if (kind == '{') {
                signature = false;
            }
            s->levels[s->level_count++] = (Level){in, ++s->segments, i};
            // `2^(stage-1)` and `widths[i+1]` read as one operand.
            tight_segment[s->segments] = in == IN_INDEX || (in == IN_GROUP && before == '^');
        }
        before = kind;
    }
}

static bool wants_space(const Spacer *s, const bool *tight_segment, uint32_t i) {
    const FblItem *item = &s->items->items[i];
    int kind = item->kind;
    int before = s->items->items[i - 1].kind;
    Inside inside = s->inside[i];
    bool slice_colon = inside != IN_PARAMS && inside != IN_BLOCK;
    if (kind == FBL_ITEM_COMMENT || before == FBL_ITEM_COMMENT) {
        return true;
    }
    if (before == '{') {
        return kind != '}';
    }
    if (kind == '{' || kind == '}') {
        return true;
    }
    if (before == '(' || before == '[' || kind == ')' || kind == ']' || kind == ',') {
        return false;
    }
    if ((kind == '(' || kind == '[') && ends_operand(before) && !s->keyword[i - 1]) {
        return false;
    }
    if (kind == ':') {
        return slice_colon && before == '=';
    }
    if (before == ':') {
        return !slice_colon;
    }
    if (kind == '=') {
        return s->spaced[i];
    }
    if (before == '=') {
        return s->spaced[i - 1];
    }
    if (kind == FBL_TOKEN_RANGE || before == FBL_TOKEN_RANGE || kind == '^' || before == '^') {
        return false;
    }
    if (before == '-' && s->unary[i - 1]) {
        return false;
    }
    if (is_arithmetic(kind) && !s->unary[i] && tight_segment[s->segment_of[i]]) {
        return false;
    }
    if (is_arithmetic(before) && tight_segment[s->segment_of[i - 1]]) {
        return false;
    }
    return true;
}

static FblBreak break_class(const Spacer *s, uint32_t i) {
    int kind = s->items->items[i].kind;
    int before = s->items->items[i - 1].kind;
    if (kind == FBL_ITEM_COMMENT || kind == ')' || kind == ']' || before == FBL_ITEM_COMMENT) {
        return FBL_BREAK_NEVER;
    }
    if (kind == FBL_TOKEN_PIPE) {
        return FBL_BREAK_PIPE;
    }
    if (before == ',') {
        if (s->in_results[i]) {
            return FBL_BREAK_NEVER; // `-> (feature, score)` stays together
        }
        return FBL_BREAK_COMMA;
    }
    if (kind == FBL_TOKEN_THEN || (kind == FBL_TOKEN_ELSE && before != '}') || before == FBL_TOKEN_AND ||
        before == FBL_TOKEN_OR) {
        return FBL_BREAK_WORD;
    }
    bool operator_before = is_infix(before) && before != FBL_TOKEN_THEN && before != FBL_TOKEN_ELSE;
    return operator_before && !s->unary[i - 1] && s->items->items[i].space ? FBL_BREAK_OPERATOR : FBL_BREAK_NEVER;
}

// Blocks with a line break inside are laid out over several lines, and with them the other blocks of their if-else.
static void mark_blocks(FblItems *items) {
    uint32_t last_break = 0; // the last item so far that begins a line
    for (uint32_t i = 0; i < items->count; i++) {
        FblItem *item = &items->items[i];
        if (item->kind == '{') {
            item->chain = i;
            uint32_t before = i;
            while (before > 0 && items->items[before - 1].kind != '{' && items->items[before - 1].kind != '}') {
                before--;
                if (items->items[before].starts) {
                    break;
                }
            }
            if (before > 0 && items->items[before].kind == FBL_TOKEN_ELSE && items->items[before - 1].kind == '}') {
                item->chain = items->items[items->items[before - 1].pair].chain;
            }
        }
        if (item->newline) {
            last_break = i;
        }
        if (item->kind == '}' && last_break > item->pair) {
            items->items[items->items[item->pair].chain].multi = true;
        }
    }
}

// Keeps `=` signs aligned that the writer aligned: runs of neighbouring statements with `=` in the same column.
static void align_assignments(FblItems *items, const Spacer *s) {
    uint32_t run_width = 0, run_column = 0, run_level = 0;
    uint32_t run[1024];
    size_t count = 0;
    uint32_t level = 0;
    for (uint32_t i = 0; i <= items->count; i++) {
        uint32_t found = 0, column = 0, width = 0;
        bool candidate = false;
        bool adjacent = false;
        if (i < items->count) {
            const FblItem *item = &items->items[i];
            level += item->kind == '{';
            level -= item->kind == '}';
            if (item->kind != FBL_ITEM_COMMENT && !item->starts) {
                continue;
            }
            if (item->kind == FBL_ITEM_COMMENT && !item->newline) {
                continue; // at the end of a line: no neighbour, no obstacle
            }
            adjacent = item->newline && !item->blank;
            if (item->kind != FBL_ITEM_COMMENT && item->newline) {
                for (uint32_t j = i; j < items->count && (j == i || (!items->items[j].starts && !items->items[j].newline)); j++) {
                    if (items->items[j].kind == '=' && s->inside[j] == IN_BLOCK) {
                        candidate = true;
                        found = j;
                        column = text_width(items->text, item->begin, items->items[j].begin);
                        break;
                    }
                    if (items->items[j].kind == FBL_ITEM_COMMENT) {
                        break;
                    }
                    width += items->items[j].width + (j > i && items->items[j].space);
                }
            }
        }
        bool joins = candidate && count > 0 && adjacent && column == run_column && level == run_level &&
                     count < sizeof run / sizeof run[0];
        if (!joins) {
            for (size_t k = 0; count > 1 && k < count; k++) {
                items->items[run[k]].pad = run_width - items->items[run[k]].pad;
            }
            if (count == 1) {
                items->items[run[0]].pad = 0;
            }
            count = 0;
            run_width = 0;
        }
        if (candidate) {
            run[count++] = found;
            items->items[found].pad = width; // its width for now
            run_width = width > run_width ? width : run_width;
            run_column = column;
            run_level = level;
        }
    }
}

static void decide(FblItems *items) {
    size_t count = items->count + 1;
    Spacer *s = FBL_NEW(items->arena, Spacer);
    s->items = items;
    s->segment_of = FBL_NEW_ARRAY(items->arena, uint32_t, count);
    s->unary = FBL_NEW_ARRAY(items->arena, bool, count);
    s->spaced = FBL_NEW_ARRAY(items->arena, bool, count);
    s->inside = FBL_NEW_ARRAY(items->arena, Inside, count);
    s->keyword = FBL_NEW_ARRAY(items->arena, bool, count);
    s->in_results = FBL_NEW_ARRAY(items->arena, bool, count);
    bool *tight_segment = FBL_NEW_ARRAY(items->arena, bool, 3 * count + 2);
    classify(s, tight_segment);
    for (uint32_t i = 1; i < items->count; i++) {
        items->items[i].space = wants_space(s, tight_segment, i);
        items->items[i].break_class = (uint8_t)break_class(s, i);
    }
    uint32_t next = items->count;
    for (uint32_t i = items->count; i-- > 0;) {
        next = items->items[i].kind == FBL_ITEM_COMMENT ? next : i;
        items->items[i].next = next;
    }
    mark_blocks(items);
    align_assignments(items, s);
}

// A second parse shows that the layout changed nothing but the layout: a formatter must never damage a file.
static FblStatus check_same(FblContext *ctx, const FblAstFile *tree, const char *text) {
    FblContext *scratch = fbl_context_create();
    FblAstFile *again = NULL;
    uint32_t file = fbl_source_add(scratch, "formatted", text, strlen(text));
    FblStatus status = fbl_parse_source(scratch, file, &again);
    if (status == FBL_OK) {
        char *before = fbl_ast_dump(tree);
        char *after = fbl_ast_dump(again);
        if (before == NULL || after == NULL) {
            status = FBL_NOMEM;
        } else if (strcmp(before, after) != 0) {
            status = FBL_INTERNAL;
        }
        free(before);
        free(after);
    } else if (status == FBL_USER) {
        status = FBL_INTERNAL;
    }
    fbl_context_destroy(scratch);
    if (status == FBL_INTERNAL) {
        fbl_error(ctx, "E0015", (FblLoc){tree->file, 0, 0}, "the formatter would change what this file means; "
                                                            "it is left as it is");
    }
    return status;
}

FblStatus fbl_format_source(FblContext *ctx, uint32_t file, char **out_text) {
    *out_text = NULL;
    FblAstFile *tree = NULL;
    FBL_TRY(fbl_parse_source(ctx, file, &tree));
    FblLexer lexer;
    FBL_TRY(fbl_lexer_init(&lexer, ctx, file, true));
    FblArena arena;
    fbl_arena_init(&arena);
    FblItems items = {.arena = &arena, .text = lexer.text};
    collect(&items, &lexer);
    fbl_lexer_deinit(&lexer);
    decide(&items);
    char *text = fbl_format_layout(&items);
    fbl_arena_deinit(&arena);
    if (text == NULL) {
        return FBL_NOMEM;
    }
    FblStatus status = check_same(ctx, tree, text);
    if (status != FBL_OK) {
        free(text);
        return status;
    }
    *out_text = text;
    return FBL_OK;
}

#include "frontend/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/format_internal.h"
#include "frontend/lexer.h"
#include "frontend/parse.h"

#define STEP 4
// Beyond these columns continuation lines do not align with what is above them: they would get too narrow.
#define MAX_PIPE_COLUMN 56
#define MAX_ALIGN_COLUMN 72
#define NONE UINT32_MAX

// An open bracket or block.
typedef struct Frame {
    uint32_t indent;  // of block statements; of continuation lines inside brackets
    uint32_t closing; // column of a closing bracket that begins a line
    uint32_t pipe;    // column of the first `|>` here, NONE before it
    bool block;
} Frame;

typedef struct State {
    Frame frames[FBL_LEXER_MAX_OPEN + 2];
    size_t frame_count;
} State;

// A finished line: a range of the output buffer, and the comment at its end.
typedef struct Line {
    size_t begin, end; // in the output buffer
    uint32_t width;
    uint32_t comment; // item, NONE without
    bool blank_before;
} Line;

typedef struct Layout {
    FblItems *items;
    State now, at_line; // bracket state, and as it was when the current line began
    FILE *out;
    size_t written; // bytes, to out
    Line *lines;
    size_t line_count, line_capacity;
} Layout;

static bool is_multi(const FblItems *items, uint32_t brace) {
    return items->items[items->items[brace].chain].multi;
}

static bool breaks_before(const FblItems *items, uint32_t i) {
    const FblItem *item = &items->items[i];
    const FblItem *before = &items->items[i - 1];
    if (item->wrapped || before->kind == FBL_ITEM_COMMENT) {
        return true;
    }
    if (item->kind == FBL_ITEM_COMMENT) {
        return item->newline;
    }
    if (item->kind == '}') {
        return before->kind == '{' ? false : is_multi(items, item->pair);
    }
    if (before->kind == '{') {
        return is_multi(items, i - 1);
    }
    if (item->kind == FBL_TOKEN_ELSE && before->kind == '}') {
        return false;
    }
    return item->starts || item->newline;
}

static Frame *top(State *state) { return &state->frames[state->frame_count - 1]; }

// The column at which item i begins a line.
static uint32_t first_column(FblItems *items, State *state, uint32_t i) {
    uint32_t next = items->items[i].next; // a comment stands like what follows it
    Frame *frame = top(state);
    if (next == items->count) {
        return 0;
    }
    const FblItem *item = &items->items[next];
    if (frame->block && item->starts) {
        return item->kind == '}' && next == i && state->frame_count > 1 ? state->frames[state->frame_count - 1].closing
                                                                         : frame->indent;
    }
    if (next == i && (item->kind == ')' || item->kind == ']')) {
        return frame->closing;
    }
    if (item->kind == FBL_TOKEN_PIPE) {
        if (frame->pipe == NONE || frame->pipe > MAX_PIPE_COLUMN) {
            return frame->indent + STEP;
        }
        return frame->pipe;
    }
    return frame->block ? frame->indent + STEP : frame->indent;
}

// Follows the brackets over item i, which has been put at `column`; `line_indent` is the column its line begins at.
static void enter(FblItems *items, State *state, uint32_t i, uint32_t column, uint32_t line_indent) {
    int kind = items->items[i].kind;
    if (kind == FBL_TOKEN_PIPE && top(state)->pipe == NONE) {
        top(state)->pipe = column;
    }
    if (top(state)->block && items->items[i].starts) {
        top(state)->pipe = NONE;
    }
    if (kind == '{') {
        uint32_t base = top(state)->block ? top(state)->indent : line_indent;
        state->frames[state->frame_count++] = (Frame){base + STEP, base, NONE, true};
    } else if (kind == '(' || kind == '[') {
        uint32_t next = i + 1;
        bool hanging = next < items->count && breaks_before(items, next);
        if (next < items->count && items->items[next].kind == FBL_ITEM_COMMENT) {
            hanging = true;
        }
        Frame frame = {column + 1, line_indent, NONE, false};
        if (hanging) {
            frame.indent = line_indent + STEP;
        } else if (frame.indent > MAX_ALIGN_COLUMN) {
            frame.indent = line_indent + 2 * STEP;
        } else {
            frame.closing = frame.indent;
        }
        state->frames[state->frame_count++] = frame;
    } else if ((kind == ')' || kind == ']' || kind == '}') && state->frame_count > 1) {
        state->frame_count--;
    }
}

static void copy_state(State *to, const State *from) {
    to->frame_count = from->frame_count;
    memcpy(to->frames, from->frames, from->frame_count * sizeof from->frames[0]);
}

static uint32_t gap(const FblItems *items, uint32_t i) { return (uint32_t)items->items[i].space + items->items[i].pad; }

// Measures the line that begins with item `first`: the item after its end. When it is too long, marks where to break
// it (or a block to open up) and returns `first` to be measured again.
static uint32_t measure(Layout *layout, uint32_t first) {
    FblItems *items = layout->items;
    State *state = &layout->now;
    copy_state(&layout->at_line, state);
    uint32_t start = first_column(items, state, first);
    uint32_t column = start;
    uint32_t best = NONE, best_rank = NONE, open_block = NONE;
    uint32_t i = first;
    for (; i < items->count && (i == first || !breaks_before(items, i)); i++) {
        FblItem *item = &items->items[i];
        if (item->kind == FBL_ITEM_COMMENT) {
            i++;
            break; // a comment may stick out
        }
        uint32_t at = i == first ? start : column + gap(items, i);
        if (i > first && item->break_class != FBL_BREAK_NEVER && at <= FBL_FORMAT_WIDTH) {
            uint32_t rank = (uint32_t)state->frame_count * 8 + item->break_class;
            if (rank <= best_rank && first_column(items, state, i) < at) {
                best = i;
                best_rank = rank;
            }
        }
        if (item->kind == '{' && open_block == NONE && !is_multi(items, i) && items->items[i + 1].kind != '}') {
            open_block = i;
        }
        column = at + item->width;
        // What closes or separates stays with what it follows, so it counts for the width of that.
        if (column > FBL_FORMAT_WIDTH) {
            if (open_block != NONE) {
                items->items[items->items[open_block].chain].multi = true;
            } else if (best != NONE) {
                items->items[best].wrapped = true;
            } else {
                enter(items, state, i, at, start);
                continue; // nothing to break at: the line stays long
            }
            copy_state(state, &layout->at_line);
            return first;
        }
        enter(items, state, i, at, start);
    }
    return i;
}

static void put(Layout *layout, uint32_t first, uint32_t end) {
    FblItems *items = layout->items;
    layout->lines = fbl_arena_grow(items->arena, layout->lines, layout->line_count, &layout->line_capacity,
                                   sizeof *layout->lines);
    Line *line = &layout->lines[layout->line_count++];
    *line = (Line){.comment = NONE};
    line->begin = layout->written;
    uint32_t column = first_column(items, &layout->at_line, first);
    layout->written += (size_t)fprintf(layout->out, "%*s", (int)column, "");
    const FblItem *before = first > 0 ? &items->items[first - 1] : NULL;
    const FblItem *item = &items->items[first];
    bool at_place = item->starts || item->kind == FBL_ITEM_COMMENT;
    line->blank_before = before != NULL && before->kind != '{' && item->kind != '}' && item->blank && at_place;
    for (uint32_t i = first; i < end; i++) {
        item = &items->items[i];
        if (item->kind == FBL_ITEM_COMMENT && i > first) {
            line->comment = i;
            break;
        }
        uint32_t blanks = i == first ? 0 : gap(items, i);
        uint32_t length = item->end - item->begin;
        fprintf(layout->out, "%*s", (int)blanks, "");
        layout->written += blanks + fwrite(items->text + item->begin, 1, length, layout->out);
        column += blanks + item->width;
    }
    line->width = column;
    line->end = layout->written;
}

// Writes the lines; comments behind code stand two blanks after it, or together where the writer had them together.
static char *join(Layout *layout, const char *buffer) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return NULL;
    }
    size_t grouped = 0; // lines below this have their comment column in `column`
    uint32_t column = 0;
    uint32_t source_column = NONE;
    for (size_t i = 0; i < layout->line_count; i++) {
        const Line *line = &layout->lines[i];
        if (line->blank_before) {
            fputc('\n', out);
        }
        fwrite(buffer + line->begin, 1, line->end - line->begin, out);
        if (line->comment != NONE) {
            const FblItem *comment = &layout->items->items[line->comment];
            if (i >= grouped || comment->column != source_column) {
                source_column = comment->column;
                column = 0;
                for (grouped = i; grouped < layout->line_count; grouped++) {
                    const Line *other = &layout->lines[grouped];
                    if (grouped > i && other->blank_before) {
                        break;
                    }
                    if (other->comment == NONE) {
                        continue;
                    }
                    if (layout->items->items[other->comment].column != source_column) {
                        break;
                    }
                    column = other->width > column ? other->width : column;
                }
            }
            fprintf(out, "%*s%.*s", (int)(column - line->width) + 2, "", (int)(comment->end - comment->begin),
                    layout->items->text + comment->begin);
        }
        fputc('\n', out);
    }
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}

char *fbl_format_layout(FblItems *items) {
    char *buffer = NULL;
    size_t size = 0;
    Layout *layout = FBL_NEW(items->arena, Layout);
    layout->items = items;
    layout->now.frames[0] = (Frame){0, 0, NONE, true};
    layout->now.frame_count = 1;
    layout->out = open_memstream(&buffer, &size);
    if (layout->out == NULL) {
        return NULL;
    }
    for (uint32_t first = 0; first < items->count;) {
        uint32_t end = measure(layout, first);
        if (end > first) {
            put(layout, first, end);
            first = end;
        }
    }
    bool failed = ferror(layout->out) != 0;
    if (fclose(layout->out) != 0 || failed) {
        free(buffer);
        return NULL;
    }
    char *text = join(layout, buffer);
    free(buffer);
    return text;
}

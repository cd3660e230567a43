#include "base/diag_print.h"

#include <string.h>

#include "base/context_internal.h"
#include "base/utf8.h"

#define TAB_STOP 4
// Longer source lines are clipped to a window of this many columns around the place.
#define MAX_WIDTH 110
#define LEAD 30 // columns kept before the place in a clipped line

static const char *const severity_names[] = {"error", "warning", "note"};

static bool printable(uint32_t code) {
    // Bidirectional controls can make text look like something else, so they count as control characters.
    return code != FBL_UTF8_INVALID && code >= 0x20 && !(code >= 0x7F && code < 0xA0) &&
           !(code >= 0x202A && code <= 0x202E) && !(code >= 0x2066 && code <= 0x2069);
}

static void put_code(FILE *out, const char *bytes, size_t length, uint32_t code) {
    if (printable(code)) {
        fwrite(bytes, 1, length, out);
    } else {
        fputs("\xEF\xBF\xBD", out);
    }
}

static void put_text(FILE *out, const char *text) {
    size_t left = strlen(text);
    while (left > 0) {
        uint32_t code;
        size_t length = fbl_utf8_decode(text, left, &code);
        if (code == '\n' || code == '\t') {
            fputc((int)code, out);
        } else {
            put_code(out, text, length, code);
        }
        text += length;
        left -= length;
    }
}

// Columns that the character takes when it stands at `column`.
static size_t width_at(uint32_t code, size_t column) {
    if (code == '\t') {
        return TAB_STOP - column % TAB_STOP;
    }
    return printable(code) ? (size_t)fbl_utf8_width(code) : 1;
}

static void repeat(FILE *out, char c, size_t count) {
    for (size_t i = 0; i < count; i++) {
        fputc(c, out);
    }
}

typedef struct Columns {
    size_t begin, end; // display columns of the place
    size_t total;      // and of the whole line
} Columns;

static Columns measure(const char *line, size_t length, size_t begin, size_t end) {
    Columns columns = {0, 0, 0};
    size_t column = 0;
    bool began = false;
    bool ended = false;
    for (size_t at = 0; at < length;) {
        uint32_t code;
        size_t bytes = fbl_utf8_decode(line + at, length - at, &code);
        if (!began && at + bytes > begin) {
            columns.begin = column;
            began = true;
        }
        if (!ended && at >= end) {
            columns.end = column;
            ended = true;
        }
        column += width_at(code, column);
        at += bytes;
    }
    columns.begin = began ? columns.begin : column;
    columns.end = ended ? columns.end : column;
    columns.total = column;
    return columns;
}

// Prints the display columns [from, to) of the line; tabs become spaces, and so does half of a wide character.
static void put_window(FILE *out, const char *line, size_t length, size_t from, size_t to) {
    size_t column = 0;
    for (size_t at = 0; at < length && column < to;) {
        uint32_t code;
        size_t bytes = fbl_utf8_decode(line + at, length - at, &code);
        size_t next = column + width_at(code, column);
        if (code == '\t' || column < from || next > to) {
            size_t first = column < from ? from : column;
            size_t last = next > to ? to : next;
            repeat(out, ' ', last > first ? last - first : 0);
        } else {
            put_code(out, line + at, bytes, code);
        }
        column = next;
        at += bytes;
    }
}

static void put_snippet(const FblContext *ctx, FblLoc loc, FILE *out) {
    const FblSourceEntry *entry = &ctx->sources[loc.file - 1];
    size_t place = loc.begin < entry->source.length ? loc.begin : entry->source.length;
    uint32_t number = fbl_source_line_of(entry, (uint32_t)place);
    size_t line_begin;
    size_t line_end;
    fbl_source_line_span(entry, number, &line_begin, &line_end);
    const char *line = entry->source.text + line_begin;
    size_t length = line_end - line_begin;
    // A place over several lines is underlined to the end of its first.
    size_t stop = loc.end > line_end ? line_end : loc.end;
    Columns columns = measure(line, length, place - line_begin, stop > line_begin ? stop - line_begin : 0);
    size_t from = 0;
    size_t to = columns.total;
    if (columns.total > MAX_WIDTH) {
        from = columns.begin > LEAD ? columns.begin - LEAD : 0;
        if (from + MAX_WIDTH > columns.total) {
            from = columns.total - MAX_WIDTH;
        }
        to = from + MAX_WIDTH;
    }
    const char *ahead = from > 0 ? "..." : "";
    fprintf(out, "%5u | %s", number + 1, ahead);
    put_window(out, line, length, from, to);
    fputs(to < columns.total ? "...\n" : "\n", out);
    size_t under_end = columns.end < to ? columns.end : to;
    fputs("      | ", out);
    repeat(out, ' ', strlen(ahead) + columns.begin - from);
    fputc('^', out);
    repeat(out, '~', under_end > columns.begin + 1 ? under_end - columns.begin - 1 : 0);
    fputc('\n', out);
}

static void put_place(const FblContext *ctx, FblLoc loc, FILE *out) {
    const FblSource *source = fbl_source_get(ctx, loc.file);
    if (source != NULL) {
        uint32_t line;
        uint32_t column;
        fbl_source_line_column(ctx, loc.file, loc.begin, &line, &column);
        put_text(out, source->path);
        fprintf(out, ":%u:%u: ", line, column);
    }
}

void fbl_diag_print_text(const FblContext *ctx, const FblDiag *diag, FILE *out) {
    put_place(ctx, diag->loc, out);
    fputs(severity_names[diag->severity], out);
    if (diag->id[0] != 0) {
        fprintf(out, "[%s]", diag->id);
    }
    fputs(": ", out);
    put_text(out, diag->message);
    fputc('\n', out);
    if (fbl_source_get(ctx, diag->loc.file) != NULL) {
        put_snippet(ctx, diag->loc, out);
    }
    for (size_t i = 0; i < diag->note_count; i++) {
        put_place(ctx, diag->notes[i].loc, out);
        fputs("note: ", out);
        put_text(out, diag->notes[i].message);
        fputc('\n', out);
        if (fbl_source_get(ctx, diag->notes[i].loc.file) != NULL) {
            put_snippet(ctx, diag->notes[i].loc, out);
        }
    }
    if (diag->hint != NULL) {
        fputs("hint: ", out);
        put_text(out, diag->hint);
        fputc('\n', out);
    }
}

static void json_string(FILE *out, const char *text) {
    size_t left = strlen(text);
    fputc('"', out);
    while (left > 0) {
        uint32_t code;
        size_t length = fbl_utf8_decode(text, left, &code);
        if (code == '"' || code == '\\') {
            fprintf(out, "\\%c", (char)code);
        } else if (code == '\n') {
            fputs("\\n", out);
        } else if (code == '\t') {
            fputs("\\t", out);
        } else if (code < 0x20 || code == 0x7F) {
            fprintf(out, "\\u%04x", code);
        } else if (code == FBL_UTF8_INVALID) {
            fputs("\xEF\xBF\xBD", out);
        } else {
            fwrite(text, 1, length, out);
        }
        text += length;
        left -= length;
    }
    fputc('"', out);
}

static void json_place(const FblContext *ctx, FblLoc loc, FILE *out) {
    const FblSource *source = fbl_source_get(ctx, loc.file);
    uint32_t line;
    uint32_t column;
    uint32_t end_line;
    uint32_t end_column;
    fbl_source_line_column(ctx, loc.file, loc.begin, &line, &column);
    fbl_source_line_column(ctx, loc.file, loc.end < loc.begin ? loc.begin : loc.end, &end_line, &end_column);
    fputs("\"file\":", out);
    if (source != NULL) {
        json_string(out, source->path);
    } else {
        fputs("null", out);
    }
    fprintf(out, ",\"line\":%u,\"column\":%u,\"end_line\":%u,\"end_column\":%u", line, column, end_line, end_column);
}

void fbl_diag_print_json(const FblContext *ctx, const FblDiag *diag, FILE *out) {
    fprintf(out, "{\"severity\":\"%s\",\"id\":", severity_names[diag->severity]);
    json_string(out, diag->id);
    fputc(',', out);
    json_place(ctx, diag->loc, out);
    fputs(",\"message\":", out);
    json_string(out, diag->message);
    fputs(",\"notes\":[", out);
    for (size_t i = 0; i < diag->note_count; i++) {
        fputs(i > 0 ? ",{" : "{", out);
        json_place(ctx, diag->notes[i].loc, out);
        fputs(",\"message\":", out);
        json_string(out, diag->notes[i].message);
        fputc('}', out);
    }
    fputs("],\"hint\":", out);
    if (diag->hint != NULL) {
        json_string(out, diag->hint);
    } else {
        fputs("null", out);
    }
    fputs("}\n", out);
}

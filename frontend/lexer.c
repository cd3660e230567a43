#include "frontend/lexer.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/utf8.h"
#include "frontend/parse.h"
#include "frontend/lex.h"

#include "frontend/parser.h"

// ------------------------------------------------------------------------------------------------------- characters

// Blocks of Unicode that hold letters, digits and combining marks, without a table of every character: the scripts
// people write mathematics and names in. What lies between (operators, arrows, quotes, spaces) is no identifier.
static bool is_letter(uint32_t code) {
    static const uint32_t ranges[][2] = {
        {0xAA, 0xAA},       {0xB5, 0xB5},       {0xBA, 0xBA},       {0xC0, 0xD6},     {0xD8, 0xF6},
        {0xF8, 0x2C1},      {0x300, 0x374},     {0x376, 0x377},     {0x37A, 0x37D},   {0x37F, 0x386},
        {0x388, 0x481},     {0x483, 0x556},     {0x561, 0x587},     {0x591, 0x5BD},   {0x5D0, 0x5EA},
        {0x620, 0x669},     {0x671, 0x6D3},     {0x900, 0x963},     {0x966, 0x96F},   {0xE01, 0xE3A},
        {0x10A0, 0x10FF},   {0x1D00, 0x1FBC},   {0x1FC2, 0x1FCC},   {0x1FD0, 0x1FDB}, {0x1FE0, 0x1FEC},
        {0x1FF2, 0x1FFC},   {0x2080, 0x2089},   {0x2090, 0x209C},   {0x20D0, 0x20F0}, {0x2102, 0x2102},
        {0x210A, 0x2113},   {0x2115, 0x2115},   {0x2119, 0x211D},   {0x2124, 0x2124}, {0x2126, 0x2126},
        {0x2128, 0x2128},   {0x212A, 0x2138},   {0x3041, 0x3096},   {0x30A1, 0x30FA}, {0x3105, 0x312F},
        {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xAC00, 0xD7A3},   {0xF900, 0xFAD9}, {0x1D400, 0x1D6C0},
        {0x1D6C2, 0x1D6DA}, {0x1D6DC, 0x1D6FA}, {0x1D6FC, 0x1D714}, {0x1D716, 0x1D7FF}, {0x20000, 0x323AF},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (code >= ranges[i][0] && code <= ranges[i][1]) {
            return true;
        }
    }
    return false;
}

size_t fbl_identifier_prefix(const char *text, size_t length) {
    size_t used = 0;
    while (used < length) {
        uint32_t code = 0;
        size_t bytes = fbl_utf8_decode(text + used, length - used, &code);
        bool good = code < 0x80 ? (isalnum((int)code) || code == '_') : is_letter(code);
        if (code == FBL_UTF8_INVALID || !good) {
            break;
        }
        used += bytes;
    }
    return used;
}

const char *fbl_character_hint(uint32_t code) {
    static const struct {
        uint32_t code;
        const char *ascii;
    } hints[] = {
        {0xA0, "a plain space"}, {0xD7, "*"},    {0xB7, "*"},    {0xF7, "/"},     {0xB2, "^2"},    {0xB3, "^3"},
        {0xAC, "not"},           {0x2010, "-"},  {0x2013, "-"},  {0x2014, "-"},   {0x2212, "-"},   {0x2018, "\""},
        {0x2019, "\""},          {0x201C, "\""}, {0x201D, "\""}, {0x2026, ".."},  {0x2190, "<-"},  {0x2192, "->"},
        {0x2208, "in"},          {0x2211, "sum(x, over=axis)"},  {0x221A, "sqrt(x)"},              {0x2227, "and"},
        {0x2228, "or"},          {0x2260, "!="}, {0x2264, "<="}, {0x2265, ">="},  {0x22C5, "*"},   {0x2217, "*"},
        {0x221E, "1e38"},        {0xFF08, "("},  {0xFF09, ")"},  {0xFF0C, ","},   {0xFF1A, ":"},   {0xFF1D, "="},
    };
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++) {
        if (hints[i].code == code) {
            return hints[i].ascii;
        }
    }
    return NULL;
}

static bool is_reserved(const char *name) {
    static const char *const words[] = {"if",  "then", "else", "for",  "return", "as",
                                        "and", "or",   "not",  "true", "false"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i], name) == 0) {
            return true;
        }
    }
    return false;
}

bool fbl_is_identifier(const char *name) {
    size_t length = strlen(name);
    return length > 0 && !isdigit((unsigned char)name[0]) && fbl_identifier_prefix(name, length) == length &&
           !is_reserved(name);
}

// ----------------------------------------------------------------------------------------------------------- errors

struct FblDiag *fbl_lexer_error(FblLexer *lexer, const char *id, uint32_t begin, uint32_t end, const char *format,
                                ...) {
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    lexer->has_error = true;
    lexer->error_offset = begin;
    struct FblDiag *diag = fbl_diag(lexer->ctx, FBL_ERROR, id, (FblLoc){lexer->file, begin, end}, "%s", message);
    if (fbl_diag_error_count(lexer->ctx) >= FBL_DIAG_MAX_ERRORS) {
        lexer->stopped = true;
    }
    return diag;
}

bool fbl_lexer_error_on_line(const FblLexer *lexer, uint32_t offset) {
    if (!lexer->has_error) {
        return false;
    }
    uint32_t low = offset < lexer->error_offset ? offset : lexer->error_offset;
    uint32_t high = offset < lexer->error_offset ? lexer->error_offset : offset;
    return memchr(lexer->text + low, '\n', high - low) == NULL;
}

// ----------------------------------------------------------------------------------------- for the raw scanner

void fbl_lexer_piece_add(FblLexer *lexer, const char *text, size_t length) {
    if (lexer->piece_length + length > lexer->piece_capacity) {
        size_t capacity = (lexer->piece_length + length) * 2 + 64; // the source is at most 16 MB
        char *piece = realloc(lexer->piece, capacity);
        if (piece == NULL) {
            fbl_out_of_memory();
        }
        lexer->piece = piece;
        lexer->piece_capacity = capacity;
    }
    memcpy(lexer->piece + lexer->piece_length, text, length);
    lexer->piece_length += length;
}

const char *fbl_lexer_piece_take(FblLexer *lexer) {
    const char *text = fbl_arena_strndup(fbl_context_arena(lexer->ctx), lexer->piece, lexer->piece_length);
    lexer->piece_length = 0;
    return text;
}

void fbl_lexer_comment(FblLexer *lexer, uint32_t begin, uint32_t end) {
    while (end > begin && isspace((unsigned char)lexer->text[end - 1])) {
        end--;
    }
    if (lexer->keep_comments) {
        lexer->comments = fbl_arena_grow(fbl_context_arena(lexer->ctx), lexer->comments, lexer->comment_count,
                                         &lexer->comment_capacity, sizeof *lexer->comments);
        lexer->comments[lexer->comment_count++] =
            (FblComment){{lexer->file, begin, end}, lexer->newlines, lexer->line_begin};
    }
    lexer->newlines = 0;
}

// ------------------------------------------------------------------------------------------------------- life cycle

// Text that no editor would show as a program: reported once instead of as thousands of unexpected characters.
static FblStatus check_text(FblContext *ctx, uint32_t file, const char *text, size_t length) {
    if (length > FBL_SOURCE_MAX_BYTES) {
        return fbl_error(ctx, "E0008", (FblLoc){file, 0, 0}, "this file is too large: %zu bytes, at most %zu are read",
                         length, FBL_SOURCE_MAX_BYTES);
    }
    for (size_t i = 0; i < length;) {
        uint32_t code = 0;
        size_t bytes = fbl_utf8_decode(text + i, length - i, &code);
        if (code == FBL_UTF8_INVALID || code == 0) {
            FblLoc loc = {file, (uint32_t)i, (uint32_t)i + 1};
            if (code == 0) {
                return fbl_error(ctx, "E0007", loc, "this is not a text file: it holds a NUL byte");
            }
            FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0007", loc, "this is not UTF-8: byte 0x%02X at offset %zu",
                                     (unsigned)(unsigned char)text[i], i);
            fbl_diag_hint(ctx, diag, "save the file in the encoding UTF-8");
            return FBL_USER;
        }
        i += bytes;
    }
    return FBL_OK;
}

FblStatus fbl_lexer_init(FblLexer *lexer, FblContext *ctx, uint32_t file, bool keep_comments) {
    *lexer = (FblLexer){.ctx = ctx, .file = file, .keep_comments = keep_comments, .quote = '"'};
    const FblSource *source = fbl_source_get(ctx, file);
    FBL_TRY(check_text(ctx, file, source->text, source->length));
    lexer->text = source->text;
    lexer->length = (uint32_t)source->length;
    uint32_t mark = lexer->length >= 3 && memcmp(lexer->text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0; // byte order mark
    if (fbl_lex_lex_init_extra(lexer, &lexer->scanner) != 0) {
        fbl_out_of_memory();
    }
    fbl_lex__scan_bytes(lexer->text + mark, (int)(lexer->length - mark), lexer->scanner);
    lexer->offset = mark;
    return FBL_OK;
}

void fbl_lexer_deinit(FblLexer *lexer) {
    if (lexer->scanner != NULL) {
        fbl_lex_lex_destroy(lexer->scanner);
    }
    free(lexer->piece);
    lexer->scanner = NULL;
    lexer->piece = NULL;
}

// ------------------------------------------------------------------------------------------------- newline rules

// The next raw token that is no newline; *out_newline is the first newline before it, its kind 0 when there is none.
static FblToken scan(FblLexer *lexer, FblToken *out_newline) {
    if (lexer->has_ahead) {
        lexer->has_ahead = false;
        *out_newline = lexer->newline_ahead;
        return lexer->ahead;
    }
    *out_newline = (FblToken){0};
    for (;;) {
        FblToken token = {0};
        fbl_lexer_scan(&token, lexer->scanner);
        if (token.kind != FBL_TOKEN_NEWLINE) {
            if (!lexer->line_started) {
                lexer->line_indent = token.loc.begin - lexer->line_begin;
                lexer->line_started = true;
            }
            token.line_begin = lexer->line_begin;
            token.line_indent = lexer->line_indent;
            token.newlines_before = lexer->newlines;
            lexer->newlines = 0;
            return token;
        }
        if (lexer->text[token.loc.begin] == '\n') {
            lexer->newlines++;
            lexer->line_begin = token.loc.end;
            lexer->line_started = false;
        }
        if (out_newline->kind == 0) {
            *out_newline = token;
        }
    }
}

static bool is_continuing(int kind) {
    switch (kind) {
    case 0: case FBL_TOKEN_NEWLINE: case '{': case ',': case '=': case ':': case '+': case '-': case '*': case '/':
    case '%': case '^': case '<': case '>': case FBL_TOKEN_IDIV: case FBL_TOKEN_EQ: case FBL_TOKEN_NE:
    case FBL_TOKEN_LE: case FBL_TOKEN_GE: case FBL_TOKEN_AND: case FBL_TOKEN_OR: case FBL_TOKEN_NOT:
    case FBL_TOKEN_PIPE: case FBL_TOKEN_ARROW: case FBL_TOKEN_UPDATE: case FBL_TOKEN_RANGE: case FBL_TOKEN_THEN:
    case FBL_TOKEN_ELSE: case FBL_TOKEN_IF: case FBL_TOKEN_AS:
        return true;
    default:
        return false;
    }
}

static bool is_declaration(int kind) {
    return kind == FBL_TOKEN_IMPORT || kind == FBL_TOKEN_CONST || kind == FBL_TOKEN_FN || kind == FBL_TOKEN_LAYER ||
           kind == FBL_TOKEN_MODEL || kind == FBL_TOKEN_LOSS || kind == FBL_TOKEN_TRAIN;
}

static bool in_brackets(const FblLexer *lexer) {
    return lexer->open_count > 0 && lexer->open[lexer->open_count - 1].bracket != '{';
}

static void forget_brackets(FblLexer *lexer) {
    while (in_brackets(lexer)) {
        lexer->open_count--;
    }
}

// A declaration at the left margin: `loss name(`, but not an argument `loss = ...`.
static bool begins_declaration(const FblLexer *lexer, const FblToken *token) {
    if (!is_declaration(token->kind) || token->line_begin != token->loc.begin) {
        return false;
    }
    const char *after = lexer->text + token->loc.end;
    after += strspn(after, " \t");
    return isalpha((unsigned char)*after) || *after == '_' || *after == '"' || *after == '{' ||
           (unsigned char)*after >= 0x80;
}

// True when `token`, first on its line and inside brackets, shows that a bracket before was never closed: a keyword
// that starts a statement, or after an error a line that is indented no deeper than the bracket's.
static bool shows_unclosed(const FblLexer *lexer, const FblToken *token) {
    if (token->kind == FBL_TOKEN_RETURN || token->kind == FBL_TOKEN_FOR || begins_declaration(lexer, token)) {
        return true;
    }
    if (!lexer->recovering) {
        return false;
    }
    size_t outermost = lexer->open_count;
    while (outermost > 0 && lexer->open[outermost - 1].bracket != '{') {
        outermost--;
    }
    return token->loc.begin - token->line_begin <= lexer->open[outermost].indent &&
           token->kind != ')' && token->kind != ']';
}

static void give_up(FblLexer *lexer, FblLoc loc) {
    FblDiag *diag = fbl_lexer_error(lexer, "E0006", loc.begin, loc.end, "brackets are nested deeper than %d levels",
                                    FBL_LEXER_MAX_OPEN);
    fbl_diag_hint(lexer->ctx, diag, "give a part of it a name, or move it to a function of its own");
    lexer->stopped = true;
}

static void open_bracket(FblLexer *lexer, const FblToken *token, char bracket) {
    if (lexer->open_count == FBL_LEXER_MAX_OPEN) {
        give_up(lexer, token->loc);
        return;
    }
    lexer->open[lexer->open_count++] =
        (FblOpenBracket){bracket, token->loc, token->line_indent};
}

// Closes the nearest `bracket`, looking past others but not out of a block; a stray one is left to the parser.
static void close_bracket(FblLexer *lexer, char bracket) {
    for (size_t i = lexer->open_count; i > 0; i--) {
        if (lexer->open[i - 1].bracket == bracket) {
            lexer->open_count = i - 1;
            return;
        }
        if (lexer->open[i - 1].bracket == '{') {
            return;
        }
    }
}

static FblToken give(FblLexer *lexer, FblToken token) {
    lexer->previous = token;
    return token;
}

static FblToken give_newline(FblLexer *lexer, const FblToken *next) {
    lexer->ahead = *next;
    lexer->has_ahead = true;
    lexer->newline_ahead = (FblToken){0};
    // The place of a missing thing is right after the last token, before blanks and comments.
    uint32_t at = lexer->previous.loc.end;
    return give(lexer, (FblToken){.kind = FBL_TOKEN_NEWLINE, .loc = {lexer->file, at, at}});
}

// Passes over a block whose `{` has been read.
static void skip_block(FblLexer *lexer) {
    for (size_t depth = 1; depth > 0 && !lexer->stopped;) {
        FblToken newline;
        FblToken token = scan(lexer, &newline);
        if (token.kind == 0 || begins_declaration(lexer, &token)) {
            lexer->ahead = token;
            lexer->newline_ahead = newline;
            lexer->has_ahead = true;
            return;
        }
        depth += token.kind == '{';
        depth -= token.kind == '}';
        lexer->previous = token;
    }
}

FblToken fbl_lexer_next(FblLexer *lexer) {
    for (;;) {
        FblToken newline;
        FblToken token = {.loc = {lexer->file, lexer->length, lexer->length}};
        newline = (FblToken){0};
        if (!lexer->stopped) {
            token = scan(lexer, &newline);
        }
        if (lexer->stopped) {
            return (FblToken){.loc = {lexer->file, lexer->length, lexer->length}};
        }
        bool broken = newline.kind != 0;
        bool bracket_lost = false;
        if (broken && in_brackets(lexer)) {
            bool in_string = false;
            for (size_t i = lexer->open_count; i > 0 && lexer->open[i - 1].bracket != '{'; i--) {
                in_string |= lexer->open[i - 1].bracket == '"';
            }
            if (in_string && lexer->interpolated > 0) {
                fbl_lexer_error(lexer, "E0004", lexer->string_begin, newline.loc.begin, "this string is not closed");
                lexer->interpolated = 0;
            }
            bracket_lost = in_string || shows_unclosed(lexer, &token);
            if (bracket_lost) {
                forget_brackets(lexer);
            }
        }
        if (token.kind == 0 || token.kind == '{' || token.kind == '}') {
            bracket_lost |= token.kind == 0 && in_brackets(lexer);
            forget_brackets(lexer);
        }
        bool ends = (broken && !in_brackets(lexer)) || token.kind == 0;
        if (bracket_lost && lexer->previous.kind != FBL_TOKEN_NEWLINE) {
            return give_newline(lexer, &token);
        }
        if (ends && !is_continuing(lexer->previous.kind) && token.kind != FBL_TOKEN_PIPE &&
            token.kind != FBL_TOKEN_THEN && token.kind != FBL_TOKEN_ELSE) {
            return give_newline(lexer, &token);
        }
        if (broken && !in_brackets(lexer) && is_continuing(lexer->previous.kind) && lexer->previous.kind != 0 &&
            lexer->previous.kind != FBL_TOKEN_NEWLINE && lexer->previous.kind != '{') {
            lexer->continued = lexer->previous;
            lexer->continued_line = token.loc.begin;
        }
        if (lexer->recovering && token.kind == '{') {
            lexer->previous = token;
            skip_block(lexer);
            continue;
        }
        switch (token.kind) {
        case '(': case '[': case '{':
            open_bracket(lexer, &token, (char)token.kind);
            break;
        case FBL_TOKEN_INTERPOLATION_OPEN:
            open_bracket(lexer, &token, '"');
            break;
        case ')':
            close_bracket(lexer, '(');
            break;
        case ']':
            close_bracket(lexer, '[');
            break;
        case '}':
            if (lexer->open_count > 0) {
                lexer->open_count--;
            }
            break;
        case FBL_TOKEN_INTERPOLATION_CLOSE:
            close_bracket(lexer, '"');
            break;
        default:
            break;
        }
        return give(lexer, token);
    }
}

void fbl_lexer_recover(FblLexer *lexer, const FblToken *found) {
    lexer->recovering = true;
    if (found->newlines_before > 0 && in_brackets(lexer) && shows_unclosed(lexer, found)) {
        forget_brackets(lexer);
    }
    if (found->kind == '{' && lexer->open_count > 0) {
        lexer->open_count--;
        skip_block(lexer);
    }
}

void fbl_lexer_recovered(FblLexer *lexer) { lexer->recovering = false; }

// The token stream: flex's raw tokens, with newlines kept only where they end a statement.
//
// A newline ends a statement unless it is inside ( or [, follows an operator, a comma or an opening brace, or comes
// before `|>`, `then` or `else`. Token kinds are bison's (FBL_TOKEN_... in the generated frontend/parse.h).
// Ownership: init/deinit pair; names and texts of tokens live in the context. Threads: as the context.
#ifndef FBL_FRONTEND_LEXER_H
#define FBL_FRONTEND_LEXER_H

#include "base/context.h"

// Deepest nesting of brackets and braces; deeper input is refused (E0006).
#define FBL_LEXER_MAX_OPEN 200

typedef struct FblNumber {
    bool is_int;
    double value;
    int64_t integer;
} FblNumber;

typedef struct FblToken {
    int kind;
    FblLoc loc;
    uint32_t newlines_before; // newlines between the token or comment before and this one
    uint32_t line_begin;      // offset of the line it stands on
    uint32_t line_indent;     // column (from 0) of the first token of that line
    union {
        FblName name;     // identifiers and contextual keywords
        const char *text; // pieces of strings
        FblNumber number;
    };
} FblToken;

// A comment, `#` included, line end and trailing blanks not.
typedef struct FblComment {
    FblLoc loc;
    uint32_t newlines_before;
    uint32_t line_begin;
} FblComment;

typedef struct FblOpenBracket {
    char bracket; // '(' '[' '{', or '"' for an interpolation in a string
    FblLoc loc;
    uint32_t indent; // of the line it stands on
} FblOpenBracket;

typedef struct FblLexer {
    FblContext *ctx;
    uint32_t file;
    const char *text;
    uint32_t length;

    // The raw scanner's state.
    void *scanner;
    uint32_t offset;       // of the next byte
    uint32_t newlines;     // since the last token or comment
    uint32_t line_begin;   // of the current line
    uint32_t line_indent;  // of the current line, once its first token has been read
    bool line_started;
    uint32_t interpolated; // depth of `"{ ... }"`
    char *piece;           // the text of the string read so far (malloc'ed)
    size_t piece_length, piece_capacity;
    uint32_t piece_begin, string_begin;
    char quote;

    // The newline rules' state.
    FblToken ahead, newline_ahead;
    bool has_ahead;
    FblToken previous;  // last token given out; kind 0 at first
    FblToken continued; // operator after which the last newline was passed over
    uint32_t continued_line;
    FblOpenBracket open[FBL_LEXER_MAX_OPEN];
    size_t open_count;

    // Comments in order; NULL unless keep_comments.
    bool keep_comments;
    FblComment *comments;
    size_t comment_count, comment_capacity;

    // Errors.
    bool stopped;    // gave up: only the end of input follows, and nothing more is to be reported
    bool recovering; // the parser skips to the end of a faulty statement
    bool has_error;
    uint32_t error_offset; // of the last lexical error
} FblLexer;

// Starts on source `file`; refuses text that is empty, binary or not UTF-8 with a diagnostic (FBL_USER).
FblStatus fbl_lexer_init(FblLexer *lexer, FblContext *ctx, uint32_t file, bool keep_comments);
void fbl_lexer_deinit(FblLexer *lexer);

// The next token; kind 0 (YYEOF) at the end, again and again.
FblToken fbl_lexer_next(FblLexer *lexer);

// The parser met a syntax error at `found`, the token given out last: until fbl_lexer_recovered, blocks in braces are
// passed over whole, and a line that is indented no deeper than the one with an unclosed bracket ends the statement.
void fbl_lexer_recover(FblLexer *lexer, const FblToken *found);
void fbl_lexer_recovered(FblLexer *lexer);

// Adds a lexical error.
struct FblDiag *fbl_lexer_error(FblLexer *lexer, const char *id, uint32_t begin, uint32_t end, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

// True when a lexical error was reported on the line of `offset` or the line that ends there.
bool fbl_lexer_error_on_line(const FblLexer *lexer, uint32_t offset);

// Length of the longest prefix of `text` that consists of whole letters, digits and `_`.
size_t fbl_identifier_prefix(const char *text, size_t length);

// An ASCII spelling to suggest for a character that .fbl does not know ("*" for U+00D7), or NULL.
const char *fbl_character_hint(uint32_t code);

// ---- between the raw scanner (lex.l) and the token stream

// The next raw token; newlines come as FBL_TOKEN_NEWLINE each.
int fbl_lexer_scan(FblToken *token, void *scanner);
// Adds text to the string piece being read.
void fbl_lexer_piece_add(FblLexer *lexer, const char *text, size_t length);
// Ends the piece: its text in the arena.
const char *fbl_lexer_piece_take(FblLexer *lexer);
// Stores a comment.
void fbl_lexer_comment(FblLexer *lexer, uint32_t begin, uint32_t end);

#endif

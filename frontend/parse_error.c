// The text of syntax errors: what was found, what may stand there, and what the writer probably meant.
#include "frontend/parse_actions.h"

#include <stdio.h>
#include <string.h>

#include "base/diag.h"
#include "frontend/parse.h"

typedef bool (*ExpectedFn)(const void *data, int token);

static bool is_name(int kind) {
    switch (kind) {
    case FBL_TOKEN_NAME: case FBL_TOKEN_IMPORT: case FBL_TOKEN_CONST: case FBL_TOKEN_FN: case FBL_TOKEN_LAYER:
    case FBL_TOKEN_MODEL: case FBL_TOKEN_LOSS: case FBL_TOKEN_TRAIN: case FBL_TOKEN_PARAM: case FBL_TOKEN_STATE:
    case FBL_TOKEN_AXIS: case FBL_TOKEN_STAGE: case FBL_TOKEN_IN:
        return true;
    default:
        return false;
    }
}

static bool is_comparison(int kind) {
    return kind == FBL_TOKEN_EQ || kind == FBL_TOKEN_NE || kind == '<' || kind == FBL_TOKEN_LE || kind == '>' ||
           kind == FBL_TOKEN_GE;
}

static const char *source_text(FblParser *parser, FblLoc loc) {
    uint32_t length = loc.end - loc.begin;
    const char *text = parser->lexer.text + loc.begin;
    if (length > 40) {
        length = 40;
        while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80) {
            length--;
        }
    }
    return fbl_arena_strndup(parser->arena, text, length);
}

// "the name `x`", "`)`", "the end of the line".
static const char *found_text(FblParser *parser, const FblToken *token) {
    switch (token->kind) {
    case 0:
        return "the end of the file";
    case FBL_TOKEN_NEWLINE:
        return "the end of the line";
    case FBL_TOKEN_STRING_OPEN:
        return "a string";
    case FBL_TOKEN_STRING_CLOSE:
        return "the end of the string";
    case FBL_TOKEN_NUMBER:
        return fbl_arena_printf(parser->arena, "the number `%s`", source_text(parser, token->loc));
    case FBL_TOKEN_NAME:
        return fbl_arena_printf(parser->arena, "the name `%s`", source_text(parser, token->loc));
    case FBL_TOKEN_INTERPOLATION_CLOSE:
        return "`}`";
    default:
        return fbl_arena_printf(parser->arena, "`%s`", source_text(parser, token->loc));
    }
}

// What may stand there, the most telling first.
static const char *expected_text(FblParser *parser, ExpectedFn is_expected, const void *data) {
    static const struct {
        int token;
        const char *text;
    } items[] = {
        {')', "`)`"},
        {']', "`]`"},
        {FBL_TOKEN_INTERPOLATION_CLOSE, "`}`"},
        {',', "`,`"},
        {FBL_TOKEN_THEN, "`then`"},
        {FBL_TOKEN_ELSE, "`else`"},
        {FBL_TOKEN_IN, "`in`"},
        {FBL_TOKEN_ARROW, "`->`"},
        {'{', "`{`"},
        {'=', "`=`"},
        {'(', "`(`"},
        {':', "`:`"},
        {'}', "`}`"},
        {FBL_TOKEN_NEWLINE, "the end of the line"},
    };
    bool expression = is_expected(data, FBL_TOKEN_NUMBER);
    bool name = !expression && is_expected(data, FBL_TOKEN_NAME);
    bool string = !expression && is_expected(data, FBL_TOKEN_STRING_OPEN);
    bool operand_done = is_expected(data, '+'); // an operator may follow, so a whole expression is behind
    const char *parts[24];
    size_t count = 0;
    if (parser->last.kind == 0 && is_expected(data, '}')) {
        return "`}`";
    }
    if (expression) {
        parts[count++] = is_expected(data, FBL_TOKEN_RETURN) ? "a statement" : "an expression";
    } else if (is_expected(data, FBL_TOKEN_IMPORT) && !name) {
        parts[count++] = "a declaration (`import`, `const`, `fn`, `layer`, `model`, `loss` or `train`)";
    } else if (name) {
        parts[count++] = "a name";
    }
    if (string) {
        parts[count++] = "a string";
    }
    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++) {
        int token = items[i].token;
        if (!is_expected(data, token) || ((expression || name) && (token == FBL_TOKEN_IN || token == FBL_TOKEN_NEWLINE))) {
            continue;
        }
        // Inside an expression that may go on, only what closes or continues the construct around it is worth naming.
        if (operand_done && (token == '(' || token == '=' || token == FBL_TOKEN_ARROW || token == ':')) {
            continue;
        }
        if (expression && (token == '(' || token == ':' || token == ',')) {
            continue;
        }
        if (token == '}' && is_expected(data, FBL_TOKEN_NEWLINE) && count > 0) {
            continue;
        }
        if (token == ',' && is_expected(data, FBL_TOKEN_NEWLINE)) {
            continue;
        }
        if (token == FBL_TOKEN_NEWLINE && (is_expected(data, FBL_TOKEN_IMPORT) && count > 0)) {
            continue;
        }
        if (token == '}' && count == 0 && is_expected(data, FBL_TOKEN_NEWLINE)) {
            continue;
        }
        parts[count++] = items[i].text;
    }
    if (count == 0) {
        return operand_done ? "an operator" : is_expected(data, 0) ? "the end of the file" : "something else";
    }
    const char *text = parts[0];
    for (size_t i = 1; i < count; i++) {
        text = fbl_arena_printf(parser->arena, "%s%s%s", text, i + 1 == count ? " or " : ", ", parts[i]);
    }
    return text;
}

// Words that other languages use where .fbl has another one.
static const char *foreign_word(const char *word) {
    static const struct {
        const char *word, *hint;
    } words[] = {
        {"def", "a function is declared `fn name(x) { ... }`"},
        {"func", "a function is declared `fn name(x) { ... }`"},
        {"function", "a function is declared `fn name(x) { ... }`"},
        {"lambda", "a function is declared `fn name(x) { ... }`"},
        {"elif", "write `else if`"},
        {"elseif", "write `else if`"},
        {"elsif", "write `else if`"},
        {"while", "loops run over a range or a list: `for i in 0..n-1 { ... }`"},
        {"let", "a name is bound by `name = value` alone"},
        {"var", "a name is bound by `name = value` alone"},
        {"val", "a name is bound by `name = value` alone"},
        {"mut", "a name is bound by `name = value` alone"},
        {"from", "write `import \"file.fbl\"`"},
        {"include", "write `import \"file.fbl\"`"},
        {"use", "write `import \"file.fbl\"`"},
        {"is", "write `==`"},
        {"mod", "write `%`"},
        {"div", "write `//`"},
        {"xor", "write `!=`"},
        {"do", "a block is written in braces"},
        {"end", "a block is written in braces"},
        {"begin", "a block is written in braces"},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i].word, word) == 0) {
            return words[i].hint;
        }
    }
    return NULL;
}

static const char *nearest_declaration(const char *word) {
    static const char *const words[] = {"import", "const", "fn", "layer", "model", "loss", "train"};
    return fbl_nearest_name(word, words, sizeof words / sizeof words[0]);
}

static bool on_line_of(FblParser *parser, uint32_t earlier, uint32_t later) {
    return earlier <= later && memchr(parser->lexer.text + earlier, '\n', later - earlier) == NULL;
}

// True when the statement goes on from the line above, which ended in an operator.
static bool is_continued(FblParser *parser) {
    return parser->lexer.continued.kind != 0 && parser->lexer.continued_line <= parser->last.loc.begin &&
           on_line_of(parser, parser->lexer.continued_line, parser->last.loc.begin);
}

static void add_hints(FblParser *parser, FblDiag *diag, ExpectedFn is_expected, const void *data) {
    FblContext *ctx = parser->ctx;
    const FblToken *found = &parser->last;
    const FblToken *before = &parser->before;
    bool operand_done = is_expected(data, '+');
    bool top_level = !is_expected(data, FBL_TOKEN_NAME) && is_expected(data, FBL_TOKEN_IMPORT);
    const char *word = found->kind == FBL_TOKEN_NAME ? found->name : NULL;
    const char *before_word = before->kind == FBL_TOKEN_NAME ? before->name : NULL;
    if (is_continued(parser)) {
        fbl_diag_note(ctx, diag, parser->lexer.continued.loc, "the line above ends in `%s`, so it goes on here",
                      source_text(parser, parser->lexer.continued.loc));
    } else if (word != NULL && foreign_word(word) != NULL) {
        fbl_diag_hint(ctx, diag, "%s", foreign_word(word));
    } else if (before_word != NULL && foreign_word(before_word) != NULL && !top_level) {
        fbl_diag_hint(ctx, diag, "%s", foreign_word(before_word));
    } else if (top_level && word != NULL && nearest_declaration(word) != NULL) {
        fbl_diag_hint(ctx, diag, "did you mean `%s`?", nearest_declaration(word));
    } else if (top_level && (word != NULL || is_name(found->kind))) {
        fbl_diag_hint(ctx, diag, "statements stand inside a declaration; a value for the whole file is `const name = value`");
    } else if (top_level && found->kind == '}') {
        fbl_diag_hint(ctx, diag, "this `}` closes nothing");
    } else if (found->kind == FBL_TOKEN_IDIV && !operand_done) {
        fbl_diag_hint(ctx, diag, "a comment starts with `#`");
    } else if (found->kind == '=' && operand_done) {
        if (is_expected(data, FBL_TOKEN_THEN) || is_expected(data, '{')) {
            fbl_diag_hint(ctx, diag, "`==` compares, `=` binds a name");
        }
    } else if (is_comparison(found->kind) && operand_done) {
        fbl_diag_hint(ctx, diag, "comparisons do not chain: write `a < b and b < c`");
    } else if (found->kind == FBL_TOKEN_UPDATE && operand_done) {
        fbl_diag_hint(ctx, diag, "`<-` updates a state; to compare with a negative number put a space: `< -`");
    } else if (found->kind == FBL_TOKEN_IF && operand_done) {
        fbl_diag_hint(ctx, diag, "a choice is written `if c then a else b`");
    } else if (found->kind == ':' && operand_done) {
        if (is_expected(data, '{')) {
            fbl_diag_hint(ctx, diag, "a block is written in braces");
        } else if (is_expected(data, FBL_TOKEN_UPDATE)) {
            fbl_diag_hint(ctx, diag, "a name is bound by `name = value` alone; only parameters, `param` and `state` "
                                     "have a type");
        }
    } else if (found->kind == ':' && is_expected(data, '{')) {
        fbl_diag_hint(ctx, diag, "a block is written in braces");
    } else if (is_expected(data, FBL_TOKEN_ELSE) && operand_done && !is_expected(data, FBL_TOKEN_THEN)) {
        fbl_diag_hint(ctx, diag, "an `if` expression needs both values: `if c then a else b`");
    } else if (found->kind == FBL_TOKEN_NEWLINE && is_expected(data, '=') &&
               (parser->statement == FBL_TOKEN_PARAM || parser->statement == FBL_TOKEN_STATE)) {
        fbl_diag_hint(ctx, diag, "it needs a value to start from, such as `= zeros()`");
    } else if (found->kind == FBL_TOKEN_AS) {
        fbl_diag_hint(ctx, diag, "`as` names a call: `f(x) as name`");
    } else if (found->kind == FBL_TOKEN_PIPE) {
        fbl_diag_hint(ctx, diag, "a pipeline starts with a value: `x |> f`");
    } else if ((is_name(found->kind) || found->kind == FBL_TOKEN_NUMBER || found->kind == '(') && operand_done &&
               (is_name(before->kind) || before->kind == FBL_TOKEN_NUMBER || before->kind == ')') &&
               on_line_of(parser, before->loc.end, found->loc.begin)) {
        fbl_diag_hint(ctx, diag, "a product needs `*`, arguments a `,`");
    } else if (found->kind == '{' && is_expected(data, FBL_TOKEN_THEN)) {
        fbl_diag_hint(ctx, diag, "as a value, write `if c then a else b`");
    } else if (found->kind != FBL_TOKEN_NAME && is_expected(data, FBL_TOKEN_NAME) &&
               (found->kind == FBL_TOKEN_IF || found->kind == FBL_TOKEN_FOR || found->kind == FBL_TOKEN_THEN ||
                found->kind == FBL_TOKEN_ELSE || found->kind == FBL_TOKEN_AND || found->kind == FBL_TOKEN_OR ||
                found->kind == FBL_TOKEN_NOT || found->kind == FBL_TOKEN_RETURN || found->kind == FBL_TOKEN_TRUE ||
                found->kind == FBL_TOKEN_FALSE)) {
        fbl_diag_hint(ctx, diag, "`%s` is a reserved word", source_text(parser, found->loc));
    }
    // Where a bracket is missing, show the one that waits for it.
    for (size_t i = parser->lexer.open_count; i > 0; i--) {
        const FblOpenBracket *open = &parser->lexer.open[i - 1];
        if (found->loc.begin == open->loc.begin) {
            continue;
        }
        bool close = (open->bracket == '(' && is_expected(data, ')')) || (open->bracket == '[' && is_expected(data, ']'));
        if (close && !on_line_of(parser, open->loc.begin, found->loc.begin)) {
            fbl_diag_note(ctx, diag, open->loc, "this `%c` is still open", open->bracket);
        } else if (open->bracket == '{' && found->kind == 0) {
            fbl_diag_note(ctx, diag, open->loc, "this `{` is still open");
        }
        break;
    }
}

void fbl_parser_syntax_error(FblParser *parser, ExpectedFn is_expected, const void *data) {
    FblLexer *lexer = &parser->lexer;
    const FblToken *found = &parser->last;
    // A faulty character or string on the line has been reported, and what follows from it is no news.
    bool known = fbl_lexer_error_on_line(lexer, found->loc.begin) ||
                 (is_continued(parser) && fbl_lexer_error_on_line(lexer, lexer->continued.loc.begin));
    if (!lexer->stopped && !known) {
        FblDiag *diag = fbl_diag(parser->ctx, FBL_ERROR, "E0001", found->loc, "expected %s, found %s",
                                 expected_text(parser, is_expected, data), found_text(parser, found));
        add_hints(parser, diag, is_expected, data);
        if (fbl_diag_error_count(parser->ctx) >= FBL_DIAG_MAX_ERRORS) {
            lexer->stopped = true;
        }
    }
    fbl_lexer_recover(lexer, found);
}

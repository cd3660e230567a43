#include "ir/reader.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

FblStatus fbl_reader_init(FblReader *reader, FblContext *ctx, uint32_t file) {
    const FblSource *source = fbl_source_get(ctx, file);
    *reader = (FblReader){.ctx = ctx, .file = file};
    if (source == NULL) {
        return FBL_INTERNAL;
    }
    reader->text = source->text;
    reader->length = source->length;
    return fbl_reader_next(reader);
}

static FblStatus broken(FblReader *r, size_t begin, size_t end, const char *what) {
    r->token = FBL_TOKEN_END;
    return fbl_error(r->ctx, "E0210", (FblLoc){r->file, (uint32_t)begin, (uint32_t)end}, "%s", what);
}

static bool word_byte(char c) {
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static FblStatus lex_string(FblReader *r, size_t begin) {
    size_t i = begin + 1;
    size_t count = 0;
    while (i < r->length && r->text[i] != '"' && r->text[i] != '\n') {
        i += r->text[i] == '\\' ? 2 : 1;
    }
    if (i >= r->length || r->text[i] != '"') {
        return broken(r, begin, i < r->length ? i : r->length, "this string doesn't end");
    }
    size_t end = i;
    char *bytes = fbl_arena_alloc(fbl_context_arena(r->ctx), end - begin);
    for (i = begin + 1; i < end; i++) {
        char c = r->text[i];
        if (c == '\\') {
            c = r->text[++i];
            if (c == 'n') {
                c = '\n';
            } else if (c == 'x' && i + 2 < end && hex_digit(r->text[i + 1]) >= 0 && hex_digit(r->text[i + 2]) >= 0) {
                c = (char)(hex_digit(r->text[i + 1]) * 16 + hex_digit(r->text[i + 2]));
                i += 2;
            } else if (c != '"' && c != '\\') {
                return broken(r, i - 1, i + 1, "unknown escape in a string");
            }
        }
        if (c == '\0') {
            return broken(r, i, i + 1, "a string can't hold a zero byte");
        }
        bytes[count++] = c;
    }
    r->token = FBL_TOKEN_STRING;
    r->name = fbl_intern_n(r->ctx, bytes, count);
    r->next = end + 1;
    return FBL_OK;
}

static FblStatus lex_number(FblReader *r, size_t begin) {
    char digits[64];
    size_t end = begin;
    bool integer = true;
    while (end < r->length && end - begin < sizeof digits - 1) {
        char c = r->text[end];
        bool sign = (c == '-' || c == '+') && (end == begin || tolower((unsigned char)r->text[end - 1]) == 'e' ||
                                               tolower((unsigned char)r->text[end - 1]) == 'p');
        if (!sign && !word_byte(c)) {
            break;
        }
        integer &= isdigit((unsigned char)c) || end == begin;
        end++;
    }
    memcpy(digits, r->text + begin, end - begin);
    digits[end - begin] = '\0';
    char *stop;
    r->number = strtod(digits, &stop);
    if (stop == digits || *stop != '\0') {
        return broken(r, begin, end, "this is no number");
    }
    r->is_integer = integer;
    if (integer) {
        errno = 0;
        r->integer = strtoll(digits, NULL, 10);
        if (errno != 0) {
            r->integer = digits[0] == '-' ? INT64_MIN : INT64_MAX;
        }
        errno = 0;
        r->natural = digits[0] == '-' ? 0 : strtoull(digits, NULL, 10);
        r->is_integer = errno == 0;
    }
    r->token = FBL_TOKEN_NUMBER;
    r->next = end;
    return FBL_OK;
}

// %12 and ?3
static FblStatus lex_marked(FblReader *r, size_t begin, FblToken token) {
    size_t end = begin + 1;
    int64_t value = 0;
    while (end < r->length && isdigit((unsigned char)r->text[end]) && value < INT32_MAX) {
        value = value * 10 + (r->text[end++] - '0');
    }
    if (end == begin + 1 || value > INT32_MAX) {
        return broken(r, begin, end, token == FBL_TOKEN_NODE ? "this is no node" : "this is no symbolic extent");
    }
    r->token = token;
    r->integer = value;
    r->next = end;
    return FBL_OK;
}

static FblStatus lex(FblReader *r) {
    size_t i = r->next;
    while (i < r->length && (isspace((unsigned char)r->text[i]) || r->text[i] == '#')) {
        if (r->text[i] == '#') {
            while (i < r->length && r->text[i] != '\n') {
                i++;
            }
        } else {
            i++;
        }
    }
    r->next = i;
    r->loc = (FblLoc){r->file, (uint32_t)i, (uint32_t)i};
    if (i >= r->length) {
        r->token = FBL_TOKEN_END;
        return FBL_OK;
    }
    char c = r->text[i];
    if (isalpha((unsigned char)c) || c == '_') {
        size_t end = i;
        while (end < r->length && word_byte(r->text[end])) {
            end++;
        }
        r->token = FBL_TOKEN_WORD;
        r->name = fbl_intern_n(r->ctx, r->text + i, end - i);
        r->next = end;
        return FBL_OK;
    }
    if (c == '"') {
        return lex_string(r, i);
    }
    if (isdigit((unsigned char)c) || c == '-') {
        return lex_number(r, i);
    }
    if (c == '%') {
        return lex_marked(r, i, FBL_TOKEN_NODE);
    }
    if (c == '?') {
        return lex_marked(r, i, FBL_TOKEN_SYMBOLIC);
    }
    if (c != '\0' && strchr("{}()[]<>=,:", c) != NULL) {
        r->token = FBL_TOKEN_PUNCT;
        r->punct = c;
        r->next = i + 1;
        return FBL_OK;
    }
    return broken(r, i, i + 1, "unexpected byte");
}

FblStatus fbl_reader_next(FblReader *reader) {
    FBL_TRY(lex(reader));
    reader->loc.end = (uint32_t)reader->next;
    return FBL_OK;
}

FblStatus fbl_reader_expected(FblReader *reader, const char *what) {
    if (reader->token == FBL_TOKEN_END) {
        return fbl_error(reader->ctx, "E0210", reader->loc, "expected %s, found the end of the text", what);
    }
    size_t length = reader->loc.end - reader->loc.begin;
    return fbl_error(reader->ctx, "E0210", reader->loc, "expected %s, found `%.*s`", what,
                     (int)(length > 40 ? 40 : length), reader->text + reader->loc.begin);
}

bool fbl_reader_at(const FblReader *reader, char punct) {
    return reader->token == FBL_TOKEN_PUNCT && reader->punct == punct;
}

bool fbl_reader_at_word(const FblReader *reader, const char *word) {
    return reader->token == FBL_TOKEN_WORD && strcmp(reader->name, word) == 0;
}

FblStatus fbl_reader_punct(FblReader *reader, char punct) {
    if (!fbl_reader_at(reader, punct)) {
        char what[] = {'`', punct, '`', '\0'};
        return fbl_reader_expected(reader, what);
    }
    return fbl_reader_next(reader);
}

FblStatus fbl_reader_word(FblReader *reader, const char *word) {
    if (!fbl_reader_at_word(reader, word)) {
        return fbl_reader_expected(reader, fbl_arena_printf(fbl_context_arena(reader->ctx), "`%s`", word));
    }
    return fbl_reader_next(reader);
}

FblStatus fbl_reader_name(FblReader *reader, FblName *out_name) {
    if (reader->token != FBL_TOKEN_WORD && reader->token != FBL_TOKEN_STRING) {
        return fbl_reader_expected(reader, "a name");
    }
    *out_name = reader->name;
    return fbl_reader_next(reader);
}

FblStatus fbl_reader_integer(FblReader *reader, int64_t *out_value) {
    if (reader->token != FBL_TOKEN_NUMBER || !reader->is_integer) {
        return fbl_reader_expected(reader, "an integer");
    }
    *out_value = reader->integer;
    return fbl_reader_next(reader);
}

FblStatus fbl_reader_double(FblReader *reader, double *out_value) {
    if (reader->token == FBL_TOKEN_NUMBER) {
        *out_value = reader->number;
    } else if (fbl_reader_at_word(reader, "nan")) {
        *out_value = NAN;
    } else if (fbl_reader_at_word(reader, "inf")) {
        *out_value = INFINITY;
    } else {
        return fbl_reader_expected(reader, "a number");
    }
    return fbl_reader_next(reader);
}

static FblStatus read_extent(FblReader *r, int64_t *out_extent) {
    FBL_TRY(fbl_reader_punct(r, '='));
    if (r->token == FBL_TOKEN_SYMBOLIC && r->integer > 0) {
        *out_extent = -r->integer;
        return fbl_reader_next(r);
    }
    if (r->token != FBL_TOKEN_NUMBER || !r->is_integer || r->integer < 1) {
        return fbl_reader_expected(r, "an extent");
    }
    *out_extent = r->integer;
    return fbl_reader_next(r);
}

FblStatus fbl_reader_type(FblReader *reader, FblType *out_type) {
    FblType type = {0};
    if (fbl_reader_at_word(reader, "f32")) {
        type.dtype = FBL_F32;
    } else if (fbl_reader_at_word(reader, "i32")) {
        type.dtype = FBL_I32;
    } else if (fbl_reader_at_word(reader, "bool")) {
        type.dtype = FBL_BOOL;
    } else {
        return fbl_reader_expected(reader, "a type (f32, i32, bool)");
    }
    FBL_TRY(fbl_reader_next(reader));
    if (fbl_reader_at(reader, '<')) {
        FBL_TRY(fbl_reader_next(reader));
        FBL_TRY(fbl_reader_name(reader, &type.index_axis));
        FBL_TRY(read_extent(reader, &type.index_extent));
        FBL_TRY(fbl_reader_punct(reader, '>'));
    }
    if (fbl_reader_at(reader, '[')) {
        do {
            FblName name = NULL;
            int64_t extent = 0;
            FBL_TRY(fbl_reader_next(reader));
            FBL_TRY(fbl_reader_name(reader, &name));
            FBL_TRY(read_extent(reader, &extent));
            if (type.rank == FBL_MAX_RANK) {
                return fbl_reader_expected(reader, "at most eight axes");
            }
            fbl_type_add_axis(&type, name, extent);
        } while (fbl_reader_at(reader, ','));
        FBL_TRY(fbl_reader_punct(reader, ']'));
    }
    *out_type = type;
    return FBL_OK;
}

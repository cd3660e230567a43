#include "codegen/cuda/tune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "codegen/cuda/cuda_target.h"
#include "ir/text.h"

extern const unsigned char fbl_cuda_tune_bytes[]; // made from bundled.tune by cmake/cuda.cmake

const char *fbl_cuda_tune_bundled(void) { return (const char *)fbl_cuda_tune_bytes; }

static const char *const precisions[] = {[FBL_CUDA_F32] = "f32", [FBL_CUDA_TF32] = "tf32", [FBL_CUDA_BF16] = "bf16", [FBL_CUDA_F16] = "f16"};
static const char *const kinds[] = {[FBL_CONV_FORWARD] = "conv", [FBL_CONV_DATA_GRAD] = "conv_data", [FBL_CONV_WEIGHT_GRAD] = "conv_weight", [FBL_MATMUL] = "matmul"};
static const char *const ways[] = {[FBL_CUDA_PLAIN] = "plain", [FBL_CUDA_PACKED] = "packed", [FBL_CUDA_COMPUTED] = "computed"};
static const char *const variants[] = {[FBL_CUDA_VARIANT_DEFAULT] = "default", [FBL_CUDA_VARIANT_LIBRARY] = "cublaslt", [FBL_CUDA_VARIANT_CUDNN] = "cudnn", [FBL_CUDA_VARIANT_FMA] = "fma",
                                       [FBL_CUDA_VARIANT_MMA] = "mma",         [FBL_CUDA_VARIANT_WGMMA] = "wgmma",      [FBL_CUDA_VARIANT_TMA] = "tma"};
_Static_assert(sizeof variants / sizeof variants[0] == FBL_CUDA_VARIANT_COUNT, "a name for every variant");

// Words of a line: a letter and a number, or two numbers with an x.
static const char conv_letters[] = "nchwokspdg", matmul_letters[] = "zmnk";
static bool is_pair(char letter, bool conv) { return conv && strchr("kspd", letter) != NULL; }
static const char *letters_of(FblContractionKind kind) { return kind == FBL_MATMUL ? matmul_letters : conv_letters; }

#define LARGEST ((int64_t)1 << 40)

void fbl_cuda_problem_print(const FblCudaProblem *problem, char out[FBL_CUDA_TUNE_TEXT]) {
    bool conv = problem->kind != FBL_MATMUL;
    int at = snprintf(out, FBL_CUDA_TUNE_TEXT, "sm_%d %s %s", problem->arch, precisions[problem->precision], kinds[problem->kind]);
    const int64_t *extent = problem->extents;
    for (const char *letter = letters_of(problem->kind); *letter; letter++) {
        at += snprintf(out + at, FBL_CUDA_TUNE_TEXT - (size_t)at, " %c%lld", *letter, (long long)*extent++);
        if (is_pair(*letter, conv)) {
            at += snprintf(out + at, FBL_CUDA_TUNE_TEXT - (size_t)at, "x%lld", (long long)*extent++);
        }
    }
    snprintf(out + at, FBL_CUDA_TUNE_TEXT - (size_t)at, " %s %s", ways[problem->ways[0]], ways[problem->ways[1]]);
}

void fbl_cuda_choice_print(const FblCudaChoice *c, char out[FBL_CUDA_TUNE_TEXT]) {
    if (c->variant <= FBL_CUDA_VARIANT_CUDNN) {
        snprintf(out, FBL_CUDA_TUNE_TEXT, "%s", variants[c->variant]);
    } else {
        snprintf(out, FBL_CUDA_TUNE_TEXT, "%s %dx%dx%d by %dx%d stages %d splits %d", variants[c->variant], c->bm, c->bn, c->bk, c->by_m, c->by_n, c->stages, c->splits);
    }
}

FblLibraryKind fbl_cuda_choice_library(const FblCudaChoice *choice) {
    return choice->variant == FBL_CUDA_VARIANT_LIBRARY ? FBL_LIBRARY_CUBLASLT : choice->variant == FBL_CUDA_VARIANT_CUDNN ? FBL_LIBRARY_CUDNN : FBL_LIBRARY_NONE;
}

static int compare_numbers(int64_t a, int64_t b) { return (a > b) - (a < b); }

int fbl_cuda_problem_compare(const FblCudaProblem *a, const FblCudaProblem *b) {
    int order = compare_numbers(a->arch, b->arch);
    order = order ? order : compare_numbers(a->precision, b->precision);
    order = order ? order : compare_numbers(a->kind, b->kind);
    for (int i = 0; i < FBL_CUDA_PROBLEM_EXTENTS; i++) {
        order = order ? order : compare_numbers(a->extents[i], b->extents[i]);
    }
    order = order ? order : compare_numbers(a->ways[0], b->ways[0]);
    return order ? order : compare_numbers(a->ways[1], b->ways[1]);
}

static int compare_rows(const void *a, const void *b) { return fbl_cuda_problem_compare(&((const FblCudaTuneRow *)a)->problem, &((const FblCudaTuneRow *)b)->problem); }

const FblCudaTuneRow *fbl_cuda_tune_find(const FblCudaTune *tune, const FblCudaProblem *problem) {
    FblCudaTuneRow key = {.problem = *problem};
    return tune->count ? bsearch(&key, tune->rows, tune->count, sizeof key, compare_rows) : NULL;
}

void fbl_cuda_tune_set(FblContext *ctx, FblCudaTune *tune, const FblCudaProblem *problem, const FblCudaChoice *choice, const char *note) {
    FblArena *arena = fbl_context_arena(ctx);
    FblCudaTuneRow row = {*problem, *choice, fbl_arena_strndup(arena, note, strcspn(note, "\r\n"))};
    size_t at = 0, end = tune->count;
    while (at < end) { // the first row that is not before it
        size_t middle = at + (end - at) / 2;
        if (fbl_cuda_problem_compare(&tune->rows[middle].problem, problem) < 0) {
            at = middle + 1;
        } else {
            end = middle;
        }
    }
    if (at < tune->count && fbl_cuda_problem_compare(&tune->rows[at].problem, problem) == 0) {
        tune->rows[at] = row;
        return;
    }
    FBL_PUSH(arena, tune->rows, tune->count, tune->capacity, row);
    memmove(&tune->rows[at + 1], &tune->rows[at], (tune->count - 1 - at) * sizeof row);
    tune->rows[at] = row;
}

const char *fbl_cuda_tune_print(FblContext *ctx, const FblCudaTune *tune, int32_t arch, int32_t precision, bool notes) {
    FblText text;
    fbl_text_init(&text, fbl_context_arena(ctx));
    fbl_text_printf(&text, "%s", "");
    for (size_t i = 0; i < tune->count; i++) {
        const FblCudaTuneRow *row = &tune->rows[i];
        char problem[FBL_CUDA_TUNE_TEXT], choice[FBL_CUDA_TUNE_TEXT];
        if (arch != 0 && (row->problem.arch != arch || row->problem.precision != precision)) {
            continue;
        }
        fbl_cuda_problem_print(&row->problem, problem);
        fbl_cuda_choice_print(&row->choice, choice);
        bool note = notes && *row->note;
        fbl_text_printf(&text, "%s : %s%s%s\n", problem, choice, note ? "  # " : "", note ? row->note : "");
    }
    return text.data;
}

// ---------------------------------------------------------------------------------------------------- reading

typedef struct Reader {
    FblContext *ctx;
    uint32_t file;
    const char *text; // of the whole file
    const char *at, *end; // what is left of the line, without its comment
    const char *word; // the last word, and its length
    size_t length;
} Reader;

static FblStatus wrong(Reader *reader, const char *expected) {
    FblLoc loc = {reader->file, (uint32_t)(reader->word - reader->text), (uint32_t)(reader->word + reader->length - reader->text)};
    FblDiag *diag = reader->length ? fbl_diag(reader->ctx, FBL_ERROR, "E0651", loc, "a line of tuned tiles needs %s here, not `%.*s`", expected, (int)reader->length, reader->word)
                                   : fbl_diag(reader->ctx, FBL_ERROR, "E0651", loc, "a line of tuned tiles ends before %s", expected);
    fbl_diag_hint(reader->ctx, diag, "a line is `sm_90 tf32 matmul z1 m64 n10 k64 plain plain : mma 64x16x32 by 4x1 stages 3 splits 1`; --tune=search writes them");
    return FBL_USER;
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r'; }

// The next word of the line, empty at its end.
static void next_word(Reader *reader) {
    while (reader->at < reader->end && is_space(*reader->at)) {
        reader->at++;
    }
    reader->word = reader->at;
    while (reader->at < reader->end && !is_space(*reader->at)) {
        reader->at++;
    }
    reader->length = (size_t)(reader->at - reader->word);
}

static bool word_is(const Reader *reader, const char *text) { return strlen(text) == reader->length && memcmp(reader->word, text, reader->length) == 0; }

// A word out of a list of names.
static FblStatus read_name(Reader *reader, const char *const *names, int count, const char *expected, int *out) {
    next_word(reader);
    for (int i = 0; i < count; i++) {
        if (word_is(reader, names[i])) {
            *out = i;
            return FBL_OK;
        }
    }
    return wrong(reader, expected);
}

// A word of `prefix` and `count` numbers with an x between them, each from `least` to `most`.
static FblStatus read_numbers(Reader *reader, const char *prefix, int count, int64_t least, int64_t most, const char *expected, int64_t *out) {
    next_word(reader);
    const char *at = reader->word, *end = at + reader->length;
    size_t skip = strlen(prefix);
    if (reader->length < skip || memcmp(at, prefix, skip) != 0) {
        return wrong(reader, expected);
    }
    at += skip;
    for (int i = 0; i < count; i++) {
        int64_t value = 0;
        const char *digits = at;
        for (; at < end && *at >= '0' && *at <= '9' && value <= LARGEST; at++) {
            value = 10 * value + (*at - '0');
        }
        bool last = i + 1 == count;
        if (at == digits || (at - digits > 1 && *digits == '0') || value < least || value > most || (last ? at != end : at == end || *at != 'x')) {
            return wrong(reader, expected);
        }
        at += !last;
        out[i] = value;
    }
    return FBL_OK;
}

static FblStatus read_problem(Reader *reader, FblCudaProblem *out) {
    int64_t arch;
    int name = 0;
    memset(out, 0, sizeof *out);
    FBL_TRY(read_numbers(reader, "sm_", 1, 75, 999, "an architecture from sm_75 on", &arch));
    out->arch = (int32_t)arch;
    FBL_TRY(read_name(reader, precisions, (int)(sizeof precisions / sizeof precisions[0]), "f32, tf32, bf16 or f16", &name));
    out->precision = name;
    FBL_TRY(read_name(reader, kinds, (int)(sizeof kinds / sizeof kinds[0]), "conv, conv_data, conv_weight or matmul", &name));
    out->kind = (FblContractionKind)name;
    bool conv = out->kind != FBL_MATMUL;
    int64_t *extent = out->extents;
    for (const char *letter = letters_of(out->kind); *letter; letter++) {
        bool pair = is_pair(*letter, conv);
        char expected[64], prefix[2] = {*letter, 0};
        snprintf(expected, sizeof expected, pair ? "`%c` and two numbers with an x" : "`%c` and a number", *letter);
        FBL_TRY(read_numbers(reader, prefix, pair ? 2 : 1, *letter != 'p', LARGEST, expected, extent));
        extent += pair ? 2 : 1;
    }
    for (int i = 0; i < 2; i++) {
        FBL_TRY(read_name(reader, ways, FBL_CUDA_WAY_COUNT, "plain, packed or computed", &name));
        out->ways[i] = (FblCudaWay)name;
    }
    return FBL_OK;
}

static FblStatus read_keyword(Reader *reader, const char *keyword, const char *expected) {
    int unused = 0;
    return read_name(reader, &keyword, 1, expected, &unused);
}

static FblStatus read_choice(Reader *reader, FblCudaChoice *out) {
    int variant = 0;
    int64_t tile[3], by[2], stages, splits;
    memset(out, 0, sizeof *out);
    FBL_TRY(read_name(reader, variants, FBL_CUDA_VARIANT_COUNT, "a way to multiply (default, cublaslt, cudnn, fma, mma)", &variant));
    const char *first = reader->word;
    if (variant > FBL_CUDA_VARIANT_CUDNN) {
        FBL_TRY(read_numbers(reader, "", 3, 1, 4096, "a tile such as 128x64x32", tile));
        FBL_TRY(read_keyword(reader, "by", "`by`"));
        FBL_TRY(read_numbers(reader, "", 2, 1, 64, "a division such as 4x2", by));
        FBL_TRY(read_keyword(reader, "stages", "`stages`"));
        FBL_TRY(read_numbers(reader, "", 1, 2, 16, "a number of stages from 2 on", &stages));
        FBL_TRY(read_keyword(reader, "splits", "`splits`"));
        FBL_TRY(read_numbers(reader, "", 1, 1, 1024, "a number of runs from 1 to 1024", &splits));
        *out = (FblCudaChoice){(FblCudaVariant)variant, (int32_t)tile[0], (int32_t)tile[1], (int32_t)tile[2], (int32_t)by[0], (int32_t)by[1], (int32_t)stages,
                               (int32_t)splits};
    }
    out->variant = (FblCudaVariant)variant;
    const char *last = reader->word + reader->length;
    next_word(reader);
    if (reader->length) {
        return wrong(reader, "its end");
    }
    reader->word = first;
    reader->length = (size_t)(last - first);
    return fbl_cuda_choice_known(out) ? FBL_OK : wrong(reader, "a tile that fblc has");
}

// A row with where its problem stands.
typedef struct Parsed {
    FblCudaTuneRow row;
    uint32_t begin, end;
} Parsed;

typedef struct ParsedList {
    Parsed *items;
    size_t count, capacity;
} ParsedList;

static int compare_parsed(const void *a, const void *b) {
    const Parsed *x = a, *y = b;
    int order = fbl_cuda_problem_compare(&x->row.problem, &y->row.problem);
    return order ? order : (x->begin > y->begin) - (x->begin < y->begin);
}

// What follows `#`, in the arena. Control bytes become blanks: they would not survive as part of a line.
static const char *read_note(Reader *reader, const char *comment, const char *line_end) {
    const char *note = comment ? comment + 1 : line_end;
    size_t length = (size_t)(line_end - note);
    char *copy = fbl_arena_strndup(fbl_context_arena(reader->ctx), note, length);
    for (size_t i = 0; i < length; i++) {
        copy[i] = (unsigned char)copy[i] < ' ' || copy[i] == 127 ? ' ' : copy[i];
    }
    while (length > 0 && copy[length - 1] == ' ') {
        copy[--length] = 0;
    }
    while (*copy == ' ') {
        copy++;
    }
    return copy;
}

static FblStatus read_line(Reader *reader, const char *line_end, ParsedList *rows) {
    const char *comment = memchr(reader->at, '#', (size_t)(line_end - reader->at));
    Parsed parsed = {.row = {.note = read_note(reader, comment, line_end)}};
    reader->end = comment ? comment : line_end;
    const char *first = reader->at;
    next_word(reader);
    if (reader->length == 0) {
        return FBL_OK;
    }
    parsed.begin = (uint32_t)(reader->word - reader->text);
    reader->at = first;
    FBL_TRY(read_problem(reader, &parsed.row.problem));
    parsed.end = (uint32_t)(reader->at - reader->text);
    FBL_TRY(read_keyword(reader, ":", "a colon"));
    FBL_TRY(read_choice(reader, &parsed.row.choice));
    FBL_PUSH(fbl_context_arena(reader->ctx), rows->items, rows->count, rows->capacity, parsed);
    return FBL_OK;
}

FblStatus fbl_cuda_tune_read(FblContext *ctx, uint32_t file, FblCudaTune *tune) {
    const FblSource *source = fbl_source_get(ctx, file);
    Reader reader = {.ctx = ctx, .file = file, .text = source->text, .at = source->text};
    const char *end = source->text + source->length;
    ParsedList own = {0};
    while (reader.at < end) {
        const char *newline = memchr(reader.at, '\n', (size_t)(end - reader.at));
        FBL_TRY(read_line(&reader, newline ? newline : end, &own));
        reader.at = newline ? newline + 1 : end;
    }
    if (own.count == 0) {
        return FBL_OK;
    }
    qsort(own.items, own.count, sizeof *own.items, compare_parsed);
    for (size_t i = 1; i < own.count; i++) {
        if (fbl_cuda_problem_compare(&own.items[i - 1].row.problem, &own.items[i].row.problem) == 0) {
            FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0651", (FblLoc){file, own.items[i].begin, own.items[i].end}, "this problem has a tuned tile already");
            fbl_diag_note(ctx, diag, (FblLoc){file, own.items[i - 1].begin, own.items[i - 1].end}, "here");
            fbl_diag_hint(ctx, diag, "keep the line with the faster tile");
            return FBL_USER;
        }
    }
    FblCudaTune merged = {FBL_NEW_ARRAY(fbl_context_arena(ctx), FblCudaTuneRow, tune->count + own.count), 0, tune->count + own.count};
    for (size_t i = 0, k = 0; i < tune->count || k < own.count;) {
        int order = i == tune->count ? 1 : k == own.count ? -1 : fbl_cuda_problem_compare(&tune->rows[i].problem, &own.items[k].row.problem);
        merged.rows[merged.count++] = order < 0 ? tune->rows[i] : own.items[k].row;
        i += order <= 0;
        k += order >= 0;
    }
    *tune = merged;
    return FBL_OK;
}

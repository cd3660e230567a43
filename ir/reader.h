// Tokens of the textual IR (graphs and modules), and the pieces that their readers share.
//
// Any bytes are accepted: what can't be read gives a diagnostic and FBL_USER. Private to ir/.
// Ownership: strings are interned in the context. Threads: as the context.
#ifndef FBL_IR_READER_H
#define FBL_IR_READER_H

#include "ir/graph.h"

typedef enum FblToken {
    FBL_TOKEN_END,
    FBL_TOKEN_WORD,     // name
    FBL_TOKEN_STRING,   // name, without the quotes
    FBL_TOKEN_NUMBER,   // number; integer too when is_integer
    FBL_TOKEN_NODE,     // integer: %12
    FBL_TOKEN_SYMBOLIC, // integer: ?3
    FBL_TOKEN_PUNCT     // punct
} FblToken;

typedef struct FblReader {
    FblContext *ctx;
    const char *text;
    size_t length, next;
    uint32_t file;
    FblToken token; // the current one
    FblLoc loc;     // where it stands
    FblName name;
    double number;
    int64_t integer;
    uint64_t natural; // of an integer without sign
    bool is_integer;
    char punct;
} FblReader;

// Starts on source `file`, at its first token.
FblStatus fbl_reader_init(FblReader *reader, FblContext *ctx, uint32_t file);
// Steps to the next token.
FblStatus fbl_reader_next(FblReader *reader);
// E0210: "expected ..., found ...". Always FBL_USER.
FblStatus fbl_reader_expected(FblReader *reader, const char *what);

bool fbl_reader_at(const FblReader *reader, char punct);
bool fbl_reader_at_word(const FblReader *reader, const char *word);
// Step over what must stand here.
FblStatus fbl_reader_punct(FblReader *reader, char punct);
FblStatus fbl_reader_word(FblReader *reader, const char *word);
// Read and step over.
FblStatus fbl_reader_name(FblReader *reader, FblName *out_name); // word or string
FblStatus fbl_reader_integer(FblReader *reader, int64_t *out_value);
FblStatus fbl_reader_double(FblReader *reader, double *out_value); // also nan and inf
FblStatus fbl_reader_type(FblReader *reader, FblType *out_type);

// A graph, from the word `graph` to its closing brace.
FblStatus fbl_reader_graph(FblReader *reader, FblGraph **out_graph);

#endif

// Decoding of UTF-8 text that may be broken, for columns and for printing.
//
// Ownership: plain values. Threads: no state.
#ifndef FBL_BASE_UTF8_H
#define FBL_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define FBL_UTF8_INVALID 0xFFFFFFFFu

// Decodes the code point at the start of `text` (size > 0 bytes); returns how many bytes it takes. A byte that starts
// no valid sequence (overlong forms, surrogates and cut-off sequences included) takes one byte and gives
// FBL_UTF8_INVALID.
size_t fbl_utf8_decode(const char *text, size_t size, uint32_t *out_code);

// Columns that `code` takes on a terminal: 0 for combining marks, 2 for wide East Asian characters, else 1.
int fbl_utf8_width(uint32_t code);

#endif

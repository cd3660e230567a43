#include "ir/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void fbl_text_init(FblText *text, FblArena *arena) {
    text->arena = arena;
    text->length = 0;
    text->capacity = 256;
    text->data = fbl_arena_alloc(arena, text->capacity);
}

static void reserve(FblText *text, size_t more) {
    size_t capacity = text->capacity;
    if (more > SIZE_MAX / 4 || text->length > SIZE_MAX / 4) {
        fbl_out_of_memory();
    }
    while (text->length + more + 1 > capacity) {
        capacity *= 2;
    }
    if (capacity != text->capacity) {
        char *data = fbl_arena_alloc(text->arena, capacity);
        memcpy(data, text->data, text->length);
        text->data = data;
        text->capacity = capacity;
    }
}

void fbl_text_add(FblText *text, const char *bytes, size_t length) {
    reserve(text, length);
    memcpy(text->data + text->length, bytes, length);
    text->length += length;
    text->data[text->length] = '\0';
}

void fbl_text_printf(FblText *text, const char *format, ...) {
    char small[256];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (length < 0) {
        return;
    }
    if ((size_t)length < sizeof small) {
        fbl_text_add(text, small, (size_t)length);
        return;
    }
    reserve(text, (size_t)length);
    va_start(args, format);
    vsnprintf(text->data + text->length, (size_t)length + 1, format, args);
    va_end(args);
    text->length += (size_t)length;
}

void fbl_text_quoted(FblText *text, const char *string) {
    fbl_text_add(text, "\"", 1);
    for (const unsigned char *p = (const unsigned char *)string; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\') {
            fbl_text_printf(text, "\\%c", *p);
        } else if (*p == '\n') {
            fbl_text_add(text, "\\n", 2);
        } else if (*p < 0x20 || *p == 0x7f) {
            fbl_text_printf(text, "\\x%02x", *p);
        } else {
            fbl_text_add(text, (const char *)p, 1);
        }
    }
    fbl_text_add(text, "\"", 1);
}

void fbl_text_name(FblText *text, const char *name) {
    bool word = isalpha((unsigned char)name[0]) || name[0] == '_';
    for (const unsigned char *p = (const unsigned char *)name; *p != '\0' && word; p++) {
        word = *p < 0x80 && (isalnum(*p) || *p == '_' || *p == '.');
    }
    if (word) {
        fbl_text_add(text, name, strlen(name));
    } else {
        fbl_text_quoted(text, name);
    }
}

void fbl_text_double(FblText *text, double value) {
    char digits[40];
    if (isnan(value)) {
        fbl_text_add(text, "nan", 3);
        return;
    }
    if (isinf(value)) {
        fbl_text_printf(text, "%s", value < 0 ? "-inf" : "inf");
        return;
    }
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value) {
            break;
        }
    }
    fbl_text_printf(text, "%s", digits);
}

static void extent(FblText *text, int64_t value, bool exact) {
    if (value >= 0) {
        fbl_text_printf(text, "=%" PRId64, value);
    } else if (exact) {
        fbl_text_printf(text, "=?%" PRId64, -value);
    }
}

void fbl_text_type(FblText *text, const FblType *type, bool exact) {
    fbl_text_printf(text, "%s", fbl_dtype_name(type->dtype));
    if (type->index_axis != NULL) {
        fbl_text_add(text, "<", 1);
        fbl_text_name(text, type->index_axis);
        extent(text, type->index_extent, exact);
        fbl_text_add(text, ">", 1);
    }
    for (int i = 0; i < type->rank; i++) {
        fbl_text_printf(text, "%s", i == 0 ? "[" : ", ");
        fbl_text_name(text, type->axes[i].name);
        extent(text, type->axes[i].extent, exact);
    }
    if (type->rank > 0) {
        fbl_text_add(text, "]", 1);
    }
}

#include "runtime/data/pickle.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Memo numbers of honest files count up from 0 or 1; a huge one would only be a way to ask for memory.
#define MEMO_LIMIT 4000000u

// Far above what a data set of a million images holds; a bound on what a hostile file can make us allocate.
#define VALUE_LIMIT 8000000u

typedef enum Callable {
    CALL_RECONSTRUCT,
    CALL_DTYPE,
    CALL_NDARRAY,
    CALL_ENCODE,
    CALL_TORCH, // this and what follows: only in PyTorch's files
    CALL_DICT = CALL_TORCH,
    CALL_TENSOR,
    CALL_PARAMETER,
    CALL_SCALAR,
    CALL_STORAGE, // + index into storage_types
} Callable;

static const char *const storage_types[] = {"f4", "f8", "f2", "bf", "i8", "i4", "i2", "i1", "u1", "b1"};

static const struct {
    const char *module;
    const char *name;
    int call;
} globals[] = {
    {"numpy.core.multiarray", "_reconstruct", CALL_RECONSTRUCT},
    {"numpy._core.multiarray", "_reconstruct", CALL_RECONSTRUCT},
    {"numpy", "ndarray", CALL_NDARRAY},
    {"numpy", "dtype", CALL_DTYPE},
    {"_codecs", "encode", CALL_ENCODE},
    {"collections", "OrderedDict", CALL_DICT},
    {"torch._utils", "_rebuild_tensor", CALL_TENSOR},
    {"torch._utils", "_rebuild_tensor_v2", CALL_TENSOR},
    {"torch._utils", "_rebuild_parameter", CALL_PARAMETER},
    {"numpy.core.multiarray", "scalar", CALL_SCALAR},
    {"numpy._core.multiarray", "scalar", CALL_SCALAR},
    {"torch", "FloatStorage", CALL_STORAGE},
    {"torch", "DoubleStorage", CALL_STORAGE + 1},
    {"torch", "HalfStorage", CALL_STORAGE + 2},
    {"torch", "BFloat16Storage", CALL_STORAGE + 3},
    {"torch", "LongStorage", CALL_STORAGE + 4},
    {"torch", "IntStorage", CALL_STORAGE + 5},
    {"torch", "ShortStorage", CALL_STORAGE + 6},
    {"torch", "CharStorage", CALL_STORAGE + 7},
    {"torch", "ByteStorage", CALL_STORAGE + 8},
    {"torch", "BoolStorage", CALL_STORAGE + 9},
};

typedef struct Machine {
    FblPickle *out;
    FblArena *arena;
    const uint8_t *at;
    const uint8_t *end;
    FblPickleValue **stack; // NULL entries are marks
    size_t depth;
    size_t stack_capacity;
    FblPickleValue **memo;
    size_t memo_size;
    size_t memo_next; // for MEMOIZE
    size_t values;    // made so far
    bool torch;       // tensors are allowed
    bool failed;
} Machine;

static void fail(Machine *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fail(Machine *m, const char *format, ...) {
    if (!m->failed) {
        va_list args;
        va_start(args, format);
        vsnprintf(m->out->error, sizeof m->out->error, format, args);
        va_end(args);
        m->failed = true;
    }
}

// `count` bytes of input, or NULL after a failure.
static const uint8_t *take(Machine *m, uint64_t count) {
    if (count > (uint64_t)(m->end - m->at)) {
        fail(m, "it is cut off");
        return NULL;
    }
    const uint8_t *bytes = m->at;
    m->at += count;
    return bytes;
}

static uint64_t take_uint(Machine *m, int width) {
    const uint8_t *bytes = take(m, (uint64_t)width);
    uint64_t value = 0;
    for (int i = width - 1; bytes != NULL && i >= 0; i--) {
        value = value << 8 | bytes[i];
    }
    return value;
}

// Text up to a newline, without it.
static const char *take_line(Machine *m, size_t *out_length) {
    const uint8_t *newline = memchr(m->at, '\n', (size_t)(m->end - m->at));
    if (newline == NULL) {
        fail(m, "it is cut off");
        return NULL;
    }
    const char *line = (const char *)m->at;
    *out_length = (size_t)(newline - m->at);
    m->at = newline + 1;
    return line;
}

static FblPickleValue *make(Machine *m, FblPickleKind kind) {
    if (m->values++ >= VALUE_LIMIT) {
        fail(m, "it holds too many values");
    }
    FblPickleValue *value = FBL_NEW(m->arena, FblPickleValue);
    value->kind = kind;
    return value;
}

static void push(Machine *m, FblPickleValue *value) {
    FBL_PUSH(m->arena, m->stack, m->depth, m->stack_capacity, value);
}

static void push_int(Machine *m, int64_t value, FblPickleKind kind) {
    FblPickleValue *item = make(m, kind);
    item->integer = value;
    push(m, item);
}

static void push_string(Machine *m, const void *text, size_t length) {
    if (text != NULL) {
        FblPickleValue *item = make(m, FBL_PICKLE_STRING);
        item->text = text;
        item->length = length;
        push(m, item);
    }
}

static void push_counted_string(Machine *m, int width) {
    uint64_t length = take_uint(m, width);
    push_string(m, take(m, length), (size_t)length);
}

// The value on top of the stack (not a mark), removed; NULL after a failure.
static FblPickleValue *pop(Machine *m) {
    if (m->failed || m->depth == 0 || m->stack[m->depth - 1] == NULL) {
        fail(m, "its stack runs empty");
        return NULL;
    }
    return m->stack[--m->depth];
}

static FblPickleValue *top(Machine *m, FblPickleKind kind) {
    FblPickleValue *value = m->depth > 0 ? m->stack[m->depth - 1] : NULL;
    if (value == NULL || value->kind != kind) {
        fail(m, "a container is missing where one is needed");
        return NULL;
    }
    return value;
}

// Index of the first value after the last mark.
static size_t find_mark(Machine *m) {
    for (size_t i = m->depth; i > 0; i--) {
        if (m->stack[i - 1] == NULL) {
            return i;
        }
    }
    fail(m, "a mark is missing");
    return m->depth;
}

// Appends the stack's values from `first` on to `container` and drops them.
static void collect(Machine *m, FblPickleValue *container, size_t first) {
    for (size_t i = first; container != NULL && !m->failed && i < m->depth; i++) {
        FBL_PUSH(m->arena, container->items, container->count, container->capacity, m->stack[i]);
    }
    m->depth = first;
}

// A container of everything after the last mark, in place of it.
static void build_from_mark(Machine *m, FblPickleKind kind) {
    size_t first = find_mark(m);
    if (!m->failed) {
        FblPickleValue *container = make(m, kind);
        if (kind == FBL_PICKLE_DICT && (m->depth - first) % 2 != 0) {
            fail(m, "a dictionary has a key without a value");
        }
        collect(m, container, first);
        m->depth = first - 1;
        push(m, container);
    }
}

static void append_from_mark(Machine *m, FblPickleKind kind) {
    size_t first = find_mark(m);
    if (m->failed) {
        return;
    }
    size_t depth = m->depth;
    m->depth = first - 1;
    FblPickleValue *container = top(m, kind);
    m->depth = depth;
    if (kind == FBL_PICKLE_DICT && (depth - first) % 2 != 0) {
        fail(m, "a dictionary has a key without a value");
    }
    collect(m, container, first);
    m->depth = first - 1;
}

static void build_tuple(Machine *m, size_t count) {
    if (m->depth < count) {
        fail(m, "its stack runs empty");
        return;
    }
    FblPickleValue *tuple = make(m, FBL_PICKLE_TUPLE);
    for (size_t i = m->depth - count; i < m->depth; i++) {
        if (m->stack[i] == NULL) {
            fail(m, "its stack runs empty");
        }
    }
    collect(m, tuple, m->depth - count);
    push(m, tuple);
}

static void memo_put(Machine *m, uint64_t index) {
    if (index >= MEMO_LIMIT || m->depth == 0 || m->stack[m->depth - 1] == NULL) {
        fail(m, "it stores a value under a bad number");
        return;
    }
    if (index >= m->memo_size) {
        size_t size = 2 * (size_t)index + 16;
        FblPickleValue **memo = FBL_NEW_ARRAY(m->arena, FblPickleValue *, size);
        if (m->memo_size > 0) {
            memcpy(memo, m->memo, m->memo_size * sizeof *memo);
        }
        m->memo = memo;
        m->memo_size = size;
    }
    m->memo[index] = m->stack[m->depth - 1];
    m->memo_next = (size_t)index + 1 > m->memo_next ? (size_t)index + 1 : m->memo_next;
}

static void memo_get(Machine *m, uint64_t index) {
    if (index >= m->memo_size || m->memo[index] == NULL) {
        fail(m, "it recalls a value that was not stored");
        return;
    }
    push(m, m->memo[index]);
}

static void push_global(Machine *m, const char *module, size_t module_length, const char *name, size_t name_length) {
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
        if (globals[i].call >= CALL_TORCH && !m->torch) {
            break;
        }
        if (strlen(globals[i].module) == module_length && memcmp(globals[i].module, module, module_length) == 0 &&
            strlen(globals[i].name) == name_length && memcmp(globals[i].name, name, name_length) == 0) {
            push_int(m, globals[i].call, FBL_PICKLE_GLOBAL);
            return;
        }
    }
    fail(m, "it calls `%.*s.%.*s`, and only plain data and %s are read", (int)(module_length > 60 ? 60 : module_length),
         module, (int)(name_length > 60 ? 60 : name_length), name, m->torch ? "tensors" : "numpy arrays");
}

// What latin-1 encoding makes of UTF-8 text: how Python 3 writes bytes in protocols 0 to 2.
static void encode_latin1(Machine *m, const FblPickleValue *text) {
    char *bytes = fbl_arena_alloc(m->arena, text->length + 1);
    size_t length = 0;
    for (size_t i = 0; i < text->length; i++) {
        unsigned char c = (unsigned char)text->text[i];
        if (c >= 0x80) {
            unsigned char next = i + 1 < text->length ? (unsigned char)text->text[i + 1] : 0;
            if ((c != 0xC2 && c != 0xC3) || (next & 0xC0) != 0x80) {
                fail(m, "a byte string is damaged");
                return;
            }
            c = (unsigned char)((c & 3) << 6 | (next & 0x3F));
            i++;
        }
        bytes[length++] = (char)c;
    }
    push_string(m, bytes, length);
}

// OrderedDict() or OrderedDict([(key, value), ...]).
static void make_dict(Machine *m, const FblPickleValue *arguments) {
    FblPickleValue *dict = make(m, FBL_PICKLE_DICT);
    const FblPickleValue *pairs = arguments->count > 0 ? arguments->items[0] : NULL;
    for (size_t i = 0; pairs != NULL && i < pairs->count; i++) {
        const FblPickleValue *pair = pairs->items[i];
        if (pairs->kind == FBL_PICKLE_DICT || pair->count != 2 || m->values++ >= VALUE_LIMIT) {
            fail(m, "a call in it has unexpected arguments");
            return;
        }
        FBL_PUSH(m->arena, dict->items, dict->count, dict->capacity, pair->items[0]);
        FBL_PUSH(m->arena, dict->items, dict->count, dict->capacity, pair->items[1]);
    }
    push(m, dict);
}

// (storage, offset, shape, strides, ...): what follows does not concern the values.
static void make_tensor(Machine *m, const FblPickleValue *arguments) {
    FblPickleValue **items = arguments->items;
    if (arguments->count < 4 || items[0]->kind != FBL_PICKLE_STORAGE || items[1]->kind != FBL_PICKLE_INT ||
        items[2]->kind != FBL_PICKLE_TUPLE || items[3]->kind != FBL_PICKLE_TUPLE || items[2]->count != items[3]->count) {
        fail(m, "a tensor in it has an unexpected form");
        return;
    }
    FblPickleValue *tensor = make(m, FBL_PICKLE_TENSOR);
    tensor->items = items;
    tensor->count = 4;
    push(m, tensor);
}

static void call_torch(Machine *m, int64_t call, const FblPickleValue *arguments) {
    if (call == CALL_DICT) {
        make_dict(m, arguments);
    } else if (call == CALL_TENSOR) {
        make_tensor(m, arguments);
    } else if (call == CALL_PARAMETER && arguments->count > 0 && arguments->items[0]->kind == FBL_PICKLE_TENSOR) {
        push(m, arguments->items[0]);
    } else if (call == CALL_SCALAR) {
        push(m, make(m, FBL_PICKLE_NONE)); // a number beside the weights, such as the best accuracy
    } else {
        fail(m, "a call in it has unexpected arguments");
    }
}

// BINPERSID: the tuple that names a storage.
static void push_storage(Machine *m) {
    FblPickleValue *id = pop(m);
    if (m->failed) {
        return;
    }
    if (!m->torch || id->kind != FBL_PICKLE_TUPLE || id->count < 5 || fbl_pickle_storage_type(id->items[1]) == NULL ||
        id->items[2]->kind != FBL_PICKLE_STRING || id->items[4]->kind != FBL_PICKLE_INT) {
        fail(m, "it refers to something that is no storage of numbers");
        return;
    }
    FblPickleValue *storage = make(m, FBL_PICKLE_STORAGE);
    storage->items = id->items;
    storage->count = id->count;
    FBL_PUSH(m->arena, m->out->storages, m->out->storage_count, m->out->storage_capacity, storage);
    push(m, storage);
}

static void reduce(Machine *m) {
    FblPickleValue *arguments = pop(m);
    FblPickleValue *callable = pop(m);
    if (m->failed) {
        return;
    }
    if (callable->kind != FBL_PICKLE_GLOBAL || arguments->kind != FBL_PICKLE_TUPLE) {
        fail(m, "it calls something that is no function");
        return;
    }
    FblPickleValue **items = arguments->items;
    size_t count = arguments->count;
    if (callable->integer == CALL_RECONSTRUCT) {
        push(m, make(m, FBL_PICKLE_ARRAY));
    } else if (callable->integer == CALL_DTYPE && count > 0 && items[0]->kind == FBL_PICKLE_STRING) {
        FblPickleValue *dtype = make(m, FBL_PICKLE_DTYPE);
        dtype->text = items[0]->text;
        dtype->length = items[0]->length;
        push(m, dtype);
    } else if (callable->integer == CALL_ENCODE && count == 2 && items[0]->kind == FBL_PICKLE_STRING) {
        encode_latin1(m, items[0]);
    } else if (callable->integer >= CALL_TORCH) {
        call_torch(m, callable->integer, arguments);
    } else {
        fail(m, "a call in it has unexpected arguments");
    }
}

// BUILD: gives an object its state. Arrays: (version, shape, dtype, fortran order, data).
static void build(Machine *m) {
    FblPickleValue *state = pop(m);
    if (m->failed) {
        return;
    }
    FblPickleValue *object = m->depth > 0 ? m->stack[m->depth - 1] : NULL;
    if (object != NULL && object->kind == FBL_PICKLE_DTYPE) {
        return; // byte order and flags, which one-byte elements do not have
    }
    if (object != NULL && m->torch && object->kind == FBL_PICKLE_DICT) {
        return; // the version numbers that a state dictionary carries
    }
    if (object == NULL || object->kind != FBL_PICKLE_ARRAY || state->kind != FBL_PICKLE_TUPLE || state->count != 5 ||
        state->items[1]->kind != FBL_PICKLE_TUPLE || state->items[2]->kind != FBL_PICKLE_DTYPE ||
        state->items[4]->kind != FBL_PICKLE_STRING) {
        fail(m, "an array in it has an unexpected form");
        return;
    }
    object->integer = state->items[3]->integer; // Fortran order
    object->text = state->items[2]->text;
    object->length = state->items[2]->length;
    object->items = FBL_NEW_ARRAY(m->arena, FblPickleValue *, 2);
    object->items[0] = state->items[1];
    object->items[1] = state->items[4];
    object->count = 2;
}

// Little-endian two's complement of up to eight bytes.
static void push_long(Machine *m, uint64_t width) {
    const uint8_t *bytes = take(m, width);
    if (bytes == NULL || width > 8) {
        fail(m, "a number in it is too large");
        return;
    }
    uint64_t value = width > 0 && (bytes[width - 1] & 0x80) ? UINT64_MAX : 0;
    for (uint64_t i = width; i > 0; i--) {
        value = value << 8 | bytes[i - 1];
    }
    push_int(m, (int64_t)value, FBL_PICKLE_INT);
}

// A number written as text: `I12\n`, `I01\n` (True), `L12L\n`, `F1.5\n`.
static void push_text_number(Machine *m, uint8_t opcode) {
    size_t length = 0;
    const char *line = take_line(m, &length);
    char buffer[40];
    if (line == NULL || length == 0 || length >= sizeof buffer) {
        fail(m, "a number in it is damaged");
        return;
    }
    memcpy(buffer, line, length);
    buffer[length] = 0;
    if (opcode == 'I' && (strcmp(buffer, "00") == 0 || strcmp(buffer, "01") == 0)) {
        push_int(m, buffer[1] - '0', FBL_PICKLE_BOOL);
        return;
    }
    char *end;
    if (opcode == 'F') {
        FblPickleValue *value = make(m, FBL_PICKLE_FLOAT);
        value->real = strtod(buffer, &end);
        push(m, value);
    } else {
        push_int(m, strtoll(buffer, &end, 10), FBL_PICKLE_INT);
        end += opcode == 'L' && *end == 'L';
    }
    if (*end != 0) {
        fail(m, "a number in it is damaged");
    }
}

static int hex_digit(char c) {
    const char *digits = "0123456789abcdef";
    const char *found = c == 0 ? NULL : strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c);
    return found != NULL ? (int)(found - digits) : -1;
}

// Protocol 0: a quoted Python string literal.
static void push_quoted_string(Machine *m) {
    size_t length = 0;
    const char *line = take_line(m, &length);
    if (line == NULL || length < 2 || (line[0] != '\'' && line[0] != '"') || line[length - 1] != line[0]) {
        fail(m, "a string in it is damaged");
        return;
    }
    char *text = fbl_arena_alloc(m->arena, length + 1);
    size_t used = 0;
    for (size_t i = 1; i + 1 < length; i++) {
        char c = line[i];
        if (c == '\\' && i + 2 < length) {
            static const char from[] = "nrt\\'\"abfv0";
            static const char to[] = "\n\r\t\\'\"\a\b\f\v\0";
            c = line[++i];
            const char *found = c == 0 ? NULL : strchr(from, c);
            if (c == 'x' && i + 3 < length && hex_digit(line[i + 1]) >= 0 && hex_digit(line[i + 2]) >= 0) {
                c = (char)(hex_digit(line[i + 1]) * 16 + hex_digit(line[i + 2]));
                i += 2;
            } else if (found != NULL) {
                c = to[found - from];
            }
        }
        text[used++] = c;
    }
    push_string(m, text, used);
}

// Protocol 0: text as Latin-1 with \uXXXX for the rest, kept here as UTF-8 like the text of later protocols.
static void push_escaped_text(Machine *m) {
    size_t length = 0;
    const char *line = take_line(m, &length);
    char *text = line != NULL ? fbl_arena_array(m->arena, length + 1, 2) : NULL; // no character grows by more
    size_t used = 0;
    for (size_t i = 0; line != NULL && i < length; i++) {
        uint32_t code = (unsigned char)line[i];
        if (code == '\\' && i + 5 < length && line[i + 1] == 'u') {
            code = 0;
            for (size_t k = 2; k < 6; k++) {
                int digit = hex_digit(line[i + k]);
                if (digit < 0) {
                    fail(m, "a string in it is damaged");
                    return;
                }
                code = code * 16 + (uint32_t)digit;
            }
            i += 5;
        }
        if (code < 0x80) {
            text[used++] = (char)code;
        } else if (code < 0x800) {
            text[used++] = (char)(0xC0 | code >> 6);
            text[used++] = (char)(0x80 | (code & 0x3F));
        } else {
            text[used++] = (char)(0xE0 | code >> 12);
            text[used++] = (char)(0x80 | (code >> 6 & 0x3F));
            text[used++] = (char)(0x80 | (code & 0x3F));
        }
    }
    push_string(m, text, used);
}

static void push_float(Machine *m) {
    const uint8_t *bytes = take(m, 8);
    uint64_t word = 0;
    for (int i = 0; bytes != NULL && i < 8; i++) {
        word = word << 8 | bytes[i];
    }
    FblPickleValue *value = make(m, FBL_PICKLE_FLOAT);
    memcpy(&value->real, &word, sizeof word);
    push(m, value);
}

static void get_global(Machine *m) {
    size_t module_length = 0;
    size_t name_length = 0;
    const char *module = take_line(m, &module_length);
    const char *name = module != NULL ? take_line(m, &name_length) : NULL;
    if (name != NULL) {
        push_global(m, module, module_length, name, name_length);
    }
}

static void get_stack_global(Machine *m) {
    FblPickleValue *name = pop(m);
    FblPickleValue *module = pop(m);
    if (m->failed || name->kind != FBL_PICKLE_STRING || module->kind != FBL_PICKLE_STRING) {
        fail(m, "a call in it names no function");
        return;
    }
    push_global(m, module->text, module->length, name->text, name->length);
}

static void get_text_memo(Machine *m, bool put) {
    size_t length = 0;
    const char *line = take_line(m, &length);
    uint64_t index = 0;
    for (size_t i = 0; line != NULL && i < length; i++) {
        if (line[i] < '0' || line[i] > '9' || index > MEMO_LIMIT) {
            fail(m, "it stores a value under a bad number");
            return;
        }
        index = index * 10 + (uint64_t)(line[i] - '0');
    }
    if (line != NULL && put) {
        memo_put(m, index);
    } else if (line != NULL) {
        memo_get(m, index);
    }
}

// SETITEM and APPEND: the last `count` values into the container below them.
static void add_items(Machine *m, FblPickleKind kind, size_t count) {
    build_tuple(m, count);
    FblPickleValue *items = pop(m);
    FblPickleValue *container = m->failed ? NULL : top(m, kind);
    for (size_t i = 0; container != NULL && i < count; i++) {
        FBL_PUSH(m->arena, container->items, container->count, container->capacity, items->items[i]);
    }
}

// One opcode; true when the pickle has ended.
static bool step(Machine *m) {
    const uint8_t *opcode = take(m, 1);
    if (opcode == NULL) {
        return true;
    }
    switch (*opcode) {
    case 0x80: // PROTO
        if (take_uint(m, 1) > 4) {
            fail(m, "it uses a pickle protocol above 4");
        }
        break;
    case 0x95: // FRAME
        take_uint(m, 8);
        break;
    case '.': // STOP
        m->out->root = pop(m);
        return true;
    case '(': // MARK
        push(m, NULL);
        break;
    case '0': // POP
        pop(m);
        break;
    case '1': { // POP_MARK
        size_t first = find_mark(m);
        m->depth = m->failed ? m->depth : first - 1;
        break;
    }
    case '2': // DUP
        push(m, pop(m));
        if (!m->failed) {
            push(m, m->stack[m->depth - 1]);
        }
        break;
    case 'N':
        push_int(m, 0, FBL_PICKLE_NONE);
        break;
    case 0x88: // NEWTRUE
        push_int(m, 1, FBL_PICKLE_BOOL);
        break;
    case 0x89: // NEWFALSE
        push_int(m, 0, FBL_PICKLE_BOOL);
        break;
    case 'I':
    case 'L':
    case 'F':
        push_text_number(m, *opcode);
        break;
    case 'J': // BININT
        push_int(m, (int32_t)take_uint(m, 4), FBL_PICKLE_INT);
        break;
    case 'K': // BININT1
        push_int(m, (int64_t)take_uint(m, 1), FBL_PICKLE_INT);
        break;
    case 'M': // BININT2
        push_int(m, (int64_t)take_uint(m, 2), FBL_PICKLE_INT);
        break;
    case 0x8a: // LONG1
        push_long(m, take_uint(m, 1));
        break;
    case 0x8b: // LONG4
        push_long(m, take_uint(m, 4));
        break;
    case 'G': // BINFLOAT
        push_float(m);
        break;
    case 'S': // STRING
        push_quoted_string(m);
        break;
    case 'V': // UNICODE
        push_escaped_text(m);
        break;
    case 'U':  // SHORT_BINSTRING
    case 'C':  // SHORT_BINBYTES
    case 0x8c: // SHORT_BINUNICODE
        push_counted_string(m, 1);
        break;
    case 'T': // BINSTRING
    case 'B': // BINBYTES
    case 'X': // BINUNICODE
        push_counted_string(m, 4);
        break;
    case 0x8d: // BINUNICODE8
    case 0x8e: // BINBYTES8
        push_counted_string(m, 8);
        break;
    case ')': // EMPTY_TUPLE
        push(m, make(m, FBL_PICKLE_TUPLE));
        break;
    case ']': // EMPTY_LIST
        push(m, make(m, FBL_PICKLE_LIST));
        break;
    case '}': // EMPTY_DICT
        push(m, make(m, FBL_PICKLE_DICT));
        break;
    case 't':
        build_from_mark(m, FBL_PICKLE_TUPLE);
        break;
    case 'l':
        build_from_mark(m, FBL_PICKLE_LIST);
        break;
    case 'd':
        build_from_mark(m, FBL_PICKLE_DICT);
        break;
    case 0x85: // TUPLE1
    case 0x86: // TUPLE2
    case 0x87: // TUPLE3
        build_tuple(m, (size_t)*opcode - 0x84);
        break;
    case 'a': // APPEND
        add_items(m, FBL_PICKLE_LIST, 1);
        break;
    case 'e': // APPENDS
        append_from_mark(m, FBL_PICKLE_LIST);
        break;
    case 's': // SETITEM
        add_items(m, FBL_PICKLE_DICT, 2);
        break;
    case 'u': // SETITEMS
        append_from_mark(m, FBL_PICKLE_DICT);
        break;
    case 'p': // PUT
        get_text_memo(m, true);
        break;
    case 'g': // GET
        get_text_memo(m, false);
        break;
    case 'q': // BINPUT
        memo_put(m, take_uint(m, 1));
        break;
    case 'r': // LONG_BINPUT
        memo_put(m, take_uint(m, 4));
        break;
    case 'h': // BINGET
        memo_get(m, take_uint(m, 1));
        break;
    case 'j': // LONG_BINGET
        memo_get(m, take_uint(m, 4));
        break;
    case 0x94: // MEMOIZE
        memo_put(m, m->memo_next);
        break;
    case 'c': // GLOBAL
        get_global(m);
        break;
    case 0x93: // STACK_GLOBAL
        get_stack_global(m);
        break;
    case 'R': // REDUCE
        reduce(m);
        break;
    case 'b': // BUILD
        build(m);
        break;
    case 'Q': // BINPERSID
        push_storage(m);
        break;
    default:
        fail(m, "it holds objects other than plain data (opcode 0x%02x)", *opcode);
    }
    return m->failed;
}

static FblStatus read(FblPickle *pickle, const uint8_t *bytes, size_t size, bool torch, size_t *out_used) {
    *pickle = (FblPickle){0};
    fbl_arena_init(&pickle->arena);
    Machine machine = {.out = pickle, .arena = &pickle->arena, .at = bytes, .end = bytes + size, .torch = torch};
    while (!step(&machine)) {
    }
    if (machine.failed) {
        pickle->root = NULL;
    }
    *out_used = (size_t)(machine.at - bytes);
    return machine.failed ? FBL_USER : FBL_OK;
}

FblStatus fbl_pickle_read(FblPickle *pickle, const uint8_t *bytes, size_t size) {
    size_t used;
    return read(pickle, bytes, size, false, &used);
}

FblStatus fbl_pickle_read_torch(FblPickle *pickle, const uint8_t *bytes, size_t size, size_t *out_used) {
    return read(pickle, bytes, size, true, out_used);
}

const char *fbl_pickle_storage_type(const FblPickleValue *value) {
    int64_t index = value->kind == FBL_PICKLE_GLOBAL ? value->integer - CALL_STORAGE : -1;
    return index >= 0 ? storage_types[index] : NULL;
}

void fbl_pickle_deinit(FblPickle *pickle) {
    fbl_arena_deinit(&pickle->arena);
    pickle->root = NULL;
}

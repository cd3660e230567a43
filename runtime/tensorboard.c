#include "runtime/tensorboard.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/diag.h"
#include "base/io.h"

#define MAX_TAG 200
#define MAX_FILES 100000

struct FblTensorboard {
    FILE *file;
};

// A protocol-buffer message being put together.
typedef struct Message {
    uint8_t bytes[2 * MAX_TAG];
    size_t size;
} Message;

uint32_t fbl_crc32c(const void *data, size_t size) {
    const uint8_t *bytes = data;
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
        }
    }
    return ~crc;
}

// The files store checksums masked, so that a checksum of data that holds checksums stays meaningful.
static uint32_t masked(const void *data, size_t size) {
    uint32_t crc = fbl_crc32c(data, size);
    return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

static void add_bytes(Message *message, const void *data, size_t size) {
    memcpy(message->bytes + message->size, data, size);
    message->size += size;
}

static void add_varint(Message *message, uint64_t value) {
    do {
        uint8_t byte = (uint8_t)((value & 0x7F) | (value > 0x7F ? 0x80 : 0));
        add_bytes(message, &byte, 1);
        value >>= 7;
    } while (value != 0);
}

// Wire types: 0 varint, 1 eight bytes, 2 counted bytes, 5 four bytes.
static void add_key(Message *message, int field, int wire) {
    add_varint(message, (uint64_t)(field << 3 | wire));
}

static void add_counted(Message *message, int field, const void *data, size_t size) {
    add_key(message, field, 2);
    add_varint(message, size);
    add_bytes(message, data, size);
}

static void write_record(FblTensorboard *board, const Message *message) {
    uint64_t length = message->size;
    uint32_t check = masked(&length, sizeof length);
    fwrite(&length, sizeof length, 1, board->file);
    fwrite(&check, sizeof check, 1, board->file);
    fwrite(message->bytes, 1, message->size, board->file);
    check = masked(message->bytes, message->size);
    fwrite(&check, sizeof check, 1, board->file);
}

// Event { double wall_time = 1; int64 step = 2; ... }
static Message start_event(int64_t step) {
    Message event = {.size = 0};
    double wall = (double)time(NULL);
    add_key(&event, 1, 1);
    add_bytes(&event, &wall, sizeof wall);
    add_key(&event, 2, 0);
    add_varint(&event, (uint64_t)step);
    return event;
}

FblStatus fbl_tensorboard_open(FblContext *ctx, const char *directory, int64_t resume_step, FblTensorboard **out) {
    *out = NULL;
    const char *path = NULL;
    bool earlier = resume_step > 0;       // points of an earlier run are there, to be dropped from resume_step on
    for (int i = 0; i < MAX_FILES; i++) { // numbered, where others put the time: readers take the files by name
        path = fbl_path_join(ctx, directory,
                             fbl_arena_printf(fbl_context_arena(ctx), "events.out.tfevents.%010d.fblc", i));
        if (!fbl_path_exists(path)) {
            break;
        }
        earlier = true;
    }
    FblTensorboard *board = calloc(1, sizeof *board);
    if (board == NULL) {
        return FBL_NOMEM;
    }
    board->file = fopen(path, "wbe");
    if (board->file == NULL) {
        free(board);
        fbl_error(ctx, "E0790", FBL_NO_LOC, "cannot write `%s`", path);
        return FBL_IO;
    }
    const char *version = "brain.Event:2";
    Message event = start_event(0);
    add_counted(&event, 3, version, strlen(version)); // string file_version = 3
    write_record(board, &event);
    if (earlier) {
        const uint8_t session_start[2] = {1 << 3, 1}; // SessionLog { status = START }
        event = start_event(resume_step);
        add_counted(&event, 7, session_start, sizeof session_start);
        write_record(board, &event);
    }
    *out = board;
    return FBL_OK;
}

void fbl_tensorboard_scalar(FblTensorboard *board, const char *tag, int64_t step, double value) {
    size_t length = strlen(tag);
    if (isnan(value) || length > MAX_TAG / 2) {
        return;
    }
    float single = (float)value;
    Message point = {.size = 0}; // Value { string tag = 1; float simple_value = 2; }
    add_counted(&point, 1, tag, length);
    add_key(&point, 2, 5);
    add_bytes(&point, &single, sizeof single);
    Message summary = {.size = 0}; // Summary { repeated Value value = 1; }
    add_counted(&summary, 1, point.bytes, point.size);
    Message event = start_event(step);
    add_counted(&event, 5, summary.bytes, summary.size); // Summary summary = 5
    write_record(board, &event);
}

FblStatus fbl_tensorboard_flush(FblContext *ctx, FblTensorboard *board) {
    if (fflush(board->file) != 0 || ferror(board->file)) {
        fbl_error(ctx, "E0790", FBL_NO_LOC, "cannot write the TensorBoard events of the run");
        return FBL_IO;
    }
    return FBL_OK;
}

void fbl_tensorboard_close(FblTensorboard *board) {
    if (board != NULL) {
        fclose(board->file);
        free(board);
    }
}

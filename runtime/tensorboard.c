#include "runtime/tensorboard.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/diag.h"
#include "base/io.h"
#include "event.pb-c.h"

#define MAX_MESSAGE 512
#define MAX_FILES 100000

struct FblTensorboard {
    FILE *file;
};

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

// A record: the length and its checksum, the message and its checksum. Files are little-endian, as this machine is.
static void write_event(FblTensorboard *board, Fblc__Event *event) {
    event->wall_time = (double)time(NULL);
    uint8_t message[MAX_MESSAGE];
    uint64_t length = fblc__event__get_packed_size(event);
    if (length > sizeof message) {
        return; // a tag longer than any curve has
    }
    fblc__event__pack(event, message);
    uint32_t check = masked(&length, sizeof length);
    fwrite(&length, sizeof length, 1, board->file);
    fwrite(&check, sizeof check, 1, board->file);
    fwrite(message, 1, length, board->file);
    check = masked(message, length);
    fwrite(&check, sizeof check, 1, board->file);
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
    char version[] = "brain.Event:2";
    Fblc__Event event = FBLC__EVENT__INIT;
    event.what_case = FBLC__EVENT__WHAT_FILE_VERSION;
    event.file_version = version;
    write_event(board, &event);
    if (earlier) {
        Fblc__SessionLog start = FBLC__SESSION_LOG__INIT;
        start.status = FBLC__SESSION_LOG__STATUS__START;
        event.step = resume_step;
        event.what_case = FBLC__EVENT__WHAT_SESSION_LOG;
        event.session_log = &start;
        write_event(board, &event);
    }
    *out = board;
    return FBL_OK;
}

void fbl_tensorboard_scalar(FblTensorboard *board, const char *tag, int64_t step, double value) {
    if (isnan(value)) {
        return;
    }
    Fblc__Summary__Value point = FBLC__SUMMARY__VALUE__INIT, *points = &point;
    Fblc__Summary summary = FBLC__SUMMARY__INIT;
    Fblc__Event event = FBLC__EVENT__INIT;
    point.tag = (char *)tag; // packing reads it only
    point.value_case = FBLC__SUMMARY__VALUE__VALUE_SIMPLE_VALUE;
    point.simple_value = (float)value;
    summary.n_value = 1;
    summary.value = &points;
    event.step = step;
    event.what_case = FBLC__EVENT__WHAT_SUMMARY;
    event.summary = &summary;
    write_event(board, &event);
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

#include "runtime/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/io.h"

static void write_json_string(FILE *out, const char *text) {
    fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c != 0; c++) {
        if (*c == '"' || *c == '\\') {
            fprintf(out, "\\%c", *c);
        } else if (*c < 0x20) {
            fprintf(out, "\\u%04x", *c);
        } else {
            fputc(*c, out);
        }
    }
    fputc('"', out);
}

static int name_order(const void *a, const void *b) {
    return strcmp((*(const FblFileTensor *const *)a)->name, (*(const FblFileTensor *const *)b)->name);
}

static FblStatus check_names(FblContext *ctx, const char *path, const FblFileTensor **order, size_t count) {
    qsort(order, count, sizeof *order, name_order);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(order[i]->name, "__metadata__") == 0 || (i > 0 && strcmp(order[i - 1]->name, order[i]->name) == 0)) {
            return fbl_error(ctx, "E0813", FBL_NO_LOC, "cannot write `%s`: two tensors are called `%s`", path,
                             order[i]->name);
        }
    }
    return FBL_OK;
}

FblStatus fbl_file_layout_make(FblContext *ctx, const char *path, const FblFileTensor *tensors, size_t count,
                               const FblFileString *metadata, size_t metadata_count, FblFileLayout *out) {
    *out = (FblFileLayout){0};
    out->order = malloc((count + 1) * sizeof *out->order);
    if (out->order == NULL) {
        return FBL_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        out->order[i] = &tensors[i];
    }
    FblStatus status = check_names(ctx, path, out->order, count);
    if (status != FBL_OK) {
        fbl_file_layout_deinit(out);
        return status;
    }
    size_t placed = 0;
    for (size_t width = 8; width > 0; width /= 2) {
        for (size_t i = 0; i < count; i++) {
            if (fbl_file_dtype_size(tensors[i].dtype) == width) {
                out->order[placed++] = &tensors[i];
            }
        }
    }
    FILE *text = open_memstream(&out->header, &out->header_size);
    if (text == NULL) {
        fbl_file_layout_deinit(out);
        return FBL_NOMEM;
    }
    fwrite("\0\0\0\0\0\0\0\0", 1, 8, text);
    fputc('{', text);
    const char *comma = "";
    if (metadata_count > 0) {
        fputs("\"__metadata__\":{", text);
        for (size_t i = 0; i < metadata_count; i++) {
            fputs(i > 0 ? "," : "", text);
            write_json_string(text, metadata[i].key);
            fputc(':', text);
            write_json_string(text, metadata[i].value);
        }
        fputc('}', text);
        comma = ",";
    }
    int64_t at = 0;
    bool fits = true;
    for (size_t i = 0; i < count; i++) {
        const FblFileTensor *tensor = out->order[i];
        fputs(comma, text);
        comma = ",";
        write_json_string(text, tensor->name);
        fprintf(text, ":{\"dtype\":\"%s\",\"shape\":[", fbl_file_dtype_name(tensor->dtype));
        for (int axis = 0; axis < tensor->rank; axis++) {
            fprintf(text, "%s%" PRId64, axis > 0 ? "," : "", tensor->shape[axis]);
        }
        int64_t end = at;
        fits = fits && fbl_add_i64(at, (int64_t)tensor->size, &end);
        fprintf(text, "],\"data_offsets\":[%" PRId64 ",%" PRId64 "]}", at, end);
        at = end;
    }
    fputc('}', text);
    for (long length = ftell(text); length % 8 != 0; length++) {
        fputc(' ', text);
    }
    bool failed = ferror(text) != 0;
    failed = fclose(text) != 0 || failed;
    if (failed || !fits) {
        fbl_file_layout_deinit(out);
        return FBL_NOMEM;
    }
    for (int i = 0; i < 8; i++) {
        out->header[i] = (char)((uint64_t)(out->header_size - 8) >> (8 * i));
    }
    return FBL_OK;
}

void fbl_file_layout_deinit(FblFileLayout *layout) {
    free(layout->header);
    free(layout->order);
    *layout = (FblFileLayout){0};
}

FblStatus fbl_file_layout_write(FblContext *ctx, const char *path, const FblFileLayout *layout, size_t count) {
    FblSpan *spans = malloc((count + 1) * sizeof *spans);
    if (spans == NULL) {
        return FBL_NOMEM;
    }
    spans[0] = (FblSpan){layout->header, layout->header_size};
    for (size_t i = 0; i < count; i++) {
        spans[i + 1] = (FblSpan){layout->order[i]->data, layout->order[i]->size};
    }
    FblStatus status = fbl_write_file_atomic(ctx, path, spans, count + 1);
    free(spans);
    return status;
}

FblStatus fbl_tensor_file_write(FblContext *ctx, const char *path, const FblFileTensor *tensors, size_t count,
                                const FblFileString *metadata, size_t metadata_count) {
    FblFileLayout layout;
    FBL_TRY(fbl_file_layout_make(ctx, path, tensors, count, metadata, metadata_count, &layout));
    FblStatus status = fbl_file_layout_write(ctx, path, &layout, count);
    fbl_file_layout_deinit(&layout);
    return status;
}

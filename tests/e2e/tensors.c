// tensors FILE: a line for every tensor of a safetensors file, sorted as in its header: name, type, shape, and a hash of its bytes. Scripts compare such
// lists to see which tensors changed. It reads the format by code of its own.
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *slurp(const char *path, size_t *out_size) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        return NULL;
    }
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *bytes = size >= 8 ? malloc((size_t)size) : NULL;
    if (bytes && fread(bytes, 1, (size_t)size, file) != (size_t)size) {
        free(bytes);
        bytes = NULL;
    }
    fclose(file);
    *out_size = (size_t)size;
    return bytes;
}

// FNV-1a, 64 bits.
static uint64_t hash(const char *bytes, size_t size) {
    uint64_t value = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++) {
        value = (value ^ (uint8_t)bytes[i]) * 0x100000001b3u;
    }
    return value;
}

int main(int argc, char **argv) {
    size_t size = 0;
    char *bytes = argc == 2 ? slurp(argv[1], &size) : NULL;
    uint64_t length = 0;
    for (int i = 7; bytes && i >= 0; i--) {
        length = length << 8 | (uint8_t)bytes[i];
    }
    cJSON *header = bytes && length <= size - 8 ? cJSON_ParseWithLength(bytes + 8, (size_t)length) : NULL;
    if (!header) {
        fprintf(stderr, "tensors: cannot read %s\n", argc == 2 ? argv[1] : "nothing");
        return 1;
    }
    const cJSON *entry;
    cJSON_ArrayForEach(entry, header) {
        const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets"), *shape = cJSON_GetObjectItemCaseSensitive(entry, "shape");
        if (!cJSON_IsArray(offsets)) {
            continue; // __metadata__
        }
        size_t begin = (size_t)cJSON_GetArrayItem(offsets, 0)->valuedouble, end = (size_t)cJSON_GetArrayItem(offsets, 1)->valuedouble;
        if (begin > end || end > size - 8 - length) {
            fprintf(stderr, "tensors: %s lies outside the file\n", entry->string);
            return 1;
        }
        char *text = cJSON_PrintUnformatted(shape);
        printf("%s %s %s %016" PRIx64 "\n", entry->string, cJSON_GetObjectItemCaseSensitive(entry, "dtype")->valuestring, text,
               hash(bytes + 8 + length + begin, end - begin));
        free(text);
    }
    cJSON_Delete(header);
    free(bytes);
    return 0;
}

// A packed cache: the pictures of a data set, decoded once and shrunk so that their shorter side has a given length, in one file.
//
// File: 64 bytes of header (the magic "FBLPACK1", the number of pictures, the shorter side, the SHA-256 of what it was made
// from), 16 bytes for each picture (offset, width, height; width 0: it could not be decoded), then the RGB bytes. Numbers are
// little-endian. Ownership: a pack maps its file until fbl_pack_close. Threads: immutable once open, shared freely.
#ifndef FBL_RUNTIME_DATA_PACK_H
#define FBL_RUNTIME_DATA_PACK_H

#include <stdio.h>

#include "base/context.h"
#include "base/hash.h"
#include "runtime/data/image.h"
#include "runtime/data/origin.h"

typedef struct FblPack {
    const uint8_t *bytes; // of the whole file
    size_t size;
    int64_t count;
    bool mapped; // by this pack
} FblPack;

typedef struct FblPackOptions {
    const char *path; // of the packed file
    char *const *images;
    FblImageOrigin origin; // of the images; borrowed
    int64_t count;
    int32_t shorter; // 1 to 4096; smaller pictures stay as they are
    bool skip_bad;   // a damaged picture is no error: a warning E0815, and later fbl_pack_picture fails for it
    FILE *progress;  // NULL: none
} FblPackOptions;

// Opens the packed file, or makes it first when it is not there, is damaged, or was made from other files (by name, size and
// time of change) or for another size. E0805 names a damaged picture, E0823 a file that cannot be made.
FblStatus fbl_pack_open(FblContext *ctx, const FblPackOptions *options, FblPack *out);
void fbl_pack_close(FblPack *pack);

// Checks a packed file in memory: header, digest `key`, and that every picture lies inside. False otherwise. `out` borrows.
bool fbl_pack_parse(const uint8_t *bytes, size_t size, int64_t count, int32_t shorter, const FblHash *key, FblPack *out);

// Picture `index`; its pixels are the pack's. False when it could not be decoded.
bool fbl_pack_picture(const FblPack *pack, int64_t index, FblImage *out);

#endif

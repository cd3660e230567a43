// SHA-256 (content addresses, file checksums) on top of libmd.
#ifndef FBL_BASE_HASH_H
#define FBL_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct FblHash {
    uint8_t bytes[32];
} FblHash;

FblHash fbl_hash(const void *data, size_t size);

// Lower-case hex with a NUL.
void fbl_hash_hex(const FblHash *hash, char out[65]);

// The first eight bytes as an integer: for table look-ups and short names, not for identity.
uint64_t fbl_hash_u64(const void *data, size_t size);

#endif

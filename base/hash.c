#include "base/hash.h"

// libmd's header needs the BSD integer types first.
#include <sys/types.h>

#include <sha2.h>

FblHash fbl_hash(const void *data, size_t size) {
    SHA2_CTX state;
    FblHash hash;
    SHA256Init(&state);
    if (size > 0) {
        SHA256Update(&state, data, size);
    }
    SHA256Final(hash.bytes, &state);
    return hash;
}

void fbl_hash_hex(const FblHash *hash, char out[65]) {
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) {
        out[2 * i] = digits[hash->bytes[i] >> 4];
        out[2 * i + 1] = digits[hash->bytes[i] & 15];
    }
    out[64] = 0;
}

uint64_t fbl_hash_u64(const void *data, size_t size) {
    FblHash hash = fbl_hash(data, size);
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) {
        value = value << 8 | hash.bytes[i];
    }
    return value;
}

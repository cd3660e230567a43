// What the libraries of tests share: settings, numbers in half precision, and the way onto a stream of soft_driver.c. Independent of the program's own code.
// Threads: one caller.
#ifndef FBL_TESTS_CUDART_SOFT_LIBRARY_H
#define FBL_TESTS_CUDART_SOFT_LIBRARY_H

#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef enum SoftType { SOFT_F32, SOFT_F16, SOFT_BF16 } SoftType;

// What stands behind `name` in the comma-separated list of environment variable `variable` ("" or what follows `=`); NULL: it is not there.
static inline const char *soft_listed(const char *variable, const char *name) {
    const char *all = getenv(variable);
    size_t length = strlen(name);
    for (const char *at = all; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        if (strncmp(at, name, length) == 0 && (at[length] == '=' || at[length] == ',' || at[length] == 0)) {
            return at + length + (at[length] == '=');
        }
    }
    return NULL;
}

// Bits of the fraction, and the bias of the exponent, of a half.
static inline int soft_fraction_bits(SoftType type) { return type == SOFT_BF16 ? 7 : 10; }
static inline int soft_exponent_bias(SoftType type) { return type == SOFT_BF16 ? 127 : 15; }

static inline double soft_get(SoftType type, const void *data, int64_t at) {
    if (type == SOFT_F32) {
        return (double)((const float *)data)[at];
    }
    int bits = ((const uint16_t *)data)[at], places = soft_fraction_bits(type), exponent = (bits & 0x7fff) >> places, fraction = bits & ((1 << places) - 1);
    bool last = exponent == (0x7fff >> places); // infinities and NaN
    double size = last            ? (fraction ? (double)NAN : (double)INFINITY)
                  : exponent == 0 ? ldexp(fraction, 1 - soft_exponent_bias(type) - places)
                                  : ldexp(fraction + (1 << places), exponent - soft_exponent_bias(type) - places);
    return bits & 0x8000 ? -size : size;
}

// Rounds to the nearest number of the type, ties to even: nearbyint on a scale where its neighbours are one apart.
static inline void soft_put(SoftType type, void *data, int64_t at, double value) {
    if (type == SOFT_F32) {
        ((float *)data)[at] = (float)value;
        return;
    }
    int places = soft_fraction_bits(type), least = 1 - soft_exponent_bias(type), exponent = least;
    unsigned bits = signbit(value) ? 0x8000 : 0, infinity = 0x7fff & ~((1u << places) - 1);
    double size = fabs(value);
    if (isnan(value)) {
        bits |= infinity + 1;
    } else {
        if (size > 0 && isfinite(size)) {
            frexp(size, &exponent);
            exponent = exponent - 1 < least ? least : exponent - 1;
        }
        double steps = isfinite(size) ? nearbyint(ldexp(size, places - exponent)) : INFINITY; // at most 2^(places + 1)
        double number = steps + ldexp(exponent - least, places);                              // positions of halves by size: the bits themselves
        bits |= number >= (double)infinity ? infinity : (unsigned)number;
    }
    ((uint16_t *)data)[at] = (uint16_t)bits;
}

// Has `function` called with `argument` when the stream comes to it, as a launch of tile `tile` (FBL_SOFT_CHARGE). False when there is no such driver.
static inline bool soft_enqueue(void *stream, void (*function)(void *), void *argument, const char *tile) {
    static int (*enqueue)(void *, void (*)(void *), void *, const char *);
    if (!enqueue) {
        const char *path = getenv("FBL_CUDA_DRIVER");
        void *driver = path ? dlopen(path, RTLD_NOW | RTLD_NOLOAD) : NULL, *symbol = driver ? dlsym(driver, "softLaunchLibrary") : NULL;
        memcpy(&enqueue, &symbol, sizeof symbol);
    }
    return enqueue && enqueue(stream, function, argument, tile) == 0;
}

#endif

// Arithmetic on whole numbers. Ownership: nothing. Threads: any.
#ifndef FBL_BASE_INTEGER_H
#define FBL_BASE_INTEGER_H

#include <stdint.h>

// The greatest common divisor of |a| and |b|, by Euclid; 0 is a multiple of everything. Neither may be INT64_MIN.
int64_t fbl_gcd(int64_t a, int64_t b);

#endif

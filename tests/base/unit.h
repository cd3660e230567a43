// The includes that cmocka wants before its own, in one place.
#ifndef FBL_TESTS_BASE_UNIT_H
#define FBL_TESTS_BASE_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif

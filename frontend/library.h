// The library's .fbl files as they were when the program was built, so that the program works away from its source tree.
// Generated into the build folder by cmake/embed_library.cmake. Read-only.
#ifndef FBL_FRONTEND_LIBRARY_H
#define FBL_FRONTEND_LIBRARY_H

#include "base/context.h"

extern const FblSource fbl_library[]; // path: the file's name alone
extern const size_t fbl_library_count;

#endif

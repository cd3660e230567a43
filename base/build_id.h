// Which build of the program this is: what keys caches of generated code, so that code of another build is never taken for
// this one's. Read-only.
#ifndef FBL_BASE_BUILD_ID_H
#define FBL_BASE_BUILD_ID_H

#include "base/context.h"

// "0.1.0+<hex>": the version and the linker's build id of the running program (of the version alone, where the program was
// linked without one). In the context's arena.
const char *fbl_build_id(FblContext *ctx);

#endif

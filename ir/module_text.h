// The text of a whole module: parameters, states, hyper-parameters, the recipe and the graphs. Embedded in compiled
// files and read back by --start-from.
//
// Ownership: in the context's arena. Threads: as the context.
#ifndef FBL_IR_MODULE_TEXT_H
#define FBL_IR_MODULE_TEXT_H

#include "ir/module.h"

// The canonical text: reading it and printing again gives the same bytes. Places in the source are not kept.
const char *fbl_module_print(const FblModule *module);

// Reads what fbl_module_print wrote (source file number `file`). Any broken text gives diagnostics.
FblStatus fbl_module_read(FblContext *ctx, uint32_t file, FblModule **out_module);

#endif

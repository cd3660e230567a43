// --tune=search: the tiles of a plan's contractions timed on the GPU, winners into the table of tuned tiles.
//
// Ownership and threads: as the driver.
#ifndef FBL_CLI_TUNE_H
#define FBL_CLI_TUNE_H

#include "cli/driver.h"

// For every contraction of the plan that the table has no row for (most work first): compiles some tiles, drops those whose
// result differs from the default's by more than rounding (warning E0653), times the others, and adds a row: the fastest when it
// is FBL_TUNE_MARGIN faster than the default, else `default`. The file of --tune-file is written again after each, so that a search
// that is ended goes on where it was. Stops when --tune-seconds have passed since the driver's first search. Opens the GPU. Nothing
// without --tune=search.
FblStatus fbl_driver_tune(FblDriver *driver, const FblPlan *plan);

#define FBL_TUNE_MARGIN 0.03 // of the default's time: less is within what timings scatter

#endif

// Runs the passes of passes.def over a module and does after each what no pass should have to do itself: verify, check
// that the text form is faithful, print, dump, time, stop.
//
// Ownership: a manager lives in the context's arena; options are copied, their strings borrowed. Threads: as the
// context.
#ifndef FBL_PASSES_MANAGER_H
#define FBL_PASSES_MANAGER_H

#include <stdio.h>

#include "ir/module.h"
#include "passes/lower.h"
#include "passes/options.h"
#include "passes/rewrite.h"

typedef struct FblPassManager FblPassManager;

// Printed programs, bisection lines and reports go to `out` (NULL: stderr). E0404 when an option names an unknown pass.
FblStatus fbl_manager_create(FblContext *ctx, const FblPassOptions *options, FILE *out, FblPassManager **out_manager);

// Runs all graph-level passes. On FBL_OK the module is verified (unless switched off), differentiated and simplified,
// or --stop-after has ended the run early: fbl_manager_stopped. Graphs that passes replace are discarded: who needs one
// later copies it before.
FblStatus fbl_manager_run(FblPassManager *manager, FblModule *module);

// --start-from: reads the file (source number *out_file of the context) and has fbl_manager_run leave out all passes up to
// the one after which it was written: *out_pass, NULL when none had run. E0407 when it doesn't say.
FblStatus fbl_manager_start_from(FblPassManager *manager, uint32_t *out_file, const char **out_pass);

// Lowers a module after fbl_manager_run; the pass "lower", with all that the options ask for around it.
FblStatus fbl_manager_lower(FblPassManager *manager, FblModule *module, const FblLowerOptions *options, FblPlan **out_plan);

// Whether --stop-after has been met: later phases must not run.
bool fbl_manager_stopped(const FblPassManager *manager);

// Brackets for phases outside the graph level. Between fbl_manager_enter, which says whether to run the phase at all,
// and fbl_manager_leave the phase does its work; `print` gives the text of what it made, in the arena, and is called
// only when a text is needed; `suffix` names its files under --dump-dir ("kernels", "plan").
bool fbl_manager_enter(FblPassManager *manager, const char *pass, bool required);
FblStatus fbl_manager_leave(FblPassManager *manager, const char *pass, const char *suffix,
                            const char *(*print)(void *object), void *object);

// Prints what --time-passes asks for: per pass time and node counts, then the rules that fired. Nothing without the
// option.
void fbl_manager_report(const FblPassManager *manager);

// How often each rule has fired so far.
const FblRuleHits *fbl_manager_hits(const FblPassManager *manager);

// All of the above for callers that need no manager afterwards: create, run, report.
FblStatus fbl_passes_run(FblModule *module, const FblPassOptions *options);

#endif

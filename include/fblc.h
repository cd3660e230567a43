// libfblc: check, compile and run .fbl programs from another program.
//
//   fblc_context *c = fblc_create();
//   fblc_on_diagnostic(c, print, NULL);
//   fblc_set(c, "loss.lambda", "120");
//   int code = fblc_compile(c, "models/cifar10_lt.fbl", "cifar10.fblx");
//   fblc_destroy(c);
//
// Functions return what the command line would exit with: FBLC_OK and so on. Ownership: strings given are copied, strings
// handed to callbacks are valid during the call. Threads: one thread a context at a time; contexts are independent, except
// that fblc_run uses all threads it is allowed.
#ifndef FBLC_H
#define FBLC_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FBLC_OK = 0,
    FBLC_PROGRAM = 1, // the program, recipe or data are wrong; diagnostics say how
    FBLC_USAGE = 2,
    FBLC_SYSTEM = 3, // a file, memory or a device failed
    FBLC_BUG = 70,
    FBLC_INTERRUPTED = 130
};

typedef struct fblc_context fblc_context;

fblc_context *fblc_create(void); // NULL when memory is short
void fblc_destroy(fblc_context *context);

// Called once for each diagnostic with one JSON object: severity, id, file, line, column, end_line, end_column, message,
// notes, hint. Without a callback they go to stderr as text.
typedef void (*fblc_diagnostic_fn)(void *user, const char *json);
void fblc_on_diagnostic(fblc_context *context, fblc_diagnostic_fn callback, void *user);

// What --set KEY=VALUE and the other options of the command line do ("threads", "batch", "seed", "target", ...), for all
// later calls. Flags take "true". Returns FBLC_USAGE for an unknown option.
int fblc_set(fblc_context *context, const char *key, const char *value);
int fblc_option(fblc_context *context, const char *name, const char *value);

typedef struct fblc_facts {
    double parameters, flops_forward_per_image, flops_train_step, memory_bytes; // -1: not known without more extents
} fblc_facts;

int fblc_check(fblc_context *context, const char *path, fblc_facts *out_facts); // out_facts may be NULL
int fblc_compile(fblc_context *context, const char *path, const char *out_path);
// Trains; logs and checkpoints go to run_dir.
int fblc_run(fblc_context *context, const char *path, const char *run_dir);

const char *fblc_version(void);

#ifdef __cplusplus
}
#endif
#endif

// Status codes returned by every fallible function, and how they map to exit codes.
//
// Ownership: plain values. Threads: no state.
#ifndef FBL_BASE_STATUS_H
#define FBL_BASE_STATUS_H

// What went wrong, by who can mend it. FBL_USER means that a diagnostic has been added to the context.
typedef enum FblStatus {
    FBL_OK = 0,
    FBL_USER,        // the program (.fbl file, recipe, data file named by the user) is wrong
    FBL_UNSUPPORTED, // right, but this build or machine cannot do it
    FBL_IO,          // a file or the system failed
    FBL_NOMEM,       // a large allocation failed
    FBL_DEVICE,      // an accelerator or its driver failed
    FBL_INTERNAL,    // a bug of ours
} FblStatus;

// Evaluates `expr` once; returns its status from the enclosing function unless it is FBL_OK.
#define FBL_TRY(expr)                             \
    do {                                          \
        FblStatus fbl_try_status_ = (expr);       \
        if (fbl_try_status_ != FBL_OK) {          \
            return fbl_try_status_;               \
        }                                         \
    } while (0)

// Process exit code for `status`: 0 ok, 1 the program's error, 3 system or device, 70 a bug of ours.
int fbl_status_exit_code(FblStatus status);

// A short lower-case name ("ok", "user", ...); never NULL.
const char *fbl_status_name(FblStatus status);

#endif

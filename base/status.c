#include "base/status.h"

int fbl_status_exit_code(FblStatus status) {
    switch (status) {
    case FBL_OK:
        return 0;
    case FBL_USER:
        return 1;
    case FBL_UNSUPPORTED:
    case FBL_IO:
    case FBL_NOMEM:
    case FBL_DEVICE:
        return 3;
    case FBL_INTERNAL:
        break;
    }
    return 70;
}

const char *fbl_status_name(FblStatus status) {
    switch (status) {
    case FBL_OK:
        return "ok";
    case FBL_USER:
        return "user";
    case FBL_UNSUPPORTED:
        return "unsupported";
    case FBL_IO:
        return "io";
    case FBL_NOMEM:
        return "nomem";
    case FBL_DEVICE:
        return "device";
    case FBL_INTERNAL:
        return "internal";
    }
    return "unknown";
}

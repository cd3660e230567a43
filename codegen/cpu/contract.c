#include "codegen/cpu/contract.h"

bool fbl_emit_contraction(FblEmit *e) {
    (void)e;
    return false;
}

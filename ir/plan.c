#include "ir/plan.h"

int64_t fbl_plan_devices(const FblPlan *plan) {
    for (size_t k = 0; k < plan->kernel_count; k++) {
        if (fbl_kernel_is_collective(plan->kernels[k])) {
            return plan->kernels[k]->ints[1];
        }
    }
    return 1;
}

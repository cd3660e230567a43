// Chains: consecutive kernels that need nothing of each other but what belongs to the image at work. The runtime does such
// a run a share of the images at a time, so that what one kernel writes the next reads from the cache, and waits for all
// threads once a chain instead of once a kernel. Per-channel statistics end a chain: they need all images.
#include "passes/lower_internal.h"

// Everything a chain touches is alive during all of it, so chains of kernels that would reuse memory are kept short.
#define MAX_LAUNCHES 8

static int32_t buffer_of(const FblGroup *group, FblNodeId node) {
    for (int32_t i = 0; i < group->kernel->buffer_count; i++) {
        if (group->buffer_nodes[i] == node) {
            return i;
        }
    }
    return -1;
}

// Whether `b` may follow `a` in a chain: see fbl_plan_verify, which checks the same on places in memory.
static bool may_follow(const FblGroup *a, const FblGroup *b) {
    for (int32_t i = 0; i < b->kernel->buffer_count; i++) {
        int32_t k = buffer_of(a, b->buffer_nodes[i]);
        if (k < 0 || (!a->kernel->buffers[k].is_output && !b->kernel->buffers[i].is_output)) {
            continue;
        }
        if (!fbl_kernel_by_image(a->kernel, k) || !fbl_kernel_by_image(b->kernel, i)) {
            return false;
        }
    }
    return true;
}

void fbl_lower_chains(FblLower *lower) {
    int32_t chains = 0;
    size_t first = 0;
    while (first < lower->group_count) {
        int64_t images = lower->options->fuse ? fbl_kernel_images(lower->groups[first].kernel) : 0;
        size_t end = first + 1;
        bool more = images > 0;
        while (more && end < lower->group_count && end - first < MAX_LAUNCHES) {
            more = fbl_kernel_images(lower->groups[end].kernel) == images;
            for (size_t k = first; k < end && more; k++) {
                more = may_follow(&lower->groups[k], &lower->groups[end]);
            }
            end += more;
        }
        chains += end - first > 1;
        for (size_t g = first; g < end; g++) {
            lower->groups[g].chain = end - first > 1 ? chains : 0;
            lower->groups[g].chain_first = (int32_t)first;
            lower->groups[g].chain_last = (int32_t)end - 1;
        }
        first = end;
    }
}

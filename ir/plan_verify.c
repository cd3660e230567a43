#include "ir/plan.h"

static FblStatus bad(FblContext *ctx, const char *where, const char *what) {
    fbl_error(ctx, "E0620", FBL_NO_LOC, "plan: %s: %s", where, what);
    return FBL_INTERNAL;
}

// Bytes of a buffer; -1 when the product overflows.
static int64_t buffer_bytes(const FblKernelBuffer *buffer) {
    int64_t bytes = fbl_dtype_bytes(buffer->dtype);
    for (int32_t d = 0; d < buffer->rank; d++) {
        if (!fbl_mul_i64(bytes, buffer->extents[d], &bytes)) {
            return -1;
        }
    }
    return bytes;
}

static bool inside(const FblPlan *plan, FblRegion region, int64_t offset, int64_t bytes) {
    return region < FBL_REGION_COUNT && bytes >= 0 && offset >= 0 && offset <= plan->region_bytes[region] && bytes <= plan->region_bytes[region] - offset;
}

static FblStatus check_tensors(FblContext *ctx, const FblPlan *plan, const FblPlanTensor *tensors, size_t count, FblRegion region) {
    for (size_t i = 0; i < count; i++) {
        int64_t elements = fbl_type_elements(&tensors[i].type), bytes;
        if (elements < 0 || !fbl_mul_i64(elements, fbl_dtype_bytes(tensors[i].type.dtype), &bytes) || tensors[i].region != region ||
            !inside(plan, region, tensors[i].offset, bytes) || tensors[i].offset % 4 != 0) {
            return bad(ctx, tensors[i].name, "does not lie in its region");
        }
    }
    return FBL_OK;
}

static FblStatus check_launch(FblContext *ctx, const FblPlan *plan, const FblLaunch *launch) {
    if (launch->kernel < 0 || (size_t)launch->kernel >= plan->kernel_count) {
        return bad(ctx, "launch", "no such kernel");
    }
    const FblKernel *kernel = plan->kernels[launch->kernel];
    for (int32_t i = 0; i < kernel->buffer_count; i++) {
        const FblPlanBinding *a = &launch->bindings[i];
        int64_t a_bytes = buffer_bytes(&kernel->buffers[i]);
        if (!inside(plan, a->region, a->offset, a_bytes) || a->offset % 4 != 0) {
            return bad(ctx, kernel->name, "a buffer leaves its region");
        }
        for (int32_t k = 0; k < i; k++) {
            const FblPlanBinding *b = &launch->bindings[k];
            bool written = kernel->buffers[i].is_output || kernel->buffers[k].is_output;
            bool allowed = (kernel->buffers[i].alias == k || kernel->buffers[k].alias == i) && a->offset == b->offset;
            if (written && !allowed && a->region == b->region && a->offset < b->offset + buffer_bytes(&kernel->buffers[k]) && b->offset < a->offset + a_bytes) {
                return bad(ctx, kernel->name, "an output overlaps another buffer");
            }
        }
    }
    return FBL_OK;
}

// Launches a and b of one chain: equally many images, and what one of them writes the other touches at the same place, both
// image by image.
static FblStatus check_chained(FblContext *ctx, const FblPlan *plan, const FblLaunch *a, const FblLaunch *b) {
    const FblKernel *first = plan->kernels[a->kernel], *second = plan->kernels[b->kernel];
    int64_t images = fbl_kernel_images(first);
    if (images == 0 || fbl_kernel_images(second) != images) {
        return bad(ctx, second->name, "is chained to a kernel of another number of images");
    }
    for (int32_t i = 0; i < first->buffer_count; i++) {
        int64_t bytes = buffer_bytes(&first->buffers[i]);
        for (int32_t k = 0; k < second->buffer_count; k++) {
            const FblPlanBinding *x = &a->bindings[i], *y = &b->bindings[k];
            int64_t other = buffer_bytes(&second->buffers[k]);
            bool meet = x->region == y->region && x->offset < y->offset + other && y->offset < x->offset + bytes;
            bool same = x->offset == y->offset && bytes == other && fbl_kernel_by_image(first, i) && fbl_kernel_by_image(second, k);
            if ((first->buffers[i].is_output || second->buffers[k].is_output) && meet && !same) {
                return bad(ctx, second->name, "is chained to a kernel that it must wait for");
            }
        }
    }
    return FBL_OK;
}

static FblStatus check_chains(FblContext *ctx, const FblPlan *plan, const FblPlanFunction *function) {
    for (size_t k = 0; k < function->launch_count; k++) {
        int32_t chain = function->launches[k].chain;
        if (chain < 0 || (k > 0 && chain > 0 && chain < function->launches[k - 1].chain)) {
            return bad(ctx, function->name, "numbers of chains do not ascend");
        }
        for (size_t i = k; i > 0 && chain > 0 && function->launches[i - 1].chain == chain; i--) {
            FBL_TRY(check_chained(ctx, plan, &function->launches[i - 1], &function->launches[k]));
        }
    }
    return FBL_OK;
}

FblStatus fbl_plan_verify(FblContext *ctx, const FblPlan *plan) {
    for (int i = 0; i < FBL_REGION_COUNT; i++) {
        if (plan->region_bytes[i] < 0) {
            return bad(ctx, "region", "negative size");
        }
    }
    for (size_t i = 0; i < plan->kernel_count; i++) {
        FBL_TRY(fbl_kernel_verify(ctx, plan->kernels[i]));
    }
    FBL_TRY(check_tensors(ctx, plan, plan->params, plan->param_count, FBL_REGION_PARAMS));
    FBL_TRY(check_tensors(ctx, plan, plan->states, plan->state_count, FBL_REGION_STATES));
    for (size_t f = 0; f < plan->function_count; f++) {
        const FblPlanFunction *function = &plan->functions[f];
        FBL_TRY(check_tensors(ctx, plan, function->inputs, function->input_count, FBL_REGION_INPUTS));
        FBL_TRY(check_tensors(ctx, plan, function->outputs, function->output_count, FBL_REGION_OUTPUTS));
        if (function->arena_bytes > plan->region_bytes[FBL_REGION_ARENA]) {
            return bad(ctx, function->name, "needs more than the arena");
        }
        for (size_t k = 0; k < function->launch_count; k++) {
            FBL_TRY(check_launch(ctx, plan, &function->launches[k]));
        }
        FBL_TRY(check_chains(ctx, plan, function));
    }
    return FBL_OK;
}

#include "runtime/cuda/cuda_trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/philox.h"
#include "runtime/cuda/cuda_call.h"
#include "runtime/cuda/cuda_map.h"
#include "runtime/cuda/library.h"

#define SEED 20
#define PATTERN ((int64_t)1048573) // random numbers before they repeat: a prime, so that rows do not look alike
#define ROUNDS 7                   // of which the median is taken
#define GROUP_US 200.0             // a group is about this long, as events resolve half a microsecond
#define MAX_GROUP 20
#define ROOM 0.9             // of the free memory

typedef struct Code {
    FblCuHandle module, functions[FBL_KERNEL_MAX_PHASES];
    const FblKernelCode *code;
    FblLibraryCall *call; // instead of the functions
    double times[ROUNDS];
    uint8_t *maps; // encoded tensor maps, FBL_GPU_MAX_MAPS a phase
} Code;

typedef struct Trial {
    const FblCudaTrialOptions *options;
    FblCudaDevice *device;
    const FblKernel *kernel;
    FblDevicePtr *buffers, workspace, library_workspace, scalars;
    FblDevicePtr *values; // arguments: buffers, workspace (where a code has one), scalars
    void **parameters;
    uint8_t **wanted; // per buffer: what the first code stored
    Code *codes;
    FblCuHandle events[2];
} Trial;

static int64_t elements_of(const FblKernelBuffer *buffer) {
    int64_t count = 1;
    for (int32_t d = 0; d < buffer->rank; d++) {
        count *= buffer->extents[d];
    }
    return count;
}

static int64_t bytes_of(const FblKernelBuffer *buffer) { return elements_of(buffer) * fbl_dtype_bytes(buffer->dtype); }

static FblStatus check(FblContext *ctx, Trial *trial, FblCuResult result, const char *doing) { return fbl_cuda_check(ctx, trial->device, result, doing); }

static bool has_room(Trial *trial, int64_t workspace) {
    size_t free_bytes = 0, total = 0;
    double need = (double)workspace;
    for (int32_t b = 0; b < trial->kernel->buffer_count; b++) {
        need += (double)bytes_of(&trial->kernel->buffers[b]);
    }
    return trial->device->api.memory_info(&free_bytes, &total) == FBL_CU_SUCCESS && need <= ROOM * (double)free_bytes;
}

// The beginning from the host, the rest copied on the GPU.
static FblStatus fill_input(FblContext *ctx, Trial *trial, int32_t number) {
    const FblKernelBuffer *buffer = &trial->kernel->buffers[number];
    int64_t count = elements_of(buffer), some = count < PATTERN ? count : PATTERN, size = fbl_dtype_bytes(buffer->dtype);
    uint8_t *host = calloc((size_t)some * (size_t)size + 1, 1);
    if (!host) {
        fbl_out_of_memory();
    }
    for (int64_t i = 0; i < some; i++) {
        uint32_t word = fbl_random_u32(SEED, (uint32_t)number, 0, (uint64_t)i);
        if (buffer->dtype == FBL_F32) {
            ((float *)(void *)host)[i] = buffer->rank > 1 ? 2 * fbl_uniform_f32(word) - 1 : 0.5f + fbl_uniform_f32(word);
        } else if (buffer->dtype == FBL_BOOL) {
            host[i] = word & 1;
        } else if (fbl_dtype_is_half(buffer->dtype)) { // an exponent of 0.5 to 1, a random fraction, and for tensors a random sign
            uint32_t half = buffer->dtype == FBL_BF16 ? 0x3f00u | (word & 0x7f) : 0x3800u | (word & 0x3ff);
            uint16_t bits = (uint16_t)(half | (buffer->rank > 1 ? word >> 16 & 0x8000u : 0));
            memcpy(host + 2 * i, &bits, sizeof bits);
        }
    }
    FblStatus status = fbl_cuda_ops.upload(ctx, &trial->device->base, trial->buffers[number], host, some * size);
    free(host);
    for (int64_t done = some; done < count && status == FBL_OK;) {
        int64_t next = count - done < done ? count - done : done;
        status = check(ctx, trial, trial->device->api.copy_within(trial->buffers[number] + (FblDevicePtr)(done * size), trial->buffers[number], (size_t)(next * size), trial->device->stream),
                       "filling a buffer");
        done += next;
    }
    return status;
}

static FblStatus allocate(FblContext *ctx, Trial *trial, int64_t workspace, int64_t library) {
    FblDevice *device = &trial->device->base;
    int32_t count = trial->kernel->buffer_count;
    for (int32_t b = 0; b < count; b++) {
        FBL_TRY(fbl_cuda_ops.allocate(ctx, device, bytes_of(&trial->kernel->buffers[b]), "trying tiles", &trial->buffers[b]));
        if (!trial->kernel->buffers[b].is_output) {
            FBL_TRY(fill_input(ctx, trial, b));
        }
        trial->values[b] = trial->buffers[b];
        trial->parameters[b] = &trial->values[b];
    }
    uint64_t scalars[2] = {SEED, 0};
    FBL_TRY(fbl_cuda_ops.allocate(ctx, device, workspace, "trying tiles", &trial->workspace));
    FBL_TRY(fbl_cuda_ops.allocate(ctx, device, library, "trying the library", &trial->library_workspace));
    FBL_TRY(fbl_cuda_ops.allocate(ctx, device, sizeof scalars, "trying tiles", &trial->scalars));
    FBL_TRY(fbl_cuda_ops.upload(ctx, device, trial->scalars, scalars, sizeof scalars));
    for (int e = 0; e < 2; e++) {
        FBL_TRY(check(ctx, trial, trial->device->api.event_create(&trial->events[e], 0), "making an event"));
    }
    return FBL_OK;
}

static bool load(Trial *trial, Code *code) {
    const FblCudaApi *api = &trial->device->api;
    if (!code->code->object || api->module_load(&code->module, code->code->object) != FBL_CU_SUCCESS) {
        return false;
    }
    if (code->code->library.used) {
        FblLibraryPlace place = {code->module, trial->buffers, trial->library_workspace, trial->scalars};
        return fbl_library_prepare(trial->device, trial->kernel, code->code, &place, &code->call);
    }
    for (int32_t p = 0; p < code->code->phases; p++) {
        const FblGpuPhase *phase = &code->code->gpu[p];
        if (fbl_cuda_entry(api, code->module, phase, &code->functions[p]) != FBL_CU_SUCCESS) {
            return false;
        }
        for (int32_t m = 0; m < phase->map_count; m++) {
            uint8_t *to = code->maps + (p * FBL_GPU_MAX_MAPS + m) * FBL_TENSOR_MAP_BYTES;
            if (fbl_cuda_map_encode(api, &phase->maps[m], trial->kernel, trial->buffers, trial->workspace, code->code->workspace_bytes, to) != FBL_CU_SUCCESS) {
                return false;
            }
        }
    }
    return true;
}

// All phases onto the work stream; a failure is one of starting a phase.
static FblCuResult launch(Trial *trial, const Code *code) {
    int32_t at = trial->kernel->buffer_count;
    if (code->call) {
        return fbl_library_launch(code->call);
    }
    if (code->code->workspace_bytes > 0) {
        trial->values[at++] = trial->workspace;
    }
    trial->values[at++] = trial->scalars;
    for (int32_t i = 0; i < at; i++) {
        trial->parameters[i] = &trial->values[i];
    }
    FblCuResult result = FBL_CU_SUCCESS;
    for (int32_t p = 0; p < code->code->phases && result == FBL_CU_SUCCESS; p++) {
        const FblGpuPhase *s = &code->code->gpu[p];
        for (int32_t m = 0; m < s->map_count; m++) {
            trial->parameters[at + m] = code->maps + (p * FBL_GPU_MAX_MAPS + m) * FBL_TENSOR_MAP_BYTES;
        }
        result = trial->device->api.launch(code->functions[p], s->grid[0], s->grid[1], s->grid[2], s->block[0], s->block[1], s->block[2], s->shared_bytes, trial->device->stream,
                                           trial->parameters, NULL);
    }
    return result;
}

// Element `i` of floats or halves.
static double element(FblDtype dtype, const uint8_t *data, int64_t i) {
    if (dtype == FBL_F32) {
        float value;
        memcpy(&value, data + 4 * i, sizeof value);
        return (double)value;
    }
    uint16_t bits;
    memcpy(&bits, data + 2 * i, sizeof bits);
    int places = dtype == FBL_BF16 ? 7 : 10, most = dtype == FBL_BF16 ? 255 : 31, bias = dtype == FBL_BF16 ? 127 : 15;
    int exponent = bits >> places & most, fraction = bits & ((1 << places) - 1);
    double size = exponent == most ? (fraction ? (double)NAN : (double)INFINITY) : ldexp(exponent ? fraction + (1 << places) : fraction, (exponent ? exponent : 1) - bias - places);
    return bits & 0x8000 ? -size : size;
}

// How likely it is that a sum which is `error` off, at most, is stored as another half than `value`: that it lies so close to where rounding turns. Halves around
// it are at least |value| 2^-(places + 1) apart.
static double turning(double value, double error, int places) {
    double apart = fabs(value) * ldexp(1, -places - 1);
    return 2 * error < apart ? 2 * error / apart : 1;
}

// The largest difference in units of what is allowed. NaN agrees with NaN. Of halves two things are allowed: neighbours where rounding may have turned, and no
// more of them than it turns, with a margin of four times the root of their number: a result that is systematically off by less than a
// half's last place shows in that.
static double compare(FblDtype dtype, int64_t bytes, const uint8_t *got, const uint8_t *wanted, double tolerance) {
    int64_t count = bytes / fbl_dtype_bytes(dtype);
    if (dtype != FBL_F32 && !fbl_dtype_is_half(dtype)) {
        return memcmp(got, wanted, (size_t)bytes) == 0 ? 0 : INFINITY;
    }
    bool half = dtype != FBL_F32;
    int places = dtype == FBL_BF16 ? 7 : 10;
    double squares = 0, largest = 0, exact = tolerance, turned = 0, expected = 0;
    tolerance += half ? ldexp(1, -places) : 0;
    int64_t finite = 0;
    for (int64_t i = 0; i < count; i++) {
        double b = element(dtype, wanted, i);
        if (isfinite(b)) {
            squares += b * b;
            finite++;
        }
    }
    double usual = finite ? sqrt(squares / (double)finite) : 0;
    for (int64_t i = 0; i < count; i++) {
        double a = element(dtype, got, i), b = element(dtype, wanted, i);
        expected += half && isfinite(b) ? turning(b, exact * (fabs(b) + usual), places) : 0;
        if (a == b || (isnan(a) && isnan(b))) {
            continue;
        }
        double difference = fabs(a - b) / (tolerance * (fabs(b) + usual) + 1e-30);
        largest = difference > largest || isnan(difference) ? difference : largest;
        turned += half;
        if (isnan(largest)) {
            return INFINITY;
        }
    }
    return fmax(largest, turned / (expected + 4 * sqrt(expected) + 4));
}

// Runs a code once on outputs full of NaN: keeps what the first one stored, compares the others with it.
static FblStatus run_once(FblContext *ctx, Trial *trial, size_t number, FblCudaTrialResult *out) {
    const FblKernel *kernel = trial->kernel;
    const FblCudaApi *api = &trial->device->api;
    for (int32_t b = 0; b < kernel->buffer_count; b++) {
        if (kernel->buffers[b].is_output) {
            FBL_TRY(check(ctx, trial, api->fill(trial->buffers[b], 0xff, (size_t)bytes_of(&kernel->buffers[b]), trial->device->stream), "clearing memory"));
        }
    }
    if (launch(trial, &trial->codes[number]) != FBL_CU_SUCCESS) {
        return FBL_OK; // refused
    }
    FblCuResult result = api->stream_wait(trial->device->stream);
    if (result != FBL_CU_SUCCESS) {
        char text[256];
        fbl_cuda_error_text(api, result, text);
        trial->device->lost = true;
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0645", FBL_NO_LOC, "kernel %s failed on %s while its tiles were tried: %s", kernel->name, trial->device->name, text);
        fbl_diag_hint(ctx, diag, "this is a bug of fblc or a fault of the GPU; without --tune=search this tile is not used");
        return FBL_DEVICE;
    }
    out->verdict = FBL_CUDA_TRIAL_RIGHT;
    for (int32_t b = 0; b < kernel->buffer_count; b++) {
        if (!kernel->buffers[b].is_output) {
            continue;
        }
        // The beginning and the end, or all as the beginning.
        int64_t bytes = bytes_of(&kernel->buffers[b]), some = trial->options->compare_bytes;
        int64_t begin = some > 0 && 2 * some < bytes ? some : bytes, end = begin < bytes ? some : 0;
        uint8_t *got = malloc((size_t)(begin + end) + 1);
        if (!got) {
            fbl_out_of_memory();
        }
        FblStatus status = fbl_cuda_ops.download(ctx, &trial->device->base, got, trial->buffers[b], begin);
        status = status == FBL_OK ? fbl_cuda_ops.download(ctx, &trial->device->base, got + begin, trial->buffers[b] + (FblDevicePtr)(bytes - end), end) : status;
        if (status == FBL_OK && number > 0) {
            double tolerance = trial->codes[number].code->library.used ? trial->options->library_tolerance : trial->options->tolerance;
            double difference = compare(kernel->buffers[b].dtype, begin + end, got, trial->wanted[b], tolerance);
            out->difference = difference > out->difference ? difference : out->difference;
            out->verdict = out->difference > 1 ? FBL_CUDA_TRIAL_WRONG : out->verdict;
        }
        if (number == 0) {
            trial->wanted[b] = got;
        } else {
            free(got);
        }
        FBL_TRY(status);
    }
    return FBL_OK;
}

// `count` runs between two events, in microseconds a run.
static FblStatus time_group(FblContext *ctx, Trial *trial, const Code *code, int count, double *out_us) {
    const FblCudaApi *api = &trial->device->api;
    float milliseconds = 0;
    FblCuResult result = api->event_record(trial->events[0], trial->device->stream);
    for (int i = 0; i < count && result == FBL_CU_SUCCESS; i++) {
        result = launch(trial, code);
    }
    result = result ? result : api->event_record(trial->events[1], trial->device->stream);
    result = result ? result : api->event_wait(trial->events[1]);
    result = result ? result : api->event_elapsed(&milliseconds, trial->events[0], trial->events[1]);
    *out_us = (double)milliseconds * 1e3 / count;
    return check(ctx, trial, result, "timing a kernel");
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static FblStatus time_all(FblContext *ctx, Trial *trial, FblCudaTrialResult *results) {
    double first;
    FBL_TRY(time_group(ctx, trial, &trial->codes[0], 1, &first)); // the clocks have come up by now
    int group = first * MAX_GROUP < GROUP_US ? MAX_GROUP : first > GROUP_US ? 1 : (int)(GROUP_US / first);
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t k = 0; k < trial->options->count; k++) {
            if (results[k].verdict == FBL_CUDA_TRIAL_RIGHT) {
                FBL_TRY(time_group(ctx, trial, &trial->codes[k], group, &trial->codes[k].times[round]));
            }
        }
    }
    for (size_t k = 0; k < trial->options->count; k++) {
        qsort(trial->codes[k].times, ROUNDS, sizeof(double), compare_doubles);
        results[k].microseconds = trial->codes[k].times[ROUNDS / 2];
    }
    return FBL_OK;
}

static FblStatus run(FblContext *ctx, Trial *trial, FblCudaTrialResult *results) {
    int64_t workspace = 0, library = 0;
    for (size_t k = 0; k < trial->options->count; k++) {
        const FblKernelCode *code = trial->codes[k].code = &trial->options->codes[k];
        int64_t *most = code->library.used ? &library : &workspace, bytes = code->library.used ? fbl_library_workspace(trial->kernel, code) : code->workspace_bytes;
        *most = bytes > *most ? bytes : *most;
    }
    if (!has_room(trial, workspace + library)) {
        return FBL_OK;
    }
    FBL_TRY(allocate(ctx, trial, workspace, library));
    for (size_t k = 0; k < trial->options->count; k++) {
        if (load(trial, &trial->codes[k])) {
            FBL_TRY(run_once(ctx, trial, k, &results[k]));
        }
        if (k == 0 && results[k].verdict != FBL_CUDA_TRIAL_RIGHT) {
            return FBL_OK; // nothing to compare with
        }
    }
    return trial->options->timed ? time_all(ctx, trial, results) : FBL_OK;
}

FblStatus fbl_cuda_trial(FblContext *ctx, const FblCudaTrialOptions *options, FblCudaTrialResult *out_results) {
    size_t buffers = (size_t)options->kernel->buffer_count;
    Trial trial = {.options = options, .device = options->device, .kernel = options->kernel};
    trial.buffers = calloc(buffers + 1, sizeof *trial.buffers);
    trial.values = calloc(buffers + 2, sizeof *trial.values);
    trial.parameters = calloc(buffers + 2 + FBL_GPU_MAX_MAPS, sizeof *trial.parameters);
    trial.wanted = calloc(buffers + 1, sizeof *trial.wanted);
    trial.codes = calloc(options->count + 1, sizeof *trial.codes);
    if (!trial.buffers || !trial.values || !trial.parameters || !trial.wanted || !trial.codes) {
        fbl_out_of_memory();
    }
    for (size_t k = 0; k < options->count; k++) {
        out_results[k] = (FblCudaTrialResult){FBL_CUDA_TRIAL_REFUSED, 0, 0};
        trial.codes[k].maps = aligned_alloc(FBL_TENSOR_MAP_ALIGN, (size_t)FBL_KERNEL_MAX_PHASES * FBL_GPU_MAX_MAPS * FBL_TENSOR_MAP_BYTES);
        if (!trial.codes[k].maps) {
            fbl_out_of_memory();
        }
    }
    FblStatus status = run(ctx, &trial, out_results);
    const FblCudaApi *api = &trial.device->api;
    api->stream_wait(trial.device->stream);
    for (size_t k = 0; k < options->count; k++) {
        fbl_library_destroy(trial.codes[k].call);
        free(trial.codes[k].maps);
        if (trial.codes[k].module) {
            api->module_unload(trial.codes[k].module);
        }
    }
    for (int e = 0; e < 2; e++) {
        if (trial.events[e]) {
            api->event_destroy(trial.events[e]);
        }
    }
    for (size_t b = 0; b < buffers; b++) {
        fbl_cuda_ops.release(&trial.device->base, trial.buffers[b]);
        free(trial.wanted[b]);
    }
    fbl_cuda_ops.release(&trial.device->base, trial.workspace);
    fbl_cuda_ops.release(&trial.device->base, trial.library_workspace);
    fbl_cuda_ops.release(&trial.device->base, trial.scalars);
    free(trial.buffers);
    free(trial.values);
    free(trial.parameters);
    free(trial.wanted);
    free(trial.codes);
    return status;
}

#include "cuda_run.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/cuda/cuda_map.h"
#include "shim_flags.h"
#include "soft_map.h"

static const char *compiler(void) {
    const char *own = getenv("FBL_CXX");
    return own && *own ? own : "c++";
}

bool cuda_run_possible(void) {
    char command[512];
    snprintf(command, sizeof command, "%s --version > /dev/null 2>&1", compiler());
    return system(command) == 0;
}

void cuda_run_init(CudaRun *run, const FblCudaOptions *options) { *run = (CudaRun){.options = *options}; }

_Noreturn static void give_up(const char *what, const char *detail) {
    fprintf(stderr, "%s: %s\n", what, detail);
    exit(1);
}

static int find_kernel(const CudaRun *run, const FblKernel *kernel) {
    for (size_t i = 0; i < run->count; i++) {
        if (run->kernels[i].kernel == kernel) {
            return (int)i;
        }
    }
    return -1;
}

void cuda_run_add_kernel(CudaRun *run, const FblKernel *kernel) {
    char error[512];
    if (find_kernel(run, kernel) >= 0) {
        return;
    }
    if (run->count == run->capacity) {
        run->capacity = run->capacity ? 2 * run->capacity : 64;
        run->kernels = realloc(run->kernels, run->capacity * sizeof *run->kernels);
        if (!run->kernels) {
            give_up("out of memory", "kernels");
        }
    }
    CudaKernel *made = &run->kernels[run->count++];
    made->kernel = kernel;
    if (fbl_cuda_emit(kernel, &run->options, &made->source, error, sizeof error) != FBL_OK) {
        give_up(kernel->name, error);
    }
}

void cuda_run_add(CudaRun *run, const FblPlan *plan) {
    for (size_t i = 0; i < plan->kernel_count; i++) {
        cuda_run_add_kernel(run, plan->kernels[i]);
    }
}

// Calls that unpack an array of pointers into a kernel's parameters.
static void write_calls(FILE *out, const CudaKernel *made) {
    for (int32_t p = 0; p < made->source.phases; p++) {
        const char *symbol = made->source.phase[p].symbol;
        int32_t count = made->kernel->buffer_count, extra = made->source.workspace_bytes > 0;
        fprintf(out, "extern \"C\" void call_%s(void **a) { %s(", symbol, symbol);
        for (int32_t i = 0; i < count; i++) {
            FblDtype dtype = made->kernel->buffers[i].dtype;
            fprintf(out, "(%s *)a[%d], ", dtype == FBL_F32 ? "float" : dtype == FBL_I32 ? "int" : dtype == FBL_BOOL ? "unsigned char" : "unsigned short", i);
        }
        if (extra) {
            fprintf(out, "(float *)a[%d], ", count);
        }
        fprintf(out, "(const FblScalars *)a[%d]", count + extra);
        for (int32_t m = 0; m < made->source.phase[p].map_count; m++) {
            fprintf(out, ", *(const FblMap *)a[%d]", count + extra + 1 + m);
        }
        fprintf(out, "); }\n");
    }
}

// Kernels of equal text (one of several plans) are written once.
static bool written_before(const CudaRun *run, size_t index) {
    for (size_t i = 0; i < index; i++) {
        if (strcmp(run->kernels[i].source.phase[0].symbol, run->kernels[index].source.phase[0].symbol) == 0) {
            return true;
        }
    }
    return false;
}

// Runs the compiler; when it fails, says how: by its own exit code, or ended by a signal (9: the system ran out of memory).
static void compile(const char *command, const char *folder) {
    int status = system(command);
    if (status == 0) {
        return;
    }
    char how[2400];
    if (WIFEXITED(status) && WEXITSTATUS(status) < 128) {
        snprintf(how, sizeof how, "exit code %d", WEXITSTATUS(status));
    } else {
        snprintf(how, sizeof how, "signal %d", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) - 128);
    }
    size_t used = strlen(how);
    snprintf(how + used, sizeof how - used, "%s: %s", access(folder, W_OK) == 0 ? "" : ", its folder is gone: somebody else removed it", command);
    give_up("the compiler failed", how);
}

void cuda_run_build(CudaRun *run) {
    const char *temporary = getenv("TMPDIR"); // the tests' own (CMakeLists.txt), which nobody clears
    char folder[512], path[600], library[600], command[2048];
    snprintf(folder, sizeof folder, "%s/fbl_cuda_XXXXXX", temporary && *temporary ? temporary : "/tmp");
    if (!mkdtemp(folder)) {
        give_up("mkdtemp", folder);
    }
    snprintf(path, sizeof path, "%s/kernels.cpp", folder);
    snprintf(library, sizeof library, "%s/kernels.so", folder);
    FILE *out = fopen(path, "w");
    if (!out) {
        give_up("cannot write", path);
    }
    fprintf(out, "#define FBL_SHIM 1\n#include \"shim.h\"\n%s", fbl_cuda_preamble());
    for (size_t i = 0; i < run->count; i++) {
        if (!written_before(run, i)) {
            fprintf(out, "%s\n", run->kernels[i].source.text);
            write_calls(out, &run->kernels[i]);
        }
    }
    fclose(out);
    const char *flags = getenv("FBL_SHIM_FLAGS");
    snprintf(command, sizeof command, "%s " SHIM_FLAGS " %s -I%s -o %s %s", compiler(), flags && *flags ? flags : SHIM_TRAPS, FBL_SHIM_DIR, library, path);
    const char *keep = getenv("FBL_KEEP");
    compile(command, folder);
    run->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!run->library) {
        give_up("dlopen", dlerror());
    }
    void *symbol = dlsym(run->library, "shim_launch");
    memcpy(&run->launch, &symbol, sizeof symbol);
    run->multiply_adds = dlsym(run->library, "shim_multiply_adds");
    if (!keep) {
        unlink(path);
        unlink(library);
        rmdir(folder);
    }
}

void cuda_run_free(CudaRun *run) {
    for (size_t i = 0; i < run->count; i++) {
        fbl_cuda_source_free(&run->kernels[i].source);
    }
    free(run->kernels);
    if (run->library) {
        dlclose(run->library);
    }
    memset(run, 0, sizeof *run);
}

void cuda_run_regions(const FblPlan *plan, uint8_t *regions[FBL_REGION_COUNT]) {
    for (int r = 0; r < FBL_REGION_COUNT; r++) {
        size_t size = (size_t)plan->region_bytes[r] + 64;
        regions[r] = malloc(size);
        if (!regions[r]) {
            give_up("out of memory", "regions");
        }
        memset(regions[r], r == FBL_REGION_ARENA ? 0xff : 0, size);
    }
}

static size_t buffer_bytes(const FblKernelBuffer *buffer) {
    size_t bytes = (size_t)fbl_dtype_bytes(buffer->dtype);
    for (int32_t d = 0; d < buffer->rank; d++) {
        bytes *= (size_t)buffer->extents[d];
    }
    return bytes;
}

// A copy whose end is the end of its memory; starts are aligned to 16 bytes as on the device.
static void *exact_copy(const void *from, size_t bytes) {
    void *copy = NULL;
    if (posix_memalign(&copy, 64, bytes > 0 ? bytes : 1) != 0) {
        give_up("out of memory", "buffer");
    }
    if (from) {
        memcpy(copy, from, bytes);
    } else {
        memset(copy, 0xff, bytes);
    }
    return copy;
}

// The runtime's encoding, with the driver's part done by soft_map.h.
static FblCuResult map_tiled(void *map, int format, unsigned rank, void *address, const uint64_t *extents, const uint64_t *strides, const uint32_t *box, const uint32_t *steps,
                             int interleave, int swizzle, int promotion, int fill) {
    return soft_map_tiled(map, format, rank, address, extents, strides, box, steps, interleave, swizzle, promotion, fill);
}
static FblCuResult map_pixels(void *map, int format, unsigned rank, void *address, const uint64_t *extents, const uint64_t *strides, const int *lower, const int *upper,
                              uint32_t channels, uint32_t pixels, const uint32_t *steps, int interleave, int swizzle, int promotion, int fill) {
    return soft_map_pixels(map, format, rank, address, extents, strides, lower, upper, channels, pixels, steps, interleave, swizzle, promotion, fill);
}

static void encode_map(const CudaKernel *made, const FblTensorMap *map, void *const *arguments, void *workspace, void *out) {
    FblCudaApi api = {.map_tiled = map_tiled, .map_pixels = map_pixels};
    FblDevicePtr buffers[64];
    for (int32_t i = 0; i < made->kernel->buffer_count && i < 64; i++) {
        buffers[i] = (FblDevicePtr)(uintptr_t)arguments[i];
    }
    if (fbl_cuda_map_encode(&api, map, made->kernel, buffers, (FblDevicePtr)(uintptr_t)workspace, made->source.workspace_bytes, out) != FBL_CU_SUCCESS) {
        give_up(made->kernel->name, "a tensor map that no driver takes");
    }
}

void cuda_run_kernel(const CudaRun *run, const FblKernel *kernel, void *const *buffers, uint64_t seed, uint64_t step, uint64_t order) {
    const CudaKernel *made = &run->kernels[find_kernel(run, kernel)];
    int32_t count = kernel->buffer_count;
    void **arguments = calloc((size_t)count + 2 + FBL_GPU_MAX_MAPS, sizeof *arguments);
    _Alignas(FBL_TENSOR_MAP_ALIGN) unsigned char maps[FBL_GPU_MAX_MAPS][FBL_TENSOR_MAP_BYTES];
    uint64_t scalars[2] = {seed, step};
    if (!arguments) {
        give_up("out of memory", "arguments");
    }
    for (int32_t i = 0; i < count; i++) {
        if (kernel->buffers[i].alias < 0) {
            arguments[i] = exact_copy(buffers[i], buffer_bytes(&kernel->buffers[i]));
        }
    }
    for (int32_t i = 0; i < count; i++) {
        arguments[i] = arguments[i] ? arguments[i] : arguments[kernel->buffers[i].alias];
    }
    int32_t at = count;
    void *workspace = NULL;
    if (made->source.workspace_bytes > 0) {
        arguments[at++] = workspace = exact_copy(NULL, (size_t)made->source.workspace_bytes);
    }
    arguments[at] = scalars;
    for (int32_t p = 0; p < made->source.phases; p++) {
        const FblCudaPhase *phase = &made->source.phase[p];
        char name[160];
        snprintf(name, sizeof name, "call_%s", phase->symbol);
        void *symbol = dlsym(run->library, name);
        void (*call)(void **);
        if (!symbol) {
            give_up("no such kernel", name);
        }
        memcpy(&call, &symbol, sizeof symbol);
        for (int32_t m = 0; m < phase->map_count; m++) {
            encode_map(made, &phase->maps[m], arguments, workspace, maps[m]);
            arguments[at + 1 + m] = maps[m];
        }
        run->launch(phase->symbol, call, arguments, phase->grid, phase->block, phase->shared_bytes, order);
    }
    for (int32_t i = 0; i < count; i++) {
        if (kernel->buffers[i].is_output) {
            memcpy(buffers[i], arguments[i], buffer_bytes(&kernel->buffers[i]));
        }
    }
    for (int32_t i = 0; i < count; i++) {
        if (kernel->buffers[i].alias < 0) {
            free(arguments[i]);
        }
    }
    free(workspace);
    free(arguments);
}

void cuda_run_function(const CudaRun *run, const FblPlan *plan, size_t function, uint8_t *const regions[FBL_REGION_COUNT], uint64_t seed, uint64_t step,
                       uint64_t order) {
    const FblPlanFunction *f = &plan->functions[function];
    for (size_t i = 0; i < f->launch_count; i++) {
        const FblKernel *kernel = plan->kernels[f->launches[i].kernel];
        void *buffers[64];
        if (kernel->buffer_count > 64) {
            give_up(kernel->name, "more buffers than the test takes");
        }
        for (int32_t k = 0; k < kernel->buffer_count; k++) {
            buffers[k] = regions[f->launches[i].bindings[k].region] + f->launches[i].bindings[k].offset;
        }
        cuda_run_kernel(run, kernel, buffers, seed, step, order);
    }
}

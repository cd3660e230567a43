// The software driver refuses what NVIDIA's reference forbids: each rule broken once, through the program's own table of functions.
// Without this a rule that is never met would look like a program that keeps it. soft_rules DRIVER
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codegen/cuda/nvrtc.h"
#include "codegen/tensor_map.h"
#include "runtime/cuda/cuda_api.h"

static FblCudaApi api;
static int failures;

static const char *name_of(FblCuResult result) {
    const char *name = NULL;
    api.error_name(result, &name);
    return name ? name : "no error of the driver";
}

#define IS(wanted, call) is(wanted, call, #call)
static void is(const char *wanted, FblCuResult result, const char *call) {
    char full[80];
    snprintf(full, sizeof full, "CUDA_%s%s", strcmp(wanted, "SUCCESS") == 0 ? "" : "ERROR_", wanted);
    if (strcmp(name_of(result), full) != 0) {
        fprintf(stderr, "%s: %s instead of %s\n", call, name_of(result), full);
        failures++;
    }
}

#define ENDS(text, ...)                                                                                                \
    do {                                                                                                               \
        int pipes[2];                                                                                                  \
        pid_t child = pipe(pipes) == 0 ? fork() : -1;                                                                  \
        if (child == 0) {                                                                                              \
            dup2(pipes[1], 2);                                                                                         \
            __VA_ARGS__;                                                                                               \
            _exit(0);                                                                                                  \
        }                                                                                                              \
        ended(child, pipes, text);                                                                                     \
    } while (0)
static void ended(pid_t child, int pipes[2], const char *text) {
    char said[300] = "";
    int status = 0;
    close(pipes[1]);
    ssize_t got = read(pipes[0], said, sizeof said - 1);
    close(pipes[0]);
    waitpid(child, &status, 0);
    said[got > 0 ? got : 0] = 0;
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT || !strstr(said, text)) {
        fprintf(stderr, "no violation `%s`, but `%s`\n", text, said);
        failures++;
    }
}

static const char source[] = "extern \"C\" __global__ void __launch_bounds__(64) plain(float *x) { x[threadIdx.x] = 1.0f; }\n"
                             "extern \"C\" __global__ void __launch_bounds__(64) own(float *x) {\n    __shared__ float parts[8192];\n    parts[threadIdx.x] = x[threadIdx.x];\n"
                             "    x[threadIdx.x] = parts[threadIdx.x];\n}\n"
                             "extern \"C\" __global__ void __launch_bounds__(1024) wide(float *x) { *(float4 *)x = *(const float4 *)(x + 1); }\n";
static const char large[] = "extern \"C\" __global__ void __launch_bounds__(64) large(float *x) {\n    __shared__ float parts[12289];\n    parts[0] = x[0];\n    x[0] = parts[0];\n}\n";

static FblCuHandle context, stream, other, module;

static FblCuHandle load(const char *text, int arch, bool specific, const char *wanted) {
    void *image = NULL;
    size_t size = 0;
    char error[512] = "";
    FblCuHandle loaded = NULL;
    if (fbl_nvrtc_compile(text, arch, specific, false, &image, &size, NULL, error, sizeof error) != FBL_OK) {
        fprintf(stderr, "%s\n", error);
        failures++;
        return NULL;
    }
    is(wanted, api.module_load(&loaded, image), "module_load");
    free(image);
    return loaded;
}

static FblCuHandle function(const char *name) {
    FblCuHandle found = NULL;
    IS("SUCCESS", api.module_function(&found, module, name));
    return found;
}

static FblCuResult launch(FblCuHandle f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, FblCuPtr x) {
    void *parameters[] = {&x};
    return api.launch(f, gx, gy, gz, bx, by, bz, shared, stream, parameters, NULL);
}

static void before_a_context(void) {
    FblCuPtr x;
    int count;
    IS("NOT_INITIALIZED", api.device_count(&count));
    IS("NOT_INITIALIZED", api.memory_alloc(&x, 16));
    IS("SUCCESS", api.init(0));
    IS("INVALID_CONTEXT", api.memory_alloc(&x, 16));
    IS("SUCCESS", api.context_retain(&context, 0));
    IS("INVALID_CONTEXT", api.memory_alloc(&x, 16)); // there is one, but not on this thread
    IS("SUCCESS", api.context_set(context));
}

static void *elsewhere(void *unused) {
    FblCuPtr x;
    (void)unused;
    IS("INVALID_CONTEXT", api.memory_alloc(&x, 16));
    IS("INVALID_CONTEXT", api.stream_wait(stream));
    IS("SUCCESS", api.context_set(context));
    IS("SUCCESS", api.capture_begin(other, FBL_CU_CAPTURE_THREAD_LOCAL));
    return NULL;
}

static void on_another_thread(void) {
    pthread_t thread;
    FblCuHandle graph = NULL;
    if (pthread_create(&thread, NULL, elsewhere, NULL) != 0) {
        failures++;
        return;
    }
    pthread_join(thread, NULL);
    IS("STREAM_CAPTURE_WRONG_THREAD", api.capture_end(other, &graph));
}

static void launches(FblCuPtr x) {
    FblCuHandle plain = function("plain"), own = function("own");
    IS("SUCCESS", launch(plain, 1, 65535, 1, 64, 1, 1, 0, x));
    IS("INVALID_VALUE", launch(plain, 1, 65536, 1, 64, 1, 1, 0, x));
    IS("INVALID_VALUE", launch(plain, 1, 1, 65536, 64, 1, 1, 0, x));
    IS("INVALID_VALUE", launch(plain, 0, 1, 1, 64, 1, 1, 0, x));
    IS("INVALID_VALUE", launch(plain, 1, 1, 1, 1, 1, 65, 0, x));
    IS("INVALID_VALUE", launch(plain, 65536, 65536, 1, 1025, 1, 1, 0, x));
    IS("LAUNCH_OUT_OF_RESOURCES", launch(plain, 1, 1, 1, 65, 1, 1, 0, x));
    IS("SUCCESS", launch(plain, 1, 1, 1, 64, 1, 1, 49152, x));
    IS("INVALID_VALUE", launch(plain, 1, 1, 1, 64, 1, 1, 49153, x));
    IS("INVALID_VALUE", launch(own, 1, 1, 1, 64, 1, 1, 16385, x)); // beside 32 KiB of its own
    IS("INVALID_VALUE", api.function_set(plain, FBL_CU_FUNC_MAX_SHARED, 227 * 1024 + 1));
    IS("INVALID_VALUE", api.function_set(own, FBL_CU_FUNC_MAX_SHARED, 227 * 1024));
    IS("SUCCESS", api.function_set(function("plain"), FBL_CU_FUNC_MAX_SHARED, 227 * 1024)); // of the kernel, not of the handle
    IS("SUCCESS", launch(plain, 1, 1, 1, 64, 1, 1, 227 * 1024, x));
    IS("SUCCESS", api.stream_wait(stream));
}

static void images(void) {
    void *image = NULL;
    size_t size = 0;
    char error[512];
    load(source, 80, false, "NO_BINARY_FOR_GPU");
    load(source, 100, true, "NO_BINARY_FOR_GPU");
    FblCuHandle specific = load(source, 90, true, "SUCCESS");
    IS("SUCCESS", api.module_unload(specific));
    IS("INVALID_HANDLE", api.module_unload(specific));
    if (fbl_nvrtc_compile(large, 90, false, false, &image, &size, NULL, error, sizeof error) == FBL_OK) {
        fprintf(stderr, "more than 48 KiB of own shared memory compile\n");
        failures++;
        free(image);
    }
}

static void begin(void) { IS("SUCCESS", api.capture_begin(stream, FBL_CU_CAPTURE_THREAD_LOCAL)); }

// A call that ends the capture it is made in.
#define SPOILS(wanted, call)                                                                                           \
    do {                                                                                                               \
        FblCuHandle none = NULL;                                                                                       \
        begin();                                                                                                       \
        IS(wanted, call);                                                                                              \
        IS("STREAM_CAPTURE_INVALIDATED", api.capture_end(stream, &none));                                              \
    } while (0)

static void captures(FblCuPtr x) {
    FblCuHandle graph = NULL, ready = NULL, event = NULL, plain = function("plain");
    FblCuPtr y;
    char pageable[16] = "";
    void *pinned = NULL;
    IS("INVALID_VALUE", api.capture_end(stream, &graph));
    IS("SUCCESS", api.event_create(&event, 0));
    IS("SUCCESS", api.event_record(event, stream));
    SPOILS("STREAM_CAPTURE_UNSUPPORTED", api.stream_wait(stream));
    SPOILS("STREAM_CAPTURE_UNSUPPORTED", api.memory_alloc(&y, 16));
    SPOILS("STREAM_CAPTURE_UNSUPPORTED", api.memory_free(x));
    SPOILS("STREAM_CAPTURE_UNSUPPORTED", api.host_alloc(&pinned, 16, 0));
    SPOILS("STREAM_CAPTURE_UNSUPPORTED", api.module_unload(module));
    SPOILS("STREAM_CAPTURE_UNSUPPORTED", api.event_wait(event));
    SPOILS("STREAM_CAPTURE_UNSUPPORTED", api.copy_up(x, pageable, 16, stream));
    SPOILS("STREAM_CAPTURE_UNSUPPORTED", api.copy_down(pageable, x, 16, stream));
    SPOILS("STREAM_CAPTURE_ISOLATION", api.stream_wait_event(stream, event, 0)); // recorded outside
    begin();
    IS("SUCCESS", launch(plain, 1, 1, 1, 64, 1, 1, 0, x));
    IS("SUCCESS", api.event_record(event, stream));
    IS("SUCCESS", api.capture_end(stream, &graph));
    IS("CAPTURED_EVENT", api.event_wait(event));
    IS("INVALID_HANDLE", api.graph_launch(graph, stream)); // not instantiated
    IS("SUCCESS", api.graph_instantiate(&ready, graph, 0));
    IS("SUCCESS", api.graph_destroy(graph));
    IS("INVALID_HANDLE", api.graph_instantiate(&graph, graph, 0));
    SPOILS("STREAM_CAPTURE_UNSUPPORTED", api.graph_launch(ready, stream));
    IS("SUCCESS", api.graph_launch(ready, stream));
    IS("SUCCESS", api.graph_exec_destroy(ready));
    IS("INVALID_HANDLE", api.graph_launch(ready, stream));
    IS("SUCCESS", api.event_destroy(event));
}

static void events(void) {
    FblCuHandle timed[2] = {NULL}, untimed = NULL;
    float milliseconds;
    IS("SUCCESS", api.event_create(&timed[0], 0));
    IS("SUCCESS", api.event_create(&timed[1], 0));
    IS("SUCCESS", api.event_create(&untimed, FBL_CU_EVENT_DISABLE_TIMING));
    IS("INVALID_HANDLE", api.event_elapsed(&milliseconds, timed[0], timed[1])); // not recorded
    for (int e = 0; e < 2; e++) {
        IS("SUCCESS", api.event_record(timed[e], stream));
    }
    IS("SUCCESS", api.event_record(untimed, stream));
    IS("NOT_READY", api.event_elapsed(&milliseconds, timed[0], timed[1]));
    IS("SUCCESS", api.event_wait(untimed));
    IS("SUCCESS", api.event_elapsed(&milliseconds, timed[0], timed[1]));
    IS("INVALID_HANDLE", api.event_elapsed(&milliseconds, timed[0], untimed));
    IS("INVALID_HANDLE", api.event_record(timed[0], NULL)); // the legacy stream
    IS("SUCCESS", api.event_destroy(untimed));
    IS("INVALID_HANDLE", api.event_record(untimed, stream));
    IS("SUCCESS", api.event_destroy(timed[0]));
    IS("SUCCESS", api.event_destroy(timed[1]));
}

static void memory(FblCuPtr x) {
    char data[64] = "";
    _Alignas(128) char map[FBL_TENSOR_MAP_BYTES];
    void *pinned = NULL;
    uint64_t extents[] = {8, 8, 1}, strides[] = {32, 256};
    uint32_t box[] = {8, 8, 1}, steps[] = {1, 1, 1};
    IS("INVALID_VALUE", api.copy_up(x, data, 1025, stream));
    IS("INVALID_VALUE", api.fill(x + 1000, 0, 25, stream));
    IS("INVALID_VALUE", api.copy_within(x, x + 16, 17, stream)); // they overlap
    IS("INVALID_VALUE", api.memory_free(x + 16));
    for (int shift = 0; shift < 2; shift++) {
        IS(shift ? "INVALID_VALUE" : "SUCCESS", api.map_tiled(map + 64 * shift, FBL_CU_MAP_F32, 3, (void *)(uintptr_t)x, extents, strides, box, steps, FBL_CU_MAP_INTERLEAVE_NONE,
                                                              FBL_CU_MAP_SWIZZLE_32, FBL_CU_MAP_PROMOTION_128, FBL_CU_MAP_FILL_ZERO));
    }
    IS("SUCCESS", api.host_alloc(&pinned, 16, 0));
    ENDS("memory is freed that work under way uses", api.copy_up(x, pinned, 16, stream); api.host_free(pinned));
    ENDS("memory is freed that work under way uses", launch(function("plain"), 1, 1, 1, 64, 1, 1, 0, x); api.memory_free(x));
    ENDS("a module is unloaded while work is under way", launch(function("plain"), 1, 1, 1, 64, 1, 1, 0, x); api.module_unload(module));
    ENDS("the context goes, but", api.context_release(0));
    IS("SUCCESS", api.host_free(pinned));
}

// Faults, after which nothing works: each in a process of its own.
static void faults(FblCuPtr x) {
    int host = 0;
    const struct {
        const char *kernel, *wanted;
        FblCuPtr address;
    } cases[] = {{"plain", "ILLEGAL_ADDRESS", (FblCuPtr)(uintptr_t)&host}, {"plain", "MISALIGNED_ADDRESS", x + 4}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pid_t child = fork();
        if (child == 0) {
            failures = 0;
            IS("SUCCESS", launch(function(cases[i].kernel), 1, 1, 1, 64, 1, 1, 0, cases[i].address));
            is(cases[i].wanted, api.stream_wait(stream), "stream_wait after a fault");
            is(cases[i].wanted, api.memory_alloc(&x, 16), "memory_alloc after a fault");
            _exit(failures != 0);
        }
        int status = 1;
        waitpid(child, &status, 0);
        failures += status != 0;
    }
    ENDS("an access that is not aligned to its size", launch(function("wide"), 1, 1, 1, 64, 1, 1, 0, x); api.stream_wait(stream));
}

int main(int argc, char **argv) {
    FblContext *ctx = fbl_context_create();
    FblCuPtr x = 0;
    if (argc != 2 || setenv("FBL_CUDA_DRIVER", argv[1], 1) != 0 || setenv("FBL_NVRTC", argv[1], 1) != 0 || fbl_cuda_api_load(ctx, &api) != FBL_OK) {
        fprintf(stderr, "soft_rules DRIVER\n");
        return 2;
    }
    before_a_context();
    IS("SUCCESS", api.stream_create(&stream, FBL_CU_STREAM_NON_BLOCKING));
    IS("SUCCESS", api.stream_create(&other, FBL_CU_STREAM_NON_BLOCKING));
    IS("SUCCESS", api.memory_alloc(&x, 1024));
    on_another_thread();
    images();
    module = load(source, 90, false, "SUCCESS");
    if (module) {
        launches(x);
        captures(x);
        events();
        memory(x);
        faults(x);
    }
    fbl_context_destroy(ctx);
    return failures != 0;
}

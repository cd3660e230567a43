// NVIDIA's own cuDNN for a GPU that is only described: the library compiles plans ahead of time for the properties of a device (from version 9.8 on). Its entry points
// as runtime/cuda/cudnn.c calls them, with the description in the place of the handle. Nothing is executed. Loaded by FBL_CUDNN; FBL_REAL_CUDNN may name the real one.
// Threads: one caller.
#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/cuda/cudnn_api.h"

#define EXPORT __attribute__((visibility("default")))
enum { PROPERTIES = 38, PROPERTIES_JSON = 2702, HEURISTIC_PROPERTIES = 204, PLAN_PROPERTIES = 407, ENGINE_PROPERTIES = 1307, TYPE_CHAR = 24, MISSING = 1001 };

// An H100 of 132 multiprocessors, in the library's words.
static const char described[] = "{\"deviceVer\":900,\"cudaDeviceId\":0,\"driverVer\":13000,\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],"
                                "\"regsPerBlock\":65536,\"multiProcessorCount\":132,\"smClockRateKHz\":1980000,\"memClockRateKHz\":2619000,\"l2CacheSize\":52428800,"
                                "\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":232448,\"reservedSharedMemoryPerBlock\":1024,"
                                "\"maxSharedMemoryPerSM\":233472,\"deviceName\":\"H100\",\"maxRegistersPerSM\":65536,\"pciDeviceId\":0,\"maxCtasPerSM\":32,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,\"isTccDriver\":0,"
                                "\"supportCoopLaunch\":1,\"totalGlobalMem\":85000000000}";
static FblDnnApi real;
static void *properties;

static bool load(void) {
    static const char *const symbols[] = {
#define FBL_DNN(field, symbol, result, parameters) symbol,
        FBL_DNN_FUNCTIONS(FBL_DNN)
#undef FBL_DNN
    };
    const char *named = getenv("FBL_REAL_CUDNN");
    void *library = dlopen(named && *named ? named : "libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; library && i < sizeof symbols / sizeof *symbols; i++) {
        void *symbol = dlsym(library, symbols[i]);
        memcpy((char *)&real + i * sizeof symbol, &symbol, sizeof symbol);
        if (!symbol) {
            return false;
        }
    }
    return library != NULL;
}

EXPORT int cudnnCreate(void **handle);
EXPORT int cudnnCreate(void **handle) {
    bool ok = load() && real.make(PROPERTIES, &properties) == FBL_DNN_SUCCESS &&
              real.set(properties, PROPERTIES_JSON, TYPE_CHAR, (int64_t)sizeof described, described) == FBL_DNN_SUCCESS && real.finalize(properties) == FBL_DNN_SUCCESS;
    *handle = properties;
    return ok ? FBL_DNN_SUCCESS : MISSING;
}
EXPORT int cudnnDestroy(void *handle);
EXPORT int cudnnDestroy(void *handle) { return real.drop(handle); }
EXPORT size_t cudnnGetVersion(void);
EXPORT size_t cudnnGetVersion(void) { return real.version(); }
EXPORT int cudnnSetStream(void *handle, void *stream);
EXPORT int cudnnSetStream(void *handle, void *stream) {
    (void)stream;
    return handle == properties ? FBL_DNN_SUCCESS : MISSING;
}
EXPORT int cudnnBackendCreateDescriptor(int type, void **descriptor);
EXPORT int cudnnBackendCreateDescriptor(int type, void **descriptor) { return real.make(type, descriptor); }
EXPORT int cudnnBackendDestroyDescriptor(void *descriptor);
EXPORT int cudnnBackendDestroyDescriptor(void *descriptor) { return real.drop(descriptor); }
EXPORT int cudnnBackendFinalize(void *descriptor);
EXPORT int cudnnBackendFinalize(void *descriptor) { return real.finalize(descriptor); }
EXPORT int cudnnBackendSetAttribute(void *descriptor, int name, int type, int64_t count, const void *values);
EXPORT int cudnnBackendSetAttribute(void *descriptor, int name, int type, int64_t count, const void *values) {
    int described_by = name == FBL_DNN_HEURISTIC_GRAPH ? HEURISTIC_PROPERTIES : name == FBL_DNN_ENGINE_GRAPH ? ENGINE_PROPERTIES : name == FBL_DNN_PLAN_HANDLE ? PLAN_PROPERTIES : 0;
    if (described_by && real.set(descriptor, described_by, FBL_DNN_TYPE_DESCRIPTOR, 1, &properties) != FBL_DNN_SUCCESS) {
        return MISSING;
    }
    return name == FBL_DNN_GRAPH_HANDLE || name == FBL_DNN_PLAN_HANDLE ? FBL_DNN_SUCCESS : real.set(descriptor, name, type, count, values);
}
EXPORT int cudnnBackendGetAttribute(void *descriptor, int name, int type, int64_t most, int64_t *count, void *values);
EXPORT int cudnnBackendGetAttribute(void *descriptor, int name, int type, int64_t most, int64_t *count, void *values) {
    return real.get(descriptor, name, type, most, count, values);
}
EXPORT int cudnnBackendExecute(void *handle, void *plan, void *pack);
EXPORT int cudnnBackendExecute(void *handle, void *plan, void *pack) {
    (void)handle;
    (void)plan;
    (void)pack;
    return MISSING; // there is no GPU
}

#include "codegen/cuda/nvrtc.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/cuda/nvrtc_api.h"

typedef struct Nvrtc {
    FblNvrtcApi api;
    bool loaded;
    int number; // 13000 for 13.0
    char tried[512]; // why not, when not loaded
} Nvrtc;

static Nvrtc nvrtc;
static pthread_once_t nvrtc_once = PTHREAD_ONCE_INIT;

static bool find_symbols(void *library) {
    static const char *const symbols[] = {
#define FBL_NVRTC(field, symbol, result, parameters) symbol,
        FBL_NVRTC_FUNCTIONS(FBL_NVRTC)
#undef FBL_NVRTC
    };
    void **slots = (void **)&nvrtc.api; // the table has nothing but function pointers
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        slots[i] = dlsym(library, symbols[i]);
        if (!slots[i]) {
            return false;
        }
    }
    return true;
}

static void load(void) {
    static const char *const names[] = {"libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", "/usr/local/cuda/lib64/libnvrtc.so"};
    const char *own = getenv("FBL_NVRTC");
    size_t count = own && *own ? 1 : sizeof names / sizeof *names, used = 0;
    for (size_t i = 0; i < count; i++) {
        const char *name = own && *own ? own : names[i];
        void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
        int major = 0, minor = 0;
        if (library && find_symbols(library) && nvrtc.api.version(&major, &minor) == FBL_NVRTC_SUCCESS) {
            nvrtc.number = major * 1000 + minor * 10;
            nvrtc.loaded = true;
            return; // kept for the life of the process
        }
        if (library) {
            dlclose(library);
        }
        if (used < sizeof nvrtc.tried) {
            used += (size_t)snprintf(nvrtc.tried + used, sizeof nvrtc.tried - used, "%s%s%s", i ? ", " : "", name, library ? " (too old)" : "");
        }
    }
}

bool fbl_nvrtc_available(int32_t *out_version, char *error, size_t error_size) {
    pthread_once(&nvrtc_once, load);
    *out_version = nvrtc.number;
    snprintf(error, error_size, "%s", "");
    if (!nvrtc.loaded) {
        snprintf(error, error_size, "NVRTC, the CUDA compiler library, was not found; tried %s. FBL_NVRTC can name it", nvrtc.tried);
    }
    return nvrtc.loaded;
}

// The kernel that line `number` of the source lies in: "NAME (from LINES)", from the header comment above it.
static void kernel_at(const char *source, long number, char *out, size_t size) {
    const char *header = NULL;
    long line = 1;
    for (const char *at = source; at && line <= number; line++) {
        // A header is the first comment line after a line that is none.
        bool comment = strncmp(at, "// ", 3) == 0;
        bool before = at > source + 1 && at[-1] == '\n' && at[-2] == '\n';
        bool after_brace = at > source + 2 && at[-2] == '}';
        if (comment && (before || after_brace || at == source)) {
            header = at + 3;
        }
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    snprintf(out, size, "%s", "");
    if (!header) {
        return;
    }
    int name = (int)strcspn(header, "\n");
    const char *from = header + name + 1;
    if (strncmp(from, "// from ", 8) == 0) {
        snprintf(out, size, "kernel %.*s, from %.*s: ", name, header, (int)strcspn(from + 8, "\n"), from + 8);
    } else {
        snprintf(out, size, "kernel %.*s: ", name, header);
    }
}

static void explain(const char *source, const char *log, char *error, size_t error_size) {
    const char *at = strstr(log, "kernels.cu(");
    char kernel[512] = "";
    if (at) {
        kernel_at(source, strtol(at + 11, NULL, 10), kernel, sizeof kernel);
    }
    const char *first = at ? at : log;
    int length = 0, lines = 0;
    while (first[length] && lines < 4) {
        lines += first[length++] == '\n';
    }
    snprintf(error, error_size, "%s%.*s", kernel, length, first);
}

static char *read_log(void *program) {
    size_t size = 0;
    char *log = nvrtc.api.log_size(program, &size) == FBL_NVRTC_SUCCESS ? calloc(size + 1, 1) : NULL;
    if (log && size > 0) {
        nvrtc.api.log(program, log);
    }
    return log;
}

static FblStatus take_image(void *program, bool ptx, void **out_image, size_t *out_size, char *error, size_t error_size) {
    size_t size = 0;
    if ((ptx ? nvrtc.api.ptx_size : nvrtc.api.cubin_size)(program, &size) != FBL_NVRTC_SUCCESS || size == 0) {
        snprintf(error, error_size, "NVRTC made no %s", ptx ? "PTX" : "cubin");
        return FBL_INTERNAL;
    }
    char *image = malloc(size);
    if (!image) {
        return FBL_NOMEM;
    }
    if ((ptx ? nvrtc.api.ptx : nvrtc.api.cubin)(program, image) != FBL_NVRTC_SUCCESS) {
        free(image);
        snprintf(error, error_size, "NVRTC made no %s", ptx ? "PTX" : "cubin");
        return FBL_INTERNAL;
    }
    *out_image = image;
    *out_size = size;
    return FBL_OK;
}

FblStatus fbl_nvrtc_compile(const char *source, int32_t arch, bool specific, bool ptx, void **out_image, size_t *out_size, char **out_log, char *error,
                            size_t error_size) {
    int32_t version;
    *out_image = NULL;
    *out_size = 0;
    if (out_log) {
        *out_log = NULL;
    }
    if (!fbl_nvrtc_available(&version, error, error_size)) {
        return FBL_UNSUPPORTED;
    }
    void *program = NULL;
    int result = nvrtc.api.create(&program, source, "kernels.cu", 0, NULL, NULL);
    if (result != FBL_NVRTC_SUCCESS) {
        snprintf(error, error_size, "NVRTC: %s", nvrtc.api.error_string(result));
        return FBL_INTERNAL;
    }
    char option[64];
    snprintf(option, sizeof option, "--gpu-architecture=%s_%d%s", ptx ? "compute" : "sm", arch, specific && (arch == 90 || arch == 100) ? "a" : "");
    const char *options[] = {option, "--std=c++17", "--ptxas-options=-v"}; // the last: for a log that is asked for
    result = nvrtc.api.compile(program, out_log && !ptx ? 3 : 2, options);
    char *log = read_log(program);
    FblStatus status = FBL_OK;
    if (result == FBL_NVRTC_INVALID_OPTION) { // only the architecture can be one
        snprintf(error, error_size, "NVRTC %d.%d cannot compile for compute capability %d.%d", version / 1000, version % 1000 / 10, arch / 10, arch % 10);
        status = FBL_UNSUPPORTED;
    } else if (result != FBL_NVRTC_SUCCESS) {
        explain(source, log && *log ? log : nvrtc.api.error_string(result), error, error_size);
        status = FBL_INTERNAL;
    } else {
        status = take_image(program, ptx, out_image, out_size, error, error_size);
    }
    nvrtc.api.destroy(&program);
    if (out_log) {
        *out_log = log;
    } else {
        free(log);
    }
    return status;
}

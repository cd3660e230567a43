#include "runtime/cuda/load.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static bool find_symbols(void *library, const FblLoad *load) {
    for (size_t i = 0; load->symbols[i]; i++) {
        load->slots[i] = dlsym(library, load->symbols[i]);
        if (!load->slots[i]) {
            return false;
        }
    }
    return true;
}

bool fbl_cuda_load(const FblLoad *load) {
    const char *own = getenv(load->variable), *driver = getenv("FBL_CUDA_DRIVER");
    const char *const chosen[] = {own, NULL};
    bool named = own && *own;
    if (!named && driver && *driver) {
        snprintf(load->why, load->why_size, "not looked for with the driver %s", driver);
        return false;
    }
    const char *const *names = named ? chosen : load->names;
    for (size_t i = 0; names[i]; i++) {
        void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (library && find_symbols(library, load)) {
            return true;
        }
        const char *why = library ? "too old" : dlerror();
        if (i == 0 || library) {
            snprintf(load->why, load->why_size, "%s: %s", names[i], why ? why : "not found");
        }
        if (library) {
            dlclose(library);
        }
    }
    return false;
}

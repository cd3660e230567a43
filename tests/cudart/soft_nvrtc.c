// NVRTC without NVRTC: the entry points that codegen/cuda/nvrtc.c uses, done by the system's C++ compiler (FBL_CXX, else
// c++) and tests/cuda/shim.h. A "cubin" is a shared object with soft_target, the architecture ("90a"), and for each kernel NAME soft_call_NAME,
// which takes its arguments as cuLaunchKernel does, soft_kernel_NAME, a SoftKernel of soft.h, and soft_tile_NAME. Loaded by FBL_NVRTC.
// Threads: programs are independent.
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/cuda/shim_flags.h"

#define EXPORT __attribute__((visibility("default")))
enum { SUCCESS = 0, INVALID_OPTION = 5, COMPILATION = 6 };
#define ENTRY "extern \"C\" __global__"
#define MOST_SHARED 49152 // of a kernel's own
#define UNBOUNDED 256     // threads that have registers whatever the compiler gave each

typedef struct Program {
    char *source, *log;
    char *image;
    size_t image_size;
} Program;

static char *read_all(const char *path, size_t *size) {
    FILE *in = fopen(path, "rb");
    char *bytes = NULL;
    *size = 0;
    if (in && fseek(in, 0, SEEK_END) == 0) {
        long length = ftell(in);
        rewind(in);
        bytes = calloc((size_t)length + 1, 1);
        *size = fread(bytes, 1, (size_t)length, in);
    }
    if (in) {
        fclose(in);
    }
    return bytes;
}

// The kernel whose declaration follows `at`: the name before the first parenthesis that belongs to no attribute.
static bool kernel_name(const char *at, char name[200]) {
    const char *start = strstr(at, "void ");
    const char *open = start ? strchr(start, '(') : NULL;
    if (!open || open - start > 199) {
        return false;
    }
    const char *word = start + 5;
    while (strncmp(word, "__launch_bounds__", 17) == 0) {
        word = strchr(word, ')') + 1;
        word += strspn(word, " \n");
        open = strchr(word, '(');
    }
    snprintf(name, 200, "%.*s", (int)(open - word), word);
    return true;
}

// N of __launch_bounds__(N) of the declaration at `at`.
static int bound_of(const char *at) {
    const char *open = strchr(at, '{'), *bounds = strstr(at, "__launch_bounds__(");
    return bounds && open && bounds < open ? (int)strtol(bounds + 18, NULL, 10) : UNBOUNDED;
}

// Bytes of the shared variables between two places of the source; -1 for one that does not read.
static long shared_of(const char *at, const char *end) {
    static const struct {
        const char *name;
        long size;
    } types[] = {{"float", 4}, {"int", 4}, {"unsigned", 4}, {"double", 8}};
    long bytes = 0;
    for (const char *found = at; (found = strstr(found, "__shared__ ")) != NULL && found < end; found++) {
        char type[20], name[64];
        long count = 0, size = 0;
        if (sscanf(found, "__shared__ %19s %63[^[][%ld]", type, name, &count) != 3) {
            return -1;
        }
        for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
            size = strcmp(type, types[i].name) == 0 ? types[i].size : size;
        }
        if (size == 0) {
            return -1;
        }
        bytes += size * count;
    }
    return bytes;
}

// What follows "// tuned: " in the header of the kernel whose entry point is at `at`; "" when nothing does.
static const char *tile_of(const char *source, const char *at, char tile[200]) {
    tile[0] = 0;
    for (const char *line = source; (line = strstr(line, "\n// ")) != NULL && line < at; line += 4) {
        if (strncmp(line + 4, "about ", 6) == 0) { // the end of another header
            tile[0] = 0;
        } else if (strncmp(line + 4, "tuned: ", 7) == 0) {
            snprintf(tile, 200, "%.*s", (int)strcspn(line + 11, "\n"), line + 11);
        }
    }
    return tile;
}

// False: a kernel has more shared memory of its own than a compiler accepts.
static bool write_unit(FILE *out, const char *source, const char *target) {
    const char *spoil = getenv("FBL_SOFT_SPOIL"); // units with this text multiply wrongly
    fprintf(out, "#define FBL_SHIM 1\n#include <utility>\n#include <type_traits>\n#include \"shim.h\"\n%s%s\n",
            spoil && *spoil && strstr(source, spoil) ? "static float spoiled(float a, float b, float c) { return a * b * 1.01f + c; }\n#define fmaf spoiled\n" : "", source);
    fprintf(out, "template <typename... P, size_t... I> static void soft_apply(void (*f)(P...), void **a, std::index_sequence<I...>) { f(*(P *)a[I]...); }\n"
                 "template <typename... P> static void soft_call(void (*f)(P...), void **a) { soft_apply(f, a, std::index_sequence_for<P...>()); }\n"
                 "struct SoftKernel { int count, sizes[64], most_threads, shared; };\n"
                 "template <typename... P> constexpr SoftKernel soft_kernel(void (*)(P...), int most_threads, int shared) {\n"
                 "    return {sizeof...(P), {(std::is_pointer<P>::value ? 0 : (int)sizeof(P))...}, most_threads, shared};\n}\n");
    fprintf(out, "extern \"C\" const char soft_target[] = \"%s\";\n", target);
    for (const char *at = strstr(source, ENTRY), *next; at; at = next) {
        char name[200], tile[200];
        next = strstr(at + 1, ENTRY);
        long shared = shared_of(at, next ? next : at + strlen(at));
        if (shared < 0 || shared > MOST_SHARED) {
            return false;
        }
        if (kernel_name(at, name)) {
            fprintf(out, "extern \"C\" void soft_call_%s(void **a) { soft_call(%s, a); }\nextern \"C\" const SoftKernel soft_kernel_%s = soft_kernel(%s, %d, %ld);\n", name, name, name,
                    name, bound_of(at), shared);
            fprintf(out, "extern \"C\" const char soft_tile_%s[] = \"%s\";\n", name, tile_of(source, at, tile));
        }
    }
    return true;
}

EXPORT int nvrtcVersion(int *major, int *minor);
EXPORT int nvrtcVersion(int *major, int *minor) {
    *major = 13;
    *minor = 0;
    return SUCCESS;
}
EXPORT int nvrtcCreateProgram(Program **program, const char *source, const char *name, int headers, const char *const *texts, const char *const *names);
EXPORT int nvrtcCreateProgram(Program **program, const char *source, const char *name, int headers, const char *const *texts, const char *const *names) {
    (void)name;
    (void)headers;
    (void)texts;
    (void)names;
    *program = calloc(1, sizeof **program);
    (*program)->source = strdup(source);
    return SUCCESS;
}
EXPORT int nvrtcCompileProgram(Program *program, int options, const char *const *list);
EXPORT int nvrtcCompileProgram(Program *program, int options, const char *const *list) {
    char target[16] = "";
    for (int i = 0; i < options; i++) {
        bool known = strcmp(list[i], "--std=c++17") == 0 || strcmp(list[i], "--ptxas-options=-v") == 0;
        if (sscanf(list[i], "--gpu-architecture=sm_%15s", target) != 1 && strncmp(list[i], "--gpu-architecture=compute_", 27) != 0 && !known) {
            return INVALID_OPTION;
        }
    }
    const char *temporary = getenv("TMPDIR");
    char folder[512], source[600], library[600], log[600], command[3000];
    snprintf(folder, sizeof folder, "%s/soft_nvrtc_XXXXXX", temporary && *temporary ? temporary : "/tmp");
    const char *compiler = getenv("FBL_CXX"), *flags = getenv("FBL_SHIM_FLAGS");
    if (!mkdtemp(folder)) {
        return COMPILATION;
    }
    snprintf(source, sizeof source, "%s/kernels.cpp", folder);
    snprintf(library, sizeof library, "%s/kernels.so", folder);
    snprintf(log, sizeof log, "%s/log", folder);
    FILE *out = fopen(source, "w");
    bool fits = write_unit(out, program->source, target);
    fclose(out);
    snprintf(command, sizeof command, "%s " SHIM_FLAGS " %s -I%s -o %s %s > %s 2>&1",
             compiler && *compiler ? compiler : "c++", flags && *flags ? flags : SHIM_TRAPS, FBL_SHIM_DIR, library, source, log);
    bool ok = fits && system(command) == 0;
    size_t size;
    program->log = read_all(log, &size);
    program->image = ok ? read_all(library, &program->image_size) : NULL;
    unlink(source);
    unlink(library);
    unlink(log);
    rmdir(folder);
    return program->image ? SUCCESS : COMPILATION;
}
EXPORT int nvrtcDestroyProgram(Program **program);
EXPORT int nvrtcDestroyProgram(Program **program) {
    free((*program)->source);
    free((*program)->log);
    free((*program)->image);
    free(*program);
    *program = NULL;
    return SUCCESS;
}
EXPORT int nvrtcGetProgramLogSize(Program *program, size_t *size);
EXPORT int nvrtcGetProgramLogSize(Program *program, size_t *size) {
    *size = program->log ? strlen(program->log) + 1 : 1;
    return SUCCESS;
}
EXPORT int nvrtcGetProgramLog(Program *program, char *text);
EXPORT int nvrtcGetProgramLog(Program *program, char *text) {
    strcpy(text, program->log ? program->log : "");
    return SUCCESS;
}
EXPORT int nvrtcGetCUBINSize(Program *program, size_t *size);
EXPORT int nvrtcGetCUBINSize(Program *program, size_t *size) {
    *size = program->image_size;
    return SUCCESS;
}
EXPORT int nvrtcGetCUBIN(Program *program, char *bytes);
EXPORT int nvrtcGetCUBIN(Program *program, char *bytes) {
    memcpy(bytes, program->image, program->image_size);
    return SUCCESS;
}
EXPORT int nvrtcGetPTXSize(Program *program, size_t *size);
EXPORT int nvrtcGetPTXSize(Program *program, size_t *size) {
    *size = strlen(program->source) + 1;
    return SUCCESS;
}
EXPORT int nvrtcGetPTX(Program *program, char *text);
EXPORT int nvrtcGetPTX(Program *program, char *text) {
    strcpy(text, program->source);
    return SUCCESS;
}
EXPORT const char *nvrtcGetErrorString(int result);
EXPORT const char *nvrtcGetErrorString(int result) { return result == SUCCESS ? "NVRTC_SUCCESS" : "NVRTC_ERROR_COMPILATION"; }

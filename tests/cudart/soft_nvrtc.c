// NVRTC without NVRTC: the entry points that codegen/cuda/nvrtc.c uses, done by the system's C++ compiler (FBL_CXX, else
// c++) and tests/cuda/shim.h. A "cubin" is a shared object with, for each kernel NAME, soft_call_NAME, which takes its
// arguments as cuLaunchKernel does, and soft_count_NAME and soft_sizes_NAME, their
// number and their sizes in bytes. Loaded by FBL_NVRTC.
// Threads: programs are independent.
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
enum { SUCCESS = 0, COMPILATION = 6 };

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

static void write_unit(FILE *out, const char *source) {
    const char *spoil = getenv("FBL_SOFT_SPOIL"); // units with this text multiply wrongly
    fprintf(out, "#define FBL_SHIM 1\n#include <utility>\n#include \"shim.h\"\n%s%s\n",
            spoil && *spoil && strstr(source, spoil) ? "static float spoiled(float a, float b, float c) { return a * b * 1.01f + c; }\n#define fmaf spoiled\n" : "", source);
    fprintf(out, "template <typename... P, size_t... I> static void soft_apply(void (*f)(P...), void **a, std::index_sequence<I...>) { f(*(P *)a[I]...); }\n"
                 "template <typename... P> static void soft_call(void (*f)(P...), void **a) { soft_apply(f, a, std::index_sequence_for<P...>()); }\n"
                 "template <typename... P> constexpr int soft_count(void (*)(P...)) { return sizeof...(P); }\n"
                 "template <int n> struct SoftSizes { int v[n + 1]; };\n"
                 "template <typename... P> constexpr SoftSizes<sizeof...(P)> soft_sizes(void (*)(P...)) { return {{(int)sizeof(P)..., 0}}; }\n");
    for (const char *at = strstr(source, "extern \"C\" __global__"); at; at = strstr(at + 1, "extern \"C\" __global__")) {
        char name[200];
        if (kernel_name(at, name)) {
            char tile[200];
            fprintf(out, "extern \"C\" void soft_call_%s(void **a) { soft_call(%s, a); }\nextern \"C\" const int soft_count_%s = soft_count(%s);\n", name, name, name, name);
            fprintf(out, "extern \"C\" const auto soft_sizes_%s = soft_sizes(%s);\n", name, name);
            fprintf(out, "extern \"C\" const char soft_tile_%s[] = \"%s\";\n", name, tile_of(source, at, tile));
        }
    }
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
    (void)options;
    (void)list;
    char folder[] = "/tmp/soft_nvrtc_XXXXXX", source[64], library[64], log[64], command[1024];
    const char *compiler = getenv("FBL_CXX"), *flags = getenv("FBL_SHIM_FLAGS");
    if (!mkdtemp(folder)) {
        return COMPILATION;
    }
    snprintf(source, sizeof source, "%s/kernels.cpp", folder);
    snprintf(library, sizeof library, "%s/kernels.so", folder);
    snprintf(log, sizeof log, "%s/log", folder);
    FILE *out = fopen(source, "w");
    write_unit(out, program->source);
    fclose(out);
    snprintf(command, sizeof command, "%s -std=c++17 -O1 -w -Wno-psabi -fno-strict-aliasing -fwrapv -ffp-contract=off -fPIC -shared %s -I%s -o %s %s > %s 2>&1",
             compiler && *compiler ? compiler : "c++", flags ? flags : "", FBL_SHIM_DIR, library, source, log);
    bool ok = system(command) == 0;
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

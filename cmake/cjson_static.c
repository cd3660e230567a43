// cJSON inside a self-contained program (FBL_STATIC): Debian ships it as a shared library only, so its file is part of the program, is
// mapped from memory before main, and each function used jumps into it.
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern const unsigned char fbl_cjson_bytes[];
extern const unsigned long fbl_cjson_size;

#define FUNCTIONS(F)                                                                                                                       \
    F(cJSON_AddArrayToObject) F(cJSON_AddItemToArray) F(cJSON_AddItemToObject) F(cJSON_AddNumberToObject) F(cJSON_AddStringToObject) F(cJSON_Compare) \
    F(cJSON_CreateArray) F(cJSON_CreateNull) F(cJSON_CreateNumber) F(cJSON_CreateObject) F(cJSON_CreateString) F(cJSON_Delete)             \
    F(cJSON_GetArrayItem) F(cJSON_GetArraySize) F(cJSON_GetObjectItemCaseSensitive) F(cJSON_IsArray) F(cJSON_IsNumber) F(cJSON_IsObject)   \
    F(cJSON_IsString) F(cJSON_ParseWithLength) F(cJSON_Print) F(cJSON_PrintUnformatted)

#define SLOT(name) void *fbl_slot_##name;
FUNCTIONS(SLOT)
#define STUB(name) __asm__(".text\n.globl " #name "\n.type " #name ", @function\n" #name ":\njmp *fbl_slot_" #name "(%rip)\n");
FUNCTIONS(STUB)

static void give_up(const char *what) {
    fprintf(stderr, "fblc: cannot map its own libraries: %s\n", what);
    exit(3);
}

__attribute__((constructor)) static void load(void) {
    int file = memfd_create("cjson", MFD_CLOEXEC);
    if (file < 0 || write(file, fbl_cjson_bytes, fbl_cjson_size) != (ssize_t)fbl_cjson_size) {
        give_up("memfd_create");
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        give_up(dlerror());
    }
    close(file);
#define FIND(name)                                \
    fbl_slot_##name = dlsym(library, #name);      \
    if (!fbl_slot_##name) {                       \
        give_up(#name);                           \
    }
    FUNCTIONS(FIND)
}

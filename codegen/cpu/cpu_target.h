// The inside of FblCpuTarget, shared by the files of codegen/cpu.
#ifndef FBL_CODEGEN_CPU_CPU_TARGET_H
#define FBL_CODEGEN_CPU_CPU_TARGET_H

#include "codegen/target.h"

struct FblCpuTarget {
    char *triple, *cpu, *features, *identity;
    int32_t vector_bytes;
    int32_t opt_level;
};

#endif

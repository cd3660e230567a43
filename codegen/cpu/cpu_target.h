// The inside of FblCpuTarget, shared by the files of codegen/cpu.
#ifndef FBL_CODEGEN_CPU_CPU_TARGET_H
#define FBL_CODEGEN_CPU_CPU_TARGET_H

#include "codegen/target.h"

// Whether contractions round their factors to bf16, and what multiplies them.
typedef enum FblCpuBf16 { FBL_BF16_OFF, FBL_BF16_INSTRUCTION, FBL_BF16_EMULATED } FblCpuBf16;

struct FblCpuTarget {
    char *triple, *cpu, *features, *identity;
    int32_t vector_bytes;
    int32_t opt_level;
    FblCpuBf16 bf16;
};

#endif

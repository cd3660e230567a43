// Loads compiled objects with ORC and hands out entry points.
#include <llvm-c/Core.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "codegen/cpu/cpu_target.h"
#include "codegen/cpu/library.h"

struct FblCpuModule {
    LLVMOrcLLJITRef jit;
    FblKernelFn (*entries)[FBL_KERNEL_MAX_PHASES];
    size_t count;
};

static void run_library(const FblKernelArgs *args, int64_t begin, int64_t end) {
    fbl_cpu_library_run(args->kernel, args, begin, end);
}

static FblStatus orc_error(FblContext *ctx, const char *what, LLVMErrorRef problem) {
    char *text = LLVMGetErrorMessage(problem);
    fbl_error(ctx, "E0502", FBL_NO_LOC, "%s: %s", what, text);
    LLVMDisposeErrorMessage(text);
    return FBL_INTERNAL;
}

static FblStatus add_objects(FblContext *ctx, FblCpuModule *module, const FblKernelCode *codes) {
    LLVMOrcJITDylibRef dylib = LLVMOrcLLJITGetMainJITDylib(module->jit);
    LLVMOrcDefinitionGeneratorRef process = NULL;
    LLVMErrorRef problem = LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&process, LLVMOrcLLJITGetGlobalPrefix(module->jit), NULL, NULL);
    if (problem) {
        return orc_error(ctx, "cannot search the process for symbols", problem);
    }
    LLVMOrcJITDylibAddGenerator(dylib, process);
    for (size_t i = 0; i < module->count; i++) {
        bool seen = codes[i].object == NULL;
        for (size_t k = 0; k < i && !seen; k++) {
            seen = codes[k].object && strcmp(codes[k].symbol, codes[i].symbol) == 0;
        }
        if (seen) {
            continue;
        }
        LLVMMemoryBufferRef buffer = LLVMCreateMemoryBufferWithMemoryRangeCopy((const char *)codes[i].object, codes[i].object_size, codes[i].symbol);
        problem = LLVMOrcLLJITAddObjectFile(module->jit, dylib, buffer);
        if (problem) {
            return orc_error(ctx, "cannot load a kernel's object", problem);
        }
    }
    return FBL_OK;
}

static FblStatus look_up(FblContext *ctx, FblCpuModule *module, const FblKernelCode *codes) {
    for (size_t i = 0; i < module->count; i++) {
        for (int32_t phase = 0; phase < codes[i].phases; phase++) {
            if (!codes[i].object) {
                module->entries[i][phase] = run_library;
                continue;
            }
            char symbol[112];
            snprintf(symbol, sizeof symbol, phase == 0 ? "%s" : "%s_%d", codes[i].symbol, phase);
            LLVMOrcExecutorAddress address = 0;
            LLVMErrorRef problem = LLVMOrcLLJITLookup(module->jit, &address, symbol);
            if (problem) {
                return orc_error(ctx, "a kernel's entry point is missing", problem);
            }
            module->entries[i][phase] = (FblKernelFn)(uintptr_t)address;
        }
    }
    return FBL_OK;
}

FblStatus fbl_cpu_load(FblContext *ctx, const FblCpuTarget *target, FblKernel *const *kernels, const FblKernelCode *codes, size_t count, FblCpuModule **out_module) {
    (void)kernels;
    (void)target;
    FblCpuModule *module = calloc(1, sizeof *module);
    if (!module) {
        fbl_out_of_memory();
    }
    module->entries = calloc(count + 1, sizeof *module->entries);
    module->count = count;
    if (!module->entries) {
        fbl_out_of_memory();
    }
    LLVMErrorRef problem = LLVMOrcCreateLLJIT(&module->jit, NULL);
    if (problem) {
        module->jit = NULL;
        fbl_cpu_unload(module);
        return orc_error(ctx, "ORC does not start", problem);
    }
    FblStatus status = add_objects(ctx, module, codes);
    if (status == FBL_OK) {
        status = look_up(ctx, module, codes);
    }
    if (status != FBL_OK) {
        fbl_cpu_unload(module);
        return status;
    }
    *out_module = module;
    return FBL_OK;
}

void fbl_cpu_unload(FblCpuModule *module) {
    if (!module) {
        return;
    }
    if (module->jit) {
        LLVMErrorRef problem = LLVMOrcDisposeLLJIT(module->jit);
        if (problem) {
            LLVMConsumeError(problem);
        }
    }
    free(module->entries);
    free(module);
}

FblKernelFn fbl_cpu_entry(const FblCpuModule *module, size_t index, int32_t phase) { return module->entries[index][phase]; }

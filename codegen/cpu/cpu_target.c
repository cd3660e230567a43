// The CPU kind that code is generated for, and the compilation of one kernel to an object or to text.
#include "codegen/cpu/cpu_target.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/hash.h"
#include "codegen/cpu/contract.h"
#include "codegen/cpu/emit.h"
#include "codegen/cpu/generic_contract.h"

// LLVM's registry of targets is process-wide: filled once.
static void init_llvm(void) {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
}

static pthread_once_t llvm_once = PTHREAD_ONCE_INIT;

static bool has_feature(const char *features, const char *name) {
    size_t length = strlen(name);
    for (const char *at = strstr(features, name); at; at = strstr(at + 1, name)) {
        if ((at == features || at[-1] == ',') && (at[length] == 0 || at[length] == ',')) {
            return true;
        }
    }
    return false;
}

static char *copy_string(const char *text) {
    char *copy = strdup(text);
    if (!copy) {
        fbl_out_of_memory();
    }
    return copy;
}

static FblStatus choose_precision(FblContext *ctx, const FblCpuOptions *options, FblCpuTarget *target) {
    static const char *const known[] = {"f32", "tf32", "bf16", "f16"};
    const char *precision = options && options->precision ? options->precision : "f32";
    bool exists = false;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        exists |= strcmp(precision, known[i]) == 0;
    }
    if (!exists) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0506", FBL_NO_LOC, "there is no precision `%s`", precision);
        fbl_diag_hint(ctx, diag, "there are f32, tf32, bf16 and f16");
        return FBL_USER;
    }
    if (strcmp(precision, "f32") == 0) {
        return FBL_OK;
    }
    if (strcmp(precision, "bf16") != 0) {
        FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0506", FBL_NO_LOC, "contractions in %s are not available on this processor (%s)", precision, target->cpu);
        fbl_diag_hint(ctx, diag, "f32 is, and bf16 on processors with AVX512_BF16; tf32, bf16 and f16 are for --target cuda");
        return FBL_UNSUPPORTED;
    }
    // Every processor with AVX512_BF16 has the forms for narrower vectors, too (AVX512VL).
    bool has = has_feature(target->features, "+avx512bf16") && has_feature(target->features, "+avx512vl");
    target->bf16 = options->emulate_bf16 ? FBL_BF16_EMULATED : FBL_BF16_INSTRUCTION;
    if (has || options->emulate_bf16) {
        return FBL_OK;
    }
    FblDiag *diag = fbl_diag(ctx, FBL_ERROR, "E0506", FBL_NO_LOC, "contractions in bf16 need AVX512_BF16, which this processor (%s) lacks", target->cpu);
    fbl_diag_hint(ctx, diag, "f32 works here; --emulate-bf16 computes the numbers of bf16, more slowly than f32");
    return FBL_UNSUPPORTED;
}

FblStatus fbl_cpu_target_create(FblContext *ctx, const FblCpuOptions *options, FblCpuTarget **out_target) {
    pthread_once(&llvm_once, init_llvm);
    FblCpuTarget *target = calloc(1, sizeof *target);
    if (!target) {
        fbl_out_of_memory();
    }
    char *triple = LLVMGetDefaultTargetTriple();
    char *host_cpu = LLVMGetHostCPUName();
    char *host_features = LLVMGetHostCPUFeatures();
    target->triple = copy_string(triple);
    target->cpu = copy_string(options && options->cpu ? options->cpu : host_cpu);
    const char *features = options && options->features ? options->features : options && options->cpu ? "" : host_features;
    // LLVM splits 512-bit vectors unless the function says that 512-bit registers are wanted.
    bool wide = has_feature(features, "+avx512f") && !has_feature(features, "+evex512");
    size_t size = strlen(features) + 16;
    target->features = malloc(size);
    if (!target->features) {
        fbl_out_of_memory();
    }
    snprintf(target->features, size, "%s%s", features, wide ? ",+evex512" : "");
    LLVMDisposeMessage(triple);
    LLVMDisposeMessage(host_cpu);
    LLVMDisposeMessage(host_features);
    int32_t widest = has_feature(target->features, "+avx512f") ? 64 : has_feature(target->features, "+avx2") && has_feature(target->features, "+fma") ? 32 : 16;
    target->vector_bytes = options && options->vector_bytes ? options->vector_bytes : widest;
    target->opt_level = options ? options->opt_level : 2;
    if (target->vector_bytes != 16 && target->vector_bytes != 32 && target->vector_bytes != 64) {
        FblStatus status = fbl_error(ctx, "E0501", FBL_NO_LOC, "vectors of %d bytes don't exist; 16, 32 and 64 do", target->vector_bytes);
        fbl_cpu_target_destroy(target);
        return status;
    }
    FblStatus precise = choose_precision(ctx, options, target);
    if (precise != FBL_OK) {
        fbl_cpu_target_destroy(target);
        return precise;
    }
    if (widest == 16 && target->vector_bytes == 16 && !(options && options->vector_bytes)) {
        fbl_diag(ctx, FBL_NOTE, "E0507", FBL_NO_LOC, "%s has no AVX2 with FMA: the code uses 128-bit vectors and is several times slower", target->cpu);
    }
    FblHash hash = fbl_hash(target->features, strlen(target->features));
    char hex[65], identity[256];
    fbl_hash_hex(&hash, hex);
    static const char *const suffixes[] = {[FBL_BF16_OFF] = "", [FBL_BF16_INSTRUCTION] = " bf16", [FBL_BF16_EMULATED] = " bf16-emulated"};
    snprintf(identity, sizeof identity, "%s %s %.8s v%d o%d llvm%s%s", target->triple, target->cpu, hex, target->vector_bytes,
             target->opt_level, LLVM_VERSION_STRING, suffixes[target->bf16]);
    target->identity = copy_string(identity);
    *out_target = target;
    return FBL_OK;
}

void fbl_cpu_target_destroy(FblCpuTarget *target) {
    if (target) {
        free(target->triple);
        free(target->cpu);
        free(target->features);
        free(target->identity);
        free(target);
    }
}

const char *fbl_cpu_target_identity(const FblCpuTarget *target) { return target->identity; }

int32_t fbl_cpu_target_vector_bytes(const FblCpuTarget *target) { return target->vector_bytes; }

void fbl_kernel_code_free(FblKernelCode *code) {
    free(code->object);
    code->object = NULL;
    code->object_size = 0;
}

static FblStatus fail(char *error, size_t error_size, const char *what, const char *detail) {
    snprintf(error, error_size, "%s: %s", what, detail);
    return FBL_INTERNAL;
}

// Everything that one compilation owns.
typedef struct Unit {
    FblEmit emit;
    LLVMTargetMachineRef machine;
    FblArena arena; // of a kernel rewritten by the generic contraction
} Unit;

static FblStatus unit_open(Unit *unit, const FblCpuTarget *target, const FblKernel *kernel, FblKernelCode *code, char *error, size_t error_size) {
    memset(unit, 0, sizeof *unit);
    fbl_arena_init(&unit->arena);
    LLVMTargetRef llvm_target;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(target->triple, &llvm_target, &message)) {
        FblStatus status = fail(error, error_size, "LLVM has no such target", message);
        LLVMDisposeMessage(message);
        return status;
    }
    LLVMCodeGenOptLevel level = target->opt_level >= 3 ? LLVMCodeGenLevelAggressive : target->opt_level == 0 ? LLVMCodeGenLevelNone : LLVMCodeGenLevelDefault;
    unit->machine = LLVMCreateTargetMachine(llvm_target, target->triple, target->cpu, target->features, level, LLVMRelocPIC, LLVMCodeModelSmall);
    FblEmit *e = &unit->emit;
    e->target = target;
    e->kernel = kernel;
    e->code = code;
    e->ctx = LLVMContextCreate();
    e->module = LLVMModuleCreateWithNameInContext(kernel->name, e->ctx);
    LLVMSetTarget(e->module, target->triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(unit->machine);
    LLVMSetModuleDataLayout(e->module, layout);
    LLVMDisposeTargetData(layout);
    e->b = LLVMCreateBuilderInContext(e->ctx);
    e->f32 = LLVMFloatTypeInContext(e->ctx);
    e->i32 = LLVMInt32TypeInContext(e->ctx);
    e->i64 = LLVMInt64TypeInContext(e->ctx);
    e->i8 = LLVMInt8TypeInContext(e->ctx);
    e->i1 = LLVMInt1TypeInContext(e->ctx);
    e->ptr = LLVMPointerTypeInContext(e->ctx, 0);
    e->width = target->vector_bytes / 4;
    e->invariant_kind = LLVMGetMDKindIDInContext(e->ctx, "invariant.load", 14);
    e->buffers = fbl_arena_array(&unit->arena, (size_t)kernel->buffer_count + 1, sizeof *e->buffers);
    return FBL_OK;
}

static void unit_close(Unit *unit) {
    if (unit->emit.b) {
        LLVMDisposeBuilder(unit->emit.b);
        LLVMDisposeModule(unit->emit.module);
        LLVMContextDispose(unit->emit.ctx);
    }
    if (unit->machine) {
        LLVMDisposeTargetMachine(unit->machine);
    }
    fbl_arena_deinit(&unit->arena);
}

static FblStatus unit_build(Unit *unit, char *error, size_t error_size) {
    FblEmit *e = &unit->emit;
    if (e->kernel->part_rows > 0) {
        snprintf(error, error_size, "kernel %s reduces its result, which code for CPUs has no form of", e->kernel->name ? e->kernel->name : "");
        return FBL_INTERNAL;
    }
    if (e->kernel->kind == FBL_KERNEL_CONTRACTION && !fbl_emit_contraction(e)) {
        e->kernel = fbl_generic_contraction(&unit->arena, e->kernel, e->target->bf16 != FBL_BF16_OFF);
    }
    if (e->kernel->kind == FBL_KERNEL_LOOPS) {
        FBL_TRY(fbl_emit_loops_kernel(e));
    }
    char *message = NULL;
    if (LLVMVerifyModule(e->module, LLVMReturnStatusAction, &message)) {
        FblStatus status = fail(error, error_size, "generated LLVM IR is malformed", message);
        LLVMDisposeMessage(message);
        return status;
    }
    LLVMDisposeMessage(message);
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef problem = LLVMRunPasses(e->module, "function(mem2reg,instsimplify,early-cse,loop-mssa(licm),instcombine<no-verify-fixpoint>,early-cse)", unit->machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (problem) {
        char *text = LLVMGetErrorMessage(problem);
        FblStatus status = fail(error, error_size, "LLVM passes failed", text);
        LLVMDisposeErrorMessage(text);
        return status;
    }
    return FBL_OK;
}

// An identifier that is unique to the kernel's content.
static void make_symbol(const FblKernel *kernel, FblKernelCode *code) {
    FblContext *ctx = fbl_context_create();
    const char *text = fbl_kernel_print(ctx, kernel, false);
    snprintf(code->symbol, sizeof code->symbol, "fbl_%.60s_%016llx", kernel->name, (unsigned long long)fbl_hash_u64(text, strlen(text)));
    fbl_context_destroy(ctx);
    for (char *c = code->symbol; *c; c++) {
        bool word = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '_';
        if (!word) {
            *c = '_';
        }
    }
}

FblStatus fbl_cpu_compile(const FblCpuTarget *target, const FblKernel *kernel, FblKernelCode *out_code, char *error, size_t error_size) {
    memset(out_code, 0, sizeof *out_code);
    make_symbol(kernel, out_code);
    out_code->phases = 1;
    out_code->items[0] = fbl_kernel_items(kernel);
    if (kernel->kind == FBL_KERNEL_LIBRARY) {
        return FBL_OK;
    }
    Unit unit;
    FblStatus status = unit_open(&unit, target, kernel, out_code, error, error_size);
    if (status == FBL_OK) {
        status = unit_build(&unit, error, error_size);
    }
    if (status == FBL_OK) {
        LLVMMemoryBufferRef object = NULL;
        char *message = NULL;
        if (LLVMTargetMachineEmitToMemoryBuffer(unit.machine, unit.emit.module, LLVMObjectFile, &message, &object)) {
            status = fail(error, error_size, "LLVM emitted no object", message);
            LLVMDisposeMessage(message);
        } else {
            out_code->object_size = LLVMGetBufferSize(object);
            out_code->object = malloc(out_code->object_size);
            if (!out_code->object) {
                fbl_out_of_memory();
            }
            memcpy(out_code->object, LLVMGetBufferStart(object), out_code->object_size);
            LLVMDisposeMemoryBuffer(object);
        }
    }
    unit_close(&unit);
    return status;
}

FblStatus fbl_cpu_emit_text(const FblCpuTarget *target, const FblKernel *kernel, bool assembly, char **out_text, char *error, size_t error_size) {
    *out_text = NULL;
    FblKernelCode code;
    memset(&code, 0, sizeof code);
    make_symbol(kernel, &code);
    char header[512];
    snprintf(header, sizeof header, "%c kernel %s: %s\n%c about %lld bytes moved, %lld floating-point operations\n", assembly ? '#' : ';',
             kernel->name, kernel->note ? kernel->note : "", assembly ? '#' : ';', (long long)kernel->bytes, (long long)kernel->flops);
    if (kernel->kind == FBL_KERNEL_LIBRARY) {
        *out_text = copy_string(header);
        return FBL_OK;
    }
    Unit unit;
    FblStatus status = unit_open(&unit, target, kernel, &code, error, error_size);
    if (status == FBL_OK) {
        status = unit_build(&unit, error, error_size);
    }
    if (status == FBL_OK) {
        char *body = NULL;
        size_t length = 0;
        LLVMMemoryBufferRef buffer = NULL;
        char *message = NULL;
        if (!assembly) {
            body = LLVMPrintModuleToString(unit.emit.module);
            length = strlen(body);
        } else if (LLVMTargetMachineEmitToMemoryBuffer(unit.machine, unit.emit.module, LLVMAssemblyFile, &message, &buffer)) {
            status = fail(error, error_size, "LLVM emitted no assembly", message);
            LLVMDisposeMessage(message);
        } else {
            length = LLVMGetBufferSize(buffer);
        }
        if (status == FBL_OK) {
            size_t head = strlen(header);
            char *text = malloc(head + length + 1);
            if (!text) {
                fbl_out_of_memory();
            }
            memcpy(text, header, head);
            memcpy(text + head, body ? body : LLVMGetBufferStart(buffer), length);
            text[head + length] = 0;
            *out_text = text;
        }
        if (body) {
            LLVMDisposeMessage(body);
        }
        if (buffer) {
            LLVMDisposeMemoryBuffer(buffer);
        }
    }
    unit_close(&unit);
    return status;
}

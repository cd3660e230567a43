// FblRandom of runtime/data/random.h for the GPU: the same words, by the preamble's Philox.
#define FBL_WINDOW_FN FBL_DEVICE
#ifdef FBL_SHIM // compiled for the CPU, without contraction
#define FBL_MUL(a, b) ((a) * (b))
#define FBL_ADD(a, b) ((a) + (b))
#else
#define FBL_MUL(a, b) __fmul_rn(a, b)
#define FBL_ADD(a, b) __fadd_rn(a, b)
#endif
struct FblRandom {
    FblScalars scalars; // its step is the epoch
    unsigned long long next;
};
FBL_DEVICE unsigned fbl_random_next(FblRandom *random) { return fbl_random_word(&random->scalars, 0x70000002u, random->next++); }

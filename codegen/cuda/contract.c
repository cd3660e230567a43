#include "codegen/cuda/emit.h"
FblStatus fbl_cuda_emit_contraction(FblCudaEmit *e) { (void)e; return FBL_UNSUPPORTED; }

// The CUDA C of the kernels around a train step (session_kernels.cuh with what it needs), as text to be compiled after
// codegen/cuda's preamble. Static storage.
#ifndef FBL_RUNTIME_CUDA_SESSION_SOURCE_H
#define FBL_RUNTIME_CUDA_SESSION_SOURCE_H

const char *fbl_session_source(void);

#endif

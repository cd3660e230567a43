// Writes a graph as an ONNX model (operator set 18): evaluation graphs for other run times.
//
// Named axes become positions: a value's dimensions stand in the order of its type, operands are transposed and given unit
// dimensions where arithmetic aligns them by name. Parameters and states become initialisers under their paths, inputs and
// outputs keep their names. The extent of the axis `batch` is left open ("batch") unless an operation needs its number.
// Ownership: everything lives in the context. Threads: as the context.
#ifndef FBL_CODEGEN_ONNX_ONNX_H
#define FBL_CODEGEN_ONNX_ONNX_H

#include "ir/graph.h"

// The f32 values of parameter or state `path`, row-major in the axis order of its type; NULL when there is none.
typedef const float *(*FblOnnxWeights)(void *arg, FblName path);

typedef struct FblOnnxOptions {
    const FblName *outputs; // OUTPUT roots to write
    size_t output_count;
    FblOnnxWeights weights;
    void *weights_arg;
} FblOnnxOptions;

// The model's bytes, in the context's arena. E0708 (FBL_UNSUPPORTED) names an operation that ONNX has no equal of: draws,
// scatters, derivatives; FBL_USER when an output does not exist.
FblStatus fbl_onnx_encode(const FblGraph *graph, const FblOnnxOptions *options, const uint8_t **out_bytes, size_t *out_size);

#endif

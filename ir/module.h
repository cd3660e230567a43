// A module: the graphs of one program over shared parameters and state, and the resolved recipe.
//
// Ownership: in the context's arena. Threads: as the context.
#ifndef FBL_IR_MODULE_H
#define FBL_IR_MODULE_H

#include "ir/graph.h"

typedef enum FblInitKind {
    FBL_INIT_CONSTANT, // a = value
    FBL_INIT_NORMAL,   // a = mean, b = standard deviation
    FBL_INIT_UNIFORM,  // a = low, b = high
} FblInitKind;

// Initial values, already resolved to numbers (fans, gains): element i of the tensor is drawn with fbl_random_u32(seed,
// stream = hash of the path, step = 0, i).
typedef struct FblInit {
    FblInitKind kind;
    double a, b;
} FblInit;

// A parameter or state tensor. f32 (states may be i32).
typedef struct FblParam {
    FblName path; // "layer1.0.conv1.weight"
    FblType type;
    FblInit init;
    FblLoc loc;
    bool trainable; // parameters: false when frozen; states: false
    int32_t group;  // optimizer group (index into FblRecipe.groups); 0 by default
} FblParam;

typedef struct FblParamList {
    FblParam *items;
    size_t count, capacity;
} FblParamList;

typedef enum FblOptimizerKind { FBL_OPT_SGD, FBL_OPT_ADAMW } FblOptimizerKind;

// One optimizer group: parameters matched by a pattern share multipliers. Group 0 is everything else.
typedef struct FblOptimizerGroup {
    const char *pattern; // glob on parameter paths; NULL for group 0
    double rate_scale;   // multiplies the rate
    double weight_decay;
} FblOptimizerGroup;

// A recipe value that is data for the runtime rather than for the compiler: a small tree.
typedef enum FblValueKind {
    FBL_VALUE_NONE,
    FBL_VALUE_BOOL,
    FBL_VALUE_INT,
    FBL_VALUE_REAL,
    FBL_VALUE_STRING,
    FBL_VALUE_LIST, // items
    FBL_VALUE_CALL  // name(items...), keyword arguments have keys: cifar10("dir", imbalance=exponential(0.01))
} FblValueKind;

typedef struct FblValue FblValue;
struct FblValue {
    FblValueKind kind;
    int64_t integer; // BOOL, INT
    double real;     // REAL; also set for INT
    const char *string; // STRING text, CALL callee
    FblValue *items;
    const char **keys; // per item: keyword or NULL
    size_t count;
    FblLoc loc;
};

// The item with keyword `key`, or the positional item `position` (pass -1 for none); NULL when absent.
const FblValue *fbl_value_get(const FblValue *call, const char *key, int position);

// The train block after evaluation. Fields that a file omits have the defaults noted.
typedef struct FblRecipe {
    FblValue dataset;   // CALL, or NONE
    FblValue augment;   // LIST of CALLs, or NONE
    FblValue normalize; // CALL "normalize" with mean, std lists, or NONE
    FblValue sampler;   // CALL, or NONE (shuffle)
    FblValue mixup;     // REAL alpha, or NONE
    FblValue reinit;    // LIST of paths of parameters and states that start anew even where weights are given, or NONE
    int64_t batch;      // default 64
    int64_t epochs;     // default 1
    uint64_t seed;      // default 0
    FblOptimizerKind optimizer; // default SGD
    bool nesterov;
    FblOptimizerGroup *groups; // at least group 0
    size_t group_count;
    FblName predict;    // the output that evaluation ranks ("score")
    FblName loss_name;  // "feature_balanced"
    bool has_train;     // the file has a train block
    FblLoc loc;
} FblRecipe;

// A hyper-parameter that is a run-time scalar: an INPUT node of this name, set without recompiling.
typedef struct FblHyper {
    FblName name; // "loss.lambda", "optimizer.momentum", "optimizer.weight_decay", "optimizer.beta1"...
    double value;
} FblHyper;

// Graphs:
//   train  inputs image, label, (label2, mix), class_count, epoch, epochs, step, steps, hypers, "rate" after optimisation;
//          OUTPUT roots: "loss" (scalar) and the model's outputs; UPDATE roots for states; GRAD roots after fbl_pass_grad
//   eval   the model with training=false: OUTPUT roots, the model's outputs
//   epoch  scalars in double precision, run by the interpreter once an epoch: inputs epoch, epochs, class_count, hypers;
//          OUTPUT roots "rate" and, after hoisting, "hoist.N" (which are INPUTs of train)
//   optimizer  one step on flat tensors over the axis `param`: inputs "w", "g", slot inputs "slot.0", ..., scalars "rate",
//          "weight_decay", "t" (the step count from 1), hypers; UPDATE roots "w", "slot.0", ...
typedef struct FblModule {
    FblContext *ctx;
    FblGraph *train, *eval, *epoch, *optimizer; // NULL where the program has none
    FblParamList params; // in order of creation (PyTorch's state_dict order)
    FblParamList states;
    FblHyper *hypers;
    size_t hyper_count, hyper_capacity;
    FblRecipe recipe;
    int slot_count; // optimizer slots per parameter
} FblModule;

// States of programs whose gradients are in f16 (passes/loss_scale.h), f32 scalars: the number S that the loss is multiplied by,
// the good steps since it changed, the steps skipped in all, and 1 when the last step was not skipped, else 0.
#define FBL_LOSS_SCALE_STATE "optimizer.loss_scale"
#define FBL_GOOD_STEPS_STATE "optimizer.good_steps"
#define FBL_SKIPPED_STATE "optimizer.skipped_steps"
#define FBL_APPLIED_STATE "optimizer.applied"
// A gradient that is not finite although S is below this has another cause than S.
#define FBL_LOSS_SCALE_LEAST 1.0
// Whether `path` is one of the four.
bool fbl_loss_scale_is_state(const char *path);

// An i32 input FBL_SHARD_INPUT "AXIS.EXTENT" of a program whose batch is divided among devices (passes/shard.h): the numbers of
// the device's share of an axis. Device d of n has d * EXTENT / n and those that follow.
#define FBL_SHARD_INPUT "shard."
bool fbl_shard_is_input(const char *name);

// The parameter or state with this path, or NULL.
const FblParam *fbl_param_find(const FblParamList *list, FblName path);

// Writes the initial value of `param` as `elements` doubles (each exact in f32), from `seed`.
void fbl_init_tensor(const FblParam *param, uint64_t seed, double *out);

#endif

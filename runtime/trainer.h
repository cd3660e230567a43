// Training: epochs of steps over batches of images, evaluation, checkpoints, logs.
//
// A run is a function of the program, the recipe, the seed and the data: killed at any moment and resumed, it ends with the
// same bits as an undisturbed one, on any number of threads.
// Ownership: everything in the options is borrowed and must outlive the trainer. Threads: one caller.
#ifndef FBL_RUNTIME_TRAINER_H
#define FBL_RUNTIME_TRAINER_H

#include <signal.h>

#include "runtime/checkpoint.h"
#include "runtime/data/loader.h"
#include "runtime/exec.h"
#include "runtime/metrics.h"
#include "runtime/runlog.h"

// The programs of one model: executors over one store.
typedef struct FblTrainPrograms {
    const FblModule *module; // after the passes; its plan's executor is `main`
    FblExec *main;           // functions train, optimizer, eval; at the recipe's batch
    const FblModule *tail_module;
    FblExec *tail; // function train at the size of an epoch's last, smaller batch; NULL when all are full
    FblStore *store;
    const FblKernelCode *session_code; // on a GPU: its kernels around the step; NULL on the CPU
} FblTrainPrograms;

typedef struct FblTrainOptions {
    FblTrainPrograms programs;
    const FblDataset *train, *test; // test NULL: no evaluation
    FblTransform transform;         // of the training split
    FblSampler sampler;
    double mixup_alpha;
    const char *run_dir;     // NULL writes nothing
    const char *recipe_hash; // of the resolved recipe: a resumed run must have the same
    const char *init;        // safetensors file of initial weights, or NULL
    int64_t stage;           // 0: the train block itself; its stages follow
    const char *stage_name;  // NULL for the block itself
    int64_t total_epochs;    // of all stages, for the time left; 0: as many as this one has
    bool resume;
    int64_t max_steps;  // stop after this step (counted from the run's beginning, all stages); 0: at the end
    int64_t save_steps; // a checkpoint every so many steps besides those of the epochs; 0: every ten minutes
    int workers;        // loader threads
    bool json, log_steps, quiet;
    bool check_finite; // on a GPU: step by step, so that a value that is not finite can be traced to its node
    const volatile sig_atomic_t *interrupted; // set by a signal: the step is finished, a checkpoint written
} FblTrainOptions;

typedef struct FblTrainResult {
    FblMetricsSummary test; // of the last evaluation; NAN without one
    double train_loss;      // of the last epoch
    double best_top1;
    int64_t best_epoch;
    int64_t steps; // done in all
    bool finished; // the stage is at its end
    bool interrupted;
} FblTrainResult;

// Runs the training of one stage to its end (or max_steps, or an interruption). With `resume` it goes on from the run's
// last checkpoint when that is of this stage. A later stage that has no checkpoint of its own starts from the weights in
// the checkpoint of the stage before: tensors are taken over by name, those that the recipe's `reinit` names and those
// without a counterpart start anew, and so does the optimizer. Every stage draws random numbers of its own.
FblStatus fbl_train(FblContext *ctx, const FblTrainOptions *options, FblTrainResult *out_result);

// The plan's tensors in the store, set from the initialisers of the module, with `seed`.
FblStatus fbl_train_init_weights(FblContext *ctx, const FblTrainPrograms *programs, uint64_t seed);

// The seed of stage `stage` of a run with `seed`.
uint64_t fbl_train_stage_seed(uint64_t seed, int64_t stage);

// Sets parameters and states that `file` has under their names (but for those of the recipe's `reinit`), and says on `report` (NULL: nothing) which were found and
// which not. Other shapes than declared are an error E0712 each. A file with none of them is an error E0713.
FblStatus fbl_train_load_weights(FblContext *ctx, const FblTrainPrograms *programs, const FblTensorFile *file, const char *path,
                                 FILE *report);

// Sets all parameters and states from a checkpoint; missing ones are an error.
FblStatus fbl_train_load_checkpoint(FblContext *ctx, const FblTrainPrograms *programs, const FblTensorFile *file, const char *path);

// Parameters and states as tensors of a file (data points into the store); malloc'ed array, names borrowed.
FblStatus fbl_train_tensors(FblContext *ctx, const FblTrainPrograms *programs, bool with_slots, FblFileTensor **out_tensors, size_t *out_count);

// Evaluates `data` with the weights in the store: all rows are added to `metrics`, which the caller has initialised.
typedef struct FblEvalOptions {
    FblTrainPrograms programs;
    const FblDataset *data;
    FblTransform transform; // of the test split
    const double *class_count;
    int64_t classes;
    int64_t epoch; // for outputs that depend on it
    int workers;
    double *feature_norm; // [classes] gets the mean length of the output `feature` per class; NULL: not wanted
    struct FblEvalDevice **kept; // GPU: what evaluations of the same programs and data share, made by the first; NULL: nothing is kept
} FblEvalOptions;
// Ends what `kept` holds (may be NULL).
void fbl_eval_device_close(struct FblEvalDevice *device);
FblStatus fbl_train_evaluate(FblContext *ctx, const FblEvalOptions *options, FblMetrics *metrics);

// The numbers of an evaluation as one JSON object: top1, top5, many, medium, few, per_class, class_count, names, confusion
// (up to 200 classes), feature_norm (may be NULL). malloc'ed; NULL when memory is short.
char *fbl_metrics_json(const FblMetrics *metrics, char *const *class_names, const double *feature_norm);

#endif

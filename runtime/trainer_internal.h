// What the parts of the trainer share. Private to runtime/trainer*.c.
#ifndef FBL_RUNTIME_TRAINER_INTERNAL_H
#define FBL_RUNTIME_TRAINER_INTERNAL_H

#include "runtime/epoch.h"
#include "runtime/trainer.h"

// Sets every input of a function that is known for a whole epoch: epoch, epochs, steps, hyper-parameters, class counts,
// hoisted values, rates and decays of the optimizer groups.
void fbl_trainer_set_epoch(FblContext *ctx, const FblExec *exec, const char *function, const FblModule *module, const FblEpochInputs *epoch,
                           FblBindings *values);

// Copies `count` images [3][height][width] into the input `image` of `function`, from row `at` on.
void fbl_trainer_set_images(const FblExec *exec, int function, int64_t at, const float *images, int64_t count);

// Copies labels into the i32 input `name`; nothing when there is none.
void fbl_trainer_set_labels(const FblExec *exec, int function, const char *name, const int32_t *labels, int64_t count);

// Extent of the axis `batch` of the input image, with its height and width checked against the data; E0714 otherwise.
FblStatus fbl_trainer_check_image(FblContext *ctx, const FblExec *exec, const char *function, int32_t height, int32_t width, int64_t *out_batch);

// The scores of a function's last call as [batch][class] floats, for any order of the two axes; and those at `data`.
void fbl_trainer_scores(const FblExec *exec, const FblPlanTensor *score, int64_t classes, float *out);
void fbl_trainer_scores_at(const float *data, const FblPlanTensor *score, int64_t classes, float *out);
// The output that evaluation ranks, checked to be f32[batch, class]; E0715 otherwise.
FblStatus fbl_trainer_find_scores(FblContext *ctx, const FblExec *exec, const char *function, const FblModule *module, int64_t classes,
                                  const FblPlanTensor **out_score);

// The state that the loss is scaled by, or NULL.
const FblPlanTensor *fbl_trainer_loss_scale(const FblPlan *plan);

// After a step that went wrong: names the first value that is not finite, by running the step again in the interpreter.
// `states_before` is the STATES region as it was before the step.
void fbl_trainer_blame(FblContext *ctx, const FblModule *module, const FblExec *exec, const uint8_t *states_before, uint64_t seed, uint64_t step);

// True when one of `bytes / 4` floats is infinite or NaN.
bool fbl_trainer_has_nonfinite(const uint8_t *data, int64_t bytes);

#endif

// Steps of a training on a GPU, several under way at once. Private to runtime/trainer*.c.
//
// Images of sets that fit are held on the GPU; others come from the loader while the step before runs.
// Ownership: open and close; borrows the trainer's options. Threads: one caller.
#ifndef FBL_RUNTIME_TRAINER_DEVICE_H
#define FBL_RUNTIME_TRAINER_DEVICE_H

#include "runtime/trainer.h"

#define FBL_STEPS_AHEAD 16 // asked for before the oldest one's numbers are read

typedef struct FblTrainDevice FblTrainDevice;

// *out_device is NULL where steps must be done one by one: on the CPU, when every value is to be checked, or when the
// program reads no labels.
FblStatus fbl_train_device_open(FblContext *ctx, const FblTrainOptions *options, uint64_t seed, int64_t batch, int64_t steps, FblTrainDevice **out_device);
void fbl_train_device_close(FblTrainDevice *device);
// Whether no loader is needed.
bool fbl_train_device_holds_images(const FblTrainDevice *device);

// Before the steps of an epoch, from `epoch_step` on. Nothing may be under way.
FblStatus fbl_train_device_begin(FblContext *ctx, FblTrainDevice *device, int64_t epoch, int64_t epoch_step, int64_t global_step);
// Asks for the next step; `loader` is read when the images aren't held.
FblStatus fbl_train_device_ask(FblContext *ctx, FblTrainDevice *device, FblLoader *loader);
// Steps asked for and not read yet.
int64_t fbl_train_device_under_way(const FblTrainDevice *device);

typedef struct FblTrainStep {
    int64_t step, images; // of the epoch; in this batch
    double loss;
    int64_t right;
    bool finite; // loss and gradients
} FblTrainStep;
// Waits for the oldest step under way.
FblStatus fbl_train_device_read(FblContext *ctx, FblTrainDevice *device, FblTrainStep *out_step);

#endif

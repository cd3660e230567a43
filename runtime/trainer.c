#include "runtime/trainer_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/diag.h"
#include "base/io.h"
#include "runtime/torch_file.h"
#include "runtime/trainer_device.h"

#define PROGRESS_NAME "run.progress" // sums of an unfinished epoch in a checkpoint
#define SAVE_SECONDS 600.0

// The state of a run that is not in the store.
typedef struct Trainer {
    FblContext *ctx;
    const FblTrainOptions *options;
    const FblModule *module;
    FblStore *store;
    FblLoader *loader;
    FblTrainDevice *device; // NULL: steps are done one by one
    struct FblEvalDevice *eval_device; // GPU: made by the first evaluation
    FblRunLog *log;
    FblMetrics metrics;
    double *class_count, *feature_norm;
    int64_t classes;
    FblCheckpointInfo info; // where the run is
    uint64_t seed;          // of this stage
    double sums[3];         // of the epoch so far: loss * images, images right, images
    int64_t batch, steps;   // batch size, steps in an epoch
    float *scores;
    uint8_t *states_before;
    double rate;
    double last_save; // clock
    FblTrainResult *result;
} Trainer;

static double clock_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static FblStatus save(Trainer *t, const char *name) {
    if (!t->options->run_dir) {
        return FBL_OK;
    }
    FblFileTensor *tensors;
    size_t count;
    FBL_TRY(fbl_train_tensors(t->ctx, &t->options->programs, true, &tensors, &count));
    int64_t shape = 3;
    fbl_file_tensor_init(&tensors[count], PROGRESS_NAME, FBL_FILE_F64, 1, &shape, t->sums);
    FblStatus status = fbl_checkpoint_write(t->ctx, t->options->run_dir, name, tensors, count + 1, &t->info);
    free(tensors);
    t->last_save = clock_seconds();
    return status;
}

// The start of a later stage: weights and the best result so far from the checkpoint of the one before.
static FblStatus carry_over(Trainer *t, const FblTensorFile *file, const char *path, const FblCheckpointInfo *before) {
    FBL_TRY(fbl_train_init_weights(t->ctx, &t->options->programs, t->seed));
    FBL_TRY(fbl_train_load_weights(t->ctx, &t->options->programs, file, path, NULL)); // a report would list the optimizer's tensors
    t->info.first_epoch = before->first_epoch + before->epoch;
    t->info.first_step = before->first_step + before->step;
    t->info.best_metric = before->best_metric;
    t->info.best_epoch = before->best_epoch;
    return FBL_OK;
}

static FblStatus restore(Trainer *t) {
    FblTensorFile file;
    const char *path;
    FblCheckpointInfo info;
    FBL_TRY(fbl_checkpoint_open(t->ctx, t->options->run_dir, FBL_CHECKPOINT_LAST, &info, &file, &path));
    FblStatus status = FBL_OK;
    bool carry = t->options->stage > 0 && info.stage + 1 == t->options->stage;
    if (!carry && info.stage != t->options->stage) {
        fbl_tensor_file_deinit(&file);
        return fbl_error(t->ctx, "E0711", FBL_NO_LOC, "%s is of another stage of the run", path);
    }
    if (strcmp(info.recipe_hash, t->info.recipe_hash) != 0) {
        FblDiag *diag = fbl_diag(t->ctx, FBL_ERROR, "E0718", FBL_NO_LOC, "%s was written by another program or recipe", path);
        fbl_diag_hint(t->ctx, diag, "resume with the same file and the same settings; start a changed recipe in a folder of its own");
        status = FBL_USER;
    }
    if (status == FBL_OK && carry) {
        status = carry_over(t, &file, path, &info);
        fbl_tensor_file_deinit(&file);
        return status;
    }
    const FblFileTensor *progress = fbl_tensor_file_find(&file, PROGRESS_NAME);
    if (status == FBL_OK) {
        status = fbl_train_load_checkpoint(t->ctx, &t->options->programs, &file, path);
    }
    if (status == FBL_OK && (!progress || !fbl_file_tensor_to_f64(progress, t->sums, 3) || info.epoch_step >= t->steps || info.epoch < 0 || info.epoch_step < 0)) {
        status = fbl_error(t->ctx, "E0711", FBL_NO_LOC, "%s does not say where its run stood", path);
    }
    t->info = info;
    fbl_tensor_file_deinit(&file);
    return status;
}

static FblStatus start_weights(Trainer *t) {
    const FblTrainOptions *options = t->options;
    if ((options->resume || options->stage > 0) && options->run_dir && fbl_checkpoint_exists(t->ctx, options->run_dir)) {
        return restore(t);
    }
    FBL_TRY(fbl_train_init_weights(t->ctx, &options->programs, t->seed));
    if (options->init) {
        FblTensorFile file;
        FBL_TRY(fbl_weights_read(t->ctx, options->init, &file));
        FblStatus status = fbl_train_load_weights(t->ctx, &options->programs, &file, options->init, options->quiet ? NULL : stderr);
        fbl_tensor_file_deinit(&file);
        return status;
    }
    return FBL_OK;
}

static FblStatus begin_epoch(Trainer *t) {
    FblEpochInputs epoch = {t->info.epoch, t->module->recipe.epochs, t->module->recipe.epochs * t->steps, t->class_count, t->classes};
    FblBindings values = {0};
    FblStatus status = fbl_epoch_values(t->module, &epoch, &values);
    if (status == FBL_OK) {
        const FblTrainPrograms *programs = &t->options->programs;
        const FblTensor *rate = fbl_bindings_find(&values, fbl_intern(t->ctx, "rate"));
        t->rate = rate ? rate->data[0] : 0;
        fbl_trainer_set_epoch(t->ctx, programs->main, "train", t->module, &epoch, &values);
        fbl_trainer_set_epoch(t->ctx, programs->main, "optimizer", t->module, &epoch, &values);
    }
    fbl_bindings_free(&values);
    if (status == FBL_OK && t->options->programs.tail) { // a program of its own: its hoisted values may be numbered differently
        FblBindings tail_values = {0};
        status = fbl_epoch_values(t->options->programs.tail_module, &epoch, &tail_values);
        if (status == FBL_OK) {
            fbl_trainer_set_epoch(t->ctx, t->options->programs.tail, "train", t->options->programs.tail_module, &epoch, &tail_values);
        }
        fbl_bindings_free(&tail_values);
    }
    if (status == FBL_OK && !isfinite(t->rate)) {
        status = fbl_error(t->ctx, "E0716", t->module->recipe.loc, "the rate of epoch %" PRId64 " is %g", t->info.first_epoch + t->info.epoch, t->rate);
    }
    return status;
}

static FblStatus not_finite(Trainer *t, const char *what, double value, const FblExec *exec, const FblModule *module) {
    value = isnan(value) ? NAN : value; // the sign of a NaN says nothing
    FblDiag *diag = fbl_diag(t->ctx, FBL_ERROR, "E0716", module->recipe.loc, "%s not finite (%g) in epoch %" PRId64 ", step %" PRId64, what, value,
                             t->info.first_epoch + t->info.epoch, t->info.epoch_step);
    fbl_diag_hint(t->ctx, diag, "the last checkpoint is kept; a lower rate or a longer warm-up often helps");
    FBL_TRY(fbl_store_pull(t->ctx, t->store, FBL_REGION_PARAMS));
    fbl_trainer_blame(t->ctx, module, exec, t->states_before, t->seed, (uint64_t)t->info.step);
    return FBL_USER;
}

// Counts the images of the batch whose highest score is their label's.
static void count_right(Trainer *t, const FblExec *exec, const FblModule *module, const FblBatch *batch) {
    const FblPlanTensor *score;
    if (fbl_trainer_find_scores(t->ctx, exec, "train", module, t->classes, &score) != FBL_OK) {
        return;
    }
    fbl_trainer_scores(exec, score, t->classes, t->scores);
    for (int64_t i = 0; i < batch->size; i++) {
        const float *row = t->scores + i * t->classes;
        int64_t best = 0;
        for (int64_t c = 1; c < t->classes; c++) {
            best = row[c] > row[best] ? c : best;
        }
        t->sums[1] += best == batch->labels[i];
    }
}

static FblStatus train_step(Trainer *t, const FblBatch *batch) {
    const FblTrainPrograms *programs = &t->options->programs;
    bool tail = batch->size != t->batch;
    FblExec *exec = tail ? programs->tail : programs->main;
    const FblModule *module = tail ? programs->tail_module : programs->module;
    uint64_t seed = t->seed, step = (uint64_t)t->info.step;
    int train = fbl_exec_function(exec, "train"), optimizer = fbl_exec_function(programs->main, "optimizer");
    fbl_trainer_set_images(exec, train, 0, batch->images, batch->size);
    fbl_trainer_set_labels(exec, train, "label", batch->labels, batch->size);
    fbl_trainer_set_labels(exec, train, "label2", batch->labels2, batch->size);
    fbl_exec_set_scalar(exec, train, "mix", (double)batch->lambda);
    fbl_exec_set_scalar(exec, train, "step", (double)step);
    FBL_TRY(fbl_store_pull(t->ctx, t->store, FBL_REGION_STATES));
    memcpy(t->states_before, t->store->regions[FBL_REGION_STATES], (size_t)t->store->bytes[FBL_REGION_STATES]);
    fbl_exec_call(exec, train, seed, step, NULL);
    FBL_TRY(fbl_exec_wait(t->ctx, exec));
    FBL_TRY(fbl_store_pull(t->ctx, t->store, FBL_REGION_GRADS));
    double loss = (double)*(const float *)fbl_exec_address(exec, fbl_exec_output(exec, train, "loss"));
    if (!isfinite(loss)) {
        return not_finite(t, "the loss is", loss, exec, module);
    }
    const FblPlanTensor *scale = fbl_trainer_loss_scale(fbl_exec_plan(exec));
    bool skips = scale && (double)*(const float *)(t->states_before + scale->offset) >= FBL_LOSS_SCALE_LEAST; // the optimizer sees to it
    if (!skips && fbl_trainer_has_nonfinite(t->store->regions[FBL_REGION_GRADS], t->store->bytes[FBL_REGION_GRADS])) {
        return not_finite(t, "a gradient is", NAN, exec, module);
    }
    if (optimizer >= 0) {
        fbl_exec_set_scalar(programs->main, optimizer, "t", (double)(step + 1));
        fbl_exec_call(programs->main, optimizer, seed, step, NULL);
    }
    count_right(t, exec, module, batch);
    t->sums[0] += loss * (double)batch->size;
    t->sums[2] += (double)batch->size;
    fbl_runlog_step(t->log, t->info.first_epoch + batch->epoch, batch->step, batch->steps, t->info.first_step + t->info.step, loss, t->sums[0] / t->sums[2], t->sums[1] / t->sums[2], (int64_t)t->sums[2]);
    t->info.step++;
    t->info.epoch_step = batch->step + 1;
    return FBL_OK;
}

// What `fblc report` shows of the last evaluation besides the curves: test_classes.json, rewritten each epoch.
static FblStatus write_classes(Trainer *t) {
    if (!t->options->run_dir) {
        return FBL_OK;
    }
    char *text = fbl_metrics_json(&t->metrics, t->options->test->class_names, t->feature_norm);
    if (!text) {
        return FBL_NOMEM;
    }
    FblSpan span = {text, strlen(text)};
    FblStatus status = fbl_write_file_atomic(t->ctx, fbl_path_join(t->ctx, t->options->run_dir, "test_classes.json"), &span, 1);
    free(text);
    return status;
}

static FblStatus evaluate(Trainer *t, FblMetricsSummary *out) {
    *out = (FblMetricsSummary){NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    if (!t->options->test) {
        return FBL_OK;
    }
    FblEvalOptions options = {.programs = t->options->programs, .data = t->options->test, .class_count = t->class_count, .classes = t->classes,
                              .transform = fbl_transform_for_test(&t->options->transform, t->options->test), .epoch = t->info.epoch,
                              .workers = t->options->workers, .feature_norm = t->feature_norm, .kept = &t->eval_device};
    fbl_metrics_reset(&t->metrics);
    FBL_TRY(fbl_train_evaluate(t->ctx, &options, &t->metrics));
    *out = fbl_metrics_summary(&t->metrics);
    return write_classes(t);
}

static FblStatus end_epoch(Trainer *t, double started) {
    FblEpochRow row = {.epoch = t->info.first_epoch + t->info.epoch, .train_loss = t->sums[0] / t->sums[2], .train_top1 = t->sums[1] / t->sums[2], .rate = t->rate};
    FBL_TRY(evaluate(t, &row.test));
    row.seconds = clock_seconds() - started;
    FBL_TRY(fbl_runlog_epoch(t->ctx, t->log, &row));
    t->result->test = row.test;
    t->result->train_loss = row.train_loss;
    double metric = isnan(row.test.top1) ? row.train_top1 : row.test.top1;
    bool best = !(metric <= t->info.best_metric); // also when there was none
    if (best) {
        t->info.best_metric = metric;
        t->info.best_epoch = row.epoch;
    }
    t->info.epoch++;
    t->info.epoch_step = 0;
    memset(t->sums, 0, sizeof t->sums);
    // The best first: killed between the two, the resumed run repeats this epoch and writes the same best again.
    if (best) {
        FBL_TRY(save(t, FBL_CHECKPOINT_BEST));
    }
    return save(t, FBL_CHECKPOINT_LAST);
}

static bool should_stop(Trainer *t) {
    if (t->options->interrupted && *t->options->interrupted) {
        t->result->interrupted = true;
        return true;
    }
    return t->options->max_steps > 0 && t->info.first_step + t->info.step >= t->options->max_steps;
}

static bool should_save(const Trainer *t) {
    int64_t every = t->options->save_steps;
    return every > 0 ? t->info.step % every == 0 : clock_seconds() - t->last_save > SAVE_SECONDS;
}

// Steps of the epoch that may be asked for: none beyond a place where the run stops or is saved.
static int64_t last_step(const Trainer *t) {
    int64_t room = t->steps - t->info.epoch_step, every = t->options->save_steps;
    int64_t done = t->info.first_step + t->info.step;
    if (t->options->max_steps > 0 && t->options->max_steps - done < room) {
        room = t->options->max_steps - done;
    }
    if (every > 0 && every - t->info.step % every < room) {
        room = every - t->info.step % every;
    }
    return t->info.epoch_step + room;
}

// The numbers of a step that a device has done.
static FblStatus account(Trainer *t, const FblTrainStep *step) {
    if (!step->finite) {
        FblDiag *diag = fbl_diag(t->ctx, FBL_ERROR, "E0716", t->module->recipe.loc, "the loss or a gradient is not finite (loss %g) in epoch %" PRId64 ", step %" PRId64,
                                 isnan(step->loss) ? NAN : step->loss, t->info.first_epoch + t->info.epoch, step->step);
        fbl_diag_hint(t->ctx, diag, "the last checkpoint is kept; with --check-finite the first value that is not finite is found; a lower rate or a longer warm-up often helps");
        return FBL_USER;
    }
    t->sums[0] += step->loss * (double)step->images;
    t->sums[1] += (double)step->right;
    t->sums[2] += (double)step->images;
    fbl_runlog_step(t->log, t->info.first_epoch + t->info.epoch, step->step, t->steps, t->info.first_step + t->info.step, step->loss,
                    t->sums[0] / t->sums[2], t->sums[1] / t->sums[2], (int64_t)t->sums[2]);
    t->info.step++;
    t->info.epoch_step++;
    return FBL_OK;
}

// The steps of an epoch on a device. *out_stop: the run ends here, saved.
static FblStatus device_epoch(Trainer *t, bool *out_stop) {
    FblTrainDevice *device = t->device;
    FBL_TRY(fbl_train_device_begin(t->ctx, device, t->info.epoch, t->info.epoch_step, t->info.step));
    int64_t last = last_step(t);
    while (t->info.epoch_step < t->steps) {
        // Before a save nothing is asked for, so that the weights are those of the step that is saved.
        bool hold = (t->options->interrupted && *t->options->interrupted) || (t->options->save_steps <= 0 && clock_seconds() - t->last_save > SAVE_SECONDS);
        int64_t under_way = fbl_train_device_under_way(device);
        if (under_way < FBL_STEPS_AHEAD && t->info.epoch_step + under_way < last && !(hold && under_way > 0)) {
            FBL_TRY(fbl_train_device_ask(t->ctx, device, t->loader));
            continue;
        }
        FblTrainStep step;
        FBL_TRY(fbl_train_device_read(t->ctx, device, &step));
        FBL_TRY(account(t, &step));
        if (fbl_train_device_under_way(device) == 0 && t->info.epoch_step < t->steps) {
            *out_stop = should_stop(t);
            if (*out_stop || should_save(t)) {
                FBL_TRY(save(t, FBL_CHECKPOINT_LAST));
            }
            if (*out_stop) {
                return FBL_OK;
            }
            last = last_step(t);
        }
    }
    return FBL_OK;
}

static FblStatus run_epochs(Trainer *t) {
    while (t->info.epoch < t->module->recipe.epochs && !should_stop(t)) {
        double started = clock_seconds();
        FBL_TRY(begin_epoch(t));
        bool stop = false;
        if (t->device) {
            FBL_TRY(device_epoch(t, &stop));
        }
        if (stop) {
            return FBL_OK;
        }
        while (t->info.epoch_step < t->steps) {
            const FblBatch *batch;
            FBL_TRY(fbl_loader_next(t->ctx, t->loader, &batch));
            if (!batch) {
                return fbl_error(t->ctx, "E0719", FBL_NO_LOC, "the data ended before the training");
            }
            FBL_TRY(train_step(t, batch));
            if (t->info.epoch_step < t->steps) {
                if (should_stop(t)) {
                    return save(t, FBL_CHECKPOINT_LAST);
                }
                if (should_save(t)) {
                    FBL_TRY(save(t, FBL_CHECKPOINT_LAST));
                }
            }
        }
        FBL_TRY(end_epoch(t, started));
    }
    return FBL_OK;
}

static FblStatus prepare(Trainer *t) {
    const FblTrainOptions *options = t->options;
    const FblTrainPrograms *programs = &options->programs;
    int32_t height, width;
    const FblPlanTensor *score;
    FBL_TRY(fbl_transform_check(t->ctx, &options->transform, options->train, &height, &width));
    FBL_TRY(fbl_trainer_check_image(t->ctx, programs->main, "train", height, width, &t->batch));
    FBL_TRY(fbl_trainer_find_scores(t->ctx, programs->main, "train", t->module, t->classes, &score));
    int train = fbl_exec_function(programs->main, "train");
    if (!fbl_exec_output(programs->main, train, "loss")) {
        return fbl_error(t->ctx, "E0714", t->module->recipe.loc, "the program has no loss to train with");
    }
    if ((options->mixup_alpha > 0 || options->transform.cutmix_alpha > 0) && !fbl_exec_input(programs->main, train, "label2")) {
        return fbl_error(t->ctx, "E0714", t->module->recipe.mixup.loc, "the loss does not read `label`, so mixup has nothing to mix");
    }
    t->steps = fbl_loader_steps_for(&options->sampler, options->train, t->batch);
    if (fbl_sampler_length(&options->sampler, options->train) % t->batch && !programs->tail) {
        fbl_error(t->ctx, "E0714", FBL_NO_LOC, "no program for the last batch of an epoch");
        return FBL_INTERNAL;
    }
    t->class_count = calloc((size_t)t->classes + 1, sizeof *t->class_count);
    t->feature_norm = calloc((size_t)t->classes + 1, sizeof *t->feature_norm);
    t->scores = malloc((size_t)(t->batch * t->classes + 1) * sizeof *t->scores);
    t->states_before = malloc((size_t)t->store->bytes[FBL_REGION_STATES] + 64);
    if (!t->class_count || !t->feature_norm || !t->scores || !t->states_before) {
        return FBL_NOMEM;
    }
    for (int64_t c = 0; c < t->classes; c++) {
        t->class_count[c] = (double)options->train->class_counts[c];
    }
    return fbl_metrics_init(&t->metrics, (int32_t)t->classes, options->train->class_counts);
}

static FblStatus open_logs(Trainer *t) {
    const FblTrainOptions *options = t->options;
    int64_t done = t->info.first_epoch + t->info.epoch;
    FblRunLogOptions log = {.directory = options->run_dir, .resume_epoch = options->resume || options->stage > 0 ? done : 0,
                            .epochs = options->total_epochs > 0 ? options->total_epochs : t->module->recipe.epochs,
                            .results = stdout, .progress = options->quiet ? NULL : stderr, .json = options->json, .log_steps = options->log_steps,
                            .quiet = options->quiet};
    FBL_TRY(fbl_runlog_open(t->ctx, &log, &t->log));
    FblLoaderOptions loading = {.data = options->train, .transform = options->transform, .sampler = options->sampler, .batch = t->batch,
                                .seed = t->seed, .first_epoch = t->info.epoch, .first_step = t->info.epoch_step,
                                .epochs = t->module->recipe.epochs, .workers = options->workers, .mixup_alpha = options->mixup_alpha};
    FBL_TRY(fbl_train_device_open(t->ctx, options, t->seed, t->batch, t->steps, &t->device));
    bool needed = t->info.epoch < t->module->recipe.epochs && !(t->device && fbl_train_device_holds_images(t->device));
    return needed ? fbl_loader_create(t->ctx, &loading, &t->loader) : FBL_OK;
}

FblStatus fbl_train(FblContext *ctx, const FblTrainOptions *options, FblTrainResult *out_result) {
    memset(out_result, 0, sizeof *out_result);
    out_result->test.top1 = NAN;
    Trainer t = {.ctx = ctx, .options = options, .module = options->programs.module, .store = options->programs.store, .classes = options->train->classes,
                 .info = {.seed = options->programs.module->recipe.seed, .best_metric = NAN, .best_epoch = -1}, .result = out_result};
    snprintf(t.info.recipe_hash, sizeof t.info.recipe_hash, "%s", options->recipe_hash ? options->recipe_hash : "");
    t.seed = fbl_train_stage_seed(t.info.seed, options->stage);
    t.info.stage = options->stage;
    snprintf(t.info.stage_name, sizeof t.info.stage_name, "%s", options->stage_name ? options->stage_name : "");
    snprintf(t.info.version, sizeof t.info.version, "%s", FBL_VERSION);
    FblStatus status = prepare(&t);
    status = status == FBL_OK ? start_weights(&t) : status;
    status = status == FBL_OK ? open_logs(&t) : status;
    t.last_save = clock_seconds();
    status = status == FBL_OK ? run_epochs(&t) : status;
    fbl_train_device_close(t.device);
    fbl_eval_device_close(t.eval_device);
    if (t.loader) {
        fbl_loader_destroy(t.loader);
    }
    if (t.log) {
        fbl_runlog_close(t.log);
    }
    out_result->best_top1 = t.info.best_metric;
    out_result->best_epoch = t.info.best_epoch;
    out_result->steps = t.info.first_step + t.info.step;
    out_result->finished = status == FBL_OK && t.info.epoch >= t.module->recipe.epochs;
    fbl_metrics_deinit(&t.metrics);
    free(t.class_count);
    free(t.feature_norm);
    free(t.scores);
    free(t.states_before);
    return status;
}

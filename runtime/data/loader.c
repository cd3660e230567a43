#include "runtime/data/loader.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/pool.h"
#include "runtime/data/mixup.h"

#define MAX_WORKERS 64
#define MAX_DEPTH 64

// The order of one epoch, shared by the batches of it that are being made.
typedef struct Order {
    int64_t epoch;
    int64_t *images;
    int users;
} Order;

typedef enum SlotState { SLOT_FREE, SLOT_FILLING, SLOT_READY } SlotState;

// An image that could not be used.
typedef struct Bad {
    int64_t image;
    FblImageError error;
} Bad;

typedef struct Slot {
    SlotState state;
    FblBatch batch;
    float *images;
    float *unmixed; // mixup only
    int32_t *labels;
    int32_t *labels2;
    int32_t *partner;
    int64_t *indices;
    FblStatus status;
    FblImageError error;
    int64_t bad_image;
    Bad *bad; // those passed over, when that is no error
    size_t bad_count, bad_capacity;
} Slot;

struct FblLoader {
    FblLoaderOptions options;
    FblNormTable table;
    int32_t height, width;
    int64_t length; // images in an epoch
    int64_t steps;
    int64_t total; // batches to deliver
    Slot *slots;   // batch t lives in slot t % slot_count
    int64_t slot_count;
    pthread_t threads[MAX_WORKERS];
    int started;

    pthread_mutex_t lock; // protects all that follows, and the states of the slots
    pthread_cond_t work;  // a slot became free, or stop
    pthread_cond_t ready; // a slot became ready
    Order *order;         // of the newest epoch begun
    int64_t next;         // batch that the next free worker makes
    int64_t epoch, step;  // of it
    int64_t taken;        // batches handed to the consumer
    bool stop;

    uint8_t *reported; // the consumer's: images that were warned of
    int64_t bad_images;
};

int64_t fbl_loader_steps_for(const FblSampler *sampler, const FblDataset *data, int64_t batch) {
    int64_t length = fbl_sampler_length(sampler, data);
    return (length + batch - 1) / batch;
}

int64_t fbl_loader_bad_images(const FblLoader *loader) {
    return loader->bad_images;
}

int64_t fbl_loader_steps(const FblLoader *loader) {
    return loader->steps;
}

static void release_order(Order *order) {
    if (order != NULL && --order->users == 0) {
        free(order->images);
        free(order);
    }
}

// The order of the current epoch, with one more user; NULL when memory is short. Called with the lock held.
static Order *use_order(FblLoader *loader) {
    if (loader->order == NULL || loader->order->epoch != loader->epoch) {
        Order *order = malloc(sizeof *order);
        int64_t *images = malloc(((size_t)loader->length + 1) * sizeof *images);
        if (order == NULL || images == NULL ||
            fbl_sampler_order(&loader->options.sampler, loader->options.data, loader->options.seed, loader->epoch,
                              images) != FBL_OK) {
            free(order);
            free(images);
            return NULL;
        }
        *order = (Order){.epoch = loader->epoch, .images = images, .users = 1};
        release_order(loader->order);
        loader->order = order;
    }
    loader->order->users++;
    return loader->order;
}

static bool mixes(const FblLoaderOptions *options) {
    return options->mixup_alpha > 0 || options->transform.cutmix_alpha > 0;
}

static void blend(float weight, const float *own, const float *other, size_t count, float *out) {
    for (size_t k = 0; k < count; k++) {
        out[k] = weight * own[k] + (1.0f - weight) * other[k];
    }
}

static void paste(const FblLoader *loader, const FblRectangle *r, const float *own, const float *other, float *out) {
    size_t plane = (size_t)loader->height * (size_t)loader->width;
    memcpy(out, own, 3 * plane * sizeof *out);
    for (size_t c = 0; c < 3; c++) {
        for (int32_t y = r->top; y < r->top + r->height; y++) {
            size_t at = c * plane + (size_t)y * (size_t)loader->width + (size_t)r->left;
            memcpy(out + at, other + at, (size_t)r->width * sizeof *out);
        }
    }
}

// Mixup or cutmix of the whole batch; with both, each batch is given to one of them by a coin.
static void mix(const FblLoader *loader, Slot *slot) {
    const FblLoaderOptions *options = &loader->options;
    FblBatch *batch = &slot->batch;
    FblRectangle rectangle = {0};
    bool cut = options->transform.cutmix_alpha > 0;
    if (cut) {
        batch->lambda = fbl_cutmix_draw(options->seed, batch->epoch, batch->step, options->batch, options->transform.cutmix_alpha,
                                        options->mixup_alpha > 0, batch->size, loader->height, loader->width, slot->partner, &rectangle);
        cut = batch->lambda >= 0;
    }
    if (!cut) {
        batch->lambda = fbl_mixup_draw(options->seed, batch->epoch, batch->step, options->batch, options->mixup_alpha,
                                       batch->size, slot->partner);
    }
    size_t image = (size_t)3 * (size_t)loader->height * (size_t)loader->width;
    for (int64_t i = 0; i < batch->size; i++) {
        const float *own = slot->unmixed + (size_t)i * image;
        const float *other = slot->unmixed + (size_t)slot->partner[i] * image;
        float *out = slot->images + (size_t)i * image;
        if (cut) {
            paste(loader, &rectangle, own, other, out);
        } else {
            blend(batch->lambda, own, other, image, out);
        }
        slot->labels2[i] = slot->labels[slot->partner[i]];
    }
}

static bool note_bad(Slot *slot, int64_t image) {
    if (slot->bad_count == slot->bad_capacity) {
        size_t capacity = 2 * slot->bad_capacity + 4;
        Bad *larger = realloc(slot->bad, capacity * sizeof *larger);
        if (larger == NULL) {
            return false;
        }
        slot->bad = larger;
        slot->bad_capacity = capacity;
    }
    slot->bad[slot->bad_count++] = (Bad){image, slot->error};
    return true;
}

// The next image of the same class, in stored order and around; the image itself when it is the only one.
static int64_t next_of_class(const FblDataset *data, int64_t image) {
    int64_t next = image;
    do {
        next = next + 1 < data->count ? next + 1 : 0;
    } while (data->labels[next] != data->labels[image]);
    return next;
}

#define MAX_REPLACEMENTS 50 // in a row: then the data are beyond repair

// Image `index`, or what takes its place, as row `row` of the batch. *out_used says whether there is one.
static FblStatus fill_row(const FblLoader *loader, Slot *slot, int64_t index, int64_t position, int64_t row, float *out, bool *out_used) {
    const FblLoaderOptions *options = &loader->options;
    const FblDataset *data = options->data;
    for (int tries = 0;; tries++) {
        FblStatus status = fbl_transform_apply(&options->transform, &loader->table, data, index, options->seed, slot->batch.epoch,
                                               position, loader->height, loader->width, out, &slot->error);
        *out_used = status == FBL_OK;
        if (status == FBL_OK) {
            slot->indices[row] = index;
            slot->labels[row] = data->labels[index];
            return FBL_OK;
        }
        slot->bad_image = index;
        if (status == FBL_NOMEM || data->bad_images == FBL_BAD_FATAL || tries == MAX_REPLACEMENTS) {
            return status;
        }
        if (!note_bad(slot, index)) {
            return FBL_NOMEM;
        }
        int64_t next = next_of_class(data, index);
        if (data->bad_images == FBL_BAD_DROP || next == index) {
            return data->bad_images == FBL_BAD_DROP ? FBL_OK : status;
        }
        index = next;
    }
}

// Makes the batch that slot->batch names. Runs without the lock: the slot belongs to this worker.
static void fill(const FblLoader *loader, const Order *order, Slot *slot) {
    const FblLoaderOptions *options = &loader->options;
    FblBatch *batch = &slot->batch;
    size_t image = (size_t)3 * (size_t)loader->height * (size_t)loader->width;
    bool mixing = mixes(options);
    int64_t first = batch->step * options->batch, rows = 0;
    slot->bad_count = 0;
    for (int64_t i = 0; i < batch->size; i++) {
        bool used;
        float *out = (mixing ? slot->unmixed : slot->images) + (size_t)rows * image;
        slot->status = fill_row(loader, slot, order->images[first + i], first + i, rows, out, &used);
        if (slot->status != FBL_OK) {
            return;
        }
        rows += used;
    }
    batch->size = rows;
    if (mixing) {
        mix(loader, slot);
    } else {
        memcpy(slot->labels2, slot->labels, (size_t)batch->size * sizeof *slot->labels2);
        batch->lambda = 1;
    }
}

static void *work(void *arg) {
    FblLoader *loader = arg;
    fbl_thread_unbind();
    pthread_mutex_lock(&loader->lock);
    for (;;) {
        Slot *slot = &loader->slots[loader->next % loader->slot_count];
        if (loader->stop || loader->next == loader->total) {
            break;
        }
        if (slot->state != SLOT_FREE) {
            pthread_cond_wait(&loader->work, &loader->lock);
            continue;
        }
        Order *order = use_order(loader);
        int64_t left = loader->length - loader->step * loader->options.batch;
        slot->state = SLOT_FILLING;
        slot->batch.epoch = loader->epoch;
        slot->batch.step = loader->step;
        slot->batch.steps = loader->steps;
        slot->batch.size = left < loader->options.batch ? left : loader->options.batch;
        loader->next++;
        if (++loader->step == loader->steps) {
            loader->step = 0;
            loader->epoch++;
        }
        pthread_mutex_unlock(&loader->lock);
        if (order != NULL) {
            fill(loader, order, slot);
        } else {
            slot->status = FBL_NOMEM;
        }
        pthread_mutex_lock(&loader->lock);
        release_order(order);
        slot->state = SLOT_READY;
        pthread_cond_broadcast(&loader->ready);
    }
    pthread_mutex_unlock(&loader->lock);
    return NULL;
}

static bool allocate_slot(const FblLoader *loader, Slot *slot) {
    int64_t bytes;
    size_t batch = (size_t)loader->options.batch;
    if (!fbl_mul_i64((int64_t)3 * loader->height * loader->width, (int64_t)sizeof(float), &bytes) ||
        !fbl_mul_i64(bytes, loader->options.batch, &bytes) || bytes > INT64_MAX - 64) {
        return false;
    }
    size_t rounded = ((size_t)bytes + 63) / 64 * 64;
    slot->images = aligned_alloc(64, rounded);
    if (slot->images != NULL) {
        memset(slot->images, 0, rounded); // a batch of which every image was dropped is still read
    }
    slot->unmixed = mixes(&loader->options) ? aligned_alloc(64, rounded) : NULL;
    slot->labels = malloc(batch * sizeof *slot->labels);
    slot->labels2 = malloc(batch * sizeof *slot->labels2);
    slot->partner = malloc(batch * sizeof *slot->partner);
    slot->indices = malloc(batch * sizeof *slot->indices);
    slot->batch = (FblBatch){.height = loader->height,
                             .width = loader->width,
                             .images = slot->images,
                             .labels = slot->labels,
                             .labels2 = slot->labels2,
                             .indices = slot->indices};
    return slot->images != NULL && (!mixes(&loader->options) || slot->unmixed != NULL) &&
           slot->labels != NULL && slot->labels2 != NULL && slot->partner != NULL && slot->indices != NULL;
}

static FblStatus start(FblContext *ctx, FblLoader *loader) {
    loader->slots = calloc((size_t)loader->slot_count, sizeof *loader->slots);
    bool ok = loader->slots != NULL;
    for (int64_t i = 0; ok && i < loader->slot_count; i++) {
        ok = allocate_slot(loader, &loader->slots[i]);
    }
    if (!ok) {
        fbl_error(ctx, "E0819", FBL_NO_LOC, "not enough memory for batches of %lld images",
                  (long long)loader->options.batch);
        return FBL_NOMEM;
    }
    // Signals are the main thread's to handle.
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    for (int i = 0; i < loader->options.workers; i++) {
        if (pthread_create(&loader->threads[i], NULL, work, loader) != 0) {
            break;
        }
        loader->started++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (loader->started == 0) {
        fbl_error(ctx, "E0818", FBL_NO_LOC, "cannot start a thread for loading data");
        return FBL_IO;
    }
    return FBL_OK;
}

static int clamp(int value, int fallback, int most) {
    return value <= 0 ? fallback : value > most ? most : value;
}

FblStatus fbl_loader_create(FblContext *ctx, const FblLoaderOptions *options, FblLoader **out_loader) {
    *out_loader = NULL;
    if (options->batch < 1 || options->batch > INT32_MAX) {
        return fbl_error(ctx, "E0810", FBL_NO_LOC, "a batch needs at least one image, not %lld",
                         (long long)options->batch);
    }
    int32_t height;
    int32_t width;
    FBL_TRY(fbl_transform_check(ctx, &options->transform, options->data, &height, &width));
    FblLoader *loader = calloc(1, sizeof *loader);
    if (loader == NULL) {
        return FBL_NOMEM;
    }
    loader->options = *options;
    loader->options.workers = clamp(options->workers, 1, MAX_WORKERS);
    loader->slot_count = clamp(options->depth, 3, MAX_DEPTH) + 1; // one more is with the consumer
    loader->height = height;
    loader->width = width;
    loader->length = fbl_sampler_length(&options->sampler, options->data);
    loader->steps = fbl_loader_steps_for(&options->sampler, options->data, options->batch);
    fbl_norm_table_make(&options->transform, &loader->table);
    if (loader->steps > 0) {
        loader->epoch = options->first_epoch + options->first_step / loader->steps;
        loader->step = options->first_step % loader->steps;
        int64_t epochs = options->epochs - loader->epoch;
        loader->total = epochs > 0 ? epochs * loader->steps - loader->step : 0;
    }
    pthread_mutex_init(&loader->lock, NULL);
    pthread_cond_init(&loader->work, NULL);
    pthread_cond_init(&loader->ready, NULL);
    FblStatus status = start(ctx, loader);
    if (status != FBL_OK) {
        fbl_loader_destroy(loader);
        return status;
    }
    *out_loader = loader;
    return FBL_OK;
}

void fbl_loader_destroy(FblLoader *loader) {
    if (loader == NULL) {
        return;
    }
    pthread_mutex_lock(&loader->lock);
    loader->stop = true;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->lock);
    for (int i = 0; i < loader->started; i++) {
        pthread_join(loader->threads[i], NULL);
    }
    release_order(loader->order);
    for (int64_t i = 0; loader->slots != NULL && i < loader->slot_count; i++) {
        Slot *slot = &loader->slots[i];
        free(slot->images);
        free(slot->unmixed);
        free(slot->labels);
        free(slot->labels2);
        free(slot->partner);
        free(slot->indices);
        free(slot->bad);
    }
    free(loader->slots);
    free(loader->reported);
    pthread_cond_destroy(&loader->work);
    pthread_cond_destroy(&loader->ready);
    pthread_mutex_destroy(&loader->lock);
    free(loader);
}

// Warns once of each image that was passed over.
static FblStatus report_bad(FblContext *ctx, FblLoader *loader, const Slot *slot) {
    const FblDataset *data = loader->options.data;
    if (slot->bad_count > 0 && loader->reported == NULL) {
        loader->reported = calloc((size_t)data->count + 1, 1);
        if (loader->reported == NULL) {
            return FBL_NOMEM;
        }
    }
    for (size_t i = 0; i < slot->bad_count; i++) {
        const Bad *bad = &slot->bad[i];
        if (!loader->reported[bad->image]) {
            loader->reported[bad->image] = 1;
            loader->bad_images++;
            fbl_diag(ctx, FBL_WARNING, "E0815", FBL_NO_LOC, "%s%s the image `%s`: %s (%lld so far)",
                     fbl_image_origin(ctx, &data->origin, bad->image), data->bad_images == FBL_BAD_DROP ? "left out" : "replaced", data->paths[bad->image], bad->error.text,
                     (long long)loader->bad_images);
        }
    }
    return FBL_OK;
}

static FblStatus report(FblContext *ctx, const FblLoader *loader, const Slot *slot) {
    const FblDataset *data = loader->options.data;
    const char *reason = slot->error.text[0] != 0 ? slot->error.text : "not enough memory";
    if (slot->status == FBL_NOMEM) {
        fbl_error(ctx, "E0819", FBL_NO_LOC, "not enough memory for preparing a batch");
    } else if (data->paths != NULL) {
        fbl_error(ctx, "E0805", FBL_NO_LOC, "%scannot use the image `%s`: %s", fbl_image_origin(ctx, &data->origin, slot->bad_image), data->paths[slot->bad_image], reason);
    } else {
        fbl_error(ctx, "E0805", FBL_NO_LOC, "cannot use image %lld of the data set: %s", (long long)slot->bad_image,
                  reason);
    }
    return slot->status;
}

FblStatus fbl_loader_next(FblContext *ctx, FblLoader *loader, const FblBatch **out_batch) {
    *out_batch = NULL;
    pthread_mutex_lock(&loader->lock);
    if (loader->taken > 0) {
        Slot *previous = &loader->slots[(loader->taken - 1) % loader->slot_count];
        if (previous->state == SLOT_READY && previous->status != FBL_OK) { // stays failed
            pthread_mutex_unlock(&loader->lock);
            return report(ctx, loader, previous);
        }
        previous->state = SLOT_FREE;
        pthread_cond_broadcast(&loader->work);
    }
    if (loader->taken == loader->total) {
        pthread_mutex_unlock(&loader->lock);
        return FBL_OK;
    }
    Slot *slot = &loader->slots[loader->taken % loader->slot_count];
    while (slot->state != SLOT_READY) {
        pthread_cond_wait(&loader->ready, &loader->lock);
    }
    loader->taken++;
    pthread_mutex_unlock(&loader->lock);
    if (slot->status != FBL_OK) {
        return report(ctx, loader, slot);
    }
    *out_batch = &slot->batch;
    return report_bad(ctx, loader, slot);
}

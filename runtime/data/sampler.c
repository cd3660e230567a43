#include "runtime/data/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/random.h"

#define IMAGES_PER_TURN 4 // of the class-aware sampler

static const char *const names[] = {
    [FBL_SAMPLER_SHUFFLE] = "shuffle",         [FBL_SAMPLER_SEQUENTIAL] = "sequential",
    [FBL_SAMPLER_BALANCED] = "balanced",       [FBL_SAMPLER_EFFECTIVE] = "effective",
    [FBL_SAMPLER_CLASS_AWARE] = "class_aware", [FBL_SAMPLER_SQRT] = "sqrt",
    [FBL_SAMPLER_PROGRESSIVE] = "progressive", [FBL_SAMPLER_REVERSE] = "reverse",
};

bool fbl_sampler_kind(const char *name, FblSamplerKind *out_kind) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out_kind = (FblSamplerKind)i;
            return true;
        }
    }
    return false;
}

int64_t fbl_sampler_length(const FblSampler *sampler, const FblDataset *data) {
    if (sampler->kind != FBL_SAMPLER_CLASS_AWARE) {
        return data->count;
    }
    int64_t most = 0;
    int64_t present = 0;
    for (int32_t c = 0; c < data->classes; c++) {
        most = data->class_counts[c] > most ? data->class_counts[c] : most;
        present += data->class_counts[c] > 0;
    }
    return most * present;
}

void fbl_sampler_class_weights(const FblSampler *sampler, const FblDataset *data, int64_t epoch, double *out) {
    double beta = sampler->beta > 0 ? sampler->beta : 0.9999;
    double progress = sampler->epochs > 0 ? (double)epoch / (double)sampler->epochs : 0;
    double present = 0;
    for (int32_t c = 0; c < data->classes; c++) {
        present += data->class_counts[c] > 0;
    }
    double sum = 0;
    for (int32_t c = 0; c < data->classes; c++) {
        double n = (double)data->class_counts[c];
        out[c] = 0;
        if (n > 0) {
            switch (sampler->kind) {
            case FBL_SAMPLER_BALANCED:
                out[c] = 1;
                break;
            case FBL_SAMPLER_EFFECTIVE: // n images of weight (1 - beta) / (1 - beta^n), without cancellation
                out[c] = n * (1 - beta) / -expm1(n * log(beta));
                break;
            case FBL_SAMPLER_SQRT:
                out[c] = sqrt(n);
                break;
            case FBL_SAMPLER_PROGRESSIVE:
                out[c] = (1 - progress) * n / (double)data->count + progress / present;
                break;
            case FBL_SAMPLER_REVERSE:
                out[c] = 1 / n;
                break;
            case FBL_SAMPLER_SHUFFLE:
            case FBL_SAMPLER_SEQUENTIAL:
            case FBL_SAMPLER_CLASS_AWARE:
                out[c] = n;
                break;
            }
        }
        sum += out[c];
    }
    for (int32_t c = 0; c < data->classes && sum > 0; c++) {
        out[c] /= sum;
    }
}

static void shuffle(FblRandom *random, int64_t *items, int64_t count) {
    for (int64_t i = count - 1; i > 0; i--) {
        int64_t j = (int64_t)fbl_random_below(random, (uint32_t)i + 1);
        int64_t item = items[i];
        items[i] = items[j];
        items[j] = item;
    }
}

// Images grouped by class, in stored order: those of class c are order[first[c]] .. order[first[c + 1] - 1].
typedef struct Groups {
    int64_t *first;
    int64_t *order;
} Groups;

static void free_groups(Groups *groups) {
    free(groups->first);
    free(groups->order);
}

static FblStatus group(const FblDataset *data, Groups *out) {
    out->first = calloc((size_t)data->classes + 2, sizeof *out->first);
    out->order = malloc(((size_t)data->count + 1) * sizeof *out->order);
    if (out->first == NULL || out->order == NULL) {
        free_groups(out);
        return FBL_NOMEM;
    }
    // Filled through first[c + 1] as the next free place of class c, which ends as the start of class c + 1.
    for (int32_t c = 0; c < data->classes; c++) {
        out->first[c + 2] = out->first[c + 1] + data->class_counts[c];
    }
    for (int64_t i = 0; i < data->count; i++) {
        out->order[out->first[data->labels[i] + 1]++] = i;
    }
    return FBL_OK;
}

static FblStatus draw(const FblSampler *sampler, const FblDataset *data, FblRandom *random, int64_t epoch,
                      int64_t *order) {
    Groups groups;
    FBL_TRY(group(data, &groups));
    double *until = malloc(((size_t)data->classes + 1) * sizeof *until);
    if (until == NULL) {
        free_groups(&groups);
        return FBL_NOMEM;
    }
    fbl_sampler_class_weights(sampler, data, epoch, until);
    int32_t last = 0;
    for (int32_t c = 0; c < data->classes; c++) {
        last = until[c] > 0 ? c : last;
        until[c] += c > 0 ? until[c - 1] : 0;
    }
    for (int64_t i = 0; i < data->count; i++) {
        double u = fbl_random_unit(random) * until[last];
        int32_t low = 0;
        int32_t high = last;
        while (low < high) { // the first class whose cumulated weight exceeds u
            int32_t middle = low + (high - low) / 2;
            if (until[middle] > u) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        uint32_t n = (uint32_t)data->class_counts[low];
        order[i] = groups.order[groups.first[low] + (int64_t)fbl_random_below(random, n)];
    }
    free(until);
    free_groups(&groups);
    return FBL_OK;
}

// Classes come in shuffled cycles, each turn giving four images of a shuffled cycle of its own.
static FblStatus take_turns(const FblSampler *sampler, const FblDataset *data, FblRandom *random, int64_t *order) {
    Groups groups;
    FBL_TRY(group(data, &groups));
    int64_t *cycle = malloc(((size_t)data->classes + 1) * sizeof *cycle);
    int64_t *next = calloc((size_t)data->classes + 1, sizeof *next);
    if (cycle == NULL || next == NULL) {
        free(cycle);
        free(next);
        free_groups(&groups);
        return FBL_NOMEM;
    }
    int64_t present = 0;
    for (int32_t c = 0; c < data->classes; c++) {
        if (data->class_counts[c] > 0) {
            cycle[present++] = c;
        }
    }
    int64_t length = fbl_sampler_length(sampler, data);
    int64_t turn = 0;
    for (int64_t done = 0; done < length; turn++) {
        if (turn % present == 0) {
            shuffle(random, cycle, present);
        }
        int64_t c = cycle[turn % present];
        int64_t *images = groups.order + groups.first[c];
        for (int k = 0; k < IMAGES_PER_TURN && done < length; k++) {
            if (next[c] % data->class_counts[c] == 0) {
                shuffle(random, images, data->class_counts[c]);
            }
            order[done++] = images[next[c]++ % data->class_counts[c]];
        }
    }
    free(cycle);
    free(next);
    free_groups(&groups);
    return FBL_OK;
}

FblStatus fbl_sampler_order(const FblSampler *sampler, const FblDataset *data, uint64_t seed, int64_t epoch,
                            int64_t *order) {
    bool permutes = sampler->kind == FBL_SAMPLER_SHUFFLE || sampler->kind == FBL_SAMPLER_SEQUENTIAL;
    FblRandom random = {
        .seed = seed, .step = (uint64_t)epoch, .stream = permutes ? FBL_STREAM_SHUFFLE : FBL_STREAM_SAMPLE};
    if (sampler->kind == FBL_SAMPLER_CLASS_AWARE) {
        return take_turns(sampler, data, &random, order);
    }
    if (!permutes) {
        return draw(sampler, data, &random, epoch, order);
    }
    for (int64_t i = 0; i < data->count; i++) {
        order[i] = i;
    }
    if (sampler->kind == FBL_SAMPLER_SHUFFLE) {
        shuffle(&random, order, data->count);
    }
    return FBL_OK;
}

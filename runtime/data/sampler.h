// Which image comes when: the order of an epoch.
//
// An order is a function of (sampler, seed, epoch). Ownership: plain values. Threads: no state.
#ifndef FBL_RUNTIME_DATA_SAMPLER_H
#define FBL_RUNTIME_DATA_SAMPLER_H

#include "runtime/data/dataset.h"

typedef enum FblSamplerKind {
    FBL_SAMPLER_SHUFFLE,     // every image once, in random order
    FBL_SAMPLER_SEQUENTIAL,  // every image once, in stored order
    FBL_SAMPLER_BALANCED,    // with replacement, every class equally likely
    FBL_SAMPLER_EFFECTIVE,   // with replacement, an image weighs (1 - beta) / (1 - beta^n_c)
    FBL_SAMPLER_CLASS_AWARE, // classes in shuffled cycles, four images of each; n_max * classes images an epoch
    FBL_SAMPLER_SQRT,        // with replacement, a class as likely as sqrt(n_c)
    FBL_SAMPLER_PROGRESSIVE, // with replacement, from instance-balanced to class-balanced over the epochs
    FBL_SAMPLER_REVERSE,     // with replacement, a class as likely as 1 / n_c
} FblSamplerKind;

typedef struct FblSampler {
    FblSamplerKind kind;
    double beta;    // effective number; 0 means 0.9999
    int64_t epochs; // progressive: the length of the training
} FblSampler;

// The sampler called `name` ("shuffle", "balanced", "effective", "class_aware", "sqrt", "progressive", "reverse").
bool fbl_sampler_kind(const char *name, FblSamplerKind *out_kind);

// Images in an epoch.
int64_t fbl_sampler_length(const FblSampler *sampler, const FblDataset *data);

// Fills order[fbl_sampler_length] with image indices.
FblStatus fbl_sampler_order(const FblSampler *sampler, const FblDataset *data, uint64_t seed, int64_t epoch,
                            int64_t *order);

// Probability that a draw of `epoch` is of each class (samplers with replacement); out[classes].
void fbl_sampler_class_weights(const FblSampler *sampler, const FblDataset *data, int64_t epoch, double *out);

#endif

// Image data sets: labelled images in memory (small sets) or on disk (text lists of large images).
//
// Ownership: a data set owns all its arrays; fbl_dataset_deinit frees them. Threads: immutable once loaded, then shared
// freely; loading uses the context and so one thread.
#ifndef FBL_RUNTIME_DATA_DATASET_H
#define FBL_RUNTIME_DATA_DATASET_H

#include <stdio.h>

#include "base/context.h"
#include "runtime/data/pack.h"

typedef enum FblSplit { FBL_SPLIT_TRAIN, FBL_SPLIT_TEST } FblSplit;

// What happens when an image cannot be decoded.
typedef enum FblBadImages {
    FBL_BAD_FATAL,   // the run ends with its name
    FBL_BAD_REPLACE, // a warning; the next usable image of its class takes its place, so batches keep their size
    FBL_BAD_DROP,    // a warning; it is left out
} FblBadImages;

typedef struct FblDataset {
    int64_t count;
    int32_t height, width; // of every image; 0 when images are decoded on demand
    uint8_t *pixels;       // [count][3][height][width] planar RGB, or NULL when `paths` is used
    char **paths;          // [count] image files, or NULL when `pixels` is used
    FblImageOrigin origin; // of the paths
    int32_t *labels;       // [count], each in 0..classes-1
    int32_t classes;
    int64_t *class_counts; // [classes]
    char **class_names;    // [classes], or NULL when unknown
    char *description;     // one line for logs: format, place, images, classes
    FblBadImages bad_images; // of those that are decoded on demand
    FblPack pack;            // with `paths`: their pictures, packed; without bytes when there is none
} FblDataset;

void fbl_dataset_deinit(FblDataset *data);

// How a balanced set is made long-tailed.
typedef enum FblImbalanceKind { FBL_IMBALANCE_NONE, FBL_IMBALANCE_EXPONENTIAL, FBL_IMBALANCE_STEP } FblImbalanceKind;

typedef struct FblImbalance {
    FblImbalanceKind kind;
    double factor; // smallest class over largest: 0.01 is "imbalance 100"
    uint32_t seed; // of the subset (numpy's legacy generator), 0 in the published experiments
} FblImbalance;

typedef enum FblDatasetKind {
    FBL_DATASET_CIFAR10,
    FBL_DATASET_CIFAR100,
    FBL_DATASET_FOLDER, // DIR/train/CLASS/IMAGE and DIR/test/CLASS/IMAGE
    FBL_DATASET_LIST,   // text files of "relative/path.jpg label" lines
} FblDatasetKind;

// What a recipe says about its data. Zeroed fields are defaults. Strings stay the caller's.
typedef struct FblDatasetSpec {
    FblDatasetKind kind;
    const char *directory;  // CIFAR and folder: where to look (for CIFAR also an archive file itself)
    int32_t resize;         // folder: bring every image to resize x resize; 0 = they must all have one size
    const char *train_list; // list: the two files
    const char *test_list;
    const char *root;       // list: the paths are relative to this folder
    int32_t classes;        // list: expected number of classes; 0 = largest label + 1. CIFAR and folder: 0, or checked
    bool renumber;          // list: number classes by descending training count (ties as numpy.argsort has them)
    FblImbalance imbalance; // applied to the training split only
    bool skip_bad;          // folder and list: images that cannot be decoded are no error (FBL_BAD_REPLACE, test split: _DROP)
    const char *pack;       // folder and list: a folder for packed pictures (files train.fblpack, test.fblpack); NULL: none
    int32_t pack_size;      // their shorter side; 0: 256
    bool check;             // before a training: every file of a list is there, every class has a training image
    FILE *progress;         // of the check, when it takes long; NULL: none
} FblDatasetSpec;

// Loads a split as `spec` says, imbalance applied. The layout under `directory` is found by itself: binary or pickle
// batches, in a folder of the official name or directly, inside .tar.gz, or class folders of images; when nothing fits
// the diagnostic says where was looked and what is expected. On failure *out is zeroed.
FblStatus fbl_dataset_load(FblContext *ctx, const FblDatasetSpec *spec, FblSplit split, FblDataset *out);

// One batch file of CIFAR in memory, in the binary layout (fine = 2 label bytes, CIFAR-100) or as a pickle.
// `name` is for messages.
FblStatus fbl_cifar_parse_binary(FblContext *ctx, const char *name, const uint8_t *bytes, size_t size, int32_t classes,
                                 FblDataset *out);
FblStatus fbl_cifar_parse_pickle(FblContext *ctx, const char *name, const uint8_t *bytes, size_t size, int32_t classes,
                                 FblDataset *out);

// Images per class of an imbalanced set: n_c = int(n_max * f^(c / (C - 1))), or the step form (the first half of the
// classes keep n_max, the others int(n_max * f)), evaluated as Python evaluates it.
void fbl_imbalance_counts(const FblImbalance *imbalance, double n_max, int32_t classes, int64_t *out_counts);

// The images that the published experiments keep: for each class in order, numpy's legacy generator (one for all
// classes, seeded once) shuffles the indices of the class and the first n_c are taken. n_max is count / classes, as the
// published code has it.
// *out_indices is malloc'ed (caller frees), class after class.
FblStatus fbl_imbalance_select(FblContext *ctx, const FblImbalance *imbalance, const int32_t *labels, int64_t count,
                               int32_t classes, int64_t **out_indices, int64_t *out_count);

// Replaces `data` by its subset `indices` in that order.
FblStatus fbl_dataset_subset(FblContext *ctx, FblDataset *data, const int64_t *indices, int64_t count);

#endif

// images_bench LIST ROOT [WORKERS] [SECONDS] [IMAGES]: images a second of the loader over a text list with ImageNet's training transform
// (random resized crop 224, flip, normalisation), batch 64; and the resident memory after 1,000 images and at the end. One JSON line. bench/compare_images.py
// runs it in turn with a PyTorch DataLoader on the same files.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/diag.h"
#include "runtime/data/loader.h"

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Resident memory in MiB.
static double resident(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0;
    if (file != NULL) {
        if (fscanf(file, "%*d %ld", &pages) != 1) {
            pages = 0;
        }
        fclose(file);
    }
    return (double)pages * 4096 / (1 << 20);
}

static FblStatus measure(FblContext *ctx, const FblDataset *data, int workers, double seconds, long limit) {
    FblLoaderOptions options = {.data = data,
                                .transform = {.ops = {{.kind = FBL_AUGMENT_RANDOM_RESIZED_CROP, .size = 224}, {.kind = FBL_AUGMENT_RANDOM_FLIP}},
                                              .count = 2,
                                              .mean = {0.485f, 0.456f, 0.406f},
                                              .std = {0.229f, 0.224f, 0.225f}},
                                .batch = 64,
                                .epochs = INT32_MAX,
                                .workers = workers};
    FblLoader *loader;
    FBL_TRY(fbl_loader_create(ctx, &options, &loader));
    FblStatus status = FBL_OK;
    long images = 0, warm = 0;
    double start = 0, sum = 0, early = 0, late = 0;
    while (status == FBL_OK && (images == 0 || (limit > 0 ? images < limit : now() - start < seconds))) {
        const FblBatch *batch;
        status = fbl_loader_next(ctx, loader, &batch);
        if (status == FBL_OK) {
            images += batch->size;
            sum += (double)batch->images[0];
            if (start == 0) { // after the first batch
                start = now();
                warm = images;
            }
            late = images < 1000 || images % 64 == 0 ? resident() : late;
            early = images < 1000 ? late : early;
        }
    }
    double elapsed = now() - start;
    fbl_loader_destroy(loader);
    if (status == FBL_OK) {
        printf("{\"images\":%ld,\"images_per_second\":%.1f,\"rss_early_mb\":%.1f,\"rss_mb\":%.1f,\"checksum\":%.3f}\n", images,
               (double)(images - warm) / elapsed, early, late, sum);
    }
    return status;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: images_bench LIST ROOT [WORKERS] [SECONDS] [IMAGES]\n");
        return 2;
    }
    FblContext *ctx = fbl_context_create();
    FblDatasetSpec spec = {.kind = FBL_DATASET_LIST, .train_list = argv[1], .test_list = argv[1], .root = argv[2]};
    FblDataset data;
    FblStatus status = fbl_dataset_load(ctx, &spec, FBL_SPLIT_TRAIN, &data);
    if (status == FBL_OK) {
        status = measure(ctx, &data, argc > 3 ? atoi(argv[3]) : 2, argc > 4 ? strtod(argv[4], NULL) : 10, argc > 5 ? atol(argv[5]) : 0);
        fbl_dataset_deinit(&data);
    }
    fbl_diag_flush(ctx, stderr, false);
    fbl_context_destroy(ctx);
    return status == FBL_OK ? 0 : 1;
}

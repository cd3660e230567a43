#include "tests/data/support.h"

#include "runtime/data/loader.h"
#include "runtime/data/mixup.h"

enum { COUNT = 23, SIDE = 4, IMAGE = 3 * SIDE * SIDE };

static uint8_t pixels[COUNT * IMAGE];
static int32_t labels[COUNT];
static int64_t counts[3];

static FblDataset make_set(void) {
    memset(counts, 0, sizeof counts);
    for (int i = 0; i < COUNT; i++) {
        labels[i] = i % 3;
        counts[i % 3]++;
        for (int k = 0; k < IMAGE; k++) {
            pixels[i * IMAGE + k] = (uint8_t)(i * 7 + k);
        }
    }
    return (FblDataset){.count = COUNT,
                        .height = SIDE,
                        .width = SIDE,
                        .pixels = pixels,
                        .labels = labels,
                        .classes = 3,
                        .class_counts = counts};
}

static FblLoaderOptions options_for(const FblDataset *data) {
    return (FblLoaderOptions){
        .data = data,
        .transform = {.ops = {{FBL_AUGMENT_RANDOM_CROP, SIDE, 1}, {.kind = FBL_AUGMENT_RANDOM_FLIP}}, .count = 2},
        .batch = 5,
        .seed = 11,
        .epochs = 4,
    };
}

// Everything that a loader delivers, one batch after the other, as bytes.
typedef struct Record {
    char *bytes;
    size_t size;
    int64_t batches;
} Record;

static Record record(FblContext *ctx, const FblLoaderOptions *options) {
    FblLoader *loader;
    assert_int_equal(fbl_loader_create(ctx, options, &loader), FBL_OK);
    Record out = {0};
    FILE *stream = open_memstream(&out.bytes, &out.size);
    for (;;) {
        const FblBatch *batch;
        assert_int_equal(fbl_loader_next(ctx, loader, &batch), FBL_OK);
        if (batch == NULL) {
            break;
        }
        size_t n = (size_t)batch->size;
        assert_int_equal((uintptr_t)batch->images % 64, 0);
        fwrite(&batch->epoch, sizeof batch->epoch, 1, stream);
        fwrite(&batch->step, sizeof batch->step, 1, stream);
        fwrite(batch->images, sizeof(float), n * IMAGE, stream);
        fwrite(batch->labels, sizeof *batch->labels, n, stream);
        fwrite(batch->labels2, sizeof *batch->labels2, n, stream);
        fwrite(&batch->lambda, sizeof batch->lambda, 1, stream);
        fwrite(batch->indices, sizeof *batch->indices, n, stream);
        out.batches++;
    }
    const FblBatch *batch;
    assert_int_equal(fbl_loader_next(ctx, loader, &batch), FBL_OK);
    assert_null(batch);
    fclose(stream);
    fbl_loader_destroy(loader);
    return out;
}

static void workers_make_no_difference(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblDataset data = make_set();
    for (int mixing = 0; mixing < 4; mixing++) { // none, mixup, cutmix, both by turns
        FblLoaderOptions options = options_for(&data);
        options.mixup_alpha = mixing & 1;
        options.transform.cutmix_alpha = mixing >> 1;
        Record one = record(ctx, &options);
        assert_int_equal(one.batches, 4 * 5);
        for (int workers = 2; workers <= 7; workers++) {
            options.workers = workers;
            options.depth = workers == 4 ? 1 : workers == 5 ? 30 : 0;
            Record many = record(ctx, &options);
            assert_int_equal(many.size, one.size);
            assert_memory_equal(many.bytes, one.bytes, one.size);
            free(many.bytes);
        }
        free(one.bytes);
    }
    fbl_context_destroy(ctx);
}

static void resuming_continues_exactly(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblDataset data = make_set();
    FblLoaderOptions options = options_for(&data);
    options.mixup_alpha = 0.4;
    Record whole = record(ctx, &options);
    for (int64_t start = 0; start <= 20; start++) {
        options.first_epoch = start / 5;
        options.first_step = start % 5;
        Record rest = record(ctx, &options);
        assert_int_equal(rest.batches, 20 - start);
        assert_memory_equal(rest.bytes, whole.bytes + whole.size - rest.size, rest.size);
        free(rest.bytes);
    }
    free(whole.bytes);
    fbl_context_destroy(ctx);
}

static void last_batch_is_smaller(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblDataset data = make_set();
    FblLoaderOptions options = {.data = &data, .sampler = {.kind = FBL_SAMPLER_SEQUENTIAL}, .batch = 5, .epochs = 1};
    FblLoader *loader;
    assert_int_equal(fbl_loader_create(ctx, &options, &loader), FBL_OK);
    assert_int_equal(fbl_loader_steps(loader), 5);
    for (int64_t step = 0; step < 5; step++) {
        const FblBatch *batch;
        assert_int_equal(fbl_loader_next(ctx, loader, &batch), FBL_OK);
        assert_int_equal(batch->size, step < 4 ? 5 : 3);
        assert_int_equal(batch->steps, 5);
        assert_true(batch->lambda == 1);
        for (int64_t i = 0; i < batch->size; i++) {
            int64_t index = step * 5 + i;
            assert_int_equal(batch->indices[i], index);
            assert_int_equal(batch->labels[i], index % 3);
            for (int k = 0; k < IMAGE; k++) {
                assert_true(batch->images[i * IMAGE + k] == (float)pixels[index * IMAGE + k] / 255.0f);
            }
        }
    }
    fbl_loader_destroy(loader); // and one that is left in the middle
    options.epochs = 1000;
    assert_int_equal(fbl_loader_create(ctx, &options, &loader), FBL_OK);
    const FblBatch *batch;
    assert_int_equal(fbl_loader_next(ctx, loader, &batch), FBL_OK);
    fbl_loader_destroy(loader);
    fbl_context_destroy(ctx);
}

static void mixed_images_are_weighted_sums(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblDataset data = make_set();
    FblLoaderOptions options = {.data = &data, .batch = 5, .epochs = 2, .seed = 3, .mixup_alpha = 1};
    FblLoader *loader;
    assert_int_equal(fbl_loader_create(ctx, &options, &loader), FBL_OK);
    for (int b = 0; b < 10; b++) {
        const FblBatch *batch;
        assert_int_equal(fbl_loader_next(ctx, loader, &batch), FBL_OK);
        int32_t partner[5];
        float lambda = fbl_mixup_draw(3, batch->epoch, batch->step, 5, 1, batch->size, partner);
        assert_true(lambda == batch->lambda);
        for (int64_t i = 0; i < batch->size; i++) {
            int64_t other = batch->indices[partner[i]];
            assert_int_equal(batch->labels2[i], labels[other]);
            for (int k = 0; k < IMAGE; k++) {
                float own_value = (float)pixels[batch->indices[i] * IMAGE + k] / 255.0f;
                float other_value = (float)pixels[other * IMAGE + k] / 255.0f;
                float expected = lambda * own_value + (1.0f - lambda) * other_value;
                assert_true(batch->images[i * IMAGE + k] == expected);
            }
        }
    }
    fbl_loader_destroy(loader);
    fbl_context_destroy(ctx);
}

static void unreadable_images_are_named(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    char *paths[2] = {"tests/data/images/rgb.jpg", "tests/data/images/none.jpg"};
    int32_t zeros[2] = {0, 0};
    int64_t two[1] = {2};
    FblDataset data = {.count = 2, .paths = paths, .labels = zeros, .classes = 1, .class_counts = two};
    FblLoaderOptions options = {.data = &data, .sampler = {.kind = FBL_SAMPLER_SEQUENTIAL}, .batch = 1, .epochs = 1};
    FblLoader *loader;
    assert_int_equal(fbl_loader_create(ctx, &options, &loader), FBL_USER);
    expect_diagnosed(ctx, "error[E0810]");
    options.transform = (FblTransform){.ops = {{FBL_AUGMENT_RANDOM_RESIZED_CROP, 8, 0}}, .count = 1};
    assert_int_equal(fbl_loader_create(ctx, &options, &loader), FBL_OK);
    const FblBatch *batch;
    assert_int_equal(fbl_loader_next(ctx, loader, &batch), FBL_OK);
    assert_int_equal(batch->height, 8);
    for (int i = 0; i < 2; i++) { // and it stays failed
        assert_int_equal(fbl_loader_next(ctx, loader, &batch), FBL_IO);
        assert_null(batch);
        expect_diagnosed(ctx,
                         "error[E0805]: cannot use the image `tests/data/images/none.jpg`: No such file or directory");
    }
    fbl_loader_destroy(loader);
    options.batch = 0;
    assert_int_equal(fbl_loader_create(ctx, &options, &loader), FBL_USER);
    expect_diagnosed(ctx, "at least one image");
    fbl_context_destroy(ctx);
}

// Each image of a cutmix batch is its own but for one rectangle, the same in all of the batch, which is its partner's; `lambda`
// is the share of the image outside of it.
static void cutmix_pastes_one_rectangle(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblDataset data = make_set();
    for (int both = 0; both < 2; both++) {
        FblLoaderOptions options = {.data = &data, .batch = 5, .epochs = 40, .seed = 3, .mixup_alpha = both, .transform = {.cutmix_alpha = 1}};
        FblLoader *loader;
        assert_int_equal(fbl_loader_create(ctx, &options, &loader), FBL_OK);
        int cut = 0, mixed = 0;
        double share = 0;
        for (;;) {
            const FblBatch *batch;
            assert_int_equal(fbl_loader_next(ctx, loader, &batch), FBL_OK);
            if (batch == NULL) {
                break;
            }
            int32_t partner[5];
            FblRectangle r;
            float lambda = fbl_cutmix_draw(3, batch->epoch, batch->step, 5, 1, both, batch->size, SIDE, SIDE, partner, &r);
            if (lambda < 0) {
                mixed++;
                continue;
            }
            cut++;
            share += (double)lambda;
            assert_true(batch->lambda == lambda && lambda == (float)(1 - (double)(r.width * r.height) / (SIDE * SIDE)));
            for (int64_t i = 0; i < batch->size; i++) {
                int64_t own = batch->indices[i], other = batch->indices[partner[i]];
                assert_int_equal(batch->labels[i], labels[own]);
                assert_int_equal(batch->labels2[i], labels[other]);
                for (int k = 0; k < IMAGE; k++) {
                    int y = k / SIDE % SIDE, x = k % SIDE;
                    bool inside = y >= r.top && y < r.top + r.height && x >= r.left && x < r.left + r.width;
                    assert_true(batch->images[i * IMAGE + k] == (float)pixels[(inside ? other : own) * IMAGE + k] / 255.0f);
                }
            }
        }
        fbl_loader_destroy(loader);
        // 200 batches: all, or half of them (six deviations of the coin are 42). The share left to the own image is 1/2 in the
        // mean before edges cut the rectangle, and more after.
        assert_int_equal(cut + mixed, 200);
        assert_true(both ? cut > 58 && cut < 142 : mixed == 0);
        assert_true(share / cut > 0.5 && share / cut < 0.95);
    }
    fbl_context_destroy(ctx);
}

// Damaged files are replaced by the next of their class, or left out; the same for any number of workers; each is named once.
static void damaged_images_are_passed_over(void **state) {
    (void)state;
    char *paths[6] = {"tests/data/images/rgb.jpg", "tests/data/images/none.jpg", "tests/data/images/grey.jpg",
                      "tests/data/support.h",      "tests/data/images/rgb.png",  "tests/data/images/cmyk.jpg"};
    int32_t classes[6] = {0, 0, 1, 1, 0, 1};
    int64_t class_counts[2] = {3, 3};
    FblDataset data = {.count = 6, .paths = paths, .labels = classes, .classes = 2, .class_counts = class_counts};
    FblLoaderOptions options = {.data = &data, .batch = 4, .epochs = 3, .transform = {.ops = {{FBL_AUGMENT_RANDOM_RESIZED_CROP, SIDE, 0}}, .count = 1}};
    FblContext *ctx = fbl_context_create();
    for (int drop = 0; drop < 2; drop++) {
        data.bad_images = drop ? FBL_BAD_DROP : FBL_BAD_REPLACE;
        Record one = record(ctx, &options);
        const char *text = diagnosed(ctx);
        assert_non_null(strstr(text, drop ? "left out the image `tests/data/images/none.jpg`: No such file or directory" : "replaced the image `tests/data/images/none.jpg`"));
        assert_non_null(strstr(text, "support.h`: it is neither a JPEG nor a PNG"));
        assert_non_null(strstr(text, "(2 so far)"));
        assert_null(strstr(text, "(3 so far)"));
        options.workers = 3;
        Record many = record(ctx, &options);
        (void)diagnosed(ctx);
        options.workers = 0;
        assert_int_equal(many.size, one.size);
        assert_memory_equal(many.bytes, one.bytes, one.size);
        FblLoader *loader;
        assert_int_equal(fbl_loader_create(ctx, &options, &loader), FBL_OK);
        int64_t images = 0;
        const FblBatch *batch;
        do {
            assert_int_equal(fbl_loader_next(ctx, loader, &batch), FBL_OK);
            for (int64_t i = 0; batch != NULL && i < batch->size; i++) {
                assert_true(batch->indices[i] != 1 && batch->indices[i] != 3);
                assert_int_equal(batch->labels[i], classes[batch->indices[i]]);
            }
            images += batch != NULL ? batch->size : 0;
        } while (batch != NULL);
        assert_int_equal(images, drop ? 12 : 18);
        assert_int_equal(fbl_loader_bad_images(loader), 2);
        (void)diagnosed(ctx);
        fbl_loader_destroy(loader);
        free(one.bytes);
        free(many.bytes);
    }
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cutmix_pastes_one_rectangle),
        cmocka_unit_test(damaged_images_are_passed_over),
        cmocka_unit_test(workers_make_no_difference),  cmocka_unit_test(resuming_continues_exactly),
        cmocka_unit_test(last_batch_is_smaller),       cmocka_unit_test(mixed_images_are_weighted_sums),
        cmocka_unit_test(unreadable_images_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

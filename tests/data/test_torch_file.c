// Weights of PyTorch's files against the same weights in safetensors (scripts/make_torch_files.py).
#include "tests/data/support.h"

#include <unistd.h>

#include "runtime/torch_file.h"

#define FILES "tests/data/torch/"

static void same_tensors(const char *name, const FblTensorFile *a, const FblTensorFile *b) {
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        const FblFileTensor *x = &a->tensors[i], *y = &b->tensors[i];
        assert_string_equal(x->name, y->name);
        if (x->dtype != y->dtype || x->rank != y->rank || x->size != y->size) {
            fail_msg("%s: %s has another type or shape", name, x->name);
        }
        assert_memory_equal(x->shape, y->shape, (size_t)x->rank * sizeof *x->shape);
        if (x->size > 0 && memcmp(x->data, y->data, x->size) != 0) {
            fail_msg("%s: %s has other numbers", name, x->name);
        }
    }
}

static void every_form_gives_the_same(void **state) {
    (void)state;
    static const char *const names[] = {"zip.pth", "old.pth", "protocol4.pth", "nested.pth", "old_nested.pth", "parameters.pth"};
    FblContext *ctx = fbl_context_create();
    FblTensorFile expected;
    assert_int_equal(fbl_weights_read(ctx, FILES "expected.safetensors", &expected), FBL_OK);
    assert_int_equal(expected.count, 12);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[100];
        snprintf(path, sizeof path, FILES "%s", names[i]);
        FblTensorFile file;
        if (fbl_weights_read(ctx, path, &file) != FBL_OK) {
            fail_msg("%s: %s", path, diagnosed(ctx));
        }
        same_tensors(names[i], &file, &expected);
        fbl_tensor_file_deinit(&file);
    }
    fbl_tensor_file_deinit(&expected);
    fbl_context_destroy(ctx);
}

static void what_is_no_data_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *name, *id, *text;
    } cases[] = {
        {"code.pth", "E0737", "refused to load `tests/data/torch/code.pth`: it calls `posix.system`, and only plain data and tensors are read"},
        {"old_code.pth", "E0737", "it calls `posix.system`"},
        {"model.pth", "E0737", "it calls `__main__.Net`"},
        {"list.pth", "E0736", "it holds no state dictionary"},
        {"script.pth", "E0736", "it is a TorchScript program, not weights"},
        {"beyond.pth", "E0736", "its tensor `conv1.weight` reaches beyond its storage"},
        {"bomb.pth", "E0736", "its entries are compressed, which PyTorch does not do"},
    };
    FblContext *ctx = fbl_context_create();
    unlink("/tmp/fblc-was-here");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[100];
        snprintf(path, sizeof path, FILES "%s", cases[i].name);
        FblTensorFile file;
        assert_int_equal(fbl_weights_read(ctx, path, &file), FBL_USER);
        assert_null(file.tensors);
        const char *text = diagnosed(ctx);
        if (strstr(text, cases[i].id) == NULL || strstr(text, cases[i].text) == NULL) {
            fail_msg("%s: expected %s %s, got:\n%s", cases[i].name, cases[i].id, cases[i].text, text);
        }
    }
    assert_int_not_equal(access("/tmp/fblc-was-here", F_OK), 0);
    fbl_context_destroy(ctx);
}

// Cut anywhere, or one byte changed: tensors or a diagnostic. What is read can be read to its last element.
static void damage_is_diagnosed(void **state) {
    (void)state;
    static const char *const names[] = {"zip.pth", "old_nested.pth"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        char path[100];
        snprintf(path, sizeof path, FILES "%s", names[k]);
        size_t size;
        char *bytes = slurp(path, &size);
        size_t refused = 0;
        for (size_t at = 0; at < 2 * size; at++) {
            FblContext *ctx = fbl_context_create();
            bool cut = at >= size;
            size_t length = cut ? at - size : size;
            char *copy = malloc(length + 1);
            memcpy(copy, bytes, length);
            if (!cut) {
                copy[at] ^= 0x21;
            }
            FblTensorFile file;
            FblStatus status = fbl_torch_file_parse(ctx, path, copy, length, &file);
            assert_true(status == FBL_OK || status == FBL_USER);
            assert_int_equal(status != FBL_OK, fbl_diag_error_count(ctx) > 0);
            refused += status != FBL_OK;
            for (size_t i = 0; i < file.count; i++) {
                int64_t count = fbl_file_tensor_elements(&file.tensors[i]);
                double *values = malloc(((size_t)count + 1) * sizeof *values);
                assert_true(fbl_file_tensor_to_f64(&file.tensors[i], values, count));
                free(values);
            }
            fbl_tensor_file_deinit(&file);
            fbl_context_destroy(ctx);
        }
        assert_true(refused > size); // every cut, and changes of what is not the numbers themselves
        free(bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_gives_the_same),
        cmocka_unit_test(what_is_no_data_is_refused),
        cmocka_unit_test(damage_is_diagnosed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

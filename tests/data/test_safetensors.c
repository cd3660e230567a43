#include "tests/data/support.h"

#include <math.h>

#include "runtime/safetensors.h"

static void every_type_comes_back(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    const char *folder = make_folder(ctx);
    const char *path = fbl_path_join(ctx, folder, "t.safetensors");
    float f32[6] = {0, -1.5f, 3e38f, INFINITY, 1e-45f, 7};
    double f64[2] = {M_PI, -0.0};
    uint16_t f16[3] = {0x3C00, 0x7BFF, 0x0001};
    uint16_t bf16[1] = {0x3F80};
    int64_t i64[2] = {INT64_MIN, 5};
    int32_t i32[1] = {-7};
    uint8_t u8[3] = {0, 1, 255};
    uint8_t flag[1] = {1};
    FblFileTensor tensors[9];
    const int64_t two_three[2] = {2, 3};
    const int64_t extents[] = {1, 2, 3};
    assert_true(fbl_file_tensor_init(&tensors[0], "u8", FBL_FILE_U8, 1, &extents[2], u8));
    assert_true(fbl_file_tensor_init(&tensors[1], "layer1.0.conv1.weight", FBL_FILE_F32, 2, two_three, f32));
    assert_true(fbl_file_tensor_init(&tensors[2], "f64", FBL_FILE_F64, 1, &extents[1], f64));
    assert_true(fbl_file_tensor_init(&tensors[3], "f16", FBL_FILE_F16, 1, &extents[2], f16));
    assert_true(fbl_file_tensor_init(&tensors[4], "bf16", FBL_FILE_BF16, 1, &extents[0], bf16));
    assert_true(fbl_file_tensor_init(&tensors[5], "i64", FBL_FILE_I64, 1, &extents[1], i64));
    assert_true(fbl_file_tensor_init(&tensors[6], "scalar", FBL_FILE_I32, 0, NULL, i32));
    assert_true(fbl_file_tensor_init(&tensors[7], "flag \"quoted\" \xC3\xA9", FBL_FILE_BOOL, 1, &extents[0], flag));
    const int64_t none[2] = {0, 7};
    assert_true(fbl_file_tensor_init(&tensors[8], "empty", FBL_FILE_F32, 2, none, NULL));
    FblFileString strings[2] = {{"note", "a\nb\\\"c\""}, {"format", "pt"}};
    assert_int_equal(fbl_tensor_file_write(ctx, path, tensors, 9, strings, 2), FBL_OK);
    FblTensorFile file;
    assert_int_equal(fbl_tensor_file_read(ctx, path, &file), FBL_OK);
    assert_int_equal(file.count, 9);
    for (int i = 0; i < 9; i++) {
        const FblFileTensor *found = fbl_tensor_file_find(&file, tensors[i].name);
        assert_non_null(found);
        assert_int_equal(found->dtype, tensors[i].dtype);
        assert_int_equal(found->rank, tensors[i].rank);
        assert_int_equal(found->size, tensors[i].size);
        assert_memory_equal(found->shape, tensors[i].shape, sizeof found->shape);
        assert_true(found->size == 0 || memcmp(found->data, tensors[i].data, found->size) == 0);
        assert_int_equal((uintptr_t)found->data % fbl_file_dtype_size(found->dtype), 0);
    }
    assert_null(fbl_tensor_file_find(&file, "absent"));
    assert_string_equal(fbl_tensor_file_string(&file, "note"), strings[0].value);
    assert_null(fbl_tensor_file_string(&file, "absent"));
    float as_f32[6];
    assert_true(fbl_file_tensor_to_f32(fbl_tensor_file_find(&file, "f16"), as_f32, 3));
    assert_true(as_f32[0] == 1.0f && as_f32[1] == 65504.0f && as_f32[2] == 0x1p-24f);
    assert_false(fbl_file_tensor_to_f32(fbl_tensor_file_find(&file, "f16"), as_f32, 2));
    int32_t as_i32[3];
    assert_true(fbl_file_tensor_to_i32(fbl_tensor_file_find(&file, "u8"), as_i32, 3));
    assert_int_equal(as_i32[2], 255);
    assert_false(fbl_file_tensor_to_i32(fbl_tensor_file_find(&file, "i64"), as_i32, 2));
    assert_false(fbl_file_tensor_to_i32(fbl_tensor_file_find(&file, "f64"), as_i32, 2));
    double as_f64[2];
    assert_true(fbl_file_tensor_to_f64(fbl_tensor_file_find(&file, "f64"), as_f64, 2));
    assert_true(as_f64[0] == M_PI && signbit(as_f64[1]));
    fbl_tensor_file_deinit(&file);
    tensors[0].name = "f64";
    assert_int_equal(fbl_tensor_file_write(ctx, path, tensors, 9, NULL, 0), FBL_USER);
    expect_diagnosed(ctx, "E0813");
    remove_folder(folder);
    fbl_context_destroy(ctx);
}

// All 65,536 values of the half types; rounding against a search of the neighbours in double precision.
static void half_types(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        float half = fbl_f16_to_f32((uint16_t)bits);
        float brain = fbl_bf16_to_f32((uint16_t)bits);
        if (isnan(half)) {
            assert_true(isnan(fbl_f16_to_f32(fbl_f32_to_f16(half))));
        } else {
            assert_int_equal(fbl_f32_to_f16(half), bits);
        }
        assert_true(isnan(brain) ? isnan(fbl_bf16_to_f32(fbl_f32_to_bf16(brain))) : fbl_f32_to_bf16(brain) == bits);
        if (bits < 0x7BFF) { // the middle of two neighbours goes to the even one, a little more or less to the nearer
            float next = fbl_f16_to_f32((uint16_t)(bits + 1));
            float middle = half + (next - half) / 2;
            assert_int_equal(fbl_f32_to_f16(middle), bits + (bits & 1));
            assert_int_equal(fbl_f32_to_f16(nextafterf(middle, 0)), bits);
            assert_int_equal(fbl_f32_to_f16(nextafterf(middle, INFINITY)), bits + 1);
        }
    }
    assert_int_equal(fbl_f32_to_f16(65519.0f), 0x7BFF);
    assert_int_equal(fbl_f32_to_f16(65520.0f), 0x7C00);
    assert_int_equal(fbl_f32_to_f16(-1e30f), 0xFC00);
    assert_int_equal(fbl_f32_to_bf16(1.00390625f), 0x3F80); // halfway to the next: even
    assert_int_equal(fbl_f32_to_bf16(1.01171875f), 0x3F82); // halfway, the upper one is even
    assert_int_equal(fbl_f32_to_bf16(3.4028235e38f), 0x7F80);
}

// A file from a header and data, parsed.
static FblStatus parse(FblContext *ctx, const char *header, size_t data_size, FblTensorFile *out) {
    size_t length = strlen(header);
    char *bytes = calloc(1, 8 + length + data_size + 1);
    for (int i = 0; i < 8; i++) {
        bytes[i] = (char)(length >> (8 * i));
    }
    memcpy(bytes + 8, header, length);
    return fbl_tensor_file_parse(ctx, "t", bytes, 8 + length + data_size, out);
}

static void bad_headers(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        const char *expected;
    } cases[] = {
        {"[]", 0, "its header is not a JSON object"},
        {"{", 0, "its header is not a JSON object"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7, "tensor `a` lies outside the file"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 9, "bytes after the last tensor"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, "a shape that does not fit its bytes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "lies outside"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, "two counts as `data_offsets`"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8, "two counts as `data_offsets`"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, "an extent that is not a count"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.5],\"data_offsets\":[0,8]}}", 8, "an extent that is not a count"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4000000000,4000000000,4],\"data_offsets\":[0,8]}}", 8, "too large"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, "more than 8 axes"},
        {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "the element type `F8_E4M3`"},
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "lacks `dtype`"},
        {"{\"a\":7}", 0, "lacks `dtype`"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
         3, "tensor `b` overlaps another"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5]}}",
         5, "tensor `b` leaves a hole"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
         2, "tensor `a` is there twice"},
        {"{\"__metadata__\":{\"k\":1}}", 0, "one table of strings"},
        {"{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0, "is there twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FblContext *ctx = fbl_context_create();
        FblTensorFile file;
        if (parse(ctx, cases[i].header, cases[i].data, &file) != FBL_USER) {
            fail_msg("accepted: %s", cases[i].header);
        }
        expect_diagnosed(ctx, cases[i].expected);
        assert_null(file.tensors);
        fbl_context_destroy(ctx);
    }
}

static void good_headers(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblTensorFile file;
    assert_int_equal(parse(ctx, "{}", 0, &file), FBL_OK);
    assert_int_equal(file.count, 0);
    fbl_tensor_file_deinit(&file);
    // As PyTorch writes it; padded with spaces, tensors in any order, odd alignment.
    assert_int_equal(
        parse(ctx,
              "{\"__metadata__\":{\"format\":\"pt\"},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]},"
              "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}   ",
              5, &file),
        FBL_OK);
    float value = 1;
    assert_true(fbl_file_tensor_to_f32(fbl_tensor_file_find(&file, "b"), &value, 1));
    assert_true(value == 0);
    fbl_tensor_file_deinit(&file);
    fbl_context_destroy(ctx);
}

static void short_files(void **state) {
    (void)state;
    FblContext *ctx = fbl_context_create();
    FblTensorFile file;
    assert_int_equal(fbl_tensor_file_parse(ctx, "t", calloc(1, 8), 7, &file), FBL_USER);
    expect_diagnosed(ctx, "shorter than 8 bytes");
    char *huge = malloc(16);
    memset(huge, 0xFF, 16);
    assert_int_equal(fbl_tensor_file_parse(ctx, "t", huge, 16, &file), FBL_USER);
    expect_diagnosed(ctx, "the length of its header goes beyond the file");
    assert_int_equal(fbl_tensor_file_read(ctx, "no/such/file", &file), FBL_IO);
    expect_diagnosed(ctx, "no/such/file");
    fbl_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_comes_back), cmocka_unit_test(half_types),  cmocka_unit_test(bad_headers),
        cmocka_unit_test(good_headers),          cmocka_unit_test(short_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#include "tests/base/unit.h"

static void expect_hash(const void *data, size_t size, const char *hex) {
    char got[65];
    FblHash hash = fbl_hash(data, size);
    fbl_hash_hex(&hash, got);
    assert_string_equal(got, hex);
}

// The examples of FIPS 180-2, appendix B, and the digest of no bytes.
static void published_vectors(void **state) {
    (void)state;
    expect_hash("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect_hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    expect_hash("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect_hash(NULL, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    char *million = malloc(1000000);
    assert_non_null(million);
    memset(million, 'a', 1000000);
    expect_hash(million, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
    assert_true(fbl_hash_u64("abc", 3) == UINT64_C(0xba7816bf8f01cfea));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(published_vectors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "base/io.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/diag.h"
#include "tests/base/unit.h"

typedef struct Fixture {
    FblContext *ctx;
    char folder[64];
} Fixture;

static int set_up(void **state) {
    Fixture *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return -1;
    }
    f->ctx = fbl_context_create();
    strcpy(f->folder, P_tmpdir "/fbl-io-XXXXXX");
    *state = f;
    return mkdtemp(f->folder) == NULL ? -1 : 0;
}

static int tear_down(void **state) {
    Fixture *f = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", f->folder);
    int rc = system(command);
    fbl_context_destroy(f->ctx);
    free(f);
    return rc;
}

static const char *at(Fixture *f, const char *name) { return fbl_path_join(f->ctx, f->folder, name); }

static void expect_message(Fixture *f, const char *expected) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    fbl_diag_flush(f->ctx, out, false);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
}

static void expect_content(Fixture *f, const char *path, const char *expected, size_t length) {
    char *data = NULL;
    size_t size = 0;
    assert_int_equal(fbl_read_file(f->ctx, path, 1 << 20, &data, &size), FBL_OK);
    assert_int_equal(size, length);
    assert_memory_equal(data, expected, length);
    assert_int_equal(data[size], 0);
    free(data);
}

static size_t entries(const char *folder) {
    size_t count = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count - 2; // . and ..
}

static void write_and_replace(void **state) {
    Fixture *f = *state;
    const char *path = at(f, "file");
    const FblSpan two[] = {{"one\0", 4}, {NULL, 0}, {"two", 3}};
    assert_int_equal(fbl_write_file_atomic(f->ctx, path, two, 3), FBL_OK);
    expect_content(f, path, "one\0two", 7);
    // The replacement keeps the permissions and leaves no temporary behind.
    assert_int_equal(chmod(path, 0640), 0);
    const FblSpan one[] = {{"new", 3}};
    assert_int_equal(fbl_write_file_atomic(f->ctx, path, one, 1), FBL_OK);
    expect_content(f, path, "new", 3);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0640);
    assert_int_equal(fbl_write_file_atomic(f->ctx, path, NULL, 0), FBL_OK);
    expect_content(f, path, "", 0);
    assert_int_equal(entries(f->folder), 1);
    // The longest name that a file system allows still works.
    char name[256];
    memset(name, 'n', 255);
    name[255] = 0;
    assert_int_equal(fbl_write_file_atomic(f->ctx, at(f, name), one, 1), FBL_OK);
    expect_content(f, at(f, name), "new", 3);
    assert_int_equal(fbl_diag_error_count(f->ctx), 0);
}

static void devices_are_written_in_place(void **state) {
    Fixture *f = *state;
    const FblSpan one[] = {{"new", 3}};
    assert_int_equal(fbl_write_file_atomic(f->ctx, "/dev/null", one, 1), FBL_OK);
    struct stat info;
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
    if (access("/dev/full", W_OK) == 0) {
        assert_int_equal(fbl_write_file_atomic(f->ctx, "/dev/full", one, 1), FBL_IO);
        expect_message(f, "error[E0903]: cannot write `/dev/full`: No space left on device\n"
                          "hint: free some space or choose another folder\n");
    }
}

static void failures_name_path_and_reason(void **state) {
    Fixture *f = *state;
    char *data = NULL;
    size_t size = 0;
    assert_int_equal(fbl_read_file(f->ctx, "no/such", 10, &data, &size), FBL_IO);
    expect_message(f, "error[E0901]: cannot open `no/such`: No such file or directory\n");
    assert_int_equal(fbl_read_file(f->ctx, "/", 10, &data, &size), FBL_IO);
    expect_message(f, "error[E0904]: cannot read `/`: Is a directory\n");
    const FblSpan eleven[] = {{"12345678901", 11}};
    assert_int_equal(fbl_write_file_atomic(f->ctx, "no/such", eleven, 1), FBL_IO);
    expect_message(f, "error[E0903]: cannot write `no/such`: No such file or directory\n");
    assert_int_equal(fbl_write_file_atomic(f->ctx, "/", eleven, 1), FBL_IO);
    expect_message(f, "error[E0903]: cannot write `/`: Is a directory\n");
    const char *path = at(f, "eleven");
    assert_int_equal(fbl_write_file_atomic(f->ctx, path, eleven, 1), FBL_OK);
    assert_int_equal(fbl_read_file(f->ctx, path, 11, &data, &size), FBL_OK);
    free(data);
    assert_int_equal(fbl_read_file(f->ctx, path, 10, &data, &size), FBL_IO);
    char expected[256];
    snprintf(expected, sizeof expected, "error[E0902]: `%s` is too large: the limit here is 10 bytes\n", path);
    expect_message(f, expected);
    // A device without a size is read up to the limit and no further.
    assert_int_equal(fbl_read_file(f->ctx, "/dev/zero", 1000000, &data, &size), FBL_IO);
    expect_message(f, "error[E0902]: `/dev/zero` is too large: the limit here is 1000000 bytes\n");
    assert_int_equal(fbl_make_dirs(f->ctx, at(f, "eleven/below")), FBL_IO);
    snprintf(expected, sizeof expected, "error[E0905]: cannot make the folder `%s`: Not a directory\n", path);
    expect_message(f, expected);
}

static void folders(void **state) {
    Fixture *f = *state;
    assert_int_equal(fbl_make_dirs(f->ctx, at(f, "a//b/c/")), FBL_OK);
    assert_int_equal(fbl_make_dirs(f->ctx, at(f, "a/b")), FBL_OK);
    assert_int_equal(fbl_make_dirs(f->ctx, "/"), FBL_OK);
    assert_int_equal(fbl_make_dirs(f->ctx, ""), FBL_OK);
    assert_true(fbl_path_exists(at(f, "a/b/c")));
    assert_false(fbl_path_exists(at(f, "a/c")));
    assert_string_equal(fbl_path_join(f->ctx, "a", "b"), "a/b");
    assert_string_equal(fbl_path_join(f->ctx, "a/", "b"), "a/b");
    assert_string_equal(fbl_path_join(f->ctx, "", "b"), "b");
    assert_string_equal(fbl_path_join(f->ctx, NULL, "b"), "b");
    assert_string_equal(fbl_path_join(f->ctx, "a", "/b"), "/b");
    assert_string_equal(fbl_path_directory(f->ctx, "a/b/c"), "a/b");
    assert_string_equal(fbl_path_directory(f->ctx, "a//b"), "a");
    assert_string_equal(fbl_path_directory(f->ctx, "b"), ".");
    assert_string_equal(fbl_path_directory(f->ctx, "/b"), "/");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(write_and_replace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(devices_are_written_in_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failures_name_path_and_reason, set_up, tear_down),
        cmocka_unit_test_setup_teardown(folders, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

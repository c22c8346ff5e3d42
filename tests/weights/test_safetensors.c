#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "weights/byte_source.h"
#include "weights/embedded.h"
#include "weights/safetensors_writer.h"
#include "tests/weights/weights_testing.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define GOLDEN GOLDEN_DIR "/moh_transnext_small_75.safetensors"

/* A file of this header and so many bytes of data. */
static blob make_file(const char *header, size_t data_bytes)
{
    blob b = {0};
    uint64_t length = strlen(header);
    unsigned char *zeros = calloc(data_bytes + 1, 1);
    blob_add(&b, &length, sizeof length);
    blob_add(&b, header, strlen(header));
    blob_add(&b, zeros, data_bytes);
    free(zeros);
    return b;
}

static void expect_fault(const char *header, size_t data_bytes, const char *cause)
{
    mohvit_error err;
    blob b = make_file(header, data_bytes);
    expect_error(open_and_read(b.data, b.size, "m.safetensors", NULL, &err), &err, MOHVIT_ERROR_FORMAT,
                 "m.safetensors", cause);
    free(b.data);
}

// ---- Reading ---------------------------------------------------------------------------------------

static void a_golden_file_opens_with_its_tensors_and_metadata(void **state)
{
    (void)state;
    checkpoint *cp;
    mohvit_error err;
    expect_ok(checkpoint_open(&cp, GOLDEN, NULL, NULL, &err), &err);
    assert_string_equal(checkpoint_format(cp), "safetensors");
    assert_string_equal(checkpoint_path(cp), GOLDEN);
    assert_int_equal(checkpoint_sets(cp, NULL, NULL), 0);
    const tensor_info *logits = checkpoint_find(cp, "logits"), *tokens = checkpoint_find(cp, "head_tokens");
    assert_non_null(logits);
    assert_int_equal(logits->dtype, DTYPE_F32);
    assert_int_equal(logits->rank, 2);
    assert_int_equal(logits->shape[1], 1000);
    assert_int_equal(tokens->dtype, DTYPE_I32);
    assert_null(checkpoint_find(cp, "logit"));
    assert_null(checkpoint_tensor(cp, checkpoint_count(cp)));
    assert_non_null(strstr(checkpoint_metadata(cp, "config"), "embed_dims"));
    assert_null(checkpoint_metadata(cp, "labels"));
    float *values = read_tensor(cp, "logits");
    expect_error(checkpoint_read_f32(cp, tokens, values, &err), &err, MOHVIT_ERROR_UNSUPPORTED, GOLDEN,
                 "head_tokens: dtype I32");
    free(values);
    checkpoint_close(cp);
}

static void the_built_in_model_opens_from_memory(void **state)
{
    (void)state;
    checkpoint *cp;
    mohvit_error err;
    expect_ok(checkpoint_open_memory(&cp, embedded_model, embedded_model_size(), "built-in model", NULL, NULL,
                                     &err),
              &err);
    assert_non_null(checkpoint_metadata(cp, "config"));
    assert_non_null(checkpoint_metadata(cp, "labels"));
    expect_ok(read_every_tensor(cp, &err), &err);
    free(read_tensor(cp, "head.weight"));
    assert_int_equal((uintptr_t)embedded_model % 64, 0);
    checkpoint_close(cp);
}

static void a_file_cut_anywhere_is_an_error(void **state)
{
    (void)state;
    mohvit_error err;
    blob b = blob_read(GOLDEN_DIR "/tiny_trace.safetensors");
    for (size_t size = 0; size < b.size; size += 997) {
        mohvit_status status = open_and_read(b.data, size, "cut.safetensors", NULL, &err);
        assert_int_not_equal(status, MOHVIT_OK);
        assert_non_null(strstr(err.message, "cut.safetensors"));
    }
    for (size_t size = 0; size < 64; size++)
        assert_int_not_equal(open_and_read(b.data, size, "cut.safetensors", NULL, &err), MOHVIT_OK);
    free(b.data);
}

static void lying_header_lengths_are_errors(void **state)
{
    (void)state;
    mohvit_error err;
    blob b = make_file("{}", 0);
    const struct {
        uint64_t length;
        mohvit_status status;
        const char *cause;
    } lies[] = {{3, MOHVIT_ERROR_FORMAT, "ends past the file"},
                {SAFETENSORS_MAX_HEADER, MOHVIT_ERROR_FORMAT, "ends past the file"},
                {SAFETENSORS_MAX_HEADER + 1, MOHVIT_ERROR_LIMIT, "at most"},
                {UINT64_MAX, MOHVIT_ERROR_LIMIT, "at most"},
                {0, MOHVIT_ERROR_FORMAT, "header"},
                {1, MOHVIT_ERROR_FORMAT, "header"}};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        memcpy(b.data, &lies[i].length, 8);
        expect_error(open_and_read(b.data, b.size, "m.safetensors", NULL, &err), &err, lies[i].status,
                     "m.safetensors", lies[i].cause);
    }
    free(b.data);
}

#define F32(name, shape, offsets)                                                                            \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void data_must_be_covered_exactly_once(void **state)
{
    (void)state;
    expect_fault("{" F32("a", "[2]", "[0,8]") "," F32("b", "[1]", "[4,8]") "}", 8,
                 "b: data_offsets [4, 8] overlap those of a");
    expect_fault("{" F32("a", "[1]", "[0,4]") "," F32("b", "[1]", "[8,12]") "}", 12, "a hole of 4 bytes");
    expect_fault("{" F32("a", "[1]", "[4,8]") "}", 8, "a hole of 4 bytes");
    expect_fault("{" F32("a", "[2]", "[0,8]") "}", 7, "end past the data");
    expect_fault("{" F32("a", "[1]", "[0,4]") "}", 5, "1 byte of data after the last tensor");
    expect_fault("{}", 1, "after the last tensor");
    expect_fault("{" F32("a", "[1]", "[9223372036854775800,9223372036854775804]") "}", 4,
                 "end past the data");
}

static void entries_that_do_not_add_up_are_errors(void **state)
{
    (void)state;
    expect_fault("{" F32("a", "[2]", "[0,4]") "}", 4, "a: data_offsets [0, 4] do not hold shape (2,)");
    expect_fault("{" F32("a", "[1]", "[4,0]") "}", 4, "do not hold");
    expect_fault("{" F32("a", "[-1]", "[0,4]") "}", 4, "a: shape");
    expect_fault("{" F32("a", "[1.0]", "[0,4]") "}", 4, "a: shape");
    expect_fault("{" F32("a", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4,
                 "a: shape is not an array of at most 8");
    expect_fault("{" F32("a", "[4294967296,4294967296]", "[0,4]") "}", 4,
                 "more elements than can be counted");
    expect_fault("{" F32("a", "[4611686018427387904]", "[0,4]") "}", 4, "more elements than can be counted");
    expect_fault("{" F32("a", "[0,4611686018427387904,8]", "[0,0]") "}", 0,
                 "more elements than can be counted");
    expect_fault("{" F32("a", "[99999999999999999999]", "[0,4]") "}", 4, "header");
    expect_fault("{" F32("a", "[1]", "[0,4,8]") "}", 4, "data_offsets is not");
    expect_fault("{" F32("a", "[1]", "[0,\"4\"]") "}", 4, "data_offsets is not");
    expect_fault("{" F32("a", "1", "[0,4]") "}", 4, "a: shape");
    expect_fault("{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
                 "a: unknown dtype F33");
    expect_fault("{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "a: has no dtype");
    expect_fault("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "a: expected an object of");
    expect_fault("{\"a\":[]}", 0, "a: expected an object of");
}

static void headers_that_are_not_honest_json_are_errors(void **state)
{
    (void)state;
    expect_fault("{" F32("a", "[1]", "[0,4]") "," F32("a", "[1]", "[4,8]") "}", 8, "duplicate");
    mohvit_error err;
    blob b = make_file("{\"__metadata__\":null," F32("a", "[1]", "[0,4]") "}", 4);
    expect_ok(open_and_read(b.data, b.size, "m", NULL, &err), &err);
    free(b.data);
    expect_fault("{\"__metadata__\":{\"a\":1}}", 0, "__metadata__: the value of a is not a string");
    expect_fault("{\"__metadata__\":[]}", 0, "__metadata__ is not an object");
    expect_fault("{\"a\\u0000b\":{}}", 0, "header");
    expect_fault("{\"\xff\":{}}", 0, "header");
    expect_fault("{} x", 0, "header");
    expect_fault("{", 0, "header");
}

static void deep_or_crowded_headers_are_refused_before_they_cost_memory(void **state)
{
    (void)state;
    size_t n = 4 << 20;
    char *header = malloc(n + 1);
    memset(header, '[', n);
    memcpy(header, "{\"a\":", 5);
    header[n] = '\0';
    expect_fault(header, 0, "objects and arrays");
    header[100000] = '\0'; // within the limit, too deep for the parser
    expect_fault(header, 0, "depth");
    free(header);
}

static void unread_types_are_listed_and_refused_only_when_read(void **state)
{
    (void)state;
    checkpoint *cp;
    mohvit_error err;
    blob b = make_file("{\"a\":{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[0,3]},"
                       "\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[3,7]},"
                       "\"e\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[3,3]}}  ",
                       7);
    expect_ok(checkpoint_open_memory(&cp, b.data, b.size, "m", NULL, NULL, &err), &err);
    float value = 1;
    expect_error(checkpoint_read_f32(cp, checkpoint_find(cp, "a"), &value, &err), &err,
                 MOHVIT_ERROR_UNSUPPORTED, "m", "a: ");
    expect_error(checkpoint_read_raw(cp, checkpoint_find(cp, "a"), &value, &err), &err,
                 MOHVIT_ERROR_UNSUPPORTED, "m", "a: ");
    expect_ok(checkpoint_read_f32(cp, checkpoint_find(cp, "s"), &value, &err), &err);
    assert_true(value == 0);
    assert_int_equal(checkpoint_find(cp, "e")->elements, 0);
    expect_ok(checkpoint_read_f32(cp, checkpoint_find(cp, "e"), &value, &err), &err);
    checkpoint_close(cp);
    free(b.data);
}

static void paths_that_cannot_be_opened_are_named(void **state)
{
    (void)state;
    checkpoint *cp;
    mohvit_error err;
    char dir[64], path[128];
    enter_scratch(dir);
    snprintf(path, sizeof path, "%s/m.safetensors", dir);
    expect_error(checkpoint_open(&cp, path, NULL, NULL, &err), &err, MOHVIT_ERROR_IO, path, "No such file");
    expect_error(checkpoint_open(&cp, dir, NULL, NULL, &err), &err, MOHVIT_ERROR_IO, dir, "is a directory");
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_error(checkpoint_open(&cp, path, NULL, NULL, &err), &err, MOHVIT_ERROR_IO, path,
                 "not a regular file");
    unlink(path);
    blob_write(path, "", 0);
    expect_error(checkpoint_open(&cp, path, NULL, NULL, &err), &err, MOHVIT_ERROR_FORMAT, path, "is empty");
    if (geteuid() != 0) { // root reads everything
        assert_int_equal(chmod(path, 0), 0);
        expect_error(checkpoint_open(&cp, path, NULL, NULL, &err), &err, MOHVIT_ERROR_IO, path,
                     "Permission denied");
    }
    unlink(path);
    leave_scratch(dir);
}

static void other_files_are_named_for_what_they_are(void **state)
{
    (void)state;
    const struct {
        const char *bytes, *cause;
        mohvit_status status;
    } others[] = {
        {"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer", MOHVIT_ERROR_UNSUPPORTED},
        {"\x1f\x8b\x08 compressed", "gzip", MOHVIT_ERROR_UNSUPPORTED},
        {"\x89PNG\r\n\x1a\n and more", "neither a safetensors file nor", MOHVIT_ERROR_FORMAT},
        {"x", "neither a safetensors file nor", MOHVIT_ERROR_FORMAT}};
    mohvit_error err;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        expect_error(open_and_read(others[i].bytes, strlen(others[i].bytes), "m", NULL, &err), &err,
                     others[i].status, "m", others[i].cause);
    blob b = make_file("{}", 0);
    expect_ok(open_and_read(b.data, b.size, "m", NULL, &err), &err);
    expect_error(open_and_read(b.data, b.size, "m", "model_ema", &err), &err, MOHVIT_ERROR_ARGUMENT, "m",
                 "model_ema");
    free(b.data);
}

// ---- Writing ---------------------------------------------------------------------------------------

static const tensor_info three[] = {
    {"a", DTYPE_F32, 2, {2, 3}, 6}, {"b", DTYPE_F16, 1, {3}, 3}, {"c", DTYPE_BF16, 0, {0}, 1}};
static const float values[] = {1, -2, 0.5f, 1e-30f, 3e38f, -0.0f};

static mohvit_status write_three(const char *path, mohvit_error *err)
{
    const metadata_entry metadata[] = {{"config", "{\"x\": \"\\\"\"}"}, {"note", "K\xc3\xa4se\n"}};
    safetensors_writer *w;
    mohvit_status status = safetensors_writer_create(&w, path, three, 3, metadata, 2, err);
    if (status)
        return status;
    for (int i = 0; !status && i < 3; i++)
        status = safetensors_writer_add_f32(w, values, err);
    return safetensors_writer_finish(w, status, err);
}

static void what_was_written_reads_back(void **state)
{
    (void)state;
    checkpoint *cp;
    mohvit_error err;
    char dir[64], path[128];
    enter_scratch(dir);
    snprintf(path, sizeof path, "%s/m.safetensors", dir);
    expect_ok(write_three(path, &err), &err);
    expect_ok(write_three(path, &err), &err); // over an existing file
    expect_ok(checkpoint_open(&cp, path, NULL, NULL, &err), &err);
    assert_string_equal(checkpoint_metadata(cp, "config"), "{\"x\": \"\\\"\"}");
    assert_string_equal(checkpoint_metadata(cp, "note"), "K\xc3\xa4se\n");
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(checkpoint_tensor(cp, i)->name, three[i].name);
    float *a = read_tensor(cp, "a"), *b = read_tensor(cp, "b"), *c = read_tensor(cp, "c");
    assert_memory_equal(a, values, sizeof values);
    assert_memory_equal(b, values, 3 * sizeof *values); // these three are exact in half precision
    assert_memory_equal(c, values, sizeof *values);
    free(a), free(b), free(c);
    checkpoint_close(cp);
    blob file = blob_read(path);
    uint64_t header;
    memcpy(&header, file.data, sizeof header);
    assert_int_equal((header + sizeof header) % 64, 0);
    free(file.data);
    unlink(path);
    leave_scratch(dir);
}

static void a_new_file_has_the_mode_of_any_new_file(void **state)
{
    (void)state;
    mohvit_error err;
    char dir[64], path[128];
    struct stat st;
    enter_scratch(dir);
    snprintf(path, sizeof path, "%s/m.safetensors", dir);
    mode_t old = umask(027);
    expect_ok(write_three(path, &err), &err);
    umask(old);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    unlink(path);
    leave_scratch(dir);
}

static void a_file_given_up_leaves_nothing_behind(void **state)
{
    (void)state;
    safetensors_writer *w;
    mohvit_error err;
    char dir[64], path[128];
    enter_scratch(dir);
    snprintf(path, sizeof path, "%s/m.safetensors", dir);
    expect_ok(safetensors_writer_create(&w, path, three, 3, NULL, 0, &err), &err);
    expect_ok(safetensors_writer_add_f32(w, values, &err), &err);
    assert_int_equal(safetensors_writer_finish(w, MOHVIT_ERROR_CANCELLED, NULL), MOHVIT_ERROR_CANCELLED);
    leave_scratch(dir);

    enter_scratch(dir);
    snprintf(path, sizeof path, "%s/m.safetensors", dir);
    expect_ok(safetensors_writer_create(&w, path, three, 3, NULL, 0, &err), &err);
    expect_ok(safetensors_writer_add_f32(w, values, &err), &err);
    expect_error(safetensors_writer_finish(w, MOHVIT_OK, &err), &err, MOHVIT_ERROR_ARGUMENT, path,
                 "b: was never added");
    leave_scratch(dir);
}

static void tensors_may_grow_side_by_side(void **state)
{
    (void)state;
    const tensor_info parts[] = {
        {"a", DTYPE_F32, 2, {2, 3}, 6}, {"none", DTYPE_I64, 1, {0}, 0}, {"c", DTYPE_U8, 1, {5}, 5}};
    safetensors_writer *w;
    checkpoint *cp;
    mohvit_error err;
    char dir[64], path[128];
    uint8_t bytes[5];
    enter_scratch(dir);
    snprintf(path, sizeof path, "%s/m.safetensors", dir);
    expect_ok(safetensors_writer_create(&w, path, parts, 3, NULL, 0, &err), &err);
    expect_ok(safetensors_writer_put(w, 2, "ab", 2, &err), &err);
    expect_ok(safetensors_writer_put(w, 0, values, 8, &err), &err);
    expect_ok(safetensors_writer_put(w, 2, "cde", 3, &err), &err);
    expect_ok(safetensors_writer_put(w, 0, values + 2, 16, &err), &err);
    expect_ok(safetensors_writer_finish(w, MOHVIT_OK, &err), &err);
    expect_ok(checkpoint_open(&cp, path, NULL, NULL, &err), &err);
    float *a = read_tensor(cp, "a");
    assert_memory_equal(a, values, sizeof values);
    expect_ok(checkpoint_read_raw(cp, checkpoint_find(cp, "c"), bytes, &err), &err);
    assert_memory_equal(bytes, "abcde", 5);
    free(a);
    checkpoint_close(cp);
    unlink(path);

    expect_ok(safetensors_writer_create(&w, path, parts, 3, NULL, 0, &err), &err);
    expect_ok(safetensors_writer_put(w, 0, values, 24, &err), &err);
    expect_ok(safetensors_writer_put(w, 2, "abcd", 4, &err), &err);
    expect_error(safetensors_writer_finish(w, MOHVIT_OK, &err), &err, MOHVIT_ERROR_ARGUMENT, path,
                 "c: was never added whole");
    expect_ok(safetensors_writer_create(&w, path, parts, 3, NULL, 0, &err), &err);
    expect_error(safetensors_writer_put(w, 2, "abcdef", 6, &err), &err, MOHVIT_ERROR_ARGUMENT, path,
                 "c: has 0 bytes");
    expect_ok(safetensors_writer_put(w, 0, values, 24, &err), &err);
    expect_ok(safetensors_writer_put(w, 2, "abcde", 5, &err), &err);
    assert_int_equal(safetensors_writer_finish(w, MOHVIT_OK, &err), MOHVIT_ERROR_IO);
    leave_scratch(dir);
}

/* A full disk, as RLIMIT_FSIZE plays it. Returns, in a child, whether the writer failed and said so. */
static int write_past_limit(const char *path)
{
    static float large[100000];
    const tensor_info t = {"a", DTYPE_F32, 1, {100000}, 100000};
    struct rlimit limit = {4096, 4096};
    safetensors_writer *w;
    mohvit_error err;
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) || safetensors_writer_create(&w, path, &t, 1, NULL, 0, &err))
        return 1;
    if (safetensors_writer_add_f32(w, large, &err) != MOHVIT_ERROR_SYSTEM || !strstr(err.message, path))
        return 2;
    if (safetensors_writer_finish(w, MOHVIT_OK, &err) != MOHVIT_ERROR_IO) // also if the caller did not look
        return 3;
    return 0;
}

static void a_full_disk_is_an_error_and_keeps_the_old_file(void **state)
{
    (void)state;
    char dir[64], path[128];
    int status;
    enter_scratch(dir);
    snprintf(path, sizeof path, "%s/m.safetensors", dir);
    blob_write(path, "old", 3);
    pid_t child = fork();
    if (child == 0)
        _exit(write_past_limit(path));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    blob old = blob_read(path);
    assert_int_equal(old.size, 3);
    free(old.data);
    unlink(path);
    leave_scratch(dir);
}

static void targets_that_are_no_files_are_refused(void **state)
{
    (void)state;
    mohvit_error err;
    char dir[64], path[128];
    enter_scratch(dir);
    expect_error(write_three(dir, &err), &err, MOHVIT_ERROR_IO, dir, "is a directory");
    expect_error(write_three("/dev/null", &err), &err, MOHVIT_ERROR_IO, "/dev/null", "not a regular file");
    snprintf(path, sizeof path, "%s/none/m.safetensors", dir);
    expect_error(write_three(path, &err), &err, MOHVIT_ERROR_IO, path, "No such file");
    leave_scratch(dir);
}

static void a_symbolic_link_is_replaced_and_its_target_kept(void **state)
{
    (void)state;
    mohvit_error err;
    struct stat st;
    char dir[64], path[128], target[128];
    enter_scratch(dir);
    snprintf(path, sizeof path, "%s/link", dir);
    snprintf(target, sizeof target, "%s/target", dir);
    blob_write(target, "old", 3);
    assert_int_equal(symlink("target", path), 0);
    expect_ok(write_three(path, &err), &err);
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(stat(target, &st), 0);
    assert_int_equal(st.st_size, 3);
    unlink(path);
    unlink(target);
    leave_scratch(dir);
}

static void tensors_that_cannot_be_described_are_refused(void **state)
{
    (void)state;
    const struct {
        tensor_info t[2];
        size_t count;
        const char *cause;
    } bad[] = {{{{"a", DTYPE_F32, 1, {2}, 3}}, 1, "a: rank, shape"},
               {{{"a", DTYPE_OTHER, 1, {2}, 2}}, 1, "a: is of a type"},
               {{{"a", DTYPE_F32, 2, {SIZE_MAX, 2}, 3}}, 1, "a: rank, shape"},
               {{{"a", DTYPE_F32, 1, {2}, 2}, {"a", DTYPE_F32, 1, {2}, 2}}, 2, "a: the name is taken"},
               {{{"__metadata__", DTYPE_F32, 1, {2}, 2}}, 1, "the name is taken"},
               {{{"\xff", DTYPE_F32, 1, {2}, 2}}, 1, "is not UTF-8"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        safetensors_writer *w;
        mohvit_error err;
        expect_error(
            safetensors_writer_create(&w, "/tmp/never.safetensors", bad[i].t, bad[i].count, NULL, 0, &err),
            &err, MOHVIT_ERROR_ARGUMENT, "never.safetensors", bad[i].cause);
    }
}

static void a_file_that_shrinks_while_open_is_an_error(void **state)
{
    (void)state;
    checkpoint *cp;
    mohvit_error err;
    float buffer[6];
    char dir[64], path[128];
    enter_scratch(dir);
    snprintf(path, sizeof path, "%s/m.safetensors", dir);
    expect_ok(write_three(path, &err), &err);
    expect_ok(checkpoint_open(&cp, path, NULL, NULL, &err), &err);
    blob whole = blob_read(path);
    assert_int_equal(truncate(path, (off_t)whole.size - 30), 0); // the data are 32 bytes
    free(whole.data);
    expect_error(checkpoint_read_f32(cp, checkpoint_find(cp, "a"), buffer, &err), &err, MOHVIT_ERROR_IO, path,
                 "did it change");
    expect_error(checkpoint_read_f32(cp, checkpoint_find(cp, "b"), buffer, &err), &err, MOHVIT_ERROR_IO, path,
                 "did it change");
    checkpoint_close(cp);
    unlink(path);
    leave_scratch(dir);
}

static void memory_is_read_to_its_end_and_no_further(void **state)
{
    (void)state;
    const unsigned char bytes[] = {1, 2, 3, 4};
    byte_source s = {.name = "some bytes", .fd = -1, .data = bytes, .size = 3};
    unsigned char out[4] = {0};
    mohvit_error err;
    assert_int_equal(byte_source_read(&s, 1, out, 2, NULL), MOHVIT_OK);
    assert_memory_equal(out, bytes + 1, 2);
    expect_error(byte_source_read(&s, 1, out, 3, &err), &err, MOHVIT_ERROR_IO, "some bytes",
                 "ends at byte 3, 1 byte short");
    expect_error(byte_source_read(&s, 9, out, 1, &err), &err, MOHVIT_ERROR_IO, "some bytes", "1 byte short");
    assert_int_equal(out[2], 0);
}

static void shapes_are_written_as_python_writes_them(void **state)
{
    (void)state;
    const size_t shape[] = {12, 288};
    char text[64], small[5];
    assert_string_equal(tensor_shape_text(text, sizeof text, 2, shape), "(12, 288)");
    assert_string_equal(tensor_shape_text(text, sizeof text, 1, shape), "(12,)");
    assert_string_equal(tensor_shape_text(text, sizeof text, 0, shape), "()");
    assert_string_equal(tensor_shape_text(small, sizeof small, 2, shape), "(12,");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_golden_file_opens_with_its_tensors_and_metadata),
        cmocka_unit_test(the_built_in_model_opens_from_memory),
        cmocka_unit_test(a_file_cut_anywhere_is_an_error),
        cmocka_unit_test(lying_header_lengths_are_errors),
        cmocka_unit_test(data_must_be_covered_exactly_once),
        cmocka_unit_test(entries_that_do_not_add_up_are_errors),
        cmocka_unit_test(headers_that_are_not_honest_json_are_errors),
        cmocka_unit_test(deep_or_crowded_headers_are_refused_before_they_cost_memory),
        cmocka_unit_test(unread_types_are_listed_and_refused_only_when_read),
        cmocka_unit_test(paths_that_cannot_be_opened_are_named),
        cmocka_unit_test(other_files_are_named_for_what_they_are),
        cmocka_unit_test(what_was_written_reads_back),
        cmocka_unit_test(a_new_file_has_the_mode_of_any_new_file),
        cmocka_unit_test(a_file_given_up_leaves_nothing_behind),
        cmocka_unit_test(tensors_may_grow_side_by_side),
        cmocka_unit_test(a_full_disk_is_an_error_and_keeps_the_old_file),
        cmocka_unit_test(targets_that_are_no_files_are_refused),
        cmocka_unit_test(a_symbolic_link_is_replaced_and_its_target_kept),
        cmocka_unit_test(tensors_that_cannot_be_described_are_refused),
        cmocka_unit_test(a_file_that_shrinks_while_open_is_an_error),
        cmocka_unit_test(memory_is_read_to_its_end_and_no_further),
        cmocka_unit_test(shapes_are_written_as_python_writes_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Checkpoints in several files: an index and its shards. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/weights/weights_testing.h"
#include "weights/safetensors_index.h"
#include "weights/safetensors_writer.h"

#include <sys/stat.h>

#define INDEX "model.safetensors.index.json"
#define FIRST "model-00001-of-00002.safetensors"
#define LAST  "model-00002-of-00002.safetensors"

static char directory[64];

static const char *in_directory(const char *name)
{
    static char paths[4][160];
    static size_t next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

/* A shard of tensors of two numbers each, those of the k-th being first + k. */
static void write_shard(const char *name, const char *const *tensors, size_t count, float first,
                        const char *config)
{
    tensor_info infos[4];
    mohvit_error err;
    safetensors_writer *w;
    const metadata_entry metadata = {"config", config};
    for (size_t i = 0; i < count; i++)
        infos[i] =
            (tensor_info){.name = tensors[i], .dtype = DTYPE_F32, .rank = 1, .shape = {2}, .elements = 2};
    expect_ok(
        safetensors_writer_create(&w, in_directory(name), infos, count, &metadata, config != NULL, &err),
        &err);
    for (size_t i = 0; i < count; i++)
        expect_ok(safetensors_writer_add_f32(w, (float[]){first + (float)i, first + (float)i}, &err), &err);
    expect_ok(safetensors_writer_finish(w, MOHVIT_OK, &err), &err);
}

static void write_index(const char *text)
{
    blob_write(in_directory(INDEX), text, strlen(text));
}

static const char good[] = " {\"metadata\": {\"total_size\": 24}, \"weight_map\": {\"c\": \"" LAST
                           "\", \"a\": \"" FIRST "\", \"b\": \"" FIRST "\"}}\n";

static int setup(void **state)
{
    (void)state;
    enter_scratch(directory);
    write_shard(FIRST, (const char *const[]){"b", "a"}, 2, 1, NULL);
    write_shard(LAST, (const char *const[]){"c"}, 1, 3, "{}");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(in_directory(INDEX));
    unlink(in_directory(FIRST));
    unlink(in_directory(LAST));
    leave_scratch(directory);
    return 0;
}

static void expect_fault(const char *index, mohvit_status status, const char *cause)
{
    checkpoint *cp;
    mohvit_error err;
    write_index(index);
    expect_error(checkpoint_open(&cp, in_directory(INDEX), NULL, NULL, &err), &err, status, INDEX, cause);
}

static void an_index_reads_its_shards(void **state)
{
    (void)state;
    checkpoint *cp;
    mohvit_error err;
    write_index(good);
    expect_ok(checkpoint_open(&cp, in_directory(INDEX), NULL, NULL, &err), &err);
    assert_int_equal(checkpoint_count(cp), 3);
    const char *const names[] = {"c", "a", "b"};
    const float values[] = {3, 2, 1};
    for (size_t i = 0; i < 3; i++) { // back and forth between the files
        float *got = read_tensor(cp, names[i]);
        assert_true(got[0] == values[i] && got[1] == values[i]);
        free(got);
    }
    assert_string_equal(checkpoint_metadata(cp, "config"), "{}");
    assert_null(checkpoint_metadata(cp, "total_size"));
    checkpoint_close(cp);
    expect_ok(checkpoint_open(&cp, in_directory(INDEX), "", NULL, &err), &err);
    checkpoint_close(cp);
    expect_error(checkpoint_open(&cp, in_directory(INDEX), "model", NULL, &err), &err, MOHVIT_ERROR_ARGUMENT,
                 INDEX, "no weight set \"model\"");
}

static void the_shards_of_a_path_are_listed_by_name(void **state)
{
    (void)state;
    char **paths, copy[160];
    size_t count;
    mohvit_error err;
    write_index(good);
    snprintf(copy, sizeof copy, "%s", in_directory(INDEX));
    expect_ok(safetensors_index_shards(&paths, &count, copy, &err), &err);
    assert_int_equal(count, 2);
    assert_string_equal(paths[0], in_directory(FIRST));
    assert_string_equal(paths[1], in_directory(LAST));
    free(paths[0]);
    free(paths[1]);
    free(paths);
    expect_ok(safetensors_index_shards(&paths, &count, in_directory(FIRST), &err), &err);
    assert_int_equal(count, 0);
}

#define MAP(entries) "{\"weight_map\":{" entries "}}"

static void a_shard_that_cannot_be_read_is_named(void **state)
{
    (void)state;
    expect_fault(MAP("\"a\":\"gone.safetensors\""), MOHVIT_ERROR_IO, "index of a sharded checkpoint: ");
    expect_fault(MAP("\"a\":\"gone.safetensors\""), MOHVIT_ERROR_IO, "/gone.safetensors: No such file");
    expect_fault(MAP("\"a\":\"gone.safetensors\""), MOHVIT_ERROR_IO, "; expected its 1 shard beside it");
    expect_fault(MAP("\"a\":\"gone.bin\""), MOHVIT_ERROR_IO, "/gone.bin: No such file");
    expect_fault(MAP("\"a\":\"gone.bin\""), MOHVIT_ERROR_IO,
                 "torch.save wrote, and are not read: once all are there");
    char other[160];
    snprintf(other, sizeof other, "%s", in_directory("other"));
    assert_int_equal(mkdir(other, 0700), 0);
    expect_fault(MAP("\"a\":\"other\""), MOHVIT_ERROR_IO, "/other: is a directory");
    assert_int_equal(rmdir(other), 0);
    assert_int_equal(mkfifo(other, 0600), 0);
    expect_fault(MAP("\"a\":\"other\""), MOHVIT_ERROR_IO, "/other: is not a regular file");
    unlink(other);
    const char *const contents[] = {"", "PK\3", "\x80", "PKZIP file", "{\"weight_map\":{}}"};
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        blob_write(other, contents[i], strlen(contents[i]));
        expect_fault(MAP("\"a\":\"other\""), MOHVIT_ERROR_FORMAT, "/other: is not a safetensors file");
        unlink(other);
    }
}

/* The index of pytorch_model.bin looks like any other. */
static void shards_that_torch_save_wrote_are_told_from_damaged_ones(void **state)
{
    (void)state;
    const char *const contents[] = {"PK\3\4 and more", "PK\3\4", "\x80\2}q and more"};
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        blob_write(in_directory("part.bin"), contents[i], strlen(contents[i]));
        expect_fault(MAP("\"a\":\"part.bin\""), MOHVIT_ERROR_UNSUPPORTED,
                     "/part.bin: is a shard that torch.save wrote, and only those of safetensors are read");
        unlink(in_directory("part.bin"));
    }
}

static void names_that_lead_elsewhere_are_refused(void **state)
{
    (void)state;
    const char *const names[] = {"\"../m.safetensors\"",
                                 "\"/etc/passwd\"",
                                 "\"a/b\"",
                                 "\"..\"",
                                 "\".\"",
                                 "\"\"",
                                 "7",
                                 "null",
                                 "[\"a\"]"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[128];
        snprintf(text, sizeof text, MAP("\"a\":%s"), names[i]);
        expect_fault(text, MOHVIT_ERROR_FORMAT,
                     "weight_map: a: expected the name of a file beside the index");
    }
    expect_fault(MAP("\"a\":\"x\\u0000y\""), MOHVIT_ERROR_FORMAT, "JSON");
}

static void every_tensor_is_where_the_index_says_once(void **state)
{
    (void)state;
    expect_fault(MAP("\"a\":\"" FIRST "\",\"b\":\"" FIRST "\",\"c\":\"" LAST "\",\"d\":\"" LAST "\""),
                 MOHVIT_ERROR_FORMAT, "weight_map: d: is not in " LAST);
    expect_fault(MAP("\"a\":\"" FIRST "\",\"c\":\"" LAST "\""), MOHVIT_ERROR_FORMAT,
                 FIRST ": holds tensor b, which the index does not have");
    expect_fault(MAP("\"a\":\"" LAST "\",\"b\":\"" FIRST "\",\"c\":\"" LAST "\""), MOHVIT_ERROR_FORMAT,
                 FIRST ": holds tensor a, which the index puts in " LAST);
    expect_fault(MAP("\"a\":\"" FIRST "\",\"a\":\"" LAST "\""), MOHVIT_ERROR_FORMAT, "duplicate");
    write_shard(LAST, (const char *const[]){"c", "a"}, 2, 3, NULL); // a lies in both
    expect_fault(good, MOHVIT_ERROR_FORMAT, LAST ": holds tensor a, which the index puts in " FIRST);
    write_shard(LAST, (const char *const[]){"c"}, 1, 3, "{}");
}

static void json_that_is_no_index_says_so(void **state)
{
    (void)state;
    const char *const texts[] = {"{\"embed_dims\": [8]}", "{\"weight_map\": []}", "{\"weight_map\": {}}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect_fault(texts[i], MOHVIT_ERROR_FORMAT, "is JSON, but not the index of a checkpoint");
    expect_fault("{\"weight_map\": ", MOHVIT_ERROR_FORMAT, "JSON");
    mohvit_error err;
    expect_error(open_and_read(good, strlen(good), "m", NULL, &err), &err, MOHVIT_ERROR_UNSUPPORTED, "m",
                 "read from a file alone");
}

/* An index of so many tensors, each in a shard of its own or all in one. */
static char *large_index(size_t count, bool one_shard)
{
    size_t room = 32 * count + 32, used = 0;
    char *text = malloc(room);
    assert_non_null(text);
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, room - used, "%s\"t%zu\":\"s%zu\"",
                                 i ? "," : "{\"weight_map\":{", i, one_shard ? 0 : i);
    snprintf(text + used, room - used, "}}");
    return text;
}

static void more_than_can_be_opened_is_refused(void **state)
{
    (void)state;
    char *text = large_index(513, false);
    expect_fault(text, MOHVIT_ERROR_LIMIT, "names 513 shards; at most 512");
    free(text);
    text = large_index(65537, true);
    expect_fault(text, MOHVIT_ERROR_LIMIT, "names 65537 tensors; at most 65536");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_index_reads_its_shards),
        cmocka_unit_test(the_shards_of_a_path_are_listed_by_name),
        cmocka_unit_test(a_shard_that_cannot_be_read_is_named),
        cmocka_unit_test(shards_that_torch_save_wrote_are_told_from_damaged_ones),
        cmocka_unit_test(names_that_lead_elsewhere_are_refused),
        cmocka_unit_test(every_tensor_is_where_the_index_says_once),
        cmocka_unit_test(json_that_is_no_index_says_so),
        cmocka_unit_test(more_than_can_be_opened_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

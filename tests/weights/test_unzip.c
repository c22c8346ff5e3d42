/* Zips, assembled by hand where libzip would not write them so. What torch.save makes of them is
 * test_pth.c's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/weights/pickle_writing.h"
#include "weights/unzip.h"

#define TEXT      "heads, heads, heads, heads and more heads"
#define TEXT_SIZE (sizeof TEXT - 1)

/* Opens the zip and reads one entry; what it holds in text. */
static mohvit_status read_one(blob b, const char *name, char text[64], mohvit_error *err)
{
    unzip *z = malloc(sizeof *z);
    unsigned char *copy = malloc(b.size ? b.size : 1); // of exactly these bytes, for a sanitizer
    assert_non_null(z);
    assert_non_null(copy);
    memcpy(copy, b.data, b.size);
    const byte_source src = {.name = "x.zip", .fd = -1, .data = copy, .size = b.size};
    memset(text, 0, 64);
    mohvit_status status = unzip_open(z, &src, err);
    if (!status) {
        const unzip_entry *e = unzip_find(z, name);
        assert_non_null(e);
        assert_true(e->size < 64);
        status = unzip_seek(z, e, name, err);
        if (!status)
            status = unzip_read(z, text, (size_t)e->size, name, err);
    }
    unzip_close(z);
    free(copy);
    free(z);
    return status;
}

static void expect_text(blob b, const char *name)
{
    char text[64];
    mohvit_error err;
    expect_ok(read_one(b, name, text, &err), &err);
    assert_string_equal(text, TEXT);
}

static void expect_refusal(blob b, mohvit_status status, const char *cause)
{
    char text[64];
    mohvit_error err;
    expect_error(read_one(b, "b", text, &err), &err, status, "x.zip", cause);
}

/* Three entries: "b" holds the text. */
static blob three_entries(bool deflate)
{
    const zip_entry entries[] = {{"c", "2", 1, false}, {"b", TEXT, TEXT_SIZE, deflate}, {"a", "1", 1, false}};
    return make_zip(entries, 3);
}

/* Where the directory's header of "b" is. */
static unsigned char *header_of_b(blob b)
{
    unsigned char *found = NULL;
    for (size_t i = 0; i + 47 <= b.size; i++)
        if (memcmp(b.data + i, "PK\1\2", 4) == 0 && b.data[i + 46] == 'b')
            found = b.data + i;
    assert_non_null(found);
    return found;
}

static void put_number(unsigned char *at, size_t n, uint64_t value)
{
    memcpy(at, &value, n);
}

static void entries_are_found_by_name_stored_and_deflated(void **state)
{
    (void)state;
    for (int deflate = 0; deflate < 2; deflate++) {
        blob b = three_entries(deflate);
        assert_int_equal(header_of_b(b)[10], deflate ? 8 : 0);
        expect_text(b, "b");
        char text[64];
        assert_int_equal(read_one(b, "a", text, NULL), MOHVIT_OK);
        assert_string_equal(text, "1");
        free(b.data);
    }
}

static void bytes_may_be_read_in_pieces_and_left_out(void **state)
{
    (void)state;
    for (int deflate = 0; deflate < 2; deflate++) {
        blob b = three_entries(deflate);
        static unzip z;
        char text[64] = "";
        mohvit_error err;
        const byte_source src = {.name = "x.zip", .fd = -1, .data = b.data, .size = b.size};
        expect_ok(unzip_open(&z, &src, &err), &err);
        assert_null(unzip_find(&z, "d"));
        assert_null(unzip_find(&z, ""));
        const unzip_entry *e = unzip_find(&z, "b");
        expect_ok(unzip_seek(&z, e, "b", &err), &err);
        for (size_t i = 0; i < TEXT_SIZE; i++)
            expect_ok(unzip_read(&z, text + i, 1, "b", &err), &err);
        assert_string_equal(text, TEXT);
        expect_error(unzip_read(&z, text, 1, "b", &err), &err, MOHVIT_ERROR_FORMAT, "x.zip",
                     "the data end early");
        expect_ok(unzip_seek(&z, e, "b", &err), &err);
        assert_int_equal(unzip_skip(&z, 7), !deflate);
        if (!deflate) { // what was left out is missing from the checksum, which is no error then
            expect_ok(unzip_read(&z, text, TEXT_SIZE - 7, "b", &err), &err);
            assert_memory_equal(text, &TEXT[7], TEXT_SIZE - 7);
        }
        assert_false(unzip_skip(&z, 1000));
        unzip_close(&z);
        free(b.data);
    }
}

static void the_last_record_that_fits_ends_an_archive(void **state)
{
    (void)state;
    blob b = three_entries(false);
    blob_add(&b, "some bytes behind it, PK\5\6 among them", 37);
    expect_text(b, "b");
    free(b.data);
    b = three_entries(true);
    unsigned char *comment = b.data + b.size - 2; // how long the comment is that ends the archive
    put_number(comment, 2, 5);
    blob_add(&b, "hello", 5);
    expect_text(b, "b");
    b.size--; // the comment is cut short
    expect_refusal(b, MOHVIT_ERROR_FORMAT, "it has no directory");
    free(b.data);
    expect_refusal((blob){(unsigned char *)"PK", 2}, MOHVIT_ERROR_FORMAT, "it has no directory");
}

/* "b" alone, with 64-bit numbers wherever there may be some. */
static blob wide_zip(void)
{
    static const unsigned char local[30] = "PK\3\4";
    unsigned char directory[46] = "PK\1\2", extra[28] = {1, 0, 24}, end64[56] = "PK\6\6",
                  locator[20] = "PK\6\7", end[22] = "PK\5\6";
    blob b = {0};
    blob_add(&b, local, sizeof local);
    blob_add(&b, TEXT, TEXT_SIZE);
    uint64_t start = b.size;
    put_number(directory + 16, 4, crc32_z(0, (const unsigned char *)TEXT, TEXT_SIZE));
    put_number(directory + 20, 8, UINT64_MAX);
    put_number(directory + 28, 2, 1);
    put_number(directory + 30, 2, sizeof extra);
    put_number(directory + 42, 4, UINT32_MAX);
    put_number(extra + 4, 8, TEXT_SIZE);
    put_number(extra + 12, 8, TEXT_SIZE);
    blob_add(&b, directory, sizeof directory);
    blob_add(&b, "b", 1);
    blob_add(&b, extra, sizeof extra);
    put_number(end64 + 32, 8, 1);
    put_number(end64 + 40, 8, b.size - start);
    put_number(end64 + 48, 8, start);
    put_number(locator + 8, 8, b.size);
    blob_add(&b, end64, sizeof end64);
    blob_add(&b, locator, sizeof locator);
    put_number(end + 8, 8, UINT64_MAX);
    put_number(end + 16, 4, UINT32_MAX);
    blob_add(&b, end, sizeof end);
    return b;
}

static void numbers_of_64_bits_are_read(void **state)
{
    (void)state;
    blob b = wide_zip();
    expect_text(b, "b");
    unsigned char *extra = header_of_b(b) + 47;
    put_number(extra + 2, 2, 16); // a number is missing from it
    expect_refusal(b, MOHVIT_ERROR_FORMAT, "its directory is damaged");
    put_number(extra + 2, 2, 25); // it is longer than what holds it
    expect_refusal(b, MOHVIT_ERROR_FORMAT, "its directory is damaged");
    put_number(extra, 4, 24 << 16); // it is another
    expect_refusal(b, MOHVIT_ERROR_FORMAT, "its directory is damaged");
    put_number(extra, 4, 24 << 16 | 1);
    put_number(b.data + b.size - 34, 8, b.size); // where the record of 64 bits is
    expect_refusal(b, MOHVIT_ERROR_FORMAT, "it has no directory");
    put_number(b.data + b.size - 34, 8, UINT64_MAX);
    expect_refusal(b, MOHVIT_ERROR_FORMAT, "it has no directory");
    free(b.data);
}

typedef struct change {
    size_t at, bytes; /* of the directory's header of "b" */
    uint64_t value;
    mohvit_status status;
    const char *cause;
} change;

static void false_directories_are_errors(void **state)
{
    (void)state;
    const change changes[] = {
        {0, 4, 0, MOHVIT_ERROR_FORMAT, "its directory is damaged"},
        {28, 2, 60000, MOHVIT_ERROR_FORMAT, "its directory is damaged"}, // the name's length
        {32, 2, 60000, MOHVIT_ERROR_FORMAT, "its directory is damaged"}, // the comment's
        {46, 1, 0, MOHVIT_ERROR_FORMAT, "its directory is damaged"},     // a NUL in the name
        {46, 1, 'a', MOHVIT_ERROR_FORMAT, "there are two entries a"},
        {8, 2, 1, MOHVIT_ERROR_UNSUPPORTED, "b: is encrypted"},
        {10, 2, 12, MOHVIT_ERROR_UNSUPPORTED, "b: is compressed otherwise"},
        {16, 4, 0, MOHVIT_ERROR_FORMAT, "CRC error"},
        {20, 4, 1, MOHVIT_ERROR_FORMAT, "the data end early"}, // bytes in the file
        {20, 4, 1 << 20, MOHVIT_ERROR_FORMAT, "the data end early"},
        {24, 4, TEXT_SIZE + 1, MOHVIT_ERROR_FORMAT, "the data end early"}, // bytes of the entry
        {42, 4, 1, MOHVIT_ERROR_FORMAT, "there is no such entry"},
        {42, 4, 1 << 20, MOHVIT_ERROR_FORMAT, "past the end of the file"},
    };
    for (size_t i = 0; i < 2 * sizeof changes / sizeof *changes; i++) {
        const change *c = &changes[i / 2];
        blob b = three_entries(i % 2);
        put_number(header_of_b(b) + c->at, c->bytes, c->value);
        expect_refusal(b, c->status, c->cause);
        free(b.data);
    }
    blob b = three_entries(true);
    put_number(header_of_b(b) + 24, 4, TEXT_SIZE - 1);
    expect_refusal(b, MOHVIT_ERROR_FORMAT, "more data than the directory says");
    put_number(b.data + b.size - 12, 2, 4); // entries: one more than there are
    put_number(b.data + b.size - 14, 2, 4);
    expect_refusal(b, MOHVIT_ERROR_FORMAT, "its directory is damaged");
    free(b.data);
}

/* As a file of that size without bytes, but for its last ones. */
static void a_large_directory_is_refused_before_it_is_read(void **state)
{
    (void)state;
    char dir[64], path[128];
    enter_scratch(dir);
    snprintf(path, sizeof path, "%s/x.zip", dir);
    const size_t size = UNZIP_MAX_DIRECTORY + 1;
    unsigned char end[22] = "PK\5\6";
    put_number(end + 8, 2, 1);
    put_number(end + 10, 2, 1);
    put_number(end + 12, 4, size);
    blob_write(path, end, sizeof end);
    assert_int_equal(truncate(path, (off_t)size), 0);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    assert_int_equal(fwrite(end, 1, sizeof end, f), sizeof end);
    assert_int_equal(fclose(f), 0);
    byte_source src;
    mohvit_error err;
    static unzip z;
    expect_ok(byte_source_open(&src, path, &err), &err);
    expect_error(unzip_open(&z, &src, &err), &err, MOHVIT_ERROR_LIMIT, path,
                 "a directory of 67108865 bytes; at most 67108864 are read");
    unzip_close(&z);
    byte_source_close(&src);
    unlink(path);
    leave_scratch(dir);
}

static void damaged_zips_never_crash(void **state)
{
    (void)state;
    uint64_t random = 1;
    for (int round = 0; round < 6000; round++) {
        blob b = round % 3 == 2 ? wide_zip() : three_entries(round % 3);
        for (int i = 0; i < 3; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            b.data[(random >> 33) % b.size] = (unsigned char)(random >> 24);
        }
        static unzip z;
        char text[64];
        const byte_source src = {.name = "x.zip", .fd = -1, .data = b.data, .size = b.size};
        if (unzip_open(&z, &src, NULL) == MOHVIT_OK)
            for (size_t i = 0; i < z.count; i++) {
                size_t size = z.entries[i].size < sizeof text ? (size_t)z.entries[i].size : sizeof text;
                if (unzip_seek(&z, &z.entries[i], "it", NULL) == MOHVIT_OK)
                    (void)unzip_read(&z, text, size, "it", NULL);
            }
        unzip_close(&z);
        free(b.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_found_by_name_stored_and_deflated),
        cmocka_unit_test(bytes_may_be_read_in_pieces_and_left_out),
        cmocka_unit_test(the_last_record_that_fits_ends_an_archive),
        cmocka_unit_test(numbers_of_64_bits_are_read),
        cmocka_unit_test(false_directories_are_errors),
        cmocka_unit_test(a_large_directory_is_refused_before_it_is_read),
        cmocka_unit_test(damaged_zips_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

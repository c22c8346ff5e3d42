/* MNIST's files, and classes that are numbers alone. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/imgio/dataset_testing.h"

#include <zlib.h>

static void write_idx(const char *path, const uint8_t *data, size_t size, bool packed)
{
    gzFile f = gzopen(path, packed ? "wb" : "wbT"); // T: as it is
    assert_non_null(f);
    assert_int_equal(gzwrite(f, data, (unsigned)size), (int)size);
    gzclose(f);
}

static const uint8_t images[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 10, 20, 30, 40};
static const uint8_t numbers[] = {0, 0, 8, 1, 0, 0, 0, 2, 2, 0};

static void idx_files_are_gray_pictures(void **state)
{
    (void)state;
    for (int packed = 0; packed < 2; packed++) {
        sample s;
        write_idx("i", images, sizeof images, packed);
        write_idx("l", numbers, sizeof numbers, !packed);
        dataset *d = open_one("idx:i,l");
        holds(d, "0=2 1=0");
        assert_string_equal(dataset_prefix(d, 0), "i#");
        assert_int_equal(dataset_read(d, 1, &s, NULL), MOHVIT_OK);
        assert_int_equal(s.width, 2);
        assert_int_equal(s.height, 1);
        assert_memory_equal(s.bytes, ((const uint8_t[]){30, 30, 30, 40, 40, 40}), 6);
        sample_free(&s);
        dataset_close(d);
    }
}

static void damaged_idx_files_are_refused(void **state)
{
    (void)state;
    uint8_t bad[sizeof images];
    write_idx("l", numbers, sizeof numbers, false);
    for (int packed = 0; packed < 2; packed++)
        for (size_t size = 0; size < sizeof images; size++) {
            write_idx("i", images, size, packed);
            assert_null(open_with("idx:i,l", (dataset_options){0}));
        }
    write_idx("i", images, sizeof images, false);
    for (size_t size = 0; size < sizeof numbers; size++) {
        write_idx("l", numbers, size, false);
        refused("idx:i,l", (dataset_options){0}, "l: ", "");
    }
    write_idx("l", numbers, sizeof numbers, false);
    memcpy(bad, images, sizeof bad);
    bad[2] = 0x0d;
    write_idx("i", bad, sizeof bad, false);
    refused("idx:i,l", (dataset_options){0}, "type 0x0d", "");
    memcpy(bad, images, sizeof bad);
    memset(bad + 4, 0x0f, 4); // 250 million pictures in 4 bytes
    write_idx("i", bad, sizeof bad, false);
    refused("idx:i,l", (dataset_options){0}, "i: is cut short", "");
    write_idx("i", bad, sizeof bad, true);
    refused("idx:i,l", (dataset_options){0}, "i: 252645135 pictures in", "packed bytes; at most 655");
    memcpy(bad, images, sizeof bad);
    bad[7]++; // a picture more than there are
    write_idx("i", bad, sizeof bad, true);
    refused("idx:i,l", (dataset_options){0}, "i: is cut short", "");
    memcpy(bad, images, sizeof bad);
    bad[11] = 0;
    write_idx("i", bad, sizeof bad, false);
    refused("idx:i,l", (dataset_options){0}, "dimension 1 is 0", "");
    static const uint8_t four_channels[] = {0, 0, 8, 4, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0,
                                            0, 1, 0, 0, 0, 4, 1, 2, 3, 4, 5, 6, 7, 8};
    write_idx("i", four_channels, sizeof four_channels, false);
    refused("idx:i,l", (dataset_options){0}, "i: 4 dimensions", "with 3 channels");
    write_idx("i", images, sizeof images, false);
    write_idx("l", (const uint8_t[]){0, 0, 8, 1, 0, 0, 0, 3, 2, 0, 1}, 11, false);
    refused("idx:i,l", (dataset_options){0}, "3 labels", "expected 2");
    write_idx("l", (const uint8_t[]){0, 0, 8, 1, 0, 0, 0, 2, 2, 3}, 10, false);
    refused("idx:i,l", (dataset_options){0}, "l#1: class 3", "expected 0 to 2");
}

static void packed_idx_files_are_read_up_to_their_checksum(void **state)
{
    (void)state;
    struct stat st;
    uint8_t more[sizeof images + 1] = {0};
    write_idx("l", numbers, sizeof numbers, true);
    write_idx("whole", images, sizeof images, true);
    assert_int_equal(stat("whole", &st), 0);
    for (off_t size = 0; size < st.st_size; size++) {
        shell("cp whole i");
        assert_int_equal(truncate("i", size), 0);
        if (open_with("idx:i,l", (dataset_options){0}))
            fail_msg("cut to %ld of %ld bytes: taken", (long)size, (long)st.st_size);
    }
    refused("idx:i,l", (dataset_options){0}, "i: is cut short", "");
    shell("cp whole i; printf '\\377\\377' | dd of=i bs=1 conv=notrunc status=none seek=$(($(stat -c %s i) - "
          "7))");
    refused("idx:i,l", (dataset_options){0}, "i: incorrect data check", "");
    assert_null(strstr(last.message, "i: i: "));
    memcpy(more, images, sizeof images);
    write_idx("i", more, sizeof more, true);
    refused("idx:i,l", (dataset_options){0}, "i: holds more than its header tells", "");
    shell("cp whole i; head -c $(($(stat -c %s l) - 1)) l >cut; mv cut l");
    refused("idx:i,l", (dataset_options){0}, "l: is cut short", "");
}

/* In whatever way they lie there. */
static void an_idx_file_without_idx_before_it_is_told_how_to_be_named(void **state)
{
    (void)state;
    for (int packed = 0; packed < 2; packed++) {
        write_idx("i", images, sizeof images, packed);
        write_idx("l", numbers, sizeof numbers, packed);
        refused("i", (dataset_options){0}, "i: is an idx file; expected idx:IMAGES,LABELS",
                "where this is IMAGES");
        refused("l", (dataset_options){0}, "l: is an idx file; expected idx:IMAGES,LABELS",
                "where this is LABELS");
    }
}

/* ---- Classes by number -------------------------------------------------------------------------- */

/* Whether opening warns that the pictures' classes may be others than the model's first. */
static bool doubts(const char *argument, dataset_options o)
{
    dataset *d = open_with(argument, o);
    assert_non_null(d);
    dataset_close(d);
    return strstr(warnings, "any other answer counts as wrong");
}

static void fewer_classes_than_the_model_has_are_warned_about_if_numbers_alone_name_them(void **state)
{
    (void)state;
    const dataset_options by_label = {.classes = thousand},
                          by_truth = {.truth = "truth", .classes = thousand};
    const uint8_t zero_one[] = {0, 0, 8, 1, 0, 0, 0, 2, 1, 0};
    bool chosen[1000] = {true, true};
    write_idx("i", images, sizeof images, false);
    write_idx("l", zero_one, sizeof zero_one, false);
    assert_true(doubts("idx:i,l", by_label));
    assert_non_null(strstr(warnings, "of 2 classes, 0 to 1, and the model knows 1000"));
    assert_false(doubts("idx:i,l", (dataset_options){.subset = chosen, .classes = thousand}));
    shell("mkdir flat; touch flat/0.jpg flat/1.jpg flat/2.jpg; printf 0 >flat/0.cls; printf 1 >flat/1.cls");
    shell("tar -C flat -cf x.tar 0.jpg 0.cls 1.jpg 1.cls");
    assert_true(doubts("x.tar", by_label));
    write_text("truth", "0 0\n1 1\n2 2\n");
    assert_true(doubts("flat", by_truth));
    assert_false(doubts("flat", (dataset_options){.truth = "truth"})); // as many as there are
    write_text("truth", "0 0\n1 1\n2 7\n");                            // some pictures of many classes
    assert_false(doubts("flat", by_truth));
    write_text("truth", "0 n01440764\n1 1\n2 2\n");
    assert_false(doubts("flat", by_truth));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(idx_files_are_gray_pictures),
        TEST(damaged_idx_files_are_refused),
        TEST(an_idx_file_without_idx_before_it_is_told_how_to_be_named),
        TEST(packed_idx_files_are_read_up_to_their_checksum),
        TEST(fewer_classes_than_the_model_has_are_warned_about_if_numbers_alone_name_them),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* Every allocation on the way to a data set fails once, and then for good from there on. Each time opening
 * says that memory ran out, or gives the pictures that it gives otherwise, and leaves nothing open. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/imgio/dataset_testing.h"
#include "tests/vit/api/scarce.h"

#include <dirent.h>

static size_t open_files(void)
{
    size_t count = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

static void assert_same_items(const dataset *a, const dataset *b)
{
    assert_int_equal(dataset_count(a), dataset_count(b));
    for (size_t i = 0; i < dataset_count(a); i++) {
        const dataset_item *x = dataset_item_at(a, i), *y = dataset_item_at(b, i);
        assert_string_equal(x->name, y->name);
        assert_int_equal(x->class_index, y->class_index);
        assert_int_equal(x->size, y->size);
    }
}

static void starve(const char *argument, dataset_options o, size_t count)
{
    dataset *whole = open_with(argument, o);
    if (!whole)
        fail_msg("%s: %s", argument, last.message);
    assert_int_equal(dataset_count(whole), count);
    for (int lasting = 0; lasting < 2; lasting++) {
        size_t files = open_files(), n;
        bool reached = true;
        for (n = 1; reached; n++) {
            scarce_begin(n, lasting);
            dataset *d = open_with(argument, o);
            reached = scarce_end() >= n;
            if (d)
                assert_same_items(d, whole);
            else if (last.status != MOHVIT_ERROR_MEMORY || !*last.message)
                fail_msg("%s, allocation %zu: status %d, \"%s\"; expected that there was no memory", argument,
                         n, (int)last.status, last.message);
            dataset_close(d);
            assert_int_equal(open_files(), files);
        }
        print_message("  %s: %zu allocations%s\n", argument, n - 2, lasting ? " and all after" : "");
        assert_true(n > 5);
    }
    dataset_close(whole);
}

/* Names fill the first block of the data set's memory, so that some are the first of the next one. */
static void folders_need_memory_and_say_so(void **state)
{
    (void)state;
    char folder[201], path[512];
    memset(folder, 'f', 200);
    folder[200] = '\0';
    snprintf(path, sizeof path, "mkdir -p long/%s val/cat val/dog", folder);
    shell(path);
    for (int i = 0; i < 150; i++) {
        snprintf(path, sizeof path, "long/%s/%s%03d.jpg", folder, folder, i);
        write_text(path, "j");
    }
    starve("long", (dataset_options){.unlabelled = true}, 150);
    write_text("val/cat/a.jpg", "a");
    write_text("val/dog/b.png", "b");
    write_text("val/dog/c.gif", "GIF89a");
    starve("val", (dataset_options){0}, 2);
}

static void lists_and_truth_need_memory_and_say_so(void **state)
{
    (void)state;
    shell("mkdir flat; echo a >flat/a.jpg; echo b >flat/b.jpg; ls -d flat/* >list");
    write_text("truth", "a.jpg 2\nb.jpg 0\n");
    write_text("truth.csv", "filename,label\na.jpg,2\nb.jpg,0\n");
    write_text("order", "2\n0\n");
    starve("flat", (dataset_options){.truth = "truth"}, 2);
    starve("flat", (dataset_options){.truth = "truth.csv"}, 2);
    starve("list", (dataset_options){.truth_in_order = "order"}, 2);
}

static void archives_need_memory_and_say_so(void **state)
{
    (void)state;
    shell("mkdir -p val/cat val/dog s; echo a >val/cat/a.jpg; echo b >val/dog/b.jpg; tar -cf folders.tar val;"
          "echo a >s/1.jpg; echo 2 >s/1.cls; echo b >s/2.jpg; echo 0 >s/2.cls;"
          "tar -C s -cf samples.tar 1.jpg 1.cls 2.jpg 2.cls");
    starve("folders.tar", (dataset_options){0}, 2);
    starve("samples.tar", (dataset_options){0}, 2);
    static const uint8_t images[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 10, 20, 30, 40},
                         numbers[] = {0, 0, 8, 1, 0, 0, 0, 2, 2, 0};
    write_file("i", images, sizeof images);
    write_file("l", numbers, sizeof numbers);
    starve("idx:i,l", (dataset_options){0}, 2);
    shell("gzip i l");
    starve("idx:i.gz,l.gz", (dataset_options){0}, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(folders_need_memory_and_say_so),
        TEST(lists_and_truth_need_memory_and_say_so),
        TEST(archives_need_memory_and_say_so),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

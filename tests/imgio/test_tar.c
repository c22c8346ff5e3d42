/* Pictures in a tar, in folders of classes or with classes from elsewhere. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/imgio/dataset_testing.h"

static void a_tar_is_read_where_it_lies(void **state)
{
    (void)state;
    char command[1024], name[300];
    make_image_folder();
    shell("rm -r val/dog/more"); // the folder around a picture is what counts in a tar
    memset(name, 'n', 250);      // longer than a header holds
    strcpy(name + 250, ".jpg");
    snprintf(command, sizeof command, "printf long >val/dog/%s", name);
    shell(command);
    for (const char *const *format = (const char *const[]){"gnu", "pax", NULL}; *format; format++) {
        snprintf(command, sizeof command, "tar -H %s -C val -cf x.tar ./cat ./dog ./bird", *format);
        shell(command);
        dataset *d = open_one("x.tar");
        assert_int_equal(dataset_count(d), 5);
        bool found = false;
        for (size_t i = 0; i < 5; i++) {
            const dataset_item *item = dataset_item_at(d, i);
            if (!strcmp(item->name, "cat/c.webp"))
                reads(d, i, "cc");
            if (strlen(item->name) > 250)
                reads(d, i, "long");
            found = found || (!strcmp(item->name, "dog/a.JPEG") && item->class_index == 1);
        }
        assert_true(found);
        assert_string_equal(dataset_prefix(d, 0), "x.tar/");
        assert_non_null(strstr(warnings,
                               "1 file is not called like a picture, but begins like one, and counts: "
                               "x.tar/bird/unnamed\n"));
        dataset_close(d);
        shell("rm x.tar; true");
    }
    shell("tar -H ustar -cf flat.tar -C val/dog a.JPEG b.jpg");
    write_text("truth", "a dog\nb cat\n");
    dataset *d = open_with("flat.tar", (dataset_options){.truth = "truth"});
    assert_non_null(d);
    holds(d, "a.JPEG=1 b.jpg=0");
    dataset_close(d);
}

static void folders_of_a_tar_are_those_of_the_folder_that_it_unpacks_to(void **state)
{
    (void)state;
    shell("mkdir -p top/in/dog/cat top/in/bird; touch top/in/dog/cat/x.jpg top/in/bird/x.jpg "
          "top/in/dog/photo.v2.jpg");
    shell("tar -cf x.tar top; tar -C top/in -cf y.tar bird dog");
    dataset *d = open_one("x.tar");
    assert_int_equal(dataset_count(d), 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(dataset_item_at(d, i)->class_index,
                         strstr(dataset_item_at(d, i)->name, "bird") ? 2 : 1);
    dataset_close(d);
    shell("tar -C top/in -cf y.tar bird/x.jpg dog/photo.v2.jpg dog/cat/x.jpg");
    d = open_one("y.tar");
    holds(d, "bird/x.jpg=2 dog/photo.v2.jpg=1 dog/cat/x.jpg=1");
    dataset_close(d);
    shell("touch top/in/x.jpg; tar -C top -cf x.tar in");
    refused("x.tar", (dataset_options){0}, "x.tar: 1 of 1 folder is not a class", "\"in\"");
}

static void a_path_that_returns_in_a_tar_replaces_the_earlier(void **state)
{
    (void)state;
    shell("mkdir cat dog; printf old >cat/x.jpg; printf b >dog/b.jpg; tar -cf x.tar cat/x.jpg dog/b.jpg; "
          "printf newer "
          ">cat/x.jpg; tar -rf x.tar ./cat/x.jpg");
    dataset *d = open_one("x.tar");
    holds(d, "dog/b.jpg=1 cat/x.jpg=0");
    reads(d, 1, "newer");
    assert_non_null(strstr(
        warnings, "x.tar: 1 member is replaced by a later one of the same name, such as \"cat/x.jpg\""));
    dataset_close(d);
    write_text("truth", "x 2\nb 0\n");
    d = open_with("x.tar", (dataset_options){.truth = "truth"});
    holds(d, "dog/b.jpg=0 cat/x.jpg=2");
    dataset_close(d);
    shell("rm cat/x.jpg; mkdir cat/x.jpg; tar --no-recursion -rf x.tar cat/x.jpg");
    d = open_one("x.tar"); // by a folder, too
    holds(d, "dog/b.jpg=1");
    assert_non_null(strstr(warnings, "x.tar: 2 members are replaced"));
    dataset_close(d);
}

static void pictures_that_a_tar_links_to_are_refused(void **state)
{
    (void)state;
    static const char *const links[] = {"ln val/cat/c.webp val/cat/d.webp", "ln -s c.webp val/cat/d.webp"};
    for (size_t i = 0; i < 2; i++) {
        make_image_folder();
        shell(links[i]);
        shell("tar -C val --sort=name -cf x.tar cat");
        refused("x.tar", (dataset_options){0}, "x.tar: \"cat/d.webp\" is a link",
                "--dereference --hard-dereference");
        shell("tar -C val --sort=name --dereference --hard-dereference -cf x.tar cat");
        dataset *d = open_one("x.tar");
        holds(d, "cat/c.webp=0 cat/d.webp=0");
        reads(d, 1, "cc");
        dataset_close(d);
        shell("rm -r val");
    }
}

/* Without it, folders in the order of their names would be other classes than once the tar is unpacked. */
static void folders_that_a_tar_links_to_are_refused(void **state)
{
    (void)state;
    const dataset_options by_order = {.folders = FOLDERS_BY_ORDER};
    shell("mkdir -p val/a val/c val/d; for f in a c d; do touch val/$f/x.jpg; done; ln -s a val/b;"
          "tar -C val --sort=name -cf x.tar a b c d; tar -C val --sort=name --dereference --hard-dereference "
          "-cf y.tar a b c");
    refused("x.tar", by_order, "x.tar: \"b\" is a link", "--dereference");
    refused("x.tar", (dataset_options){0}, "x.tar: \"b\" is a link", "--dereference");
    dataset *d = open_with("y.tar", by_order);
    holds(d, "a/x.jpg=0 b/x.jpg=1 c/x.jpg=2");
    dataset_close(d);
}

static void members_of_a_tar_that_are_no_pictures_are_counted(void **state)
{
    (void)state;
    make_image_folder();
    shell("ln -s notes.txt val/cat/more.txt; tar -C val -cf x.tar cat; tar -C val -cf y.tar cat/c.webp");
    dataset_close(open_one("x.tar"));
    assert_non_null(strstr(warnings, "skipped 2 files that are not pictures (.txt): x.tar/cat/"));
    dataset_close(open_one("y.tar"));
    assert_null(strstr(warnings, "skipped"));
}

static void a_tar_cut_short_is_refused_wherever_it_is_cut(void **state)
{
    (void)state;
    make_image_folder();
    shell("rm -r val/dog/more; head -c 3000 /dev/zero >>val/dog/b.jpg; tar -C val -b 1 -cf whole.tar cat dog "
          "bird");
    struct stat st;
    assert_int_equal(stat("whole.tar", &st), 0);
    dataset_close(open_one("whole.tar"));
    off_t zeros = st.st_size - 1024; // two blocks, of which one is enough
    for (off_t size = 1; size < zeros + 512; size += 256) {
        shell("cp whole.tar cut.tar");
        assert_int_equal(truncate("cut.tar", size), 0);
        dataset *d = open_with("cut.tar", (dataset_options){0});
        if (d)
            fail_msg("cut to %ld of %ld bytes: taken", (long)size, (long)st.st_size);
        assert_non_null(strstr(last.message, "cut.tar: "));
    }
}

static void other_archives_are_refused_with_the_reason(void **state)
{
    (void)state;
    make_image_folder();
    shell("tar -C val -czf x.tar.gz cat dog");
    refused("x.tar.gz", (dataset_options){0}, "packed with gzip", "unpack it");
    shell("tar -C val -cf n01440764.tar cat; tar -cf outer.tar n01440764.tar");
    refused("outer.tar", (dataset_options){0}, "further tars (\"n01440764.tar\")", "");
    write_text("x.jpg", "\xff\xd8\xff");
    refused("x.jpg", (dataset_options){0}, "x.jpg: is JPEG; expected a folder, a tar, a list", "");
}

static void a_tar_that_shrinks_while_it_is_read_is_an_error(void **state)
{
    (void)state;
    sample s;
    mohvit_error err;
    make_image_folder();
    shell("tar -C val -cf x.tar cat");
    dataset *d = open_one("x.tar");
    assert_int_equal(truncate("x.tar", 1024), 0);
    assert_int_equal(dataset_read(d, 0, &s, &err), MOHVIT_ERROR_IO);
    assert_non_null(strstr(err.message, "x.tar/cat/c.webp: the file ends"));
    dataset_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_tar_is_read_where_it_lies),
        TEST(folders_of_a_tar_are_those_of_the_folder_that_it_unpacks_to),
        TEST(a_path_that_returns_in_a_tar_replaces_the_earlier),
        TEST(pictures_that_a_tar_links_to_are_refused),
        TEST(folders_that_a_tar_links_to_are_refused),
        TEST(members_of_a_tar_that_are_no_pictures_are_counted),
        TEST(a_tar_cut_short_is_refused_wherever_it_is_cut),
        TEST(other_archives_are_refused_with_the_reason),
        TEST(a_tar_that_shrinks_while_it_is_read_is_an_error),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

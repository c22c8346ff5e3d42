/* Labelled pictures from folders, lists, tars and idx files: which, in what order, of what class, and their
 * bytes. What looks like a picture here only begins like one: nothing is decoded. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "imgio/dataset/dataset.h"
#include "tests/imgio/folder_testing.h"
#include "weights/labels.h"
#include "imgio/dataset/truth.h"

#include <sys/resource.h>
#include <zlib.h>

static labels three, imagenet;
static class_table *classes, *thousand;

static class_table *make_table(const labels *l)
{
    class_table *t;
    const class_names names = {l->count, l->name, l->id};
    assert_int_equal(class_table_create(&t, &names, NULL), MOHVIT_OK);
    return t;
}

static int setup(void **state)
{
    (void)state;
    static const char text[] = "cat\ndog\nbird\n";
    if (labels_parse(&three, text, sizeof text - 1, "labels", NULL) || labels_imagenet1k(&imagenet, NULL))
        return -1;
    classes = make_table(&three);
    thousand = make_table(&imagenet);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    class_table_destroy(classes);
    class_table_destroy(thousand);
    labels_free(&three);
    labels_free(&imagenet);
    return 0;
}

static char warnings[4096];

static void note_warning(void *user, const char *message)
{
    (void)user;
    size_t used = strlen(warnings);
    snprintf(warnings + used, sizeof warnings - used, "%s\n", message);
}

static mohvit_error last;

static dataset *open_with(const char *argument, dataset_options o)
{
    dataset *d = NULL;
    char *arguments[] = {(char *)(uintptr_t)argument};
    *warnings = '\0';
    last = (mohvit_error){0};
    o.warn = (warning_sink){note_warning, NULL};
    if (!o.classes)
        o.classes = classes;
    return dataset_open(&d, arguments, 1, &o, &last) ? NULL : d;
}

static dataset *open_one(const char *argument)
{
    dataset *d = open_with(argument, (dataset_options){0});
    if (!d)
        fail_msg("%s", last.message);
    return d;
}

/* Expects an error that has both texts in it. */
static void refused(const char *argument, dataset_options o, const char *a, const char *b)
{
    dataset *d = open_with(argument, o);
    assert_null(d);
    if (!strstr(last.message, a) || !strstr(last.message, b))
        fail_msg("expected \"%s\" and \"%s\" in: %s", a, b, last.message);
}

/* Expects "name=class name=class ...". */
static void holds(const dataset *d, const char *expected)
{
    char got[4096] = "";
    for (size_t i = 0; i < dataset_count(d); i++) {
        const dataset_item *item = dataset_item_at(d, i);
        size_t used = strlen(got);
        snprintf(got + used, sizeof got - used, "%s%s=%zd", i ? " " : "", item->name,
                 (ssize_t)item->class_index);
    }
    assert_string_equal(got, expected);
}

static void reads(const dataset *d, size_t index, const char *expected)
{
    sample s;
    mohvit_error err;
    if (dataset_read(d, index, &s, &err))
        fail_msg("%s", err.message);
    assert_int_equal(s.size, strlen(expected));
    assert_memory_equal(s.bytes, expected, s.size);
    sample_free(&s);
}

static void make_image_folder(void)
{
    shell("mkdir -p val/dog/more val/cat val/bird val/.hidden");
    write_text("val/dog/b.jpg", "b");
    write_text("val/dog/a.JPEG", "aaa");
    write_text("val/dog/more/z.png", "zz");
    write_text("val/cat/c.webp", "cc");
    write_text("val/cat/notes.txt", "text");
    write_text("val/cat/.d.jpg", "hidden");
    write_text("val/.hidden/e.jpg", "hidden");
    write_text("val/bird/unnamed", "\x89PNG");
}

/* ---- Folders --------------------------------------------------------------------------------- */

static void a_folder_holds_a_folder_for_each_class(void **state)
{
    (void)state;
    make_image_folder();
    dataset *d = open_one("val/");
    holds(d, "bird/unnamed=2 cat/c.webp=0 dog/a.JPEG=1 dog/b.jpg=1 dog/more/z.png=1");
    assert_string_equal(dataset_prefix(d, 0), "val/");
    assert_int_equal(dataset_item_at(d, 2)->size, 3);
    reads(d, 2, "aaa");
    assert_non_null(strstr(warnings, "1 file that is no picture"));
    dataset_close(d);
}

static void an_empty_class_folder_is_warned_about_and_counts(void **state)
{
    (void)state;
    shell("mkdir -p order/alpha order/beta order/gamma");
    write_text("order/gamma/x.jpg", "x");
    dataset *d = open_one("order");
    holds(d, "gamma/x.jpg=2");
    assert_non_null(strstr(warnings, "order/alpha: no pictures in this folder"));
    assert_non_null(strstr(warnings, "in the order of their names"));
    dataset_close(d);
    shell("rmdir order/alpha");
    refused("order", (dataset_options){0}, "folder \"beta\"",
            "2 folders cannot be taken in order for 3 classes");
}

static void a_picture_without_a_class_is_named(void **state)
{
    (void)state;
    make_image_folder();
    write_text("val/stray.jpg", "x");
    refused("val", (dataset_options){0}, "val/stray.jpg: has no class", "--truth");
    shell("mkdir flat");
    write_text("flat/x.jpg", "x");
    refused("flat", (dataset_options){0}, "flat/x.jpg: has no class", "--truth");
    dataset *d = open_with("flat", (dataset_options){.unlabelled = true});
    holds(d, "x.jpg=-1");
    dataset_close(d);
}

static void what_is_not_there_or_empty_is_an_error(void **state)
{
    (void)state;
    refused("nowhere", (dataset_options){0}, "nowhere: ", "No such file");
    shell("mkdir empty; : >nothing; mkfifo pipe; ln -s /nowhere/x.jpg empty/.x");
    refused("empty", (dataset_options){0}, "empty: no pictures", "");
    refused("nothing", (dataset_options){0}, "nothing: no pictures", "");
    refused("pipe", (dataset_options){0}, "pipe: is neither a folder nor a regular file", "");
    shell("mkdir -p loop/cat; ln -s .. loop/cat/up");
    refused("loop", (dataset_options){0}, "loop/cat/up", "link to a folder that holds it");
}

static void a_link_to_nothing_fails_when_its_turn_comes(void **state)
{
    (void)state;
    sample s;
    mohvit_error err;
    shell("mkdir -p links/cat; ln -s /nowhere/x.jpg links/cat/x.jpg");
    dataset *d = open_one("links");
    holds(d, "cat/x.jpg=0");
    assert_int_equal(dataset_read(d, 0, &s, &err), MOHVIT_ERROR_IO);
    assert_non_null(strstr(err.message, "links/cat/x.jpg: cannot be opened: No such file"));
    dataset_close(d);
}

/* Only so many files may be open at a time: whichever comes next fails, and goes well later. */
static void a_failure_of_the_system_is_not_put_down_to_a_picture(void **state)
{
    (void)state;
    sample s;
    mohvit_error err;
    struct rlimit before;
    make_image_folder();
    dataset *d = open_one("val");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, before.rlim_max}), 0);
    mohvit_status status = dataset_read(d, 0, &s, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(status, MOHVIT_ERROR_SYSTEM);
    assert_non_null(strstr(err.message, dataset_item_at(d, 0)->name));
    assert_non_null(strstr(err.message, "cannot be opened: Too many open files"));
    assert_int_equal(dataset_read(d, 0, &s, &err), MOHVIT_OK);
    sample_free(&s);
    dataset_close(d);
}

/* It may be a picture, whatever it is called. */
static void a_file_that_the_system_fails_to_read_is_not_passed_over(void **state)
{
    (void)state;
    make_image_folder();
    shell("ln -s /proc/self/mem val/cat/x"); // opens, then EIO
    refused("val", (dataset_options){0}, "val/cat/x: cannot be read", "Input/output error");
    assert_int_equal(last.status, MOHVIT_ERROR_SYSTEM);
}

/* ---- Truth ----------------------------------------------------------------------------------- */

static void a_truth_file_names_pictures_in_several_ways(void **state)
{
    (void)state;
    shell("mkdir -p flat/sub");
    for (const char *const *name = (const char *const[]){"a.jpg", "b c.jpg", "d.jpg", "sub/e.jpg", NULL};
         *name; name++) {
        char path[64];
        snprintf(path, sizeof path, "flat/%s", *name);
        write_text(path, "x");
    }
    write_text("truth", "a.jpg dog\r\nb c.jpg\tbird\n\nd 0\ne.jpg 2\nunused.jpg 1\n");
    dataset *d = open_with("flat", (dataset_options){.truth = "truth"});
    assert_non_null(d);
    holds(d, "a.jpg=1 b c.jpg=2 d.jpg=0 sub/e.jpg=2");
    assert_non_null(strstr(warnings, "1 of its names are not among the pictures"));
    dataset_close(d);
    write_text("truth",
               "a.jpg 1\nb c.jpg 2\n./d.jpg 0\n"); // blanks in a name, where only the last is a class
    refused("flat", (dataset_options){.truth = "truth"}, "flat/sub/e.jpg: has no class",
            "truth does not name it");
}

/* Its whole name, then that without its ending, then what follows its last slash, then that without its
 * ending: lines are taken away in this order, and each time the next one counts. */
static void the_most_exact_name_of_a_picture_counts(void **state)
{
    (void)state;
    static const char *const lines[] = {"sub.d/e.jpg 0\n", "sub.d/e 1\n", "e.jpg 2\n", "e 0\n"};
    static const char *const expected[] = {"sub.d/e.jpg=0", "sub.d/e.jpg=1", "sub.d/e.jpg=2",
                                           "sub.d/e.jpg=0"};
    shell("mkdir -p flat/sub.d");
    write_text("flat/sub.d/e.jpg", "x");
    for (size_t first = 0; first < 4; first++) {
        char text[128] = "e.jp 1\ne.jpg.x 1\nsub 1\nsub.d 1\n"; // none of them
        for (size_t i = 4; i-- > first;)
            strcat(text, lines[i]);
        write_text("truth", text);
        dataset *d = open_with("flat", (dataset_options){.truth = "truth"});
        assert_non_null(d);
        holds(d, expected[first]);
        dataset_close(d);
    }
    write_text("truth", "e.jp 1\nsub 1\nsub.d 1\nd/e.jpg 1\n");
    refused("flat", (dataset_options){.truth = "truth"}, "flat/sub.d/e.jpg: has no class", "truth");
}

static void classes_out_of_range_are_refused_with_file_and_line(void **state)
{
    (void)state;
    shell("mkdir flat");
    write_text("flat/a.jpg", "x");
    write_text("truth", "b.jpg 0\na.jpg 3\n");
    refused("flat", (dataset_options){.truth = "truth"}, "truth: line 2: class 3", "expected 0 to 2");
    write_text("truth", "a.jpg 1000\n");
    refused("flat", (dataset_options){.truth = "truth", .classes = thousand}, "truth: line 1: class 1000",
            "ILSVRC's own ids");
    write_text("truth", "a.jpg 7\n");
    dataset *d = open_with("flat", (dataset_options){.truth = "truth", .classes = thousand});
    assert_non_null(strstr(warnings, "no picture has class 0"));
    dataset_close(d);
    write_text("truth", "a.jpg n01440764\n");
    d = open_with("flat", (dataset_options){.truth = "truth", .classes = thousand});
    assert_null(strstr(warnings, "no picture has class 0"));
    dataset_close(d);
    write_text("truth", "a.jpg 1\na.jpg 2\n");
    refused("flat", (dataset_options){.truth = "truth"}, "\"a.jpg\" has class 1 in line 1 and 2 in line 2",
            "");
    write_text("truth", "a.jpg\n");
    refused("flat", (dataset_options){.truth = "truth"}, "line 1", "expected a picture's name");
    write_file("truth", "a\0.jpg 1\n", 9);
    refused("flat", (dataset_options){.truth = "truth"}, "line 1", "zero byte");
    write_text("truth", "");
    refused("flat", (dataset_options){.truth = "truth"}, "truth: is empty", "");
}

static void real_labels_replace_classes_and_leave_out_the_unsure(void **state)
{
    (void)state;
    shell("mkdir val");
    for (int i = 1; i <= 3; i++) {
        char path[64];
        snprintf(path, sizeof path, "val/ILSVRC2012_val_%08d.JPEG", i);
        write_text(path, "x");
    }
    write_text("real.json", "[[5, 7], [], [999]]");
    dataset *d = open_with("val", (dataset_options){.real_labels = "real.json", .classes = thousand});
    assert_non_null(d);
    holds(d, "ILSVRC2012_val_00000001.JPEG=5 ILSVRC2012_val_00000003.JPEG=999");
    assert_int_equal(dataset_item_at(d, 0)->accepted_count, 2);
    assert_int_equal(dataset_item_at(d, 0)->accepted[1], 7);
    dataset_close(d);
    write_text("real.json", "[[5], [], [1000]]");
    refused("val", (dataset_options){.real_labels = "real.json", .classes = thousand}, "entry 2: class 1000",
            "");
    write_text("real.json", "[[5], []]");
    refused("val", (dataset_options){.real_labels = "real.json", .classes = thousand}, "00000003.JPEG",
            "not one of the 2 pictures");
    write_text("real.json", "{\"a\": 1}");
    refused("val", (dataset_options){.real_labels = "real.json", .classes = thousand},
            "expected a JSON array", "");
    write_text("real.json", "[[5], [\"x\"], 3]");
    refused("val", (dataset_options){.real_labels = "real.json", .classes = thousand}, "entry 1", "indices");
}

/* ---- Lists ----------------------------------------------------------------------------------- */

static void a_list_keeps_its_order(void **state)
{
    (void)state;
    make_image_folder();
    write_text("list", "val/dog/b.jpg\nval/cat/c.webp\r\n\nval/dog/b.jpg\nval/bird/missing.jpg\n");
    dataset *d = open_one("list");
    holds(d, "val/dog/b.jpg=1 val/cat/c.webp=0 val/dog/b.jpg=1 val/bird/missing.jpg=2");
    assert_string_equal(dataset_prefix(d, 0), "");
    reads(d, 1, "cc");
    dataset_close(d);
}

static void write_long_line(const char *path, size_t length)
{
    char *line = malloc(length + 1);
    assert_non_null(line);
    memset(line, 'x', length);
    line[length] = '\n';
    write_file(path, line, length + 1);
    free(line);
}

static void a_line_without_an_end_is_refused_where_the_limit_is(void **state)
{
    (void)state;
    bool chosen[3];
    shell("mkdir flat; : >flat/a.jpg");
    write_long_line("long", 65536);
    dataset_close(open_with("long", (dataset_options){.unlabelled = true}));
    assert_string_equal(last.message, "");
    write_long_line("long", 65537);
    refused("long", (dataset_options){.unlabelled = true}, "long: line 1", "more than 65536 bytes");
    refused("flat", (dataset_options){.truth = "long"}, "long: line 1", "more than 65536 bytes");
    assert_int_equal(subset_read(chosen, "long", classes, &last), MOHVIT_ERROR_FORMAT);
    // One that goes on and on; what is read of it must not be kept.
    refused("flat", (dataset_options){.truth = "/dev/zero"}, "/dev/zero: line 1", "zero byte");
    shell("mkfifo pipe; (yes | tr -d '\\n' >pipe) 2>/dev/null &");
    refused("flat", (dataset_options){.truth = "pipe"}, "pipe: line 1", "more than 65536 bytes");
    write_file("long", "a.jpg 0\n\0", 9);
    refused("flat", (dataset_options){.truth = "long"}, "long: line 2", "zero byte");
}

static void real_labels_of_no_known_size_are_refused(void **state)
{
    (void)state;
    shell("mkdir flat; : >flat/a.jpg; mkfifo pipe");
    for (const char *const *path = (const char *const[]){"pipe", "/dev/zero", "flat", NULL}; *path; path++)
        refused("flat", (dataset_options){.real_labels = *path}, *path, "is not a regular file");
}

/* ---- Tars ------------------------------------------------------------------------------------ */

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

static void webdataset_pairs_pictures_with_classes(void **state)
{
    (void)state;
    shell("mkdir w; printf a >w/0001.jpg; printf 2 >w/0001.cls; printf b >w/0002.left.jpg; printf 'dog\\n' "
          ">w/0002.cls;"
          "printf '{}' >w/0001.json; tar -C w -cf w.tar 0001.jpg 0001.cls 0001.json 0002.cls 0002.left.jpg");
    dataset *d = open_one("w.tar");
    holds(d, "0001.jpg=2 0002.left.jpg=1");
    reads(d, 1, "b");
    dataset_close(d);
    shell("printf 3 >w/0001.cls; tar -C w -cf w.tar 0001.jpg 0001.cls");
    refused("w.tar", (dataset_options){0}, "w.tar/0001.jpg: class 3", "expected 0 to 2");
    shell("tar -C w -cf w.tar 0001.jpg 0002.left.jpg 0002.cls");
    refused("w.tar", (dataset_options){0}, "w.tar/0001.jpg: has no class", "");
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

static void members_of_a_tar_that_are_no_pictures_are_counted(void **state)
{
    (void)state;
    make_image_folder();
    shell("ln -s notes.txt val/cat/more.txt; tar -C val -cf x.tar cat; tar -C val -cf y.tar cat/c.webp");
    dataset_close(open_one("x.tar"));
    assert_non_null(strstr(warnings, "x.tar: passed over 2 files that are no pictures"));
    dataset_close(open_one("y.tar"));
    assert_null(strstr(warnings, "passed over"));
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
    refused("x.jpg", (dataset_options){0}, "expected a folder, a tar, a list", "");
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

/* ---- idx ------------------------------------------------------------------------------------- */

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
    write_idx("i", images, sizeof images, false);
    write_idx("l", (const uint8_t[]){0, 0, 8, 1, 0, 0, 0, 3, 2, 0, 1}, 11, false);
    refused("idx:i,l", (dataset_options){0}, "3 labels", "expected 2");
    write_idx("l", (const uint8_t[]){0, 0, 8, 1, 0, 0, 0, 2, 2, 3}, 10, false);
    refused("idx:i,l", (dataset_options){0}, "i#1: class 3", "expected 0 to 2");
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

/* ---- Choosing -------------------------------------------------------------------------------- */

static void make_many(size_t count)
{
    char line[64];
    FILE *f = fopen("many", "w");
    assert_non_null(f);
    for (size_t i = 0; i < count; i++) {
        snprintf(line, sizeof line, "%s/%04zu.jpg\n", three.name[i % 3], i);
        fputs(line, f);
    }
    fclose(f);
}

static void limit_takes_the_first_and_sample_any_in_their_order(void **state)
{
    (void)state;
    make_many(1000);
    dataset *d = open_with("many", (dataset_options){.limit = 2});
    holds(d, "cat/0000.jpg=0 dog/0001.jpg=1");
    dataset_close(d);
    dataset *a = open_with("many", (dataset_options){.sample = 300, .seed = 1});
    dataset *b = open_with("many", (dataset_options){.sample = 300, .seed = 1});
    dataset *c = open_with("many", (dataset_options){.sample = 300, .seed = 2});
    assert_int_equal(dataset_count(a), 300);
    size_t different = 0, late = 0;
    for (size_t i = 0; i < 300; i++) {
        assert_string_equal(dataset_item_at(a, i)->name, dataset_item_at(b, i)->name);
        different += strcmp(dataset_item_at(a, i)->name, dataset_item_at(c, i)->name) != 0;
        late += strcmp(strchr(dataset_item_at(a, i)->name, '/'), "/0500") >= 0;
        if (i)
            assert_true(strcmp(strchr(dataset_item_at(a, i - 1)->name, '/'),
                               strchr(dataset_item_at(a, i)->name, '/')) < 0);
    }
    assert_true(different > 200);
    assert_in_range(late, 120, 180);
    dataset_close(a);
    dataset_close(b);
    dataset_close(c);
}

static void a_subset_leaves_other_classes_out(void **state)
{
    (void)state;
    bool chosen[3];
    make_many(6);
    write_text("subset", "dog\n2\n");
    assert_int_equal(subset_read(chosen, "subset", classes, NULL), MOHVIT_OK);
    dataset *d = open_with("many", (dataset_options){.subset = chosen});
    holds(d, "dog/0001.jpg=1 bird/0002.jpg=2 dog/0004.jpg=1 bird/0005.jpg=2");
    assert_non_null(strstr(warnings, "2 pictures of classes outside the subset"));
    dataset_close(d);
    write_text("subset", "\n");
    assert_int_equal(subset_read(chosen, "subset", classes, NULL), MOHVIT_ERROR_FORMAT);
    write_text("subset", "dog\nwolf\n");
    assert_int_equal(subset_read(chosen, "subset", classes, &last), MOHVIT_ERROR_FORMAT);
    assert_non_null(strstr(last.message, "subset: line 2: \"wolf\""));
}

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_folder_holds_a_folder_for_each_class),
        TEST(an_empty_class_folder_is_warned_about_and_counts),
        TEST(a_picture_without_a_class_is_named),
        TEST(what_is_not_there_or_empty_is_an_error),
        TEST(a_link_to_nothing_fails_when_its_turn_comes),
        TEST(a_failure_of_the_system_is_not_put_down_to_a_picture),
        TEST(a_file_that_the_system_fails_to_read_is_not_passed_over),
        TEST(a_truth_file_names_pictures_in_several_ways),
        TEST(the_most_exact_name_of_a_picture_counts),
        TEST(classes_out_of_range_are_refused_with_file_and_line),
        TEST(real_labels_replace_classes_and_leave_out_the_unsure),
        TEST(a_list_keeps_its_order),
        TEST(a_line_without_an_end_is_refused_where_the_limit_is),
        TEST(real_labels_of_no_known_size_are_refused),
        TEST(a_tar_is_read_where_it_lies),
        TEST(webdataset_pairs_pictures_with_classes),
        TEST(pictures_that_a_tar_links_to_are_refused),
        TEST(members_of_a_tar_that_are_no_pictures_are_counted),
        TEST(a_tar_cut_short_is_refused_wherever_it_is_cut),
        TEST(other_archives_are_refused_with_the_reason),
        TEST(a_tar_that_shrinks_while_it_is_read_is_an_error),
        TEST(idx_files_are_gray_pictures),
        TEST(damaged_idx_files_are_refused),
        TEST(packed_idx_files_are_read_up_to_their_checksum),
        TEST(limit_takes_the_first_and_sample_any_in_their_order),
        TEST(a_subset_leaves_other_classes_out),
        TEST(fewer_classes_than_the_model_has_are_warned_about_if_numbers_alone_name_them),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

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
    assert_non_null(strstr(warnings, "skipped 1 file that is not a picture (.txt): val/cat/notes.txt"));
    dataset_close(d);
}

static void a_folder_without_pictures_is_skipped_unless_order_counts(void **state)
{
    (void)state;
    const dataset_options by_order = {.folders = FOLDERS_BY_ORDER};
    shell("mkdir -p order/bird order/cat order/logs; touch order/bird/x.jpg order/cat/x.jpg; tar -cf x.tar "
          "order");
    for (const char *const *from = (const char *const[]){"order", "x.tar", NULL}; *from; from++) {
        dataset *d = open_one(*from);
        assert_int_equal(dataset_count(d), 2);
        assert_int_equal(dataset_item_at(d, 1)->class_index, 0);
        assert_non_null(strstr(warnings, "skipped 1 folder without pictures: \"logs\""));
        dataset_close(d);
        refused(*from, by_order, *from, "folder \"logs\" holds no pictures");
    }
    shell("touch order/logs/x.jpg; tar --sort=name -cf x.tar order");
    for (const char *const *from = (const char *const[]){"order", "x.tar", NULL}; *from; from++) {
        refused(*from, (dataset_options){0}, *from,
                "1 of 3 folders is not a class of this model by WordNet id or label: \"logs\"");
        dataset *d = open_with(*from, by_order);
        assert_non_null(d);
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(dataset_item_at(d, i)->class_index, i);
        dataset_close(d);
    }
    shell("rm -r order/bird; tar -cf x.tar order");
    refused("order", by_order, "2 folders cannot be the 3 classes", "--truth");
    refused("x.tar", by_order, "2 folders cannot be the 3 classes", "--truth");
}

static void folders_may_be_numbers(void **state)
{
    (void)state;
    const dataset_options by_number = {.folders = FOLDERS_BY_NUMBER};
    shell("mkdir -p n/2 n/01; touch n/2/x.jpg n/01/x.jpg; tar -cf n.tar n/01 n/2");
    refused("n", (dataset_options){0}, "\"01\", \"2\"", "--classes-by-number");
    dataset *d = open_with("n", by_number);
    holds(d, "01/x.jpg=1 2/x.jpg=2");
    dataset_close(d);
    d = open_with("n.tar", by_number);
    holds(d, "n/01/x.jpg=1 n/2/x.jpg=2");
    dataset_close(d);
}

static void what_systems_put_beside_pictures_is_no_class(void **state)
{
    (void)state;
    shell("mkdir -p val/cat/.ipynb_checkpoints val/.Trashes val/__MACOSX/cat val/lost+found val/@eaDir;"
          "for f in cat/x cat/._x cat/.ipynb_checkpoints/x .Trashes/x __MACOSX/cat/._x __MACOSX/x "
          "lost+found/x @eaDir/x; do"
          " touch val/$f.jpg; done; tar -cf x.tar val; tar -C val -cf y.tar .");
    dataset *d = open_one("val");
    holds(d, "cat/x.jpg=0");
    dataset_close(d);
    d = open_one("x.tar");
    holds(d, "val/cat/x.jpg=0");
    dataset_close(d);
    d = open_one("y.tar");
    holds(d, "cat/x.jpg=0");
    assert_string_equal(warnings, "");
    dataset_close(d);
}

static void links_to_folders_are_followed(void **state)
{
    (void)state;
    shell("mkdir -p all/cat all/dog some; touch all/cat/x.jpg all/dog/x.jpg; ln -s ../all/cat some/cat; ln "
          "-s some link");
    dataset *d = open_one("link");
    holds(d, "cat/x.jpg=0");
    dataset_close(d);
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
    shell("mkdir empty; : >nothing; ln -s /nowhere/x.jpg empty/.x");
    refused("empty", (dataset_options){0}, "empty: no pictures", "");
    refused("nothing", (dataset_options){0}, "nothing: no pictures", "");
    refused("/dev/zero", (dataset_options){0}, "/dev/zero: is neither a folder nor a regular file nor a pipe",
            "");
    shell("mkdir -p loop/cat; ln -s .. loop/cat/up");
    refused("loop", (dataset_options){0}, "loop/cat/up", "link to a folder that holds it");
}

/* By name, and by content where the name says nothing: as torchvision's ImageFolder has it. */
static void pictures_that_published_scores_do_not_count_are_left_out(void **state)
{
    (void)state;
    shell("mkdir -p mixed/cat mixed/dog");
    write_text("mixed/cat/a.jpg", "x");
    write_text("mixed/cat/b.heic", "x");
    write_text("mixed/cat/c.AVIF", "x");
    write_text("mixed/cat/d.gif", "x");
    write_text("mixed/dog/e.gif", "x");
    write_text("mixed/dog/f", "GIF89a");
    write_text("mixed/dog/g.png", "GIF89a"); // called a PNG, it is one that cannot be read
    shell("tar cf mixed.tar -C mixed cat dog");
    static const char *const arguments[] = {"mixed", "mixed.tar"};
    for (size_t i = 0; i < 2; i++) {
        dataset *d = open_one(arguments[i]);
        holds(d, "cat/a.jpg=0 dog/g.png=1");
        assert_non_null(strstr(warnings, "left out 1 HEIC file\n"));
        assert_non_null(strstr(warnings, "left out 1 AVIF file\n"));
        assert_non_null(strstr(warnings, "left out 3 GIF files\n"));
        dataset_close(d);
    }
}

static void formats_that_published_scores_count_are_an_error_unless_skipped(void **state)
{
    (void)state;
    shell("mkdir -p other/cat other/dog");
    write_text("other/cat/a.jpg", "x");
    static const char *const names[] = {"b.bmp", "b.ppm", "b.PGM", "b.tif", "b.tiff", "b"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[64], list[128];
        bool named = strchr(names[i], '.');
        snprintf(path, sizeof path, "other/dog/%s", names[i]);
        snprintf(list, sizeof list, "other/cat/a.jpg\n%s\n", path);
        write_text(path, "x");
        if (!named) // its content tells
            shell("printf 'II*\\0' >other/dog/b");
        write_text("list", list);
        shell("tar cf other.tar -C other cat dog");
        static const char *const arguments[] = {"other", "other.tar", "list"};
        for (size_t k = 0; k < (named ? 3 : 2); k++) {
            refused(arguments[k], (dataset_options){0}, names[i], "--skip-other-formats");
            dataset *d = open_with(arguments[k], (dataset_options){.skip_other_formats = true});
            assert_non_null(d);
            assert_int_equal(dataset_count(d), 1);
            assert_non_null(strstr(warnings, "left out 1 "));
            dataset_close(d);
        }
        assert_int_equal(unlink(path), 0);
    }
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
    assert_non_null(strstr(warnings, "1 of its names is not among the pictures"));
    dataset_close(d);
    write_text("truth",
               "a.jpg 1\nb c.jpg 2\n./d.jpg 0\n"); // blanks in a name, where only the last is a class
    refused("flat", (dataset_options){.truth = "truth"}, "flat/sub/e.jpg: has no class",
            "truth does not name it");
}

/* The path that messages have, then that below the data, then what follows its last slash, and each of them
 * without its ending: lines are taken away in this order, and each time the next one counts. */
static void the_most_exact_name_of_a_picture_counts(void **state)
{
    (void)state;
    static const char *const lines[] = {"flat/sub.d/e.jpg 0\n", "flat/sub.d/e 1\n", "sub.d/e.jpg 2\n",
                                        "sub.d/e 0\n",          "e.jpg 1\n",        "e 2\n"};
    shell("mkdir -p flat/sub.d");
    write_text("flat/sub.d/e.jpg", "x");
    for (size_t first = 0; first < 6; first++) {
        char text[128] = "e.jp 1\ne.jpg.x 1\nsub 1\nsub.d 1\n", expected[32]; // none of them
        for (size_t i = 6; i-- > first;)
            strcat(text, lines[i]);
        write_text("truth", text);
        snprintf(expected, sizeof expected, "sub.d/e.jpg=%zu", first % 3);
        for (const char *const *data = (const char *const[]){"flat", "./flat/", NULL}; *data; data++) {
            dataset *d = open_with(*data, (dataset_options){.truth = "truth"});
            assert_non_null(d);
            holds(d, expected);
            dataset_close(d);
        }
    }
    write_text("truth", "e.jp 1\nsub 1\nsub.d 1\nd/e.jpg 1\n");
    refused("flat", (dataset_options){.truth = "truth"}, "flat/sub.d/e.jpg: has no class", "truth");
}

static void a_line_that_fits_two_pictures_is_refused(void **state)
{
    (void)state;
    const dataset_options o = {.truth = "truth"};
    shell("mkdir -p dup/a dup/b; touch dup/a/1.jpg dup/b/1.jpg");
    write_text("truth", "1.jpg 2\n");
    refused("dup", o, "truth: line 1, \"1.jpg\", fits two pictures", "dup/a/1.jpg and dup/b/1.jpg");
    write_text("truth", "1 2\nb/1.jpg 0\n"); // each its own
    dataset *d = open_with("dup", o);
    holds(d, "a/1.jpg=2 b/1.jpg=0");
    dataset_close(d);
    shell("touch dup/a/1.png; rm -r dup/b");
    refused("dup", o, "\"1\", fits two pictures", "dup/a/1.jpg and dup/a/1.png");
    write_text("list", "dup/a/1.png\ndup/a/1.png\n");
    d = open_with("list", o); // the same one twice
    holds(d, "dup/a/1.png=2 dup/a/1.png=2");
    dataset_close(d);
}

static void a_truth_file_may_be_a_csv_with_a_header(void **state)
{
    (void)state;
    static const char *const good[] = {
        "file_name,label\na.jpg,2\n\"b,\"\"c.jpg\", bird \n",
        "\xef\xbb\xbfLabel , split,Image ID\r\n2,x,a.jpg\r\nbird,,\"b,\"\"c\"\r\n",
        "\n path,class,top1\na,2,7\n\"flat/b,\"\"c.jpg\" ,\"bird\",8"};
    static const char *const bad[][2] = {
        {"file_name,label\na.jpg\n", "line 2: the fields do not fit; expected 2 fields"},
        {"file_name,label\na.jpg,2,\n", "line 2: the fields do not fit; expected 2 fields"},
        {"file_name,label\n,2\n", "line 2: the fields do not fit"},
        {"file_name,label\n\"a.jpg,2\n", "line 2: a quote does not end"},
        {"file_name,label\n\"a\".jpg,2\n", "line 2: a quote does not end"},
        {"file_name,label\na.jpg,wolf\n", "line 2: \"wolf\" is not a class"},
        {"file_name,label\na.jpg,3\n", "line 2: class 3"},
        {"file_name,id,label\na.jpg,2,2\n", "line 1: the header has 2 columns that may name a picture"},
        {"file_name,label,class_name\na.jpg,2,cat\n", "and 2 that may be its class"},
        {"a.jpg,2\n", "a CSV's header such as file_name,label"},
        {"file_name,label\n", "truth: is empty"},
    };
    shell("mkdir flat; touch flat/a.jpg 'flat/b,\"c.jpg'");
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        write_text("truth", good[i]);
        dataset *d = open_with("flat", (dataset_options){.truth = "truth"});
        if (!d)
            fail_msg("%s", last.message);
        holds(d, "a.jpg=2 b,\"c.jpg=2");
        dataset_close(d);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_text("truth", bad[i][0]);
        refused("flat", (dataset_options){.truth = "truth"}, "truth: ", bad[i][1]);
    }
}

static void kaggles_solution_is_a_class_and_its_boxes(void **state)
{
    (void)state;
    const dataset_options o = {.truth = "truth", .classes = thousand};
    shell("mkdir flat; touch flat/ILSVRC2012_val_00000001.JPEG flat/ILSVRC2012_val_00000002.JPEG");
    write_text("truth", "ImageId,PredictionString\nILSVRC2012_val_00000002,n01440764 85 1 499 272 \n"
                        "ILSVRC2012_val_00000001,n02099601 131 0 499 254 n02099601 0 1 2 3 \n");
    dataset *d = open_with("flat", o);
    assert_non_null(d);
    holds(d, "ILSVRC2012_val_00000001.JPEG=207 ILSVRC2012_val_00000002.JPEG=0");
    dataset_close(d);
    static const char *const bad[] = {"n01440764 85 1 499", "n01440764", "",
                                      "n01440764 1 2 3 4 n02099601 1 2 3 4", "n01440764 1 2 3 4 5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[256];
        snprintf(text, sizeof text, "ImageId,PredictionString\nILSVRC2012_val_00000002,%s\n", bad[i]);
        write_text("truth", text);
        refused("flat", o, "truth: line 2", "expected boxes of one class");
    }
}

static void truth_may_be_a_class_a_line_in_the_order_of_the_pictures(void **state)
{
    (void)state;
    const dataset_options o = {.truth_in_order = "truth"};
    shell("mkdir flat; touch flat/a.jpg flat/b.jpg flat/c.jpg; tar -C flat -cf x.tar a.jpg b.jpg c.jpg;"
          "tar -C flat -cf y.tar b.jpg a.jpg c.jpg; printf 'flat/c.jpg\nflat/a.jpg\nflat/b.jpg' >list");
    write_text("truth", "\xef\xbb\xbf"
                        "1\r\nbird \r\n0");
    dataset *d = open_with("flat", o);
    holds(d, "a.jpg=1 b.jpg=2 c.jpg=0");
    dataset_close(d);
    d = open_with("x.tar", o);
    holds(d, "a.jpg=1 b.jpg=2 c.jpg=0");
    dataset_close(d);
    d = open_with("list", o);
    holds(d, "flat/c.jpg=1 flat/a.jpg=2 flat/b.jpg=0");
    dataset_close(d);
    refused("y.tar", o, "y.tar/a.jpg: stands behind b.jpg", "--truth");
    write_text("truth", "1\n2\n");
    refused("flat", o, "truth: 2 classes; expected 3", "");
    write_text("truth", "1\n2\n0\n1\n");
    refused("flat", o, "truth: 4 classes; expected 3", "");
    write_text("truth", "1\n2\n3\n");
    refused("flat", o, "truth: line 3: class 3; expected 0 to 2", "counted from 0");
    shell("mkdir odd; touch odd/2.jpg odd/10.jpg odd/1.jpg");
    write_text("truth", "1\n2\n0\n");
    refused("odd", o, "odd/10.jpg: sorts before 2.jpg, whose number is smaller", "a list of the pictures");
}

static void ilsvrcs_own_numbering_is_refused(void **state)
{
    (void)state;
    FILE *lines = fopen("order", "w"), *names = fopen("names", "w"), *list = fopen("list", "w");
    assert_true(lines && names && list);
    for (int i = 0; i < 50000; i++) {
        fprintf(lines, "%d\n", 1 + i % 998);
        fprintf(names, "%05d.jpg %d\n", i, 1 + i % 998);
        fprintf(list, "%05d.jpg\n", i);
    }
    assert_false(fclose(lines) || fclose(names) || fclose(list));
    refused("list", (dataset_options){.truth_in_order = "order", .classes = thousand},
            "order: 50,000 numbers from 1 on", "ILSVRC's own ids run from 1 to 1000");
    refused("list", (dataset_options){.truth = "names", .classes = thousand},
            "names: 50,000 numbers from 1 on", "");
    shell("echo 1 >>order; echo x.jpg >>list"); // so many are of another making
    dataset *d = open_with("list", (dataset_options){.truth_in_order = "order", .classes = thousand});
    assert_non_null(d);
    assert_non_null(strstr(warnings, "order: no picture has class 0"));
    dataset_close(d);
}

static void names_of_pictures_may_hold_their_classes(void **state)
{
    (void)state;
    const dataset_options o = {.from_names = true, .classes = thousand};
    shell("mkdir -p val/x; cd val; touch ILSVRC2012_val_00000001_n01443537.JPEG x/n01440764_10026.JPEG");
    dataset *d = open_with("val", o);
    holds(d, "ILSVRC2012_val_00000001_n01443537.JPEG=1 x/n01440764_10026.JPEG=0");
    dataset_close(d);
    static const char *const bad[][2] = {{"n0144353.JPEG", "has no WordNet id"},
                                         {"n014435371.JPEG", "has no WordNet id"},
                                         {"xn01443537.JPEG", "has no WordNet id"},
                                         {"n99999999_1.JPEG", "the WordNet id in its name is not a class"},
                                         {"n01443537_n01440764.JPEG", "has several WordNet ids"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char list[64];
        snprintf(list, sizeof list, "n01443537/%s\n", bad[i][0]);
        write_text("list", list);
        refused("list", o, bad[i][0], bad[i][1]);
    }
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
    assert_int_equal(subset_read(chosen, "long", LINES_NEWLINE, classes, &last), MOHVIT_ERROR_FORMAT);
    // One that goes on and on; what is read of it must not be kept.
    refused("flat", (dataset_options){.truth = "/dev/zero"}, "/dev/zero: line 1", "zero byte");
    shell("mkfifo pipe; (yes | tr -d '\\n' >pipe) 2>/dev/null &");
    refused("flat", (dataset_options){.truth = "pipe"}, "pipe: line 1", "more than 65536 bytes");
    write_file("long", "a.jpg 0\n\0", 9);
    refused("flat", (dataset_options){.truth = "long"}, "long: line 2", "zero byte");
}

/* As all lists are, whatever the editor and the pipe. */
static void real_labels_are_read_like_other_lists(void **state)
{
    (void)state;
    const dataset_options from_pipe = {.real_labels = "pipe"}, from_file = {.real_labels = "real.json"};
    shell("mkdir flat; : >flat/ILSVRC2012_val_00000001.JPEG; mkfifo pipe;"
          "printf '\\357\\273\\277[[2,\\r\\n0]]' >real.json; cat real.json >pipe &");
    dataset *d = open_with("flat", from_pipe);
    assert_non_null(d);
    holds(d, "ILSVRC2012_val_00000001.JPEG=2");
    dataset_close(d);
    dataset_close(open_with("flat", from_file));
    assert_string_equal(last.message, "");
    shell("printf '[[2,\\n0]]\\0' >real.json");
    refused("flat", from_file, "real.json: line 2: a zero byte; expected text", "");
    shell("printf '\\377\\376[\\0[\\0002\\0]\\0]\\0' >real.json");
    refused("flat", from_file, "real.json: is UTF-16; expected UTF-8", "");
    refused("flat", (dataset_options){.real_labels = "/dev/zero"}, "/dev/zero: larger than the limit", "");
    refused("flat", (dataset_options){.real_labels = "flat"}, "flat: is a directory; expected a file", "");
}

static void lists_come_through_pipes_and_may_end_lines_with_zero_bytes(void **state)
{
    (void)state;
    const dataset_options o = {.truth = "truth", .null_lists = true};
    shell("mkdir flat; touch flat/a.jpg flat/b.jpg; cp flat/a.jpg 'flat/c\nd.jpg'; mkfifo pipe;"
          "printf '\\357\\273\\277flat/b.jpg\\r\\nflat/a.jpg' >pipe &");
    write_text("truth", "a 1\nb 2\n");
    dataset *d = open_with("pipe", (dataset_options){.truth = "truth"});
    holds(d, "flat/b.jpg=2 flat/a.jpg=1");
    dataset_close(d);
    shell("printf 'flat/b.jpg\\0flat/a.jpg\\0' >list");
    refused("list", (dataset_options){.truth = "truth"}, "list: ", "-0 (--null)");
    shell("cat list >pipe &");
    refused("pipe", (dataset_options){.truth = "truth"}, "pipe: line 1: a zero byte", "-0 (--null)");
    d = open_with("list", o);
    holds(d, "flat/b.jpg=2 flat/a.jpg=1");
    dataset_close(d);
    shell("printf 'flat/c\\nd.jpg\\0flat/a.jpg' >list; printf 'a 1\\0c\\nd 2' >truth"); // names with newlines
                                                                                        // in both
    d = open_with("list", o);
    holds(d, "flat/c\nd.jpg=2 flat/a.jpg=1");
    dataset_close(d);
    refused("list", (dataset_options){.truth = "truth"}, "", "-0 (--null)");
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

/* ---- WebDataset ------------------------------------------------------------------------------ */

/* A tar of members "NAME[=CONTENT]", which are their own names elsewhere. */
static void make_samples(const char *members)
{
    char copy[1024], *rest = copy, *member;
    const char *append = "-cf";
    snprintf(copy, sizeof copy, "%s", members);
    while ((member = strsep(&rest, " "))) {
        char command[256], *content = strchr(member, '=');
        if (content)
            *content++ = '\0';
        snprintf(command, sizeof command, "mkdir -p $(dirname %s) && printf %s >%s && tar %s w.tar %s",
                 member, content ? content : member, member, append, member);
        shell(command);
        append = "-rf";
    }
}

static void samples_hold(const char *members, const char *expected)
{
    make_samples(members);
    dataset *d = open_one("w.tar");
    holds(d, expected);
    dataset_close(d);
}

static void samples_are_refused(const char *members, const char *a, const char *b)
{
    make_samples(members);
    refused("w.tar", (dataset_options){0}, a, b);
}

static void neighbours_with_one_key_are_a_sample(void **state)
{
    (void)state;
    samples_hold("0001.jpg 0001.cls=2 0001.json 0002.cls=dog\\\\n 0002.png d.1/3.JPEG d.1/3.cls=0",
                 "0001.jpg=2 0002.png=1 d.1/3.JPEG=0");
    samples_are_refused("0001.jpg 0001.cls=3", "w.tar/0001.jpg: class 3", "expected 0 to 2");
    samples_are_refused("0001.jpg 0002.jpg 0002.cls=1", "w.tar/0001.jpg: has no class", "");
    make_samples(
        "cat/1.jpg cat/1.cls=2"); // what the user says goes first, and then these are paths and no samples
    write_text("truth", "1 1\n");
    dataset *d = open_with("w.tar", (dataset_options){.truth = "truth"});
    holds(d, "cat/1.jpg=1");
    dataset_close(d);
}

static void a_key_ends_at_the_first_dot_of_a_name(void **state)
{
    (void)state;
    samples_hold("a.jpg a.seg.png a.cls=1", "a.jpg=1");
    assert_non_null(strstr(warnings, "skipped 1 file that is not a picture (.seg.png): w.tar/a.seg.png"));
    dataset *d = open_with("w.tar", (dataset_options){.image_ext = "seg.png"});
    holds(d, "a.seg.png=1");
    dataset_close(d);
    samples_are_refused("22.05.jpg 22.05.cls=1",
                        "key \"22\": a class without a picture; its parts are \".05.jpg\", \".05.cls\"",
                        "--image-ext");
    d = open_with("w.tar", (dataset_options){.image_ext = ".05.jpg"});
    holds(d, "22.05.jpg=1");
    dataset_close(d);
    samples_are_refused("a.left.jpg a.cls=1", "key \"a\"", "\".left.jpg\"");
    d = open_with("w.tar", (dataset_options){.image_ext = "right.jpg,LEFT.jpg"});
    holds(d, "a.left.jpg=1");
    dataset_close(d);
    samples_are_refused("a.jpg a.png a.cls=1", "key \"a\": two pictures in one sample, \".jpg\" and \".png\"",
                        "--image-ext");
    d = open_with("w.tar", (dataset_options){.image_ext = "png"});
    holds(d, "a.png=1");
    dataset_close(d);
    shell("mkdir -p val/cat; touch val/cat/x.jpg");
    refused("val", (dataset_options){.image_ext = "png"}, "--image-ext png: no tar", "");
}

/* A tar holds samples only where a .cls shares its key with a picture, before or behind it, near or far. */
static void a_class_that_is_no_pictures_makes_no_samples(void **state)
{
    (void)state;
    static const char *const strays[] = {
        "x.cls cat/a.jpg dog/b.jpg",     "cat/a.jpg dog/b.jpg cat/x.cls",
        "cat/a.jpg dog/b.jpg a.cls",     "cat/a.jpg cat/a.v2.txt dog/b.jpg x.cls x.npy x.json x.txt",
        "cat/a.jpg dog/b.jpg cat/.cls",  "cat/a.jpg cat/a2.cls dog/b.jpg",
        "cat/a2.cls cat/a.jpg dog/b.jpg"};
    for (size_t i = 0; i < sizeof strays / sizeof *strays; i++)
        samples_hold(strays[i], "cat/a.jpg=0 dog/b.jpg=1");
    samples_hold("cat/a.cls=2 cat/a.json cat/a.jpg", "cat/a.jpg=2");
    samples_hold("cat/a.jpg cat/x.json dog/x.json cat/a.cls=2", "cat/a.jpg=2");
    samples_hold("cat/a.CLS=2 cat/a.npy cat/a.jpg", "cat/a.jpg=2");
    samples_are_refused("cat/a.jpg cat/a.cls=0 dog/b.jpg",
                        "w.tar/dog/b.jpg: has no class: other pictures of this tar have theirs in a .cls",
                        "a tar without .cls for folders to count");
    samples_are_refused("cat/a.seg.png dog/b.jpg cat/a.cls=0", "key \"cat/a\": a class without a picture",
                        "--image-ext");
    samples_are_refused("x.cls x.npy", "w.tar: no pictures", "");
    make_samples("cat/a.img dog/b.jpg cat/a.cls=2"); // a picture is what the user calls one
    dataset *d = open_with("w.tar", (dataset_options){.image_ext = "img"});
    holds(d, "cat/a.img=2");
    dataset_close(d);
}

static void samples_count_in_the_formats_that_count_in_folders(void **state)
{
    (void)state;
    samples_hold("a.jpg a.cls=1 b.heic b.cls=2 c.gif c.cls=0", "a.jpg=1");
    assert_non_null(strstr(warnings, "left out 1 HEIC file\n"));
    assert_non_null(strstr(warnings, "left out 1 GIF file\n"));
    dataset *d = open_with("w.tar", (dataset_options){.image_ext = "jpg,heic,gif"}); // asked for
    holds(d, "a.jpg=1 b.heic=2 c.gif=0");
    dataset_close(d);
    samples_are_refused("a.jpg a.cls=1 b.tif b.cls=2", "w.tar/b.tif: TIFF is not supported",
                        "--skip-other-formats");
    d = open_with("w.tar", (dataset_options){.skip_other_formats = true});
    holds(d, "a.jpg=1");
    assert_non_null(strstr(warnings, "left out 1 TIFF file\n"));
    dataset_close(d);
}

static void a_zero_byte_in_a_class_of_a_sample_is_refused(void **state)
{
    (void)state;
    shell("touch a.jpg; printf '1\\0002' >a.cls; tar -cf w.tar a.jpg a.cls");
    refused("w.tar", (dataset_options){0}, "w.tar/a.cls: a zero byte", "");
    shell("printf '1\\000' >a.cls; tar -cf w.tar a.jpg a.cls");
    refused("w.tar", (dataset_options){0}, "w.tar/a.cls: a zero byte", "");
}

static void a_key_that_returns_is_another_sample(void **state)
{
    (void)state;
    samples_hold("a.jpg a.cls=0 b.jpg b.cls=1 a.jpg=again a.cls=2", "a.jpg=0 b.jpg=1 a.jpg=2");
    dataset *d = open_one("w.tar");
    reads(d, 0, "a.jpg");
    reads(d, 2, "again");
    dataset_close(d);
    samples_are_refused("a.jpg a.cls=0 a.jpg a.cls=2", "key \"a\": two files \".jpg\" in one sample", "");
    samples_are_refused("a.cls=0 a.jpg a.cls=2", "key \"a\": two files \".cls\" in one sample", "");
}

static void parts_that_lie_apart_are_joined_where_there_is_one_of_each(void **state)
{
    (void)state;
    samples_hold("a.jpg b.jpg c.jpg c.cls=2 a.cls=0 b.cls=1", "a.jpg=0 b.jpg=1 c.jpg=2");
    assert_non_null(strstr(warnings, "w.tar: of 2 samples, picture and class lie apart"));
    samples_are_refused("a.jpg b.jpg a.cls=0 b.cls=1 a.jpg a.cls=2",
                        "key \"a\": its pictures (2) and classes (2) lie apart", "");
    samples_are_refused("a.jpg b.jpg b.cls=1 a.cls=0 b.txt a.cls=0",
                        "key \"a\": its pictures (1) and classes (2) lie apart", "");
    samples_are_refused("a.jpg a.cls=1 b.cls=1 a.cls=2 b.jpg",
                        "key \"a\": its pictures (1) and classes (2) lie apart", "");
    samples_are_refused("a.jpg b.cls=1 a.cls=2", "key \"b\": a class without a picture", "\".cls\"");
}

static void a_kind_of_file_is_warned_about_once_for_all_tars(void **state)
{
    (void)state;
    shell("touch a.jpg a.cls a.json a.txt b.JSON b.jpg b.cls; printf 2 >a.cls; printf 0 >b.cls;"
          "tar -cf x.tar a.jpg a.cls a.json a.txt; tar -cf y.tar b.jpg b.cls b.JSON");
    dataset *d = NULL;
    char *arguments[] = {(char[]){"x.tar"}, (char[]){"y.tar"}};
    *warnings = '\0';
    const dataset_options o = {.classes = classes, .warn = {note_warning, NULL}};
    assert_int_equal(dataset_open(&d, arguments, 2, &o, &last), MOHVIT_OK);
    assert_string_equal(warnings, "skipped 2 files that are not pictures (.json): x.tar/a.json ...\n"
                                  "skipped 1 file that is not a picture (.txt): x.tar/a.txt\n");
    dataset_close(d);
    shell("rm *.json *.txt *.JSON; touch c.jpg d.jpg; tar -cf x.tar a.jpg c.jpg a.cls; tar -rf x.tar b.cls "
          "--transform s/b/c/;"
          "tar -cf y.tar b.jpg d.jpg b.cls; tar -rf y.tar a.cls --transform s/a/d/");
    *warnings = '\0';
    assert_int_equal(dataset_open(&d, arguments, 2, &o, &last), MOHVIT_OK);
    assert_string_equal(
        warnings,
        "x.tar and others: of 4 samples, picture and class lie apart; they were joined by their keys\n");
    dataset_close(d);
    shell("mkdir -p val/cat; cd val/cat; touch x.jpg; for i in $(seq 30); do touch f.$i; done");
    dataset_close(open_one("val")); // more kinds than are told apart
    assert_non_null(strstr(warnings, "skipped 19 files that are not pictures: val/cat/f."));
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
    write_text("subset", "\xef\xbb\xbf"
                         "dog\r\n2");
    assert_int_equal(subset_read(chosen, "subset", LINES_NEWLINE, classes, NULL), MOHVIT_OK);
    dataset *d = open_with("many", (dataset_options){.subset = chosen});
    holds(d, "dog/0001.jpg=1 bird/0002.jpg=2 dog/0004.jpg=1 bird/0005.jpg=2");
    assert_non_null(strstr(warnings, "2 pictures of classes outside the subset"));
    dataset_close(d);
    write_text("subset", "\n");
    assert_int_equal(subset_read(chosen, "subset", LINES_NEWLINE, classes, NULL), MOHVIT_ERROR_FORMAT);
    write_text("subset", "dog\nwolf\n");
    assert_int_equal(subset_read(chosen, "subset", LINES_NEWLINE, classes, &last), MOHVIT_ERROR_FORMAT);
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
        TEST(a_folder_without_pictures_is_skipped_unless_order_counts),
        TEST(folders_may_be_numbers),
        TEST(what_systems_put_beside_pictures_is_no_class),
        TEST(links_to_folders_are_followed),
        TEST(a_picture_without_a_class_is_named),
        TEST(what_is_not_there_or_empty_is_an_error),
        TEST(pictures_that_published_scores_do_not_count_are_left_out),
        TEST(formats_that_published_scores_count_are_an_error_unless_skipped),
        TEST(a_link_to_nothing_fails_when_its_turn_comes),
        TEST(a_failure_of_the_system_is_not_put_down_to_a_picture),
        TEST(a_file_that_the_system_fails_to_read_is_not_passed_over),
        TEST(a_truth_file_names_pictures_in_several_ways),
        TEST(the_most_exact_name_of_a_picture_counts),
        TEST(a_line_that_fits_two_pictures_is_refused),
        TEST(a_truth_file_may_be_a_csv_with_a_header),
        TEST(kaggles_solution_is_a_class_and_its_boxes),
        TEST(truth_may_be_a_class_a_line_in_the_order_of_the_pictures),
        TEST(ilsvrcs_own_numbering_is_refused),
        TEST(names_of_pictures_may_hold_their_classes),
        TEST(classes_out_of_range_are_refused_with_file_and_line),
        TEST(real_labels_replace_classes_and_leave_out_the_unsure),
        TEST(a_list_keeps_its_order),
        TEST(a_line_without_an_end_is_refused_where_the_limit_is),
        TEST(real_labels_are_read_like_other_lists),
        TEST(lists_come_through_pipes_and_may_end_lines_with_zero_bytes),
        TEST(a_tar_is_read_where_it_lies),
        TEST(folders_of_a_tar_are_those_of_the_folder_that_it_unpacks_to),
        TEST(a_path_that_returns_in_a_tar_replaces_the_earlier),
        TEST(neighbours_with_one_key_are_a_sample),
        TEST(a_key_ends_at_the_first_dot_of_a_name),
        TEST(a_class_that_is_no_pictures_makes_no_samples),
        TEST(samples_count_in_the_formats_that_count_in_folders),
        TEST(a_zero_byte_in_a_class_of_a_sample_is_refused),
        TEST(a_key_that_returns_is_another_sample),
        TEST(parts_that_lie_apart_are_joined_where_there_is_one_of_each),
        TEST(a_kind_of_file_is_warned_about_once_for_all_tars),
        TEST(pictures_that_a_tar_links_to_are_refused),
        TEST(folders_that_a_tar_links_to_are_refused),
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

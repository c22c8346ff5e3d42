/* Labelled pictures from folders and lists: which, in what order, of what class, and their bytes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/imgio/dataset_testing.h"
#include "imgio/dataset/truth.h"

#include <sys/resource.h>

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
    assert_non_null(strstr(warnings, "1 file is not called like a picture, but begins like one, and counts: "
                                     "val/bird/unnamed\n"));
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
    refused("val", (dataset_options){0}, "val/stray.jpg: has no class", "; move it away, or give --truth");
    shell("mkdir flat");
    write_text("flat/x.jpg", "x");
    refused("flat", (dataset_options){0}, "flat/x.jpg: has no class", "has no label; give --truth");
    dataset *d = open_with("flat", (dataset_options){.unlabelled = true});
    holds(d, "x.jpg=-1");
    dataset_close(d);
}

static void the_same_data_twice_are_warned_of(void **state)
{
    (void)state;
    static const char *const twice[][2] = {
        {"val", "./val/"}, {"val", "link"}, {"x.tar", "x.tar"}, {"list", "list"}, {"val", "x.tar"}};
    make_image_folder();
    shell("ln -s val link; tar -cf x.tar val; echo val/cat/c.webp >list");
    for (size_t i = 0; i < sizeof twice / sizeof *twice; i++) {
        dataset *d = NULL;
        const dataset_options o = {.classes = classes, .warn = {note_warning, NULL}};
        char *arguments[] = {(char *)(uintptr_t)twice[i][0], (char *)(uintptr_t)twice[i][1]};
        *warnings = '\0';
        assert_int_equal(dataset_open(&d, arguments, 2, &o, &last), MOHVIT_OK);
        dataset_close(d);
        assert_true(!strstr(warnings, " are the same data, which count twice\n") == (i == 4));
    }
}

/* In one list or in several; by path, so that a link to a picture is another one. */
static void a_picture_that_lists_name_again_is_warned_of(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second, *warning; /* "": none */
    } cases[] = {
        {"1\n2\n3\n", "4\n", ""},
        {"2\n1\n2\n", "4\n", "1 line of lists repeats a picture, which counts again: val/cat/2.jpg\n"},
        {"3\n2\n", "3\n2\n2\n", "3 lines of lists repeat a picture, which counts again: val/cat/2.jpg ...\n"},
    };
    shell("mkdir -p val/cat; for i in 1 2 3 4; do echo x >val/cat/$i.jpg; done");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dataset *d = NULL;
        const dataset_options o = {.classes = classes, .warn = {note_warning, NULL}};
        char *arguments[] = {"one", "two"};
        write_text("one.txt", cases[i].first);
        write_text("two.txt", cases[i].second);
        shell("for i in one two; do sed 's,.*,val/cat/&.jpg,' $i.txt >$i; done");
        *warnings = '\0';
        assert_int_equal(dataset_open(&d, arguments, 2, &o, &last), MOHVIT_OK);
        dataset_close(d);
        assert_string_equal(warnings, cases[i].warning);
    }
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
    refused("mixed", (dataset_options){.image_ext = "heic"}, "--image-ext heic", "a LIST of paths");
    static const char *const arguments[] = {"mixed", "mixed.tar"};
    for (size_t i = 0; i < 2; i++) {
        dataset *d = open_one(arguments[i]);
        holds(d, "cat/a.jpg=0 dog/g.png=1");
        assert_non_null(strstr(warnings, "left out 1 HEIC file: mixed"));
        assert_non_null(strstr(warnings, "cat/c.AVIF\n"));
        assert_non_null(strstr(warnings, "left out 3 GIF files: mixed"));
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
        static const char *const arguments[] = {"other", "other.tar", "list"}, *const in_its_place[] = {
                                                                                   "&& rm FILE",
                                                                                   "make the tar",
                                                                                   "in the list"};
        for (size_t k = 0; k < (named ? 3 : 2); k++) {
            refused(arguments[k], (dataset_options){0}, names[i], "--skip-other-formats");
            assert_non_null(strstr(last.message, in_its_place[k]));
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

/* By mistake, or because other programs read these from a pipe; zero bytes are not what is wrong with them.
 */
static void what_is_no_list_is_told_and_gets_no_advice_for_lists(void **state)
{
    (void)state;
    static const char *const make[][2] = {
        {"is JPEG;", "printf '\\377\\330\\377\\340\\0\\020JFIF'"},
        {"is PNG;", "printf '\\211PNG\\r\\n\\032\\n\\0\\0\\0\\015'"},
        {"is ZIP;", "printf 'PK\\003\\004\\024\\0\\0\\0'"},
        {"is a tar in a pipe;", "tar -cf - flat"},
        {"is gzip;", "gzip -c list"},
        {"is an idx file;", "printf '\\0\\0\\010\\001\\0\\0\\0\\001\\007'"},
    };
    shell("mkdir flat; touch flat/a.jpg; mkfifo pipe; echo BZhao/x.jpg >list");
    for (size_t i = 0; i < sizeof make / sizeof *make; i++) {
        char command[128];
        snprintf(command, sizeof command, "%s >pipe &", make[i][1]);
        for (int null = 0; null < 2; null++) {
            shell(command);
            refused("pipe", (dataset_options){.null_lists = null}, "pipe: ", make[i][0]);
            assert_null(strstr(last.message, "(--null)"));
        }
        snprintf(command, sizeof command, "%s >file", make[i][1]);
        shell(command);
        if (i != 3) {
            refused("file", (dataset_options){0}, "file: is ", "");
            assert_null(strstr(last.message, "(--null)"));
        }
    }
    dataset *d = open_with("list", (dataset_options){.unlabelled = true});
    holds(d, "BZhao/x.jpg=-1");
    dataset_close(d);
}

static void an_ordinary_list_is_not_read_as_one_with_zero_bytes(void **state)
{
    (void)state;
    const dataset_options o = {.null_lists = true, .unlabelled = true};
    char text[80000];
    write_text("list", "cat/a.jpg\ncat/b.jpg\n");
    refused("list", o, "list: newlines and no zero byte", "-0 (--null)");
    memset(text, 'x', sizeof text);
    memcpy(text, "a\nb", 3);
    write_file("list", text, sizeof text);
    refused("list", o, "list: newlines and no zero byte", "leave it out");
    write_text("list", "a.jpg\n");
    refused("list", o, "list: newlines and no zero byte", "");
    write_text("list", "a\nb.jpg"); // a name that has one
    dataset *d = open_with("list", o);
    holds(d, "a\nb.jpg=-1");
    dataset_close(d);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_folder_holds_a_folder_for_each_class),
        TEST(a_folder_without_pictures_is_skipped_unless_order_counts),
        TEST(folders_may_be_numbers),
        TEST(what_systems_put_beside_pictures_is_no_class),
        TEST(links_to_folders_are_followed),
        TEST(a_picture_without_a_class_is_named),
        TEST(the_same_data_twice_are_warned_of),
        TEST(a_picture_that_lists_name_again_is_warned_of),
        TEST(what_is_not_there_or_empty_is_an_error),
        TEST(pictures_that_published_scores_do_not_count_are_left_out),
        TEST(formats_that_published_scores_count_are_an_error_unless_skipped),
        TEST(a_link_to_nothing_fails_when_its_turn_comes),
        TEST(a_failure_of_the_system_is_not_put_down_to_a_picture),
        TEST(a_file_that_the_system_fails_to_read_is_not_passed_over),
        TEST(a_list_keeps_its_order),
        TEST(a_line_without_an_end_is_refused_where_the_limit_is),
        TEST(real_labels_are_read_like_other_lists),
        TEST(lists_come_through_pipes_and_may_end_lines_with_zero_bytes),
        TEST(what_is_no_list_is_told_and_gets_no_advice_for_lists),
        TEST(an_ordinary_list_is_not_read_as_one_with_zero_bytes),
        TEST(limit_takes_the_first_and_sample_any_in_their_order),
        TEST(a_subset_leaves_other_classes_out),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

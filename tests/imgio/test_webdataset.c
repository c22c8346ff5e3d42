/* Samples of a tar: pictures with a file beside each that holds its class. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/imgio/dataset_testing.h"

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
    samples_are_refused("0001.jpg 0001.cls=3", "w.tar/0001.cls: class 3", "expected 0 to 2");
    samples_are_refused("0001.jpg 0001.cls=wolf", "w.tar/0001.cls: \"wolf\" is not a class", "");
    samples_are_refused("0001.jpg 0001.cls=\\\\n", "w.tar/0001.cls: is empty; expected a class", "");
    samples_are_refused("0001.jpg 0002.jpg 0002.cls=1", "w.tar/0001.jpg: has no class", "");
    make_samples(
        "cat/1.jpg cat/1.cls=2"); // what the user says goes first, and then these are paths and no samples
    write_text("truth", "1 1\n");
    dataset *d = open_with("w.tar", (dataset_options){.truth = "truth"});
    holds(d, "cat/1.jpg=1");
    dataset_close(d);
}

/* Of three: by number, two may be the first of another list; by name, they are what they are called. */
static void classes_by_number_alone_may_be_others(void **state)
{
    (void)state;
    static const struct {
        const char *members;
        bool warned;
    } cases[] = {{"1.jpg 1.cls=0 2.jpg 2.cls=1", true},
                 {"1.jpg 1.cls=cat 2.jpg 2.cls=dog", false},
                 {"1.jpg 1.cls=0 2.jpg 2.cls=dog", false},
                 {"1.jpg 1.cls=cat 2.jpg 2.cls=1", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_samples(cases[i].members);
        dataset_close(open_one("w.tar"));
        assert_true(!strstr(warnings, "they are taken for its first 2") == !cases[i].warned);
    }
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
                        "w.tar/dog/b.jpg: has no class: 1 of 2 pictures has a .cls of its key (the first: "
                        "cat/a.cls), which",
                        "--truth FILE, or, for folders to count, delete");
    samples_are_refused("cat/a.gif cat/a.cls=0 dog/b.jpg",
                        "w.tar/dog/b.jpg: has no class: 0 of 1 picture has", "a format that is left out");
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
    assert_non_null(strstr(warnings, "left out 1 HEIC file: w.tar/b.heic\n"));
    assert_non_null(strstr(warnings, "left out 1 GIF file: w.tar/c.gif\n"));
    dataset *d = open_with("w.tar", (dataset_options){.image_ext = "jpg,heic,gif"}); // asked for
    holds(d, "a.jpg=1 b.heic=2 c.gif=0");
    dataset_close(d);
    samples_are_refused("a.jpg a.cls=1 b.tif b.cls=2", "w.tar/b.tif: TIFF is not supported",
                        "--skip-other-formats");
    d = open_with("w.tar", (dataset_options){.skip_other_formats = true});
    holds(d, "a.jpg=1");
    assert_non_null(strstr(warnings, "left out 1 TIFF file: w.tar/b.tif\n"));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(neighbours_with_one_key_are_a_sample),
        TEST(classes_by_number_alone_may_be_others),
        TEST(a_key_ends_at_the_first_dot_of_a_name),
        TEST(a_class_that_is_no_pictures_makes_no_samples),
        TEST(samples_count_in_the_formats_that_count_in_folders),
        TEST(a_zero_byte_in_a_class_of_a_sample_is_refused),
        TEST(a_key_that_returns_is_another_sample),
        TEST(parts_that_lie_apart_are_joined_where_there_is_one_of_each),
        TEST(a_kind_of_file_is_warned_about_once_for_all_tars),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* Classes that a file gives, or the names of pictures. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/imgio/dataset_testing.h"

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
        {"file_name,label\na.jpg\n", "line 2: 1 field; expected 2, as in the header"},
        {"file_name,label\na.jpg,2,\n", "line 2: 3 fields; expected 2, as in the header"},
        {"label,file_name\n2,\n", "line 2: field 2 is empty; expected the name"},
        {"file_name,label\n\"a.jpg,2\n", "line 2: field 1: a quote does not end"},
        {"file_name,label\na.jpg,\"2\"0\n", "line 2: field 2: a quote does not end, or something follows"},
        {"file_name,label\na.jpg,wolf\n", "line 2: \"wolf\" is not a class"},
        {"file_name,label\na.jpg,3\n", "line 2: class 3"},
        {"file_name,id,label\na.jpg,2,2\n", "line 1: the header has 2 columns that may name a picture"},
        {"file_name,label,class_name\na.jpg,2,cat\n", "and 2 that may be its class"},
        {"a.jpg,2\n", "a CSV's header such as file_name,label"},
        {"\nfile_name,breed\na.jpg,2\n",
         "line 2: \"file_name,breed\": a CSV's header without a column for the class; "
         "expected one called label, class"},
        {"file name,breed\na.jpg,2\n", "without a column for the class"},
        {"key,label\na.jpg,2\n",
         "without a column for the name of a picture; expected one called filename, file"},
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
    char wide[1024] = "name,label";
    memset(wide + 10, ',', 254);
    strcpy(wide + 264, "\na.jpg,2");
    memset(wide + 272, ',', 255);
    write_text("truth", wide);
    refused("flat", (dataset_options){.truth = "truth"}, "truth: line 2: more than 256 fields; expected 256",
            "");
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
        snprintf(text, sizeof text, "line 2: \"%s\"; expected", bad[i]);
        refused("flat", o, text, "");
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
    shell("sed -i 's/^1$/2/' order"); // the devkit's have each number from 1 on
    dataset *d = open_with("list", (dataset_options){.truth_in_order = "order", .classes = thousand});
    assert_non_null(d);
    assert_non_null(strstr(warnings, "order: no picture has class 0"));
    dataset_close(d);
    shell("echo 1 >>order; echo x.jpg >>list"); // so many are of another making
    d = open_with("list", (dataset_options){.truth_in_order = "order", .classes = thousand});
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
    assert_non_null(strstr(warnings, "1 picture is left out, for which the ReaL labels have no class\n"));
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
            "real.json: is an object; expected a JSON array", "");
    write_text("real.json", "[[5], [6, \"x\"], 3]");
    refused("val", (dataset_options){.real_labels = "real.json", .classes = thousand},
            "entry 1: value 1 is a string; expected indices", "");
    write_text("real.json", "[[-1]]");
    refused("val", (dataset_options){.real_labels = "real.json", .classes = thousand},
            "entry 0: value 0 is below 0; expected indices", "");
    write_text("real.json", "[3]");
    refused("val", (dataset_options){.real_labels = "real.json", .classes = thousand},
            "entry 0 is an integer; expected an array", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

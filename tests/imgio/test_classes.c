/* From what people write to the index of a class, and from folders to classes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "imgio/dataset/classes.h"
#include "weights/labels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static labels imagenet;
static class_table *table;

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
    if (labels_imagenet1k(&imagenet, NULL))
        return -1;
    table = make_table(&imagenet);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    class_table_destroy(table);
    labels_free(&imagenet);
    return 0;
}

static size_t parsed(const char *text)
{
    size_t out = 4711;
    mohvit_error err = {0};
    if (class_parse(table, text, "here", &out, &err))
        fail_msg("%s", err.message);
    return out;
}

static const char *refused(const char *text)
{
    static mohvit_error err;
    size_t out;
    assert_int_not_equal(class_parse(table, text, "here", &out, &err), MOHVIT_OK);
    assert_non_null(strstr(err.message, "here: "));
    return err.message;
}

static void a_class_may_be_an_index_an_id_or_a_name(void **state)
{
    (void)state;
    assert_int_equal(parsed("0"), 0);
    assert_int_equal(parsed("999"), 999);
    assert_int_equal(parsed("007"), 7);
    assert_int_equal(parsed("n01440764"), 0);
    assert_int_equal(parsed(imagenet.name[207]), 207);
    assert_int_equal(parsed("golden retriever"), 207);
    assert_int_equal(parsed("Golden_Retriever"), 207);
    assert_int_equal(parsed("tench"), 0);
}

static void what_fits_none_or_several_is_refused(void **state)
{
    (void)state;
    assert_non_null(strstr(refused("999999999999999999999"), "here: the class is too large; expected 0 to "));
    assert_non_null(strstr(refused("unicorn"), "\"unicorn\" is not a class"));
    assert_non_null(strstr(refused(""), "is not a class"));
    assert_non_null(strstr(refused("-1"), "is not a class"));
    assert_non_null(strstr(refused("n99999999"), "is not a class"));
    assert_non_null(strstr(refused("crane"), "several classes")); // the bird and the machine
    assert_non_null(strstr(refused("1001"), "class 1001; expected 0 to 999"));
    assert_non_null(strstr(refused("99999999999999999999999"), "expected 0 to 999"));
}

static void numbers_that_begin_with_1_are_explained(void **state)
{
    (void)state;
    labels l;
    mohvit_error err;
    size_t out;
    assert_non_null(strstr(refused("1000"), "ILSVRC's own ids run from 1 to 1000"));
    assert_int_equal(labels_parse(&l, "cat\ndog\n", 8, "labels", NULL), MOHVIT_OK);
    class_table *t = make_table(&l);
    assert_int_not_equal(class_parse(t, "2", "here", &out, &err), MOHVIT_OK);
    assert_non_null(strstr(err.message, "here: class 2; expected 0 to 1. Classes are counted from 0"));
    class_table_destroy(t);
    labels_free(&l);
}

/* ---- Folders --------------------------------------------------------------------------------- */

static char warning[1024];
static mohvit_error last;

static void note_warning(void *user, const char *message)
{
    (void)user;
    snprintf(warning, sizeof warning, "%s", message);
}

/* Folders of these names ("name " for one without pictures), and "name=class" of each, or the message. */
static const char *match(const class_table *t, folder_rule rule, const char *names)
{
    static char got[4096];
    class_folder folders[64];
    char copy[4096], *rest = copy, *name;
    size_t count = 0, used = 0;
    const warning_sink warn = {note_warning, NULL};
    *warning = '\0';
    snprintf(copy, sizeof copy, "%s", names);
    while ((name = strsep(&rest, "/"))) {
        size_t length = strlen(name);
        bool empty = name[length - 1] == ' ';
        name[length - empty] = '\0';
        folders[count++] = (class_folder){name, empty ? 0 : 3, 4711};
    }
    if (classes_of_folders(t, folders, count, rule, "val", &warn, &last))
        return last.message;
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(got + used, sizeof got - used, "%s%s=%zd", i ? " " : "", folders[i].name,
                                 (ssize_t)folders[i].class_index);
    return got;
}

static void has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" not in: %s", part, text);
}

static class_table *table_of(labels *l, const char *text)
{
    assert_int_equal(labels_parse(l, text, strlen(text), "labels", NULL), MOHVIT_OK);
    return make_table(l);
}

static void drop(class_table *t, labels *l)
{
    class_table_destroy(t);
    labels_free(l);
}

static void folders_are_ids_or_labels_in_any_number_and_order(void **state)
{
    (void)state;
    labels l;
    assert_string_equal(match(table, FOLDERS_BY_NAME, "n01440764/n02099601/n15075141"),
                        "n01440764=0 n02099601=207 n15075141=999");
    assert_string_equal(match(table, FOLDERS_BY_NAME, "goldfish/n01440764"), "goldfish=1 n01440764=0");
    class_table *t = table_of(&l, "zebra\nT-shirt/top\napple, orchard apple\n");
    assert_string_equal(match(t, FOLDERS_BY_NAME, "apple"), "apple=2");
    assert_string_equal(match(t, FOLDERS_BY_NAME, "apple/t_shirt_top/zebra"),
                        "apple=2 t_shirt_top=1 zebra=0");
    assert_string_equal(warning, "");
    has(match(t, FOLDERS_BY_NAME, "apple/orchard_apple"), "\"apple\" and \"orchard_apple\" are both class 2");
    drop(t, &l);
}

/* However many there are: one more or less, and another rule may seem to fit. */
static void a_folder_that_is_no_class_is_named_and_order_never_steps_in(void **state)
{
    (void)state;
    labels l;
    class_table *t = table_of(&l, "zebra\ncat\ndog\n");
    has(match(t, FOLDERS_BY_NAME, "cat/dogs/zebra"), "val: 1 of 3 folders is not a class of this model");
    has(last.message, ": \"dogs\"; ");
    has(last.message, "--classes-by-order");
    has(last.message, "--truth");
    assert_null(strstr(last.message, "\"cat\""));
    has(match(t, FOLDERS_BY_NAME, "a/b/c"), "\"a\", \"b\", \"c\"");
    has(match(table, FOLDERS_BY_NAME, "crane/n01440764"), "\"crane\" (several classes)");
    has(match(table, FOLDERS_BY_NAME, "0/1/2"), "--classes-by-number takes them for indices");
    // Options are named only where they do not end in another error, and what is quick comes first.
    has(match(t, FOLDERS_BY_NAME, "cat/logs"), "; move it away, rename it, or give --truth");
    assert_null(strstr(last.message, "--classes-by"));
    has(match(t, FOLDERS_BY_NAME, "cat/logs/tmp/zebra"), "; move them away, rename them, or give --truth");
    assert_null(strstr(last.message, "--classes-by"));
    has(match(t, FOLDERS_BY_NAME, "cat/dogs/old /zebra"), "1 of 4 folders");
    assert_null(strstr(last.message, "--classes-by"));
    has(match(t, FOLDERS_BY_NAME, "1/2/3"), "rename them, or give --labels or --truth; --classes-by-order");
    assert_null(strstr(last.message, "--classes-by-number"));
    has(match(t, FOLDERS_BY_NAME, "0/2"), "or --truth; --classes-by-number takes them for indices");
    assert_null(strstr(last.message, "--classes-by-order"));
    for (folder_rule rule = FOLDERS_BY_NAME; rule <= FOLDERS_BY_NUMBER; rule++) {
        has(match(t, rule, "Val/train"),
            "; \"Val\" is called like a part of a data set: give that folder alone");
        assert_null(strstr(last.message, "--"));
    }
    has(match(t, FOLDERS_BY_NAME, "a0/a1/a2/a3/a4/a5/a6/a7/a8/a9/b"), "11 of 11 folders");
    has(last.message, "\"a9\" ...");
    assert_null(strstr(last.message, "\"b\""));
    drop(t, &l);
}

static void folders_without_pictures_are_skipped_where_names_count(void **state)
{
    (void)state;
    labels l;
    class_table *t = table_of(&l, "zebra\ncat\ndog\n");
    assert_string_equal(match(t, FOLDERS_BY_NAME, "cat/logs /zebra"), "cat=1 logs=-1 zebra=0");
    has(warning, "val: skipped 1 folder without pictures: \"logs\"");
    assert_string_equal(match(t, FOLDERS_BY_NAME, "cat/dog /logs "), "cat=1 dog=-1 logs=-1");
    has(warning, "skipped 2 folders without pictures: \"dog\" ...");
    assert_string_equal(match(t, FOLDERS_BY_NUMBER, "1/logs "), "1=1 logs=-1");
    drop(t, &l);
}

static void order_counts_where_it_is_asked_for_and_each_class_has_its_pictures(void **state)
{
    (void)state;
    labels l;
    class_table *t = table_of(&l, "zebra\ncat\ndog\n");
    assert_string_equal(match(t, FOLDERS_BY_ORDER, "cat/dogs/zebra"), "cat=0 dogs=1 zebra=2");
    assert_string_equal(match(t, FOLDERS_BY_ORDER, "1/10/2"), "1=0 10=1 2=2");
    assert_string_equal(warning, "");
    has(match(t, FOLDERS_BY_ORDER, "cat/dogs"), "2 folders cannot be the 3 classes");
    has(last.message, "leave --classes-by-order out");
    assert_null(strstr(last.message, "--labels")); // which do not count beside it
    has(match(t, FOLDERS_BY_ORDER, "a/b/c/d"), "4 folders cannot be the 3 classes");
    has(match(t, FOLDERS_BY_ORDER, "a/lost /z"), "folder \"lost\" holds no pictures");
    has(match(t, FOLDERS_BY_ORDER, "a/b/c/lost "), "folder \"lost\" holds no pictures");
    drop(t, &l);
}

static void order_counts_with_a_note_where_no_labels_are_known(void **state)
{
    (void)state;
    labels l;
    assert_int_equal(labels_numbered(&l, 3, NULL), MOHVIT_OK);
    class_table *t = make_table(&l);
    assert_string_equal(match(t, FOLDERS_BY_NAME, "alpha/beta/gamma"), "alpha=0 beta=1 gamma=2");
    has(warning, "no labels are known: the 3 folders are taken in the order of their names");
    assert_string_equal(match(t, FOLDERS_BY_NAME, "0/1/2"), "0=0 1=1 2=2");
    has(match(t, FOLDERS_BY_NAME, "alpha/beta"), "2 folders cannot be the 3 classes");
    has(last.message, "give --labels or --truth");
    has(match(t, FOLDERS_BY_NAME, "alpha/beta /gamma"), "folder \"beta\" holds no pictures");
    has(match(t, FOLDERS_BY_NAME, "1/10/2"), "--classes-by-number or --classes-by-order says");
    has(match(t, FOLDERS_BY_NAME, "class_1/class_2"), "--classes-by-number or --classes-by-order says");
    assert_string_equal(match(t, FOLDERS_BY_NUMBER, "2/00"), "2=2 00=0");
    drop(t, &l);
}

static void numbers_are_decimals_below_the_number_of_classes(void **state)
{
    (void)state;
    assert_string_equal(match(table, FOLDERS_BY_NUMBER, "0/007/10/999"), "0=0 007=7 10=10 999=999");
    assert_string_equal(warning, "");
    assert_string_equal(match(table, FOLDERS_BY_NUMBER, "1/2"), "1=1 2=2");
    has(warning, "no folder is class 0");
    has(match(table, FOLDERS_BY_NUMBER, "01/1"), "folders \"01\" and \"1\" are both class 1");
    has(match(table, FOLDERS_BY_NUMBER, "1000/2"), "class 1000; expected 0 to 999. ILSVRC's own ids");
    has(match(table, FOLDERS_BY_NUMBER, "1/99999999999999999999999"), "expected 0 to 999");
    has(match(table, FOLDERS_BY_NUMBER, "1/goldfish"),
        "1 of 2 folders is not a class of this model by number: \"goldfish\"");
    for (const char *const *name = (const char *const[]){"-1", "+1", "1.0", "0x1", "1 1", NULL}; *name;
         name++)
        has(match(table, FOLDERS_BY_NUMBER, *name), "by number");
}

static void numbers_are_labels_where_labels_are_numbers(void **state)
{
    (void)state;
    labels l;
    class_table *t = table_of(&l, "10\n02\n5\n");
    for (folder_rule rule = FOLDERS_BY_NAME; rule <= FOLDERS_BY_NUMBER; rule += FOLDERS_BY_NUMBER)
        assert_string_equal(match(t, rule, "02/10/5"), "02=1 10=0 5=2");
    assert_string_equal(match(t, FOLDERS_BY_NUMBER, "005/2"), "005=2 2=1");
    assert_string_equal(warning, "");
    has(match(t, FOLDERS_BY_NUMBER, "1/2"), "is not a class of this model by label: \"1\"");
    size_t index;
    mohvit_error err;
    assert_int_equal(class_parse(t, "1", "here", &index, &err), MOHVIT_OK);
    assert_int_equal(index, 1);
    assert_int_equal(class_parse(t, "2", "here", &index, &err), MOHVIT_ERROR_FORMAT);
    has(err.message, "here: \"2\" is an index and the label of another class");
    drop(t, &l);
    t = table_of(&l, "0\n1\n2\n");
    assert_int_equal(class_parse(t, "02", "here", &index, &err), MOHVIT_OK);
    assert_int_equal(index, 2);
    drop(t, &l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_class_may_be_an_index_an_id_or_a_name),
        cmocka_unit_test(what_fits_none_or_several_is_refused),
        cmocka_unit_test(numbers_that_begin_with_1_are_explained),
        cmocka_unit_test(folders_are_ids_or_labels_in_any_number_and_order),
        cmocka_unit_test(a_folder_that_is_no_class_is_named_and_order_never_steps_in),
        cmocka_unit_test(folders_without_pictures_are_skipped_where_names_count),
        cmocka_unit_test(order_counts_where_it_is_asked_for_and_each_class_has_its_pictures),
        cmocka_unit_test(order_counts_with_a_note_where_no_labels_are_known),
        cmocka_unit_test(numbers_are_decimals_below_the_number_of_classes),
        cmocka_unit_test(numbers_are_labels_where_labels_are_numbers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

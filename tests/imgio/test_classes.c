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
    assert_non_null(strstr(refused("unicorn"), "\"unicorn\" is no class"));
    assert_non_null(strstr(refused(""), "no class"));
    assert_non_null(strstr(refused("-1"), "no class"));
    assert_non_null(strstr(refused("n99999999"), "no class"));
    assert_non_null(strstr(refused("crane"), "several classes")); // the bird and the machine
    assert_non_null(strstr(refused("1001"), "class 1001; expected 0 to 999"));
    assert_non_null(strstr(refused("99999999999999999999999"), "expected 0 to 999"));
}

static void ilsvrcs_own_numbers_are_explained(void **state)
{
    (void)state;
    assert_non_null(strstr(refused("1000"), "ILSVRC's own ids run from 1 to 1000"));
}

/* ---- Folders --------------------------------------------------------------------------------- */

static char warning[1024];

static void note_warning(void *user, const char *message)
{
    (void)user;
    snprintf(warning, sizeof warning, "%s", message);
}

static mohvit_status match(const class_table *t, const char *const *folders, size_t count, size_t *out,
                           mohvit_error *err)
{
    const warning_sink warn = {note_warning, NULL};
    *warning = '\0';
    *err = (mohvit_error){0};
    return classes_of_folders(t, folders, count, "val", out, &warn, err);
}

static void folders_are_ids_in_any_number(void **state)
{
    (void)state;
    mohvit_error err;
    size_t out[3];
    const char *folders[] = {"n01440764", "n02099601", "n15075141"};
    assert_int_equal(match(table, folders, 3, out, &err), MOHVIT_OK);
    assert_int_equal(out[0], 0);
    assert_int_equal(out[1], 207);
    assert_int_equal(out[2], 999);
    assert_string_equal(warning, "");
}

static void folders_are_labels_whatever_their_order(void **state)
{
    (void)state;
    labels l;
    mohvit_error err;
    size_t out[3];
    static const char text[] = "zebra\nT-shirt/top\napple, orchard apple\n";
    const char *folders[] = {"apple", "t_shirt_top", "zebra"};
    assert_int_equal(labels_parse(&l, text, sizeof text - 1, "labels", NULL), MOHVIT_OK);
    class_table *t = make_table(&l);
    assert_int_equal(match(t, folders, 3, out, &err), MOHVIT_OK);
    assert_int_equal(out[0], 2);
    assert_int_equal(out[1], 1);
    assert_int_equal(out[2], 0);
    assert_string_equal(warning, "");
    const char *twice[] = {"apple", "orchard_apple"};
    assert_int_not_equal(match(t, twice, 2, out, &err), MOHVIT_OK);
    assert_non_null(strstr(err.message, "\"apple\" and \"orchard_apple\" are both class 2"));
    class_table_destroy(t);
    labels_free(&l);
}

static void other_folders_count_by_their_order_if_there_are_as_many_as_classes(void **state)
{
    (void)state;
    labels l;
    mohvit_error err;
    size_t out[3];
    const char *folders[] = {"alpha", "beta", "gamma"};
    assert_int_equal(labels_numbered(&l, 3, NULL), MOHVIT_OK);
    class_table *t = make_table(&l);
    assert_int_equal(match(t, folders, 3, out, &err), MOHVIT_OK);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(out[i], i);
    assert_non_null(strstr(warning, "in the order of their names"));
    assert_int_not_equal(match(t, folders, 2, out, &err), MOHVIT_OK);
    assert_non_null(strstr(err.message, "\"alpha\""));
    assert_non_null(strstr(err.message, "2 folders"));
    const char *numbers[] = {"1", "10", "2"};
    assert_int_not_equal(match(t, numbers, 3, out, &err), MOHVIT_OK);
    assert_non_null(strstr(err.message, "pad them with zeros"));
    const char *in_order[] = {"0", "1", "2"};
    assert_int_equal(match(t, in_order, 3, out, &err), MOHVIT_OK);
    class_table_destroy(t);
    labels_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_class_may_be_an_index_an_id_or_a_name),
        cmocka_unit_test(what_fits_none_or_several_is_refused),
        cmocka_unit_test(ilsvrcs_own_numbers_are_explained),
        cmocka_unit_test(folders_are_ids_in_any_number),
        cmocka_unit_test(folders_are_labels_whatever_their_order),
        cmocka_unit_test(other_folders_count_by_their_order_if_there_are_as_many_as_classes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

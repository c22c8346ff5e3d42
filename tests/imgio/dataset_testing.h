/* dataset_testing.h - data sets of a model with three classes, in a folder of the test's own. What looks like
 * a picture there only begins like one: nothing is decoded. Needs cmocka. */
#ifndef MOHVIT_DATASET_TESTING_H
#define MOHVIT_DATASET_TESTING_H

#include "imgio/dataset/dataset.h"
#include "tests/imgio/folder_testing.h"
#include "weights/labels.h"

static labels three, imagenet;
static class_table *classes, *thousand;

static inline class_table *make_table(const labels *l)
{
    class_table *t;
    const class_names names = {l->count, l->name, l->id};
    assert_int_equal(class_table_create(&t, &names, NULL), MOHVIT_OK);
    return t;
}

static inline int setup(void **state)
{
    (void)state;
    static const char text[] = "cat\ndog\nbird\n";
    if (labels_parse(&three, text, sizeof text - 1, "labels", NULL) || labels_imagenet1k(&imagenet, NULL))
        return -1;
    classes = make_table(&three);
    thousand = make_table(&imagenet);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    class_table_destroy(classes);
    class_table_destroy(thousand);
    labels_free(&three);
    labels_free(&imagenet);
    return 0;
}

static char warnings[4096];

static inline void note_warning(void *user, const char *message)
{
    (void)user;
    size_t used = strlen(warnings);
    snprintf(warnings + used, sizeof warnings - used, "%s\n", message);
}

static mohvit_error last;

static inline dataset *open_with(const char *argument, dataset_options o)
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

static inline dataset *open_one(const char *argument)
{
    dataset *d = open_with(argument, (dataset_options){0});
    if (!d)
        fail_msg("%s", last.message);
    return d;
}

/* Expects an error that has both texts in it. */
static inline void refused(const char *argument, dataset_options o, const char *a, const char *b)
{
    dataset *d = open_with(argument, o);
    assert_null(d);
    if (!strstr(last.message, a) || !strstr(last.message, b))
        fail_msg("expected \"%s\" and \"%s\" in: %s", a, b, last.message);
}

/* Expects "name=class name=class ...". */
static inline void holds(const dataset *d, const char *expected)
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

static inline void reads(const dataset *d, size_t index, const char *expected)
{
    sample s;
    mohvit_error err;
    if (dataset_read(d, index, &s, &err))
        fail_msg("%s", err.message);
    assert_int_equal(s.size, strlen(expected));
    assert_memory_equal(s.bytes, expected, s.size);
    sample_free(&s);
}

static inline void make_image_folder(void)
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter_folder, leave_folder)

#endif

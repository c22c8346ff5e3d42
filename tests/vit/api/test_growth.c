/* A program and a library that were built with different versions of mohvit.h. Compiled twice: with the
 * header as it is, to run with a library of a newer one, and with NEWER and the newer one, to run with the
 * library as it is. In the newer header each struct that has a size has a member `newest` at its end. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/mohvit.h"

#include <stdlib.h>
#include <string.h>

#ifndef NEWER
#define ENDS_WITH(type, last)                                                                                \
    _Static_assert(offsetof(type, last) + sizeof(((type *)NULL)->last) == sizeof(type),                      \
                   "padding at the end, or another member is the last one")
ENDS_WITH(mohvit_options, preprocess_json);
ENDS_WITH(mohvit_info, kernels);
ENDS_WITH(mohvit_block, routed);
ENDS_WITH(mohvit_head_load_info, images);
ENDS_WITH(mohvit_image_options, exif_orientation);
#endif

static mohvit_model *opened;
static mohvit_context *ctx;

static int setup(void **state)
{
    (void)state;
    const mohvit_options o = {.size = sizeof o, .threads = 1};
    return mohvit_open(&opened, NULL, &o, NULL) || mohvit_context_create(&ctx, opened, 1, 1, NULL);
}

static int teardown(void **state)
{
    (void)state;
    mohvit_context_destroy(ctx);
    mohvit_close(opened);
    return 0;
}

static void the_library_is_of_the_other_version(void **state)
{
    (void)state;
    assert_string_equal(mohvit_version(), getenv("EXPECT_VERSION"));
}

#ifndef NEWER

static void what_lies_behind_an_older_struct_is_neither_read_nor_written(void **state)
{
    (void)state;
    struct {
        mohvit_options options;
        uint8_t behind[64];
    } given;
    struct {
        mohvit_info info;
        uint8_t behind[64];
    } asked;
    struct {
        mohvit_image_options options;
        uint8_t behind[64];
    } images;
    mohvit_model *m;
    uint8_t garbage[64];
    memset(garbage, 0xa5, sizeof garbage);
    memcpy(given.behind, garbage, sizeof garbage);
    memcpy(asked.behind, garbage, sizeof garbage);
    memcpy(images.behind, garbage, sizeof garbage);
    given.options = (mohvit_options){.size = sizeof given.options, .threads = 1};
    assert_int_equal(mohvit_open(&m, NULL, &given.options, NULL), MOHVIT_OK);
    asked.info = (mohvit_info){.size = sizeof asked.info};
    assert_int_equal(mohvit_get_info(m, &asked.info, NULL), MOHVIT_OK);
    assert_int_equal(asked.info.num_classes, 10);
    assert_non_null(asked.info.instruction_set);
    images.options = (mohvit_image_options){.size = sizeof images.options};
    assert_int_equal(mohvit_set_image_options(ctx, &images.options, NULL), MOHVIT_OK);
    assert_memory_equal(given.behind, garbage, sizeof garbage);
    assert_memory_equal(asked.behind, garbage, sizeof garbage);
    mohvit_close(m);
}

#else

static void newer_members_are_taken_where_they_are_zero(void **state)
{
    (void)state;
    mohvit_model *m = NULL;
    mohvit_error err;
    mohvit_options o = {.size = sizeof o, .threads = 1};
    assert_int_equal(mohvit_open(&m, NULL, &o, NULL), MOHVIT_OK);
    mohvit_close(m);
    m = NULL;
    o.newest = 1;
    assert_int_equal(mohvit_open(&m, NULL, &o, &err), MOHVIT_ERROR_ARGUMENT);
    assert_null(m);
    assert_non_null(strstr(err.message, "mohvit_options"));
    assert_non_null(strstr(err.message, "newer mohvit.h"));
    assert_non_null(strstr(err.message, mohvit_version()));
    assert_int_equal(mohvit_open_synthetic(&m, "moh_transnext_small_75", 1, &o, &err), MOHVIT_ERROR_ARGUMENT);
    assert_int_equal(mohvit_open_memory(&m, "", 0, &o, &err), MOHVIT_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "newer mohvit.h"));
    mohvit_image_options images = {.size = sizeof images, .newest = 0};
    assert_int_equal(mohvit_set_image_options(ctx, &images, NULL), MOHVIT_OK);
    images.newest = 1;
    assert_int_equal(mohvit_set_image_options(ctx, &images, NULL), MOHVIT_ERROR_ARGUMENT);
}

static void newer_members_are_filled_with_zero(void **state)
{
    (void)state;
    mohvit_info info = {.size = sizeof info, .newest = 1};
    assert_int_equal(mohvit_get_info(opened, &info, NULL), MOHVIT_OK);
    assert_int_equal(info.newest, 0);
    assert_int_equal(info.num_classes, 10);
    assert_int_equal(info.size, sizeof info);
    mohvit_block block = {.size = sizeof block, .newest = 1};
    assert_int_equal(mohvit_get_block(opened, 0, &block, NULL), MOHVIT_OK);
    assert_int_equal(block.newest, 0);
    assert_true(block.heads > 0);
}

#endif

static void a_size_that_was_not_set_is_an_error(void **state)
{
    (void)state;
    const size_t wrong[] = {0, sizeof(size_t) - 1, 4097, SIZE_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        mohvit_error err;
        mohvit_model *m = NULL;
        const mohvit_options o = {.size = wrong[i], .threads = 1};
        const mohvit_image_options images = {.size = wrong[i]};
        mohvit_info info = {.size = wrong[i], .blocks = 77};
        assert_int_equal(mohvit_open(&m, NULL, &o, &err), MOHVIT_ERROR_ARGUMENT);
        assert_null(m);
        assert_non_null(strstr(err.message, "sizeof(mohvit_options)"));
        assert_int_equal(mohvit_set_image_options(ctx, &images, &err), MOHVIT_ERROR_ARGUMENT);
        assert_non_null(strstr(err.message, "sizeof(mohvit_image_options)"));
        assert_int_equal(mohvit_get_info(opened, &info, &err), MOHVIT_ERROR_ARGUMENT);
        assert_non_null(strstr(err.message, "sizeof(mohvit_info)"));
        assert_int_equal(info.blocks, 77);
        mohvit_block block = {.size = wrong[i], .heads = 77};
        assert_int_equal(mohvit_get_block(opened, 0, &block, &err), MOHVIT_ERROR_ARGUMENT);
        assert_non_null(strstr(err.message, "sizeof(mohvit_block)"));
        assert_int_equal(block.heads, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_library_is_of_the_other_version),
#ifndef NEWER
        cmocka_unit_test(what_lies_behind_an_older_struct_is_neither_read_nor_written),
#else
        cmocka_unit_test(newer_members_are_taken_where_they_are_zero),
        cmocka_unit_test(newer_members_are_filled_with_zero),
#endif
        cmocka_unit_test(a_size_that_was_not_set_is_an_error),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

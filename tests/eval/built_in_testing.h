/* built_in_testing.h - the built-in model, open while a suite runs: for tests of what evaluations do with it.
 * To be included behind cmocka. */
#ifndef MOHVIT_BUILT_IN_TESTING_H
#define MOHVIT_BUILT_IN_TESTING_H

#include "vit/api/internal.h"

static mohvit_model *built_in;

static inline int open_model(void **state)
{
    (void)state;
    return mohvit_open(&built_in, NULL, NULL, NULL) != MOHVIT_OK;
}

static inline int close_model(void **state)
{
    (void)state;
    mohvit_close(built_in);
    return 0;
}

/* For one image. */
static inline mohvit_context *context_of(const mohvit_model *m)
{
    mohvit_context *ctx;
    assert_int_equal(mohvit_context_create(&ctx, m, 1, 1, NULL), MOHVIT_OK);
    return ctx;
}

#endif

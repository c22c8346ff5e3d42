/* What the public API tells of itself and of a model. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/api/choices.h"
#include "vit/api/internal.h"
#include "vit/api/sized.h"

#include <string.h>

/* ---- Structs that grow ------------------------------------------------------------------------- */

typedef struct {
    size_t size, first, second;
} older;

typedef struct {
    size_t size, first, second, third;
} newer;

static void what_an_older_program_does_not_know_is_zero(void **state)
{
    (void)state;
    const newer given = {.size = sizeof(older), .first = 1, .second = 2, .third = 3}; // behind its end
    newer own;
    assert_int_equal(sized_take(&own, sizeof own, &given, "newer", NULL), MOHVIT_OK);
    assert_int_equal(own.size, sizeof own);
    assert_int_equal(own.first, 1);
    assert_int_equal(own.second, 2);
    assert_int_equal(own.third, 0);
    assert_int_equal(sized_take(&own, sizeof own, NULL, "newer", NULL), MOHVIT_OK);
    assert_int_equal(own.size, sizeof own);
    assert_int_equal(own.first, 0);
}

static void no_byte_behind_the_size_is_written(void **state)
{
    (void)state;
    const newer own = {.first = 1, .second = 2, .third = 3};
    newer given = {.size = sizeof(older), .third = 7};
    assert_int_equal(sized_give(&given, &own, sizeof own, "newer", NULL), MOHVIT_OK);
    assert_int_equal(given.size, sizeof(older));
    assert_int_equal(given.second, 2);
    assert_int_equal(given.third, 7);
}

/* ---- Names ------------------------------------------------------------------------------------- */

static void backends_and_precisions_are_known_by_their_names(void **state)
{
    (void)state;
    const char *const backends[] = {"auto", "native", "openblas", NULL}, *const precisions[] = {"auto", "f32",
                                                                                                "bf16",
                                                                                                "int8", NULL};
    mohvit_error err;
    mohvit_backend b = MOHVIT_BACKEND_AUTO;
    mohvit_precision p = MOHVIT_PRECISION_AUTO;
    for (unsigned i = 0; backends[i]; i++) {
        assert_string_equal(mohvit_backend_name((mohvit_backend)i), backends[i]);
        assert_int_equal(mohvit_backend_by_name(&b, backends[i], &err), MOHVIT_OK);
        assert_int_equal(b, i);
    }
    for (unsigned i = 0; precisions[i]; i++) {
        assert_string_equal(mohvit_precision_name((mohvit_precision)i), precisions[i]);
        assert_int_equal(mohvit_precision_by_name(&p, precisions[i], &err), MOHVIT_OK);
        assert_int_equal(p, i);
    }
    assert_null(mohvit_backend_name(MOHVIT_BACKEND_OPENBLAS + 1));
    assert_null(mohvit_precision_name(MOHVIT_PRECISION_INT8 + 1));
    assert_int_equal(mohvit_backend_by_name(&b, "abacus", &err), MOHVIT_ERROR_ARGUMENT);
    assert_string_equal(err.message, "backend \"abacus\"; expected auto, native or openblas");
    assert_int_equal(mohvit_precision_by_name(&p, "fp8", &err), MOHVIT_ERROR_ARGUMENT);
    assert_string_equal(err.message, "precision \"fp8\"; expected auto, f32, bf16 or int8");
    assert_int_equal(b, MOHVIT_BACKEND_OPENBLAS); // set on success alone
    assert_int_equal(p, MOHVIT_PRECISION_INT8);
}

static void a_model_says_how_it_computes(void **state)
{
    (void)state;
    const mohvit_backend backends[] = {MOHVIT_BACKEND_NATIVE, MOHVIT_BACKEND_OPENBLAS};
    for (size_t i = 0; i < 2; i++) {
        mohvit_model *m;
        const mohvit_options o = {.size = sizeof o, .backend = backends[i], .threads = 1};
        mohvit_info info = {.size = sizeof info};
        assert_int_equal(mohvit_open(&m, NULL, &o, NULL), MOHVIT_OK);
        assert_int_equal(mohvit_get_info(m, &info, NULL), MOHVIT_OK);
        assert_int_equal(info.backend, backends[i]);
        assert_int_equal(info.precision, MOHVIT_PRECISION_F32);
        mohvit_close(m);
    }
    for (precision p = 0; p < PRECISIONS; p++) {
        precision back;
        assert_int_equal(precision_inside(&back, precision_outside(p), NULL), MOHVIT_OK);
        assert_int_equal(back, p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_an_older_program_does_not_know_is_zero),
        cmocka_unit_test(no_byte_behind_the_size_is_written),
        cmocka_unit_test(backends_and_precisions_are_known_by_their_names),
        cmocka_unit_test(a_model_says_how_it_computes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Biases, GELU and the position bias's first layer. */
#include "tests/vit/kernels/harness.h"
#include "tests/vit/kernels/reference.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EPS (double)FLT_EPSILON

/* ---- Bias -------------------------------------------------------------------------------------- */

static void bias_is_set_or_added_in_the_rectangle_alone(void **state)
{
    const kernels *k = tested(state);
    for (size_t cols = 1; cols <= 70; cols += 1 + cols / 20)
        for (size_t rows = 1; rows <= 3; rows += 2)
            for (size_t gap = 0; gap <= 5; gap += 5) {
                random_stream r = {cols};
                size_t ldy = cols + gap, n = (rows - 1) * ldy + cols;
                float *y = array_random(&r, n, 1), *before = array_copy(y, n),
                      *bias = array_random(&r, cols, 1);
                k->add_bias(y, ldy, rows, cols, bias);
                for (size_t i = 0; i < n; i++)
                    assert_true(y[i] == before[i] + (i % ldy < cols ? bias[i % ldy] : 0));
                k->set_bias(y, ldy, rows, cols, bias);
                for (size_t i = 0; i < n; i++)
                    assert_true(y[i] == (i % ldy < cols ? bias[i % ldy] : before[i]));
                bias[cols / 2] = NAN;
                k->add_bias(y, ldy, rows, cols, bias);
                for (size_t i = 0; i < n; i++)
                    assert_int_equal(isnan(y[i]), i % ldy == cols / 2);
                array_free(y);
                array_free(before);
                array_free(bias);
            }
}

static void run_set_bias(const kernels *k, void *arg)
{
    stage *s = arg;
    k->set_bias(s->y, s->C, s->N, s->C, s->bias);
}

static void plain_set_bias(void *arg)
{
    stage *s = arg;
    for (size_t i = 0; i < s->N * s->C; i++)
        s->wide_y[i] = (double)s->bias[i % s->C];
}

static void run_add_bias(const kernels *k, void *arg)
{
    stage *s = arg;
    k->add_bias(s->y, s->C, s->N, s->C, s->bias);
}

static void plain_add_bias(void *arg)
{
    stage *s = arg;
    for (size_t i = 0; i < s->N * s->C; i++)
        s->wide_y[i] += (double)s->bias[i % s->C];
}

static const bench bench_bias[] = {
    {.name = "set_bias", .run = run_set_bias, .plain = plain_set_bias},
    {.name = "add_bias", .run = run_add_bias, .plain = plain_add_bias},
};

static const struct CMUnitTest bias_tests[] = {
    cmocka_unit_test(bias_is_set_or_added_in_the_rectangle_alone),
};

const suite bias_suite = {"bias", ENTRIES(set_bias, add_bias), TESTS(bias_tests), BENCHES(bench_bias)};

/* ---- GELU -------------------------------------------------------------------------------------- */

static void check_gelu(const kernels *k, const float *x, size_t n)
{
    float *y = array_new(n);
    memset(y, 0, n * sizeof *y);
    k->add_gelu(y, x, n);
    for (size_t i = 0; i < n; i++)
        assert_close((double)y[i], reference_gelu((double)x[i]), 5e-7 * fabs((double)x[i]) + 1e-44);
    array_free(y);
}

static void gelu_is_within_5e_7_of_x(void **state)
{
    const kernels *k = tested(state);
    enum { N = 40001 };
    float *x = array_new(N);
    for (size_t i = 0; i < N; i++)
        x[i] = ((float)i - N / 2) * 5e-4f; // −10 … 10
    check_gelu(k, x, N);
    for (size_t i = 0; i < N; i++) // every magnitude from denormal to 2^126
        x[i] = copysignf(exp2f((float)(i / 2) * (276.0f / (N / 2 + 1)) - 149.0f), i % 2 ? 1.0f : -1.0f);
    check_gelu(k, x, N);
    const float edges[] = {0,           -0.0f,   3.92f * 1.41421356f, -3.92f * 1.41421356f, 5.5437171f,
                           -5.5437177f, FLT_MIN, FLT_TRUE_MIN,        -FLT_TRUE_MIN};
    memcpy(x, edges, sizeof edges);
    check_gelu(k, x, LENGTH(edges));
    array_free(x);
}

/* erf itself, out of GELU: 2·gelu(x)/x − 1 = erf(x/√2). */
static void erf_is_within_1e_6(void **state)
{
    const kernels *k = tested(state);
    for (size_t i = 1; i <= 8000; i++) {
        float x = (float)i * 1e-3f, y = 0;
        k->add_gelu(&y, &x, 1);
        assert_close(2 * (double)y / (double)x - 1, erf((double)x / sqrt(2)), 1e-6);
    }
}

static void gelu_is_added_to_what_is_there(void **state)
{
    const kernels *k = tested(state);
    for (size_t n = 0; n <= 70; n++) {
        random_stream r = {n + 1};
        float *x = array_random(&r, n, 4), *y = array_random(&r, n, 4), *before = array_copy(y, n);
        k->add_gelu(y, x, n);
        for (size_t i = 0; i < n; i++) {
            double expected = (double)before[i] + reference_gelu((double)x[i]);
            assert_close((double)y[i], expected, 5e-7 * fabs((double)x[i]) + EPS * fabs(expected));
        }
        array_free(x);
        array_free(y);
        array_free(before);
    }
}

static void gelu_of_an_element_does_not_depend_on_its_place(void **state)
{
    const kernels *k = tested(state);
    for (size_t n = 0; n <= 70; n++) {
        random_stream r = {n + 1};
        float *x = array_random(&r, n, 4), *before = array_random(&r, n, 1), *y = array_copy(before, n);
        k->add_gelu(y, x, n);
        for (size_t i = 0; i < n; i++) {
            float alone = before[i];
            k->add_gelu(&alone, x + i, 1);
            assert_int_equal(float_bits(alone), float_bits(y[i]));
        }
        if (n) {
            size_t at = random_below(&r, n);
            float *z = array_copy(before, n);
            x[at] = NAN;
            k->add_gelu(z, x, n);
            for (size_t i = 0; i < n; i++)
                assert_true(i == at ? isnan(z[i]) : float_bits(z[i]) == float_bits(y[i]));
            array_free(z);
        }
        array_free(x);
        array_free(before);
        array_free(y);
    }
}

static void run_gelu(const kernels *k, void *arg)
{
    stage *s = arg;
    k->add_gelu(s->y, s->x, s->N * s->C);
}

static void plain_gelu(void *arg)
{
    stage *s = arg;
    for (size_t i = 0; i < s->N * s->C; i++)
        s->wide_y[i] += reference_gelu(s->wide_x[i]);
}

static const bench bench_gelu[] = {
    {.name = "add_gelu", .run = run_gelu, .plain = plain_gelu},
};

static const struct CMUnitTest gelu_tests[] = {
    cmocka_unit_test(gelu_is_within_5e_7_of_x),
    cmocka_unit_test(erf_is_within_1e_6),
    cmocka_unit_test(gelu_is_added_to_what_is_there),
    cmocka_unit_test(gelu_of_an_element_does_not_depend_on_its_place),
};

const suite gelu_suite = {"add_gelu", ENTRIES(add_gelu, add_gelu), TESTS(gelu_tests), BENCHES(bench_gelu)};

/* ---- A layer of two inputs --------------------------------------------------------------------- */

static void affine2_relu_agrees_with_the_reference(void **state)
{
    const kernels *k = tested(state);
    for (size_t n = 0; n <= 512; n += 1 + n / 8) {
        random_stream r = {n + 1};
        float *wa = array_random(&r, n, 1), *wb = array_random(&r, n, 1), *bias = array_random(&r, n, 1),
              *y = array_new(n), a = random_float(&r), b = random_float(&r);
        k->affine2_relu(y, a, b, wa, wb, bias, n);
        for (size_t i = 0; i < n; i++) {
            double value = (double)a * (double)wa[i] + (double)b * (double)wb[i] + (double)bias[i];
            assert_close((double)y[i], value > 0 ? value : 0, 4 * EPS);
            assert_true(y[i] >= 0);
        }
        if (n) {
            size_t at = random_below(&r, n);
            wb[at] = NAN;
            k->affine2_relu(y, a, b, wa, wb, bias, n);
            for (size_t i = 0; i < n; i++)
                assert_int_equal(isnan(y[i]), i == at);
        }
        array_free(wa);
        array_free(wb);
        array_free(bias);
        array_free(y);
    }
}

static void run_affine2_relu(const kernels *k, void *arg)
{
    stage *s = arg;
    for (size_t i = 0; i < s->N; i++)
        k->affine2_relu(s->y, 0.5f, 0.25f, s->x, s->w, s->bias, s->C);
}

static void plain_affine2_relu(void *arg)
{
    stage *s = arg;
    for (size_t n = 0; n < s->N; n++)
        for (size_t i = 0; i < s->C; i++)
            s->wide_y[i] = fmax(0, 0.5 * s->wide_x[i] + 0.25 * (double)s->w[i] + (double)s->bias[i]);
}

static const bench bench_affine2_relu[] = {
    {.name = "affine2_relu", .run = run_affine2_relu, .plain = plain_affine2_relu},
};

static const struct CMUnitTest affine2_relu_tests[] = {
    cmocka_unit_test(affine2_relu_agrees_with_the_reference),
};

const suite affine2_relu_suite = {"affine2_relu", ENTRIES(affine2_relu, affine2_relu),
                                  TESTS(affine2_relu_tests), BENCHES(bench_affine2_relu)};

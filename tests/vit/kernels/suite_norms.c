/* Layer norm and the L2 norm, on shapes that no vector divides. */
#include "tests/vit/kernels/harness.h"
#include "tests/vit/kernels/reference.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EPS (double)FLT_EPSILON

static double largest(const float *x, size_t n)
{
    double max = 0;
    for (size_t i = 0; i < n; i++)
        max = fabs((double)x[i]) > max ? fabs((double)x[i]) : max;
    return max;
}

/* ---- Layer norm -------------------------------------------------------------------------------- */

static const size_t channel_counts[] = {1,  2,  3,  5,  7,  8,  9,  15,  16,  17,  24, 31,
                                        32, 33, 48, 63, 72, 96, 97, 144, 288, 576, 768};

/* Elements near `offset` with deviations of about `scale`. */
static void check_layer_norm(const kernels *k, size_t rows, size_t C, double offset, double scale, float eps)
{
    random_stream r = {C * 31 + rows};
    float *x = array_random(&r, rows * C, (float)scale), *y = array_new(rows * C);
    float *weight = array_random(&r, C, 2), *bias = array_random(&r, C, 1);
    for (size_t i = 0; i < rows * C; i++)
        x[i] += (float)offset;
    double *expected = malloc(rows * C * sizeof *expected), *wide = widened(x, rows * C);
    reference_layer_norm(expected, wide, rows, C, weight, bias, (double)eps);
    k->layer_norm(y, x, rows, C, weight, bias, eps);
    for (size_t i = 0; i < rows * C; i++) {
        // What rounding a sum of C terms costs the mean, in units of the row's deviation, and the rest.
        double mean = 0, variance = 0;
        const double *row = wide + i / C * C;
        for (size_t c = 0; c < C; c++)
            mean += row[c] / (double)C;
        for (size_t c = 0; c < C; c++)
            variance += (row[c] - mean) * (row[c] - mean) / (double)C;
        double unit = largest(x + i / C * C, C) / sqrt(variance + (double)eps) * fabs((double)weight[i % C]);
        assert_close(
            (double)y[i], expected[i],
            EPS * ((4 + sqrt((double)C)) * unit + 8 * fabs(expected[i]) + 8 * fabs((double)bias[i % C])));
    }
    k->layer_norm(x, x, rows, C, weight, bias, eps); // in place
    assert_same_bits(x, y, rows * C);
    free(expected);
    free(wide);
    array_free(x);
    array_free(y);
    array_free(weight);
    array_free(bias);
}

static void layer_norm_agrees_with_the_reference(void **state)
{
    const kernels *k = tested(state);
    for (size_t i = 0; i < LENGTH(channel_counts); i++)
        for (size_t rows = 1; rows <= 3; rows++) {
            size_t C = channel_counts[i];
            check_layer_norm(k, rows, C, 0, 1, 1e-6f);
            check_layer_norm(k, rows, C, 0, 1, 1e-5f);
            check_layer_norm(k, rows, C, 1000, 1, 1e-6f);
            check_layer_norm(k, rows, C, 0, 1e-3, 1e-5f); // the variance is as small as eps
            check_layer_norm(k, rows, C, 0, 1e-30, 1e-6f);
            check_layer_norm(k, rows, C, 0, 1e-42, 1e-6f); // denormals
            check_layer_norm(k, rows, C, 0, 1e15, 1e-6f);
            check_layer_norm(k, rows, C, 3, 0, 1e-6f); // a constant row is its bias
        }
}

static void layer_norm_keeps_a_nan_in_its_row(void **state)
{
    const kernels *k = tested(state);
    for (size_t i = 0; i < LENGTH(channel_counts); i++) {
        size_t C = channel_counts[i];
        random_stream r = {C};
        float *x = array_random(&r, 3 * C, 1), *y = array_new(3 * C), *clean = array_new(3 * C);
        float *weight = array_random(&r, C, 1), *bias = array_random(&r, C, 1);
        k->layer_norm(clean, x, 3, C, weight, bias, 1e-6f);
        x[C + random_below(&r, C)] = NAN;
        k->layer_norm(y, x, 3, C, weight, bias, 1e-6f);
        assert_same_bits(y, clean, C);
        assert_same_bits(y + 2 * C, clean + 2 * C, C);
        for (size_t c = 0; c < C; c++)
            assert_true(isnan(y[C + c]));
        array_free(x);
        array_free(y);
        array_free(clean);
        array_free(weight);
        array_free(bias);
    }
}

static void run_layer_norm(const kernels *k, void *arg)
{
    stage *s = arg;
    k->layer_norm(s->y, s->x, s->N, s->C, s->w, s->bias, 1e-6f);
}

static void plain_layer_norm(void *arg)
{
    stage *s = arg;
    reference_layer_norm(s->wide_y, s->wide_x, s->N, s->C, s->w, s->bias, 1e-6);
}

static const bench bench_layer_norm[] = {
    {.name = "layer_norm", .run = run_layer_norm, .plain = plain_layer_norm},
};

static const struct CMUnitTest layer_norm_tests[] = {
    cmocka_unit_test(layer_norm_agrees_with_the_reference),
    cmocka_unit_test(layer_norm_keeps_a_nan_in_its_row),
};

const suite layer_norm_suite = {"layer_norm", ENTRIES(layer_norm, layer_norm), TESTS(layer_norm_tests),
                                BENCHES(bench_layer_norm)};

/* ---- L2 norm ----------------------------------------------------------------------------------- */

static const size_t head_widths[] = {1, 2, 3, 4, 7, 8, 9, 12, 16, 17, 24, 31, 32, 33, 40, 48, 64};

static void check_l2(const kernels *k, size_t rows, size_t h, size_t d, size_t gap, float scale)
{
    random_stream r = {d * 7 + h};
    size_t ldx = h * d + gap, n = (rows - 1) * ldx + h * d;
    float *x = array_random(&r, n, scale), *before = array_copy(x, n);
    k->l2_normalise(x, ldx, rows, h, d);
    for (size_t row = 0; row < rows; row++) {
        double *expected = widened(before + row * ldx, h * d);
        reference_l2_normalise(expected, 1, h, d);
        for (size_t i = 0; i < h * d; i++)
            assert_close((double)x[row * ldx + i], expected[i], 6 * EPS * fabs(expected[i]) + 1e-44);
        free(expected);
        if (row + 1 < rows)
            assert_same_bits(x + row * ldx + h * d, before + row * ldx + h * d, gap);
    }
    array_free(x);
    array_free(before);
}

static void l2_normalise_agrees_with_the_reference(void **state)
{
    const kernels *k = tested(state);
    for (size_t i = 0; i < LENGTH(head_widths); i++)
        for (size_t h = 1; h <= 3; h++) {
            size_t d = head_widths[i];
            check_l2(k, 1, h, d, 0, 1);
            check_l2(k, 3, h, d, 11, 1);
            check_l2(k, 2, h, d, h * d, 1e-3f);
            check_l2(k, 2, h, d, 0, 1e18f);
            check_l2(k, 2, h, d, 0, 1e-18f); // below the floor of 1e-12
            check_l2(k, 2, h, d, 0, 1e-40f); // denormals
            check_l2(k, 2, h, d, 0, 0);
        }
}

static void l2_normalise_keeps_a_nan_in_its_vector(void **state)
{
    const kernels *k = tested(state);
    for (size_t i = 0; i < LENGTH(head_widths); i++) {
        size_t d = head_widths[i];
        random_stream r = {d};
        float *x = array_random(&r, 6 * d, 1), *clean = array_copy(x, 6 * d);
        k->l2_normalise(clean, 3 * d, 2, 3, d);
        x[4 * d + random_below(&r, d)] = NAN;
        k->l2_normalise(x, 3 * d, 2, 3, d);
        for (size_t at = 0; at < 6 * d; at++)
            assert_true(at / d == 4 ? isnan(x[at]) : float_bits(x[at]) == float_bits(clean[at]));
        array_free(x);
        array_free(clean);
    }
}

static void run_l2_normalise(const kernels *k, void *arg)
{
    stage *s = arg;
    k->l2_normalise(s->x, s->C, s->N, s->heads, s->C / s->heads);
}

static void plain_l2_normalise(void *arg)
{
    stage *s = arg;
    reference_l2_normalise(s->wide_x, s->N, s->heads, s->C / s->heads);
}

static const bench bench_l2_normalise[] = {
    {.name = "l2_normalise", .run = run_l2_normalise, .plain = plain_l2_normalise},
};

static const struct CMUnitTest l2_normalise_tests[] = {
    cmocka_unit_test(l2_normalise_agrees_with_the_reference),
    cmocka_unit_test(l2_normalise_keeps_a_nan_in_its_vector),
};

const suite l2_normalise_suite = {"l2_normalise", ENTRIES(l2_normalise, l2_normalise),
                                  TESTS(l2_normalise_tests), BENCHES(bench_l2_normalise)};

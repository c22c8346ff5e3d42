/* Every instruction set's loops of kernels.c against the reference, on shapes that no vector divides;
 * products and attention have suites of their own. With --bench: how long each of them takes on the shapes of
 * MoH-ViT-S-75. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/vit/kernels/bench.h"
#include "tests/vit/kernels/reference.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EPS           (double)FLT_EPSILON
#define LENGTH(array) (sizeof(array) / sizeof *(array))

#define FOR_EACH_SET(k) for (size_t set = 0; ((k) = kernels_available(set)); set++)

static double largest(const float *x, size_t n)
{
    double max = 0;
    for (size_t i = 0; i < n; i++)
        max = fabs((double)x[i]) > max ? fabs((double)x[i]) : max;
    return max;
}

/* ---- The tables -------------------------------------------------------------------------------- */

static void there_is_a_baseline_and_the_widest_set_is_chosen(void **state)
{
    (void)state;
    const kernels *k, *chosen, *widest = NULL;
    assert_string_equal(kernels_available(0)->isa, "baseline");
    FOR_EACH_SET(k)
    widest = k;
    unsetenv("MOHVIT_ISA");
    assert_int_equal(kernels_choose(&chosen, NULL), MOHVIT_OK);
    assert_ptr_equal(chosen, widest);
    FOR_EACH_SET(k)
    {
        setenv("MOHVIT_ISA", k->isa, 1);
        assert_int_equal(kernels_choose(&chosen, NULL), MOHVIT_OK);
        assert_ptr_equal(chosen, k);
    }
    mohvit_error err;
    setenv("MOHVIT_ISA", "mmx", 1);
    assert_int_equal(kernels_choose(&chosen, &err), MOHVIT_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "MOHVIT_ISA=mmx"));
    unsetenv("MOHVIT_ISA");
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
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
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
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
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

/* ---- Bias -------------------------------------------------------------------------------------- */

static void bias_is_set_or_added_in_the_rectangle_alone(void **state)
{
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
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
    (void)state;
    const kernels *k;
    enum { N = 40001 };
    float *x = array_new(N);
    FOR_EACH_SET(k)
    {
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
    }
    array_free(x);
}

/* erf itself, out of GELU: 2·gelu(x)/x − 1 = erf(x/√2). */
static void erf_is_within_1e_6(void **state)
{
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
    for (size_t i = 1; i <= 8000; i++) {
        float x = (float)i * 1e-3f, y = 0;
        k->add_gelu(&y, &x, 1);
        assert_close(2 * (double)y / (double)x - 1, erf((double)x / sqrt(2)), 1e-6);
    }
}

static void gelu_is_added_to_what_is_there(void **state)
{
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
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
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
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
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
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
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
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

/* ---- The gated MLP's middle -------------------------------------------------------------------- */

/* y and the weights have `gap` floats between their rows that are none of the gate's business. */
typedef struct {
    float *uv, *weight, *packed, *bias, *y; /* weight (channels, 9), packed (9, channels) */
    size_t side, channels, ld;
} gate_case;

static gate_case gate_new(size_t side, size_t channels, size_t gap, float scale)
{
    random_stream r = {side * 1000 + channels};
    size_t ld = channels + gap;
    gate_case c = {array_random(&r, side * side * 2 * channels, scale),
                   array_random(&r, 9 * channels, 0.6f),
                   array_new(8 * ld + channels),
                   array_random(&r, channels, 0.1f),
                   array_new((side * side - 1) * ld + channels),
                   side,
                   channels,
                   ld};
    for (size_t i = 0; i < channels; i++)
        for (size_t j = 0; j < 9; j++)
            c.packed[j * ld + i] = c.weight[i * 9 + j];
    return c;
}

static void gate_run(const kernels *k, const gate_case *c, float *y)
{
    size_t side = c->side, row_floats = side * 2 * c->channels;
    for (size_t row = 0; row < side; row++) {
        const float *at = c->uv + row * row_floats;
        const float *uv[3] = {row ? at - row_floats : NULL, at, row + 1 < side ? at + row_floats : NULL};
        k->depthwise_gelu_gate(y + row * side * c->ld, c->ld, uv, side, c->channels, c->packed, c->ld,
                               c->bias);
    }
}

static void gate_free(gate_case *c)
{
    array_free(c->uv);
    array_free(c->weight);
    array_free(c->packed);
    array_free(c->bias);
    array_free(c->y);
}

static void check_gate(const kernels *k, size_t side, size_t channels, size_t gap, float scale)
{
    gate_case c = gate_new(side, channels, gap, scale);
    size_t n = side * side * channels;
    double *uv = widened(c.uv, 2 * n), *expected = malloc(n * sizeof *expected);
    uint32_t untouched = float_bits(c.y[0]);
    gate_run(k, &c, c.y);
    reference_depthwise_gelu_gate(expected, uv, side, channels, c.weight, c.bias);
    double magnitude = (9 * 0.6 * (double)scale + 0.1) * (double)scale; // of sum · v
    for (size_t token = 0; token < side * side; token++)
        for (size_t i = 0; i < c.ld && (i < channels || token + 1 < side * side); i++)
            if (i < channels)
                assert_close((double)c.y[token * c.ld + i], expected[token * channels + i],
                             1e-6 * magnitude + 1e-44);
            else
                assert_int_equal(float_bits(c.y[token * c.ld + i]), untouched);
    free(uv);
    free(expected);
    gate_free(&c);
}

static const size_t hidden_widths[] = {1,   2,   3,   4,   5,   7,   8,   9,   15,  16,  17,  24,
                                       31,  32,  33,  64,  100, 127, 128, 129, 131, 135, 136, 137,
                                       143, 144, 145, 159, 160, 161, 255, 256, 257, 272, 300};

static void the_gate_agrees_with_the_reference(void **state)
{
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
    {
        for (size_t side = 1; side <= 17; side++) {
            check_gate(k, side, 3, 0, 1);
            check_gate(k, side, 19, 0, 1);
            check_gate(k, side, 37, 5, 1);
        }
        for (size_t i = 0; i < LENGTH(hidden_widths); i++)
            for (size_t side = 1; side <= 3; side++) {
                check_gate(k, side, hidden_widths[i], 0, 1);
                check_gate(k, side, hidden_widths[i], 1 + i % 3, 1);
            }
        check_gate(k, 5, 21, 0, 1000);
        check_gate(k, 5, 21, 0, 1e-3f);
        check_gate(k, 5, 21, 0, 1e-25f);
        check_gate(k, 5, 21, 0, 1e-41f); // denormals
        check_gate(k, 5, 21, 0, 0);
    }
}

/* The rows above and below are where the caller says, and a missing one counts as 0. */
static void the_gate_reads_the_rows_that_it_is_given(void **state)
{
    (void)state;
    const kernels *k;
    enum { SIDE = 6, ROW = SIDE * 2 };
    FOR_EACH_SET(k)
    for (size_t i = 0; i < LENGTH(hidden_widths); i++) {
        size_t channels = hidden_widths[i], row = ROW * channels, n = SIDE * channels;
        random_stream r = {channels};
        float *rows[3], *zero = array_new(row), *weight = array_random(&r, 9 * channels, 1),
                        *bias = array_random(&r, channels, 1), *y = array_new(n), *expected = array_new(n);
        memset(zero, 0, row * sizeof *zero);
        for (size_t j = 0; j < 3; j++)
            rows[j] = array_random(&r, row, 1); // far apart, in memory of their own
        for (size_t missing = 0; missing < 4; missing++) {
            const float *uv[3], *with_zero[3];
            for (size_t j = 0; j < 3; j++) {
                bool there = j == 1 || !(missing >> j / 2 & 1);
                uv[j] = there ? rows[j] : NULL;
                with_zero[j] = there ? rows[j] : zero;
            }
            k->depthwise_gelu_gate(y, channels, uv, SIDE, channels, weight, channels, bias);
            k->depthwise_gelu_gate(expected, channels, with_zero, SIDE, channels, weight, channels, bias);
            assert_same_bits(y, expected, n);
        }
        for (size_t j = 0; j < 3; j++)
            array_free(rows[j]);
        array_free(zero);
        array_free(weight);
        array_free(bias);
        array_free(y);
        array_free(expected);
    }
}

static void the_gate_passes_a_nan_to_its_neighbours_in_its_channel(void **state)
{
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
    for (size_t i = 0; i < LENGTH(hidden_widths); i += 2) {
        size_t side = 4, hidden = hidden_widths[i], n = side * side * hidden;
        random_stream r = {hidden};
        gate_case c = gate_new(side, hidden, 0, 1);
        float *clean = array_new(n);
        gate_run(k, &c, clean);
        for (int half = 0; half < 2; half++) { // in u, then in v
            size_t token = random_below(&r, side * side), channel = random_below(&r, hidden);
            float *at = c.uv + token * 2 * hidden + (half ? hidden : 0) + channel, kept = *at;
            *at = NAN;
            gate_run(k, &c, c.y);
            *at = kept;
            for (size_t j = 0; j < n; j++) {
                long dy = (long)(j / hidden / side) - (long)(token / side),
                     dx = (long)(j / hidden % side) - (long)(token % side);
                bool reached = j % hidden == channel && (half ? !dx && !dy : labs(dx) <= 1 && labs(dy) <= 1);
                assert_true(reached ? isnan(c.y[j]) : float_bits(c.y[j]) == float_bits(clean[j]));
            }
        }
        array_free(clean);
        gate_free(&c);
    }
}

/* ---- A layer of two inputs --------------------------------------------------------------------- */

static void affine2_relu_agrees_with_the_reference(void **state)
{
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
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

/* ---- Bench ------------------------------------------------------------------------------------- */

typedef struct {
    size_t rows, C, h, side, hidden;
    float *x, *y, *w, *b;
} bench_shape;

static void bench_norm(const kernels *k, void *arg)
{
    bench_shape *s = arg;
    k->layer_norm(s->y, s->x, s->rows, s->C, s->w, s->b, 1e-6f);
}

static void bench_gelu(const kernels *k, void *arg)
{
    bench_shape *s = arg;
    k->add_gelu(s->y, s->x, s->rows * s->C);
}

static void plain_gelu(const kernels *k, void *arg)
{
    (void)k;
    bench_shape *s = arg;
    for (size_t i = 0; i < s->rows * s->C; i++)
        s->y[i] += s->x[i] * 0.5f * (1 + erff(s->x[i] * 0.707106781f));
}

static void bench_add_bias(const kernels *k, void *arg)
{
    bench_shape *s = arg;
    k->add_bias(s->y, s->C, s->rows, s->C, s->b);
}

static void bench_set_bias(const kernels *k, void *arg)
{
    bench_shape *s = arg;
    k->set_bias(s->y, s->C, s->rows, s->C, s->b);
}

static void bench_l2(const kernels *k, void *arg)
{
    bench_shape *s = arg;
    k->l2_normalise(s->x, s->C, s->rows, s->h, s->C / s->h);
}

/* In blocks of channels, as the MLP does it. */
enum { GATE_BLOCK = 64 };

static void bench_gate(const kernels *k, void *arg)
{
    bench_shape *s = arg;
    size_t row_floats = s->side * 2 * GATE_BLOCK;
    for (size_t c = 0; c < s->hidden; c += GATE_BLOCK)
        for (size_t row = 0; row < s->side; row++) {
            const float *at = s->x + c * 2 * s->rows + row * row_floats;
            const float *uv[3] = {row ? at - row_floats : NULL, at,
                                  row + 1 < s->side ? at + row_floats : NULL};
            k->depthwise_gelu_gate(s->y + row * s->side * s->hidden + c, s->hidden, uv, s->side, GATE_BLOCK,
                                   s->w + c, s->hidden, s->b + c);
        }
}

/* Half of the heads, none of them shared. */
static void bench_gates(const kernels *k, void *arg)
{
    bench_shape *s = arg;
    gates_job job = {
        .heads = s->h, .routed = (s->h + 1) / 2, .rows = s->h, .logits = s->x, .N = s->rows, .gate = s->y};
    job.pick = (uint8_t *)(s->y + s->rows * s->h);
    k->gates(&job);
}

static void bench_affine(const kernels *k, void *arg)
{
    bench_shape *s = arg;
    for (size_t i = 0; i < 100; i++)
        k->affine2_relu(s->y, 0.5f, 0.25f, s->x, s->w, s->b, s->C);
}

static int bench(void)
{
    printf("Kernels on the shapes of moh_transnext_small_75, one thread.\n");
    for (size_t i = 0; i < BENCH_STAGES; i++) {
        size_t side = bench_stages[i].side, C = bench_stages[i].C, h = bench_stages[i].heads,
               hidden = bench_stages[i].hidden, N = side * side;
        random_stream r = {i + 1};
        bench_shape s = {.rows = N, .C = C, .h = h, .side = side, .hidden = hidden};
        s.x = array_random(&r, N * 2 * hidden, 1);
        s.y = array_random(&r, N * 2 * hidden, 1);
        s.w = array_random(&r, 9 * hidden, 1);
        s.b = array_random(&r, 2 * hidden, 1);
        double floats = (double)(N * C), middle = (double)(N * hidden);
        char tokens[32], mlp[32], heads[32];
        snprintf(tokens, sizeof tokens, "%zu x %zu", N, C);
        snprintf(heads, sizeof heads, "%zu x %zu x %zu", N, h, C / h);
        snprintf(mlp, sizeof mlp, "%zu x %zu x %zu", side, side, hidden);
        const bench_entry entries[] = {
            {"layer_norm", tokens, "element", floats, 8 * floats, bench_norm, &s},
            {"set_bias", tokens, "element", floats, 4 * floats, bench_set_bias, &s},
            {"add_bias", tokens, "element", floats, 8 * floats, bench_add_bias, &s},
            {"add_gelu", tokens, "element", floats, 12 * floats, bench_gelu, &s},
            {"l2_normalise", heads, "element", floats, 8 * floats, bench_l2, &s},
            {"depthwise_gelu_gate", mlp, "element", middle, 12 * middle, bench_gate, &s},
            {"gates", heads, "token", (double)N, 9 * (double)(N * h), bench_gates, &s},
        };
        for (size_t e = 0; e < LENGTH(entries); e++)
            bench_sets(&entries[e]);
        const kernels *k, *widest = kernels_available(0);
        FOR_EACH_SET(k)
        widest = k;
        bench_entry plain = entries[3];
        plain.run = plain_gelu;
        bench_line(&entries[3], widest->isa, bench_seconds(&entries[3], widest), "the C library's erff",
                   bench_seconds(&plain, widest));
        if (!i) {
            s.C = 512;
            bench_sets(&(bench_entry){"affine2_relu", "512, 100 times", "element", 51200, 51200 * 16.0,
                                      bench_affine, &s});
        }
        array_free(s.x);
        array_free(s.y);
        array_free(s.w);
        array_free(s.b);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "--bench"))
        return bench();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_is_a_baseline_and_the_widest_set_is_chosen),
        cmocka_unit_test(layer_norm_agrees_with_the_reference),
        cmocka_unit_test(layer_norm_keeps_a_nan_in_its_row),
        cmocka_unit_test(bias_is_set_or_added_in_the_rectangle_alone),
        cmocka_unit_test(gelu_is_within_5e_7_of_x),
        cmocka_unit_test(erf_is_within_1e_6),
        cmocka_unit_test(gelu_is_added_to_what_is_there),
        cmocka_unit_test(gelu_of_an_element_does_not_depend_on_its_place),
        cmocka_unit_test(l2_normalise_agrees_with_the_reference),
        cmocka_unit_test(l2_normalise_keeps_a_nan_in_its_vector),
        cmocka_unit_test(the_gate_agrees_with_the_reference),
        cmocka_unit_test(the_gate_reads_the_rows_that_it_is_given),
        cmocka_unit_test(the_gate_passes_a_nan_to_its_neighbours_in_its_channel),
        cmocka_unit_test(affine2_relu_agrees_with_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

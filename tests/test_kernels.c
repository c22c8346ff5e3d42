/* Every instruction set's kernels against the reference, on shapes that no vector divides. With --bench: how
 * long each of them takes on the shapes of MoH-ViT-S-75. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "linear.h"
#include "reference.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EPS           (double)FLT_EPSILON
#define LENGTH(array) (sizeof(array) / sizeof *(array))

#define FOR_EACH_SET(k) for (size_t set = 0; ((k) = kernels_available(set)); set++)

static double *widened(const float *x, size_t n)
{
    double *wide = malloc((n + 1) * sizeof *wide);
    assert_non_null(wide);
    for (size_t i = 0; i < n; i++)
        wide[i] = (double)x[i];
    return wide;
}

static void assert_same_bits(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(float_bits(a[i]), float_bits(b[i]));
}

static float *copied(const float *x, size_t n)
{
    float *copy = array_new(n);
    memcpy(copy, x, n * sizeof *x);
    return copy;
}

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
                float *y = array_random(&r, n, 1), *before = copied(y, n), *bias = array_random(&r, cols, 1);
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

static void check_gelu(const kernels *k, float *x, size_t n)
{
    float *y = copied(x, n);
    k->gelu(y, n);
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
        float x = (float)i * 1e-3f, y = x;
        k->gelu(&y, 1);
        assert_close(2 * (double)y / (double)x - 1, erf((double)x / sqrt(2)), 1e-6);
    }
}

static void gelu_of_an_element_does_not_depend_on_its_place(void **state)
{
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
    for (size_t n = 0; n <= 70; n++) {
        random_stream r = {n + 1};
        float *x = array_random(&r, n, 4), *y = copied(x, n);
        k->gelu(y, n);
        for (size_t i = 0; i < n; i++) {
            float alone = x[i];
            k->gelu(&alone, 1);
            assert_int_equal(float_bits(alone), float_bits(y[i]));
        }
        if (n) {
            size_t at = random_below(&r, n);
            float *z = copied(x, n);
            z[at] = NAN;
            k->gelu(z, n);
            for (size_t i = 0; i < n; i++)
                assert_true(i == at ? isnan(z[i]) : float_bits(z[i]) == float_bits(y[i]));
            array_free(z);
        }
        array_free(x);
        array_free(y);
    }
}

/* ---- L2 norm ----------------------------------------------------------------------------------- */

static const size_t head_widths[] = {1, 2, 3, 4, 7, 8, 9, 12, 16, 17, 24, 31, 32, 33, 40, 48, 64};

static void check_l2(const kernels *k, size_t rows, size_t h, size_t d, size_t gap, float scale)
{
    random_stream r = {d * 7 + h};
    size_t ldx = h * d + gap, n = (rows - 1) * ldx + h * d;
    float *x = array_random(&r, n, scale), *before = copied(x, n);
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
        float *x = array_random(&r, 6 * d, 1), *clean = copied(x, 6 * d);
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

typedef struct {
    float *uv, *weight, *packed, *bias, *y; /* weight (hidden, 9), packed (9, hidden) */
    size_t side, hidden;
} gate_case;

static gate_case gate_new(size_t side, size_t hidden, float scale)
{
    random_stream r = {side * 1000 + hidden};
    gate_case c = {array_random(&r, side * side * 2 * hidden, scale),
                   array_random(&r, 9 * hidden, 0.6f),
                   array_new(9 * hidden),
                   array_random(&r, hidden, 0.1f),
                   array_new(side * side * hidden),
                   side,
                   hidden};
    for (size_t i = 0; i < hidden; i++)
        for (size_t j = 0; j < 9; j++)
            c.packed[j * hidden + i] = c.weight[i * 9 + j];
    return c;
}

static void gate_run(const kernels *k, const gate_case *c, float *y)
{
    for (size_t row = 0; row < c->side; row++)
        k->depthwise_gelu_gate(y + row * c->side * c->hidden, c->uv, c->side, row, c->hidden, c->packed,
                               c->bias);
}

static void gate_free(gate_case *c)
{
    array_free(c->uv);
    array_free(c->weight);
    array_free(c->packed);
    array_free(c->bias);
    array_free(c->y);
}

static void check_gate(const kernels *k, size_t side, size_t hidden, float scale)
{
    gate_case c = gate_new(side, hidden, scale);
    size_t n = side * side * hidden;
    double *uv = widened(c.uv, 2 * n), *expected = malloc(n * sizeof *expected);
    gate_run(k, &c, c.y);
    reference_depthwise_gelu_gate(expected, uv, side, hidden, c.weight, c.bias);
    double magnitude = (9 * 0.6 * (double)scale + 0.1) * (double)scale; // of sum · v
    for (size_t i = 0; i < n; i++)
        assert_close((double)c.y[i], expected[i], 1e-6 * magnitude + 1e-44);
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
            check_gate(k, side, 3, 1);
            check_gate(k, side, 19, 1);
        }
        for (size_t i = 0; i < LENGTH(hidden_widths); i++)
            for (size_t side = 1; side <= 3; side++)
                check_gate(k, side, hidden_widths[i], 1);
        check_gate(k, 5, 21, 1000);
        check_gate(k, 5, 21, 1e-3f);
        check_gate(k, 5, 21, 1e-25f);
        check_gate(k, 5, 21, 0);
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
        gate_case c = gate_new(side, hidden, 1);
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

/* ---- Matrix product ---------------------------------------------------------------------------- */

typedef struct {
    size_t N, in, out;
    float *x, *w, *packed, *bias;
} product;

static product product_new(const kernels *k, size_t N, size_t in, size_t out, size_t ldx)
{
    random_stream r = {N * 10007 + in * 101 + out};
    product p = {N,
                 in,
                 out,
                 array_random(&r, (N - 1) * ldx + in, 1),
                 array_random(&r, out * in, 1),
                 NULL,
                 array_random(&r, out, 1)};
    p.packed = array_new(k->gemm_packed(out, in));
    k->gemm_pack(p.packed, p.w, out, in);
    return p;
}

static void product_free(product *p)
{
    array_free(p->x);
    array_free(p->w);
    array_free(p->packed);
    array_free(p->bias);
}

static void check_product(const kernels *k, size_t N, size_t in, size_t out, size_t gap)
{
    size_t ldx = in + gap, ldy = out + gap, n = (N - 1) * ldy + out;
    product p = product_new(k, N, in, out, ldx);
    random_stream r = {n};
    float *y = array_random(&r, n, 1), *before = copied(y, n);
    double *x = widened(p.x, (N - 1) * ldx + in), *expected = malloc(out * sizeof *expected);
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        memcpy(y, before, n * sizeof *y);
        k->gemm_multiply(y, ldy, p.x, ldx, p.packed, p.bias, N, in, 0, out, accumulate);
        for (size_t row = 0; row < N; row++) {
            reference_linear(expected, x + row * ldx, 1, in, out, p.w, p.bias);
            for (size_t i = 0; i < out; i++)
                assert_close((double)y[row * ldy + i],
                             expected[i] + (accumulate ? (double)before[row * ldy + i] : 0),
                             EPS * (4 + (double)in));
            if (row + 1 < N)
                assert_same_bits(y + row * ldy + out, before + row * ldy + out, gap);
        }
    }
    free(x);
    free(expected);
    array_free(y);
    array_free(before);
    product_free(&p);
}

static void the_product_agrees_with_the_reference(void **state)
{
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
    {
        const size_t sizes[] = {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 49, 64, 65, 72};
        for (size_t N = 1; N <= 30; N++) // every height of a block of rows
            check_product(k, N, 5, 35, 0);
        for (size_t i = 0; i < LENGTH(sizes); i++)
            for (size_t j = 0; j < LENGTH(sizes); j++) {
                check_product(k, 1, sizes[i], sizes[j], 0);
                check_product(k, 3, sizes[i], sizes[j], 3);
            }
        check_product(k, 197, 72, 144, 0);
        check_product(k, 49, 576, 100, 1);
        check_product(k, 2, 3000, 33, 0);
    }
}

static void an_output_of_the_product_does_not_depend_on_the_cut(void **state)
{
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
    {
        enum { N = 45, IN = 37, OUT = 151, STEP = 32 }; // STEP: whole panels of every set
        product p = product_new(k, N, IN, OUT, IN);
        float *whole = array_new(N * OUT), *parts = array_new(N * OUT);
        k->gemm_multiply(whole, OUT, p.x, IN, p.packed, p.bias, N, IN, 0, OUT, false);
        for (size_t rows = 1; rows <= 20; rows += 3)
            for (size_t cols = STEP; cols <= 3 * STEP; cols += STEP) {
                for (size_t row = 0; row < N; row += rows)
                    for (size_t col = 0; col < OUT; col += cols)
                        k->gemm_multiply(parts + row * OUT + col, OUT, p.x + row * IN, IN, p.packed, p.bias,
                                         N - row < rows ? N - row : rows, IN, col,
                                         OUT - col < cols ? OUT - col : cols, false);
                assert_same_bits(parts, whole, N * OUT);
            }
        array_free(whole);
        array_free(parts);
        product_free(&p);
    }
}

static void the_product_passes_a_nan_to_its_row_or_column(void **state)
{
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
    {
        enum { N = 19, IN = 13, OUT = 53 };
        product p = product_new(k, N, IN, OUT, IN);
        float *clean = array_new(N * OUT), *y = array_new(N * OUT);
        k->gemm_multiply(clean, OUT, p.x, IN, p.packed, p.bias, N, IN, 0, OUT, false);
        p.x[7 * IN + 12] = NAN;
        p.w[52 * IN] = NAN;
        k->gemm_pack(p.packed, p.w, OUT, IN);
        k->gemm_multiply(y, OUT, p.x, IN, p.packed, p.bias, N, IN, 0, OUT, false);
        for (size_t i = 0; i < N * OUT; i++)
            assert_true(i / OUT == 7 || i % OUT == 52 ? isnan(y[i])
                                                      : float_bits(y[i]) == float_bits(clean[i]));
        array_free(clean);
        array_free(y);
        product_free(&p);
    }
}

/* ---- Attention of one head --------------------------------------------------------------------- */

#define TEMPERATURE 1.5 /* scores of some 4·ln(keys), as in trained models */

typedef struct {
    attend_job job;
    size_t N;
    float *q, *embedding, *scale, *gate, *out, *keys, *values, *bias, *kv, *local_bias, *tokens,
        *learnable_bias, *scratch;
    int32_t *offset;
    uint32_t *list;
} attend_case;

/* key_side 0: global attention, whose keys are the tokens. */
static attend_case attend_new(const kernels *k, size_t side, size_t key_side, size_t d)
{
    bool local = key_side;
    key_side = local ? key_side : side;
    random_stream r = {side * 10000 + key_side * 100 + d};
    size_t N = side * side, K = key_side * key_side, h = 2, bias_side = 2 * side + 1, C = h * d;
    attend_case c = {.N = N};
    c.q = array_random(&r, N * C, 1);
    c.embedding = array_random(&r, d, 0.05f);
    c.scale = array_new(10);
    for (size_t i = 0; i < 10; i++)
        c.scale[i] = (float)(reference_softplus(TEMPERATURE) * log((double)(K + i)));
    c.gate = array_random(&r, N * h, 2);
    c.out = array_new(N * C);
    c.keys = array_random(&r, K * d, 1);
    kernels_available(0)->l2_normalise(c.keys, d, K, 1, d);
    c.values = array_random(&r, K * d, 1);
    c.bias = array_random(&r, bias_side * bias_side, 1);
    c.kv = array_random(&r, N * 2 * C, 1);
    kernels_available(0)->l2_normalise(c.kv, 2 * C, N, h, d);
    c.local_bias = array_random(&r, 9, 0.5f);
    c.tokens = array_random(&r, 9 * d, 0.1f);
    c.learnable_bias = array_random(&r, 9, 0.1f);
    c.scratch = array_new(k->attend_scratch(d, K));
    c.offset = malloc(side * key_side * sizeof *c.offset);
    c.list = malloc((N + 1) * sizeof *c.list);
    assert_true(c.offset && c.list);
    for (size_t i = 0; i < side * key_side; i++)
        c.offset[i] = (int32_t)random_below(&r, bias_side);
    for (size_t i = 0; i < N; i++)
        c.list[i] = (uint32_t)i;
    c.job = (attend_job){.d = d,
                         .tokens = c.list,
                         .count = N,
                         .q = c.q + d,
                         .ldq = C,
                         .query_embedding = c.embedding,
                         .scale = c.scale,
                         .gate = c.gate + 1,
                         .ldgate = h,
                         .out = c.out + d,
                         .ldout = C,
                         .K = K,
                         .keys = c.keys,
                         .values = c.values,
                         .bias = c.bias,
                         .bias_side = bias_side,
                         .bias_offset = c.offset,
                         .side = side,
                         .key_side = key_side};
    if (local) {
        c.job.k = c.kv + d; // the second head of two: neither pointer is the start of its array
        c.job.v = c.kv + C + d;
        c.job.ldkv = 2 * C;
        c.job.local_bias = c.local_bias;
        c.job.learnable_tokens = c.tokens;
        c.job.learnable_bias = c.learnable_bias;
    }
    return c;
}

static void attend_free(attend_case *c)
{
    float *arrays[] = {c->q,      c->embedding,      c->scale,  c->gate, c->out,
                       c->keys,   c->values,         c->bias,   c->kv,   c->local_bias,
                       c->tokens, c->learnable_bias, c->scratch};
    for (size_t i = 0; i < LENGTH(arrays); i++)
        array_free(arrays[i]);
    free(c->offset);
    free(c->list);
}

/* count tokens chosen at random, in ascending order as the router lists them. */
static void attend_select(attend_case *c, random_stream *r, size_t count)
{
    size_t chosen = 0;
    for (size_t token = 0; token < c->N; token++)
        if (random_below(r, c->N - token) < count - chosen)
            c->list[chosen++] = (uint32_t)token;
    c->job.count = count;
}

static void attend_run(const kernels *k, attend_case *c)
{
    for (size_t i = 0; i < c->N * c->job.ldout; i++)
        c->out[i] = 77;
    assert_int_equal(k->attend(&c->job, c->scratch), c->job.count);
}

static bool attend_selected(const attend_case *c, size_t token)
{
    for (size_t i = 0; i < c->job.count; i++)
        if (c->list[i] == token)
            return true;
    return false;
}

static double *gathered(const float *x, size_t rows, size_t ld, size_t d)
{
    double *wide = malloc(rows * d * sizeof *wide);
    assert_non_null(wide);
    for (size_t i = 0; i < rows * d; i++)
        wide[i] = (double)x[i / d * ld + i % d];
    return wide;
}

/* Everything that was written against the reference, and everything else against 77. */
static void attend_check(const attend_case *c)
{
    const attend_job *job = &c->job;
    size_t d = job->d, N = c->N, K = job->K, P = job->key_side;
    double *expected = malloc(d * sizeof *expected), *bias = malloc(N * K * sizeof *bias),
           *tokens = malloc(9 * d * sizeof *tokens);
    for (size_t token = 0; token < N; token++)
        for (size_t key = 0; key < K; key++) {
            size_t row = (size_t)c->offset[token / job->side * P + key / P],
                   col = (size_t)c->offset[token % job->side * P + key % P];
            bias[token * K + key] = (double)c->bias[row * job->bias_side + col];
        }
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < 9; j++)
            tokens[i * 9 + j] = (double)c->tokens[j * d + i];
    double *owned[] = {gathered(job->q, N, job->ldq, d), widened(c->embedding, d),
                       widened(c->keys, K * d),          widened(c->values, K * d),
                       widened(c->local_bias, 9),        widened(c->learnable_bias, 9),
                       gathered(c->kv + d, N, 4 * d, d), gathered(c->kv + 3 * d, N, 4 * d, d)};
    reference_head head = {.side = job->side,
                           .d = d,
                           .q = owned[0],
                           .query_embedding = owned[1],
                           .softplus_temperature = reference_softplus(TEMPERATURE),
                           .K = K,
                           .keys = owned[2],
                           .values = owned[3],
                           .bias = bias,
                           .local_bias = owned[4],
                           .learnable_tokens = tokens,
                           .learnable_bias = owned[5]};
    if (job->k) {
        head.k = owned[6];
        head.v = owned[7];
    }
    for (size_t token = 0; token < N; token++) {
        const float *row = c->out + token * job->ldout;
        bool selected = attend_selected(c, token);
        double gate = (double)job->gate[token * job->ldgate];
        if (selected)
            reference_attend(expected, &head, token);
        for (size_t i = 0; i < d; i++) {
            assert_true(row[i] == 77);
            if (selected) // an error in a score of up to 10 is an error in its weight, relative to it
                assert_close((double)row[d + i], gate * expected[i], 5e-6 * fabs(gate));
            else
                assert_true(row[d + i] == 77);
        }
    }
    for (size_t i = 0; i < LENGTH(owned); i++)
        free(owned[i]);
    free(expected);
    free(bias);
    free(tokens);
}

static const struct {
    size_t side, key_side, d;
} attend_shapes[] = {{1, 0, 1},  {1, 1, 3},  {2, 0, 8},   {2, 1, 24},  {3, 0, 12},  {3, 2, 40},  {4, 0, 32},
                     {5, 3, 1},  {5, 0, 3},  {6, 2, 8},   {7, 0, 24},  {7, 3, 12},  {8, 7, 24},  {9, 0, 40},
                     {9, 4, 32}, {11, 5, 7}, {13, 3, 24}, {14, 7, 24}, {16, 0, 16}, {17, 2, 17}, {17, 0, 5}};

static void attend_agrees_with_the_reference_for_any_tokens(void **state)
{
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
    for (size_t i = 0; i < LENGTH(attend_shapes); i++) {
        attend_case c = attend_new(k, attend_shapes[i].side, attend_shapes[i].key_side, attend_shapes[i].d);
        random_stream r = {i + 1};
        const size_t counts[] = {0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, c.N / 2, c.N};
        for (size_t j = 0; j < LENGTH(counts); j++)
            if (counts[j] <= c.N && (counts[j] < 64 || counts[j] == c.N)) {
                attend_select(&c, &r, counts[j]);
                attend_run(k, &c);
                attend_check(&c);
            }
        attend_free(&c);
    }
}

static void attend_reads_nothing_of_unselected_tokens(void **state)
{
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
    for (size_t i = 0; i < LENGTH(attend_shapes); i++) {
        attend_case c = attend_new(k, attend_shapes[i].side, attend_shapes[i].key_side, attend_shapes[i].d);
        size_t d = c.job.d, floats = c.N * c.job.ldout;
        random_stream r = {i + 77};
        for (size_t trial = 0; trial < 3; trial++) {
            attend_select(&c, &r, random_below(&r, c.N + 1));
            attend_run(k, &c);
            float *clean = copied(c.out, floats), *q = copied(c.q, c.N * 2 * d),
                  *gate = copied(c.gate, c.N * 2);
            for (size_t token = 0; token < c.N; token++) {
                bool selected = attend_selected(&c, token);
                c.gate[token * 2] = NAN; // the other head's
                for (size_t j = 0; j < d; j++)
                    c.q[token * 2 * d + j] = NAN;
                if (selected)
                    continue;
                c.gate[token * 2 + 1] = NAN;
                for (size_t j = 0; j < d; j++)
                    c.q[token * 2 * d + d + j] = NAN;
            }
            attend_run(k, &c);
            assert_same_bits(c.out, clean, floats);
            memcpy(c.q, q, c.N * 2 * d * sizeof *q);
            memcpy(c.gate, gate, c.N * 2 * sizeof *gate);
            array_free(clean);
            array_free(q);
            array_free(gate);
        }
        attend_free(&c);
    }
}

static void attend_answers_a_token_the_same_in_any_company(void **state)
{
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
    for (size_t i = 0; i < LENGTH(attend_shapes); i++) {
        attend_case c = attend_new(k, attend_shapes[i].side, attend_shapes[i].key_side, attend_shapes[i].d);
        size_t d = c.job.d, ld = c.job.ldout;
        random_stream r = {i + 7};
        attend_run(k, &c);
        float *all = copied(c.out, c.N * ld);
        for (size_t trial = 0; trial < 6; trial++) {
            if (trial < 3) {
                attend_select(&c, &r, 1 + random_below(&r, c.N));
            } else { // some tokens in any order, the same one maybe twice
                c.job.count = 1 + random_below(&r, c.N);
                for (size_t j = 0; j < c.job.count; j++)
                    c.list[j] = (uint32_t)random_below(&r, c.N);
            }
            attend_run(k, &c);
            for (size_t j = 0; j < c.job.count; j++)
                assert_same_bits(c.out + c.list[j] * ld + d, all + c.list[j] * ld + d, d);
        }
        array_free(all);
        attend_free(&c);
    }
}

/* With queries of 0 and values that are the unit vectors, a head's answer is softmax(bias). */
static void softmax_is_exact_to_a_few_units_in_the_last_place(void **state)
{
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
    for (size_t key_side = 2; key_side <= 6; key_side++)
        for (size_t trial = 0; trial < 40; trial++) {
            size_t K = key_side * key_side;
            attend_case c = attend_new(k, key_side, 0, K);
            random_stream r = {trial + 1};
            double expected[36], sum = 0, depth = trial % 2 ? 86 : 5;
            memset(c.values, 0, K * K * sizeof *c.values);
            for (size_t i = 0; i < K; i++)
                c.values[i * K + i] = 1;
            memset(c.q, 0, c.N * 2 * K * sizeof *c.q);
            memset(c.embedding, 0, K * sizeof *c.embedding);
            for (size_t i = 0; i < key_side; i++) // token 0 has offsets of its own
                c.offset[i] = (int32_t)i;
            c.job.count = 1;
            for (size_t i = 0; i < K; i++) {
                float score = i == trial % K ? 0 : (random_float(&r) - 1) * (float)(depth / 2);
                c.bias[i / key_side * c.job.bias_side + i % key_side] = score + 0.0f;
                sum += expected[i] = exp((double)score);
            }
            c.gate[1] = 1;
            attend_run(k, &c);
            for (size_t i = 0; i < K; i++)
                assert_close((double)c.out[K + i], expected[i] / sum, 4 * EPS * expected[i] / sum);
            attend_free(&c);
        }
}

static void attend_passes_a_nan_to_what_depends_on_it(void **state)
{
    (void)state;
    const kernels *k;
    FOR_EACH_SET(k)
    for (size_t i = 0; i < LENGTH(attend_shapes); i++) {
        attend_case c = attend_new(k, attend_shapes[i].side, attend_shapes[i].key_side, attend_shapes[i].d);
        size_t d = c.job.d, ld = c.job.ldout, token = c.N / 3, key = c.job.K / 2;
        random_stream r = {i + 1};
        attend_run(k, &c);
        float *clean = copied(c.out, c.N * ld);
        // A query: its token. A value: its channel of all tokens; a neighbour's, of those around it. A key:
        // all, or those around it.
        enum { QUERY, GATE, VALUE, KEY, LOCAL_VALUE, LOCAL_KEY, PLACES };
        for (int place = 0; place < (c.job.k ? PLACES : LOCAL_VALUE); place++) {
            size_t channel = random_below(&r, d);
            float *at[PLACES] = {c.q + token * ld + d + channel,
                                 c.gate + token * 2 + 1,
                                 c.values + key * d + channel,
                                 c.keys + key * d + channel,
                                 c.kv + token * 2 * ld + ld + d + channel,
                                 c.kv + token * 2 * ld + d + channel};
            float kept = *at[place];
            *at[place] = NAN;
            attend_run(k, &c);
            *at[place] = kept;
            for (size_t j = 0; j < c.N * d; j++) {
                size_t n = j / d;
                bool near = labs((long)(n / c.job.side) - (long)(token / c.job.side)) <= 1 &&
                            labs((long)(n % c.job.side) - (long)(token % c.job.side)) <= 1;
                bool same_channel = j % d == channel;
                bool reached = place == QUERY || place == GATE ? n == token
                               : place == VALUE                ? same_channel
                               : place == KEY                  ? true
                               : place == LOCAL_VALUE          ? near && same_channel
                                                               : near;
                const float *found = c.out + n * ld + d + j % d;
                assert_true(reached ? isnan(*found)
                                    : float_bits(*found) == float_bits(clean[n * ld + d + j % d]));
            }
        }
        array_free(clean);
        attend_free(&c);
    }
}

static void attend_survives_queries_of_any_size(void **state)
{
    (void)state;
    const kernels *k;
    const float sizes[] = {1e15f, 1e-3f, 1e-15f, 1e-25f, 0};
    FOR_EACH_SET(k)
    for (size_t i = 0; i < LENGTH(sizes); i++)
        for (size_t global = 0; global < 2; global++) {
            attend_case c = attend_new(k, 5, global ? 0 : 2, 24);
            for (size_t j = 0; j < c.N * c.job.ldq; j++)
                c.q[j] *= sizes[i];
            attend_run(k, &c);
            attend_check(&c);
            attend_free(&c);
        }
}

/* ---- Bench ------------------------------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct {
    const char *name, *shape, *unit;
    double units, bytes; /* units of work; bytes read and written at least once */
    void (*run)(const kernels *k, void *arg);
    void *arg;
} bench_entry;

/* Shortest of some runs that fill 30 ms. */
static double bench_seconds(const bench_entry *e, const kernels *k)
{
    double best = 1e9, start = seconds();
    for (int runs = 0; runs < 5 || seconds() - start < 0.03; runs++) {
        double before = seconds();
        e->run(k, e->arg);
        double took = seconds() - before;
        best = took < best ? took : best;
    }
    return best;
}

static void bench_print(const bench_entry *e)
{
    const kernels *k;
    double baseline = 0;
    FOR_EACH_SET(k)
    {
        double s = bench_seconds(e, k);
        baseline = set ? baseline : s;
        printf("%-20s %-24s %-8s %9.1f us %8.3f ns/%-8s %7.1f GB/s %6.2fx\n", e->name, e->shape, k->isa,
               s * 1e6, s * 1e9 / e->units, e->unit, e->bytes / s * 1e-9, baseline / s);
    }
}

typedef struct {
    size_t rows, C, h, side, hidden, in, out;
    float *x, *y, *w, *b, *packed[4];
    attend_case attend[4];
} bench_shape;

static void bench_norm(const kernels *k, void *arg)
{
    bench_shape *s = arg;
    k->layer_norm(s->y, s->x, s->rows, s->C, s->w, s->b, 1e-6f);
}

static void bench_gelu(const kernels *k, void *arg)
{
    bench_shape *s = arg; // a fresh copy each time: GELU over and over ends in denormals, which are slow
    memcpy(s->y, s->x, s->rows * s->C * sizeof *s->y);
    k->gelu(s->y, s->rows * s->C);
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

static void bench_gate(const kernels *k, void *arg)
{
    bench_shape *s = arg;
    for (size_t row = 0; row < s->side; row++)
        k->depthwise_gelu_gate(s->y + row * s->side * s->hidden, s->x, s->side, row, s->hidden, s->w, s->b);
}

static void bench_affine(const kernels *k, void *arg)
{
    bench_shape *s = arg;
    for (size_t i = 0; i < 100; i++)
        k->affine2_relu(s->y, 0.5f, 0.25f, s->x, s->w, s->b, s->C);
}

static size_t set_of(const kernels *k)
{
    size_t set = 0;
    while (kernels_available(set) != k)
        set++;
    return set;
}

/* In the tiles of a forward pass. */
static void bench_product(const kernels *k, void *arg)
{
    bench_shape *s = arg;
    linear layer = {s->in, s->out, s->packed[set_of(k)], s->b};
    linear_call call = {&layer, s->x, s->in, s->y, s->out, s->rows, false};
    linear_forward(&call, 1, &gemm_native, k, NULL);
}

static void bench_attend(const kernels *k, void *arg)
{
    bench_shape *s = arg;
    attend_case *c = &s->attend[set_of(k)];
    k->attend(&c->job, c->scratch);
}

static int bench(void)
{
    static const struct {
        size_t side, C, h, hidden, key_side;
    } stages[] = {{56, 72, 3, 384, 7}, {28, 144, 6, 768, 7}, {14, 288, 12, 768, 7}, {7, 576, 24, 1536, 0}};
    printf("Kernels on the shapes of moh_transnext_small_75, one thread. The last column is a ratio to "
           "baseline.\n");
    for (size_t i = 0; i < LENGTH(stages); i++) {
        size_t side = stages[i].side, C = stages[i].C, h = stages[i].h, hidden = stages[i].hidden,
               N = side * side, d = C / h;
        random_stream r = {i + 1};
        bench_shape s = {
            .rows = N, .C = C, .h = h, .side = side, .hidden = hidden, .in = C, .out = 2 * hidden};
        const kernels *k;
        s.x = array_random(&r, N * 2 * hidden, 1);
        s.y = array_random(&r, N * 2 * hidden, 1);
        s.w = array_random(&r, 2 * hidden * C, 1);
        s.b = array_random(&r, 2 * hidden, 1);
        FOR_EACH_SET(k)
        {
            s.packed[set] = array_new(k->gemm_packed(s.out, s.in));
            k->gemm_pack(s.packed[set], s.w, s.out, s.in);
            s.attend[set] = attend_new(k, side, stages[i].key_side, d);
        }
        double floats = (double)(N * C), pairs = (double)N, K = (double)s.attend[0].job.K;
        char tokens[32], mlp[32], heads[32], head[32], layer[40];
        snprintf(tokens, sizeof tokens, "%zu x %zu", N, C);
        snprintf(heads, sizeof heads, "%zu x %zu x %zu", N, h, d);
        snprintf(mlp, sizeof mlp, "%zu x %zu x %zu", side, side, hidden);
        snprintf(head, sizeof head, "%zu of %zu, %s%zu keys", N, d, stages[i].key_side ? "9 + " : "",
                 s.attend[0].job.K);
        snprintf(layer, sizeof layer, "%zu x %zu x %zu", N, s.in, s.out);
        const bench_entry entries[] = {
            {"layer_norm", tokens, "element", floats, 8 * floats, bench_norm, &s},
            {"set_bias", tokens, "element", floats, 4 * floats, bench_set_bias, &s},
            {"add_bias", tokens, "element", floats, 8 * floats, bench_add_bias, &s},
            {"gelu (and a copy)", tokens, "element", floats, 8 * floats, bench_gelu, &s},
            {"l2_normalise", heads, "element", floats, 8 * floats, bench_l2, &s},
            {"depthwise_gelu_gate", mlp, "element", (double)(N * hidden), 12.0 * (double)(N * hidden),
             bench_gate, &s},
            {"gemm_multiply", layer, "kFLOP", 2e-3 * (double)(N * s.in * s.out),
             4.0 * (double)(N * s.in + s.in * s.out + N * s.out), bench_product, &s},
            {"attend", head, "token", pairs, 4 * (pairs * 3 * (double)d + 2 * K * (double)d), bench_attend,
             &s},
        };
        for (size_t e = 0; e < LENGTH(entries); e++)
            bench_print(&entries[e]);
        if (!i) {
            s.C = 512;
            bench_print(&(bench_entry){"affine2_relu", "512, 100 times", "element", 51200, 51200 * 16.0,
                                       bench_affine, &s});
        }
        FOR_EACH_SET(k)
        {
            array_free(s.packed[set]);
            attend_free(&s.attend[set]);
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
        cmocka_unit_test(gelu_of_an_element_does_not_depend_on_its_place),
        cmocka_unit_test(l2_normalise_agrees_with_the_reference),
        cmocka_unit_test(l2_normalise_keeps_a_nan_in_its_vector),
        cmocka_unit_test(the_gate_agrees_with_the_reference),
        cmocka_unit_test(the_gate_passes_a_nan_to_its_neighbours_in_its_channel),
        cmocka_unit_test(affine2_relu_agrees_with_the_reference),
        cmocka_unit_test(the_product_agrees_with_the_reference),
        cmocka_unit_test(an_output_of_the_product_does_not_depend_on_the_cut),
        cmocka_unit_test(the_product_passes_a_nan_to_its_row_or_column),
        cmocka_unit_test(attend_agrees_with_the_reference_for_any_tokens),
        cmocka_unit_test(attend_reads_nothing_of_unselected_tokens),
        cmocka_unit_test(attend_answers_a_token_the_same_in_any_company),
        cmocka_unit_test(softmax_is_exact_to_a_few_units_in_the_last_place),
        cmocka_unit_test(attend_passes_a_nan_to_what_depends_on_it),
        cmocka_unit_test(attend_survives_queries_of_any_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

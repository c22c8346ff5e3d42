/* Matrix products in every precision that a version of them computes: floats to what rounding costs, bfloat16
 * as the product of the rounded numbers, or of rounded weights alone where x is not encoded, half precision
 * likewise, bytes as exact sums of whole steps. */
#include "tests/vit/kernels/harness.h"
#include "tests/vit/kernels/reference.h"
#include "vit/kernels/linear.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- A product ---------------------------------------------------------------------------------- */

/* Everything lies in arrays that notice: what is encoded and packed is whole words. */
typedef struct {
    const kernels *kernels;
    precision precision;
    size_t N, in, out, ldx;
    float *x, *w, *bias;
    float *coded; /* NULL: x's own floats are multiplied */
    float *packed;
    size_t stride;
} product;

static void product_pack(product *p)
{
    p->kernels->gemm[p->precision].pack(p->packed, p->w, p->out, p->in);
}

static void product_encode(product *p)
{
    const gemm_kernels *g = &p->kernels->gemm[p->precision];
    if (g->encode)
        g->encode(p->coded, p->x, p->ldx, p->N, p->in);
}

static product product_new(const kernels *k, precision of, size_t N, size_t in, size_t out, size_t ldx,
                           float x_scale, float w_scale)
{
    const gemm_kernels *g = &k->gemm[of];
    random_stream r = {N * 10007 + in * 101 + out};
    product p = {.kernels = k, .precision = of, .N = N, .in = in, .out = out, .ldx = ldx};
    p.x = array_random(&r, (N - 1) * ldx + in, x_scale);
    p.w = array_random(&r, out * in, w_scale);
    p.bias = array_random(&r, out, x_scale * w_scale);
    p.packed = array_new(g->packed_bytes(out, in) / sizeof(float));
    p.stride = g->encode ? g->row_bytes(in) : ldx * sizeof *p.x;
    p.coded = g->encode ? array_new(N * p.stride / sizeof(float)) : NULL;
    product_pack(&p);
    product_encode(&p);
    return p;
}

static void product_free(product *p)
{
    float *arrays[] = {p->x, p->w, p->bias, p->coded, p->packed};
    for (size_t i = 0; i < LENGTH(arrays); i++)
        array_free(arrays[i]);
}

/* Rows row … by outputs col … of the product, to where they belong in y. */
static void product_tile(const product *p, float *y, size_t ldy, size_t row, size_t rows, size_t col,
                         size_t cols, bool accumulate)
{
    const char *x = p->coded ? (const char *)p->coded : (const char *)p->x;
    gemm_tile tile = {.y = y + row * ldy + col,
                      .ldy = ldy,
                      .x = x + row * p->stride,
                      .stride = p->stride,
                      .packed = p->packed,
                      .bias = p->bias,
                      .rows = rows,
                      .in = p->in,
                      .out = p->out,
                      .col = col,
                      .cols = cols,
                      .accumulate = accumulate};
    p->kernels->gemm[p->precision].multiply(&tile);
}

static void product_run(const product *p, float *y)
{
    product_tile(p, y, p->out, 0, p->N, 0, p->out, false);
}

/* ---- Against the reference ----------------------------------------------------------------------- */

static void product_check(const product *p, size_t gap)
{
    size_t N = p->N, out = p->out, ldy = out + gap, n = (N - 1) * ldy + out;
    random_stream r = {n};
    float *y = array_random(&r, n, 1), *before = array_copy(y, n);
    double *expected = malloc(N * out * sizeof *expected), *tolerance = malloc(N * out * sizeof *tolerance);
    assert_true(expected && tolerance);
    reference_product(expected, tolerance, p->precision, p->coded != NULL, p->x, p->ldx, N, p->in, out, p->w,
                      p->bias);
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        memcpy(y, before, n * sizeof *y);
        product_tile(p, y, ldy, 0, N, 0, out, accumulate);
        for (size_t row = 0; row < N; row++) {
            for (size_t i = 0; i < out; i++) {
                double there = accumulate ? (double)before[row * ldy + i] : 0;
                assert_close((double)y[row * ldy + i], expected[row * out + i] + there,
                             tolerance[row * out + i] + (double)FLT_EPSILON * fabs(there));
            }
            if (row + 1 < N)
                assert_same_bits(y + row * ldy + out, before + row * ldy + out, gap);
        }
    }
    free(expected);
    free(tolerance);
    array_free(y);
    array_free(before);
}

static void check_scaled(const kernels *k, precision of, size_t N, size_t in, size_t out, size_t gap,
                         float x_scale, float w_scale)
{
    product p = product_new(k, of, N, in, out, in + gap, x_scale, w_scale);
    product_check(&p, gap);
    product_free(&p);
}

static void check(const kernels *k, precision of, size_t N, size_t in, size_t out, size_t gap)
{
    check_scaled(k, of, N, in, out, gap, 1, 1);
}

static void the_product_agrees_with_the_reference(void **state)
{
    const kernels *k = tested(state);
    precision p = tested_precision(state);
    const size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 49, 64, 65, 72};
    for (size_t N = 1; N <= 30; N++) // every height of a block of rows
        check(k, p, N, 5, 35, 0);
    for (size_t i = 0; i < LENGTH(sizes); i++)
        for (size_t j = 0; j < LENGTH(sizes); j++) {
            check(k, p, 1, sizes[i], sizes[j], 0);
            check(k, p, 3, sizes[i], sizes[j], 3);
        }
    check(k, p, 197, 72, 144, 0);
    check(k, p, 49, 576, 100, 1);
    check(k, p, 15, 147, 72, 2); // the first convolution's windows
    check(k, p, 2, 3000, 33, 0);
}

static void the_product_agrees_for_any_magnitude(void **state)
{
    const kernels *k = tested(state);
    precision p = tested_precision(state);
    const float scales[][2] = {{1000, 1},   {1e-3f, 1},  {1e15f, 1e15f},   {1e18f, 1e-18f}, {1e-15f, 1e15f},
                               {1e-30f, 1}, {1, 1e-30f}, {1e-20f, 1e-20f}, {1e-38f, 1},     {1e-41f, 1},
                               {1, 1e-41f}, {1e-44f, 1}, {3e38f, 1e-3f},   {1e-3f, 3e38f}};
    for (size_t i = 0; i < LENGTH(scales); i++)
        for (size_t in = 1; in <= 147; in += in < 5 ? 1 : 71)
            check_scaled(k, p, 5, in, 37, 1, scales[i][0], scales[i][1]);
}

/* Whole rows and outputs of a magnitude of their own: an int8 step is one row's, not all rows'. */
static void rows_and_outputs_of_unlike_magnitude_agree(void **state)
{
    const kernels *k = tested(state);
    precision of = tested_precision(state);
    const float magnitudes[] = {1, 1e-6f, 1e6f, 0, 1e-12f, 100};
    for (size_t in = 1; in <= 72; in += in < 5 ? 1 : 67) {
        product p = product_new(k, of, 13, in, 45, in, 1, 1);
        for (size_t i = 0; i < p.N * in; i++)
            p.x[i] *= magnitudes[i / in % LENGTH(magnitudes)];
        for (size_t i = 0; i < p.out * in; i++)
            p.w[i] *= magnitudes[i / in * 5 % LENGTH(magnitudes)];
        product_pack(&p);
        product_encode(&p);
        product_check(&p, 0);
        product_free(&p);
    }
}

/* Sums of bytes are exact up to some 132,000 inputs, however large the numbers. */
static void sums_of_the_largest_numbers_are_exact(void **state)
{
    const kernels *k = tested(state);
    precision of = tested_precision(state);
    const size_t ins[] = {1, 66312, 131072}; // from 66312 on, sums of what was made unsigned pass 2^31
    for (size_t i = 0; i < LENGTH(ins); i++)
        for (int sign = -1; sign <= 1; sign += 2) {
            product p = product_new(k, of, 2, ins[i], 3, ins[i], 1, 1);
            float y[6];
            for (size_t j = 0; j < 2 * p.in; j++)
                p.x[j] = 1;
            for (size_t j = 0; j < 3 * p.in; j++)
                p.w[j] = (float)sign;
            memset(p.bias, 0, 3 * sizeof *p.bias);
            product_pack(&p);
            product_encode(&p);
            product_run(&p, y);
            for (size_t j = 0; j < 6; j++)
                assert_close((double)y[j], (double)sign * (double)p.in,
                             2 * (double)FLT_EPSILON * (double)p.in);
            product_free(&p);
        }
}

/* By every version as by the baseline's: no input is rounded elsewhere, and no sum. */
static void bytes_give_the_same_bits_by_every_version(void **state)
{
    const kernels *versions[] = {kernels_layer(0), tested(state)};
    precision of = tested_precision(state);
    const float scales[] = {1, 1e-30f, 1e15f};
    for (size_t i = 0; i < LENGTH(scales); i++)
        for (size_t in = 1; in <= 300; in += in < 9 ? 1 : 97) {
            enum { N = 41, OUT = 67 };
            float *y[2];
            for (size_t v = 0; v < 2; v++) {
                product p = product_new(versions[v], of, N, in, OUT, in, scales[i], 1);
                random_stream r = {in};
                for (size_t j = 0; j < N * in; j++) // many in the middle of two steps, or next to it
                    p.x[j] = (j % in ? ldexpf(roundf(random_float(&r) * 254), -1) : 127) * scales[i] *
                             (1 + (float)(j % 3) * FLT_EPSILON);
                y[v] = array_random(&r, N * OUT, scales[i]);
                product_encode(&p);
                product_tile(&p, y[v], OUT, 0, N, 0, OUT, true);
                product_free(&p);
            }
            assert_same_bits(y[1], y[0], N * OUT);
            array_free(y[0]);
            array_free(y[1]);
        }
}

/* ---- Packing: a unit vector brings one column of W back -------------------------------------------- */

static void every_weight_comes_back_as_it_was_packed(void **state)
{
    const kernels *k = tested(state);
    precision of = tested_precision(state);
    const size_t ins[] = {1, 2, 3, 5, 16, 147}, outs[] = {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100};
    for (size_t i = 0; i < LENGTH(ins); i++)
        for (size_t j = 0; j < LENGTH(outs); j++) {
            size_t in = ins[i], out = outs[j];
            product p = product_new(k, of, in, in, out, in, 1, 1);
            float *y = array_new(in * out);
            memset(p.x, 0, in * in * sizeof *p.x);
            for (size_t row = 0; row < in; row++)
                p.x[row * in + row] = 1;
            memset(p.bias, 0, out * sizeof *p.bias);
            product_encode(&p);
            product_run(&p, y);
            for (size_t at = 0; at < in * out; at++) {
                size_t row = at / out, o = at % out;
                float w = p.w[o * in + row], largest = 0;
                if (of == PRECISION_F32)
                    assert_true(y[at] == w);
                if (of == PRECISION_BF16)
                    assert_true((double)y[at] == reference_bf16(w));
                for (size_t other = 0; other < in; other++)
                    largest = fabsf(p.w[o * in + other]) > largest ? fabsf(p.w[o * in + other]) : largest;
                if (of == PRECISION_F16) {
                    double step = reference_half_step_of_weights((double)largest, p.coded != NULL);
                    assert_true((double)y[at] == reference_half((double)w / step) * step);
                }
                if (of == PRECISION_INT8) // half a step
                    assert_close((double)y[at], (double)w, (double)largest / 127 * 0.50001);
            }
            array_free(y);
            product_free(&p);
        }
}

/* ---- Encoding --------------------------------------------------------------------------------------- */

static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void bfloat16_is_the_nearest_and_even_where_two_are(void **state)
{
    const kernels *k = tested(state);
    precision of = tested_precision(state);
    const float edges[] = {0,
                           -0.0f,
                           1,
                           -1,
                           from_bits(0x3f808000), // 1 and half a unit: to even, down
                           from_bits(0x3f818000), // to even, up
                           from_bits(0x3f808001), // just above the middle
                           from_bits(0x3f817fff), // just below
                           from_bits(0x3fffffff), // to the next power of two
                           from_bits(0x7f7f7fff), // the last that is not infinite
                           from_bits(0x7f7f8000), // the first that is
                           FLT_MAX,
                           -FLT_MAX,
                           INFINITY,
                           -INFINITY,
                           FLT_MIN,
                           FLT_TRUE_MIN,
                           from_bits(0x00008000), // denormal, in the middle
                           from_bits(0x00018000),
                           from_bits(0x007fffff),
                           NAN,
                           -NAN,
                           from_bits(0x7f800001), // NaN that its upper half alone would make infinite
                           from_bits(0x7fc0ffff),
                           from_bits(0xffffffff)};
    enum { N = 4001 }; // odd: the last word is half empty
    const gemm_kernels *g = &k->gemm[of];
    random_stream r = {3};
    if (!g->encode) // weights alone are rounded: every_weight_comes_back_as_it_was_packed sees to them
        return;
    float *x = array_new(N), *coded = array_new(g->row_bytes(N) / sizeof(float));
    assert_int_equal(g->row_bytes(N), 2 * (N + 1));
    for (size_t i = 0; i < N; i++)
        x[i] = i < LENGTH(edges) ? edges[i] : from_bits((uint32_t)random_bits(&r));
    g->encode(coded, x, N, 1, N);
    for (size_t i = 0; i <= N; i++) {
        uint16_t half;
        memcpy(&half, (const char *)coded + 2 * i, sizeof half);
        float found = from_bits((uint32_t)half << 16), expected = i < N ? (float)reference_bf16(x[i]) : 0;
        assert_true(isnan(expected) ? isnan(found) : float_bits(found) == float_bits(expected));
    }
    array_free(x);
    array_free(coded);
}

static double from_half(uint16_t half)
{
    int exponent = half >> 10 & 31, bits = half & 1023;
    double magnitude = exponent ? ldexp(1024 + bits, exponent - 25) : ldexp(bits, -24);
    return half & 0x8000 ? -magnitude : magnitude;
}

/* Of a row whose largest magnitude is brought between 16 and 32. */
static void halves_are_the_nearest_of_a_row_that_is_brought_into_range(void **state)
{
    const kernels *k = tested(state);
    const gemm_kernels *g = &k->gemm[tested_precision(state)];
    const float largest[] = {1,      65520,   65536,        FLT_MAX, 1e30f,     1e-30f, FLT_MIN * 32,
                             3e-37f, FLT_MIN, FLT_TRUE_MIN, 31.99f,  0x1.ffep4f};
    if (!g->encode)
        return;
    for (size_t i = 0; i < LENGTH(largest); i++)
        for (size_t in = 1; in <= 200; in += 1 + in / 9) {
            random_stream r = {in};
            float *x = array_random(&r, in, largest[i]), *coded = array_new(g->row_bytes(in) / sizeof(float)),
                  step;
            size_t words = (in + 1) / 2; // of 32 bits
            assert_int_equal(g->row_bytes(in), 4 * words + 4);
            for (size_t j = 0; j < in; j++) // of all magnitudes
                x[j] = j == in / 2 ? -largest[i] : ldexpf(x[j], -(int)(j % 40));
            g->encode(coded, x, in, 1, in);
            memcpy(&step, coded + words, sizeof step);
            assert_true((double)step == reference_half_step((double)largest[i], 4, 4));
            for (size_t j = 0; j < 2 * words; j++) {
                double expected = j < in ? reference_half((double)x[j] / (double)step) : 0;
                assert_true(from_half(((const uint16_t *)coded)[j]) == expected);
            }
            array_free(x);
            array_free(coded);
        }
}

/* The largest float below the power of two that is above x. */
static float nearly_a_power_of_two(float x)
{
    int exponent;
    (void)frexpf(x, &exponent);
    return nextafterf(ldexpf(1, exponent), 0);
}

/* Sums that would be the largest. */
static void no_sum_leaves_the_range_of_half_precision(void **state)
{
    const kernels *k = tested(state);
    precision of = tested_precision(state);
    const float scales[][2] = {{1, 1}, {1e30f, 1e-20f}, {1e-30f, 1e30f}, {65536, 65536}, {1e-38f, 1e20f}};
    for (size_t i = 0; i < LENGTH(scales); i++)
        for (size_t in = 1; in <= 1000; in += 37) {
            product p = product_new(k, of, 3, in, 5, in, 1, 1);
            float y[15];
            for (size_t j = 0; j < 3 * in; j++)
                p.x[j] = nearly_a_power_of_two(scales[i][0]);
            for (size_t j = 0; j < 5 * in; j++)
                p.w[j] = nearly_a_power_of_two(scales[i][1]);
            memset(p.bias, 0, 5 * sizeof *p.bias);
            product_pack(&p);
            product_encode(&p);
            product_run(&p, y);
            double expected = (double)p.x[0] * (double)p.w[0] * (double)in;
            for (size_t j = 0; j < 15; j++)
                assert_close((double)y[j], expected, expected * 0x1p-9);
            product_free(&p);
        }
}

/* What is less than half a unit of the sum leaves it as it is, at each step; by versions that widen, never.
 */
static void each_step_of_a_short_sum_rounds_to_half_precision(void **state)
{
    const kernels *k = tested(state);
    precision of = tested_precision(state);
    const struct {
        size_t in;
        double half;
    } sums[] = {{72, 1}, {73, 1 + 37 * 0x1p-12}}; // a chain; two, of 36 and 37
    for (size_t i = 0; i < LENGTH(sums); i++) {
        size_t in = sums[i].in;
        product p = product_new(k, of, 1, in, 1, in, 1, 1);
        float y;
        for (size_t j = 0; j < in; j++) {
            p.x[j] = j ? 0x1p-12f : 1;
            p.w[j] = 1;
        }
        p.bias[0] = 0;
        product_pack(&p);
        product_encode(&p);
        product_run(&p, &y);
        assert_true((double)y == (p.coded ? sums[i].half : 1 + (double)(in - 1) * 0x1p-12));
        product_free(&p);
    }
}

/* 128, where bytes are unsigned, or 0: what an input of 0 becomes. */
static long added_to_bytes(const gemm_kernels *g)
{
    const float x = 0;
    float *coded = array_new(g->row_bytes(1) / sizeof(float));
    g->encode(coded, &x, 1, 1, 1);
    long added = *(const uint8_t *)coded;
    assert_true(added == 0 || added == 128);
    array_free(coded);
    return added;
}

static void bytes_are_the_nearest_of_127_steps(void **state)
{
    const kernels *k = tested(state);
    precision of = tested_precision(state);
    const float largest[] = {1,      127,     FLT_MAX, 1e30f,        1e-30f, FLT_MIN * 127,
                             3e-37f, FLT_MIN, 1e-41f,  FLT_TRUE_MIN, 0};
    for (size_t i = 0; i < LENGTH(largest); i++)
        for (size_t in = 1; in <= 40; in++) {
            const gemm_kernels *g = &k->gemm[of];
            random_stream r = {in};
            float *x = array_random(&r, in, largest[i]), *coded = array_new(g->row_bytes(in) / sizeof(float)),
                  step;
            bool wide = g->row_bytes(4) == 12; // two inputs to a word, not four bytes
            size_t of_word = wide ? 2 : 4, words = (in + of_word - 1) / of_word;
            long added = wide ? 0 : added_to_bytes(g);
            assert_int_equal(g->row_bytes(in), 4 * words + 4);
            x[in / 2] = in % 2 ? largest[i] : -largest[i];
            g->encode(coded, x, in, 1, in);
            memcpy(&step, coded + words, sizeof step);
            assert_true(step == largest[i] / 127);
            for (size_t j = 0; j < of_word * words; j++) {
                bool doubtful = false;
                long found = wide    ? ((const int16_t *)coded)[j]
                             : added ? ((const uint8_t *)coded)[j]
                                     : ((const int8_t *)coded)[j],
                     expected = j < in ? reference_steps(x[j], step, &doubtful) : 0;
                if (j < in)
                    assert_true(labs(found - added - expected) <= doubtful);
                else
                    assert_int_equal(found, 0); // times whatever stands beside it
                if (j == in / 2 && step > 0 && 1 / step < INFINITY)
                    assert_int_equal(found - added, in % 2 ? 127 : -127);
            }
            array_free(x);
            array_free(coded);
        }
}

static void rows_are_encoded_the_same_in_any_company(void **state)
{
    const kernels *k = tested(state);
    precision of = tested_precision(state);
    const gemm_kernels *g = &k->gemm[of];
    for (size_t in = 1; in <= 70 && g->encode; in += 1 + in / 9) {
        enum { N = 7 };
        random_stream r = {in};
        size_t words = g->row_bytes(in) / sizeof(float), gap = in % 4;
        float *x = array_random(&r, N * (in + gap), 1), *all = array_new(N * words),
              *alone = array_new(words);
        g->encode(all, x, in + gap, N, in);
        for (size_t row = 0; row < N; row++) {
            g->encode(alone, x + row * (in + gap), in, 1, in);
            assert_memory_equal(alone, all + row * words, words * sizeof *alone);
        }
        array_free(x);
        array_free(all);
        array_free(alone);
    }
}

/* ---- The cut ----------------------------------------------------------------------------------------- */

static void an_output_of_the_product_does_not_depend_on_the_cut(void **state)
{
    const kernels *k = tested(state);
    precision of = tested_precision(state);
    for (size_t in = 37; in <= 160; in += 123) { // one chain of sums, and several
        enum { N = 45, OUT = 151, STEP = 32 };   // STEP: whole panels of every set
        product p = product_new(k, of, N, in, OUT, in, 1, 1);
        float *whole = array_new(N * OUT), *parts = array_new(N * OUT);
        product_run(&p, whole);
        for (size_t rows = 1; rows <= 20; rows += 3)
            for (size_t cols = STEP; cols <= 3 * STEP; cols += STEP) {
                for (size_t row = 0; row < N; row += rows)
                    for (size_t col = 0; col < OUT; col += cols)
                        product_tile(&p, parts, OUT, row, N - row < rows ? N - row : rows, col,
                                     OUT - col < cols ? OUT - col : cols, false);
                assert_same_bits(parts, whole, N * OUT);
            }
        array_free(whole);
        array_free(parts);
        product_free(&p);
    }
}

/* Columns that end inside a panel, as a block of the MLP's channels may. */
static void a_tile_may_end_inside_a_panel(void **state)
{
    const kernels *k = tested(state);
    precision of = tested_precision(state);
    for (size_t cols = 1; cols <= 64; cols++) {
        enum { N = 15, IN = 21, OUT = 100 };
        product p = product_new(k, of, N, IN, OUT, IN, 1, 1);
        float *whole = array_new(N * OUT), *part = array_new(N * OUT), *before = array_copy(part, N * OUT);
        product_run(&p, whole);
        product_tile(&p, part, OUT, 0, N, 32, cols, false);
        for (size_t i = 0; i < N * OUT; i++) {
            bool inside = i % OUT >= 32 && i % OUT < 32 + cols;
            assert_int_equal(float_bits(part[i]), float_bits(inside ? whole[i] : before[i]));
        }
        array_free(whole);
        array_free(part);
        array_free(before);
        product_free(&p);
    }
}

/* ---- What is 0, and what is no number ------------------------------------------------------------------ */

static void rows_and_weights_of_0_leave_the_bias(void **state)
{
    const kernels *k = tested(state);
    precision of = tested_precision(state);
    for (size_t in = 1; in <= 147; in += in < 5 ? 1 : 71) {
        enum { N = 17, OUT = 37 };
        product p = product_new(k, of, N, in, OUT, in, 1, 1);
        float *y = array_new(N * OUT);
        for (size_t i = 0; i < in; i++) {
            p.x[3 * in + i] = i % 2 ? 0.0f : -0.0f;
            p.w[36 * in + i] = 0;
        }
        product_pack(&p);
        product_encode(&p);
        product_run(&p, y);
        for (size_t i = 0; i < N * OUT; i++)
            if (i / OUT == 3 || i % OUT == 36)
                assert_true(y[i] == p.bias[i % OUT]);
        product_check(&p, 0);
        array_free(y);
        product_free(&p);
    }
}

static void the_product_passes_what_is_no_number_to_its_row_or_column(void **state)
{
    const kernels *k = tested(state);
    precision of = tested_precision(state);
    const float flaws[] = {NAN, INFINITY, -INFINITY, from_bits(0x7f800001), from_bits(0xffc00000)};
    for (size_t i = 0; i < LENGTH(flaws); i++)
        for (size_t in = 1; in <= 147; in += in < 5 ? 1 : 71) {
            enum { N = 19, OUT = 53 };
            product p = product_new(k, of, N, in, OUT, in, 1, 1);
            float *clean = array_new(N * OUT), *y = array_new(N * OUT);
            product_run(&p, clean);
            p.x[7 * in + in - 1] = flaws[i];
            p.w[52 * in] = flaws[i];
            p.w[20 * in + in / 2] = flaws[i];
            product_pack(&p);
            product_encode(&p);
            product_run(&p, y);
            for (size_t j = 0; j < N * OUT; j++) {
                bool reached = j / OUT == 7 || j % OUT == 52 || j % OUT == 20;
                assert_true(reached ? isnan(flaws[i]) ? isnan(y[j]) : !isfinite(y[j])
                                    : float_bits(y[j]) == float_bits(clean[j]));
            }
            array_free(clean);
            array_free(y);
            product_free(&p);
        }
}

/* ---- Time ------------------------------------------------------------------------------------ */

typedef struct {
    product product;
    float *y;
    double *wide_x, *wide_y;
} timed_product;

/* In the tiles of a forward pass. */
static void run_multiply(const kernels *k, void *arg)
{
    timed_product *t = arg;
    product *p = &t->product;
    linear layer = {p->in, p->out, &gemm_native[p->precision], p->packed, p->bias};
    operand x = {p->coded ? (void *)p->coded : (void *)p->x, p->stride};
    linear_call call = {&layer, x, t->y, p->out, p->N, false};
    linear_forward(&call, 1, k, NULL);
}

static void plain_multiply(void *arg)
{
    timed_product *t = arg;
    const product *p = &t->product;
    reference_linear(t->wide_y, t->wide_x, p->N, p->in, p->out, p->w, p->bias);
}

static void run_encode(const kernels *k, void *arg)
{
    (void)k;
    product_encode(&((timed_product *)arg)->product);
}

static void copy(void *arg)
{
    timed_product *t = arg;
    memcpy(t->y, t->product.x, t->product.N * t->product.in * sizeof(float));
}

static void bench_product(const suite *s, size_t N, size_t in, size_t out)
{
    const kernels *k;
    char shape[40], name[40];
    double plain = 0;
    snprintf(shape, sizeof shape, "%zu x %zu x %zu", N, in, out);
    for (size_t i = 0; (k = kernels_layer(i)); i++) {
        if (!suite_applies(s, i))
            continue;
        timed_product t = {.product = product_new(k, s->precision, N, in, out, in, 1, 1)};
        t.y = array_new(N * (in > out ? in : out));
        t.wide_x = widened(t.product.x, N * in);
        t.wide_y = widened(t.y, N * out);
        snprintf(name, sizeof name, "multiply %s", precision_name(s->precision));
        double work = (double)N * (double)in * (double)out;
        bench multiply = {name, run_multiply, plain_multiply, &t, shape, "kFLOP", 2e-3 * work, work, false};
        plain = plain > 0 ? plain : bench_seconds(&multiply, NULL);
        bench_line(&multiply, k->feature, bench_seconds(&multiply, k), "plain", plain);
        if (t.product.coded) {
            bench encode = {"encode", run_encode, copy, &t, shape, "element", (double)(N * in), 0, false};
            bench_line(&encode, k->feature, bench_seconds(&encode, k), "a copy",
                       bench_seconds(&encode, NULL));
        }
        array_free(t.y);
        free(t.wide_x);
        free(t.wide_y);
        product_free(&t.product);
    }
}

static void bench_products(const suite *s)
{
    bench_product(s, 3136, 147, 72); // the first convolution
    for (size_t i = 0; i < STAGES; i++) {
        const stage *t = &bench_stages[i];
        bench_product(s, t->N, t->C, 2 * t->C);      // kv
        bench_product(s, t->N, t->C, 2 * t->hidden); // fc1
        bench_product(s, t->N, t->hidden, t->C);     // fc2
    }
}

#define TESTS_OF_ALL                                                                                         \
    cmocka_unit_test(the_product_agrees_with_the_reference),                                                 \
        cmocka_unit_test(the_product_agrees_for_any_magnitude),                                              \
        cmocka_unit_test(rows_and_outputs_of_unlike_magnitude_agree),                                        \
        cmocka_unit_test(every_weight_comes_back_as_it_was_packed),                                          \
        cmocka_unit_test(an_output_of_the_product_does_not_depend_on_the_cut),                               \
        cmocka_unit_test(a_tile_may_end_inside_a_panel),                                                     \
        cmocka_unit_test(rows_and_weights_of_0_leave_the_bias),                                              \
        cmocka_unit_test(the_product_passes_what_is_no_number_to_its_row_or_column)

static const struct CMUnitTest f32_tests[] = {TESTS_OF_ALL};

static const struct CMUnitTest bf16_tests[] = {
    TESTS_OF_ALL,
    cmocka_unit_test(bfloat16_is_the_nearest_and_even_where_two_are),
    cmocka_unit_test(rows_are_encoded_the_same_in_any_company),
};

static const struct CMUnitTest int8_tests[] = {
    TESTS_OF_ALL,
    cmocka_unit_test(sums_of_the_largest_numbers_are_exact),
    cmocka_unit_test(bytes_give_the_same_bits_by_every_version),
    cmocka_unit_test(bytes_are_the_nearest_of_127_steps),
    cmocka_unit_test(rows_are_encoded_the_same_in_any_company),
};

static const struct CMUnitTest f16_tests[] = {
    TESTS_OF_ALL,
    cmocka_unit_test(halves_are_the_nearest_of_a_row_that_is_brought_into_range),
    cmocka_unit_test(no_sum_leaves_the_range_of_half_precision),
    cmocka_unit_test(each_step_of_a_short_sum_rounds_to_half_precision),
    cmocka_unit_test(rows_are_encoded_the_same_in_any_company),
};

#define PRODUCTS(p, name, tests)                                                                             \
    [p] = {name, ENTRIES(gemm[p], gemm[p]), TESTS(tests), .bench = bench_products, .precision = p}

const suite product_suites[PRECISIONS] = {
    PRODUCTS(PRECISION_F32, "products f32", f32_tests),
    PRODUCTS(PRECISION_BF16, "products bf16", bf16_tests),
    PRODUCTS(PRECISION_INT8, "products int8", int8_tests),
    PRODUCTS(PRECISION_F16, "products f16", f16_tests),
};

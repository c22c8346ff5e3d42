/* The middle of the gated MLP. */
#include "tests/vit/kernels/harness.h"
#include "tests/vit/kernels/reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    const kernels *k = tested(state);
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

/* The rows above and below are where the caller says, and a missing one counts as 0. */
static void the_gate_reads_the_rows_that_it_is_given(void **state)
{
    const kernels *k = tested(state);
    enum { SIDE = 6, ROW = SIDE * 2 };
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
    const kernels *k = tested(state);
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

/* In blocks of channels, as the MLP does it. */
static void run_depthwise(const kernels *k, void *arg)
{
    enum { BLOCK = 64 };
    stage *s = arg;
    size_t row_floats = s->side * 2 * BLOCK;
    for (size_t c = 0; c < s->hidden; c += BLOCK)
        for (size_t row = 0; row < s->side; row++) {
            const float *at = s->x + c * 2 * s->N + row * row_floats;
            const float *uv[3] = {row ? at - row_floats : NULL, at,
                                  row + 1 < s->side ? at + row_floats : NULL};
            k->depthwise_gelu_gate(s->y + row * s->side * s->hidden + c, s->hidden, uv, s->side, BLOCK,
                                   s->w + c, s->hidden, s->bias + c);
        }
}

static void plain_depthwise(void *arg)
{
    stage *s = arg;
    reference_depthwise_gelu_gate(s->wide_y, s->wide_x, s->side, s->hidden, s->w, s->bias);
}

static const bench bench_depthwise[] = {
    {.name = "depthwise_gelu_gate", .run = run_depthwise, .plain = plain_depthwise, .hidden = true},
};

static const struct CMUnitTest depthwise_tests[] = {
    cmocka_unit_test(the_gate_agrees_with_the_reference),
    cmocka_unit_test(the_gate_reads_the_rows_that_it_is_given),
    cmocka_unit_test(the_gate_passes_a_nan_to_its_neighbours_in_its_channel),
};

const suite depthwise_suite = {"depthwise_gelu_gate", ENTRIES(depthwise_gelu_gate, depthwise_gelu_gate),
                               TESTS(depthwise_tests), BENCHES(bench_depthwise)};

/* The gated MLP as a whole, fc1 to residual, against the specification: images that bands do not divide,
 * hidden channels that blocks do not, in every precision. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/network/conv_glu.h"
#include "vit/network/encode.h"
#include "tests/vit/kernels/reference.h"
#include "base/memory.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))
#define THREADS       3

static const size_t sides[] = {1, 2, 3, 7, 14, 15, 28, 29, 40, 56, 57},
                    hiddens[] = {1, 3, 63, 64, 65, 100, 130};

/* ---- The weights, as a checkpoint has them -------------------------------------------------------- */

typedef struct {
    size_t side, N, C, hidden;
    float *x, *y;                           /* (N, C) */
    float *fc1, *fc1_bias, *fc2, *fc2_bias; /* fc1 (2·hidden, C): u's rows, then v's */
    float *depthwise, *depthwise_bias;      /* (hidden, 9) */
} weights;

static weights weights_new(size_t side, size_t C, size_t hidden)
{
    random_stream r = {side * 1000 + hidden};
    weights w = {.side = side, .N = side * side, .C = C, .hidden = hidden};
    w.x = array_random(&r, w.N * C, 1);
    w.y = array_random(&r, w.N * C, 1);
    w.fc1 = array_random(&r, 2 * hidden * C, 0.5f);
    w.fc1_bias = array_random(&r, 2 * hidden, 0.1f);
    w.fc2 = array_random(&r, C * hidden, 0.5f);
    w.fc2_bias = array_random(&r, C, 0.1f);
    w.depthwise = array_random(&r, hidden * 9, 0.6f);
    w.depthwise_bias = array_random(&r, hidden, 0.1f);
    return w;
}

static void weights_free(weights *w)
{
    float *arrays[] = {w->x, w->y, w->fc1, w->fc1_bias, w->fc2, w->fc2_bias, w->depthwise, w->depthwise_bias};
    for (size_t i = 0; i < LENGTH(arrays); i++)
        array_free(arrays[i]);
}

/* ---- The layer, as a model binds it ---------------------------------------------------------------- */

typedef struct {
    const weights *of;
    const gemm *gemm;
    conv_glu mlp;
    float *packed[2], *fc1_bias, *depthwise, *x; /* x (N, C): what the MLP adds to */
    float *gated; /* (N, hidden; rows ld apart): what the scratch held of the gate */
    size_t ld;
    scratch scratch;
    profile profile;
    pass pass;
} layer_case;

static float *packed(const gemm *g, const kernels *k, const float *w, size_t out, size_t in)
{
    float *to = array_new(divide_up(gemm_functions(g, k)->packed_bytes(out, in), sizeof(float)));
    gemm_functions(g, k)->pack(to, w, out, in);
    return to;
}

static layer_case layer_new(const weights *w, const gemm *g, const kernels *k)
{
    size_t N = w->N, C = w->C, hidden = w->hidden, out = 2 * hidden;
    layer_case l = {.of = w, .gemm = g, .mlp = {.side = w->side, .hidden = hidden}};
    float *ordered = array_new(out * C);
    l.fc1_bias = array_new(out);
    for (size_t i = 0; i < out; i++) {
        size_t from = conv_glu_order(hidden, i);
        memcpy(ordered + i * C, w->fc1 + from * C, C * sizeof *ordered);
        l.fc1_bias[i] = w->fc1_bias[from];
    }
    l.packed[0] = packed(g, k, ordered, out, C);
    l.packed[1] = packed(g, k, w->fc2, C, hidden);
    l.mlp.fc1 = (linear){C, out, g, l.packed[0], l.fc1_bias};
    l.mlp.fc2 = (linear){hidden, C, g, l.packed[1], w->fc2_bias};
    array_free(ordered);
    l.depthwise = array_new(9 * hidden);
    transpose(l.depthwise, w->depthwise, hidden, 9);
    l.mlp.dw_weight = l.depthwise;
    l.mlp.dw_bias = w->depthwise_bias;
    l.x = array_copy(w->x, N * C);

    l.pass = (pass){.kernels = k};
    return l;
}

static void layer_free(layer_case *l)
{
    float *arrays[] = {l->packed[0], l->packed[1], l->fc1_bias, l->depthwise, l->x};
    for (size_t i = 0; i < LENGTH(arrays); i++)
        array_free(arrays[i]);
    scratch_free(&l->scratch);
    profile_free(&l->profile);
}

static void forward(layer_case *l)
{
    encode_rows(&l->pass, &l->mlp.fc1, l->of->y, l->of->C, l->of->N);
    conv_glu_forward(&l->pass, &l->mlp, l->of->y, l->x);
}

static void layer_body(void *arg, team *t)
{
    layer_case *l = arg;
    l->pass.team = t;
    l->pass.scratch = &l->scratch;
    l->pass.profile = &l->profile;
    if (scratch_measures(&l->scratch)) {
        forward(l);
        assert_int_equal(scratch_allocate(&l->scratch, THREADS, NULL), MOHVIT_OK);
        assert_int_equal(profile_create(&l->profile, THREADS, NULL), MOHVIT_OK);
        l->gated = (float *)l->scratch.stack; // it is the first thing that the MLP takes
        l->ld = l->mlp.hidden % 512 ? l->mlp.hidden : l->mlp.hidden + 16;
    }
    forward(l);
}

static void layer_run(layer_case *l, size_t threads)
{
    memcpy(l->x, l->of->x, l->of->N * l->of->C * sizeof *l->x);
    l->gemm->run(threads, layer_body, l);
}

/* ---- The specification ------------------------------------------------------------------------------ */

typedef struct {
    double *gated, *tolerance; /* (N, hidden) */
} middle;

/* GELU(depthwise(u)) ⊙ v, whose fc1 is a product in precision p (reference_product). */
static middle reference_middle(const weights *w, precision p, bool encodes)
{
    size_t N = w->N, hidden = w->hidden, side = w->side;
    middle m = {malloc(N * hidden * sizeof *m.gated), malloc(N * hidden * sizeof *m.tolerance)};
    double *uv = malloc(N * 2 * hidden * sizeof *uv), *off = malloc(N * 2 * hidden * sizeof *off);
    assert_true(m.gated && m.tolerance && uv && off);
    reference_product(uv, off, p, encodes, w->y, w->C, N, w->C, 2 * hidden, w->fc1, w->fc1_bias);
    reference_depthwise_gelu_gate(m.gated, uv, side, hidden, w->depthwise, w->depthwise_bias);
    double largest = 0;
    for (size_t i = 0; i < N * 2 * hidden; i++)
        largest = fabs(uv[i]) > largest ? fabs(uv[i]) : largest;
    // 9 taps of at most 0.6; GELU has a slope of at most 1.13
    double sum = 9 * 0.6 * largest + 0.1;
    for (size_t i = 0; i < N * hidden; i++) {
        size_t token = i / hidden, c = i % hidden;
        double window = 0, v = off[token * 2 * hidden + hidden + c];
        for (size_t j = 0; j < 9; j++) { // outside the image: some token of it, which only widens this
            size_t other = token + (j / 3) * side + j % 3, shift = side + 1;
            other = other < shift ? 0 : other - shift;
            window += off[(other < N ? other : N - 1) * 2 * hidden + c];
        }
        m.tolerance[i] = 1e-6 * sum * largest + 1.13 * 0.6 * window * largest + v * sum;
    }
    free(uv);
    free(off);
    return m;
}

static void middle_free(middle *m)
{
    free(m->gated);
    free(m->tolerance);
}

static bool encodes(const gemm *g, const kernels *k)
{
    return gemm_functions(g, k)->encode != NULL;
}

/* fc2 is held to the product of what was gated: what rounds a float to 8 bits may round a neighbour of it
 * elsewhere. */
static void check(layer_case *l, const middle *m)
{
    const weights *w = l->of;
    size_t N = w->N, C = w->C, hidden = w->hidden;
    double *expected = malloc(N * C * sizeof *expected), *tolerance = malloc(N * C * sizeof *tolerance);
    assert_true(expected && tolerance);
    layer_run(l, 1);
    size_t ld = l->ld;
    for (size_t i = 0; i < N * hidden; i++)
        assert_close((double)l->gated[i / hidden * ld + i % hidden], m->gated[i], m->tolerance[i]);
    reference_product(expected, tolerance, l->gemm->precision, encodes(l->gemm, l->pass.kernels), l->gated,
                      ld, N, hidden, C, w->fc2, w->fc2_bias);
    for (size_t i = 0; i < N * C; i++)
        assert_close((double)l->x[i], (double)w->x[i] + expected[i],
                     tolerance[i] + (double)FLT_EPSILON * fabs((double)w->x[i]));
    free(expected);
    free(tolerance);
}

/* Every shape with every backend, precision and instruction set; with the reference, which takes its time. */
static void for_every_layer(void (*check_layer)(layer_case *l, const middle *m), bool reference)
{
    for (size_t i = 0; i < LENGTH(sides); i++)
        for (size_t j = 0; j < LENGTH(hiddens); j++) {
            const gemm *g;
            const kernels *k;
            if (sides[i] > 40 && j % 3 != 1) // some hidden widths of many tokens: one block, and more
                continue;
            weights w = weights_new(sides[i], sides[i] % 2 ? 3 : 6, hiddens[j]);
            for (int kind = 0; kind < 2 * PRECISIONS; kind++) {
                precision p = (precision)(kind / 2);
                bool encoded = kind % 2;
                if (encoded ? p == PRECISION_F32 : p == PRECISION_INT8)
                    continue;
                middle m = reference ? reference_middle(&w, p, encoded) : (middle){NULL, NULL};
                for (size_t backend = 0; (g = gemm_available(backend)); backend++)
                    for (size_t set = 0; g->precision == p && (k = kernels_available(set)); set++) {
                        if (encodes(g, k) != encoded)
                            continue;
                        layer_case l = layer_new(&w, g, k);
                        check_layer(&l, &m);
                        layer_free(&l);
                    }
                middle_free(&m);
            }
            weights_free(&w);
        }
}

static void the_mlp_agrees_with_the_specification(void **state)
{
    (void)state;
    for_every_layer(check, true);
}

static void check_threads(layer_case *l, const middle *m)
{
    (void)m;
    size_t n = l->of->N * l->of->C;
    layer_run(l, 1);
    float *first = array_copy(l->x, n);
    for (size_t threads = 2; threads <= THREADS; threads++) {
        layer_run(l, threads);
        assert_same_bits(l->x, first, n);
    }
    array_free(first);
}

static void the_mlp_gives_the_same_bits_for_any_team(void **state)
{
    (void)state;
    for_every_layer(check_threads, false);
}

/* Images so wide that a band is two image rows, and one. */
static void narrow_bands_give_the_same_bits_for_any_team(void **state)
{
    (void)state;
    const size_t wide[] = {270, 393};
    const gemm *g;
    const kernels *k;
    for (size_t i = 0; i < LENGTH(wide); i++) {
        weights w = weights_new(wide[i], 2, 1);
        for (size_t backend = 0; (g = gemm_available(backend)); backend++)
            for (size_t set = 0; (k = kernels_available(set)); set++) {
                layer_case l = layer_new(&w, g, k);
                check_threads(&l, NULL);
                layer_free(&l);
            }
        weights_free(&w);
    }
}

/* ---- Order ------------------------------------------------------------------------------------------ */

/* Blocks of 64 channels, the last one narrower: their u, then their v. */
static void fc1_computes_u_and_v_of_a_block_together(void **state)
{
    (void)state;
    for (size_t hidden = 1; hidden <= 200; hidden++) {
        size_t place = 0;
        for (size_t first = 0; first < hidden; first += 64) {
            size_t channels = hidden - first < 64 ? hidden - first : 64;
            for (size_t half = 0; half < 2; half++)
                for (size_t c = 0; c < channels; c++)
                    assert_int_equal(conv_glu_order(hidden, place++), half * hidden + first + c);
        }
        assert_int_equal(place, 2 * hidden);
    }
}

/* A token that is no number reaches its 3×3 neighbours, across bands and the seam too, and no other. */
static void the_mlp_passes_a_nan_to_its_neighbours(void **state)
{
    (void)state;
    const gemm *g;
    const kernels *k;
    const size_t shapes[][2] = {{3, 3}, {29, 3}, {40, 65}}; // halves and bands end at 14, 19, 20, 39
    for (size_t i = 0; i < LENGTH(shapes); i++)
        for (size_t backend = 0; (g = gemm_available(backend)); backend++)
            for (size_t set = 0; (k = kernels_available(set)); set++) {
                size_t side = shapes[i][0], C = 5;
                const size_t rows[] = {0,         side / 2 - 1, side / 2, side / 2 + 1,
                                       18 % side, 19 % side,    side - 1};
                weights w = weights_new(side, C, shapes[i][1]);
                layer_case l = layer_new(&w, g, k);
                layer_run(&l, 2);
                float *clean = array_copy(l.x, w.N * C);
                for (size_t j = 0; j < LENGTH(rows); j++) {
                    size_t token = rows[j] * side + (j * 7) % side;
                    float kept = w.y[token * C + 1];
                    w.y[token * C + 1] = NAN;
                    layer_run(&l, 1 + j % 2);
                    w.y[token * C + 1] = kept;
                    for (size_t at = 0; at < w.N * C; at++) {
                        bool near = labs((long)(at / C / side) - (long)(token / side)) <= 1 &&
                                    labs((long)(at / C % side) - (long)(token % side)) <= 1;
                        assert_true(near ? isnan(l.x[at]) : float_bits(l.x[at]) == float_bits(clean[at]));
                    }
                }
                array_free(clean);
                layer_free(&l);
                weights_free(&w);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mlp_agrees_with_the_specification),
        cmocka_unit_test(the_mlp_gives_the_same_bits_for_any_team),
        cmocka_unit_test(narrow_bands_give_the_same_bits_for_any_team),
        cmocka_unit_test(fc1_computes_u_and_v_of_a_block_together),
        cmocka_unit_test(the_mlp_passes_a_nan_to_its_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

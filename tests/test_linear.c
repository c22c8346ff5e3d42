/* Linear layers: every backend on every instruction set against the reference, and the tiles that they are
 * cut into. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "linear.h"
#include "reference.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* Every backend with every instruction set. */
#define FOR_EACH(g, k)                                                                                       \
    for (size_t backend = 0; ((g) = gemm_available(backend)); backend++)                                     \
        for (size_t set = 0; ((k) = kernels_available(set)); set++)

typedef struct {
    linear layer;
    float *w, *packed, *bias;
} test_layer;

static test_layer layer_new(const gemm *g, const kernels *k, size_t in, size_t out)
{
    random_stream r = {in * 1000 + out};
    test_layer l = {.w = array_random(&r, out * in, 1), .bias = array_random(&r, out, 1)};
    l.packed = array_new(g->packed(k, out, in));
    g->pack(k, l.packed, l.w, out, in);
    l.layer = (linear){in, out, l.packed, l.bias};
    return l;
}

static void layer_free(test_layer *l)
{
    array_free(l->w);
    array_free(l->packed);
    array_free(l->bias);
}

/* ---- Running ----------------------------------------------------------------------------------- */

typedef struct {
    const linear_call *calls;
    size_t count;
    const gemm *gemm;
    const kernels *kernels;
} forward_job;

static void forward_body(void *arg, team *t)
{
    const forward_job *job = arg;
    linear_forward(job->calls, job->count, job->gemm, job->kernels, t);
}

static void forward(const linear_call *calls, size_t count, const gemm *g, const kernels *k, size_t threads)
{
    forward_job job = {calls, count, g, k};
    gemm_saved saved;
    g->enter(&saved);
    parallel_run(threads, forward_body, &job);
    g->leave(&saved);
}

static void check(const gemm *g, const kernels *k, size_t N, size_t in, size_t out, size_t gap)
{
    size_t ldx = in + gap, ldy = out + gap, xs = (N - 1) * ldx + in, ys = (N - 1) * ldy + out;
    random_stream r = {N};
    test_layer l = layer_new(g, k, in, out);
    float *x = array_random(&r, xs, 1), *y = array_random(&r, ys, 1), *before = array_new(ys);
    double *row = malloc(in * sizeof *row), *expected = malloc(out * sizeof *expected);
    memcpy(before, y, ys * sizeof *y);
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        memcpy(y, before, ys * sizeof *y);
        linear_call call = {&l.layer, x, ldx, y, ldy, N, accumulate};
        forward(&call, 1, g, k, 1);
        for (size_t n = 0; n < N; n++) {
            for (size_t i = 0; i < in; i++)
                row[i] = (double)x[n * ldx + i];
            if (n % 7 == 0 || N < 40) { // some rows of many
                reference_linear(expected, row, 1, in, out, l.w, l.bias);
                for (size_t o = 0; o < out; o++)
                    assert_close((double)y[n * ldy + o],
                                 expected[o] + (accumulate ? (double)before[n * ldy + o] : 0),
                                 (double)FLT_EPSILON * (4 + (double)in));
            }
            for (size_t o = out; n + 1 < N && o < ldy; o++)
                assert_int_equal(float_bits(y[n * ldy + o]), float_bits(before[n * ldy + o]));
        }
    }
    free(row);
    free(expected);
    array_free(x);
    array_free(y);
    array_free(before);
    layer_free(&l);
}

static void layers_agree_with_the_reference(void **state)
{
    (void)state;
    const gemm *g;
    const kernels *k;
    FOR_EACH(g, k)
    {
        const size_t sizes[] = {1, 2, 3, 8, 13, 16, 31, 33, 48, 72};
        for (size_t i = 0; i < LENGTH(sizes); i++)
            for (size_t j = 0; j < LENGTH(sizes); j++) {
                check(g, k, 1, sizes[i], sizes[j], 0);
                check(g, k, 2, sizes[j], sizes[i], 5);
                check(g, k, sizes[i] + 1, 9, sizes[j], 1);
            }
        check(g, k, 49, 96, 288, 0);
        check(g, k, 197, 24, 200, 0);
        check(g, k, 784, 16, 33, 3);
        check(g, k, 1000, 7, 97, 0);
        check(g, k, 1, 300, 1000, 0);
        check(g, k, 2, 1, 2000, 1);
    }
}

/* ---- Tiles ------------------------------------------------------------------------------------- */

/* Stands in for a product: adds to each output a number of its own row and column. */
static void mark(const kernels *k, float *y, size_t ldy, const float *x, size_t ldx, const float *packed,
                 const float *bias, size_t rows, size_t in, size_t out, size_t col, size_t cols,
                 bool accumulate)
{
    (void)k, (void)packed, (void)bias, (void)in, (void)accumulate;
    assert_true(rows && cols && col + cols <= out);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            y[r * ldy + c] += 1 + 2 * x[r * ldx] + 4096 * (float)(col + c);
}

static void tiles_cover_each_output_once(void **state)
{
    (void)state;
    const gemm *g;
    const size_t rows[] = {1, 2, 13, 14, 49, 97, 98, 99, 196, 197, 293, 294, 295, 392, 784, 1000},
                 outs[] = {1, 2, 15, 16, 17, 95, 96, 97, 144, 191, 193, 384, 768, 1000, 1536, 3000};
    for (size_t backend = 0; (g = gemm_available(backend)); backend++) {
        gemm marking = *g;
        marking.multiply = mark;
        for (size_t i = 0; i < LENGTH(rows); i++)
            for (size_t j = 0; j < LENGTH(outs); j++) {
                size_t N = rows[i], out = outs[j], ldy = out + 1, n = N * ldy;
                linear layer = {1, out, NULL, NULL};
                float *x = array_new(N), *y = array_new(n);
                for (size_t row = 0; row < N; row++)
                    x[row] = (float)row;
                memset(y, 0, n * sizeof *y);
                linear_call call = {&layer, x, 1, y, ldy, N, false};
                linear_forward(&call, 1, &marking, kernels_available(0), NULL);
                for (size_t at = 0; at < n; at++) {
                    size_t col = at % ldy;
                    assert_true(y[at] == (col < out ? 1 + 2 * (float)(at / ldy) + 4096 * (float)col : 0));
                }
                array_free(x);
                array_free(y);
            }
    }
}

/* ---- The same bits ----------------------------------------------------------------------------- */

#define ROWS 210
#define IN   37

static void a_layer_gives_the_same_bits_for_any_team(void **state)
{
    (void)state;
    const gemm *g;
    const kernels *k;
    const size_t threads[] = {1, 2, 3, 5}, outs[] = {1, 50, 500};
    FOR_EACH(g, k)
    for (size_t i = 0; i < LENGTH(outs); i++) {
        random_stream r = {i + 1};
        size_t out = outs[i], n = ROWS * out;
        test_layer l = layer_new(g, k, IN, out);
        float *x = array_random(&r, ROWS * IN, 1), *first = array_new(n), *y = array_new(n);
        for (size_t t = 0; t < LENGTH(threads); t++) {
            linear_call call = {&l.layer, x, IN, t ? y : first, out, ROWS, false};
            forward(&call, 1, g, k, threads[t]);
            if (t)
                assert_memory_equal(y, first, n * sizeof *y);
        }
        array_free(x);
        array_free(first);
        array_free(y);
        layer_free(&l);
    }
}

static void a_group_gives_the_same_bits_as_its_calls_alone(void **state)
{
    (void)state;
    const gemm *g;
    const kernels *k;
    const size_t rows[LINEAR_GROUP_MAX] = {ROWS, 3, 100, ROWS}, outs[LINEAR_GROUP_MAX] = {20, 300, 97, 130};
    FOR_EACH(g, k)
    {
        random_stream r = {5};
        test_layer layers[LINEAR_GROUP_MAX];
        linear_call group[LINEAR_GROUP_MAX];
        float *x = array_random(&r, ROWS * IN, 1), *alone[LINEAR_GROUP_MAX], *together[LINEAR_GROUP_MAX];
        for (size_t i = 0; i < LINEAR_GROUP_MAX; i++) {
            size_t n = rows[i] * outs[i];
            layers[i] = layer_new(g, k, IN, outs[i]);
            alone[i] = array_random(&r, n, 1);
            together[i] = array_new(n);
            memcpy(together[i], alone[i], n * sizeof(float));
            group[i] = (linear_call){&layers[i].layer, x, IN, together[i], outs[i], rows[i], i % 2};
            linear_call call = group[i];
            call.y = alone[i];
            forward(&call, 1, g, k, 1);
        }
        forward(group, LINEAR_GROUP_MAX, g, k, 3);
        for (size_t i = 0; i < LINEAR_GROUP_MAX; i++) {
            assert_memory_equal(together[i], alone[i], rows[i] * outs[i] * sizeof(float));
            array_free(alone[i]);
            array_free(together[i]);
            layer_free(&layers[i]);
        }
        array_free(x);
    }
}

/* The native backend promises it of any cut; the other, whose rounding goes by the shape of a call, does not.
 */
static void natively_a_row_gives_the_same_bits_in_any_company(void **state)
{
    (void)state;
    const kernels *k;
    const gemm *g = &gemm_native;
    for (size_t set = 0; (k = kernels_available(set)); set++) {
        enum { OUT = 150 };
        random_stream r = {6};
        test_layer l = layer_new(g, k, IN, OUT);
        float *x = array_random(&r, ROWS * IN, 1), *all = array_new(ROWS * OUT),
              *some = array_new(ROWS * OUT);
        linear_call call = {&l.layer, x, IN, all, OUT, ROWS, false};
        forward(&call, 1, g, k, 1);
        for (size_t N = 1; N < ROWS; N += 1 + N / 3) {
            size_t first = random_below(&r, ROWS - N);
            call = (linear_call){&l.layer, x + first * IN, IN, some, OUT, N, false};
            forward(&call, 1, g, k, 1);
            assert_memory_equal(some, all + first * OUT, N * OUT * sizeof *some);
            memset(some, 0xFF, ROWS * OUT * sizeof *some);
            linear_rows(&l.layer, x + first * IN, some, N, g, k);
            assert_memory_equal(some, all + first * OUT, N * OUT * sizeof *some);
        }
        array_free(x);
        array_free(all);
        array_free(some);
        layer_free(&l);
    }
}

static void a_few_rows_on_one_thread_agree_with_the_reference(void **state)
{
    (void)state;
    const gemm *g;
    const kernels *k;
    FOR_EACH(g, k)
    for (size_t N = 1; N <= 65; N += 16) {
        random_stream r = {N};
        test_layer l = layer_new(g, k, IN, 33);
        float *x = array_random(&r, N * IN, 1), *y = array_new(N * 33);
        double *wide = malloc(N * IN * sizeof *wide), *expected = malloc(N * 33 * sizeof *expected);
        gemm_saved saved;
        for (size_t i = 0; i < N * IN; i++)
            wide[i] = (double)x[i];
        reference_linear(expected, wide, N, IN, 33, l.w, l.bias);
        g->enter(&saved);
        linear_rows(&l.layer, x, y, N, g, k);
        g->leave(&saved);
        for (size_t i = 0; i < N * 33; i++)
            assert_close((double)y[i], expected[i], (double)FLT_EPSILON * (4 + IN));
        free(wide);
        free(expected);
        array_free(x);
        array_free(y);
        layer_free(&l);
    }
}

/* ---- Choosing, transposing --------------------------------------------------------------------- */

static void a_backend_is_chosen_by_name(void **state)
{
    (void)state;
    const gemm *g, *chosen;
    const kernels *baseline = kernels_available(0);
    for (size_t backend = 0; (g = gemm_available(backend)); backend++) {
        assert_int_equal(gemm_choose(&chosen, g->name, baseline, NULL), MOHVIT_OK);
        assert_ptr_equal(chosen, g);
    }
    assert_int_equal(gemm_choose(&chosen, NULL, baseline, NULL), MOHVIT_OK);
    assert_int_equal(gemm_choose(&g, "auto", baseline, NULL), MOHVIT_OK);
    assert_ptr_equal(chosen, g);
    mohvit_error err;
    assert_int_equal(gemm_choose(&chosen, "mkl", baseline, &err), MOHVIT_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "mkl"));
}

static void transpose_turns_any_rectangle(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 2, 9, 15, 16, 17, 33, 40};
    for (size_t i = 0; i < LENGTH(sizes); i++)
        for (size_t j = 0; j < LENGTH(sizes); j++) {
            size_t rows = sizes[i], columns = sizes[j];
            random_stream r = {1};
            float *from = array_random(&r, rows * columns, 1), *to = array_new(rows * columns);
            transpose(to, from, rows, columns);
            for (size_t at = 0; at < rows * columns; at++)
                assert_true(to[at % columns * rows + at / columns] == from[at]);
            array_free(from);
            array_free(to);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_agree_with_the_reference),
        cmocka_unit_test(tiles_cover_each_output_once),
        cmocka_unit_test(a_layer_gives_the_same_bits_for_any_team),
        cmocka_unit_test(a_group_gives_the_same_bits_as_its_calls_alone),
        cmocka_unit_test(natively_a_row_gives_the_same_bits_in_any_company),
        cmocka_unit_test(a_few_rows_on_one_thread_agree_with_the_reference),
        cmocka_unit_test(a_backend_is_chosen_by_name),
        cmocka_unit_test(transpose_turns_any_rectangle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

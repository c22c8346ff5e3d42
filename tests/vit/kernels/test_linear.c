/* Linear layers: every backend on every instruction set against the reference, and the tiles that they are
 * cut into. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/kernels/linear.h"
#include "tests/vit/kernels/reference.h"
#include "base/memory.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* Every backend in every precision, with every instruction set that it can use. */
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
    l.packed = array_new(divide_up(gemm_functions(g, k)->packed_bytes(out, in), sizeof(float)));
    gemm_functions(g, k)->pack(l.packed, l.w, out, in);
    l.layer = (linear){in, out, g, l.packed, l.bias};
    return l;
}

static void layer_free(test_layer *l)
{
    array_free(l->w);
    array_free(l->packed);
    array_free(l->bias);
}

/* Rows as the layer multiplies them: those of x (N, in; rows ldx apart), or their encoding. */
typedef struct {
    operand operand;
    float *coded;
} test_rows;

static test_rows rows_new(const linear *layer, const kernels *k, float *x, size_t ldx, size_t N)
{
    const gemm_kernels *g = gemm_functions(layer->gemm, k);
    test_rows rows = {{x, ldx * sizeof *x}, NULL};
    if (g->encode) {
        size_t stride = g->row_bytes(layer->in);
        rows.coded = array_new(N * stride / sizeof(float));
        g->encode(rows.coded, x, ldx, N, layer->in);
        rows.operand = (operand){rows.coded, stride};
    }
    return rows;
}

static operand rows_from(const test_rows *rows, size_t first)
{
    return (operand){(char *)rows->operand.rows + first * rows->operand.stride, rows->operand.stride};
}

static void rows_free(test_rows *rows)
{
    array_free(rows->coded);
}

/* ---- Running ----------------------------------------------------------------------------------- */

typedef struct {
    const linear_call *calls;
    size_t count;
    const kernels *kernels;
} forward_job;

static void forward_body(void *arg, team *t)
{
    const forward_job *job = arg;
    linear_forward(job->calls, job->count, job->kernels, t);
}

static void forward(const linear_call *calls, size_t count, const kernels *k, size_t threads)
{
    forward_job job = {calls, count, k};
    const gemm *g = calls->layer->gemm;
    g->run(threads, forward_body, &job);
}

static void check(const gemm *g, const kernels *k, size_t N, size_t in, size_t out, size_t gap)
{
    size_t ldx = in + gap, ldy = out + gap, xs = (N - 1) * ldx + in, ys = (N - 1) * ldy + out;
    random_stream r = {N};
    test_layer l = layer_new(g, k, in, out);
    float *x = array_random(&r, xs, 1), *y = array_random(&r, ys, 1), *before = array_copy(y, ys);
    double *expected = malloc(out * sizeof *expected), *tolerance = malloc(out * sizeof *tolerance);
    test_rows rows = rows_new(&l.layer, k, x, ldx, N);
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        memcpy(y, before, ys * sizeof *y);
        linear_call call = {&l.layer, rows.operand, y, ldy, N, accumulate};
        forward(&call, 1, k, 1);
        for (size_t n = 0; n < N; n++) {
            if (n % 7 == 0 || N < 40) { // some rows of many
                reference_product(expected, tolerance, g->precision, rows.coded != NULL, x + n * ldx, ldx, 1,
                                  in, out, l.w, l.bias);
                for (size_t o = 0; o < out; o++) {
                    double there = accumulate ? (double)before[n * ldy + o] : 0,
                           bound = (double)FLT_EPSILON * (4 + (double)in);
                    tolerance[o] += (double)FLT_EPSILON * fabs(there);
                    if (g->precision == PRECISION_F32 && tolerance[o] > bound)
                        tolerance[o] = bound;
                    assert_close((double)y[n * ldy + o], expected[o] + there, tolerance[o]);
                }
            }
            for (size_t o = out; n + 1 < N && o < ldy; o++)
                assert_int_equal(float_bits(y[n * ldy + o]), float_bits(before[n * ldy + o]));
        }
    }
    free(expected);
    free(tolerance);
    rows_free(&rows);
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
static void mark(const gemm_tile *t)
{
    assert_true(t->rows && t->cols && t->col + t->cols <= t->out);
    for (size_t r = 0; r < t->rows; r++)
        for (size_t c = 0; c < t->cols; c++)
            t->y[r * t->ldy + c] +=
                1 + 2 * *(const float *)((const char *)t->x + r * t->stride) + 4096 * (float)(t->col + c);
}

static void tiles_cover_each_output_once(void **state)
{
    (void)state;
    const gemm *g;
    const size_t rows[] = {1, 2, 13, 14, 49, 97, 98, 99, 196, 197, 293, 294, 295, 392, 784, 1000},
                 outs[] = {1, 2, 15, 16, 17, 95, 96, 97, 144, 191, 193, 384, 768, 1000, 1536, 3000};
    for (size_t backend = 0; (g = gemm_available(backend)); backend++) {
        const gemm_kernels functions = {.multiply = mark};
        gemm marking = *g;
        marking.functions = &functions;
        for (size_t i = 0; i < LENGTH(rows); i++)
            for (size_t j = 0; j < LENGTH(outs); j++) {
                size_t N = rows[i], out = outs[j], ldy = out + 1, n = N * ldy;
                linear layer = {1, out, &marking, NULL, NULL};
                float *x = array_new(N), *y = array_new(n);
                for (size_t row = 0; row < N; row++)
                    x[row] = (float)row;
                memset(y, 0, n * sizeof *y);
                linear_call call = {&layer, {x, sizeof *x}, y, ldy, N, false};
                if (!strcmp(g->name, "native")) // whole panels
                    assert_int_equal(g->tiling(N, out).cols % 32, 0);
                linear_forward(&call, 1, kernels_available(0), NULL);
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
        test_rows rows = rows_new(&l.layer, k, x, IN, ROWS);
        for (size_t t = 0; t < LENGTH(threads); t++) {
            linear_call call = {&l.layer, rows.operand, t ? y : first, out, ROWS, false};
            forward(&call, 1, k, threads[t]);
            if (t)
                assert_memory_equal(y, first, n * sizeof *y);
        }
        rows_free(&rows);
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
        test_rows rows_of_x = {0};
        for (size_t i = 0; i < LINEAR_GROUP_MAX; i++) {
            size_t n = rows[i] * outs[i];
            layers[i] = layer_new(g, k, IN, outs[i]);
            if (!i) // all of them read the same
                rows_of_x = rows_new(&layers[i].layer, k, x, IN, ROWS);
            alone[i] = array_random(&r, n, 1);
            together[i] = array_new(n);
            memcpy(together[i], alone[i], n * sizeof(float));
            group[i] =
                (linear_call){&layers[i].layer, rows_of_x.operand, together[i], outs[i], rows[i], i % 2};
            linear_call call = group[i];
            call.y = alone[i];
            forward(&call, 1, k, 1);
        }
        forward(group, LINEAR_GROUP_MAX, k, 3);
        for (size_t i = 0; i < LINEAR_GROUP_MAX; i++) {
            assert_memory_equal(together[i], alone[i], rows[i] * outs[i] * sizeof(float));
            array_free(alone[i]);
            array_free(together[i]);
            layer_free(&layers[i]);
        }
        rows_free(&rows_of_x);
        array_free(x);
    }
}

/* The native backend promises it of any cut; the other, whose rounding goes by the shape of a call, does not.
 */
static void natively_a_row_gives_the_same_bits_in_any_company(void **state)
{
    (void)state;
    const gemm *g;
    const kernels *k;
    FOR_EACH(g, k)
    {
        if (strcmp(g->name, "native"))
            continue;
        enum { OUT = 150 };
        random_stream r = {6};
        test_layer l = layer_new(g, k, IN, OUT);
        float *x = array_random(&r, ROWS * IN, 1), *all = array_new(ROWS * OUT),
              *some = array_new(ROWS * OUT);
        test_rows rows = rows_new(&l.layer, k, x, IN, ROWS);
        linear_call call = {&l.layer, rows.operand, all, OUT, ROWS, false};
        forward(&call, 1, k, 1);
        for (size_t N = 1; N < ROWS; N += 1 + N / 3) {
            size_t first = random_below(&r, ROWS - N);
            call = (linear_call){&l.layer, rows_from(&rows, first), some, OUT, N, false};
            forward(&call, 1, k, 1);
            assert_memory_equal(some, all + first * OUT, N * OUT * sizeof *some);
            memset(some, 0xFF, ROWS * OUT * sizeof *some);
            linear_columns(&call, 0, OUT, k);
            assert_memory_equal(some, all + first * OUT, N * OUT * sizeof *some);
        }
        rows_free(&rows);
        array_free(x);
        array_free(all);
        array_free(some);
        layer_free(&l);
    }
}

typedef struct {
    const linear_call *call;
    size_t col, cols;
    const kernels *kernels;
} columns_job;

static void columns_body(void *arg, team *t)
{
    (void)t;
    const columns_job *job = arg;
    linear_columns(job->call, job->col, job->cols, job->kernels);
}

/* From a column in the middle, too: what the MLP takes block by block. */
static void columns_on_one_thread_agree_with_the_reference(void **state)
{
    (void)state;
    const gemm *g;
    const kernels *k;
    const size_t parts[][3] = {{33, 0, 33}, {33, 32, 1}, {100, 32, 32}, {100, 64, 36}, {130, 0, 128}};
    FOR_EACH(g, k)
    for (size_t part = 0; part < LENGTH(parts); part++)
        for (size_t N = 1; N <= 65; N += 16) {
            size_t out = parts[part][0], col = parts[part][1], cols = parts[part][2], ldy = cols + part;
            random_stream r = {N};
            test_layer l = layer_new(g, k, IN, out);
            float *x = array_random(&r, N * IN, 1), *y = array_new(N * ldy), *before = array_copy(y, N * ldy);
            double *expected = malloc(N * out * sizeof *expected),
                   *tolerance = malloc(N * out * sizeof *tolerance);
            test_rows rows = rows_new(&l.layer, k, x, IN, N);
            reference_product(expected, tolerance, g->precision, rows.coded != NULL, x, IN, N, IN, out, l.w,
                              l.bias);
            linear_call call = {&l.layer, rows.operand, y, ldy, N, false};
            g->run(1, columns_body, &(columns_job){&call, col, cols, k});
            for (size_t i = 0; i < N * ldy; i++) {
                size_t at = i / ldy * out + col + i % ldy;
                double bound = (double)FLT_EPSILON * (4 + IN);
                if (i % ldy >= cols)
                    assert_int_equal(float_bits(y[i]), float_bits(before[i]));
                else
                    assert_close((double)y[i], expected[at], tolerance[at] < bound ? tolerance[at] : bound);
            }
            free(expected);
            free(tolerance);
            rows_free(&rows);
            array_free(x);
            array_free(y);
            array_free(before);
            layer_free(&l);
        }
}

/* ---- Choosing, transposing --------------------------------------------------------------------- */

static void a_backend_is_chosen_by_name_and_precision(void **state)
{
    (void)state;
    const gemm *g, *chosen;
    const kernels *k;
    for (size_t backend = 0; (g = gemm_available(backend)); backend++)
        for (size_t set = 0; (k = kernels_available(set)); set++) {
            assert_int_equal(gemm_choose(&chosen, g->name, g->precision, k, NULL), MOHVIT_OK);
            assert_ptr_equal(chosen, g);
        }
}

/* Openblas has vectors of its own where the baseline is all that there is of ours. */
static void without_a_name_vectorised_kernels_are_chosen(void **state)
{
    (void)state;
    const gemm *unnamed, *automatic;
    const kernels *k;
    for (size_t set = 0; (k = kernels_available(set)); set++) {
        assert_int_equal(gemm_choose(&unnamed, NULL, PRECISION_F32, k, NULL), MOHVIT_OK);
        assert_int_equal(gemm_choose(&automatic, "auto", PRECISION_F32, k, NULL), MOHVIT_OK);
        assert_ptr_equal(unnamed, automatic);
        assert_string_equal(unnamed->name, set ? "native" : "openblas");
    }
}

static void what_no_backend_offers_is_refused(void **state)
{
    (void)state;
    const gemm *chosen = NULL;
    const kernels *baseline = kernels_available(0);
    mohvit_error err;
    assert_int_equal(gemm_choose(&chosen, "mkl", PRECISION_F32, baseline, &err), MOHVIT_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "mkl"));
    assert_int_equal(gemm_choose(&chosen, "openblas", PRECISION_INT8, baseline, &err),
                     MOHVIT_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "openblas"));
    assert_non_null(strstr(err.message, "int8"));
    assert_null(chosen);
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
        cmocka_unit_test(columns_on_one_thread_agree_with_the_reference),
        cmocka_unit_test(a_backend_is_chosen_by_name_and_precision),
        cmocka_unit_test(without_a_name_vectorised_kernels_are_chosen),
        cmocka_unit_test(what_no_backend_offers_is_refused),
        cmocka_unit_test(transpose_turns_any_rectangle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

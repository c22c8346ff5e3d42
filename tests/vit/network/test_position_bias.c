/* The continuous position bias, stored by distinct offsets, against its formula for each query and key (spec
 * 2). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/network/position_bias.h"
#include "tests/vit/kernels/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))
#define HEADS         3

/* Sides of queries and keys, and the pretrained side S. */
static const struct {
    size_t side, key_side, S;
} grids[] = {
    {56, 7, 56}, {28, 7, 28}, {14, 7, 14},            // stages 1 to 3 at 224
    {7, 7, 7},   {2, 2, 2},   {12, 12, 7},            // global attention, at the pretrained size and another
    {24, 7, 14}, {12, 7, 14}, {8, 7, 7},              // fixed_pool_size 7, which divides nothing
    {16, 3, 16}, {17, 5, 17}, {10, 4, 5},  {9, 1, 9}, // pools that do not divide
    {16, 8, 56}, {24, 6, 2},  {4, 2, 28},             // pretrained far larger and far smaller
    {5, 5, 2},   {3, 2, 3},
};

static void offsets_have_the_coordinates_of_the_formula(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(grids); i++) {
        size_t Q = grids[i].side, K = grids[i].key_side;
        position_grid grid;
        assert_int_equal(position_grid_create(&grid, Q, K, grids[i].S, NULL), MOHVIT_OK);
        bool *used = calloc(grid.offsets, sizeof *used);
        for (size_t q = 0; q < Q; q++)
            for (size_t k = 0; k < K; k++) {
                size_t first = k * Q / K,
                       end = ((k + 1) * Q + K - 1) / K; // of the cell that key k is the mean of
                double centre = (double)(first + end - 1) / 2,
                       r = ((double)q - centre) / ((double)grids[i].S - 1) * 8;
                int32_t offset = grid.offset[q * K + k];
                assert_true(offset >= 0 && (size_t)offset < grid.offsets);
                used[offset] = true;
                assert_close((double)grid.coordinate[offset], copysign(log2(fabs(r) + 1) / 3, r), 1e-6);
            }
        for (size_t o = 0; o < grid.offsets; o++) { // each is distinct, and there for a reason
            assert_true(used[o]);
            assert_true(!o || grid.coordinate[o] > grid.coordinate[o - 1]);
        }
        free(used);
        position_grid_free(&grid);
    }
}

static void few_offsets_are_stored_where_pools_divide(void **state)
{
    (void)state;
    position_grid grid;
    position_grid_create(&grid, 7, 7, 7, NULL);
    assert_int_equal(grid.offsets, 13); // −6 … 6
    position_grid_free(&grid);
    position_grid_create(&grid, 56, 7, 56, NULL);
    assert_int_equal(grid.offsets, 104); // −51.5 … 51.5
    position_grid_free(&grid);
}

/* Where a step along a query's axis is a step along the table's. */
static void offsets_are_steady_where_pools_divide(void **state)
{
    (void)state;
    size_t steady = 0;
    for (size_t i = 0; i < LENGTH(grids); i++) {
        size_t Q = grids[i].side, K = grids[i].key_side;
        position_grid grid;
        assert_int_equal(position_grid_create(&grid, Q, K, grids[i].S, NULL), MOHVIT_OK);
        bool expected = true;
        for (size_t q = 0; q < Q; q++)
            for (size_t k = 0; k < K; k++)
                expected = expected && grid.offset[q * K + k] == grid.offset[k] + (int32_t)q;
        assert_int_equal(grid.steady, expected);
        if (Q % K == 0)
            assert_true(grid.steady);
        steady += grid.steady;
        position_grid_free(&grid);
    }
    assert_true(steady < LENGTH(grids)); // both kinds are here
}

typedef struct {
    float *fc1, *fc1_bias, *fc2, *fc2_packed, *fc2_bias, *table;
    linear layer;
    position_grid grid;
    const gemm *gemm;
    const kernels *kernels;
} bias_case;

static bias_case case_new(const gemm *g, const kernels *k, size_t i)
{
    random_stream r = {i + 1};
    bias_case c = {.gemm = g, .kernels = k};
    c.fc1 = array_random(&r, CPB_HIDDEN * 2, 1.2f);
    c.fc1_bias = array_random(&r, CPB_HIDDEN, 0.1f);
    c.fc2 = array_random(&r, HEADS * CPB_HIDDEN, 0.08f);
    c.fc2_bias = array_random(&r, HEADS, 0.1f);
    c.fc2_packed = array_new(gemm_functions(g, k)->packed_bytes(HEADS, CPB_HIDDEN) / sizeof(float));
    gemm_functions(g, k)->pack(c.fc2_packed, c.fc2, HEADS, CPB_HIDDEN);
    c.layer = (linear){CPB_HIDDEN, HEADS, g, c.fc2_packed, c.fc2_bias};
    assert_int_equal(position_grid_create(&c.grid, grids[i].side, grids[i].key_side, grids[i].S, NULL),
                     MOHVIT_OK);
    c.table = array_new(HEADS * c.grid.offsets * c.grid.offsets);
    return c;
}

static void case_free(bias_case *c)
{
    float *arrays[] = {c->fc1, c->fc1_bias, c->fc2, c->fc2_packed, c->fc2_bias, c->table};
    for (size_t i = 0; i < LENGTH(arrays); i++)
        array_free(arrays[i]);
    position_grid_free(&c->grid);
}

static void compute(void *arg, team *t)
{
    bias_case *c = arg;
    float *room = array_new(parallel_size(t) * position_bias_room(&c->grid, HEADS));
    position_bias_compute(c->table, &c->grid, c->fc1, c->fc1_bias, &c->layer, c->kernels, t, room);
    array_free(room);
}

static void case_run(bias_case *c, size_t threads)
{
    c->gemm->run(threads, compute, c);
}

static void check_pair(const bias_case *c, size_t i, size_t query, size_t key)
{
    size_t Q = grids[i].side, K = grids[i].key_side, n = c->grid.offsets;
    size_t row = (size_t)c->grid.offset[query / Q * K + key / K],
           col = (size_t)c->grid.offset[query % Q * K + key % K];
    for (size_t h = 0; h < HEADS; h++)
        assert_close((double)c->table[(h * n + row) * n + col],
                     reference_position_bias(Q, K, grids[i].S, query / Q, query % Q, key / K, key % K, c->fc1,
                                             c->fc1_bias, c->fc2 + h * CPB_HIDDEN, (double)c->fc2_bias[h]),
                     3e-6);
}

static void the_table_holds_the_bias_of_every_query_and_key(void **state)
{
    (void)state;
    const gemm *g;
    const kernels *k;
    for (size_t backend = 0; (g = gemm_available(backend)); backend++)
        for (size_t set = 0; g->precision == PRECISION_F32 && (k = kernels_available(set)); set++)
            for (size_t i = 0; i < LENGTH(grids); i++) {
                size_t N = grids[i].side * grids[i].side, keys = grids[i].key_side * grids[i].key_side;
                bias_case c = case_new(g, k, i);
                random_stream r = {i + 9};
                case_run(&c, 1);
                for (size_t pair = 0; pair < (N * keys < 400 ? N * keys : 400); pair++)
                    if (N * keys <= 400)
                        check_pair(&c, i, pair / keys, pair % keys);
                    else
                        check_pair(&c, i, random_below(&r, N), random_below(&r, keys));
                check_pair(&c, i, 0, keys - 1); // the farthest corners
                check_pair(&c, i, N - 1, 0);
                case_free(&c);
            }
}

static void the_table_is_the_same_for_any_number_of_threads(void **state)
{
    (void)state;
    const gemm *g;
    for (size_t backend = 0; (g = gemm_available(backend)); backend++)
        for (size_t i = 3; g->precision == PRECISION_F32 && i < 10; i++) {
            bias_case c = case_new(g, kernels_available(0), i);
            size_t n = HEADS * c.grid.offsets * c.grid.offsets;
            float *first = malloc(n * sizeof *first);
            case_run(&c, 1);
            memcpy(first, c.table, n * sizeof *first);
            case_run(&c, 3);
            assert_memory_equal(c.table, first, n * sizeof *first);
            free(first);
            case_free(&c);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_have_the_coordinates_of_the_formula),
        cmocka_unit_test(few_offsets_are_stored_where_pools_divide),
        cmocka_unit_test(offsets_are_steady_where_pools_divide),
        cmocka_unit_test(the_table_holds_the_bias_of_every_query_and_key),
        cmocka_unit_test(the_table_is_the_same_for_any_number_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

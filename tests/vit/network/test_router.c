/* The router's paragraph of spec 2, by every instruction set: who is picked, and with what gate. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/vit/kernels/reference.h"
#include "vit/network/router.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HEADS 256
#define MAX_ROWS  (MAX_HEADS + 2)

static router router_of(size_t heads, size_t shared, size_t routed)
{
    router r = {.heads = heads, .shared = shared, .routed = routed};
    r.rows = (routed ? heads - shared : 0) + (routed && shared ? 2 : 0) + (shared > 1 ? shared : 0);
    return r;
}

static const struct {
    size_t heads, shared, routed;
} routers[] = {{1, 0, 1},  {2, 0, 1},   {2, 1, 1},    {3, 2, 1},     {4, 0, 2},    {4, 2, 2},
               {4, 1, 2},  {8, 2, 4},   {9, 3, 4},    {6, 6, 0},     {12, 3, 6},   {16, 2, 6},
               {16, 5, 8}, {12, 0, 12}, {33, 16, 16}, {256, 7, 100}, {256, 0, 255}};

#define ROUTERS (sizeof routers / sizeof *routers)

static void gates_follow_the_specification(void **state)
{
    enum { N = 50 };
    random_stream random = {1};
    for (size_t i = 0; i < ROUTERS; i++) {
        router r = router_of(routers[i].heads, routers[i].shared, routers[i].routed);
        float *logits = array_random(&random, N * r.rows, 3), *gate = array_new(N * r.heads);
        uint8_t *pick = malloc(N * r.heads), expected_pick[MAX_HEADS];
        double expected[MAX_HEADS] = {0};
        memset(pick, 0xAA, N * r.heads);
        router_gates(&r, *state, logits, N, gate, pick);
        for (size_t n = 0; n < N; n++) {
            double shared = 0, routed = 0;
            reference_gates(expected, expected_pick, r.heads, r.shared, r.routed, logits + n * r.rows);
            assert_memory_equal(pick + n * r.heads, expected_pick, r.heads);
            for (size_t h = 0; h < r.heads; h++) {
                float found = gate[n * r.heads + h];
                assert_close((double)found, expected[h], 1e-6 * (double)r.heads);
                if (!expected_pick[h])
                    assert_int_equal(float_bits(found), 0);
                *(h < r.shared ? &shared : &routed) += (double)found;
            }
            if (r.shared &&
                r.routed) // shared gates sum to shared · a, routed ones to routed · b, and a + b = 2
                assert_close(shared / (double)r.shared + routed / (double)r.routed, 2, 1e-5);
            else
                assert_close(shared + routed, (double)(r.shared + r.routed), 1e-6 * (double)r.heads + 1e-5);
        }
        array_free(logits);
        array_free(gate);
        free(pick);
    }
}

static size_t picked(const uint8_t *pick, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        assert_true(pick[i] <= 1);
        count += pick[i];
    }
    return count;
}

static void exactly_the_routed_heads_are_picked_whatever_the_scores(void **state)
{
    const float odd[] = {NAN,    -NAN,   INFINITY, -INFINITY, 0.0f, -0.0f, 1e38f,
                         -1e38f, 1e-40f, 1,        -1,        100,  -100};
    random_stream random = {2};
    for (size_t i = 0; i < ROUTERS; i++) {
        router r = router_of(routers[i].heads, routers[i].shared, routers[i].routed);
        for (size_t trial = 0; trial < 500; trial++) {
            float logits[MAX_ROWS], gate[MAX_HEADS];
            uint8_t pick[MAX_HEADS];
            for (size_t j = 0; j < r.rows; j++)
                logits[j] = odd[random_below(&random, trial < 100 ? 4 : sizeof odd / sizeof *odd)];
            router_gates(&r, *state, logits, 1, gate, pick);
            assert_int_equal(picked(pick, r.shared), r.shared);
            assert_int_equal(picked(pick + r.shared, r.heads - r.shared), r.routed);
            for (size_t h = 0; h < r.heads; h++)
                if (!pick[h])
                    assert_int_equal(float_bits(gate[h]), 0);
        }
    }
}

static void check_picks(const kernels *k, const float *logits, size_t n, size_t routed, const char *expected)
{
    router r = router_of(n, 0, routed);
    float gate[MAX_HEADS];
    uint8_t pick[MAX_HEADS];
    router_gates(&r, k, logits, 1, gate, pick);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(pick[i], expected[i] == '1');
}

static void ties_go_to_the_lower_index(void **state)
{
    check_picks(*state, (float[]){1, 1, 1, 1}, 4, 2, "1100");
    check_picks(*state, (float[]){0, 1, 2, 1, 1}, 5, 3, "01110");
    check_picks(*state, (float[]){-0.0f, 0.0f, -1}, 3, 1, "100");
    check_picks(*state, (float[]){INFINITY, INFINITY, INFINITY}, 3, 2, "110");
    check_picks(*state, (float[]){-INFINITY, -INFINITY, -INFINITY}, 3, 2, "110");
}

static void nan_ranks_below_everything(void **state)
{
    check_picks(*state, (float[]){NAN, -INFINITY, NAN, -5}, 4, 2, "0101");
    check_picks(*state, (float[]){NAN, NAN, NAN, -INFINITY}, 4, 2, "1001");
    check_picks(*state, (float[]){NAN, NAN, NAN}, 3, 2, "110");
}

/* Close logits far below the largest have the same softmax in float, and then none at all. */
static void ranking_is_by_logits_not_by_their_softmax(void **state)
{
    check_picks(*state, (float[]){200, 0, 0.5f, 1}, 4, 2, "1001");
    check_picks(*state, (float[]){200, -3e38f, -2e38f, -1e38f}, 4, 2, "1001");
    check_picks(*state, (float[]){0, 16777216.0f, 16777218.0f}, 3, 1, "001");
}

static void a_selected_head_stays_selected_where_its_gate_underflows(void **state)
{
    router r = router_of(3, 0, 2);
    float gate[3], logits[] = {-500, 300, -400};
    uint8_t pick[3];
    router_gates(&r, *state, logits, 1, gate, pick);
    assert_memory_equal(pick, ((uint8_t[]){0, 1, 1}), 3);
    assert_true(gate[0] == 0 && gate[1] == 2 && gate[2] < 1e-37f);
}

static void one_shared_head_has_gate_1_times_its_balance(void **state)
{
    router r = router_of(3, 1, 1);
    assert_int_equal(r.rows, 4);                        // wg 2, wg_0 2, no wg_1
    float gate[3], logits[] = {3, 4, 0.0f, 1.0986123f}; // wg_0: softmax is 1/4, 3/4
    uint8_t pick[3];
    router_gates(&r, *state, logits, 1, gate, pick);
    assert_close((double)gate[0], 0.5, 1e-6);
    assert_true(gate[1] == 0);
    assert_close((double)gate[2], 1.5, 1e-6);
}

static void without_weights_every_gate_is_1(void **state)
{
    router all[] = {{.heads = 4, .shared = 4, .dense = true}, {.heads = 1, .shared = 1}};
    for (size_t i = 0; i < 2; i++) {
        float gate[12];
        uint8_t pick[12];
        size_t n = 3 * all[i].heads;
        memset(gate, 0xFF, sizeof gate);
        memset(pick, 0xFF, sizeof pick);
        router_gates(&all[i], *state, NULL, 3, gate, pick);
        for (size_t j = 0; j < 12; j++) {
            assert_int_equal(pick[j], j < n ? 1 : 0xFF);
            assert_true(j < n ? gate[j] == 1 : isnan(gate[j]));
        }
    }
}

static void tokens_are_routed_one_by_one(void **state)
{
    enum { N = 20 };
    random_stream random = {3};
    router r = router_of(9, 3, 4);
    float *logits = array_random(&random, N * r.rows, 2), together[N * 9], alone[9];
    uint8_t pick[N * 9], pick_alone[9];
    logits[5 * r.rows + 2] = NAN;
    router_gates(&r, *state, logits, N, together, pick);
    for (size_t n = 0; n < N; n++) {
        router_gates(&r, *state, logits + n * r.rows, 1, alone, pick_alone);
        assert_memory_equal(pick + n * 9, pick_alone, 9);
        for (size_t h = 0; h < 9; h++) {
            assert_int_equal(float_bits(alone[h]), float_bits(together[n * 9 + h]));
            assert_true(isnan(alone[h]) == (n == 5 && h >= 3 && pick_alone[h]));
        }
    }
    array_free(logits);
}

/* Also of fewer tokens than a mask holds, of one more, and of the last of many. */
static void pairs_are_counted_token_by_token(void **state)
{
    (void)state;
    static const size_t tokens[] = {1, 63, 64, 65, 200};
    random_stream random = {7};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        enum { H = 9 };
        router r = router_of(H, 2, 3);
        uint8_t *pick = malloc(tokens[i] * H);
        int32_t found[H * H], expected[H * H] = {0};
        size_t counts[H] = {0};
        memset(found, 0xAA, sizeof found);
        for (size_t n = 0; n < tokens[i]; n++) {
            for (size_t h = 0; h < H; h++)
                counts[h] += pick[n * H + h] = h < r.shared || random_below(&random, 2);
            for (size_t k = 0; k < H * H; k++)
                expected[k] += pick[n * H + k / H] && pick[n * H + k % H];
        }
        router_pairs(&r, &(selection){.pick = pick, .counts = counts}, tokens[i], found);
        assert_memory_equal(found, expected, sizeof found);
        free(pick);
    }
}

#define TEST(name) cmocka_unit_test_prestate(name, (void *)k)

int main(void)
{
    int failed = 0;
    const kernels *k;
    for (size_t set = 0; (k = kernels_available(set)); set++) {
        const struct CMUnitTest tests[] = {
            TEST(gates_follow_the_specification),
            TEST(exactly_the_routed_heads_are_picked_whatever_the_scores),
            TEST(ties_go_to_the_lower_index),
            TEST(nan_ranks_below_everything),
            TEST(ranking_is_by_logits_not_by_their_softmax),
            TEST(a_selected_head_stays_selected_where_its_gate_underflows),
            TEST(one_shared_head_has_gate_1_times_its_balance),
            TEST(without_weights_every_gate_is_1),
            TEST(tokens_are_routed_one_by_one),
            TEST(pairs_are_counted_token_by_token),
        };
        failed += cmocka_run_group_tests_name(k->isa, tests, NULL, NULL);
    }
    return failed;
}

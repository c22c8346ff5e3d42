/* Gates from a router's logits (kernels.h, gates_job), for as many tokens at a time as a vector has lanes:
 * one lane, one token, whose arithmetic is the same whatever the other lanes hold.
 *
 * Budget: layer norm and router of moh_transnext_small_75 took 2.88 of 96 ms token by token, in plain C, and
 * take 1.37 (one thread of AMD Zen 5, `mohvit bench --variant moh_transnext_small_75 --threads 1 --profile`).
 */
#include "vit/kernels/build.h"

/* p (n) = softmax(x (n)) · scale */
INLINE void softmax(vec *p, const vec *x, size_t n, float scale)
{
    vec max = x[0], sum = {0};
    for (size_t i = 1; i < n; i++)
        max = vec_max(x[i], max);
    for (size_t i = 0; i < n; i++)
        sum += p[i] = vec_exp(x[i] - max);
    vec factor = scale / sum;
    for (size_t i = 0; i < n; i++)
        p[i] *= factor;
}

/* How many of x (n) go before each: the larger, of equal ones the earlier, NaN last. */
INLINE void rank(ivec *before, const vec *x, size_t n)
{
    memset(before, 0, n * sizeof *before);
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++) {
            ivec number = x[j] == x[j];            // NOLINT(misc-redundant-expression): false of a NaN
            ivec later = ~(x[j] <= x[i]) & number; // −1 where j goes before i, though it comes later
            before[i] -= later;
            before[j] += later + 1;
        }
}

/* Gates of the routed heads: softmax over the candidates, masked, renormalised to `routed`. */
INLINE void routed_gates(vec *gate, ivec *pick, const vec *x, size_t candidates, size_t routed)
{
    ivec before[GATES_MAX_HEADS];
    vec sum = {0};
    softmax(gate, x, candidates, 1);
    rank(before, x, candidates);
    for (size_t i = 0; i < candidates; i++) {
        pick[i] = before[i] < (int32_t)routed;
        sum += vec_select(pick[i], gate[i], (vec){0});
    }
    vec scale = (float)routed / vec_max(sum, vec_set(0x1p-23f));
    for (size_t i = 0; i < candidates; i++) // 0 where not picked, even if the scale is NaN
        gate[i] = vec_select(pick[i], gate[i] * scale, (vec){0});
}

INLINE void token_gates(const gates_job *job, vec *gate, ivec *pick, const vec *x)
{
    size_t shared = job->shared, candidates = job->routed ? job->heads - shared : 0;
    const vec *balance = x + candidates; // wg_0, where both kinds of heads exist
    bool both = job->routed && shared;

    for (size_t i = 0; i < shared; i++) {
        pick[i] = ~(ivec){0};
        gate[i] = vec_set(1);
    }
    if (shared > 1)
        softmax(gate, balance + (both ? 2 : 0), shared, (float)shared);
    if (candidates)
        routed_gates(gate + shared, pick + shared, x, candidates, job->routed);
    if (both) {
        vec share[2];
        softmax(share, balance, 2, 2);
        for (size_t i = 0; i < job->heads; i++)
            gate[i] = vec_select(pick[i], gate[i] * share[i >= shared], (vec){0});
    }
}

static void gates(const gates_job *job)
{
    vec x[GATES_MAX_HEADS + 2], gate[GATES_MAX_HEADS]; // (rows) and (heads) lanes
    ivec pick[GATES_MAX_HEADS];
    for (size_t first = 0; first < job->N; first += VL) {
        size_t n = job->N - first < VL ? job->N - first : VL;
        for (size_t l = 0; l < VL; l++) // idle lanes repeat the last token
            for (size_t r = 0; r < job->rows; r++)
                x[r][l] = job->logits[(first + (l < n ? l : n - 1)) * job->rows + r];
        token_gates(job, gate, pick, x);
        for (size_t l = 0; l < n; l++)
            for (size_t i = 0; i < job->heads; i++) {
                job->gate[(first + l) * job->heads + i] = gate[i][l];
                job->pick[(first + l) * job->heads + i] = pick[i][l] != 0;
            }
    }
}

void NAMED(add_gates)(kernels *k)
{
    k->gates = gates;
}

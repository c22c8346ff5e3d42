#include "router.h"

#include <math.h>
#include <string.h>

/* p (n) = softmax(x (n)) · scale */
static void softmax(float *p, const float *x, size_t n, float scale)
{
    float max = x[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (size_t i = 0; i < n; i++)
        sum += p[i] = expf(x[i] - max);
    for (size_t i = 0; i < n; i++)
        p[i] *= scale / sum;
}

/* Marks the k largest of logits (n), ties to the lower index, NaN lowest. n is small: k passes beat a sort.
 */
static void pick_top(uint8_t *pick, const float *logits, size_t n, size_t k)
{
    memset(pick, 0, n);
    while (k--) {
        size_t best = n;
        for (size_t i = 0; i < n; i++)
            if (!pick[i] &&
                (best == n || logits[i] > logits[best] || (isnan(logits[best]) && !isnan(logits[i]))))
                best = i;
        pick[best] = 1;
    }
}

/* Gates of the routed heads of one token: softmax over the candidates, masked, renormalised to `routed`. */
static void routed_gates(float *gate, uint8_t *pick, const float *logits, size_t candidates, size_t routed)
{
    softmax(gate, logits, candidates, 1.0f);
    pick_top(pick, logits, candidates, routed);
    float sum = 0;
    for (size_t i = 0; i < candidates; i++)
        sum += pick[i] ? gate[i] : 0;
    float scale = (float)routed / (sum < 0x1p-23f ? 0x1p-23f : sum);
    for (size_t i = 0; i < candidates; i++)
        gate[i] = pick[i] ? gate[i] * scale : 0;
}

static void token_gates(const router *r, const float *logits, float *gate, uint8_t *pick)
{
    size_t candidates = r->routed ? r->heads - r->shared : 0;
    const float *balance = logits + candidates; // wg_0, where both kinds of heads exist
    bool both = r->routed && r->shared;
    const float *shared_logits = balance + (both ? 2 : 0);

    memset(pick, 1, r->heads);
    if (r->shared > 1)
        softmax(gate, shared_logits, r->shared, (float)r->shared);
    else if (r->shared)
        gate[0] = 1;
    if (r->routed)
        routed_gates(gate + r->shared, pick + r->shared, logits, candidates, r->routed);
    if (both) {
        float share[2];
        softmax(share, balance, 2, 2.0f);
        for (size_t i = 0; i < r->heads; i++)
            if (pick[i]) // an unselected gate stays 0 whatever the share is
                gate[i] *= share[i >= r->shared];
    }
}

void router_gates(const router *r, const float *logits, size_t N, float *gate, uint8_t *pick)
{
    if (r->dense || !r->rows) {
        memset(pick, 1, N * r->heads);
        for (size_t i = 0; i < N * r->heads; i++)
            gate[i] = 1;
        return;
    }
    for (size_t n = 0; n < N; n++, logits += r->rows, gate += r->heads, pick += r->heads)
        token_gates(r, logits, gate, pick);
}

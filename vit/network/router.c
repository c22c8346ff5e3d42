#include "vit/network/router.h"

#include <string.h>

void router_gates(const router *r, const kernels *k, const float *logits, size_t N, float *gate,
                  uint8_t *pick)
{
    if (r->dense || !r->rows) {
        memset(pick, 1, N * r->heads);
        for (size_t i = 0; i < N * r->heads; i++)
            gate[i] = 1;
        return;
    }
    k->gates(&(gates_job){.heads = r->heads,
                          .shared = r->shared,
                          .routed = r->routed,
                          .rows = r->rows,
                          .logits = logits,
                          .N = N,
                          .gate = gate,
                          .pick = pick});
}

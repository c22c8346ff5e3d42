#include "vit/network/router.h"
#include "base/memory.h"
#include "vit/network/encode.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(CONFIG_MAX_HEADS <= GATES_MAX_HEADS, "config.c lets more heads through than gates() takes");

/* The router's matrices stacked into one, so that one product gives all logits. */
void router_bind(binder *b, router *r, const config *c, size_t s)
{
    size_t heads = c->num_heads[s], shared = c->shared_head[s], routed = c->routed_head[s],
           C = c->embed_dims[s];
    const struct {
        const char *name;
        size_t rows;
    } parts[] = {
        {"wg", routed ? heads - shared : 0},
        {"wg_0", routed && shared ? 2 : 0},
        {"wg_1", shared > 1 ? shared : 0},
    };
    *r = (router){.heads = heads, .shared = shared, .routed = routed, .dense = c->dense};
    for (size_t i = 0; i < 3 && !r->dense; i++)
        r->rows += parts[i].rows;
    if (!r->rows)
        return;
    float *stacked = bind_temporary(b, r->rows * C), *bias = bind_floats(b, r->rows);
    for (size_t i = 0, row = 0; i < 3; row += parts[i++].rows) {
        const float *w =
            parts[i].rows ? bind_staged(b, parts[i].name, ".weight", SHAPE(parts[i].rows, C)) : NULL;
        if (w)
            memcpy(stacked + row * C, w, parts[i].rows * C * sizeof *w);
    }
    r->scores = bind_packed(b, bind_gemm(b, PART_EXACT, 0), stacked, r->rows, C, NULL, 0, bias);
    if (bias)
        memset(bias, 0, r->rows * sizeof *bias);
    free(stacked);
}

size_t router_active(const router *r)
{
    return r->dense ? r->heads : r->shared + r->routed;
}

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

void router_drop(const router *r, const head_drops *drops, size_t N, float *gate)
{
    for (size_t n = 0; n < N; n++, gate += r->heads) {
        double all = 0, left = 0;
        for (size_t i = 0; i < r->heads; i++) {
            all += (double)gate[i];
            left += drops->heads[i] ? 0 : (double)gate[i];
        }
        double factor = drops->renormalise && left > 0 ? all / left : 1;
        for (size_t i = 0; i < r->heads; i++)
            gate[i] = drops->heads[i] ? 0 : (float)((double)gate[i] * factor);
    }
}

typedef struct {
    const pass *pass;
    const router *router;
    const norm *norm;
    const linear *reader;
    float *y;
    const float *x;
    size_t N;
    float *clear;
    const selection *to;
} route_job;

static void route_rows(void *arg, size_t task, size_t worker)
{
    const route_job *job = arg;
    const router *r = job->router;
    const pass *p = job->pass;
    size_t N = job->N, C = job->norm->C, row = task * ENCODE_ROWS,
           rows = N - row < ENCODE_ROWS ? N - row : ENCODE_ROWS;
    float *y = encode_begin(p, job->reader, job->y, row, worker), *scores = job->to->scores + row * r->rows;
    norm_rows(p, job->norm, y, job->x + row * C, rows);
    if (r->rows) {
        linear_call call = {&r->scores, {y, C * sizeof *y}, scores, r->rows, rows, false};
        linear_columns(&call, 0, r->rows, p->kernels);
    }
    router_gates(r, p->kernels, scores, rows, job->to->gate + row * r->heads, job->to->pick + row * r->heads);
    if (p->drops.heads)
        router_drop(r, &p->drops, rows, job->to->gate + row * r->heads);
    if (job->clear)
        memset(job->clear + row * C, 0, rows * C * sizeof *y);
    encode_end(p, job->reader, y, row, rows);
}

/* When products alone are timed there is no router: lists as many tokens as it would choose. */
static size_t list_any(const router *r, size_t head, size_t N, uint32_t *list)
{
    size_t count = head < r->shared ? N : N * r->routed / (r->heads - r->shared);
    for (size_t i = 0; i < count; i++)
        list[i] = (uint32_t)(i * N / count);
    return count;
}

static size_t list_selected(const uint8_t *pick, size_t heads, size_t N, uint32_t *list)
{
    size_t count = 0;
    for (size_t token = 0; token < N; token++) {
        list[count] = (uint32_t)token;
        count += pick[token * heads];
    }
    return count;
}

static void list_tokens(void *arg, size_t head, size_t worker)
{
    (void)worker;
    const route_job *job = arg;
    const router *r = job->router;
    uint32_t *list = job->to->lists + head * job->N;
    job->to->counts[head] = job->pass->products_only
                                ? list_any(r, head, job->N, list)
                                : list_selected(job->to->pick + head, r->heads, job->N, list);
}

selection router_room(const pass *p, const router *r, size_t N)
{
    scratch *s = p->scratch;
    return (selection){
        .gate = scratch_floats(s, N, r->heads),
        .pick = scratch_take(s, N * r->heads, 1),
        .lists = scratch_take(s, N * r->heads, sizeof(uint32_t)),
        .counts = scratch_take(s, r->heads, sizeof(size_t)),
        .scores = scratch_floats(s, N, r->rows),
    };
}

void router_forward(const pass *p, const router *r, const norm *n, const linear *reader, float *y,
                    const float *x, size_t N, float *clear, const selection *to)
{
    route_job job = {p, r, n, reader, y, x, N, clear, to};
    double macs = (double)N * (double)n->C * (double)r->rows;
    encode_reserve(p, reader, N, ENCODE_ROWS);
    pass_count(p, macs, macs);
    pass_loop(p, divide_up(N, ENCODE_ROWS), route_rows, &job);
    pass_products(p, r->heads, list_tokens, &job);
    profile_lap(p->profile, OP_ROUTER);
}

void router_report(const router *r, const selection *chosen, size_t N, size_t max_heads, int32_t *tokens,
                   double *gate_sum)
{
    for (size_t head = 0; head < max_heads; head++) {
        double sum = 0;
        size_t count = head < r->heads ? chosen->counts[head] : 0;
        for (size_t i = 0; i < count; i++)
            sum += (double)chosen->gate[chosen->lists[head * N + i] * r->heads + head];
        gate_sum[head] = sum;
        tokens[head] = head < r->heads ? (int32_t)count : -1;
    }
}

/* A bit for each of 64 tokens: to see which two routed heads share takes one AND and a count. All tokens
 * select a shared head. 0.07 ms of an image of S-75, a thousandth of its forward pass on two threads of
 * Zen 3. */
void router_pairs(const router *r, const selection *chosen, size_t N, int32_t *together)
{
    enum { BITS = 64 };
    size_t heads = r->heads, shared = r->shared;
    memset(together, 0, heads * heads * sizeof *together);
    for (size_t first = 0; shared < heads && first < N; first += BITS) {
        uint64_t selected[CONFIG_MAX_HEADS];
        size_t end = first + BITS < N ? first + BITS : N;
        memset(selected, 0, heads * sizeof *selected);
        for (size_t token = first; token < end; token++)
            for (size_t i = shared; i < heads; i++)
                selected[i] |= (uint64_t)chosen->pick[token * heads + i] << (token - first);
        for (size_t i = shared; i < heads; i++)
            for (size_t j = i; j < heads; j++)
                together[i * heads + j] += __builtin_popcountll(selected[i] & selected[j]);
    }
    for (size_t i = 0; i < heads; i++) {
        for (size_t j = 0; j <= i; j++) {
            if (j < shared)
                together[j * heads + i] = (int32_t)chosen->counts[i];
            together[i * heads + j] = together[j * heads + i];
        }
    }
}

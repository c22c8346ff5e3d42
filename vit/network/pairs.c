#include "vit/network/pairs.h"
#include "base/parallel.h"
#include "base/memory.h"

typedef struct {
    const pass *pass;
    const attention *attention;
    const linear *queries;
    float *x;
} pairs_job;

/* Dense products are the more even ones. For the selected pairs alone q and proj take 0.67 and 0.60 of a
 * dense product's time where half of the heads are at work, 0.98 and 0.86 where three quarters are; with all
 * heads they would take 1.28 and 1.09 (tests/vit/kernels/test_pairs --bench). In a forward pass on one thread
 * q and kv took 31.8 ms in place of 33.7 and proj 6.2 in place of 8.8 of moh_transnext_base_50's 160; of
 * moh_transnext_small_75's 98 ms proj 4.6 in place of 5.1. */
bool pairs_possible(const attention *a, const kernels *k)
{
    const router *r = &a->router;
    return k->pairs && attention_reader(a)->gemm == &gemm_native_f32 && a->proj.gemm == &gemm_native_f32 &&
           a->d == PAIR_CHANNELS && a->C % PAIR_OUTPUTS == 0 && !r->dense && r->routed &&
           4 * (r->shared + r->routed) <= 3 * r->heads;
}

bool pairs_alone(const pass *p, const attention *a)
{
    return !p->all_heads && pairs_possible(a, p->kernels);
}

double pairs_saved_macs(const attention *a, const kernels *k)
{
    const router *r = &a->router;
    double N = (double)(a->side * a->side), C = (double)a->C;
    double left_out = 1 - (double)(r->shared + r->routed) / (double)r->heads;
    return pairs_possible(a, k) ? 2 * N * C * C * left_out : 0;
}

static void head_queries(void *arg, size_t task, size_t worker)
{
    (void)worker;
    const pairs_job *job = arg;
    const attention *a = job->attention;
    const scratch *s = job->pass->s;
    size_t N = a->side * a->side, head = attention_turn(a, task);
    pair_queries queries = {.rows = s->q + head * N * a->d,
                            .tokens = s->lists + head * N,
                            .count = s->counts[head],
                            .y = s->y,
                            .in = a->C,
                            .first = head * a->d,
                            .packed = job->queries->weight,
                            .bias = job->queries->bias};
    job->pass->kernels->pairs->queries(&queries);
}

void pairs_queries(const pass *p, const attention *a, const linear *layer)
{
    pairs_job job = {.pass = p, .attention = a, .queries = layer};
    parallel_for(p->team, a->heads, head_queries, &job);
}

/* Tasks go down the tokens, as those of linear.c do. */
static void project_part(void *arg, size_t task, size_t worker)
{
    (void)worker;
    const pairs_job *job = arg;
    const attention *a = job->attention;
    const scratch *s = job->pass->s;
    size_t N = a->side * a->side, parts = a->C / PAIR_OUTPUTS, first = task / parts * PAIR_TOKENS;
    pair_sums sums = {.x = job->x,
                      .rows = s->heads,
                      .lists = s->lists,
                      .counts = s->counts,
                      .heads = a->heads,
                      .N = N,
                      .first = first,
                      .end = first + PAIR_TOKENS < N ? first + PAIR_TOKENS : N,
                      .col = task % parts * PAIR_OUTPUTS,
                      .packed = a->proj.weight,
                      .bias = a->proj.bias};
    job->pass->kernels->pairs->sums(&sums);
}

void pairs_project(const pass *p, const attention *a, float *x)
{
    pairs_job job = {.pass = p, .attention = a, .x = x};
    parallel_for(p->team, divide_up(a->side * a->side, PAIR_TOKENS) * (a->C / PAIR_OUTPUTS), project_part,
                 &job);
}

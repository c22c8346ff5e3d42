#include "vit/network/pairs.h"
#include "base/memory.h"

typedef struct {
    const pass *pass;
    const attention *attention;
    const attention_state *state;
    const linear *queries;
    const float *y;
    float *x;
} pairs_job;

/* Dense products are the more even ones. For the selected pairs alone q and proj take 0.67 and 0.60 of a
 * dense product's time where half of the heads are at work, 0.98 and 0.86 where three quarters are; with all
 * heads they would take 1.28 and 1.09 (tests/vit/kernels, test_kernels --bench pairs). In a forward pass on
 * one thread q and kv took 31.8 ms in place of 33.7 and proj 6.2 in place of 8.8 of moh_transnext_base_50's
 * 160; of moh_transnext_small_75's 98 ms proj 4.6 in place of 5.1. */
bool pairs_skip_products(const pass *p, const attention *a)
{
    const router *r = &a->router;
    return !p->all_heads && p->kernels->pairs.sums &&
           attention_reader(a)->gemm == &gemm_native[PRECISION_F32] &&
           a->proj.gemm == &gemm_native[PRECISION_F32] && a->d == PAIR_CHANNELS && a->C % PAIR_OUTPUTS == 0 &&
           !r->dense && r->routed && 4 * router_active(r) <= 3 * r->heads;
}

/* A product C → C over the pairs. */
static void count_product(const pass *p, const attention *a)
{
    double macs = (double)(a->side * a->side) * (double)a->C * (double)a->C;
    pass_count(p, macs, macs * (double)router_active(&a->router) / (double)a->heads);
}

static void head_queries(void *arg, size_t task, size_t worker)
{
    (void)worker;
    const pairs_job *job = arg;
    const attention *a = job->attention;
    const attention_state *s = job->state;
    size_t N = a->side * a->side, head = head_of_task(a, task);
    pair_queries queries = {.rows = s->q + head * N * a->d,
                            .tokens = s->selection.lists + head * N,
                            .count = s->selection.counts[head],
                            .y = job->y,
                            .in = a->C,
                            .first = head * a->d,
                            .packed = job->queries->weight,
                            .bias = job->queries->bias};
    job->pass->kernels->pairs.queries(&queries);
}

void pairs_queries(const pass *p, const attention *a, const attention_state *s, const linear *layer,
                   const float *y)
{
    pairs_job job = {.pass = p, .attention = a, .state = s, .queries = layer, .y = y};
    count_product(p, a);
    pass_products(p, a->heads, head_queries, &job);
}

/* Tasks go down the tokens, as those of linear.c do. */
static void project_part(void *arg, size_t task, size_t worker)
{
    (void)worker;
    const pairs_job *job = arg;
    const attention *a = job->attention;
    const attention_state *s = job->state;
    size_t N = a->side * a->side, parts = a->C / PAIR_OUTPUTS, first = task / parts * PAIR_TOKENS;
    pair_sums sums = {.x = job->x,
                      .rows = s->out,
                      .lists = s->selection.lists,
                      .counts = s->selection.counts,
                      .heads = a->heads,
                      .N = N,
                      .first = first,
                      .end = first + PAIR_TOKENS < N ? first + PAIR_TOKENS : N,
                      .col = task % parts * PAIR_OUTPUTS,
                      .packed = a->proj.weight,
                      .bias = a->proj.bias};
    job->pass->kernels->pairs.sums(&sums);
}

void pairs_project(const pass *p, const attention *a, const attention_state *s, float *x)
{
    pairs_job job = {.pass = p, .attention = a, .state = s, .x = x};
    count_product(p, a);
    pass_products(p, divide_up(a->side * a->side, PAIR_TOKENS) * (a->C / PAIR_OUTPUTS), project_part, &job);
}

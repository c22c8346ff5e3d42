#include "conv_glu.h"
#include "parallel.h"

typedef struct {
    const conv_glu *mlp;
    const pass *pass;
} glu_job;

static void glu_row(void *arg, size_t row, size_t worker)
{
    (void)worker;
    const glu_job *job = arg;
    const conv_glu *m = job->mlp;
    const scratch *s = job->pass->s;
    job->pass->kernels->depthwise_gelu_gate(s->gated + row * m->side * m->hidden, s->wide, m->side, row,
                                            m->hidden, m->dw_weight, m->dw_bias);
}

void conv_glu_forward(const pass *p, const conv_glu *m, const float *y, float *x)
{
    size_t N = m->side * m->side, C = m->fc2.out;
    linear_call fc1 = {&m->fc1, y, C, p->s->wide, 2 * m->hidden, N, false};
    linear_forward(&fc1, 1, p->gemm, p->kernels, p->team);
    glu_job job = {m, p};
    parallel_for(p->team, m->side, glu_row, &job);
    linear_call fc2 = {&m->fc2, p->s->gated, m->hidden, x, C, N, true};
    linear_forward(&fc2, 1, p->gemm, p->kernels, p->team);
}

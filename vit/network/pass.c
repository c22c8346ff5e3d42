#include "vit/network/pass.h"

void pass_products(const pass *p, size_t tasks, parallel_task *run, void *arg)
{
    if (!scratch_measures(p->scratch))
        parallel_for(p->team, tasks, run, arg);
}

void pass_loop(const pass *p, size_t tasks, parallel_task *run, void *arg)
{
    if (!p->products_only)
        pass_products(p, tasks, run, arg);
}

void pass_linear(const pass *p, const linear_call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double macs = (double)calls[i].N * (double)calls[i].layer->in * (double)calls[i].layer->out;
        pass_count(p, macs, macs);
    }
    if (!scratch_measures(p->scratch))
        linear_forward(calls, count, p->kernels, p->team);
}

void pass_count(const pass *p, double all_heads, double routed)
{
    if (!p->cost)
        return;
    p->cost->all_heads += all_heads;
    p->cost->routed += routed;
}

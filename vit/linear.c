#include "linear.h"

typedef struct {
    gemm_tiles size;
    size_t row_tiles, col_tiles;
} tiling;

typedef struct {
    const linear_call *calls;
    tiling tiles[LINEAR_GROUP_MAX];
    const gemm *gemm;
    const kernels *kernels;
} linear_group;

static void linear_tile(void *arg, size_t task, size_t worker)
{
    (void)worker;
    const linear_group *group = arg;
    const linear_call *call = group->calls;
    const tiling *t = group->tiles;
    for (; task >= t->row_tiles * t->col_tiles; call++, t++)
        task -= t->row_tiles * t->col_tiles;

    // Of tokens and weights, the larger is walked through once; the smaller stays in the cache.
    const linear *layer = call->layer;
    bool weights_once = layer->out > call->N;
    size_t row = (weights_once ? task % t->row_tiles : task / t->col_tiles) * t->size.rows;
    size_t col = (weights_once ? task / t->row_tiles : task % t->col_tiles) * t->size.cols;
    size_t rows = call->N - row < t->size.rows ? call->N - row : t->size.rows;
    size_t cols = layer->out - col < t->size.cols ? layer->out - col : t->size.cols;
    group->gemm->multiply(group->kernels, call->y + row * call->ldy + col, call->ldy,
                          call->x + row * call->ldx, call->ldx, layer->weight, layer->bias, rows, layer->in,
                          layer->out, col, cols, call->accumulate);
}

void linear_forward(const linear_call *calls, size_t count, const gemm *g, const kernels *k, team *members)
{
    linear_group group = {.calls = calls, .gemm = g, .kernels = k};
    size_t tasks = 0;
    for (size_t i = 0; i < count; i++) {
        tiling *t = &group.tiles[i];
        t->size = g->tiling(calls[i].N, calls[i].layer->out);
        t->row_tiles = divide_up(calls[i].N, t->size.rows);
        t->col_tiles = divide_up(calls[i].layer->out, t->size.cols);
        tasks += t->row_tiles * t->col_tiles;
    }
    parallel_for(members, tasks, linear_tile, &group);
}

void linear_rows(const linear *layer, const float *x, float *y, size_t N, const gemm *g, const kernels *k)
{
    g->multiply(k, y, layer->out, x, layer->in, layer->weight, layer->bias, N, layer->in, layer->out, 0,
                layer->out, false);
}

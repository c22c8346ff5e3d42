#include "vit/kernels/linear.h"
#include "base/memory.h"

typedef struct {
    gemm_tiles size;
    size_t row_tiles, col_tiles;
} tiling;

typedef struct {
    const linear_call *calls;
    tiling tiles[LINEAR_GROUP_MAX];
    size_t row_tiles, cols; // row tiles of the call that has most; column tiles of all calls
    const kernels *kernels;
} linear_group;

/* Outputs col … of tokens row …, to y. */
static void multiply(const linear_call *call, float *y, size_t row, size_t rows, size_t col, size_t cols,
                     const kernels *k)
{
    const linear *layer = call->layer;
    gemm_tile tile = {
        .y = y,
        .ldy = call->ldy,
        .x = (const char *)call->x.rows + row * call->x.stride,
        .stride = call->x.stride,
        .packed = layer->weight,
        .bias = layer->bias,
        .rows = rows,
        .in = layer->in,
        .out = layer->out,
        .col = col,
        .cols = cols,
        .accumulate = call->accumulate,
        .kernels = k,
    };
    gemm_functions(layer->gemm, k)->multiply(&tile);
}

/* Tasks go down the rows, so that a worker's share of them is the same tokens in every layer. */
static void linear_tile(void *arg, size_t task, size_t worker)
{
    (void)worker;
    const linear_group *group = arg;
    const linear_call *call = group->calls;
    const tiling *t = group->tiles;
    size_t row_tile = task / group->cols, col_tile = task % group->cols;
    for (; col_tile >= t->col_tiles; call++, t++)
        col_tile -= t->col_tiles;
    if (row_tile >= t->row_tiles)
        return; // another call has more rows
    size_t row = row_tile * t->size.rows, col = col_tile * t->size.cols;
    size_t rows = call->N - row < t->size.rows ? call->N - row : t->size.rows;
    size_t cols = call->layer->out - col < t->size.cols ? call->layer->out - col : t->size.cols;
    multiply(call, call->y + row * call->ldy + col, row, rows, col, cols, group->kernels);
}

linear linear_from(const linear *layer, size_t col, const kernels *k)
{
    linear rest = *layer;
    rest.out -= col;
    if (col && rest.weight) { // else the model is only being measured
        rest.weight = (const char *)rest.weight + gemm_functions(rest.gemm, k)->packed_bytes(col, rest.in);
        rest.bias += col;
    }
    return rest;
}

void linear_forward(const linear_call *calls, size_t count, const kernels *k, team *members)
{
    linear_group group = {.calls = calls, .kernels = k};
    for (size_t i = 0; i < count; i++) {
        tiling *t = &group.tiles[i];
        t->size = calls[i].layer->gemm->tiling(calls[i].N, calls[i].layer->out);
        t->row_tiles = divide_up(calls[i].N, t->size.rows);
        t->col_tiles = divide_up(calls[i].layer->out, t->size.cols);
        group.cols += t->col_tiles;
        if (t->row_tiles > group.row_tiles)
            group.row_tiles = t->row_tiles;
    }
    parallel_for(members, group.row_tiles * group.cols, linear_tile, &group);
}

void linear_columns(const linear_call *call, size_t col, size_t cols, const kernels *k)
{
    multiply(call, call->y, 0, call->N, col, cols, k);
}

#include "vit/network/position_bias.h"
#include "base/memory.h"
#include "base/parallel.h"

#include <math.h>
#include <stdlib.h>

/* Twice the mean of the queries in key cell k of an adaptive average pool: always an integer. */
static long doubled_centre(size_t side, size_t key_side, size_t k)
{
    size_t first = k * side / key_side, end = ((k + 1) * side + key_side - 1) / key_side;
    return (long)(first + end - 1);
}

mohvit_status position_grid_create(position_grid *grid, size_t side, size_t key_side, size_t pretrain_side,
                                   mohvit_error *err)
{
    *grid = (position_grid){.side = side, .key_side = key_side};
    long span = 2 * (long)side; // doubled offsets lie strictly between −span and span
    int32_t *number = calloc((size_t)(2 * span), sizeof *number);
    grid->offset = memory_alloc(side * key_side, sizeof *grid->offset);
    grid->coordinate = memory_alloc((size_t)(2 * span), sizeof *grid->coordinate);
    if (!number || !grid->offset || !grid->coordinate) {
        free(number);
        position_grid_free(grid);
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for the position offsets of a map of side %zu",
                         side);
    }
    for (size_t q = 0; q < side; q++)
        for (size_t k = 0; k < key_side; k++)
            number[2 * (long)q - doubled_centre(side, key_side, k) + span] = 1;
    for (long i = 0; i < 2 * span; i++) {
        if (!number[i])
            continue;
        float r = (float)(i - span) / 2 / (float)(pretrain_side - 1) * 8;
        grid->coordinate[grid->offsets] = copysignf(log2f(fabsf(r) + 1) / 3, r);
        number[i] = (int32_t)grid->offsets++;
    }
    for (size_t q = 0; q < side; q++)
        for (size_t k = 0; k < key_side; k++)
            grid->offset[q * key_side + k] = number[2 * (long)q - doubled_centre(side, key_side, k) + span];
    free(number);
    grid->steady = true;
    for (size_t i = 0; i < side * key_side; i++)
        grid->steady &= grid->offset[i] == grid->offset[i % key_side] + (int32_t)(i / key_side);
    return MOHVIT_OK;
}

void position_grid_free(position_grid *grid)
{
    free(grid->coordinate);
    free(grid->offset);
    *grid = (position_grid){0};
}

typedef struct {
    float *table;
    const position_grid *grid;
    const float *w_row, *w_col, *fc1_bias; // (512) each
    const linear *fc2;
    const kernels *kernels;
    float *room; // (threads, offsets, 512 + heads)
} bias_job;

/* One row offset with every column offset. */
static void bias_row(void *arg, size_t row, size_t worker)
{
    const bias_job *job = arg;
    size_t n = job->grid->offsets, heads = job->fc2->out;
    float *hidden = job->room + worker * position_bias_room(job->grid, heads),
          *bias = hidden + n * CPB_HIDDEN;
    for (size_t col = 0; col < n; col++)
        job->kernels->affine2_relu(hidden + col * CPB_HIDDEN, job->grid->coordinate[row],
                                   job->grid->coordinate[col], job->w_row, job->w_col, job->fc1_bias,
                                   CPB_HIDDEN);
    linear_call fc2 = {job->fc2, {hidden, CPB_HIDDEN * sizeof *hidden}, bias, heads, n, false};
    linear_columns(&fc2, 0, heads, job->kernels);
    for (size_t head = 0; head < heads; head++)
        for (size_t col = 0; col < n; col++)
            job->table[(head * n + row) * n + col] = bias[col * heads + head];
}

size_t position_bias_room(const position_grid *grid, size_t heads)
{
    return grid->offsets * (CPB_HIDDEN + heads);
}

void position_bias_compute(float *table, const position_grid *grid, const float *fc1_weight,
                           const float *fc1_bias, const linear *fc2, const kernels *k, team *t, float *room)
{
    float columns[2 * CPB_HIDDEN];
    transpose(columns, fc1_weight, CPB_HIDDEN, 2);
    bias_job job = {table, grid, columns, columns + CPB_HIDDEN, fc1_bias, fc2, k, room};
    parallel_for(t, grid->offsets, bias_row, &job);
}

const float *position_bias_bind(binder *b, const position_grid *grid, size_t heads)
{
    const float *weight = bind_tensor(b, "cpb_fc1", ".weight", SHAPE(CPB_HIDDEN, 2));
    const float *bias = bind_tensor(b, "cpb_fc1", ".bias", SHAPE(CPB_HIDDEN));
    linear fc2 = bind_linear(b, "cpb_fc2", bind_gemm(b, PART_EXACT, 0), SHAPE(heads, CPB_HIDDEN));
    float *table = bind_floats(b, heads * grid->offsets * grid->offsets + BIAS_MARGIN);
    float *room = bind_temporary(b, parallel_size(bind_team(b)) * position_bias_room(grid, heads));
    if (bind_reads(b))
        position_bias_compute(table, grid, weight, bias, &fc2, bind_kernels(b), bind_team(b), room);
    free(room);
    return table;
}

/* position_bias.h - continuous position bias (spec 2; TransNeXt, "log-spaced continuous position bias").
 *
 * The bias of a query and a key depends on their row offset and their column offset alone. Both axes have the
 * same offsets: one list of distinct ones serves both, and a table (heads, offsets, offsets) holds all. */
#ifndef MOHVIT_POSITION_BIAS_H
#define MOHVIT_POSITION_BIAS_H

#include "vit/network/bind.h"

#define CPB_HIDDEN 512

/* Offsets of a stage: the same for all of its blocks. */
typedef struct position_grid {
    size_t side, key_side; /* Q and K */
    size_t offsets;        /* how many distinct q − k there are */
    float *coordinate;     /* (offsets): sign(r)·log2(|r| + 1)/3 of each; owned */
    bool steady;           /* offset of (q, k) = that of (0, k) + q */
    int32_t *offset;       /* (Q, K): which of them query row q and key row k have; owned */
} position_grid;

/* Queries at 0 … side−1; keys at their adaptive average pool to key_side. pretrain_side is spec 2's S. */
mohvit_status position_grid_create(position_grid *grid, size_t side, size_t key_side, size_t pretrain_side,
                                   mohvit_error *err);
void position_grid_free(position_grid *grid);

/* What a block's position bias is made from, in the order of the state_dict: cpb_fc1, cpb_fc2. Gives its
 * table (heads, offsets, offsets); whoever hands it to the attention kernels has BIAS_MARGIN more floats
 * behind it: they read whole vectors past the last row (kernels.h). */
const float *position_bias_bind(binder *b, const position_grid *grid, size_t heads);

/* table = cpb_fc2(ReLU(cpb_fc1(row, column))) for every pair of distinct offsets. fc1_weight (512, 2),
 * fc1_bias (512); fc2 a linear 512 → heads; room: position_bias_room floats for each thread. */
void position_bias_compute(float *table, const position_grid *grid, const float *fc1_weight,
                           const float *fc1_bias, const linear *fc2, const kernels *k, team *t, float *room);
size_t position_bias_room(const position_grid *grid, size_t heads);

#endif

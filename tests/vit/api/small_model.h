/* small_model.h - a small config with stages that route all, some and none of their heads. */
#ifndef MOHVIT_SMALL_MODEL_H
#define MOHVIT_SMALL_MODEL_H

#include "vit/network/config.h"

#define CLASSES 50
#define BLOCKS  5
#define PIXELS  (3 * 64 * 64)

static const config small = {.embed_dims = {24, 48, 72, 192},
                             .num_heads = {1, 4, 6, 8},
                             .depths = {1, 2, 1, 1},
                             .mlp_ratios = {4, 4, 4, 4},
                             .sr_ratios = {4, 2, 2, 1},
                             .shared_head = {1, 0, 2, 3},
                             .routed_head = {0, 2, 3, 1},
                             .num_classes = CLASSES,
                             .img_size = 64,
                             .pretrain_size = 64};

#endif

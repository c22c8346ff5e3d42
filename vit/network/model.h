/* model.h - the network with its weights: bound to a config and packed once, immutable afterwards, shared by
 * threads. */
#ifndef MOHVIT_MODEL_H
#define MOHVIT_MODEL_H

#include "vit/network/attention.h"
#include "vit/network/config.h"
#include "vit/network/conv_glu.h"
#include "vit/network/patch_embed.h"

#include <stdatomic.h>

typedef struct block {
    norm norm1, norm2; /* eps 1e-6 */
    attention attention;
    conv_glu mlp;
} block;

typedef struct stage {
    patch_embed embed;
    block *blocks;
    size_t depth;
    norm norm; /* eps 1e-6 */
    position_grid grid;
} stage;

/* Arrays that models share: those made by model_reroute, and the one that they were made from. */
typedef struct model_memory {
    atomic_size_t users;
    void **chunks; /* that the arrays lie in */
    size_t count, capacity;
} model_memory;

typedef struct model {
    config config;
    const kernels *kernels;
    precision precision;
    const gemm *
        gemms[PRECISIONS]; /* one backend's, for the precisions that the layers take; [F32] is always there */
    stage stages[STAGES];
    linear head;
    size_t parameters;
    model_memory *memory; /* every array above but the blocks and the grids */
} model;

/* Where tensors come from: a checkpoint, or the synthetic weights. read fills dst (spec->elements) in
 * row-major order. */
typedef struct weight_source {
    void *state;
    mohvit_status (*read)(void *state, const tensor_spec *spec, float *dst, mohvit_error *err);
    mohvit_progress *progress; /* told how many parameters of all have been read; may be NULL */
    void *user;                /* handed to progress */
} weight_source;

/* Reads every tensor of the config from source, in the order of config_tensors. backend and precision as
 * gemm_choose takes them. *out is set on success alone. */
mohvit_status model_create(model **out, const config *c, const weight_source *source, const char *backend,
                           const char *precision, size_t threads, mohvit_error *err);
/* A model with base's weights whose tokens pick as many heads as c says; c must differ in nothing else.
 * Either may be destroyed first. */
mohvit_status model_reroute(model **out, const model *base, const config *c, mohvit_error *err);

void model_destroy(model *m);

/* Sees the tokens x (N, C) that leave a block; stages and blocks count from 0. */
typedef void block_trace(void *user, size_t stage, size_t block, const float *x, size_t N, size_t C);

/* Sees what a block's router chose for each token: gate (N, heads), exactly 0 where pick (N, heads) is 0. */
typedef void route_trace(void *user, size_t stage, size_t block, const float *gate, const uint8_t *pick,
                         size_t N, size_t heads);

/* What a forward pass reports of one image; pointers owned by the caller. */
typedef struct forward_result {
    float *logits; /* (num_classes) */
    /* (blocks, max_heads): tokens that selected each head; −1 where a block has fewer. NULL: heads are not
     * counted. */
    int32_t *head_tokens;
    double *gate_sum; /* (blocks, max_heads) */
    /* Called after each block, unless NULL. */
    block_trace *trace;
    route_trace *routes;
    void *user;
    /* The same, with step_user; false ends the pass there, and nothing it wrote means anything. */
    bool (*step)(void *step_user);
    void *step_user;
} forward_result;

/* input (img_size, img_size, 3), normalised. Allocates nothing. */
void model_forward(const model *m, const pass *p, const float *input, const forward_result *result);

#endif

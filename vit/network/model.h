/* model.h - the network with its weights: bound to a config, packed once, immutable, shared by threads. */
#ifndef MOHVIT_MODEL_H
#define MOHVIT_MODEL_H

#include "vit/network/block.h"
#include "vit/network/patch_embed.h"

typedef struct stage {
    patch_embed embed;
    block *blocks; /* (depth), of one piece for all stages */
    size_t depth;
    norm norm;
    position_grid grid;
} stage;

typedef struct model {
    config config;
    numerics numerics;
    stage stages[STAGES];
    linear head;
    size_t parameters;
    weight_memory *memory; /* every array above but the blocks and the grids; NULL: no weights */
} model;

/* Reads every tensor of the config from source, in the order of model_tensors. backend as gemm_choose
 * takes it. *out is set on success alone. */
mohvit_status model_create(model **out, const config *c, const weight_source *source, const char *backend,
                           precision wanted, size_t threads, mohvit_error *err);
/* A model with base's weights whose tokens pick as many heads as c says; c must differ in nothing else.
 * Either may be destroyed first. */
mohvit_status model_reroute(model **out, const model *base, const config *c, mohvit_error *err);

void model_destroy(model *m);

/* ---- What follows from a config alone -------------------------------------------------------- */

/* Every tensor of a state_dict, in its order (spec 3). *out is set on success alone; free with
 * tensor_list_free. */
mohvit_status model_tensors(tensor_list *out, const config *c, mohvit_error *err);

/* Multiply-adds of one image by a model that was created so. */
mohvit_status model_cost(cost *out, const config *c, const char *backend, precision wanted,
                         mohvit_error *err);

/* ---- Forward --------------------------------------------------------------------------------- */

/* Sees the tokens x (N, C) that leave a block; stages and blocks count from 0. */
typedef void block_trace(void *user, size_t stage, size_t block, const float *x, size_t N, size_t C);

/* Sees what a block's router chose for N tokens. */
typedef void route_trace(void *user, size_t stage, size_t block, const router *r, const selection *chosen,
                         size_t N);

/* What a forward pass reports of one image; pointers owned by the caller. */
typedef struct forward_result {
    float *features; /* (C) of the last stage: what the classifier scores */
    float *logits;   /* (num_classes) */
    /* (blocks, max_heads): tokens that selected each head; −1 where a block has fewer. NULL: not wanted. */
    int32_t *head_tokens;
    double *gate_sum;  /* (blocks, max_heads); NULL where head_tokens is */
    int32_t *together; /* of each block (heads, heads): tokens that selected both. NULL: not wanted */
    float *gates;      /* of each block (tokens, heads), 0 where not selected. NULL: not wanted */
    float *inputs;     /* of each block (tokens, channels): the tokens that enter it. NULL: not wanted */
    float *outputs;    /* of each block (tokens, channels), as trace sees them. NULL: not wanted */
    /* Called after each block, unless NULL, in this order. */
    route_trace *routes;
    void *routes_user;
    block_trace *trace;
    void *trace_user;
    bool (*step)(void *step_user); /* false ends the pass there, and nothing it wrote means anything */
    void *step_user;
} forward_result;

/* input (img_size, img_size, 3), normalised. Allocates nothing. */
void model_forward(const model *m, const pass *p, const float *input, const forward_result *result);

/* The rest of a pass, from block `first` of all stages on, with the tokens that entered it. Nothing is
 * reported of the blocks before; together, gates and inputs are not to be wanted. A pass that differs in
 * nothing before `first` ends with the same bits. */
void model_resume(const model *m, const pass *p, size_t first, const float *tokens,
                  const forward_result *result);

/* Floats of forward_result.inputs for the first `blocks` blocks. */
size_t model_inputs(const model *m, size_t blocks);

/* A scratch for passes of up to so many threads, whatever they leave out. */
mohvit_status model_scratch(const model *m, scratch *s, size_t threads, mohvit_error *err);

/* What an image costs; *s becomes a scratch that has measured. The model needs no weights. */
cost model_measure(const model *m, scratch *s);

#endif

/* internal.h - what the program and the tests need of the façade beyond the public API. */
#ifndef MOHVIT_INTERNAL_H
#define MOHVIT_INTERNAL_H

#include "vit/api/description.h"
#include "vit/headload/routing_layout.h"

#define CONTEXT_MAX_BATCH 4096

/* mohvit_open with a config at hand in place of the checkpoint's, unless it is NULL. The weights are not
 * hashed: 200 MB take 0.1 s on Zen 3, which only those pay who ask for the provenance. */
mohvit_status mohvit_open_with_config(mohvit_model **model, const char *path, const config *c,
                                      const mohvit_options *options, mohvit_error *err);

/* mohvit_open_synthetic for a config at hand, which options->img_size may still resize. */
mohvit_status mohvit_open_config(mohvit_model **model, const config *c, uint64_t seed,
                                 const mohvit_options *options, mohvit_error *err);

const description *mohvit_describe(const mohvit_model *model);
const model *mohvit_network(const mohvit_model *model);
const routing_layout *mohvit_routing(const mohvit_model *model);
head_drops mohvit_drops(const mohvit_model *model); /* of mohvit_drop_heads */

/* mohvit_head_load_create for pictures that were treated so. */
mohvit_status head_load_create_of(mohvit_head_load **out, const mohvit_model *m, const preprocess *p,
                                  bool exif_orientation, mohvit_error *err);

/* Fills *out, whose size is set, as mohvit_get_block does. */
mohvit_status block_of_layout(mohvit_block *out, const routing_layout *l, size_t index, mohvit_error *err);

/* How a context works from the next call on. A run with routes takes images one by one. With `from` it takes
 * up each slot's image at block `first`, with what an earlier run of a model of the same weights has left in
 * its `inputs`: (batch, mohvit_inputs). */
typedef struct context_settings {
    preprocess preprocess; /* of the mohvit_load_* calls */
    route_trace *routes;   /* called after each block with what its router chose */
    void *routes_user;
    bool all_heads, products_only; /* as in pass.h */
    head_drops drops;              /* the model's, unless told otherwise */
    float *inputs;                 /* where what enters each block is to be left; NULL: nowhere */
    const float *from;
    size_t first;
    /* True unless told otherwise, for measuring what that costs. Without, head tokens, gate sums and what
     * heads have in common stay those of the last run that did. */
    bool counts_heads;
    double team_macs; /* multiply-adds of a run that are worth a team */
} context_settings;

/* Floats of an image's `inputs`. */
size_t mohvit_inputs(const mohvit_model *model);

context_settings *mohvit_settings(mohvit_context *ctx);

/* (img_size, img_size, 3): what the last mohvit_load_* call cut out of its picture; until the next call. */
const uint8_t *mohvit_last_crop(const mohvit_context *ctx);

/* The input of a slot, (img_size, img_size, 3), to be filled directly. */
float *mohvit_slot_input(mohvit_context *ctx, size_t slot);

/* Of each block (heads, heads): the tokens of a slot's image that selected both heads; as long as
 * mohvit_head_tokens. */
const int32_t *mohvit_together(const mohvit_context *ctx, size_t slot);

/* Nanoseconds of each operation since the last call. Images that run side by side count each on its own. */
void mohvit_take_profile(mohvit_context *ctx, uint64_t ns[OPERATIONS]);

/* (token, head) pairs whose attention the context has computed since it was created. */
size_t mohvit_computed_pairs(const mohvit_context *ctx);

#endif

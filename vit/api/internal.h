/* internal.h - what the program and the tests need of the façade beyond the public API. */
#ifndef MOHVIT_INTERNAL_H
#define MOHVIT_INTERNAL_H

#include "vit/api/description.h"
#include "vit/headload/routing_layout.h"

#define CONTEXT_MAX_BATCH 4096

/* mohvit_open with a config at hand in place of the checkpoint's. */
mohvit_status mohvit_open_with_config(mohvit_model **model, const char *path, const config *c,
                                      const mohvit_options *options, mohvit_error *err);

/* mohvit_open_synthetic for a config at hand, which options->img_size may still resize. */
mohvit_status mohvit_open_config(mohvit_model **model, const config *c, uint64_t seed,
                                 const mohvit_options *options, mohvit_error *err);

const description *mohvit_describe(const mohvit_model *model);
const model *mohvit_network(const mohvit_model *model);
const routing_layout *mohvit_routing(const mohvit_model *model);

/* Has the mohvit_load_* calls that follow preprocess like this in place of as the model says; borrowed. NULL
 * restores that. */
void mohvit_set_preprocess(mohvit_context *ctx, const preprocess *p);

/* (img_size, img_size, 3): what the last of these calls cut out of its picture. The context's, and valid
 * until the next one. */
const uint8_t *mohvit_last_crop(const mohvit_context *ctx);

/* The input of a slot, (img_size, img_size, 3), to be filled directly. */
float *mohvit_slot_input(mohvit_context *ctx, size_t slot);

/* Calls trace after each block of the images that later runs compute; a run with a trace takes images one by
 * one. */
void mohvit_set_trace(mohvit_context *ctx, block_trace *trace, void *user);

/* How later runs compute (pass.h): every head, as if none were skipped; the matrix products alone. */
void mohvit_set_all_heads(mohvit_context *ctx, bool all_heads);
void mohvit_set_products_only(mohvit_context *ctx, bool products_only);

/* Nanoseconds of each operation since the last call. Images that run side by side count each on its own. */
void mohvit_take_profile(mohvit_context *ctx, uint64_t ns[OPERATIONS]);

/* The same with what each block's router chose. user is that of both. */
void mohvit_set_route_trace(mohvit_context *ctx, route_trace *trace, void *user);

/* Whether runs count heads, as they do unless told otherwise: for measuring what that costs. Without, head
 * tokens and gate sums stay those of the last run that did. */
void mohvit_count_heads(mohvit_context *ctx, bool on);

/* (token, head) pairs whose attention the context has computed since it was created. */
size_t mohvit_computed_pairs(const mohvit_context *ctx);

#endif

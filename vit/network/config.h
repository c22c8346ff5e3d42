/* config.h - what a MoH-ViT is made of (spec 1). */
#ifndef MOHVIT_CONFIG_H
#define MOHVIT_CONFIG_H

#include "vit/headload/routing_layout.h"

#define STAGES 4

/* Largest values accepted from a file: far above any published model, but no product of them overflows. */
#define CONFIG_MAX_DIM       8192
#define CONFIG_MAX_HEADS     256
#define CONFIG_MAX_DEPTH     512
#define CONFIG_MAX_MLP_RATIO 64
#define CONFIG_MAX_SR_RATIO  64
#define CONFIG_MAX_CLASSES   1000000
#define CONFIG_MIN_SIZE      64
#define CONFIG_MAX_SIZE      2048
#define CONFIG_MAX_NAME      63
#define CONFIG_MAX_JSON      ((size_t)64 << 10)
/* Floats of the weights, of the position tables of all blocks, and of the scratch that one image takes;
 * models know the first and the last (model.c). The published models need a thousandth of the last two at 224
 * pixels and a twentieth at 2048. Where addresses have 32 bits, each may take a quarter of them. */
#if SIZE_MAX > UINT32_MAX
#define CONFIG_MAX_PARAMETERS  ((size_t)1 << 31)
#define CONFIG_MAX_TABLES      ((size_t)1 << 30)
#define CONFIG_MAX_ACTIVATIONS ((size_t)1 << 32)
#else
#define CONFIG_MAX_PARAMETERS  ((size_t)1 << 28)
#define CONFIG_MAX_TABLES      ((size_t)1 << 28)
#define CONFIG_MAX_ACTIVATIONS ((size_t)1 << 28)
#endif

typedef struct config {
    size_t embed_dims[STAGES];
    size_t num_heads[STAGES];
    size_t depths[STAGES];
    double mlp_ratios[STAGES];
    size_t sr_ratios[STAGES];
    size_t shared_head[STAGES]; /* heads that are always on; in a dense config all of them */
    size_t routed_head[STAGES]; /* of the others, how many each token picks; in a dense config 0 */
    size_t num_classes;
    size_t img_size;
    size_t pretrain_size;
    size_t fixed_pool_size;         /* 0: none */
    char name[CONFIG_MAX_NAME + 1]; /* what its maker calls it; "": nothing */
    bool dense;
} config;

/* ---- Where a config comes from --------------------------------------------------------------- */

/* The nine published variants, in the order of spec 1; NULL past the end. */
const char *config_variant_name(size_t index);

/* false if there is no variant of this name. */
bool config_variant(config *out, const char *name);

/* Published name of a config that differs from it in nothing but classes, sizes and how many heads a token
 * picks, else its own name, else "custom". */
const char *config_name(const config *c);

/* Makes each token pick another number of heads than in training: "K" of them, all in a stage that routes
 * fewer, or "P%", at least 1. Stages without routing stay; an error where no stage routes K. */
mohvit_status config_set_routed(config *c, const char *routed_heads, mohvit_error *err);

/* Reads and validates the JSON of spec 1; unknown keys are errors. name, of a file, begins messages. */
mohvit_status config_from_json(config *out, const char *json, size_t length, const char *name,
                               mohvit_error *err);

/* JSON that config_from_json reads back, as a value and as malloc'd text; NULL without memory. */
json_t *config_json(const config *c);
char *config_to_json(const config *c);

/* Checks spec 1's rules and the maxima above but those of parameters and activations. */
mohvit_status config_validate(const config *c, const char *name, mohvit_error *err);

/* ---- What follows from it -------------------------------------------------------------------- */

/* s counts stages from 0. */
size_t config_side(const config *c, size_t s);   /* side of the stage's square token map */
size_t config_hidden(const config *c, size_t s); /* width of one half of the gated MLP */
size_t config_pool(const config *c, size_t s);   /* side of the pooled map; 0 where attention is global */
bool config_global(const config *c, size_t s);   /* sr = 1: every token attends to every token */
size_t config_widest(const config *c);           /* floats of the widest stage's tokens */
size_t config_blocks(const config *c);
size_t config_max_heads(const config *c);
size_t config_candidates(const config *c, size_t s); /* heads that the router chooses among */
/* Heads that are on for a token: shared + routed. */
size_t config_active_heads(const config *c, size_t s);
double config_active_percent(const config *c);

/* What head load knows of a model. *out is set on success alone; free with routing_layout_free. */
mohvit_status config_routing(routing_layout *out, const config *c, mohvit_error *err);

/* The same from a config's JSON (layout_of_config), for head loads and states that have no layout. */
mohvit_status config_routing_from_json(routing_layout *out, const json_t *json, const char *name,
                                       mohvit_error *err);

#endif

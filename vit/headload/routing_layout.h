/* routing_layout.h - the heads of a model, block by block, and how many of them a token selects: all that
 * head load knows of a model. The network makes it. */
#ifndef MOHVIT_ROUTING_LAYOUT_H
#define MOHVIT_ROUTING_LAYOUT_H

#include "base/error.h"

#include <jansson.h>

/* Largest values accepted from a file. */
#define ROUTING_MAX_BLOCKS 4096
#define ROUTING_MAX_HEADS  256
#define ROUTING_MAX_TOKENS ((size_t)1 << 18)

/* What names of models and blocks are made of: they are printed as they are. */
#define ROUTING_NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."

typedef struct routing_block {
    char name[24];       /* for people: "4.2" is block 2 of stage 4 */
    size_t index;        /* over all stages, from 0 */
    size_t stage, block; /* stage from 1, block in it from 0 */
    size_t heads;
    size_t shared; /* heads that are always on, the first ones; all of them where routed is 0 */
    size_t routed; /* heads that each token selects of the others */
    size_t tokens; /* of one image */
} routing_block;

typedef struct routing_layout {
    char model[64];        /* the model's name, for people */
    routing_block *blocks; /* (count), owned: routing_layout_free */
    size_t count, capacity;
    size_t max_heads; /* of the widest block */
} routing_layout;

/* Heads that the block's router selects from. */
static inline size_t routing_candidates(const routing_block *b)
{
    return b->heads - b->shared;
}

/* Whether its router chooses: not where a token takes all candidates, or there are none. */
static inline bool routing_routes(const routing_block *b)
{
    return b->routed && b->routed < routing_candidates(b);
}

/* Load of a routed head if all had the same; 0 where none is routed. */
static inline double routing_balanced(const routing_block *b)
{
    return b->routed ? (double)b->routed / (double)routing_candidates(b) : 0;
}

/* What people call a head: "s1" for the first shared one, "r1" for the first routed one. */
#define ROUTING_HEAD_NAME 24
void routing_head_name(char out[ROUTING_HEAD_NAME], const routing_block *b, size_t head);

/* (token, head) pairs of one image in the first `count` blocks, selected or not. */
size_t routing_pairs(const routing_layout *l, size_t count);

/* (head, head) pairs of the first `count` blocks. */
size_t routing_head_pairs(const routing_layout *l, size_t count);

/* Appends a block, of which index is set here. The layout may be {0}. */
mohvit_status routing_layout_add(routing_layout *l, const routing_block *block, mohvit_error *err);
mohvit_status routing_layout_copy(routing_layout *out, const routing_layout *from, mohvit_error *err);
void routing_layout_free(routing_layout *l);

/* Whether all blocks are the same, whatever the models are called. */
bool routing_layout_equal(const routing_layout *a, const routing_layout *b);

/* NULL where there is none. */
const routing_block *routing_layout_find(const routing_layout *l, const char *name);
const routing_block *routing_layout_last_routed(const routing_layout *l); /* that routes */

/* Heads that are on for a token, of all heads. */
double routing_layout_active_percent(const routing_layout *l);

/* {"model": "...", "blocks": [{"name", "stage", "block", "heads", "shared", "routed", "tokens"}, ...]}; NULL
 * without memory. */
json_t *routing_layout_to_json(const routing_layout *l);

/* Makes a layout from a config, which is all that files of 0.1 have. name begins the message. */
typedef mohvit_status layout_of_config(routing_layout *out, const json_t *config, const char *name,
                                       mohvit_error *err);

/* From the JSON in a file, or, where that is NULL, from the config in it; of_config NULL: needs the layout.
 * *out is set on success alone. */
mohvit_status routing_layout_read(routing_layout *out, const json_t *layout, const json_t *config,
                                  layout_of_config *of_config, const char *name, mohvit_error *err);

#endif

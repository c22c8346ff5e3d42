/* texts.h - what a model is and how it computes, as JSON. */
#ifndef MOHVIT_TEXTS_H
#define MOHVIT_TEXTS_H

#include "vit/api/description.h"

#include <jansson.h>

typedef struct texts {
    char *config, *preprocess, *provenance; /* malloc'd */
} texts;

/* *out is all NULL after a failure; free with texts_free. */
mohvit_status texts_create(texts *out, const description *d, const model *network, mohvit_error *err);
void texts_free(texts *t);

/* {version, variant, config}: a published variant is given by name, and config is there where the name does
 * not say everything. NULL without memory. */
json_t *provenance_of_config(const config *c);

/* The same with {active_heads_percent, backend, precision, instruction_set, kernels}, with weights_hash where
 * it is known, synthetic_seed where the weights are those of a seed, and dropped_heads and renormalise where
 * heads are dropped. */
json_t *provenance_of_model(const description *d, const model *network);

/* Adds what pictures went through: {preprocess}, and exif_orientation where they are turned, so that what was
 * written before there was the option says the same. False without memory. */
bool provenance_add_pictures(json_t *provenance, const preprocess *p, bool exif_orientation);

/* Adds {dropped_heads, renormalise} where heads are dropped. False without memory. */
bool provenance_add_drops(json_t *provenance, const description *d);

#endif

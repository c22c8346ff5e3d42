/* description.h - what a checkpoint is, and whether its tensors fit: read before any weight is. */
#ifndef MOHVIT_DESCRIPTION_H
#define MOHVIT_DESCRIPTION_H

#include "imgio/preprocess.h"
#include "vit/mohvit.h"
#include "vit/network/model.h"
#include "weights/checkpoint.h"
#include "weights/labels.h"
#include "weights/weights_hash.h"

/* What a checkpoint is, before any weight is read. */
typedef struct description {
    config config;
    preprocess preprocess;
    labels labels;      /* one for each class */
    char synthetic[24]; /* the seed of test weights, or "unknown"; "": weights of a training */
    /* What the weights are, once they are read (weights_hash.h), or "synthetic:" and a seed; "": not known.
     */
    char weights_hash[WEIGHTS_HASH_SIZE];
    char *dropped_heads; /* of mohvit_drop_heads, as head_list_text writes them; owned; NULL: none */
    bool renormalise;
} description;

/* From the checkpoint's metadata and tensor shapes, with what options replace; given, where not NULL, is its
 * config. Warnings say what had to be assumed. *out is set on success alone; free with description_free. */
mohvit_status description_read(description *out, checkpoint *cp, const config *given,
                               const mohvit_options *options, mohvit_error *err);
/* The same for a config at hand, with what options replace. */
mohvit_status description_of_config(description *out, const config *c, const mohvit_options *options,
                                    mohvit_error *err);

void description_free(description *d);

/* The config that mohvit_open_synthetic takes: options->config's, else the variant's. */
mohvit_status synthetic_config(config *out, const char *variant, const mohvit_options *options,
                               mohvit_error *err);

/* A tensor of the network as a file of this type has it. The name is the spec's own. */
tensor_info tensor_of_spec(const tensor_spec *spec, tensor_dtype dtype);

/* Reads tensors of a checkpoint, which checkpoint_check has passed, as a model asks for them; non-finite
 * values are warned about. Give checkpoint_source's result to model_create. */
typedef struct checkpoint_reader {
    checkpoint *cp;
    warning_sink warn;
    size_t nonfinite; /* tensors warned about */
} checkpoint_reader;

weight_source checkpoint_source(checkpoint_reader *reader);

/* Checks that every tensor of the config is in the checkpoint with its shape, and warns of others. */
mohvit_status checkpoint_check(checkpoint *cp, const config *c, const warning_sink *warn, mohvit_error *err);
/* The same of any list; name is what messages call the model. Sorts the list by name. */
mohvit_status checkpoint_check_tensors(checkpoint *cp, tensor_list *list, const char *name,
                                       const warning_sink *warn, mohvit_error *err);

/* Where the options want warnings sent. */
warning_sink options_sink(const mohvit_options *options);

#endif

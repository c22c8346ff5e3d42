/* ablation.h - each image once more for every head, without that head: what does its absence cost? The blocks
 * before the head's are run once for an image; what entered each block is kept, and every further pass begins
 * there (model_resume). */
#ifndef MOHVIT_ABLATION_H
#define MOHVIT_ABLATION_H

#include "eval/score.h"
#include "vit/api/internal.h"

#define ABLATION_TOGETHER SIZE_MAX /* in place of a head: all of the block that are named */

typedef struct ablation_pass {
    size_t block, head; /* the head of this block that is dropped, or ABLATION_TOGETHER */
} ablation_pass;

/* What is dropped in turn. */
typedef struct ablation {
    const mohvit_model *model; /* whose own dropped heads stay dropped in every pass */
    uint8_t *named;            /* (blocks, max_heads) the heads that are looked at; owned */
    bool renormalise;
    ablation_pass *passes; /* (count), by rising block; owned */
    size_t count;
} ablation;

/* heads as in head_list.h; NULL: all. together: a pass for each block with named heads, in place of one for
 * each head. option begins messages. Free with ablation_free, also on failure. */
mohvit_status ablation_create(ablation *a, const mohvit_model *of, const char *heads, const char *option,
                              bool together, bool renormalise, mohvit_error *err);
void ablation_free(ablation *a);

/* The list of heads that a pass drops: malloc'd; NULL without memory. */
char *ablation_pass_text(const ablation *a, size_t index);

/* ---- Running --------------------------------------------------------------------------------- */

/* What runs the passes of an image, on one thread. */
typedef struct ablator {
    const ablation *ablation;
    mohvit_context *rest; /* of the passes */
    float *inputs;        /* of the image's own run */
    uint8_t *dropped;     /* (blocks, max_heads) */
} ablator;

/* For images that `whole`, a context of ablation.model for one image, runs. Free with ablator_free, before
 * that context and also on failure. */
mohvit_status ablator_create(ablator *to, const ablation *a, mohvit_context *whole, mohvit_error *err);
void ablator_free(ablator *a);

/* What an image that `whole` has just run scores in each pass: out (count). */
mohvit_status ablator_run(ablator *a, score *out, const score_rules *rules, mohvit_error *err);

/* Seconds that an image takes one thread: its own run, and all its passes. Measured. */
mohvit_status ablation_time(const ablation *a, double *own, double *passes, mohvit_error *err);

#endif

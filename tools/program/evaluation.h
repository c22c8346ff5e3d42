/* evaluation.h - from a command line to a journal of results: for every command that runs a data set through
 * a network, alone or as one of several ranks. It prints what goes wrong and how far it is; results are its
 * callers' business. */
#ifndef MOHVIT_EVALUATION_H
#define MOHVIT_EVALUATION_H

#include "eval/ablation_record.h"
#include "eval/certainty_record.h"
#include "eval/head_load_record.h"
#include "eval/journal.h"
#include "eval/pipeline.h"
#include "eval/ranks.h"
#include "eval/vector_record.h"
#include "tools/program/evaluation_options.h"
#include "tools/program/progress.h"

#include <pthread.h>

/* Between its opening and its end: what it runs, and how far it is. */
typedef struct evaluation {
    const evaluation_options *o;
    head_load_record load;
    vector_record vectors[VECTOR_KINDS];
    chunk_section sections[PIPELINE_MAX_SECTIONS]; /* of these, as far as they are asked for */
    int threads;
    model_source source;
    mohvit_model *models[EVALUATION_MAX_TOP_KS]; /* (top_ks) */
    size_t top_ks;
    ablation ablation;   /* where the options want one */
    certainty certainty; /* likewise */
    class_table *classes;
    bool *competes; /* of --subset, or NULL */
    preprocess preprocess;
    dataset *data;
    json_t *header;
    ranks *ranks; /* NULL: alone */
    char rank_name[128];
    journal *journal; /* NULL on ranks other than 0 */

    /* The run. */
    pthread_mutex_t lock; /* of the rest */
    size_t first, end;    /* chunks of the shard */
    size_t next;          /* from which on chunks may still be handed out */
    size_t images;        /* of the shard */
    progress progress;
    double rate;    /* images/s of this run; 0 where it had nothing to do */
    bool stopped;   /* before it was complete */
    size_t dropped; /* images that failed in chunks which were not finished then */
    bool broken;    /* by something other than a picture: a full disk, no memory, data that are gone */
} evaluation;

/* Rank 0 speaks for all; the others speak only of what fails. */
static inline bool evaluation_speaks(const evaluation *e)
{
    return !e->ranks || !ranks_index(e->ranks);
}

/* Prints what there is to print from e->journal, and returns the exit status. */
typedef int evaluation_finisher(const void *user, const evaluation *e);

/* The rest of a command whose options are `parsed`: takes its arguments, opens everything, runs what is
 * missing and, where that went well, has one process finish: the only one, or rank 0, which alone looks at
 * the outputs. Frees the options. Returns the exit status of this process. */
int evaluation_command(evaluation_options *o, int parsed, int argc, char **argv, evaluation_finisher *finish,
                       const void *user);

/* In steps: ranks, models, data and state. PARSED, or the exit status to leave with after evaluation_end. */
int evaluation_begin(evaluation *e, const evaluation_options *o);

/* Frees all; other ranks are waited for. Returns the exit status of this process. */
int evaluation_end(evaluation *e, int status);

/* What an evaluation of open models and data is, written at the head of its state (eval/header.h). The
 * caller's. */
json_t *evaluation_header(const evaluation *e);

/* How many images a chunk has: CHUNK_IMAGES, or fewer in the last. */
size_t evaluation_chunk_images(const evaluation *e, size_t chunk);

/* What that calls the section with the head load; NULL where there is none. */
const char *evaluation_load_name(const evaluation *e);

/* Length of an image's features or logits, or places of its heads. */
size_t evaluation_vector_width(const evaluation *e, vector_kind kind);

#endif

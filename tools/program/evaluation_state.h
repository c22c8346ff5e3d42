/* evaluation_state.h - an evaluation between its opening and its end: what it runs, and how far it is. */
#ifndef MOHVIT_EVALUATION_STATE_H
#define MOHVIT_EVALUATION_STATE_H

#include "eval/head_load_record.h"
#include "eval/journal.h"
#include "eval/pipeline.h"
#include "eval/ranks.h"
#include "tools/program/evaluation_options.h"
#include "tools/program/progress.h"

#include <pthread.h>

typedef struct evaluation {
    const evaluation_options *o;
    head_load_record load;
    chunk_section section; /* of its counts */
    int threads;
    model_source source;
    mohvit_model *models[EVALUATION_MAX_TOP_KS]; /* (top_ks) */
    size_t top_ks;
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
    double rate;  /* images/s of this run; 0 where it had nothing to do */
    bool stopped; /* before it was complete */
    bool broken;  /* by something other than pictures: a full disk, no memory */
} evaluation;

/* Rank 0 speaks for all; the others speak only of what fails. */
static inline bool evaluation_speaks(const evaluation *e)
{
    return !e->ranks || !ranks_index(e->ranks);
}

#endif

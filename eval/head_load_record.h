/* head_load_record.h - head load in the records of an evaluation: a section with the counts of the classes of
 * a chunk, so that what makes an evaluation resumable, sharded and spread over ranks does the same for its
 * head load. */
#ifndef MOHVIT_HEAD_LOAD_RECORD_H
#define MOHVIT_HEAD_LOAD_RECORD_H

#include "eval/pipeline.h"
#include "eval/totals.h"
#include "vit/headload/head_load.h"

#define SECTION_HEAD_LOAD RECORD_TAG('L', 'O', 'A', 'D')

/* The section's name in a header: images without a class are left out, or go by their predicted one. */
#define HEAD_LOAD_SECTION           "head_load"
#define HEAD_LOAD_SECTION_PREDICTED "head_load_by_prediction"

typedef struct head_load_record {
    const routing_layout *routing; /* of the first model; to be set before the run */
    bool by_prediction;            /* images without a class go by their predicted one */
} head_load_record;

/* For a pipeline; s outlives it. Of several models the first is counted. */
chunk_section head_load_record_section(head_load_record *s);

/* What a set of records counted, as one head load of the model, class names and provenance in their header.
 * shard ("1/4", or NULL) is noted beside the data. Records without the section are an error. of_config (may
 * be NULL) is for a header without "routing". */
mohvit_status head_load_collect(head_load **out, const record_set *s, const char *shard,
                                layout_of_config *of_config, mohvit_error *err);

#endif

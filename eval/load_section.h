/* load_section.h - head load in the records of an evaluation: a section with the counts of the classes of a
 * chunk, so that what makes an evaluation resumable, sharded and spread over ranks does the same for its head
 * load. */
#ifndef MOHVIT_LOAD_SECTION_H
#define MOHVIT_LOAD_SECTION_H

#include "head_load.h"
#include "pipeline.h"
#include "totals.h"

#define SECTION_HEAD_LOAD RECORD_TAG('L', 'O', 'A', 'D')

/* Names of the section in a header: images without a class are left out, or counted under the predicted one.
 */
#define LOAD_SECTION_NAME           "head_load"
#define LOAD_SECTION_NAME_PREDICTED "head_load_by_prediction"

typedef struct load_section {
    const config *config; /* to be set before the run */
    bool by_prediction;   /* images without a class go by their predicted one */
} load_section;

/* For a pipeline; s outlives it. Of several models the first is counted. */
chunk_section load_section_of(load_section *s);

/* What a set of records counted, as one head load with the config, class names and provenance of their
 * header. shard
 * ("1/4", or NULL) is noted beside the data. Records without the section are an error. */
mohvit_status load_section_collect(head_load **out, const record_set *s, const char *shard,
                                   mohvit_error *err);

#endif

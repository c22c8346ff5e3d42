/* vector_record.h - a vector of each image, its features or its logits, in the records of an evaluation: what
 * makes an evaluation resumable, sharded and spread over ranks does the same for them. A section holds
 *
 *     width u32, and of each image that was scored width f32
 *
 * in the order of the images. */
#ifndef MOHVIT_VECTOR_RECORD_H
#define MOHVIT_VECTOR_RECORD_H

#include "eval/journal.h"
#include "eval/pipeline.h"

typedef enum vector_kind { VECTOR_FEATURES, VECTOR_LOGITS, VECTOR_KINDS } vector_kind;

/* "features" or "logits": the section's name in a header, and a tensor's in a file. */
const char *vector_kind_name(vector_kind kind);

typedef struct vector_record {
    vector_kind kind;
    size_t width; /* (features) or (num_classes) of mohvit_info */
} vector_record;

/* For a pipeline; v outlives it. Of several models the first is asked, and none of the others may fail. */
chunk_section vector_record_section(vector_record *v);

/* The vectors of a record that was read from a journal: *rows (images − failures, width) f32, not aligned. An
 * error where there are none of that width. */
mohvit_status vector_record_read(const uint8_t **rows, const vector_record *v, const chunk_record *r,
                                 const journal *source, mohvit_error *err);

#endif

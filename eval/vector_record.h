/* vector_record.h - a vector of each image, its features or its logits, in the records of an evaluation: what
 * makes an evaluation resumable, sharded and spread over ranks does the same for them. A section holds
 *
 *     width u32, and of each image that was scored its place in all of the data u64 and width f32
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

/* The vectors of a record that was read from a journal, for vector_record_next. An error where there are none
 * of that width. */
mohvit_status vector_record_read(byte_reader *rows, const vector_record *v, const chunk_record *r,
                                 const journal *source, mohvit_error *err);

/* The vector of the next image that was scored: (width) f32, not aligned; to be asked images − failures
 * times. *index becomes its place in all of the data. */
const void *vector_record_next(byte_reader *rows, const vector_record *v, uint64_t *index);

#endif

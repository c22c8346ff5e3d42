/* vector_record.h - a vector of each image, its features, its logits or what its heads did, in the records of
 * an evaluation: what makes an evaluation resumable, sharded and spread over ranks does the same for them. A
 * section holds
 *
 *     width u32, and of each image that was scored its place in all of the data u64 and its row
 *
 * in the order of the images. A row is width f32; of heads, with a place for each block and head as in a
 * head load, first the XXH64 of the picture's bytes, u64, then its gate sums, width i64 in the head load's
 * units, and then the tokens that selected each, width i32, −1 where there is no such head. */
#ifndef MOHVIT_VECTOR_RECORD_H
#define MOHVIT_VECTOR_RECORD_H

#include "eval/journal.h"
#include "eval/pipeline.h"

typedef enum vector_kind { VECTOR_FEATURES, VECTOR_LOGITS, VECTOR_HEADS, VECTOR_KINDS } vector_kind;

/* "features", "logits" or "per-image": the section's name in a header, and the option's. */
const char *vector_kind_name(vector_kind kind);

typedef struct vector_record {
    vector_kind kind;
    size_t width; /* (features) or (num_classes) of mohvit_info, or blocks · max_heads of the routing */
    const routing_layout *routing; /* of heads, for a pipeline */
} vector_record;

/* Bytes of a row, of which gates and tokens of heads begin at VECTOR_HEADS_START. */
#define VECTOR_HEADS_START sizeof(uint64_t)
size_t vector_row_size(const vector_record *v);

/* For a pipeline; v outlives it. Of several models the first is asked, and none of the others may fail. */
chunk_section vector_record_section(vector_record *v);

/* The vectors of a record that was read from a journal, for vector_record_next. An error where there are none
 * of that width, or where gates were not finite. */
mohvit_status vector_record_read(byte_reader *rows, const vector_record *v, const chunk_record *r,
                                 const journal *source, mohvit_error *err);

/* The row of the next image that was scored, not aligned; to be asked images − failures times. *index becomes
 * its place in all of the data. */
const void *vector_record_next(byte_reader *rows, const vector_record *v, uint64_t *index);

#endif

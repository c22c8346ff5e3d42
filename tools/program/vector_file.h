/* vector_file.h - the features or logits of pictures, or what their heads did, as a safetensors file, a row
 * for each picture that has an answer: `features` or `logits` (rows, width) F32; or `active` (rows, blocks,
 * max_heads) I32, the tokens that selected each head, −1 where a block has fewer, and `gate` (rows, blocks,
 * max_heads) I64, the sum of its gates in units of 2^-20, as a head load counts them, and `xxh64` (rows),
 * the XXH64 of the picture's bytes (of idx: of its rows as RGB) as I64. `index` (rows) I64 is
 * the place in all of the data from 0, `class` (rows) I64, −1 where there is none, and `names` U8 all names
 * one behind the other, of which row i has the bytes from `name_offsets`[i] to `name_offsets`[i + 1], I64.
 * Names are written as all results write them. Metadata: `features`, `logits` or `per-image` ("1", the
 * version of the format) and `provenance`; of the latter also `routing`, `class_names` and `counted_by`, and
 * the tensor `tokens` (blocks) I64, those of a picture. */
#ifndef MOHVIT_VECTOR_FILE_H
#define MOHVIT_VECTOR_FILE_H

#include "base/bytes.h"
#include "eval/vector_record.h"
#include "weights/safetensors_writer.h"

#include <jansson.h>
#include <stdio.h>

/* What has to be known before the first row. */
typedef struct vector_shape {
    vector_record row; /* of heads with its routing */
    size_t rows;
    size_t name_bytes;    /* of all names */
    const json_t *header; /* of the evaluation; needed by heads alone */
} vector_shape;

enum { VECTOR_MAX_COLUMNS = 8 };

typedef struct vector_file {
    safetensors_writer *writer;
    vector_record row;
    uint64_t name_end;                 /* of the names so far */
    bytes columns[VECTOR_MAX_COLUMNS]; /* what waits to be written */
} vector_file;

/* Begins path, which is made whole or not at all. vector_file_finish must follow, also on failure. */
mohvit_status vector_file_begin(vector_file *f, const char *path, const vector_shape *s,
                                const json_t *provenance, mohvit_error *err);
/* vector is a row as vector_record.h has it, of any alignment. */
mohvit_status vector_file_add(vector_file *f, const void *vector, int64_t index, int64_t class_index,
                              const char *name, mohvit_error *err);
/* Gives the file its name, unless before or anything else has failed. */
mohvit_status vector_file_finish(vector_file *f, mohvit_status before, mohvit_error *err);

/* Rows of features whose number is known behind the last one alone wait in a temporary file without a name.
 */
typedef struct vector_spool {
    FILE *file; /* NULL: not open */
    vector_shape shape;
} vector_spool;

mohvit_status vector_spool_open(vector_spool *s, size_t width, mohvit_error *err);
mohvit_status vector_spool_add(vector_spool *s, const float *vector, uint64_t index, const char *name,
                               mohvit_error *err);
/* Makes the file of all rows, which have no class. */
mohvit_status vector_spool_write(vector_spool *s, const char *path, const json_t *provenance,
                                 mohvit_error *err);
void vector_spool_close(vector_spool *s);

#endif

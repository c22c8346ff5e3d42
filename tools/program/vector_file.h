/* vector_file.h - the features or logits of pictures as a safetensors file, a row for each picture that has
 * an answer: `features` or `logits` (rows, width) F32, `index` (rows) I64, its place in all of the data
 * from 0, `class` (rows) I64, −1 where it has none, and `names` U8, all names one behind the other, of which
 * row i has the bytes from `name_offsets`[i] to `name_offsets`[i + 1], I64. Names are written as all results
 * write them. Metadata: `features` or `logits` ("1", the version of the format) and `provenance`. */
#ifndef MOHVIT_VECTOR_FILE_H
#define MOHVIT_VECTOR_FILE_H

#include "base/bytes.h"
#include "weights/safetensors_writer.h"

#include <jansson.h>
#include <stdio.h>

/* What has to be known before the first row. */
typedef struct vector_shape {
    size_t rows, width;
    size_t name_bytes; /* of all names */
} vector_shape;

enum { VECTOR_COLUMNS = 5 };

typedef struct vector_file {
    safetensors_writer *writer;
    size_t width;
    uint64_t name_end;             /* of the names so far */
    bytes columns[VECTOR_COLUMNS]; /* what waits to be written */
} vector_file;

/* Begins path, which is made whole or not at all; tensor is "features" or "logits". vector_file_finish must
 * follow, also on failure. */
mohvit_status vector_file_begin(vector_file *f, const char *path, const char *tensor, const vector_shape *s,
                                const json_t *provenance, mohvit_error *err);
/* vector (width) f32 of any alignment. */
mohvit_status vector_file_add(vector_file *f, const void *vector, int64_t index, int64_t class_index,
                              const char *name, mohvit_error *err);
/* Gives the file its name, unless before or anything else has failed. */
mohvit_status vector_file_finish(vector_file *f, mohvit_status before, mohvit_error *err);

/* Rows whose number is known behind the last one alone wait in a temporary file without a name. */
typedef struct vector_spool {
    FILE *file; /* NULL: not open */
    vector_shape shape;
} vector_spool;

mohvit_status vector_spool_open(vector_spool *s, size_t width, mohvit_error *err);
mohvit_status vector_spool_add(vector_spool *s, const float *vector, uint64_t index, const char *name,
                               mohvit_error *err);
/* Makes the file of all rows, which have no class. */
mohvit_status vector_spool_write(vector_spool *s, const char *path, const char *tensor,
                                 const json_t *provenance, mohvit_error *err);
void vector_spool_close(vector_spool *s);

#endif

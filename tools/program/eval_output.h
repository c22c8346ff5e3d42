/* eval_output.h - what a set of records says, printed and written: for eval, merge and headload count. */
#ifndef MOHVIT_EVAL_OUTPUT_H
#define MOHVIT_EVAL_OUTPUT_H

#include "eval/totals.h"
#include "eval/vector_record.h"
#include "tools/program/command.h"

typedef struct eval_report {
    record_set set;
    output_format format;
    const char *per_class, *predictions; /* files, or NULL */
    const char *vectors[VECTOR_KINDS];   /* the same, of each kind */
    size_t images;                       /* that there should be: of the data set, or of a shard */
    double rate;                         /* images/s of this run; 0: it had nothing to do */
    bool incomplete;                     /* the run was stopped: files are not written */
    size_t dropped;                      /* images that failed then, of which there is no record */
    const char *shard;                   /* "1/4", or NULL */
} eval_report;

/* Lists failed images on standard error, writes the files, prints the result. Returns the exit status. */
int eval_report_print(const eval_report *r);

/* The header's provenance, with the hash of the data that were counted. The caller's. */
json_t *eval_provenance(const record_set *s, const totals *t);

/* totals_count of all classes together. Says on standard error which images failed, and why. name_bytes (may
 * be NULL): of the names that eval_write_vectors will write. */
mohvit_status eval_count(totals *t, const record_set *s, size_t *name_bytes, mohvit_error *err);

/* Writes a file of vectors (vector_file.h) of records that were counted. */
mohvit_status eval_write_vectors(const char *path, vector_kind kind, const record_set *s, const totals *t,
                                 size_t name_bytes, mohvit_error *err);

/* Adds up the records to a head load in a file. shard ("1/4", or NULL) is noted there. images and classes
 * that were counted may be NULL. */
mohvit_status eval_write_head_load(const char *path, const record_set *s, const char *shard, int64_t *images,
                                   size_t *classes, mohvit_error *err);

#endif

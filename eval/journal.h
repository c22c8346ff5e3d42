/* journal.h - the chunks of an evaluation that are done, in a file that only ever grows by whole records: a
 * run that ends at any moment, in any way, goes on from what it had. The file holds
 *
 *     magic, header, record, record, ...
 *
 * The header is JSON (header.h); records are those of record.h. Each is in a frame: kind, size, CRC-32 (all
 * u32), content. Of several records of one chunk the last counts: a chunk is run again once a picture that
 * failed is mended. What stands behind the last whole frame is a torn end, and is dropped. Damage before a
 * whole frame is an error, and the file is left as it is. */
#ifndef MOHVIT_JOURNAL_H
#define MOHVIT_JOURNAL_H

#include "eval/record.h"

#include <jansson.h>

typedef struct journal journal;

/* Where a journal is kept and what it is for. */
typedef struct journal_options {
    const char *path;     /* NULL: a temporary file without a name */
    const json_t *header; /* see header.h; NULL: of a finished one, to be read alone */
    bool allow_mixed;     /* other hardware and backend than those of the header are fine */
    warning_sink warn;
} journal_options;

/* Creates the file, or goes on with the one that is there, if its header is that of the same evaluation. It
 * is locked: another process that opens it meanwhile is refused. *out is set on success alone. */
mohvit_status journal_open(journal **out, const journal_options *options, mohvit_error *err);

/* Opens one to be read alone. */
mohvit_status journal_open_finished(journal **out, const char *path, const warning_sink *warn,
                                    mohvit_error *err);
void journal_close(journal *j);

const char *journal_name(const journal *j); /* its path, for messages */
const json_t *journal_header(const journal *j);

/* Chunks of the whole data set. */
size_t journal_chunks(const journal *j);
bool journal_has(const journal *j, size_t chunk);
size_t journal_done(const journal *j);                /* how many it has */
size_t journal_chunk(const journal *j, size_t index); /* of those, by rising number */

/* Forgets the names of classes in the header: of many journals, one is enough to know them. */
void journal_forget_classes(journal *j);

/* Has the chunk count as not done until another record of it is appended; the file keeps the one it has. */
void journal_forget(journal *j, size_t chunk);

/* Appends a record, whole or not at all, and makes sure at least once a second that what was written reaches
 * the disk. */
mohvit_status journal_append(journal *j, const chunk_record *r, mohvit_error *err);
mohvit_status journal_sync(journal *j, mohvit_error *err);

/* Reads the record of a chunk that is there, into b, which is emptied first. */
mohvit_status journal_read(const journal *j, size_t chunk, bytes *b, mohvit_error *err);
/* record_parse of b, with a message that names the journal. */
mohvit_status journal_parse(const journal *j, chunk_record *r, const bytes *b, mohvit_error *err);

#endif

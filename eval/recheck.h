/* recheck.h - is the data still what it was? Records tell what was read, and some of it is read again: before
 * a run goes on, and by each of several ranks. */
#ifndef MOHVIT_RECHECK_H
#define MOHVIT_RECHECK_H

#include "eval/journal.h"

#define RECHECK_PICTURES 64

/* Pictures in a row, in the order of the data, that cannot be opened or read: then it is the data that are
 * gone, and not these pictures. */
#define RECHECK_UNREAD 8

/* What a journal has, and what became of its pictures. */
typedef struct recheck {
    size_t done, failed; /* images that need not be run again, and those of them that failed */
    size_t read;         /* pictures that were read again */
    size_t again;        /* chunks that the journal was made to forget */
} recheck;

/* Reads again RECHECK_PICTURES of the pictures in the journal, chosen by a seed that follows from it, every
 * one that does not have its recorded size and time, and every one that failed. One that was scored and now
 * has other bytes, or none, is an error. A chunk of which one failed that can now be read, or has other
 * bytes, is forgotten; chunks with others that failed stay. */
mohvit_status recheck_journal(recheck *out, journal *j, const dataset *d, mohvit_error *err);

/* An error where the record would be, or with those of the chunks beside it would complete, so many in a row.
 */
mohvit_status recheck_unread(const journal *j, const chunk_record *r, mohvit_error *err);

/* What RECHECK_PICTURES pictures of the data are, as text: malloc'd. */
mohvit_status recheck_tell(char **text, const dataset *d, mohvit_error *err);
/* An error that names a picture where this process reads others than the one that told. */
mohvit_status recheck_told(const dataset *d, const char *text, mohvit_error *err);

#endif

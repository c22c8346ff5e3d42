/* ranks.h - one evaluation over the ranks of an MPI run: rank 0 hands out chunks and keeps the records that
 * come back, its own threads being served like everybody else's.
 *
 * MPI itself is in a module of its own (mpi_module.c), which is loaded only when mpirun started the process:
 * a machine without MPI never notices. */
#ifndef MOHVIT_RANKS_H
#define MOHVIT_RANKS_H

#include "eval/pipeline.h"

typedef struct ranks ranks;

/* Whether this process was started by mpirun, as its environment has it. */
bool ranks_started_by_mpirun(void);

/* The path of the module, malloc'd; NULL where there is none, or no memory. */
char *ranks_module(void);

/* Joins the other ranks. *out is set on success alone. */
mohvit_status ranks_join(ranks **out, mohvit_error *err);
/* All ranks leave together. NULL is allowed. */
void ranks_leave(ranks *s);
/* Ends the whole run with an exit status, without waiting for anybody. Does not return. */
void ranks_abort(ranks *s, int status);

size_t ranks_index(const ranks *s);
/* Ranks on this machine. */
size_t ranks_local(const ranks *s);

/* Gives every rank the text of rank 0; malloc'd. To be called by all. */
mohvit_status ranks_broadcast(ranks *s, const char *text, char **out, mohvit_error *err);

/* ---- Rank 0 ---------------------------------------------------------------------------------- */

/* What rank 0 does for the others. Calls come from the thread that serves. */
typedef struct ranks_host {
    void *user;
    mohvit_status (*next)(void *user, size_t *chunk, mohvit_error *err);
    mohvit_status (*done)(void *user, const bytes *record, mohvit_error *err);
    bool (*stopped)(void *user); /* the run ends early: the others are told */
} ranks_host;

/* Serves until every other rank has said that it is through. An error is what one of them reported, or the
 * host's own. */
mohvit_status ranks_serve(ranks *s, const ranks_host *host, mohvit_error *err);

/* ---- The others ------------------------------------------------------------------------------ */

/* Asks rank 0 for a chunk; CHUNK_NONE where there are no more. Thread-safe, as are all of these. */
mohvit_status ranks_next(ranks *s, size_t *chunk, mohvit_error *err);
mohvit_status ranks_send_record(ranks *s, const bytes *record, mohvit_error *err);
/* Whether rank 0 wants the run to end. */
bool ranks_told_to_stop(ranks *s);
/* Says that this rank is through. */
mohvit_status ranks_finish(ranks *s, mohvit_error *err);

#endif

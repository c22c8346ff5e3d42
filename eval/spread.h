/* spread.h - one evaluation over the ranks of an MPI run: rank 0 hands out chunks and keeps the records that
 * come back, its own threads being served like everybody else's.
 *
 * MPI itself is in a module of its own (mpi_module.c), which is loaded only when mpirun started the process:
 * a machine without MPI never notices. */
#ifndef MOHVIT_SPREAD_H
#define MOHVIT_SPREAD_H

#include "pipeline.h"

typedef struct spread spread;

/* Whether this process was started by mpirun, as its environment has it. */
bool spread_started_by_mpirun(void);

/* The path of the module, malloc'd; NULL where there is none, or no memory. */
char *spread_module(void);

/* Joins the other ranks. *out is set on success alone. */
mohvit_status spread_join(spread **out, mohvit_error *err);
/* All ranks leave together. NULL is allowed. */
void spread_leave(spread *s);
/* Ends the whole run with an exit status, without waiting for anybody. Does not return. */
void spread_abort(spread *s, int status);

size_t spread_rank(const spread *s);
size_t spread_ranks(const spread *s);
/* Ranks on this machine. */
size_t spread_local_ranks(const spread *s);

/* Gives every rank the text of rank 0; malloc'd. To be called by all. */
mohvit_status spread_broadcast(spread *s, const char *text, char **out, mohvit_error *err);

/* ---- Rank 0 ---------------------------------------------------------------------------------- */

/* What rank 0 does for the others. Calls come from the thread that serves. */
typedef struct spread_host {
    void *user;
    mohvit_status (*next)(void *user, size_t *chunk, mohvit_error *err);
    mohvit_status (*done)(void *user, const bytes *record, mohvit_error *err);
    bool (*stopped)(void *user); /* the run ends early: the others are told */
} spread_host;

/* Serves until every other rank has said that it is through. An error is what one of them reported, or the
 * host's own. */
mohvit_status spread_serve(spread *s, const spread_host *host, mohvit_error *err);

/* ---- The others ------------------------------------------------------------------------------ */

/* Asks rank 0 for a chunk; CHUNK_NONE where there are no more. Thread-safe, as are all of these. */
mohvit_status spread_next(spread *s, size_t *chunk, mohvit_error *err);
mohvit_status spread_send_record(spread *s, const bytes *record, mohvit_error *err);
/* Whether rank 0 wants the run to end. */
bool spread_told_to_stop(spread *s);
/* Says that this rank is through. */
mohvit_status spread_finish(spread *s, mohvit_error *err);

#endif

/* evaluation_run.h - from a command line to a journal of results: for every command that runs a data set
 * through a network, alone or as one of several ranks. It prints what goes wrong and how far it is; results
 * are its callers' business. */
#ifndef MOHVIT_EVALUATION_RUN_H
#define MOHVIT_EVALUATION_RUN_H

#include "tools/program/evaluation_state.h"

/* Prints what there is to print from e->journal, and returns the exit status. */
typedef int evaluation_finisher(const void *user, const evaluation *e);

/* Opens everything, runs what is missing and, where that went well, has one process finish: the only one, or
 * rank 0, which alone looks at the outputs. Returns the exit status of this process. */
int evaluation_perform(const evaluation_options *o, evaluation_finisher *finish, const void *user);

#endif

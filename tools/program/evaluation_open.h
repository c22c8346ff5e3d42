/* evaluation_open.h - opens all that an evaluation runs on, and closes it. */
#ifndef MOHVIT_EVALUATION_OPEN_H
#define MOHVIT_EVALUATION_OPEN_H

#include "tools/program/evaluation_state.h"

/* Ranks, models, data and state. PARSED, or the exit status to leave with after evaluation_end. */
int evaluation_begin(evaluation *e, const evaluation_options *o);

/* Frees all; other ranks are waited for. Returns the exit status of this process. */
int evaluation_end(evaluation *e, int status);

#endif

/* evaluation_header.h - what an evaluation is, written at the head of its state (eval/header.h). */
#ifndef MOHVIT_EVALUATION_HEADER_H
#define MOHVIT_EVALUATION_HEADER_H

#include "tools/program/evaluation_state.h"

/* Of models and data that are open. The caller's. */
json_t *evaluation_header(const evaluation *e);

/* What it calls the section with the head load; NULL where there is none. */
const char *evaluation_load_name(const evaluation *e);

#endif

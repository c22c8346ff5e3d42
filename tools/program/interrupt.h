/* interrupt.h - being asked to stop: the program ends as the signal would end it, but without leaving
 * temporary files behind. Long work may rather note the signal, end at the next convenient place, and keep
 * what it has. */
#ifndef MOHVIT_INTERRUPT_H
#define MOHVIT_INTERRUPT_H

#include "base/error.h"

/* For main: from here on SIGINT, SIGTERM and SIGHUP end the program at once, also as the first process of a
 * container, and take the temporary files away. */
void interrupt_default(void);

/* From here on these are noted; a second one ends the program at once. One that is ignored already (nohup)
 * stays so. */
void interrupt_begin(void);

/* An error once one came; to be asked between tensors. name is the file that will not be written. */
mohvit_status interrupt_check(const char *name, mohvit_error *err);

/* Whether one came. */
bool interrupt_pending(void);

/* Back to interrupt_default, without a thought of one that came: the caller has seen to it. */
void interrupt_forget(void);

/* Back to interrupt_default; a signal that came meanwhile ends the program here. */
void interrupt_end(void);

#endif

/* interrupt.h - being asked to stop while a file is half written: the work ends at the next convenient place,
 * takes its temporary file away, and the program then ends as the signal would have ended it. */
#ifndef MOHVIT_INTERRUPT_H
#define MOHVIT_INTERRUPT_H

#include "base/error.h"

/* For main: has the first process of a container end by them as any other does. */
void interrupt_default(void);

/* From here on SIGINT, SIGTERM and SIGHUP are noted; a second one ends the program at once. One that is
 * ignored already (nohup) stays so. */
void interrupt_begin(void);

/* An error once one came; to be asked between tensors. name is the file that will not be written. */
mohvit_status interrupt_check(const char *name, mohvit_error *err);

/* Whether one came. */
bool interrupt_pending(void);

/* Back to the defaults, without a thought of one that came: the caller has seen to it. */
void interrupt_forget(void);

/* Back to the defaults; a signal that came meanwhile ends the program here. */
void interrupt_end(void);

#endif

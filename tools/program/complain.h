/* complain.h - the only place that prints on standard error. */
#ifndef MOHVIT_COMPLAIN_H
#define MOHVIT_COMPLAIN_H

#include "base/error.h"

#include <stdarg.h>

/* "mohvit: " + the message, control bytes escaped; what was given to complain_after has been done, so that
 * standard output and standard error stay in order. */
void complain(const char *format, ...) PRINTF_LIKE(1, 2);
void complain_args(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

/* What is to be done before any message: output_begin has it flush standard output. */
void complain_after(bool (*flush)(void));

/* Whether all went well; if not, err is reported. */
bool fine_or_complain(mohvit_status status, const mohvit_error *err);

/* What complain puts behind "mohvit: " from now on; borrowed. */
void complain_as(const char *who);

/* A receiver for the libraries' warnings. */
void complain_warning(void *user, const char *message);

#endif

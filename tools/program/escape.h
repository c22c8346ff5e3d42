/* escape.h - text from files that is safe to show: it never brings control bytes to a terminal. */
#ifndef MOHVIT_ESCAPE_H
#define MOHVIT_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

/* malloc'd copy in which bytes that are not UTF-8, and control bytes where asked, are \xNN. *columns (may be
 * NULL): its width, a column for each character. */
char *escape(const char *text, bool controls, size_t *columns);

/* malloc'd: one CSV field, escaped, quoted where it must be. */
char *escape_csv(const char *text);

#endif

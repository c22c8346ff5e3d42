/* csv.h - a line of comma-separated values (RFC 4180, but for newlines within quotes). */
#ifndef MOHVIT_CSV_H
#define MOHVIT_CSV_H

#include <stdbool.h>
#include <stddef.h>

/* Cuts line into its fields, in place: without quotes, and without blanks around them. false where there are
 * more than `most`, or a quote does not end, or something follows it. */
bool csv_split(char *line, char **fields, size_t most, size_t *count);

#endif

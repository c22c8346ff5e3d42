/* lines.h - a text file line by line. A line that does not end costs no memory. */
#ifndef MOHVIT_LINES_H
#define MOHVIT_LINES_H

#include "base/error.h"

#include <stdio.h>

typedef struct line_reader {
    FILE *file;
    const char *path, *ends;
    char *line; /* without its end */
    size_t number;
} line_reader;

/* Of every line, characters of `ends` are taken off its end. The file is closed with the reader; NULL and
 * errno: it could not be opened. lines_close frees what a failure leaves, too. */
mohvit_status lines_open(line_reader *r, FILE *file, const char *path, const char *ends, mohvit_error *err);

/* The next line that is not empty; *more false behind the last. Too long a line and zero bytes are errors. */
mohvit_status lines_next(line_reader *r, bool *more, mohvit_error *err);
void lines_close(line_reader *r);

/* "FILE: line 3", for messages. */
void lines_where(const line_reader *r, char *out, size_t size);

#endif

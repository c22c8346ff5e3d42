/* lines.h - the one reader of lists that people and other programs write: paths, classes of pictures, labels.
 * A byte-order mark, CRLF and a last line without an end are fine. A line that does not end costs no memory.
 */
#ifndef MOHVIT_LINES_H
#define MOHVIT_LINES_H

#include "base/error.h"

/* What ends a line. */
typedef enum line_end {
    LINES_NEWLINE,
    LINES_ZERO,   /* a zero byte, as find -print0 writes it; newlines then belong to the line */
    LINES_EITHER, /* a zero byte or a newline: whichever comes first in the list ends all of its lines */
    LINES_ESCAPED /* a newline, and names are written as results write them: lines_name reads them */
} line_end;

typedef struct line_reader {
    int fd;            /* of the list; -1: it is in memory */
    const char *path;  /* for messages */
    char *line;        /* without its end; NULL: not open */
    char *buffer;      /* of what was read from fd */
    const char *bytes; /* (filled) of the list, taken up to `at` */
    size_t at, filled;
    bool at_end; /* nothing follows these */
    int failure; /* an errno: nor can anything be read */
    size_t number;
    int end;     /* the byte that ends lines; -1: not yet known */
    bool a_list; /* zero bytes might end its lines, if the caller asked for that */
    bool escaped;
} line_reader;

/* What messages call a list: "standard input" for "-". */
const char *lines_title(const char *path);

/* path may be a pipe; "-" is standard input, which is left open. lines_close frees what a failure leaves. */
mohvit_status lines_open(line_reader *r, const char *path, line_end end, mohvit_error *err);

/* The same of text in memory, which has to stay there. */
mohvit_status lines_open_text(line_reader *r, const char *text, size_t size, const char *name,
                              mohvit_error *err);

/* How the list begins, before anything is taken: up to *size bytes, for which it waits; *size: how many there
 * are. */
const char *lines_peek(line_reader *r, size_t *size);

/* The next line that is not empty; *more false behind the last. Too long a line and zero bytes that do not
 * end one are errors, and so is a list that ends with a newline where zero bytes should end lines, and has
 * none. */
mohvit_status lines_next(line_reader *r, bool *more, mohvit_error *err);
void lines_close(line_reader *r);

/* Whether lines_next would answer at once, and not wait for who writes the list. */
bool lines_ready(line_reader *r);

/* Takes blanks, TABs and CRs off the end of the line; false where nothing is left. */
bool lines_trim(line_reader *r);

/* Makes the name of what stands for it in the line (*length bytes): in LINES_ESCAPED "\\" becomes a backslash
 * and "\xNN" a byte, in place; any other backslash is an error. Else nothing is done. */
mohvit_status lines_name(const line_reader *r, char *text, size_t *length, mohvit_error *err);

/* All of such a list that is not read by lines, as JSON: malloc'd, without its byte-order mark and with a NUL
 * behind it. More than `max` bytes, and zero bytes, are errors. *name is what messages call it. */
mohvit_status lines_load(char **out, size_t *size, const char *path, size_t max, const char **name,
                         mohvit_error *err);

/* "FILE: line 3", for messages. */
void lines_where(const line_reader *r, char *out, size_t size);

#endif

/* complain.h - the only place that prints on standard error; and text from files that is safe to show: it
 * never brings control bytes to a terminal. */
#ifndef MOHVIT_COMPLAIN_H
#define MOHVIT_COMPLAIN_H

#include "base/error.h"

#include <stdarg.h>

/* What the program says to the shell. */
typedef enum exit_status {
    EXIT_FINE = 0,
    EXIT_INPUT = 1, /* some input failed, or a result could not be written */
    EXIT_USAGE = 2,
    EXIT_MODEL = 3 /* the model could not be loaded */
} exit_status;

enum {
    ESCAPE_CONTROLS = 1,    /* what steers a terminal or turns the direction of text, as \xNN of its bytes */
    ESCAPE_BACKSLASHES = 2, /* as two, so that the text can be read back: for names, not for messages */
    ESCAPE_NAME = ESCAPE_CONTROLS | ESCAPE_BACKSLASHES
};

/* malloc'd copy in which bytes that are not UTF-8 are \xNN, and what `how` says. *columns (may be NULL): its
 * width, a column for each character. */
char *escape(const char *text, unsigned how, size_t *columns);

/* Escaped text as a CSV field, quoted where it must be; takes it over. malloc'd. */
char *csv_field(char *safe);

/* The message without the path that it begins with, for where that stands beside it. */
const char *error_without(const mohvit_error *err, const char *path);

/* "mohvit: " + the message with ESCAPE_CONTROLS; what was given to complain_after has been done, so that
 * standard output and standard error stay in order. */
void complain(const char *format, ...) PRINTF_LIKE(1, 2);
/* Draws a line that stays the last one of the terminal on standard error: messages go above it. NULL takes it
 * away. */
void complain_below(const char *line);

void complain_args(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

/* What is to be done before any message: output_begin has it flush standard output. */
void complain_after(bool (*flush)(void));

/* Whether all went well; if not, err is reported. */
bool fine_or_complain(mohvit_status status, const mohvit_error *err);

/* What complain puts behind "mohvit: " from now on; borrowed. */
void complain_as(const char *who);

/* Receivers for the libraries' warnings and notes. */
void complain_warning(void *user, const char *message);
void complain_note(void *user, const char *message);

/* A note of pictures, of all, whose EXIF says that they are to be turned, where that was not asked for. */
void complain_turned(bool asked, uint64_t pictures, uint64_t all);

/* The result of an allocation or of a jansson call; without memory the program ends with a message. */
void *or_die(void *pointer);

#endif

/* output.h - the only place that prints. Results go to standard output, all else to standard error; names
 * that came from files never bring control bytes to a terminal. */
#ifndef MOHVIT_OUTPUT_H
#define MOHVIT_OUTPUT_H

#include "base/error.h"

#include <jansson.h>

/* Before anything is opened: makes sure that descriptors 0 to 2 exist, so that no file takes their place, and
 * that a closed pipe, or a file past the size limit, is an error and not a signal. */
void output_begin(void);

/* Flushes. A reader that closed the pipe has had enough, which is no failure; any other write error is
 * reported and turns EXIT_FINE into EXIT_INPUT. */
int output_end(int status);

/* false once nothing more can be written: time to stop. */
bool output_works(void);

/* Sends what was printed on its way; false as output_works. */
bool output_flush(void);

void output_printf(const char *format, ...) PRINTF_LIKE(1, 2);

/* text as a name: backslashes doubled, and as \xNN bytes that are not UTF-8 and characters that steer a
 * terminal or turn the direction of text. */
void output_name(const char *text);

/* output_name, padded with blanks to `width` columns. */
void output_name_padded(const char *text, size_t width);

/* Columns that output_name takes. */
size_t output_name_width(const char *text);

/* One CSV field: escaped like output_name, or like complain's messages; quoted where it must be. */
void output_csv_field(const char *text);
void output_csv_message(const char *text);

/* value on a line of its own; frees it. */
void output_json(json_t *value);

/* value without a newline, as a part of a line that is too long to build in memory; frees it. */
void output_json_part(json_t *value);

/* A bar for 0 … 1, at most `width` columns. */
void output_bar(double fraction, size_t width);

/* output_name, in bold on a terminal that may be coloured (NO_COLOR). */
void output_title(const char *text);

#endif

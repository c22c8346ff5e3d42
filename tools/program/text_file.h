/* text_file.h - a table or report written piece by piece, that appears under its name only once it is whole.
 */
#ifndef MOHVIT_TEXT_FILE_H
#define MOHVIT_TEXT_FILE_H

#include "tools/program/replace_file.h"

typedef struct text_file {
    replace_file replace;
    int fd;
    char *buffer;
    size_t used;
    mohvit_error err; /* the first failure; what is printed after it goes nowhere */
} text_file;

mohvit_status text_open(text_file *f, const char *path, mohvit_error *err);
void text_printf(text_file *f, const char *format, ...) PRINTF_LIKE(2, 3);
/* One CSV field, as output_csv_field has it. */
void text_csv_field(text_file *f, const char *text);

/* Gives the file its name, unless before or any printing failed; then nothing is left of it. */
mohvit_status text_close(text_file *f, mohvit_status before, mohvit_error *err);

#endif

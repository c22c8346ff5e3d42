/* text_file.h - a table or report that is printed piece by piece, and made whole or not at all. */
#ifndef MOHVIT_TEXT_FILE_H
#define MOHVIT_TEXT_FILE_H

#include "base/replace_file.h"

#include <stdio.h>

/* Must stay where it is while it is open. */
typedef struct text_file {
    replace_file replace;
    FILE *file;       /* whose bytes go to replace */
    mohvit_error err; /* the first failure; what is printed after it goes nowhere */
} text_file;

mohvit_status text_open(text_file *f, const char *path, mohvit_error *err);
void text_printf(text_file *f, const char *format, ...) PRINTF_LIKE(2, 3);

/* Gives the file its name, unless before or any printing failed; then nothing is left of it. */
mohvit_status text_close(text_file *f, mohvit_status before, mohvit_error *err);

#endif

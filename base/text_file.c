#include "base/text_file.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER ((size_t)64 << 10)

mohvit_status text_open(text_file *f, const char *path, mohvit_error *err)
{
    *f = (text_file){0};
    mohvit_status status = replace_begin(&f->replace, path, err);
    if (!status)
        status = replace_create(&f->replace, err);
    if (!status && !(f->buffer = malloc(BUFFER)))
        status = error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory", path);
    if (status)
        replace_cancel(&f->replace);
    return status;
}

static void write_through(text_file *f, const char *data, size_t size)
{
    if (!f->err.status)
        replace_write(&f->replace, data, size, &f->err);
}

static void flush(text_file *f)
{
    write_through(f, f->buffer, f->used);
    f->used = 0;
}

void text_printf(text_file *f, const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0 && !f->err.status)
        error_set(&f->err, MOHVIT_ERROR_MEMORY, "%s: no memory", f->replace.path);
    if (length < 0)
        return;
    if ((size_t)length > BUFFER - f->used)
        flush(f);
    if ((size_t)length > BUFFER) {
        write_through(f, text, (size_t)length);
    } else {
        memcpy(f->buffer + f->used, text, (size_t)length);
        f->used += (size_t)length;
    }
    free(text);
}

mohvit_status text_close(text_file *f, mohvit_status before, mohvit_error *err)
{
    flush(f);
    free(f->buffer);
    if (!before && !f->err.status)
        return replace_commit(&f->replace, err);
    replace_cancel(&f->replace);
    if (!before)
        *err = f->err;
    return before ? before : f->err.status;
}

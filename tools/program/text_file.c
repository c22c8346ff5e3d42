#include "tools/program/text_file.h"

#include "tools/program/output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER ((size_t)64 << 10)

mohvit_status text_open(text_file *f, const char *path, mohvit_error *err)
{
    *f = (text_file){.fd = -1};
    mohvit_status status = replace_begin(&f->replace, path, err);
    if (!status)
        status = replace_create(&f->replace, &f->fd, err);
    if (status)
        replace_cancel(&f->replace);
    else
        f->buffer = need(malloc(BUFFER));
    return status;
}

static void append(text_file *f, const char *data, size_t size)
{
    if (!f->err.status)
        replace_append(&f->replace, f->fd, data, size, &f->err);
}

static void flush(text_file *f)
{
    append(f, f->buffer, f->used);
    f->used = 0;
}

static void put(text_file *f, const char *text, size_t length)
{
    if (length > BUFFER - f->used)
        flush(f);
    if (length > BUFFER) {
        append(f, text, length);
        return;
    }
    memcpy(f->buffer + f->used, text, length);
    f->used += length;
}

void text_printf(text_file *f, const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0)
        text = need(NULL);
    put(f, text, (size_t)length);
    free(text);
}

void text_csv_field(text_file *f, const char *text)
{
    char *field = csv_field(text);
    put(f, field, strlen(field));
    free(field);
}

mohvit_status text_close(text_file *f, mohvit_status before, mohvit_error *err)
{
    flush(f);
    mohvit_status status = before;
    if (!status && f->err.status) {
        status = f->err.status;
        *err = f->err;
    }
    status = replace_finish(&f->replace, f->fd, status, err);
    free(f->buffer);
    if (!status)
        return replace_commit(&f->replace, err);
    replace_cancel(&f->replace);
    return status;
}

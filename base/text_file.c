#include "base/text_file.h"

#include <stdarg.h>

/* Says that all was taken, whatever becomes of it: the first failure is kept for text_close. */
static ssize_t write_through(void *to, const char *data, size_t size)
{
    text_file *f = to;
    if (!f->err.status)
        replace_write(&f->replace, data, size, &f->err);
    return (ssize_t)size;
}

mohvit_status text_open(text_file *f, const char *path, mohvit_error *err)
{
    *f = (text_file){0};
    mohvit_status status = replace_begin(&f->replace, path, err);
    if (!status)
        status = replace_create(&f->replace, err);
    if (!status && !(f->file = fopencookie(f, "w", (cookie_io_functions_t){.write = write_through})))
        status = error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory", path);
    if (status)
        replace_cancel(&f->replace);
    return status;
}

void text_printf(text_file *f, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (vfprintf(f->file, format, args) < 0 && !f->err.status)
        error_set(&f->err, MOHVIT_ERROR_MEMORY, "%s: no memory", f->replace.path);
    va_end(args);
}

mohvit_status text_close(text_file *f, mohvit_status before, mohvit_error *err)
{
    if (fclose(f->file) && !f->err.status)
        error_set(&f->err, MOHVIT_ERROR_MEMORY, "%s: no memory", f->replace.path);
    if (!before && !f->err.status)
        return replace_commit(&f->replace, err);
    replace_cancel(&f->replace);
    if (!before)
        *err = f->err;
    return before ? before : f->err.status;
}

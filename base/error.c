#include "base/error.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Copies text into out (size bytes), control bytes as \xNN; stops before an escape that does not fit. */
static void escape_controls(char *out, size_t size, const char *text)
{
    size_t used = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        bool control = *p < 0x20 || *p == 0x7f;
        size_t need = control ? 4 : 1;
        if (used + need >= size)
            break;
        if (control)
            snprintf(out + used, size - used, "\\x%02x", (unsigned)*p);
        else
            out[used] = (char)*p;
        used += need;
    }
    out[used] = '\0';
}

/* Shortens text to fewer than size bytes, by its middle: a long path must not push the cause out. */
static void squeeze(char *text, size_t size)
{
    static const char gap[] = " ... ";
    size_t length = strlen(text), head = size / 2, tail = size / 2 - sizeof gap;
    if (length < size)
        return;
    const char *end = text + length - tail;
    while (head && ((unsigned char)text[head] & 0xC0) == 0x80) // never within a character
        head--;
    while (((unsigned char)*end & 0xC0) == 0x80)
        end++;
    memcpy(text + head, gap, sizeof gap - 1);
    memmove(text + head + sizeof gap - 1, end, strlen(end) + 1);
}

static void error_vset(mohvit_error *err, mohvit_status status, const char *suffix, const char *format,
                       va_list args)
{
    if (!err)
        return;
    char raw[2 * PATH_MAX];
    int n = vsnprintf(raw, sizeof raw, format, args);
    size_t length = suffix ? strlen(suffix) : 0;
    while (length && suffix[length - 1] == '\n') // some libraries end their reasons like this
        length--;
    if (suffix && n >= 0 && (size_t)n < sizeof raw)
        snprintf(raw + n, sizeof raw - (size_t)n, ": %.*s", (int)length, suffix);
    squeeze(raw, sizeof err->message);
    err->status = status;
    err->number = 0;
    escape_controls(err->message, sizeof err->message, raw);
}

mohvit_status(error_set)(mohvit_error *err, mohvit_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    error_vset(err, status, NULL, format, args);
    va_end(args);
    return status;
}

/* What an errno is called. GNU's strerror_r returns that, POSIX's writes it. */
static const char *describe_errno(int number, char *text, size_t size)
{
#ifdef __GLIBC__
    return strerror_r(number, text, size);
#else
    return strerror_r(number, text, size) ? "unknown error" : text;
#endif
}

/* Maps errno to a status: whose fault is it? */
static mohvit_status status_of(int number)
{
    static const int of_the_file[] = {ENOENT,       ENOTDIR, EISDIR, EACCES, EPERM,  ELOOP,
                                      ENAMETOOLONG, EINVAL,  EILSEQ, ENXIO,  ENODEV, EOVERFLOW};
    for (size_t i = 0; i < sizeof of_the_file / sizeof *of_the_file; i++)
        if (number == of_the_file[i])
            return MOHVIT_ERROR_IO;
    return number == ENOMEM ? MOHVIT_ERROR_MEMORY : MOHVIT_ERROR_SYSTEM;
}

bool errno_may_pass(void)
{
    return error_may_pass(status_of(errno));
}

mohvit_status(error_errno)(mohvit_error *err, const char *format, ...)
{
    char reason[128];
    int number = errno;
    mohvit_status status = status_of(number);
    const char *text = describe_errno(number, reason, sizeof reason);
    va_list args;
    va_start(args, format);
    error_vset(err, status, text, format, args);
    va_end(args);
    if (err)
        err->number = number;
    return status;
}

mohvit_status(error_library)(mohvit_error *err, mohvit_status status, const char *reason, const char *format,
                             ...)
{
    bool starved = errno == ENOMEM;
    va_list args;
    va_start(args, format);
    error_vset(err, starved ? MOHVIT_ERROR_MEMORY : status, starved ? "no memory" : reason, format, args);
    va_end(args);
    return starved ? MOHVIT_ERROR_MEMORY : status;
}

void warning_send(const warning_sink *sink, const char *format, ...)
{
    if (!sink || !sink->fn)
        return;
    mohvit_error text;
    va_list args;
    va_start(args, format);
    error_vset(&text, MOHVIT_OK, NULL, format, args);
    va_end(args);
    sink->fn(sink->user, text.message);
}

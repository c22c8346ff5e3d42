#include "tools/program/complain.h"

#include "tools/program/escape.h"
#include "tools/program/or_die.h"

#include <stdio.h>
#include <stdlib.h>

static const char *speaker = ""; /* behind "mohvit: " */
static bool (*flush_output)(void);

void complain_after(bool (*flush)(void))
{
    flush_output = flush;
}

void complain_as(const char *who)
{
    speaker = who;
}

void complain_args(const char *format, va_list args)
{
    char *message;
    if (vasprintf(&message, format, args) < 0)
        message = or_die(NULL);
    char *safe = escape(message, true, NULL);
    if (flush_output)
        flush_output(); // and keep a failure in mind, which stdio reports only once
    fprintf(stderr, "mohvit: %s%s\n", speaker, safe);
    free(safe);
    free(message);
}

void complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain_args(format, args);
    va_end(args);
}

bool fine_or_complain(mohvit_status status, const mohvit_error *err)
{
    if (status)
        complain("%s", err->message);
    return !status;
}

void complain_warning(UNUSED void *user, const char *message)
{
    complain("warning: %s", message);
}

#include "tools/program/complain.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *or_die(void *pointer)
{
    if (!pointer) {
        fputs("mohvit: out of memory\n", stderr);
        exit(EXIT_INPUT);
    }
    return pointer;
}

char *escape(const char *text, unsigned how, size_t *columns)
{
    size_t size = strlen(text), width = 0;
    char *out = or_die(malloc(4 * size + 1)), *end = out;
    for (const char *p = text; *p;) {
        size_t length = utf8_length(p, (size_t)(text + size - p));
        if (length && !(how & ESCAPE_CONTROLS && utf8_steers(p, length))) {
            if (*p == '\\' && how & ESCAPE_BACKSLASHES) {
                *end++ = '\\';
                width++;
            }
            memcpy(end, p, length);
            end += length;
            p += length;
            width++;
            continue;
        }
        for (size_t n = length ? length : 1; n; n--) {
            end += sprintf(end, "\\x%02x", (unsigned)(unsigned char)*p++);
            width += 4;
        }
    }
    *end = '\0';
    if (columns)
        *columns = width;
    return out;
}

char *csv_field(char *safe)
{
    if (!strpbrk(safe, ",\"") && *safe != ' ')
        return safe;
    char *quoted = or_die(malloc(2 * strlen(safe) + 3)), *end = quoted;
    *end++ = '"';
    for (const char *p = safe; *p; p++) {
        if (*p == '"')
            *end++ = '"';
        *end++ = *p;
    }
    *end++ = '"';
    *end = '\0';
    free(safe);
    return quoted;
}

const char *error_without(const mohvit_error *err, const char *path)
{
    mohvit_error named; // the path as a message has it
    error_set(&named, err->status, "%s: ", path);
    size_t length = strlen(named.message);
    return strncmp(err->message, named.message, length) == 0 ? err->message + length : err->message;
}

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

static _Atomic bool line_below;

void complain_below(const char *line)
{
    bool shown = atomic_exchange(&line_below, line != NULL);
    if (line || shown)
        fprintf(stderr, "\r\033[K%s", line ? line : "");
}

void complain_args(const char *format, va_list args)
{
    char *message;
    if (vasprintf(&message, format, args) < 0)
        message = or_die(NULL);
    char *safe = escape(message, ESCAPE_CONTROLS, NULL);
    if (flush_output)
        flush_output(); // and keep a failure in mind, which stdio reports only once
    complain_below(NULL);
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

void complain_note(UNUSED void *user, const char *message)
{
    complain("note: %s", message);
}

void complain_turned(bool asked, uint64_t pictures, uint64_t all)
{
    if (pictures && !asked)
        complain("note: %" PRIu64 " of %" PRIu64
                 " picture%s %s stored sideways (EXIF); --exif-orientation turns "
                 "%s. The published code does not.",
                 pictures, all, plural(all), pictures == 1 ? "is" : "are", pictures == 1 ? "it" : "them");
}

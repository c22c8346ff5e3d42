#include "base/lines.h"

#include <stdlib.h>
#include <string.h>

#define MAX_LINE ((size_t)64 << 10)

static const int end_bytes[] = {[LINES_NEWLINE] = '\n', [LINES_ZERO] = '\0', [LINES_EITHER] = -1};

/* file NULL and errno: it could not be opened. */
static mohvit_status begin(line_reader *r, FILE *file, const char *path, line_end end, mohvit_error *err)
{
    *r = (line_reader){.file = file, .path = path, .end = end_bytes[end], .a_list = true};
    if (!r->file)
        return error_errno(err, "%s", path);
    r->line = malloc(MAX_LINE + 1);
    return r->line ? MOHVIT_OK : error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory to read it", path);
}

mohvit_status lines_open(line_reader *r, const char *path, line_end end, mohvit_error *err)
{
    if (!strcmp(path, "-"))
        return begin(r, stdin, "standard input", end, err);
    return begin(r, fopen(path, "re"), path, end, err);
}

mohvit_status lines_open_text(line_reader *r, const char *text, size_t size, const char *name,
                              mohvit_error *err)
{
    mohvit_status status = begin(r, fmemopen((void *)(uintptr_t)text, size, "r"), name, LINES_NEWLINE, err);
    r->a_list = false;
    return status;
}

static bool ends_line(line_reader *r, int c)
{
    if (r->end < 0 && (c == '\n' || c == '\0'))
        r->end = c;
    return c == r->end;
}

static mohvit_status refuse_zero(const line_reader *r, size_t length, mohvit_error *err)
{
    bool utf16 =
        r->number == 1 && length >= 2 && (!memcmp(r->line, "\xff\xfe", 2) || !memcmp(r->line, "\xfe\xff", 2));
    if (utf16)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: is UTF-16; expected UTF-8", r->path);
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: line %zu: a zero byte; expected text%s", r->path,
                     r->number, r->a_list ? ". -0 (--null) reads lists whose lines end with zero bytes" : "");
}

/* Takes off what editors put around a line: the byte-order mark, and the CR of CRLF. */
static size_t tidy(line_reader *r, size_t length)
{
    if (!r->end)
        return length;
    while (length && r->line[length - 1] == '\r')
        length--;
    if (r->number != 1 || length < 3 || memcmp(r->line, "\xef\xbb\xbf", 3) != 0)
        return length;
    memmove(r->line, r->line + 3, length - 3);
    return length - 3;
}

mohvit_status lines_next(line_reader *r, bool *more, mohvit_error *err)
{
    int c = 0;
    *more = false;
    while (c != EOF) {
        size_t length = 0;
        r->number++;
        while ((c = getc_unlocked(r->file)) != EOF && !ends_line(r, c)) {
            if (!c)
                return refuse_zero(r, length, err);
            if (length == MAX_LINE)
                return error_set(err, MOHVIT_ERROR_FORMAT, "%s: line %zu: more than %zu bytes", r->path,
                                 r->number, MAX_LINE);
            r->line[length++] = (char)c;
        }
        if (ferror(r->file))
            return error_errno(err, "%s", r->path);
        length = tidy(r, length);
        r->line[length] = '\0';
        if (length) {
            *more = true;
            return MOHVIT_OK;
        }
    }
    return MOHVIT_OK;
}

void lines_close(line_reader *r)
{
    free(r->line);
    if (r->file && r->file != stdin)
        fclose(r->file);
}

bool lines_trim(line_reader *r)
{
    size_t length = strlen(r->line);
    while (length && strchr(" \t\r", r->line[length - 1]))
        length--;
    r->line[length] = '\0';
    return length != 0;
}

void lines_where(const line_reader *r, char *out, size_t size)
{
    snprintf(out, size, "%.*s: line %zu", (int)size - 40, r->path, r->number);
}

#include "base/lines.h"

#include <stdlib.h>
#include <string.h>

#define MAX_LINE ((size_t)64 << 10)

mohvit_status lines_open(line_reader *r, FILE *file, const char *path, const char *ends, mohvit_error *err)
{
    *r = (line_reader){.file = file, .path = path, .ends = ends};
    if (!r->file)
        return error_errno(err, "%s", path);
    r->line = malloc(MAX_LINE + 1);
    return r->line ? MOHVIT_OK : error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory to read it", path);
}

mohvit_status lines_next(line_reader *r, bool *more, mohvit_error *err)
{
    int c = 0;
    *more = false;
    while (c != EOF) {
        size_t length = 0;
        r->number++;
        while ((c = getc_unlocked(r->file)) != EOF && c != '\n') {
            if (!c || length == MAX_LINE)
                return error_set(err, MOHVIT_ERROR_FORMAT,
                                 "%s: line %zu: a zero byte, or more than %zu bytes; expected text", r->path,
                                 r->number, MAX_LINE);
            r->line[length++] = (char)c;
        }
        while (length && strchr(r->ends, r->line[length - 1]))
            length--;
        r->line[length] = '\0';
        if (ferror(r->file))
            return error_errno(err, "%s", r->path);
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
    if (r->file)
        fclose(r->file);
}

void lines_where(const line_reader *r, char *out, size_t size)
{
    snprintf(out, size, "%.*s: line %zu", (int)size - 40, r->path, r->number);
}

#include "tools/program/escape.h"

#include "base/utf8.h"
#include "tools/program/or_die.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* C0, DEL, and C1 in UTF-8, which some terminals obey as well. */
static bool is_control(const unsigned char *text)
{
    return text[0] < 0x20 || text[0] == 0x7f || (text[0] == 0xc2 && text[1] < 0xa0);
}

char *escape(const char *text, bool controls, size_t *columns)
{
    size_t size = strlen(text), width = 0;
    char *out = or_die(malloc(4 * size + 1)), *end = out;
    for (const char *p = text; *p;) {
        size_t length = utf8_length(p, (size_t)(text + size - p));
        if (length && !(controls && is_control((const unsigned char *)p))) {
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

char *escape_csv(const char *text)
{
    char *safe = escape(text, true, NULL);
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

#include "tools/program/escape.h"

#include "tools/program/or_die.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the UTF-8 sequence that text begins with; 0 where it begins with none. */
static size_t utf8_length(const unsigned char *text)
{
    static const struct {
        unsigned char first, last;         /* of the lead byte */
        unsigned char second, second_last; /* what may follow it: no overlong forms, no surrogates */
        size_t length;
    } forms[] = {
        {0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (text[0] < forms[i].first || text[0] > forms[i].last)
            continue;
        if (forms[i].length > 1 && (text[1] < forms[i].second || text[1] > forms[i].second_last))
            return 0;
        for (size_t k = 2; k < forms[i].length; k++)
            if (text[k] < 0x80 || text[k] > 0xbf)
                return 0;
        return forms[i].length;
    }
    return 0;
}

/* C0, DEL, and C1 in UTF-8, which some terminals obey as well. */
static bool is_control(const unsigned char *text)
{
    return text[0] < 0x20 || text[0] == 0x7f || (text[0] == 0xc2 && text[1] < 0xa0);
}

char *escape(const char *text, bool controls, size_t *columns)
{
    char *out = or_die(malloc(4 * strlen(text) + 1)), *end = out;
    size_t width = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        size_t length = utf8_length(p);
        if (length && !(controls && is_control(p))) {
            memcpy(end, p, length);
            end += length;
            p += length;
            width++;
            continue;
        }
        for (size_t n = length ? length : 1; n; n--) {
            end += sprintf(end, "\\x%02x", (unsigned)*p++);
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

#include "imgio/dataset/csv.h"

#include <string.h>

static const char blanks[] = " \t";

/* The end of a field that begins with a quote, whose text comes to lie at `to`; NULL: it does not end. */
static char *unquote(char *at, char *to)
{
    for (at++; *at; at++) {
        if (*at == '"' && at[1] != '"') {
            *to = '\0';
            return at + 1;
        }
        at += *at == '"';
        *to++ = *at;
    }
    return NULL;
}

bool csv_split(char *line, char **fields, size_t most, size_t *count)
{
    bool more = true;
    for (*count = 0; more; ++*count) {
        char *field = line + strspn(line, blanks), *end = field + strcspn(field, ",");
        if (*count == most)
            return false;
        fields[*count] = field;
        bool quoted = *field == '"';
        if (quoted) {
            char *behind = unquote(field, field);
            end = behind ? behind + strspn(behind, blanks) : NULL;
            if (!end || (*end && *end != ','))
                return false;
        }
        more = *end == ',';
        line = end + more;
        *end = '\0';
        while (!quoted && end > field && strchr(blanks, end[-1]))
            *--end = '\0';
    }
    return true;
}

/* output.c - standard output that notices when it fails, and text that is safe to show. */
#include "tools/program/output.h"

#include "tools/program/command.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int write_error;           /* errno of the first write that failed */
static bool use_colour, use_utf8; /* of standard output */

void output_begin(void)
{
    // A read-only descriptor in place of a closed one: writing to it fails, as writing to a closed one does.
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd)
            exit(EXIT_INPUT);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    setlocale(LC_CTYPE, "");
    use_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    const char *no_colour = getenv("NO_COLOR"), *terminal = getenv("TERM");
    use_colour =
        isatty(STDOUT_FILENO) && !(no_colour && *no_colour) && terminal && strcmp(terminal, "dumb") != 0;
}

static void check(bool written)
{
    if (!written && !write_error)
        write_error = errno ? errno : EIO;
}

bool output_works(void)
{
    return !write_error;
}

bool output_flush(void)
{
    if (!write_error)
        check(fflush(stdout) == 0);
    return !write_error;
}

int output_end(int status)
{
    output_flush();
    if (!write_error || write_error == EPIPE)
        return status;
    complain("standard output: %s", strerror(write_error));
    return status ? status : EXIT_INPUT;
}

// ---- Escaping --------------------------------------------------------------------------------------

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

/* malloc'd copy in which bytes that are not UTF-8, and control bytes where asked, are \xNN. *columns (may be
 * NULL): its width, a column for each character. */
static char *escape(const char *text, bool controls, size_t *columns)
{
    char *out = need(malloc(4 * strlen(text) + 1)), *end = out;
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

// ---- Standard output -------------------------------------------------------------------------------

void output_printf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!write_error)
        check(vfprintf(stdout, format, args) >= 0);
    va_end(args);
}

void output_name(const char *text)
{
    output_name_padded(text, 0);
}

void output_name_padded(const char *text, size_t width)
{
    size_t columns;
    char *safe = escape(text, true, &columns);
    output_printf("%s%*s", safe, columns < width ? (int)(width - columns) : 0, "");
    free(safe);
}

size_t output_name_width(const char *text)
{
    size_t columns;
    free(escape(text, true, &columns));
    return columns;
}

char *csv_field(const char *text)
{
    char *safe = escape(text, true, NULL);
    if (!strpbrk(safe, ",\"") && *safe != ' ')
        return safe;
    char *quoted = need(malloc(2 * strlen(safe) + 3)), *end = quoted;
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

void output_csv_field(const char *text)
{
    char *field = csv_field(text);
    output_printf("%s", field);
    free(field);
}

void output_json_part(json_t *value)
{
    // Nine digits bring every float back.
    char *text = need(json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(9)));
    output_printf("%s", text);
    free(text);
    json_decref(value);
}

void output_json(json_t *value)
{
    output_json_part(value);
    output_printf("\n");
}

void output_bar(double fraction, size_t width)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    double cells = fraction * (double)width;
    size_t steps = (size_t)lround(cells * (use_utf8 ? 8 : 1)), whole = use_utf8 ? steps / 8 : steps;
    output_printf("%s", use_colour && steps ? "\033[36m" : "");
    for (size_t i = 0; i < whole; i++)
        output_printf("%s", use_utf8 ? "█" : "#");
    output_printf("%s%s", use_utf8 ? eighths[steps % 8] : "", use_colour && steps ? "\033[0m" : "");
}

void output_bold(bool on)
{
    if (use_colour)
        output_printf("%s", on ? "\033[1m" : "\033[0m");
}

// ---- Standard error --------------------------------------------------------------------------------

static const char *speaker = ""; /* behind "mohvit: " */

void complain_as(const char *who)
{
    speaker = who;
}

void complain_args(const char *prefix, const char *format, va_list args)
{
    char *message;
    if (vasprintf(&message, format, args) < 0)
        message = need(NULL);
    char *safe = escape(message, true, NULL);
    output_flush();
    fprintf(stderr, "mohvit: %s%s%s\n", speaker, prefix, safe);
    free(safe);
    free(message);
}

void complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain_args("", format, args);
    va_end(args);
}

void output_warning(UNUSED void *user, const char *message)
{
    complain("warning: %s", message);
}

// ---- JSON and memory -------------------------------------------------------------------------------

void *need(void *pointer)
{
    if (!pointer) {
        fputs("mohvit: out of memory\n", stderr);
        exit(EXIT_INPUT);
    }
    return pointer;
}

json_t *json_text(const char *text)
{
    char *valid = escape(text, false, NULL);
    json_t *value = need(json_string(valid));
    free(valid);
    return value;
}

void json_put(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, need(value)))
        need(NULL);
}

void json_add(json_t *array, json_t *value)
{
    if (json_array_append_new(array, need(value)))
        need(NULL);
}

json_t *json_rounded(double value)
{
    return json_real(round(value * 1000) / 1000);
}

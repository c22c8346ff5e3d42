/* output.c - standard output that notices when it fails. */
#include "tools/program/output.h"

#include "tools/program/complain.h"
#include "tools/program/json_build.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_int write_error;    /* errno of the first write that failed */
static bool use_colour, use_utf8; /* of standard output */

void output_begin(void)
{
    // A read-only descriptor in place of a closed one: writing to it fails, as writing to a closed one does.
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd)
            exit(EXIT_INPUT);
    complain_after(output_flush);
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
    char *safe = escape(text, ESCAPE_NAME, &columns);
    output_printf("%s%*s", safe, columns < width ? (int)(width - columns) : 0, "");
    free(safe);
}

size_t output_name_width(const char *text)
{
    size_t columns;
    free(escape(text, ESCAPE_NAME, &columns));
    return columns;
}

void output_csv_field(const char *text)
{
    char *field = csv_field(escape(text, ESCAPE_NAME, NULL));
    output_printf("%s", field);
    free(field);
}

void output_csv_message(const char *text)
{
    char *field = csv_field(escape(text, ESCAPE_CONTROLS, NULL));
    output_printf("%s", field);
    free(field);
}

void output_json_part(json_t *value)
{
    char *text = json_printed(value);
    output_printf("%s", text);
    free(text);
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

void output_title(const char *text)
{
    output_printf("%s", use_colour ? "\033[1m" : "");
    output_name(text);
    output_printf("%s", use_colour ? "\033[0m" : "");
}

/* command.c - reading options, and saying what is wrong with them. */
#include "tools/program/command.h"

#include "tools/program/complain.h"
#include "tools/program/output.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void command_print_help(const command *c)
{
    output_printf("Usage: mohvit %s %s", c->name, c->help);
}

int usage_error(const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain_args(format, args);
    va_end(args);
    complain("try \"mohvit %s --help\"", name);
    return EXIT_USAGE;
}

// ---- Options ---------------------------------------------------------------------------------------

/* getopt says '?' to an unknown option, to an ambiguous one and to a value that is not wanted; users want to
 * know which. */
static void report_bad_option(const command *c, const char *argument, const struct option *table)
{
    if (optopt > FLAG_SET && optopt < OPTION_FORMAT && optopt != OPTION_HELP) {
        usage_error(c->name, "-%c: no such option", optopt);
        return;
    }
    size_t length = strcspn(argument + 2, "="), matches = 0;
    const struct option *match = NULL;
    for (const struct option *o = table; o->name; o++) {
        if (strncmp(o->name, argument + 2, length) == 0) {
            match = o;
            matches++;
        }
    }
    if (matches > 1)
        usage_error(c->name, "%s: may mean several options", argument);
    else if (matches == 1 && length)
        usage_error(c->name, "--%s: takes no value", match->name);
    else
        usage_error(c->name, "%s: no such option", argument);
}

int options_read(const command *c, int argc, char **argv, const char *letters, const struct option *table,
                 option_taker *take, void *options)
{
    char quiet[32] = ":h"; // ':' keeps getopt from printing
    strncat(quiet, letters, sizeof quiet - strlen(quiet) - 1);
    for (;;) {
        optopt = 0;
        int code = getopt_long(argc, argv, quiet, table, NULL);
        switch (code) {
        case -1:
            return PARSED;
        case 0: // a flag, which is set
            break;
        case OPTION_HELP:
            command_print_help(c);
            return EXIT_FINE;
        case ':':
            return usage_error(c->name, "%s: needs a value", argv[optind - 1]);
        case '?':
            report_bad_option(c, argv[optind - 1], table);
            return EXIT_USAGE;
        default:
            if (!take(options, code, optarg))
                return EXIT_USAGE;
        }
    }
}

// ---- Values ----------------------------------------------------------------------------------------

/* strtoull alone takes signs, blanks and trailing letters. */
static bool read_digits(unsigned long long *out, const char *text)
{
    char *end;
    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return !*end && !errno;
}

bool parse_whole(size_t *out, const char *option, const char *text, size_t min, size_t max)
{
    unsigned long long value;
    if (!read_digits(&value, text) || value < min || value > max) {
        complain("%s %s: expected a whole number from %zu to %zu", option, text, min, max);
        return false;
    }
    *out = (size_t)value;
    return true;
}

bool parse_seed(uint64_t *out, const char *option, const char *text)
{
    unsigned long long value;
    if (!read_digits(&value, text)) {
        complain("%s %s: expected a whole number from 0 to 2^64 - 1", option, text);
        return false;
    }
    *out = value;
    return true;
}

bool parse_tolerance(double *out, const char *option, const char *text)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    bool number = isdigit((unsigned char)*text) || *text == '.';
    if (!number || *end || errno || !isfinite(value)) {
        complain("%s %s: expected a number, at least 0, such as 2e-4", option, text);
        return false;
    }
    *out = value;
    return true;
}

int parse_choice(const char *option, const char *text, const char *const *names)
{
    char expected[512] = "";
    for (int i = 0; names[i]; i++) {
        if (strcmp(text, names[i]) == 0)
            return i;
        size_t used = strlen(expected);
        snprintf(expected + used, sizeof expected - used, "%s%s", i ? ", " : "", names[i]);
    }
    complain("%s %s: expected one of %s", option, text, expected);
    return -1;
}

bool parse_format(output_format *out, const char *text, bool csv)
{
    const char *const names[] = {"text", "json", csv ? "csv" : NULL, NULL};
    int choice = parse_choice("--format", text, names);
    if (choice >= 0)
        *out = (output_format)choice;
    return choice >= 0;
}

/* cmd_headload_report.c - a page to explore a head load: one file that needs nothing else. */
#include "base/replace_file.h"
#include "tools/figures/report.h"
#include "tools/program/command.h"
#include "tools/program/complain.h"
#include "tools/program/head_load_choice.h"
#include "tools/program/output.h"
#include "tools/program/outputs_check.h"

#include <stdlib.h>
#include <string.h>

static const char help[] =
    "FILE -o PAGE.html\n"
    "Makes a page to explore a head load in a browser: summary, heatmap of every block, classes side\n"
    "by side, statistics; load, gate or gate share, with 95 % intervals. It prints, saves what it shows\n"
    "as SVG, PNG or CSV, and works by keyboard and with screen readers. One file; neither making nor\n"
    "opening it uses the network. Needs a browser of 2023 or later.\n\n"
    "  -o, --output FILE  the page to write\n"
    "  -h, --help         show this\n";

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static mohvit_status report(const head_load *l, const char *path, const char *output, mohvit_error *err)
{
    bytes page;
    char *title = escape(file_name(path), ESCAPE_NAME, NULL);
    mohvit_status status = report_build(&page, l, title, path, err);
    free(title);
    if (status)
        return status;
    status = replace_with_bytes(output, page.data, page.size, err);
    if (!status) {
        output_name(output);
        bool large = page.size >= 1000000;
        output_printf(": %zu class%s, %zu block%s, %.*f %s\n", l->names.count,
                      l->names.count == 1 ? "" : "es", l->routing.count, plural(l->routing.count), large,
                      (double)page.size / (large ? 1e6 : 1e3), large ? "MB" : "KB");
    }
    bytes_free(&page);
    return status;
}

// ---- The command line ------------------------------------------------------------------------------

static bool take_option(void *options, UNUSED int code, const char *value)
{
    return takes_file(FILE_OUTPUT, "-o", value, options);
}

static int run_report(int argc, char **argv)
{
    static const struct option table[] = {
        {"output", required_argument, NULL, 'o'},
        LAST_OPTIONS,
    };
    const char *output = NULL;
    mohvit_error err;
    int parsed = options_read(&command_headload_report, argc, argv, "o:", table, take_option, &output);
    if (parsed != PARSED)
        return parsed;
    if (argc - optind != 1)
        return usage_error("headload report", "expected one head load");
    if (!output)
        return usage_error("headload report", "expected -o and the name of the page to write");
    names_file(FILE_READ, NULL, argv[optind]);
    parsed = outputs_check("headload report");
    if (parsed != PARSED)
        return parsed;
    if (!outputs_possible_or_complain())
        return EXIT_INPUT;
    head_load *l = head_load_open_or_complain(argv[optind]);
    if (!l)
        return EXIT_INPUT;
    bool fine = fine_or_complain(report(l, argv[optind], output, &err), &err);
    head_load_destroy(l);
    return fine ? EXIT_FINE : EXIT_INPUT;
}

const command command_headload_report = {"headload report", "make a page to explore a head load", help,
                                         run_report};

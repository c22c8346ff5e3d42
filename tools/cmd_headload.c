/* cmd_headload.c - which heads work for which class: finds the command below `mohvit headload`. */
#include "cmd_headload.h"

#include "output.h"

#include <string.h>

static const char help[] =
    "COMMAND [OPTION ...] FILE|DATA ...\n"
    "Counts which heads work for which class, a head load, and shows what it tells.\n\n"
    "  count DATA -o FILE        counts over pictures by their class\n"
    "  export FILE --csv|--json  tidy rows: class, block, head, load, share, mean gate\n"
    "  plot FILE -o FIGURE       bars for each class, or a heatmap; SVG, PNG or PDF\n"
    "  stats FILE                balance, entropy, divergence of classes, dead and specific heads\n"
    "  report FILE -o PAGE       a page to explore all of it, in one HTML file\n\n"
    "\"mohvit headload COMMAND --help\" explains each. The options of all, but those about data, run\n"
    "and model that count shares with eval:\n\n"
    "  --csv, --json      export: which format\n"
    "  -o, --output FILE  count, plot, report: the file to write\n"
    "  --by-prediction    count: pictures without a class under the predicted one\n"
    "  --classes LIST     plot: names, ids or numbers, separated by commas\n"
    "  --block S.B        plot, stats: stage and block; default: the last that routes, all\n"
    "  --heatmap          plot: classes x heads\n"
    "  --with-shared      plot: the shared heads too\n"
    "  --width MM         plot: width of the figure\n"
    "  --dpi N            plot: resolution of a PNG\n"
    "  --format FORMAT    count, stats: text or json\n"
    "  -h, --help         show this\n";

static const command *const commands[] = {
    &command_headload_count, &command_headload_export, &command_headload_plot,
    &command_headload_stats, &command_headload_report,
};
#define COMMANDS (sizeof commands / sizeof *commands)

static int run_headload(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (!strcmp(name, "--help") || !strcmp(name, "-h")) {
        command_print_help(&command_headload);
        return EXIT_FINE;
    }
    for (size_t i = 0; i < COMMANDS; i++)
        if (!strcmp(strrchr(commands[i]->name, ' ') + 1, name))
            return commands[i]->run(argc - 1, argv + 1);
    if (*name == '-')
        return usage_error("headload", "%s: no such option before a command", name);
    if (*name)
        complain("headload %s: no such command", name);
    return usage_error("headload", "expected one of count, export, plot, stats, report");
}

const command command_headload = {"headload", "say which heads work for which class", help, run_headload};

/* cmd_headload.c - which heads work for which class: finds the command below `mohvit headload`. */
#include "tools/program/command.h"
#include "tools/program/complain.h"

#include <string.h>

static const char help[] =
    "COMMAND [OPTION ...] FILE|DATA ...\n"
    "Counts which heads work for which class (the head load), and shows what the counts tell.\n\n"
    "Commands:\n"
    "  count      count over pictures by their class\n"
    "  export     print tidy rows: class, block, head, load, share, mean gate\n"
    "  plot       draw bars for each class, or a heatmap; SVG, PNG or PDF\n"
    "  stats      print balance, entropy, divergence of classes, dead and specific heads\n"
    "  report     make a page to explore all of it, in one HTML file\n"
    "  ablate     run pictures without each head in turn, and print what its absence costs\n"
    "  top        list the pictures that use each head most\n"
    "  relate     print which classes route alike, or which heads work together\n"
    "  certainty  run pictures, and print how sure routers are of their choice and how stable it is\n"
    "\nOptions:\n"
    "  -h, --help  show this\n"
    "\n\"mohvit headload COMMAND --help\" explains each.\n";

static const command *const commands[] = {
    &command_headload_count, &command_headload_export, &command_headload_plot,
    &command_headload_stats, &command_headload_report, &command_headload_ablate,
    &command_headload_top,   &command_headload_relate, &command_headload_certainty,
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
    return usage_error("headload",
                       "expected one of count, export, plot, stats, report, ablate, top, relate, certainty");
}

const command command_headload = {"headload", "say which heads work for which class", help, run_headload};

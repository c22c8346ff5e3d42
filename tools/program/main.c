/* main.c - the program: finds the command and lets it run. */
#include "base/edit_distance.h"
#include "base/replace_file.h"
#include "imgio/formats.h"
#include "tools/program/command.h"
#include "tools/program/complain.h"
#include "tools/program/interrupt.h"
#include "tools/program/openblas_core.h"
#include "tools/program/output.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const command *const commands[] = {
    &command_classify, &command_eval,  &command_merge,      &command_headload, &command_routes, &command_info,
    &command_convert,  &command_synth, &command_preprocess, &command_verify,   &command_bench,
};
#define COMMANDS (sizeof commands / sizeof *commands)

static void print_overview(void)
{
    output_printf("Usage: mohvit COMMAND [OPTION ...] [ARGUMENT ...]\n"
                  "Classifies images with MoH-ViT on the CPU.\n\n"
                  "Commands:\n");
    for (size_t i = 0; i < COMMANDS; i++)
        output_printf("  %-11s %s\n", commands[i]->name, commands[i]->summary);
    output_printf("  %-11s %s\n", "help", "explain a command, as \"mohvit COMMAND --help\" does");
    output_printf(
        "\nOptions:\n"
        "  -h, --help     show this\n"
        "  -V, --version  show the version, and what it runs on; --format json: one line\n"
        "\nResults go to standard output, all else to standard error.\n"
        "Exit status: 0 fine, 1 some input failed, 2 wrong usage, 3 the model could not be loaded.\n"
        "\nTry it: mohvit classify photo.jpg\n");
}

static const command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    if (*name == '-') {
        complain("%s: no such option; try \"mohvit --help\"", name);
        return EXIT_USAGE;
    }
    complain("%s: no such command", name);
    bool close = !access(name, F_OK) || picture_named(name);
    if (close)
        complain("did you mean \"mohvit classify %s\"?", name);
    for (size_t i = 0; i < COMMANDS; i++) {
        bool prefix = *name && strncmp(commands[i]->name, name, strlen(name)) == 0;
        if (prefix || edit_distance(name, commands[i]->name) <= 2) {
            complain("did you mean \"mohvit %s\"?", commands[i]->name);
            close = true;
        }
    }
    for (size_t i = 0; !close && i < COMMANDS; i++)
        complain("  %-11s %s", commands[i]->name, commands[i]->summary);
    complain("try \"mohvit --help\"");
    return EXIT_USAGE;
}

static int help(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "help") == 0) {
        print_overview();
        return EXIT_FINE;
    }
    const command *c = find_command(argv[1]);
    if (!c)
        return unknown_command(argv[1]);
    if (argc > 2) { // of a command below it
        char *rest[] = {argv[1], argv[2], "--help", NULL};
        return c->run(3, rest);
    }
    command_print_help(c);
    return EXIT_FINE;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        complain("no command given; try \"mohvit --help\"");
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_overview();
        return EXIT_FINE;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        return command_version.run(argc - 1, argv + 1);
    if (strcmp(name, "help") == 0)
        return help(argc - 1, argv + 1);
    const command *c = find_command(name);
    return c ? c->run(argc - 1, argv + 1) : unknown_command(name);
}

int main(int argc, char **argv)
{
    interrupt_default();
    // OpenBLAS would start threads that nobody uses, and hang where it cannot.
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    openblas_core_begin();
    output_begin();
    atexit(replace_cancel_all); // where memory runs out, or_die() ends the program, whatever is under way
    return output_end(dispatch(argc, argv));
}

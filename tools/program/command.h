/* command.h - what every command of the program shares: its entry in the table, its options, its exit
 * status. */
#ifndef MOHVIT_COMMAND_H
#define MOHVIT_COMMAND_H

#include "tools/program/complain.h"

#include <getopt.h>

typedef struct command {
    const char *name, *summary;
    const char *help; /* what follows "Usage: mohvit NAME " */
    int (*run)(int argc, char **argv);
} command;

extern const command command_classify, command_info, command_convert, command_synth, command_preprocess,
    command_verify, command_bench, command_eval, command_merge, command_headload, command_routes,
    command_version;
/* Below `mohvit headload`. */
extern const command command_headload_count, command_headload_export, command_headload_plot,
    command_headload_stats, command_headload_report, command_headload_ablate, command_headload_top,
    command_headload_relate, command_headload_certainty;

void command_print_help(const command *c);

/* ---- Options --------------------------------------------------------------------------------- */

/* Codes of options without a letter: --format, --escaped, a command's own, those of evaluation_options.h,
 * model_options.h and figure_options.h. */
enum {
    OPTION_FORMAT = 256,
    OPTION_ESCAPED,
    OPTION_OWN,
    OPTION_EVALUATION = 384,
    OPTION_MODEL = 512,
    OPTION_FIGURE = 640
};

enum { OPTION_HELP = 'h', OPTION_NULL = '0' };

/* What an option without a value sets in an int that its table names. */
enum { FLAG_SET = 1 };

// clang-format off
/* Every command's table ends with them. */
#define LAST_OPTIONS {"help", no_argument, NULL, OPTION_HELP}, {NULL, 0, NULL, 0}
// clang-format on

/* What a parser answers once all options are read; any other value is the exit status to leave with. */
enum { PARSED = -1 };

/* Takes one option of a command's table, but those with a flag of their own, into its options; false where
 * its value is wrong, which has been reported. */
typedef bool option_taker(void *options, int code, const char *value);

/* getopt_long over the whole command line with messages of our own: hands each option to take. PARSED, with
 * optind at the first argument that is none; or the exit status, after a mistake or the help. take may be
 * NULL where all options are flags. */
int options_read(const command *c, int argc, char **argv, const char *letters, const struct option *table,
                 option_taker *take, void *options);

/* Reports a mistake in the command line and how to get help; returns EXIT_USAGE. */
int usage_error(const char *command, const char *format, ...) PRINTF_LIKE(2, 3);

/* Whole numbers and decimals, all of text and in range, else false and a message. */
bool parse_whole(size_t *out, const char *option, const char *text, size_t min, size_t max);
bool parse_seed(uint64_t *out, const char *option, const char *text);
bool parse_tolerance(double *out, const char *option, const char *text);

/* The index of text in names (ended by NULL), else −1 and a message. */
int parse_choice(const char *option, const char *text, const char *const *names);

typedef enum output_format { FORMAT_TEXT, FORMAT_JSON, FORMAT_CSV } output_format;

/* text or json; csv as well where the command has it. */
bool parse_format(output_format *out, const char *text, bool csv);

#endif

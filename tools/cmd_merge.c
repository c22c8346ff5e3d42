/* cmd_merge.c - the results of shards, added up. */
#include "eval_output.h"
#include "header.h"
#include "output.h"

#include <stdio.h>
#include <stdlib.h>

static const char help[] =
    "[OPTION ...] STATE ...\n"
    "Adds up the states of an evaluation's shards (eval --shard I/N --state FILE). The result is that\n"
    "of one run over all pictures. Parts that are missing, or there more than once, are named.\n\n"
    "  --format FORMAT     text (default) or json: one line\n"
    "  --per-class FILE    CSV: accuracy of each class, and what it is most taken for\n"
    "  --predictions FILE  CSV: class, five likeliest classes and loss of each picture\n"
    "  --allow-mixed       takes states of different processors and backends together\n"
    "  -h, --help          show this\n";

typedef struct merge_options {
    output_format format;
    const char *per_class, *predictions;
    bool allow_mixed;
    char **states; /* (count) */
    size_t count;
} merge_options;

// ---- Opening ---------------------------------------------------------------------------------------

static mohvit_status open_states(const merge_options *o, journal **journals, mohvit_error *err)
{
    const warning_sink warn = {output_warning, NULL};
    mohvit_status status = MOHVIT_OK;
    for (size_t i = 0; !status && i < o->count; i++) {
        status = journal_open_finished(&journals[i], o->states[i], &warn, err);
        if (!status && i)
            status = header_compare(journal_header(journals[0]), journal_header(journals[i]), false,
                                    o->allow_mixed, o->states[i], &warn, err);
        if (!status && o->predictions && !header_has_section(journal_header(journals[i]), "predictions"))
            status = error_set(err, MOHVIT_ERROR_MISMATCH,
                               "%s: was made without --predictions, and its records lack them", o->states[i]);
    }
    return status;
}

// ---- Whole, and each part once ---------------------------------------------------------------------

/* Which states have a chunk. */
static size_t owners(const record_set *s, size_t chunk, size_t *first, size_t *last)
{
    size_t count = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (!journal_has(s->journals[i], chunk))
            continue;
        *first = count ? *first : i;
        *last = i;
        count++;
    }
    return count;
}

static void name_chunks(const char *what, const record_set *s, size_t first, size_t end)
{
    size_t images = header_images(journal_header(s->journals[0]));
    size_t last = end * CHUNK_IMAGES < images ? end * CHUNK_IMAGES : images;
    if (end - first == 1)
        complain("chunk %zu (images %zu to %zu) %s", first, first * CHUNK_IMAGES, last - 1, what);
    else
        complain("chunks %zu to %zu (images %zu to %zu) %s", first, end - 1, first * CHUNK_IMAGES, last - 1,
                 what);
}

/* Names stretches of chunks that are there not at all, or several times. */
static bool check_complete(const record_set *s)
{
    size_t chunks = record_set_chunks(s);
    bool whole = true;
    for (size_t start = 0, end; start < chunks; start = end) {
        size_t a = 0, b = 0, first, last, count = owners(s, start, &a, &b);
        for (end = start + 1; end < chunks; end++) {
            first = last = 0;
            if (owners(s, end, &first, &last) != count || first != a || last != b)
                break;
        }
        if (count == 1)
            continue;
        whole = false;
        char *what;
        if (!count) {
            name_chunks("are missing", s, start, end);
        } else if (asprintf(&what, "are in %s and in %s", journal_name(s->journals[a]),
                            journal_name(s->journals[b])) >= 0) {
            name_chunks(what, s, start, end);
            free(what);
        }
    }
    return whole;
}

/* Several owners of the same stretch need not be the same states, but the first and the last are named. */
static int merge_opened(const merge_options *o, journal **journals)
{
    const eval_report r = {
        .set = {journals, o->count},
        .format = o->format,
        .per_class = o->per_class,
        .predictions = o->predictions,
        .images = header_images(journal_header(journals[0])),
    };
    if (!check_complete(&r.set)) {
        complain("these states are not one whole evaluation: no result");
        return EXIT_INPUT;
    }
    return eval_report_print(&r);
}

static int merge(const merge_options *o)
{
    mohvit_error err;
    journal **journals = need(calloc(o->count, sizeof *journals));
    mohvit_status status = open_states(o, journals, &err);
    if (status)
        complain("%s", err.message);
    int exit = status ? EXIT_INPUT : merge_opened(o, journals);
    for (size_t i = 0; i < o->count; i++)
        journal_close(journals[i]);
    free(journals);
    return exit;
}

// ---- The command line ------------------------------------------------------------------------------

enum { OPTION_FORMAT = OPTION_OWN, OPTION_PER_CLASS, OPTION_PREDICTIONS, OPTION_MIXED };

static bool take_option(void *options, int code, const char *value)
{
    merge_options *o = options;
    switch (code) {
    case OPTION_FORMAT:
        return parse_format(&o->format, value, false);
    case OPTION_PER_CLASS:
        o->per_class = value;
        return true;
    case OPTION_PREDICTIONS:
        o->predictions = value;
        return true;
    case OPTION_MIXED:
        return o->allow_mixed = true;
    default:
        return false;
    }
}

static int run_merge(int argc, char **argv)
{
    static const struct option table[] = {
        {"format", required_argument, NULL, OPTION_FORMAT},
        {"per-class", required_argument, NULL, OPTION_PER_CLASS},
        {"predictions", required_argument, NULL, OPTION_PREDICTIONS},
        {"allow-mixed", no_argument, NULL, OPTION_MIXED},
        HELP_OPTION,
        END_OPTION,
    };
    merge_options o = {0};
    int parsed = options_read(&command_merge, argc, argv, "", table, take_option, &o);
    if (parsed != PARSED)
        return parsed;
    o.states = argv + optind;
    o.count = (size_t)(argc - optind);
    if (!o.count)
        return usage_error("merge", "expected the states of an evaluation's shards");
    return merge(&o);
}

const command command_merge = {"merge", "add up the shards of an evaluation", help, run_merge};

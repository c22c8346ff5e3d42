/* cmd_merge.c - the results of shards, added up: of states, or of head loads. */
#include "eval/ablation_record.h"
#include "eval/certainty_record.h"
#include "eval/header.h"
#include "tools/program/complain.h"
#include "tools/program/eval_output.h"
#include "tools/program/head_load_choice.h"
#include "tools/program/json_build.h"
#include "tools/program/output.h"
#include "tools/program/outputs_check.h"
#include "vit/network/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static const char help[] =
    "[OPTION ...] STATE ... | --head-load FILE LOAD.safetensors ...\n"
    "Adds up the states of an evaluation's shards (eval --shard I/N --state FILE). The result is that\n"
    "of one run over all pictures. An error names parts that are missing or repeated.\n"
    "Also adds up head loads, as \"headload count\" writes them.\n\n"
    "  --format FORMAT     text (default) or json: one line\n"
    "  --per-class FILE    CSV: accuracy of each class, and the class that it is most often taken for\n"
    "  --predictions FILE  CSV: class, five likeliest classes and loss of each picture\n"
    "  --head-load FILE    safetensors: which heads work for which class; from head loads, or from\n"
    "                      states that have it\n"
    "  --features FILE     safetensors: the vector that the classifier scores, for each picture; from\n"
    "                      states that have it\n"
    "  --logits FILE       safetensors: the scores before softmax; from states that have them\n"
    "  --per-image FILE    safetensors: the head load of each single picture; from states that have it\n"
    "  --allow-mixed       adds up states of different processors or backends\n"
    "  --drop-intervals    adds up head loads with and without intervals, such as those of 0.1; the\n"
    "                      result has none\n"
    "  -h, --help          show this\n";

typedef struct merge_options {
    output_format format;
    const char *per_class, *predictions, *head_load, *vectors[VECTOR_KINDS];
    bool allow_mixed, drop_intervals;
    char **states; /* (count) */
    size_t count;
} merge_options;

// ---- Opening ---------------------------------------------------------------------------------------

/* Thousands of shards are no reason to give up at the 1,024 files of a shell's soft limit. */
static void allow_many_files(void)
{
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

/* A picture that was mended between two shards is fine, and what else may differ is not for us to know. */
static void compare_files(const json_t *first, const json_t *other, const char *name)
{
    const json_t *files = json_object_get(first, "data"); // 0.1 told the sizes apart with all else
    if (files && !json_equal(files, json_object_get(other, "data")))
        complain(
            "warning: %s: some of its pictures had other sizes when it was begun than for the first state",
            name);
}

/* Scores are not what a state with another question is about. */
static mohvit_status check_kind(const journal *j, mohvit_error *err)
{
    static const struct {
        const char *section, *command;
    } others[] = {{ABLATION_SECTION, "ablate"}, {CERTAINTY_SECTION, "certainty"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (header_has_section(journal_header(j), others[i].section))
            return error_set(
                err, MOHVIT_ERROR_MISMATCH,
                "%s: is a state of \"headload %s\", which is not merged: the command that made it "
                "prints its result; expected one of \"eval\" or \"headload count\"",
                journal_name(j), others[i].command);
    return MOHVIT_OK;
}

static mohvit_status check_sections(const merge_options *o, const journal *j, mohvit_error *err)
{
    const json_t *header = journal_header(j);
    const char *lacking = o->predictions && !header_has_section(header, "predictions") ? "predictions" : NULL;
    for (vector_kind k = 0; !lacking && k < VECTOR_KINDS; k++)
        if (o->vectors[k] && !header_has_section(header, vector_kind_name(k)))
            lacking = vector_kind_name(k);
    return lacking
               ? error_set(err, MOHVIT_ERROR_MISMATCH, "%s: was made without --%s, and its records lack them",
                           journal_name(j), lacking)
               : MOHVIT_OK;
}

static mohvit_status open_states(const merge_options *o, journal **journals, mohvit_error *err)
{
    const warning_sink warn = {complain_warning, NULL};
    mohvit_status status = MOHVIT_OK;
    allow_many_files();
    for (size_t i = 0; !status && i < o->count; i++) {
        status = journal_open_finished(&journals[i], o->states[i], &warn, err);
        if (!status)
            status = check_kind(journals[i], err);
        if (!status && i &&
            (status = header_compare(journal_header(journals[0]), journal_header(journals[i]), false,
                                     o->allow_mixed, o->states[i], &warn, err))) {
            const mohvit_error cause = *err;
            error_set(err, status, "%s (compared with %s)", cause.message, o->states[0]);
        }
        if (!status && i)
            compare_files(journal_header(journals[0]), journal_header(journals[i]), o->states[i]);
        if (!status)
            status = check_sections(o, journals[i], err);
        if (!status && i)
            journal_forget_classes(journals[i]);
    }
    return status;
}

// ---- Whole, and each part once ---------------------------------------------------------------------

static void name_chunks(const char *where, const record_set *s, size_t first, size_t end)
{
    size_t images = header_images(journal_header(s->journals[0]));
    size_t last = end * CHUNK_IMAGES < images ? end * CHUNK_IMAGES : images;
    if (end - first == 1)
        complain("chunk %zu (images %zu to %zu) is %s", first, first * CHUNK_IMAGES, last - 1, where);
    else
        complain("chunks %zu to %zu (images %zu to %zu) are %s", first, end - 1, first * CHUNK_IMAGES,
                 last - 1, where);
}

static void name_doubled(const record_set *s, size_t first, size_t end, size_t a, size_t b)
{
    char *where;
    if (asprintf(&where, "in %s and in %s", journal_name(s->journals[a]), journal_name(s->journals[b])) < 0)
        where = or_die(NULL);
    name_chunks(where, s, first, end);
    free(where);
}

/* Names stretches of chunks that are in two states. */
static bool check_once(const record_set *s, const record_place *p, size_t count)
{
    bool once = true;
    for (size_t i = 0, k; i + 1 < count; i = k) {
        k = i + 1;
        if (p[i].chunk != p[i + 1].chunk)
            continue;
        size_t chunk = p[i].chunk, first = p[i].journal, second = p[i + 1].journal;
        for (k = i + 2; k + 1 < count && p[k].chunk == chunk + 1 && p[k + 1].chunk == chunk + 1 &&
                        p[k].journal == first && p[k + 1].journal == second;
             k += 2)
            chunk++;
        name_doubled(s, p[i].chunk, chunk + 1, first, second);
        once = false;
    }
    return once;
}

/* Names stretches of chunks that are in none. */
static bool check_there(const record_set *s, const record_place *p, size_t count)
{
    size_t next = 0, chunks = record_set_chunks(s);
    bool there = true;
    for (size_t i = 0; i <= count; i++) {
        size_t chunk = i < count ? p[i].chunk : chunks;
        if (chunk > next) {
            name_chunks("missing", s, next, chunk);
            there = false;
        }
        next = chunk + 1;
    }
    return there;
}

static bool check_complete(const record_set *s)
{
    record_place *places = or_die(record_set_places(s));
    size_t count = record_set_done(s);
    bool once = check_once(s, places, count), there = check_there(s, places, count);
    free(places);
    return once && there;
}

static int merge_opened(const merge_options *o, journal **journals)
{
    const eval_report r = {
        .set = {journals, o->count},
        .format = o->format,
        .per_class = o->per_class,
        .predictions = o->predictions,
        .vectors = {o->vectors[VECTOR_FEATURES], o->vectors[VECTOR_LOGITS], o->vectors[VECTOR_HEADS]},
        .images = header_images(journal_header(journals[0])),
    };
    if (!check_complete(&r.set)) {
        complain("these states are not one whole evaluation: no result");
        return EXIT_INPUT;
    }
    mohvit_error err;
    mohvit_status status =
        o->head_load ? eval_write_head_load(o->head_load, &r.set, NULL, NULL, NULL, &err) : MOHVIT_OK;
    bool fine = fine_or_complain(status, &err);
    int exit = eval_report_print(&r);
    return fine ? exit : EXIT_INPUT;
}

static int merge(const merge_options *o)
{
    mohvit_error err;
    journal **journals = or_die(calloc(o->count, sizeof *journals));
    bool opened = fine_or_complain(open_states(o, journals, &err), &err);
    int exit = opened ? merge_opened(o, journals) : EXIT_INPUT;
    for (size_t i = 0; i < o->count; i++)
        journal_close(journals[i]);
    free(journals);
    return exit;
}

// ---- Head loads ------------------------------------------------------------------------------------

static void print_merged(const merge_options *o, const head_load *l)
{
    if (o->format == FORMAT_JSON) {
        output_json(or_die(json_pack("{s:o, s:I, s:O, s:O}", "file", json_text(o->head_load), "images",
                                     (json_int_t)head_load_images(l, NULL), "data", l->sources, "provenance",
                                     l->provenance)));
    } else {
        output_name(o->head_load);
        output_printf(": %lld images\n", (long long)head_load_images(l, NULL));
    }
}

/* Unlike states, head loads may be of any parts of any data: what is missing may be meant to be. */
static void name_missing_parts(const merge_options *o, const head_load *l)
{
    char missing[128];
    for (size_t i = 0; i < json_array_size(l->sources); i++) {
        const json_t *source = json_array_get(l->sources, i);
        const char *name = json_string_value(json_array_get(json_object_get(source, "prefixes"), 0));
        if (!name)
            name = json_string_value(json_object_get(source, "fingerprint"));
        for (int behind = 0; behind < 2; behind++)
            if (head_load_missing(l, i, behind, missing, sizeof missing))
                complain("warning: %s: of %s, %s", o->head_load, name ? name : "the data", missing);
    }
}

static unsigned allowed(const merge_options *o)
{
    return (o->allow_mixed ? HEAD_LOAD_MIXED : 0) | (o->drop_intervals ? HEAD_LOAD_DROP_SQUARES : 0);
}

/* Number i, which is l, does not go with the files before it: makes *err say with which of them. */
static void blame_one(const merge_options *o, size_t i, const head_load *l, mohvit_error *err)
{
    bool blamed = false;
    for (size_t k = 0; !blamed && k < i; k++) {
        head_load *one = NULL;
        mohvit_error with_one = {0};
        blamed = !head_load_open(&one, o->states[k], config_routing_from_json, NULL) &&
                 head_load_merge(one, l, o->states[k], o->states[i], allowed(o), &with_one);
        if (blamed)
            *err = with_one;
        head_load_destroy(one);
    }
}

static int merge_head_loads(const merge_options *o)
{
    mohvit_error err;
    mohvit_status status = MOHVIT_OK;
    head_load *sum = head_load_open_or_complain(o->states[0]);
    size_t with_pairs = sum && sum->together;
    for (size_t i = 1; sum && !status && i < o->count; i++) {
        head_load *l = NULL;
        status = head_load_open(&l, o->states[i], config_routing_from_json, &err);
        if (!status)
            status = head_load_merge(sum, l, o->states[0], o->states[i], allowed(o), &err);
        if (l && status)
            blame_one(o, i, l, &err);
        with_pairs += l && l->together;
        head_load_destroy(l);
    }
    if (sum && !status)
        status = head_load_save(sum, o->head_load, &err);
    bool fine = sum && fine_or_complain(status, &err);
    if (fine && with_pairs && !sum->together)
        complain(
            "warning: %s: does not say which heads the same tokens selected, as %zu of the head loads does "
            "not",
            o->head_load, o->count - with_pairs);
    if (fine) {
        name_missing_parts(o, sum);
        print_merged(o, sum);
    }
    head_load_destroy(sum);
    return fine ? EXIT_FINE : EXIT_INPUT;
}

/* Which kind all files are of. */
static int merge_any(const merge_options *o)
{
    bool loads = head_load_is_in(o->states[0]);
    for (size_t i = 0; i < o->count; i++) {
        if (!access(o->states[i], R_OK))
            continue;
        mohvit_error err;
        fine_or_complain(error_errno(&err, "%s", o->states[i]), &err);
        return EXIT_INPUT;
    }
    for (size_t i = 1; i < o->count; i++) {
        if (head_load_is_in(o->states[i]) == loads)
            continue;
        complain("%s and %s: one is a head load and one is not", o->states[0], o->states[i]);
        return EXIT_INPUT;
    }
    if (!loads)
        return merge(o);
    if (!o->head_load || o->per_class || o->predictions || o->vectors[VECTOR_FEATURES] ||
        o->vectors[VECTOR_LOGITS] || o->vectors[VECTOR_HEADS])
        return usage_error("merge", "%s: is a head load: expected --head-load FILE, and no other output",
                           o->states[0]);
    return merge_head_loads(o);
}

// ---- The command line ------------------------------------------------------------------------------

enum {
    OPTION_PER_CLASS = OPTION_OWN,
    OPTION_PREDICTIONS,
    OPTION_HEAD_LOAD,
    OPTION_FEATURES,
    OPTION_LOGITS,
    OPTION_PER_IMAGE,
    OPTION_MIXED,
    OPTION_DROP
};

static bool take_option(void *options, int code, const char *value)
{
    merge_options *o = options;
    switch (code) {
    case OPTION_FORMAT:
        return parse_format(&o->format, value, false);
    case OPTION_PER_CLASS:
        return takes_file(FILE_OUTPUT, "--per-class", value, &o->per_class);
    case OPTION_PREDICTIONS:
        return takes_file(FILE_OUTPUT, "--predictions", value, &o->predictions);
    case OPTION_HEAD_LOAD:
        return takes_file(FILE_OUTPUT, "--head-load", value, &o->head_load);
    case OPTION_FEATURES:
        return takes_file(FILE_OUTPUT, "--features", value, &o->vectors[VECTOR_FEATURES]);
    case OPTION_LOGITS:
        return takes_file(FILE_OUTPUT, "--logits", value, &o->vectors[VECTOR_LOGITS]);
    case OPTION_PER_IMAGE:
        return takes_file(FILE_OUTPUT, "--per-image", value, &o->vectors[VECTOR_HEADS]);
    case OPTION_MIXED:
        return o->allow_mixed = true;
    case OPTION_DROP:
        return o->drop_intervals = true;
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
        {"head-load", required_argument, NULL, OPTION_HEAD_LOAD},
        {"features", required_argument, NULL, OPTION_FEATURES},
        {"logits", required_argument, NULL, OPTION_LOGITS},
        {"per-image", required_argument, NULL, OPTION_PER_IMAGE},
        {"allow-mixed", no_argument, NULL, OPTION_MIXED},
        {"drop-intervals", no_argument, NULL, OPTION_DROP},
        LAST_OPTIONS,
    };
    merge_options o = {0};
    int parsed = options_read(&command_merge, argc, argv, "", table, take_option, &o);
    if (parsed != PARSED)
        return parsed;
    o.states = argv + optind;
    o.count = (size_t)(argc - optind);
    if (!o.count)
        return usage_error("merge", "expected the states of an evaluation's shards");
    for (size_t i = 0; i < o.count; i++)
        names_file(FILE_READ, NULL, o.states[i]);
    parsed = outputs_check("merge");
    if (parsed != PARSED)
        return parsed;
    return outputs_possible_or_complain() ? merge_any(&o) : EXIT_INPUT;
}

const command command_merge = {"merge", "add up the shards of an evaluation", help, run_merge};

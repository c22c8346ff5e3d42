#include "tools/program/evaluation_options.h"

#include "eval/ranks.h"
#include "imgio/preprocess.h"
#include "tools/program/complain.h"
#include "tools/program/outputs_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void evaluation_options_begin(evaluation_options *o, const char *name)
{
    *o = (evaluation_options){.command = name, .max_errors = SIZE_MAX, .log_every = 60};
    model_options_begin(&o->model);
}

static bool parse_crop_pct(double *out, const char *text)
{
    if (!parse_tolerance(out, "--crop-pct", text))
        return false;
    if (*out > 0 && *out <= PREPROCESS_MAX_CROP_PCT)
        return true;
    complain("--crop-pct %s: expected a number above 0, at most %g", text, PREPROCESS_MAX_CROP_PCT);
    return false;
}

static bool parse_routed_list(evaluation_options *o, const char *text)
{
    free(o->routed_text);
    o->routed_text = or_die(strdup(text));
    o->routed_count = 0;
    char *rest = o->routed_text;
    for (char *value; (value = strsep(&rest, ","));) {
        if (o->routed_count == EVALUATION_MAX_TOP_KS) {
            complain("--routed-heads %s: expected at most %d values", text, EVALUATION_MAX_TOP_KS);
            return false;
        }
        if (!parse_routed(&o->routed[o->routed_count++], value))
            return false;
    }
    return true;
}

static bool parse_shard(evaluation_options *o, const char *text)
{
    char tail;
    bool plain = text[strspn(text, "0123456789/")] == '\0'; // %zu would take blanks and a sign
    if (plain && sscanf(text, "%9zu/%9zu%c", &o->shard, &o->shards, &tail) == 2 && o->shard >= 1 &&
        o->shard <= o->shards) {
        snprintf(o->part_text, sizeof o->part_text, "%zu/%zu", o->shard, o->shards);
        o->part = o->part_text;
        return true;
    }
    complain("--shard %s: expected I/N, such as 1/4 to 4/4", text);
    return false;
}

void evaluation_options_end(evaluation_options *o)
{
    free(o->routed_text);
}

bool evaluation_option(void *options, int code, const char *value)
{
    evaluation_options *o = options;
    switch (code) {
    case OPTION_TRUTH:
        return takes_list("--truth", value, &o->truth);
    case OPTION_TRUTH_IN_ORDER:
        return takes_list("--truth-in-order", value, &o->truth_in_order);
    case OPTION_CLASSES_BY_ORDER:
        return o->by_order = true;
    case OPTION_CLASSES_BY_NUMBER:
        return o->by_number = true;
    case OPTION_CLASSES_FROM_NAMES:
        return o->from_names = true;
    case OPTION_IMAGE_EXT:
        o->image_ext = value;
        return true;
    case OPTION_NULL:
        return o->null_lists = true;
    case OPTION_ESCAPED:
        return o->escaped = true;
    case OPTION_REAL_LABELS:
        return takes_list("--real-labels", value, &o->real_labels);
    case OPTION_SUBSET:
        return takes_list("--subset", value, &o->subset);
    case OPTION_LIMIT:
        return parse_whole(&o->limit, "--limit", value, 1, SIZE_MAX / 2);
    case OPTION_SAMPLE:
        return parse_whole(&o->sample, "--sample", value, 1, SIZE_MAX / 2);
    case OPTION_SAMPLE_SEED:
        o->seeded = true;
        return parse_seed(&o->seed, "--seed", value);
    case OPTION_CROP_PCT:
        return parse_crop_pct(&o->crop_pct, value);
    case OPTION_EXIF_ORIENTATION:
        return o->exif_orientation = true;
    case OPTION_ROUTED_VALUES:
        return parse_routed_list(o, value);
    case OPTION_STATE:
        return takes_file(FILE_STATE, "--state", value, &o->state);
    case OPTION_SHARD:
        return parse_shard(o, value);
    case OPTION_ALLOW_MIXED:
        return o->allow_mixed = true;
    case OPTION_SKIP_OTHER_FORMATS:
        return o->skip_other_formats = true;
    case OPTION_MAX_ERRORS:
        return parse_whole(&o->max_errors, "--max-errors", value, 0, SIZE_MAX / 2);
    case OPTION_LOG_EVERY:
        return parse_whole(&o->log_every, "--log-every", value, 1, 1000000);
    case OPTION_QUIET:
        return o->quiet = true;
    default:
        return model_option(&o->model, code, value);
    }
}

static bool is_stream(const char *path)
{
    return path && !unless_stream(path);
}

static int check_data(const evaluation_options *o, const char *name)
{
    const char *const lists[] = {o->truth, o->truth_in_order, o->real_labels, o->subset,
                                 o->model.open.labels};
    size_t streams = 0;
    int classes = (o->truth != NULL) + (o->truth_in_order != NULL) + (o->real_labels != NULL) +
                  o->from_names + o->by_order + o->by_number;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        streams += is_stream(lists[i]);
    for (size_t i = 0; i < o->data_count; i++)
        streams += is_stream(o->data[i]);
    if (streams > 1)
        return usage_error(name, "standard input can be read only once");
    if (o->null_lists && o->escaped)
        return usage_error(name, "-0 reads names as they are, --escaped as results write them; expected one");
    if (classes > 1)
        return usage_error(name,
                           "expected one of --truth, --truth-in-order, --real-labels, --classes-by-order, "
                           "--classes-by-number and --classes-from-names: each says which classes are right");
    return PARSED;
}

int evaluation_options_check(evaluation_options *o, int argc, char **argv)
{
    const char *name = o->command;
    o->data = argv + optind;
    o->data_count = (size_t)(argc - optind);
    if (!o->data_count)
        return usage_error(name, "expected a folder, a tar, a list or idx:IMAGES,LABELS");
    int status = check_data(o, name);
    if (status == PARSED)
        status = model_options_check(&o->model, name);
    if (status != PARSED)
        return status;
    if (o->limit && o->sample)
        return usage_error(name, "--limit and --sample both choose pictures");
    if (o->seeded && !o->sample)
        return usage_error(name, "--seed belongs to --sample");
    if (o->shards && !o->state)
        return usage_error(name, "--shard needs --state FILE: \"mohvit merge\" joins such files");
    if (o->shards && ranks_started_by_mpirun())
        return usage_error(name, "--shard: mpirun already shares all of the work");
    for (vector_kind k = 0; k < VECTOR_KINDS; k++)
        if (o->vectors[k] && o->routed_count > 1)
            return usage_error(name, "%s come from one model; expected one value of --routed-heads",
                               vector_kind_name(k));
    if (o->head_load && o->routed_count > 1)
        return usage_error(name, "a head load describes one model; expected one value of --routed-heads");
    if ((o->ablates || o->probes) && o->shards)
        return usage_error(
            name, "--shard: \"merge\" does not take such states; mpirun shares the work among machines");
    if (o->ablates && o->routed_count > 1)
        return usage_error(name, "heads are dropped from one model; expected one value of --routed-heads");
    if (o->probes && o->routed_count > 1)
        return usage_error(name, "routers belong to one model; expected one value of --routed-heads");
    for (size_t i = 0; i < o->data_count; i++)
        names_file(FILE_DATA, NULL, unless_stream(o->data[i]));
    model_names_weights(&o->model);
    status = outputs_check(name);
    return status == PARSED && o->missing ? usage_error(name, "%s", o->missing) : status;
}

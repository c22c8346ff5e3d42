/* cmd_headload_count.c - a data set through the network, for its head load alone. */
#include "tools/program/command.h"
#include "tools/program/complain.h"
#include "tools/program/eval_output.h"
#include "tools/program/evaluation.h"
#include "tools/program/json_build.h"
#include "tools/program/output.h"
#include "tools/program/outputs_check.h"

#include <inttypes.h>

static const char help[] =
    "[OPTION ...] DATA ... -o FILE.safetensors\n"
    "Counts how many tokens select each head, for each class of pictures.\n\n" EVALUATION_DATA_HELP
    "\n  -o, --output FILE   the head load to write\n"
    "  --per-image FILE    safetensors: the head load of each single picture\n"
    "  --by-prediction     counts pictures without a class for the class that is predicted\n"
    "  --format FORMAT     text (default) or json: one line\n"
    "  -h, --help          show this\n" EVALUATION_OPTIONS_HELP ROUTED_HEADS_HELP DROP_HEADS_HELP RUNNING_HELP
    "\nA picture that fails is listed and left out; the exit status is then 1. \"eval --head-load FILE\"\n"
    "counts while it scores a model, and \"merge --head-load FILE\" adds up the states of shards.\n";

typedef struct count_options {
    evaluation_options run;
    output_format format;
    const char *output, *per_image;
} count_options;

// ---- Printing --------------------------------------------------------------------------------------

typedef struct counted {
    totals totals;
    int64_t images;
    size_t classes, name_bytes;
} counted;

static void print_json(const count_options *o, const evaluation *e, const record_set *s, const counted *c)
{
    output_json(or_die(json_pack(
        "{s:o, s:I, s:I, s:I, s:o, s:o}", "file", json_text(o->output), "images", (json_int_t)c->images,
        "classes", (json_int_t)c->classes, "failed", (json_int_t)c->totals.failed, "images_per_s",
        e->rate > 0 ? json_rounded(e->rate) : json_null(), "provenance", eval_provenance(s, &c->totals))));
}

static void print_text(const count_options *o, const counted *c)
{
    output_name(o->output);
    output_printf(": %" PRId64 " image%s of %zu class%s", c->images, plural((uint64_t)c->images), c->classes,
                  c->classes == 1 ? "" : "es");
    if (c->totals.failed)
        output_printf(", %" PRIu64 " failed", c->totals.failed);
    output_printf("\n");
}

static int finish(const void *user, const evaluation *e)
{
    const count_options *o = user;
    const record_set set = {&e->journal, 1};
    counted c = {0};
    mohvit_error err;
    mohvit_status status = eval_count(&c.totals, &set, o->per_image ? &c.name_bytes : NULL, &err);
    if (!status && e->stopped) {
        complain("%s: not written: the run is not complete", o->output);
        if (o->per_image)
            complain("%s: not written: the run is not complete", o->per_image);
        totals_free(&c.totals);
        return EXIT_INPUT;
    }
    if (!status)
        status = eval_write_head_load(o->output, &set, o->run.part, &c.images, &c.classes, &err);
    if (!status && o->per_image)
        status = eval_write_vectors(o->per_image, VECTOR_HEADS, &set, &c.totals, c.name_bytes, &err);
    if (status)
        complain("%s", err.message);
    else if (o->format == FORMAT_JSON)
        print_json(o, e, &set, &c);
    else
        print_text(o, &c);
    bool fine = !status && !c.totals.failed;
    totals_free(&c.totals);
    return fine ? EXIT_FINE : EXIT_INPUT;
}

// ---- The command -----------------------------------------------------------------------------------

enum { OPTION_BY_PREDICTION = OPTION_OWN, OPTION_PER_IMAGE };

static bool take_option(void *options, int code, const char *value)
{
    count_options *o = options;
    switch (code) {
    case 'o':
        return takes_file(FILE_OUTPUT, "-o", value, &o->output);
    case OPTION_FORMAT:
        return parse_format(&o->format, value, false);
    case OPTION_PER_IMAGE:
        o->run.vectors[VECTOR_HEADS] = o->run.predictions = true;
        return takes_file(FILE_OUTPUT, "--per-image", value, &o->per_image);
    case OPTION_BY_PREDICTION:
        return o->run.by_prediction = true;
    default:
        return evaluation_option(&o->run, code, value);
    }
}

static int run_count(int argc, char **argv)
{
    static const struct option table[] = {
        {"output", required_argument, NULL, 'o'},
        {"per-image", required_argument, NULL, OPTION_PER_IMAGE},
        {"by-prediction", no_argument, NULL, OPTION_BY_PREDICTION},
        {"format", required_argument, NULL, OPTION_FORMAT},
        EVALUATION_OPTIONS,
        LAST_OPTIONS,
    };
    count_options o = {0};
    evaluation_options_begin(&o.run, "headload count");
    int parsed =
        options_read(&command_headload_count, argc, argv, EVALUATION_LETTERS "o:", table, take_option, &o);
    o.run.head_load = true;
    o.run.missing = o.output ? NULL : "expected -o and the name of the file to write";
    return evaluation_command(&o.run, parsed, argc, argv, finish, &o);
}

const command command_headload_count = {"headload count", "count which heads work for which class", help,
                                        run_count};

/* cmd_classify.c - what is on these pictures? */
#include "imgio/formats.h"
#include "tools/program/answers.h"
#include "tools/program/complain.h"
#include "tools/program/json_build.h"
#include "tools/program/model_options.h"
#include "tools/program/output.h"
#include "tools/program/outputs_check.h"
#include "tools/program/progress.h"
#include "tools/program/provenance.h"
#include "tools/program/vector_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "[OPTION ...] IMAGE|DIRECTORY|- ...\n"
    "Prints the most likely classes of pictures (" PICTURE_FORMATS ", recognised by content).\n\n"
    "A directory stands for the pictures below it, sorted by path: files that begin like a\n"
    "picture or are named like one. Hidden files and those of systems (__MACOSX) are skipped,\n"
    "links to directories are followed. \"-\" is a picture on standard input. A picture that fails is\n"
    "reported, the others go on, and the exit status is 1.\n\n"
    "  --top K             classes to print; default 5\n"
    "  --format FORMAT     text (default), json: one object a line, or csv: one row a class\n"
    "  --from-file FILE    also the paths in this file, one a line; \"-\" is standard input\n"
    "  -0, --null          zero bytes end the paths in FILE, as find -print0 writes them\n"
    "  --escaped           paths in FILE are written as results write them: \\\\, \\xNN\n"
    "  --features FILE     safetensors: the vector that the classifier scores, for each picture\n"
    "  --exif-orientation  turn pictures as their EXIF says; the reference does not\n"
    "  --quiet             no progress lines\n"
    "  --provenance        with json: add version, hash of the weights, CPU ... to each line\n"
    "  -h, --help          show this\n" MODEL_OPTIONS_HELP "\nA JSON line is "
    "{\"path\",\"size\":[width,height],\"top\":[{\"class\",\"id\",\"label\",\"prob\"}],\"ms\"}, or\n"
    "{\"path\",\"error\",\"ms\"}. ms is the time for decoding and resizing the picture, plus its share\n"
    "of the batch's forward pass. In names, a backslash is written as two, and a byte that is not UTF-8\n"
    "as \\xNN.\n";

typedef struct classify_options {
    model_options model;
    size_t top;
    output_format format;
    int exif_orientation, provenance;
    const char *list, *features;
    bool null_list, escaped;
    int quiet;
} classify_options;

typedef struct run {
    const classify_options *options;
    size_t top_count;          /* classes of a picture */
    size_t label_column;       /* width, in text */
    size_t pictures, failures; /* of the whole run */
    size_t turned;             /* of these: as their EXIF says, they are to be */
    json_t *provenance;        /* or NULL */
    vector_spool features;     /* of the answers so far, where they are wanted */
    int status;                /* why they cannot be had; else EXIT_FINE */
    progress progress;
} run;

#define LOG_EVERY 60 /* seconds, off a terminal */

// ---- Printing --------------------------------------------------------------------------------------

/* One column for all pictures where labels are short; a long one widens that of its own picture alone. */
static size_t label_column(const labels *l)
{
    enum { SHORT = 24 };
    size_t width = 0;
    for (size_t i = 0; i < l->count; i++) {
        size_t columns = output_name_width(l->name[i]);
        width = columns > width && columns <= SHORT ? columns : width;
    }
    return width;
}

static void print_text(const run *r, const answer *a)
{
    size_t width = r->label_column;
    for (size_t i = 0; i < r->top_count; i++) {
        size_t columns = output_name_width(a->top[i].label);
        width = columns > width ? columns : width;
    }
    output_printf("%s", r->pictures ? "\n" : "");
    output_title(a->path);
    output_printf("  %zu x %zu\n", a->width, a->height);
    for (size_t i = 0; i < r->top_count; i++) {
        double probability = (double)a->top[i].probability;
        output_printf("%3zu  ", i + 1);
        output_name_padded(a->top[i].label, width);
        output_printf("  %5.1f %%  ", 100 * probability);
        output_bar(probability, 30);
        output_printf("\n");
    }
}

static void print_json(const run *r, const answer *a)
{
    json_t *object = or_die(json_pack("{s:o}", "path", json_text(a->path)));
    if (a->err.status) {
        json_put(object, "error", json_message(error_without(&a->err, a->path)));
    } else {
        json_t *top = or_die(json_array());
        for (size_t i = 0; i < r->top_count; i++)
            json_add(top, json_prediction(&a->top[i]));
        json_put(object, "size", json_pack("[I, I]", (json_int_t)a->width, (json_int_t)a->height));
        json_put(object, "top", top);
    }
    json_put(object, "ms", json_rounded(a->ms));
    if (r->provenance)
        json_put(object, "provenance", json_incref(r->provenance));
    output_json(object);
}

static void print_csv(const run *r, const answer *a)
{
    for (size_t i = 0; !a->err.status && i < r->top_count; i++) {
        const mohvit_prediction *p = &a->top[i];
        output_csv_field(a->path);
        output_printf(",%zu,%zu,%zu,%zu,", a->width, a->height, i + 1, p->class_index);
        output_csv_field(p->id ? p->id : "");
        output_printf(",");
        output_csv_field(p->label);
        output_printf(",%.9g,%.3f,\n", (double)p->probability, a->ms);
    }
    if (a->err.status) {
        output_csv_field(a->path);
        output_printf(",,,,,,,,%.3f,", a->ms);
        output_csv_message(error_without(&a->err, a->path));
        output_printf("\n");
    }
}

static void print_answer(const run *r, const answer *a)
{
    if (r->options->format == FORMAT_JSON)
        print_json(r, a);
    else if (r->options->format == FORMAT_CSV)
        print_csv(r, a);
    else if (!a->err.status)
        print_text(r, a);
    else
        complain("%s", a->err.message);
}

// ---- Running ---------------------------------------------------------------------------------------

/* No more of it. */
static void give_up_features(run *r, int status)
{
    vector_spool_close(&r->features);
    r->status = status;
}

static void keep_features(run *r, const answer *a)
{
    mohvit_error err;
    char *name = escape(a->path, ESCAPE_NAME, NULL);
    if (!fine_or_complain(vector_spool_add(&r->features, a->features, r->pictures, name, &err), &err))
        give_up_features(r, EXIT_INPUT);
    free(name);
}

static bool take_answer(void *user, const answer *a)
{
    run *r = user;
    if (r->features.file && outputs_check_file("classify", a->path) != PARSED) {
        give_up_features(r, EXIT_USAGE);
        return false;
    }
    if (r->features.file && !a->err.status)
        keep_features(r, a);
    flockfile(stdout); // or a warning of the thread that looks for pictures stands amid the answer
    print_answer(r, a);
    funlockfile(stdout);
    r->pictures++;
    r->failures += a->err.status != MOHVIT_OK;
    r->turned += a->turned;
    bool going_on = output_flush();
    r->progress.total = a->left == PATHS_UNKNOWN ? 0 : r->pictures + a->left;
    progress_add(&r->progress, 1, a->err.status != MOHVIT_OK);
    return going_on;
}

static int classify_all(run *r, const mohvit_model *m, paths *inputs)
{
    const classify_options *o = r->options;
    const answering a = {
        .inputs = inputs,
        .model = m,
        .threads = (size_t)o->model.open.threads,
        .batch = o->model.batch,
        .top_count = r->top_count,
        .features = r->features.shape.row.width,
        .exif_orientation = o->exif_orientation,
        .user = r,
        .take = take_answer,
    };
    mohvit_error err;
    // Answers on a terminal are progress enough.
    progress_begin(&r->progress, 0, 0, 0, LOG_EVERY, o->quiet || isatty(STDOUT_FILENO));
    mohvit_status status = answers_run(&a, &err);
    progress_end(&r->progress);
    if (!fine_or_complain(status, &err))
        return EXIT_MODEL;
    if (!r->pictures && output_works()) {
        complain("%s: names no pictures", lines_title(o->list));
        return EXIT_INPUT;
    }
    complain_turned(o->exif_orientation, r->turned, r->pictures);
    if (r->failures && r->pictures > 1)
        complain("%zu of %zu pictures failed", r->failures, r->pictures);
    return r->failures ? EXIT_INPUT : EXIT_FINE;
}

static bool open_features(run *r, const mohvit_model *m)
{
    mohvit_error err;
    mohvit_info info = {.size = sizeof info};
    mohvit_get_info(m, &info, NULL);
    if (!vector_spool_open(&r->features, info.features, &err))
        return true;
    complain("--features %s: not written: %s", r->options->features, err.message);
    return false;
}

/* The exit status, where status is the one so far. */
static int write_features(run *r, const mohvit_model *m, const model_source *source, int status)
{
    const classify_options *o = r->options;
    mohvit_error err;
    if (r->status)
        return r->status;
    if (status == EXIT_MODEL || !output_works()) {
        complain("%s: not written: the run is not complete", o->features);
        return status;
    }
    json_t *provenance = provenance_json(source, &mohvit_describe(m)->config, m, o->model.open.threads);
    mohvit_status failed = vector_spool_write(&r->features, o->features, provenance, &err);
    json_decref(provenance);
    return fine_or_complain(failed, &err) ? status : EXIT_INPUT;
}

static int classify_with(const classify_options *o, const mohvit_model *m, const model_source *source,
                         paths *inputs)
{
    const config *c = &mohvit_describe(m)->config;
    run r = {.options = o, .top_count = o->top < c->num_classes ? o->top : c->num_classes};
    r.label_column = label_column(&mohvit_describe(m)->labels);
    if (o->provenance)
        r.provenance = provenance_json(source, c, m, o->model.open.threads);
    if (o->features && !open_features(&r, m)) {
        json_decref(r.provenance);
        return EXIT_INPUT;
    }
    if (o->format == FORMAT_CSV)
        output_printf("path,width,height,rank,class,id,label,prob,ms,error\n");
    int status = classify_all(&r, m, inputs);
    if (o->features)
        status = write_features(&r, m, source, status);
    vector_spool_close(&r.features);
    json_decref(r.provenance);
    return status;
}

static int classify(const classify_options *o, paths *inputs)
{
    model_source source = model_source_choose(&o->model);
    mohvit_model *m = model_open_or_complain(&source, &o->model);
    int status = m ? classify_with(o, m, &source, inputs) : EXIT_MODEL;
    mohvit_close(m);
    return status;
}

// ---- The command line ------------------------------------------------------------------------------

enum { OPTION_TOP = OPTION_OWN, OPTION_FROM_FILE, OPTION_FEATURES };

static bool take_option(void *options, int code, const char *value)
{
    classify_options *o = options;
    switch (code) {
    case OPTION_TOP:
        return parse_whole(&o->top, "--top", value, 1, CONFIG_MAX_CLASSES);
    case OPTION_FORMAT:
        return parse_format(&o->format, value, true);
    case OPTION_FROM_FILE:
        return takes_list("--from-file", value, &o->list);
    case OPTION_FEATURES:
        return takes_file(FILE_OUTPUT, "--features", value, &o->features);
    case OPTION_NULL:
        return o->null_list = true;
    case OPTION_ESCAPED:
        return o->escaped = true;
    default:
        return model_option(&o->model, code, value);
    }
}

static int run_classify(int argc, char **argv)
{
    classify_options o = {.top = 5};
    const struct option table[] = {
        {"top", required_argument, NULL, OPTION_TOP},
        {"format", required_argument, NULL, OPTION_FORMAT},
        {"from-file", required_argument, NULL, OPTION_FROM_FILE},
        {"features", required_argument, NULL, OPTION_FEATURES},
        {"exif-orientation", no_argument, &o.exif_orientation, FLAG_SET},
        {"quiet", no_argument, &o.quiet, FLAG_SET},
        {"provenance", no_argument, &o.provenance, FLAG_SET},
        {"null", no_argument, NULL, OPTION_NULL},
        {"escaped", no_argument, NULL, OPTION_ESCAPED},
        MODEL_OPTIONS,
        LAST_OPTIONS,
    };
    model_options_begin(&o.model);
    int parsed = options_read(&command_classify, argc, argv, "0", table, take_option, &o);
    if (parsed != PARSED)
        return parsed;
    const char *names = o.model.open.labels;
    size_t inputs = (size_t)(argc - optind), from_stdin = o.list && strcmp(o.list, "-") == 0;
    from_stdin += names && strcmp(names, "-") == 0;
    for (int i = optind; i < argc; i++)
        from_stdin += strcmp(argv[i], "-") == 0;
    if (!inputs && !o.list)
        return usage_error("classify", "expected a picture or a directory");
    if (from_stdin > 1)
        return usage_error("classify", "standard input can be read only once");
    if ((o.null_list || o.escaped) && !o.list)
        return usage_error("classify", "%s belongs to --from-file", o.escaped ? "--escaped" : "-0");
    if (o.null_list && o.escaped)
        return usage_error("classify",
                           "-0 reads names as they are, --escaped as results write them; expected one");
    if (o.provenance && o.format != FORMAT_JSON)
        return usage_error("classify", "--provenance belongs to --format json");
    for (int i = optind; i < argc; i++)
        names_file(FILE_DATA, NULL, unless_stream(argv[i]));
    model_names_weights(&o.model);
    parsed = model_options_check(&o.model, "classify");
    if (parsed == PARSED)
        parsed = outputs_check("classify");
    if (parsed != PARSED)
        return parsed;
    if (!outputs_possible_or_complain())
        return EXIT_INPUT;
    line_end end = o.null_list ? LINES_ZERO : o.escaped ? LINES_ESCAPED : LINES_NEWLINE;
    paths *pictures = paths_open_or_complain(argv + optind, inputs, o.list, end);
    if (!pictures)
        return EXIT_INPUT;
    parsed = classify(&o, pictures);
    paths_close(pictures);
    return parsed;
}

const command command_classify = {"classify", "say what is on pictures", help, run_classify};

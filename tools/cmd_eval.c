/* cmd_eval.c - how well does a model do on a labelled data set? */
#include "eval_output.h"
#include "evaluation.h"
#include "head_load_file.h"
#include "load_section.h"
#include "output.h"
#include "replace_file.h"

static const char help[] =
    "[OPTION ...] DATA ...\n"
    "Scores a model on labelled pictures: top-1, top-5, loss, images per second.\n\n" EVALUATION_DATA_HELP
    "\n  --format FORMAT     text (default) or json: one line\n"
    "  --per-class FILE    CSV: accuracy of each class, and what it is most taken for\n"
    "  --predictions FILE  CSV: class, five likeliest classes and loss of each picture\n"
    "  --head-load FILE    safetensors: which heads work for which class; see headload\n"
    "  -h, --help          show this\n" EVALUATION_OPTIONS_HELP MODEL_OPTIONS_HELP
    "\nA picture that fails is listed, left out of the percentages and counted; the exit status is\n"
    "then 1. Started by mpirun, all ranks share the work, and rank 0 prints the result.\n";

typedef struct eval_options {
    evaluation_options run;
    output_format format;
    const char *per_class, *predictions, *head_load;
} eval_options;

static int report(const eval_options *o, const evaluation *e)
{
    char shard[48];
    journal *journals[] = {e->journal};
    snprintf(shard, sizeof shard, "%zu/%zu", o->run.shard, o->run.shards);
    const eval_report r = {
        .set = {journals, 1},
        .format = o->format,
        .per_class = o->per_class,
        .predictions = o->predictions,
        .images = e->images,
        .rate = e->rate,
        .incomplete = e->stopped,
        .shard = o->run.shards ? shard : NULL,
    };
    return eval_report_print(&r);
}

/* false and a message where it could not be written. */
static bool write_head_load(const eval_options *o, const evaluation *e)
{
    char shard[48];
    journal *journals[] = {e->journal};
    const record_set set = {journals, 1};
    mohvit_error err;
    if (e->stopped) {
        complain("%s: not written: the run is not complete", o->head_load);
        return true;
    }
    snprintf(shard, sizeof shard, "%zu/%zu", o->run.shard, o->run.shards);
    if (!head_load_file_write(o->head_load, &set, o->run.shards ? shard : NULL, NULL, NULL, &err))
        return true;
    complain("%s", err.message);
    return false;
}

static int eval(const eval_options *o)
{
    evaluation e;
    load_section s = {0};
    const evaluation_section section = {LOAD_SECTION_NAME, load_section_of(&s)};
    int status = evaluation_begin(&e, &o->run, o->head_load ? &section : NULL);
    if (status == PARSED) {
        s.config = &mohvit_describe(e.models[0])->config;
        status = evaluation_run(&e);
    }
    if (status == PARSED && e.journal) {
        bool written = !o->head_load || write_head_load(o, &e);
        status = report(o, &e);
        status = written ? status : EXIT_INPUT;
    }
    return evaluation_end(&e, status);
}

enum { OPTION_FORMAT = OPTION_OWN, OPTION_PER_CLASS, OPTION_PREDICTIONS, OPTION_HEAD_LOAD };

static bool take_option(void *options, int code, const char *value)
{
    eval_options *o = options;
    switch (code) {
    case OPTION_FORMAT:
        return parse_format(&o->format, value, false);
    case OPTION_PER_CLASS:
        o->per_class = value;
        return true;
    case OPTION_PREDICTIONS:
        o->predictions = value;
        return o->run.predictions = true;
    case OPTION_HEAD_LOAD:
        o->head_load = value;
        return true;
    default:
        return evaluation_option(&o->run, code, value);
    }
}

static int run_eval(int argc, char **argv)
{
    static const struct option table[] = {
        {"format", required_argument, NULL, OPTION_FORMAT},
        {"per-class", required_argument, NULL, OPTION_PER_CLASS},
        {"predictions", required_argument, NULL, OPTION_PREDICTIONS},
        {"head-load", required_argument, NULL, OPTION_HEAD_LOAD},
        EVALUATION_OPTIONS,
        MODEL_OPTIONS,
        HELP_OPTION,
        END_OPTION,
    };
    eval_options o = {0};
    evaluation_options_begin(&o.run);
    int parsed = options_read(&command_eval, argc, argv, "", table, take_option, &o);
    if (parsed == PARSED)
        parsed = evaluation_options_check(&o.run, "eval", argc, argv);
    if (parsed == PARSED && o.head_load && o.run.routed_count > 1)
        parsed = usage_error("eval", "--head-load: is of one model; expected one value of --routed-heads");
    const output_path files[] = {{"--per-class", o.per_class},
                                 {"--predictions", o.predictions},
                                 {"--head-load", o.head_load},
                                 {"--state", o.run.state}};
    if (parsed == PARSED)
        parsed = output_paths_check("eval", files, 3, 4);
    int status = parsed;
    if (parsed == PARSED)
        status =
            replace_possible(o.per_class) && replace_possible(o.predictions) && replace_possible(o.head_load)
                ? eval(&o)
                : EXIT_INPUT;
    evaluation_options_end(&o.run);
    return status;
}

const command command_eval = {"eval", "score a model on labelled pictures", help, run_eval};

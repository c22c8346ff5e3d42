/* cmd_eval.c - how well does a model do on a labelled data set? */
#include "eval_output.h"
#include "evaluation.h"
#include "output.h"

static const char help[] =
    "[OPTION ...] DATA ...\n"
    "Scores a model on labelled pictures: top-1, top-5, loss, images per second.\n\n" EVALUATION_DATA_HELP
    "\n  --format FORMAT     text (default) or json: one line\n"
    "  --per-class FILE    CSV: accuracy of each class, and what it is most taken for\n"
    "  --predictions FILE  CSV: class, five likeliest classes and loss of each picture\n"
    "  -h, --help          show this\n" EVALUATION_OPTIONS_HELP MODEL_OPTIONS_HELP
    "\nA picture that fails is listed, left out of the percentages and counted; the exit status is\n"
    "then 1. Started by mpirun, all ranks share the work, and rank 0 prints the result.\n";

typedef struct eval_options {
    evaluation_options run;
    output_format format;
    const char *per_class, *predictions;
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

static int eval(const eval_options *o)
{
    evaluation e;
    int status = evaluation_begin(&e, &o->run, NULL);
    if (status == PARSED)
        status = evaluation_run(&e);
    if (status == PARSED && e.journal)
        status = report(o, &e);
    return evaluation_end(&e, status);
}

enum { OPTION_FORMAT = OPTION_OWN, OPTION_PER_CLASS, OPTION_PREDICTIONS };

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
    int status = parsed == PARSED ? eval(&o) : parsed;
    evaluation_options_end(&o.run);
    return status;
}

const command command_eval = {"eval", "score a model on labelled pictures", help, run_eval};

/* cmd_eval.c - how well does a model do on a labelled data set? */
#include "tools/program/complain.h"
#include "tools/program/eval_output.h"
#include "tools/program/evaluation.h"
#include "tools/program/outputs_check.h"

static const char help[] =
    "[OPTION ...] DATA ...\n"
    "Scores a model on labelled pictures: top-1, top-5, loss, images per second.\n\n" EVALUATION_DATA_HELP
    "\n  --format FORMAT     text (default) or json: one line\n"
    "  --per-class FILE    CSV: accuracy of each class, and the class that it is most often taken for\n"
    "  --predictions FILE  CSV: class, five likeliest classes and loss of each picture\n"
    "  --head-load FILE    safetensors: which heads work for which class; see headload\n"
    "  --features FILE     safetensors: the vector that the classifier scores, for each picture\n"
    "  --logits FILE       safetensors: the scores before softmax, for each picture\n"
    "  --per-image FILE    safetensors: the head load of each single picture\n"
    "  -h, --help          show this\n" EVALUATION_OPTIONS_HELP ROUTED_VALUES_HELP DROP_HEADS_HELP
        RUNNING_HELP
    "\nA picture that fails is listed, counted, and left out of the percentages; the exit status is\n"
    "then 1. Eight pictures in a row that cannot be opened or read end the run. Under mpirun, all ranks\n"
    "share the work, and rank 0 prints the result.\n";

typedef struct eval_options {
    evaluation_options run;
    output_format format;
    const char *per_class, *predictions, *head_load, *vectors[VECTOR_KINDS];
} eval_options;

static int report(const eval_options *o, const evaluation *e)
{
    const eval_report r = {
        .set = {&e->journal, 1},
        .format = o->format,
        .per_class = o->per_class,
        .predictions = o->predictions,
        .vectors = {o->vectors[VECTOR_FEATURES], o->vectors[VECTOR_LOGITS], o->vectors[VECTOR_HEADS]},
        .images = e->images,
        .rate = e->rate,
        .incomplete = e->stopped,
        .dropped = e->dropped,
        .shard = o->run.part,
    };
    return eval_report_print(&r);
}

/* false and a message where it could not be written. */
static bool write_head_load(const eval_options *o, const evaluation *e)
{
    const record_set set = {&e->journal, 1};
    mohvit_error err;
    if (e->stopped) {
        complain("%s: not written: the run is not complete", o->head_load);
        return true;
    }
    return fine_or_complain(eval_write_head_load(o->head_load, &set, o->run.part, NULL, NULL, &err), &err);
}

static int finish(const void *user, const evaluation *e)
{
    const eval_options *o = user;
    bool written = !o->head_load || write_head_load(o, e);
    int status = report(o, e);
    return written ? status : EXIT_INPUT;
}

enum {
    OPTION_PER_CLASS = OPTION_OWN,
    OPTION_PREDICTIONS,
    OPTION_HEAD_LOAD,
    OPTION_FEATURES,
    OPTION_LOGITS,
    OPTION_PER_IMAGE
};

static bool take_vectors(eval_options *o, vector_kind kind, const char *option, const char *value)
{
    o->run.vectors[kind] = o->run.predictions = true;
    return takes_file(FILE_OUTPUT, option, value, &o->vectors[kind]);
}

static bool take_option(void *options, int code, const char *value)
{
    eval_options *o = options;
    switch (code) {
    case OPTION_FORMAT:
        return parse_format(&o->format, value, false);
    case OPTION_PER_CLASS:
        return takes_file(FILE_OUTPUT, "--per-class", value, &o->per_class);
    case OPTION_PREDICTIONS:
        return o->run.predictions = takes_file(FILE_OUTPUT, "--predictions", value, &o->predictions);
    case OPTION_HEAD_LOAD:
        return o->run.head_load = takes_file(FILE_OUTPUT, "--head-load", value, &o->head_load);
    case OPTION_FEATURES:
        return take_vectors(o, VECTOR_FEATURES, "--features", value);
    case OPTION_LOGITS:
        return take_vectors(o, VECTOR_LOGITS, "--logits", value);
    case OPTION_PER_IMAGE:
        o->run.head_load = true;
        return take_vectors(o, VECTOR_HEADS, "--per-image", value);
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
        {"features", required_argument, NULL, OPTION_FEATURES},
        {"logits", required_argument, NULL, OPTION_LOGITS},
        {"per-image", required_argument, NULL, OPTION_PER_IMAGE},
        EVALUATION_OPTIONS,
        LAST_OPTIONS,
    };
    eval_options o = {0};
    evaluation_options_begin(&o.run, "eval");
    int parsed = options_read(&command_eval, argc, argv, EVALUATION_LETTERS, table, take_option, &o);
    return evaluation_command(&o.run, parsed, argc, argv, finish, &o);
}

const command command_eval = {"eval", "score a model on labelled pictures", help, run_eval};

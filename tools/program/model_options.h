/* model_options.h - the options that everything which runs a model shares, parsed in one place, and the model
 * that they name. A command splices MODEL_OPTIONS into its own table and hands what it does not know itself
 * to model_option. */
#ifndef MOHVIT_MODEL_OPTIONS_H
#define MOHVIT_MODEL_OPTIONS_H

#include "tools/program/command.h"
#include "vit/api/internal.h"

enum {
    OPTION_WEIGHTS = OPTION_MODEL,
    OPTION_KEY,
    OPTION_CONFIG,
    OPTION_LABELS,
    OPTION_PREPROCESS,
    OPTION_SIZE,
    OPTION_THREADS,
    OPTION_BATCH,
    OPTION_BACKEND,
    OPTION_PRECISION,
    OPTION_ROUTED,
    OPTION_DROP_HEADS,
    OPTION_RENORMALISE,
    OPTION_VARIANT,
    OPTION_SEED
};

// clang-format off
/* What a checkpoint is. */
#define DESCRIPTION_OPTIONS                                        \
    {"key", required_argument, NULL, OPTION_KEY},                  \
    {"config", required_argument, NULL, OPTION_CONFIG},            \
    {"labels", required_argument, NULL, OPTION_LABELS},            \
    {"preprocess", required_argument, NULL, OPTION_PREPROCESS}

/* Which model. */
#define WHICH_MODEL_OPTIONS                                        \
    {"weights", required_argument, NULL, OPTION_WEIGHTS},          \
    DESCRIPTION_OPTIONS,                                           \
    {"size", required_argument, NULL, OPTION_SIZE}

#define ROUTED_HEADS_OPTION                                        \
    {"routed-heads", required_argument, NULL, OPTION_ROUTED}

/* How it runs. */
#define RUNNING_OPTIONS                                            \
    {"threads", required_argument, NULL, OPTION_THREADS},          \
    {"batch", required_argument, NULL, OPTION_BATCH},              \
    {"backend", required_argument, NULL, OPTION_BACKEND},          \
    {"precision", required_argument, NULL, OPTION_PRECISION}

#define DROP_HEADS_OPTIONS                                         \
    {"drop-heads", required_argument, NULL, OPTION_DROP_HEADS},    \
    {"renormalise", no_argument, NULL, OPTION_RENORMALISE}

#define MODEL_OPTIONS WHICH_MODEL_OPTIONS, ROUTED_HEADS_OPTION, DROP_HEADS_OPTIONS, RUNNING_OPTIONS

/* A model without a file. */
#define SYNTHETIC_OPTIONS                                          \
    {"variant", required_argument, NULL, OPTION_VARIANT},          \
    {"seed", required_argument, NULL, OPTION_SEED}
// clang-format on

#define WHICH_MODEL_HELP                                                                                     \
    "\nModel:\n"                                                                                             \
    "  --weights FILE     .safetensors, its index or .pth, told apart by content; default: what\n"           \
    "                     the environment variable MOHVIT_WEIGHTS names, else the built-in "                 \
    "model\n" DESCRIPTION_HELP

#define KEY_HELP                                                                                             \
    "  --key NAME         which of several sets of weights in a file: model, model_ema, state_dict ...;\n"   \
    "                     or the prefix of its tensors' names: student, state_dict.student ...;\n"           \
    "                     \"\" takes names as they are\n"

#define DESCRIPTION_HELP                                                                                     \
    KEY_HELP                                                                                                 \
    "  --config FILE      JSON config in place of the checkpoint's own\n"                                    \
    "  --labels FILE      class names, one a line: a name, or WordNet id TAB names; or\n"                    \
    "                     imagenet_class_index.json\n"                                                       \
    "  --preprocess FILE  JSON preprocessing in place of all of the checkpoint's own\n"                      \
    "  --size S           side of the square input: 64 to 2048, a multiple of 32\n"

#define ROUTED_HEADS_HELP                                                                                    \
    "  --routed-heads N   how many of the routed heads each token picks: K, or P% of them;\n"                \
    "                     default: as trained\n"

#define DROP_HEADS_HELP                                                                                      \
    "  --drop-heads LIST  goes without these heads: their gates are 0, and the router chooses as before.\n"  \
    "                     LIST is 4.0:r3,r5, 4.0:s1, 4.0:routed, a block 4.0, a stage 4, routed, shared,\n"  \
    "                     or several of them with blanks between: \"4.0:r3 3.1:s1\"\n"                       \
    "  --renormalise      raises a token's other gates, so that their sum stays the same\n"

#define RUNNING_HELP                                                                                         \
    "  --threads N        default: as many as CPU affinity and the cgroup quota grant, but at most\n"        \
    "                     OMP_NUM_THREADS\n"                                                                 \
    "  --batch N          images in one forward pass; default 1\n"                                           \
    "  --backend NAME     matrix products: auto, native (default with AVX2 or AVX-512), openblas\n"          \
    "  --precision NAME   of matrix products: auto (f32), f32, bf16, int8, f16, on any processor;\n"         \
    "                     all but f32 need the native backend\n"

#define MODEL_OPTIONS_HELP WHICH_MODEL_HELP ROUTED_HEADS_HELP DROP_HEADS_HELP RUNNING_HELP

/* Where a model's weights come from. */
typedef struct model_source {
    enum { SOURCE_FILE, SOURCE_BUILT_IN, SOURCE_SYNTHETIC, SOURCE_NONE } kind;
    const char *path; /* of SOURCE_FILE */
    uint64_t seed;    /* of SOURCE_SYNTHETIC */
} model_source;

typedef struct model_options {
    mohvit_options open; /* with the warnings' receiver and the number of threads, which is never 0 */
    const char *weights, *variant;
    uint64_t seed;
    size_t batch;
    bool threads_given;     /* else open.threads is the default */
    bool quiet;             /* no word about the built-in model */
    const char *drop_heads; /* as in mohvit_drop_heads; NULL: none */
    bool renormalise;
} model_options;

/* The defaults. */
void model_options_begin(model_options *o);

/* Takes an option of the tables above; an option_taker for commands that have no others. */
bool model_option(void *model_options, int code, const char *value);

/* The value of --routed-heads, checked as far as it can be without a model; false where it is wrong, which
 * has been reported. */
bool parse_routed(const char **out, const char *text);

/* What options say together: PARSED or EXIT_USAGE. */
int model_options_check(const model_options *o, const char *name);

/* Declares what the environment names, for outputs_check, where the command line names no weights. */
void model_names_weights(const model_options *o);

/* The file, or the built-in model and a line on standard error that says what it is. */
model_source model_source_choose(const model_options *o);

/* The same, but synthetic where --variant or, without any weights, --config says what to make. */
model_source model_source_or_synthetic(const model_options *o);

/* Says so where --routed-heads asked for more heads than a stage of the model has. */
void model_warn_routed(const config *c, const char *asked, const model_options *o);

/* Opens it; NULL where the reason has been reported and EXIT_MODEL is due. */
mohvit_model *model_open_or_complain(const model_source *source, const model_options *o);

/* Opens its checkpoint alone, not for SOURCE_SYNTHETIC or SOURCE_NONE. */
mohvit_status model_source_checkpoint(checkpoint **cp, const model_source *source, const model_options *o,
                                      mohvit_error *err);

/* What the model of --variant, or of --config, would be: no weights are made. Free with description_free. */
mohvit_status model_describe_synthetic(description *d, const model_options *o, mohvit_error *err);

/* A context for o->batch images; NULL as above. */
mohvit_context *model_context_or_complain(const mohvit_model *m, const model_options *o);

#endif

/* evaluation_options.h - the options that every command which runs a data set through a network shares. A
 * command splices EVALUATION_OPTIONS into its own table and hands what it does not know itself to
 * evaluation_option. */
#ifndef MOHVIT_EVALUATION_OPTIONS_H
#define MOHVIT_EVALUATION_OPTIONS_H

#include "eval/vector_record.h"
#include "tools/program/command.h"
#include "tools/program/model_options.h"

enum {
    OPTION_TRUTH = OPTION_EVALUATION,
    OPTION_TRUTH_IN_ORDER,
    OPTION_CLASSES_BY_ORDER,
    OPTION_CLASSES_BY_NUMBER,
    OPTION_CLASSES_FROM_NAMES,
    OPTION_IMAGE_EXT,
    OPTION_REAL_LABELS,
    OPTION_SUBSET,
    OPTION_LIMIT,
    OPTION_SAMPLE,
    OPTION_SAMPLE_SEED,
    OPTION_CROP_PCT,
    OPTION_EXIF_ORIENTATION,
    OPTION_ROUTED_VALUES,
    OPTION_STATE,
    OPTION_SHARD,
    OPTION_ALLOW_MIXED,
    OPTION_SKIP_OTHER_FORMATS,
    OPTION_MAX_ERRORS,
    OPTION_LOG_EVERY,
    OPTION_QUIET
};

#define EVALUATION_LETTERS "0"

// clang-format off
#define EVALUATION_OPTIONS                                         \
    {"truth", required_argument, NULL, OPTION_TRUTH},              \
    {"truth-in-order", required_argument, NULL, OPTION_TRUTH_IN_ORDER}, \
    {"classes-by-order", no_argument, NULL, OPTION_CLASSES_BY_ORDER}, \
    {"classes-by-number", no_argument, NULL, OPTION_CLASSES_BY_NUMBER}, \
    {"classes-from-names", no_argument, NULL, OPTION_CLASSES_FROM_NAMES}, \
    {"image-ext", required_argument, NULL, OPTION_IMAGE_EXT},      \
    {"null", no_argument, NULL, OPTION_NULL},                      \
    {"escaped", no_argument, NULL, OPTION_ESCAPED},                \
    {"real-labels", required_argument, NULL, OPTION_REAL_LABELS},  \
    {"subset", required_argument, NULL, OPTION_SUBSET},            \
    {"limit", required_argument, NULL, OPTION_LIMIT},              \
    {"sample", required_argument, NULL, OPTION_SAMPLE},            \
    {"seed", required_argument, NULL, OPTION_SAMPLE_SEED},         \
    {"crop-pct", required_argument, NULL, OPTION_CROP_PCT},        \
    {"exif-orientation", no_argument, NULL, OPTION_EXIF_ORIENTATION}, \
    {"skip-other-formats", no_argument, NULL, OPTION_SKIP_OTHER_FORMATS}, \
    {"routed-heads", required_argument, NULL, OPTION_ROUTED_VALUES}, \
    {"state", required_argument, NULL, OPTION_STATE},              \
    {"shard", required_argument, NULL, OPTION_SHARD},              \
    {"allow-mixed", no_argument, NULL, OPTION_ALLOW_MIXED},        \
    {"max-errors", required_argument, NULL, OPTION_MAX_ERRORS},    \
    {"log-every", required_argument, NULL, OPTION_LOG_EVERY},      \
    {"quiet", no_argument, NULL, OPTION_QUIET},                    \
    WHICH_MODEL_OPTIONS,                                           \
    DROP_HEADS_OPTIONS,                                            \
    RUNNING_OPTIONS
// clang-format on

#define EVALUATION_DATA_HELP                                                                                 \
    "DATA is one or more of\n"                                                                               \
    "  FOLDER             has a folder of pictures for each class, named by WordNet id or label;\n"          \
    "                     or is flat, with --truth\n"                                                        \
    "  FILE.tar           is read without unpacking: with folders like these, with --truth, or with\n"       \
    "                     x.cls beside x.jpg (WebDataset)\n"                                                 \
    "  LIST               a file of paths, one a line, with --truth or from folders like these;\n"           \
    "                     it may be a pipe, and \"-\" is standard input, as for all lists\n"                 \
    "  idx:IMAGES,LABELS  MNIST's format, .gz or not\n"

#define EVALUATION_OPTIONS_HELP                                                                              \
    "\nData:\n"                                                                                              \
    "  --truth FILE       classes of pictures. A line has a name and, after a TAB or a blank, an\n"          \
    "                     index from 0, a WordNet id or a label. Or it is a CSV with a header such\n"        \
    "                     as file_name,label, like Kaggle's LOC_val_solution.csv\n"                          \
    "  --truth-in-order FILE\n"                                                                              \
    "                     the classes alone, one a line, in the order of the pictures\n"                     \
    "  --classes-by-order\n"                                                                                 \
    "                     folders, sorted by their names, are classes 0, 1, 2 ...\n"                         \
    "  --classes-by-number\n"                                                                                \
    "                     folders are named by the indices of classes\n"                                     \
    "  --classes-from-names\n"                                                                               \
    "                     a WordNet id in each picture's name is its class: x_n02123045.JPEG\n"              \
    "  --image-ext EXT    ending of WebDataset's pictures in place of the usual ones, such as seg.png;\n"    \
    "                     several with commas between them\n"                                                \
    "  -0, --null         zero bytes end the lines of LIST, as find -print0 writes them\n"                   \
    "  --escaped          names in LIST and --truth are written as results write them: \\\\, \\xNN\n"        \
    "  --real-labels FILE\n"                                                                                 \
    "                     ImageNet ReaL's real.json in place of the pictures' own classes\n"                 \
    "  --subset FILE      classes, one a line: only these compete; pictures of others are left out\n"        \
    "  --limit N          the first N pictures\n"                                                            \
    "  --sample N         N pictures at random, in their order\n"                                            \
    "  --seed S           seed of --sample; default 0\n"                                                     \
    "  --crop-pct X       crop in place of the model's: shorter side = size / X\n"                           \
    "  --exif-orientation\n"                                                                                 \
    "                     turns pictures as their EXIF says; published scores are without it\n"              \
    "  --skip-other-formats\n"                                                                               \
    "                     leaves out BMP, PPM and TIFF; without it they are an error. GIF, HEIC and\n"       \
    "                     AVIF are always left out, as ImageFolder does\n"                                   \
    "\nThe run:\n"                                                                                           \
    "  --state FILE       keeps results in FILE every 64 pictures. The same command goes on from there if\n" \
    "                     the data have not changed, and tries pictures that failed again\n"                 \
    "  --shard I/N        only the I-th of N parts; needs --state, which \"merge\" then reads\n"             \
    "  --allow-mixed      goes on with a state of another processor or backend\n"                            \
    "  --max-errors N     gives up when more than N pictures have failed\n"                                  \
    "  --log-every S      seconds between progress lines where there is no terminal; default 60\n"           \
    "  --quiet            no progress lines\n" WHICH_MODEL_HELP

/* What follows it, where one pass may score several models. */
#define ROUTED_VALUES_HELP                                                                                   \
    "  --routed-heads V   how many of the routed heads each token picks: K, or P% of them; default: as\n"    \
    "                     trained. Several values, as in 25%,50%,100%, are scored in one pass over the\n"    \
    "                     data, without head load; json has all of them in \"curve\", and the keys\n"        \
    "                     beside it are those of the first\n"

#define EVALUATION_MAX_TOP_KS 16

typedef struct evaluation_options {
    const char *command;
    const char *missing; /* what to say where all else is right; NULL: nothing is missing */
    model_options model;
    char **data; /* (data_count) arguments */
    size_t data_count;
    const char *truth, *truth_in_order, *real_labels, *subset, *state;
    bool from_names, by_order, by_number; /* where classes come from */
    const char *image_ext;
    bool null_lists, escaped;
    size_t limit, sample; /* 0: all */
    uint64_t seed;
    bool seeded;
    double crop_pct;                           /* 0: the model's */
    char *routed_text;                         /* owned; what the next point into */
    const char *routed[EVALUATION_MAX_TOP_KS]; /* (routed_count) values of --routed-heads */
    size_t routed_count;
    size_t shard, shards; /* shard from 1; 0 of 0: all in one */
    bool exif_orientation, allow_mixed, skip_other_formats, quiet;
    size_t max_errors; /* SIZE_MAX: any number */
    size_t log_every;
    const char *part; /* "I/N" of these, as results name it; NULL: all in one */
    char part_text[48];
    bool predictions, head_load; /* the records have to have them; */
    bool vectors[VECTOR_KINDS];  /* these too, and then predictions, whose names they go by; heads with the
                                    head load, which knows the routing */
    bool ablates; /* runs each picture once more without each of these heads (eval/ablation.h); */
    const char *ablated_heads; /* NULL: all */
    bool ablated_together, ablation_renormalises;
    bool probes;        /* looks at routers, and at each picture flipped and moved (eval/certainty.h); */
    size_t shift;       /* by so many pixels */
    bool by_prediction; /* pictures without a class are welcome: their head load is their prediction's */
} evaluation_options;

/* name: the command, for messages. */
void evaluation_options_begin(evaluation_options *o, const char *name);
void evaluation_options_end(evaluation_options *o);
bool evaluation_option(void *evaluation_options, int code, const char *value);
/* Takes the arguments from argv[optind] on, and checks what options say together. PARSED or EXIT_USAGE. */
int evaluation_options_check(evaluation_options *o, int argc, char **argv);

#endif

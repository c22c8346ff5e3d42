/* model_options.c - from command line and environment to an open model. */
#include "tools/program/model_options.h"

#include "base/parallel.h"
#include "tools/program/complain.h"
#include "tools/program/outputs_check.h"
#include "vit/headload/head_list.h"
#include "weights/embedded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void model_options_begin(model_options *o)
{
    *o = (model_options){
        .open = {.size = sizeof o->open,
                 .threads = mohvit_default_threads(),
                 .warn = complain_warning,
                 .note = complain_note},
        .batch = 1,
    };
}

static bool parse_size(size_t *out, const char *text)
{
    if (!parse_whole(out, "--size", text, CONFIG_MIN_SIZE, CONFIG_MAX_SIZE))
        return false;
    if (*out % 32 == 0)
        return true;
    complain("--size %s: expected a multiple of 32", text);
    return false;
}

static bool parse_threads(int *out, const char *text)
{
    size_t threads;
    if (!parse_whole(&threads, "--threads", text, 1, PARALLEL_MAX_THREADS))
        return false;
    *out = (int)threads;
    return true;
}

static bool parse_backend(mohvit_backend *out, const char *text)
{
    const char *names[8] = {NULL};
    for (size_t i = 0; (names[i] = mohvit_backend_name((mohvit_backend)i)); i++)
        ;
    int choice = parse_choice("--backend", text, names);
    *out = (mohvit_backend)choice;
    return choice >= 0;
}

static bool parse_precision(mohvit_precision *out, const char *text)
{
    const char *names[8] = {NULL};
    for (size_t i = 0; (names[i] = mohvit_precision_name((mohvit_precision)i)); i++)
        ;
    int choice = parse_choice("--precision", text, names);
    *out = (mohvit_precision)choice;
    return choice >= 0;
}

/* Whether a model routes heads at all is seen when it is opened; how their number is written, here. */
bool parse_routed(const char **out, const char *text)
{
    config any;
    mohvit_error err;
    *out = text;
    config_variant(&any, "moh_transnext_small_75");
    if (!config_set_routed(&any, text, &err))
        return true;
    complain("--routed-heads: %s", err.message);
    return false;
}

/* Whether the model has these heads is seen when it is opened. */
static bool parse_drop_heads(const char **out, const char *text)
{
    mohvit_error err;
    *out = text;
    return fine_or_complain(head_list_read(NULL, NULL, text, "--drop-heads", &err), &err);
}

static bool parse_variant(const char **out, const char *text)
{
    *out = text;
    const char *names[16] = {NULL};
    for (size_t i = 0; config_variant_name(i) && i + 1 < sizeof names / sizeof *names; i++)
        names[i] = config_variant_name(i);
    return parse_choice("--variant", text, names) >= 0;
}

bool model_option(void *options, int code, const char *value)
{
    model_options *o = options;
    switch (code) {
    case OPTION_WEIGHTS:
        return takes_file(FILE_WEIGHTS, "--weights", value, &o->weights);
    case OPTION_KEY:
        o->open.key = value;
        return true;
    case OPTION_CONFIG:
        return takes_file(FILE_READ, "--config", value, &o->open.config);
    case OPTION_LABELS:
        return takes_list("--labels", value, &o->open.labels);
    case OPTION_PREPROCESS:
        return takes_file(FILE_READ, "--preprocess", value, &o->open.preprocess);
    case OPTION_SIZE:
        return parse_size(&o->open.img_size, value);
    case OPTION_THREADS:
        o->threads_given = true;
        return parse_threads(&o->open.threads, value);
    case OPTION_BACKEND:
        return parse_backend(&o->open.backend, value);
    case OPTION_PRECISION:
        return parse_precision(&o->open.precision, value);
    case OPTION_ROUTED:
        return parse_routed(&o->open.routed_heads, value);
    case OPTION_DROP_HEADS:
        return parse_drop_heads(&o->drop_heads, value);
    case OPTION_RENORMALISE:
        return o->renormalise = true;
    case OPTION_BATCH:
        return parse_whole(&o->batch, "--batch", value, 1, CONTEXT_MAX_BATCH);
    case OPTION_VARIANT:
        return parse_variant(&o->variant, value);
    case OPTION_SEED:
        return parse_seed(&o->seed, "--seed", value);
    default:
        return false;
    }
}

int model_options_check(const model_options *o, const char *name)
{
    if (o->renormalise && !o->drop_heads)
        return usage_error(name, "--renormalise belongs to --drop-heads");
    return PARSED;
}

// ---- Which model -----------------------------------------------------------------------------------

/* NULL: neither the command line nor the environment names one. */
static const char *weights_path(const model_options *o)
{
    const char *environment = getenv("MOHVIT_WEIGHTS");
    if (o->weights)
        return o->weights;
    return environment && *environment ? environment : NULL;
}

void model_names_weights(const model_options *o)
{
    if (!o->weights)
        names_file(FILE_WEIGHTS, "MOHVIT_WEIGHTS", weights_path(o));
}

model_source model_source_choose(const model_options *o)
{
    const char *path = weights_path(o);
    if (path)
        return (model_source){.kind = SOURCE_FILE, .path = path};
    if (!o->quiet)
        complain("built-in model: ten kinds of clothing; use --weights for ImageNet");
    return (model_source){.kind = SOURCE_BUILT_IN};
}

model_source model_source_or_synthetic(const model_options *o)
{
    if (o->variant || (o->open.config && !weights_path(o)))
        return (model_source){.kind = SOURCE_SYNTHETIC, .seed = o->seed};
    return model_source_choose(o);
}

void model_warn_routed(const config *c, const char *asked, const model_options *o)
{
    const warning_sink warn = {o->open.warn, o->open.user};
    unsigned long number = asked && !strchr(asked, '%') ? strtoul(asked, NULL, 10) : 0;
    char picks[128] = "";
    bool fewer = false;
    for (size_t s = 0; s < STAGES; s++) {
        size_t used = strlen(picks);
        snprintf(picks + used, sizeof picks - used, "%s%zu", s ? ", " : "", c->routed_head[s]);
        fewer = fewer || (c->routed_head[s] && c->routed_head[s] < number);
    }
    if (fewer)
        warning_send(&warn, "--routed-heads %s: some stages have fewer; a token picks %s in stages 1 to %d",
                     asked, picks, STAGES);
}

mohvit_model *model_open_or_complain(const model_source *source, const model_options *o)
{
    mohvit_model *m = NULL;
    mohvit_error err;
    mohvit_status status =
        source->kind == SOURCE_SYNTHETIC
            ? mohvit_open_synthetic(&m, o->variant, source->seed, &o->open, &err)
            : mohvit_open_with_config(&m, source->kind == SOURCE_FILE ? source->path : NULL, NULL, &o->open,
                                      &err);
    if (!status && o->drop_heads) {
        mohvit_model *whole = m;
        m = NULL;
        status = mohvit_drop_heads(&m, whole, o->drop_heads, o->renormalise, &err);
        mohvit_close(whole);
    }
    if (!fine_or_complain(status, &err))
        return NULL;
    model_warn_routed(&mohvit_describe(m)->config, o->open.routed_heads, o);
    return m;
}

mohvit_status model_source_checkpoint(checkpoint **cp, const model_source *source, const model_options *o,
                                      mohvit_error *err)
{
    warning_sink warn = {o->open.warn, o->open.user};
    if (source->kind == SOURCE_FILE)
        return checkpoint_open(cp, source->path, o->open.key, &warn, err);
    return checkpoint_open_memory(cp, embedded_model, embedded_model_size(), "built-in model", o->open.key,
                                  &warn, err);
}

mohvit_status model_describe_synthetic(description *d, const model_options *o, mohvit_error *err)
{
    config c;
    const char *variant = o->variant ? o->variant : config_variant_name(0);
    mohvit_status status = synthetic_config(&c, variant, &o->open, err);
    return status ? status : description_of_config(d, &c, &o->open, err);
}

mohvit_context *model_context_or_complain(const mohvit_model *m, const model_options *o)
{
    mohvit_context *ctx = NULL;
    mohvit_error err;
    fine_or_complain(mohvit_context_create(&ctx, m, o->batch, o->open.threads, &err), &err);
    return ctx;
}

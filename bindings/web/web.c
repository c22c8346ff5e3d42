/* web.c - what engine.js calls: the library for one model and one picture at a time, without its structs.
 * What JavaScript would need their layout for goes through JSON, and what is large lies where it is and is
 * read there. An instance of the module has one model, and all of its memory goes with it. */
#include "vit/mohvit.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(#name))) name

static mohvit_model *model;
static mohvit_context *context;
static mohvit_error error;
static char *text; /* the last JSON that was returned */

void *EXPORT(web_allocate)(size_t bytes)
{
    return malloc(bytes ? bytes : 1);
}

void EXPORT(web_free)(void *memory)
{
    free(memory);
}

/* Of the last call that failed: one whose status is not 0, or who returned NULL in place of JSON. */
mohvit_status EXPORT(web_status)(void)
{
    return error.status;
}

const char *EXPORT(web_message)(void)
{
    return error.message;
}

/* Takes over the value; NULL is for a lack of memory. Valid until the next call that returns JSON. */
static const char *give_json(json_t *value)
{
    free(text);
    text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    if (!text)
        error = (mohvit_error){.status = MOHVIT_ERROR_MEMORY, .message = "no memory"};
    return text;
}

/* ---- A model ----------------------------------------------------------------------------------- */

/* What a model is opened with, which web_open and web_open_synthetic take. Texts may be NULL. */
static mohvit_options options = {.size = sizeof options};

mohvit_status EXPORT(web_set_options)(const char *key, const char *config, size_t img_size,
                                      const char *precision, int threads)
{
    options.key = key;
    options.config_json = config;
    options.img_size = img_size;
    options.threads = threads;
    return precision ? mohvit_precision_by_name(&options.precision, precision, &error) : MOHVIT_OK;
}

static mohvit_status create_context(mohvit_status opened)
{
    if (!opened)
        opened = mohvit_context_create(&context, model, 1, options.threads, &error);
    return opened ? opened : mohvit_record_gates(context, 1, &error);
}

mohvit_status EXPORT(web_open)(const void *data, size_t size)
{
    return create_context(mohvit_open_memory(&model, data, size, &options, &error));
}

/* variant is of no account where the options have a config. */
mohvit_status EXPORT(web_open_synthetic)(const char *variant, unsigned seed)
{
    return create_context(mohvit_open_synthetic(&model, variant, seed, &options, &error));
}

static json_t *describe_block(const mohvit_block *b)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "name", b->name, "stage", (json_int_t)b->stage,
                     "block", (json_int_t)b->block, "tokens", (json_int_t)b->tokens, "heads",
                     (json_int_t)b->heads, "shared", (json_int_t)b->shared, "routed", (json_int_t)b->routed);
}

/* What the model is, as the context computes it. NULL without memory. */
const char *EXPORT(web_describe)(void)
{
    const mohvit_model *m = mohvit_context_model(context);
    mohvit_info info = {.size = sizeof info};
    mohvit_block block = {.size = sizeof block};
    json_t *blocks = json_array(), *classes = json_array();
    bool complete = blocks && classes && !mohvit_get_info(m, &info, NULL);
    for (size_t i = 0; complete && !mohvit_get_block(m, i, &block, NULL); i++)
        complete = !json_array_append_new(blocks, describe_block(&block));
    for (size_t i = 0; complete && i < info.num_classes; i++)
        complete = !json_array_append_new(
            classes, json_pack("{s:s, s:s?}", "label", mohvit_label(m, i), "id", mohvit_label_id(m, i)));
    if (!complete) {
        json_decref(blocks);
        json_decref(classes);
        return give_json(NULL);
    }
    return give_json(json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:o, s:o, s:o, s:o, s:o}", "variant", info.variant,
        "imgSize", (json_int_t)info.img_size, "featureCount", (json_int_t)info.features, "maxHeads",
        (json_int_t)info.max_heads, "parameters", (json_int_t)info.parameters, "gmacs", info.gmacs,
        "gmacsRouted", info.gmacs_routed, "activeHeadsPercent", info.active_heads_percent, "blocks", blocks,
        "classes", classes, "config", json_loads(mohvit_config_json(m), 0, NULL), "preprocess",
        json_loads(mohvit_preprocess_json(m), 0, NULL), "provenance",
        json_loads(mohvit_provenance_json(m), 0, NULL)));
}

/* NULL: as the model was opened. */
mohvit_status EXPORT(web_set_routed_heads)(const char *routed_heads)
{
    return mohvit_set_routed_heads(context, routed_heads, &error);
}

/* ---- A picture --------------------------------------------------------------------------------- */

/* pixels (height, width, channels) bytes: red, green, blue, and what may follow them, which is dropped. They
 * are overwritten. */
mohvit_status EXPORT(web_load_pixels)(uint8_t *pixels, size_t width, size_t height, size_t channels)
{
    size_t count = width * height;
    for (size_t i = 1; channels > 3 && i < count; i++)
        memmove(pixels + 3 * i, pixels + channels * i, 3);
    return mohvit_load_rgb(context, 0, pixels, width, height, 3 * width, &error);
}

/* tensor (3, imgSize, imgSize), as mohvit_load_tensor takes it. */
mohvit_status EXPORT(web_load_tensor)(const float *tensor)
{
    return mohvit_load_tensor(context, 0, tensor, &error);
}

mohvit_status EXPORT(web_run)(void)
{
    return mohvit_run(context, 1, &error);
}

/* [{"class", "probability", "label", "id"}], the most likely first. */
const char *EXPORT(web_top)(size_t k)
{
    mohvit_info info = {.size = sizeof info};
    mohvit_get_info(model, &info, NULL);
    k = k < info.num_classes ? k : info.num_classes;
    mohvit_prediction *top = calloc(k + 1, sizeof *top);
    json_t *array = json_array();
    bool complete = top && array;
    if (complete && mohvit_top(context, 0, top, k, &error)) {
        free(top);
        json_decref(array);
        return NULL;
    }
    for (size_t i = 0; complete && i < k; i++)
        complete = !json_array_append_new(
            array, json_pack("{s:I, s:f, s:s, s:s?}", "class", (json_int_t)top[i].class_index, "probability",
                             (double)top[i].probability, "label", top[i].label, "id", top[i].id));
    free(top);
    if (complete)
        return give_json(array);
    json_decref(array);
    return give_json(NULL);
}

const float *EXPORT(web_logits)(void)
{
    return mohvit_logits(context, 0);
}

const float *EXPORT(web_features)(void)
{
    return mohvit_features(context, 0);
}

const int32_t *EXPORT(web_head_tokens)(void)
{
    return mohvit_head_tokens(context, 0);
}

const double *EXPORT(web_head_gate_sum)(void)
{
    return mohvit_head_gate_sum(context, 0);
}

/* Of all blocks, one behind the other. */
const float *EXPORT(web_gates)(void)
{
    return mohvit_gates(context, 0, 0);
}

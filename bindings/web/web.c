/* web.c - what engine.js calls: the library for one model and one picture at a time, without its structs.
 * What JavaScript would need their layout for goes through JSON, and what is large lies where it is and is
 * read there. An instance of the module has one model, and all of its memory goes with it. */
#include "base/parallel.h"
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

/* What a model is opened with, which web_open and web_open_synthetic take. Texts may be NULL. It is loaded by
 * one thread: helpers compute, and never ask for memory. */
static mohvit_options options = {.size = sizeof options, .threads = 1};
static int context_threads = 1;

mohvit_status EXPORT(web_set_options)(const char *key, const char *config, size_t img_size,
                                      const char *precision, int threads)
{
    options.key = key;
    options.config_json = config;
    options.img_size = img_size;
    context_threads = threads;
    return precision ? mohvit_precision_by_name(&options.precision, precision, &error) : MOHVIT_OK;
}

static mohvit_status create_context(mohvit_status opened)
{
    if (!opened)
        opened = mohvit_context_create(&context, model, 1, context_threads, &error);
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

static json_t *describe_class(const char *label, const char *id)
{
    return json_pack("{s:s, s:s?}", "label", label, "id", id);
}

/* For an array that lacks memory, or an item that does, NULL, and all is freed. */
static json_t *array_with(json_t *array, json_t *item)
{
    if (array && !json_array_append_new(array, item))
        return array;
    json_decref(array);
    return NULL;
}

/* What the model is, as the context computes it. NULL without memory. */
const char *EXPORT(web_describe)(void)
{
    const mohvit_model *m = mohvit_context_model(context);
    mohvit_info info = {.size = sizeof info};
    mohvit_block block = {.size = sizeof block};
    json_t *blocks = json_array(), *classes = json_array();
    mohvit_get_info(m, &info, NULL);
    for (size_t i = 0; blocks && !mohvit_get_block(m, i, &block, NULL); i++)
        blocks = array_with(blocks, describe_block(&block));
    for (size_t i = 0; classes && i < info.num_classes; i++)
        classes = array_with(classes, describe_class(mohvit_label(m, i), mohvit_label_id(m, i)));
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
    json_t *array = top ? json_array() : NULL;
    if (top && mohvit_top(context, 0, top, k, &error)) {
        free(top);
        json_decref(array);
        return NULL;
    }
    for (size_t i = 0; array && i < k; i++)
        array = array_with(array, json_pack("{s:I, s:f, s:s, s:s?}", "class", (json_int_t)top[i].class_index,
                                            "probability", (double)top[i].probability, "label", top[i].label,
                                            "id", top[i].id));
    free(top);
    return give_json(array);
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

/* ---- Head loads -------------------------------------------------------------------------------- */

/* Nothing counted yet, as the context is now. NULL on failure, here and below. */
mohvit_head_load *EXPORT(web_head_load_create)(void)
{
    mohvit_head_load *load = NULL;
    mohvit_head_load_create_of_context(&load, context, &error);
    return load;
}

/* From the bytes of a file. */
mohvit_head_load *EXPORT(web_head_load_open)(const void *data, size_t size)
{
    mohvit_head_load *load = NULL;
    mohvit_head_load_open_memory(&load, data, size, &error);
    return load;
}

void EXPORT(web_head_load_close)(mohvit_head_load *load)
{
    mohvit_head_load_destroy(load);
}

/* The last picture. */
mohvit_status EXPORT(web_head_load_add)(mohvit_head_load *load, size_t class_index)
{
    return mohvit_head_load_add(load, context, 0, class_index, &error);
}

mohvit_status EXPORT(web_head_load_merge)(mohvit_head_load *to, const mohvit_head_load *from, int allow_mixed)
{
    return mohvit_head_load_merge(to, from, allow_mixed, &error);
}

const char *EXPORT(web_head_load_describe)(const mohvit_head_load *load)
{
    mohvit_head_load_info info = {.size = sizeof info};
    mohvit_block block = {.size = sizeof block};
    json_t *blocks = json_array(), *classes = json_array();
    mohvit_head_load_get_info(load, &info, NULL);
    for (size_t i = 0; blocks && !mohvit_head_load_get_block(load, i, &block, NULL); i++)
        blocks = array_with(blocks, describe_block(&block));
    for (size_t i = 0; classes && i < info.classes; i++)
        classes = array_with(
            classes, describe_class(mohvit_head_load_label(load, i), mohvit_head_load_label_id(load, i)));
    return give_json(json_pack("{s:I, s:I, s:o, s:o}", "images", (json_int_t)info.images, "maxHeads",
                               (json_int_t)info.max_heads, "blocks", blocks, "classes", classes));
}

/* What was counted of a class, in numbers as JavaScript has them: images (1), tokens (blocks), active and
 * gateSum (blocks, maxHeads), one behind the other. For web_free. */
double *EXPORT(web_head_load_of_class)(const mohvit_head_load *load, size_t class_index)
{
    mohvit_head_load_info info = {.size = sizeof info};
    mohvit_head_load_get_info(load, &info, NULL);
    size_t cells = info.blocks * info.max_heads, counts = 1 + info.blocks + cells;
    double *numbers = malloc((counts + cells) * sizeof *numbers);
    int64_t *own = malloc(counts * sizeof *own);
    if (!numbers || !own)
        error = (mohvit_error){.status = MOHVIT_ERROR_MEMORY, .message = "no memory"};
    if (!numbers || !own ||
        mohvit_head_load_of_class(load, class_index, own, own + 1, own + 1 + info.blocks, numbers + counts,
                                  &error)) {
        free(numbers);
        free(own);
        return NULL;
    }
    for (size_t i = 0; i < counts; i++)
        numbers[i] = (double)own[i];
    free(own);
    return numbers;
}

static size_t saved_size;

/* The bytes of a file, of web_saved_size; for web_free. */
void *EXPORT(web_head_load_save)(const mohvit_head_load *load)
{
    void *saved = NULL;
    mohvit_head_load_save_memory(load, &saved, &saved_size, &error);
    return saved;
}

size_t EXPORT(web_saved_size)(void)
{
    return saved_size;
}

/* ---- Threads ----------------------------------------------------------------------------------- */

/* Called once by each thread that helps (helper.js), worker 1 to threads - 1. It does not return. */
void EXPORT(web_help)(unsigned worker)
{
    parallel_help(worker);
}

/* Called where web_help has ended, by a trap. The engine stops, too. */
void EXPORT(web_help_failed)(void)
{
    parallel_help_failed();
}

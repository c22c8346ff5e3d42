#include "vit/api/description.h"
#include "base/file_io.h"
#include "vit/api/tensor_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_FILE_MAX ((size_t)1 << 20)

/* What messages call an option that is a file or a text; fallback where it is neither. */
static const char *option_name(const char *path, const char *json, const char *name, const char *fallback)
{
    return path ? path : json ? name : fallback;
}

static mohvit_status check_options(const mohvit_options *o, mohvit_error *err)
{
    const char *both = o->config && o->config_json           ? "config"
                       : o->labels && o->labels_json         ? "labels"
                       : o->preprocess && o->preprocess_json ? "preprocess"
                                                             : NULL;
    if (!both)
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_ARGUMENT, "mohvit_options: %s and %s_json; expected one of them", both,
                     both);
}

static bool config_given(const mohvit_options *options)
{
    return options->config || options->config_json;
}

static mohvit_status config_read(config *out, const mohvit_options *options, mohvit_error *err)
{
    char *text;
    size_t size;
    const char *json = options->config_json;
    if (json)
        return config_from_json(out, json, strlen(json), "config", err);
    mohvit_status status = file_load_path(&text, &size, options->config, TEXT_FILE_MAX, err);
    if (status)
        return status;
    status = config_from_json(out, text, size, options->config, err);
    free(text);
    return status;
}

/* ---- What a checkpoint is -------------------------------------------------------------------- */

warning_sink options_sink(const mohvit_options *options)
{
    return (warning_sink){options->warn, options->user};
}

tensor_info tensor_of_spec(const tensor_spec *spec, tensor_dtype dtype)
{
    tensor_info t = {.name = spec->name, .dtype = dtype, .rank = spec->rank, .elements = spec->elements};
    memcpy(t.shape, spec->shape, spec->rank * sizeof *spec->shape);
    return t;
}

/* The suffix of a message: a tensor of the checkpoint that the model does not have, and what its name is
 * nearest to. Sorts the list. */
static const char *nearest_text(char *out, size_t size, const checkpoint *cp, tensor_list *list,
                                const char *name)
{
    const char *found, *nearest;
    tensor_list_sort(list);
    nearest = tensor_nearest(&found, cp, list);
    *out = '\0';
    if (nearest)
        snprintf(out, size, "; found %s, which config \"%s\" does not have: the nearest that it lacks is %s",
                 found, name, nearest);
    return out;
}

static mohvit_status headless(const checkpoint *cp, const char *nearest, mohvit_error *err)
{
    return error_set(
        err, MOHVIT_ERROR_MISMATCH,
        "%s: has no head.weight: a backbone without its head cannot tell classes; save the whole "
        "model%s",
        checkpoint_path(cp), nearest);
}

/* The set is that of no config at hand. */
static mohvit_status unrecognised(const checkpoint *cp, const config *nearest_config, mohvit_error *err)
{
    tensor_list list;
    char nearest[512];
    mohvit_status status = model_tensors(&list, nearest_config, err);
    if (status)
        return status;
    nearest_text(nearest, sizeof nearest, cp, &list, config_name(nearest_config));
    if (checkpoint_find(cp, list.tensors[0].name) && !checkpoint_find(cp, "head.weight"))
        status = headless(cp, nearest, err);
    else
        status =
            error_set(err, MOHVIT_ERROR_MISMATCH,
                      "%s: has no config, and its tensors are those of no published variant; give a config "
                      "file%s",
                      checkpoint_path(cp), nearest);
    tensor_list_free(&list);
    return status;
}

static void send_note(const mohvit_options *options, const char *path, const char *text)
{
    const warning_sink note = {options->note, options->user};
    warning_send(&note, "%s: %s", path, text);
}

/* Takes the prefix of the set off the names. */
static mohvit_status take_off(checkpoint *cp, const tensor_set *set, const mohvit_options *options,
                              mohvit_error *err)
{
    char text[512];
    if (!set->length)
        return MOHVIT_OK;
    snprintf(text, sizeof text, "\"%.*s\" is taken off the names of its tensors", (int)set->length,
             set->prefix);
    mohvit_status status = checkpoint_take_off(cp, set->prefix, set->length, err);
    if (!status)
        send_note(options, checkpoint_path(cp), text);
    return status;
}

/* A checkpoint without config is told by its shapes (spec 3). One that fits a variant but for a few tensors
 * is taken for it, so that the error then names those. */
static mohvit_status recognise(config *out, checkpoint *cp, const mohvit_options *options, mohvit_error *err)
{
    tensor_set set;
    mohvit_status status = tensor_set_find(&set, cp, NULL, options->key, err);
    if (!status)
        status = take_off(cp, &set, options, err);
    if (status)
        return status;
    if (set.fitting * 10 < set.count * 9)
        return unrecognised(cp, &set.config, err);
    *out = set.config;
    config published;
    config_variant(&published, config_name(out));
    if (out->num_classes != published.num_classes) {
        char text[128];
        snprintf(text, sizeof text,
                 "has no config; recognised as %s by its shapes, trained at %zu pixels (assumed)",
                 config_name(out), published.pretrain_size);
        send_note(options, checkpoint_path(cp), text);
    }
    return MOHVIT_OK;
}

/* Takes in options->routed_heads, and img_size, while the size that position bias was trained at stays. */
static mohvit_status adapt_config(config *c, const mohvit_options *options, const char *name,
                                  mohvit_error *err)
{
    mohvit_status status =
        options->routed_heads ? config_set_routed(c, options->routed_heads, err) : MOHVIT_OK;
    if (status || !options->img_size)
        return status;
    c->img_size = options->img_size;
    return config_validate(c, name, err);
}

/* Also takes a prefix off the names of the tensors. */
static mohvit_status describe_config(config *out, checkpoint *cp, const config *given,
                                     const mohvit_options *options, mohvit_error *err)
{
    const char *metadata = checkpoint_metadata(cp, "config"), *path = checkpoint_path(cp);
    bool known = given || config_given(options) || metadata;
    mohvit_status status = MOHVIT_OK;
    if (given)
        *out = *given;
    else if (config_given(options))
        status = config_read(out, options, err);
    else if (metadata)
        status = config_from_json(out, metadata, strlen(metadata), path, err);
    else
        status = recognise(out, cp, options, err);
    if (!status)
        status = adapt_config(out, options,
                              option_name(options->config, options->config_json, "config", path), err);
    tensor_set set = {.prefix = ""}; // recognise has taken off what there was
    if (!status && known)
        status = tensor_set_find(&set, cp, out, options->key, err);
    return status ? status : take_off(cp, &set, options, err);
}

static mohvit_status describe_labels(labels *out, const char *json, const config *c,
                                     const mohvit_options *options, const char *path, mohvit_error *err)
{
    mohvit_status status;
    const char *from = option_name(options->labels, options->labels_json, "labels", path);
    if (options->labels)
        status = labels_read(out, options->labels, err);
    else if (options->labels_json)
        status = labels_from_json(out, options->labels_json, from, err);
    else if (json)
        status = labels_from_json(out, json, path, err);
    else if (c->num_classes == 1000)
        return labels_imagenet1k(out, err);
    else
        return labels_numbered(out, c->num_classes, err);
    if (status || out->count == c->num_classes)
        return status;
    status = error_set(err, MOHVIT_ERROR_MISMATCH, "%s: names %zu class%s; the model has %zu", from,
                       out->count, out->count == 1 ? "" : "es", c->num_classes);
    labels_free(out);
    return status;
}

static mohvit_status describe_preprocess(preprocess *out, const char *json, const mohvit_options *options,
                                         const char *path, mohvit_error *err)
{
    char *text = NULL;
    size_t size = json ? strlen(json) : 0;
    mohvit_status status = MOHVIT_OK;
    *out = preprocess_default;
    if (options->preprocess) {
        status = file_load_path(&text, &size, options->preprocess, TEXT_FILE_MAX, err);
        json = text;
        path = options->preprocess;
    }
    if (!status && json)
        status = preprocess_from_json(out, json, size, path, err);
    free(text);
    json = options->preprocess_json;
    if (!status && json)
        status = preprocess_update(out, json, strlen(json), "preprocess", err);
    return status;
}

/* What goes with a config; cp NULL: no checkpoint has a say. name begins messages. */
static mohvit_status complete(description *out, const config *c, const checkpoint *cp,
                              const mohvit_options *options, const char *name, mohvit_error *err)
{
    description d = {.config = *c};
    const char *preprocessing = cp ? checkpoint_metadata(cp, "preprocess") : NULL,
               *names = cp ? checkpoint_metadata(cp, "labels") : NULL,
               *synthetic = cp ? checkpoint_metadata(cp, "synthetic") : NULL;
    mohvit_status status = describe_preprocess(&d.preprocess, preprocessing, options, name, err);
    if (!status)
        status = describe_labels(&d.labels, names, c, options, name, err);
    if (status)
        return status;
    if (synthetic) {
        const warning_sink warn = options_sink(options);
        size_t digits = strspn(synthetic, "0123456789");
        bool number = digits && digits < sizeof d.synthetic && !synthetic[digits];
        snprintf(d.synthetic, sizeof d.synthetic, "%s", number ? synthetic : "unknown");
        warning_send(&warn, "%s: synthetic weights, seed %s: its answers mean nothing", name, d.synthetic);
    }
    *out = d;
    return MOHVIT_OK;
}

mohvit_status description_read(description *out, checkpoint *cp, const config *given,
                               const mohvit_options *options, mohvit_error *err)
{
    config c;
    mohvit_status status = check_options(options, err);
    if (!status)
        status = describe_config(&c, cp, given, options, err);
    return status ? status : complete(out, &c, cp, options, checkpoint_path(cp), err);
}

mohvit_status description_of_config(description *out, const config *c, const mohvit_options *options,
                                    mohvit_error *err)
{
    config adapted = *c;
    const char *name = option_name(options->config, options->config_json, "config", config_name(c));
    mohvit_status status = check_options(options, err);
    if (!status)
        status = adapt_config(&adapted, options, name, err);
    return status ? status : complete(out, &adapted, NULL, options, name, err);
}

mohvit_status synthetic_config(config *out, const char *variant, const mohvit_options *options,
                               mohvit_error *err)
{
    if (config_given(options))
        return config_read(out, options, err);
    if (variant && config_variant(out, variant))
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_ARGUMENT, "no variant \"%s\"; expected a published one, such as %s",
                     variant ? variant : "", config_variant_name(0));
}

void description_free(description *d)
{
    labels_free(&d->labels);
    free(d->dropped_heads);
    d->dropped_heads = NULL;
}

/* ---- Weights --------------------------------------------------------------------------------- */

#define NONFINITE_WARNINGS 10

static bool all_finite(const float *x, size_t n)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return !bad;
}

static mohvit_status misshaped(const checkpoint *cp, const tensor_info *info, const tensor_spec *spec,
                               const char *config_text, mohvit_error *err)
{
    char found[128], expected[128];
    return error_set(err, MOHVIT_ERROR_MISMATCH, "%s: %s: shape %s does not fit config \"%s\": %s",
                     checkpoint_path(cp), spec->name,
                     tensor_shape_text(found, sizeof found, info->rank, info->shape), config_text,
                     tensor_shape_text(expected, sizeof expected, spec->rank, spec->shape));
}

static mohvit_status read_checkpoint_tensor(void *state, const tensor_spec *spec, float *dst,
                                            mohvit_error *err)
{
    checkpoint_reader *reader = state;
    mohvit_status status = checkpoint_read_f32(reader->cp, checkpoint_find(reader->cp, spec->name), dst, err);
    if (status || all_finite(dst, spec->elements))
        return status;
    reader->nonfinite++;
    if (reader->nonfinite <= NONFINITE_WARNINGS)
        warning_send(&reader->warn, "%s: tensor %s has NaN or infinite values", checkpoint_path(reader->cp),
                     spec->name);
    else if (reader->nonfinite == NONFINITE_WARNINGS + 1)
        warning_send(&reader->warn, "%s: further tensors have NaN or infinite values",
                     checkpoint_path(reader->cp));
    return MOHVIT_OK;
}

weight_source checkpoint_source(checkpoint_reader *reader)
{
    return (weight_source){.state = reader, .read = read_checkpoint_tensor};
}

/* What the first tensor that is missing tells. */
static mohvit_status missing(const checkpoint *cp, tensor_list *list, const tensor_spec *spec,
                             const char *name, mohvit_error *err)
{
    const tensor_spec lost = *spec; // the list is sorted below
    char nearest[512], expected[128];
    nearest_text(nearest, sizeof nearest, cp, list, name);
    if (!strcmp(lost.name, "head.weight"))
        return headless(cp, nearest, err);
    return error_set(err, MOHVIT_ERROR_MISMATCH, "%s: tensor %s is missing; config \"%s\" has it as %s%s",
                     checkpoint_path(cp), lost.name, name,
                     tensor_shape_text(expected, sizeof expected, lost.rank, lost.shape), nearest);
}

mohvit_status checkpoint_check_tensors(checkpoint *cp, tensor_list *list, const char *name,
                                       const warning_sink *warn, mohvit_error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        const tensor_spec *spec = &list->tensors[i];
        const tensor_info *info = checkpoint_find(cp, spec->name);
        if (!info)
            return missing(cp, list, spec, name, err);
        if (!tensor_fits(info, spec))
            return misshaped(cp, info, spec, name, err);
    }
    tensor_list_sort(list);
    for (size_t i = 0; i < checkpoint_count(cp); i++) {
        const tensor_info *info = checkpoint_tensor(cp, i);
        if (!tensor_listed(list, info->name))
            warning_send(warn, "%s: tensor %s is not part of the model and is ignored", checkpoint_path(cp),
                         info->name);
    }
    return MOHVIT_OK;
}

mohvit_status checkpoint_check(checkpoint *cp, const config *c, const warning_sink *warn, mohvit_error *err)
{
    tensor_list list;
    mohvit_status status = model_tensors(&list, c, err);
    if (status)
        return status;
    status = checkpoint_check_tensors(cp, &list, config_name(c), warn, err);
    tensor_list_free(&list);
    return status;
}

#include "vit/api/description.h"
#include "base/file_io.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_FILE_MAX ((size_t)1 << 20)

static mohvit_status config_read(config *out, const char *path, mohvit_error *err)
{
    char *text;
    size_t size;
    mohvit_status status = file_load_path(&text, &size, path, TEXT_FILE_MAX, err);
    if (status)
        return status;
    status = config_from_json(out, text, size, path, err);
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

static bool same_shape(const tensor_info *info, const tensor_spec *spec)
{
    return info && info->rank == spec->rank &&
           !memcmp(info->shape, spec->shape, spec->rank * sizeof *spec->shape);
}

/* Tensors of the config that the checkpoint has in the right shape, in percent. */
static mohvit_status match_percent(double *percent, checkpoint *cp, const config *c, mohvit_error *err)
{
    tensor_list list;
    mohvit_status status = model_tensors(&list, c, err);
    if (status)
        return status;
    size_t matches = 0;
    for (size_t i = 0; i < list.count; i++)
        matches += same_shape(checkpoint_find(cp, list.tensors[i].name), &list.tensors[i]);
    *percent = 100.0 * (double)matches / (double)list.count;
    tensor_list_free(&list);
    return MOHVIT_OK;
}

/* A checkpoint without config is told by its shapes (spec 3). One that fits a variant but for a few tensors
 * is taken for it, so that the error then names those. */
static mohvit_status recognise(config *out, checkpoint *cp, mohvit_error *err)
{
    const tensor_info *head = checkpoint_find(cp, "head.weight");
    const char *path = checkpoint_path(cp), *name;
    double best = 0;
    if (!head || head->rank != 2 || !head->shape[0] || head->shape[0] > CONFIG_MAX_CLASSES)
        return error_set(
            err, MOHVIT_ERROR_MISMATCH,
            "%s: has no config, and no tensor head.weight (classes, channels) to recognise a variant by",
            path);
    for (size_t i = 0; (name = config_variant_name(i)); i++) {
        config c;
        double percent;
        config_variant(&c, name);
        c.num_classes = head->shape[0];
        mohvit_status status = match_percent(&percent, cp, &c, err);
        if (status)
            return status;
        if (percent > best) {
            best = percent;
            *out = c;
        }
    }
    if (best < 90)
        return error_set(
            err, MOHVIT_ERROR_MISMATCH,
            "%s: has no config, and its tensors are those of no published variant; give a config file", path);
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

static mohvit_status describe_config(config *out, checkpoint *cp, const config *given,
                                     const mohvit_options *options, mohvit_error *err)
{
    const char *metadata = checkpoint_metadata(cp, "config"), *path = checkpoint_path(cp);
    mohvit_status status = MOHVIT_OK;
    *out = (config){0};
    if (given)
        *out = *given;
    else if (options->config)
        status = config_read(out, options->config, err);
    else if (metadata)
        status = config_from_json(out, metadata, strlen(metadata), path, err);
    else if (!(status = recognise(out, cp, err))) {
        warning_sink warn = options_sink(options);
        warning_send(&warn,
                     "%s: has no config; recognised as %s by its shapes, trained at 224 pixels (assumed)",
                     path, config_name(out));
    }
    return status ? status : adapt_config(out, options, options->config ? options->config : path, err);
}

static mohvit_status describe_labels(labels *out, const char *json, const config *c,
                                     const mohvit_options *options, const char *path, mohvit_error *err)
{
    mohvit_status status;
    const char *from = options->labels ? options->labels : path;
    if (options->labels)
        status = labels_read(out, options->labels, err);
    else if (json)
        status = labels_from_json(out, json, path, err);
    else if (c->num_classes == 1000)
        return labels_imagenet1k(out, err);
    else
        return labels_numbered(out, c->num_classes, err);
    if (status || out->count == c->num_classes)
        return status;
    status = error_set(err, MOHVIT_ERROR_MISMATCH, "%s: names %zu classes; the model has %zu", from,
                       out->count, c->num_classes);
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
        snprintf(d.synthetic, sizeof d.synthetic, "%s", synthetic);
        warning_send(&warn, "%s: synthetic weights, seed %s: its answers mean nothing", name, d.synthetic);
    }
    *out = d;
    return MOHVIT_OK;
}

mohvit_status description_read(description *out, checkpoint *cp, const config *given,
                               const mohvit_options *options, mohvit_error *err)
{
    config c;
    mohvit_status status = describe_config(&c, cp, given, options, err);
    return status ? status : complete(out, &c, cp, options, checkpoint_path(cp), err);
}

mohvit_status description_of_config(description *out, const config *c, const mohvit_options *options,
                                    mohvit_error *err)
{
    config adapted = *c;
    const char *name = options->config ? options->config : config_name(c);
    mohvit_status status = adapt_config(&adapted, options, name, err);
    return status ? status : complete(out, &adapted, NULL, options, name, err);
}

mohvit_status synthetic_config(config *out, const char *variant, const mohvit_options *options,
                               mohvit_error *err)
{
    if (options->config)
        return config_read(out, options->config, err);
    if (variant && config_variant(out, variant))
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_ARGUMENT, "no variant \"%s\"; expected a published one, such as %s",
                     variant ? variant : "", config_variant_name(0));
}

void description_free(description *d)
{
    labels_free(&d->labels);
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

static mohvit_status check_tensor(checkpoint *cp, const tensor_spec *spec, const char *config_text,
                                  mohvit_error *err)
{
    const tensor_info *info = checkpoint_find(cp, spec->name);
    char found[128], expected[128];
    if (!info)
        return error_set(err, MOHVIT_ERROR_MISMATCH, "%s: tensor %s is missing; config \"%s\" has it as %s",
                         checkpoint_path(cp), spec->name, config_text,
                         tensor_shape_text(expected, sizeof expected, spec->rank, spec->shape));
    if (!same_shape(info, spec))
        return error_set(err, MOHVIT_ERROR_MISMATCH, "%s: %s: shape %s does not fit config \"%s\": %s",
                         checkpoint_path(cp), spec->name,
                         tensor_shape_text(found, sizeof found, info->rank, info->shape), config_text,
                         tensor_shape_text(expected, sizeof expected, spec->rank, spec->shape));
    return MOHVIT_OK;
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

/* Of specs, which begin with their names, or of a name and a spec. */
static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

mohvit_status checkpoint_check_tensors(checkpoint *cp, tensor_list *list, const char *name,
                                       const warning_sink *warn, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    for (size_t i = 0; !status && i < list->count; i++)
        status = check_tensor(cp, &list->tensors[i], name, err);
    qsort(list->tensors, list->count, sizeof *list->tensors, compare_names);
    for (size_t i = 0; !status && i < checkpoint_count(cp); i++) {
        const tensor_info *info = checkpoint_tensor(cp, i);
        if (!bsearch(info->name, list->tensors, list->count, sizeof *list->tensors, compare_names))
            warning_send(warn, "%s: tensor %s is not part of the model and is ignored", checkpoint_path(cp),
                         info->name);
    }
    return status;
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

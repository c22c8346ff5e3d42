/* mohvit.c - models: opening them, asking them. */
#include "vit/mohvit.h"

#include "base/parallel.h"
#include "vit/api/choices.h"
#include "vit/api/internal.h"
#include "vit/api/sized.h"
#include "vit/api/texts.h"
#include "vit/headload/head_list.h"
#include "vit/network/synthetic.h"
#include "weights/embedded.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mohvit_model {
    description description;
    model *network;
    routing_layout routing;
    uint8_t *dropped; /* (blocks, max_heads), what description.dropped_heads names; NULL: none */
    texts texts;
};

const char *mohvit_version(void)
{
    return MOHVIT_VERSION;
}

int mohvit_default_threads(void)
{
    return (int)parallel_default_threads();
}

static mohvit_status take_options(mohvit_options *own, const mohvit_options *given, mohvit_error *err)
{
    return sized_take(own, sizeof *own, given, "mohvit_options", err);
}

static mohvit_status read_synthetic_tensor(void *state, const tensor_spec *spec, float *dst,
                                           mohvit_error *err)
{
    (void)err;
    synthetic_tensor(dst, spec, *(const uint64_t *)state);
    return MOHVIT_OK;
}

/* ---- Opening --------------------------------------------------------------------------------- */

/* From description.dropped_heads, which becomes the shortest list of the same heads. */
static mohvit_status take_drops(mohvit_model *m, mohvit_error *err)
{
    description *d = &m->description;
    if (!d->dropped_heads)
        return MOHVIT_OK;
    m->dropped = calloc(m->routing.count, m->routing.max_heads);
    if (!m->dropped)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a model");
    mohvit_status status = head_list_read(m->dropped, &m->routing, d->dropped_heads, "heads to drop", err);
    char *shortest = status ? NULL : head_list_text(&m->routing, m->dropped);
    if (!status && !shortest)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a model");
    if (!status) {
        free(d->dropped_heads);
        d->dropped_heads = shortest;
    }
    return status;
}

/* Takes over *d and network, which may be NULL after a failure, also on failure. */
static mohvit_status wrap_model(mohvit_model **out, description *d, model *network, mohvit_status status,
                                mohvit_error *err)
{
    mohvit_model *m = calloc(1, sizeof *m);
    if (!status && !m)
        status = error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a model");
    if (status) {
        model_destroy(network);
        description_free(d);
        free(m);
        return status;
    }
    *m = (mohvit_model){.description = *d, .network = network};
    status = config_routing(&m->routing, &d->config, err);
    if (!status)
        status = take_drops(m, err);
    if (!status)
        status = texts_create(&m->texts, &m->description, network, err);
    if (status)
        mohvit_close(m);
    else
        *out = m;
    return status;
}

/* Takes over *d, also on failure. */
static mohvit_status create_model(mohvit_model **out, description *d, const weight_source *source,
                                  const mohvit_options *options, mohvit_error *err)
{
    model *network = NULL;
    size_t threads = 1;
    weight_source told = *source;
    told.progress = options->progress;
    told.user = options->user;
    const char *backend;
    precision wanted;
    mohvit_status status = parallel_threads(&threads, options->threads, err);
    if (!status)
        status = backend_inside(&backend, options->backend, err);
    if (!status)
        status = precision_inside(&wanted, options->precision, err);
    if (!status)
        status = model_create(&network, &d->config, &told, backend, wanted, threads, err);
    return wrap_model(out, d, network, status, err);
}

/* Another model of base's weights. dropped may be NULL. */
static mohvit_status derive(mohvit_model **out, const mohvit_model *base, const config *c,
                            const char *dropped, bool renormalise, mohvit_error *err)
{
    description d = base->description;
    model *network = NULL;
    d.config = *c;
    d.renormalise = renormalise;
    d.dropped_heads = NULL;
    mohvit_status status = labels_copy(&d.labels, &base->description.labels, err);
    if (status)
        return status;
    if (dropped && !(d.dropped_heads = strdup(dropped)))
        status = error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a model");
    if (!status)
        status = model_reroute(&network, base->network, &d.config, err);
    return wrap_model(out, &d, network, status, err);
}

mohvit_status mohvit_reroute(mohvit_model **out, const mohvit_model *base, const char *routed_heads,
                             mohvit_error *err)
{
    const description *d = &base->description;
    config c = d->config;
    mohvit_status status = routed_heads ? config_set_routed(&c, routed_heads, err) : MOHVIT_OK;
    return status ? status : derive(out, base, &c, d->dropped_heads, d->renormalise, err);
}

mohvit_status mohvit_drop_heads(mohvit_model **out, const mohvit_model *base, const char *heads,
                                int renormalise, mohvit_error *err)
{
    return derive(out, base, &base->description.config, heads, heads && renormalise, err);
}

/* Takes over cp. hash may be "". */
static mohvit_status open_checkpoint(mohvit_model **out, checkpoint *cp, const config *given,
                                     const char *hash, const mohvit_options *options, mohvit_error *err)
{
    description d;
    warning_sink warn = options_sink(options);
    mohvit_status status = description_read(&d, cp, given, options, err);
    if (!status) {
        status = checkpoint_check(cp, &d.config, &warn, err);
        checkpoint_reader reader = {.cp = cp, .warn = warn};
        weight_source source = checkpoint_source(&reader);
        snprintf(d.weights_hash, sizeof d.weights_hash, "%s", hash);
        if (status)
            description_free(&d);
        else
            status = create_model(out, &d, &source, options, err);
    }
    checkpoint_close(cp);
    return status;
}

mohvit_status mohvit_open_memory(mohvit_model **out, const void *data, size_t size,
                                 const mohvit_options *options, mohvit_error *err)
{
    checkpoint *cp;
    mohvit_options own;
    char hash[WEIGHTS_HASH_SIZE];
    mohvit_status status = take_options(&own, options, err);
    warning_sink warn = options_sink(&own);
    if (!status)
        status = checkpoint_open_memory(&cp, data, size, "checkpoint in memory", own.key, &warn, err);
    if (status)
        return status;
    weights_hash_bytes(hash, data, size);
    return open_checkpoint(out, cp, NULL, hash, &own, err);
}

#ifdef MOHVIT_BUILT_IN_MODEL
static mohvit_status open_built_in(checkpoint **cp, char hash[WEIGHTS_HASH_SIZE], const char *key,
                                   const warning_sink *warn, mohvit_error *err)
{
    weights_hash_bytes(hash, embedded_model, embedded_model_size());
    return checkpoint_open_memory(cp, embedded_model, embedded_model_size(), "built-in model", key, warn,
                                  err);
}
#else
static mohvit_status open_built_in(UNUSED checkpoint **cp, UNUSED char hash[WEIGHTS_HASH_SIZE],
                                   UNUSED const char *key, UNUSED const warning_sink *warn, mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_UNSUPPORTED,
                     "this build of mohvit has no built-in model; expected a checkpoint");
}
#endif

/* path NULL: the built-in model. */
static mohvit_status open_path(mohvit_model **out, const char *path, const config *c, bool hashed,
                               const mohvit_options *options, mohvit_error *err)
{
    checkpoint *cp = NULL;
    mohvit_options own;
    char hash[WEIGHTS_HASH_SIZE] = "";
    mohvit_status status = take_options(&own, options, err);
    warning_sink warn = options_sink(&own);
    if (!status)
        status = path ? checkpoint_open(&cp, path, own.key, &warn, err)
                      : open_built_in(&cp, hash, own.key, &warn, err);
    if (!status && hashed && path)
        status = weights_hash_file(hash, path, err);
    if (!status)
        return open_checkpoint(out, cp, c, hash, &own, err);
    checkpoint_close(cp);
    return status;
}

mohvit_status mohvit_open_with_config(mohvit_model **out, const char *path, const config *c,
                                      const mohvit_options *options, mohvit_error *err)
{
    return open_path(out, path, c, false, options, err);
}

mohvit_status mohvit_open(mohvit_model **out, const char *path, const mohvit_options *options,
                          mohvit_error *err)
{
    return open_path(out, path, NULL, true, options, err);
}

mohvit_status mohvit_open_config(mohvit_model **out, const config *c, uint64_t seed,
                                 const mohvit_options *options, mohvit_error *err)
{
    description d;
    mohvit_options own;
    weight_source source = {.state = &seed, .read = read_synthetic_tensor};
    mohvit_status status = take_options(&own, options, err);
    if (!status)
        status = description_of_config(&d, c, &own, err);
    if (status)
        return status;
    snprintf(d.synthetic, sizeof d.synthetic, "%" PRIu64, seed);
    snprintf(d.weights_hash, sizeof d.weights_hash, "synthetic:%" PRIu64, seed);
    return create_model(out, &d, &source, &own, err);
}

mohvit_status mohvit_open_synthetic(mohvit_model **out, const char *variant, uint64_t seed,
                                    const mohvit_options *options, mohvit_error *err)
{
    config c;
    mohvit_options own;
    mohvit_status status = take_options(&own, options, err);
    if (!status)
        status = synthetic_config(&c, variant, &own, err);
    return status ? status : mohvit_open_config(out, &c, seed, &own, err);
}

void mohvit_close(mohvit_model *m)
{
    if (!m)
        return;
    model_destroy(m->network);
    description_free(&m->description);
    routing_layout_free(&m->routing);
    free(m->dropped);
    texts_free(&m->texts);
    free(m);
}

/* ---- Asking a model -------------------------------------------------------------------------- */

mohvit_status mohvit_get_info(const mohvit_model *m, mohvit_info *info, mohvit_error *err)
{
    const config *c = &m->description.config;
    const numerics *a = &m->network->numerics;
    scratch unused;
    cost each = model_measure(m->network, &unused);
    const mohvit_info own = {
        .variant = config_name(c),
        .img_size = c->img_size,
        .num_classes = c->num_classes,
        .features = c->embed_dims[STAGES - 1],
        .blocks = config_blocks(c),
        .max_heads = config_max_heads(c),
        .parameters = m->network->parameters,
        .gmacs = each.all_heads / 1e9,
        .gmacs_routed = each.routed / 1e9,
        .active_heads_percent = config_active_percent(c),
        .backend = backend_outside(a->gemms[PRECISION_F32]),
        .precision = precision_outside(a->precision),
        .instruction_set = a->kernels->isa,
        .kernels = a->products,
    };
    return sized_give(info, &own, sizeof own, "mohvit_info", err);
}

mohvit_status block_of_layout(mohvit_block *out, const routing_layout *l, size_t index, mohvit_error *err)
{
    if (index >= l->count)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "block %zu of a model that has %zu", index, l->count);
    const routing_block *b = &l->blocks[index];
    const mohvit_block own = {
        .name = b->name,
        .stage = b->stage,
        .block = b->block,
        .tokens = b->tokens,
        .heads = b->heads,
        .shared = b->shared,
        .routed = b->routed,
    };
    return sized_give(out, &own, sizeof own, "mohvit_block", err);
}

mohvit_status mohvit_get_block(const mohvit_model *m, size_t index, mohvit_block *out, mohvit_error *err)
{
    return block_of_layout(out, &m->routing, index, err);
}

const char *mohvit_label(const mohvit_model *m, size_t class_index)
{
    const labels *l = &m->description.labels;
    return class_index < l->count ? l->name[class_index] : "";
}

const char *mohvit_label_id(const mohvit_model *m, size_t class_index)
{
    const labels *l = &m->description.labels;
    return class_index < l->count ? l->id[class_index] : NULL;
}

const char *mohvit_config_json(const mohvit_model *m)
{
    return m->texts.config;
}

const char *mohvit_preprocess_json(const mohvit_model *m)
{
    return m->texts.preprocess;
}

const char *mohvit_provenance_json(const mohvit_model *m)
{
    return m->texts.provenance;
}

const description *mohvit_describe(const mohvit_model *m)
{
    return &m->description;
}

const model *mohvit_network(const mohvit_model *m)
{
    return m->network;
}

const routing_layout *mohvit_routing(const mohvit_model *m)
{
    return &m->routing;
}

size_t mohvit_inputs(const mohvit_model *m)
{
    return model_inputs(m->network, m->routing.count);
}

head_drops mohvit_drops(const mohvit_model *m)
{
    return (head_drops){m->dropped, m->description.renormalise};
}

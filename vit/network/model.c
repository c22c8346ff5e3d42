#include "vit/network/model.h"
#include "vit/network/classifier.h"

#include <stdlib.h>

/* ---- Parts ----------------------------------------------------------------------------------- */

static void bind_grid(binder *b, position_grid *grid, const config *c, size_t s)
{
    mohvit_error err;
    size_t side = config_side(c, s), key_side = config_global(c, s) ? side : config_pool(c, s);
    if (bind_reads(b))
        bind_fail(b, position_grid_create(grid, side, key_side, c->pretrain_size >> (s + 2), &err), &err);
}

/* Declares every tensor, in the order of the state_dict. */
static void bind_model(binder *b, void *parts)
{
    model *m = parts;
    const config *c = &m->config;
    for (size_t s = 0; s < STAGES; s++) {
        stage *to = &m->stages[s];
        bind_grid(b, &to->grid, c, s);
        patch_embed_bind(b, &to->embed, c, s);
        for (size_t i = 0; i < to->depth; i++)
            block_bind(b, &to->blocks[i], c, s, i, &to->grid);
        bind_within(b, "norm%zu", s + 1);
        to->norm = norm_bind(b, "", c->embed_dims[s], 1e-6f);
    }
    m->head = classifier_bind(b, c);
}

/* ---- Life ------------------------------------------------------------------------------------ */

static mohvit_status no_memory(mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a model");
}

/* Room for the parts of a config. */
static mohvit_status allocate(model **out, const config *c, mohvit_error *err)
{
    model *m = calloc(1, sizeof *m);
    block *blocks = calloc(config_blocks(c), sizeof *blocks);
    if (!m || !blocks) {
        free(m);
        free(blocks);
        return no_memory(err);
    }
    m->config = *c;
    for (size_t s = 0; s < STAGES; blocks += c->depths[s++])
        m->stages[s] = (stage){.depth = c->depths[s], .blocks = blocks};
    *out = m;
    return MOHVIT_OK;
}

void model_destroy(model *m)
{
    if (!m)
        return;
    bool last = m->memory && weight_memory_leave(m->memory);
    for (size_t s = 0; last && s < STAGES; s++)
        position_grid_free(&m->stages[s].grid);
    free(m->stages[0].blocks);
    free(m);
}

/* Whether the weights and, where it is known how the model computes, the scratch of an image are within their
 * limits. */
static mohvit_status check_memory(const model *m, mohvit_error *err)
{
    scratch s = {0};
    if (m->parameters > CONFIG_MAX_PARAMETERS)
        return error_set(err, MOHVIT_ERROR_LIMIT, "config has %zu parameters; expected at most %zu",
                         m->parameters, CONFIG_MAX_PARAMETERS);
    if (m->numerics.kernels)
        model_measure(m, &s);
    double floats = ((double)s.most + (double)s.encoded_bytes) / sizeof(float);
    if (floats <= (double)CONFIG_MAX_ACTIVATIONS)
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_LIMIT,
                     "config needs %.3g activations for an image; expected at most %.3g", floats,
                     (double)CONFIG_MAX_ACTIVATIONS);
}

/* The model without weights, and a list of its tensors. */
static mohvit_status outline(model **out, tensor_list *list, const config *c, const numerics *a,
                             mohvit_error *err)
{
    model *m = NULL;
    *list = (tensor_list){0};
    mohvit_status status = allocate(&m, c, err);
    if (status)
        return status;
    if (a)
        m->numerics = *a;
    status = bind_list(list, a, bind_model, m, err);
    if (!status) {
        m->parameters = list->parameters;
        status = check_memory(m, err);
    }
    if (!status) {
        *out = m;
        return MOHVIT_OK;
    }
    tensor_list_free(list);
    model_destroy(m);
    return status;
}

mohvit_status model_create(model **out, const config *c, const weight_source *source, const char *backend,
                           precision wanted, size_t threads, mohvit_error *err)
{
    numerics a;
    tensor_list list = {0};
    model *m = NULL;
    mohvit_status status = numerics_choose(&a, backend, wanted, err);
    if (!status)
        status = outline(&m, &list, c, &a, err);
    if (!status && !(m->memory = weight_memory_create()))
        status = no_memory(err);
    if (!status)
        status = bind_read(&list, source, &m->numerics, m->memory, threads, bind_model, m, err);
    tensor_list_free(&list);
    if (status)
        model_destroy(m);
    else
        *out = m;
    return status;
}

mohvit_status model_reroute(model **out, const model *base, const config *c, mohvit_error *err)
{
    model *m = NULL;
    mohvit_status status = allocate(&m, c, err);
    if (status)
        return status;
    m->numerics = base->numerics;
    m->head = base->head;
    m->parameters = base->parameters;
    m->memory = base->memory;
    atomic_fetch_add(&m->memory->users, 1);
    for (size_t s = 0; s < STAGES; s++) {
        stage *to = &m->stages[s];
        const stage *from = &base->stages[s];
        to->embed = from->embed;
        to->norm = from->norm;
        to->grid = from->grid;
        for (size_t i = 0; i < to->depth; i++) {
            to->blocks[i] = from->blocks[i];
            to->blocks[i].attention.router.routed = c->routed_head[s];
            to->blocks[i].attention.grid = &to->grid;
        }
    }
    *out = m;
    return MOHVIT_OK;
}

/* ---- What follows from a config alone -------------------------------------------------------- */

mohvit_status model_tensors(tensor_list *out, const config *c, mohvit_error *err)
{
    model *m;
    mohvit_status status = outline(&m, out, c, NULL, err);
    if (!status)
        model_destroy(m);
    return status;
}

mohvit_status model_cost(cost *out, const config *c, const char *backend, precision wanted, mohvit_error *err)
{
    numerics a;
    tensor_list list = {0};
    model *m;
    mohvit_status status = numerics_choose(&a, backend, wanted, err);
    if (!status)
        status = outline(&m, &list, c, &a, err);
    if (status)
        return status;
    scratch s = {0};
    *out = model_measure(m, &s);
    tensor_list_free(&list);
    model_destroy(m);
    return MOHVIT_OK;
}

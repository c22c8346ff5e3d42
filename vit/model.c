#include "model.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads tensors by name while a model is put together. The first failure sticks: later calls do nothing, so
 * that the code below reads as a plain list of what a part is made of. */
typedef struct {
    model *model;
    const weight_source *source;
    char prefix[TENSOR_NAME_MAX / 2]; // of the names of the part at hand: "block3.4.attn."
    tensor_list list;
    size_t cursor;  // tensors are asked for nearly in the list's order
    float *staging; // one tensor as it lies in the checkpoint
    size_t staging_elements;
    team *team;
    mohvit_status status;
    mohvit_error *err;
} binder;

static void fail_memory(binder *b, const char *what)
{
    if (!b->status)
        b->status = error_set(b->err, MOHVIT_ERROR_MEMORY, "no memory for %s", what);
}

/* count floats that live as long as the model; NULL after a failure. */
static float *take(binder *b, size_t count)
{
    model *m = b->model;
    if (b->status)
        return NULL;
    if (m->memory_count == m->memory_capacity) {
        size_t capacity = m->memory_capacity ? 2 * m->memory_capacity : 256;
        void **grown = realloc(m->memory, capacity * sizeof *grown);
        if (!grown) {
            fail_memory(b, "the model");
            return NULL;
        }
        m->memory = grown;
        m->memory_capacity = capacity;
    }
    float *p = memory_alloc(count, sizeof *p);
    if (!p)
        fail_memory(b, "the weights");
    else
        m->memory[m->memory_count++] = p;
    return p;
}

static const tensor_spec *find(binder *b, const char *name)
{
    for (size_t i = 0; i < b->list.count; i++) {
        const tensor_spec *spec = &b->list.tensors[(b->cursor + i) % b->list.count];
        if (!strcmp(spec->name, name)) {
            b->cursor = (size_t)(spec - b->list.tensors) + 1;
            return spec;
        }
    }
    return NULL;
}

static void within(binder *b, const char *format, ...) PRINTF_LIKE(2, 3);
static void within(binder *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(b->prefix, sizeof b->prefix, format, args);
    va_end(args);
}

/* The spec of prefix + owner + leaf; NULL after a failure. */
static const tensor_spec *lookup(binder *b, const char *owner, const char *leaf)
{
    char name[TENSOR_NAME_MAX];
    if (b->status)
        return NULL;
    snprintf(name, sizeof name, "%s%s%s", b->prefix, owner, leaf);
    const tensor_spec *spec = find(b, name);
    if (!spec)
        b->status = error_set(b->err, MOHVIT_ERROR_ARGUMENT, "config has no tensor \"%s\"", name);
    return spec;
}

static void read_into(binder *b, const tensor_spec *spec, float *dst)
{
    if (!b->status && spec && dst)
        b->status = b->source->read(b->source->state, spec, dst, b->err);
}

/* Reads a tensor as it lies in the checkpoint; valid until the next call. NULL after a failure. */
static const float *staged(binder *b, const char *owner, const char *leaf)
{
    const tensor_spec *spec = lookup(b, owner, leaf);
    if (!spec)
        return NULL;
    if (spec->elements > b->staging_elements) {
        free(b->staging);
        b->staging = memory_alloc(spec->elements, sizeof *b->staging);
        b->staging_elements = b->staging ? spec->elements : 0;
        if (!b->staging)
            fail_memory(b, spec->name);
    }
    read_into(b, spec, b->staging);
    return b->status ? NULL : b->staging;
}

/* Reads a tensor that is used as it lies in the checkpoint. */
static const float *tensor(binder *b, const char *owner, const char *leaf)
{
    const tensor_spec *spec = lookup(b, owner, leaf);
    float *dst = spec ? take(b, spec->elements) : NULL;
    read_into(b, spec, dst);
    return dst;
}

/* w (out, in), laid out for the model's gemm. */
static const float *packed(binder *b, const float *w, size_t out, size_t in)
{
    const gemm *g = b->model->gemm;
    const kernels *k = b->model->kernels;
    float *weight = take(b, g->packed(k, out, in));
    if (!b->status)
        g->pack(k, weight, w, out, in);
    return weight;
}

static void bind_linear(binder *b, linear *layer, size_t in, size_t out, const char *name)
{
    *layer = (linear){.in = in, .out = out};
    layer->weight = packed(b, staged(b, name, ".weight"), out, in);
    layer->bias = tensor(b, name, ".bias");
}

static void bind_norm(binder *b, norm *n, size_t C, float eps, const char *name)
{
    *n = (norm){.C = C, .eps = eps};
    n->weight = tensor(b, name, ".weight");
    n->bias = tensor(b, name, ".bias");
}

/* ---- Parts ----------------------------------------------------------------------------------- */

static void bind_patch_embed(binder *b, patch_embed *e, size_t s)
{
    const config *c = &b->model->config;
    *e = (patch_embed){
        .window = s ? 3 : 7,
        .stride = s ? 2 : 4,
        .padding = s ? 1 : 3,
        .in_side = s ? config_side(c, s - 1) : c->img_size,
        .in_channels = s ? c->embed_dims[s - 1] : 3,
        .side = config_side(c, s),
    };
    size_t area = e->window * e->window, C = c->embed_dims[s];
    e->proj = (linear){.in = area * e->in_channels, .out = C};
    within(b, "patch_embed%zu.", s + 1);
    const float *w = staged(b, "proj", ".weight"); // (C, in_channels, window²)
    float *reordered = b->status ? NULL : memory_alloc(C * e->proj.in, sizeof *reordered);
    if (!b->status && !reordered)
        fail_memory(b, "a convolution");
    for (size_t out = 0; !b->status && out < C; out++) // to (C, window², in_channels)
        transpose(reordered + out * e->proj.in, w + out * e->proj.in, e->in_channels, area);
    e->proj.weight = packed(b, reordered, C, e->proj.in);
    free(reordered);
    e->proj.bias = tensor(b, "proj", ".bias");
    bind_norm(b, &e->norm, C, 1e-5f, "norm");
}

/* The router's matrices stacked into one, so that one product gives all logits. */
static void bind_router(binder *b, router *r, size_t C)
{
    const struct {
        const char *name;
        size_t rows;
    } parts[] = {
        {"wg", r->routed ? r->heads - r->shared : 0},
        {"wg_0", r->routed && r->shared ? 2 : 0},
        {"wg_1", r->shared > 1 ? r->shared : 0},
    };
    if (r->dense)
        return;
    for (size_t i = 0; i < 3; i++)
        r->rows += parts[i].rows;
    if (!r->rows)
        return;
    float *stacked = b->status ? NULL : memory_alloc(r->rows * C, sizeof *stacked);
    float *bias = take(b, r->rows);
    if (!b->status && !stacked)
        fail_memory(b, "a router");
    size_t row = 0;
    for (size_t i = 0; i < 3; row += parts[i++].rows)
        if (parts[i].rows)
            read_into(b, lookup(b, parts[i].name, ".weight"), stacked ? stacked + row * C : NULL);
    r->scores = (linear){C, r->rows, packed(b, stacked, r->rows, C), bias};
    if (bias)
        memset(bias, 0, r->rows * sizeof *bias);
    free(stacked);
}

static float softplus(float x)
{
    return (float)(x > 20 ? (double)x : log1p(exp((double)x))); // PyTorch's threshold
}

/* (heads, 10): softplus(temperature) · ln(keys), for each number of neighbours inside the image. */
static void bind_scale(binder *b, attention *a)
{
    const float *temperature = staged(b, "temperature", "");
    float *scale = take(b, a->heads * (NEIGHBOURS + 1));
    size_t shared_keys = a->pool ? a->pool * a->pool : a->side * a->side;
    if (!b->status)
        for (size_t head = 0; head < a->heads; head++)
            for (size_t inside = 0; inside <= NEIGHBOURS; inside++)
                scale[head * (NEIGHBOURS + 1) + inside] =
                    softplus(temperature[head]) * logf((float)(shared_keys + inside));
    a->scale = scale;
}

static void bind_learnable_tokens(binder *b, attention *a)
{
    const float *w = staged(b, "learnable_tokens", ""); // (heads, d, 9)
    float *tokens = take(b, a->heads * NEIGHBOURS * a->d);
    if (!b->status)
        for (size_t head = 0; head < a->heads; head++)
            transpose(tokens + head * NEIGHBOURS * a->d, w + head * NEIGHBOURS * a->d, a->d, NEIGHBOURS);
    a->learnable_tokens = tokens;
}

static void bind_position_bias(binder *b, attention *a)
{
    linear fc2;
    const float *weight = tensor(b, "cpb_fc1", ".weight"), *bias = tensor(b, "cpb_fc1", ".bias");
    bind_linear(b, &fc2, CPB_HIDDEN, a->heads, "cpb_fc2");
    float *table = take(b, a->heads * a->grid->offsets * a->grid->offsets);
    if (!b->status)
        b->status = position_bias_compute(table, a->grid, weight, bias, &fc2, b->model->gemm,
                                          b->model->kernels, b->team, b->err);
    a->position_bias = table;
}

static void bind_attention(binder *b, attention *a, size_t s)
{
    const config *c = &b->model->config;
    size_t C = c->embed_dims[s], h = c->num_heads[s];
    *a = (attention){
        .side = config_side(c, s),
        .C = C,
        .heads = h,
        .d = C / h,
        .pool = config_pool(c, s),
        .router = {.heads = h, .shared = c->shared_head[s], .routed = c->routed_head[s], .dense = c->dense},
        .grid = &b->model->stages[s].grid,
    };
    bind_scale(b, a);
    a->query_embedding = tensor(b, "query_embedding", "");
    if (a->pool) {
        a->local_bias = tensor(b, "relative_pos_bias_local", "");
        bind_learnable_tokens(b, a);
        a->learnable_bias = tensor(b, "learnable_bias", "");
        bind_linear(b, &a->q, C, C, "q");
        bind_linear(b, &a->kv, C, 2 * C, "kv");
        bind_linear(b, &a->sr, C, C, "sr");
        bind_norm(b, &a->pool_norm, C, 1e-5f, "norm");
    } else {
        bind_linear(b, &a->qkv, C, 3 * C, "qkv");
    }
    bind_linear(b, &a->proj, C, C, "proj");
    bind_position_bias(b, a);
    bind_router(b, &a->router, C);
}

static void bind_conv_glu(binder *b, conv_glu *m, size_t s)
{
    const config *c = &b->model->config;
    size_t C = c->embed_dims[s], hidden = config_hidden(c, s);
    *m = (conv_glu){.side = config_side(c, s), .hidden = hidden};
    bind_linear(b, &m->fc1, C, 2 * hidden, "fc1");
    const float *w = staged(b, "dwconv.dwconv", ".weight"); // (hidden, 1, 3, 3)
    float *weight = take(b, NEIGHBOURS * hidden);
    if (!b->status)
        transpose(weight, w, hidden, NEIGHBOURS);
    m->dw_weight = weight;
    m->dw_bias = tensor(b, "dwconv.dwconv", ".bias");
    bind_linear(b, &m->fc2, hidden, C, "fc2");
}

static void bind_block(binder *b, block *part, size_t s, size_t index)
{
    size_t C = b->model->config.embed_dims[s];
    within(b, "block%zu.%zu.", s + 1, index);
    bind_norm(b, &part->norm1, C, 1e-6f, "norm1");
    bind_norm(b, &part->norm2, C, 1e-6f, "norm2");
    within(b, "block%zu.%zu.attn.", s + 1, index);
    bind_attention(b, &part->attention, s);
    within(b, "block%zu.%zu.mlp.", s + 1, index);
    bind_conv_glu(b, &part->mlp, s);
}

static void bind_stage(binder *b, size_t s)
{
    const config *c = &b->model->config;
    stage *part = &b->model->stages[s];
    size_t side = config_side(c, s), key_side = config_global(c, s) ? side : config_pool(c, s);
    part->depth = c->depths[s];
    part->blocks = calloc(part->depth, sizeof *part->blocks);
    if (!part->blocks)
        fail_memory(b, "the blocks");
    if (!b->status)
        b->status = position_grid_create(&part->grid, side, key_side, c->pretrain_size >> (s + 2), b->err);
    bind_patch_embed(b, &part->embed, s);
    for (size_t i = 0; !b->status && i < part->depth; i++)
        bind_block(b, &part->blocks[i], s, i);
    within(b, "norm%zu", s + 1);
    bind_norm(b, &part->norm, c->embed_dims[s], 1e-6f, "");
}

static void bind_all(void *arg, team *t)
{
    binder *b = arg;
    const config *c = &b->model->config;
    b->team = t;
    for (size_t s = 0; !b->status && s < STAGES; s++)
        bind_stage(b, s);
    within(b, "%s", "");
    bind_linear(b, &b->model->head, c->embed_dims[STAGES - 1], c->num_classes, "head");
}

mohvit_status model_create(model **out, const config *c, const weight_source *source, const char *backend,
                           size_t threads, mohvit_error *err)
{
    binder b = {.source = source, .err = err};
    gemm_saved saved;
    model *m = calloc(1, sizeof *m);
    if (!m)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a model");
    b.model = m;
    m->config = *c;
    b.status = kernels_choose(&m->kernels, err);
    if (!b.status)
        b.status = gemm_choose(&m->gemm, backend, m->kernels, err);
    if (!b.status)
        b.status = config_tensors(&b.list, c, err);
    m->parameters = b.list.parameters;

    if (!b.status) {
        m->gemm->enter(&saved);
        parallel_run(threads, bind_all, &b);
        m->gemm->leave(&saved);
    }

    tensor_list_free(&b.list);
    free(b.staging);
    if (b.status)
        model_destroy(m);
    else
        *out = m;
    return b.status;
}

void model_destroy(model *m)
{
    if (!m)
        return;
    for (size_t s = 0; s < STAGES; s++) {
        free(m->stages[s].blocks);
        position_grid_free(&m->stages[s].grid);
    }
    for (size_t i = 0; i < m->memory_count; i++)
        free(m->memory[i]);
    free(m->memory);
    free(m);
}

#include "vit/network/model.h"
#include "base/memory.h"
#include "vit/kernels/transpose.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A tensor as it lies in the checkpoint. */
typedef struct {
    const tensor_spec *spec; // NULL: none
    float *data;             // room for the largest
    mohvit_status status;    // of reading it
    mohvit_error err;
} staged_tensor;

/* Reads tensors by name while a model is put together. The first failure sticks: later calls do nothing, so
 * that the code below reads as a plain list of what a part is made of. */
typedef struct {
    model *model;
    const weight_source *source;
    char prefix[TENSOR_NAME_MAX / 2]; // of the names of the part at hand: "block3.4.attn."
    tensor_list list;
    size_t cursor; // large tensors are asked for in the order of the list, which read_ahead relies on
    char *next;    // free memory of the last chunk,
    size_t left;   // and how many bytes that is
    staged_tensor staging[2]; // the one in use, and one that was read ahead
    size_t ahead;             // which is the latter
    size_t read;              // parameters, so far
    bool cancelled;           // by the source's progress
    team *team;
    mohvit_status status;
    mohvit_error *err;
} binder;

static void fail_memory(binder *b, const char *what)
{
    if (!b->status)
        b->status = error_set(b->err, MOHVIT_ERROR_MEMORY, "no memory for %s", what);
}

#define CHUNK ((size_t)16 << 20) // bytes taken from the system at a time, at least

/* Room for a chunk of at least `bytes`; false after a failure. */
static bool grow(binder *b, size_t bytes)
{
    model_memory *memory = b->model->memory;
    if (memory->count == memory->capacity) {
        size_t capacity = memory->capacity ? 2 * memory->capacity : 16;
        void **grown = realloc(memory->chunks, capacity * sizeof *grown);
        if (!grown) {
            fail_memory(b, "the model");
            return false;
        }
        memory->chunks = grown;
        memory->capacity = capacity;
    }
    b->left = bytes > CHUNK ? bytes : CHUNK;
    b->next = memory_alloc_large(b->left);
    if (!b->next) {
        fail_memory(b, "the weights");
        return false;
    }
    memory->chunks[memory->count++] = b->next;
    return true;
}

/* count floats that live as long as the model; NULL after a failure. */
static float *take(binder *b, size_t count)
{
    size_t bytes;
    if (b->status)
        return NULL;
    if (!size_mul(count, sizeof(float), &bytes) || bytes > SIZE_MAX / 2) {
        fail_memory(b, "the weights");
        return NULL;
    }
    bytes = (bytes + 63) / 64 * 64;
    if (bytes > b->left && !grow(b, bytes))
        return NULL;
    float *p = (float *)b->next;
    b->next += bytes;
    b->left -= bytes;
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

/* Called by one thread at a time: in a loop over the team one task reads, and the others do not. */
static mohvit_status read_tensor(binder *b, const tensor_spec *spec, float *dst, mohvit_error *err)
{
    const weight_source *from = b->source;
    mohvit_status status = b->cancelled ? MOHVIT_OK : from->read(from->state, spec, dst, err);
    if (status)
        return status;
    b->read += spec->elements;
    if (!b->cancelled && from->progress)
        b->cancelled = from->progress(from->user, b->read, b->list.parameters);
    return b->cancelled ? error_set(err, MOHVIT_ERROR_CANCELLED, "cancelled while loading") : MOHVIT_OK;
}

#define WORTH_READING_AHEAD 16384 // elements

static void read_ahead(binder *b)
{
    staged_tensor *to = &b->staging[b->ahead];
    const tensor_spec *next = NULL;
    for (size_t i = b->cursor; !next && i < b->list.count; i++)
        if (b->list.tensors[i].elements >= WORTH_READING_AHEAD)
            next = &b->list.tensors[i];
    if (next && next != to->spec)
        to->status = read_tensor(b, next, to->data, &to->err);
    to->spec = next;
}

/* A tensor as it lies in the checkpoint; valid until the next call. NULL after a failure. */
static const float *staged_spec(binder *b, const tensor_spec *spec)
{
    if (b->status || !spec)
        return NULL;
    if (spec == b->staging[b->ahead].spec)
        b->ahead = !b->ahead;
    staged_tensor *t = &b->staging[!b->ahead];
    if (spec != t->spec)
        t->status = read_tensor(b, spec, t->data, &t->err);
    t->spec = NULL;
    if ((b->status = t->status) && b->err)
        *b->err = t->err;
    return b->status ? NULL : t->data;
}

static const float *staged(binder *b, const char *owner, const char *leaf)
{
    return staged_spec(b, lookup(b, owner, leaf));
}

static void read_into(binder *b, const tensor_spec *spec, float *dst)
{
    const float *from = dst ? staged_spec(b, spec) : NULL;
    if (from)
        memcpy(dst, from, spec->elements * sizeof *dst);
}

/* Reads a tensor that is used as it lies in the checkpoint. */
static const float *tensor(binder *b, const char *owner, const char *leaf)
{
    const tensor_spec *spec = lookup(b, owner, leaf);
    float *dst = spec ? take(b, spec->elements) : NULL;
    read_into(b, spec, dst);
    return dst;
}

typedef enum layer_part { PART_EMBED, PART_ATTENTION, PART_PROJ, PART_MLP, PART_EXACT } layer_part;

/* How the layers of a part of stage s (from 0) are computed. Rounding hurts most where it happens first and
 * where there is no way round it: in the narrow first stages, whose sums average over few channels, and in
 * the patch embeddings, which no residual connection bypasses. These take little of the arithmetic and keep
 * a finer precision: bf16 in place of int8, where the processor has it, and float32 in place of bf16. So does
 * proj where the others are int8, whose rounding nothing evens out before the next norm. RMS error of the
 * logits of moh_transnext_base_75 in parts of their standard deviation: bf16 everywhere 0.15, as here 0.08;
 * int8 everywhere but in router, first convolution and head 0.28, as here but for proj 0.20, as here 0.19. */
static const gemm *gemm_for(const model *m, layer_part p, size_t s)
{
    bool attends = p == PART_ATTENTION || p == PART_PROJ, finer = p == PART_EMBED || (attends && s == 0);
    if (m->precision == PRECISION_INT8)
        finer = finer || s == 0 || (attends && s == 1) || p == PART_PROJ;
    if (p == PART_EXACT || (p == PART_EMBED && s == 0) || !m->precision)
        return m->gemms[PRECISION_F32];
    return m->gemms[finer ? m->precision - 1 : m->precision];
}

/* Memory for n weights in another order, to be freed by the caller; NULL after a failure. */
static float *rearranged(binder *b, size_t n)
{
    float *w = b->status ? NULL : memory_alloc(n, sizeof *w);
    if (!w)
        fail_memory(b, "weights in another order");
    return w;
}

#define PACK_OUTPUTS 64 // that a task lays out, a multiple of 32

/* Which output of the checkpoint stands at place i, for a layer of that size. */
typedef size_t output_order(size_t size, size_t i);

typedef struct {
    binder *binder;
    const gemm *gemm;
    void *packed;
    const float *w;
    size_t out, in, outputs; // a task's
    output_order *order;     // NULL: as they lie
    size_t order_size;
    float *ordered; // (workers, outputs, in)
} pack_job;

/* The first task reads what is packed next, the others pack: so the source is read without a pause, and both
 * are as much page faults as work. */
static void pack_part(void *arg, size_t task, size_t worker)
{
    const pack_job *job = arg;
    const gemm *g = job->gemm;
    const kernels *k = job->binder->model->kernels;
    if (!task) {
        read_ahead(job->binder);
        return;
    }
    size_t in = job->in, first = (task - 1) * job->outputs,
           outputs = job->out - first < job->outputs ? job->out - first : job->outputs;
    const float *w = job->w + first * in;
    if (job->order) {
        float *ordered = job->ordered + worker * job->outputs * in;
        for (size_t i = 0; i < outputs; i++)
            memcpy(ordered + i * in, job->w + job->order(job->order_size, first + i) * in, in * sizeof *w);
        w = ordered;
    }
    g->pack(k, (char *)job->packed + (first ? g->packed(k, first, in) : 0), w, outputs, in);
}

/* A layer of w (out, in), laid out for its gemm; order may be NULL. */
static linear packed(binder *b, const gemm *g, const float *w, size_t out, size_t in, output_order *order,
                     size_t order_size, const float *bias)
{
    size_t outputs = g->by_panels ? PACK_OUTPUTS : out;
    size_t tasks = g->by_panels ? divide_up(out, PACK_OUTPUTS) : 1;
    pack_job job = {
        .binder = b,
        .gemm = g,
        .packed = take(b, divide_up(g->packed(b->model->kernels, out, in), sizeof(float))),
        .w = w,
        .out = out,
        .in = in,
        .outputs = outputs,
        .order = order,
        .order_size = order_size,
    };
    if (order)
        job.ordered = rearranged(b, parallel_size(b->team) * outputs * in);
    if (!b->status)
        parallel_for(b->team, 1 + tasks, pack_part, &job);
    free(job.ordered);
    return (linear){in, out, g, job.packed, bias};
}

static void bind_linear(binder *b, linear *layer, const gemm *g, size_t in, size_t out, const char *name)
{
    const float *weight = staged(b, name, ".weight");
    *layer = packed(b, g, weight, out, in, NULL, 0, NULL);
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
    size_t in = area * e->in_channels;
    const gemm *g = gemm_for(b->model, PART_EMBED, s);
    within(b, "patch_embed%zu.", s + 1);
    const float *w = staged(b, "proj", ".weight"); // (C, in_channels, window²)
    float *reordered = rearranged(b, C * in);
    for (size_t out = 0; !b->status && out < C; out++) // to (C, window², in_channels)
        transpose(reordered + out * in, w + out * in, e->in_channels, area);
    e->proj = packed(b, g, reordered, C, in, NULL, 0, NULL);
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
    r->scores = packed(b, gemm_for(b->model, PART_EXACT, 0), stacked, r->rows, C, NULL, 0, bias);
    if (bias)
        memset(bias, 0, r->rows * sizeof *bias);
    free(stacked);
}

static float softplus(float x)
{
    double y = x > 20 ? (double)x : log1p(exp((double)x)); // PyTorch's threshold
    return (float)(y < 1e-20 ? 1e-20 : y);
}

/* (heads, 10): softplus(temperature) · ln(keys), for each number of neighbours inside the image. Kernels
 * divide by it, so softplus is never 0: below 1e-20 scores are 0 to float either way. */
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
    bind_linear(b, &fc2, gemm_for(b->model, PART_EXACT, 0), CPB_HIDDEN, a->heads, "cpb_fc2");
    float *table = take(b, a->heads * a->grid->offsets * a->grid->offsets + BIAS_MARGIN);
    if (!b->status)
        b->status =
            position_bias_compute(table, a->grid, weight, bias, &fc2, b->model->kernels, b->team, b->err);
    a->position_bias = table;
}

static void bind_attention(binder *b, attention *a, size_t s)
{
    const config *c = &b->model->config;
    const gemm *g = gemm_for(b->model, PART_ATTENTION, s);
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
        bind_linear(b, &a->q, g, C, C, "q");
        bind_linear(b, &a->kv, g, C, 2 * C, "kv");
    } else {
        bind_linear(b, &a->qkv, g, C, 3 * C, "qkv");
    }
    bind_linear(b, &a->proj, gemm_for(b->model, PART_PROJ, s), C, C, "proj");
    if (a->pool) {
        bind_linear(b, &a->sr, g, C, C, "sr");
        bind_norm(b, &a->pool_norm, C, 1e-5f, "norm");
    }
    bind_position_bias(b, a);
    bind_router(b, &a->router, C);
}

/* fc1 with its outputs in the order in which they are computed. */
static void bind_fc1(binder *b, conv_glu *m, const gemm *g, size_t C)
{
    size_t out = 2 * m->hidden;
    float *bias = take(b, out);
    const float *w = staged(b, "fc1", ".weight");
    m->fc1 = packed(b, g, w, out, C, conv_glu_order, m->hidden, bias);
    w = staged(b, "fc1", ".bias");
    for (size_t i = 0; !b->status && i < out; i++)
        bias[i] = w[conv_glu_order(m->hidden, i)];
}

static void bind_conv_glu(binder *b, conv_glu *m, size_t s)
{
    const config *c = &b->model->config;
    const gemm *g = gemm_for(b->model, PART_MLP, s);
    size_t C = c->embed_dims[s], hidden = config_hidden(c, s);
    *m = (conv_glu){.side = config_side(c, s), .hidden = hidden};
    bind_fc1(b, m, g, C);
    const float *w = staged(b, "dwconv.dwconv", ".weight"); // (hidden, 1, 3, 3)
    float *weight = take(b, NEIGHBOURS * hidden);
    if (!b->status)
        transpose(weight, w, hidden, NEIGHBOURS);
    m->dw_weight = weight;
    m->dw_bias = tensor(b, "dwconv.dwconv", ".bias");
    bind_linear(b, &m->fc2, g, hidden, C, "fc2");
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

static void reserve_staging(binder *b)
{
    size_t largest = 0;
    for (size_t i = 0; !b->status && i < b->list.count; i++)
        largest = b->list.tensors[i].elements > largest ? b->list.tensors[i].elements : largest;
    for (size_t i = 0; !b->status && i < 2; i++)
        if (!(b->staging[i].data = memory_alloc_large(largest * sizeof(float))))
            fail_memory(b, "reading the weights");
}

static void bind_all(void *arg, team *t)
{
    binder *b = arg;
    const config *c = &b->model->config;
    b->team = t;
    reserve_staging(b);
    for (size_t s = 0; !b->status && s < STAGES; s++)
        bind_stage(b, s);
    within(b, "%s", "");
    bind_linear(b, &b->model->head, gemm_for(b->model, PART_EXACT, 0), c->embed_dims[STAGES - 1],
                c->num_classes, "head");
}

#define INT8_INPUTS_MAX 65536 // 255 · 127 · 65536 < 2^31

/* Fills m->gemms for the precision asked for and the finer ones that gemm_for falls back on. */
static mohvit_status choose_gemms(model *m, const char *backend, const char *wanted, mohvit_error *err)
{
    const gemm *g;
    mohvit_status status = gemm_choose(&g, backend, wanted, m->kernels, err);
    if (status)
        return status;
    m->precision = g->precision;
    for (size_t s = 0; m->precision == PRECISION_INT8 && s < STAGES; s++)
        if (config_hidden(&m->config, s) > INT8_INPUTS_MAX)
            return error_set(
                err, MOHVIT_ERROR_UNSUPPORTED,
                "precision int8 sums at most %d products in 32 bits; the MLP of stage %zu has %zu",
                INT8_INPUTS_MAX, s + 1, config_hidden(&m->config, s));
    for (precision p = PRECISION_F32; p <= m->precision; p++)
        if (gemm_choose(&m->gemms[p], g->name, precision_name(p), m->kernels, NULL))
            m->gemms[p] = m->gemms[p - 1];
    return MOHVIT_OK;
}

mohvit_status model_create(model **out, const config *c, const weight_source *source, const char *backend,
                           const char *wanted, size_t threads, mohvit_error *err)
{
    binder b = {.source = source, .err = err};
    gemm_saved saved;
    model *m = calloc(1, sizeof *m);
    model_memory *memory = calloc(1, sizeof *memory);
    if (!m || !memory) {
        free(m);
        free(memory);
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a model");
    }
    m->memory = memory;
    atomic_init(&memory->users, 1);
    b.model = m;
    m->config = *c;
    b.status = kernels_choose(&m->kernels, err);
    if (!b.status)
        b.status = choose_gemms(m, backend, wanted, err);
    if (!b.status)
        b.status = config_tensors(&b.list, c, err);
    m->parameters = b.list.parameters;

    if (!b.status) {
        m->gemms[PRECISION_F32]->enter(&saved);
        parallel_run(threads, bind_all, &b);
        m->gemms[PRECISION_F32]->leave(&saved);
    }

    tensor_list_free(&b.list);
    free(b.staging[0].data);
    free(b.staging[1].data);
    if (b.status)
        model_destroy(m);
    else
        *out = m;
    return b.status;
}

mohvit_status model_reroute(model **out, const model *base, const config *c, mohvit_error *err)
{
    model *m = malloc(sizeof *m);
    if (!m)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a model");
    *m = *base;
    m->config = *c;
    atomic_fetch_add(&m->memory->users, 1);
    mohvit_status status = MOHVIT_OK;
    for (size_t s = 0; s < STAGES; s++) {
        stage *part = &m->stages[s];
        part->blocks = malloc(part->depth * sizeof *part->blocks);
        if (!part->blocks)
            status = error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a model");
        for (size_t i = 0; part->blocks && i < part->depth; i++) {
            block *b = &part->blocks[i];
            *b = base->stages[s].blocks[i];
            b->attention.router.routed = c->routed_head[s];
            b->attention.grid = &part->grid;
        }
    }
    if (status)
        model_destroy(m);
    else
        *out = m;
    return status;
}

void model_destroy(model *m)
{
    if (!m)
        return;
    bool last = atomic_fetch_sub(&m->memory->users, 1) == 1;
    for (size_t s = 0; s < STAGES; s++) {
        free(m->stages[s].blocks);
        if (last)
            position_grid_free(&m->stages[s].grid);
    }
    for (size_t i = 0; last && i < m->memory->count; i++)
        free(m->memory->chunks[i]);
    if (last) {
        free(m->memory->chunks);
        free(m->memory);
    }
    free(m);
}

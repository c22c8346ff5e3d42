#include "vit/network/bind.h"
#include "base/memory.h"

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

struct binder {
    const numerics *numerics;
    const weight_source *source; // NULL: tensors are listed
    tensor_list list;            // as it grows; or, while weights are read, the whole
    size_t capacity;             // of the list
    size_t cursor;               // of the tensor that is declared next
    char prefix[TENSOR_NAME_MAX / 2];
    weight_memory *memory;
    char *next;               // free memory of the last chunk,
    size_t left;              // and how many bytes that is
    staged_tensor staging[2]; // the one in use, and one that was read ahead
    size_t ahead;             // which is the latter
    size_t read;              // parameters, so far
    bool cancelled;           // by the source's progress
    team *team;
    bind_walk *walk;
    void *parts;
    mohvit_status status;
    mohvit_error *err;
};

const gemm *bind_gemm(const binder *b, layer_part part, size_t s)
{
    return b->numerics ? numerics_of(b->numerics, part, s) : NULL;
}

const kernels *bind_kernels(const binder *b)
{
    return b->numerics->kernels;
}

team *bind_team(const binder *b)
{
    return b->team;
}

bool bind_reads(const binder *b)
{
    return b->source && !b->status;
}

void bind_within(binder *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(b->prefix, sizeof b->prefix, format, args);
    va_end(args);
}

static void fail_memory(binder *b, const char *what)
{
    if (!b->status)
        b->status = error_set(b->err, MOHVIT_ERROR_MEMORY, "no memory for %s", what);
}

/* ---- Memory ---------------------------------------------------------------------------------- */

weight_memory *weight_memory_create(void)
{
    weight_memory *m = calloc(1, sizeof *m);
    if (m)
        atomic_init(&m->users, 1);
    return m;
}

bool weight_memory_leave(weight_memory *m)
{
    if (atomic_fetch_sub(&m->users, 1) != 1)
        return false;
    for (size_t i = 0; i < m->count; i++)
        free(m->chunks[i]);
    free(m->chunks);
    free(m);
    return true;
}

#define CHUNK ((size_t)16 << 20) // bytes taken from the system at a time, at least

/* Room for a chunk of at least `bytes`; false after a failure. */
static bool grow(binder *b, size_t bytes)
{
    weight_memory *memory = b->memory;
    void **chunks = memory_grow(memory->chunks, memory->count, &memory->capacity, sizeof *chunks);
    if (!chunks) {
        fail_memory(b, "the model");
        return false;
    }
    memory->chunks = chunks;
    b->left = bytes > CHUNK ? bytes : CHUNK;
    b->next = memory_alloc_large(b->left);
    if (!b->next) {
        fail_memory(b, "the weights");
        return false;
    }
    memory->chunks[memory->count++] = b->next;
    return true;
}

float *bind_floats(binder *b, size_t count)
{
    size_t bytes;
    if (!bind_reads(b))
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

float *bind_temporary(binder *b, size_t count)
{
    float *w = bind_reads(b) ? memory_alloc(count, sizeof *w) : NULL;
    if (bind_reads(b) && !w)
        fail_memory(b, "weights in another order");
    return w;
}

/* ---- Declaring ------------------------------------------------------------------------------- */

void tensor_list_free(tensor_list *list)
{
    free(list->tensors);
    *list = (tensor_list){0};
}

static void list_tensor(binder *b, const tensor_spec *spec)
{
    tensor_list *list = &b->list;
    tensor_spec *tensors = memory_grow(list->tensors, list->count, &b->capacity, sizeof *tensors);
    if (!tensors) {
        fail_memory(b, "a list of tensors");
        return;
    }
    list->tensors = tensors;
    tensors[list->count++] = *spec;
    list->parameters =
        spec->elements > SIZE_MAX - list->parameters ? SIZE_MAX : list->parameters + spec->elements;
}

/* The declared tensor; while weights are read, as it was listed. NULL after a failure. */
static const tensor_spec *declare(binder *b, const char *owner, const char *leaf, size_t rank,
                                  const size_t *shape)
{
    tensor_spec spec = {.rank = rank, .elements = 1};
    if (b->status)
        return NULL;
    snprintf(spec.name, sizeof spec.name, "%s%s%s", b->prefix, owner, leaf);
    for (size_t i = 0; i < 4; i++)
        spec.shape[i] = i < rank ? shape[i] : 1;
    for (size_t i = 0; i < rank; i++)
        spec.elements = size_product(spec.elements, shape[i]);
    if (!b->source) {
        list_tensor(b, &spec);
        return NULL;
    }
    const tensor_spec *listed = b->cursor < b->list.count ? &b->list.tensors[b->cursor++] : NULL;
    if (listed && !strcmp(listed->name, spec.name) && listed->elements == spec.elements)
        return listed;
    b->status =
        error_set(b->err, MOHVIT_ERROR_ARGUMENT, "\"%s\" was listed otherwise than it is read", spec.name);
    return NULL;
}

/* ---- Reading --------------------------------------------------------------------------------- */

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

static const float *stage(binder *b, const tensor_spec *spec)
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

const float *bind_staged(binder *b, const char *owner, const char *leaf, size_t rank, const size_t *shape)
{
    return stage(b, declare(b, owner, leaf, rank, shape));
}

const float *bind_tensor(binder *b, const char *owner, const char *leaf, size_t rank, const size_t *shape)
{
    const tensor_spec *spec = declare(b, owner, leaf, rank, shape);
    float *dst = spec ? bind_floats(b, spec->elements) : NULL;
    const float *from = dst ? stage(b, spec) : NULL;
    if (from)
        memcpy(dst, from, spec->elements * sizeof *dst);
    return dst;
}

/* ---- Layers of products ---------------------------------------------------------------------- */

#define PACK_OUTPUTS 64 // that a task lays out, a multiple of 32

typedef struct {
    binder *binder;
    const gemm_kernels *functions;
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
    const gemm_kernels *g = job->functions;
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
    g->pack((char *)job->packed + (first ? g->packed_bytes(first, in) : 0), w, outputs, in);
}

linear bind_packed(binder *b, const gemm *g, const float *w, size_t out, size_t in, output_order *order,
                   size_t order_size, const float *bias)
{
    linear layer = {in, out, g, NULL, bias};
    if (!b->status && g && g->precision == PRECISION_INT8 && in > INT8_INPUTS_MAX)
        b->status = error_set(b->err, MOHVIT_ERROR_UNSUPPORTED,
                              "precision int8 sums at most %d products in 32 bits; a layer of \"%s\" has %zu",
                              INT8_INPUTS_MAX, b->prefix, in);
    if (!bind_reads(b) || !g)
        return layer;
    size_t outputs = g->by_panels ? PACK_OUTPUTS : out;
    size_t tasks = g->by_panels ? divide_up(out, PACK_OUTPUTS) : 1;
    const gemm_kernels *functions = gemm_functions(g, bind_kernels(b));
    void *packed = bind_floats(b, divide_up(functions->packed_bytes(out, in), sizeof(float)));
    pack_job job = {
        .binder = b,
        .functions = functions,
        .packed = packed,
        .w = w,
        .out = out,
        .in = in,
        .outputs = outputs,
        .order = order,
        .order_size = order_size,
    };
    if (order)
        job.ordered = bind_temporary(b, parallel_size(b->team) * outputs * in);
    if (!b->status)
        parallel_for(b->team, 1 + tasks, pack_part, &job);
    free(job.ordered);
    layer.weight = packed;
    return layer;
}

linear bind_linear(binder *b, const char *name, const gemm *g, size_t rank, const size_t *shape)
{
    const float *weight = bind_staged(b, name, ".weight", rank, shape);
    linear layer = bind_packed(b, g, weight, shape[0], shape[1], NULL, 0, NULL);
    layer.bias = bind_tensor(b, name, ".bias", SHAPE(shape[0]));
    return layer;
}

void bind_fail(binder *b, mohvit_status status, const mohvit_error *err)
{
    if (b->status || !status)
        return;
    b->status = status;
    if (b->err)
        *b->err = *err;
}

/* ---- Walks ----------------------------------------------------------------------------------- */

mohvit_status bind_list(tensor_list *out, const numerics *a, bind_walk *walk, void *parts, mohvit_error *err)
{
    binder b = {.numerics = a, .err = err};
    walk(&b, parts);
    if (b.status)
        tensor_list_free(&b.list);
    else
        *out = b.list;
    return b.status;
}

static void read_all(void *arg, team *t)
{
    binder *b = arg;
    size_t largest = 0;
    b->team = t;
    for (size_t i = 0; i < b->list.count; i++)
        largest = b->list.tensors[i].elements > largest ? b->list.tensors[i].elements : largest;
    for (size_t i = 0; i < 2; i++)
        if (!(b->staging[i].data = memory_alloc_large(largest * sizeof(float))))
            fail_memory(b, "reading the weights");
    b->walk(b, b->parts);
    free(b->staging[0].data);
    free(b->staging[1].data);
}

mohvit_status bind_read(const tensor_list *list, const weight_source *source, const numerics *a,
                        weight_memory *memory, size_t threads, bind_walk *walk, void *parts,
                        mohvit_error *err)
{
    binder b = {
        .numerics = a,
        .source = source,
        .list = *list,
        .memory = memory,
        .walk = walk,
        .parts = parts,
        .err = err,
    };
    a->gemms[PRECISION_F32]->run(threads, read_all, &b);
    return b.status;
}

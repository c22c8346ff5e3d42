/* bind.h - how a part of the network gets its weights. A part declares each of its tensors once, in the order
 * of the state_dict, with the name, the shape and what becomes of it; a walk over the declarations either
 * lists them or reads them:
 *
 *     void conv_glu_bind(binder *b, conv_glu *m, …)
 *     {
 *         m->dw_bias = bind_tensor(b, "dwconv.dwconv", ".bias", SHAPE(hidden));
 *         …
 *
 * While a walk lists, what it gets is NULL. The first failure sticks: later calls do nothing, give NULL. */
#ifndef MOHVIT_BIND_H
#define MOHVIT_BIND_H

#include "base/parallel.h"
#include "vit/kernels/linear.h"
#include "vit/network/numerics.h"

#include <stdatomic.h>

/* ---- Tensors of a state_dict (spec 3) -------------------------------------------------------- */

#define TENSOR_NAME_MAX 64

typedef struct tensor_spec {
    char name[TENSOR_NAME_MAX];
    size_t rank;
    size_t shape[4];
    size_t elements;
} tensor_spec;

typedef struct tensor_list {
    size_t count;
    tensor_spec *tensors; /* owned; NULL until it is known how many there are */
    size_t parameters;    /* Σ elements */
} tensor_list;

void tensor_list_free(tensor_list *list);

/* A checkpoint, or the synthetic weights. read fills dst (spec->elements) in row-major order. */
typedef struct weight_source {
    void *state;
    mohvit_status (*read)(void *state, const tensor_spec *spec, float *dst, mohvit_error *err);
    mohvit_progress *progress; /* told how many parameters of all have been read; may be NULL */
    void *user;                /* handed to progress */
} weight_source;

/* ---- Walks ----------------------------------------------------------------------------------- */

/* What weights lie in, shared by all models that use them. */
typedef struct weight_memory {
    atomic_size_t users; /* models */
    void **chunks;
    size_t count, capacity;
} weight_memory;

weight_memory *weight_memory_create(void); /* with one user; NULL without memory */
/* One user less; true where it was the last one, and all is freed. */
bool weight_memory_leave(weight_memory *m);

typedef struct binder binder;

/* Declares the tensors of `parts`. */
typedef void bind_walk(binder *b, void *parts);

/* Every tensor that walk declares; a NULL: layers do not know yet how they will be computed. *out is set on
 * success alone; free with tensor_list_free. */
mohvit_status bind_list(tensor_list *out, const numerics *a, bind_walk *walk, void *parts, mohvit_error *err);

/* Reads what walk declares, all of which list holds, into memory. */
mohvit_status bind_read(const tensor_list *list, const weight_source *source, const numerics *a,
                        weight_memory *memory, size_t threads, bind_walk *walk, void *parts,
                        mohvit_error *err);

/* ---- For the parts --------------------------------------------------------------------------- */

/* Dimensions as two arguments: how many, and an array of them. */
// clang-format off
#define SHAPE(...) sizeof((const size_t[]){__VA_ARGS__}) / sizeof(size_t), (const size_t[]){__VA_ARGS__}
// clang-format on

/* What names begin with from here on: "block3.4.attn.". */
void bind_within(binder *b, const char *format, ...) PRINTF_LIKE(2, 3);

/* A tensor owner + leaf that is used as it lies in the checkpoint. */
const float *bind_tensor(binder *b, const char *owner, const char *leaf, size_t rank, const size_t *shape);

/* A tensor to be laid out otherwise: valid until the next bind_staged, bind_tensor or layer. */
const float *bind_staged(binder *b, const char *owner, const char *leaf, size_t rank, const size_t *shape);

/* count floats that live as long as the model, to be filled. */
float *bind_floats(binder *b, size_t count);

/* count floats for the part's own use, to be given to free(). */
float *bind_temporary(binder *b, size_t count);

/* How a part of stage s (from 0) is computed; NULL where that is not known yet. */
const gemm *bind_gemm(const binder *b, layer_part part, size_t s);

/* A layer's weight and bias (out): SHAPE(out, in), or SHAPE(out, in, 1, 1) of a 1×1 convolution. */
linear bind_linear(binder *b, const char *name, const gemm *g, size_t rank, const size_t *shape);

/* Which output of the checkpoint stands at place i, for a layer of that size. */
typedef size_t output_order(size_t size, size_t i);

/* A layer of w (out, in), packed with its outputs in that order (NULL: as they lie), and of bias (out). */
linear bind_packed(binder *b, const gemm *g, const float *w, size_t out, size_t in, output_order *order,
                   size_t order_size, const float *bias);

/* For what a part computes while it is bound. */
const kernels *bind_kernels(const binder *b);
team *bind_team(const binder *b);
void bind_fail(binder *b, mohvit_status status, const mohvit_error *err);
bool bind_reads(const binder *b); /* weights are being read, and nothing has failed */

#endif

/* profile.h - where the time of a forward pass goes, and what its threads count. */
#ifndef MOHVIT_PROFILE_H
#define MOHVIT_PROFILE_H

#include "base/error.h"

/* Parts of a forward pass that its time is told apart by. */
typedef enum operation {
    OP_PATCHES,     /* windows of a convolution, copied */
    OP_PATCH_EMBED, /* its product */
    OP_NORM,        /* layer norms on their own */
    OP_ROUTER,      /* layer norm, router, lists of tokens */
    OP_QKV,         /* q, kv and sr, or qkv */
    OP_POOL,        /* the pooled map and its kv, keys normalised and gathered */
    OP_ATTEND,      /* scores, softmax, weighted sums */
    OP_PROJ,
    OP_FC1,
    OP_GLU, /* depthwise convolution, GELU, gate */
    OP_FC2,
    OP_COUNT, /* head load: what each block's router chose, written down */
    OP_HEAD,
    OPERATIONS
} operation;

typedef struct operation_kind {
    const char *name; /* as users know it, such as "depthwise + GELU + gate" */
    bool product;     /* matrix products and nothing else */
} operation_kind;

extern const operation_kind operations[OPERATIONS];

/* What a thread counts on its own, on a cache line of its own. */
typedef struct thread_counts {
    size_t pairs; /* (token, head) pairs computed */
    /* In the MLP's first layer, and in what each block of its channels goes through next. */
    uint64_t fc1_ns, glu_ns;
} __attribute__((aligned(64))) thread_counts;

typedef struct profile {
    uint64_t ns[OPERATIONS];
    uint64_t last;         /* when a lap began, by clock_ns */
    thread_counts *counts; /* (threads); owned */
    size_t threads;
} profile;

mohvit_status profile_create(profile *f, size_t threads, mohvit_error *err);
void profile_free(profile *f);

/* Charges the time since the last lap to op. */
void profile_lap(profile *f, operation op);

/* Charges it to fc1 and glu, split by the threads' own time in each. */
void profile_lap_glu(profile *f);

#endif

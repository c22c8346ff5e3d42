/* tensors.h - names and shapes of a state_dict's tensors (spec 3), as the parts of the network declare them
 * (bind.h). Loading, checking, counting, synthesising and converting all walk the same list. */
#ifndef MOHVIT_TENSORS_H
#define MOHVIT_TENSORS_H

#include "base/error.h"

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

#endif

/* tensor.h - what is said of a tensor in a file: its name, type and shape. */
#ifndef MOHVIT_TENSOR_H
#define MOHVIT_TENSOR_H

#include "base/error.h"

#define TENSOR_MAX_RANK 8

typedef enum tensor_dtype {
    DTYPE_F32,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_F64,
    DTYPE_I32,
    DTYPE_I64,
    DTYPE_U8,
    DTYPE_OTHER /* known to the container, not readable here (BOOL, I16, F8 …) */
} tensor_dtype;

/* Bytes of an element; 0 for DTYPE_OTHER. Name as safetensors spells it ("F32"). */
size_t tensor_dtype_size(tensor_dtype dtype);
const char *tensor_dtype_name(tensor_dtype dtype);

/* The type of a name, and its size, which DTYPE_OTHER has here too; false where nobody knows it. */
bool tensor_dtype_of(tensor_dtype *dtype, size_t *size, const char *name);

typedef struct tensor_info {
    const char *name; /* unique; owned by the checkpoint */
    tensor_dtype dtype;
    size_t rank;
    size_t shape[TENSOR_MAX_RANK];
    size_t elements; /* product of shape, checked */
} tensor_info;

/* "(12, 288)" into out; returns out. */
char *tensor_shape_text(char *out, size_t size, size_t rank, const size_t *shape);

/* Multiplies the shape into t->elements and checks that elements · item_size bytes can be counted too. */
mohvit_status tensor_count_elements(tensor_info *t, size_t item_size, const char *file, mohvit_error *err);

#endif

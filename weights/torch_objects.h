/* torch_objects.h - what the calls noted in a pickle of torch.save mean: tensors, the storages they view,
 * weight sets. */
#ifndef MOHVIT_TORCH_OBJECTS_H
#define MOHVIT_TORCH_OBJECTS_H

#include "weights/pickle.h"
#include "weights/tensor.h"

/* A strided view of a storage; strides and offset in elements. */
typedef struct torch_tensor {
    tensor_info info; /* name and elements are left to the reader */
    size_t item_size;
    size_t stride[TENSOR_MAX_RANK];
    size_t offset;
    pickle_text storage; /* the zip entry data/<storage> */
    size_t storage_elements;
} torch_tensor;

/* Whether v stands for a plain tensor, or a parameter around one. */
bool torch_is_tensor(const pickle_value *v);

/* Reads such a value; `place` (file and tensor) begins every message. Checks types alone: whether the view
 * fits its storage is the reader's to find. */
mohvit_status torch_parse_tensor(torch_tensor *out, const pickle_value *v, const char *place,
                                 mohvit_error *err);

/* Whether v is a numpy array, which torch.save writes as pickle does. */
bool torch_is_numpy(const pickle_value *v);

/* The dict of tensors that v is, or that v's own `state_dict` is (an EMA wrapper's); NULL if neither. */
const pickle_value *torch_state_dict(const pickle_value *v);

/* "a dict", "an object of class argparse.Namespace" … into out; returns out. */
char *torch_describe(char *out, size_t size, const pickle_value *v);

/* The same of the top of a file in which there are no tensors, and what to save instead. */
char *torch_no_tensors(char *out, size_t size, const pickle_value *top);

#endif

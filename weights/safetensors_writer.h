/* safetensors_writer.h - writing safetensors files, whole or not at all. (Reading is checkpoint.h's.) */
#ifndef MOHVIT_SAFETENSORS_WRITER_H
#define MOHVIT_SAFETENSORS_WRITER_H

#include "weights/tensor.h"

#define SAFETENSORS_MAX_HEADER ((size_t)16 << 20)

typedef struct safetensors_writer safetensors_writer;

typedef struct metadata_entry {
    const char *key, *value;
} metadata_entry;

/* Starts PATH under a temporary name beside it. A file at PATH will be replaced, a symbolic link too (not
 * what it points to); anything else there is an error. tensors (count) give names, dtypes and shapes in the
 * order in which the data will be added; all strings are used during the call only. */
mohvit_status safetensors_writer_create(safetensors_writer **out, const char *path,
                                        const tensor_info *tensors, size_t count,
                                        const metadata_entry *metadata, size_t metadata_count,
                                        mohvit_error *err);

/* The bytes with which such a file begins, malloc'd; its tensors' follow in their order. */
mohvit_status safetensors_header(unsigned char **out, size_t *size, const tensor_info *tensors, size_t count,
                                 const metadata_entry *metadata, size_t metadata_count, mohvit_error *err);

/* Adds the next tensor from float32 values, rounded to nearest even where its dtype is F16 or BF16 (too large
 * becomes infinity, a NaN stays one). */
mohvit_status safetensors_writer_add_f32(safetensors_writer *w, const float *values, mohvit_error *err);

/* Adds the next tensor from its bytes as they are to be stored. */
mohvit_status safetensors_writer_add_raw(safetensors_writer *w, const void *bytes, mohvit_error *err);

/* Adds the next `size` bytes of the tensor of that index, as they are to be stored: for tensors that grow
 * side by side, piece by piece, in place of the two above. */
mohvit_status safetensors_writer_put(safetensors_writer *w, size_t tensor, const void *bytes, size_t size,
                                     mohvit_error *err);

/* Syncs and renames to PATH, and frees w; every tensor must have been added, without a failure. Where before,
 * or this, has failed, nothing is left behind, unless it was the syncing of the directory that failed, after
 * the rename. w may be NULL where before has failed. */
mohvit_status safetensors_writer_finish(safetensors_writer *w, mohvit_status before, mohvit_error *err);

#endif

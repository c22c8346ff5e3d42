/* checkpoint.h - named tensors in a file of either container (spec 3): safetensors, or torch.save's zip. */
#ifndef MOHVIT_CHECKPOINT_H
#define MOHVIT_CHECKPOINT_H

#include "weights/tensor.h"

#include <jansson.h>

typedef struct checkpoint checkpoint;

/* Opens by content: a .pth, a safetensors file, or the index of several. key chooses a weight set of a .pth
 * (NULL: the first of model, model_ema, state_dict, else the file itself where it is a bare state_dict, else
 * its only set). A key that names none takes, of the set that NULL would, the tensors whose names begin with
 * it and a dot, both of which are taken off: "student", or "state_dict.student". "" is as NULL. Only the
 * directory of the file is read. Files of more than 65536 tensors are refused. Set on success alone: *out,
 * which belongs to one caller at a time. warn hears of tensors in a form that is not read. */
mohvit_status checkpoint_open(checkpoint **out, const char *path, const char *key, const warning_sink *warn,
                              mohvit_error *err);

/* From memory that the caller keeps until checkpoint_close. */
mohvit_status checkpoint_open_memory(checkpoint **out, const void *data, size_t size, const char *name,
                                     const char *key, const warning_sink *warn, mohvit_error *err);

void checkpoint_close(checkpoint *cp);

/* "safetensors" or "pth". */
const char *checkpoint_format(const checkpoint *cp);
const char *checkpoint_path(const checkpoint *cp);

/* The weight sets of the file ("model", "model_ema", …), the chosen one at index *chosen; 0 where it has no
 * such level. names and chosen may be NULL. */
size_t checkpoint_sets(const checkpoint *cp, const char *const **names, size_t *chosen);

/* Tensors that were chosen, in the file's order. */
size_t checkpoint_count(const checkpoint *cp);
const tensor_info *checkpoint_tensor(const checkpoint *cp, size_t index);
/* NULL if there is none of this name. Takes time as the logarithm of their number. */
const tensor_info *checkpoint_find(const checkpoint *cp, const char *name);

/* The same of the name that `length` bytes of prefix and name make together. */
const tensor_info *checkpoint_find_under(const checkpoint *cp, const char *prefix, size_t length,
                                         const char *name);

/* Takes `length` bytes of prefix, of which the last is a dot, off every name that begins with them. Two names
 * that become equal are an error. prefix may lie in such a name. */
mohvit_status checkpoint_take_off(checkpoint *cp, const char *prefix, size_t length, mohvit_error *err);

/* A value of __metadata__, or NULL. */
const char *checkpoint_metadata(const checkpoint *cp, const char *key);

/* *out = the JSON that is such a value, of this type, in place of what *out held (NULL: nothing). Missing, of
 * another type, and deeper or larger than a head load's are errors, and leave *out as it is. */
mohvit_status checkpoint_metadata_json(json_t **out, const checkpoint *cp, const char *key, json_type type,
                                       mohvit_error *err);

/* Reads a tensor of this checkpoint in row-major order into dst (elements), converted to float32 from F32,
 * F16 or BF16 (exactly); other types are an error. Contiguous float32 goes straight to dst. */
mohvit_status checkpoint_read_f32(checkpoint *cp, const tensor_info *tensor, float *dst, mohvit_error *err);

/* Reads a tensor in its own type, elements · tensor_dtype_size bytes, row-major; DTYPE_OTHER is an error. */
mohvit_status checkpoint_read_raw(checkpoint *cp, const tensor_info *tensor, void *dst, mohvit_error *err);

#endif

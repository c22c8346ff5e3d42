/* checkpoint.h - named tensors in a file of either container (spec 3): safetensors, or torch.save's zip. */
#ifndef MOHVIT_CHECKPOINT_H
#define MOHVIT_CHECKPOINT_H

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

typedef struct tensor_info {
    const char *name; /* without "module." where it began so; unique; owned by the checkpoint */
    tensor_dtype dtype;
    size_t rank;
    size_t shape[TENSOR_MAX_RANK];
    size_t elements; /* product of shape, checked */
} tensor_info;

/* "(12, 288)" into out; returns out. */
char *tensor_shape_text(char *out, size_t size, size_t rank, const size_t *shape);

typedef struct checkpoint checkpoint;

/* Opens by content. key chooses a weight set of a .pth (NULL: the first of model, model_ema, state_dict, else
 * the file itself where it is a bare state_dict, else its only set); an error on safetensors. Only the
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

/* Tensors of the chosen set, in the file's order. */
size_t checkpoint_count(const checkpoint *cp);
const tensor_info *checkpoint_tensor(const checkpoint *cp, size_t index);
/* NULL if there is none of this name. Takes time as the logarithm of their number. */
const tensor_info *checkpoint_find(const checkpoint *cp, const char *name);

/* A value of __metadata__, or NULL. */
const char *checkpoint_metadata(const checkpoint *cp, const char *key);

/* Reads a tensor of this checkpoint in row-major order into dst (elements), converted to float32 from F32,
 * F16 or BF16 (exactly); other types are an error. Contiguous float32 goes straight to dst. */
mohvit_status checkpoint_read_f32(checkpoint *cp, const tensor_info *tensor, float *dst, mohvit_error *err);

/* Reads a tensor in its own type, elements · tensor_dtype_size bytes, row-major; DTYPE_OTHER is an error. */
mohvit_status checkpoint_read_raw(checkpoint *cp, const tensor_info *tensor, void *dst, mohvit_error *err);

#endif

#include "weights/tensor.h"

#include "base/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* As safetensors spells them. */
static const struct {
    const char *name;
    tensor_dtype dtype;
    size_t size;
} dtypes[] = {
    {"F32", DTYPE_F32, 4},       {"F16", DTYPE_F16, 2},     {"BF16", DTYPE_BF16, 2},
    {"F64", DTYPE_F64, 8},       {"I32", DTYPE_I32, 4},     {"I64", DTYPE_I64, 8},
    {"U8", DTYPE_U8, 1},         {"other", DTYPE_OTHER, 0}, {"BOOL", DTYPE_OTHER, 1},
    {"I8", DTYPE_OTHER, 1},      {"I16", DTYPE_OTHER, 2},   {"U16", DTYPE_OTHER, 2},
    {"U32", DTYPE_OTHER, 4},     {"U64", DTYPE_OTHER, 8},   {"F8_E5M2", DTYPE_OTHER, 1},
    {"F8_E4M3", DTYPE_OTHER, 1},
};

bool tensor_dtype_of(tensor_dtype *dtype, size_t *size, const char *name)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        if (dtypes[i].size && !strcmp(name, dtypes[i].name)) {
            *dtype = dtypes[i].dtype;
            *size = dtypes[i].size;
            return true;
        }
    }
    return false;
}

size_t tensor_dtype_size(tensor_dtype dtype)
{
    return dtypes[dtype].size; // the first rows are in the order of tensor_dtype
}

const char *tensor_dtype_name(tensor_dtype dtype)
{
    return dtypes[dtype].name;
}

char *tensor_shape_text(char *out, size_t size, size_t rank, const size_t *shape)
{
    size_t used = 0;
    for (size_t i = 0; i <= rank && used < size; i++) {
        const char *comma = rank == 1 && i == 1 ? ",)" : ")"; // (5,) as Python writes it
        int n = i < rank ? snprintf(out + used, size - used, "%s%zu", i ? ", " : "(", shape[i])
                         : snprintf(out + used, size - used, "%s%s", rank ? "" : "(", comma);
        used += n > 0 ? (size_t)n : 0;
    }
    return out;
}

mohvit_status tensor_count_elements(tensor_info *t, size_t item_size, const char *file, mohvit_error *err)
{
    size_t product = 1, bytes = 0;
    bool empty = false, fits = true;
    for (size_t i = 0; i < t->rank; i++) {
        empty = empty || t->shape[i] == 0;
        fits = fits && (t->shape[i] == 0 || size_mul(product, t->shape[i], &product));
    }
    if (!fits || !size_mul(product, item_size, &bytes) || bytes > PTRDIFF_MAX) {
        char text[256];
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: %s: shape %s has more elements than can be counted",
                         file, t->name, tensor_shape_text(text, sizeof text, t->rank, t->shape));
    }
    t->elements = empty ? 0 : product;
    return MOHVIT_OK;
}

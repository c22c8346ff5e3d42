#include "vit/network/synthetic.h"

#include <math.h>
#include <string.h>

static uint64_t fnv1a(const char *name)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001B3u;
    return hash;
}

/* Element i of the stream of key k, in [−1, 1). */
static double uniform(uint64_t k, uint64_t i)
{
    uint64_t z = k + (i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (double)(z >> 40) * 0x1p-23 - 1;
}

/* Element = offset + scale · u. */
typedef struct {
    double offset, scale;
} affine;

static bool name_is(const char *part, size_t length, const char *name)
{
    return strlen(name) == length && !memcmp(part, name, length);
}

static affine distribution(const tensor_spec *spec)
{
    const char *dot = strrchr(spec->name, '.'), *leaf = dot ? dot + 1 : spec->name,
               *owner = dot ? dot : spec->name;
    while (owner > spec->name && owner[-1] != '.')
        owner--;
    size_t leaf_length = strlen(leaf), owner_length = dot ? (size_t)(dot - owner) : 0;
    bool bias = name_is(leaf, leaf_length, "bias");

    if (name_is(leaf, leaf_length, "temperature"))
        return (affine){log(exp(1 / 0.24) - 1), 0.5};
    if (name_is(leaf, leaf_length, "query_embedding") ||
        name_is(leaf, leaf_length, "relative_pos_bias_local") ||
        name_is(leaf, leaf_length, "learnable_tokens") || name_is(leaf, leaf_length, "learnable_bias"))
        return (affine){0, 0.05};
    if (owner_length >= 4 && !memcmp(owner, "norm", 4))
        return bias ? (affine){0, 0.1} : (affine){1, 0.2};
    if (bias)
        return (affine){0, 0.1};

    double fan_in = 1, inputs = (double)spec->shape[1];
    for (size_t i = 1; i < spec->rank; i++)
        fan_in *= (double)spec->shape[i];
    if (name_is(owner, owner_length, "wg") || name_is(owner, owner_length, "wg_0") ||
        name_is(owner, owner_length, "wg_1"))
        return (affine){0, 2 * sqrt(3 / inputs)};
    bool in_block = !strncmp(spec->name, "block", 5);
    if (in_block && (name_is(owner, owner_length, "proj") || name_is(owner, owner_length, "fc2")))
        return (affine){0, 0.25 * sqrt(3 / inputs)};
    if (name_is(owner, owner_length, "head"))
        return (affine){0, 4 * sqrt(3 / inputs)};
    return (affine){0, sqrt(3 / fan_in)};
}

void synthetic_tensor(float *dst, const tensor_spec *spec, uint64_t seed)
{
    affine a = distribution(spec);
    uint64_t key = fnv1a(spec->name) ^ seed;
    for (size_t i = 0; i < spec->elements; i++)
        dst[i] = (float)(a.offset + a.scale * uniform(key, i));
}

void synthetic_input(float *dst, size_t batch, size_t size, uint64_t seed)
{
    uint64_t key = fnv1a("input") ^ seed;
    for (size_t i = 0; i < batch * 3 * size * size; i++)
        dst[i] = (float)(2 * uniform(key, i));
}

/* config_tensors.c - names and shapes of a config's tensors (spec 3), in the order of the state_dict. */
#include "vit/network/config.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct {
    tensor_spec *tensors; // NULL while counting
    size_t count, parameters;
    char prefix[TENSOR_NAME_MAX / 2];
} tensor_builder;

static void add(tensor_builder *b, const char *leaf, size_t rank, size_t s0, size_t s1, size_t s2, size_t s3)
{
    tensor_spec t = {.rank = rank, .shape = {s0, s1, s2, s3}, .elements = 1};
    for (size_t i = 0; i < rank; i++)
        t.elements *= t.shape[i];
    snprintf(t.name, sizeof t.name, "%s%s", b->prefix, leaf);
    if (b->tensors)
        b->tensors[b->count] = t;
    b->count++;
    b->parameters += t.elements;
}

static void add_vector(tensor_builder *b, const char *owner, const char *leaf, size_t n)
{
    char name[TENSOR_NAME_MAX / 2];
    snprintf(name, sizeof name, "%s.%s", owner, leaf);
    add(b, name, 1, n, 1, 1, 1);
}

static void add_norm(tensor_builder *b, const char *owner, size_t C)
{
    add_vector(b, owner, "weight", C);
    add_vector(b, owner, "bias", C);
}

/* weight (out, in, side, side) and bias (out); side 0: a linear layer's (out, in). */
static void add_layer(tensor_builder *b, const char *owner, size_t out, size_t in, size_t side)
{
    char name[TENSOR_NAME_MAX / 2];
    snprintf(name, sizeof name, "%s.weight", owner);
    add(b, name, side ? 4 : 2, out, in, side ? side : 1, side ? side : 1);
    add_vector(b, owner, "bias", out);
}

static void add_attention(tensor_builder *b, const config *c, size_t s)
{
    size_t C = c->embed_dims[s], h = c->num_heads[s], d = C / h;
    add(b, "attn.temperature", 3, h, 1, 1, 1);
    add(b, "attn.query_embedding", 3, h, 1, d, 1);
    if (config_global(c, s)) {
        add_layer(b, "attn.qkv", 3 * C, C, 0);
    } else {
        add(b, "attn.relative_pos_bias_local", 2, h, 9, 1, 1);
        add(b, "attn.learnable_tokens", 3, h, d, 9, 1);
        add(b, "attn.learnable_bias", 3, h, 1, 9, 1);
        add_layer(b, "attn.q", C, C, 0);
        add_layer(b, "attn.kv", 2 * C, C, 0);
    }
    add_layer(b, "attn.proj", C, C, 0);
    if (!config_global(c, s)) {
        add_layer(b, "attn.sr", C, C, 1);
        add_norm(b, "attn.norm", C);
    }
    add_layer(b, "attn.cpb_fc1", 512, 2, 0);
    add_layer(b, "attn.cpb_fc2", h, 512, 0);
    if (c->dense)
        return;
    if (c->routed_head[s])
        add(b, "attn.wg.weight", 2, config_candidates(c, s), C, 1, 1);
    if (c->routed_head[s] && c->shared_head[s])
        add(b, "attn.wg_0.weight", 2, 2, C, 1, 1);
    if (c->shared_head[s] > 1)
        add(b, "attn.wg_1.weight", 2, c->shared_head[s], C, 1, 1);
}

static void add_block(tensor_builder *b, const config *c, size_t s)
{
    size_t C = c->embed_dims[s], hidden = config_hidden(c, s);
    add_norm(b, "norm1", C);
    add_attention(b, c, s);
    add_norm(b, "norm2", C);
    add_layer(b, "mlp.fc1", 2 * hidden, C, 0);
    add_layer(b, "mlp.dwconv.dwconv", hidden, 1, 3);
    add_layer(b, "mlp.fc2", C, hidden, 0);
}

static void add_all(tensor_builder *b, const config *c)
{
    for (size_t s = 0; s < STAGES; s++) {
        snprintf(b->prefix, sizeof b->prefix, "patch_embed%zu.", s + 1);
        add_layer(b, "proj", c->embed_dims[s], s ? c->embed_dims[s - 1] : 3, s ? 3 : 7);
        add_norm(b, "norm", c->embed_dims[s]);
        for (size_t block = 0; block < c->depths[s]; block++) {
            snprintf(b->prefix, sizeof b->prefix, "block%zu.%zu.", s + 1, block);
            add_block(b, c, s);
        }
        snprintf(b->prefix, sizeof b->prefix, "norm%zu", s + 1);
        add_norm(b, "", c->embed_dims[s]);
    }
    snprintf(b->prefix, sizeof b->prefix, "head");
    add_layer(b, "", c->num_classes, c->embed_dims[STAGES - 1], 0);
}

mohvit_status config_tensors(tensor_list *out, const config *c, mohvit_error *err)
{
    tensor_builder count = {0};
    add_all(&count, c);
    if (count.parameters > CONFIG_MAX_PARAMETERS)
        return error_set(err, MOHVIT_ERROR_LIMIT, "config has %zu parameters; expected at most %zu",
                         count.parameters, CONFIG_MAX_PARAMETERS);
    tensor_builder fill = {.tensors = memory_alloc(count.count, sizeof(tensor_spec))};
    if (!fill.tensors)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a list of %zu tensors", count.count);
    add_all(&fill, c);
    *out = (tensor_list){fill.count, fill.tensors, fill.parameters};
    return MOHVIT_OK;
}

void tensor_list_free(tensor_list *list)
{
    free(list->tensors);
    *list = (tensor_list){0};
}

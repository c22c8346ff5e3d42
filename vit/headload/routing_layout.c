#include "vit/headload/routing_layout.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static mohvit_status no_memory(mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a routing layout");
}

mohvit_status routing_layout_add(routing_layout *l, const routing_block *block, mohvit_error *err)
{
    routing_block *blocks = memory_grow(l->blocks, l->count, &l->capacity, sizeof *blocks);
    if (!blocks)
        return no_memory(err);
    l->blocks = blocks;
    blocks[l->count] = *block;
    blocks[l->count].index = l->count;
    l->count++;
    l->max_heads = block->heads > l->max_heads ? block->heads : l->max_heads;
    return MOHVIT_OK;
}

mohvit_status routing_layout_copy(routing_layout *out, const routing_layout *from, mohvit_error *err)
{
    *out = *from;
    out->capacity = from->count;
    out->blocks = malloc(from->count * sizeof *out->blocks);
    if (!out->blocks)
        return no_memory(err);
    memcpy(out->blocks, from->blocks, from->count * sizeof *out->blocks);
    return MOHVIT_OK;
}

void routing_layout_free(routing_layout *l)
{
    free(l->blocks);
    *l = (routing_layout){0};
}

// ---- Asking ----------------------------------------------------------------------------------------

bool routing_layout_equal(const routing_layout *a, const routing_layout *b)
{
    bool equal = a->count == b->count;
    for (size_t i = 0; equal && i < a->count; i++) {
        const routing_block *x = &a->blocks[i], *y = &b->blocks[i];
        equal = !strcmp(x->name, y->name) && x->heads == y->heads && x->shared == y->shared &&
                x->routed == y->routed && x->tokens == y->tokens;
    }
    return equal;
}

const routing_block *routing_layout_find(const routing_layout *l, const char *name)
{
    for (size_t i = 0; i < l->count; i++)
        if (!strcmp(l->blocks[i].name, name))
            return &l->blocks[i];
    return NULL;
}

const routing_block *routing_layout_last_routed(const routing_layout *l)
{
    for (size_t i = l->count; i--;)
        if (routing_routes(&l->blocks[i]))
            return &l->blocks[i];
    return NULL;
}

void routing_head_name(char out[ROUTING_HEAD_NAME], const routing_block *b, size_t head)
{
    bool shared = head < b->shared;
    snprintf(out, ROUTING_HEAD_NAME, "%c%zu", shared ? 's' : 'r', head + 1 - (shared ? 0 : b->shared));
}

size_t routing_pairs(const routing_layout *l, size_t count)
{
    size_t pairs = 0;
    for (size_t i = 0; i < count; i++)
        pairs += l->blocks[i].tokens * l->blocks[i].heads;
    return pairs;
}

size_t routing_head_pairs(const routing_layout *l, size_t count)
{
    size_t pairs = 0;
    for (size_t i = 0; i < count; i++)
        pairs += l->blocks[i].heads * l->blocks[i].heads;
    return pairs;
}

double routing_layout_active_percent(const routing_layout *l)
{
    size_t active = 0, heads = 0;
    for (size_t i = 0; i < l->count; i++) {
        active += l->blocks[i].shared + l->blocks[i].routed;
        heads += l->blocks[i].heads;
    }
    return 100.0 * (double)active / (double)heads;
}

// ---- JSON ------------------------------------------------------------------------------------------

static const struct {
    const char *key;
    size_t offset, least, most;
} numbers[] = {
    {"stage", offsetof(routing_block, stage), 1, ROUTING_MAX_BLOCKS},
    {"block", offsetof(routing_block, block), 0, ROUTING_MAX_BLOCKS},
    {"heads", offsetof(routing_block, heads), 1, ROUTING_MAX_HEADS},
    {"shared", offsetof(routing_block, shared), 0, ROUTING_MAX_HEADS},
    {"routed", offsetof(routing_block, routed), 0, ROUTING_MAX_HEADS},
    {"tokens", offsetof(routing_block, tokens), 1, ROUTING_MAX_TOKENS},
};
#define NUMBERS (sizeof numbers / sizeof *numbers)

json_t *routing_layout_to_json(const routing_layout *l)
{
    json_t *layout = json_pack("{s:s, s:[]}", "model", l->model, "blocks");
    bool fine = layout;
    for (size_t i = 0; fine && i < l->count; i++) {
        json_t *block = json_pack("{s:s}", "name", l->blocks[i].name);
        for (size_t k = 0; fine && k < NUMBERS; k++) {
            size_t number = *(const size_t *)((const char *)&l->blocks[i] + numbers[k].offset);
            fine = !json_object_set_new(block, numbers[k].key, json_integer((json_int_t)number));
        }
        fine = !json_array_append_new(json_object_get(layout, "blocks"), block) && fine;
    }
    if (fine)
        return layout;
    json_decref(layout);
    return NULL;
}

static bool copy_name(char *out, size_t size, const char *name)
{
    size_t length = name ? strlen(name) : 0;
    if (!length || length >= size || strspn(name, ROUTING_NAME_BYTES) < length)
        return false;
    memcpy(out, name, length + 1);
    return true;
}

static bool read_block(routing_block *b, const json_t *item)
{
    *b = (routing_block){0};
    for (size_t k = 0; k < NUMBERS; k++) {
        const json_t *value = json_object_get(item, numbers[k].key);
        json_int_t number = json_integer_value(value);
        if (!json_is_integer(value) || number < (json_int_t)numbers[k].least ||
            number > (json_int_t)numbers[k].most)
            return false;
        *(size_t *)((char *)b + numbers[k].offset) = (size_t)number;
    }
    return copy_name(b->name, sizeof b->name, json_string_value(json_object_get(item, "name"))) &&
           b->shared + b->routed <= b->heads && (b->routed > 0) == (b->shared < b->heads);
}

static mohvit_status read_blocks(routing_layout *l, const json_t *blocks, const char *name, mohvit_error *err)
{
    size_t i;
    json_t *item;
    mohvit_status status = MOHVIT_OK;
    json_array_foreach(blocks, i, item)
    {
        routing_block b;
        if (read_block(&b, item)) {
            status = routing_layout_add(l, &b, err);
        } else {
            char *found = json_dumps(item, JSON_COMPACT | JSON_ENCODE_ANY);
            status = error_set(err, MOHVIT_ERROR_FORMAT,
                               "%s: routing: block %zu is %.200s; expected name, stage, block, 1 to %d "
                               "heads, of them shared "
                               "ones and, where others are left, routed ones, and 1 to %zu tokens",
                               name, i, found ? found : "?", ROUTING_MAX_HEADS, ROUTING_MAX_TOKENS);
            free(found);
        }
        if (status)
            return status;
    }
    return MOHVIT_OK;
}

mohvit_status routing_layout_read(routing_layout *out, const json_t *layout, const json_t *config,
                                  layout_of_config *of_config, const char *name, mohvit_error *err)
{
    if (!layout && config && of_config)
        return of_config(out, config, name, err);
    routing_layout l = {0};
    const json_t *blocks = json_object_get(layout, "blocks");
    size_t count = json_array_size(blocks);
    if (!layout)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: routing is missing", name);
    if (!copy_name(l.model, sizeof l.model, json_string_value(json_object_get(layout, "model"))) || !count ||
        count > ROUTING_MAX_BLOCKS)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: routing: expected the model's name and 1 to %d blocks", name,
                         ROUTING_MAX_BLOCKS);
    mohvit_status status = read_blocks(&l, blocks, name, err);
    if (status)
        routing_layout_free(&l);
    else
        *out = l;
    return status;
}

#include "vit/headload/head_load.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- Memory ----------------------------------------------------------------------------------------

mohvit_status head_load_no_memory(mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for the head load of so many classes");
}

/* Zeroes, and −1 for the heads that a block does not have. */
static mohvit_status allocate(head_load *l, json_t *config, mohvit_error *err)
{
    size_t classes = l->names.count, blocks = l->routing.count, max_heads = l->routing.max_heads, cells;
    if (!size_mul(classes, blocks * max_heads, &cells))
        return head_load_no_memory(err);
    l->images = calloc(classes, sizeof *l->images);
    l->active = calloc(cells, sizeof *l->active);
    l->gate = calloc(cells, sizeof *l->gate);
    l->sources = json_array();
    l->provenance = json_object();
    l->config = json_copy(config);
    if (!l->images || !l->active || !l->gate || !l->sources || !l->provenance || !l->config)
        return head_load_no_memory(err);
    for (size_t b = 0; b < blocks; b++)
        for (size_t c = 0; c < classes; c++)
            for (size_t h = l->routing.blocks[b].heads; h < max_heads; h++)
                l->active[head_load_at(l, c, b, h)] = -1;
    return MOHVIT_OK;
}

mohvit_status head_load_create(head_load **out, const routing_layout *routing, json_t *config,
                               const labels *names, mohvit_error *err)
{
    head_load *l = calloc(1, sizeof *l);
    if (!l)
        return head_load_no_memory(err);
    mohvit_status status = routing_layout_copy(&l->routing, routing, err);
    if (!status)
        status = labels_copy(&l->names, names, err);
    if (!status)
        status = allocate(l, config, err);
    if (status)
        head_load_destroy(l);
    else
        *out = l;
    return status;
}

void head_load_destroy(head_load *l)
{
    if (!l)
        return;
    json_decref(l->sources);
    json_decref(l->provenance);
    json_decref(l->config);
    routing_layout_free(&l->routing);
    labels_free(&l->names);
    free(l->images);
    free(l->active);
    free(l->gate);
    free(l);
}

// ---- Asking ----------------------------------------------------------------------------------------

char *head_load_title(const head_load *l, size_t class_index)
{
    const char *name = l->names.name[class_index];
    size_t length = strcspn(name, ",");
    return strndup(name, length ? length : strlen(name));
}

int64_t head_load_images(const head_load *l, size_t *classes)
{
    int64_t images = 0;
    size_t counted = 0;
    for (size_t c = 0; c < l->names.count; c++) {
        images += l->images[c];
        counted += l->images[c] > 0;
    }
    if (classes)
        *classes = counted;
    return images;
}

int64_t head_load_tokens(const head_load *l, size_t class_index, size_t block)
{
    return l->images[class_index] * (int64_t)l->routing.blocks[block].tokens;
}

double head_load_of(const head_load *l, size_t class_index, size_t block, size_t head)
{
    return (double)l->active[head_load_at(l, class_index, block, head)] /
           (double)head_load_tokens(l, class_index, block);
}

double head_load_gate_sum(const head_load *l, size_t class_index, size_t block, size_t head)
{
    return (double)l->gate[head_load_at(l, class_index, block, head)] / HEAD_LOAD_GATE_UNIT;
}

// ---- Counting --------------------------------------------------------------------------------------

static bool add_checked(int64_t *to, int64_t value)
{
    return !__builtin_add_overflow(*to, value, to);
}

static mohvit_status too_many(const head_load *l, size_t class_index, mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_LIMIT, "class %zu (%s): more tokens than 64 bits can count",
                     class_index, l->names.name[class_index]);
}

bool head_load_units(int64_t *units, double gate_sum)
{
    if (!(fabs(gate_sum) < 0x1p40)) // NaN too
        return false;
    *units = llrint(gate_sum * HEAD_LOAD_GATE_UNIT);
    return true;
}

mohvit_status head_load_add(head_load *l, size_t class_index, const int32_t *tokens, const double *gate_sum,
                            mohvit_error *err)
{
    size_t cells = l->routing.count * l->routing.max_heads;
    int64_t units = 0;
    if (class_index >= l->names.count)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "class %zu of a model of %zu", class_index,
                         l->names.count);
    for (size_t i = 0; i < cells; i++)
        if (!head_load_units(&units, gate_sum[i]))
            return error_set(err, MOHVIT_ERROR_NONFINITE, "head %zu of block %zu: its gates sum to %g",
                             i % l->routing.max_heads, i / l->routing.max_heads, gate_sum[i]);
    int64_t *active = l->active + class_index * cells, *gate = l->gate + class_index * cells;
    bool fits = add_checked(&l->images[class_index], 1) && l->images[class_index] <= HEAD_LOAD_MAX_IMAGES;
    for (size_t i = 0; i < cells; i++) {
        if (tokens[i] < 0) // no such head; active has the −1 already
            continue;
        head_load_units(&units, gate_sum[i]);
        fits &= add_checked(&active[i], tokens[i]);
        fits &= add_checked(&gate[i], units);
    }
    return fits ? MOHVIT_OK : too_many(l, class_index, err);
}

mohvit_status head_load_add_counts(head_load *l, size_t class_index, int64_t images, const int64_t *active,
                                   const int64_t *gate, mohvit_error *err)
{
    size_t cells = l->routing.count * l->routing.max_heads, first = class_index * cells;
    bool fits =
        add_checked(&l->images[class_index], images) && l->images[class_index] <= HEAD_LOAD_MAX_IMAGES;
    for (size_t i = 0; i < cells; i++) {
        if (active[i] < 0)
            continue;
        fits &= add_checked(&l->active[first + i], active[i]);
        fits &= add_checked(&l->gate[first + i], gate[i]);
    }
    return fits ? MOHVIT_OK : too_many(l, class_index, err);
}

// ---- Checking ------------------------------------------------------------------------------------

/* active (max_heads) of a class in a block, for images that have so many tokens there. */
static mohvit_status check_counts(const int64_t *active, const routing_block *b, size_t max_heads,
                                  int64_t tokens, size_t c, const char *name, mohvit_error *err)
{
    int64_t routed = 0;
    for (size_t h = 0; h < max_heads; h++) {
        bool absent = h >= b->heads, shared = h < b->shared;
        bool right = absent   ? active[h] == -1
                     : shared ? active[h] == tokens
                              : active[h] >= 0 && active[h] <= tokens;
        if (!right)
            return error_set(err, MOHVIT_ERROR_FORMAT,
                             "%s: active: class %zu, block %s, head %zu: %lld of %lld tokens; expected %s",
                             name, c, b->name, h, (long long)active[h], (long long)tokens,
                             absent   ? "-1, since there is no such head"
                             : shared ? "all, since the head is shared"
                                      : "0 to that");
        routed += absent || shared ? 0 : active[h];
    }
    if (routed != tokens * (int64_t)b->routed)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: active: class %zu, block %s: routed heads add up to %lld; %lld tokens with %zu "
                         "each make %lld",
                         name, c, b->name, (long long)routed, (long long)tokens, b->routed,
                         (long long)(tokens * (int64_t)b->routed));
    return MOHVIT_OK;
}

mohvit_status head_load_check(const head_load *l, size_t c, size_t block, const char *name, mohvit_error *err)
{
    return check_counts(l->active + head_load_at(l, c, block, 0), &l->routing.blocks[block],
                        l->routing.max_heads, head_load_tokens(l, c, block), c, name, err);
}

mohvit_status head_load_check_image(const head_load *l, size_t c, const int32_t *tokens, mohvit_error *err)
{
    size_t heads = l->routing.max_heads;
    int64_t active[ROUTING_MAX_HEADS];
    mohvit_status status = MOHVIT_OK;
    for (size_t b = 0; !status && b < l->routing.count; b++) {
        const routing_block *block = &l->routing.blocks[b];
        for (size_t h = 0; h < heads; h++)
            active[h] = tokens[b * heads + h];
        status = check_counts(active, block, heads, (int64_t)block->tokens, c, "image", err);
    }
    return status;
}

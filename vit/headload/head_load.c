#include "vit/headload/head_load_parts.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

// ---- Memory ----------------------------------------------------------------------------------------

mohvit_status head_load_no_memory(mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for the head load of so many classes");
}

/* Zeroes, and −1 for the heads that a block does not have. */
static mohvit_status allocate(head_load *l, mohvit_error *err)
{
    size_t classes = l->config.num_classes, cells;
    if (!size_mul(classes, l->blocks * l->max_heads, &cells))
        return head_load_no_memory(err);
    l->images = calloc(classes, sizeof *l->images);
    l->active = calloc(cells, sizeof *l->active);
    l->gate = calloc(cells, sizeof *l->gate);
    l->sources = json_array();
    l->provenance = json_object();
    if (!l->images || !l->active || !l->gate || !l->sources || !l->provenance)
        return head_load_no_memory(err);
    for (size_t b = 0; b < l->blocks; b++)
        for (size_t c = 0; c < classes; c++)
            for (size_t h = head_load_describe(l, b).heads; h < l->max_heads; h++)
                l->active[head_load_at(l, c, b, h)] = -1;
    return MOHVIT_OK;
}

mohvit_status head_load_create(head_load **out, const config *c, const labels *names, mohvit_error *err)
{
    if (names->count != c->num_classes)
        return error_set(err, MOHVIT_ERROR_MISMATCH, "%zu class names for %zu classes", names->count,
                         c->num_classes);
    head_load *l = calloc(1, sizeof *l);
    if (!l)
        return head_load_no_memory(err);
    l->config = *c;
    l->blocks = config_blocks(c);
    l->max_heads = config_max_heads(c);
    mohvit_status status = labels_copy(&l->names, names, err);
    if (!status)
        status = allocate(l, err);
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
    labels_free(&l->names);
    free(l->images);
    free(l->active);
    free(l->gate);
    free(l);
}

// ---- Asking ----------------------------------------------------------------------------------------

head_load_block head_load_describe(const head_load *l, size_t block)
{
    const config *c = &l->config;
    size_t s = 0, first = 0;
    while (s + 1 < STAGES && block >= first + c->depths[s])
        first += c->depths[s++];
    head_load_block b = {
        .index = block,
        .stage = s,
        .block = block - first,
        .heads = c->num_heads[s],
        .shared = c->shared_head[s],
        .routed = c->routed_head[s],
        .tokens = config_side(c, s) * config_side(c, s),
    };
    b.candidates = b.routed ? b.heads - b.shared : 0;
    b.balanced = b.routed ? (double)b.routed / (double)b.candidates : 0;
    return b;
}

bool head_load_last_routed(const head_load *l, size_t *block)
{
    for (size_t b = l->blocks; b--;) {
        if (head_load_describe(l, b).routed) {
            *block = b;
            return true;
        }
    }
    return false;
}

int64_t head_load_tokens(const head_load *l, size_t class_index, size_t block)
{
    return l->images[class_index] * (int64_t)head_load_describe(l, block).tokens;
}

double head_load_of(const head_load *l, size_t class_index, size_t block, size_t head)
{
    return (double)l->active[head_load_at(l, class_index, block, head)] /
           (double)head_load_tokens(l, class_index, block);
}

double head_load_gate_sum(const head_load *l, size_t class_index, size_t block, size_t head)
{
    return (double)l->gate[head_load_at(l, class_index, block, head)] / GATE_UNIT;
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
    *units = llrint(gate_sum * GATE_UNIT);
    return true;
}

mohvit_status head_load_add(head_load *l, size_t class_index, const int32_t *tokens, const double *gate_sum,
                            mohvit_error *err)
{
    size_t cells = l->blocks * l->max_heads;
    int64_t units = 0;
    if (class_index >= l->config.num_classes)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "class %zu of a model of %zu", class_index,
                         l->config.num_classes);
    for (size_t i = 0; i < cells; i++)
        if (!head_load_units(&units, gate_sum[i]))
            return error_set(err, MOHVIT_ERROR_NONFINITE, "head %zu of block %zu: its gates sum to %g",
                             i % l->max_heads, i / l->max_heads, gate_sum[i]);
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
    size_t cells = l->blocks * l->max_heads, first = class_index * cells;
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

mohvit_status head_load_check(const head_load *l, size_t c, size_t block, const char *name, mohvit_error *err)
{
    const head_load_block described = head_load_describe(l, block), *b = &described;
    const int64_t *active = l->active + head_load_at(l, c, b->index, 0);
    int64_t tokens = head_load_tokens(l, c, b->index), routed = 0;
    for (size_t h = 0; h < l->max_heads; h++) {
        bool absent = h >= b->heads, shared = !b->routed || h < b->shared;
        bool right = absent   ? active[h] == -1
                     : shared ? active[h] == tokens
                              : active[h] >= 0 && active[h] <= tokens;
        if (!right)
            return error_set(
                err, MOHVIT_ERROR_FORMAT,
                "%s: active: class %zu, block %zu.%zu, head %zu: %lld of %lld tokens; expected %s", name, c,
                b->stage + 1, b->block, h, (long long)active[h], (long long)tokens,
                absent   ? "-1, since there is no such head"
                : shared ? "all, since the head is shared"
                         : "0 to that");
        routed += absent || shared ? 0 : active[h];
    }
    if (routed != tokens * (int64_t)b->routed)
        return error_set(
            err, MOHVIT_ERROR_FORMAT,
            "%s: active: class %zu, block %zu.%zu: routed heads add up to %lld; %lld tokens with %zu "
            "each make %lld",
            name, c, b->stage + 1, b->block, (long long)routed, (long long)tokens, b->routed,
            (long long)(tokens * (int64_t)b->routed));
    return MOHVIT_OK;
}

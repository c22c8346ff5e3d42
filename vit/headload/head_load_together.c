/* head_load_together.c - of a head load: which pairs of heads the same tokens selected. */
#include "vit/headload/head_load.h"

#include <stdlib.h>
#include <string.h>

mohvit_status head_load_begin_together(head_load *l, mohvit_error *err)
{
    l->together = calloc(routing_head_pairs(&l->routing, l->routing.count), sizeof *l->together);
    return l->together ? MOHVIT_OK : head_load_no_memory(err);
}

int64_t *head_load_together(const head_load *l, size_t block)
{
    return l->together + routing_head_pairs(&l->routing, block);
}

mohvit_status head_load_add_together(head_load *l, const int64_t *together, mohvit_error *err)
{
    size_t pairs = routing_head_pairs(&l->routing, l->routing.count);
    int64_t sum;
    for (size_t i = 0; i < pairs; i++)
        if (__builtin_add_overflow(l->together[i], together[i], &sum))
            return error_set(err, MOHVIT_ERROR_LIMIT, "more tokens of all classes than 64 bits can count");
    for (size_t i = 0; i < pairs; i++)
        l->together[i] += together[i];
    return MOHVIT_OK;
}

void head_load_complete_together(int64_t *together, const routing_block *b)
{
    size_t n = b->heads;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = i + 1; j < n; j++) {
            if (i < b->shared) // which all tokens select
                together[i * n + j] = together[j * n + j];
            together[j * n + i] = together[i * n + j];
        }
    }
}

// ---- Checking --------------------------------------------------------------------------------------

/* together (heads, heads) of a block, and the tokens of all classes in it. name begins the message. */
typedef struct {
    const char *name;
    const routing_block *block;
    const int64_t *together;
    int64_t tokens;
    mohvit_error *err;
} check;

static mohvit_status refuse(const check *k, size_t a, size_t b, const char *why)
{
    return error_set(k->err, MOHVIT_ERROR_FORMAT, "%s: together: block %s, heads %zu and %zu: %lld %s",
                     k->name, k->block->name, a, b, (long long)k->together[a * k->block->heads + b], why);
}

/* At least as many tokens as two heads have too many to be apart, and at most all of either. */
static bool is_possible(const check *k, size_t a, size_t b)
{
    size_t n = k->block->heads;
    int64_t of_a = k->together[a * n + a], of_b = k->together[b * n + b], both = k->together[a * n + b];
    return both == k->together[b * n + a] && both >= 0 && both <= of_a && both <= of_b &&
           both >= of_a - (k->tokens - of_b);
}

/* Each token that selected a routed head selected so many of them, modulo 2^64. */
static bool adds_up(const check *k, size_t head)
{
    const routing_block *b = k->block;
    const int64_t *row = k->together + head * b->heads;
    uint64_t sum = 0;
    for (size_t i = b->shared; i < b->heads; i++)
        sum += (uint64_t)row[i];
    return sum == (uint64_t)row[head] * b->routed;
}

/* Of all classes: tokens, or with a head, those that selected it. False where they are too many. */
static bool sum_over_classes(int64_t *sum, const head_load *l, size_t block, size_t head)
{
    *sum = 0;
    for (size_t c = 0; c < l->names.count; c++) {
        int64_t more =
            head == SIZE_MAX ? head_load_tokens(l, c, block) : l->active[head_load_at(l, c, block, head)];
        if (__builtin_add_overflow(*sum, more, sum))
            return false;
    }
    return true;
}

mohvit_status head_load_check_together(const head_load *l, size_t block, const char *name, mohvit_error *err)
{
    const routing_block *b = &l->routing.blocks[block];
    check k = {name, b, head_load_together(l, block), 0, err};
    bool fits = sum_over_classes(&k.tokens, l, block, SIZE_MAX);
    for (size_t h = 0; h < b->heads; h++) { // all diagonals before what goes by them
        int64_t active;
        if (!fits || !sum_over_classes(&active, l, block, h) || k.together[h * b->heads + h] != active)
            return refuse(&k, h, h, "are not its active tokens of all classes");
    }
    for (size_t h = 0; h < b->heads; h++) {
        for (size_t i = 0; i < b->heads; i++)
            if (!is_possible(&k, h, i))
                return refuse(&k, h, i, "cannot be of heads with so many tokens");
        if (h >= b->shared && !adds_up(&k, h))
            return refuse(&k, h, h, "do not add up with those of the other routed heads");
    }
    return MOHVIT_OK;
}

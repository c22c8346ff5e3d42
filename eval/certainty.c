#include "eval/certainty.h"

#include "base/compiler.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static mohvit_status no_memory(mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_MEMORY, "no memory to look at routers");
}

bool certainty_add(certainty_counts *to, const certainty_counts *more)
{
    int64_t sums[CERTAINTY_NUMBERS], add[CERTAINTY_NUMBERS];
    memcpy(sums, to, sizeof sums);
    memcpy(add, more, sizeof add);
    for (size_t i = 0; i < CERTAINTY_NUMBERS; i++)
        if (__builtin_add_overflow(sums[i], add[i], &sums[i]))
            return false;
    memcpy(to, sums, sizeof sums);
    return true;
}

/* ---- Places ---------------------------------------------------------------------------------- */

static size_t side_of(size_t tokens)
{
    return (size_t)lround(sqrt((double)tokens));
}

/* Columns that a token of a block moves: the nearest number to what the picture's pixels do. */
static size_t columns_moved(const certainty *c, size_t side)
{
    size_t S = mohvit_describe(c->model)->config.img_size;
    return (2 * c->shift * side + S) / (2 * S);
}

/* Where in the changed picture the token of this column is; SIZE_MAX: beyond its border. */
static size_t column_of(certainty_change change, size_t column, size_t side, size_t moved)
{
    if (change == CERTAINTY_FLIP)
        return side - 1 - column;
    return column + moved < side ? column + moved : SIZE_MAX;
}

size_t certainty_selections(const certainty *c, const routing_block *b, certainty_change change)
{
    size_t side = side_of(b->tokens), moved = change == CERTAINTY_SHIFT ? columns_moved(c, side) : 0;
    return side * (side > moved ? side - moved : 0) * b->routed;
}

/* to = from (S, S, 3), mirrored; or moved, with its left column again where nothing is known. */
static void change_picture(float *to, const float *from, size_t S, certainty_change change, size_t shift)
{
    for (size_t y = 0; y < S; y++) {
        for (size_t x = 0; x < S; x++) {
            size_t seen = change == CERTAINTY_FLIP ? S - 1 - x : x > shift ? x - shift : 0;
            memcpy(to + (y * S + x) * 3, from + (y * S + seen) * 3, 3 * sizeof *to);
        }
    }
}

/* ---- What a router chose --------------------------------------------------------------------- */

static bool set_units(int64_t *sum, double value)
{
    double units = value * CERTAINTY_UNIT;
    if (!(fabs(units) < 0x1p60))
        return false;
    *sum = llrint(units);
    return true;
}

/* Entropy in bits of the softmax of x (n). */
static double entropy_of(const float *x, size_t n)
{
    double most = -INFINITY, sum = 0, weighted = 0;
    for (size_t i = 0; i < n; i++)
        most = (double)x[i] > most ? (double)x[i] : most; // GCC 12 for ARM ends with an error at fmax
    for (size_t i = 0; i < n; i++) {
        double above = (double)x[i] - most, e = exp(above);
        sum += e;
        weighted += e > 0 ? e * above : 0;
    }
    return n ? (log(sum) - weighted / sum) / M_LN2 : 0;
}

/* The least of x (n) that was picked, minus the largest that was not. */
static double margin_of(const float *x, const uint8_t *pick, size_t n)
{
    double chosen = INFINITY, rejected = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        if (pick[i])
            chosen = fmin(chosen, (double)x[i]);
        else
            rejected = fmax(rejected, (double)x[i]);
    }
    return chosen - rejected;
}

/* Stage and block in it count from 0. */
static const routing_block *block_at(const prober *p, size_t stage_at, size_t block_in_it)
{
    const routing_block *b = mohvit_routing(p->certainty->model)->blocks;
    while (b->stage != stage_at + 1 || b->block != block_in_it)
        b++;
    return b;
}

static void see_whole(void *user, size_t stage_at, size_t block_in_it, const router *r,
                      const selection *chosen, size_t N)
{
    prober *p = user;
    const routing_layout *l = mohvit_routing(p->certainty->model);
    const routing_block *b = block_at(p, stage_at, block_in_it);
    certainty_counts *counts = &p->counts[b->index];
    double entropy = 0, margin = 0;
    if (!b->index) { // of another picture
        memset(p->counts, 0, l->count * sizeof *p->counts);
        p->finite = true;
    }
    memcpy(p->pick + routing_pairs(l, b->index), chosen->pick, N * b->heads);
    if (!routing_routes(b))
        return;
    for (size_t n = 0; n < N; n++) {
        const float *scores = chosen->scores + n * r->rows;
        entropy += entropy_of(scores, routing_candidates(b));
        margin += margin_of(scores, chosen->pick + n * b->heads + b->shared, routing_candidates(b));
    }
    p->finite = p->finite && set_units(&counts->entropy, entropy) && set_units(&counts->margin, margin);
    for (size_t h = b->shared; h < b->heads; h++)
        counts->squares += (int64_t)(chosen->counts[h] * chosen->counts[h]);
}

static void see_changed(void *user, size_t stage_at, size_t block_in_it, UNUSED const router *r,
                        const selection *chosen, size_t N)
{
    prober *p = user;
    const routing_block *b = block_at(p, stage_at, block_in_it);
    const uint8_t *pick = p->pick + routing_pairs(mohvit_routing(p->certainty->model), b->index);
    size_t side = side_of(N), moved = columns_moved(p->certainty, side);
    for (size_t n = 0; routing_routes(b) && n < N; n++) {
        size_t column = column_of(p->change, n % side, side, moved), there = n - n % side + column;
        for (size_t h = b->shared; column != SIZE_MAX && h < b->heads; h++)
            p->counts[b->index].stayed[p->change] +=
                pick[n * b->heads + h] && chosen->pick[there * b->heads + h];
    }
}

/* ---- Running --------------------------------------------------------------------------------- */

mohvit_status prober_create(prober *to, const certainty *c, mohvit_context *whole, mohvit_error *err)
{
    const routing_layout *l = mohvit_routing(c->model);
    *to = (prober){.certainty = c, .whole = whole};
    mohvit_status status = mohvit_context_create(&to->changed, c->model, 1, 1, err);
    if (status)
        return status;
    context_settings *of_whole = mohvit_settings(whole), *of_changed = mohvit_settings(to->changed);
    of_whole->routes = see_whole;
    of_changed->routes = see_changed;
    of_whole->routes_user = of_changed->routes_user = to;
    of_changed->counts_heads = false;
    to->pick = memory_alloc(routing_pairs(l, l->count), 1);
    to->counts = calloc(l->count, sizeof *to->counts);
    if (!to->pick || !to->counts)
        return no_memory(err);
    return MOHVIT_OK;
}

void prober_free(prober *p)
{
    mohvit_context_destroy(p->changed);
    free(p->pick);
    free(p->counts);
    *p = (prober){0};
}

mohvit_status prober_run(prober *p, mohvit_error *err)
{
    size_t S = mohvit_describe(p->certainty->model)->config.img_size;
    mohvit_status status = MOHVIT_OK;
    for (size_t i = 0; !status && i < CERTAINTY_CHANGES; i++) {
        p->change = (certainty_change)i;
        change_picture(mohvit_slot_input(p->changed, 0), mohvit_slot_input(p->whole, 0), S, p->change,
                       p->certainty->shift);
        status = mohvit_run(p->changed, 1, err);
    }
    if (!status && !p->finite)
        return error_set(err, MOHVIT_ERROR_NONFINITE, "scores of a router are not finite, or absurd");
    return status;
}

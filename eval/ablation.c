#include "eval/ablation.h"

#include "base/clock.h"
#include "base/memory.h"
#include "vit/headload/head_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static mohvit_status no_memory(mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for an ablation");
}

/* ---- What is dropped ------------------------------------------------------------------------- */

static bool names(const ablation *a, const routing_layout *l, size_t b, size_t head)
{
    return a->named[b * l->max_heads + head];
}

static void list_passes(ablation *a, const routing_layout *l, bool together)
{
    for (size_t b = 0; b < l->count; b++) {
        size_t before = a->count;
        for (size_t h = 0; h < l->blocks[b].heads; h++)
            if (names(a, l, b, h) && (!together || a->count == before))
                a->passes[a->count++] = (ablation_pass){b, together ? ABLATION_TOGETHER : h};
    }
}

mohvit_status ablation_create(ablation *a, const mohvit_model *of, const char *heads, const char *option,
                              bool together, bool renormalise, mohvit_error *err)
{
    const routing_layout *l = mohvit_routing(of);
    size_t cells = l->count * l->max_heads;
    *a = (ablation){.model = of, .renormalise = renormalise};
    a->named = calloc(cells, 1);
    a->passes = calloc(cells, sizeof *a->passes);
    if (!a->named || !a->passes)
        return no_memory(err);
    if (!heads)
        memset(a->named, 1, cells);
    mohvit_status status = heads ? head_list_read(a->named, l, heads, option, err) : MOHVIT_OK;
    if (!status)
        list_passes(a, l, together);
    return status;
}

void ablation_free(ablation *a)
{
    free(a->named);
    free(a->passes);
    *a = (ablation){0};
}

/* Adds what a pass drops to dropped (blocks, max_heads). */
static void mark(const ablation *a, size_t index, uint8_t *dropped)
{
    const routing_layout *l = mohvit_routing(a->model);
    const ablation_pass *p = &a->passes[index];
    for (size_t h = 0; h < l->blocks[p->block].heads; h++)
        if (h == p->head || (p->head == ABLATION_TOGETHER && names(a, l, p->block, h)))
            dropped[p->block * l->max_heads + h] = 1;
}

char *ablation_pass_text(const ablation *a, size_t index)
{
    const routing_layout *l = mohvit_routing(a->model);
    const ablation_pass *p = &a->passes[index];
    char *text = NULL;
    if (p->head != ABLATION_TOGETHER) { // by its own name, also where it is the only one of its kind
        char head[ROUTING_HEAD_NAME];
        routing_head_name(head, &l->blocks[p->block], p->head);
        return asprintf(&text, "%s:%s", l->blocks[p->block].name, head) < 0 ? NULL : text;
    }
    uint8_t *dropped = calloc(l->count, l->max_heads);
    if (dropped) {
        mark(a, index, dropped);
        text = head_list_text(l, dropped);
    }
    free(dropped);
    return text;
}

/* ---- Running --------------------------------------------------------------------------------- */

mohvit_status ablator_create(ablator *to, const ablation *a, mohvit_context *whole, mohvit_error *err)
{
    const routing_layout *l = mohvit_routing(a->model);
    *to = (ablator){.ablation = a};
    mohvit_status status = mohvit_context_create(&to->rest, a->model, 1, 1, err);
    if (status)
        return status;
    to->inputs = memory_alloc(mohvit_inputs(a->model), sizeof *to->inputs);
    to->dropped = calloc(l->count, l->max_heads);
    if (!to->inputs || !to->dropped)
        return no_memory(err);
    mohvit_settings(whole)->inputs = to->inputs;
    context_settings *rest = mohvit_settings(to->rest);
    rest->from = to->inputs;
    rest->counts_heads = false;
    rest->drops.heads = to->dropped;
    rest->drops.renormalise = a->renormalise;
    return MOHVIT_OK;
}

void ablator_free(ablator *a)
{
    mohvit_context_destroy(a->rest);
    free(a->inputs);
    free(a->dropped);
    *a = (ablator){0};
}

/* Runs a pass. */
static mohvit_status run_pass(ablator *to, size_t index, mohvit_error *err)
{
    const ablation *a = to->ablation;
    const routing_layout *l = mohvit_routing(a->model);
    const uint8_t *own = mohvit_drops(a->model).heads;
    if (own)
        memcpy(to->dropped, own, l->count * l->max_heads);
    else
        memset(to->dropped, 0, l->count * l->max_heads);
    mark(a, index, to->dropped);
    mohvit_settings(to->rest)->first = a->passes[index].block;
    return mohvit_run(to->rest, 1, err);
}

mohvit_status ablator_run(ablator *a, score *out, const score_rules *rules, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    for (size_t i = 0; !status && i < a->ablation->count; i++) {
        status = run_pass(a, i, err);
        if (!status)
            status = score_image(&out[i], mohvit_logits(a->rest, 0), rules, err);
    }
    return status;
}

/* ---- Time ------------------------------------------------------------------------------------ */

/* When each block of a run was done. */
typedef struct stopwatch {
    double *done; /* (blocks) */
} stopwatch;

static int note_time(void *user, size_t slot, size_t block_index, const float *x, size_t tokens,
                     size_t channels)
{
    (void)slot, (void)x, (void)tokens, (void)channels;
    const stopwatch *w = user;
    w->done[block_index] = clock_seconds();
    return 0;
}

mohvit_status ablation_time(const ablation *a, double *own, double *passes, mohvit_error *err)
{
    size_t blocks = mohvit_routing(a->model)->count;
    mohvit_context *ctx = NULL;
    stopwatch w = {calloc(blocks, sizeof *w.done)};
    double begin = 0, end = 0;
    mohvit_status status = w.done ? mohvit_context_create(&ctx, a->model, 1, 1, err) : no_memory(err);
    if (!status)
        mohvit_set_trace(ctx, note_time, &w);
    for (int i = 0; !status && i < 2; i++) { // the first run meets cold memory
        begin = clock_seconds();
        status = mohvit_run(ctx, 1, err);
        end = clock_seconds();
    }
    *own = end - begin;
    *passes = 0;
    for (size_t i = 0; !status && i < a->count; i++) {
        size_t first = a->passes[i].block;
        *passes += end - (first ? w.done[first - 1] : begin);
    }
    mohvit_context_destroy(ctx);
    free(w.done);
    return status;
}

#include "tools/program/golden.h"

#include "base/memory.h"
#include "tools/program/complain.h"
#include "vit/api/internal.h"
#include "vit/network/synthetic.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_INPUT ((size_t)1 << 28) /* floats: 1 GiB */

// ---- Metadata --------------------------------------------------------------------------------------

/* A decimal string; *found false where there is no such key. */
static mohvit_status read_number(uint64_t *out, bool *found, const golden *g, const char *key,
                                 mohvit_error *err)
{
    const char *text = checkpoint_metadata(g->cp, key);
    char *end;
    *found = text != NULL;
    if (!text)
        return MOHVIT_OK;
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (isdigit((unsigned char)*text) && !*end && !errno)
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: metadata \"%s\" is \"%s\"; expected a whole number",
                     checkpoint_path(g->cp), key, text);
}

static mohvit_status read_metadata(golden *g, const config *c, mohvit_error *err)
{
    const char *path = checkpoint_path(g->cp), *json = checkpoint_metadata(g->cp, "config");
    mohvit_status status = MOHVIT_OK;
    g->has_config = c || json;
    if (c)
        g->config = *c;
    else if (json)
        status = config_from_json(&g->config, json, strlen(json), path, err);
    if (!status)
        status = read_number(&g->seed, &g->has_seed, g, "seed", err);
    uint64_t batch = 0;
    bool has_batch = false;
    if (!status)
        status = read_number(&batch, &has_batch, g, "batch", err);
    const tensor_info *logits = checkpoint_find(g->cp, "logits");
    if (!has_batch && logits && logits->rank)
        batch = logits->shape[0];
    if (!status && (!batch || batch > CONTEXT_MAX_BATCH))
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: a batch of %llu; expected 1 to %d", path,
                         (unsigned long long)batch, CONTEXT_MAX_BATCH);
    g->batch = (size_t)batch;
    return status;
}

// ---- Expected values -------------------------------------------------------------------------------

/* block{s}.{b} */
static bool is_block(const char *name)
{
    size_t s, b;
    int length = 0;
    return sscanf(name, "block%9zu.%9zu%n", &s, &b, &length) == 2 && !name[length];
}

static mohvit_status read_values(comparison *c, checkpoint *cp, const tensor_info *t, mohvit_error *err)
{
    c->expected = or_die(memory_alloc(t->elements, sizeof *c->expected));
    if (t->dtype != DTYPE_I32)
        return checkpoint_read_f32(cp, t, c->expected, err);
    int32_t *counts = or_die(memory_alloc(t->elements, sizeof *counts));
    mohvit_status status = checkpoint_read_raw(cp, t, counts, err);
    for (size_t i = 0; !status && i < t->elements; i++)
        c->expected[i] = (float)counts[i]; // exact: no model has 2^24 tokens
    free(counts);
    return status;
}

static mohvit_status add_comparison(golden *g, const tensor_info *t, mohvit_error *err)
{
    comparison *c = &g->comparisons[g->count];
    if (t->rank < 1 || t->rank > 3 || strlen(t->name) >= sizeof c->name)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: %s: of rank %zu; expected 2 or 3",
                         checkpoint_path(g->cp), t->name, t->rank);
    g->count++;
    *c = (comparison){.rank = t->rank, .elements = t->elements, .counts = !strcmp(t->name, "head_tokens")};
    memcpy(c->name, t->name, strlen(t->name) + 1);
    memcpy(c->shape, t->shape, t->rank * sizeof *t->shape);
    return read_values(c, g->cp, t, err);
}

static bool is_compared(const char *name)
{
    return !strcmp(name, "logits") || !strcmp(name, "head_tokens") || !strcmp(name, "head_gate_mean") ||
           is_block(name);
}

static mohvit_status read_expected(golden *g, const warning_sink *warn, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    size_t tensors = checkpoint_count(g->cp);
    g->comparisons = or_die(calloc(tensors + 1, sizeof *g->comparisons));
    for (size_t i = 0; !status && i < tensors; i++) {
        const tensor_info *t = checkpoint_tensor(g->cp, i);
        if (!strcmp(t->name, "input"))
            g->input = t;
        else if (is_compared(t->name))
            status = add_comparison(g, t, err);
    }
    if (!status && !g->count)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: nothing to compare; expected logits, head_tokens, head_gate_mean or block1.0",
                         checkpoint_path(g->cp));
    for (size_t i = 0; !status && i < tensors; i++) {
        const tensor_info *t = checkpoint_tensor(g->cp, i);
        if (t != g->input && !is_compared(t->name))
            warning_send(warn, "%s: tensor %s is not compared", checkpoint_path(g->cp), t->name);
    }
    return status;
}

mohvit_status golden_open(golden *g, const char *path, const config *c, const warning_sink *warn,
                          mohvit_error *err)
{
    *g = (golden){0};
    mohvit_status status = checkpoint_open(&g->cp, path, NULL, warn, err);
    if (!status)
        status = read_expected(g, warn, err);
    return status ? status : read_metadata(g, c, err);
}

void golden_close(golden *g)
{
    for (size_t i = 0; i < g->count; i++)
        free(g->comparisons[i].expected);
    free(g->comparisons);
    free(g->pixels);
    checkpoint_close(g->cp);
    *g = (golden){0};
}

// ---- Shapes ----------------------------------------------------------------------------------------

/* The shape of a compared tensor; false where the config has no such block. */
static bool expected_shape(size_t shape[3], size_t *rank, const golden *g, const char *name)
{
    const config *c = &g->config;
    size_t s, b;
    shape[0] = g->batch;
    *rank = 3;
    if (sscanf(name, "block%9zu.%9zu", &s, &b) == 2) {
        if (!s || s > STAGES || b >= c->depths[s - 1])
            return false;
        shape[1] = config_side(c, s - 1) * config_side(c, s - 1);
        shape[2] = c->embed_dims[s - 1];
    } else if (!strcmp(name, "logits")) {
        *rank = 2;
        shape[1] = c->num_classes;
    } else {
        shape[1] = config_blocks(c);
        shape[2] = config_max_heads(c);
    }
    return true;
}

static mohvit_status check_shape(const golden *g, const comparison *c, mohvit_error *err)
{
    size_t shape[3], rank;
    char found[96], expected[96];
    const char *path = checkpoint_path(g->cp);
    if (!expected_shape(shape, &rank, g, c->name))
        return error_set(err, MOHVIT_ERROR_MISMATCH, "%s: %s: the config has no such block", path, c->name);
    if (rank == c->rank && !memcmp(shape, c->shape, rank * sizeof *shape))
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_MISMATCH, "%s: %s: shape %s; the config gives %s", path, c->name,
                     tensor_shape_text(found, sizeof found, c->rank, c->shape),
                     tensor_shape_text(expected, sizeof expected, rank, shape));
}

static mohvit_status check_input(const golden *g, mohvit_error *err)
{
    const size_t S = g->config.img_size, shape[4] = {g->batch, 3, S, S};
    char found[96], expected[96];
    if (!g->input && !g->has_seed)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: has neither a tensor \"input\" nor a seed to make one", checkpoint_path(g->cp));
    if (!g->input || (g->input->rank == 4 && !memcmp(g->input->shape, shape, sizeof shape)))
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_MISMATCH, "%s: input: shape %s; the config gives %s",
                     checkpoint_path(g->cp),
                     tensor_shape_text(found, sizeof found, g->input->rank, g->input->shape),
                     tensor_shape_text(expected, sizeof expected, 4, shape));
}

mohvit_status golden_check_shapes(const golden *g, mohvit_error *err)
{
    mohvit_status status = check_input(g, err);
    for (size_t i = 0; !status && i < g->count; i++)
        status = check_shape(g, &g->comparisons[i], err);
    return status;
}

mohvit_status golden_load_input(golden *g, mohvit_error *err)
{
    size_t S = g->config.img_size, elements = g->batch * 3 * S * S;
    if (elements > MAX_INPUT)
        return error_set(err, MOHVIT_ERROR_LIMIT,
                         "%s: a batch of %zu images of %zu pixels a side is too much", checkpoint_path(g->cp),
                         g->batch, S);
    g->pixels = or_die(memory_alloc(elements, sizeof *g->pixels));
    if (g->input)
        return checkpoint_read_f32(g->cp, g->input, g->pixels, err);
    synthetic_input(g->pixels, g->batch, S, g->seed);
    return MOHVIT_OK;
}

const float *golden_input(const golden *g, size_t index)
{
    return g->pixels + index * 3 * g->config.img_size * g->config.img_size;
}

// ---- Comparing -------------------------------------------------------------------------------------

comparison *golden_find(const golden *g, const char *name)
{
    for (size_t i = 0; i < g->count; i++)
        if (!strcmp(g->comparisons[i].name, name))
            return &g->comparisons[i];
    return NULL;
}

void comparison_take(comparison *c, size_t at, const float *got, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)got[i] - (double)c->expected[at + i]);
        if (isnan(difference))
            difference = INFINITY;
        if (difference > c->worst) {
            c->worst = difference;
            c->worst_at = at + i;
            c->worst_got = got[i];
        }
    }
}

void comparison_where(const comparison *c, size_t where[3])
{
    size_t rest = c->worst_at;
    for (size_t k = c->rank; k--;) {
        where[k] = c->shape[k] ? rest % c->shape[k] : 0;
        rest = c->shape[k] ? rest / c->shape[k] : 0;
    }
}

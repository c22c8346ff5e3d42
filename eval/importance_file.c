#include "eval/importance_file.h"

#include "base/file_io.h"
#include "base/json_bounded.h"
#include "base/memory.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES  ((size_t)64 << 20)
#define MAX_ROWS   ((size_t)1 << 16) /* a B model has 588 heads */
#define MAX_VALUES (32 * MAX_ROWS)
#define MAX_LOSS   1e6 /* beyond that figures have no scale */

typedef struct reading {
    importance_table *out;
    const head_load *load;
    const char *path, *load_name;
    mohvit_error *err;
} reading;

// ---- Numbers ---------------------------------------------------------------------------------------

/* null is NaN. */
static bool take_number(double *out, const json_t *row, const char *what, const char *which, double low,
                        double high)
{
    char key[32];
    snprintf(key, sizeof key, "%s_%s", what, which);
    const json_t *value = json_object_get(row, key);
    *out = json_is_number(value) ? json_number_value(value) : NAN;
    return json_is_null(value) || (*out >= low && *out <= high);
}

static bool take_change(mean_change *c, const json_t *row, const char *what, double most)
{
    return take_number(&c->mean, row, what, "change", -most, most) &&
           take_number(&c->low, row, what, "low", -2 * most, c->mean) &&
           take_number(&c->high, row, what, "high", c->mean, 2 * most) &&
           take_number(&c->p, row, what, "p", 0, 1) && take_number(&c->p_holm, row, what, "p_holm", 0, 1);
}

// ---- Rows ------------------------------------------------------------------------------------------

static const routing_block *block_of(const routing_layout *l, json_int_t stage, json_int_t block)
{
    for (size_t i = 0; i < l->count; i++)
        if ((json_int_t)l->blocks[i].stage == stage && (json_int_t)l->blocks[i].block == block)
            return &l->blocks[i];
    return NULL;
}

static mohvit_status take_row(const reading *r, json_t *row, size_t number)
{
    json_int_t stage = 0, block = 0, head = 0;
    const char *kind = "", *heads = "";
    if (json_is_null(json_object_get(row, "head"))) // several heads together
        return MOHVIT_OK;
    if (json_unpack(row, "{s:I, s:I, s:I, s:s, s:s}", "stage", &stage, "block", &block, "head", &head, "kind",
                    &kind, "heads", &heads))
        return error_set(r->err, MOHVIT_ERROR_FORMAT,
                         "%s: row %zu of \"ablated\": expected heads, stage, block, head and kind", r->path,
                         number);
    const routing_block *b = block_of(&r->load->routing, stage, block);
    bool there = b && head >= 0 && head < (json_int_t)b->heads;
    if (!there || strcmp(kind, (size_t)head < b->shared ? "shared" : "routed") != 0)
        return error_set(r->err, MOHVIT_ERROR_MISMATCH,
                         "%s: row %zu of \"ablated\" is %s head %lld of block %lld.%lld; expected a head of "
                         "%s, whose model has no such",
                         r->path, number, kind, (long long)head, (long long)stage, (long long)block,
                         r->load_name);
    char name[ROUTING_HEAD_NAME], text[sizeof b->name + sizeof name];
    routing_head_name(name, b, (size_t)head);
    snprintf(text, sizeof text, "%s:%s", b->name, name);
    if (strcmp(heads, text) != 0)
        return error_set(
            r->err, MOHVIT_ERROR_FORMAT,
            "%s: row %zu of \"ablated\": heads is \"%s\", expected \"%s\", which is head %lld of "
            "block %s",
            r->path, number, heads, text, (long long)head, b->name);
    importance *to = &r->out->heads[b->index * r->out->max_heads + (size_t)head];
    if (!isnan(to->loss.mean))
        return error_set(r->err, MOHVIT_ERROR_FORMAT,
                         "%s: row %zu of \"ablated\" is head %lld of block %s again; expected each head once",
                         r->path, number, (long long)head, b->name);
    if (take_change(&to->loss, row, "loss", MAX_LOSS) && take_change(&to->top1, row, "top1", 100))
        return MOHVIT_OK;
    return error_set(r->err, MOHVIT_ERROR_FORMAT,
                     "%s: row %zu of \"ablated\": expected changes of loss and top1, each within its "
                     "interval, and p values between 0 and 1",
                     r->path, number);
}

// ---- The file --------------------------------------------------------------------------------------

static bool is_count(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= 0;
}

static mohvit_status read_rows(const reading *r, const json_t *object)
{
    const json_t *rows = json_object_get(object, "ablated"), *images = json_object_get(object, "images"),
                 *failed = json_object_get(object, "failed"), *complete = json_object_get(object, "complete"),
                 *data = json_object_get(object, "data"), *provenance = json_object_get(object, "provenance");
    const char *missing = !json_is_array(rows)          ? "ablated"
                          : !is_count(images)           ? "images"
                          : !is_count(failed)           ? "failed"
                          : !json_is_boolean(complete)  ? "complete"
                          : !json_is_object(data)       ? "data"
                          : !json_is_object(provenance) ? "provenance"
                                                        : NULL;
    if (missing)
        return error_set(r->err, MOHVIT_ERROR_FORMAT,
                         "%s: has no \"%s\"; expected what \"headload ablate --format json\" prints", r->path,
                         missing);
    if (!json_is_true(complete))
        return error_set(r->err, MOHVIT_ERROR_FORMAT,
                         "%s: is of a run that was stopped, of %lld images; expected a whole one", r->path,
                         (long long)json_integer_value(images));
    // Another model may still have heads of the same names.
    mohvit_status status = head_load_check_model(r->load, provenance, r->load_name, r->path, r->err);
    if (!status)
        status = head_load_check_counting(r->load, provenance, r->load_name, r->path, r->err);
    if (!status)
        status = head_load_check_data(r->load, data, r->load_name, r->path, r->err);
    r->out->images = (uint64_t)json_integer_value(images);
    r->out->failed = (uint64_t)json_integer_value(failed);
    r->out->renormalise = json_is_true(json_object_get(object, "renormalise"));
    for (size_t i = 0; !status && i < json_array_size(rows); i++)
        status = take_row(r, json_array_get(rows, i), i + 1);
    return status;
}

static mohvit_status no_memory(const reading *r)
{
    return error_set(r->err, MOHVIT_ERROR_MEMORY, "%s: no memory for its heads", r->path);
}

static mohvit_status read_text(const reading *r, const char *text, size_t size)
{
    json_error_t why;
    errno = 0;
    json_t *object = json_load_bounded(text, size, 2 * MAX_ROWS, MAX_VALUES, &why);
    if (!object)
        return error_library(r->err, MOHVIT_ERROR_FORMAT, why.text,
                             "%s: line %d: expected what \"headload ablate --format json\" prints", r->path,
                             why.line);
    mohvit_status status = read_rows(r, object);
    json_decref(object);
    return status;
}

mohvit_status importance_read(importance_table *out, const char *path, const head_load *l,
                              const char *load_name, mohvit_error *err)
{
    importance_table t = {.max_heads = l->routing.max_heads};
    const reading r = {.out = &t, .load = l, .path = path, .load_name = load_name, .err = err};
    size_t heads = l->routing.count * t.max_heads, size;
    char *text;
    mohvit_status status = file_load_path(&text, &size, path, MAX_BYTES, err);
    if (status)
        return status;
    t.heads = memory_alloc(heads, sizeof *t.heads);
    for (size_t i = 0; t.heads && i < heads; i++)
        t.heads[i].loss.mean = NAN;
    status = t.heads ? read_text(&r, text, size) : no_memory(&r);
    free(text);
    if (status)
        importance_table_free(&t);
    else
        *out = t;
    return status;
}

void importance_table_free(importance_table *t)
{
    free(t->heads);
    *t = (importance_table){0};
}

const importance *importance_of(const importance_table *t, const routing_block *b, size_t head)
{
    const importance *i = t ? &t->heads[b->index * t->max_heads + head] : NULL;
    return i && !isnan(i->loss.mean) ? i : NULL;
}

bool importance_of_any(const importance_table *t, const routing_block *b)
{
    for (size_t h = 0; h < b->heads; h++)
        if (importance_of(t, b, h))
            return true;
    return false;
}

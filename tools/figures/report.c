/* Numbers are base64 of little-endian arrays, a fifth of what they would take as text; all else is one JSON
 * object. */
#include "tools/figures/report.h"

#include "base/memory.h"
#include "vit/headload/head_load_statistics.h"
#include "vit/headload/interval.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Of class, block and head: a page of 400 MB, which browsers still open. */
#define MAX_CELLS ((size_t)24 << 20)

extern const char report_html[] __attribute__((visibility("hidden")));
extern const char report_css[] __attribute__((visibility("hidden")));
extern const char report_js[] __attribute__((visibility("hidden")));

// ---- Text ------------------------------------------------------------------------------------------

static void text_put(bytes *t, const char *from)
{
    bytes_put(t, from, strlen(from));
}

/* As HTML text or in a quoted attribute. */
static void text_escaped(bytes *t, const char *from)
{
    static const char *const entities[UCHAR_MAX + 1] = {
        ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;"};
    for (; *from; from++) {
        const char *entity = entities[(unsigned char)*from];
        bytes_put(t, entity ? entity : from, entity ? strlen(entity) : 1);
    }
}

/* JSON in a script element, which ends at "</script" wherever that stands: no "<" is left in it, since \u003c
 * is the same to JSON. */
static void text_json(bytes *t, const char *id, json_t *value)
{
    char *json = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(9)); // NULL of NULL
    t->failed = t->failed || !json;
    text_put(t, "<script type=\"application/json\" id=\"");
    text_put(t, id);
    text_put(t, "\">");
    for (const char *p = json ? json : ""; *p; p++) {
        if (*p == '<')
            text_put(t, "\\u003c");
        else
            bytes_put(t, p, 1);
    }
    text_put(t, "</script>\n");
    free(json);
    json_decref(value);
}

static void text_base64(bytes *t, const char *id, const void *data, size_t size)
{
    const unsigned char *from = data;
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    text_put(t, "<script type=\"text/plain\" id=\"");
    text_put(t, id);
    text_put(t, "\">");
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        unsigned group = (unsigned)from[i] << 16 | (left > 1 ? (unsigned)from[i + 1] << 8 : 0) |
                         (left > 2 ? from[i + 2] : 0);
        for (unsigned k = 0; k < 4; k++)
            bytes_put_u8(t, (uint8_t)digits[k <= left ? group >> (18 - 6 * k) & 63 : 64]);
    }
    text_put(t, "</script>\n");
}

// ---- Numbers ---------------------------------------------------------------------------------------

static size_t heads_of_all_blocks(const head_load *l)
{
    size_t heads = 0;
    for (size_t b = 0; b < l->routing.count; b++)
        heads += l->routing.blocks[b].heads;
    return heads;
}

/* A number of every class, block and head that there is, as digits of 7 bits, the low ones first, of which
 * all but the last have the eighth bit: half of what doubles would take. */
static void add_numbers(bytes *t, const char *id, const head_load *l, const int64_t *numbers)
{
    bytes digits = {0};
    for (size_t c = 0; c < l->names.count; c++) {
        for (size_t b = 0; b < l->routing.count; b++) {
            for (size_t h = 0; h < l->routing.blocks[b].heads; h++) {
                uint64_t left = (uint64_t)numbers[head_load_at(l, c, b, h)];
                for (; left >= 0x80; left >>= 7)
                    bytes_put_u8(&digits, (uint8_t)(left | 0x80));
                bytes_put_u8(&digits, (uint8_t)left);
            }
        }
    }
    t->failed = t->failed || digits.failed;
    text_base64(t, id, digits.data, digits.size);
    bytes_free(&digits);
}

/* The squares, and Student's t of each class, which the page does not compute. */
static void add_squares(bytes *t, const head_load *l)
{
    double *quantiles = memory_alloc(l->names.count, sizeof *quantiles);
    t->failed = t->failed || !quantiles;
    for (size_t c = 0; quantiles && c < l->names.count; c++)
        quantiles[c] = interval_t(l->images[c]);
    text_base64(t, "quantiles", quantiles, quantiles ? l->names.count * sizeof *quantiles : 0);
    free(quantiles);
    if (!l->has_squares)
        return;
    add_numbers(t, "active-squares", l, l->active_squares);
    add_numbers(t, "gate-squares", l, l->gate_squares);
}

/* Of each block that routes: the classes by similarity. */
static mohvit_status add_orders(bytes *t, const head_load *l, mohvit_error *err)
{
    size_t classes = l->names.count, at = 0;
    size_t *all = memory_alloc(classes, sizeof *all), *order = memory_alloc(classes, sizeof *order);
    uint32_t *numbers = memory_alloc(classes * l->routing.count, sizeof *numbers);
    mohvit_status status = MOHVIT_OK;
    t->failed = t->failed || !all || !order || !numbers;
    for (size_t c = 0; !t->failed && c < classes; c++)
        all[c] = c;
    for (size_t b = 0; !t->failed && !status && b < l->routing.count; b++) {
        if (!routing_routes(&l->routing.blocks[b]))
            continue;
        status = head_load_order(order, l, b, all, classes, err);
        for (size_t c = 0; !status && c < classes; c++)
            numbers[at++] = (uint32_t)order[c];
    }
    text_base64(t, "orders", numbers, at * sizeof *numbers);
    free(all);
    free(order);
    free(numbers);
    return status;
}

// ---- JSON ------------------------------------------------------------------------------------------

/* One more element, or member. A value, or what it goes to, may be NULL for want of memory, which t notes. */
static void add(bytes *t, json_t *array, json_t *value)
{
    t->failed = json_array_append_new(array, value) || t->failed;
}

static void put(bytes *t, json_t *object, const char *key, json_t *value)
{
    t->failed = json_object_set_new(object, key, value) || t->failed;
}

static mohvit_status add_block(bytes *t, json_t *blocks, const head_load *l, size_t index,
                               const class_tests *tests, mohvit_error *err)
{
    block_statistics s;
    mohvit_status status = block_statistics_compute(&s, l, index, tests, err);
    if (status)
        return status;
    json_t *object = block_statistics_to_json(&s, &l->names);
    put(t, object, "tokens", json_integer((json_int_t)s.block->tokens));
    put(t, object, "balanced", json_real(routing_balanced(s.block)));
    add(t, blocks, object);
    block_statistics_free(&s);
    return MOHVIT_OK;
}

static mohvit_status add_description(bytes *t, const head_load *l, const char *title, mohvit_error *err)
{
    json_t *names = json_array(), *ids = json_array(), *images = json_array(), *blocks = json_array();
    mohvit_status status = MOHVIT_OK;
    for (size_t c = 0; c < l->names.count; c++) {
        add(t, names, json_string(l->names.name[c]));
        add(t, ids, l->names.id[c] ? json_string(l->names.id[c]) : json_null());
        add(t, images, json_integer(l->images[c]));
    }
    class_tests tests;
    status = class_tests_run(&tests, l, err);
    for (size_t b = 0; !status && b < l->routing.count; b++)
        status = add_block(t, blocks, l, b, &tests, err);
    class_tests_free(&tests);
    text_json(t, "data",
              json_pack("{s:s, s:s, s:f, s:o, s:o, s:o, s:o, s:b, s:O, s:O}", "file", title, "model",
                        l->routing.model, "activePercent", routing_layout_active_percent(&l->routing),
                        "names", names, "ids", ids, "images", images, "blocks", blocks, "squares",
                        l->has_squares, "sources", l->sources, "provenance", l->provenance));
    return status;
}

// ---- The page --------------------------------------------------------------------------------------

static mohvit_status add_data(bytes *t, const head_load *l, const char *title, mohvit_error *err)
{
    mohvit_status status = add_description(t, l, title, err);
    add_numbers(t, "active", l, l->active);
    add_numbers(t, "gates", l, l->gate);
    add_squares(t, l);
    return status ? status : add_orders(t, l, err);
}

/* The template with its {{NAMES}} filled in. */
static mohvit_status fill_in(bytes *t, const head_load *l, const char *title, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    const char *from = report_html;
    for (const char *at; !status && (at = strstr(from, "{{")); from = strstr(at, "}}") + 2) {
        bytes_put(t, from, (size_t)(at - from));
        if (!strncmp(at, "{{TITLE}}", 9))
            text_escaped(t, title);
        else if (!strncmp(at, "{{STYLE}}", 9))
            text_put(t, report_css);
        else if (!strncmp(at, "{{SCRIPT}}", 10))
            text_put(t, report_js);
        else
            status = add_data(t, l, title, err);
    }
    text_put(t, from);
    return status;
}

mohvit_status report_build(bytes *page, const head_load *l, const char *title, const char *name,
                           mohvit_error *err)
{
    size_t heads = heads_of_all_blocks(l), cells = l->names.count * heads;
    if (cells > MAX_CELLS)
        return error_set(err, MOHVIT_ERROR_LIMIT,
                         "%s: %zu classes with %zu heads are too many for a page: %zu, at most %zu", name,
                         l->names.count, heads, cells, MAX_CELLS);
    *page = (bytes){0};
    mohvit_status status = fill_in(page, l, title, err);
    if (!status && page->failed)
        status = error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for the page", name);
    if (status)
        bytes_free(page);
    return status;
}

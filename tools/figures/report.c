/* What the page shows is packed: deflated, then base64. One packet holds what has names, as JSON; one for
 * each block holds its numbers, and is opened when the block is first shown. */
#include "tools/figures/report.h"

#include "base/memory.h"
#include "tools/figures/html.h"
#include "vit/headload/head_load_statistics.h"
#include "vit/headload/interval.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Of class, block and head: a page of some 400 MB, which browsers still open. */
#define MAX_CELLS ((size_t)24 << 20)

extern const char report_html[] __attribute__((visibility("hidden")));
extern const char report_css[] __attribute__((visibility("hidden")));
extern const char report_numbers_js[] __attribute__((visibility("hidden")));
extern const char report_pictures_js[] __attribute__((visibility("hidden")));
extern const char report_js[] __attribute__((visibility("hidden")));

// ---- Packets ---------------------------------------------------------------------------------------

/* An element of the page. */
static void put_packet(bytes *t, const char *id, const void *data, size_t size)
{
    uLongf packed_size = compressBound((uLong)size);
    unsigned char *packed = memory_alloc(packed_size, 1);
    t->failed = t->failed || !packed || compress(packed, &packed_size, data, (uLong)size) != Z_OK;
    html_put(t, "<script type=\"text/plain\" id=\"");
    html_put(t, id);
    html_put(t, "\">");
    if (!t->failed)
        html_base64(t, packed, packed_size);
    html_put(t, "</script>\n");
    free(packed);
}

// ---- Numbers of a block ----------------------------------------------------------------------------

/* Whole numbers: the lowest, if it is below 0; how many bytes each of the others has above it; the lowest
 * bytes of all, then the next ones. The high bytes are alike, and deflate to little. */
static void put_numbers(bytes *to, const int64_t *numbers, size_t count)
{
    int64_t lowest = 0;
    for (size_t i = 0; i < count; i++)
        lowest = numbers[i] < lowest ? numbers[i] : lowest;
    uint64_t bits = 0;
    for (size_t i = 0; i < count; i++)
        bits |= (uint64_t)numbers[i] - (uint64_t)lowest;
    unsigned width = 0;
    for (; bits; bits >>= 8)
        width++;
    bytes_put_u64(to, (uint64_t)lowest);
    bytes_put_u8(to, (uint8_t)width);
    for (unsigned k = 0; k < width; k++)
        for (size_t i = 0; i < count; i++)
            bytes_put_u8(to, (uint8_t)(((uint64_t)numbers[i] - (uint64_t)lowest) >> 8 * k));
}

/* What squares of n whole numbers with this sum add up to, about, and at least. The page computes the same,
 * in doubles: 0 where they would round. */
static int64_t least_squares(int64_t sum, int64_t n)
{
    const int64_t most = ((int64_t)1 << 53) - 1;
    if (n < 1 || sum > most)
        return 0;
    int64_t each = sum / n, rest = sum % n;
    return each && sum + rest > most / each ? 0 : each * (sum + rest);
}

typedef int64_t cell_function(const head_load *l, size_t class_index, size_t block, size_t head);

static int64_t cell_active(const head_load *l, size_t c, size_t b, size_t h)
{
    return l->active[head_load_at(l, c, b, h)];
}

static int64_t cell_gate(const head_load *l, size_t c, size_t b, size_t h)
{
    return l->gate[head_load_at(l, c, b, h)];
}

/* Squares are stored as what they are above the least, which takes fewer digits. */
static int64_t cell_active_squares(const head_load *l, size_t c, size_t b, size_t h)
{
    size_t at = head_load_at(l, c, b, h);
    return l->active_squares[at] - least_squares(l->active[at], l->images[c]);
}

static int64_t cell_gate_squares(const head_load *l, size_t c, size_t b, size_t h)
{
    size_t at = head_load_at(l, c, b, h);
    int64_t unit = (int64_t)l->routing.blocks[b].tokens << (HEAD_LOAD_GATE_BITS - HEAD_LOAD_MEAN_BITS);
    return l->gate_squares[at] - least_squares(l->gate[at] / unit, l->images[c]);
}

/* The classes that are shown by similarity, of a block that routes. scratch (classes) */
static mohvit_status put_order(bytes *to, const report *r, size_t block, int64_t *scratch, mohvit_error *err)
{
    size_t *order = memory_alloc(r->count, sizeof *order);
    mohvit_status status = MOHVIT_OK;
    to->failed = to->failed || !order;
    if (!to->failed)
        status = head_load_order(order, r->load, block, r->classes, r->count, err);
    for (size_t i = 0; !to->failed && !status && i < r->count; i++)
        scratch[i] = (int64_t)order[i];
    if (!to->failed && !status)
        put_numbers(to, scratch, r->count);
    free(order);
    return status;
}

static mohvit_status add_numbers(bytes *t, const report *r, size_t block, mohvit_error *err)
{
    const head_load *l = r->load;
    static cell_function *const cells[] = {cell_active, cell_gate, cell_active_squares, cell_gate_squares};
    const routing_block *b = &l->routing.blocks[block];
    size_t classes = l->names.count;
    bytes packet = {0};
    mohvit_status status = MOHVIT_OK;
    int64_t *numbers = memory_alloc(classes * b->heads, sizeof *numbers); // (heads, classes)
    for (size_t i = 0; numbers && i < (l->has_squares ? 4 : 2); i++) {
        for (size_t h = 0; h < b->heads; h++)
            for (size_t c = 0; c < classes; c++)
                numbers[h * classes + c] = cells[i](l, c, block, h);
        put_numbers(&packet, numbers, classes * b->heads);
    }
    if (numbers && routing_routes(b))
        status = put_order(&packet, r, block, numbers, err);
    t->failed = t->failed || !numbers || packet.failed;
    char id[sizeof "block-" + sizeof b->name];
    snprintf(id, sizeof id, "block-%s", b->name);
    put_packet(t, id, packet.data, packet.size);
    bytes_free(&packet);
    free(numbers);
    return status;
}

/* Student's t of each class, which the page does not compute. */
static void add_quantiles(bytes *t, const head_load *l)
{
    double *quantiles = memory_alloc(l->names.count, sizeof *quantiles);
    t->failed = t->failed || !quantiles;
    for (size_t c = 0; quantiles && c < l->names.count; c++)
        quantiles[c] = interval_t(l->images[c]);
    put_packet(t, "quantiles", quantiles, quantiles ? l->names.count * sizeof *quantiles : 0);
    free(quantiles);
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

static json_t *number_json(double value)
{
    return isnan(value) ? json_null() : json_real(value);
}

/* [change, low, high, p (Holm)] */
static json_t *change_json(const mean_change *c)
{
    return json_pack("[o, o, o, o]", number_json(c->mean), number_json(c->low), number_json(c->high),
                     number_json(c->p_holm));
}

/* Of each head; null where it was not ablated alone. */
static json_t *importance_json(bytes *t, const importance_table *table, const routing_block *b)
{
    json_t *heads = json_array();
    for (size_t h = 0; h < b->heads; h++) {
        const importance *i = importance_of(table, b, h);
        add(t, heads,
            i ? json_pack("{s:o, s:o}", "loss", change_json(&i->loss), "top1", change_json(&i->top1))
              : json_null());
    }
    return heads;
}

static mohvit_status add_block(bytes *t, json_t *blocks, const report *r, size_t index,
                               const class_tests *tests, mohvit_error *err)
{
    const head_load *l = r->load;
    block_statistics s;
    mohvit_status status = block_statistics_compute(&s, l, index, tests, err);
    if (status)
        return status;
    json_t *object = block_statistics_to_json(&s, &l->names);
    put(t, object, "tokens", json_integer((json_int_t)s.block->tokens));
    put(t, object, "balanced", json_real(routing_balanced(s.block)));
    if (r->ablated && importance_of_any(r->ablated, s.block))
        put(t, object, "importance", importance_json(t, r->ablated, s.block));
    add(t, blocks, object);
    block_statistics_free(&s);
    return MOHVIT_OK;
}

static mohvit_status add_description(bytes *t, const report *r, mohvit_error *err)
{
    const head_load *l = r->load;
    json_t *names = json_array(), *ids = json_array(), *images = json_array(), *shown = json_array(),
           *blocks = json_array();
    mohvit_status status = MOHVIT_OK;
    for (size_t c = 0; c < l->names.count; c++) {
        add(t, names, json_string(l->names.name[c]));
        add(t, ids, l->names.id[c] ? json_string(l->names.id[c]) : json_null());
        add(t, images, json_integer(l->images[c]));
    }
    for (size_t i = 0; i < r->count; i++)
        add(t, shown, json_integer((json_int_t)r->classes[i]));
    class_tests tests;
    status = class_tests_run(&tests, l, err);
    for (size_t b = 0; !status && b < l->routing.count; b++)
        status = add_block(t, blocks, r, b, &tests, err);
    class_tests_free(&tests);
    json_t *all =
        json_pack("{s:s, s:s, s:f, s:o, s:o, s:o, s:o, s:o, s:b, s:O, s:O}", "file", r->title, "model",
                  l->routing.model, "activePercent", routing_layout_active_percent(&l->routing), "names",
                  names, "ids", ids, "images", images, "shown", shown, "blocks", blocks, "squares",
                  l->has_squares, "sources", l->sources, "provenance", l->provenance);
    if (r->ablated)
        put(t, all, "ablated",
            json_pack("{s:I, s:b}", "images", (json_int_t)r->ablated->images, "renormalise",
                      r->ablated->renormalise));
    if (r->pictures)
        put(t, all, "pictures", json_string(r->pictures));
    char *json = json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(9)); // NULL of NULL
    t->failed = t->failed || !json;
    put_packet(t, "data", json, json ? strlen(json) : 0);
    free(json);
    json_decref(all);
    return status;
}

// ---- The page --------------------------------------------------------------------------------------

static mohvit_status add_data(bytes *t, const report *r, mohvit_error *err)
{
    mohvit_status status = add_description(t, r, err);
    add_quantiles(t, r->load);
    for (size_t b = 0; !status && b < r->load->routing.count; b++)
        status = add_numbers(t, r, b, err);
    return status;
}

/* The template with its {{NAMES}} filled in. */
static mohvit_status fill_in(bytes *t, const report *r, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    const char *from = report_html;
    for (const char *at; !status && (at = strstr(from, "{{")); from = strstr(at, "}}") + 2) {
        bytes_put(t, from, (size_t)(at - from));
        if (!strncmp(at, "{{TITLE}}", 9))
            html_text(t, r->title);
        else if (!strncmp(at, "{{STYLE}}", 9))
            html_put(t, report_css);
        else if (!strncmp(at, "{{SCRIPT}}", 10)) {
            html_put(t, report_numbers_js);
            html_put(t, report_pictures_js);
            html_put(t, report_js);
        } else
            status = add_data(t, r, err);
    }
    html_put(t, from);
    return status;
}

static size_t heads_of_all_blocks(const head_load *l)
{
    size_t heads = 0;
    for (size_t b = 0; b < l->routing.count; b++)
        heads += l->routing.blocks[b].heads;
    return heads;
}

mohvit_status report_build(bytes *page, const report *r, const char *name, mohvit_error *err)
{
    const head_load *l = r->load;
    size_t heads = heads_of_all_blocks(l), cells = l->names.count * heads;
    if (cells > MAX_CELLS)
        return error_set(err, MOHVIT_ERROR_LIMIT,
                         "%s: %zu classes with %zu heads are too many for a page: %zu, at most %zu", name,
                         l->names.count, heads, cells, MAX_CELLS);
    *page = (bytes){0};
    mohvit_status status = fill_in(page, r, err);
    if (!status && page->failed)
        status = error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for the page", name);
    if (status)
        bytes_free(page);
    return status;
}

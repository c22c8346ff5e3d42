/* cmd_headload_report.c - a page to explore a head load: one file that needs nothing else.
 *
 * The page is tools/figures/report/report.html with style, script and data in it. Numbers are base64 of
 * little-endian arrays, a fifth of what they would take as text; all else is one JSON object. */
#include "base/bytes.h"
#include "base/memory.h"
#include "base/replace_file.h"
#include "tools/program/cmd_headload.h"
#include "tools/program/complain.h"
#include "tools/program/json_build.h"
#include "tools/program/or_die.h"
#include "tools/program/output.h"
#include "tools/program/outputs_check.h"
#include "vit/headload/head_load_statistics.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "FILE -o PAGE.html\n"
    "Makes a page to explore a head load in a browser: summary, heatmap of every block, classes side\n"
    "by side, statistics, CSV. One file; neither making nor opening it uses the network.\n\n"
    "  -o, --output FILE  the page to write\n"
    "  -h, --help         show this\n";

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
    char *json = or_die(json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(9)));
    text_put(t, "<script type=\"application/json\" id=\"");
    text_put(t, id);
    text_put(t, "\">");
    for (const char *p = json; *p; p++) {
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

/* Counts past 32 bits travel as doubles, exactly up to 2^53. */
static bool counts_are_wide(const head_load *l)
{
    for (size_t i = 0; i < l->names.count * l->routing.count * l->routing.max_heads; i++)
        if (l->active[i] > UINT32_MAX)
            return true;
    return false;
}

/* `active` and `gates` of every class, block and head that there is. */
static void add_counts(bytes *t, const head_load *l, bool wide)
{
    size_t cells = l->names.count * heads_of_all_blocks(l), size = wide ? 8 : 4;
    double *gates = or_die(memory_alloc(cells, sizeof *gates));
    void *active = or_die(memory_alloc(cells, size));
    size_t at = 0;
    for (size_t c = 0; c < l->names.count; c++) {
        for (size_t b = 0; b < l->routing.count; b++) {
            size_t heads = l->routing.blocks[b].heads;
            for (size_t h = 0; h < heads; h++, at++) {
                int64_t count = l->active[head_load_at(l, c, b, h)];
                if (wide)
                    ((double *)active)[at] = (double)count;
                else
                    ((uint32_t *)active)[at] = (uint32_t)count;
                gates[at] = head_load_gate_sum(l, c, b, h);
            }
        }
    }
    text_base64(t, "active", active, cells * size);
    text_base64(t, "gates", gates, cells * sizeof *gates);
    free(active);
    free(gates);
}

/* Of each block that routes: the classes by similarity. */
static mohvit_status add_orders(bytes *t, const head_load *l, mohvit_error *err)
{
    size_t classes = l->names.count, at = 0;
    size_t *all = or_die(memory_alloc(classes, sizeof *all)),
           *order = or_die(memory_alloc(classes, sizeof *order));
    uint32_t *numbers = or_die(memory_alloc(classes * l->routing.count, sizeof *numbers));
    mohvit_status status = MOHVIT_OK;
    for (size_t c = 0; c < classes; c++)
        all[c] = c;
    for (size_t b = 0; !status && b < l->routing.count; b++) {
        if (!l->routing.blocks[b].routed)
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

static json_t *pair_json(const class_pair *p)
{
    return json_pack("[I, I, f]", (json_int_t)p->a, (json_int_t)p->b, p->divergence);
}

static json_t *specific_json(const block_statistics *s)
{
    enum { SHOWN = 12 };
    json_t *array = or_die(json_array());
    for (size_t i = 0; i < s->specific_count && i < SHOWN; i++) {
        const specific_head *h = &s->specific[i];
        json_add(array, json_pack("{s:I, s:I, s:f, s:f, s:f}", "head", (json_int_t)h->head, "class",
                                  (json_int_t)h->class_index, "information", h->information, "load", h->load,
                                  "mean", h->mean));
    }
    return array;
}

/* Beside each class the one that routes most like it (−1: none), and how far it is. */
static void put_like(json_t *object, const head_load *l, const block_statistics *s)
{
    json_t *like = or_die(json_array()), *divergence = or_die(json_array());
    for (size_t c = 0; c < l->names.count; c++) {
        bool known = isfinite(s->like_divergence[c]);
        json_add(like, json_integer(known ? (json_int_t)s->like[c] : -1));
        json_add(divergence, json_real(known ? round(s->like_divergence[c] * 1e6) / 1e6 : 0));
    }
    json_put(object, "like", like);
    json_put(object, "likeDivergence", divergence);
    json_put(object, "nearest", pair_json(&s->nearest));
    json_put(object, "farthest", pair_json(&s->farthest));
}

static json_t *statistics_json(const head_load *l, const block_statistics *s)
{
    json_t *object =
        or_die(json_pack("{s:f, s:f, s:f, s:f, s:f, s:o, s:o, s:o}", "min", s->min, "max", s->max, "cv",
                         s->cv, "entropy", s->entropy, "divergence", s->divergence, "pair",
                         s->compared ? json_real(s->mean_divergence) : json_null(), "dead",
                         json_indices(s->dead, s->dead_count), "specific", specific_json(s)));
    if (s->compared)
        put_like(object, l, s);
    return object;
}

static mohvit_status add_block(json_t *blocks, const head_load *l, size_t index, mohvit_error *err)
{
    block_statistics s;
    mohvit_status status = block_statistics_compute(&s, l, index, err);
    if (status)
        return status;
    json_t *object = json_block(s.block);
    json_put(object, "tokens", json_integer((json_int_t)s.block->tokens));
    json_put(object, "balanced", json_real(routing_balanced(s.block)));
    if (s.block->routed && s.classes)
        json_put(object, "stats", statistics_json(l, &s));
    json_add(blocks, object);
    block_statistics_free(&s);
    return MOHVIT_OK;
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static mohvit_status add_description(bytes *t, const head_load *l, const char *path, bool wide,
                                     mohvit_error *err)
{
    json_t *names = or_die(json_array()), *ids = or_die(json_array());
    json_t *images = or_die(json_array()), *blocks = or_die(json_array());
    mohvit_status status = MOHVIT_OK;
    for (size_t c = 0; c < l->names.count; c++) {
        json_add(names, json_text(l->names.name[c]));
        json_add(ids, json_text(l->names.id[c]));
        json_add(images, json_integer(l->images[c]));
    }
    for (size_t b = 0; !status && b < l->routing.count; b++)
        status = add_block(blocks, l, b, err);
    text_json(t, "data",
              or_die(json_pack("{s:o, s:o, s:f, s:o, s:o, s:o, s:o, s:b, s:O, s:O}", "file",
                               json_text(file_name(path)), "model", json_text(l->routing.model),
                               "activePercent", routing_layout_active_percent(&l->routing), "names", names,
                               "ids", ids, "images", images, "blocks", blocks, "wide", wide, "sources",
                               l->sources, "provenance", l->provenance)));
    return status;
}

// ---- The page --------------------------------------------------------------------------------------

static mohvit_status add_data(bytes *t, const head_load *l, const char *path, mohvit_error *err)
{
    bool wide = counts_are_wide(l);
    mohvit_status status = add_description(t, l, path, wide, err);
    add_counts(t, l, wide);
    return status ? status : add_orders(t, l, err);
}

/* The template with its {{NAMES}} filled in. */
static mohvit_status build_page(bytes *t, const head_load *l, const char *path, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    const char *from = report_html;
    for (const char *at; !status && (at = strstr(from, "{{")); from = strstr(at, "}}") + 2) {
        bytes_put(t, from, (size_t)(at - from));
        if (!strncmp(at, "{{TITLE}}", 9))
            text_escaped(t, file_name(path));
        else if (!strncmp(at, "{{STYLE}}", 9))
            text_put(t, report_css);
        else if (!strncmp(at, "{{SCRIPT}}", 10))
            text_put(t, report_js);
        else
            status = add_data(t, l, path, err);
    }
    text_put(t, from);
    return status;
}

static mohvit_status report(const head_load *l, const char *path, const char *output, mohvit_error *err)
{
    size_t cells = l->names.count * heads_of_all_blocks(l);
    if (cells > MAX_CELLS)
        return error_set(err, MOHVIT_ERROR_LIMIT,
                         "%s: %zu classes with %zu heads are too many for a page: %zu, at most %zu", path,
                         l->names.count, heads_of_all_blocks(l), cells, MAX_CELLS);
    bytes t = {0};
    mohvit_status status = build_page(&t, l, path, err);
    if (!status && t.failed)
        status = error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for the page", output);
    if (!status)
        status = replace_with_bytes(output, t.data, t.size, err);
    if (!status) {
        output_name(output);
        bool large = t.size >= 1000000;
        output_printf(": %zu classes, %zu blocks, %.*f %s\n", l->names.count, l->routing.count, large,
                      (double)t.size / (large ? 1e6 : 1e3), large ? "MB" : "KB");
    }
    bytes_free(&t);
    return status;
}

// ---- The command line ------------------------------------------------------------------------------

static bool take_option(void *options, UNUSED int code, const char *value)
{
    return takes_file(FILE_OUTPUT, "-o", value, options);
}

static int run_report(int argc, char **argv)
{
    static const struct option table[] = {
        {"output", required_argument, NULL, 'o'},
        LAST_OPTIONS,
    };
    const char *output = NULL;
    mohvit_error err;
    int parsed = options_read(&command_headload_report, argc, argv, "o:", table, take_option, &output);
    if (parsed != PARSED)
        return parsed;
    if (argc - optind != 1)
        return usage_error("headload report", "expected one head load");
    if (!output)
        return usage_error("headload report", "expected -o and the name of the page to write");
    names_file(FILE_READ, NULL, argv[optind]);
    parsed = outputs_check("headload report");
    if (parsed != PARSED)
        return parsed;
    head_load *l = head_load_open_or_complain(argv[optind]);
    if (!l)
        return EXIT_INPUT;
    bool fine = fine_or_complain(report(l, argv[optind], output, &err), &err);
    head_load_destroy(l);
    return fine ? EXIT_FINE : EXIT_INPUT;
}

const command command_headload_report = {"headload report", "make a page to explore a head load", help,
                                         run_report};

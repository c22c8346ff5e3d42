/* cmd_routes.c - which heads each patch of a picture selects. */
#include "base/memory.h"
#include "base/replace_file.h"
#include "imgio/image.h"
#include "tools/figures/route_picture.h"
#include "tools/program/complain.h"
#include "tools/program/head_load_choice.h"
#include "tools/program/json_build.h"
#include "tools/program/model_options.h"
#include "tools/program/output.h"
#include "tools/program/outputs_check.h"
#include "tools/program/provenance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char help[] =
    "[OPTION ...] IMAGE -o FIGURE.svg|png|pdf|json\n"
    "Shows which heads each patch of a picture selects in a block: for each head the picture,\n"
    "dimmed where patches did not select it, tinted by its gate where they did.\n\n"
    "  -o, --output FILE   ends in .svg, .png, .pdf or .json; \"-\" is JSON on standard output\n"
    "  --block S.B         stage (from 1) and block (from 0); default: the last that routes;\n"
    "                      \"all\" with JSON\n"
    "  --width MM          of the figure: 40 to 1000; default 180\n"
    "  --dpi N             dots per inch of a PNG: 36 to 1200; default 200\n"
    "  --exif-orientation  turn the picture as its EXIF says; the reference does not\n"
    "  -h, --help          show this\n" MODEL_OPTIONS_HELP "\nJSON is one line: "
    "{\"path\",\"size\",\"top\",\"blocks\":[{\"stage\",\"block\",\"side\",\"shared\",\"routed\",\n"
    "\"strong\",\"heads\":[{\"head\",\"kind\",\"load\",\"mask\":[...],\"gate\":[...]}]}],\"provenance\"};\n"
    "mask and gate have a number for each patch, row by row; gates from \"strong\" on have the\n"
    "strongest tint. \"-\" for IMAGE is a picture on standard input.\n";

typedef struct routes_options {
    model_options model;
    const char *output, *block;
    size_t width, dpi;
    bool json, all;
    int exif_orientation;
    drawing_format format;
} routes_options;

/* What the blocks that were asked for chose. */
typedef struct recorder {
    const routing_layout *layout;
    const routing_block *wanted; /* NULL: all */
    routes *blocks;
    size_t count;
} recorder;

static void *copy(const void *from, size_t count, size_t size)
{
    void *to = or_die(memory_alloc(count, size));
    memcpy(to, from, count * size);
    return to;
}

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* All but a fiftieth of the selected gates are at most this: a few may be ten times the others. */
static float strong_gate(const float *gate, const uint8_t *pick, size_t n)
{
    float *selected = or_die(memory_alloc(n, sizeof *selected));
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (pick[i])
            selected[count++] = gate[i];
    qsort(selected, count, sizeof *selected, compare_floats);
    float strong = count ? selected[(count - 1) * 49 / 50] : 0;
    free(selected);
    return strong;
}

static void record(void *user, size_t stage_at, size_t block_at, const float *gate, const uint8_t *pick,
                   size_t N, size_t heads)
{
    recorder *r = user;
    const routing_block *b = r->layout->blocks;
    while (b->stage != stage_at + 1 || b->block != block_at)
        b++;
    if (r->wanted && r->wanted != b)
        return;
    routes *to = &r->blocks[r->count++];
    *to = (routes){.block = b,
                   .side = (size_t)lround(sqrt((double)N)),
                   .gate = copy(gate, N * heads, sizeof *gate),
                   .pick = copy(pick, N * heads, sizeof *pick)};
    to->strong = strong_gate(gate, pick, N * heads);
}

static void recorder_free(recorder *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->blocks[i].gate);
        free(r->blocks[i].pick);
    }
    free(r->blocks);
}

// ---- JSON ------------------------------------------------------------------------------------------

static json_t *head_json(const routes *r, size_t head)
{
    json_t *mask = or_die(json_array()), *gate = or_die(json_array());
    for (size_t n = 0; n < r->side * r->side; n++) {
        json_add(mask, json_integer(r->pick[n * r->block->heads + head]));
        json_add(gate, json_real((double)r->gate[n * r->block->heads + head]));
    }
    return json_pack("{s:I, s:s, s:f, s:o, s:o}", "head", (json_int_t)head, "kind",
                     head >= r->block->shared ? "routed" : "shared", "load", route_load(r, head), "mask",
                     mask, "gate", gate);
}

static json_t *block_json(const routes *r)
{
    json_t *heads = or_die(json_array());
    for (size_t h = 0; h < r->block->heads; h++)
        json_add(heads, head_json(r, h));
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:o}", "stage", (json_int_t)r->block->stage, "block",
                     (json_int_t)r->block->block, "side", (json_int_t)r->side, "shared",
                     (json_int_t)r->block->shared, "routed", (json_int_t)r->block->routed, "strong",
                     (double)r->strong, "heads", heads);
}

/* To standard output, or to the file with a newline. */
static mohvit_status put_json(json_t *object, const char *path, mohvit_error *err)
{
    if (!strcmp(path, "-")) {
        output_json(object);
        return MOHVIT_OK;
    }
    char *text = json_printed(object);
    size_t length = strlen(text);
    text[length] = '\n'; // in place of its NUL
    mohvit_status status = replace_with_bytes(path, text, length + 1, err);
    free(text);
    return status;
}

/* The picture as it was decoded, and what it was taken for. */
typedef struct picture {
    const char *path;
    size_t width, height;
    const uint8_t *crop; /* (S, S, 3), the context's */
    mohvit_prediction top;
} picture;

static mohvit_status write_json(const recorder *r, const picture *p, const mohvit_model *m,
                                const routes_options *o, const model_source *source, mohvit_error *err)
{
    json_t *blocks = or_die(json_array());
    for (size_t i = 0; i < r->count; i++)
        json_add(blocks, block_json(&r->blocks[i]));
    json_t *provenance = provenance_json(source, &mohvit_describe(m)->config, m, o->model.open.threads);
    json_t *object = or_die(json_pack("{s:o, s:[I, I], s:o, s:o, s:o}", "path", json_text(p->path), "size",
                                      (json_int_t)p->width, (json_int_t)p->height, "top",
                                      json_prediction(&p->top), "blocks", blocks, "provenance", provenance));
    return put_json(object, o->output, err);
}

// ---- Running ---------------------------------------------------------------------------------------

static mohvit_status write_figure(const routes *r, const picture *p, size_t S, const routes_options *o,
                                  mohvit_error *err)
{
    drawing d;
    double width = (double)o->width * 72 / 25.4;
    mohvit_status status =
        drawing_begin(&d, o->output, o->format, width, route_figure_height(r, width), (double)o->dpi, err);
    if (status)
        return status;
    route_figure(&d, r, p->crop, S, width);
    return drawing_finish(&d, err);
}

static mohvit_status load(picture *p, mohvit_context *ctx, const routes_options *o, mohvit_error *err)
{
    image img;
    mohvit_status status = image_read(&img, p->path, NULL, o->exif_orientation, err);
    if (status)
        return status;
    p->width = img.width;
    p->height = img.height;
    status = mohvit_load_rgb(ctx, 0, img.rgb, img.width, img.height, img.width * 3, err);
    p->crop = mohvit_last_crop(ctx);
    image_free(&img);
    return status;
}

static mohvit_status trace(recorder *r, picture *p, mohvit_context *ctx, const routes_options *o,
                           mohvit_error *err)
{
    mohvit_status status = load(p, ctx, o, err);
    if (status)
        return status;
    mohvit_settings(ctx)->routes = record;
    mohvit_settings(ctx)->routes_user = r;
    status = mohvit_run(ctx, 1, err);
    return status ? status : mohvit_top(ctx, 0, &p->top, 1, err);
}

static void announce(const picture *p, const routes *r, const routes_options *o)
{
    output_name(o->output);
    output_printf(": ");
    output_name(p->path);
    output_printf(" (");
    output_name(p->top.label);
    output_printf(", %.1f %%)", 100 * (double)p->top.probability);
    if (!o->all)
        output_printf(", block %s, %zu heads", r->block->name, r->block->heads);
    output_printf("\n");
}

static mohvit_status show(const char *path, const mohvit_model *m, mohvit_context *ctx,
                          const routing_block *wanted, const model_source *source, const routes_options *o,
                          mohvit_error *err)
{
    const description *d = mohvit_describe(m);
    recorder r = {.layout = mohvit_routing(m), .wanted = wanted};
    picture p = {.path = path};
    r.blocks = or_die(calloc(r.layout->count, sizeof *r.blocks));
    mohvit_status status = trace(&r, &p, ctx, o, err);
    if (!status)
        status = o->json ? write_json(&r, &p, m, o, source, err)
                         : write_figure(&r.blocks[0], &p, d->config.img_size, o, err);
    if (!status && strcmp(o->output, "-") != 0)
        announce(&p, &r.blocks[0], o);
    recorder_free(&r);
    return status;
}

static int routes_of(const char *path, const routes_options *o)
{
    mohvit_error err;
    model_source source = model_source_choose(&o->model);
    mohvit_model *m = model_open_or_complain(&source, &o->model);
    mohvit_context *ctx = m ? model_context_or_complain(m, &o->model) : NULL;
    int exit = EXIT_MODEL;
    if (ctx) {
        const routing_block *wanted =
            o->all ? NULL : choice_block_or_complain(mohvit_routing(m), "--block", o->block);
        if (!o->all && !wanted)
            exit = o->block ? EXIT_USAGE : EXIT_INPUT;
        else
            exit =
                fine_or_complain(show(path, m, ctx, wanted, &source, o, &err), &err) ? EXIT_FINE : EXIT_INPUT;
    }
    mohvit_context_destroy(ctx);
    mohvit_close(m);
    return exit;
}

// ---- The command line ------------------------------------------------------------------------------

enum { OPTION_BLOCK = OPTION_OWN, OPTION_WIDTH, OPTION_DPI };

static bool take_option(void *options, int code, const char *value)
{
    routes_options *o = options;
    switch (code) {
    case 'o':
        names_file(FILE_OUTPUT, "-o", unless_stream(o->output = value));
        return true;
    case OPTION_BLOCK:
        o->block = value;
        o->all = !strcmp(value, "all");
        return o->all || choice_block_valid_or_complain("--block", value);
    case OPTION_WIDTH:
        return parse_whole(&o->width, "--width", value, 40, 1000);
    case OPTION_DPI:
        return parse_whole(&o->dpi, "--dpi", value, 36, 1200);
    default:
        return model_option(&o->model, code, value);
    }
}

static int run_routes(int argc, char **argv)
{
    routes_options o = {.width = 180, .dpi = 200};
    const struct option table[] = {
        {"output", required_argument, NULL, 'o'},
        {"block", required_argument, NULL, OPTION_BLOCK},
        {"width", required_argument, NULL, OPTION_WIDTH},
        {"dpi", required_argument, NULL, OPTION_DPI},
        {"exif-orientation", no_argument, &o.exif_orientation, FLAG_SET},
        MODEL_OPTIONS,
        LAST_OPTIONS,
    };
    model_options_begin(&o.model);
    int parsed = options_read(&command_routes, argc, argv, "o:", table, take_option, &o);
    if (parsed != PARSED)
        return parsed;
    if (argc - optind != 1)
        return usage_error("routes", "expected one picture");
    if (!o.output)
        return usage_error("routes", "expected -o and the name of the file to write");
    size_t length = strlen(o.output);
    o.json = !strcmp(o.output, "-") || (length > 5 && !strcasecmp(o.output + length - 5, ".json"));
    if (!o.json && !drawing_format_of(&o.format, o.output))
        return usage_error("routes", "-o %s: expected a name that ends in .svg, .png, .pdf or .json",
                           o.output);
    if (o.all && !o.json)
        return usage_error("routes", "--block all: needs -o FILE.json; a figure shows one block");
    names_file(FILE_READ, NULL, unless_stream(argv[optind]));
    model_names_weights(&o.model);
    parsed = outputs_check("routes");
    if (parsed != PARSED)
        return parsed;
    return outputs_possible_or_complain() ? routes_of(argv[optind], &o) : EXIT_INPUT;
}

const command command_routes = {"routes", "show which heads each patch of a picture selects", help,
                                run_routes};

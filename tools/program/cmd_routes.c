/* cmd_routes.c - which heads each patch of a picture selects. */
#include "base/memory.h"
#include "base/replace_file.h"
#include "imgio/image.h"
#include "tools/figures/route_picture.h"
#include "tools/program/complain.h"
#include "tools/program/figure_options.h"
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
    "[OPTION ...] IMAGE ... -o FIGURE.svg|png|pdf|json\n"
    "Shows which heads each patch of a picture selects in a block. The figure has the picture once for\n"
    "each head: tinted by the gate where patches selected the head, dimmed where they did not. Several\n"
    "pictures stand one below the other, with the same tints.\n\n"
    "  -o, --output FILE  ends in .svg, .png, .pdf or .json; \"-\" is JSON on standard output\n"
    "  --block S.B        stage (from 1) and block (from 0); default: the last that routes;\n"
    "                     \"all\" with JSON\n"
    "  --tint SCALE       scale of the gates: linear (default); log, if a few gates dwarf the others; or\n"
    "                     kind: linear, with one scale for shared heads and one for routed heads\n"
    "  --overlay          tints the picture in its own colours, with a line around the patches that\n"
    "                     selected the head\n"
    "  --exif-orientation\n"
    "                     turns the picture as its EXIF says; the reference does not\n"
    "  -h, --help         show this\n" FIGURE_OPTIONS_HELP("180", "200") MODEL_OPTIONS_HELP
    "\nJSON is a line for each picture: "
    "{\"path\",\"size\",\"top\",\"blocks\":[{\"stage\",\"block\",\"side\",\"shared\",\n"
    "\"routed\",\"strong\",\"heads\":[{\"head\",\"kind\",\"load\",\"mask\":[...],\"gate\":[...]}]}],"
    "\"provenance\"};\n"
    "mask and gate have a number for each patch, row by row. One gate in fifty is above \"strong\". In a\n"
    "figure, the \"strong\" of all its pictures together has the strongest tint.\n"
    "\"-\" for IMAGE is a picture on standard input.\n";

typedef struct routes_options {
    model_options model;
    figure_options figure;
    const char *output, *block;
    bool json, all;
    int exif_orientation, overlay;
    route_tint tint;
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

static void record(void *user, size_t stage_at, size_t block_at, const router *by, const selection *chosen,
                   size_t N)
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
                   .gate = copy(chosen->gate, N * by->heads, sizeof *chosen->gate),
                   .pick = copy(chosen->pick, N * by->heads, 1)};
}

static void recorder_free(recorder *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->blocks[i].gate);
        free(r->blocks[i].pick);
    }
    free(r->blocks);
    *r = (recorder){0};
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
    route_look look = {.tint = TINT_LINEAR};
    if (!route_look_fit(&look, r, 1))
        or_die(NULL);
    for (size_t h = 0; h < r->block->heads; h++)
        json_add(heads, head_json(r, h));
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:o}", "stage", (json_int_t)r->block->stage, "block",
                     (json_int_t)r->block->block, "side", (json_int_t)r->side, "shared",
                     (json_int_t)r->block->shared, "routed", (json_int_t)r->block->routed, "strong",
                     look.routed.high, "heads", heads);
}

/* A picture as it was decoded, what it was taken for, and what its heads did. */
typedef struct picture {
    const char *path;
    char *title; /* owned, and crop and recorded */
    size_t width, height;
    uint8_t *crop; /* (S, S, 3) */
    mohvit_prediction top;
    recorder recorded;
} picture;

static void picture_free(picture *p)
{
    free(p->title);
    free(p->crop);
    recorder_free(&p->recorded);
    *p = (picture){0};
}

/* On standard output, or as a line of the file that is to be. */
static void put_json(const picture *p, const mohvit_model *m, const routes_options *o,
                     const model_source *source, bytes *file)
{
    json_t *blocks = or_die(json_array());
    for (size_t i = 0; i < p->recorded.count; i++)
        json_add(blocks, block_json(&p->recorded.blocks[i]));
    json_t *provenance = provenance_json(source, &mohvit_describe(m)->config, m, o->model.open.threads);
    json_t *object = or_die(json_pack("{s:o, s:[I, I], s:o, s:o, s:o}", "path", json_text(p->path), "size",
                                      (json_int_t)p->width, (json_int_t)p->height, "top",
                                      json_prediction(&p->top), "blocks", blocks, "provenance", provenance));
    if (!strcmp(o->output, "-")) {
        output_json(object);
        return;
    }
    char *text = json_printed(object);
    bytes_put(file, text, strlen(text));
    bytes_put(file, "\n", 1);
    free(text);
}

// ---- Figures ---------------------------------------------------------------------------------------

static mohvit_status write_figure(const picture *pictures, size_t count, size_t S, const routes_options *o,
                                  mohvit_error *err)
{
    drawing d;
    routes *all = or_die(calloc(count, sizeof *all));
    const uint8_t **crops = or_die(calloc(count, sizeof *crops));
    const char **titles = or_die(calloc(count, sizeof *titles));
    for (size_t i = 0; i < count; i++) {
        all[i] = pictures[i].recorded.blocks[0];
        crops[i] = pictures[i].crop;
        titles[i] = pictures[i].title;
    }
    route_figure f = {.routes = all,
                      .crops = crops,
                      .titles = titles,
                      .count = count,
                      .S = S,
                      .width = figure_points(&o->figure),
                      .look = {.theme = o->figure.style.theme, .tint = o->tint, .overlay = o->overlay}};
    if (!route_look_fit(&f.look, all, count))
        or_die(NULL);
    mohvit_status status =
        drawing_begin(&d, o->output, o->format, &o->figure.style, f.width, route_figure_height(&f), err);
    if (!status) {
        route_figure_draw(&d, &f);
        status = drawing_finish(&d, err);
    }
    free(all);
    free(crops);
    free(titles);
    return status;
}

// ---- Running ---------------------------------------------------------------------------------------

static mohvit_status load(picture *p, mohvit_context *ctx, const routes_options *o, mohvit_error *err)
{
    image img;
    mohvit_status status = image_read(&img, p->path, NULL, o->exif_orientation, err);
    if (status)
        return status;
    p->width = img.width;
    p->height = img.height;
    status = mohvit_load_rgb(ctx, 0, img.rgb, img.width, img.height, img.width * 3, err);
    image_free(&img);
    return status;
}

/* "cat.jpg: tabby, 87.3 %" */
static char *title_of(const picture *p)
{
    char *title;
    const char *slash = strrchr(p->path, '/');
    const char *name = !strcmp(p->path, "-") ? "standard input" : slash ? slash + 1 : p->path;
    if (asprintf(&title, "%s: %s, %.1f %%", name, p->top.label, 100 * (double)p->top.probability) < 0)
        or_die(title = NULL);
    return title;
}

static mohvit_status trace(picture *p, const mohvit_model *m, mohvit_context *ctx,
                           const routing_block *wanted, const routes_options *o, mohvit_error *err)
{
    size_t S = mohvit_describe(m)->config.img_size;
    recorder *r = &p->recorded;
    *r = (recorder){.layout = mohvit_routing(m), .wanted = wanted};
    r->blocks = or_die(calloc(r->layout->count, sizeof *r->blocks));
    mohvit_status status = load(p, ctx, o, err);
    if (status)
        return status;
    if (!o->json)
        p->crop = copy(mohvit_last_crop(ctx), S * S, 3);
    mohvit_settings(ctx)->routes = record;
    mohvit_settings(ctx)->routes_user = r;
    status = mohvit_run(ctx, 1, err);
    if (!status)
        status = mohvit_top(ctx, 0, &p->top, 1, err);
    if (!status)
        p->title = title_of(p);
    return status;
}

static void announce(const picture *pictures, size_t count, const routing_block *wanted,
                     const routes_options *o)
{
    output_name(o->output);
    output_printf(": ");
    if (count == 1) {
        output_name(pictures->path);
        output_printf(" (");
        output_name(pictures->top.label);
        output_printf(", %.1f %%)", 100 * (double)pictures->top.probability);
    } else {
        output_printf("%zu pictures", count);
    }
    if (wanted)
        output_printf(", block %s, %zu heads", wanted->name, wanted->heads);
    output_printf("\n");
}

/* wanted NULL: all blocks. */
static mohvit_status show(char **paths, size_t count, const mohvit_model *m, mohvit_context *ctx,
                          const routing_block *wanted, const model_source *source, const routes_options *o,
                          mohvit_error *err)
{
    picture *pictures = or_die(calloc(count, sizeof *pictures));
    mohvit_status status = MOHVIT_OK;
    bytes lines = {0};
    for (size_t i = 0; !status && i < count; i++) {
        pictures[i].path = paths[i];
        status = trace(&pictures[i], m, ctx, wanted, o, err);
        if (!status && o->json)
            put_json(&pictures[i], m, o, source, &lines);
        if (o->json)
            recorder_free(&pictures[i].recorded);
    }
    if (!status && !o->json)
        status = write_figure(pictures, count, mohvit_describe(m)->config.img_size, o, err);
    else if (!status && strcmp(o->output, "-") != 0)
        status = replace_with_bytes(o->output, or_die(lines.failed ? NULL : lines.data), lines.size, err);
    if (!status && strcmp(o->output, "-") != 0)
        announce(pictures, count, wanted, o);
    for (size_t i = 0; i < count; i++)
        picture_free(&pictures[i]);
    free(pictures);
    bytes_free(&lines);
    return status;
}

static int routes_of(char **paths, size_t count, const routes_options *o)
{
    mohvit_error err;
    model_source source = model_source_choose(&o->model);
    mohvit_model *m = model_open_or_complain(&source, &o->model);
    mohvit_context *ctx = m ? model_context_or_complain(m, &o->model) : NULL;
    int exit = EXIT_MODEL;
    if (ctx) {
        const routing_block *wanted =
            o->all ? NULL : choice_block_or_complain(mohvit_routing(m), mohvit_routing(m)->model, o->block);
        if (!o->all && !wanted)
            exit = o->block ? EXIT_USAGE : EXIT_INPUT;
        else if (fine_or_complain(show(paths, count, m, ctx, wanted, &source, o, &err), &err))
            exit = EXIT_FINE;
        else
            exit = EXIT_INPUT;
    }
    mohvit_context_destroy(ctx);
    mohvit_close(m);
    return exit;
}

// ---- The command line ------------------------------------------------------------------------------

enum { OPTION_BLOCK = OPTION_OWN, OPTION_TINT };

static bool take_option(void *options, int code, const char *value)
{
    static const char *const tints[] = {
        [TINT_LINEAR] = "linear", [TINT_LOG] = "log", [TINT_KIND] = "kind", NULL};
    routes_options *o = options;
    int tint;
    switch (code) {
    case 'o':
        names_file(FILE_OUTPUT, "-o", unless_stream(o->output = value));
        return true;
    case OPTION_BLOCK:
        o->block = value;
        o->all = !strcmp(value, "all");
        return o->all || choice_block_valid_or_complain(value);
    case OPTION_TINT:
        tint = parse_choice("--tint", value, tints);
        o->tint = (route_tint)tint;
        return tint >= 0;
    default:
        return code >= OPTION_FIGURE ? figure_option(&o->figure, code, value)
                                     : model_option(&o->model, code, value);
    }
}

static int parse(routes_options *o, int argc, char **argv)
{
    enum { MOST = 1000 }; // pictures of a figure, whose pixels are in memory
    const struct option table[] = {
        {"output", required_argument, NULL, 'o'},
        {"block", required_argument, NULL, OPTION_BLOCK},
        {"tint", required_argument, NULL, OPTION_TINT},
        {"overlay", no_argument, &o->overlay, FLAG_SET},
        {"exif-orientation", no_argument, &o->exif_orientation, FLAG_SET},
        FIGURE_OPTIONS,
        MODEL_OPTIONS,
        LAST_OPTIONS,
    };
    *o = (routes_options){.figure = figure_options_usual(180, 200)};
    model_options_begin(&o->model);
    int parsed = options_read(&command_routes, argc, argv, "o:", table, take_option, o);
    if (parsed != PARSED)
        return parsed;
    if (argc == optind)
        return usage_error("routes", "expected a picture");
    if (!o->output)
        return usage_error("routes", "expected -o and the name of the file to write");
    size_t length = strlen(o->output);
    o->json = !strcmp(o->output, "-") || (length > 5 && !strcasecmp(o->output + length - 5, ".json"));
    if (!o->json && !drawing_format_of(&o->format, o->output))
        return usage_error("routes", "-o %s: expected a name that ends in .svg, .png, .pdf or .json",
                           o->output);
    if (o->all && !o->json)
        return usage_error("routes", "--block all: needs -o FILE.json; a figure shows one block");
    if (!o->json && argc - optind > MOST)
        return usage_error("routes", "expected at most %d pictures for a figure", MOST);
    int from_stdin = 0;
    for (int i = optind; i < argc; i++)
        from_stdin += !strcmp(argv[i], "-");
    if (from_stdin > 1)
        return usage_error("routes", "standard input can be read only once");
    for (int i = optind; i < argc; i++)
        names_file(FILE_READ, NULL, unless_stream(argv[i]));
    model_names_weights(&o->model);
    parsed = model_options_check(&o->model, "routes");
    return parsed == PARSED ? outputs_check("routes") : parsed;
}

static int run_routes(int argc, char **argv)
{
    routes_options o;
    int parsed = parse(&o, argc, argv);
    if (parsed != PARSED)
        return parsed;
    if (!outputs_possible_or_complain())
        return EXIT_INPUT;
    if (!o.json)
        figure_warn_font(&o.figure, o.format);
    return routes_of(argv + optind, (size_t)(argc - optind), &o);
}

const command command_routes = {"routes", "show which heads each patch of a picture selects", help,
                                run_routes};

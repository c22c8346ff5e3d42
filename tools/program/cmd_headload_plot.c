/* cmd_headload_plot.c - a head load as a figure. */
#include "base/memory.h"
#include "tools/figures/figure.h"
#include "tools/program/complain.h"
#include "tools/program/figure_options.h"
#include "tools/program/head_load_choice.h"
#include "tools/program/output.h"
#include "tools/program/outputs_check.h"
#include "vit/headload/head_load_statistics.h"

#include <stdlib.h>

static const char help[] =
    "[OPTION ...] FILE -o FIGURE.svg|png|pdf\n"
    "Draws the load of the routed heads of a block: a panel for each class, with a bar for every\n"
    "head, all on one scale. A line marks the balanced load, routed / (heads - shared). Each bar has\n"
    "its 95 % interval over the class's images, gray where few of the images decide.\n\n"
    "  -o, --output FILE  ends in .svg, .png or .pdf, which tells what is written\n"
    "  --classes LIST     names, WordNet ids or numbers from 0, separated by commas; may be given\n"
    "                     again; default: all that have pictures; without --heatmap, these may be\n"
    "                     at most 12\n"
    "  --block S.B        stage (from 1) and block (from 0); default: the last that routes\n"
    "  --measure WHAT     load (default), gate: the mean over all tokens, 0 for those that did not\n"
    "                     select the head, or gate-share: the head's part of the gates of the block,\n"
    "                     which has no intervals\n"
    "  --layout NAME      where panels stand: grid (default), or stacked: one below the other, each as\n"
    "                     wide as the figure, as in the paper\n"
    "  --heatmap          a matrix of classes x heads instead of panels; classes that route alike stand\n"
    "                     beside each other\n"
    "  --minus-mean       with --heatmap: how far each class is from the head's mean over all classes\n"
    "                     of the file, which weigh the same; with --theme print, a dash marks values\n"
    "                     below the mean\n"
    "  --with-shared      the shared heads too, in gray: every token uses them\n"
    "  --importance FILE  below that, the change of loss without each head, with its 95 % interval; FILE\n"
    "                     is what \"headload ablate --format json\" printed for the same model and data\n"
    "  -h, --help         show this\n" FIGURE_OPTIONS_HELP(
        "88, a column", "300") "\nr1 is the first routed head of a block, s1 the first shared one.\n"
                               "An SVG and a PDF say in words what they show, for screen readers.\n";

typedef struct plot_options {
    const char *output, *block, *importance;
    const char **lists; /* (list_count) of --classes */
    size_t list_count, list_room;
    int heatmap, minus_mean, with_shared;
    bool stacked, layout_given;
    figure_options figure;
    drawing_format format;
    head_measure measure;
} plot_options;

// ---- Drawing ---------------------------------------------------------------------------------------

static mohvit_status draw(const figure *f, const plot_options *o, mohvit_error *err)
{
    drawing d;
    mohvit_status status =
        drawing_begin(&d, o->output, o->format, &o->figure.style, f->width, figure_height(f), err);
    if (status)
        return status;
    figure_draw(&d, f);
    return drawing_finish(&d, err);
}

/* Those of --classes; one that nobody counted has a panel, or a row, that says so. */
static bool choose_listed(class_choice *chosen, const head_load *l, const plot_options *o)
{
    for (size_t i = 0; i < o->list_count; i++)
        if (!choice_add_or_complain(chosen, l, o->lists[i]))
            return false;
    for (size_t i = 0; i < chosen->count; i++)
        if (!l->images[chosen->classes[i]])
            complain("warning: no pictures of %s are in this head load", l->names.name[chosen->classes[i]]);
    return true;
}

/* The classes that were asked for; without --classes those that have pictures. */
static bool choose(class_choice *chosen, const head_load *l, const plot_options *o)
{
    enum { MOST_PANELS = 12 };
    if (o->list_count)
        return choose_listed(chosen, l, o);
    choice_add_counted(chosen, l);
    if (!chosen->count) {
        complain("no class has pictures in this head load; --classes draws empty ones");
        return false;
    }
    if (!o->heatmap && chosen->count > MOST_PANELS) {
        complain("%zu classes have pictures, too many for panels: at most %d; choose with --classes, or see "
                 "all with --heatmap",
                 chosen->count, MOST_PANELS);
        return false;
    }
    choice_note_left_out(chosen, l);
    return true;
}

static bool sort_by_similarity(class_choice *chosen, const head_load *l, size_t block, mohvit_error *err)
{
    size_t *order = or_die(calloc(chosen->count, sizeof *order));
    mohvit_status status = head_load_order(order, l, block, chosen->classes, chosen->count, err);
    free(chosen->classes);
    chosen->classes = order;
    return fine_or_complain(status, err);
}

/* What an option asks for and the file does not have is a mistake in usage. */
static int plot(const head_load *l, const char *name, const importance_table *ablated, const plot_options *o,
                class_choice *chosen)
{
    enum { MOST_CELLS = 1000000 };
    mohvit_error err;
    const routing_block *block = choice_block_or_complain(&l->routing, name, o->block);
    if (!block)
        return o->block ? EXIT_USAGE : EXIT_INPUT;
    if (!choose(chosen, l, o))
        return EXIT_USAGE;
    figure f = {
        .load = l,
        .block = block,
        .with_shared = o->with_shared,
        .width = figure_points(&o->figure),
        .measure = o->measure,
        .layout = o->heatmap   ? FIGURE_HEATMAP
                  : o->stacked ? FIGURE_STACKED
                               : FIGURE_GRID,
        .importance = ablated,
    };
    if (!routing_routes(block)) {
        complain("%s: block %s does not route: all its heads are always on", name, block->name);
        return EXIT_USAGE;
    }
    if (ablated && !importance_of_any(ablated, block)) {
        complain("%s: has no result for a single head of block %s", o->importance, block->name);
        return EXIT_INPUT;
    }
    if (chosen->count > MOST_CELLS / block->heads) {
        complain("%zu classes are too many for one figure; choose with --classes", chosen->count);
        return EXIT_USAGE;
    }
    if (o->heatmap && !sort_by_similarity(chosen, l, block->index, &err))
        return EXIT_INPUT;
    f.classes = chosen->classes;
    f.count = chosen->count;
    double means[ROUTING_MAX_HEADS];
    if (o->minus_mean) {
        figure_means(means, &f);
        f.means = means;
    }
    figure_warn_font(&o->figure, o->format);
    char *without = head_load_without(l);
    f.without = without;
    bool drawn = fine_or_complain(draw(&f, o, &err), &err);
    free(without);
    if (!drawn)
        return EXIT_INPUT;
    output_name(o->output);
    output_printf(": block %s, %zu class%s, %zu mm wide\n", block->name, f.count, f.count == 1 ? "" : "es",
                  o->figure.width);
    return EXIT_FINE;
}

// ---- The command line ------------------------------------------------------------------------------

enum { OPTION_CLASSES = OPTION_OWN, OPTION_BLOCK, OPTION_MEASURE, OPTION_LAYOUT, OPTION_IMPORTANCE };

static bool take_option(void *options, int code, const char *value)
{
    static const char *const layouts[] = {"grid", "stacked", NULL};
    plot_options *o = options;
    int layout;
    switch (code) {
    case 'o':
        return takes_file(FILE_OUTPUT, "-o", value, &o->output);
    case OPTION_CLASSES:
        o->lists = or_die(memory_grow(o->lists, o->list_count, &o->list_room, sizeof *o->lists));
        o->lists[o->list_count++] = value;
        return true;
    case OPTION_BLOCK:
        o->block = value;
        return choice_block_valid_or_complain(value);
    case OPTION_MEASURE:
        if (measure_by_name(&o->measure, value))
            return true;
        complain("--measure %s: expected one of load, gate, gate-share", value);
        return false;
    case OPTION_LAYOUT:
        layout = parse_choice("--layout", value, layouts);
        o->stacked = layout == 1;
        o->layout_given = true;
        return layout >= 0;
    case OPTION_IMPORTANCE:
        return takes_file(FILE_READ, "--importance", value, &o->importance);
    default:
        return figure_option(&o->figure, code, value);
    }
}

static int parse(plot_options *o, int argc, char **argv)
{
    const struct option table[] = {
        {"output", required_argument, NULL, 'o'},
        {"classes", required_argument, NULL, OPTION_CLASSES},
        {"block", required_argument, NULL, OPTION_BLOCK},
        {"measure", required_argument, NULL, OPTION_MEASURE},
        {"layout", required_argument, NULL, OPTION_LAYOUT},
        {"importance", required_argument, NULL, OPTION_IMPORTANCE},
        {"heatmap", no_argument, &o->heatmap, FLAG_SET},
        {"minus-mean", no_argument, &o->minus_mean, FLAG_SET},
        {"with-shared", no_argument, &o->with_shared, FLAG_SET},
        FIGURE_OPTIONS,
        LAST_OPTIONS,
    };
    *o = (plot_options){.figure = figure_options_usual(88, 300)};
    int parsed = options_read(&command_headload_plot, argc, argv, "o:", table, take_option, o);
    if (parsed != PARSED)
        return parsed;
    if (argc - optind != 1)
        return usage_error("headload plot", "expected one head load");
    if (!o->output)
        return usage_error("headload plot", "expected -o and the name of the file to write");
    if (!drawing_format_of(&o->format, o->output))
        return usage_error("headload plot", "-o %s: expected a name that ends in .svg, .png or .pdf",
                           o->output);
    if (o->heatmap && o->layout_given)
        return usage_error("headload plot", "--layout: places bars, which --heatmap replaces");
    if (o->minus_mean && !o->heatmap)
        return usage_error("headload plot", "--minus-mean: needs --heatmap");
    names_file(FILE_READ, NULL, argv[optind]);
    return outputs_check("headload plot");
}

static int run_plot(int argc, char **argv)
{
    plot_options o;
    int exit = parse(&o, argc, argv);
    if (exit == PARSED && !outputs_possible_or_complain())
        exit = EXIT_INPUT;
    if (exit == PARSED) {
        class_choice chosen = {0};
        importance_table ablated = {0};
        head_load *l = head_load_open_or_complain(argv[optind]);
        bool fine =
            l && (!o.importance || importance_open_or_complain(&ablated, o.importance, l, argv[optind]));
        exit = fine ? plot(l, argv[optind], o.importance ? &ablated : NULL, &o, &chosen) : EXIT_INPUT;
        free(chosen.classes);
        importance_table_free(&ablated);
        head_load_destroy(l);
    }
    free(o.lists);
    return exit;
}

const command command_headload_plot = {"headload plot", "draw a head load", help, run_plot};

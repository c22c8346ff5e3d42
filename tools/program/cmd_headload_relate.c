/* cmd_headload_relate.c - which classes route alike: as a matrix, a tree, a figure. */
#include "tools/figures/similarity_picture.h"
#include "tools/program/command.h"
#include "tools/program/complain.h"
#include "tools/program/figure_options.h"
#include "tools/program/head_load_choice.h"
#include "tools/program/json_build.h"
#include "tools/program/output.h"
#include "tools/program/outputs_check.h"

#include <stdlib.h>

static const char help[] =
    "[OPTION ...] FILE\n"
    "Prints how alike the classes of a head load route: 1 - the mean over all blocks that route of\n"
    "the Jensen-Shannon divergence, in bits, of the routed heads' shares; 1 where two classes share\n"
    "their tokens out alike in every block, 0 where they have no head in common in any.\n\n"
    "  --block S.B        of this block alone: stage (from 1) and block (from 0)\n"
    "  --format FORMAT    text (default): the pairs most and least alike; csv: the matrix; or json:\n"
    "                     one line, with the tree\n"
    "  -o, --output FILE  a figure of matrix and tree: ends in .svg, .png or .pdf\n"
    "  -h, --help         show this\n" FIGURE_OPTIONS_HELP(
        "88, a column",
        "300") "\n"
               "Classes without images are left out. The others are in an order in which those that route "
               "alike\n"
               "stand together: the leaves of average-linkage clustering by the root of that mean "
               "divergence,\n"
               "each cluster turned so that closer leaves meet. \"tree\" of json has a row for each step: "
               "two\n"
               "clusters, their distance, leaves of the new one. Clusters are the classes by their place in\n"
               "\"classes\", and then the steps, as in SciPy's linkage.\n";

typedef struct relate_options {
    output_format format;
    const char *block, *output;
    drawing_format drawn;
    figure_options figure;
} relate_options;

// ---- Text ------------------------------------------------------------------------------------------

/* Of two places in the order. */
typedef struct pair {
    size_t a, b;
    double similarity;
} pair;

static int by_similarity(const void *a, const void *b)
{
    const pair *x = a, *y = b;
    if (x->similarity != y->similarity)
        return x->similarity > y->similarity ? -1 : 1;
    return x->a != y->a ? (x->a > y->a) - (x->a < y->a) : (x->b > y->b) - (x->b < y->b);
}

static void print_pairs(const head_load *l, const class_similarity *s, const char *title, const pair *pairs,
                        size_t count)
{
    output_title(title);
    output_printf("\n");
    for (size_t i = 0; i < count; i++) {
        output_printf("  %.4f  ", pairs[i].similarity);
        output_name(l->names.name[s->classes[pairs[i].a]]);
        output_printf(" and ");
        output_name(l->names.name[s->classes[pairs[i].b]]);
        output_printf("\n");
    }
}

static void print_text(const head_load *l, const class_similarity *s)
{
    enum { SHOWN = 10 };
    size_t count = s->count * (s->count - 1) / 2, at = 0;
    pair *pairs = or_die(calloc(count + 1, sizeof *pairs));
    for (size_t i = 0; i < s->count; i++)
        for (size_t j = i + 1; j < s->count; j++)
            pairs[at++] = (pair){i, j, class_similarity_of(s, i, j)};
    qsort(pairs, count, sizeof *pairs, by_similarity);
    output_printf("routing similarity of %zu classes, ", s->count);
    if (s->only)
        output_printf("block %s\n\n", s->only->name);
    else
        output_printf("mean of %zu block%s\n\n", s->blocks, plural(s->blocks));
    size_t shown = count < SHOWN ? count : SHOWN;
    print_pairs(l, s, "most alike", pairs, shown);
    output_printf("\n");
    print_pairs(l, s, "least alike", pairs + count - shown, shown);
    free(pairs);
}

// ---- The matrix ------------------------------------------------------------------------------------

static void print_csv(const head_load *l, const class_similarity *s)
{
    output_printf("class,label");
    for (size_t i = 0; i < s->count; i++)
        output_printf(",%zu", s->classes[s->order[i]]);
    output_printf("\n");
    for (size_t i = 0; output_works() && i < s->count; i++) {
        output_printf("%zu,", s->classes[s->order[i]]);
        output_csv_field(l->names.name[s->classes[s->order[i]]]);
        for (size_t j = 0; j < s->count; j++)
            output_printf(",%.9g", class_similarity_of(s, s->order[i], s->order[j]));
        output_printf("\n");
    }
}

static void print_tree(const class_similarity *s)
{
    size_t n = s->count, *place = or_die(calloc(n, sizeof *place));
    for (size_t i = 0; i < n; i++)
        place[s->order[i]] = i;
    output_printf("],\"tree\":[");
    for (size_t i = 0; i + 1 < n; i++) {
        const cluster_step *k = &s->steps[i];
        size_t a = k->a < n ? place[k->a] : k->a, b = k->b < n ? place[k->b] : k->b;
        output_printf("%s[%zu,%zu,%.9g,%zu]", i ? "," : "", a < b ? a : b, a < b ? b : a, k->distance,
                      k->size);
    }
    free(place);
}

static void print_json(const head_load *l, const class_similarity *s)
{
    json_t *names = or_die(json_array()), *blocks = or_die(json_array());
    size_t *classes = or_die(calloc(s->count, sizeof *classes));
    for (size_t i = 0; i < s->count; i++) {
        classes[i] = s->classes[s->order[i]];
        json_add(names, json_text(l->names.name[classes[i]]));
    }
    for (size_t b = 0; b < l->routing.count; b++)
        if (routing_routes(&l->routing.blocks[b]) && (!s->only || s->only->index == b))
            json_add(blocks, json_string(l->routing.blocks[b].name));
    output_printf("{\"blocks\":");
    output_json_part(blocks);
    output_printf(",\"classes\":");
    output_json_part(json_indices(classes, s->count));
    output_printf(",\"labels\":");
    output_json_part(names);
    output_printf(",\"similarity\":[");
    for (size_t i = 0; output_works() && i < s->count; i++)
        for (size_t j = 0; j < s->count; j++)
            output_printf("%s%.9g%s",
                          j   ? ","
                          : i ? ",["
                              : "[",
                          class_similarity_of(s, s->order[i], s->order[j]), j + 1 == s->count ? "]" : "");
    print_tree(s);
    output_head_load_end(l);
    free(classes);
}

// ---- The figure ------------------------------------------------------------------------------------

static mohvit_status draw(const head_load *l, const class_similarity *s, const relate_options *o,
                          mohvit_error *err)
{
    drawing d;
    double width = figure_points(&o->figure);
    mohvit_status status = drawing_begin(&d, o->output, o->drawn, &o->figure.style, width,
                                         similarity_figure_height(s, width), err);
    if (status)
        return status;
    similarity_figure(&d, s, l, width);
    return drawing_finish(&d, err);
}

// ---- The command line ------------------------------------------------------------------------------

static int relate(const head_load *l, const relate_options *o)
{
    mohvit_error err;
    class_similarity s;
    class_choice all = {0};
    const routing_block *only = o->block ? choice_block_or_complain(&l->routing, "--block", o->block) : NULL;
    if (o->block && !only)
        return EXIT_USAGE;
    choice_add_all(&all, l);
    mohvit_status status = class_similarity_compute(&s, l, only, all.classes, all.count, &err);
    free(all.classes);
    if (!fine_or_complain(status, &err))
        return EXIT_INPUT;
    if (o->output)
        figure_warn_font(&o->figure, o->drawn);
    bool fine = !o->output || fine_or_complain(draw(l, &s, o, &err), &err);
    if (fine && o->format == FORMAT_CSV)
        print_csv(l, &s);
    else if (fine && o->format == FORMAT_JSON)
        print_json(l, &s);
    else if (fine)
        print_text(l, &s);
    class_similarity_free(&s);
    return fine ? EXIT_FINE : EXIT_INPUT;
}

enum { OPTION_BLOCK = OPTION_OWN };

static bool take_option(void *options, int code, const char *value)
{
    relate_options *o = options;
    switch (code) {
    case 'o':
        return takes_file(FILE_OUTPUT, "-o", value, &o->output);
    case OPTION_FORMAT:
        return parse_format(&o->format, value, true);
    case OPTION_BLOCK:
        o->block = value;
        return choice_block_valid_or_complain("--block", value);
    default:
        return figure_option(&o->figure, code, value);
    }
}

static int run_relate(int argc, char **argv)
{
    static const struct option table[] = {
        {"block", required_argument, NULL, OPTION_BLOCK},
        {"format", required_argument, NULL, OPTION_FORMAT},
        {"output", required_argument, NULL, 'o'},
        FIGURE_OPTIONS,
        LAST_OPTIONS,
    };
    relate_options o = {.figure = figure_options_usual(88, 300)};
    int parsed = options_read(&command_headload_relate, argc, argv, "o:", table, take_option, &o);
    if (parsed != PARSED)
        return parsed;
    if (argc - optind != 1)
        return usage_error("headload relate", "expected one head load");
    if (o.output && !drawing_format_of(&o.drawn, o.output))
        return usage_error("headload relate", "-o %s: expected a name that ends in .svg, .png or .pdf",
                           o.output);
    names_file(FILE_READ, NULL, argv[optind]);
    parsed = outputs_check("headload relate");
    if (parsed != PARSED)
        return parsed;
    head_load *l = outputs_possible_or_complain() ? head_load_open_or_complain(argv[optind]) : NULL;
    int exit = l ? relate(l, &o) : EXIT_INPUT;
    head_load_destroy(l);
    return exit;
}

const command command_headload_relate = {"headload relate", "say which classes route alike", help,
                                         run_relate};

/* cmd_headload_relate.c - which classes route alike, and which heads work for the
 * same tokens: as a matrix, a tree, a figure. */
#include "tools/figures/similarity_picture.h"
#include "tools/program/command.h"
#include "tools/program/complain.h"
#include "tools/program/figure_options.h"
#include "tools/program/head_load_choice.h"
#include "tools/program/json_build.h"
#include "tools/program/output.h"
#include "tools/program/outputs_check.h"

#include "vit/headload/head_load_statistics.h"
#include "vit/headload/head_relation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "[OPTION ...] FILE\n"
    "Prints how alike the classes of a head load route: 1 - the Jensen-Shannon divergence, in bits,\n"
    "of the routed heads' shares, averaged over all blocks that route. It is 1 if two classes have the\n"
    "same shares in every block, and 0 if they have no head in common in any block.\n\n"
    "  --block S.B        only this block: stage (from 1) and block (from 0)\n"
    "  --heads            compares the routed heads of a block (default: the last that routes) instead\n"
    "                     of classes: which of them the same tokens select, over the images of all\n"
    "                     classes\n"
    "  --format FORMAT    text (default): the pairs most and least alike; csv: the matrix; or json:\n"
    "                     one line, with the tree\n"
    "  -o, --output FILE  a figure of matrix and tree: ends in .svg, .png or .pdf\n"
    "  -h, --help         show this\n" FIGURE_OPTIONS_HELP(
        "88, a column",
        "300") "\n"
               "Classes without images are left out. The others are ordered so that classes that route\n"
               "alike stand together. Average-linkage clustering gives the order: the distance is the\n"
               "root of the mean divergence, and each cluster is turned so that closer leaves meet.\n"
               "\"tree\" in json has a row for each step: two clusters, their distance, and the number of\n"
               "leaves of the new one. Clusters are numbered as in SciPy's linkage: first the classes, by\n"
               "their place in \"classes\", then the steps.\n\n"
               "Heads are compared by Jaccard's index: the tokens that selected both / the tokens that\n"
               "selected either. The tree is of 1 - the index. joint is the tokens that selected both /\n"
               "all tokens. lift is joint / the product of both loads: 1 for heads that are independent.\n"
               "The lift that a router without preferences would have is printed as well.\n"
               "\"export --pairs\" prints these of all blocks.\n";

typedef struct relate_options {
    output_format format;
    bool heads;
    const char *file, *block, *output;
    drawing_format drawn;
    figure_options figure;
} relate_options;

/* Classes, or heads of a block, and how alike they are. */
typedef struct relation {
    const head_load *load;
    const routing_block *block; /* of heads; NULL: of classes */
    similarity_matrix s;
    char title[128];
    char *without; /* head_load_without */
    size_t *index; /* (count) of each class or head */
    char **names;  /* (count) */
} relation;

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

static head_pair heads_of(const relation *r, const pair *p)
{
    return head_pair_of(r->load, r->block->index, r->index[p->a], r->index[p->b]);
}

static void print_pairs(const relation *r, const char *title, const pair *pairs, size_t count)
{
    output_title(title);
    output_printf("\n%s", r->block ? "  jaccard    lift   joint\n" : "");
    for (size_t i = 0; i < count; i++) {
        output_printf("  %.4f  ", pairs[i].similarity);
        if (r->block) {
            const head_pair p = heads_of(r, &pairs[i]);
            output_printf(" %7.4f  %.4f  ", head_pair_lift(&p), head_pair_joint(&p));
        }
        output_name(r->names[pairs[i].a]);
        output_printf(" and ");
        output_name(r->names[pairs[i].b]);
        output_printf("\n");
    }
}

static void print_text(const relation *r, const relate_options *o)
{
    enum { SHOWN = 10 };
    size_t count = r->s.count * (r->s.count - 1) / 2, at = 0;
    pair *pairs = or_die(calloc(count + 1, sizeof *pairs));
    for (size_t i = 0; i < r->s.count; i++)
        for (size_t j = i + 1; j < r->s.count; j++)
            pairs[at++] = (pair){i, j, similarity_of(&r->s, i, j)};
    qsort(pairs, count, sizeof *pairs, by_similarity);
    output_printf("%s\n", r->title);
    if (r->without) {
        output_name(r->without);
        output_printf("\n");
    }
    if (r->block)
        output_printf("a router without preferences: lift %.4f\n", head_pair_even_lift(r->block));
    output_printf("\n");
    // Of few pairs none is in both lists.
    size_t least = count / 2 < SHOWN ? count / 2 : SHOWN, most = least < SHOWN ? count - least : SHOWN;
    if (most)
        print_pairs(r, "most alike", pairs, most);
    if (least) {
        output_printf("\n");
        print_pairs(r, "least alike", pairs + count - least, least);
    }
    if (o->output) {
        output_printf("\n");
        output_name(o->output);
        output_printf(": %zu %s%s, %zu mm wide\n", r->s.count, r->block ? "head" : "class",
                      r->s.count == 1 ? ""
                      : r->block      ? "s"
                                      : "es",
                      o->figure.width);
    }
    free(pairs);
}

// ---- The matrix ------------------------------------------------------------------------------------

static void print_csv(const relation *r)
{
    const similarity_matrix *s = &r->s;
    output_printf(r->block ? "head,label" : "class,label");
    for (size_t i = 0; i < s->count; i++)
        output_printf(",%zu", r->index[s->order[i]]);
    output_printf("\n");
    for (size_t i = 0; output_works() && i < s->count; i++) {
        output_printf("%zu,", r->index[s->order[i]]);
        output_csv_field(r->names[s->order[i]]);
        for (size_t j = 0; j < s->count; j++)
            output_printf(",%.9g", similarity_of(s, s->order[i], s->order[j]));
        output_printf("\n");
    }
}

static void print_tree(const similarity_matrix *s)
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

/* What rows of JSON stand before the matrix: of heads their pairs' numbers, from which all follows. */
static void print_heads(const relation *r)
{
    const similarity_matrix *s = &r->s;
    const head_pair any = head_pair_of(r->load, r->block->index, 0, 0);
    output_printf(",\"tokens\":%lld,\"even_lift\":%.9g,\"together\":[", (long long)any.tokens,
                  head_pair_even_lift(r->block));
    for (size_t i = 0; output_works() && i < s->count; i++)
        for (size_t j = 0; j < s->count; j++) {
            const head_pair p = heads_of(r, &(pair){s->order[i], s->order[j], 0});
            output_printf("%s%lld%s",
                          j   ? ","
                          : i ? ",["
                              : "[",
                          (long long)p.together, j + 1 == s->count ? "]" : "");
        }
    output_printf("]");
}

static void print_json(const relation *r, const char *only)
{
    const similarity_matrix *s = &r->s;
    const routing_layout *routing = &r->load->routing;
    json_t *names = or_die(json_array()), *blocks = or_die(json_array());
    size_t *indices = or_die(calloc(s->count, sizeof *indices));
    for (size_t i = 0; i < s->count; i++) {
        indices[i] = r->index[s->order[i]];
        json_add(names, json_text(r->names[s->order[i]]));
    }
    for (size_t b = 0; b < routing->count; b++)
        if (routing_routes(&routing->blocks[b]) && (!only || !strcmp(only, routing->blocks[b].name)))
            json_add(blocks, json_string(routing->blocks[b].name));
    output_printf("{\"blocks\":");
    output_json_part(blocks);
    output_printf(",\"%s\":", r->block ? "heads" : "classes");
    output_json_part(json_indices(indices, s->count));
    output_printf(",\"labels\":");
    output_json_part(names);
    if (r->block)
        print_heads(r);
    output_printf(",\"similarity\":[");
    for (size_t i = 0; output_works() && i < s->count; i++)
        for (size_t j = 0; j < s->count; j++)
            output_printf("%s%.9g%s",
                          j   ? ","
                          : i ? ",["
                              : "[",
                          similarity_of(s, s->order[i], s->order[j]), j + 1 == s->count ? "]" : "");
    print_tree(s);
    output_head_load_end(r->load);
    free(indices);
}

// ---- The figure ------------------------------------------------------------------------------------

/* Classes by their first name alone. */
static mohvit_status draw(const relation *r, const relate_options *o, mohvit_error *err)
{
    drawing d;
    double width = figure_points(&o->figure);
    char **names = or_die(calloc(r->s.count, sizeof *names));
    similarity_matrix s = r->s;
    s.names = names;
    for (size_t i = 0; i < s.count; i++)
        names[i] = or_die(r->block ? strdup(r->names[i]) : head_load_title(r->load, r->index[i]));
    mohvit_status status = drawing_begin(&d, o->output, o->drawn, &o->figure.style, width,
                                         similarity_figure_height(&s, width), err);
    if (!status) {
        similarity_figure(&d, &s, width);
        status = drawing_finish(&d, err);
    }
    for (size_t i = 0; i < s.count; i++)
        free(names[i]);
    free(names);
    return status;
}

// ---- The command line ------------------------------------------------------------------------------

static int show(relation *r, const relate_options *o, const char *only)
{
    mohvit_error err;
    r->s.title = r->title;
    r->s.names = r->names;
    r->s.without = r->without = head_load_without(r->load);
    if (o->output)
        figure_warn_font(&o->figure, o->drawn);
    bool fine = !o->output || fine_or_complain(draw(r, o, &err), &err);
    if (fine && o->format == FORMAT_CSV)
        print_csv(r);
    else if (fine && o->format == FORMAT_JSON)
        print_json(r, only);
    else if (fine)
        print_text(r, o);
    free(r->without);
    for (size_t i = 0; i < r->s.count; i++)
        free(r->names[i]);
    free(r->names);
    free(r->index);
    return fine ? EXIT_FINE : EXIT_INPUT;
}

/* Of `count` classes or heads, whose index and names are yet to be set. */
static relation relation_of(const head_load *l, const routing_block *block, size_t count,
                            const double *difference, const size_t *order, const cluster_step *steps)
{
    return (relation){.load = l,
                      .block = block,
                      .s = {.count = count, .difference = difference, .order = order, .steps = steps},
                      .index = or_die(calloc(count, sizeof(size_t))),
                      .names = or_die(calloc(count, sizeof(char *)))};
}

static int refuse(const relate_options *o, const mohvit_error *err)
{
    complain("%s: %s", o->file, err->message);
    return EXIT_INPUT;
}

static int relate_classes(const head_load *l, const relate_options *o, const routing_block *only)
{
    mohvit_error err;
    class_similarity s;
    class_choice all = {0};
    choice_add_counted(&all, l);
    mohvit_status status = class_similarity_compute(&s, l, only, all.classes, all.count, &err);
    free(all.classes);
    if (status)
        return refuse(o, &err);
    relation r = relation_of(l, NULL, s.count, s.divergence, s.order, s.steps);
    r.s.description = "A matrix of classes, those that route alike beside each other, and their dendrogram";
    for (size_t i = 0; i < s.count; i++) {
        r.index[i] = s.classes[i];
        r.names[i] = or_die(strdup(l->names.name[s.classes[i]]));
    }
    size_t used = (size_t)snprintf(r.title, sizeof r.title, "Routing similarity of %zu class%s, ", s.count,
                                   s.count == 1 ? "" : "es");
    if (only)
        snprintf(r.title + used, sizeof r.title - used, "block %s", only->name);
    else
        snprintf(r.title + used, sizeof r.title - used, "mean of %zu block%s", s.blocks, plural(s.blocks));
    int exit = show(&r, o, only ? only->name : NULL);
    class_similarity_free(&s);
    return exit;
}

static int relate_heads(const head_load *l, const relate_options *o, const routing_block *block)
{
    mohvit_error err;
    head_relation s;
    if (head_relation_compute(&s, l, block, &err))
        return refuse(o, &err);
    relation r = relation_of(l, block, s.count, s.difference, s.order, s.steps);
    r.s.description = "A matrix of heads, those that work for the same tokens beside each other, and their "
                      "dendrogram";
    for (size_t i = 0; i < s.count; i++) {
        r.index[i] = block->shared + i;
        r.names[i] = or_die(malloc(ROUTING_HEAD_NAME));
        routing_head_name(r.names[i], block, r.index[i]);
    }
    snprintf(r.title, sizeof r.title, "Co-activation of the %zu routed heads of block %s (Jaccard)", s.count,
             block->name);
    int exit = show(&r, o, block->name);
    head_relation_free(&s);
    return exit;
}

static int relate(const head_load *l, const relate_options *o)
{
    const routing_block *block =
        o->block || o->heads ? choice_block_or_complain(&l->routing, o->file, o->block) : NULL;
    if (!block && (o->block || o->heads))
        return o->block ? EXIT_USAGE : EXIT_INPUT;
    return o->heads ? relate_heads(l, o, block) : relate_classes(l, o, block);
}

enum { OPTION_BLOCK = OPTION_OWN, OPTION_HEADS };

static bool take_option(void *options, int code, const char *value)
{
    relate_options *o = options;
    switch (code) {
    case 'o':
        return takes_file(FILE_OUTPUT, "-o", value, &o->output);
    case OPTION_FORMAT:
        return parse_format(&o->format, value, true);
    case OPTION_HEADS:
        return o->heads = true;
    case OPTION_BLOCK:
        o->block = value;
        return choice_block_valid_or_complain(value);
    default:
        return figure_option(&o->figure, code, value);
    }
}

static int run_relate(int argc, char **argv)
{
    static const struct option table[] = {
        {"block", required_argument, NULL, OPTION_BLOCK},
        {"heads", no_argument, NULL, OPTION_HEADS},
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
    o.file = argv[optind];
    names_file(FILE_READ, NULL, o.file);
    parsed = outputs_check("headload relate");
    if (parsed != PARSED)
        return parsed;
    head_load *l = outputs_possible_or_complain() ? head_load_open_or_complain(o.file) : NULL;
    int exit = l ? relate(l, &o) : EXIT_INPUT;
    head_load_destroy(l);
    return exit;
}

const command command_headload_relate = {"headload relate", "say which classes, or heads, are alike", help,
                                         run_relate};

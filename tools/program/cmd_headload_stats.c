/* cmd_headload_stats.c - is the work balanced, which classes route alike, which heads are dead or special? */
#include "tools/program/command.h"
#include "tools/program/complain.h"
#include "tools/program/head_load_choice.h"
#include "tools/program/output.h"
#include "vit/headload/head_load_statistics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char help[] =
    "[OPTION ...] FILE\n"
    "Prints statistics of a head load, block by block, and details of one block.\n\n"
    "  --block S.B      the block whose details are printed; default: the last that routes. With json:\n"
    "                   only this block; default: all\n"
    "  --format FORMAT  text (default) or json: one line\n"
    "  -h, --help       show this\n\n"
    "  load         part of the tokens that select a head. \"balanced\" is the load that each head would\n"
    "               have if all had the same: routed / (heads - shared). \"deviation\" is the standard\n"
    "               deviation of the heads' loads / the balanced load (the coefficient of variation)\n"
    "  entropy      entropy of the routed heads' shares of all selections; at most log2(heads - shared),\n"
    "               if all have the same load\n"
    "  divergence   Jensen-Shannon divergence of the classes' shares. That of all classes together says\n"
    "               how much a selected head tells about the class; beside it is what shuffled labels\n"
    "               would give by chance. That of two classes is 0 if they route alike, and 1 if they\n"
    "               have no head in common; the mean of all pairs is printed. The class most like each\n"
    "               is said only if two random halves of the images agree\n"
    "  gate         the weight of a head's output for a token, 0 if the token did not select the head;\n"
    "               the mean over all tokens is printed. Gate share is a head's part of the gates of all\n"
    "               heads of the block, and \"routed\" the part of all routed heads together\n"
    "  dead heads   routed heads that no token selects: of any class, or of one\n"
    "  specificity  of a head: 1 - H(class | head) / log2(classes); 0 if every class loads the head the\n"
    "               same, 1 if one class alone uses it. A head is called class-specific if classes differ\n"
    "               by more than their images do (analysis of variance; of all heads of the file that are\n"
    "               called so, at most 5 % are expected to be false)\n"
    "\n"
    "All statistics weigh classes the same, however many images each has. Heads are s1, s2 ... (shared)\n"
    "and r1, r2 ... (routed); in JSON, \"head\" counts from 0, shared heads first. In a block that does\n"
    "not route, each token takes all heads.\n";

typedef struct stats_options {
    output_format format;
    const char *block;
} stats_options;

// ---- Text ------------------------------------------------------------------------------------------

static void print_heading(const head_load *l)
{
    size_t classes;
    int64_t images = head_load_images(l, &classes);
    output_title(l->routing.model);
    output_printf(": %lld image%s of %zu class%s, %.4g %% of the heads active\n", (long long)images,
                  plural((uint64_t)images), classes, classes == 1 ? "" : "es",
                  routing_layout_active_percent(&l->routing));
    char *without = head_load_without(l);
    if (without) {
        output_name(without);
        output_printf("\n");
    }
    free(without);
    if (!l->has_squares)
        output_printf("no intervals: 0.1 counted this file, without the sums that they need\n");
    output_printf("\n");
    static const char *const lines[] = {
        "                        load of a routed head:               g"
        "ate of   entropy of      divergence of classes, bits",
        "       shared  a token  part of the tokens that select it    r"
        "outed    loads, bits       of all        by    of two   dead",
        "block   heads  selects  balanced  lowest  highest  deviation  "
        "heads       is  at most              chance            heads",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        output_printf("%s\n", lines[i]);
}

/* As many decimals as tell the two apart, with two digits of what is between them. */
static int decimals_for(double a, double b)
{
    int needed = a == b || isnan(b) ? 0 : 1 - (int)floor(log10(fabs(a - b)));
    return needed < 4 ? 4 : needed < 15 ? needed : 15;
}

static void print_known(int width, int decimals, double value)
{
    if (isnan(value))
        output_printf("  %*s", width, "-");
    else
        output_printf("  %*.*f", width, decimals, value);
}

static void print_line(const block_statistics *s)
{
    int decimals = decimals_for(s->divergence, s->chance);
    output_printf("%5s  %6zu  %2zu of %2zu  %8.3f  %6.3f  %7.3f  %7.1f %%  %5.1f %%  %5.3f    %5.3f",
                  s->block->name, s->block->shared, s->block->routed, routing_candidates(s->block),
                  routing_balanced(s->block), s->min, s->max, 100 * s->cv, 100 * s->routed_share, s->entropy,
                  log2((double)routing_candidates(s->block)));
    print_known(8, decimals, s->classes > 1 ? s->divergence : NAN); // of one class there is none
    print_known(8, decimals, s->chance);
    print_known(8, 4, s->compared ? s->mean_divergence : NAN);
    output_printf("  %5zu\n", s->dead_count);
}

static void print_not_routing(const routing_block *b)
{
    output_printf("%5s  %6zu  %2zu of %2zu  does not route: all heads are always on\n", b->name, b->shared,
                  b->routed, routing_candidates(b));
}

static void print_pair(const head_load *l, const char *what, const class_pair *p)
{
    output_printf("%s ", what);
    output_name(l->names.name[p->a]);
    output_printf(" and ");
    output_name(l->names.name[p->b]);
    output_printf(" (divergence %.4f bits)\n", p->divergence);
}

static void print_specific(const head_load *l, const routing_block *b, const specific_head *h)
{
    char name[ROUTING_HEAD_NAME];
    int decimals = decimals_for(h->specificity, h->chance);
    routing_head_name(name, b, h->head);
    output_printf("  %4s", name);
    print_known(11, decimals, h->specificity);
    print_known(9, decimals, h->chance);
    output_printf("  %9.3f  %10.3f  ", h->load, h->mean);
    output_name(l->names.name[h->class_index]);
    output_printf("\n");
}

/* Of all classes, then of some: "r3: one, two". */
static void print_dead(const head_load *l, const block_statistics *s)
{
    enum { SHOWN = 10 };
    char name[ROUTING_HEAD_NAME];
    for (size_t i = 0; i < s->dead_count; i++) {
        routing_head_name(name, s->block, s->dead[i]);
        output_printf("%s%s", i ? " " : "\ndead heads: ", name);
    }
    output_printf("%s", s->dead_count ? "\n" : "");
    for (size_t i = 0; i < s->dead_for_count && i < SHOWN; i++) {
        routing_head_name(name, s->block, s->dead_for[i].head);
        output_printf("%s%s for ", i ? ", " : "\ndead for a class: ", name);
        output_name(l->names.name[s->dead_for[i].class_index]);
    }
    if (s->dead_for_count > SHOWN)
        output_printf(" and %zu more; --format json has all", s->dead_for_count - SHOWN);
    output_printf("%s", s->dead_for_count ? "\n" : "");
}

/* Without squares nothing tells which are. */
static void print_heads(const head_load *l, const block_statistics *s)
{
    enum { SHOWN = 10 };
    size_t count = 0, shown = 0;
    for (size_t i = 0; i < s->specific_count; i++)
        count += s->specific[i].specific || !l->has_squares;
    if (!count && s->classes > 1)
        output_printf("\nno class-specific heads: classes differ no more than by chance\n");
    if (count)
        output_printf(
            "\n%s\n"
            "        specificity         by   load for  mean load\n"
            "  head       0 to 1     chance  the class  of classes  the class, which loads it most\n",
            l->has_squares ? "class-specific heads" : "most specific heads; chance alone may make them so");
    for (size_t i = 0; i < s->specific_count && shown < SHOWN; i++) {
        if (!s->specific[i].specific && l->has_squares)
            continue;
        print_specific(l, s->block, &s->specific[i]);
        shown++;
    }
    if (count > shown)
        output_printf("  ... and %zu more; --format json has all\n", count - shown);
    print_dead(l, s);
}

static void print_means(const block_statistics *s)
{
    output_printf("\nall heads (s: shared, r: routed): %s\n"
                  "  head   load   gate  gate share\n",
                  s->classes == 1 ? "of the class" : "means over the classes");
    for (size_t h = 0; h < s->block->heads; h++) {
        char name[ROUTING_HEAD_NAME];
        routing_head_name(name, s->block, h);
        output_printf("  %4s  %5.3f  %5.3f     %5.1f %%\n", name, s->means[h].load, s->means[h].gate,
                      100 * s->means[h].gate_share);
    }
}

static const double *sort_by;

static int by_divergence(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    if (sort_by[x] != sort_by[y])
        return sort_by[x] < sort_by[y] ? -1 : 1;
    return (x > y) - (x < y);
}

/* The pairs of each other's nearest, closest first. */
static void print_alike(const head_load *l, const block_statistics *s)
{
    enum { SHOWN = 20 };
    size_t count = 0, *order = or_die(calloc(l->names.count, sizeof *order));
    for (size_t c = 0; c < l->names.count; c++)
        if (s->like_agreed[c])
            order[count++] = c;
    sort_by = s->like_divergence;
    qsort(order, count, sizeof *order, by_divergence);
    output_printf("\nfor each class, the one that routes most like it%s (divergence in bits)\n",
                  l->has_squares ? ", if both halves of the images agree" : "");
    for (size_t i = 0; i < count && i < SHOWN; i++) {
        output_printf("  %.4f  ", s->like_divergence[order[i]]);
        output_name(l->names.name[order[i]]);
        output_printf(" like ");
        output_name(l->names.name[s->like[order[i]]]);
        output_printf("\n");
    }
    if (count > SHOWN)
        output_printf("  ... and %zu more class%s; --format json has all\n", count - SHOWN,
                      count - SHOWN == 1 ? "" : "es");
    free(order);
}

static void print_details(const head_load *l, const block_statistics *s)
{
    char title[64];
    snprintf(title, sizeof title, "block %s", s->block->name);
    output_printf("\n");
    output_title(title);
    output_printf("\n");
    if (!s->classes) {
        output_printf("no images\n");
        return;
    }
    if (s->compared) {
        if (s->nearest_agreed)
            print_pair(l, "classes that route most alike:  ", &s->nearest);
        else
            output_printf("classes that route most alike:   not the same in both halves of the images\n");
        print_pair(l, "classes that route least alike: ", &s->farthest);
    } else if (s->classes == 1) {
        output_printf("one class: there is no other to compare it with\n");
    } else {
        output_printf("pairs of classes are compared where there are 2 to %d\n", STATISTICS_MAX_CLASSES);
    }
    print_means(s);
    print_heads(l, s);
    if (s->compared)
        print_alike(l, s);
}

static int print_text(const head_load *l, const routing_block *detailed, const class_tests *tests,
                      mohvit_error *err)
{
    print_heading(l);
    for (size_t b = 0; output_works() && b < l->routing.count; b++) {
        block_statistics s;
        if (!routing_routes(&l->routing.blocks[b])) {
            print_not_routing(&l->routing.blocks[b]);
            continue;
        }
        if (block_statistics_compute(&s, l, b, tests, err))
            return EXIT_INPUT;
        if (s.classes)
            print_line(&s);
        block_statistics_free(&s);
    }
    block_statistics s;
    if (block_statistics_compute(&s, l, detailed->index, tests, err))
        return EXIT_INPUT;
    print_details(l, &s);
    block_statistics_free(&s);
    return EXIT_FINE;
}

// ---- JSON ------------------------------------------------------------------------------------------

/* only NULL: all blocks. */
static int print_json(const head_load *l, const routing_block *only, const class_tests *tests,
                      mohvit_error *err)
{
    output_printf("{\"blocks\":[");
    for (size_t b = only ? only->index : 0; b < (only ? only->index + 1 : l->routing.count); b++) {
        block_statistics s;
        if (block_statistics_compute(&s, l, b, tests, err))
            return EXIT_INPUT;
        output_printf("%s", b && !only ? "," : "");
        output_json_part(or_die(block_statistics_to_json(&s, &l->names)));
        block_statistics_free(&s);
    }
    output_head_load_end(l);
    return EXIT_FINE;
}

// ---- The command line ------------------------------------------------------------------------------

enum { OPTION_BLOCK = OPTION_OWN };

static bool take_option(void *options, int code, const char *value)
{
    stats_options *o = options;
    if (code == OPTION_FORMAT)
        return parse_format(&o->format, value, false);
    o->block = value;
    return choice_block_valid_or_complain(value);
}

static int print_stats(const head_load *l, const char *name, const stats_options *o)
{
    mohvit_error err = {0};
    bool all = o->format == FORMAT_JSON && !o->block;
    const routing_block *block = all ? NULL : choice_block_or_complain(&l->routing, name, o->block);
    if (!all && !block)
        return o->block ? EXIT_USAGE : EXIT_INPUT;
    class_tests tests;
    int exit = EXIT_INPUT;
    if (!class_tests_run(&tests, l, &err))
        exit = o->format == FORMAT_JSON ? print_json(l, block, &tests, &err)
                                        : print_text(l, block, &tests, &err);
    class_tests_free(&tests);
    if (exit)
        complain("%s: %s", name, err.message);
    return exit;
}

static int run_stats(int argc, char **argv)
{
    static const struct option table[] = {
        {"format", required_argument, NULL, OPTION_FORMAT},
        {"block", required_argument, NULL, OPTION_BLOCK},
        LAST_OPTIONS,
    };
    stats_options o = {0};
    int parsed = options_read(&command_headload_stats, argc, argv, "", table, take_option, &o);
    if (parsed != PARSED)
        return parsed;
    if (argc - optind != 1)
        return usage_error("headload stats", "expected one head load");
    head_load *l = head_load_open_or_complain(argv[optind]);
    if (!l)
        return EXIT_INPUT;
    int exit = print_stats(l, argv[optind], &o);
    head_load_destroy(l);
    return exit;
}

const command command_headload_stats = {"headload stats", "print statistics of a head load", help, run_stats};

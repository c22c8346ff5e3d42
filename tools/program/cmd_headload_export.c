/* cmd_headload_export.c - a head load as tidy rows. */
#include "tools/program/command.h"
#include "tools/program/complain.h"
#include "tools/program/head_load_choice.h"
#include "tools/program/json_build.h"
#include "tools/program/output.h"
#include "vit/headload/head_relation.h"
#include "vit/headload/interval.h"

#include <math.h>

static const char help[] =
    "FILE --csv|--json [--pairs]\n"
    "Prints a head load as tidy rows, one for each class, block and head: class, id, label, stage,\n"
    "block, head, kind, tokens, active, load, share, gate, images, load_low, load_high,\n"
    "load_reliable, gate_low, gate_high, gate_reliable, gate_share.\n\n"
    "  --csv       a header and rows; a value that does not exist is an empty field\n"
    "  --json      one line: {\"rows\":[{...} ...],\"data\",\"provenance\"}\n"
    "  --pairs     of pairs of heads, over all classes: stage, block, head_a, kind_a, head_b, kind_b,\n"
    "              tokens, active_a, active_b, together, joint, lift, jaccard (see relate --help)\n"
    "  -h, --help  show this\n\n"
    "Classes, heads, and blocks within a stage count from 0, and stages from 1, as in the names of the\n"
    "tensors. Shared heads come first. Figures call the first shared head s1, and the first one after\n"
    "the shared heads r1.\n\n"
    "  load        active / tokens\n"
    "  share       a routed head's part of all selections of routed heads\n"
    "  gate        the mean over all tokens, with 0 for those that did not select the head\n"
    "  gate_share  the head's part of the gates of all heads of the block; it has no interval\n"
    "  low, high   95 % intervals over the class's images; none for fewer than two images, or in a head\n"
    "              load that 0.1 counted\n"
    "  reliable    0 if few images decide the interval\n";

typedef struct export_options {
    int csv, json, pairs;
} export_options;

typedef struct row {
    size_t class_index, head;
    const routing_block *block;
    int64_t images, tokens, active, all; /* all: active of all routed heads */
    double gate_value, gate_share;
    interval load, gate;
} row;

static const char *kind_of(const routing_block *b, size_t head)
{
    return head < b->shared ? "shared" : "routed";
}

/* NaN where the class has no tokens. */
static double load(const row *r)
{
    return (double)r->active / (double)r->tokens;
}

/* NaN of a shared head, which is not selected. */
static double share(const row *r)
{
    return r->head < r->block->shared ? NAN : (double)r->active / (double)r->all;
}

// ---- CSV -------------------------------------------------------------------------------------------

static void print_csv_number(double value)
{
    if (isfinite(value))
        output_printf(",%.9g", value);
    else
        output_printf(",");
}

static void print_csv_interval(const interval *i)
{
    print_csv_number(i->low);
    print_csv_number(i->high);
    output_printf(isfinite(i->low) ? i->reliable ? ",1" : ",0" : ",");
}

static void print_csv(const head_load *l, const row *r)
{
    const char *id = l->names.id[r->class_index];
    output_printf("%zu,", r->class_index);
    output_csv_field(id ? id : "");
    output_printf(",");
    output_csv_field(l->names.name[r->class_index]);
    output_printf(",%zu,%zu,%zu,%s,%lld,%lld", r->block->stage, r->block->block, r->head,
                  kind_of(r->block, r->head), (long long)r->tokens, (long long)r->active);
    print_csv_number(load(r));
    print_csv_number(share(r));
    print_csv_number(r->gate_value);
    output_printf(",%lld", (long long)r->images);
    print_csv_interval(&r->load);
    print_csv_interval(&r->gate);
    print_csv_number(r->gate_share);
    output_printf("\n");
}

// ---- JSON ------------------------------------------------------------------------------------------

static json_t *json_reliable(const interval *i)
{
    return isfinite(i->low) ? json_boolean(i->reliable) : json_null();
}

/* A row at a time: half a million of them as objects would take a gigabyte. */
static void print_json(const head_load *l, const row *r)
{
    json_t *object = or_die(json_object());
    json_put(object, "class", json_integer((json_int_t)r->class_index));
    json_put(object, "id", json_text(l->names.id[r->class_index]));
    json_put(object, "label", json_text(l->names.name[r->class_index]));
    json_put(object, "stage", json_integer((json_int_t)r->block->stage));
    json_put(object, "block", json_integer((json_int_t)r->block->block));
    json_put(object, "head", json_integer((json_int_t)r->head));
    json_put(object, "kind", json_text(kind_of(r->block, r->head)));
    json_put(object, "tokens", json_integer(r->tokens));
    json_put(object, "active", json_integer(r->active));
    json_put(object, "load", json_finite(load(r)));
    json_put(object, "share", json_finite(share(r)));
    json_put(object, "gate", json_finite(r->gate_value));
    json_put(object, "images", json_integer(r->images));
    json_put(object, "load_low", json_finite(r->load.low));
    json_put(object, "load_high", json_finite(r->load.high));
    json_put(object, "load_reliable", json_reliable(&r->load));
    json_put(object, "gate_low", json_finite(r->gate.low));
    json_put(object, "gate_high", json_finite(r->gate.high));
    json_put(object, "gate_reliable", json_reliable(&r->gate));
    json_put(object, "gate_share", json_finite(r->gate_share));
    output_json_part(object);
}

// ---- Walking ---------------------------------------------------------------------------------------

/* t: of the class's images. */
static void print_block(const head_load *l, const export_options *o, size_t class_index, size_t block,
                        double t, bool *first)
{
    row r = {.class_index = class_index,
             .images = l->images[class_index],
             .block = &l->routing.blocks[block],
             .tokens = head_load_tokens(l, class_index, block)};
    for (size_t h = r.block->shared; h < r.block->heads; h++)
        r.all += l->active[head_load_at(l, class_index, block, h)];
    for (r.head = 0; r.head < r.block->heads; r.head++) {
        r.active = l->active[head_load_at(l, class_index, block, r.head)];
        r.gate_value = head_load_gate_mean(l, class_index, block, r.head);
        r.gate_share = head_load_gate_share(l, class_index, block, r.head);
        r.load = interval_of_load(l, class_index, block, r.head, t);
        r.gate = interval_of_gate(l, class_index, block, r.head, t);
        if (o->json) {
            output_printf("%s", *first ? "" : ",");
            print_json(l, &r);
        } else {
            print_csv(l, &r);
        }
        *first = false;
    }
}

static void export_rows(const head_load *l, const export_options *o)
{
    bool first = true;
    output_printf("%s", o->json ? "{\"rows\":["
                                : "class,id,label,stage,block,head,kind,tokens,active,load,share,gate,"
                                  "images,load_low,load_high,load_reliable,gate_low,gate_high,gate_reliable,"
                                  "gate_share\n");
    for (size_t c = 0; output_works() && c < l->names.count; c++) {
        double t = interval_t(l->images[c]);
        for (size_t b = 0; b < l->routing.count; b++)
            print_block(l, o, c, b, t, &first);
    }
    if (o->json)
        output_head_load_end(l);
}

// ---- Pairs -----------------------------------------------------------------------------------------

static void print_pair(const routing_block *b, const head_pair *p, const export_options *o, bool first)
{
    const struct {
        const char *key;
        double value;
    } measures[] = {
        {"joint", head_pair_joint(p)}, {"lift", head_pair_lift(p)}, {"jaccard", head_pair_jaccard(p)}};
    enum { MEASURES = sizeof measures / sizeof *measures };
    if (o->csv) {
        output_printf("%zu,%zu,%zu,%s,%zu,%s,%lld,%lld,%lld,%lld", b->stage, b->block, p->a, kind_of(b, p->a),
                      p->b, kind_of(b, p->b), (long long)p->tokens, (long long)p->active_a,
                      (long long)p->active_b, (long long)p->together);
        for (size_t i = 0; i < MEASURES; i++)
            print_csv_number(measures[i].value);
        output_printf("\n");
        return;
    }
    json_t *object = or_die(json_pack(
        "{s:I, s:I, s:I, s:s, s:I, s:s, s:I, s:I, s:I, s:I}", "stage", (json_int_t)b->stage, "block",
        (json_int_t)b->block, "head_a", (json_int_t)p->a, "kind_a", kind_of(b, p->a), "head_b",
        (json_int_t)p->b, "kind_b", kind_of(b, p->b), "tokens", (json_int_t)p->tokens, "active_a",
        (json_int_t)p->active_a, "active_b", (json_int_t)p->active_b, "together", (json_int_t)p->together));
    for (size_t i = 0; i < MEASURES; i++)
        json_put(object, measures[i].key, json_finite(measures[i].value));
    output_printf(first ? "" : ",");
    output_json_part(object);
}

/* Each pair once, and no head with itself. */
static bool export_pairs_or_complain(const head_load *l, const char *name, const export_options *o)
{
    bool first = true;
    if (!l->together) {
        complain("%s: does not say which heads the same tokens selected; 0.1 did not count that", name);
        return false;
    }
    output_printf("%s", o->json ? "{\"rows\":["
                                : "stage,block,head_a,kind_a,head_b,kind_b,tokens,active_a,active_b,together,"
                                  "joint,lift,jaccard\n");
    for (size_t b = 0; output_works() && b < l->routing.count; b++) {
        const routing_block *block = &l->routing.blocks[b];
        for (size_t i = 0; i < block->heads; i++) {
            for (size_t j = i + 1; j < block->heads; j++) {
                const head_pair p = head_pair_of(l, b, i, j);
                print_pair(block, &p, o, first);
                first = false;
            }
        }
    }
    if (o->json)
        output_head_load_end(l);
    return true;
}

// ---- The command line ------------------------------------------------------------------------------

static int run_export(int argc, char **argv)
{
    export_options o = {0};
    const struct option table[] = {
        {"csv", no_argument, &o.csv, FLAG_SET},
        {"json", no_argument, &o.json, FLAG_SET},
        {"pairs", no_argument, &o.pairs, FLAG_SET},
        LAST_OPTIONS,
    };
    int parsed = options_read(&command_headload_export, argc, argv, "", table, NULL, NULL);
    if (parsed != PARSED)
        return parsed;
    if (argc - optind != 1)
        return usage_error("headload export", "expected one head load");
    if (o.csv == o.json)
        return usage_error("headload export", "expected --csv or --json");
    head_load *l = head_load_open_or_complain(argv[optind]);
    if (!l)
        return EXIT_INPUT;
    bool fine = !o.pairs || export_pairs_or_complain(l, argv[optind], &o);
    if (!o.pairs)
        export_rows(l, &o);
    head_load_destroy(l);
    return fine ? EXIT_FINE : EXIT_INPUT;
}

const command command_headload_export = {"headload export", "print a head load as tidy rows", help,
                                         run_export};

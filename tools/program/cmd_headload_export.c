/* cmd_headload_export.c - a head load as tidy rows. */
#include "tools/program/command.h"
#include "tools/program/complain.h"
#include "tools/program/head_load_choice.h"
#include "tools/program/json_build.h"
#include "tools/program/output.h"
#include "vit/headload/interval.h"

#include <math.h>

static const char help[] =
    "FILE --csv|--json\n"
    "Prints a head load as tidy rows, one for each class, block and head: class, id, label, stage,\n"
    "block, head, kind, tokens, active, load, share, gate, images, load_low, load_high,\n"
    "load_reliable, gate_low, gate_high, gate_reliable, gate_share.\n\n"
    "  --csv       a heading and rows; what does not exist is empty\n"
    "  --json      one line: {\"rows\":[{...} ...],\"data\",\"provenance\"}\n"
    "  -h, --help  show this\n\n"
    "Classes, blocks within a stage, and heads count from 0, stages from 1, as in the names of the\n"
    "tensors; shared heads come first: s1, the first shared head for people, is head 0, and r1 the\n"
    "first one behind them. load is active / tokens, share a routed head's part of all selections of\n"
    "routed heads, gate the mean over all tokens, with 0 for those that did not select the head. low and "
    "high are 95 % intervals over the class's images; reliable\n"
    "is 0 where few images decide. Of fewer than two images, and in head loads that 0.1 counted, there\n"
    "are none. gate_share is the head's part of the gates of all heads of the block.\n";

typedef struct export_options {
    int csv, json;
} export_options;

typedef struct row {
    size_t class_index, head;
    const routing_block *block;
    int64_t images, tokens, active, all; /* all: active of all routed heads */
    double gate_value, gate_share;
    interval load, gate;
} row;

static const char *kind(const row *r)
{
    return r->head >= r->block->shared ? "routed" : "shared";
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
    output_printf(",%zu,%zu,%zu,%s,%lld,%lld", r->block->stage, r->block->block, r->head, kind(r),
                  (long long)r->tokens, (long long)r->active);
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
    json_put(object, "kind", json_text(kind(r)));
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

// ---- The command line ------------------------------------------------------------------------------

static int run_export(int argc, char **argv)
{
    export_options o = {0};
    const struct option table[] = {
        {"csv", no_argument, &o.csv, FLAG_SET},
        {"json", no_argument, &o.json, FLAG_SET},
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
    export_rows(l, &o);
    head_load_destroy(l);
    return EXIT_FINE;
}

const command command_headload_export = {"headload export", "print a head load as tidy rows", help,
                                         run_export};

/* cmd_headload_export.c - a head load as tidy rows. */
#include "tools/program/command.h"
#include "tools/program/complain.h"
#include "tools/program/head_load_choice.h"
#include "tools/program/json_build.h"
#include "tools/program/output.h"

#include <math.h>

static const char help[] =
    "FILE --csv|--json\n"
    "Prints a head load as tidy rows, one for each class, block and head: class, id, label, stage,\n"
    "block, head, kind, tokens, active, load, share, gate_mean.\n\n"
    "  --csv       a heading and rows; what does not exist is empty\n"
    "  --json      one line: {\"rows\":[{...} ...],\"data\",\"provenance\"}\n"
    "  -h, --help  show this\n\n"
    "Classes, blocks within a stage, and heads count from 0, stages from 1, as in the names of the\n"
    "tensors. Shared heads come first; figures number the routed ones from 1. load is active /\n"
    "tokens, share is active / that of all heads, gate_mean is over all tokens, with 0 for those\n"
    "that did not select the head.\n";

typedef struct export_options {
    int csv, json;
} export_options;

typedef struct row {
    size_t class_index, head;
    const routing_block *block;
    int64_t tokens, active, all; /* all: active of all heads */
    double gate_sum;
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

static double share(const row *r)
{
    return (double)r->active / (double)r->all;
}

static double gate_mean(const row *r)
{
    return r->gate_sum / (double)r->tokens;
}

// ---- CSV -------------------------------------------------------------------------------------------

static void print_csv_number(double value)
{
    if (isfinite(value))
        output_printf(",%.9g", value);
    else
        output_printf(",");
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
    print_csv_number(gate_mean(r));
    output_printf("\n");
}

// ---- JSON ------------------------------------------------------------------------------------------

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
    json_put(object, "gate_mean", json_finite(gate_mean(r)));
    output_json_part(object);
}

// ---- Walking ---------------------------------------------------------------------------------------

static void print_block(const head_load *l, const export_options *o, size_t class_index, size_t block,
                        bool *first)
{
    row r = {.class_index = class_index,
             .block = &l->routing.blocks[block],
             .tokens = head_load_tokens(l, class_index, block)};
    for (size_t h = 0; h < r.block->heads; h++)
        r.all += l->active[head_load_at(l, class_index, block, h)];
    for (r.head = 0; r.head < r.block->heads; r.head++) {
        r.active = l->active[head_load_at(l, class_index, block, r.head)];
        r.gate_sum = head_load_gate_sum(l, class_index, block, r.head);
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
    output_printf("%s", o->json
                            ? "{\"rows\":["
                            : "class,id,label,stage,block,head,kind,tokens,active,load,share,gate_mean\n");
    for (size_t c = 0; output_works() && c < l->names.count; c++)
        for (size_t b = 0; b < l->routing.count; b++)
            print_block(l, o, c, b, &first);
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

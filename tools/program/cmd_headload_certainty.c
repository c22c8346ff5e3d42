/* cmd_headload_certainty.c - how sure are routers of what they choose, and does that stay where a picture
 * hardly changes? */
#include "eval/certainty_record.h"
#include "tools/program/command.h"
#include "tools/program/complain.h"
#include "tools/program/eval_output.h"
#include "tools/program/evaluation.h"
#include "tools/program/json_build.h"
#include "tools/program/output.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static const char help[] =
    "[OPTION ...] DATA ...\n"
    "Runs pictures, with classes or without, three times: as they are, mirrored, and moved to the right\n"
    "by a few pixels. Prints for each block that routes how sure its router is: the entropy of its\n"
    "probabilities over the heads that it chooses from, the margin between the last head that it chooses\n"
    "and the first that it does not, and how much of its choice stays the same. --sample 2000 is enough.\n"
    "\n" EVALUATION_DATA_HELP
    "\n  --shift N           pixels; default 4. What comes in at the left repeats the picture's edge\n"
    "  --format FORMAT     text (default), json: one line, or csv: a row a block\n"
    "  -h, --help          show this\n" EVALUATION_OPTIONS_HELP ROUTED_HEADS_HELP DROP_HEADS_HELP RUNNING_HELP
    "\nEntropy is in bits, at most log2(heads to choose from). Margin is in units of the router's scores: e\n"
    "to the margin is the ratio of the two probabilities. Both are means over tokens. A choice is a token\n"
    "and a head. \"flipped\" and \"shifted\" are the share of all choices that are made again by the token\n"
    "nearest to the mirrored or moved place; tokens that leave the picture are left out. \"chance\" is the\n"
    "share that another token of the same picture, drawn at random, makes again. A picture that fails is\n"
    "listed and left out; the exit status is then 1. A run that a signal stops prints the results so far;\n"
    "with --state, the same command goes on from there.\n";

typedef struct certainty_options {
    evaluation_options run;
    output_format format;
} certainty_options;

/* Of a block, over all pictures. */
typedef struct result_row {
    const routing_block *block;
    double entropy, margin, stayed[CERTAINTY_CHANGES], chance;
} result_row;

/* What is printed. */
typedef struct result {
    const evaluation *e;
    totals totals;
    result_row *rows; /* (count) blocks that route */
    size_t count;
} result;

// ---- The result ------------------------------------------------------------------------------------

/* NaN without images. */
static result_row row_of(const certainty *c, const routing_block *b, const certainty_counts *sums,
                         uint64_t images)
{
    double tokens = (double)images * (double)b->tokens;
    result_row r = {.block = b,
                    .entropy = (double)sums->entropy / CERTAINTY_UNIT / tokens,
                    .margin = (double)sums->margin / CERTAINTY_UNIT / tokens,
                    .chance = (double)sums->squares / tokens / (double)(b->tokens * b->routed)};
    for (size_t i = 0; i < CERTAINTY_CHANGES; i++)
        r.stayed[i] = (double)sums->stayed[i] /
                      ((double)images * (double)certainty_selections(c, b, (certainty_change)i));
    return r;
}

static mohvit_status collect(result *r, const record_set *s, mohvit_error *err)
{
    const routing_layout *l = mohvit_routing(r->e->certainty.model);
    certainty_counts *sums = or_die(calloc(l->count, sizeof *sums));
    r->rows = or_die(calloc(l->count, sizeof *r->rows));
    mohvit_status status = eval_count(&r->totals, s, NULL, err);
    if (!status)
        status = certainty_collect(sums, &r->e->certainty, s, err);
    for (size_t b = 0; !status && b < l->count; b++)
        if (routing_routes(&l->blocks[b]))
            r->rows[r->count++] = row_of(&r->e->certainty, &l->blocks[b], &sums[b], r->totals.images);
    free(sums);
    return status;
}

// ---- Printing --------------------------------------------------------------------------------------

static double most_entropy(const routing_block *b)
{
    return log2((double)routing_candidates(b));
}

/* A part of all choices; none were made where no token's place is left after a shift. */
static void print_part(double part)
{
    if (isfinite(part))
        output_printf("  %6.2f %%", 100 * part);
    else
        output_printf("  %8s", "-");
}

static void print_text(const result *r)
{
    output_printf("%" PRIu64 " image%s", r->totals.images, plural(r->totals.images));
    if (r->totals.images + r->totals.failed < r->e->images)
        output_printf(" of %zu", r->e->images);
    output_printf(", shifted by %zu pixel%s\n\n", r->e->certainty.shift, plural(r->e->certainty.shift));
    if (!r->totals.images)
        return;
    output_printf("block   heads  entropy  at most   margin   flipped   shifted    chance\n");
    for (size_t i = 0; i < r->count; i++) {
        const result_row *w = &r->rows[i];
        output_printf("%-6s  %2zu/%-2zu  %7.4f  %7.4f  %7.4f", w->block->name, w->block->routed,
                      routing_candidates(w->block), w->entropy, most_entropy(w->block), w->margin);
        print_part(w->stayed[CERTAINTY_FLIP]);
        print_part(w->stayed[CERTAINTY_SHIFT]);
        print_part(w->chance);
        output_printf("\n");
    }
}

static void print_json(const result *r, const record_set *s)
{
    json_t *rows = or_die(json_array());
    for (size_t i = 0; i < r->count; i++) {
        const result_row *w = &r->rows[i];
        json_add(rows, or_die(json_pack(
                           "{s:I, s:I, s:I, s:I, s:I, s:o, s:f, s:o, s:o, s:o, s:o}", "stage",
                           (json_int_t)w->block->stage, "block", (json_int_t)w->block->block, "candidates",
                           (json_int_t)routing_candidates(w->block), "routed", (json_int_t)w->block->routed,
                           "tokens", (json_int_t)w->block->tokens, "entropy", json_finite(w->entropy),
                           "entropy_max", most_entropy(w->block), "margin", json_finite(w->margin), "flipped",
                           json_finite(w->stayed[CERTAINTY_FLIP]), "shifted",
                           json_finite(w->stayed[CERTAINTY_SHIFT]), "chance", json_finite(w->chance))));
    }
    output_json(or_die(json_pack("{s:I, s:I, s:b, s:I, s:o, s:o}", "images", (json_int_t)r->totals.images,
                                 "failed", (json_int_t)r->totals.failed, "complete", !r->e->stopped, "shift",
                                 (json_int_t)r->e->certainty.shift, "blocks", rows, "provenance",
                                 eval_provenance(s, &r->totals))));
}

static void print_csv(const result *r)
{
    output_printf("stage,block,candidates,routed,tokens,images,shift,entropy,entropy_max,margin,flipped,"
                  "shifted,chance\n");
    for (size_t i = 0; i < r->count; i++) {
        const result_row *w = &r->rows[i];
        const double values[] = {w->entropy,
                                 most_entropy(w->block),
                                 w->margin,
                                 w->stayed[CERTAINTY_FLIP],
                                 w->stayed[CERTAINTY_SHIFT],
                                 w->chance};
        output_printf("%zu,%zu,%zu,%zu,%zu,%" PRIu64 ",%zu", w->block->stage, w->block->block,
                      routing_candidates(w->block), w->block->routed, w->block->tokens, r->totals.images,
                      r->e->certainty.shift);
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            if (isfinite(values[v]))
                output_printf(",%.9g", values[v]);
            else
                output_printf(",");
        }
        output_printf("\n");
    }
}

// ---- The command -----------------------------------------------------------------------------------

static int finish(const void *user, const evaluation *e)
{
    const certainty_options *o = user;
    const record_set set = {&e->journal, 1};
    result r = {.e = e};
    mohvit_error err;
    bool fine = fine_or_complain(collect(&r, &set, &err), &err);
    if (fine && o->format == FORMAT_JSON)
        print_json(&r, &set);
    else if (fine && o->format == FORMAT_CSV)
        print_csv(&r);
    else if (fine)
        print_text(&r);
    fine = fine && !r.totals.failed && !e->stopped;
    totals_free(&r.totals);
    free(r.rows);
    return fine ? EXIT_FINE : EXIT_INPUT;
}

enum { OPTION_SHIFT = OPTION_OWN };

static bool take_option(void *options, int code, const char *value)
{
    certainty_options *o = options;
    switch (code) {
    case OPTION_FORMAT:
        return parse_format(&o->format, value, true);
    case OPTION_SHIFT:
        return parse_whole(&o->run.shift, "--shift", value, 0, 1000000);
    default:
        return evaluation_option(&o->run, code, value);
    }
}

static int run_certainty(int argc, char **argv)
{
    static const struct option table[] = {
        {"shift", required_argument, NULL, OPTION_SHIFT},
        {"format", required_argument, NULL, OPTION_FORMAT},
        EVALUATION_OPTIONS,
        LAST_OPTIONS,
    };
    certainty_options o = {0};
    evaluation_options_begin(&o.run, "headload certainty");
    o.run.probes = o.run.by_prediction = true; // pictures need no class
    o.run.shift = 4;
    int parsed =
        options_read(&command_headload_certainty, argc, argv, EVALUATION_LETTERS, table, take_option, &o);
    return evaluation_command(&o.run, parsed, argc, argv, finish, &o);
}

const command command_headload_certainty = {"headload certainty", "say how sure routers are of their choice",
                                            help, run_certainty};

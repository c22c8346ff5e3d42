/* cmd_headload_ablate.c - a data set without each head in turn: which heads matter? */
#include "eval/importance.h"
#include "tools/program/command.h"
#include "tools/program/complain.h"
#include "tools/program/eval_output.h"
#include "tools/program/evaluation.h"
#include "tools/program/json_build.h"
#include "tools/program/output.h"
#include "vit/headload/head_list.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "[OPTION ...] DATA ...\n"
    "Runs labelled pictures once with all heads, and once more without each head. Prints what each\n"
    "head's absence changes: loss and top-1, with 95 % intervals over the pictures. The head that\n"
    "matters most comes first. The blocks before a head's own run only once for a picture. The command\n"
    "begins by saying how long it will take; --sample 2000 is enough to tell which heads matter.\n"
    "\n" EVALUATION_DATA_HELP
    "\n  --heads LIST        only these heads: 4.0:r3,r5, 4.0:s1, 4.0:routed, a block 4.0, a stage 4,\n"
    "                      routed, shared; several with blanks between them; default: all\n"
    "  --blocks            drops all heads of a block together, or all those of LIST in it\n"
    "  --renormalise       raises a token's other gates, so that their sum stays the same\n"
    "  --format FORMAT     text (default), json: one line, or csv: a row a head\n"
    "  -h, --help          show this\n" EVALUATION_OPTIONS_HELP ROUTED_HEADS_HELP
    "  --drop-heads LIST  heads whose gates are 0 throughout\n" RUNNING_HELP
    "\nP values are from Student's t test for changes of loss, and from McNemar's test for top-1. p (Holm)\n"
    "is adjusted for all heads, and a star marks those below 0.05. A picture that fails is listed and left\n"
    "out; the exit status is then 1. A run that a signal stops prints the results so far; with --state,\n"
    "the same command goes on from there. \"eval --drop-heads LIST\" scores the model without the heads of\n"
    "a list, all at once.\n";

typedef struct ablate_options {
    evaluation_options run;
    output_format format;
} ablate_options;

/* What is printed. */
typedef struct result {
    const evaluation *e;
    const ablation *ablation;
    totals totals;
    importance *passes;       /* (count), by rising block and head */
    const importance **order; /* (count) of these, the largest change of the loss first */
} result;

// ---- Printing --------------------------------------------------------------------------------------

/* Equal ones as they lie in `passes`. */
static int by_loss(const void *a, const void *b)
{
    const importance *x = *(const importance *const *)a, *y = *(const importance *const *)b;
    if (x->loss.mean != y->loss.mean)
        return x->loss.mean < y->loss.mean ? 1 : -1;
    return (x > y) - (x < y);
}

static void print_change(const mean_change *c, const char *unit)
{
    output_printf("  %+9.4f%s", change_shown(c->mean), unit);
    if (isnan(c->low))
        output_printf(" %22s", "");
    else
        output_printf(" %+9.4f to %+9.4f", change_shown(c->low), change_shown(c->high));
}

static void print_text(const result *r)
{
    const totals *t = &r->totals;
    output_printf("%" PRIu64 " image%s", t->images, plural(t->images));
    if (t->images + t->failed < r->e->images)
        output_printf(" of %zu", r->e->images);
    output_printf(", loss %.4f, top-1 %.2f %%; without a head they change by\n\n", totals_loss(t, 0),
                  totals_top1(t, 0));
    char **heads = or_die(calloc(r->ablation->count + 1, sizeof *heads));
    int width = (int)strlen("without");
    for (size_t i = 0; i < r->ablation->count; i++) {
        heads[i] = or_die(ablation_pass_text(r->ablation, (size_t)(r->order[i] - r->passes)));
        width = (int)strlen(heads[i]) > width ? (int)strlen(heads[i]) : width;
    }
    output_printf("%-*s  %9s %22s  %11s %22s  %8s\n", width, "without", "loss", "95 % interval", "top-1",
                  "95 % interval", "p (Holm)");
    for (size_t i = 0; i < r->ablation->count; i++) {
        const importance *p = r->order[i];
        output_printf("%-*s", width, heads[i]);
        free(heads[i]);
        print_change(&p->loss, "");
        print_change(&p->top1, " %");
        if (isnan(p->loss.p_holm))
            output_printf("  %8s\n", "-");
        else
            output_printf("  %8.2g%s\n", p->loss.p_holm, p->loss.p_holm < 0.05 ? " *" : "");
    }
    free(heads);
}

/* "loss_change", "loss_low" … */
static void put_change(json_t *object, const char *name, const mean_change *c)
{
    const struct {
        const char *key;
        double value;
    } members[] = {
        {"change", c->mean}, {"low", c->low}, {"high", c->high}, {"p", c->p}, {"p_holm", c->p_holm}};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s_%s", name, members[i].key);
        json_put(object, key, json_finite(members[i].value));
    }
}

static const char *kind_of(const routing_block *b, size_t head)
{
    return head == ABLATION_TOGETHER ? "together" : head < b->shared ? "shared" : "routed";
}

static json_t *pass_json(const result *r, size_t index)
{
    const ablation_pass *p = &r->ablation->passes[index];
    const routing_block *b = &mohvit_routing(r->ablation->model)->blocks[p->block];
    char *heads = or_die(ablation_pass_text(r->ablation, index));
    json_t *row =
        or_die(json_pack("{s:s, s:I, s:I, s:o, s:s}", "heads", heads, "stage", (json_int_t)b->stage, "block",
                         (json_int_t)b->block, "head",
                         p->head == ABLATION_TOGETHER ? json_null() : json_integer((json_int_t)p->head),
                         "kind", kind_of(b, p->head)));
    free(heads);
    put_change(row, "loss", &r->passes[index].loss);
    put_change(row, "top1", &r->passes[index].top1);
    return row;
}

static void print_json(const result *r, const record_set *s)
{
    json_t *rows = or_die(json_array());
    for (size_t i = 0; i < r->ablation->count; i++)
        json_add(rows, pass_json(r, i));
    output_json(or_die(json_pack(
        "{s:o, s:o, s:I, s:I, s:b, s:b, s:o, s:O, s:o}", "loss", json_finite(totals_loss(&r->totals, 0)),
        "top1", json_finite(totals_top1(&r->totals, 0)), "images", (json_int_t)r->totals.images, "failed",
        (json_int_t)r->totals.failed, "complete", !r->e->stopped, "renormalise", r->ablation->renormalise,
        "ablated", rows, "data", json_object_get(journal_header(s->journals[0]), "data"), "provenance",
        eval_provenance(s, &r->totals))));
}

static void print_number(double value)
{
    if (isnan(value))
        output_printf(",");
    else
        output_printf(",%.9g", value);
}

static void print_csv(const result *r)
{
    output_printf("heads,stage,block,head,kind,images,loss_change,loss_low,loss_high,loss_p,loss_p_holm,"
                  "top1_change,top1_low,top1_high,top1_p,top1_p_holm\n");
    for (size_t i = 0; i < r->ablation->count; i++) {
        const ablation_pass *p = &r->ablation->passes[i];
        const routing_block *b = &mohvit_routing(r->ablation->model)->blocks[p->block];
        char *heads = or_die(ablation_pass_text(r->ablation, i));
        output_csv_field(heads);
        free(heads);
        output_printf(",%zu,%zu,", b->stage, b->block);
        if (p->head != ABLATION_TOGETHER)
            output_printf("%zu", p->head);
        output_printf(",%s,%" PRIu64, kind_of(b, p->head), r->totals.images);
        const mean_change *const both[] = {&r->passes[i].loss, &r->passes[i].top1};
        for (size_t k = 0; k < 2; k++) {
            const double values[] = {both[k]->mean, both[k]->low, both[k]->high, both[k]->p, both[k]->p_holm};
            for (size_t v = 0; v < sizeof values / sizeof *values; v++)
                print_number(values[v]);
        }
        output_printf("\n");
    }
}

// ---- The result ------------------------------------------------------------------------------------

static mohvit_status collect(result *r, const record_set *s, mohvit_error *err)
{
    size_t count = r->ablation->count;
    uint64_t images = 0;
    ablation_sums *sums = or_die(calloc(count, sizeof *sums));
    r->passes = or_die(calloc(count, sizeof *r->passes));
    r->order = or_die(calloc(count, sizeof *r->order));
    mohvit_status status = eval_count(&r->totals, s, NULL, err);
    if (!status)
        status = ablation_collect(sums, &images, count, s, err);
    if (!status)
        status = importance_compute(r->passes, sums, images, count, err);
    for (size_t i = 0; i < count; i++)
        r->order[i] = &r->passes[i];
    qsort(r->order, count, sizeof *r->order, by_loss);
    free(sums);
    return status;
}

static int finish(const void *user, const evaluation *e)
{
    enum { FEW_IMAGES = 30 };
    const ablate_options *o = user;
    const record_set set = {&e->journal, 1};
    result r = {.e = e, .ablation = &e->ablation};
    mohvit_error err;
    bool fine = fine_or_complain(collect(&r, &set, &err), &err);
    if (fine && o->format == FORMAT_JSON)
        print_json(&r, &set);
    else if (fine && o->format == FORMAT_CSV)
        print_csv(&r);
    else if (fine)
        print_text(&r);
    if (fine && r.totals.images < FEW_IMAGES)
        complain("note: %" PRIu64 " picture%s decide%s this; with fewer than %d, intervals and p values say "
                 "little",
                 r.totals.images, plural(r.totals.images), r.totals.images == 1 ? "s" : "", FEW_IMAGES);
    fine = fine && !r.totals.failed && !e->stopped;
    totals_free(&r.totals);
    free(r.passes);
    free(r.order);
    return fine ? EXIT_FINE : EXIT_INPUT;
}

// ---- The command -----------------------------------------------------------------------------------

enum { OPTION_HEADS = OPTION_OWN, OPTION_BLOCKS };

static bool take_option(void *options, int code, const char *value)
{
    ablate_options *o = options;
    mohvit_error err;
    switch (code) {
    case OPTION_FORMAT:
        return parse_format(&o->format, value, true);
    case OPTION_HEADS:
        o->run.ablated_heads = value;
        return fine_or_complain(head_list_read(NULL, NULL, value, "--heads", &err), &err);
    case OPTION_BLOCKS:
        return o->run.ablated_together = true;
    case OPTION_RENORMALISE:
        return o->run.ablation_renormalises = true;
    default:
        return evaluation_option(&o->run, code, value);
    }
}

static int run_ablate(int argc, char **argv)
{
    static const struct option table[] = {
        {"heads", required_argument, NULL, OPTION_HEADS},
        {"blocks", no_argument, NULL, OPTION_BLOCKS},
        {"format", required_argument, NULL, OPTION_FORMAT},
        EVALUATION_OPTIONS,
        LAST_OPTIONS,
    };
    ablate_options o = {0};
    evaluation_options_begin(&o.run, "headload ablate");
    int parsed =
        options_read(&command_headload_ablate, argc, argv, EVALUATION_LETTERS, table, take_option, &o);
    o.run.ablates = true;
    o.run.model.renormalise = o.run.ablation_renormalises && o.run.model.drop_heads;
    return evaluation_command(&o.run, parsed, argc, argv, finish, &o);
}

const command command_headload_ablate = {"headload ablate", "say what the absence of each head costs", help,
                                         run_ablate};

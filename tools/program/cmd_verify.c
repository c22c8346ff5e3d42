/* cmd_verify.c - does this build compute what the published code computes? */
#include "base/memory.h"
#include "tools/program/complain.h"
#include "tools/program/golden.h"
#include "tools/program/json_build.h"
#include "tools/program/model_options.h"
#include "tools/program/output.h"
#include "tools/program/provenance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "[OPTION ...] GOLDEN.safetensors ...\n"
    "Runs the model of each file and compares its outputs with the file's: logits, head_tokens,\n"
    "head_gate_mean and the tokens after a block (block3.0 ...), whichever are there. Prints the\n"
    "largest difference of each and where it is; the exit status is 1 if one is too large.\n\n"
    "The file's metadata say which model: config, seed and batch. Weights and input are made from\n"
    "the seed, unless --weights gives the weights or the file has a tensor \"input\".\n"
    "MOHVIT_WEIGHTS and the built-in model play no part.\n\n"
    "  --tolerance X        by how much logits, gates and blocks may differ; default 2e-4, which is for\n"
    "                       float32: with --precision f16, bf16 or int8 they differ by more\n"
    "  --count-tolerance N  by how many tokens a head's count in a block may differ; default 0\n"
    "  --format FORMAT      text (default) or json: a line for each file\n"
    "  -h, --help           show this\n"
    "\nModel:\n"
    "  --weights FILE     .safetensors, its index or .pth; default: made from the seed\n" KEY_HELP
    "  --config FILE      JSON config in place of the checkpoint's own\n" ROUTED_HEADS_HELP RUNNING_HELP;

typedef struct verify_options {
    model_options model;
    double tolerance;
    size_t count_tolerance;
    output_format format;
} verify_options;

/* One golden file and what it is compared with. */
typedef struct trial {
    const verify_options *options;
    golden golden;
    model_source source;
    mohvit_model *model;
    mohvit_context *ctx;
    size_t first;  /* image of the run at hand */
    float *buffer; /* (blocks, max_heads) */
} trial;

// ---- The model -------------------------------------------------------------------------------------

static mohvit_status open_model(trial *t, mohvit_error *err)
{
    const model_options *o = &t->options->model;
    const golden *g = &t->golden;
    t->source = (model_source){.kind = SOURCE_FILE, .path = o->weights};
    if (o->weights)
        return mohvit_open_with_config(&t->model, o->weights, g->has_config ? &g->config : NULL, &o->open,
                                       err);
    t->source = (model_source){.kind = SOURCE_SYNTHETIC, .seed = g->seed};
    if (g->has_config && g->has_seed)
        return mohvit_open_config(&t->model, &g->config, g->seed, &o->open, err);
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: metadata have no \"%s\"; give %s", checkpoint_path(g->cp),
                     g->has_config ? "seed" : "config", g->has_config ? "--weights" : "--config");
}

// ---- Running ---------------------------------------------------------------------------------------

static int take_block(void *user, size_t slot, size_t block_index, const float *x, size_t N, size_t C)
{
    trial *t = user;
    char name[64];
    const routing_block *b = &mohvit_routing(t->model)->blocks[block_index];
    snprintf(name, sizeof name, "block%zu.%zu", b->stage, b->block);
    comparison *c = golden_find(&t->golden, name);
    if (c)
        comparison_take(c, (t->first + slot) * N * C, x, N * C);
    return 0;
}

static bool compares_blocks(const golden *g)
{
    for (size_t i = 0; i < g->count; i++)
        if (!strncmp(g->comparisons[i].name, "block", 5))
            return true;
    return false;
}

static void take_results(trial *t, size_t slot, size_t index)
{
    const config *c = &t->golden.config;
    size_t heads = config_max_heads(c), blocks = config_blocks(c);
    const routing_block *routing = mohvit_routing(t->model)->blocks;
    comparison *logits = golden_find(&t->golden, "logits");
    comparison *counts = golden_find(&t->golden, "head_tokens");
    comparison *gates = golden_find(&t->golden, "head_gate_mean");
    if (logits)
        comparison_take(logits, index * c->num_classes, mohvit_logits(t->ctx, slot), c->num_classes);
    for (size_t i = 0; counts && i < blocks * heads; i++)
        t->buffer[i] = (float)mohvit_head_tokens(t->ctx, slot)[i];
    if (counts)
        comparison_take(counts, index * blocks * heads, t->buffer, blocks * heads);
    for (size_t i = 0; gates && i < blocks * heads; i++)
        t->buffer[i] = (float)(mohvit_head_gate_sum(t->ctx, slot)[i] / (double)routing[i / heads].tokens);
    if (gates)
        comparison_take(gates, index * blocks * heads, t->buffer, blocks * heads);
}

static mohvit_status run_images(trial *t, size_t first, size_t n, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    t->first = first;
    for (size_t i = 0; !status && i < n; i++)
        status = mohvit_load_tensor(t->ctx, i, golden_input(&t->golden, first + i), err);
    if (!status)
        status = mohvit_run(t->ctx, n, err);
    for (size_t i = 0; !status && i < n; i++)
        take_results(t, i, first + i);
    return status;
}

static mohvit_status run_model(trial *t, mohvit_error *err)
{
    golden *g = &t->golden;
    g->config = mohvit_describe(t->model)->config; // --size may have changed it
    model_warn_routed(&g->config, t->options->model.open.routed_heads, &t->options->model);
    mohvit_status status = golden_check_shapes(g, err);
    if (!status)
        status = golden_load_input(g, err);
    if (status)
        return status;
    size_t batch = t->options->model.batch < g->batch ? t->options->model.batch : g->batch;
    status = mohvit_context_create(&t->ctx, t->model, batch, t->options->model.open.threads, err);
    if (status)
        return status;
    mohvit_set_trace(t->ctx, compares_blocks(g) ? take_block : NULL, t);
    t->buffer =
        or_die(memory_alloc(config_blocks(&g->config) * config_max_heads(&g->config), sizeof *t->buffer));
    for (size_t first = 0; !status && first < g->batch; first += batch)
        status = run_images(t, first, g->batch - first < batch ? g->batch - first : batch, err);
    return status;
}

// ---- Printing --------------------------------------------------------------------------------------

static double tolerance_of(const trial *t, const comparison *c)
{
    return c->counts ? (double)t->options->count_tolerance : t->options->tolerance;
}

static bool comparison_passed(const trial *t, const comparison *c)
{
    return c->worst <= tolerance_of(t, c);
}

static bool trial_passed(const trial *t)
{
    for (size_t i = 0; i < t->golden.count; i++)
        if (!comparison_passed(t, &t->golden.comparisons[i]))
            return false;
    return true;
}

static const char *axis_name(const comparison *c, size_t axis)
{
    static const char *const of_logits[3] = {"image", "class"};
    static const char *const of_blocks[3] = {"image", "token", "channel"};
    static const char *const of_heads[3] = {"image", "block", "head"};
    if (!strcmp(c->name, "logits"))
        return of_logits[axis];
    return !strncmp(c->name, "block", 5) ? of_blocks[axis] : of_heads[axis];
}

/* Blocks by their names, stage and block, as in those of the tensors. */
static void print_place(const trial *t, const comparison *c, size_t axis, size_t index)
{
    const config *of = &t->golden.config;
    const char *name = axis_name(c, axis);
    size_t s = 0;
    if (strcmp(name, "block") != 0) {
        output_printf("%s %s %zu", axis ? "," : "", name, index);
        return;
    }
    while (s + 1 < STAGES && index >= of->depths[s])
        index -= of->depths[s++];
    output_printf(", block %zu.%zu", s + 1, index);
}

static void print_comparison(const trial *t, const comparison *c)
{
    size_t where[3];
    comparison_where(c, where);
    output_printf("  %-15s %9.3g, at most %-8.3g %s", c->name, c->worst, tolerance_of(t, c),
                  comparison_passed(t, c) ? "fine" : "WRONG");
    if (c->worst > 0) {
        output_printf("%s  at", comparison_passed(t, c) ? " " : "");
        for (size_t k = 0; k < c->rank && k < 3; k++)
            print_place(t, c, k, where[k]);
        output_printf(": %.7g, expected %.7g", (double)c->worst_got, (double)c->expected[c->worst_at]);
    }
    output_printf("\n");
}

static void print_text(const trial *t, const char *path)
{
    output_title(path);
    output_printf("  %s\n", config_name(&t->golden.config));
    for (size_t i = 0; i < t->golden.count; i++)
        print_comparison(t, &t->golden.comparisons[i]);
}

static json_t *comparison_json(const trial *t, const comparison *c)
{
    size_t where[3];
    comparison_where(c, where);
    return json_pack("{s:s, s:o, s:o, s:f, s:b}", "tensor", c->name, "max_difference", json_finite(c->worst),
                     "at", json_indices(where, c->rank), "tolerance", tolerance_of(t, c), "passed",
                     comparison_passed(t, c));
}

static void print_json(const trial *t, const char *path)
{
    const golden *g = &t->golden;
    json_t *compared = or_die(json_array());
    for (size_t i = 0; i < g->count; i++)
        json_add(compared, comparison_json(t, &g->comparisons[i]));
    output_json(or_die(json_pack(
        "{s:o, s:b, s:o, s:o}", "path", json_text(path), "passed", trial_passed(t), "compared", compared,
        "provenance", provenance_json(&t->source, &g->config, t->model, t->options->model.open.threads))));
}

static void print_failure(const verify_options *o, const char *path, const mohvit_error *err)
{
    complain("%s", err->message);
    if (o->format != FORMAT_JSON)
        return;
    output_json(or_die(json_pack("{s:o, s:b, s:o, s:n}", "path", json_text(path), "passed", false, "error",
                                 json_message(error_without(err, path)), "provenance")));
}

// ---- The command -----------------------------------------------------------------------------------

static int verify_file(const verify_options *o, const char *path, const config *c)
{
    warning_sink warn = {complain_warning, NULL};
    trial t = {.options = o};
    mohvit_error err;
    int exit = EXIT_INPUT;
    mohvit_status status = golden_open(&t.golden, path, c, &warn, &err);
    if (!status) {
        status = open_model(&t, &err);
        exit = status && o->model.weights ? EXIT_MODEL : EXIT_INPUT;
    }
    if (!status)
        status = run_model(&t, &err);
    if (status)
        print_failure(o, path, &err);
    else if (o->format == FORMAT_JSON)
        print_json(&t, path);
    else
        print_text(&t, path);
    if (!status && trial_passed(&t))
        exit = EXIT_FINE;
    free(t.buffer);
    mohvit_context_destroy(t.ctx);
    mohvit_close(t.model);
    golden_close(&t.golden);
    return exit;
}

enum { OPTION_TOLERANCE = OPTION_OWN, OPTION_COUNT_TOLERANCE };

static bool take_option(void *options, int code, const char *value)
{
    verify_options *o = options;
    switch (code) {
    case OPTION_FORMAT:
        return parse_format(&o->format, value, false);
    case OPTION_TOLERANCE:
        return parse_tolerance(&o->tolerance, "--tolerance", value);
    case OPTION_COUNT_TOLERANCE:
        return parse_whole(&o->count_tolerance, "--count-tolerance", value, 0, SIZE_MAX);
    default:
        return model_option(&o->model, code, value);
    }
}

static int parse(verify_options *o, int argc, char **argv)
{
    static const struct option table[] = {
        {"format", required_argument, NULL, OPTION_FORMAT},
        {"tolerance", required_argument, NULL, OPTION_TOLERANCE},
        {"count-tolerance", required_argument, NULL, OPTION_COUNT_TOLERANCE},
        {"weights", required_argument, NULL, OPTION_WEIGHTS},
        {"key", required_argument, NULL, OPTION_KEY},
        {"config", required_argument, NULL, OPTION_CONFIG},
        ROUTED_HEADS_OPTION,
        RUNNING_OPTIONS,
        LAST_OPTIONS,
    };
    *o = (verify_options){.tolerance = 2e-4};
    model_options_begin(&o->model);
    int parsed = options_read(&command_verify, argc, argv, "", table, take_option, o);
    if (parsed != PARSED)
        return parsed;
    return optind < argc ? PARSED : usage_error("verify", "expected a file of golden outputs");
}

static int run_verify(int argc, char **argv)
{
    verify_options o;
    int worst = parse(&o, argc, argv);
    if (worst != PARSED)
        return worst;
    mohvit_error err;
    description d = {0};
    if (o.model.open.config && !fine_or_complain(model_describe_synthetic(&d, &o.model, &err), &err))
        return EXIT_MODEL;
    worst = EXIT_FINE;
    size_t failures = 0;
    for (int i = optind; i < argc; i++) {
        int status = verify_file(&o, argv[i], o.model.open.config ? &d.config : NULL);
        failures += status != EXIT_FINE;
        worst = status > worst ? status : worst;
    }
    if (failures)
        complain("%zu of %d files failed", failures, argc - optind);
    description_free(&d);
    return worst;
}

const command command_verify = {"verify", "compare with golden outputs", help, run_verify};

/* cmd_info.c - what a model is, without reading its weights. */
#include "tools/program/complain.h"
#include "tools/program/json_build.h"
#include "tools/program/model_options.h"
#include "tools/program/output.h"
#include "tools/program/provenance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "[OPTION ...]\n"
    "Describes a model: size, cost, stages, preprocessing, labels, weight sets of the file. It reads\n"
    "no weights, only which tensors a checkpoint has, and compares these with the config.\n\n"
    "  --variant NAME   describe a published variant instead of a checkpoint\n"
    "  --format FORMAT  text (default) or json: one line\n"
    "  --tensors        list the tensors too\n"
    "  -h, --help       show this\n" WHICH_MODEL_HELP ROUTED_HEADS_HELP
    "\nGMACs are 10^9 multiply-adds for one image with all heads; gmacs_routed are those that this\n"
    "processor performs, without unselected heads, as \"bench\" counts them. Without any weights,\n"
    "--config describes that config.\n\n"
    "\"published\" is the top-1 on ImageNet-1K that the authors' checkpoints of this network reached. Two\n"
    "of them were fine-tuned at 384 pixels. They cannot be told from those at 224, so commands that run\n"
    "them need --size 384, which warps the whole picture to a square, as their authors do.\n";

typedef struct info_options {
    model_options model;
    output_format format;
    int tensors;
} info_options;

/* All that is known. */
typedef struct subject {
    model_source source;
    description description;
    tensor_list list;
    cost cost;
    checkpoint *cp; /* NULL without a file */
} subject;

/* The checkpoints that the networks' authors published, as tools/fetch-weights calls them: network, input and
 * top-1 on ImageNet-1K. Two differ from others in their input alone, which no tensor tells. */
static const struct published {
    const char *name, *variant;
    size_t size;
    double top1;
} published[] = {
    {"moh_transnext_small_80", "moh_transnext_small_80", 224, 84.7},
    {"moh_transnext_small_75", "moh_transnext_small_75", 224, 84.6},
    {"moh_transnext_base_75", "moh_transnext_base_75", 224, 84.9},
    {"moh_transnext_base_50", "moh_transnext_base_50", 224, 84.7},
    {"transnext_micro", "transnext_micro", 224, 82.5},
    {"transnext_tiny", "transnext_tiny", 224, 84.0},
    {"transnext_small", "transnext_small", 224, 84.7},
    {"transnext_base", "transnext_base", 224, 84.8},
    {"transnext_small_384", "transnext_small", 384, 86.0},
    {"transnext_base_384", "transnext_base", 384, 86.2},
    {"transnext_micro_aaaa", "transnext_micro_aaaa", 256, 82.6},
};

enum { PUBLISHED = sizeof published / sizeof *published };

/* A tensor of the file, or of the config where there is none. */
typedef struct row {
    const char *name, *dtype;
    size_t rank;
    const size_t *shape;
} row;

static size_t count_rows(const subject *s)
{
    return s->cp ? checkpoint_count(s->cp) : s->list.count;
}

static row get_row(const subject *s, size_t i)
{
    if (!s->cp)
        return (row){s->list.tensors[i].name, "F32", s->list.tensors[i].rank, s->list.tensors[i].shape};
    const tensor_info *t = checkpoint_tensor(s->cp, i);
    return (row){t->name, tensor_dtype_name(t->dtype), t->rank, t->shape};
}

static const char *source_name(const subject *s)
{
    return s->cp ? checkpoint_path(s->cp) : "no weights";
}

// ---- Text ------------------------------------------------------------------------------------------

static void print_stages(const config *c)
{
    output_printf("\nstage  blocks  tokens   dim  heads  shared  picked  active  MLP  pooled\n");
    for (size_t s = 0; s < STAGES; s++) {
        size_t side = config_side(c, s), pool = config_pool(c, s);
        char pooled[32] = "-";
        if (!config_global(c, s))
            snprintf(pooled, sizeof pooled, "%zu x %zu", pool, pool);
        output_printf("%5zu  %6zu  %6zu  %4zu  %5zu  %6zu  %6zu  %4.0f %%  %3g  %s\n", s + 1, c->depths[s],
                      side * side, c->embed_dims[s], c->num_heads[s], c->shared_head[s], c->routed_head[s],
                      100.0 * (double)config_active_heads(c, s) / (double)c->num_heads[s], c->mlp_ratios[s],
                      pooled);
    }
}

static void print_input(const description *d)
{
    const preprocess *p = &d->preprocess;
    output_printf("input          %zu x %zu pixels", d->config.img_size, d->config.img_size);
    if (d->config.pretrain_size != d->config.img_size)
        output_printf(", position bias trained at %zu", d->config.pretrain_size);
    if (d->config.fixed_pool_size)
        output_printf(", pooled to %zu x %zu", d->config.fixed_pool_size, d->config.fixed_pool_size);
    output_printf("\npreprocessing  %s", p->filter == RESIZE_BICUBIC ? "bicubic" : "bilinear");
    if (p->crop_pct > 0)
        output_printf(", crop %g", p->crop_pct);
    else
        output_printf(", %s", d->config.img_size < 384 ? "crop 224/256" : "no crop: warped to a square");
    output_printf(", mean %g %g %g, std %g %g %g\n", (double)p->mean[0], (double)p->mean[1],
                  (double)p->mean[2], (double)p->std[0], (double)p->std[1], (double)p->std[2]);
}

/* What a checkpoint of this network scored: one may be the file at hand. */
static void print_published(const config *c)
{
    const char *heading = "published";
    for (const struct published *p = published; p < published + PUBLISHED; p++)
        if (!strcmp(p->variant, config_name(c))) {
            output_printf("%-14s %s: top-1 %.1f %% at %zu pixels", heading, p->name, p->top1, p->size);
            if (strcmp(p->name, p->variant) != 0)
                output_printf(", with --size %zu", p->size);
            output_printf("\n");
            heading = "";
        }
}

static void print_labels(const labels *l)
{
    enum { SHOWN = 3 };
    output_printf("labels         %zu: ", l->count);
    for (size_t i = 0; i < l->count && i < SHOWN; i++) {
        char *first = or_die(strndup(l->name[i], strcspn(l->name[i], ","))); // of several synonyms
        output_printf("%s", i ? ", " : "");
        output_name(first);
        free(first);
    }
    output_printf("%s\n", l->count > SHOWN ? " ..." : "");
}

static void print_file(const subject *s)
{
    const char *const *sets;
    size_t chosen, count = s->cp ? checkpoint_sets(s->cp, &sets, &chosen) : 0;
    output_printf("weights        ");
    output_name(source_name(s));
    if (s->cp)
        output_printf(", %s, %zu tensors", checkpoint_format(s->cp), checkpoint_count(s->cp));
    if (*s->description.synthetic) {
        output_printf(", synthetic, seed ");
        output_name(s->description.synthetic);
    }
    for (size_t i = 0; i < count; i++) {
        output_printf("%s", i ? ", " : "\nweight sets    ");
        output_name(sets[i]);
        output_printf("%s", i == chosen ? " (taken)" : "");
    }
    output_printf("\n");
}

static void print_tensors(const subject *s)
{
    output_printf("\n");
    size_t width = 0;
    for (size_t i = 0; i < count_rows(s); i++) {
        size_t columns = output_name_width(get_row(s, i).name);
        width = columns > width ? columns : width;
    }
    for (size_t i = 0; i < count_rows(s); i++) {
        row r = get_row(s, i);
        char shape[256];
        output_name_padded(r.name, width);
        output_printf("  %-4s  %s\n", r.dtype, tensor_shape_text(shape, sizeof shape, r.rank, r.shape));
    }
}

static void print_text(const subject *s, const info_options *o)
{
    const config *c = &s->description.config;
    output_title(config_name(c));
    output_printf("\n\nsize           %.1f M parameters\n", (double)s->list.parameters / 1e6);
    output_printf("cost           %.4g GMACs", s->cost.all_heads / 1e9);
    if (!c->dense)
        output_printf(", %.4g performed: unselected heads are skipped", s->cost.routed / 1e9);
    output_printf("\n");
    output_printf("active heads   %.0f %% for each token, over all blocks%s\n", config_active_percent(c),
                  c->dense ? " (dense: no router)" : "");
    print_input(&s->description);
    print_published(c);
    print_labels(&s->description.labels);
    print_file(s);
    print_stages(c);
    if (o->tensors)
        print_tensors(s);
}

// ---- JSON ------------------------------------------------------------------------------------------

static json_t *stages_json(const config *c)
{
    json_t *array = or_die(json_array());
    for (size_t s = 0; s < STAGES; s++) {
        size_t tokens = config_side(c, s) * config_side(c, s);
        json_t *pool = config_global(c, s) ? json_null() : json_integer((json_int_t)config_pool(c, s));
        json_add(array, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:o}", "blocks",
                                  (json_int_t)c->depths[s], "tokens", (json_int_t)tokens, "dim",
                                  (json_int_t)c->embed_dims[s], "heads", (json_int_t)c->num_heads[s],
                                  "shared", (json_int_t)c->shared_head[s], "routed",
                                  (json_int_t)c->routed_head[s], "mlp_ratio", c->mlp_ratios[s], "sr_ratio",
                                  (json_int_t)c->sr_ratios[s], "pool", pool));
    }
    return array;
}

static json_t *labels_array(const labels *l)
{
    json_t *array = or_die(json_array());
    for (size_t i = 0; i < l->count; i++)
        json_add(array, json_text(l->name[i]));
    return array;
}

static json_t *published_array(const config *c)
{
    json_t *array = or_die(json_array());
    for (const struct published *p = published; p < published + PUBLISHED; p++)
        if (!strcmp(p->variant, config_name(c)))
            json_add(array, json_pack("{s:s, s:I, s:f}", "name", p->name, "img_size", (json_int_t)p->size,
                                      "top1", p->top1));
    return array;
}

static void put_sets(json_t *object, const checkpoint *cp)
{
    json_t *array = or_die(json_array());
    const char *const *sets;
    size_t chosen, count = cp ? checkpoint_sets(cp, &sets, &chosen) : 0;
    for (size_t i = 0; i < count; i++)
        json_add(array, json_text(sets[i]));
    json_put(object, "weight_sets", array);
    json_put(object, "weight_set", json_text(count && chosen < count ? sets[chosen] : NULL));
}

static json_t *tensors_array(const subject *s)
{
    json_t *array = or_die(json_array());
    for (size_t i = 0; i < count_rows(s); i++) {
        row r = get_row(s, i);
        json_add(array, json_pack("{s:o, s:s, s:o}", "name", json_text(r.name), "dtype", r.dtype, "shape",
                                  json_indices(r.shape, r.rank)));
    }
    return array;
}

static void print_json(const subject *s, const info_options *o)
{
    const config *c = &s->description.config;
    json_t *object = or_die(json_object());
    json_put(object, "variant", json_text(config_name(c)));
    json_put(object, "parameters", json_integer((json_int_t)s->list.parameters));
    json_put(object, "gmacs", json_real(s->cost.all_heads / 1e9));
    json_put(object, "gmacs_routed", json_real(s->cost.routed / 1e9));
    json_put(object, "active_heads_percent", json_real(config_active_percent(c)));
    json_put(object, "config", config_json(c));
    json_put(object, "stages", stages_json(c));
    json_put(object, "preprocess", json_parsed(preprocess_to_json(&s->description.preprocess)));
    json_put(object, "published", published_array(c));
    json_put(object, "labels", labels_array(&s->description.labels));
    json_put(object, "path", json_text(s->source.path));
    json_put(object, "container", json_text(s->cp ? checkpoint_format(s->cp) : NULL));
    json_put(object, "synthetic_seed",
             json_text(*s->description.synthetic ? s->description.synthetic : NULL));
    put_sets(object, s->cp);
    if (o->tensors)
        json_put(object, "tensors", tensors_array(s));
    json_put(object, "provenance", provenance_json(&s->source, c, NULL, o->model.open.threads));
    output_json(object);
}

// ---- The command line ------------------------------------------------------------------------------

static bool take_option(void *options, int code, const char *value)
{
    info_options *o = options;
    return code == OPTION_FORMAT ? parse_format(&o->format, value, false)
                                 : model_option(&o->model, code, value);
}

static int parse(info_options *o, int argc, char **argv)
{
    const struct option table[] = {
        {"format", required_argument, NULL, OPTION_FORMAT},
        {"tensors", no_argument, &o->tensors, FLAG_SET},
        {"variant", required_argument, NULL, OPTION_VARIANT},
        WHICH_MODEL_OPTIONS,
        ROUTED_HEADS_OPTION,
        LAST_OPTIONS,
    };
    *o = (info_options){0};
    model_options_begin(&o->model);
    int parsed = options_read(&command_info, argc, argv, "", table, take_option, o);
    if (parsed != PARSED)
        return parsed;
    if (optind < argc)
        return usage_error("info", "%s: expected only options; a checkpoint is given as --weights FILE",
                           argv[optind]);
    if (o->model.variant && (o->model.weights || o->model.open.config))
        return usage_error("info", "--variant stands for a config without weights; leave out --weights and "
                                   "--config");
    return PARSED;
}

/* Fills s->cp and s->description. */
static mohvit_status describe(subject *s, const model_options *o, mohvit_error *err)
{
    if (s->source.kind == SOURCE_SYNTHETIC) {
        s->source.kind = SOURCE_NONE;
        return model_describe_synthetic(&s->description, o, err);
    }
    warning_sink warn = {o->open.warn, o->open.user};
    mohvit_status status = model_source_checkpoint(&s->cp, &s->source, o, err);
    if (!status)
        status = description_read(&s->description, s->cp, NULL, &o->open, err);
    return status ? status : checkpoint_check(s->cp, &s->description.config, &warn, err);
}

static int run_info(int argc, char **argv)
{
    info_options o;
    int parsed_to = parse(&o, argc, argv);
    if (parsed_to != PARSED)
        return parsed_to;
    mohvit_error err;
    subject s = {.source = model_source_or_synthetic(&o.model)};
    mohvit_status status = describe(&s, &o.model, &err);
    if (!status) {
        model_warn_routed(&s.description.config, o.model.open.routed_heads, &o.model);
        status = model_tensors(&s.list, &s.description.config, &err);
    }
    if (!status)
        status = model_cost(&s.cost, &s.description.config, NULL, PRECISION_F32, &err);
    if (status)
        complain("%s", err.message);
    else if (o.format == FORMAT_JSON)
        print_json(&s, &o);
    else
        print_text(&s, &o);
    if (s.list.tensors)
        tensor_list_free(&s.list);
    description_free(&s.description);
    checkpoint_close(s.cp);
    return status ? EXIT_MODEL : EXIT_FINE;
}

const command command_info = {"info", "describe a model", help, run_info};

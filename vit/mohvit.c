#include "mohvit.h"

#include "embedded.h"
#include "facade.h"
#include "head_load.h"
#include "pairs.h"
#include "parallel.h"
#include "synthetic.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mohvit_model {
    description description;
    model *network;
    size_t *block_tokens; /* (blocks) */
};

struct mohvit_context {
    const mohvit_model *model;
    size_t batch, threads, size; /* size: side of the input */
    image_limits limits;
    bool exif_orientation;
    float *input;         /* (batch, size, size, 3) */
    float *logits;        /* (batch, classes) */
    int32_t *head_tokens; /* (batch, blocks, max_heads) */
    double *gate_sum;     /* (batch, blocks, max_heads) */
    uint8_t *crop;        /* (size, size, 3) */
    scratch *scratch;     /* (scratches) */
    size_t scratches;
    block_trace *trace;
    route_trace *routes;
    void *trace_user;
    bool all_heads, products_only;
    bool uncounted;  /* heads are not counted */
    size_t answered; /* slots of the last run, whose results may be asked for */
    mohvit_progress *progress;
    void *progress_user;
    atomic_size_t done;    /* blocks of the current run, over all its images */
    size_t total, told;    /* of which `told` is what progress was last called with */
    atomic_bool cancelled; /* by progress */
};

const char *mohvit_version(void)
{
    return MOHVIT_VERSION;
}

int mohvit_default_threads(void)
{
    return (int)parallel_default_threads();
}

#define MAX_BATCH   4096
#define MAX_THREADS 1024

static const mohvit_options no_options;

/* *threads = what was asked for; 0 asks for the default. */
static mohvit_status choose_threads(size_t *threads, int asked, mohvit_error *err)
{
    if (asked < 0 || asked > MAX_THREADS)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "%d threads; expected 0 (the default) to %d", asked,
                         MAX_THREADS);
    *threads = asked ? (size_t)asked : parallel_default_threads();
    return MOHVIT_OK;
}

static mohvit_status read_synthetic_tensor(void *state, const tensor_spec *spec, float *dst,
                                           mohvit_error *err)
{
    (void)err;
    synthetic_tensor(dst, spec, *(const uint64_t *)state);
    return MOHVIT_OK;
}

/* ---- Opening --------------------------------------------------------------------------------- */

/* Takes over *d and network, which may be NULL after a failure, also on failure. */
static mohvit_status wrap_model(mohvit_model **out, description *d, model *network, mohvit_status status,
                                mohvit_error *err)
{
    const config *c = &d->config;
    mohvit_model *m = calloc(1, sizeof *m);
    size_t *block_tokens = malloc(config_blocks(c) * sizeof *block_tokens);
    if (!status && (!m || !block_tokens))
        status = error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a model");
    if (status) {
        model_destroy(network);
        description_free(d);
        free(block_tokens);
        free(m);
        return status;
    }
    for (size_t s = 0, at = 0; s < STAGES; s++)
        for (size_t i = 0; i < c->depths[s]; i++)
            block_tokens[at++] = config_side(c, s) * config_side(c, s);
    *m = (mohvit_model){*d, network, block_tokens};
    *out = m;
    return MOHVIT_OK;
}

/* Takes over *d, also on failure. */
static mohvit_status create_model(mohvit_model **out, description *d, const weight_source *source,
                                  const mohvit_options *options, mohvit_error *err)
{
    model *network = NULL;
    size_t threads = 1;
    weight_source told = *source;
    told.progress = options->progress;
    told.user = options->user;
    mohvit_status status = choose_threads(&threads, options->threads, err);
    if (!status)
        status =
            model_create(&network, &d->config, &told, options->backend, options->precision, threads, err);
    return wrap_model(out, d, network, status, err);
}

mohvit_status mohvit_reroute(mohvit_model **out, const mohvit_model *base, const char *routed_heads,
                             mohvit_error *err)
{
    description d = base->description;
    model *network = NULL;
    mohvit_status status = routed_heads ? config_set_routed(&d.config, routed_heads, err) : MOHVIT_OK;
    if (!status)
        status = labels_copy(&d.labels, &base->description.labels, err);
    if (status)
        return status;
    status = model_reroute(&network, base->network, &d.config, err);
    return wrap_model(out, &d, network, status, err);
}

/* Takes over cp. */
static mohvit_status open_checkpoint(mohvit_model **out, checkpoint *cp, const config *given,
                                     const mohvit_options *options, mohvit_error *err)
{
    description d;
    warning_sink warn = options_sink(options);
    mohvit_status status = description_read(&d, cp, given, options, err);
    if (!status) {
        status = checkpoint_check(cp, &d.config, &warn, err);
        checkpoint_reader reader = {.cp = cp, .config_name = config_name(&d.config), .warn = warn};
        weight_source source = checkpoint_source(&reader);
        if (status)
            description_free(&d);
        else
            status = create_model(out, &d, &source, options, err);
    }
    checkpoint_close(cp);
    return status;
}

mohvit_status mohvit_open_memory(mohvit_model **out, const void *data, size_t size,
                                 const mohvit_options *options, mohvit_error *err)
{
    checkpoint *cp;
    options = options ? options : &no_options;
    warning_sink warn = options_sink(options);
    mohvit_status status =
        checkpoint_open_memory(&cp, data, size, "checkpoint in memory", options->key, &warn, err);
    return status ? status : open_checkpoint(out, cp, NULL, options, err);
}

mohvit_status mohvit_open_with_config(mohvit_model **out, const char *path, const config *c,
                                      const mohvit_options *options, mohvit_error *err)
{
    checkpoint *cp;
    options = options ? options : &no_options;
    warning_sink warn = options_sink(options);
    mohvit_status status = path ? checkpoint_open(&cp, path, options->key, &warn, err)
                                : checkpoint_open_memory(&cp, embedded_model, embedded_model_size(),
                                                         "built-in model", options->key, &warn, err);
    return status ? status : open_checkpoint(out, cp, c, options, err);
}

mohvit_status mohvit_open(mohvit_model **out, const char *path, const mohvit_options *options,
                          mohvit_error *err)
{
    return mohvit_open_with_config(out, path, NULL, options, err);
}

mohvit_status mohvit_open_config(mohvit_model **out, const config *c, uint64_t seed,
                                 const mohvit_options *options, mohvit_error *err)
{
    description d;
    options = options ? options : &no_options;
    weight_source source = {.state = &seed, .read = read_synthetic_tensor};
    mohvit_status status = description_of_config(&d, c, options, err);
    return status ? status : create_model(out, &d, &source, options, err);
}

mohvit_status mohvit_open_synthetic(mohvit_model **out, const char *variant, uint64_t seed,
                                    const mohvit_options *options, mohvit_error *err)
{
    config c;
    options = options ? options : &no_options;
    mohvit_status status = synthetic_config(&c, variant, options, err);
    return status ? status : mohvit_open_config(out, &c, seed, options, err);
}

void mohvit_close(mohvit_model *m)
{
    if (!m)
        return;
    model_destroy(m->network);
    description_free(&m->description);
    free(m->block_tokens);
    free(m);
}

/* ---- Asking a model -------------------------------------------------------------------------- */

/* Multiply-adds of one image, as the model performs them. */
static double performed_macs(const model *m)
{
    double macs = config_macs(&m->config, false);
    for (size_t s = 0; s < STAGES; s++)
        for (size_t i = 0; i < m->stages[s].depth; i++)
            macs -= pairs_saved_macs(&m->stages[s].blocks[i].attention, m->kernels);
    return macs;
}

void mohvit_get_info(const mohvit_model *m, mohvit_info *info)
{
    const config *c = &m->description.config;
    *info = (mohvit_info){
        .variant = config_name(c),
        .img_size = c->img_size,
        .num_classes = c->num_classes,
        .blocks = config_blocks(c),
        .max_heads = config_max_heads(c),
        .parameters = m->network->parameters,
        .gmacs = config_macs(c, true) / 1e9,
        .gmacs_routed = performed_macs(m->network) / 1e9,
        .active_heads_percent = config_active_percent(c),
        .backend = m->network->gemms[PRECISION_F32]->name,
        .precision = precision_name(m->network->precision),
        .instruction_set = m->network->kernels->isa,
    };
}

const char *mohvit_label(const mohvit_model *m, size_t class_index)
{
    const labels *l = &m->description.labels;
    return class_index < l->count ? l->name[class_index] : "";
}

const char *mohvit_label_id(const mohvit_model *m, size_t class_index)
{
    const labels *l = &m->description.labels;
    return class_index < l->count ? l->id[class_index] : NULL;
}

const size_t *mohvit_block_tokens(const mohvit_model *m)
{
    return m->block_tokens;
}

const description *mohvit_describe(const mohvit_model *m)
{
    return &m->description;
}

const model *mohvit_network(const mohvit_model *m)
{
    return m->network;
}

/* ---- Contexts -------------------------------------------------------------------------------- */

static mohvit_status allocate_context(mohvit_context *ctx, mohvit_error *err)
{
    const config *c = &ctx->model->description.config;
    const model *network = ctx->model->network;
    size_t pixels = ctx->size * ctx->size * 3, heads = config_blocks(c) * config_max_heads(c);
    ctx->input = memory_alloc(ctx->batch * pixels, sizeof *ctx->input);
    ctx->logits = memory_alloc(ctx->batch * c->num_classes, sizeof *ctx->logits);
    ctx->head_tokens = memory_alloc(ctx->batch * heads, sizeof *ctx->head_tokens);
    ctx->gate_sum = memory_alloc(ctx->batch * heads, sizeof *ctx->gate_sum);
    ctx->crop = memory_alloc(pixels, 1);
    ctx->scratch = calloc(ctx->scratches, sizeof *ctx->scratch);
    if (!ctx->input || !ctx->logits || !ctx->head_tokens || !ctx->gate_sum || !ctx->crop || !ctx->scratch)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a batch of %zu images", ctx->batch);
    memset(ctx->input, 0, ctx->batch * pixels * sizeof *ctx->input);
    memset(ctx->logits, 0, ctx->batch * c->num_classes * sizeof *ctx->logits);
    memset(ctx->head_tokens, 0, ctx->batch * heads * sizeof *ctx->head_tokens);
    memset(ctx->gate_sum, 0, ctx->batch * heads * sizeof *ctx->gate_sum);
    for (size_t i = 0; i < ctx->scratches; i++) {
        // The first one also serves a single image over all threads.
        mohvit_status status =
            scratch_create(&ctx->scratch[i], c, network->gemms, network->kernels, i ? 1 : ctx->threads, err);
        if (status)
            return status;
    }
    return MOHVIT_OK;
}

mohvit_status mohvit_context_create(mohvit_context **out, const mohvit_model *m, size_t batch, int threads,
                                    mohvit_error *err)
{
    size_t team_size = 1;
    mohvit_status status = choose_threads(&team_size, threads, err);
    if (status)
        return status;
    if (!batch || batch > MAX_BATCH)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "batch of %zu images; expected 1 to %d", batch,
                         MAX_BATCH);
    mohvit_context *ctx = calloc(1, sizeof *ctx);
    if (!ctx)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a context");
    ctx->model = m;
    ctx->batch = batch;
    ctx->threads = team_size;
    ctx->size = m->description.config.img_size;
    ctx->scratches = batch >= ctx->threads ? ctx->threads : 1;
    status = allocate_context(ctx, err);
    if (status)
        mohvit_context_destroy(ctx);
    else
        *out = ctx;
    return status;
}

void mohvit_context_destroy(mohvit_context *ctx)
{
    if (!ctx)
        return;
    for (size_t i = 0; ctx->scratch && i < ctx->scratches; i++)
        scratch_free(&ctx->scratch[i]);
    free(ctx->scratch);
    free(ctx->input);
    free(ctx->logits);
    free(ctx->head_tokens);
    free(ctx->gate_sum);
    free(ctx->crop);
    free(ctx);
}

void mohvit_set_progress(mohvit_context *ctx, mohvit_progress *progress, void *user)
{
    ctx->progress = progress;
    ctx->progress_user = user;
}

void mohvit_set_trace(mohvit_context *ctx, block_trace *trace, void *user)
{
    ctx->trace = trace;
    ctx->trace_user = user;
}

void mohvit_set_all_heads(mohvit_context *ctx, bool all_heads)
{
    ctx->all_heads = all_heads;
}

void mohvit_set_products_only(mohvit_context *ctx, bool products_only)
{
    ctx->products_only = products_only;
}

void mohvit_take_profile(mohvit_context *ctx, uint64_t ns[OPERATIONS])
{
    memset(ns, 0, OPERATIONS * sizeof *ns);
    for (size_t i = 0; i < ctx->scratches; i++)
        for (size_t op = 0; op < OPERATIONS; op++) {
            ns[op] += ctx->scratch[i].profile.ns[op];
            ctx->scratch[i].profile.ns[op] = 0;
        }
}

void mohvit_set_route_trace(mohvit_context *ctx, route_trace *trace, void *user)
{
    ctx->routes = trace;
    ctx->trace_user = user;
}

void mohvit_count_heads(mohvit_context *ctx, bool on)
{
    ctx->uncounted = !on;
}

size_t mohvit_computed_pairs(const mohvit_context *ctx)
{
    size_t pairs = 0;
    for (size_t i = 0; i < ctx->scratches; i++)
        for (size_t t = 0; t < (i ? 1 : ctx->threads); t++)
            pairs += ctx->scratch[i].pairs[t];
    return pairs;
}

/* ---- Loading --------------------------------------------------------------------------------- */

void mohvit_set_image_options(mohvit_context *ctx, const mohvit_image_options *options)
{
    ctx->limits = options ? (image_limits){options->max_file_bytes, options->max_pixels} : (image_limits){0};
    ctx->exif_orientation = options && options->exif_orientation;
}

static mohvit_status check_slot(const mohvit_context *ctx, size_t slot, mohvit_error *err)
{
    if (slot < ctx->batch)
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_ARGUMENT, "slot %zu of a context for a batch of %zu", slot,
                     ctx->batch);
}

float *mohvit_slot_input(mohvit_context *ctx, size_t slot)
{
    return ctx->input + slot * ctx->size * ctx->size * 3;
}

mohvit_status mohvit_load_rgb(mohvit_context *ctx, size_t slot, const uint8_t *rgb, size_t width,
                              size_t height, size_t stride, mohvit_error *err)
{
    const preprocess *p = &ctx->model->description.preprocess;
    mohvit_status status = check_slot(ctx, slot, err);
    if (!status)
        status = preprocess_crop(p, rgb, width, height, stride, ctx->size, ctx->crop, err);
    if (!status)
        preprocess_normalise(p, ctx->crop, ctx->size, mohvit_slot_input(ctx, slot));
    return status;
}

/* Frees img. */
static mohvit_status load_image(mohvit_context *ctx, size_t slot, image *img, mohvit_error *err)
{
    mohvit_status status = mohvit_load_rgb(ctx, slot, img->rgb, img->width, img->height, img->width * 3, err);
    image_free(img);
    return status;
}

mohvit_status mohvit_load_file(mohvit_context *ctx, size_t slot, const char *path, mohvit_error *err)
{
    image img;
    mohvit_status status = check_slot(ctx, slot, err);
    if (!status)
        status = image_read(&img, path, &ctx->limits, ctx->exif_orientation, err);
    return status ? status : load_image(ctx, slot, &img, err);
}

mohvit_status mohvit_load_memory(mohvit_context *ctx, size_t slot, const void *data, size_t size,
                                 mohvit_error *err)
{
    image img;
    mohvit_status status = check_slot(ctx, slot, err);
    if (!status)
        status =
            image_decode(&img, data, size, "picture in memory", &ctx->limits, ctx->exif_orientation, err);
    return status ? status : load_image(ctx, slot, &img, err);
}

mohvit_status mohvit_load_tensor(mohvit_context *ctx, size_t slot, const float *tensor, mohvit_error *err)
{
    mohvit_status status = check_slot(ctx, slot, err);
    if (status)
        return status;
    size_t pixels = ctx->size * ctx->size;
    float *input = mohvit_slot_input(ctx, slot);
    for (size_t channel = 0; channel < 3; channel++)
        for (size_t i = 0; i < pixels; i++)
            input[i * 3 + channel] = tensor[channel * pixels + i];
    return MOHVIT_OK;
}

/* ---- Running --------------------------------------------------------------------------------- */

/* Only the thread that called mohvit_run does this. */
static void tell_progress(mohvit_context *ctx, size_t done)
{
    ctx->told = done;
    if (ctx->progress(ctx->progress_user, done, ctx->total))
        atomic_store(&ctx->cancelled, true);
}

static bool step_of_caller(void *context)
{
    mohvit_context *ctx = context;
    tell_progress(ctx, atomic_fetch_add(&ctx->done, 1) + 1);
    return !atomic_load(&ctx->cancelled);
}

static bool step_of_others(void *context)
{
    mohvit_context *ctx = context;
    atomic_fetch_add(&ctx->done, 1);
    return !atomic_load(&ctx->cancelled);
}

/* worker: of the thread that runs the image, or begins its loops; 0 is the caller of mohvit_run. */
static void run_image(mohvit_context *ctx, size_t slot, team *t, size_t worker)
{
    if (atomic_load(&ctx->cancelled))
        return;
    const model *network = ctx->model->network;
    const config *c = &network->config;
    size_t heads = config_blocks(c) * config_max_heads(c);
    pass p = {network->kernels, t, &ctx->scratch[worker], ctx->all_heads, ctx->products_only};
    forward_result result = {
        .logits = ctx->logits + slot * c->num_classes,
        .head_tokens = ctx->uncounted || ctx->products_only ? NULL : ctx->head_tokens + slot * heads,
        .gate_sum = ctx->gate_sum + slot * heads,
        .trace = ctx->trace,
        .routes = ctx->routes,
        .user = ctx->trace_user,
        .step = !ctx->progress ? NULL
                : worker       ? step_of_others
                               : step_of_caller,
        .step_user = ctx,
    };
    model_forward(network, &p, mohvit_slot_input(ctx, slot), &result);
}

static void run_alone(void *arg, size_t slot, size_t worker)
{
    run_image(arg, slot, NULL, worker);
}

typedef struct {
    mohvit_context *ctx;
    size_t n;
} batch_run;

/* Whole images side by side as long as they fill the threads; what is left takes all threads, one by one. */
static void run_batch(void *arg, team *t)
{
    const batch_run *run = arg;
    mohvit_context *ctx = run->ctx;
    bool traced = ctx->trace || ctx->routes;
    size_t threads = parallel_size(t), side_by_side = traced || !t ? 0 : run->n / threads * threads;
    parallel_for(t, side_by_side, run_alone, ctx);
    for (size_t slot = side_by_side; slot < run->n; slot++)
        run_image(ctx, slot, t, 0);
}

mohvit_status mohvit_run(mohvit_context *ctx, size_t n, mohvit_error *err)
{
    if (!n || n > ctx->batch)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "run of %zu images; expected 1 to %zu", n, ctx->batch);
    const gemm *g = ctx->model->network->gemms[PRECISION_F32];
    batch_run run = {ctx, n};
    gemm_saved saved;
    ctx->answered = 0;
    ctx->total = n * config_blocks(&ctx->model->description.config);
    atomic_store(&ctx->done, 0);
    atomic_store(&ctx->cancelled, false);
    if (ctx->progress)
        tell_progress(ctx, 0);
    if (!atomic_load(&ctx->cancelled)) {
        g->enter(&saved);
        parallel_run(ctx->threads, run_batch, &run);
        g->leave(&saved);
    }
    if (ctx->progress && !atomic_load(&ctx->cancelled) && ctx->told < ctx->total)
        tell_progress(ctx, ctx->total); // other threads did the last blocks
    if (atomic_load(&ctx->cancelled))
        return error_set(err, MOHVIT_ERROR_CANCELLED, "cancelled after %zu of %zu blocks", ctx->told,
                         ctx->total);
    ctx->answered = n;
    return MOHVIT_OK;
}

static mohvit_status check_answered(const mohvit_context *ctx, size_t slot, mohvit_error *err)
{
    if (slot < ctx->answered)
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_ARGUMENT, "slot %zu has no result: the last run answered %zu slots",
                     slot, ctx->answered);
}

const float *mohvit_logits(const mohvit_context *ctx, size_t slot)
{
    return slot < ctx->answered ? ctx->logits + slot * ctx->model->description.config.num_classes : NULL;
}

const int32_t *mohvit_head_tokens(const mohvit_context *ctx, size_t slot)
{
    const config *c = &ctx->model->description.config;
    return slot < ctx->answered ? ctx->head_tokens + slot * config_blocks(c) * config_max_heads(c) : NULL;
}

const double *mohvit_head_gate_sum(const mohvit_context *ctx, size_t slot)
{
    const config *c = &ctx->model->description.config;
    return slot < ctx->answered ? ctx->gate_sum + slot * config_blocks(c) * config_max_heads(c) : NULL;
}

mohvit_status mohvit_top(const mohvit_context *ctx, size_t slot, mohvit_prediction *top, size_t k,
                         mohvit_error *err)
{
    mohvit_status status = check_answered(ctx, slot, err);
    if (status)
        return status;
    const float *logits = mohvit_logits(ctx, slot);
    size_t classes = ctx->model->description.config.num_classes, found = 0;
    double sum = 0;
    float max = -INFINITY;
    for (size_t i = 0; i < classes; i++) {
        if (!isfinite(logits[i]))
            return error_set(err, MOHVIT_ERROR_NONFINITE,
                             "the network answered %f for class %zu; expected finite logits",
                             (double)logits[i], i);
        max = logits[i] > max ? logits[i] : max;
    }
    for (size_t i = 0; i < classes; i++)
        sum += exp((double)logits[i] - (double)max);
    for (size_t i = 0; i < classes; i++) { // insertion into a short sorted list; an equal logit stays behind
        size_t at = found;
        while (at && logits[i] > logits[top[at - 1].class_index])
            at--;
        if (at == k)
            continue;
        found += found < k;
        memmove(top + at + 1, top + at, (found - at - 1) * sizeof *top);
        top[at].class_index = i;
    }
    for (size_t i = 0; i < found; i++) {
        size_t class_index = top[i].class_index;
        top[i].probability = (float)(exp((double)logits[class_index] - (double)max) / sum);
        top[i].label = mohvit_label(ctx->model, class_index);
        top[i].id = mohvit_label_id(ctx->model, class_index);
    }
    return MOHVIT_OK;
}

static mohvit_status run_and_rank(mohvit_context *ctx, mohvit_prediction *top, size_t k, mohvit_error *err)
{
    mohvit_status status = mohvit_run(ctx, 1, err);
    return status ? status : mohvit_top(ctx, 0, top, k, err);
}

mohvit_status mohvit_classify_file(mohvit_context *ctx, const char *path, mohvit_prediction *top, size_t k,
                                   mohvit_error *err)
{
    mohvit_status status = mohvit_load_file(ctx, 0, path, err);
    return status ? status : run_and_rank(ctx, top, k, err);
}

mohvit_status mohvit_classify_memory(mohvit_context *ctx, const void *data, size_t size,
                                     mohvit_prediction *top, size_t k, mohvit_error *err)
{
    mohvit_status status = mohvit_load_memory(ctx, 0, data, size, err);
    return status ? status : run_and_rank(ctx, top, k, err);
}

/* ---- Head load ------------------------------------------------------------------------------- */

mohvit_status mohvit_head_load_create(mohvit_head_load **load, const mohvit_model *m, mohvit_error *err)
{
    return head_load_create(load, &m->description.config, &m->description.labels, err);
}

void mohvit_head_load_destroy(mohvit_head_load *load)
{
    head_load_destroy(load);
}

mohvit_status mohvit_head_load_add(mohvit_head_load *load, const mohvit_context *ctx, size_t slot,
                                   size_t class_index, mohvit_error *err)
{
    const config *c = &ctx->model->description.config;
    bool same = c->num_classes == load->config.num_classes && c->img_size == load->config.img_size;
    for (size_t s = 0; s < STAGES; s++)
        same = same && c->depths[s] == load->config.depths[s] &&
               c->num_heads[s] == load->config.num_heads[s] &&
               c->shared_head[s] == load->config.shared_head[s] &&
               c->routed_head[s] == load->config.routed_head[s];
    if (!same) // in what shapes the counts
        return error_set(err, MOHVIT_ERROR_MISMATCH, "the head load is of another model than the context");
    mohvit_status status = check_answered(ctx, slot, err);
    if (status)
        return status;
    return head_load_add(load, class_index, mohvit_head_tokens(ctx, slot), mohvit_head_gate_sum(ctx, slot),
                         err);
}

mohvit_status mohvit_head_load_save(const mohvit_head_load *load, const char *path, mohvit_error *err)
{
    return head_load_save(load, path, err);
}

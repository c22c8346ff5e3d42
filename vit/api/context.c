/* context.c - images through a model: contexts, loading, running, results. */
#include "base/memory.h"
#include "base/parallel.h"
#include "vit/api/internal.h"
#include "vit/api/ranking.h"
#include "vit/api/sized.h"
#include "vit/api/texts.h"
#include "vit/headload/head_load.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Of the caller; may be NULL each. */
typedef struct callbacks {
    mohvit_progress *progress;
    void *progress_user;
    mohvit_trace *trace;
    void *trace_user;
} callbacks;

/* What a picture went through on its way into a slot; of a tensor, what the context was set to. */
typedef struct treatment {
    preprocess preprocess;
    bool exif_orientation;
} treatment;

/* Where an image is computed. */
typedef struct workplace {
    scratch scratch;
    profile profile;
} workplace;

struct mohvit_context {
    const mohvit_model *base;  /* that it was created for */
    const mohvit_model *model; /* how it computes: base, or */
    mohvit_model *rerouted;    /* what mohvit_set_routed_heads made of that; NULL: nothing */
    size_t batch, threads;
    size_t size, classes, channels, heads; /* side of the input; of the features; blocks · max_heads */
    double macs;                           /* multiply-adds of an image */
    image_limits limits;
    bool exif_orientation;
    float *input;            /* (batch, size, size, 3) */
    treatment *loaded;       /* (batch) of the input */
    treatment *counted;      /* (batch) of what the last run had as input, which may have been replaced */
    float *logits;           /* (batch, classes) */
    float *features;         /* (batch, channels) */
    int32_t *head_tokens;    /* (batch, blocks, max_heads) */
    double *gate_sum;        /* (batch, blocks, max_heads) */
    int32_t *together;       /* (batch, pairs_per_slot) */
    size_t pairs_per_slot;   /* heads² of every block */
    float *gates;            /* (batch, gates_per_slot); NULL: not recorded */
    size_t gates_per_slot;   /* tokens · heads of every block */
    float *outputs;          /* (batch, outputs_per_slot); NULL: not recorded */
    size_t outputs_per_slot; /* tokens · channels of every block */
    uint8_t *crop;           /* (size, size, 3) */
    workplace *workplaces;   /* (side_by_side): one for each image that is computed at a time */
    size_t side_by_side;
    context_settings settings;
    size_t images;                    /* of the current run */
    size_t answered;                  /* slots of the last run, whose results may be asked for */
    size_t recorded;                  /* the same of their gates */
    size_t traced;                    /* and of their blocks' outputs */
    callbacks wanted;                 /* by later runs */
    callbacks current;                /* those of this run, also where one of them wants others */
    bool running;                     /* so that what a callback calls can be refused */
    size_t traced_slot, traced_block; /* what the trace is called with next */
    atomic_size_t done;               /* blocks of the current run, over all its images */
    size_t total, told;               /* of which the caller of mohvit_run knows that `told` are done */
    atomic_bool cancelled;            /* by progress or trace */
};

/* Some 4 ms of one thread. To begin and end with a team takes microseconds, but 3 ms where another process
 * keeps one of the cores: on two cores of Zen 3, three pictures with the built-in model then took 4.8 ms in
 * place of 2.4, and eight 8 in place of 10. */
#define TEAM_MACS 1e8

/* ---- Contexts -------------------------------------------------------------------------------- */

static void free_workplaces(workplace *places, size_t count)
{
    for (size_t i = 0; places && i < count; i++) {
        scratch_free(&places[i].scratch);
        profile_free(&places[i].profile);
    }
    free(places);
}

/* For the context's images, computed as the model does. *out is set on success alone. */
static mohvit_status create_workplaces(workplace **out, const mohvit_context *ctx, const mohvit_model *m,
                                       mohvit_error *err)
{
    workplace *places = calloc(ctx->side_by_side, sizeof *places);
    mohvit_status status =
        places ? MOHVIT_OK : error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a context");
    for (size_t i = 0; !status && i < ctx->side_by_side; i++) {
        size_t threads = i ? 1 : ctx->threads; // the first one also serves a single image over all threads
        status = profile_create(&places[i].profile, threads, err);
        if (!status)
            status = model_scratch(mohvit_network(m), &places[i].scratch, threads, err);
    }
    if (status)
        free_workplaces(places, ctx->side_by_side);
    else
        *out = places;
    return status;
}

/* To be called where the slot's input is replaced. */
static void note_treatment(mohvit_context *ctx, size_t slot)
{
    ctx->loaded[slot] = (treatment){ctx->settings.preprocess, ctx->exif_orientation};
}

static mohvit_status allocate_context(mohvit_context *ctx, mohvit_error *err)
{
    size_t pixels = ctx->size * ctx->size * 3;
    ctx->input = calloc(ctx->batch, pixels * sizeof *ctx->input); // the product with batch may be too large
    ctx->loaded = calloc(ctx->batch, sizeof *ctx->loaded);
    ctx->counted = calloc(ctx->batch, sizeof *ctx->counted);
    ctx->logits = calloc(ctx->batch, ctx->classes * sizeof *ctx->logits);
    ctx->features = calloc(ctx->batch, ctx->channels * sizeof *ctx->features);
    ctx->head_tokens = calloc(ctx->batch, ctx->heads * sizeof *ctx->head_tokens);
    ctx->gate_sum = calloc(ctx->batch, ctx->heads * sizeof *ctx->gate_sum);
    ctx->together = calloc(ctx->batch, ctx->pairs_per_slot * sizeof *ctx->together);
    ctx->crop = memory_alloc(pixels, 1);
    if (!ctx->input || !ctx->loaded || !ctx->counted || !ctx->logits || !ctx->features || !ctx->head_tokens ||
        !ctx->gate_sum || !ctx->together || !ctx->crop)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a batch of %zu image%s", ctx->batch,
                         plural(ctx->batch));
    for (size_t slot = 0; slot < ctx->batch; slot++)
        note_treatment(ctx, slot);
    return create_workplaces(&ctx->workplaces, ctx, ctx->model, err);
}

mohvit_status mohvit_context_create(mohvit_context **out, const mohvit_model *m, size_t batch, int threads,
                                    mohvit_error *err)
{
    size_t team_size = 1;
    mohvit_status status = parallel_threads(&team_size, threads, err);
    if (status)
        return status;
    if (!batch || batch > CONTEXT_MAX_BATCH)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "batch of %zu images; expected 1 to %d", batch,
                         CONTEXT_MAX_BATCH);
    mohvit_context *ctx = calloc(1, sizeof *ctx);
    if (!ctx)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a context");
    ctx->base = ctx->model = m;
    ctx->batch = batch;
    ctx->threads = team_size;
    ctx->size = mohvit_describe(m)->config.img_size;
    ctx->classes = mohvit_describe(m)->config.num_classes;
    ctx->channels = mohvit_describe(m)->config.embed_dims[STAGES - 1];
    ctx->heads = mohvit_routing(m)->count * mohvit_routing(m)->max_heads;
    ctx->pairs_per_slot = routing_head_pairs(mohvit_routing(m), mohvit_routing(m)->count);
    ctx->side_by_side = batch >= ctx->threads ? ctx->threads : 1;
    ctx->settings = (context_settings){
        .preprocess = mohvit_describe(m)->preprocess,
        .drops = mohvit_drops(m),
        .counts_heads = true,
        .team_macs = TEAM_MACS,
    };
    ctx->macs = model_measure(mohvit_network(m), &(scratch){0}).routed;
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
    free_workplaces(ctx->workplaces, ctx->side_by_side);
    mohvit_close(ctx->rerouted);
    free(ctx->input);
    free(ctx->loaded);
    free(ctx->counted);
    free(ctx->logits);
    free(ctx->features);
    free(ctx->head_tokens);
    free(ctx->gate_sum);
    free(ctx->together);
    free(ctx->gates);
    free(ctx->outputs);
    free(ctx->crop);
    free(ctx);
}

void mohvit_set_progress(mohvit_context *ctx, mohvit_progress *progress, void *user)
{
    ctx->wanted.progress = progress;
    ctx->wanted.progress_user = user;
}

void mohvit_set_trace(mohvit_context *ctx, mohvit_trace *trace, void *user)
{
    ctx->wanted.trace = trace;
    ctx->wanted.trace_user = user;
}

static mohvit_status check_idle(const mohvit_context *ctx, mohvit_error *err)
{
    if (!ctx->running)
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_ARGUMENT,
                     "the context is running: a progress or trace may not call it");
}

mohvit_status mohvit_set_routed_heads(mohvit_context *ctx, const char *routed_heads, mohvit_error *err)
{
    mohvit_model *rerouted = NULL;
    workplace *places = NULL;
    mohvit_status status = check_idle(ctx, err);
    if (!status && routed_heads)
        status = mohvit_reroute(&rerouted, ctx->base, routed_heads, err);
    const mohvit_model *m = rerouted ? rerouted : ctx->base;
    if (!status)
        status = create_workplaces(&places, ctx, m, err);
    if (status) {
        mohvit_close(rerouted);
        return status;
    }
    free_workplaces(ctx->workplaces, ctx->side_by_side);
    mohvit_close(ctx->rerouted);
    ctx->workplaces = places;
    ctx->rerouted = rerouted;
    ctx->model = m;
    ctx->macs = model_measure(mohvit_network(m), &(scratch){0}).routed;
    ctx->answered = ctx->recorded = ctx->traced = 0;
    return MOHVIT_OK;
}

const mohvit_model *mohvit_context_model(const mohvit_context *ctx)
{
    return ctx->model;
}

static size_t channels_of(const mohvit_context *ctx, const routing_block *b)
{
    return mohvit_describe(ctx->model)->config.embed_dims[b->stage - 1];
}

mohvit_status mohvit_record_gates(mohvit_context *ctx, int record, mohvit_error *err)
{
    const routing_layout *layout = mohvit_routing(ctx->model);
    mohvit_status status = check_idle(ctx, err);
    if (status)
        return status;
    if (!record) {
        free(ctx->gates);
        ctx->gates = NULL;
        ctx->recorded = 0;
    } else if (!ctx->gates) {
        ctx->gates_per_slot = routing_pairs(layout, layout->count);
        ctx->gates = memory_alloc(ctx->batch, ctx->gates_per_slot * sizeof *ctx->gates);
        if (!ctx->gates)
            return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for the gates of a batch of %zu image%s",
                             ctx->batch, plural(ctx->batch));
    }
    return MOHVIT_OK;
}

/* Floats of an image's outputs in the first `count` blocks. */
static size_t outputs_before(const mohvit_context *ctx, size_t count)
{
    const routing_block *blocks = mohvit_routing(ctx->model)->blocks;
    size_t floats = 0;
    for (size_t i = 0; i < count; i++)
        floats += blocks[i].tokens * channels_of(ctx, &blocks[i]);
    return floats;
}

mohvit_status mohvit_record_outputs(mohvit_context *ctx, int record, mohvit_error *err)
{
    mohvit_status status = check_idle(ctx, err);
    if (status)
        return status;
    if (!record) {
        free(ctx->outputs);
        ctx->outputs = NULL;
        ctx->traced = 0;
    } else if (!ctx->outputs) {
        ctx->outputs_per_slot = outputs_before(ctx, mohvit_routing(ctx->model)->count);
        ctx->outputs = memory_alloc(ctx->batch, ctx->outputs_per_slot * sizeof *ctx->outputs);
        if (!ctx->outputs)
            return error_set(err, MOHVIT_ERROR_MEMORY,
                             "no memory for the blocks' outputs of a batch of %zu image%s", ctx->batch,
                             plural(ctx->batch));
    }
    return MOHVIT_OK;
}

context_settings *mohvit_settings(mohvit_context *ctx)
{
    return &ctx->settings;
}

void mohvit_take_profile(mohvit_context *ctx, uint64_t ns[OPERATIONS])
{
    memset(ns, 0, OPERATIONS * sizeof *ns);
    for (size_t i = 0; i < ctx->side_by_side; i++)
        for (size_t op = 0; op < OPERATIONS; op++) {
            ns[op] += ctx->workplaces[i].profile.ns[op];
            ctx->workplaces[i].profile.ns[op] = 0;
        }
}

size_t mohvit_computed_pairs(const mohvit_context *ctx)
{
    size_t pairs = 0;
    for (size_t i = 0; i < ctx->side_by_side; i++)
        for (size_t t = 0; t < ctx->workplaces[i].profile.threads; t++)
            pairs += ctx->workplaces[i].profile.counts[t].pairs;
    return pairs;
}

/* ---- Loading --------------------------------------------------------------------------------- */

mohvit_status mohvit_set_image_options(mohvit_context *ctx, const mohvit_image_options *options,
                                       mohvit_error *err)
{
    mohvit_image_options own;
    mohvit_status status = sized_take(&own, sizeof own, options, "mohvit_image_options", err);
    if (status)
        return status;
    ctx->limits = (image_limits){own.max_file_bytes, own.max_pixels};
    ctx->exif_orientation = own.exif_orientation;
    return MOHVIT_OK;
}

mohvit_status mohvit_set_preprocess(mohvit_context *ctx, const char *json, mohvit_error *err)
{
    preprocess *own = &ctx->settings.preprocess;
    if (json)
        return preprocess_from_json(own, json, strlen(json), "preprocess in memory", err);
    *own = mohvit_describe(ctx->model)->preprocess;
    return MOHVIT_OK;
}

const uint8_t *mohvit_last_crop(const mohvit_context *ctx)
{
    return ctx->crop;
}

static mohvit_status check_slot(const mohvit_context *ctx, size_t slot, mohvit_error *err)
{
    if (slot < ctx->batch)
        return check_idle(ctx, err);
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
    const preprocess *p = &ctx->settings.preprocess;
    mohvit_status status = check_slot(ctx, slot, err);
    if (!status)
        status = preprocess_crop(p, rgb, width, height, stride, ctx->size, ctx->crop, err);
    if (status)
        return status;
    preprocess_normalise(p, ctx->crop, ctx->size, mohvit_slot_input(ctx, slot));
    note_treatment(ctx, slot);
    return MOHVIT_OK;
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
    note_treatment(ctx, slot);
    return MOHVIT_OK;
}

/* ---- Running --------------------------------------------------------------------------------- */

/* Only the thread that called mohvit_run does this. One that has cancelled hears no more. */
static void tell_progress(mohvit_context *ctx, size_t done)
{
    ctx->told = done;
    const callbacks *c = &ctx->current;
    if (c->progress && !atomic_load(&ctx->cancelled) && c->progress(c->progress_user, done, ctx->total))
        atomic_store(&ctx->cancelled, true);
}

/* The same thread, which then does all images. */
static void tell_trace(void *context, size_t stage_index, size_t block_index, const float *x, size_t N,
                       size_t C)
{
    (void)stage_index, (void)block_index; // of the stage; the interface counts over all
    mohvit_context *ctx = context;
    if (ctx->current.trace(ctx->current.trace_user, ctx->traced_slot, ctx->traced_block++, x, N, C))
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
    const model *network = mohvit_network(ctx->model);
    const context_settings *set = &ctx->settings;
    if (ctx->current.trace) {
        ctx->traced_slot = slot;
        ctx->traced_block = 0;
    }
    pass p = {
        .kernels = network->numerics.kernels,
        .team = t,
        .scratch = &ctx->workplaces[worker].scratch,
        .profile = &ctx->workplaces[worker].profile,
        .drops = set->drops,
        .all_heads = set->all_heads,
        .products_only = set->products_only,
    };
    forward_result result = {
        .features = ctx->features + slot * ctx->channels,
        .logits = ctx->logits + slot * ctx->classes,
        .head_tokens = set->counts_heads && !set->products_only ? ctx->head_tokens + slot * ctx->heads : NULL,
        .gate_sum = ctx->gate_sum + slot * ctx->heads,
        .together =
            set->counts_heads && !set->products_only ? ctx->together + slot * ctx->pairs_per_slot : NULL,
        .gates = ctx->gates && !set->products_only ? ctx->gates + slot * ctx->gates_per_slot : NULL,
        .inputs = set->inputs ? set->inputs + slot * mohvit_inputs(ctx->model) : NULL,
        .outputs = ctx->outputs && !set->products_only ? ctx->outputs + slot * ctx->outputs_per_slot : NULL,
        .routes = set->routes,
        .routes_user = set->routes_user,
        .trace = ctx->current.trace ? tell_trace : NULL,
        .trace_user = ctx,
        .step = !ctx->current.progress && !ctx->current.trace ? NULL
                : worker                                      ? step_of_others
                                                              : step_of_caller,
        .step_user = ctx,
    };
    if (set->from)
        model_resume(network, &p, set->first,
                     set->from + slot * mohvit_inputs(ctx->model) + model_inputs(network, set->first),
                     &result);
    else
        model_forward(network, &p, mohvit_slot_input(ctx, slot), &result);
}

static void run_alone(void *arg, size_t slot, size_t worker)
{
    run_image(arg, slot, NULL, worker);
}

/* Whole images side by side as long as they fill the threads; what is left takes all threads, one by one. */
static void run_batch(void *arg, team *t)
{
    mohvit_context *ctx = arg;
    bool traced = ctx->current.trace || ctx->settings.routes;
    size_t threads = parallel_size(t), side_by_side = traced || !t ? 0 : ctx->images / threads * threads;
    parallel_for(t, side_by_side, run_alone, ctx);
    for (size_t slot = side_by_side; slot < ctx->images; slot++)
        run_image(ctx, slot, t, 0);
}

static void run_slots(mohvit_context *ctx, size_t n)
{
    const gemm *g = mohvit_network(ctx->model)->numerics.gemms[PRECISION_F32];
    ctx->images = n;
    ctx->total = n * mohvit_routing(ctx->model)->count;
    ctx->current = ctx->wanted;
    atomic_store(&ctx->done, 0);
    atomic_store(&ctx->cancelled, false);
    tell_progress(ctx, 0);
    if (!atomic_load(&ctx->cancelled))
        g->run((double)n * ctx->macs < ctx->settings.team_macs ? 1 : ctx->threads, run_batch, ctx);
    if (ctx->current.progress && !atomic_load(&ctx->cancelled) && ctx->told < ctx->total)
        tell_progress(ctx, ctx->total); // other threads did the last blocks
}

mohvit_status mohvit_run(mohvit_context *ctx, size_t n, mohvit_error *err)
{
    mohvit_status status = check_idle(ctx, err);
    if (status)
        return status;
    if (!n || n > ctx->batch)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "run of %zu images; expected 1 to %zu", n, ctx->batch);
    ctx->answered = ctx->recorded = ctx->traced = 0;
    ctx->running = true;
    run_slots(ctx, n);
    ctx->running = false;
    if (atomic_load(&ctx->cancelled))
        return error_set(err, MOHVIT_ERROR_CANCELLED, "cancelled after %zu of %zu blocks", ctx->told,
                         ctx->total);
    memcpy(ctx->counted, ctx->loaded, n * sizeof *ctx->counted);
    ctx->answered = n;
    ctx->recorded = ctx->gates ? n : 0;
    ctx->traced = ctx->outputs ? n : 0;
    return MOHVIT_OK;
}

/* ---- Results --------------------------------------------------------------------------------- */

static mohvit_status check_answered(const mohvit_context *ctx, size_t slot, mohvit_error *err)
{
    if (slot < ctx->answered)
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_ARGUMENT, "slot %zu has no result: the last run answered %zu slot%s",
                     slot, ctx->answered, plural(ctx->answered));
}

const float *mohvit_logits(const mohvit_context *ctx, size_t slot)
{
    return slot < ctx->answered ? ctx->logits + slot * ctx->classes : NULL;
}

const float *mohvit_features(const mohvit_context *ctx, size_t slot)
{
    return slot < ctx->answered ? ctx->features + slot * ctx->channels : NULL;
}

const int32_t *mohvit_head_tokens(const mohvit_context *ctx, size_t slot)
{
    return slot < ctx->answered ? ctx->head_tokens + slot * ctx->heads : NULL;
}

const double *mohvit_head_gate_sum(const mohvit_context *ctx, size_t slot)
{
    return slot < ctx->answered ? ctx->gate_sum + slot * ctx->heads : NULL;
}

const int32_t *mohvit_together(const mohvit_context *ctx, size_t slot)
{
    return slot < ctx->answered ? ctx->together + slot * ctx->pairs_per_slot : NULL;
}

const float *mohvit_gates(const mohvit_context *ctx, size_t slot, size_t block_index)
{
    const routing_layout *layout = mohvit_routing(ctx->model);
    if (slot >= ctx->recorded || block_index >= layout->count)
        return NULL;
    return ctx->gates + slot * ctx->gates_per_slot + routing_pairs(layout, block_index);
}

const float *mohvit_outputs(const mohvit_context *ctx, size_t slot, size_t block_index, size_t *channels)
{
    const routing_layout *layout = mohvit_routing(ctx->model);
    if (slot >= ctx->traced || block_index >= layout->count)
        return NULL;
    if (channels)
        *channels = channels_of(ctx, &layout->blocks[block_index]);
    return ctx->outputs + slot * ctx->outputs_per_slot + outputs_before(ctx, block_index);
}

mohvit_status mohvit_top(const mohvit_context *ctx, size_t slot, mohvit_prediction *top, size_t k,
                         mohvit_error *err)
{
    mohvit_status status = check_answered(ctx, slot, err);
    if (status)
        return status;
    ranking r;
    const class_logits l = {mohvit_logits(ctx, slot), ctx->classes, NULL};
    status = ranking_top(&r, top, k, &l, err);
    for (size_t i = 0; !status && i < r.count; i++) {
        top[i].label = mohvit_label(ctx->base, top[i].class_index); // whose texts live the longest
        top[i].id = mohvit_label_id(ctx->base, top[i].class_index);
    }
    return status;
}

mohvit_status mohvit_head_load_create_of_context(mohvit_head_load **load, const mohvit_context *ctx,
                                                 mohvit_error *err)
{
    return head_load_create_of(load, ctx->model, &ctx->settings.preprocess, ctx->exif_orientation, err);
}

static mohvit_status check_counting(const mohvit_head_load *load, const mohvit_context *ctx, size_t slot,
                                    mohvit_error *err)
{
    const treatment *t = &ctx->counted[slot];
    json_t *own = json_object();
    mohvit_status status = MOHVIT_ERROR_MEMORY;
    if (!own || !provenance_add_pictures(own, &t->preprocess, t->exif_orientation) ||
        !provenance_add_drops(own, mohvit_describe(ctx->model)))
        head_load_no_memory(err);
    else
        status = head_load_check_counting(load, own, "the head load", "the context", err);
    json_decref(own);
    return status;
}

mohvit_status mohvit_head_load_add(mohvit_head_load *load, const mohvit_context *ctx, size_t slot,
                                   size_t class_index, mohvit_error *err)
{
    if (!routing_layout_equal(mohvit_routing(ctx->model), &load->routing) ||
        mohvit_describe(ctx->model)->labels.count != load->names.count)
        return error_set(err, MOHVIT_ERROR_MISMATCH, "the head load is of another model than the context");
    mohvit_status status = check_answered(ctx, slot, err);
    if (!status)
        status = check_counting(load, ctx, slot, err);
    if (status)
        return status;
    const head_image counted = {mohvit_head_tokens(ctx, slot), mohvit_head_gate_sum(ctx, slot),
                                mohvit_together(ctx, slot)};
    return head_load_add(load, class_index, &counted, err);
}

/* ---- In one call ------------------------------------------------------------------------------ */

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

#include "tools/program/evaluation.h"

#include "eval/header.h"
#include "tools/program/interrupt.h"
#include "tools/program/output.h"
#include "tools/program/outputs_check.h"
#include "tools/program/provenance.h"
#include "eval/totals.h"
#include "imgio/dataset/truth.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

// ---- Options ---------------------------------------------------------------------------------------

void evaluation_options_begin(evaluation_options *o)
{
    *o = (evaluation_options){.max_errors = SIZE_MAX, .log_every = 60};
    model_options_begin(&o->model);
}

static bool parse_crop_pct(double *out, const char *text)
{
    if (!parse_tolerance(out, "--crop-pct", text))
        return false;
    if (*out > 0 && *out <= PREPROCESS_MAX_CROP_PCT)
        return true;
    complain("--crop-pct %s: expected a number above 0, at most %g", text, PREPROCESS_MAX_CROP_PCT);
    return false;
}

static bool parse_routed_list(evaluation_options *o, const char *text)
{
    free(o->routed_text);
    o->routed_text = need(strdup(text));
    o->routed_count = 0;
    char *rest = o->routed_text;
    for (char *value; (value = strsep(&rest, ","));) {
        if (o->routed_count == EVALUATION_MAX_VARIANTS) {
            complain("--routed-heads %s: expected at most %d values", text, EVALUATION_MAX_VARIANTS);
            return false;
        }
        if (!parse_routed(&o->routed[o->routed_count++], value))
            return false;
    }
    return true;
}

static bool parse_shard(evaluation_options *o, const char *text)
{
    char tail;
    bool plain = text[strspn(text, "0123456789/")] == '\0'; // %zu would take blanks and a sign
    if (plain && sscanf(text, "%9zu/%9zu%c", &o->shard, &o->shards, &tail) == 2 && o->shard >= 1 &&
        o->shard <= o->shards) {
        snprintf(o->part, sizeof o->part, "%zu/%zu", o->shard, o->shards);
        return true;
    }
    complain("--shard %s: expected I/N, such as 1/4 to 4/4", text);
    return false;
}

void evaluation_options_end(evaluation_options *o)
{
    free(o->routed_text);
}

bool evaluation_option(void *options, int code, const char *value)
{
    evaluation_options *o = options;
    switch (code) {
    case OPTION_TRUTH:
        return takes_input(&o->truth, "--truth", value);
    case OPTION_REAL_LABELS:
        return takes_input(&o->real_labels, "--real-labels", value);
    case OPTION_SUBSET:
        return takes_input(&o->subset, "--subset", value);
    case OPTION_LIMIT:
        return parse_whole(&o->limit, "--limit", value, 1, SIZE_MAX / 2);
    case OPTION_SAMPLE:
        return parse_whole(&o->sample, "--sample", value, 1, SIZE_MAX / 2);
    case OPTION_SAMPLE_SEED:
        o->seeded = true;
        return parse_seed(&o->seed, "--seed", value);
    case OPTION_CROP_PCT:
        return parse_crop_pct(&o->crop_pct, value);
    case OPTION_ROUTED_VALUES:
        return parse_routed_list(o, value);
    case OPTION_STATE:
        return takes_state(&o->state, "--state", value);
    case OPTION_SHARD:
        return parse_shard(o, value);
    case OPTION_ALLOW_MIXED:
        return o->allow_mixed = true;
    case OPTION_MAX_ERRORS:
        return parse_whole(&o->max_errors, "--max-errors", value, 0, SIZE_MAX / 2);
    case OPTION_LOG_EVERY:
        return parse_whole(&o->log_every, "--log-every", value, 1, 1000000);
    case OPTION_QUIET:
        return o->quiet = true;
    default:
        return model_option(&o->model, code, value);
    }
}

int evaluation_options_check(evaluation_options *o, const char *name, int argc, char **argv)
{
    o->data = argv + optind;
    o->data_count = (size_t)(argc - optind);
    if (!o->data_count)
        return usage_error(name, "expected a folder, a tar, a list or idx:IMAGES,LABELS");
    if (o->truth && o->real_labels)
        return usage_error(name, "--truth and --real-labels both say which classes are right");
    if (o->limit && o->sample)
        return usage_error(name, "--limit and --sample both choose pictures");
    if (o->seeded && !o->sample)
        return usage_error(name, "--seed belongs to --sample");
    if (o->shards && !o->state)
        return usage_error(name, "--shard needs --state FILE: \"mohvit merge\" joins such files");
    if (o->shards && ranks_started_by_mpirun())
        return usage_error(name, "--shard: mpirun spreads the whole already");
    if (o->head_load && o->routed_count > 1)
        return usage_error(name, "a head load is of one model; expected one value of --routed-heads");
    for (size_t i = 0; i < o->data_count; i++)
        names_data(o->data[i]);
    model_names_weights(&o->model);
    o->command = name;
    return outputs_check(name);
}

// ---- The header ------------------------------------------------------------------------------------

static json_t *json_parsed(char *text)
{
    json_t *value = need(json_loads(need(text), 0, NULL));
    free(text);
    return value;
}

static json_t *subset_json(const evaluation *e)
{
    size_t count = 0, classes = class_count(e->classes);
    if (!e->competes)
        return json_null();
    for (size_t i = 0; i < classes; i++)
        count += e->competes[i];
    return json_sprintf("%zu classes, CRC %08lx", count,
                        crc32_z(0, (const unsigned char *)e->competes, classes));
}

static json_t *routed_json(const evaluation *e)
{
    json_t *values = e->o->routed_count ? need(json_array()) : json_null();
    for (size_t i = 0; i < e->o->routed_count; i++)
        if (json_array_append_new(values, json_string(e->o->routed[i])))
            need(NULL);
    return values;
}

/* How the models compute. */
static mohvit_info computes(const evaluation *e)
{
    mohvit_info info;
    mohvit_get_info(e->models[0], &info);
    return info;
}

/* The pictures, and which ones --limit or --sample chose them from. */
static json_t *data_json(const evaluation *e)
{
    char fingerprint[FINGERPRINT_SIZE];
    json_t *data = need(json_object());
    dataset_fingerprint(e->data, fingerprint);
    json_put(data, "images", json_integer((json_int_t)dataset_count(e->data)));
    json_put(data, "fingerprint", json_text(fingerprint));
    if (dataset_count(e->data) == dataset_candidates(e->data))
        return data;
    json_t *from = need(json_object());
    dataset_fingerprint_candidates(e->data, fingerprint);
    json_put(from, "images", json_integer((json_int_t)dataset_candidates(e->data)));
    json_put(from, "fingerprint", json_text(fingerprint));
    json_put(data, "chosen_from", from);
    return data;
}

static json_t *match_json(const evaluation *e, const json_t *provenance)
{
    const config *c = &mohvit_describe(e->models[0])->config;
    json_t *match = need(json_object());
    json_put(match, "version", json_text(mohvit_version()));
    json_put(match, "weights_hash", json_incref(json_object_get(provenance, "weights_hash")));
    json_put(match, "config", config_json(c));
    json_put(match, "preprocess", json_parsed(preprocess_to_json(&e->preprocess)));
    json_put(match, "data", data_json(e));
    json_put(match, "precision", json_text(computes(e).precision));
    json_put(match, "routed_heads", routed_json(e));
    json_put(match, "subset", subset_json(e));
    return match;
}

static json_t *hardware_json(const evaluation *e)
{
    json_t *hardware = need(json_object());
    json_put(hardware, "backend", json_text(computes(e).backend));
    json_put(hardware, "instruction_set", json_text(computes(e).instruction_set));
    return hardware;
}

static json_t *run_json(const evaluation *e)
{
    json_t *run = need(json_object());
    json_put(run, "shard", e->o->shards ? json_text(e->o->part) : json_null());
    return run;
}

/* What the header calls the section with the head load; NULL where there is none. */
static const char *load_name(const evaluation *e)
{
    if (!e->o->head_load)
        return NULL;
    return e->o->by_prediction ? HEAD_LOAD_SECTION_PREDICTED : HEAD_LOAD_SECTION;
}

static json_t *sections_json(const evaluation *e)
{
    json_t *sections = need(json_array());
    if (e->o->predictions && json_array_append_new(sections, json_string("predictions")))
        need(NULL);
    if (load_name(e) && json_array_append_new(sections, json_string(load_name(e))))
        need(NULL);
    return sections;
}

static json_t *prefixes_json(const evaluation *e)
{
    json_t *prefixes = need(json_array());
    for (size_t i = 0; i < dataset_sources(e->data); i++)
        if (json_array_append_new(prefixes, json_text(dataset_prefix(e->data, i))))
            need(NULL);
    return prefixes;
}

/* For the curve: what each model computes. */
static void put_costs(const evaluation *e, json_t *header)
{
    json_t *gmacs = need(json_array()), *active = need(json_array());
    for (size_t i = 0; i < e->variants; i++) {
        mohvit_info info;
        mohvit_get_info(e->models[i], &info);
        if (json_array_append_new(gmacs, json_real(info.gmacs_routed)) ||
            json_array_append_new(active, json_real(info.active_heads_percent)))
            need(NULL);
    }
    json_put(header, "gmacs", gmacs);
    json_put(header, "active_heads_percent", active);
}

static json_t *make_header(const evaluation *e)
{
    const description *d = mohvit_describe(e->models[0]);
    json_t *header = need(json_object());
    json_t *provenance = provenance_json(&e->source, &d->config, e->models[0], e->threads);
    json_put(header, "format", json_integer(HEADER_FORMAT));
    json_put(header, "match", match_json(e, provenance));
    json_put(header, "hardware", hardware_json(e));
    json_put(header, "run", run_json(e));
    json_put(header, "images", json_integer((json_int_t)dataset_count(e->data)));
    json_put(header, "sections", sections_json(e));
    json_put(header, "provenance", provenance);
    put_costs(e, header);
    json_put(header, "prefixes", prefixes_json(e));
    if (e->o->head_load)
        json_put(header, "routing", routing_layout_to_json(mohvit_routing(e->models[0])));
    json_put(header, "classes", json_parsed(labels_to_json(&d->labels)));
    return header;
}

// ---- Opening ---------------------------------------------------------------------------------------

/* Rank 0 speaks for all; the others speak only of what fails, and say who they are. */
static void introduce(evaluation *e)
{
    static char who[128];
    char host[64] = "?";
    gethostname(host, sizeof host - 1);
    snprintf(e->rank_name, sizeof e->rank_name, " (rank %zu on %s)", ranks_index(e->ranks), host);
    snprintf(who, sizeof who, "rank %zu on %s: ", ranks_index(e->ranks), host);
    if (ranks_index(e->ranks))
        complain_as(who);
}

static bool speaks(const evaluation *e)
{
    return !e->ranks || !ranks_index(e->ranks);
}

/* Ranks of one machine that are not bound to cores of their own would each take all of them. */
static void share_cores(evaluation *e)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int share = cores > 0 ? (int)((size_t)cores / ranks_local(e->ranks)) : 1;
    if (!e->o->model.threads_given && share < e->threads)
        e->threads = share > 1 ? share : 1;
}

static mohvit_status join_ranks(evaluation *e, mohvit_error *err)
{
    if (!ranks_started_by_mpirun())
        return MOHVIT_OK;
    mohvit_status status = ranks_join(&e->ranks, err);
    if (!status) {
        introduce(e);
        share_cores(e);
    }
    return status;
}

/* A model for each value of --routed-heads in place of the one that is open. */
static int open_routed(evaluation *e)
{
    mohvit_model *base = e->models[0];
    mohvit_error err;
    mohvit_status status = MOHVIT_OK;
    e->variants = 0;
    e->models[0] = NULL;
    while (!status && e->variants < e->o->routed_count) {
        status = mohvit_reroute(&e->models[e->variants], base, e->o->routed[e->variants], &err);
        if (!status && speaks(e))
            model_warn_routed(&mohvit_describe(e->models[e->variants])->config, e->o->routed[e->variants],
                              &e->o->model);
        e->variants += !status;
    }
    mohvit_close(base);
    if (status)
        complain("%s", err.message);
    return status ? EXIT_MODEL : PARSED;
}

static int open_models(evaluation *e)
{
    model_options o = e->o->model;
    if (!speaks(e)) {
        o.quiet = true;
        o.open.warn = NULL;
    }
    e->source = model_source_choose(&o);
    e->models[0] = model_source_open(&e->source, &o);
    if (!e->models[0])
        return EXIT_MODEL;
    e->variants = 1;
    if (e->o->routed_count) {
        int status = open_routed(e);
        if (status != PARSED)
            return status;
    }
    e->preprocess = mohvit_describe(e->models[0])->preprocess;
    if (e->o->crop_pct > 0)
        e->preprocess.crop_pct = e->o->crop_pct;
    return PARSED;
}

static mohvit_status open_data(evaluation *e, mohvit_error *err)
{
    const evaluation_options *o = e->o;
    const labels *l = &mohvit_describe(e->models[0])->labels;
    const class_names names = {l->count, l->name, l->id};
    mohvit_status status = class_table_create(&e->classes, &names, err);
    if (!status && o->subset) {
        e->competes = need(calloc(l->count, sizeof *e->competes));
        status = subset_read(e->competes, o->subset, e->classes, err);
    }
    dataset_options options = {
        .classes = e->classes,
        .truth = o->truth,
        .real_labels = o->real_labels,
        .subset = e->competes,
        .limit = o->limit,
        .sample = o->sample,
        .seed = o->seed,
        .unlabelled = o->by_prediction,
        .warn = {speaks(e) ? output_warning : NULL, NULL},
    };
    return status ? status : dataset_open(&e->data, o->data, o->data_count, &options, err);
}

/* Every rank has to be about to do the same. */
static mohvit_status agree(evaluation *e, mohvit_error *err)
{
    char *text = need(json_dumps(e->header, JSON_COMPACT)), *first = NULL;
    const warning_sink warn = {output_warning, NULL};
    mohvit_status status = ranks_broadcast(e->ranks, text, &first, err);
    json_t *header = status ? NULL : json_loads(first, 0, NULL);
    if (header && !speaks(e))
        status = header_compare(header, e->header, true, e->o->allow_mixed, "this rank", &warn, err);
    json_decref(header);
    free(first);
    free(text);
    return status;
}

static mohvit_status check_sections(const evaluation *e, mohvit_error *err)
{
    const json_t *header = journal_header(e->journal);
    const char *name = journal_name(e->journal), *load = load_name(e);
    const json_t *there = json_object_get(header, "sections");
    if (e->o->predictions && !header_has_section(header, "predictions"))
        return error_set(
            err, MOHVIT_ERROR_MISMATCH,
            "%s: was begun without --predictions, and its records lack them; leave it out, or begin "
            "another state",
            name);
    if (load && !header_has_section(header, load))
        return error_set(err, MOHVIT_ERROR_MISMATCH,
                         "%s: was begun without %s, and its records lack it; begin another state", name,
                         load);
    for (size_t i = 0; i < json_array_size(there); i++) {
        const char *section = json_string_value(json_array_get(there, i));
        bool known = section && (!strcmp(section, "predictions") || (load && !strcmp(section, load)));
        if (!known)
            return error_set(err, MOHVIT_ERROR_MISMATCH,
                             "%s: was begun with %s, which its records would lack", name,
                             section ? section : "something");
    }
    return MOHVIT_OK;
}

static mohvit_status open_journal(evaluation *e, mohvit_error *err)
{
    const journal_options o = {e->o->state, e->header, e->o->allow_mixed, {output_warning, NULL}};
    mohvit_status status = journal_open(&e->journal, &o, err);
    return status ? status : check_sections(e, err);
}

static size_t images_of(const evaluation *e, size_t chunk)
{
    size_t left = dataset_count(e->data) - chunk * CHUNK_IMAGES;
    return left < CHUNK_IMAGES ? left : CHUNK_IMAGES;
}

/* Which chunks are this run's. Parts are contiguous, so that each reads one stretch of a tar. */
static void plan(evaluation *e)
{
    size_t chunks = divide_up(dataset_count(e->data), CHUNK_IMAGES);
    size_t shard = e->o->shards ? e->o->shard - 1 : 0, shards = e->o->shards ? e->o->shards : 1;
    e->first = e->next = (size_t)((unsigned __int128)chunks * shard / shards);
    e->end = (size_t)((unsigned __int128)chunks * (shard + 1) / shards);
    for (size_t i = e->first; i < e->end; i++)
        e->images += images_of(e, i);
}

/* PARSED, or the exit status to leave with after end. */
static int begin(evaluation *e, const evaluation_options *o)
{
    mohvit_error err;
    *e = (evaluation){.o = o, .threads = o->model.open.threads, .load = {.by_prediction = o->by_prediction}};
    pthread_mutex_init(&e->lock, NULL);
    if (join_ranks(e, &err)) {
        complain("%s", err.message);
        return EXIT_INPUT;
    }
    if (speaks(e) && !outputs_possible())
        return EXIT_INPUT;
    int status = open_models(e);
    if (status != PARSED)
        return status;
    mohvit_status failed = open_data(e, &err);
    if (!failed && (status = outputs_check_pictures(o->command, e->data)) != PARSED)
        return status;
    if (!failed) {
        e->header = make_header(e);
        plan(e);
    }
    if (!failed && e->ranks)
        failed = agree(e, &err);
    if (!failed && speaks(e))
        failed = open_journal(e, &err);
    if (failed)
        complain("%s", err.message);
    return failed ? EXIT_INPUT : PARSED;
}

// ---- Running ---------------------------------------------------------------------------------------

static mohvit_status next_chunk(void *user, size_t *chunk, mohvit_error *err)
{
    (void)err;
    evaluation *e = user;
    pthread_mutex_lock(&e->lock);
    while (e->next < e->end && journal_has(e->journal, e->next))
        e->next++;
    *chunk = e->next < e->end ? e->next++ : CHUNK_NONE;
    pthread_mutex_unlock(&e->lock);
    return MOHVIT_OK;
}

static mohvit_status keep_record(void *user, const bytes *record, mohvit_error *err)
{
    evaluation *e = user;
    pthread_mutex_lock(&e->lock);
    mohvit_status status = journal_append(e->journal, record->data, record->size, err);
    e->broken = e->broken || status;
    pthread_mutex_unlock(&e->lock);
    return status;
}

/* With the lock held. */
static bool has_to_stop(const evaluation *e)
{
    return interrupt_pending() || e->broken || e->progress.failed > e->o->max_errors;
}

static bool count_image(void *user, bool failed)
{
    evaluation *e = user;
    pthread_mutex_lock(&e->lock);
    progress_add(&e->progress, 1, failed);
    bool stop = has_to_stop(e);
    pthread_mutex_unlock(&e->lock);
    return stop;
}

// ---- Over ranks ------------------------------------------------------------------------------------

/* A record of another rank: of its images nothing is known before. */
static mohvit_status keep_remote(void *user, const bytes *record, mohvit_error *err)
{
    evaluation *e = user;
    chunk_record r;
    size_t failed = 0;
    mohvit_status status = record_parse(&r, record->data, record->size, err);
    if (!status)
        status = keep_record(e, record, err);
    for (size_t i = 0; !status && i < r.images; i++) {
        image_record one;
        record_next_result(&one, &r.results, r.variants);
        failed += one.failed;
    }
    pthread_mutex_lock(&e->lock);
    if (!status)
        progress_add(&e->progress, r.images, failed);
    pthread_mutex_unlock(&e->lock);
    return status;
}

static bool host_stops(void *user)
{
    evaluation *e = user;
    pthread_mutex_lock(&e->lock);
    bool stop = has_to_stop(e);
    pthread_mutex_unlock(&e->lock);
    return stop;
}

static mohvit_status serve_ranks(void *user, mohvit_error *err)
{
    evaluation *e = user;
    const ranks_host host = {e, next_chunk, keep_remote, host_stops};
    return ranks_serve(e->ranks, &host, err);
}

static mohvit_status next_from_host(void *user, size_t *chunk, mohvit_error *err)
{
    return ranks_next(((evaluation *)user)->ranks, chunk, err);
}

static mohvit_status send_record(void *user, const bytes *record, mohvit_error *err)
{
    return ranks_send_record(((evaluation *)user)->ranks, record, err);
}

static bool told_to_stop(void *user, bool failed)
{
    (void)failed;
    return ranks_told_to_stop(((evaluation *)user)->ranks);
}

// ---- The run ---------------------------------------------------------------------------------------

static pipeline make_pipeline(evaluation *e)
{
    e->load.routing = mohvit_routing(e->models[0]);
    e->section = head_load_record_section(&e->load);
    const json_t *header = e->journal ? journal_header(e->journal) : e->header;
    pipeline p = {
        .data = e->data,
        .models = (const mohvit_model *const *)e->models,
        .variants = e->variants,
        .preprocess = &e->preprocess,
        .competes = e->competes,
        .threads = (size_t)e->threads,
        .batch = e->o->model.batch,
        .predictions = header_has_section(header, "predictions"),
        .section = e->o->head_load ? &e->section : NULL,
        .reader = e->ranks ? e->rank_name : NULL,
        .user = e,
        .next = next_chunk,
        .done = keep_record,
        .image = count_image,
    };
    if (e->ranks && speaks(e)) {
        p.serve = serve_ranks;
    } else if (e->ranks) {
        p.next = next_from_host;
        p.done = send_record;
        p.image = told_to_stop;
    }
    return p;
}

/* Images of the shard that the journal has, and how many of them failed. */
static mohvit_status count_done(const evaluation *e, size_t *done, size_t *failed, mohvit_error *err)
{
    totals t;
    journal *journals[] = {e->journal};
    const record_set set = {journals, 1};
    mohvit_status status = totals_count(&t, &set, 0, err);
    *done = (size_t)(t.images + t.failed);
    *failed = (size_t)t.failed;
    totals_free(&t);
    return status;
}

static bool all_done(const evaluation *e)
{
    for (size_t i = e->first; i < e->end; i++)
        if (!journal_has(e->journal, i))
            return false;
    return true;
}

static mohvit_status run_as_host(evaluation *e, mohvit_error *err)
{
    size_t done = 0, failed = 0;
    mohvit_status status = count_done(e, &done, &failed, err);
    if (status)
        return status;
    if (done && !e->o->quiet)
        complain("%s: %zu of %zu images are done already", journal_name(e->journal), done, e->images);
    progress_begin(&e->progress, e->images, done, failed, e->o->log_every, e->o->quiet);
    interrupt_begin();
    if (!all_done(e) || e->ranks) {
        pipeline p = make_pipeline(e);
        status = pipeline_run(&p, err);
        e->rate = progress_rate(&e->progress);
    }
    progress_end(&e->progress);
    if (!status)
        status = journal_sync(e->journal, err);
    e->stopped = !status && !all_done(e);
    return status;
}

static mohvit_status run_as_guest(evaluation *e, mohvit_error *err)
{
    pipeline p = make_pipeline(e);
    mohvit_status status = pipeline_run(&p, err);
    return status ? status : ranks_finish(e->ranks, err);
}

static void explain_stop(const evaluation *e)
{
    if (interrupt_pending())
        complain("interrupted");
    else
        complain("stopped: %zu images have failed, more than --max-errors %zu", e->progress.failed,
                 e->o->max_errors);
}

static int run(evaluation *e)
{
    mohvit_error err;
    mohvit_status status = speaks(e) ? run_as_host(e, &err) : run_as_guest(e, &err);
    if (status)
        complain("%s", err.message);
    else if (e->stopped)
        explain_stop(e);
    if ((e->stopped || error_may_pass(status)) && e->o->state && speaks(e))
        complain("%s: the same command goes on from here", e->o->state);
    e->broken = status != MOHVIT_OK;
    interrupt_forget();
    return status ? EXIT_INPUT : PARSED;
}

/* Frees all; other ranks are waited for. Returns the exit status of this process. */
static int end(evaluation *e, int status)
{
    bool begun = e->journal || (e->ranks && !speaks(e) && status == PARSED);
    if (e->ranks && (e->broken || !begun))
        ranks_abort(e->ranks, status); // the others would wait for what will not come
    journal_close(e->journal);
    dataset_close(e->data);
    class_table_destroy(e->classes);
    free(e->competes);
    json_decref(e->header);
    while (e->variants)
        mohvit_close(e->models[--e->variants]);
    pthread_mutex_destroy(&e->lock);
    output_flush();
    ranks_leave(e->ranks);
    return status == PARSED ? EXIT_FINE : status;
}

int evaluation_perform(const evaluation_options *o, evaluation_finisher *finish, const void *user)
{
    evaluation e;
    int status = begin(&e, o);
    if (status == PARSED)
        status = run(&e);
    if (status == PARSED && e.journal)
        status = finish(user, &e);
    return end(&e, status);
}

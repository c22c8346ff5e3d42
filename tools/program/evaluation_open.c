#include "tools/program/evaluation.h"

#include "base/memory.h"
#include "eval/header.h"
#include "eval/recheck.h"
#include "imgio/dataset/truth.h"
#include "tools/program/complain.h"
#include "tools/program/output.h"
#include "tools/program/outputs_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Others than rank 0 say who they are when they speak. */
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
    e->top_ks = 0;
    e->models[0] = NULL;
    while (!status && e->top_ks < e->o->routed_count) {
        status = mohvit_reroute(&e->models[e->top_ks], base, e->o->routed[e->top_ks], &err);
        if (!status && evaluation_speaks(e))
            model_warn_routed(&mohvit_describe(e->models[e->top_ks])->config, e->o->routed[e->top_ks],
                              &e->o->model);
        e->top_ks += !status;
    }
    mohvit_close(base);
    return fine_or_complain(status, &err) ? PARSED : EXIT_MODEL;
}

static int open_models(evaluation *e)
{
    model_options o = e->o->model;
    if (!evaluation_speaks(e)) {
        o.quiet = true;
        o.open.warn = o.open.note = NULL;
    }
    e->source = model_source_choose(&o);
    e->models[0] = model_open_or_complain(&e->source, &o);
    if (!e->models[0])
        return EXIT_MODEL;
    e->top_ks = 1;
    if (e->o->routed_count) {
        int status = open_routed(e);
        if (status != PARSED)
            return status;
    }
    mohvit_error err;
    const evaluation_options *asked = e->o;
    if (asked->ablates &&
        !fine_or_complain(ablation_create(&e->ablation, e->models[0], asked->ablated_heads, "--heads",
                                          asked->ablated_together, asked->ablation_renormalises, &err),
                          &err))
        return EXIT_USAGE;
    e->certainty = (certainty){e->models[0], asked->shift};
    size_t side = mohvit_describe(e->models[0])->config.img_size;
    if (asked->probes && asked->shift >= side) {
        complain("--shift %zu: expected less than the %zu pixels of the model's pictures", asked->shift,
                 side);
        return EXIT_USAGE;
    }
    if (asked->probes && !routing_layout_last_routed(mohvit_routing(e->models[0]))) {
        complain("%s: no block of this model routes: all its heads are always on",
                 e->source.kind == SOURCE_FILE ? e->source.path : mohvit_routing(e->models[0])->model);
        return EXIT_USAGE;
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
        e->competes = or_die(calloc(l->count, sizeof *e->competes));
        status = subset_read(e->competes, o->subset, o->null_lists ? LINES_EITHER : LINES_NEWLINE, e->classes,
                             err);
    }
    dataset_options options = {
        .classes = e->classes,
        .truth = o->truth,
        .truth_in_order = o->truth_in_order,
        .from_names = o->from_names,
        .folders = o->by_order    ? FOLDERS_BY_ORDER
                   : o->by_number ? FOLDERS_BY_NUMBER
                                  : FOLDERS_BY_NAME,
        .image_ext = o->image_ext,
        .null_lists = o->null_lists,
        .escaped = o->escaped,
        .real_labels = o->real_labels,
        .subset = e->competes,
        .limit = o->limit,
        .sample = o->sample,
        .seed = o->seed,
        .unlabelled = o->by_prediction,
        .skip_other_formats = o->skip_other_formats,
        .warn = {evaluation_speaks(e) ? complain_warning : NULL, NULL},
    };
    return status ? status : dataset_open(&e->data, o->data, o->data_count, &options, err);
}

/* Every rank has to see the same pictures. */
static mohvit_status agree_on_data(evaluation *e, const json_t *first_header, mohvit_error *err)
{
    char *text = NULL, *first = NULL;
    mohvit_status status = MOHVIT_OK;
    if (!json_equal(json_object_get(first_header, "data"), json_object_get(e->header, "data")))
        return error_set(err, MOHVIT_ERROR_MISMATCH,
                         "this rank: its pictures have other sizes than those of rank 0");
    if (evaluation_speaks(e))
        status = recheck_tell(&text, e->data, err);
    if (!status)
        status = ranks_broadcast(e->ranks, text, &first, err);
    if (!status && !evaluation_speaks(e))
        status = recheck_told(e->data, first, err);
    free(first);
    free(text);
    return status;
}

/* Every rank has to be about to do the same. */
static mohvit_status agree(evaluation *e, mohvit_error *err)
{
    char *text = or_die(json_dumps(e->header, JSON_COMPACT)), *first = NULL;
    const warning_sink warn = {complain_warning, NULL};
    mohvit_status status = ranks_broadcast(e->ranks, text, &first, err);
    json_t *header = status ? NULL : json_loads(first, 0, NULL);
    if (header && !evaluation_speaks(e))
        status = header_compare(header, e->header, true, e->o->allow_mixed, "this rank", &warn, err);
    if (!status)
        status = agree_on_data(e, header, err);
    json_decref(header);
    free(first);
    free(text);
    return status;
}

static mohvit_status check_sections(const evaluation *e, mohvit_error *err)
{
    const json_t *header = journal_header(e->journal);
    const char *name = journal_name(e->journal), *load = evaluation_load_name(e);
    const json_t *there = json_object_get(header, "sections");
    for (vector_kind k = 0; k < VECTOR_KINDS; k++)
        if (e->o->vectors[k] && !header_has_section(header, vector_kind_name(k)))
            return error_set(err, MOHVIT_ERROR_MISMATCH,
                             "%s: was begun without --%s, and its records lack them; leave it out, or begin "
                             "another state",
                             name, vector_kind_name(k));
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
        bool known = section && (!strcmp(section, "predictions") || !strcmp(section, ABLATION_SECTION) ||
                                 !strcmp(section, CERTAINTY_SECTION) || // these are part of "match"
                                 (load && !strcmp(section, load)));
        for (vector_kind k = 0; section && k < VECTOR_KINDS; k++)
            known = known || (e->o->vectors[k] && !strcmp(section, vector_kind_name(k)));
        if (!known)
            return error_set(err, MOHVIT_ERROR_MISMATCH,
                             "%s: was begun with %s, which its records would lack", name,
                             section ? section : "something");
    }
    return MOHVIT_OK;
}

static mohvit_status open_journal(evaluation *e, mohvit_error *err)
{
    const journal_options o = {e->o->state, e->header, e->o->allow_mixed, {complain_warning, NULL}};
    mohvit_status status = journal_open(&e->journal, &o, err);
    return status ? status : check_sections(e, err);
}

size_t evaluation_chunk_images(const evaluation *e, size_t chunk)
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
        e->images += evaluation_chunk_images(e, i);
}

int evaluation_begin(evaluation *e, const evaluation_options *o)
{
    mohvit_error err;
    *e = (evaluation){.o = o, .threads = o->model.open.threads, .load = {.by_prediction = o->by_prediction}};
    pthread_mutex_init(&e->lock, NULL);
    if (!fine_or_complain(join_ranks(e, &err), &err) ||
        (evaluation_speaks(e) && !outputs_possible_or_complain()))
        return EXIT_INPUT;
    int status = open_models(e);
    if (status != PARSED)
        return status;
    mohvit_status failed = open_data(e, &err);
    if (!failed && (status = outputs_check_pictures(o->command, e->data)) != PARSED)
        return status;
    if (!failed) {
        e->header = evaluation_header(e);
        plan(e);
    }
    if (!failed && e->ranks)
        failed = agree(e, &err);
    if (!failed && evaluation_speaks(e))
        failed = open_journal(e, &err);
    return fine_or_complain(failed, &err) ? PARSED : EXIT_INPUT;
}

int evaluation_end(evaluation *e, int status)
{
    bool begun = e->journal || (e->ranks && !evaluation_speaks(e) && status == PARSED);
    if (e->ranks && (e->broken || !begun))
        ranks_abort(e->ranks, status); // the others would wait for what will not come
    journal_close(e->journal);
    dataset_close(e->data);
    class_table_destroy(e->classes);
    free(e->competes);
    json_decref(e->header);
    ablation_free(&e->ablation);
    while (e->top_ks)
        mohvit_close(e->models[--e->top_ks]);
    pthread_mutex_destroy(&e->lock);
    output_flush();
    ranks_leave(e->ranks);
    return status == PARSED ? EXIT_FINE : status;
}

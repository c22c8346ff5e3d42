#include "tools/program/evaluation.h"

#include "eval/header.h"
#include "eval/recheck.h"
#include "tools/program/complain.h"
#include "tools/program/interrupt.h"

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

/* Another rank's images are counted when their record arrives. */
static mohvit_status keep(evaluation *e, const bytes *record, bool remote, mohvit_error *err)
{
    chunk_record r;
    mohvit_status status = journal_parse(e->journal, &r, record, err);
    pthread_mutex_lock(&e->lock);
    if (!status)
        status = recheck_unread(e->journal, &r, err);
    if (!status)
        status = journal_append(e->journal, &r, err);
    if (!status && remote)
        progress_add(&e->progress, r.images, r.failures);
    e->broken = e->broken || status;
    pthread_mutex_unlock(&e->lock);
    record_free(&r);
    return status;
}

static mohvit_status keep_own(void *user, const bytes *record, mohvit_error *err)
{
    return keep(user, record, false, err);
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

static bool told_by_signal(void *user)
{
    (void)user;
    return interrupt_pending();
}

/* What no record will tell. */
static void tell_dropped(void *user, const char *error)
{
    evaluation *e = user;
    complain("%s", error);
    e->dropped++;
}

// ---- Over ranks ------------------------------------------------------------------------------------

static mohvit_status keep_remote(void *user, const bytes *record, mohvit_error *err)
{
    return keep(user, record, true, err);
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
    size_t sections = 0;
    e->load.routing = mohvit_routing(e->models[0]);
    for (vector_kind k = 0; k < VECTOR_KINDS; k++) {
        e->vectors[k] = (vector_record){k, evaluation_vector_width(e, k), e->load.routing};
        if (e->o->vectors[k])
            e->sections[sections++] = vector_record_section(&e->vectors[k]);
    }
    if (e->o->head_load)
        e->sections[sections++] = head_load_record_section(&e->load);
    if (e->o->ablates)
        e->sections[sections++] = ablation_record_section(&e->ablation);
    if (e->o->probes)
        e->sections[sections++] = certainty_record_section(&e->certainty);
    const json_t *header = e->journal ? journal_header(e->journal) : e->header;
    pipeline p = {
        .data = e->data,
        .models = (const mohvit_model *const *)e->models,
        .top_ks = e->top_ks,
        .preprocess = &e->preprocess,
        .competes = e->competes,
        .ablation = e->o->ablates ? &e->ablation : NULL,
        .certainty = e->o->probes ? &e->certainty : NULL,
        .threads = (size_t)e->threads,
        .batch = e->o->model.batch,
        .exif_orientation = e->o->exif_orientation,
        .predictions = header_has_section(header, "predictions"),
        .sections = e->sections,
        .section_count = sections,
        .reader = e->ranks ? e->rank_name : NULL,
        .user = e,
        .next = next_chunk,
        .done = keep_own,
        .image = count_image,
        .interrupted = told_by_signal,
        .dropped = tell_dropped,
    };
    if (e->ranks && evaluation_speaks(e)) {
        p.serve = serve_ranks;
    } else if (e->ranks) {
        p.next = next_from_host;
        p.done = send_record;
        p.image = told_to_stop;
        p.dropped = NULL; // rank 0 has not counted them
    }
    return p;
}

/* What the state has, once it is known to be of the data as they are. */
static mohvit_status begin_progress(evaluation *e, mohvit_error *err)
{
    recheck had;
    mohvit_status status = recheck_journal(&had, e->journal, e->data, err);
    if (status)
        return status;
    if (had.done && !e->o->quiet)
        complain("%s: %zu of %zu images are done already, and the data have not changed (%zu picture%s read "
                 "again)",
                 journal_name(e->journal), had.done, e->images, had.read, had.read == 1 ? " was" : "s were");
    if (had.again && !e->o->quiet)
        complain("%s: %zu of its records %s made again: pictures that failed have changed",
                 journal_name(e->journal), had.again, had.again == 1 ? "is" : "are");
    progress_begin(&e->progress, e->images, had.done, had.failed, e->o->log_every, e->o->quiet);
    return MOHVIT_OK;
}

/* How long an ablation is going to take, by a measurement; on this machine alone, where there are ranks. */
static mohvit_status tell_time(const evaluation *e, mohvit_error *err)
{
    char text[64];
    double own, passes;
    size_t images = e->images - e->progress.begun;
    if (!e->o->ablates || e->o->quiet)
        return MOHVIT_OK;
    mohvit_status status = ablation_time(&e->ablation, &own, &passes, err);
    if (status)
        return status;
    progress_duration(text, sizeof text, (double)images * (own + passes) / e->threads);
    complain("%zu %s%s x %zu image%s: about %s on %d thread%s, plus decoding", e->ablation.count,
             e->o->ablated_together ? "block" : "head", plural(e->ablation.count), images, plural(images),
             text, e->threads, plural((uint64_t)e->threads));
    return MOHVIT_OK;
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
    mohvit_status status = begin_progress(e, err);
    if (!status && !all_done(e))
        status = tell_time(e, err);
    if (status)
        return status;
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

/* Images of finished chunks; those that were read of others are not in the result. */
static size_t images_kept(const evaluation *e)
{
    size_t images = 0;
    for (size_t i = e->first; i < e->end; i++)
        if (journal_has(e->journal, i))
            images += evaluation_chunk_images(e, i);
    return images;
}

static void explain_stop(const evaluation *e)
{
    if (interrupt_pending())
        complain("interrupted: %zu of %zu image%s kept; results are kept every %zu images", images_kept(e),
                 e->images, e->images == 1 ? " is" : "s are", CHUNK_IMAGES);
    else
        complain(
            "stopped: %zu image%s failed, more than --max-errors %zu. Images count in chunks of %zu; those "
            "of unfinished chunks are left out",
            e->progress.failed, e->progress.failed == 1 ? " has" : "s have", e->o->max_errors, CHUNK_IMAGES);
}

static int run(evaluation *e)
{
    mohvit_error err;
    mohvit_status status = evaluation_speaks(e) ? run_as_host(e, &err) : run_as_guest(e, &err);
    if (fine_or_complain(status, &err) && e->stopped)
        explain_stop(e);
    if ((e->stopped || error_may_pass(status)) && e->o->state && evaluation_speaks(e))
        complain("%s: the same command goes on from here", e->o->state);
    e->broken = status != MOHVIT_OK;
    interrupt_forget();
    return status ? EXIT_INPUT : PARSED;
}

static int perform(const evaluation_options *o, evaluation_finisher *finish, const void *user)
{
    evaluation e;
    int status = evaluation_begin(&e, o);
    if (status == PARSED)
        status = run(&e);
    if (status == PARSED && e.journal)
        status = finish(user, &e);
    return evaluation_end(&e, status);
}

int evaluation_command(evaluation_options *o, int parsed, int argc, char **argv, evaluation_finisher *finish,
                       const void *user)
{
    if (parsed == PARSED)
        parsed = evaluation_options_check(o, argc, argv);
    int status = parsed == PARSED ? perform(o, finish, user) : parsed;
    evaluation_options_end(o);
    return status;
}

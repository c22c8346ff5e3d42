#include "eval/totals.h"

#include "base/memory.h"
#include "base/search.h"
#include "eval/header.h"

#include <math.h>
#include <stdlib.h>

/* ---- Sets ------------------------------------------------------------------------------------ */

size_t record_set_chunks(const record_set *s)
{
    return s->count ? journal_chunks(s->journals[0]) : 0;
}

size_t record_set_done(const record_set *s)
{
    size_t done = 0;
    for (size_t i = 0; i < s->count; i++)
        done += journal_done(s->journals[i]);
    return done;
}

static int compare_places(const void *a, const void *b)
{
    const record_place *x = a, *y = b;
    if (x->chunk != y->chunk)
        return x->chunk < y->chunk ? -1 : 1;
    return (x->journal > y->journal) - (x->journal < y->journal);
}

record_place *record_set_places(const record_set *s)
{
    size_t count = record_set_done(s), at = 0;
    record_place *places = calloc(count + 1, sizeof *places);
    for (size_t i = 0; places && i < s->count; i++)
        for (size_t k = 0; k < journal_done(s->journals[i]); k++)
            places[at++] = (record_place){journal_chunk(s->journals[i], k), i};
    if (places && s->count > 1) // one journal's are in order
        qsort(places, count, sizeof *places, compare_places);
    return places;
}

mohvit_status record_set_walk(const record_set *s, record_taker *take, void *user, mohvit_error *err)
{
    bytes b = {0};
    size_t count = record_set_done(s);
    record_place *places = record_set_places(s);
    mohvit_status status =
        places ? MOHVIT_OK : error_set(err, MOHVIT_ERROR_MEMORY, "no memory to sort %zu records", count);
    for (size_t i = 0; !status && i < count; i++) {
        const journal *j = s->journals[places[i].journal];
        chunk_record r = {0};
        status = journal_read(j, places[i].chunk, &b, err);
        if (!status)
            status = journal_parse(j, &r, &b, err);
        if (!status)
            status = take(user, &r, j, err);
        record_free(&r);
    }
    free(places);
    bytes_free(&b);
    return status;
}

/* ---- Counting -------------------------------------------------------------------------------- */

static bool add_mistake(totals *t, uint32_t class_index, uint32_t predicted)
{
    uint64_t *mistakes = memory_grow(t->mistakes, t->mistake_count, &t->mistake_capacity, sizeof *mistakes);
    if (!mistakes)
        return false;
    t->mistakes = mistakes;
    t->mistakes[t->mistake_count++] = (uint64_t)class_index << 32 | predicted;
    return true;
}

static mohvit_status add_to_class(totals *t, const image_record *image, mohvit_error *err)
{
    uint32_t class_index = image->class_index, predicted = image->scores[0].top[0];
    if (class_index >= t->class_count)
        return MOHVIT_OK; // without a class
    class_totals *c = &t->classes[class_index];
    c->images++;
    c->right1 += image->scores[0].right1;
    c->right5 += image->scores[0].right5;
    if (image->scores[0].right1 || add_mistake(t, class_index, predicted))
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for %zu mistakes", t->mistake_count);
}

mohvit_status totals_add(void *user, const chunk_record *r, UNUSED const journal *source, mohvit_error *err)
{
    totals *t = user;
    mohvit_status status = MOHVIT_OK;
    t->decode_ns += r->decode_ns;
    t->hashed = t->hashed && r->pictures;
    for (size_t v = 0; v < r->top_ks; v++)
        t->of[v].network_ns += r->network_ns[v];
    for (size_t i = 0; !status && i < r->images; i++) {
        const image_record *image = &r->image[i];
        t->turned += image->seen.turned;
        t->data_hash += picture_term(image->seen.hash, image->failed);
        if (image->failed) {
            t->failed++;
            t->unread += image->seen.unread;
            continue;
        }
        t->images++;
        for (size_t v = 0; v < r->top_ks; v++) {
            t->of[v].right1 += image->scores[v].right1;
            t->of[v].right5 += image->scores[v].right5;
            t->of[v].loss += (unsigned __int128)image->scores[v].loss;
        }
        if (t->class_count)
            status = add_to_class(t, image, err);
    }
    return status;
}

static int compare_mistakes(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

mohvit_status totals_begin(totals *t, const record_set *s, size_t class_count, mohvit_error *err)
{
    *t = (totals){.class_count = class_count, .hashed = true};
    t->top_ks = s->count ? header_top_ks(journal_header(s->journals[0])) : 1;
    if (class_count && !(t->classes = calloc(class_count, sizeof *t->classes)))
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for %zu classes", class_count);
    return MOHVIT_OK;
}

void totals_end(totals *t)
{
    if (t->mistake_count)
        qsort(t->mistakes, t->mistake_count, sizeof *t->mistakes, compare_mistakes);
}

mohvit_status totals_count(totals *t, const record_set *s, size_t class_count, mohvit_error *err)
{
    mohvit_status status = totals_begin(t, s, class_count, err);
    if (!status)
        status = record_set_walk(s, totals_add, t, err);
    totals_end(t);
    return status;
}

void totals_free(totals *t)
{
    free(t->classes);
    free(t->mistakes);
    *t = (totals){0};
}

/* ---- Asking ---------------------------------------------------------------------------------- */

double totals_top1(const totals *t, size_t top_k)
{
    return t->images ? 100.0 * (double)t->of[top_k].right1 / (double)t->images : NAN;
}

double totals_top5(const totals *t, size_t top_k)
{
    return t->images ? 100.0 * (double)t->of[top_k].right5 / (double)t->images : NAN;
}

double totals_loss(const totals *t, size_t top_k)
{
    return t->images ? (double)t->of[top_k].loss / LOSS_UNITS / (double)t->images : NAN;
}

/* The first mistake that is not below key. */
static size_t first_mistake(const totals *t, uint64_t key)
{
    return search_first(&key, t->mistakes, t->mistake_count, sizeof key, compare_mistakes);
}

size_t totals_confused_with(const totals *t, size_t class_index, uint64_t *times)
{
    size_t found = CLASS_NONE, end = first_mistake(t, (uint64_t)(class_index + 1) << 32);
    *times = 0;
    for (size_t i = first_mistake(t, (uint64_t)class_index << 32), next; i < end; i = next) {
        for (next = i + 1; next < end && t->mistakes[next] == t->mistakes[i];)
            next++;
        if (next - i > *times) {
            *times = next - i;
            found = (size_t)(t->mistakes[i] & UINT32_MAX);
        }
    }
    return found;
}

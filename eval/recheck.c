#include "eval/recheck.h"

#include "eval/header.h"
#include "eval/totals.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* ---- Choosing -------------------------------------------------------------------------------- */

/* Takes `wanted` of the next `left` pictures, any of them equally likely. */
typedef struct choice {
    size_t left, wanted;
    uint64_t seed;
} choice;

static bool chosen(choice *c)
{
    uint64_t left = c->left;
    bool is = XXH3_64bits_withSeed(&left, sizeof left, c->seed) % left < c->wanted;
    c->left--;
    c->wanted -= is;
    return is;
}

static choice choose_among(size_t pictures, uint64_t seed)
{
    return (choice){pictures, pictures < RECHECK_PICTURES ? pictures : RECHECK_PICTURES, seed};
}

/* ---- What a journal has ---------------------------------------------------------------------- */

typedef struct check {
    recheck *result;
    journal *journal;
    const dataset *data;
    choice choice;
} check;

static size_t images_of(const journal *j)
{
    size_t done = journal_done(j), last = journal_chunks(j) - 1;
    size_t missing = journal_chunks(j) * CHUNK_IMAGES - header_images(journal_header(j));
    return done * CHUNK_IMAGES - (journal_has(j, last) ? missing : 0);
}

static mohvit_status see(picture_seen *seen, const dataset *d, size_t index, mohvit_error *err)
{
    sample s;
    mohvit_status status = picture_read(&s, seen, d, index, err);
    if (!status)
        sample_free(&s);
    return status;
}

/* *mended: it failed, and now may not. */
static mohvit_status look_again(check *c, const image_record *image, size_t index, bool *mended,
                                mohvit_error *err)
{
    picture_seen now;
    mohvit_error cause;
    const dataset_item *item = dataset_item_at(c->data, index);
    mohvit_status status = see(&now, c->data, index, &cause);
    bool same = !now.unread && !image->seen.unread && picture_same(now.hash, image->seen.hash);
    c->result->read++;
    if (error_may_pass(status))
        return error_set(err, status, "%s", cause.message);
    if (image->failed)
        *mended = *mended || (!now.unread && !same);
    else if (now.unread)
        return error_set(err, status, "%s; its score is in %s, which is left as it is", cause.message,
                         journal_name(c->journal));
    else if (!same)
        return error_set(
            err, MOHVIT_ERROR_MISMATCH,
            "%s%s: has changed since %s got its score; put the picture back, or begin another state",
            dataset_prefix(c->data, item->source), item->name, journal_name(c->journal));
    return MOHVIT_OK;
}

static mohvit_status check_record(void *user, const chunk_record *r, UNUSED const journal *source,
                                  mohvit_error *err)
{
    check *c = user;
    bool mended = false;
    mohvit_status status = MOHVIT_OK;
    for (size_t i = 0; !status && i < r->images; i++) {
        const image_record *image = &r->image[i];
        size_t index = r->chunk * CHUNK_IMAGES + i;
        const dataset_item *item = dataset_item_at(c->data, index);
        bool looks_changed = item->size != image->size || item->mtime != image->mtime;
        if (chosen(&c->choice) || looks_changed || image->failed)
            status = look_again(c, image, index, &mended, err);
    }
    if (mended) {
        journal_forget(c->journal, r->chunk);
        c->result->again++;
    } else {
        c->result->done += r->images;
        c->result->failed += r->failures;
    }
    return status;
}

mohvit_status recheck_journal(recheck *out, journal *j, const dataset *d, mohvit_error *err)
{
    size_t images = images_of(j);
    check c = {out, j, d, choose_among(images, images)};
    *out = (recheck){0};
    return record_set_walk(&(record_set){&j, 1}, check_record, &c, err);
}

/* ---- Pictures that cannot be read ------------------------------------------------------------ */

/* How many are unread in a row up to image `end`, or from it on. */
static size_t unread_before(const chunk_record *r, size_t end)
{
    size_t count = 0;
    while (count < end && r->image[end - 1 - count].seen.unread)
        count++;
    return count;
}

static size_t unread_behind(const chunk_record *r)
{
    size_t count = 0;
    while (count < r->images && r->image[count].seen.unread)
        count++;
    return count;
}

/* The same at the edge of a chunk beside it: its end, or its beginning. */
static mohvit_status unread_beside(size_t *count, const journal *j, size_t chunk, bool at_end,
                                   mohvit_error *err)
{
    bytes b = {0};
    chunk_record r = {0};
    *count = 0;
    if (!journal_has(j, chunk))
        return MOHVIT_OK;
    mohvit_status status = journal_read(j, chunk, &b, err);
    if (!status)
        status = journal_parse(j, &r, &b, err);
    if (!status)
        *count = at_end ? unread_before(&r, r.images) : unread_behind(&r);
    record_free(&r);
    bytes_free(&b);
    return status;
}

static mohvit_status data_gone(const chunk_record *r, size_t image, mohvit_error *err)
{
    const failure_record *f = r->failure;
    while (f->image < image)
        f++;
    return error_set(err, MOHVIT_ERROR_SYSTEM,
                     "%.*s: %d pictures in a row cannot be opened or read, so that it may be all of the data",
                     (int)f->message_length, f->message, RECHECK_UNREAD);
}

mohvit_status recheck_unread(const journal *j, const chunk_record *r, mohvit_error *err)
{
    size_t count = 0, other;
    mohvit_status status = MOHVIT_OK;
    if (r->image[0].seen.unread && r->chunk)
        status = unread_beside(&count, j, r->chunk - 1, true, err);
    for (size_t i = 0; !status && i < r->images; i++) {
        count = r->image[i].seen.unread ? count + 1 : 0;
        if (count == RECHECK_UNREAD)
            return data_gone(r, i, err);
    }
    if (status || !count)
        return status;
    status = unread_beside(&other, j, r->chunk + 1, false, err);
    return !status && count + other >= RECHECK_UNREAD ? data_gone(r, r->images - 1, err) : status;
}

/* ---- Several ranks --------------------------------------------------------------------------- */

/* A line: the picture's number, whether it is unread, and its hash; *unread says why, if it is. */
static mohvit_status tell_picture(bytes *b, const dataset *d, size_t index, mohvit_error *unread)
{
    char line[80];
    picture_seen seen;
    mohvit_status status = see(&seen, d, index, unread);
    if (error_may_pass(status))
        return status;
    int length = snprintf(line, sizeof line, "%zu %d %016" PRIx64 "%016" PRIx64 "\n", index, seen.unread,
                          seen.hash.high, seen.hash.low);
    bytes_put(b, line, (size_t)length);
    return b->failed ? error_set(unread, MOHVIT_ERROR_MEMORY, "no memory for what pictures are") : MOHVIT_OK;
}

mohvit_status recheck_tell(char **text, const dataset *d, mohvit_error *err)
{
    bytes b = {0};
    char fingerprint[FINGERPRINT_SIZE];
    size_t count = dataset_count(d);
    mohvit_status status = MOHVIT_OK;
    dataset_fingerprint(d, true, fingerprint);
    choice c = choose_among(count, XXH3_64bits(fingerprint, strlen(fingerprint)));
    for (size_t i = 0; !status && i < count; i++)
        if (chosen(&c))
            status = tell_picture(&b, d, i, err);
    bytes_put_u8(&b, 0);
    if (!status && b.failed)
        status = error_set(err, MOHVIT_ERROR_MEMORY, "no memory for what pictures are");
    if (status)
        bytes_free(&b);
    else
        *text = (char *)b.data;
    return status;
}

mohvit_status recheck_told(const dataset *d, const char *text, mohvit_error *err)
{
    bytes b = {0};
    mohvit_status status = MOHVIT_OK;
    while (!status && *text) {
        mohvit_error unread = {0};
        size_t index = (size_t)strtoull(text, NULL, 10);
        b.size = 0;
        status = tell_picture(&b, d, index, &unread);
        if (status) {
            error_set(err, status, "%s", unread.message);
        } else if (strncmp((const char *)b.data, text, b.size) != 0) {
            const dataset_item *item = dataset_item_at(d, index);
            status = error_set(err, MOHVIT_ERROR_MISMATCH, "%s%s: is another picture than rank 0 reads%s%s",
                               dataset_prefix(d, item->source), item->name, unread.status ? ": " : "",
                               unread.message);
        }
        text += b.size;
    }
    bytes_free(&b);
    return status;
}

/* totals.h - what a set of records adds up to: a function of the set and of nothing else. */
#ifndef MOHVIT_TOTALS_H
#define MOHVIT_TOTALS_H

#include "eval/journal.h"

/* Journals of one evaluation, seen as one set of records. */
typedef struct record_set {
    journal *const *journals; /* (count) */
    size_t count;
} record_set;

size_t record_set_chunks(const record_set *s); /* of the whole data set */
size_t record_set_done(const record_set *s);

/* Where each record of a set is. */
typedef struct record_place {
    size_t chunk, journal;
} record_place;

/* All of them (record_set_done) by rising chunk; malloc'd, NULL without memory. */
record_place *record_set_places(const record_set *s);

/* Calls take with each record that is there, by rising chunk; an error ends it. source is the journal that it
 * is from. */
typedef mohvit_status record_taker(void *user, const chunk_record *r, const journal *source,
                                   mohvit_error *err);
mohvit_status record_set_walk(const record_set *s, record_taker *take, void *user, mohvit_error *err);

/* One model's score. */
typedef struct top_k_totals {
    uint64_t right1, right5;
    unsigned __int128 loss; /* in LOSS_UNITS */
    uint64_t network_ns;
} top_k_totals;

typedef struct class_totals {
    uint64_t images, right1, right5;
} class_totals;

typedef struct totals {
    uint64_t images, failed; /* scored, and not */
    uint64_t unread;         /* of those that failed: could not be opened or read */
    uint64_t turned;         /* of all: their EXIF says that they are to be turned */
    uint64_t decode_ns;
    unsigned __int128 data_hash; /* of the pictures that were scored or failed; see picture.h */
    bool hashed;                 /* not where records of 0.1 are among them */
    size_t top_ks;
    top_k_totals of[RECORD_MAX_TOP_KS];

    /* Of the first model, where asked for. */
    size_t class_count;
    class_totals *classes; /* (class_count) */
    uint64_t *mistakes;    /* (mistake_count) class << 32 | predicted, sorted */
    size_t mistake_count, mistake_capacity;
} totals;

/* Adds up a whole set. class_count 0: no totals by class. Free with totals_free, also on failure. */
mohvit_status totals_count(totals *t, const record_set *s, size_t class_count, mohvit_error *err);

/* The same in steps, for a walk that has other things to do as well. Questions may be asked after the end. */
mohvit_status totals_begin(totals *t, const record_set *s, size_t class_count, mohvit_error *err);
record_taker totals_add; /* user: the totals */
void totals_end(totals *t);
void totals_free(totals *t);

/* Percent, and mean loss; NAN without images. */
double totals_top1(const totals *t, size_t top_k);
double totals_top5(const totals *t, size_t top_k);
double totals_loss(const totals *t, size_t top_k);

/* What a class is most often taken for, and how often; the lower class on a tie; CLASS_NONE: for none. */
size_t totals_confused_with(const totals *t, size_t class_index, uint64_t *times);

#endif

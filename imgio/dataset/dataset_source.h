/* dataset_source.h - one argument of a data set, of whatever kind: how it tells the data set what it holds,
 * and how that is read. What the kinds share is here, each kind in a file of its own. */
#ifndef MOHVIT_DATASET_SOURCE_H
#define MOHVIT_DATASET_SOURCE_H

#include "base/arena.h"
#include "base/lines.h"
#include "imgio/dataset/classes.h"
#include "imgio/dataset/sample.h"
#include "imgio/formats.h"

typedef struct dataset_source dataset_source;

/* A way to keep pictures. */
typedef struct source_kind {
    const char
        *conversion; /* how its pictures are turned into PNGs, for messages; NULL where none has to be */
    /* Adds every item, in the order of the source, and sets the prefix and what read needs. */
    mohvit_status (*scan)(dataset_source *s, mohvit_error *err);
    /* Thread-safe. Messages leave the item's name out. */
    mohvit_status (*read)(const dataset_source *s, const dataset_item *item, sample *out, mohvit_error *err);
    void (*close)(dataset_source *s); /* may be NULL: source_close does the rest */
} source_kind;

extern const source_kind source_folder, source_list, source_tar, source_idx;

/* An item as its source knows it. Strings live in the data set's arena. */
typedef struct found_item {
    const char *name;
    const char *folder;   /* that may name its class; NULL: none */
    const char *label;    /* its class as text; NULL: none */
    const char *labeller; /* of what name the file is that has it */
    size_t class_index;   /* its class as a number; CLASS_NONE: none */
    uint64_t size, mtime, place;
    uint32_t check;
} found_item;

/* Files that are no pictures, by the endings of their names. The data set has one for all of its sources, so
 * that a kind is warned about once, however many tars there are. */
typedef struct skipped {
    struct skipped_kind {
        const char *ending, *prefix, *name; /* of the first file: prefix + name */
        size_t count;
    } kinds[12]; /* of the last, `ending` is NULL: all others */
    size_t count;
    struct skipped_kind specials; /* FIFOs, sockets and devices, whatever they are called */
    struct skipped_kind unnamed;  /* not skipped: pictures that are not called so */
} skipped;

/* Pictures of formats that the published scores do not count, of all sources of a data set. */
typedef struct left_out {
    bool others; /* those that they count, and for which there is no decoder, are left out as well */
    struct {
        const char *format, *prefix, *name; /* of the first file: prefix + name */
        size_t files;
    } kinds[8]; /* in the order of their appearance; the rest is NULL */
} left_out;

struct dataset_source {
    const source_kind *kind;
    const char *argument;
    const char *prefix;
    void *state; /* of the kind */
    int fd;      /* −1: none */

    /* Up to the end of dataset_open. */
    arena *strings;
    const warning_sink *warn;
    skipped *skipped;
    left_out *left_out;
    line_end ends;     /* of lists */
    bool find_samples; /* x.cls beside x.jpg in a tar names its class */
    /* Extensions of samples' pictures, with commas between them; NULL: the known ones. */
    const char *image_ext;
    const char *labels; /* the file of the numbers of all items' classes; NULL: none */
    uint64_t mtime;     /* of the file that all items are in; 0: each has its own */
    found_item *items;
    size_t count, capacity;
    class_folder *folders; /* of the items, and empty ones; one may be there more than once */
    size_t folder_count, folder_capacity;
    bool by_number;  /* classes were given as numbers, which say nothing of what they are */
    bool as_samples; /* samples were found */
    size_t joined;   /* of those, whose parts lie apart */
};

/* "argument" and what stands between it and a name. */
mohvit_status source_set_prefix(dataset_source *s, const char *between, mohvit_error *err);

mohvit_status source_add(dataset_source *s, const found_item *item, mohvit_error *err);
mohvit_status source_add_folder(dataset_source *s, const char *folder, mohvit_error *err);

/* Compares items by name: for qsort and bsearch. */
int source_compare_items(const void *a, const void *b);

/* The last folder in a path, as a string of the arena; *out NULL where there is none. */
mohvit_status source_parent(dataset_source *s, const char *path, const char **out, mohvit_error *err);

mohvit_status source_no_memory(const dataset_source *s, mohvit_error *err);

/* Counts a file that is no picture. ending NULL: what follows the last dot of its name. */
mohvit_status source_skip(dataset_source *s, const char *name, const char *ending, mohvit_error *err);

/* Counts a file for that kind alone. */
mohvit_status source_note(struct skipped_kind *k, const dataset_source *s, const char *name,
                          mohvit_error *err);

/* Whether a picture of that format is scored. One that the published scores count and we cannot read is an
 * error, unless such are to be left out. What is left out is counted. */
mohvit_status source_scores(bool *scores, dataset_source *s, const picture_format *format, const char *name,
                            mohvit_error *err);

/* A warning for each kind that was left out. */
void left_out_warn(const left_out *l, const warning_sink *warn);

/* Whether an argument is idx:IMAGES,LABELS. Then *images is malloc'd, or NULL without memory, and *labels,
 * which is NULL where there are none, lies in it. */
bool source_names_idx(const char *argument, char **images, const char **labels);

/* With what a file of that format stands in idx:IMAGES,LABELS; NULL: it is of another. */
const char *source_idx_partner(const char *path);

/* The read of kinds whose items are files of their own. */
mohvit_status source_read_item(const dataset_source *s, const dataset_item *item, sample *out,
                               mohvit_error *err);

#endif

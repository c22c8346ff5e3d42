/* truth.h - classes of pictures that a file gives: lines of "name TAB class" or "name class", or the sets of
 * classes of ImageNet ReaL. */
#ifndef MOHVIT_TRUTH_H
#define MOHVIT_TRUTH_H

#include "base/arena.h"
#include "imgio/dataset/classes.h"

typedef struct truth {
    struct truth_entry *entries; /* sorted by name, no two of one */
    size_t count, capacity;
    bool by_number; /* every class is an index */
    arena strings;
} truth;

/* A class is an index, a WordNet id or a name of the table. One name with two classes is an error. Warns of a
 * file of indices without any 0, which probably counts from 1. *out is set on success alone. */
mohvit_status truth_read(truth **out, const char *path, const class_table *t, const warning_sink *warn,
                         mohvit_error *err);
void truth_free(truth *t);

/* The class of a picture: by its whole name, or what follows its last slash, or either without its ending;
 * CLASS_NONE where the file has none of these. */
size_t truth_find(truth *t, const char *name);

/* Lines that truth_find never found. */
size_t truth_unused(const truth *t);

typedef struct real_labels {
    size_t count;      /* pictures: entry i is ILSVRC2012_val_%08zu, i + 1 */
    size_t *first;     /* (count + 1) where the classes of each begin; an empty set: not to be scored */
    uint32_t *classes; /* (first[count]) */
} real_labels;

mohvit_status real_labels_read(real_labels *out, const char *path, const class_table *t, mohvit_error *err);
void real_labels_free(real_labels *r);

/* The entry of a picture by its name; CLASS_NONE where it is not called like one. */
size_t real_labels_find(const real_labels *r, const char *name);

/* Marks the classes that a file names, one a line; at least one. chosen (classes of the table) is cleared. */
mohvit_status subset_read(bool *chosen, const char *path, const class_table *t, mohvit_error *err);

#endif

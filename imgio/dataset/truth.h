/* truth.h - classes of pictures that a file gives: by their names, in their order, or the sets of classes of
 * ImageNet ReaL. */
#ifndef MOHVIT_TRUTH_H
#define MOHVIT_TRUTH_H

#include "base/arena.h"
#include "base/lines.h"
#include "imgio/dataset/classes.h"

typedef struct truth {
    const char *path;
    struct truth_entry
        *entries; /* sorted by name, no two of one; or in the order of the file, without names */
    size_t count, capacity;
    bool by_number; /* every class is an index */
    arena strings;
} truth;

/* Lines of "name TAB class" or "name class", or a CSV whose header has a name and a class, such as
 * "file_name,label" or that of Kaggle's LOC_val_solution.csv. A class is an index, a WordNet id or a name of
 * the table. One name with two classes is an error, and so are the devkit's numbers. Warns of indices without
 * any 0, which probably count from 1. *out is set on success alone. */
mohvit_status truth_read(truth **out, const char *path, line_end ends, const class_table *t,
                         const warning_sink *warn, mohvit_error *err);
/* The same of lines that are a class each, for pictures in their order. */
mohvit_status truth_read_in_order(truth **out, const char *path, line_end ends, const class_table *t,
                                  const warning_sink *warn, mohvit_error *err);
void truth_free(truth *t);

/* The class of the picture that messages call prefix + name: by that path, else by name, else by what follows
 * its last slash; each of them whole, else without its ending. CLASS_NONE where the file has none of these. A
 * line that fits two pictures is an error. Both strings have to stay until truth_free. */
mohvit_status truth_find(truth *t, const char *prefix, const char *name, size_t *class_index,
                         mohvit_error *err);

/* Of truth_read_in_order. */
size_t truth_class_at(const truth *t, size_t index);

/* Lines that truth_find never found. */
size_t truth_unused(const truth *t);

typedef struct real_labels {
    size_t count;      /* pictures: entry i is ILSVRC2012_val_%08zu, i + 1 */
    size_t *first;     /* (count + 1) where the classes of each begin; an empty set: not to be scored */
    uint32_t *classes; /* (first[count]) */
} real_labels;

/* path may be a pipe, or "-" for standard input. */
mohvit_status real_labels_read(real_labels *out, const char *path, const class_table *t, mohvit_error *err);
void real_labels_free(real_labels *r);

/* The entry of a picture by its name; CLASS_NONE where it is not called like one. */
size_t real_labels_find(const real_labels *r, const char *name);

/* Marks the classes that a file names, one a line; at least one. chosen (classes of the table) is cleared. */
mohvit_status subset_read(bool *chosen, const char *path, line_end ends, const class_table *t,
                          mohvit_error *err);

#endif

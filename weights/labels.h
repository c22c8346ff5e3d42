/* labels.h - names of classes, with WordNet ids where there are any. */
#ifndef MOHVIT_LABELS_H
#define MOHVIT_LABELS_H

#include "base/error.h"

#define LABELS_MAX_BYTES ((size_t)16 << 20) /* of a label file */

typedef struct labels {
    size_t count;
    char **name; /* (count), never NULL */
    char **id;   /* (count), WordNet id or NULL */
} labels;        /* owned as a whole: labels_free */

/* The 1000 ImageNet-1K classes, compiled in. */
mohvit_status labels_imagenet1k(labels *out, mohvit_error *err);

/* Line i names class i: `name`, or `WordNet id TAB names`, or, as in Kaggle's LOC_synset_mapping.txt, with a
 * blank in place of the TAB. An empty line or invalid UTF-8 is an error that gives the line. labels_read also
 * takes imagenet_class_index.json and an array of labels in JSON, told by their first byte; path may be a
 * pipe, and "-" is standard input. */
mohvit_status labels_read(labels *out, const char *path, mohvit_error *err);
mohvit_status labels_parse(labels *out, const char *text, size_t length, const char *name, mohvit_error *err);

/* From a JSON array of strings (spec 3, `labels`), and back (malloc'd; NULL without memory). An entry
 * "n01440764\tname" carries its id. */
mohvit_status labels_from_json(labels *out, const char *json, const char *name, mohvit_error *err);
char *labels_to_json(const labels *l);

/* count names "class 0", "class 1", … for a checkpoint that brings none. */
mohvit_status labels_numbered(labels *out, size_t count, mohvit_error *err);

mohvit_status labels_copy(labels *out, const labels *from, mohvit_error *err);

void labels_free(labels *l);

#endif

/* dataset.h - labelled pictures in a fixed order, wherever they lie: one interface over folders, lists, tars
 * and MNIST's idx files.
 *
 *     dataset *data;
 *     char *arguments[] = {"val"};
 *     if (dataset_open(&data, arguments, 1, &options, &err)) fatal(err.message);
 *     for (size_t i = 0; i < dataset_count(data); i++) {
 *         sample s;
 *         if (dataset_read(data, i, &s, &err)) fatal(err.message);
 *         ... s, dataset_item_at(data, i)->class_index ...
 *         sample_free(&s);
 *     }
 *
 * An argument is
 *     a folder                  with a folder of pictures for each class; or flat, with truth
 *     a tar                     with folders like these, with truth, or with x.cls beside x.jpg (WebDataset)
 *     a list of paths           one a line, relative to the working directory; a pipe will do, and "-" is
 *                               standard input
 *     idx:IMAGES,LABELS         MNIST's format, .gz or not; idx:IMAGES alone with truth or without classes
 *
 * JPEG, PNG and WebP are scored. GIF, HEIC and AVIF are left out of folders and tars, as torchvision's
 * ImageFolder leaves them out, but for samples' with an ending of image_ext. What it takes and we cannot read
 * is an error, or left out on demand.
 *
 * Opening reads names, sizes and classes, and of idx all pixels once; no picture is decoded and no archive
 * unpacked. */
#ifndef MOHVIT_DATASET_H
#define MOHVIT_DATASET_H

#include "base/lines.h"
#include "imgio/dataset/classes.h"
#include "imgio/dataset/sample.h"

typedef struct dataset dataset;

/* Zero means: all pictures, by the classes that the arguments themselves give. Of truth, truth_in_order and
 * from_names one alone. */
typedef struct dataset_options {
    const class_table *classes;
    const char *truth;          /* file of names with classes: see truth.h */
    const char *truth_in_order; /* file of classes, one a line, for the pictures in their order */
    const char *real_labels;    /* ImageNet ReaL's real.json */
    bool from_names;            /* a WordNet id in each picture's name is its class: x_n02123045.JPEG */
    folder_rule folders;        /* how folders name classes */
    /* Extensions of WebDataset's pictures, with commas between them; NULL: the known ones. */
    const char *image_ext;
    bool null_lists; /* zero bytes end the lines of lists, and may end those of other files */
    bool escaped; /* names in lists and truth are written as results write them; not along with null_lists */
    const bool *subset;      /* (classes) pictures of other classes are left out; NULL: none are */
    size_t limit;            /* the first so many; 0: all; not along with sample */
    size_t sample;           /* so many at random, in order; 0: all */
    uint64_t seed;           /* of sample */
    bool unlabelled;         /* pictures without a class are welcome */
    bool skip_other_formats; /* BMP, PPM and TIFF are left out; else the first of them is an error */
    warning_sink warn;
} dataset_options;

/* A picture without a class, a class that the model does not have, and a source that is damaged are errors.
 * *out is set on success alone. */
mohvit_status dataset_open(dataset **out, char *const *arguments, size_t count,
                           const dataset_options *options, mohvit_error *err);
void dataset_close(dataset *d);

size_t dataset_count(const dataset *d);
const dataset_item *dataset_item_at(const dataset *d, size_t index);

/* What limit and sample chose from: all pictures, where neither was given. */
size_t dataset_candidates(const dataset *d);
const dataset_item *dataset_candidate_at(const dataset *d, size_t index);

/* Whether each item of an argument is a file of its own, called prefix + name. */
bool dataset_has_files(const dataset *d, size_t source);

/* Arguments, and what of each stands before the names of its items: "val/", "val.tar/", "". */
size_t dataset_sources(const dataset *d);
const char *dataset_prefix(const dataset *d, size_t source);

/* Thread-safe. The message begins with the item's prefix and name. *out is set on success alone. */
mohvit_status dataset_read(const dataset *d, size_t index, sample *out, mohvit_error *err);

#endif

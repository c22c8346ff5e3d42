/* answers.h - pictures through a network, with answers in the order of their paths.
 *
 * Where enough paths are at hand, every thread takes a picture from its file to its answer, as in an
 * evaluation (eval/pipeline.h). Where there are fewer, as from a program that writes one path and waits for
 * its answer, a picture has all threads. An answer never waits for a path that is still to come. */
#ifndef MOHVIT_ANSWERS_H
#define MOHVIT_ANSWERS_H

#include "tools/program/paths.h"
#include "vit/mohvit.h"

typedef struct answer {
    char *path;
    size_t width, height;
    size_t left;            /* paths behind it, or PATHS_UNKNOWN */
    double ms;              /* of decoding and resizing, and its share of the forward pass */
    mohvit_error err;       /* status MOHVIT_OK: none */
    mohvit_prediction *top; /* (top_count) */
    float *features;        /* (features); NULL: not wanted */
    bool turned;            /* its EXIF says that it is to be turned */
    size_t slot;            /* of the batch, until it is answered */
    bool done;
} answer;

typedef struct answering {
    paths *inputs;
    const mohvit_model *model;
    size_t threads;
    size_t batch; /* images of one forward pass over all threads */
    size_t top_count;
    size_t features; /* length of an image's, where answers are to have them; else 0 */
    bool exif_orientation;

    void *user;
    /* Calls come one at a time, in order, from several threads; false ends the run. */
    bool (*take)(void *user, const answer *a);
} answering;

/* Fails where the memory for a network is missing. What is wrong with a picture is its answer's business. */
mohvit_status answers_run(const answering *a, mohvit_error *err);

#endif

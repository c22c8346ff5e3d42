/* pipeline.h - chunks of a data set through the network, with every core busy and none asked for twice.
 *
 * A picture is decoded, resized and run by one thread, from its bytes to its score: nothing is handed from
 * core to core, no thread waits for another's half of the work, and the time of a picture is the sum of the
 * two costs and nothing else. Its bytes are read ahead by a few more threads, which spend their time waiting
 * for the disk, into a queue bounded in bytes; where it is empty, the others read for themselves.
 *
 * Measured on 500 x 375 JPEGs with 2 threads of 2 cores: 0.97 to 0.98 of threads / (decoding + network) with
 * the built-in model, where decoding is seven eighths of the work, and 0.98 with moh_transnext_small_75
 * (tests/eval/measure_eval.sh). Waking readers for each picture that leaves the queue cost 9 %
 * in place of 2. */
#ifndef MOHVIT_PIPELINE_H
#define MOHVIT_PIPELINE_H

#include "eval/ablation.h"
#include "eval/certainty.h"
#include "eval/record.h"
#include "vit/api/internal.h"

/* What the network says of an image with top-k number top_k; arrays as in mohvit.h and internal.h, during the
 * call. */
typedef struct image_answer {
    size_t image, top_k; /* image of the chunk */
    const dataset_item *item;
    size_t predicted; /* the likeliest class */
    uint64_t xxh64;   /* of the picture's bytes */
    const int32_t *head_tokens;
    const double *gate_sum;
    const int32_t *together;
    const float *features, *logits;
    const score *ablated;              /* (passes) of the pipeline's ablation; NULL: it has none */
    const certainty_counts *certainty; /* (blocks), likewise */
} image_answer;

/* What else is to be known of the images of a chunk, as a section of its record. Calls come from several
 * threads; those for one chunk come one at a time. */
typedef struct chunk_section {
    uint32_t tag;
    void *user;
    /* What gathers it for one chunk; NULL without memory. */
    void *(*begin)(void *user);
    /* After an image was scored. */
    void (*add)(void *user, void *chunk, const image_answer *a);
    /* Appends the section's content. */
    void (*encode)(void *user, const void *chunk, bytes *out);
    void (*end)(void *user, void *chunk);
} chunk_section;

#define PIPELINE_MAX_SECTIONS 4

typedef struct pipeline {
    const dataset *data;
    const mohvit_model *const *models; /* (top_ks): one for each top-k, the same otherwise */
    size_t top_ks;
    const preprocess *preprocess;
    const bool *competes; /* (classes), or NULL: all do */
    size_t threads;
    const ablation *ablation;   /* each image's further passes; then of one top-k, and each thread runs one
                                   image at a time, whatever `batch`. NULL: none */
    const certainty *certainty; /* likewise, of changed pictures */
    size_t batch;               /* images of one forward pass over all threads */
    bool exif_orientation;      /* turns pictures as their EXIF says */
    bool predictions;
    const chunk_section *sections; /* (section_count), at most PIPELINE_MAX_SECTIONS */
    size_t section_count;
    size_t queue_bytes; /* of pictures read ahead; 0: 64 MiB */
    const char *reader; /* said of a picture that cannot be read, such as " (rank 2 on a)"; or NULL */

    void *user;
    /* The next chunk to run; CHUNK_NONE where there are no more. Calls come one at a time and may wait. */
    mohvit_status (*next)(void *user, size_t *chunk, mohvit_error *err);
    /* Takes the record of a chunk. Calls come one at a time. */
    mohvit_status (*done)(void *user, const bytes *record, mohvit_error *err);
    /* Asked after each image, by one thread at a time: true ends the run; what is incomplete is dropped.
     * failed tells what just happened; may be NULL. */
    bool (*image)(void *user, bool failed);
    /* Asked by every thread after each block of an ablation's passes, which may take minutes: true drops the
     * image and ends the run; may be NULL. */
    bool (*interrupted)(void *user);
    /* Told at the end of a run that `image` or `interrupted` ended, in the order of the data, why each image
     * failed that is in a chunk which is dropped; may be NULL. */
    void (*dropped)(void *user, const char *error);
    /* Where not NULL, runs in a thread of its own, along with all the others, until it returns. */
    mohvit_status (*serve)(void *user, mohvit_error *err);
} pipeline;

#define CHUNK_NONE SIZE_MAX

/* Runs until next has no more chunks and all are done, or image says so. */
mohvit_status pipeline_run(const pipeline *p, mohvit_error *err);

#endif

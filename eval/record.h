/* record.h - what is known about one chunk of a data set once it has been run: the unit in which results are
 * stored, sent and added up.
 *
 * A record is the chunk's number and sections that are told apart by a tag. All have SECTION_RESULTS and
 * SECTION_FAILURES; others are there where the journal's header says so. Who adds a kind of section defines
 * its content; nobody else looks into it. Numbers are little-endian. */
#ifndef MOHVIT_RECORD_H
#define MOHVIT_RECORD_H

#include "base/bytes.h"
#include "imgio/dataset/dataset.h"
#include "eval/score.h"

#define CHUNK_IMAGES ((size_t)64)

#define RECORD_TAG(a, b, c, d)                                                                               \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

#define SECTION_RESULTS     RECORD_TAG('R', 'S', 'L', 'T')
#define SECTION_FAILURES    RECORD_TAG('F', 'A', 'I', 'L')
#define SECTION_PREDICTIONS RECORD_TAG('P', 'R', 'E', 'D')

#define RECORD_MAX_VARIANTS 64
#define RECORD_MAX_SECTIONS 16
#define CLASS_UNKNOWN       UINT32_MAX /* an image without a class */

/* ---- Writing --------------------------------------------------------------------------------- */

/* One image of a chunk. */
typedef struct image_result {
    const dataset_item *item;
    char *error;   /* malloc'd; NULL: it was scored */
    score *scores; /* (variants) */
} image_result;

typedef struct chunk_result {
    size_t chunk, images, variants;
    uint64_t decode_ns, network_ns[RECORD_MAX_VARIANTS]; /* of threads, summed */
    image_result *results;                               /* (images) */
} chunk_result;

/* The record with its standard sections; `predictions` adds SECTION_PREDICTIONS. */
void record_begin(bytes *b, const chunk_result *c, bool predictions);

/* Adds a section of another kind to a record that record_begin wrote: size bytes at data. */
void record_add_section(bytes *b, uint32_t tag, const void *data, size_t size);

/* ---- Reading --------------------------------------------------------------------------------- */

typedef struct chunk_record {
    size_t chunk, images, variants;
    uint64_t decode_ns, network_ns[RECORD_MAX_VARIANTS];
    byte_reader results; /* of each image; see record_next_result */
    struct {
        uint32_t tag;
        byte_reader body;
    } sections[RECORD_MAX_SECTIONS];
    size_t section_count;
} chunk_record;

/* Points into data. Checks the framing of all sections and the whole of the results. */
mohvit_status record_parse(chunk_record *r, const void *data, size_t size, mohvit_error *err);

/* NULL where there is none. */
const byte_reader *record_section(const chunk_record *r, uint32_t tag);

typedef struct image_record {
    uint32_t class_index; /* or CLASS_UNKNOWN */
    bool failed;          /* then nothing below is set */
    struct {
        uint32_t predicted;
        bool right1, right5;
        int64_t loss;
    } scores[RECORD_MAX_VARIANTS];
} image_record;

/* The images in order; to be called r->images times with a copy of r->results. */
void record_next_result(image_record *out, byte_reader *results, size_t variants);

/* A failed image: its number in the chunk, source and name, and why. false behind the last, or where the
 * section is damaged, which at->failed then says. Begin with a copy of the section's body. */
typedef struct failure_record {
    uint32_t image, source;
    const char *name, *message; /* not ended by NUL */
    size_t name_length, message_length;
} failure_record;
bool record_next_failure(failure_record *out, byte_reader *at);

/* An image's predictions, of every variant. */
typedef struct prediction_record {
    uint32_t source;
    const char *name;
    size_t name_length;
    struct {
        uint32_t top_count, top[SCORE_TOP];
        float probability[SCORE_TOP];
    } tops[RECORD_MAX_VARIANTS];
} prediction_record;
bool record_next_prediction(prediction_record *out, byte_reader *at, size_t variants);

#endif

// clang-format off
/* record.h - what is known about one chunk of a data set once it has been run: the unit in which results are
 * stored, sent and added up.
 *
 *     record    chunk u32, sections u32, so many sections
 *     section   tag u32, size u32, content
 *
 *     RSLT      images u32, models u32, decode_ns u64, network_ns u64 of each model;
 *               of each image: class u32, failed u8, and unless it failed of each model: first class u32,
 *               right u8 (bit 0: first, bit 1: among five), loss u64
 *     FAIL      of each image that failed: image u32, source u32, name, reason
 *     PICS      of each image: flags u8 (bit 0: unread, bit 1: its EXIF turns it), size u64, mtime u64,
 *               hash u64 u64 (picture.h); not in 0.1
 *     PRED      of each image: source u32, name, and of each model: classes u8, so many times class u32 and
 *               probability f32; where the header has "predictions"
 *     LOAD      head_load_record.c; where the header has one of its names
 *     ABLT      ablation_record.h; where the header has "ablation"
 *     SURE      certainty_record.h; where the header has "certainty"
 *     FEAT LOGT HEAD  vector_record.h; where the header has "features", "logits", "per-image"
 *
 * Numbers are little-endian; a text is its length as u32 and its bytes. Who adds a kind of section defines
 * its content, and nobody else looks into it. Images are in the order of the data. */
// clang-format on
#ifndef MOHVIT_RECORD_H
#define MOHVIT_RECORD_H

#include "base/arena.h"
#include "base/bytes.h"
#include "eval/picture.h"
#include "eval/score.h"
#include "imgio/dataset/dataset.h"

#define CHUNK_IMAGES ((size_t)64)

#define RECORD_TAG(a, b, c, d)                                                                               \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

#define SECTION_RESULTS     RECORD_TAG('R', 'S', 'L', 'T')
#define SECTION_FAILURES    RECORD_TAG('F', 'A', 'I', 'L')
#define SECTION_PICTURES    RECORD_TAG('P', 'I', 'C', 'S')
#define SECTION_PREDICTIONS RECORD_TAG('P', 'R', 'E', 'D')

#define RECORD_MAX_TOP_KS   64
#define RECORD_MAX_SECTIONS 16
#define CLASS_UNKNOWN       UINT32_MAX /* an image without a class */

/* ---- Writing --------------------------------------------------------------------------------- */

/* One image of a chunk. */
typedef struct image_result {
    const dataset_item *item;
    char *error;   /* malloc'd; NULL: it was scored */
    score *scores; /* (top_ks) */
    picture_seen seen;
} image_result;

typedef struct chunk_result {
    size_t chunk, images, top_ks;
    uint64_t decode_ns, network_ns[RECORD_MAX_TOP_KS]; /* of threads, summed */
    image_result *results;                             /* (images) */
} chunk_result;

/* The record with its standard sections; `predictions` adds SECTION_PREDICTIONS. */
void record_begin(bytes *b, const chunk_result *c, bool predictions);

/* Adds a section of another kind to a record that record_begin wrote: size bytes at data. */
void record_add_section(bytes *b, uint32_t tag, const void *data, size_t size);

/* ---- Reading --------------------------------------------------------------------------------- */

typedef struct image_record {
    uint32_t class_index; /* or CLASS_UNKNOWN */
    bool failed;          /* then it has no scores */
    /* (top_ks) Without predictions: the first class alone, and no probability. */
    const score *scores;

    /* Unknown in records of 0.1. */
    picture_seen seen;
    uint64_t size, mtime; /* of a dataset_item */

    /* Unknown without predictions. */
    uint32_t source;
    const char *name; /* not ended by NUL */
    size_t name_length;
} image_record;

/* A failed image: its number in the chunk, source and name, and why. */
typedef struct failure_record {
    uint32_t image, source;
    const char *name, *message; /* not ended by NUL */
    size_t name_length, message_length;
} failure_record;

typedef struct chunk_record {
    const void *data; /* (size) what was read */
    size_t size;
    size_t chunk, images, top_ks, failures;
    uint64_t decode_ns, network_ns[RECORD_MAX_TOP_KS];
    image_record *image;        /* (images) */
    failure_record *failure;    /* (failures) */
    bool pictures, predictions; /* whether it tells of them */
    struct {
        uint32_t tag;
        byte_reader body;
    } sections[RECORD_MAX_SECTIONS];
    size_t section_count;
    arena memory;
} chunk_record;

/* Reads all but the sections of other kinds, of which it checks the framing. Names, messages and sections
 * stay in data. Free with record_free, also on failure; *r need not be set before. */
mohvit_status record_parse(chunk_record *r, const void *data, size_t size, mohvit_error *err);
void record_free(chunk_record *r);

/* A section of any kind; NULL where there is none. */
const byte_reader *record_section(const chunk_record *r, uint32_t tag);

#endif

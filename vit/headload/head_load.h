/* head_load.h - which heads work for which class (spec 5; MoH, figure 3): for every class, block and head the
 * tokens that selected the head, and the sum of their gates; and sums over images of the squares of both,
 * which tell how sure they are (interval.h). For every block, over all classes, the tokens that selected each
 * pair of heads (head_relation.h).
 *
 * Counts are exact. Gate sums are fixed-point integers, so that they too are the same to the last bit
 * whatever order or split the images came in. */
#ifndef MOHVIT_HEAD_LOAD_H
#define MOHVIT_HEAD_LOAD_H

#include "vit/headload/routing_layout.h"
#include "weights/labels.h"

/* Gate sums are counted in units of 2^-20: an image's sum is rounded by at most 5e-7. The doubles of a file
 * hold every sum up to 2^33 exactly: with a mean gate of 1, 2.7 million images of one class in a block of
 * 3136 tokens. Beyond, the last bits are rounded when a file is written, and nowhere else: merging states is
 * then still exact, merging head loads is not. */
#define HEAD_LOAD_GATE_BITS 20
#define HEAD_LOAD_GATE_UNIT ((double)(1 << HEAD_LOAD_GATE_BITS))

/* Squares are of an image's mean gate in units of 2^-16, rounded: its gate sum squared would overflow. */
#define HEAD_LOAD_MEAN_BITS 16
#define HEAD_LOAD_MAX_MEAN  (1 << 14) /* absurd, and its square fits */

/* Of a class; what all heads of a block select is then below 2^63. */
#define HEAD_LOAD_MAX_IMAGES (INT64_MAX / (int64_t)(ROUTING_MAX_TOKENS * ROUTING_MAX_HEADS))

typedef struct head_load {
    routing_layout routing; /* of the model: its blocks and heads */
    labels names;           /* of its classes */
    int64_t *images;        /* (classes) */
    int64_t *active;        /* (classes, blocks, max_heads): tokens; −1 where a block has fewer heads */
    int64_t *gate;    /* (classes, blocks, max_heads) · 2^HEAD_LOAD_GATE_BITS; 0 where a block has fewer */
    bool has_squares; /* what 0.1 counted has none: the next four then mean nothing */
    int64_t *active_squares; /* (classes, blocks, max_heads) Σ over images of active² */
    int64_t *gate_squares; /* (classes, blocks, max_heads) Σ over images of (mean · 2^HEAD_LOAD_MEAN_BITS)² */
    int64_t *half_images; /* (classes) those of a half, chosen by a hash: chance differs in the halves */
    int64_t *half_active; /* (classes, blocks, max_heads) as active, of that half */
    int64_t *together;    /* head_load_together; NULL: not counted */
    json_t *sources;      /* array: the data that were counted, an object for each part */
    json_t *provenance;   /* object: what they were counted with */
    json_t *config;       /* object: the model's, as the network writes it; compared, and nothing else */
} head_load;

/* What was counted of one class, as it stands in a head load or is to be added to one: all (blocks,
 * max_heads) but images and half_images. */
typedef struct head_load_counts {
    int64_t *images, *half_images; /* (1) */
    int64_t *active, *gate, *active_squares, *gate_squares, *half_active;
} head_load_counts;

/* What a context reports of an image. */
typedef struct head_image {
    const int32_t *tokens;   /* (blocks, max_heads) */
    const double *gate_sum;  /* (blocks, max_heads) */
    const int32_t *together; /* of each block (heads, heads), as of head_load_together; NULL: not known */
} head_image;

/* Nothing counted yet, and nothing of pairs of heads to be. Copies all it is given. *out is set on success
 * alone; head_load_destroy frees it. */
mohvit_status head_load_create(head_load **out, const routing_layout *routing, json_t *config,
                               const labels *names, mohvit_error *err);
void head_load_destroy(head_load *l);

/* Adds one image of a class. A hash of the tokens tells whether it is of the half, so that it is wherever it
 * is counted. A gate that is not finite is an error, as is an overflow; nothing is added then. After an image
 * of which pairs of heads are not known, they are of none. */
mohvit_status head_load_add(head_load *l, size_t class_index, const head_image *image, mohvit_error *err);

/* The same to counts of one class. */
mohvit_status head_load_count_image(const head_load_counts *to, const routing_layout *routing,
                                    const int32_t *tokens, const double *gate_sum, mohvit_error *err);

/* Counts with nothing in them, in zeroed memory of head_load_counts_size numbers. */
size_t head_load_counts_size(const routing_layout *routing);
head_load_counts head_load_counts_in(int64_t *memory, const routing_layout *routing);

/* An image's gate sum as it is counted; false where it is not finite, or absurd. */
bool head_load_gate_units(int64_t *out, double gate_sum, size_t tokens);

/* What an image with this gate sum, as it is counted, adds to gate_squares. */
int64_t head_load_gate_square(int64_t gate, size_t tokens);

/* Where those of a class are in l. */
head_load_counts head_load_row(const head_load *l, size_t class_index);

/* Adds images of a class with known counts. An overflow is an error; nothing is added then. */
mohvit_status head_load_add_counts(head_load *l, size_t class_index, const head_load_counts *counts,
                                   mohvit_error *err);

/* What a merge may put together all the same. */
enum {
    HEAD_LOAD_MIXED = 1,       /* other backends and instruction sets, which round differently */
    HEAD_LOAD_DROP_SQUARES = 2 /* one that has squares and one that has none: the sum has none */
};

/* Adds what another one counted with the same model; from another model, or with another preprocessing, is an
 * error that says what differs; so is what the flags above do not allow. Its sources are appended; data that
 * both have counted, as their fingerprints and shards tell whatever they are called, or that both have chosen
 * some of, are an error. Pairs of heads are lost unless both have them. The names are for messages. */
mohvit_status head_load_merge(head_load *to, const head_load *from, const char *to_name,
                              const char *from_name, unsigned allowed, mohvit_error *err);

/* Whether pictures may be added that were counted as this provenance tells: "preprocess", "exif_orientation",
 * "dropped_heads", "renormalise". */
mohvit_status head_load_check_counting(const head_load *l, const json_t *provenance, const char *l_name,
                                       const char *name, mohvit_error *err);

/* Whether what this provenance tells of came from the same model, as far as both say: "weights_hash",
 * "variant", "config". */
mohvit_status head_load_check_model(const head_load *l, const json_t *provenance, const char *l_name,
                                    const char *name, mohvit_error *err);

/* Whether these classes are those of l, each by its name. */
mohvit_status head_load_check_names(const head_load *l, const labels *names, const char *l_name,
                                    const char *name, mohvit_error *err);

/* Whether data {"images", "fingerprint", "chosen_from"} are, or were chosen from, some that l counted or that
 * its pictures were chosen from, as far as its sources say. */
mohvit_status head_load_check_data(const head_load *l, const json_t *data, const char *l_name,
                                   const char *name, mohvit_error *err);

/* Names what of a source's data no source has, just before it or, of the last one, behind; false: nothing. */
bool head_load_missing(const head_load *l, size_t source, bool behind, char *text, size_t size);

/* A safetensors file, whole or not at all: `images` (classes), `tokens` (classes, blocks), `active` (classes,
 * blocks, max heads) as I64, `gate_sum` as F64 and, all or none, `active_squares`, `gate_squares`,
 * `half_images` (classes) and `half_active` as I64; and, where it is known, `together` (blocks, max heads,
 * max heads) as I64, -1 where a block has fewer heads. Metadata: `head_load` (version of the format),
 * `config`, `routing`, `class_names`, `block_names`, `data`, `active_heads_percent`, `provenance`. Files of
 * 0.1 have none of the last five tensors and no `routing`; it reads files that do, as of the same version,
 * and passes over both. */
mohvit_status head_load_save(const head_load *l, const char *path, mohvit_error *err);
/* The bytes of such a file: *data, which is malloc'd, and *size are set on success alone. */
mohvit_status head_load_save_memory(const head_load *l, void **data, size_t *size, mohvit_error *err);

/* Reads one, and checks that shapes fit the layout, and numbers each other (head_load_check). of_config (may
 * be NULL) is for a file without a layout. */
mohvit_status head_load_open(head_load **out, const char *path, layout_of_config *of_config,
                             mohvit_error *err);
mohvit_status head_load_open_memory(head_load **out, const void *data, size_t size,
                                    layout_of_config *of_config, mohvit_error *err);

/* ---- Pairs of heads -------------------------------------------------------------------------- */

/* Has pairs counted from now on, of a head load without images. */
mohvit_status head_load_begin_together(head_load *l, mohvit_error *err);

/* (heads, heads) of a block: the tokens, of all classes, that selected both heads; of a head with itself, its
 * active tokens. The head load has to have them. */
int64_t *head_load_together(const head_load *l, size_t block);

/* Adds known numbers of all blocks. An overflow is an error; nothing is added then. */
mohvit_status head_load_add_together(head_load *l, const int64_t *together, mohvit_error *err);

/* Where together (heads, heads) has the diagonal, and of routed heads the triangle above it, the rest
 * follows.
 */
void head_load_complete_together(int64_t *together, const routing_block *b);

/* Checks that those of a block belong together and to the active tokens. name begins the message. */
mohvit_status head_load_check_together(const head_load *l, size_t block, const char *name, mohvit_error *err);

/* ---- Asking ---------------------------------------------------------------------------------- */

static inline size_t head_load_at(const head_load *l, size_t class_index, size_t block_index, size_t head)
{
    return (class_index * l->routing.count + block_index) * l->routing.max_heads + head;
}

/* malloc'd: a class's name without its synonyms, for titles; NULL without memory. */
char *head_load_title(const head_load *l, size_t class_index);

/* Images of all classes; *classes (may be NULL): those that have any. */
int64_t head_load_images(const head_load *l, size_t *classes);

/* Tokens of a class that a block has seen. */
int64_t head_load_tokens(const head_load *l, size_t class_index, size_t block);

/* Checks that the numbers of a class in a block belong together: absent heads are −1, shared ones have all
 * tokens, and every token has exactly its number of routed heads. name begins the message. */
mohvit_status head_load_check(const head_load *l, size_t class_index, size_t block, const char *name,
                              mohvit_error *err);
/* The same of an image that is to be added, and of its gates, which are never negative, and 0 where no token
 * selected the head: tokens, gate_sum (blocks, max_heads). */
mohvit_status head_load_check_image(const head_load *l, size_t class_index, const int32_t *tokens,
                                    const double *gate_sum, mohvit_error *err);

/* Share of the tokens that selected the head; NaN where the class has no images. */
double head_load_of(const head_load *l, size_t class_index, size_t block, size_t head);

double head_load_gate_sum(const head_load *l, size_t class_index, size_t block, size_t head);

/* Over all tokens of the class, with 0 for those that did not select the head; NaN without images. */
double head_load_gate_mean(const head_load *l, size_t class_index, size_t block, size_t head);

/* The head's part of the gates of all heads of the block, and that of all routed heads; NaN where there are
 * none. */
double head_load_gate_share(const head_load *l, size_t class_index, size_t block, size_t head);
double head_load_gate_share_of_routed(const head_load *l, size_t class_index, size_t block);

/* ---- Among its own files --------------------------------------------------------------------- */

mohvit_status head_load_no_memory(mohvit_error *err);

/* Which stretch of its data a source is: from `first` to `end` of `of` equal parts. */
typedef struct stretch {
    uint64_t first, end, of;
} stretch;

/* Of "shard": "I/N"; all of the data where there is none. False where it is malformed. */
bool stretch_of(stretch *s, const json_t *source);

#endif

/* header.h - what an evaluation is: two sets of records may be added up where their headers agree.
 *
 * {"format": 2,       or 1, which 0.1 wrote: a merge reads it, and nobody goes on with it
 *  "match": {...}      what the result depends on: must be the same
 *  "hardware": {...}   what changes the last bits: must be the same, unless mixing is allowed
 *  "run": {...}        what a state is for (shard): must be the same to go on with it, may differ in a merge
 *  "images": N, "sections": ["predictions", ...],
 *  "data": {...}       as match.data, but over sizes as well, which a mended picture may change: of a head
 *                      load; parts of one evaluation that differ were begun over other files
 *  "routing": {...}    routing_layout.h; of a head load, and not in format 1
 *  "widths": {"features": C, "logits": classes, "per-image": blocks · max_heads}  of those that are among the
 *                      sections
 *  and for people alone: "provenance", "prefixes", "classes", ...} */
#ifndef MOHVIT_HEADER_H
#define MOHVIT_HEADER_H

#include "imgio/dataset/dataset.h"

#include <jansson.h>

#define HEADER_FORMAT         2
#define HEADER_FORMAT_OLD     1
#define HEADER_MAX_BYTES      ((size_t)256 << 20) /* a million class names, */
#define HEADER_MAX_CONTAINERS 10000
#define HEADER_MAX_VALUES     2000000 /* and as many of all else */

/* Names differences of b from a, as "KEY is THIS, expected THAT"; with `run`, of "run" too. a is named
 * expected. name (a file) begins the message. With allow_mixed, differences of hardware are warned about. */
mohvit_status header_compare(const json_t *expected, const json_t *found, bool run, bool allow_mixed,
                             const char *name, const warning_sink *warn, mohvit_error *err);

/* Checks what every reader relies on. */
mohvit_status header_check(const json_t *header, const char *name, mohvit_error *err);

bool header_is_old(const json_t *header);
size_t header_images(const json_t *header);
bool header_has_section(const json_t *header, const char *section);
/* Values of --routed-heads; 1 where there are none. */
size_t header_top_ks(const json_t *header);

/* XXH3-128 over arguments, names, checks and classes in their order, and `sizes` if asked for, as hexadecimal
 * digits. */
#define FINGERPRINT_SIZE 33
void dataset_fingerprint(const dataset *d, bool sizes, char out[FINGERPRINT_SIZE]);
void dataset_fingerprint_candidates(const dataset *d, bool sizes, char out[FINGERPRINT_SIZE]);

#endif

/* ablation_record.h - what images score without each head, in the records of an evaluation: what makes an
 * evaluation resumable, sharded and spread over ranks does the same for them. A section holds
 *
 *     passes u32, and of each image that was scored and each pass loss u64 and right u8
 *
 * in the order of the images. */
#ifndef MOHVIT_ABLATION_RECORD_H
#define MOHVIT_ABLATION_RECORD_H

#include "eval/pipeline.h"
#include "eval/totals.h"

/* What a header calls the section. */
#define ABLATION_SECTION "ablation"

/* For a pipeline with this ablation; a outlives it. */
chunk_section ablation_record_section(const ablation *a);

/* Over images, what a pass changes: exact, and the same in any order. */
typedef struct ablation_sums {
    __int128 loss;                  /* Σ of the changes d, in LOSS_UNITS */
    unsigned __int128 loss_squares; /* Σ d² */
    uint64_t lost, gained;          /* images that were right and are wrong, and the other way round */
} ablation_sums;

/* Adds up a whole set: sums (passes), zero before. *images becomes the number of those that were scored. */
mohvit_status ablation_collect(ablation_sums *sums, uint64_t *images, size_t passes, const record_set *s,
                               mohvit_error *err);

#endif

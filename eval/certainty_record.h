/* certainty_record.h - how sure routers are of what they choose, in the records of an evaluation: what makes
 * an evaluation resumable and spread over ranks does the same for it. A section holds
 *
 *     blocks u32, and of each block the numbers of certainty_counts as u64
 *
 * of the images that were scored, added up. */
#ifndef MOHVIT_CERTAINTY_RECORD_H
#define MOHVIT_CERTAINTY_RECORD_H

#include "eval/certainty.h"
#include "eval/pipeline.h"
#include "eval/totals.h"

/* What a header calls the section. */
#define CERTAINTY_SECTION "certainty"

/* For a pipeline with this certainty; c outlives it. */
chunk_section certainty_record_section(const certainty *c);

/* Adds up a whole set: sums (blocks), zero before. */
mohvit_status certainty_collect(certainty_counts *sums, const certainty *c, const record_set *s,
                                mohvit_error *err);

#endif

/* provenance.h - what a result was computed with, so that it can be computed again. */
#ifndef MOHVIT_PROVENANCE_H
#define MOHVIT_PROVENANCE_H

#include "tools/program/model_options.h"

#include <jansson.h>

/* {version, weights_hash, variant, config, threads, cpu} and, where a model m was run and not NULL,
 * {active_heads_percent, backend, precision, instruction_set, kernels} and synthetic, the seed, if its
 * weights are those of "synth". A published variant is given by name; config is there where the name alone
 * does not say everything. weights_hash is the XXH3-128 of the file as xxh128sum prints it, of an index and
 * its shards that of "cat INDEX SHARD ...", sorted by name, "synthetic:SEED", or null where no weights are
 * concerned; it takes as long as reading the file, so a provenance is made only to be printed. */
json_t *provenance_json(const model_source *source, const config *c, const mohvit_model *m, int threads);

/* "Intel(R) Xeon(R) …", or the architecture where the kernel tells no more. */
json_t *cpu_name(void);

#endif

/* seeds.h - small valid files for the fuzz targets to begin with. */
#ifndef MOHVIT_SEEDS_H
#define MOHVIT_SEEDS_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/weights/weights_testing.h"

/* Writes a seed of a target and frees it. */
void seed(const char *target, blob b);
void seed_text(const char *target, const char *text);

/* A path for a seed that something else writes. */
const char *seed_path(const char *target);

/* The smallest network there is: a block in each stage, two heads, of which one is routed. */
extern const char seed_config[];

void seed_pictures(void);
void seed_checkpoints(void);
void seed_data_sets(void);
void seed_evaluations(void);

#endif

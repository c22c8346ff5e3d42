/* synthetic.h - deterministic weights and inputs for tests and benchmarks (spec 6). */
#ifndef MOHVIT_SYNTHETIC_H
#define MOHVIT_SYNTHETIC_H

#include "vit/network/bind.h"

/* dst (spec->elements) = the synthetic values of a tensor of this name and shape. */
void synthetic_tensor(float *dst, const tensor_spec *spec, uint64_t seed);

/* dst (batch, 3, size, size) = the synthetic input. */
void synthetic_input(float *dst, size_t batch, size_t size, uint64_t seed);

#endif

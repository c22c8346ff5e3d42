/* choices.h - what the network calls the backends and precisions of the interface. */
#ifndef MOHVIT_CHOICES_H
#define MOHVIT_CHOICES_H

#include "vit/kernels/gemm.h"
#include "vit/mohvit.h"

/* MOHVIT_ERROR_ARGUMENT for a value that is none, or of a newer mohvit.h. */
mohvit_status backend_inside(const char **out, mohvit_backend b, mohvit_error *err);
mohvit_status precision_inside(precision *out, mohvit_precision p, mohvit_error *err);

/* What a model computes with; never AUTO. */
mohvit_backend backend_outside(const gemm *g);
mohvit_precision precision_outside(precision p);

#endif

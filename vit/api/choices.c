#include "vit/api/choices.h"

#include <stdio.h>
#include <string.h>

#define AUTO "auto"

/* AUTO comes before the network's own. */
_Static_assert(MOHVIT_PRECISION_F32 == PRECISION_F32 + 1 && MOHVIT_PRECISION_BF16 == PRECISION_BF16 + 1 &&
                   MOHVIT_PRECISION_INT8 == PRECISION_INT8 + 1 && MOHVIT_PRECISION_F16 == PRECISION_F16 + 1,
               "the two lists of precisions have one order");

const char *mohvit_backend_name(mohvit_backend b)
{
    switch (b) {
    case MOHVIT_BACKEND_AUTO:
        return AUTO;
    case MOHVIT_BACKEND_NATIVE:
        return gemm_native[PRECISION_F32].name;
    case MOHVIT_BACKEND_OPENBLAS:
        return gemm_openblas.name;
    }
    return NULL;
}

const char *mohvit_precision_name(mohvit_precision p)
{
    if (p == MOHVIT_PRECISION_AUTO)
        return AUTO;
    return (unsigned)p <= PRECISIONS ? precision_name((precision)(p - 1)) : NULL;
}

/* ---- By name --------------------------------------------------------------------------------- */

typedef const char *namer(size_t value);

static const char *name_of_backend(size_t value)
{
    return mohvit_backend_name((mohvit_backend)value);
}

static const char *name_of_precision(size_t value)
{
    return mohvit_precision_name((mohvit_precision)value);
}

/* The value of that name. The message lists all: "auto, f32, bf16, int8 or f16". */
static mohvit_status find(size_t *out, const char *name, namer *name_of, const char *what, mohvit_error *err)
{
    char list[128] = "";
    for (size_t i = 0, used = 0; name_of(i); i++) {
        const char *before = !i ? "" : name_of(i + 1) ? ", " : " or ";
        *out = i;
        if (!strcmp(name_of(i), name))
            return MOHVIT_OK;
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", before, name_of(i));
    }
    return error_set(err, MOHVIT_ERROR_ARGUMENT, "%s \"%s\"; expected %s", what, name, list);
}

mohvit_status mohvit_backend_by_name(mohvit_backend *out, const char *name, mohvit_error *err)
{
    size_t found = 0;
    mohvit_status status = find(&found, name, name_of_backend, "backend", err);
    if (!status)
        *out = (mohvit_backend)found;
    return status;
}

mohvit_status mohvit_precision_by_name(mohvit_precision *out, const char *name, mohvit_error *err)
{
    size_t found = 0;
    mohvit_status status = find(&found, name, name_of_precision, "precision", err);
    if (!status)
        *out = (mohvit_precision)found;
    return status;
}

/* ---- Inside ---------------------------------------------------------------------------------- */

static mohvit_status unknown(const char *what, unsigned value, mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_ARGUMENT, "%s %u is none that mohvit %s knows", what, value,
                     mohvit_version());
}

mohvit_status backend_inside(const char **out, mohvit_backend b, mohvit_error *err)
{
    *out = mohvit_backend_name(b);
    return *out ? MOHVIT_OK : unknown("backend", b, err);
}

mohvit_status precision_inside(precision *out, mohvit_precision p, mohvit_error *err)
{
    if (!mohvit_precision_name(p))
        return unknown("precision", p, err);
    *out = p == MOHVIT_PRECISION_AUTO ? PRECISION_F32 : (precision)(p - 1);
    return MOHVIT_OK;
}

mohvit_backend backend_outside(const gemm *g)
{
    mohvit_backend b = MOHVIT_BACKEND_AUTO;
    mohvit_backend_by_name(&b, g->name, NULL);
    return b;
}

mohvit_precision precision_outside(precision p)
{
    return (mohvit_precision)(p + 1);
}

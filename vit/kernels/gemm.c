#include "vit/kernels/gemm.h"
#include "base/memory.h"

#include <string.h>

/* ---- Precisions ---------------------------------------------------------------------------------- */

static const char *const precisions[PRECISIONS] = {"f32", "bf16", "int8", "f16"};

const char *precision_name(precision p)
{
    return precisions[p];
}

/* ---- Which backend ------------------------------------------------------------------------------- */

const gemm *gemm_available(size_t index)
{
    if (index < PRECISIONS)
        return &gemm_native[index];
    return index == PRECISIONS && !gemm_openblas_load(NULL) ? &gemm_openblas : NULL;
}

static bool automatic(const char *name)
{
    return !name || !strcmp(name, "auto");
}

mohvit_status gemm_choose(const gemm **out, const char *name, precision wanted, const kernels *k,
                          mohvit_error *err)
{
    bool vectorised = k->gemm[wanted].multiply != kernels_layer(0)->gemm[PRECISION_F32].multiply;
    bool native = automatic(name) ? vectorised || !gemm_openblas.run : !strcmp(name, "native");
    if (!automatic(name) && !native && strcmp(name, "openblas") != 0)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "backend \"%s\"; expected auto, native or openblas",
                         name);
    const gemm *g = native ? &gemm_native[wanted] : &gemm_openblas;
    if (g->precision != wanted)
        return error_set(err, MOHVIT_ERROR_UNSUPPORTED, "backend %s does not compute in %s", g->name,
                         precision_name(wanted));
    mohvit_status status = native ? MOHVIT_OK : gemm_openblas_load(err);
    if (!status)
        *out = g;
    return status;
}

void transpose(float *to, const float *from, size_t rows, size_t columns)
{
    enum { BLOCK = 16 }; // a cache line each way
    for (size_t r = 0; r < rows; r += BLOCK)
        for (size_t c = 0; c < columns; c += BLOCK)
            for (size_t i = r; i < r + BLOCK && i < rows; i++)
                for (size_t j = c; j < c + BLOCK && j < columns; j++)
                    to[j * rows + i] = from[i * columns + j];
}

/* ---- The native backend ------------------------------------------------------------------------ */

/* Any cut gives the same bits here. Tall tiles read the weights once for many rows; narrow ones make enough
 * of them to share evenly, down to one panel. */
static gemm_tiles native_tiling(size_t N, size_t out)
{
    enum { ROWS = 98, PANEL = 32, TILES = 16, MAX_PANELS = 6 };
    size_t row_tiles = divide_up(N, ROWS), panels = divide_up(out, PANEL);
    size_t wide = panels * row_tiles / TILES;
    wide = wide < 1 ? 1 : wide > MAX_PANELS ? MAX_PANELS : wide;
    return (gemm_tiles){.rows = divide_up(N, row_tiles), .cols = wide * PANEL};
}

#define NATIVE(p) [p] = {"native", p, parallel_run, native_tiling, true, NULL}

const gemm gemm_native[PRECISIONS] = {NATIVE(PRECISION_F32), NATIVE(PRECISION_BF16), NATIVE(PRECISION_INT8),
                                      NATIVE(PRECISION_F16)};

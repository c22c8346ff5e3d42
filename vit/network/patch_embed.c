#include "vit/network/patch_embed.h"
#include "base/parallel.h"

#include <string.h>

typedef struct {
    const pass *pass;
    const patch_embed *embed;
    const float *map;
} patch_job;

/* Copies the windows of one output row: patches (side, window, window, channels), 0 outside the map. A
 * window's row is contiguous in the map. */
static void patch_row(void *arg, size_t oy, size_t worker)
{
    const patch_job *job = arg;
    const patch_embed *e = job->embed;
    size_t channels = e->in_channels, run = e->window * channels;
    float *patches = coded_rows(job->pass, &e->proj, job->pass->s->patches, oy * e->side, worker);
    float *out = patches;
    for (size_t ox = 0; ox < e->side; ox++)
        for (size_t ky = 0; ky < e->window; ky++, out += run) {
            size_t y = oy * e->stride + ky, x = ox * e->stride; // both still `padding` too large
            if (y < e->padding || y - e->padding >= e->in_side) {
                memset(out, 0, run * sizeof *out);
                continue;
            }
            size_t before = x < e->padding ? e->padding - x : 0;
            size_t first = x + before - e->padding, count = e->window - before;
            if (first + count > e->in_side)
                count = e->in_side - first;
            const float *row = job->map + ((y - e->padding) * e->in_side + first) * channels;
            memset(out, 0, before * channels * sizeof *out);
            memcpy(out + before * channels, row, count * channels * sizeof *out);
            memset(out + (before + count) * channels, 0,
                   (e->window - before - count) * channels * sizeof *out);
        }
    coded_done(job->pass, &e->proj, patches, oy * e->side, e->side);
}

void patch_embed_forward(const pass *p, const patch_embed *e, const float *map, float *x)
{
    size_t N = e->side * e->side;
    patch_job job = {p, e, map};
    pass_loop(p, e->side, patch_row, &job);
    pass_lap(p, OP_PATCHES);
    linear_call conv = {&e->proj, coded_operand(p, &e->proj, p->s->patches, e->proj.in), x, e->proj.out, N,
                        false};
    linear_forward(&conv, 1, p->kernels, p->team);
    pass_lap(p, OP_PATCH_EMBED);
    norm_forward(p, &e->norm, NULL, x, x, N);
    pass_lap(p, OP_NORM);
}

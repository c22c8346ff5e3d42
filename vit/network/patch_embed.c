#include "vit/network/patch_embed.h"
#include "vit/network/encode.h"

#include <stdlib.h>
#include <string.h>

void patch_embed_bind(binder *b, patch_embed *e, const config *c, size_t s)
{
    *e = (patch_embed){
        .window = s ? 3 : 7,
        .stride = s ? 2 : 4,
        .padding = s ? 1 : 3,
        .in_side = s ? config_side(c, s - 1) : c->img_size,
        .in_channels = s ? c->embed_dims[s - 1] : 3,
        .side = config_side(c, s),
    };
    size_t window = e->window, channels = e->in_channels, C = c->embed_dims[s],
           in = window * window * channels;
    bind_within(b, "patch_embed%zu.", s + 1);
    const float *w = bind_staged(b, "proj", ".weight", SHAPE(C, channels, window, window));
    float *reordered = bind_temporary(b, C * in); // (C, window², channels)
    for (size_t out = 0; bind_reads(b) && out < C; out++)
        transpose(reordered + out * in, w + out * in, channels, window * window);
    e->proj = bind_packed(b, bind_gemm(b, PART_EMBED, s), reordered, C, in, NULL, 0, NULL);
    free(reordered);
    e->proj.bias = bind_tensor(b, "proj", ".bias", SHAPE(C));
    e->norm = norm_bind(b, "norm", C, 1e-5f);
}

typedef struct {
    const pass *pass;
    const patch_embed *embed;
    float *patches; // (side², window, window, channels)
    const float *map;
} patch_job;

/* Copies the windows of one output row: patches (side, window, window, channels), 0 outside the map. A
 * window's row is contiguous in the map. */
static void patch_row(void *arg, size_t oy, size_t worker)
{
    const patch_job *job = arg;
    const patch_embed *e = job->embed;
    size_t channels = e->in_channels, run = e->window * channels;
    float *patches = encode_begin(job->pass, &e->proj, job->patches, oy * e->side, worker);
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
    encode_end(job->pass, &e->proj, patches, oy * e->side, e->side);
}

void patch_embed_forward(const pass *p, const patch_embed *e, const float *map, float *x)
{
    size_t N = e->side * e->side, mark = p->scratch->used;
    patch_job job = {p, e, scratch_floats(p->scratch, N, e->proj.in), map};
    encode_reserve(p, &e->proj, N, e->side);
    pass_loop(p, e->side, patch_row, &job);
    profile_lap(p->profile, OP_PATCHES);
    linear_call conv = {&e->proj, encoded(p, &e->proj, job.patches, e->proj.in), x, e->proj.out, N, false};
    pass_linear(p, &conv, 1);
    profile_lap(p->profile, OP_PATCH_EMBED);
    norm_forward(p, &e->norm, NULL, x, x, N);
    profile_lap(p->profile, OP_NORM);
    scratch_release(p->scratch, mark);
}

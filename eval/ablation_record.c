#include "eval/ablation_record.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

#define SECTION_ABLATION RECORD_TAG('A', 'B', 'L', 'T')
#define PASS_BYTES       (sizeof(uint64_t) + sizeof(uint8_t))

/* ---- Writing --------------------------------------------------------------------------------- */

typedef struct pass_score {
    int64_t loss;
    bool right;
} pass_score;

/* Of one chunk, whose images come in any order. */
typedef struct ablation_chunk {
    bool scored[CHUNK_IMAGES];
    pass_score *scores; /* (CHUNK_IMAGES, passes) */
} ablation_chunk;

static void end_chunk(UNUSED void *user, void *chunk)
{
    ablation_chunk *c = chunk;
    free(c->scores);
    free(c);
}

static void *begin_chunk(void *user)
{
    const ablation *a = user;
    ablation_chunk *c = calloc(1, sizeof *c);
    if (c && (c->scores = memory_alloc(size_product(CHUNK_IMAGES, a->count), sizeof *c->scores)))
        return c;
    free(c);
    return NULL;
}

static void add_image(void *user, void *chunk, const image_answer *answer)
{
    const ablation *a = user;
    ablation_chunk *c = chunk;
    for (size_t i = 0; i < a->count; i++) {
        const score *s = &answer->ablated[i];
        c->scores[answer->image * a->count + i] = (pass_score){s->loss, s->right1};
    }
    c->scored[answer->image] = true;
}

static void encode_chunk(void *user, const void *chunk, bytes *out)
{
    const ablation *a = user;
    const ablation_chunk *c = chunk;
    bytes_put_u32(out, (uint32_t)a->count);
    for (size_t n = 0; n < CHUNK_IMAGES; n++)
        for (size_t i = 0; c->scored[n] && i < a->count; i++) {
            bytes_put_u64(out, (uint64_t)c->scores[n * a->count + i].loss);
            bytes_put_u8(out, c->scores[n * a->count + i].right);
        }
}

chunk_section ablation_record_section(const ablation *a)
{
    return (chunk_section){
        .tag = SECTION_ABLATION,
        .user = (void *)a,
        .begin = begin_chunk,
        .add = add_image,
        .encode = encode_chunk,
        .end = end_chunk,
    };
}

/* ---- Reading --------------------------------------------------------------------------------- */

typedef struct collecting {
    ablation_sums *sums;
    size_t passes;
    uint64_t images;
} collecting;

/* Losses are at most LOSS_MAX, so that squares are below 2^105: sums of 2^22 images fit. */
static mohvit_status add_pass(ablation_sums *s, int64_t loss, bool right, const score *own, const char *name,
                              mohvit_error *err)
{
    __int128 change = (__int128)loss - own->loss;
    s->loss += change;
    s->lost += own->right1 && !right;
    s->gained += right && !own->right1;
    if (__builtin_add_overflow(s->loss_squares, (unsigned __int128)(change * change), &s->loss_squares))
        return error_set(err, MOHVIT_ERROR_LIMIT,
                         "%s: the losses of its ablation are too large to be added up", name);
    return MOHVIT_OK;
}

static mohvit_status take_record(void *user, const chunk_record *r, const journal *source, mohvit_error *err)
{
    collecting *to = user;
    const byte_reader *section = record_section(r, SECTION_ABLATION);
    byte_reader in = section ? *section : (byte_reader){0};
    mohvit_status status = MOHVIT_OK;
    size_t passes = bytes_get_u32(&in), scored = r->images - r->failures;
    if (!section || in.failed || passes != to->passes || in.size != scored * passes * PASS_BYTES)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: chunk %zu: expected scores of %zu images without %zu heads",
                         journal_name(source), r->chunk, scored, to->passes);
    for (size_t n = 0; n < r->images; n++) {
        const image_record *one = &r->image[n];
        for (size_t i = 0; !status && !one->failed && i < passes; i++) {
            uint64_t loss = bytes_get_u64(&in);
            uint8_t right = bytes_get_u8(&in);
            if (loss > (uint64_t)(LOSS_MAX * LOSS_UNITS) || right > 1)
                return error_set(err, MOHVIT_ERROR_FORMAT,
                                 "%s: chunk %zu: image %zu without head %zu: no score", journal_name(source),
                                 r->chunk, n, i);
            status = add_pass(&to->sums[i], (int64_t)loss, right, &one->scores[0], journal_name(source), err);
        }
        to->images += !one->failed;
    }
    return status;
}

mohvit_status ablation_collect(ablation_sums *sums, uint64_t *images, size_t passes, const record_set *s,
                               mohvit_error *err)
{
    collecting to = {.sums = sums, .passes = passes};
    mohvit_status status = record_set_walk(s, take_record, &to, err);
    *images = to.images;
    return status;
}

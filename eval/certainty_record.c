#include "eval/certainty_record.h"

#include <stdlib.h>
#include <string.h>

#define SECTION_CERTAINTY RECORD_TAG('S', 'U', 'R', 'E')

/* ---- Writing --------------------------------------------------------------------------------- */

/* Of one chunk. */
typedef struct certainty_chunk {
    bool too_large;
    certainty_counts *sums; /* (blocks) */
} certainty_chunk;

static size_t blocks_of(const certainty *c)
{
    return mohvit_routing(c->model)->count;
}

static void end_chunk(UNUSED void *user, void *chunk)
{
    certainty_chunk *c = chunk;
    free(c->sums);
    free(c);
}

static void *begin_chunk(void *user)
{
    certainty_chunk *c = calloc(1, sizeof *c);
    if (c && (c->sums = calloc(blocks_of(user), sizeof *c->sums)))
        return c;
    free(c);
    return NULL;
}

static void add_image(void *user, void *chunk, const image_answer *answer)
{
    certainty_chunk *c = chunk;
    for (size_t b = 0; b < blocks_of(user); b++)
        c->too_large = !certainty_add(&c->sums[b], &answer->certainty[b]) || c->too_large;
}

/* Sums that are too large are left out, which collecting takes for damage. */
static void encode_chunk(void *user, const void *chunk, bytes *out)
{
    const certainty_chunk *c = chunk;
    size_t blocks = c->too_large ? 0 : blocks_of(user);
    bytes_put_u32(out, (uint32_t)blocks);
    for (size_t b = 0; b < blocks; b++) {
        int64_t numbers[CERTAINTY_NUMBERS];
        memcpy(numbers, &c->sums[b], sizeof numbers);
        for (size_t i = 0; i < CERTAINTY_NUMBERS; i++)
            bytes_put_u64(out, (uint64_t)numbers[i]);
    }
}

chunk_section certainty_record_section(const certainty *c)
{
    return (chunk_section){
        .tag = SECTION_CERTAINTY,
        .user = (void *)c,
        .begin = begin_chunk,
        .add = add_image,
        .encode = encode_chunk,
        .end = end_chunk,
    };
}

/* ---- Reading --------------------------------------------------------------------------------- */

typedef struct collecting {
    certainty_counts *sums;
    size_t blocks;
} collecting;

static mohvit_status take_record(void *user, const chunk_record *r, const journal *source, mohvit_error *err)
{
    collecting *to = user;
    const byte_reader *section = record_section(r, SECTION_CERTAINTY);
    byte_reader in = section ? *section : (byte_reader){0};
    size_t blocks = bytes_get_u32(&in);
    if (!section || in.failed || blocks != to->blocks || in.size != blocks * sizeof(certainty_counts))
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: chunk %zu: expected sums of the routers of %zu blocks", journal_name(source),
                         r->chunk, to->blocks);
    for (size_t b = 0; b < blocks; b++) {
        int64_t numbers[CERTAINTY_NUMBERS] = {0};
        certainty_counts more;
        for (size_t i = 0; i < CERTAINTY_NUMBERS; i++)
            numbers[i] = (int64_t)bytes_get_u64(&in);
        memcpy(&more, numbers, sizeof more);
        if (!certainty_add(&to->sums[b], &more))
            return error_set(err, MOHVIT_ERROR_LIMIT, "%s: the sums of so many images do not fit 64 bits",
                             journal_name(source));
    }
    return MOHVIT_OK;
}

mohvit_status certainty_collect(certainty_counts *sums, const certainty *c, const record_set *s,
                                mohvit_error *err)
{
    return record_set_walk(s, take_record, &(collecting){sums, blocks_of(c)}, err);
}

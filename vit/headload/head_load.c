#include "vit/headload/head_load.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- Memory ----------------------------------------------------------------------------------------

mohvit_status head_load_no_memory(mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for the head load of so many classes");
}

/* Zeroes, and −1 for the heads that a block does not have. */
static mohvit_status allocate(head_load *l, json_t *config, mohvit_error *err)
{
    size_t classes = l->names.count, blocks = l->routing.count, max_heads = l->routing.max_heads, cells;
    if (!size_mul(classes, blocks * max_heads, &cells))
        return head_load_no_memory(err);
    l->images = calloc(classes, sizeof *l->images);
    l->active = calloc(cells, sizeof *l->active);
    l->gate = calloc(cells, sizeof *l->gate);
    l->active_squares = calloc(cells, sizeof *l->active_squares);
    l->gate_squares = calloc(cells, sizeof *l->gate_squares);
    l->half_images = calloc(classes, sizeof *l->half_images);
    l->half_active = calloc(cells, sizeof *l->half_active);
    l->has_squares = true;
    l->sources = json_array();
    l->provenance = json_object();
    l->config = json_copy(config);
    if (!l->images || !l->active || !l->gate || !l->active_squares || !l->gate_squares || !l->half_images ||
        !l->half_active || !l->sources || !l->provenance || !l->config)
        return head_load_no_memory(err);
    for (size_t b = 0; b < blocks; b++)
        for (size_t c = 0; c < classes; c++)
            for (size_t h = l->routing.blocks[b].heads; h < max_heads; h++)
                l->active[head_load_at(l, c, b, h)] = l->half_active[head_load_at(l, c, b, h)] = -1;
    return MOHVIT_OK;
}

mohvit_status head_load_create(head_load **out, const routing_layout *routing, json_t *config,
                               const labels *names, mohvit_error *err)
{
    head_load *l = calloc(1, sizeof *l);
    if (!l)
        return head_load_no_memory(err);
    mohvit_status status = routing_layout_copy(&l->routing, routing, err);
    if (!status)
        status = labels_copy(&l->names, names, err);
    if (!status)
        status = allocate(l, config, err);
    if (status)
        head_load_destroy(l);
    else
        *out = l;
    return status;
}

void head_load_destroy(head_load *l)
{
    if (!l)
        return;
    json_decref(l->sources);
    json_decref(l->provenance);
    json_decref(l->config);
    routing_layout_free(&l->routing);
    labels_free(&l->names);
    free(l->images);
    free(l->active);
    free(l->gate);
    free(l->active_squares);
    free(l->gate_squares);
    free(l->half_images);
    free(l->half_active);
    free(l->together);
    free(l);
}

// ---- Asking ----------------------------------------------------------------------------------------

char *head_load_title(const head_load *l, size_t class_index)
{
    const char *name = l->names.name[class_index];
    size_t length = strcspn(name, ",");
    return strndup(name, length ? length : strlen(name));
}

int64_t head_load_images(const head_load *l, size_t *classes)
{
    int64_t images = 0;
    size_t counted = 0;
    for (size_t c = 0; c < l->names.count; c++) {
        images += l->images[c];
        counted += l->images[c] > 0;
    }
    if (classes)
        *classes = counted;
    return images;
}

int64_t head_load_tokens(const head_load *l, size_t class_index, size_t block)
{
    return l->images[class_index] * (int64_t)l->routing.blocks[block].tokens;
}

double head_load_of(const head_load *l, size_t class_index, size_t block, size_t head)
{
    return (double)l->active[head_load_at(l, class_index, block, head)] /
           (double)head_load_tokens(l, class_index, block);
}

double head_load_gate_sum(const head_load *l, size_t class_index, size_t block, size_t head)
{
    return (double)l->gate[head_load_at(l, class_index, block, head)] / HEAD_LOAD_GATE_UNIT;
}

double head_load_gate_mean(const head_load *l, size_t class_index, size_t block, size_t head)
{
    return head_load_gate_sum(l, class_index, block, head) / (double)head_load_tokens(l, class_index, block);
}

/* From one head on. */
static double gates_from(const head_load *l, size_t class_index, size_t block, size_t first)
{
    double sum = 0;
    for (size_t h = first; h < l->routing.blocks[block].heads; h++)
        sum += head_load_gate_sum(l, class_index, block, h);
    return sum;
}

double head_load_gate_share(const head_load *l, size_t class_index, size_t block, size_t head)
{
    return head_load_gate_sum(l, class_index, block, head) / gates_from(l, class_index, block, 0);
}

double head_load_gate_share_of_routed(const head_load *l, size_t class_index, size_t block)
{
    return gates_from(l, class_index, block, l->routing.blocks[block].shared) /
           gates_from(l, class_index, block, 0);
}

// ---- Counting --------------------------------------------------------------------------------------

size_t head_load_counts_size(const routing_layout *routing)
{
    return 2 + 5 * routing->count * routing->max_heads;
}

head_load_counts head_load_counts_in(int64_t *memory, const routing_layout *routing)
{
    size_t cells = routing->count * routing->max_heads;
    int64_t *first = memory + 2;
    return (head_load_counts){.images = memory,
                              .half_images = memory + 1,
                              .active = first,
                              .gate = first + cells,
                              .active_squares = first + 2 * cells,
                              .gate_squares = first + 3 * cells,
                              .half_active = first + 4 * cells};
}

head_load_counts head_load_row(const head_load *l, size_t class_index)
{
    size_t first = head_load_at(l, class_index, 0, 0);
    return (head_load_counts){.images = l->images + class_index,
                              .half_images = l->half_images + class_index,
                              .active = l->active + first,
                              .gate = l->gate + first,
                              .active_squares = l->active_squares + first,
                              .gate_squares = l->gate_squares + first,
                              .half_active = l->half_active + first};
}

/* Of one head of a block. */
typedef struct {
    int64_t active, gate, active_square, gate_square, half_active;
} cell_counts;

int64_t head_load_gate_square(int64_t gate, size_t tokens)
{
    int64_t unit = (int64_t)tokens << (HEAD_LOAD_GATE_BITS - HEAD_LOAD_MEAN_BITS);
    int64_t mean = (llabs(gate) + unit / 2) / unit;
    return mean * mean;
}

bool head_load_gate_units(int64_t *out, double gate_sum, size_t tokens)
{
    if (!(fabs(gate_sum) <= (double)tokens * HEAD_LOAD_MAX_MEAN)) // NaN too
        return false;
    *out = llrint(gate_sum * HEAD_LOAD_GATE_UNIT);
    return true;
}

/* Of one image, with so many tokens in the block; false where the gates are not finite, or absurd. */
static bool count_cell(cell_counts *out, int64_t active, double gate_sum, size_t tokens)
{
    int64_t gate;
    if (!head_load_gate_units(&gate, gate_sum, tokens))
        return false;
    *out = (cell_counts){active, gate, active * active, head_load_gate_square(gate, tokens), 0};
    return true;
}

static bool fits(int64_t a, int64_t b)
{
    return !__builtin_add_overflow(a, b, &a);
}

static bool cell_fits(const head_load_counts *to, size_t i, const cell_counts *c)
{
    return fits(to->active[i], c->active) && fits(to->gate[i], c->gate) &&
           fits(to->active_squares[i], c->active_square) && fits(to->gate_squares[i], c->gate_square);
}

static void add_cell(const head_load_counts *to, size_t i, const cell_counts *c)
{
    to->active[i] += c->active;
    to->gate[i] += c->gate;
    to->active_squares[i] += c->active_square;
    to->gate_squares[i] += c->gate_square;
    to->half_active[i] += c->half_active; // fits where active does
}

/* By the counts of all heads that there are: FNV-1a, whose bits are then mixed as MurmurHash3 does. */
static bool in_half(const int32_t *tokens, size_t cells)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < cells; i++)
        hash = (hash ^ (uint32_t)tokens[i]) * 0x100000001b3;
    hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccd;
    return (hash ^ (hash >> 33)) & 1;
}

static bool images_fit(int64_t images, int64_t more)
{
    return fits(images, more) && images + more <= HEAD_LOAD_MAX_IMAGES;
}

static mohvit_status too_many(const head_load *l, size_t class_index, mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_LIMIT, "class %zu (%s): more tokens than 64 bits can count",
                     class_index, l->names.name[class_index]);
}

mohvit_status head_load_count_image(const head_load_counts *to, const routing_layout *routing,
                                    const int32_t *tokens, const double *gate_sum, mohvit_error *err)
{
    size_t heads = routing->max_heads, cells = routing->count * heads;
    cell_counts c;
    bool room = images_fit(*to->images, 1);
    for (size_t i = 0; i < cells; i++) { // nothing is added unless all can be
        if (!count_cell(&c, tokens[i], gate_sum[i], routing->blocks[i / heads].tokens))
            return error_set(err, MOHVIT_ERROR_NONFINITE, "head %zu of block %zu: its gates sum to %g",
                             i % heads, i / heads, gate_sum[i]);
        room = room && (tokens[i] < 0 || cell_fits(to, i, &c));
    }
    if (!room)
        return error_set(err, MOHVIT_ERROR_LIMIT, "more tokens of a class than 64 bits can count");
    bool half = in_half(tokens, cells);
    for (size_t i = 0; i < cells; i++) {
        if (tokens[i] < 0) // no such head; a head load has the −1 already
            continue;
        count_cell(&c, tokens[i], gate_sum[i], routing->blocks[i / heads].tokens);
        c.half_active = half ? tokens[i] : 0;
        add_cell(to, i, &c);
    }
    ++*to->images;
    *to->half_images += half;
    return MOHVIT_OK;
}

mohvit_status head_load_add(head_load *l, size_t class_index, const head_image *image, mohvit_error *err)
{
    if (class_index >= l->names.count)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "class %zu of a model of %zu", class_index,
                         l->names.count);
    size_t pairs = l->together && image->together ? routing_head_pairs(&l->routing, l->routing.count) : 0;
    bool room = true;
    for (size_t i = 0; i < pairs; i++)
        room = room && fits(l->together[i], image->together[i]);
    if (!room)
        return too_many(l, class_index, err);
    const head_load_counts row = head_load_row(l, class_index);
    mohvit_status status = head_load_count_image(&row, &l->routing, image->tokens, image->gate_sum, err);
    if (status)
        return status == MOHVIT_ERROR_LIMIT ? too_many(l, class_index, err) : status;
    for (size_t i = 0; i < pairs; i++)
        l->together[i] += image->together[i];
    if (!image->together) {
        free(l->together);
        l->together = NULL;
    }
    return MOHVIT_OK;
}

mohvit_status head_load_add_counts(head_load *l, size_t class_index, const head_load_counts *counts,
                                   mohvit_error *err)
{
    const head_load_counts row = head_load_row(l, class_index);
    size_t cells = l->routing.count * l->routing.max_heads;
    bool room = images_fit(*row.images, *counts->images);
    for (int adding = 0; room && adding < 2; adding++) { // nothing is added unless all can be
        for (size_t i = 0; i < cells; i++) {
            const cell_counts c = {counts->active[i], counts->gate[i], counts->active_squares[i],
                                   counts->gate_squares[i], counts->half_active[i]};
            if (c.active < 0)
                continue;
            if (adding)
                add_cell(&row, i, &c);
            else
                room = room && cell_fits(&row, i, &c);
        }
    }
    if (!room)
        return too_many(l, class_index, err);
    *row.images += *counts->images;
    *row.half_images += *counts->half_images;
    return MOHVIT_OK;
}

// ---- Checking ------------------------------------------------------------------------------------

/* active (max_heads) of class c in a block, for so many images. name begins the message, and what is said of
 * the numbers. */
typedef struct {
    const char *name, *what;
    size_t c, max_heads;
    int64_t images;
    const routing_block *block;
    mohvit_error *err;
} check;

static mohvit_status check_counts(const check *k, const int64_t *active)
{
    const routing_block *b = k->block;
    int64_t routed = 0, tokens = k->images * (int64_t)b->tokens;
    for (size_t h = 0; h < k->max_heads; h++) {
        bool absent = h >= b->heads, shared = h < b->shared;
        bool right = absent   ? active[h] == -1
                     : shared ? active[h] == tokens
                              : active[h] >= 0 && active[h] <= tokens;
        if (!right)
            return error_set(k->err, MOHVIT_ERROR_FORMAT,
                             "%s: %s: class %zu, block %s, head %zu: %lld of %lld tokens; expected %s",
                             k->name, k->what, k->c, b->name, h, (long long)active[h], (long long)tokens,
                             absent   ? "-1, since there is no such head"
                             : shared ? "all, since the head is shared"
                                      : "0 to that");
        routed += absent || shared ? 0 : active[h];
    }
    if (routed != tokens * (int64_t)b->routed)
        return error_set(k->err, MOHVIT_ERROR_FORMAT,
                         "%s: %s: class %zu, block %s: routed heads add up to %lld; %lld tokens with %zu "
                         "each make %lld",
                         k->name, k->what, k->c, b->name, (long long)routed, (long long)tokens, b->routed,
                         (long long)(tokens * (int64_t)b->routed));
    return MOHVIT_OK;
}

/* Whether n numbers that add up to `sum`, each at most `most`, can have these squares. slack: how far the sum
 * may be off. Doubles round by parts in 2^53. */
static bool squares_belong(double n, double sum, double most, double squares, double slack)
{
    double least = fmax(sum - slack, 0);
    return squares >= 0 && least * least <= n * squares * (1 + 1e-9) &&
           squares <= most * (sum + slack) * (1 + 1e-9);
}

static mohvit_status check_squares(const head_load *l, size_t c, size_t block, const char *name,
                                   mohvit_error *err)
{
    const routing_block *b = &l->routing.blocks[block];
    double n = (double)l->images[c], tokens = (double)b->tokens;
    for (size_t h = 0; h < l->routing.max_heads; h++) {
        size_t at = head_load_at(l, c, block, h);
        int64_t active = l->active_squares[at], gate = l->gate_squares[at];
        double means = head_load_gate_sum(l, c, block, h) / tokens * (1 << HEAD_LOAD_MEAN_BITS);
        bool absent = h >= b->heads;
        if (absent ? active != 0 : !squares_belong(n, (double)l->active[at], tokens, (double)active, 0))
            return error_set(
                err, MOHVIT_ERROR_FORMAT,
                "%s: active_squares: class %zu, block %s, head %zu: %lld cannot be of %lld images "
                "with %lld active tokens",
                name, c, b->name, h, (long long)active, (long long)l->images[c],
                (long long)(absent ? 0 : l->active[at]));
        if (absent ? gate != 0 : !squares_belong(n, means, means + n / 2, (double)gate, n / 2))
            return error_set(err, MOHVIT_ERROR_FORMAT,
                             "%s: gate_squares: class %zu, block %s, head %zu: %lld cannot be of %lld images "
                             "whose gates sum to %.9g",
                             name, c, b->name, h, (long long)gate, (long long)l->images[c],
                             head_load_gate_sum(l, c, block, h));
    }
    return MOHVIT_OK;
}

/* Both halves have to be possible. */
static mohvit_status check_halves(const head_load *l, const check *whole)
{
    check half = *whole;
    int64_t rest[ROUTING_MAX_HEADS];
    size_t at = head_load_at(l, whole->c, whole->block->index, 0);
    half.what = "half_active";
    half.images = l->half_images[whole->c];
    if (half.images < 0 || half.images > whole->images)
        return error_set(whole->err, MOHVIT_ERROR_FORMAT,
                         "%s: half_images: class %zu has %lld of %lld images", whole->name, whole->c,
                         (long long)half.images, (long long)whole->images);
    mohvit_status status = check_counts(&half, l->half_active + at);
    if (status)
        return status;
    for (size_t h = 0; h < whole->max_heads; h++)
        rest[h] = h < whole->block->heads ? l->active[at + h] - l->half_active[at + h] : -1;
    half.images = whole->images - half.images;
    return check_counts(&half, rest);
}

mohvit_status head_load_check(const head_load *l, size_t c, size_t block, const char *name, mohvit_error *err)
{
    const check k = {name, "active", c, l->routing.max_heads, l->images[c], &l->routing.blocks[block], err};
    mohvit_status status = check_counts(&k, l->active + head_load_at(l, c, block, 0));
    if (!status && l->has_squares)
        status = check_squares(l, c, block, name, err);
    return status || !l->has_squares ? status : check_halves(l, &k);
}

mohvit_status head_load_check_image(const head_load *l, size_t c, const int32_t *tokens,
                                    const double *gate_sum, mohvit_error *err)
{
    size_t heads = l->routing.max_heads;
    int64_t active[ROUTING_MAX_HEADS];
    mohvit_status status = MOHVIT_OK;
    for (size_t b = 0; !status && b < l->routing.count; b++) {
        const check k = {"image", "active", c, heads, 1, &l->routing.blocks[b], err};
        for (size_t h = 0; h < heads; h++)
            active[h] = tokens[b * heads + h];
        status = check_counts(&k, active);
    }
    for (size_t i = 0; !status && i < l->routing.count * heads; i++)
        if (gate_sum[i] < 0 || (tokens[i] <= 0 && gate_sum[i] > 0))
            status = error_set(err, MOHVIT_ERROR_FORMAT,
                               "image: gate_sum: class %zu, block %s, head %zu: %g; expected %s", c,
                               l->routing.blocks[i / heads].name, i % heads, gate_sum[i],
                               tokens[i] > 0 ? "at least 0" : "0, since no token selected it");
    return status;
}

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
    l->has_squares = true;
    l->sources = json_array();
    l->provenance = json_object();
    l->config = json_copy(config);
    if (!l->images || !l->active || !l->gate || !l->active_squares || !l->gate_squares || !l->sources ||
        !l->provenance || !l->config)
        return head_load_no_memory(err);
    for (size_t b = 0; b < blocks; b++)
        for (size_t c = 0; c < classes; c++)
            for (size_t h = l->routing.blocks[b].heads; h < max_heads; h++)
                l->active[head_load_at(l, c, b, h)] = -1;
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
    return 1 + 4 * routing->count * routing->max_heads;
}

head_load_counts head_load_counts_in(int64_t *memory, const routing_layout *routing)
{
    size_t cells = routing->count * routing->max_heads;
    int64_t *first = memory + 1;
    return (head_load_counts){memory, first, first + cells, first + 2 * cells, first + 3 * cells};
}

head_load_counts head_load_row(const head_load *l, size_t class_index)
{
    size_t first = head_load_at(l, class_index, 0, 0);
    return (head_load_counts){l->images + class_index, l->active + first, l->gate + first,
                              l->active_squares + first, l->gate_squares + first};
}

/* Of one head of a block. */
typedef struct {
    int64_t active, gate, active_square, gate_square;
} cell_counts;

int64_t head_load_gate_square(int64_t gate, size_t tokens)
{
    int64_t unit = (int64_t)tokens << (HEAD_LOAD_GATE_BITS - HEAD_LOAD_MEAN_BITS);
    int64_t mean = (llabs(gate) + unit / 2) / unit;
    return mean * mean;
}

/* Of one image, with so many tokens in the block; false where the gates are not finite, or absurd. */
static bool count_cell(cell_counts *out, int64_t active, double gate_sum, size_t tokens)
{
    if (!(fabs(gate_sum) <= (double)tokens * HEAD_LOAD_MAX_MEAN)) // NaN too
        return false;
    int64_t gate = llrint(gate_sum * HEAD_LOAD_GATE_UNIT);
    *out = (cell_counts){active, gate, active * active, head_load_gate_square(gate, tokens)};
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
    for (size_t i = 0; i < cells; i++) {
        if (tokens[i] < 0) // no such head; a head load has the −1 already
            continue;
        count_cell(&c, tokens[i], gate_sum[i], routing->blocks[i / heads].tokens);
        add_cell(to, i, &c);
    }
    ++*to->images;
    return MOHVIT_OK;
}

mohvit_status head_load_add(head_load *l, size_t class_index, const int32_t *tokens, const double *gate_sum,
                            mohvit_error *err)
{
    if (class_index >= l->names.count)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "class %zu of a model of %zu", class_index,
                         l->names.count);
    const head_load_counts row = head_load_row(l, class_index);
    mohvit_status status = head_load_count_image(&row, &l->routing, tokens, gate_sum, err);
    return status == MOHVIT_ERROR_LIMIT ? too_many(l, class_index, err) : status;
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
                                   counts->gate_squares[i]};
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
    return MOHVIT_OK;
}

// ---- Checking ------------------------------------------------------------------------------------

/* active (max_heads) of a class in a block, for images that have so many tokens there. */
static mohvit_status check_counts(const int64_t *active, const routing_block *b, size_t max_heads,
                                  int64_t tokens, size_t c, const char *name, mohvit_error *err)
{
    int64_t routed = 0;
    for (size_t h = 0; h < max_heads; h++) {
        bool absent = h >= b->heads, shared = h < b->shared;
        bool right = absent   ? active[h] == -1
                     : shared ? active[h] == tokens
                              : active[h] >= 0 && active[h] <= tokens;
        if (!right)
            return error_set(err, MOHVIT_ERROR_FORMAT,
                             "%s: active: class %zu, block %s, head %zu: %lld of %lld tokens; expected %s",
                             name, c, b->name, h, (long long)active[h], (long long)tokens,
                             absent   ? "-1, since there is no such head"
                             : shared ? "all, since the head is shared"
                                      : "0 to that");
        routed += absent || shared ? 0 : active[h];
    }
    if (routed != tokens * (int64_t)b->routed)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: active: class %zu, block %s: routed heads add up to %lld; %lld tokens with %zu "
                         "each make %lld",
                         name, c, b->name, (long long)routed, (long long)tokens, b->routed,
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

mohvit_status head_load_check(const head_load *l, size_t c, size_t block, const char *name, mohvit_error *err)
{
    mohvit_status status = check_counts(l->active + head_load_at(l, c, block, 0), &l->routing.blocks[block],
                                        l->routing.max_heads, head_load_tokens(l, c, block), c, name, err);
    return status || !l->has_squares ? status : check_squares(l, c, block, name, err);
}

mohvit_status head_load_check_image(const head_load *l, size_t c, const int32_t *tokens, mohvit_error *err)
{
    size_t heads = l->routing.max_heads;
    int64_t active[ROUTING_MAX_HEADS];
    mohvit_status status = MOHVIT_OK;
    for (size_t b = 0; !status && b < l->routing.count; b++) {
        const routing_block *block = &l->routing.blocks[b];
        for (size_t h = 0; h < heads; h++)
            active[h] = tokens[b * heads + h];
        status = check_counts(active, block, heads, (int64_t)block->tokens, c, "image", err);
    }
    return status;
}

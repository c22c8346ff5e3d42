#include "vit/headload/chance.h"

#include "base/memory.h"
#include "vit/headload/probability.h"

#include <math.h>
#include <stdlib.h>

#define FALSE_DISCOVERIES 0.05

/* The counts of a head over all images. */
typedef struct {
    double classes, images, sum, squares;
    double between;    /* Σ over classes of sum² / images */
    double reciprocal; /* Σ over classes of 1 / images */
} head_sums;

static head_sums sums_of(const head_load *l, size_t block, size_t head)
{
    head_sums s = {0};
    for (size_t c = 0; c < l->names.count; c++) {
        if (!l->images[c])
            continue;
        size_t at = head_load_at(l, c, block, head);
        double n = (double)l->images[c], active = (double)l->active[at];
        s.classes++;
        s.images += n;
        s.sum += active;
        s.squares += (double)l->active_squares[at];
        s.between += active * active / n;
        s.reciprocal += 1 / n;
    }
    return s;
}

/* What Σ over classes of (mean of the class − mean of the classes)², divided by the classes, is expected to
 * be, in parts of the squared mean, where labels are shuffled: the images' variance times (1 − 1/K) times the
 * mean of 1/n. NaN where there is no such thing. */
static double relative_spread(const head_sums *s)
{
    double mean = s->sum / s->images;
    double variance = fmax(s->squares - s->sum * mean, 0) / (s->images - 1);
    bool known = s->classes > 1 && s->sum > 0;
    return known ? variance * (1 - 1 / s->classes) * s->reciprocal / s->classes / (mean * mean) : NAN;
}

double chance_divergence(const head_load *l, size_t block)
{
    const routing_block *b = &l->routing.blocks[block];
    double sum = 0, all = 0;
    for (size_t h = b->shared; h < b->heads; h++) {
        const head_sums s = sums_of(l, block, h);
        double spread = relative_spread(&s);
        if (s.classes < 2)
            return NAN;
        sum += s.sum > 0 ? s.sum * spread : 0; // a dead head tells nothing
        all += s.sum;
    }
    return l->has_squares ? sum / all / (2 * M_LN2) : NAN;
}

double chance_specificity(const head_load *l, size_t block, size_t head)
{
    const head_sums s = sums_of(l, block, head);
    return l->has_squares ? relative_spread(&s) / (2 * M_LN2) / log2(s.classes) : NAN;
}

// ---- Class-specific heads --------------------------------------------------------------------------

/* The share of shuffles in which classes would differ as much. */
static double test(const head_load *l, size_t block, size_t head)
{
    const head_sums s = sums_of(l, block, head);
    double total = s.squares - s.sum * s.sum / s.images, between = s.between - s.sum * s.sum / s.images;
    double freedom = s.classes - 1, rest = s.images - s.classes, within = fmax(total - between, 0);
    if (!(freedom >= 1 && rest >= 1 && total > s.squares * 1e-12)) // all images the same
        return NAN;
    return beta_share(rest / 2, freedom / 2, within / total);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The largest p that is at most its part of FALSE_DISCOVERIES in the order of all. */
static double least_of(double *sorted, size_t count)
{
    qsort(sorted, count, sizeof *sorted, by_size);
    for (size_t i = count; i--;)
        if (sorted[i] <= FALSE_DISCOVERIES * (double)(i + 1) / (double)count)
            return sorted[i];
    return -1;
}

mohvit_status class_tests_run(class_tests *out, const head_load *l, mohvit_error *err)
{
    size_t heads = l->routing.max_heads, cells = l->routing.count * heads, count = 0;
    double *sorted = memory_alloc(cells, sizeof *sorted);
    *out = (class_tests){.p = memory_alloc(cells, sizeof *out->p), .least = -1, .heads = heads};
    bool room = sorted && out->p;
    for (size_t i = 0; room && i < cells; i++) {
        const routing_block *b = &l->routing.blocks[i / heads];
        size_t h = i % heads;
        bool routed = h >= b->shared && h < b->heads && routing_routes(b);
        out->p[i] = routed && l->has_squares ? test(l, i / heads, h) : NAN;
        if (!isnan(out->p[i]))
            sorted[count++] = out->p[i];
    }
    if (room)
        out->least = least_of(sorted, count);
    else
        class_tests_free(out);
    free(sorted);
    return room ? MOHVIT_OK : head_load_no_memory(err);
}

void class_tests_free(class_tests *t)
{
    free(t->p);
    *t = (class_tests){0};
}

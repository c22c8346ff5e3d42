#include "vit/headload/interval.h"

#include "vit/headload/probability.h"

#include <math.h>
#include <string.h>

#define RELIABLE 10

double interval_t(int64_t images)
{
    return images > 1 ? student_quantile((double)(images - 1)) : NAN;
}

/* x of n images, by their sum and the sum of their squares. */
typedef struct {
    double n, sum, squares;
} sample;

static double mean_of(const sample *s)
{
    return s->sum / s->n;
}

/* Of the standard error of the mean. */
static double error_square(const sample *s)
{
    double variance = (s->squares - s->sum * s->sum / s->n) / (s->n - 1);
    return variance > 0 ? variance / s->n : 0; // equal ones may differ by rounding
}

static bool many_count(const sample *s)
{
    return s->sum * s->sum >= RELIABLE * s->squares && s->sum > 0;
}

/* half is of Student's interval; k = half² / V where the spread of the mean m goes with V(m); the score
 * interval's ends solve (m - x)² = k V(x), of which `shrink` is the coefficient of x². */
static interval further(double mean, double half, double k, double shrink)
{
    double centre = (mean + k / 2) / shrink, score = sqrt(half * half + k * k / 4) / shrink;
    return (interval){.low = fmin(mean - half, centre - score), .high = fmax(mean + half, centre + score)};
}

interval interval_of_load(const head_load *l, size_t class_index, size_t block, size_t head, double t)
{
    const routing_block *b = &l->routing.blocks[block];
    size_t at = head_load_at(l, class_index, block, head);
    double tokens = (double)b->tokens;
    const sample on = {(double)l->images[class_index], (double)l->active[at], (double)l->active_squares[at]};
    const sample off = {on.n, on.n * tokens - on.sum,
                        on.n * tokens * tokens - 2 * tokens * on.sum + on.squares};
    if (!l->has_squares || !(t > 0))
        return (interval){NAN, NAN, false};
    if (head < b->shared || !routing_routes(b))
        return (interval){1, 1, true};
    double load = mean_of(&on) / tokens, half = t * sqrt(error_square(&on)) / tokens;
    double k = half > 0 ? half * half / (load * (1 - load)) : 0;
    interval i = further(load, half, k, 1 + k);
    i.low = i.low > 0 ? i.low : 0;
    i.high = i.high < 1 ? i.high : 1;
    i.reliable = many_count(&on) && many_count(&off);
    return i;
}

interval interval_of_gate(const head_load *l, size_t class_index, size_t block, size_t head, double t)
{
    size_t at = head_load_at(l, class_index, block, head);
    double unit = 1 << HEAD_LOAD_MEAN_BITS;
    double sum = head_load_gate_sum(l, class_index, block, head) / (double)l->routing.blocks[block].tokens;
    const sample s = {(double)l->images[class_index], sum, (double)l->gate_squares[at] / (unit * unit)};
    if (!l->has_squares || !(t > 0))
        return (interval){NAN, NAN, false};
    double gate = mean_of(&s), half = gate > 0 ? t * sqrt(error_square(&s)) : 0;
    interval i = further(gate, half, gate > 0 ? half * half / gate : 0, 1);
    i.low = i.low > 0 ? i.low : 0;
    i.reliable = many_count(&s);
    return i;
}

// ---- Measures --------------------------------------------------------------------------------------

typedef double value_function(const head_load *l, size_t class_index, size_t block, size_t head);
typedef interval interval_function(const head_load *l, size_t class_index, size_t block, size_t head,
                                   double t);

static const struct {
    const char *name;
    value_function *value;
    interval_function *interval;
} measures[] = {
    [MEASURE_LOAD] = {"load", head_load_of, interval_of_load},
    [MEASURE_GATE] = {"gate", head_load_gate_mean, interval_of_gate},
    [MEASURE_GATE_SHARE] = {"gate-share", head_load_gate_share, NULL},
};

bool measure_by_name(head_measure *out, const char *name)
{
    for (size_t i = 0; i < sizeof measures / sizeof *measures; i++) {
        if (!strcmp(measures[i].name, name)) {
            *out = (head_measure)i;
            return true;
        }
    }
    return false;
}

double measure_of(const head_load *l, head_measure m, size_t class_index, size_t block, size_t head)
{
    return measures[m].value(l, class_index, block, head);
}

interval measure_interval(const head_load *l, head_measure m, size_t class_index, size_t block, size_t head,
                          double t)
{
    return measures[m].interval ? measures[m].interval(l, class_index, block, head, t)
                                : (interval){NAN, NAN, false};
}

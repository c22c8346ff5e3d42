#include "eval/importance.h"

#include "eval/ablation_record.h"
#include "vit/headload/probability.h"

#include <math.h>
#include <stdlib.h>

static const mean_change unknown = {NAN, NAN, NAN, NAN, NAN};

/* P(|T| ≥ |t|), for Student's distribution. */
static double student_p(double t, double freedom)
{
    return isinf(t) ? 0 : beta_share(freedom / 2, 0.5, freedom / (freedom + t * t));
}

static mean_change loss_change(const ablation_sums *s, uint64_t images, double quantile)
{
    mean_change c = unknown;
    long double n = (long double)images, sum = (long double)s->loss;
    if (!images)
        return c;
    c.mean = (double)(sum / n / LOSS_UNITS);
    if (images < 2)
        return c;
    long double deviations = fmaxl((long double)s->loss_squares - sum * sum / n, 0);
    double error = (double)(sqrtl(deviations / (n - 1) / n) / LOSS_UNITS);
    c.low = c.mean - quantile * error;
    c.high = c.mean + quantile * error;
    c.p = error > 0 ? student_p(c.mean / error, (double)images - 1) : s->loss ? 0 : 1;
    return c;
}

static mean_change top1_change(const ablation_sums *s, uint64_t images)
{
    static const double z = 1.959963984540054;
    mean_change c = unknown;
    double lost = (double)s->lost, gained = (double)s->gained, n = (double)images;
    if (!images)
        return c;
    c.mean = 100 * (gained - lost) / n;
    if (images < 2)
        return c;
    double middle = (gained - lost) / (n + 2), both = (gained + lost + 1) / (n + 2);
    double half = z * sqrt((both - middle * middle) / (n + 2));
    c.low = 100 * fmax(middle - half, -1);
    c.high = 100 * fmin(middle + half, 1);
    double fewer = fmin(lost, gained), all = lost + gained; // the tail of a binomial distribution of halves
    c.p = fmin(all > 0 ? 2 * beta_share(all - fewer, fewer + 1, 0.5) : 1, 1);
    return c;
}

/* ---- Holm ------------------------------------------------------------------------------------ */

static int by_p(const void *a, const void *b)
{
    double x = (*(mean_change *const *)a)->p, y = (*(mean_change *const *)b)->p;
    return (x > y) - (x < y);
}

/* order (count): those with a p. */
static void adjust(mean_change **order, size_t count)
{
    double most = 0;
    qsort(order, count, sizeof(mean_change *), by_p);
    for (size_t i = 0; i < count; i++) {
        most = fmax(most, fmin(order[i]->p * (double)(count - i), 1));
        order[i]->p_holm = most;
    }
}

mohvit_status importance_compute(importance *out, const ablation_sums *sums, uint64_t images, size_t count,
                                 mohvit_error *err)
{
    mean_change **order = calloc(count + !count, sizeof(mean_change *));
    double quantile = images > 1 ? student_quantile((double)images - 1) : NAN;
    if (!order)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for the importance of %zu heads", count);
    for (size_t i = 0; i < count; i++)
        out[i] = (importance){loss_change(&sums[i], images, quantile), top1_change(&sums[i], images)};
    for (size_t i = 0; i < count; i++)
        order[i] = &out[i].loss;
    if (images > 1)
        adjust(order, count);
    for (size_t i = 0; i < count; i++)
        order[i] = &out[i].top1;
    if (images > 1)
        adjust(order, count);
    free(order);
    return MOHVIT_OK;
}

#include "eval/score.h"

#include <math.h>
#include <string.h>

static bool competes(const score_rules *r, size_t class_index)
{
    return !r->competes || r->competes[class_index];
}

static bool is_accepted(const score_rules *r, uint32_t class_index)
{
    for (size_t i = 0; i < r->accepted_count; i++)
        if (r->accepted[i] == class_index)
            return true;
    return false;
}

/* Insertion into a short sorted list; an equal logit stays behind. */
static void rank_classes(score *s, const float *logits, const score_rules *r)
{
    s->top_count = 0;
    for (size_t i = 0; i < r->classes; i++) {
        size_t at = s->top_count;
        if (!competes(r, i))
            continue;
        while (at && logits[i] > logits[s->top[at - 1]])
            at--;
        if (at == SCORE_TOP)
            continue;
        s->top_count += s->top_count < SCORE_TOP;
        memmove(s->top + at + 1, s->top + at, (s->top_count - at - 1) * sizeof *s->top);
        s->top[at] = (uint32_t)i;
    }
}

static mohvit_status check_finite(const float *logits, const score_rules *r, mohvit_error *err)
{
    for (size_t i = 0; i < r->classes; i++)
        if (competes(r, i) && !isfinite(logits[i]))
            return error_set(err, MOHVIT_ERROR_NONFINITE,
                             "the network answered %f for class %zu; expected finite logits",
                             (double)logits[i], i);
    return MOHVIT_OK;
}

/* ln Σ exp(logit − shift) over the accepted classes that compete; −∞ where there are none. */
static double log_accepted(const float *logits, const score_rules *r, double shift)
{
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < r->accepted_count; i++)
        if (competes(r, r->accepted[i]))
            max = fmax(max, (double)logits[r->accepted[i]]);
    for (size_t i = 0; i < r->accepted_count; i++)
        if (competes(r, r->accepted[i]))
            sum += exp((double)logits[r->accepted[i]] - max);
    return sum > 0 ? max - shift + log(sum) : -INFINITY;
}

mohvit_status score_image(score *s, const float *logits, const score_rules *r, mohvit_error *err)
{
    mohvit_status status = check_finite(logits, r, err);
    if (status)
        return status;
    rank_classes(s, logits, r);
    double max = s->top_count ? (double)logits[s->top[0]] : 0, sum = 0;
    for (size_t i = 0; i < r->classes; i++)
        if (competes(r, i))
            sum += exp((double)logits[i] - max);
    s->right1 = s->right5 = false;
    for (size_t i = 0; i < s->top_count; i++) {
        s->probability[i] = (float)(exp((double)logits[s->top[i]] - max) / sum);
        bool right = is_accepted(r, s->top[i]);
        s->right1 = s->right1 || (right && i == 0);
        s->right5 = s->right5 || right;
    }
    double loss = r->accepted_count ? log(sum) - log_accepted(logits, r, max) : 0;
    s->loss = (int64_t)llround(fmin(fmax(loss, 0), LOSS_MAX) * LOSS_UNITS);
    return MOHVIT_OK;
}

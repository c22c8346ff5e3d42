#include "eval/score.h"

#include "vit/api/ranking.h"

#include <math.h>

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
    ranking ranks;
    mohvit_prediction top[SCORE_TOP];
    const class_logits l = {logits, r->classes, r->competes};
    mohvit_status status = ranking_top(&ranks, top, SCORE_TOP, &l, err);
    if (status)
        return status;
    *s = (score){.top_count = (uint32_t)ranks.count};
    for (size_t i = 0; i < s->top_count; i++) {
        s->top[i] = (uint32_t)top[i].class_index;
        s->probability[i] = top[i].probability;
        bool right = is_accepted(r, s->top[i]);
        s->right1 = s->right1 || (right && i == 0);
        s->right5 = s->right5 || right;
    }
    double loss = r->accepted_count ? log(ranks.sum) - log_accepted(logits, r, ranks.max) : 0;
    s->loss = (int64_t)llround(fmin(fmax(loss, 0), LOSS_MAX) * LOSS_UNITS);
    return MOHVIT_OK;
}

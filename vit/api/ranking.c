#include "vit/api/ranking.h"

#include "base/error.h"

#include <math.h>
#include <string.h>

static bool competes(const class_logits *l, size_t class_index)
{
    return !l->competes || l->competes[class_index];
}

mohvit_status ranking_top(ranking *r, mohvit_prediction *top, size_t k, const class_logits *l,
                          mohvit_error *err)
{
    size_t count = 0;
    float max = -INFINITY;
    for (size_t i = 0; i < l->classes; i++) {
        size_t at = count;
        float logit = l->logit[i];
        if (!competes(l, i))
            continue;
        if (!isfinite(logit))
            return error_set(err, MOHVIT_ERROR_NONFINITE,
                             "the network answered %f for class %zu; expected finite logits", (double)logit,
                             i);
        max = logit > max ? logit : max;
        while (at && logit > l->logit[top[at - 1].class_index]) // an equal one stays behind
            at--;
        if (at == k)
            continue;
        count += count < k;
        memmove(top + at + 1, top + at, (count - at - 1) * sizeof *top);
        top[at].class_index = i;
    }
    *r = (ranking){.count = count, .max = isfinite(max) ? (double)max : 0};
    for (size_t i = 0; i < l->classes; i++)
        if (competes(l, i))
            r->sum += exp((double)l->logit[i] - r->max);
    for (size_t i = 0; i < count; i++)
        top[i].probability = (float)(exp((double)l->logit[top[i].class_index] - r->max) / r->sum);
    return MOHVIT_OK;
}

#include "vit/network/classifier.h"
#include "vit/network/encode.h"

#include <string.h>

linear classifier_bind(binder *b, const config *c)
{
    bind_within(b, "%s", "");
    return bind_linear(b, "head", bind_gemm(b, PART_EXACT, 0),
                       SHAPE(c->num_classes, c->embed_dims[STAGES - 1]));
}

typedef struct {
    float *features; // (C) = mean of x (N, C) over the tokens
    const float *x;
    size_t N, C;
} mean_job;

static void mean_tokens(void *arg, size_t task, size_t worker)
{
    (void)task, (void)worker;
    const mean_job *job = arg;
    float *features = job->features;
    size_t C = job->C;
    memset(features, 0, C * sizeof *features);
    for (size_t n = 0; n < job->N; n++)
        for (size_t c = 0; c < C; c++)
            features[c] += job->x[n * C + c];
    for (size_t c = 0; c < C; c++)
        features[c] /= (float)job->N;
}

void classifier_forward(const pass *p, const linear *head, const float *x, size_t N, float *features,
                        float *logits)
{
    size_t C = head->in;
    mean_job mean = {features, x, N, C};
    pass_products(p, 1, mean_tokens, &mean);
    encode_rows(p, head, features, C, 1);
    linear_call scores = {head, encoded(p, head, features, C), logits, head->out, 1, false};
    pass_linear(p, &scores, 1);
    profile_lap(p->profile, OP_HEAD);
}

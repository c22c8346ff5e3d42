/* What test_32_bits.sh runs: a synthetic network's logits, which need no library but ours; and that configs
 * too large for the addresses at hand are refused. */
#include "vit/network/model.h"
#include "vit/network/synthetic.h"

#include <stdio.h>
#include <stdlib.h>

static int refuses(const char *what, const config *c)
{
    mohvit_error err;
    cost each;
    mohvit_status status = config_validate(c, what, &err);
    if (!status)
        status = model_cost(&each, c, "native", PRECISION_F32, &err);
    if (status == MOHVIT_ERROR_LIMIT)
        return 0;
    fprintf(stderr, "%s: expected to pass a limit, found status %d\n", what, status);
    return 1;
}

/* More than 2^32 weights in one layer, in all layers together, and activations. */
static int refuses_what_is_too_large(void)
{
    config wide, deep, large;
    config_variant(&wide, "moh_transnext_base_50");
    deep = large = wide;
    wide.embed_dims[3] = 8192;
    wide.mlp_ratios[3] = 64;
    deep.depths[2] = 512;
    deep.embed_dims[2] = 1536;
    deep.mlp_ratios[2] = 8;
    large.img_size = 2048;
    large.embed_dims[0] = 768;
    large.mlp_ratios[0] = 64;
    return refuses("a layer too wide", &wide) + refuses("too many layers", &deep) +
           refuses("too many activations", &large);
}

static mohvit_status read_tensor(void *seed, const tensor_spec *spec, float *dst, mohvit_error *err)
{
    (void)err;
    synthetic_tensor(dst, spec, *(const uint64_t *)seed);
    return MOHVIT_OK;
}

typedef struct {
    const model *model;
    scratch scratch;
    profile profile;
    float *input;
    forward_result result;
} image_run;

static void run(void *arg, team *t)
{
    image_run *r = arg;
    pass p = {
        .kernels = r->model->numerics.kernels, .team = t, .scratch = &r->scratch, .profile = &r->profile};
    model_forward(r->model, &p, r->input, &r->result);
}

static float *floats(size_t n)
{
    return calloc(n, sizeof(float));
}

int main(void)
{
    enum { THREADS = 2 };
    uint64_t seed = 1;
    const weight_source source = {.state = &seed, .read = read_tensor};
    config c;
    model *small = NULL;
    image_run r = {0};
    mohvit_error err;
    int failed = refuses_what_is_too_large();
    config_variant(&c, "moh_transnext_small_75");
    c.img_size = 64;
    mohvit_status status = model_create(&small, &c, &source, "native", PRECISION_F32, THREADS, &err);
    if (!status)
        status = model_scratch(small, &r.scratch, THREADS, &err);
    if (!status)
        status = profile_create(&r.profile, THREADS, &err);
    size_t pixels = 3 * c.img_size * c.img_size, sums = config_blocks(&c) * config_max_heads(&c);
    float *input = r.input = floats(pixels), *logits = floats(c.num_classes),
          *features = floats(c.embed_dims[STAGES - 1]);
    double *gate_sum = calloc(sums, sizeof *gate_sum);
    if (!status && input && logits && features && gate_sum) {
        for (size_t i = 0; i < pixels; i++)
            input[i] = (float)(i * 37 % 101) / 50 - 1;
        r.model = small;
        r.result = (forward_result){.features = features, .logits = logits, .gate_sum = gate_sum};
        parallel_run(THREADS, run, &r);
        for (size_t i = 0; i < c.num_classes; i++)
            printf("%.7f\n", (double)logits[i]);
    }
    if (status)
        fprintf(stderr, "%s\n", err.message);
    free(input);
    free(logits);
    free(features);
    free(gate_sum);
    scratch_free(&r.scratch);
    profile_free(&r.profile);
    model_destroy(small);
    return failed || status;
}

/* What test_32_bits.sh runs: a synthetic model's logits, which need no library but ours; and that configs too
 * large for the addresses at hand are refused. */
#include "vit/mohvit.h"
#include "vit/network/model.h"

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

int main(void)
{
    const mohvit_options options = {
        .size = sizeof options, .backend = MOHVIT_BACKEND_NATIVE, .img_size = 64, .threads = 2};
    mohvit_model *small = NULL;
    mohvit_context *context = NULL;
    mohvit_info info = {.size = sizeof info};
    mohvit_error err;
    float *image = NULL;
    int failed = refuses_what_is_too_large();
    mohvit_status status = mohvit_open_synthetic(&small, "moh_transnext_small_75", 1, &options, &err);
    if (!status)
        status = mohvit_context_create(&context, small, 1, 2, &err);
    if (!status) {
        mohvit_get_info(small, &info, NULL);
        size_t n = 3 * info.img_size * info.img_size;
        image = malloc(n * sizeof *image);
        for (size_t i = 0; image && i < n; i++)
            image[i] = (float)(i * 37 % 101) / 50 - 1;
        status = image ? mohvit_load_tensor(context, 0, image, &err) : MOHVIT_ERROR_MEMORY;
    }
    if (!status)
        status = mohvit_run(context, 1, &err);
    for (size_t i = 0; !status && i < info.num_classes; i++)
        printf("%.7f\n", (double)mohvit_logits(context, 0)[i]);
    if (status)
        fprintf(stderr, "%s\n", err.message);
    free(image);
    mohvit_context_destroy(context);
    mohvit_close(small);
    return failed || status;
}

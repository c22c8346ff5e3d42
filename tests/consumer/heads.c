/* How alike two pictures are to the network, and which head of each block works most for them. */
#include <mohvit.h>

#include <math.h>
#include <stdio.h>

/* Counts the blocks that a run goes through, and stops at values that are not finite. */
static int look(void *user, size_t slot, size_t block, const float *x, size_t tokens, size_t channels)
{
    (void)slot, (void)block;
    ++*(size_t *)user;
    for (size_t i = 0; i < tokens * channels; i++)
        if (!isfinite(x[i]))
            return 1;
    return 0;
}

static double cosine(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

/* Over both slots: the head with the largest sum of gates, of those that are not always on, or of all. */
static void print_block(const mohvit_context *ctx, const mohvit_block *b, size_t index)
{
    size_t best = 0;
    double most = -1;
    for (size_t head = b->routed ? b->shared : 0; head < b->heads; head++) {
        double sum = 0;
        for (size_t slot = 0; slot < 2; slot++)
            for (size_t token = 0; token < b->tokens; token++)
                sum += (double)mohvit_gates(ctx, slot, index)[token * b->heads + head];
        if (sum > most) {
            most = sum;
            best = head;
        }
    }
    printf("block %s: head %zu, mean gate %.3f\n", b->name, best, most / (2 * (double)b->tokens));
}

int main(int argc, char **argv)
{
    mohvit_model *model = NULL;
    mohvit_context *ctx = NULL;
    mohvit_head_load *load = NULL, *all = NULL;
    mohvit_error err = {0};
    mohvit_info info = {.size = sizeof info};
    mohvit_head_load_info counted = {.size = sizeof counted};
    size_t blocks = 0;

    if (argc != 3 || mohvit_open(&model, NULL, NULL, &err) ||
        mohvit_context_create(&ctx, model, 2, 0, &err) || mohvit_record_gates(ctx, 1, &err) ||
        mohvit_head_load_create(&load, model, &err) || mohvit_head_load_create(&all, model, &err))
        goto end;
    mohvit_get_info(model, &info, NULL);
    mohvit_set_trace(ctx, look, &blocks);
    if (mohvit_load_file(ctx, 0, argv[1], &err) || mohvit_load_file(ctx, 1, argv[2], &err) ||
        mohvit_run(ctx, 2, &err))
        goto end;
    printf("cosine %.3f over %zu features, %zu blocks\n",
           cosine(mohvit_features(ctx, 0), mohvit_features(ctx, 1), info.features), info.features, blocks);
    for (size_t i = 0; i < info.blocks; i++) {
        mohvit_block b = {.size = sizeof b};
        if (mohvit_get_block(model, i, &b, &err))
            goto end;
        print_block(ctx, &b, i);
    }
    for (size_t slot = 0; slot < 2; slot++) {
        mohvit_prediction top[1];
        if (mohvit_top(ctx, slot, top, 1, &err) ||
            mohvit_head_load_add(load, ctx, slot, top[0].class_index, &err))
            goto end;
    }
    if (mohvit_head_load_merge(all, load, 0, &err) || mohvit_head_load_get_info(all, &counted, &err))
        goto end;
    printf("counted %lld images of %zu classes\n", (long long)counted.images, counted.classes);
    printf("%s\n", mohvit_provenance_json(model));
end:
    if (err.status)
        fprintf(stderr, "%s\n", err.message);
    mohvit_head_load_destroy(all);
    mohvit_head_load_destroy(load);
    mohvit_context_destroy(ctx);
    mohvit_close(model);
    return argc != 3 || err.status;
}

/* Classifies, in one batch, a picture file in memory, raw pixels, and a tensor that is ready. */
#include <mohvit.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Called between the blocks of the network: cancels a run that is not done in time. */
static int out_of_time(void *deadline, size_t done, size_t total)
{
    return done < total && time(NULL) > *(const time_t *)deadline;
}

/* Prints the class, and which routed head of the last block most tokens (patches) selected. */
static void print_slot(const mohvit_context *ctx, const mohvit_model *model, const mohvit_info *info, size_t slot)
{
    mohvit_prediction top[1];
    mohvit_block last = {.size = sizeof last};
    mohvit_get_block(model, info->blocks - 1, &last, NULL);
    const int32_t *tokens = mohvit_head_tokens(ctx, slot) + (info->blocks - 1) * info->max_heads;
    size_t busiest = last.shared;
    for (size_t head = last.shared; head < last.heads; head++)
        if (tokens[head] > tokens[busiest])
            busiest = head;
    if (mohvit_top(ctx, slot, top, 1, NULL) == MOHVIT_OK)
        printf("%zu: %s, %.1f %%; head %zu\n", slot, top[0].label, 100 * (double)top[0].probability, busiest);
}

int main(int argc, char **argv)
{
    static uint8_t file[1 << 24], gray[32 * 32 * 3]; /* a JPEG, PNG or WebP; rows of red, green, blue */
    mohvit_model *model = NULL;
    mohvit_context *ctx = NULL;
    mohvit_error err = {0};
    mohvit_info info = {.size = sizeof info};
    float *tensor = NULL;
    FILE *f = argc > 1 ? fopen(argv[1], "rb") : NULL;
    size_t size = f ? fread(file, 1, sizeof file, f) : 0;

    if (mohvit_open(&model, NULL, NULL, &err) || mohvit_context_create(&ctx, model, 3, 0, &err))
        goto end; /* NULL is the built-in model, 3 the batch, 0 all threads */
    mohvit_get_info(model, &info, NULL);
    tensor = calloc(3 * info.img_size * info.img_size, sizeof *tensor);
    if (!tensor)
        goto end;
    time_t deadline = time(NULL) + 60;
    mohvit_set_progress(ctx, out_of_time, &deadline);
    if (mohvit_load_memory(ctx, 0, file, size, &err) || mohvit_load_rgb(ctx, 1, gray, 32, 32, 32 * 3, &err) ||
        mohvit_load_tensor(ctx, 2, tensor, &err) || mohvit_run(ctx, 3, &err))
        goto end; /* err.status is MOHVIT_ERROR_CANCELLED if it took more than a minute */
    for (size_t slot = 0; slot < 3; slot++)
        print_slot(ctx, model, &info, slot);
end:
    if (err.status)
        fprintf(stderr, "%s\n", err.message);
    if (f)
        fclose(f);
    free(tensor);
    mohvit_context_destroy(ctx);
    mohvit_close(model);
    return err.status != MOHVIT_OK;
}

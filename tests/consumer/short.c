#include <mohvit.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    mohvit_model *model = NULL;
    mohvit_context *ctx = NULL;
    mohvit_prediction top[1];
    mohvit_error err = {0};
    if (!mohvit_open(&model, NULL, NULL, &err) && !mohvit_context_create(&ctx, model, 1, 0, &err) &&
        !mohvit_classify_file(ctx, argc > 1 ? argv[1] : "", top, 1, &err))
        printf("%s, %.1f %%\n", top[0].label, 100 * (double)top[0].probability);
    else
        fprintf(stderr, "%s\n", err.message);
    mohvit_context_destroy(ctx);
    mohvit_close(model);
    return err.status != MOHVIT_OK;
}

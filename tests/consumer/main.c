#include <mohvit.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    mohvit_model *model = NULL;
    mohvit_context *ctx = NULL;
    mohvit_error err = {0};
    mohvit_prediction top[3];

    if (mohvit_open(&model, NULL, NULL, &err) == 0 && mohvit_context_create(&ctx, model, 1, 0, &err) == 0)
        for (int i = 1; i < argc && mohvit_classify_file(ctx, argv[i], top, 3, &err) == 0; i++)
            for (int k = 0; k < 3; k++)
                printf("%5.1f %%  %s\n", 100 * (double)top[k].probability, top[k].label);
    if (err.status)
        fprintf(stderr, "%s\n", err.message);

    mohvit_context_destroy(ctx);
    mohvit_close(model);
    return err.status != 0;
}

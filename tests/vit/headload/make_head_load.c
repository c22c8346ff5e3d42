/* make_head_load.c - for tests of the program: `make_head_load OUT VARIANT LABELS [SEED]` writes a made-up
 * head load of a published variant, or of the built-in model ("nano"), with a class for each line of LABELS.
 */
#include "vit/api/internal.h"
#include "tests/vit/headload/head_load_testing.h"

static int fail(const mohvit_error *err)
{
    fprintf(stderr, "%s\n", err->message);
    return 1;
}

int main(int argc, char **argv)
{
    mohvit_error err = {.message = "usage: make_head_load OUT VARIANT LABELS [SEED]"};
    labels names;
    config c;
    if (argc < 4 || labels_read(&names, argv[3], &err))
        return fail(&err);
    if (!config_variant(&c, argv[2])) {
        mohvit_model *m;
        if (mohvit_open(&m, NULL, NULL, &err))
            return fail(&err);
        c = mohvit_describe(m)->config;
        mohvit_close(m);
    }
    c.num_classes = names.count;
    head_load *l = made_head_load(&c, &names, argc > 4 ? strtoull(argv[4], NULL, 10) : 1);
    bool failed = !l || head_load_save(l, argv[1], &err);
    head_load_destroy(l);
    labels_free(&names);
    return failed ? fail(&err) : 0;
}

/* The whole way from pixels to classes on the 10,000 Fashion-MNIST test pictures (Debian's
 * dataset-fashion-mnist): the built-in model, and, where OFFICIAL_MODEL names it, the checkpoint that the
 * published code trained, with its .json of published results beside it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/mohvit.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define DATA_SET "/usr/share/datasets/fashion-mnist/"
#ifndef IMAGES /* the sanitizers see fewer */
#define IMAGES 10000
#endif
#define SIDE    28
#define CLASSES 10
#define BATCH   50

static uint8_t *pictures; /* (IMAGES, SIDE, SIDE) */
static uint8_t classes[IMAGES];

typedef struct {
    uint8_t predicted[IMAGES];
    float logits[64][CLASSES]; /* of the first pictures */
    double accuracy;           /* percent */
} score;

static void read_gz(const char *path, size_t header, uint8_t *out, size_t size)
{
    uint8_t skipped[16];
    gzFile f = gzopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(gzread(f, skipped, (unsigned)header), (int)header);
    assert_int_equal(gzread(f, out, (unsigned)size), (int)size);
    gzclose(f);
}

static int setup(void **state)
{
    (void)state;
    pictures = malloc((size_t)IMAGES * SIDE * SIDE);
    assert_non_null(pictures);
    assert_true(IMAGES % BATCH == 0 && IMAGES >= 64);
    read_gz(DATA_SET "t10k-images-idx3-ubyte.gz", 16, pictures, (size_t)IMAGES * SIDE * SIDE);
    read_gz(DATA_SET "t10k-labels-idx1-ubyte.gz", 8, classes, IMAGES);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(pictures);
    return 0;
}

static void load_gray(mohvit_context *ctx, size_t slot, const uint8_t *gray)
{
    uint8_t rgb[SIDE * SIDE * 3];
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = gray[i / 3];
    assert_int_equal(mohvit_load_rgb(ctx, slot, rgb, SIDE, SIDE, (size_t)SIDE * 3, NULL), MOHVIT_OK);
}

/* path NULL: the built-in model. */
static void run_model(score *s, const char *path, const mohvit_options *options)
{
    mohvit_model *model;
    mohvit_context *ctx;
    mohvit_error err;
    size_t right = 0;
    if (mohvit_open(&model, path, options, &err))
        fail_msg("%s", err.message);
    assert_int_equal(mohvit_context_create(&ctx, model, BATCH, 0, NULL), MOHVIT_OK);
    for (size_t first = 0; first < IMAGES; first += BATCH) {
        for (size_t i = 0; i < BATCH; i++)
            load_gray(ctx, i, pictures + (first + i) * SIDE * SIDE);
        assert_int_equal(mohvit_run(ctx, BATCH, NULL), MOHVIT_OK);
        for (size_t i = 0; i < BATCH; i++) {
            mohvit_prediction top;
            assert_int_equal(mohvit_top(ctx, i, &top, 1, NULL), MOHVIT_OK);
            s->predicted[first + i] = (uint8_t)top.class_index;
            right += top.class_index == classes[first + i];
            if (first + i < 64)
                memcpy(s->logits[first + i], mohvit_logits(ctx, i), sizeof s->logits[0]);
        }
    }
    s->accuracy = 100.0 * (double)right / IMAGES;
    mohvit_context_destroy(ctx);
    mohvit_close(model);
}

static size_t disagreements(const score *a, const score *b)
{
    size_t differ = 0;
    for (size_t i = 0; i < IMAGES; i++)
        differ += a->predicted[i] != b->predicted[i];
    return differ;
}

static void the_built_in_model_recognises_clothes(void **state)
{
    (void)state;
    static score built_in;
    run_model(&built_in, NULL, NULL);
    print_message("built-in model: %.2f %% top-1\n", built_in.accuracy);
    assert_true(built_in.accuracy >= (IMAGES == 10000 ? 93.9 : 90));
}

static json_t *published(const char *checkpoint)
{
    char path[4096];
    size_t stem = strlen(checkpoint) - strlen(".pth");
    snprintf(path, sizeof path, "%.*s.json", (int)stem, checkpoint);
    json_t *json = json_load_file(path, 0, NULL);
    assert_non_null(json);
    return json;
}

static double worst_logit(const score *s, const json_t *json)
{
    const json_t *logits = json_object_get(json, "first_logits");
    double worst = 0;
    assert_int_equal(json_array_size(logits), 64);
    for (size_t i = 0; i < 64; i++)
        for (size_t k = 0; k < CLASSES; k++) {
            double expected = json_number_value(json_array_get(json_array_get(logits, i), k));
            worst = fmax(worst, fabs(expected - (double)s->logits[i][k]));
        }
    return worst;
}

/* What `mohvit convert` makes of a checkpoint, in a file of its own whose path replaces the X of `path`. */
static void convert(char *path, const char *checkpoint, const char *options)
{
    char command[8192];
    close(mkstemp(path));
    snprintf(command, sizeof command, "'%s' convert '%s' '%s' %s >&2", MOHVIT_PROGRAM, checkpoint, path,
             options);
    assert_int_equal(system(command), 0);
}

/* Writes one member of the published results to a file that mohvit_options can name. */
static void write_member(char *path, const json_t *json, const char *key)
{
    FILE *f = fdopen(mkstemp(path), "w");
    assert_non_null(f);
    assert_int_equal(json_dumpf(json_object_get(json, key), f, 0), 0);
    fclose(f);
}

static void the_official_checkpoint_scores_as_published(void **state)
{
    (void)state;
    static score official, converted, rounded;
    const char *checkpoint = getenv("OFFICIAL_MODEL");
    if (!checkpoint)
        skip();
    json_t *json = published(checkpoint);
    double top1 = json_number_value(json_object_get(json_object_get(json, "test"), "top1"));
    char config[] = "/tmp/mohvit-config-XXXXXX", preprocess[] = "/tmp/mohvit-preprocess-XXXXXX";
    char conversion[] = "/tmp/mohvit-conversion-XXXXXX", bf16[] = "/tmp/mohvit-bf16-XXXXXX", options[512];
    write_member(config, json, "config");
    write_member(preprocess, json, "preprocess");
    snprintf(options, sizeof options, "--config %s --preprocess %s", config, preprocess);
    convert(conversion, checkpoint, options);
    convert(bf16, conversion, "--dtype bf16");

    run_model(&official, checkpoint,
              &(mohvit_options){.size = sizeof(mohvit_options), .config = config, .preprocess = preprocess});
    run_model(&converted, conversion, NULL);
    run_model(&rounded, bf16, NULL);
    unlink(config);
    unlink(preprocess);
    unlink(conversion);
    unlink(bf16);

    double worst = worst_logit(&official, json);
    size_t differ = disagreements(&official, &rounded);
    print_message(
        "official: %.2f %% (published %.2f), logits within %.1e; in bf16: %.2f %%, %zu of %d differ\n",
        official.accuracy, top1, worst, rounded.accuracy, differ, IMAGES);
    if (IMAGES == 10000)
        assert_true(fabs(official.accuracy - top1) <= 0.05);
    assert_true(worst <= 1e-3);
    assert_int_equal(disagreements(&official, &converted), 0);
    assert_true(differ <= IMAGES / 1000);
    assert_true(fabs(rounded.accuracy - official.accuracy) <= 0.1);
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_built_in_model_recognises_clothes),
        cmocka_unit_test(the_official_checkpoint_scores_as_published),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* What the public API says of checkpoints and arguments that do not fit, and what it makes of odd weights. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file_io.h"
#include "vit/api/internal.h"
#include "tests/vit/kernels/reference.h"
#include "weights/safetensors_writer.h"
#include "vit/network/synthetic.h"
#include "tests/weights/weights_testing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CLASSES 5
#define PIXELS  (3 * 64 * 64)

/* ---- Checkpoints ------------------------------------------------------------------------------- */

static char scratch_directory[64];
static char *config_text; /* of the small model of golden/pth */
static config small;

static int setup(void **state)
{
    (void)state;
    mohvit_error err;
    size_t size;
    enter_scratch(scratch_directory);
    if (file_load_path(&config_text, &size, GOLDEN_DIR "/pth/config.json", CONFIG_MAX_JSON, &err))
        return 1;
    return (int)config_from_json(&small, config_text, size, "config.json", &err);
}

static int teardown(void **state)
{
    (void)state;
    free(config_text);
    leave_scratch(scratch_directory);
    return 0;
}

/* A file of the scratch directory; valid until the eighth call after. */
static const char *in_scratch(const char *name)
{
    static char paths[8][128];
    static size_t next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", scratch_directory, name);
    return path;
}

/* What is wrong with a checkpoint of synthetic weights. All zero: nothing. */
typedef struct {
    const char *missing;   /* a tensor left out */
    const char *misshaped; /* one of other dimensions, as many elements at most */
    size_t rank, shape[4]; /* … which are these */
    const char *extra;     /* one that no model has */
    const char *spoiled;   /* one with `spoiler` as its last element; "*": all */
    float spoiler;         /* … */
    const char *config, *preprocess, *labels, *synthetic; /* metadata */
} flaw;

static tensor_info info_of(const char *name, size_t rank, const size_t *shape)
{
    tensor_info t = {.name = name, .dtype = DTYPE_F32, .rank = rank, .elements = 1};
    for (size_t i = 0; i < rank; i++) {
        t.shape[i] = shape[i];
        t.elements *= shape[i];
    }
    return t;
}

static bool named(const char *name, const char *wanted)
{
    return wanted && (!strcmp(name, wanted) || !strcmp(wanted, "*"));
}

static void write_checkpoint(const char *path, const config *c, const flaw *f)
{
    mohvit_error err;
    tensor_list list;
    safetensors_writer *w;
    expect_ok(model_tensors(&list, c, &err), &err);
    tensor_info *infos = calloc(list.count + 1, sizeof *infos);
    const tensor_spec **specs = calloc(list.count + 1, sizeof *specs);
    size_t count = 0, largest = 1;
    for (size_t i = 0; i < list.count; i++) {
        const tensor_spec *spec = &list.tensors[i];
        if (named(spec->name, f->missing))
            continue;
        bool other = named(spec->name, f->misshaped);
        infos[count] = info_of(spec->name, other ? f->rank : spec->rank, other ? f->shape : spec->shape);
        largest = infos[count].elements > largest ? infos[count].elements : largest;
        specs[count++] = spec;
    }
    if (f->extra)
        infos[count++] = info_of(f->extra, 1, (const size_t[]){3});
    const metadata_entry all[] = {{"config", f->config},
                                  {"preprocess", f->preprocess},
                                  {"labels", f->labels},
                                  {"synthetic", f->synthetic}};
    metadata_entry metadata[4];
    size_t entries = 0;
    for (size_t i = 0; i < 4; i++)
        if (all[i].value)
            metadata[entries++] = all[i];
    expect_ok(safetensors_writer_create(&w, path, infos, count, metadata, entries, &err), &err);
    float *values = calloc(largest, sizeof *values);
    for (size_t i = 0; i < count; i++) {
        if (specs[i]) {
            tensor_spec spec = *specs[i];
            spec.elements = infos[i].elements;
            synthetic_tensor(values, &spec, 3);
        }
        if (named(infos[i].name, f->spoiled))
            values[infos[i].elements - 1] = f->spoiler;
        expect_ok(safetensors_writer_add_f32(w, values, &err), &err);
    }
    expect_ok(safetensors_writer_finish(w, MOHVIT_OK, &err), &err);
    free(values);
    free(infos);
    free(specs);
    tensor_list_free(&list);
}

/* Warnings, one after the other. */
typedef struct {
    size_t count;
    char text[8192];
} heard;

static void hear(void *user, const char *message)
{
    heard *h = user;
    size_t used = strlen(h->text);
    h->count++;
    snprintf(h->text + used, sizeof h->text - used, "%s\n", message);
}

/* Opens a checkpoint of the small config with this flaw; options may add to it. */
static mohvit_status open_flawed(mohvit_model **m, const flaw *f, mohvit_options options, heard *h,
                                 mohvit_error *err)
{
    const char *path = in_scratch("small.safetensors");
    flaw with_config = *f;
    if (!with_config.config)
        with_config.config = config_text;
    write_checkpoint(path, &small, &with_config);
    memset(h, 0, sizeof *h);
    options.size = sizeof options;
    options.warn = hear;
    options.user = h;
    *m = NULL;
    err->message[0] = '\0';
    mohvit_status status = mohvit_open(m, path, &options, err);
    assert_true(!status == (*m != NULL)); // set on success alone
    unlink(path);
    return status;
}

static void expect_flaw(const flaw *f, mohvit_options options, mohvit_status expected, const char *file,
                        const char *cause)
{
    mohvit_model *m;
    mohvit_error err;
    heard h;
    mohvit_status status = open_flawed(&m, f, options, &h, &err);
    mohvit_close(m);
    expect_error(status, &err, expected, file, cause);
}

static mohvit_model *expect_open(const flaw *f, mohvit_options options, heard *h)
{
    mohvit_model *m;
    mohvit_error err;
    expect_ok(open_flawed(&m, f, options, h, &err), &err);
    return m;
}

static const mohvit_options plain;

/* ---- Tensors ----------------------------------------------------------------------------------- */

static void a_whole_checkpoint_opens_without_a_warning(void **state)
{
    (void)state;
    heard h;
    mohvit_info info = {.size = sizeof info};
    mohvit_model *m = expect_open(&(flaw){0}, plain, &h);
    assert_int_equal(h.count, 0);
    mohvit_get_info(m, &info, NULL);
    assert_string_equal(info.variant, "custom");
    assert_int_equal(info.img_size, 64);
    assert_int_equal(info.num_classes, CLASSES);
    assert_int_equal(info.blocks, 4);
    assert_int_equal(info.max_heads, 6);
    assert_string_equal(mohvit_label(m, 4), "class 4");
    assert_null(mohvit_label_id(m, 4));
    assert_string_equal(mohvit_label(m, CLASSES), "");
    assert_null(mohvit_label_id(m, CLASSES));
    mohvit_close(m);
}

static void a_missing_tensor_is_named(void **state)
{
    (void)state;
    const char *const names[] = {"patch_embed1.proj.weight", "block1.0.attn.temperature",
                                 "block3.0.attn.wg_0.weight", "norm4.bias", "head.bias"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        expect_flaw(&(flaw){.missing = names[i]}, plain, MOHVIT_ERROR_MISMATCH, "small.safetensors",
                    names[i]);
        expect_flaw(&(flaw){.missing = names[i]}, plain, MOHVIT_ERROR_MISMATCH, "small.safetensors",
                    "missing");
    }
}

static void a_misshaped_tensor_is_named_with_both_shapes(void **state)
{
    (void)state;
    expect_flaw(&(flaw){.misshaped = "block3.0.attn.wg.weight", .rank = 2, .shape = {2, 24}}, plain,
                MOHVIT_ERROR_MISMATCH,
                "small.safetensors: block3.0.attn.wg.weight: shape (2, 24) does not fit config", "(3, 24)");
    expect_flaw(&(flaw){.misshaped = "block3.0.attn.wg.weight", .rank = 2, .shape = {24, 3}}, plain,
                MOHVIT_ERROR_MISMATCH, "shape (24, 3)", "(3, 24)");
    expect_flaw(&(flaw){.misshaped = "block3.0.attn.wg.weight", .rank = 1, .shape = {72}}, plain,
                MOHVIT_ERROR_MISMATCH, "shape (72", "(3, 24)");
    expect_flaw(&(flaw){.misshaped = "head.bias", .rank = 2, .shape = {1, 5}}, plain, MOHVIT_ERROR_MISMATCH,
                "head.bias: shape (1, 5)", "(5");
    expect_flaw(&(flaw){.misshaped = "patch_embed1.proj.weight", .rank = 4, .shape = {8, 3, 7, 6}}, plain,
                MOHVIT_ERROR_MISMATCH, "shape (8, 3, 7, 6)", "(8, 3, 7, 7)");
}

static void an_extra_tensor_is_a_warning_that_names_it(void **state)
{
    (void)state;
    heard h;
    mohvit_model *m = expect_open(&(flaw){.extra = "attn_mask\x1b[31m"}, plain, &h);
    assert_int_equal(h.count, 1);
    assert_non_null(strstr(h.text, "small.safetensors"));
    assert_non_null(strstr(h.text, "attn_mask\\x1b[31m"));
    mohvit_close(m);
}

static void weights_that_are_not_finite_are_a_warning_that_names_the_tensor(void **state)
{
    (void)state;
    const float odd[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        heard h;
        mohvit_model *m =
            expect_open(&(flaw){.spoiled = "block2.0.mlp.fc1.weight", .spoiler = odd[i]}, plain, &h);
        assert_int_equal(h.count, 1);
        assert_non_null(strstr(h.text, "small.safetensors"));
        assert_non_null(strstr(h.text, "block2.0.mlp.fc1.weight"));
        mohvit_close(m);
    }
    heard h;
    mohvit_model *m = expect_open(&(flaw){.spoiled = "*", .spoiler = NAN}, plain, &h);
    assert_int_equal(h.count, 11); // ten, and that there are more
    assert_non_null(strstr(h.text, "further"));
    mohvit_close(m);
    m = expect_open(&(flaw){.spoiled = "head.bias", .spoiler = 3e38f}, plain, &h); // large is not infinite
    assert_int_equal(h.count, 0);
    mohvit_close(m);
}

/* Up to 20 as PyTorch has it, which in float is the same beyond; and never 0, since kernels divide by it. */
static void a_temperature_scales_by_its_softplus(void **state)
{
    (void)state;
    const float temperatures[] = {-60, -30, -1, 3, 10.5f, 12, 15, 19, 50};
    for (size_t i = 0; i < sizeof temperatures / sizeof *temperatures; i++) {
        heard h;
        const flaw hot = {.spoiled = "block1.0.attn.temperature", .spoiler = temperatures[i]};
        mohvit_model *m = expect_open(&hot, plain, &h);
        const attention *a = &mohvit_network(m)->stages[0].blocks[0].attention;
        const float *scale = a->scale + (a->heads - 1) * (NEIGHBOURS + 1); // of the last head
        for (size_t inside = 0; inside <= NEIGHBOURS; inside++) {
            double expected =
                fmax(log1p(exp((double)temperatures[i])), 1e-20) * log((double)(a->pool * a->pool + inside));
            assert_true(fabs((double)scale[inside] - expected) <= 2.5e-7 * expected);
        }
        mohvit_close(m);
    }
}

/* ---- Configs ----------------------------------------------------------------------------------- */

static void unknown_shapes_need_a_config(void **state)
{
    (void)state;
    const char *path = in_scratch("bare.safetensors"), *config_path = in_scratch("config.json");
    mohvit_model *m = NULL;
    mohvit_error err;
    write_checkpoint(path, &small, &(flaw){0});
    mohvit_status status = mohvit_open(&m, path, NULL, &err);
    assert_null(m);
    expect_error(status, &err, MOHVIT_ERROR_MISMATCH, "bare.safetensors", "config");
    blob_write(config_path, config_text, strlen(config_text));
    expect_ok(
        mohvit_open(&m, path, &(mohvit_options){.size = sizeof(mohvit_options), .config = config_path}, &err),
        &err);
    mohvit_close(m);
    write_checkpoint(path, &small, &(flaw){.missing = "head.weight"});
    status = mohvit_open(&m, path, NULL, &err);
    expect_error(status, &err, MOHVIT_ERROR_MISMATCH, "bare.safetensors", "head.weight");
    unlink(path);
    unlink(config_path);
}

/* The size cannot be seen in shapes: it is the variant's. */
static void expect_recognised(const char *variant, size_t img_size, const char *said)
{
    const char *path = in_scratch("micro.safetensors");
    config micro;
    heard h = {0};
    mohvit_options options = {.size = sizeof options, .note = hear, .user = &h};
    mohvit_model *m = NULL;
    mohvit_error err;
    mohvit_info info = {.size = sizeof info};
    assert_true(config_variant(&micro, variant));
    write_checkpoint(path, &micro, &(flaw){0});
    expect_ok(mohvit_open(&m, path, &options, &err), &err);
    assert_int_equal(h.count, 0); // as it was published
    mohvit_close(m);
    m = NULL;
    micro.num_classes = 7;
    write_checkpoint(path, &micro, &(flaw){0});
    expect_ok(mohvit_open(&m, path, &options, &err), &err);
    mohvit_get_info(m, &info, NULL);
    assert_string_equal(info.variant, variant);
    assert_int_equal(info.num_classes, 7);
    assert_int_equal(info.img_size, img_size);
    assert_int_equal(h.count, 1); // what had to be assumed
    assert_non_null(strstr(h.text, variant));
    assert_non_null(strstr(h.text, said));
    mohvit_close(m);

    m = NULL; // nearly that variant: the error is about the tensor
    write_checkpoint(path, &micro, &(flaw){.missing = "block3.9.mlp.fc2.bias"});
    mohvit_status status = mohvit_open(&m, path, &options, &err);
    assert_null(m);
    expect_error(status, &err, MOHVIT_ERROR_MISMATCH, "micro.safetensors", "block3.9.mlp.fc2.bias");
    unlink(path);
}

static void a_published_variant_is_recognised_by_its_shapes(void **state)
{
    (void)state;
    expect_recognised("transnext_micro", 224, "trained at 224 pixels");
    expect_recognised("transnext_micro_aaaa", 256, "trained at 256 pixels");
}

static void a_config_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    char wrong[1024];
    snprintf(wrong, sizeof wrong, "%s", config_text);
    char *dims = strstr(wrong, "[8, 16, 24, 48]");
    assert_non_null(dims);
    memcpy(dims, "[8, 16, 24, 42]", 15); // 48 → 42
    expect_flaw(&(flaw){.config = wrong}, plain, MOHVIT_ERROR_MISMATCH, "small.safetensors",
                "patch_embed4.proj.weight");
    expect_flaw(&(flaw){.config = "{"}, plain, MOHVIT_ERROR_FORMAT, "small.safetensors", "config");
    expect_flaw(&(flaw){0}, (mohvit_options){.config = "/nonexistent/config.json"}, MOHVIT_ERROR_IO,
                "/nonexistent/config.json", "");
}

static void a_size_may_replace_that_of_the_config(void **state)
{
    (void)state;
    const size_t good[] = {64, 96, 128}, bad[] = {1, 32, 63, 65, 100, 2080, (size_t)1 << 40};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        heard h;
        mohvit_info info = {.size = sizeof info};
        mohvit_model *m = expect_open(&(flaw){0}, (mohvit_options){.img_size = good[i]}, &h);
        mohvit_get_info(m, &info, NULL);
        assert_int_equal(info.img_size, good[i]);
        assert_int_equal(mohvit_describe(m)->config.pretrain_size, 64); // what it was trained at stays
        mohvit_block first = {.size = sizeof first};
        assert_int_equal(mohvit_get_block(m, 0, &first, NULL), MOHVIT_OK);
        assert_int_equal(first.tokens, good[i] / 4 * (good[i] / 4));
        mohvit_close(m);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_flaw(&(flaw){0}, (mohvit_options){.img_size = bad[i]}, MOHVIT_ERROR_ARGUMENT,
                    "small.safetensors", "img_size");
}

static void a_backend_must_be_known(void **state)
{
    (void)state;
    expect_flaw(&(flaw){0}, (mohvit_options){.backend = MOHVIT_BACKEND_OPENBLAS + 1}, MOHVIT_ERROR_ARGUMENT,
                "backend 3", mohvit_version());
    heard h;
    mohvit_close(expect_open(&(flaw){0}, (mohvit_options){.backend = MOHVIT_BACKEND_OPENBLAS}, &h));
    mohvit_close(expect_open(&(flaw){0}, (mohvit_options){.backend = MOHVIT_BACKEND_NATIVE}, &h));
}

static void a_precision_must_be_known_and_computed_by_the_backend(void **state)
{
    (void)state;
    expect_flaw(&(flaw){0}, (mohvit_options){.precision = MOHVIT_PRECISION_F16 + 1}, MOHVIT_ERROR_ARGUMENT,
                "precision 5", mohvit_version());
    expect_flaw(&(flaw){0},
                (mohvit_options){.backend = MOHVIT_BACKEND_OPENBLAS, .precision = MOHVIT_PRECISION_INT8},
                MOHVIT_ERROR_UNSUPPORTED, "openblas", "int8");
    heard h;
    mohvit_close(expect_open(&(flaw){0}, (mohvit_options){.precision = MOHVIT_PRECISION_F32}, &h));
}

static void a_seed_is_told_only_where_it_is_a_number(void **state)
{
    (void)state;
    heard h;
    const char *const seeds[][2] = {{"77", "77"},
                                    {"", "unknown"},
                                    {"7\xc2\x9b", "unknown"}, /* CSI */
                                    {"123456789012345678901234567890", "unknown"}};
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        mohvit_model *m = expect_open(&(flaw){.synthetic = seeds[i][0]}, plain, &h);
        char expected[64];
        snprintf(expected, sizeof expected, "\"synthetic_seed\":\"%s\"", seeds[i][1]);
        assert_non_null(strstr(mohvit_provenance_json(m), expected));
        assert_non_null(strstr(h.text, "its answers mean nothing"));
        mohvit_close(m);
    }
}

/* ---- Labels and preprocessing ------------------------------------------------------------------ */

static void labels_must_name_every_class(void **state)
{
    (void)state;
    const char *path = in_scratch("names.txt");
    heard h;
    mohvit_model *m = expect_open(&(flaw){.labels = "[\"a\", \"b\", \"c\", \"d\", \"e\"]"}, plain, &h);
    assert_string_equal(mohvit_label(m, 2), "c");
    mohvit_close(m);
    expect_flaw(&(flaw){.labels = "[\"a\", \"b\", \"c\", \"d\"]"}, plain, MOHVIT_ERROR_MISMATCH,
                "small.safetensors: names 4 classes", "5");
    expect_flaw(&(flaw){.labels = "[1, 2, 3, 4, 5]"}, plain, MOHVIT_ERROR_FORMAT, "small.safetensors",
                "label");

    blob_write(path, "v\nw\nx\ny\nz\n", 10); // a file replaces them
    m = expect_open(&(flaw){.labels = "[\"a\", \"b\", \"c\", \"d\"]"}, (mohvit_options){.labels = path}, &h);
    assert_string_equal(mohvit_label(m, 4), "z");
    mohvit_close(m);
    blob_write(path, "v\nw\nx\ny\nz\n!\n", 12);
    expect_flaw(&(flaw){0}, (mohvit_options){.labels = path}, MOHVIT_ERROR_MISMATCH,
                "names.txt: names 6 classes", "5");
    unlink(path);
    expect_flaw(&(flaw){0}, (mohvit_options){.labels = path}, MOHVIT_ERROR_IO, "names.txt", "");
}

static void preprocessing_is_the_checkpoints_unless_it_is_replaced_whole(void **state)
{
    (void)state;
    const char *path = in_scratch("preprocess.json"), *own = "{\"crop_pct\": 0.5, \"mean\": [0, 0, 0]}",
               *other = "{\"std\": [1, 1, 1]}";
    heard h;
    mohvit_model *m = expect_open(&(flaw){.preprocess = own}, plain, &h);
    assert_close(mohvit_describe(m)->preprocess.crop_pct, 0.5, 0);
    assert_true(mohvit_describe(m)->preprocess.mean[0] <= 0);
    mohvit_close(m);
    blob_write(path, other, strlen(other));
    m = expect_open(&(flaw){.preprocess = own}, (mohvit_options){.preprocess = path}, &h);
    assert_close(mohvit_describe(m)->preprocess.crop_pct, preprocess_default.crop_pct, 0);
    assert_close((double)mohvit_describe(m)->preprocess.mean[0], (double)preprocess_default.mean[0], 0);
    assert_close((double)mohvit_describe(m)->preprocess.std[0], 1, 0);
    mohvit_close(m);
    blob_write(path, "{\"std\": 1}", 10);
    expect_flaw(&(flaw){0}, (mohvit_options){.preprocess = path}, MOHVIT_ERROR_FORMAT, "preprocess.json",
                "std");
    expect_flaw(&(flaw){.preprocess = "{\"std\": 1}"}, plain, MOHVIT_ERROR_FORMAT, "small.safetensors",
                "std");
    unlink(path);
}

static void texts_may_take_the_place_of_files(void **state)
{
    (void)state;
    const char *own = "{\"crop_pct\": 0.5, \"mean\": [0, 0, 0]}",
               *names = "[\"a\", \"b\", \"c\", \"d\", \"e\"]";
    heard h;
    char *described = config_to_json(&small);
    mohvit_model *m = expect_open(&(flaw){.config = "{", .preprocess = own},
                                  (mohvit_options){.config_json = described,
                                                   .labels_json = names,
                                                   .preprocess_json = "{\"std\": [1, 1, 1]}"},
                                  &h);
    assert_string_equal(mohvit_label(m, 4), "e");
    assert_close(mohvit_describe(m)->preprocess.crop_pct, 0.5, 0); // what the text lacks is the checkpoint's
    assert_true(mohvit_describe(m)->preprocess.mean[0] <= 0);
    assert_close((double)mohvit_describe(m)->preprocess.std[0], 1, 0);
    mohvit_close(m);
    free(described);
    expect_flaw(&(flaw){0}, (mohvit_options){.config_json = "{"}, MOHVIT_ERROR_FORMAT, "config", "config");
    expect_flaw(&(flaw){0}, (mohvit_options){.labels_json = "[\"a\"]"}, MOHVIT_ERROR_MISMATCH, "labels",
                "1 class");
    expect_flaw(&(flaw){0}, (mohvit_options){.preprocess_json = "{\"std\": 1}"}, MOHVIT_ERROR_FORMAT,
                "preprocess", "std");
    expect_flaw(&(flaw){0}, (mohvit_options){.config = "x", .config_json = "{}"}, MOHVIT_ERROR_ARGUMENT,
                "mohvit_options", "config and config_json");
    expect_flaw(&(flaw){0}, (mohvit_options){.labels = "x", .labels_json = "[]"}, MOHVIT_ERROR_ARGUMENT,
                "mohvit_options", "labels and labels_json");
    expect_flaw(&(flaw){0}, (mohvit_options){.preprocess = "x", .preprocess_json = "{}"},
                MOHVIT_ERROR_ARGUMENT, "mohvit_options", "preprocess and preprocess_json");
    mohvit_error err;
    assert_int_equal(
        mohvit_open_synthetic(&m, NULL, 1,
                              &(mohvit_options){.size = sizeof(mohvit_options), .config_json = "{"}, &err),
        MOHVIT_ERROR_FORMAT);
}

/* ---- Arguments --------------------------------------------------------------------------------- */

static mohvit_model *small_model(void)
{
    mohvit_model *m;
    mohvit_error err;
    expect_ok(mohvit_open_config(&m, &small, 3, NULL, &err), &err);
    return m;
}

static void batches_and_threads_have_limits(void **state)
{
    (void)state;
    mohvit_model *m = small_model();
    const struct {
        size_t batch;
        int threads;
    } bad[] = {{0, 1}, {4097, 1}, {SIZE_MAX, 1}, {1, -1}, {1, 1025}, {1, INT32_MIN}, {1, INT32_MAX}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mohvit_context *ctx = NULL;
        mohvit_error err;
        mohvit_status status = mohvit_context_create(&ctx, m, bad[i].batch, bad[i].threads, &err);
        const char *wrong = bad[i].batch == 1 ? "threads" : "batch";
        expect_error(status, &err, MOHVIT_ERROR_ARGUMENT, wrong, "expected");
        assert_null(ctx);
        assert_int_equal(mohvit_context_create(&ctx, m, bad[i].batch, bad[i].threads, NULL),
                         MOHVIT_ERROR_ARGUMENT);
    }
    mohvit_close(m);
    assert_int_equal(
        mohvit_open(&m, NULL, &(mohvit_options){.size = sizeof(mohvit_options), .threads = 100000}, NULL),
        MOHVIT_ERROR_ARGUMENT);
    assert_int_equal(
        mohvit_open(&m, NULL, &(mohvit_options){.size = sizeof(mohvit_options), .threads = -1}, NULL),
        MOHVIT_ERROR_ARGUMENT);
}

static void a_config_within_its_maxima_may_still_need_too_much_memory(void **state)
{
    (void)state;
    mohvit_error err;
    config c = small;
    c.img_size = c.pretrain_size = 2048;
    c.embed_dims[0] = c.num_heads[0] = c.shared_head[0] = 256;
    c.sr_ratios[0] = 1; // global attention over 512 × 512 tokens
    c.depths[0] = 512;
    expect_error(config_validate(&c, "big", &err), &err, MOHVIT_ERROR_LIMIT, "big", "position bias");
    c.depths[0] = 1;
    c.mlp_ratios[0] = 64;
    c.embed_dims[0] = 512;
    cost each;
    expect_error(model_cost(&each, &c, NULL, PRECISION_F32, &err), &err, MOHVIT_ERROR_LIMIT, "config",
                 "activations");
}

static void a_slot_must_be_of_the_batch(void **state)
{
    (void)state;
    mohvit_model *m = small_model();
    mohvit_context *ctx;
    mohvit_error err;
    static float tensor[PIXELS];
    static const uint8_t rgb[64 * 64 * 3];
    expect_ok(mohvit_context_create(&ctx, m, 2, 1, &err), &err);
    const size_t bad[] = {2, 3, SIZE_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        expect_error(mohvit_load_tensor(ctx, bad[i], tensor, &err), &err, MOHVIT_ERROR_ARGUMENT, "slot", "2");
        expect_error(mohvit_load_rgb(ctx, bad[i], rgb, 64, 64, 192, &err), &err, MOHVIT_ERROR_ARGUMENT,
                     "slot", "2");
    }
    expect_error(mohvit_run(ctx, 0, &err), &err, MOHVIT_ERROR_ARGUMENT, "0 images", "2");
    expect_error(mohvit_run(ctx, 3, &err), &err, MOHVIT_ERROR_ARGUMENT, "3 images", "2");
    expect_ok(mohvit_run(ctx, 2, &err), &err);
    mohvit_context_destroy(ctx);
    mohvit_close(m);
}

static void a_model_may_have_to_be_named(void **state)
{
    (void)state;
    mohvit_model *m = NULL;
    mohvit_error err;
    expect_error(mohvit_open_synthetic(&m, "moh_transnext_huge", 1, NULL, &err), &err, MOHVIT_ERROR_ARGUMENT,
                 "moh_transnext_huge", "");
    expect_error(mohvit_open_synthetic(&m, NULL, 1, NULL, &err), &err, MOHVIT_ERROR_ARGUMENT, "variant", "");
    expect_error(mohvit_open(&m, "/nonexistent/model.pth", NULL, &err), &err, MOHVIT_ERROR_IO,
                 "/nonexistent/model.pth", "");
    assert_null(m);
    mohvit_close(NULL);
    mohvit_context_destroy(NULL);
}

/* ---- Answers ----------------------------------------------------------------------------------- */

/* A context as if its network had answered these logits. */
static mohvit_context *answering(mohvit_model *m, const float logits[CLASSES])
{
    mohvit_context *ctx;
    mohvit_error err;
    static float tensor[PIXELS];
    expect_ok(mohvit_context_create(&ctx, m, 1, 1, &err), &err);
    expect_ok(mohvit_load_tensor(ctx, 0, tensor, &err), &err);
    expect_ok(mohvit_run(ctx, 1, &err), &err);
    memcpy((float *)(uintptr_t)mohvit_logits(ctx, 0), logits, CLASSES * sizeof *logits);
    return ctx;
}

static void predictions_are_ranked_ties_to_the_lower_class(void **state)
{
    (void)state;
    mohvit_model *m = small_model();
    const float logits[CLASSES] = {1, 3, 3, -2, 3};
    const size_t order[CLASSES] = {1, 2, 4, 0, 3};
    mohvit_context *ctx = answering(m, logits);
    double sum = 3 * exp(3) + exp(1) + exp(-2);
    for (size_t k = 0; k <= CLASSES + 3; k++) {
        mohvit_prediction top[CLASSES + 3];
        mohvit_error err;
        memset(top, 0xFF, sizeof top);
        expect_ok(mohvit_top(ctx, 0, top, k, &err), &err);
        for (size_t i = 0; i < CLASSES + 3; i++) {
            if (i >= k || i >= CLASSES) { // not written
                assert_int_equal(top[i].class_index, SIZE_MAX);
                continue;
            }
            assert_int_equal(top[i].class_index, order[i]);
            assert_close((double)top[i].probability, exp((double)logits[order[i]]) / sum, 1e-6);
            assert_ptr_equal(top[i].label, mohvit_label(m, order[i]));
            assert_null(top[i].id);
        }
    }
    expect_ok(mohvit_top(ctx, 0, NULL, 0, NULL), NULL);
    mohvit_context_destroy(ctx);

    ctx = answering(m, (const float[CLASSES]){1e38f, -1e38f, 1e38f, 3e38f, 0}); // no overflow on the way
    mohvit_prediction top[CLASSES];
    expect_ok(mohvit_top(ctx, 0, top, CLASSES, NULL), NULL);
    assert_int_equal(top[0].class_index, 3);
    assert_close((double)top[0].probability, 1, 0);
    assert_close((double)top[4].probability, 0, 0);
    mohvit_context_destroy(ctx);
    mohvit_close(m);
}

static void logits_that_are_not_finite_are_an_error(void **state)
{
    (void)state;
    const float odd[] = {NAN, INFINITY, -INFINITY};
    mohvit_model *m = small_model();
    for (size_t i = 0; i < 3; i++) {
        mohvit_prediction top[1];
        mohvit_error err;
        float logits[CLASSES] = {0};
        logits[4] = odd[i];
        mohvit_context *ctx = answering(m, logits);
        expect_error(mohvit_top(ctx, 0, top, 1, &err), &err, MOHVIT_ERROR_NONFINITE, "class 4", "finite");
        assert_int_equal(mohvit_top(ctx, 0, top, 0, NULL), MOHVIT_ERROR_NONFINITE);
        mohvit_context_destroy(ctx);
    }
    mohvit_close(m);
}

static void nan_weights_reach_the_logits_of_a_picture(void **state)
{
    (void)state;
    heard h;
    mohvit_error err;
    mohvit_context *ctx;
    mohvit_prediction top[1];
    mohvit_model *m = expect_open(&(flaw){.spoiled = "norm4.bias", .spoiler = NAN}, plain, &h);
    expect_ok(mohvit_context_create(&ctx, m, 1, 1, &err), &err);
    mohvit_status status = mohvit_classify_file(ctx, GOLDEN_DIR "/images/cat_palette.png", top, 1, &err);
    expect_error(status, &err, MOHVIT_ERROR_NONFINITE, "class 0", "finite");
    mohvit_context_destroy(ctx);
    mohvit_close(m);
}

static void a_nan_in_the_input_is_an_error_and_not_a_crash(void **state)
{
    (void)state;
    static float tensor[PIXELS];
    mohvit_model *m = small_model();
    mohvit_context *ctx;
    mohvit_error err;
    mohvit_prediction top[1];
    tensor[PIXELS / 2] = NAN;
    expect_ok(mohvit_context_create(&ctx, m, 1, 2, &err), &err);
    expect_ok(mohvit_load_tensor(ctx, 0, tensor, &err), &err);
    expect_ok(mohvit_run(ctx, 1, &err), &err);
    expect_error(mohvit_top(ctx, 0, top, 1, &err), &err, MOHVIT_ERROR_NONFINITE, "class 0", "nan");
    for (size_t b = 0; b < 4; b++) { // every token still chose its heads
        size_t sum = 0;
        for (size_t i = 0; i < small.num_heads[b]; i++)
            sum += (size_t)mohvit_head_tokens(ctx, 0)[b * 6 + i];
        assert_int_equal(sum, mohvit_routing(m)->blocks[b].tokens * config_active_heads(&small, b));
    }
    memset(tensor, 0, sizeof tensor); // the next image is none the worse for it
    expect_ok(mohvit_load_tensor(ctx, 0, tensor, &err), &err);
    expect_ok(mohvit_run(ctx, 1, &err), &err);
    expect_ok(mohvit_top(ctx, 0, top, 1, &err), &err);
    mohvit_context_destroy(ctx);
    mohvit_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_checkpoint_opens_without_a_warning),
        cmocka_unit_test(a_missing_tensor_is_named),
        cmocka_unit_test(a_misshaped_tensor_is_named_with_both_shapes),
        cmocka_unit_test(an_extra_tensor_is_a_warning_that_names_it),
        cmocka_unit_test(weights_that_are_not_finite_are_a_warning_that_names_the_tensor),
        cmocka_unit_test(a_temperature_scales_by_its_softplus),
        cmocka_unit_test(unknown_shapes_need_a_config),
        cmocka_unit_test(a_published_variant_is_recognised_by_its_shapes),
        cmocka_unit_test(a_config_that_does_not_fit_is_refused),
        cmocka_unit_test(a_size_may_replace_that_of_the_config),
        cmocka_unit_test(a_seed_is_told_only_where_it_is_a_number),
        cmocka_unit_test(a_backend_must_be_known),
        cmocka_unit_test(a_precision_must_be_known_and_computed_by_the_backend),
        cmocka_unit_test(labels_must_name_every_class),
        cmocka_unit_test(preprocessing_is_the_checkpoints_unless_it_is_replaced_whole),
        cmocka_unit_test(texts_may_take_the_place_of_files),
        cmocka_unit_test(batches_and_threads_have_limits),
        cmocka_unit_test(a_config_within_its_maxima_may_still_need_too_much_memory),
        cmocka_unit_test(a_slot_must_be_of_the_batch),
        cmocka_unit_test(a_model_may_have_to_be_named),
        cmocka_unit_test(predictions_are_ranked_ties_to_the_lower_class),
        cmocka_unit_test(logits_that_are_not_finite_are_an_error),
        cmocka_unit_test(nan_weights_reach_the_logits_of_a_picture),
        cmocka_unit_test(a_nan_in_the_input_is_an_error_and_not_a_crash),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

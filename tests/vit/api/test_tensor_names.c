/* Checkpoints whose tensors have other names than the network's: prefixes, several sets, no head. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file_io.h"
#include "tests/weights/weights_testing.h"
#include "vit/api/internal.h"
#include "vit/network/synthetic.h"
#include "weights/safetensors_writer.h"

#define CLASSES 5
#define PIXELS  (3 * 64 * 64)

static char directory[64], path[128];
static config small;

static int setup(void **state)
{
    (void)state;
    mohvit_error err;
    char *text;
    size_t size;
    enter_scratch(directory);
    snprintf(path, sizeof path, "%s/m.safetensors", directory);
    if (file_load_path(&text, &size, GOLDEN_DIR "/pth/config.json", CONFIG_MAX_JSON, &err) ||
        config_from_json(&small, text, size, "config.json", &err))
        return 1;
    free(text);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    leave_scratch(directory);
    return 0;
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* Tensors of a model that begin with `beginning` ("": all), but for those that begin with `without`; each
 * with a prefix before its name. */
typedef struct part {
    const char *prefix, *beginning, *without;
    uint64_t seed;
} part;

static bool begins(const char *name, const char *with)
{
    return with && strncmp(name, with, strlen(with)) == 0;
}

static void write_parts(const config *c, bool with_config, const part *parts, size_t count)
{
    enum { MAX = 2000 };
    static char names[MAX][160];
    static tensor_info infos[MAX];
    static tensor_spec specs[MAX];
    uint64_t seeds[MAX];
    size_t n = 0;
    mohvit_error err;
    tensor_list list;
    safetensors_writer *w;
    expect_ok(model_tensors(&list, c, &err), &err);
    for (size_t p = 0; p < count; p++) {
        for (size_t i = 0; i < list.count; i++) {
            const tensor_spec *spec = &list.tensors[i];
            if (!begins(spec->name, parts[p].beginning) || begins(spec->name, parts[p].without))
                continue;
            assert_true(n < MAX);
            snprintf(names[n], sizeof names[n], "%s%s", parts[p].prefix, spec->name);
            infos[n] = tensor_of_spec(spec, DTYPE_F32);
            infos[n].name = names[n];
            specs[n] = *spec;
            seeds[n++] = parts[p].seed;
        }
    }
    char *text = config_to_json(c);
    const metadata_entry metadata = {"config", text};
    expect_ok(safetensors_writer_create(&w, path, infos, n, &metadata, with_config, &err), &err);
    for (size_t i = 0; i < n; i++) {
        float *values = malloc(specs[i].elements * sizeof *values);
        synthetic_tensor(values, &specs[i], seeds[i]);
        expect_ok(safetensors_writer_add_f32(w, values, &err), &err);
        free(values);
    }
    expect_ok(safetensors_writer_finish(w, MOHVIT_OK, &err), &err);
    free(text);
    tensor_list_free(&list);
}

/* ---- What is made of them -------------------------------------------------------------------- */

/* The last note or warning. */
static char note[512], warning[512];

static void take_note(void *user, const char *message)
{
    (void)user;
    snprintf(note, sizeof note, "%s", message);
}

static void take_warning(void *user, const char *message)
{
    (void)user;
    snprintf(warning, sizeof warning, "%s", message);
}

static mohvit_status open_written(mohvit_model **m, const char *key, mohvit_error *err)
{
    const mohvit_options options = {
        .size = sizeof options, .key = key, .note = take_note, .warn = take_warning, .threads = 1};
    *note = *warning = '\0';
    *m = NULL;
    return mohvit_open(m, path, &options, err);
}

/* Logits of a gray picture. */
static void run(float logits[CLASSES], const mohvit_model *m)
{
    static float input[PIXELS];
    mohvit_context *ctx;
    mohvit_error err;
    expect_ok(mohvit_context_create(&ctx, m, 1, 1, &err), &err);
    expect_ok(mohvit_load_tensor(ctx, 0, input, &err), &err);
    expect_ok(mohvit_run(ctx, 1, &err), &err);
    memcpy(logits, mohvit_logits(ctx, 0), CLASSES * sizeof *logits);
    mohvit_context_destroy(ctx);
}

/* The file opens as the model of that seed. */
static void expect_model(const char *key, uint64_t seed)
{
    float expected[CLASSES], got[CLASSES];
    mohvit_model *m;
    mohvit_error err;
    expect_ok(mohvit_open_config(&m, &small, seed, NULL, &err), &err);
    run(expected, m);
    mohvit_close(m);
    expect_ok(open_written(&m, key, &err), &err);
    run(got, m);
    mohvit_close(m);
    assert_memory_equal(got, expected, sizeof got);
}

static void expect_refused(const char *key, mohvit_status status, const char *cause)
{
    mohvit_model *m;
    mohvit_error err;
    expect_error(open_written(&m, key, &err), &err, status, "m.safetensors", cause);
    assert_null(m);
}

/* ---- One prefix ------------------------------------------------------------------------------ */

static void a_prefix_of_all_names_is_taken_off_with_a_note(void **state)
{
    (void)state;
    const char *const prefixes[] = {"module.",       "_orig_mod.",        "model.",
                                    "backbone.",     "net.encoder.",      "model._orig_mod.module.",
                                    "module.model.", "_orig_mod.module.", "backbone.model._orig_mod."};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        char expected[64];
        snprintf(expected, sizeof expected, "\"%s\" is taken off", prefixes[i]);
        write_parts(&small, true, &(part){prefixes[i], "", NULL, 7}, 1);
        expect_model(NULL, 7);
        assert_non_null(strstr(note, expected));
        assert_string_equal(warning, "");
    }
    write_parts(&small, true, &(part){"", "", NULL, 7}, 1);
    expect_model(NULL, 7);
    assert_string_equal(note, "");
}

static void a_prefix_is_found_without_a_config(void **state)
{
    (void)state;
    mohvit_model *m;
    mohvit_error err;
    mohvit_info info = {.size = sizeof info};
    config micro;
    assert_true(config_variant(&micro, "transnext_micro"));
    write_parts(&micro, false, &(part){"model.", "", NULL, 1}, 1);
    expect_ok(open_written(&m, NULL, &err), &err);
    mohvit_get_info(m, &info, NULL);
    assert_string_equal(info.variant, "transnext_micro");
    assert_non_null(strstr(note, "\"model.\" is taken off"));
    mohvit_close(m);
}

static void a_wrapped_backbone_beside_a_head_is_one_model(void **state)
{
    (void)state;
    const part parts[] = {{"backbone.", "", "head.", 7}, {"", "head.", NULL, 7}};
    write_parts(&small, true, parts, 2);
    expect_model(NULL, 7);
    const part wrapped[] = {{"backbone.", "", NULL, 7}, {"", "head.bias", NULL, 8}};
    write_parts(&small, true, wrapped, 2);
    expect_refused(NULL, MOHVIT_ERROR_FORMAT, "head.bias: there are two tensors of this name");
    expect_model("backbone", 7);
}

/* ---- Several ----------------------------------------------------------------------------------- */

static void several_sets_that_fit_are_for_the_key_to_choose_among(void **state)
{
    (void)state;
    const part parts[] = {{"student.", "", NULL, 7}, {"teacher.module.", "", NULL, 8}};
    write_parts(&small, true, parts, 2);
    expect_refused(NULL, MOHVIT_ERROR_ARGUMENT, "--key: student, teacher.module");
    expect_model("student", 7);
    assert_string_equal(warning, ""); // the other set is no concern of this one
    expect_model("teacher", 8);
    assert_non_null(strstr(note, "\"module.\" is taken off"));
    expect_model("teacher.module", 8);
    expect_refused("pupil", MOHVIT_ERROR_ARGUMENT, "no tensor whose name begins with \"pupil.\"");
    expect_refused("stud", MOHVIT_ERROR_ARGUMENT, "no weight set \"stud\"");

    const part bare[] = {{"", "", NULL, 7}, {"ema.", "", NULL, 8}};
    write_parts(&small, true, bare, 2);
    expect_refused(NULL, MOHVIT_ERROR_ARGUMENT, "--key: \"\", ema");
    expect_model("", 7);
    expect_model("ema", 8);
}

static void a_set_that_does_not_fit_is_no_choice(void **state)
{
    (void)state;
    const part parts[] = {{"model.", "", NULL, 7}, {"old.", "", "block4.0.mlp.fc2", 8}};
    write_parts(&small, true, parts, 2);
    expect_model(NULL, 7);
    assert_non_null(strstr(warning, "old."));
    const part beside[] = {{"", "", NULL, 7}, {"part.", "patch_embed", NULL, 8}};
    write_parts(&small, true, beside, 2);
    expect_model(NULL, 7);
}

static void more_sets_than_are_told_apart_are_refused(void **state)
{
    (void)state;
    part parts[65];
    char prefixes[65][16];
    for (size_t i = 0; i < 65; i++) {
        snprintf(prefixes[i], sizeof prefixes[i], "m%zu.", i);
        parts[i] = (part){prefixes[i], "patch_embed1.proj.weight", NULL, 1};
    }
    write_parts(&small, true, parts, 65);
    expect_refused(NULL, MOHVIT_ERROR_LIMIT, "more than 64 models");
    write_parts(&small, true, parts, 64);
    expect_refused(NULL, MOHVIT_ERROR_MISMATCH, "patch_embed1.proj.bias is missing");
}

/* ---- None ------------------------------------------------------------------------------------ */

static void where_nothing_fits_what_was_found_and_the_nearest_name_are_told(void **state)
{
    (void)state;
    const part parts[] = {{"", "", "block3.0.norm1.weight", 7}, {"x_", "block3.0.norm1.weight", NULL, 7}};
    write_parts(&small, true, parts, 2);
    expect_refused(
        NULL, MOHVIT_ERROR_MISMATCH,
        "block3.0.norm1.weight is missing; config \"custom\" has it as (24,); found "
        "x_block3.0.norm1.weight, which config \"custom\" does not have: the nearest that it lacks is "
        "block3.0.norm1.weight");
    write_parts(&small, true, &(part){"encoder_", "", NULL, 7}, 1);
    expect_refused(
        NULL, MOHVIT_ERROR_MISMATCH,
        "found encoder_patch_embed1.proj.weight, which config \"custom\" does not have: the nearest that it "
        "lacks is patch_embed1.proj.weight");
    write_parts(&small, false, &(part){"encoder_", "", NULL, 7}, 1);
    expect_refused(
        NULL, MOHVIT_ERROR_MISMATCH,
        "those of no published variant; give a config file; found encoder_patch_embed1.proj.weight");
}

static void a_model_without_a_head_says_so(void **state)
{
    (void)state;
    config micro;
    assert_true(config_variant(&micro, "transnext_micro"));
    for (int known = 0; known < 2; known++) {
        const config *c = known ? &small : &micro;
        write_parts(c, known, &(part){"backbone.", "", "head.", 7}, 1);
        expect_refused(NULL, MOHVIT_ERROR_MISMATCH, "a backbone without its head");
        write_parts(c, known, &(part){"", "", "head.", 7}, 1);
        expect_refused(NULL, MOHVIT_ERROR_MISMATCH, "has no head.weight");
    }
    const part parts[] = {{"", "", "head.", 7}, {"cls_", "head.", NULL, 7}};
    write_parts(&small, true, parts, 2);
    expect_refused(NULL, MOHVIT_ERROR_MISMATCH,
                   "found cls_head.weight, which config \"custom\" does not have: the nearest that it lacks "
                   "is head.weight");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prefix_of_all_names_is_taken_off_with_a_note),
        cmocka_unit_test(a_prefix_is_found_without_a_config),
        cmocka_unit_test(a_wrapped_backbone_beside_a_head_is_one_model),
        cmocka_unit_test(several_sets_that_fit_are_for_the_key_to_choose_among),
        cmocka_unit_test(a_set_that_does_not_fit_is_no_choice),
        cmocka_unit_test(more_sets_than_are_told_apart_are_refused),
        cmocka_unit_test(where_nothing_fits_what_was_found_and_the_nearest_name_are_told),
        cmocka_unit_test(a_model_without_a_head_says_so),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

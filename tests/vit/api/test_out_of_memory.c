/* Every allocation on the way from a checkpoint and a picture to an answer fails once, and then for good from
 * there on. Each time the call says that memory ran out or answers as ever (where a library knows a way
 * without), leaves nothing behind, and what was open goes on working. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/mohvit.h"
#include "tests/imgio/folder_testing.h"
#include "tests/imgio/picture_writing.h"
#include "tests/vit/api/scarce.h"

#include <dirent.h>

#define PTH GOLDEN_DIR "/pth/"

/* What is to be done, and what came of it. */
typedef struct work {
    mohvit_status (*run)(struct work *, mohvit_error *);
    const char *model, *picture;
    mohvit_options options;
    mohvit_context *ctx;
    float logits[10];
} work;

static mohvit_status classify(work *w, mohvit_context *ctx, mohvit_error *err)
{
    mohvit_prediction top[3];
    const mohvit_image_options turned = {.size = sizeof turned, .exif_orientation = 1};
    mohvit_set_image_options(ctx, &turned, NULL);
    mohvit_status status = mohvit_classify_file(ctx, w->picture, top, 3, err);
    if (!status)
        memcpy(w->logits, mohvit_logits(ctx, 0), 5 * sizeof *w->logits);
    return status;
}

/* A picture in a context that stays. */
static mohvit_status do_picture(work *w, mohvit_error *err)
{
    return classify(w, w->ctx, err);
}

static mohvit_status reopen(const mohvit_head_load *load, mohvit_error *err)
{
    void *saved = NULL;
    size_t size = 0;
    mohvit_head_load *back = NULL;
    mohvit_status status = mohvit_head_load_save_memory(load, &saved, &size, err);
    if (!status)
        status = mohvit_head_load_open_memory(&back, saved, size, err);
    mohvit_head_load_destroy(back);
    free(saved);
    return status;
}

/* From the checkpoint to the picture's head load in memory and, last, in a file. */
static mohvit_status do_all(work *w, mohvit_error *err)
{
    mohvit_model *m = NULL, *rerouted = NULL, *dropped = NULL;
    mohvit_context *ctx = NULL;
    mohvit_head_load *load = NULL;
    mohvit_status status = mohvit_open(&m, w->model, &w->options, err);
    if (!status)
        status = mohvit_reroute(&rerouted, m, NULL, err);
    if (!status)
        status = mohvit_drop_heads(&dropped, rerouted, "4.0:r1 shared", 1, err);
    if (!status)
        status = mohvit_context_create(&ctx, dropped, 1, 1, err);
    if (!status)
        status = mohvit_record_gates(ctx, 1, err);
    if (!status)
        status = mohvit_record_outputs(ctx, 1, err);
    if (!status)
        status = mohvit_set_routed_heads(ctx, "100%", err);
    if (!status)
        status = mohvit_set_routed_heads(ctx, NULL, err);
    if (!status)
        status = classify(w, ctx, err);
    if (!status)
        status = mohvit_head_load_create_of_context(&load, ctx, err);
    if (!status)
        status = mohvit_head_load_add(load, ctx, 0, 1, err);
    if (!status)
        status = reopen(load, err);
    if (!status)
        status = mohvit_head_load_save(load, "load.safetensors", err);
    mohvit_head_load_destroy(load);
    mohvit_context_destroy(ctx);
    mohvit_close(dropped);
    mohvit_close(rerouted);
    mohvit_close(m);
    return status;
}

/* ---- One allocation after the other ---------------------------------------------------------------- */

static size_t entries(const char *path)
{
    size_t count = 0;
    DIR *d = opendir(path);
    assert_non_null(d);
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

static void check_message(mohvit_status status, const mohvit_error *err, size_t n)
{
    if (status != MOHVIT_ERROR_MEMORY)
        fail_msg("allocation %zu: status %d, \"%s\"; expected that there was no memory", n, (int)status,
                 status ? err->message : "");
    assert_int_equal(err->status, status);
    assert_true(*err->message);
}

/* Fails allocation 1, 2, … of w->run until it has no more, each alone or with all that follow. */
static void starve(const char *name, work *w, bool lasting)
{
    mohvit_error err = {0};
    expect_ok(w->run(w, &err), &err); // what is made once for a process is made here
    const work expected = *w;
    size_t files = entries("/proc/self/fd"), without = 0, n;
    bool reached = true;
    for (n = 1; reached; n++) {
        unlink("load.safetensors");
        size_t here = entries(".");
        memset(w->logits, 0, sizeof w->logits);
        err = (mohvit_error){0};
        scarce_begin(n, lasting);
        mohvit_status status = w->run(w, &err);
        reached = scarce_end() >= n;
        if (status)
            check_message(status, &err, n);
        else
            assert_memory_equal(w->logits, expected.logits, sizeof w->logits);
        without += reached && !status;
        assert_int_equal(entries("/proc/self/fd"), files);
        if (status)
            assert_int_equal(entries("."), here);
    }
    unlink("load.safetensors");
    expect_ok(w->run(w, &err), &err); // after all that
    assert_memory_equal(w->logits, expected.logits, sizeof w->logits);
    print_message("  %s: %zu allocations%s; %zu times it was done without\n", name, n - 2,
                  lasting ? " and all after" : "", without);
    assert_true(n > 5);
}

static void starve_both_ways(const char *name, work *w)
{
    starve(name, w, false);
    starve(name, w, true);
}

/* ---- Pictures -------------------------------------------------------------------------------------- */

static const mohvit_options golden_options = {
    .size = sizeof golden_options, .config = PTH "config.json", .threads = 1};

/* No lossless WebP: the decoder of libwebp 1.2.4 reads through NULL where it finds no memory. */
static void write_pictures(void)
{
    uint8_t pixels[W * H * 3];
    fill_smooth(pixels, 3);
    blob exif = exif_of(6, false), app1 = {0};
    blob_add(&app1, "Exif\0", 6);
    blob_add(&app1, exif.data, exif.size);
    const jpeg_kind baseline = {.in = JCS_RGB, .stored = JCS_YCbCr, .h_samples = 2, .v_samples = 2},
                    progressive = {.in = JCS_RGB,
                                   .stored = JCS_YCbCr,
                                   .h_samples = 2,
                                   .v_samples = 2,
                                   .progressive = true},
                    cmyk = {.in = JCS_CMYK, .stored = JCS_CMYK};
    uint8_t inks[W * H * 4];
    fill_smooth(inks, 4);
    const struct {
        const char *name;
        blob file;
    } pictures[] = {
        {"baseline.jpg", jpeg_encode(&baseline, pixels, W, H, &app1)},
        {"progressive.jpg", jpeg_encode(&progressive, pixels, W, H, NULL)},
        {"cmyk.jpg", jpeg_encode(&cmyk, inks, W, H, NULL)},
        {"turned.png", png_rgb(pixels, W, H, 1, &exif)},
        {"lossy.webp", webp_encode(WEBP_LOSSY, pixels, W, H)},
        {"turned.webp", webp_with_exif(WEBP_LOSSY, 6, pixels, W, H)},
    };
    for (size_t i = 0; i < sizeof pictures / sizeof *pictures; i++) {
        write_file(pictures[i].name, pictures[i].file.data, pictures[i].file.size);
        free(pictures[i].file.data);
    }
    free(exif.data);
    free(app1.data);
}

static void pictures_need_memory_and_say_so(void **state)
{
    (void)state;
    static const char *const names[] = {"baseline.jpg", "progressive.jpg", "cmyk.jpg",
                                        "turned.png",   "lossy.webp",      "turned.webp"};
    mohvit_model *m;
    mohvit_error err;
    work w = {.run = do_picture};
    expect_ok(mohvit_open(&m, PTH "plain.pth", &golden_options, &err), &err);
    expect_ok(mohvit_context_create(&w.ctx, m, 1, 1, &err), &err);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        w.picture = names[i];
        starve_both_ways(names[i], &w);
    }
    mohvit_context_destroy(w.ctx);
    mohvit_close(m);
}

/* ---- Checkpoints ----------------------------------------------------------------------------------- */

static void checkpoints_need_memory_and_say_so(void **state)
{
    (void)state;
    // Each of its ways for one of two: they have so many.
    starve("strided.pth", &(work){do_all, PTH "strided.pth", "baseline.jpg", .options = golden_options},
           false);
    starve("half.pth", &(work){do_all, PTH "half.pth", "baseline.jpg", .options = golden_options}, true);
}

static void the_model_that_is_built_in_needs_memory_and_says_so(void **state)
{
    (void)state;
    write_text("labels.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
    write_text("preprocess.json", "{\"mean\": [0, 0, 0], \"std\": [1, 1, 1]}");
    work alone = {do_all, NULL, "turned.png", .options = {.size = sizeof alone.options, .threads = 1}},
         described = alone;
    described.options.labels = "labels.txt";
    described.options.preprocess = "preprocess.json";
    starve_both_ways("built in", &alone);
    starve_both_ways("with files beside it", &described);
}

static int enter(void **state)
{
    if (enter_folder(state))
        return -1;
    write_pictures();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_need_memory_and_say_so),
        cmocka_unit_test(checkpoints_need_memory_and_say_so),
        cmocka_unit_test(the_model_that_is_built_in_needs_memory_and_says_so),
    };
    return cmocka_run_group_tests(tests, enter, leave_folder);
}

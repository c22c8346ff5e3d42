/* From pixels to the network's input (imgio/preprocess): the golden crops of Pillow and torchvision, and a
 * slow resampler in double precision that is easy to believe. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "imgio/image.h"
#include "imgio/preprocess.h"
#include "imgio/stb_resize.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

/* ---- Helpers --------------------------------------------------------------------------------- */

/* Waves with noise on them: smooth parts, edges, and values that clamp. */
static uint8_t *picture(size_t width, size_t height)
{
    uint8_t *rgb = malloc(width * height * 3);
    assert_non_null(rgb);
    uint32_t seed = (uint32_t)(width * 7919 + height);
    for (size_t i = 0; i < width * height * 3; i++) {
        seed = seed * 1664525 + 1013904223;
        int x = (int)(i / 3 % width), y = (int)(i / 3 / width), c = (int)(i % 3);
        int value = abs(x * 7 % 512 - 256) + abs((y + 9 * c) * 5 % 400 - 200) + (int)(seed >> 26) - 140;
        rgb[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
    return rgb;
}

typedef struct difference {
    size_t values, differ, by_more_than_1;
} difference;

static difference compare(const uint8_t *a, const uint8_t *b, size_t count)
{
    difference d = {.values = count};
    for (size_t i = 0; i < count; i++) {
        int delta = abs(a[i] - b[i]);
        d.differ += delta > 0;
        d.by_more_than_1 += delta > 1;
    }
    return d;
}

static double percent(size_t part, size_t whole)
{
    return 100.0 * (double)part / (double)whole;
}

static uint8_t *crop_of(const preprocess *p, const uint8_t *rgb, size_t width, size_t height, size_t size)
{
    uint8_t *crop = malloc(size * size * 3);
    assert_non_null(crop);
    mohvit_error err = {0};
    if (preprocess_crop(p, rgb, width, height, width * 3, size, crop, &err))
        fail_msg("%zu x %zu at %zu: %s", width, height, size, err.message);
    return crop;
}

/* ---- Golden crops ---------------------------------------------------------------------------- */

static void open_picture(image *img, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, GOLDEN_DIR "/images/%s", name);
    mohvit_error err = {0};
    if (image_read(img, path, NULL, false, &err))
        fail_msg("%s", err.message);
}

static void check_golden(const char *expected_name, const char *source_name, size_t size, double *worst)
{
    image source, expected;
    open_picture(&source, source_name);
    open_picture(&expected, expected_name);
    assert_int_equal(expected.width, size);
    assert_int_equal(expected.height, size);
    uint8_t *crop = crop_of(&preprocess_default, source.rgb, source.width, source.height, size);
    difference d = compare(crop, expected.rgb, size * size * 3);
    double differ = percent(d.differ, d.values), far = percent(d.by_more_than_1, d.values);
    print_message("  %-44s %.4f %% differ, %.4f %% by more than 1\n", expected_name, differ, far);
    assert_true(differ <= (size < 384 ? 0.1 : 0.5));
    assert_true(far <= (size < 384 ? 0.0 : 0.01));
    *worst = fmax(*worst, differ);
    free(crop);
    image_free(&source);
    image_free(&expected);
}

static void golden_crops_equal_pillow(void **state)
{
    (void)state;
    json_error_t where;
    json_t *list = json_load_file(GOLDEN_DIR "/images/expected.json", 0, &where);
    assert_non_null(list);
    assert_true(json_object_size(list) > 10);
    double worst = 0;
    const char *name;
    json_t *entry;
    json_object_foreach(list, name, entry)
    {
        const char *source = json_string_value(json_object_get(entry, "source"));
        assert_non_null(source);
#ifndef MOHVIT_HEIF
        if (strstr(source, ".heic") || strstr(source, ".avif"))
            continue;
#endif
        check_golden(name, source, (size_t)json_integer_value(json_object_get(entry, "size")), &worst);
    }
    print_message("  worst: %.4f %% of the values differ\n", worst);
    json_decref(list);
}

/* ---- Against a full resize by the same library ----------------------------------------------- */

/* The plain way: the whole picture to RGBA, both calls in full, then the crop (which must lie inside). */
static uint8_t *full_resize_and_crop(const uint8_t *rgb, size_t w, size_t h, size_t new_w, size_t new_h,
                                     size_t left, size_t top, size_t size, resize_filter filter)
{
    uint8_t *in = malloc(w * h * 4), *wide = malloc(new_w * h * 4), *out = malloc(new_w * new_h * 4);
    uint8_t *crop = malloc(size * size * 3);
    assert_true(in && wide && out && crop);
    for (size_t i = 0; i < w * h * 4; i++)
        in[i] = i % 4 == 3 ? 255 : rgb[i / 4 * 3 + i % 4];
    const stb_axis width_axis = {(int)w, (int)new_w, (float)new_w / (float)w, 0};
    const stb_axis height_axis = {(int)h, (int)new_h, (float)new_h / (float)h, 0};
    assert_true(stb_resize(in, width_axis, (stb_axis){(int)h, (int)h, 1, 0}, filter, wide));
    for (size_t i = 3; i < new_w * h * 4; i += 4)
        wide[i] = 255;
    assert_true(stb_resize(wide, (stb_axis){(int)new_w, (int)new_w, 1, 0}, height_axis, filter, out));
    for (size_t i = 0; i < size * size * 3; i++) {
        size_t x = left + i / 3 % size, y = top + i / 3 / size;
        crop[i] = out[(y * new_w + x) * 4 + i % 3];
    }
    free(in);
    free(wide);
    free(out);
    return crop;
}

static void crop_is_bitwise_that_of_the_full_resize(void **state)
{
    (void)state;
    static const struct {
        size_t w, h, size, new_w, new_h, left, top;
    } cases[] = {
        {500, 375, 224, 341, 256, 58, 16}, {375, 500, 224, 256, 341, 16, 58},
        {451, 300, 64, 109, 73, 22, 4},    {256, 256, 224, 256, 256, 16, 16},
        {97, 131, 96, 109, 147, 6, 26},    {33, 40, 160, 182, 220, 11, 30},
        {7, 5, 64, 102, 73, 19, 4},        {1, 1, 64, 73, 73, 4, 4},
        {1201, 900, 96, 145, 109, 24, 6},  {300, 451, 384, 384, 384, 0, 0},
        {1100, 90, 384, 384, 384, 0, 0},
#ifndef SANITIZED
        {1, 23000, 384, 384, 384, 0, 0}, /* so tall that its columns are done in two blocks */
#endif
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int f = RESIZE_BICUBIC; f <= RESIZE_BILINEAR; f++) {
            preprocess p = preprocess_default;
            p.filter = (resize_filter)f;
            uint8_t *rgb = picture(cases[i].w, cases[i].h);
            uint8_t *crop = crop_of(&p, rgb, cases[i].w, cases[i].h, cases[i].size);
            uint8_t *full = full_resize_and_crop(rgb, cases[i].w, cases[i].h, cases[i].new_w, cases[i].new_h,
                                                 cases[i].left, cases[i].top, cases[i].size, p.filter);
            difference d = compare(crop, full, cases[i].size * cases[i].size * 3);
            if (d.differ)
                fail_msg("%zu x %zu at %zu: %zu values differ", cases[i].w, cases[i].h, cases[i].size,
                         d.differ);
            free(rgb);
            free(crop);
            free(full);
        }
    }
}

/* ---- Against a slow resampler in double precision -------------------------------------------- */

static double kernel_weight(resize_filter filter, double x)
{
    x = fabs(x);
    if (filter == RESIZE_BILINEAR)
        return x < 1 ? 1 - x : 0;
    if (x < 1)
        return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/* Source pixels [first, end) around output pixel j, their weights, and the sum of these. */
typedef struct taps {
    size_t first, end;
    double weight[4096], sum;
} taps;

static void taps_fill(taps *t, size_t old, double resized, double j, resize_filter filter)
{
    double scale = (double)old / resized, stretch = fmax(1, scale), centre = (j + 0.5) * scale;
    double support = (filter == RESIZE_BILINEAR ? 1 : 2) * stretch;
    t->first = (size_t)fmax(0, floor(centre - support));
    t->end = (size_t)fmin((double)old, ceil(centre + support));
    assert_true(t->end - t->first <= sizeof t->weight / sizeof *t->weight);
    t->sum = 0;
    for (size_t i = t->first; i < t->end; i++)
        t->sum += t->weight[i - t->first] = kernel_weight(filter, ((double)i + 0.5 - centre) / stretch);
}

static uint8_t taps_apply(const taps *t, const uint8_t *pixels, size_t step)
{
    double sum = 0;
    for (size_t i = t->first; i < t->end; i++)
        sum += t->weight[i - t->first] * pixels[i * step];
    return (uint8_t)fmin(255, fmax(0, floor(sum / t->sum + 0.5)));
}

/* What spec 4 says, one pixel at a time: resize to (new_w, new_h), take (size, size) from (left, top); a
 * negative start is padding. */
static uint8_t *slow_crop(const uint8_t *rgb, size_t w, size_t h, double new_w, double new_h, double left,
                          double top, size_t size, resize_filter filter)
{
    uint8_t *wide = calloc(h * size, 3), *crop = calloc(size * size, 3);
    taps *t = malloc(sizeof *t);
    assert_true(wide && crop && t);
    taps_fill(t, h, new_h, fmax(0, top), filter);
    size_t first_row = t->first;
    taps_fill(t, h, new_h, fmin(new_h, top + (double)size) - 1, filter);
    size_t end_row = t->end;
    for (size_t x = 0; x < size; x++) {
        if (left + (double)x < 0 || left + (double)x >= new_w)
            continue;
        taps_fill(t, w, new_w, left + (double)x, filter);
        for (size_t y = first_row; y < end_row; y++)
            for (size_t c = 0; c < 3; c++)
                wide[(y * size + x) * 3 + c] = taps_apply(t, rgb + y * w * 3 + c, 3);
    }
    for (size_t y = 0; y < size; y++) {
        if (top + (double)y < 0 || top + (double)y >= new_h)
            continue;
        taps_fill(t, h, new_h, top + (double)y, filter);
        for (size_t i = 0; i < size * 3; i++)
            crop[y * size * 3 + i] = taps_apply(t, wide + i, size * 3);
    }
    free(t);
    free(wide);
    return crop;
}

typedef struct slow_case {
    double crop_pct;
    size_t w, h, size;
    double new_w, new_h, left, top;
} slow_case;

static void check_against_slow(const slow_case *s, resize_filter filter)
{
    preprocess p = preprocess_default;
    p.crop_pct = s->crop_pct;
    p.filter = filter;
    uint8_t *rgb = picture(s->w, s->h);
    uint8_t *crop = crop_of(&p, rgb, s->w, s->h, s->size);
    uint8_t *slow = slow_crop(rgb, s->w, s->h, s->new_w, s->new_h, s->left, s->top, s->size, filter);
    difference d = compare(crop, slow, s->size * s->size * 3);
    print_message("  %5zu x %-5zu at %-3zu crop_pct %.3f %s: %.4f %% differ\n", s->w, s->h, s->size,
                  s->crop_pct, filter == RESIZE_BICUBIC ? "bicubic " : "bilinear",
                  percent(d.differ, d.values));
    assert_int_equal(d.by_more_than_1, 0);
    /* Bilinear weights are short fractions, so exact halves are common, and rounding them is a matter of
     * taste. */
    assert_true(percent(d.differ, d.values) <= (filter == RESIZE_BICUBIC ? 0.1 : 1));
    free(rgb);
    free(crop);
    free(slow);
}

static void crop_geometry_is_that_of_torchvision(void **state)
{
    (void)state;
    static const slow_case cases[] = {
        {0, 500, 375, 224, 341, 256, 58, 16}, /* (341 - 224) / 2 = 58.5, to the even 58 */
        {0, 376, 500, 224, 256, 340, 16, 58},
        {0, 400, 260, 256, 449, 292, 96, 18}, /* ⌊292.57⌋; 96.5 -> 96 */
        {0, 200, 150, 320, 486, 365, 83, 22}, /* ⌊365.71⌋; 22.5 -> 22 */
        {0, 301, 299, 384, 384, 384, 0, 0},   /* no crop from 384 up */
        {1, 200, 150, 384, 512, 384, 64, 0},  /* but with crop_pct there is */
        {0.9, 300, 200, 224, 372, 248, 74, 12},
        {0.95, 90, 160, 96, 101, 179, 2, 42},   /* 2.5 -> 2, 41.5 -> 42 */
        {0.96, 320, 300, 288, 320, 300, 16, 6}, /* 288/0.96 is 300 in double */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int f = RESIZE_BICUBIC; f <= RESIZE_BILINEAR; f++)
            check_against_slow(&cases[i], (resize_filter)f);
}

static void picture_smaller_than_the_crop_is_padded_with_black(void **state)
{
    (void)state;
    static const slow_case cases[] = {
        {1.5, 90, 90, 64, 42, 42, -11, -11},
        {2, 200, 100, 65, 64, 32, 0, -16}, /* 33 rows: 16 before, 17 after; one column: 0 before, 1 after */
        {3, 50, 200, 64, 21, 84, -21, 10},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_against_slow(&cases[i], RESIZE_BICUBIC);
}

static void long_pictures_keep_their_precision(void **state)
{
    (void)state;
    static const slow_case cases[] = {
        {0, 33, 400, 224, 256, 3103, 16, 1440}, /* (3103 - 224)/2 = 1439.5 */
        {0, 4000, 30, 96, 14533, 109, 7218, 6},        {0, 30, 4000, 96, 109, 14533, 6, 7218},
        {0, 60000, 1, 64, 4380000, 73, 2189968, 4},    {0, 1, 60000, 64, 73, 4380000, 4, 2189968},
        {0, 65535, 2, 224, 8388480, 256, 4194128, 16}, {0, 6000, 100, 64, 4380, 73, 2158, 4},
        {0, 100, 6000, 64, 73, 4380, 4, 2158},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int f = RESIZE_BICUBIC; f <= RESIZE_BILINEAR; f++)
            check_against_slow(&cases[i], (resize_filter)f);
}

/* ---- Cost and limits ------------------------------------------------------------------------- */

static void crop_in_child(size_t width, size_t height, size_t size)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        free(crop_of(&preprocess_default, picture(width, height), width, height, size));
        _exit(0);
    }
    int status;
    struct rusage use;
    assert_int_equal(wait4(child, &status, 0, &use), child);
    assert_int_equal(status, 0);
    print_message("  %zu x %zu at %zu: peak %ld MiB, %.2f s\n", width, height, size, use.ru_maxrss / 1024,
                  (double)use.ru_utime.tv_sec + (double)use.ru_utime.tv_usec / 1e6);
#ifndef SANITIZED
    assert_true(use.ru_maxrss < 100 * 1024);
#endif
}

static void long_pictures_take_little_memory(void **state)
{
    (void)state;
    crop_in_child(60000, 1, 224);
    crop_in_child(1, 60000, 224);
#ifndef SANITIZED /* which would take it half a minute */
    crop_in_child(1, 60000, 384);
#endif
}

static void odd_sizes_are_memory_safe(void **state)
{
    (void)state;
    uint32_t seed = 1;
    preprocess p = preprocess_default;
    for (int i = 0; i < 300; i++) {
        uint32_t r[5];
        for (size_t k = 0; k < 5; k++)
            r[k] = (seed = seed * 1664525 + 1013904223) >> 8;
        size_t width = 1 + r[0] % (r[4] % 3 ? 90 : 3000), height = 1 + r[1] % (width > 90 ? 20 : 600);
        size_t size = 1 + r[2] % (r[3] % 8 ? 70 : 400);
        p.crop_pct = r[3] % 2 ? 0 : 0.25 + (double)(r[3] % 100) / 100;
        if (floor((double)size / (p.crop_pct > 0 ? p.crop_pct : 0.875)) < 1)
            continue;
        p.filter = r[3] % 3 ? RESIZE_BICUBIC : RESIZE_BILINEAR;
        uint8_t *rgb = picture(width, height);
        free(crop_of(&p, rgb, width, height, size));
        free(rgb);
    }
}

static void rows_may_lie_apart(void **state)
{
    (void)state;
    enum { W = 50, H = 40, STRIDE = W * 3 + 17, S = 32 };
    uint8_t *rgb = picture(W, H), *apart = malloc(H * STRIDE), *crop = malloc(S * S * 3);
    assert_true(rgb && apart && crop);
    memset(apart, 0xee, H * STRIDE);
    for (size_t y = 0; y < H; y++)
        memcpy(apart + y * STRIDE, rgb + y * W * 3, W * 3);
    assert_int_equal(preprocess_crop(&preprocess_default, apart, W, H, STRIDE, S, crop, NULL), MOHVIT_OK);
    uint8_t *dense = crop_of(&preprocess_default, rgb, W, H, S);
    assert_memory_equal(crop, dense, S * S * 3);
    free(rgb);
    free(apart);
    free(crop);
    free(dense);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t width, height, stride, size;
        double crop_pct;
    } cases[] = {
        {0, 1, 0, 64, 0},        {1, 0, 3, 64, 0},    {65536, 1, 65536 * 3, 64, 0},
        {1, 1, 2, 64, 0},        {1, 1, 3, 0, 0},     {1, 1, 3, SIZE_MAX, 0},
        {1, 1, 3, 4097, 0},      {1, 1, 3, 64, 1e-9}, {SIZE_MAX, 1, 0, 64, 0},
        {1, SIZE_MAX, 3, 64, 0}, {1, 1, 3, 2, 4},
    };
    uint8_t pixel[3] = {0}, crop[64 * 64 * 3];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        preprocess p = preprocess_default;
        p.crop_pct = cases[i].crop_pct;
        mohvit_error err = {0};
        assert_int_not_equal(preprocess_crop(&p, pixel, cases[i].width, cases[i].height, cases[i].stride,
                                             cases[i].size, crop, &err),
                             MOHVIT_OK);
        assert_true(strlen(err.message) > 0);
    }
}

/* ---- Normalising and JSON -------------------------------------------------------------------- */

static void normalises_as_float_arithmetic_does(void **state)
{
    (void)state;
    enum { S = 16 };
    uint8_t crop[S * S * 3];
    float tensor[S * S * 3];
    for (size_t i = 0; i < sizeof crop; i++)
        crop[i] = (uint8_t)(i / 3);
    preprocess_normalise(&preprocess_default, crop, S, tensor);
    for (size_t i = 0; i < sizeof crop; i++) {
        volatile float x = (float)crop[i] / 255.0f; /* volatile: each step rounded to float */
        x = x - preprocess_default.mean[i % 3];
        x = x / preprocess_default.std[i % 3];
        assert_true(tensor[i] == x);
    }
}

static mohvit_status parse(preprocess *p, const char *json, mohvit_error *err)
{
    return preprocess_from_json(p, json, strlen(json), "p.json", err);
}

static void json_keys_replace_the_defaults(void **state)
{
    (void)state;
    preprocess p;
    assert_int_equal(parse(&p, "{}", NULL), MOHVIT_OK);
    assert_true(p.crop_pct == 0 && p.mean[0] == 0.485f && p.std[2] == 0.225f && p.filter == RESIZE_BICUBIC);
    assert_int_equal(parse(&p,
                           "{\"crop_pct\": 0.9, \"mean\": [0, 0.5, 1], \"std\": [1, 2, 0.25],"
                           " \"interpolation\": \"bilinear\"}",
                           NULL),
                     MOHVIT_OK);
    assert_true(p.crop_pct == 0.9 && p.mean[1] == 0.5f && p.std[1] == 2 && p.filter == RESIZE_BILINEAR);
}

static void bad_json_is_refused_with_file_and_key(void **state)
{
    (void)state;
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"", "line"},
        {"{\"mean\": [0.5, 0.5, 0.5]", "line 1"},
        {"[1]", "object"},
        {"{\"crop\": 1}", "\"crop\""},
        {"{\"crop_pct\": 0}", "\"crop_pct\""},
        {"{\"crop_pct\": -1}", "\"crop_pct\""},
        {"{\"crop_pct\": 4.5}", "\"crop_pct\""},
        {"{\"crop_pct\": \"0.9\"}", "\"crop_pct\""},
        {"{\"crop_pct\": null}", "\"crop_pct\""},
        {"{\"mean\": [0.5, 0.5]}", "\"mean\""},
        {"{\"mean\": [0.5, 0.5, 0.5, 0.5]}", "\"mean\""},
        {"{\"mean\": 0.5}", "\"mean\""},
        {"{\"mean\": [0.5, 0.5, \"x\"]}", "\"mean\""},
        {"{\"mean\": [1e300, 0, 0]}", "\"mean\""},
        {"{\"std\": [0.5, 0, 0.5]}", "\"std\""},
        {"{\"std\": [0.5, 1e-300, 0.5]}", "\"std\""},
        {"{\"interpolation\": \"lanczos\"}", "\"interpolation\""},
        {"{\"interpolation\": 3}", "\"interpolation\""},
        {"{\"mean\": [0, 0, 0], \"mean\": [1, 1, 1]}", "line 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        preprocess p = {.crop_pct = 7};
        mohvit_error err = {0};
        assert_int_equal(parse(&p, cases[i].json, &err), MOHVIT_ERROR_FORMAT);
        assert_non_null(strstr(err.message, "p.json"));
        if (!strstr(err.message, cases[i].says))
            fail_msg("%s: %s", cases[i].json, err.message);
        assert_true(p.crop_pct == 7);
    }
}

static void json_reads_back_to_the_same_values(void **state)
{
    (void)state;
    const preprocess cases[] = {
        preprocess_default,
        {0.875, {0.5f, 0.25f, 0}, {0.5f, 1, 3}, RESIZE_BILINEAR},
        {1.0 / 3,
         {0.1f + 0.2f, nextafterf(0.485f, 1), 1e-30f},
         {1e-20f, 3.4e38f, nextafterf(1, 0)},
         RESIZE_BICUBIC},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *json = preprocess_to_json(&cases[i]);
        assert_non_null(json);
        preprocess back;
        assert_int_equal(parse(&back, json, NULL), MOHVIT_OK);
        assert_true(back.crop_pct == cases[i].crop_pct && back.filter == cases[i].filter);
        assert_memory_equal(back.mean, cases[i].mean, sizeof back.mean);
        assert_memory_equal(back.std, cases[i].std, sizeof back.std);
        free(json);
    }
    char *json = preprocess_to_json(&preprocess_default);
    assert_non_null(strstr(json, "0.485,"));
    free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_crops_equal_pillow),
        cmocka_unit_test(crop_is_bitwise_that_of_the_full_resize),
        cmocka_unit_test(crop_geometry_is_that_of_torchvision),
        cmocka_unit_test(picture_smaller_than_the_crop_is_padded_with_black),
        cmocka_unit_test(long_pictures_keep_their_precision),
        cmocka_unit_test(long_pictures_take_little_memory),
        cmocka_unit_test(odd_sizes_are_memory_safe),
        cmocka_unit_test(rows_may_lie_apart),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(normalises_as_float_arithmetic_does),
        cmocka_unit_test(json_keys_replace_the_defaults),
        cmocka_unit_test(bad_json_is_refused_with_file_and_key),
        cmocka_unit_test(json_reads_back_to_the_same_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

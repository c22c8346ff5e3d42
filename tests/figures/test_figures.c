/* Figures: bars are as high as the loads, read back from the SVG that is written; pictures look as the stored
 * ones do; what a head sees of a picture, pixel by pixel. UPDATE_FIGURES=1 stores the pictures anew. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/api/internal.h"
#include "tools/figures/figure.h"
#include "vit/headload/head_load_statistics.h"
#include "tests/vit/headload/head_load_testing.h"
#include "imgio/image.h"
#include "tools/figures/route_picture.h"
#include "tests/weights/weights_testing.h"

#include <math.h>

#define WIDTH (88 * 72 / 25.4)

static char scratch_dir[64];
static head_load *load;

static int setup(void **state)
{
    (void)state;
    mohvit_model *m;
    enter_scratch(scratch_dir);
    assert_int_equal(mohvit_open(&m, NULL, NULL, NULL), MOHVIT_OK);
    load = made_head_load(&mohvit_describe(m)->config, &mohvit_describe(m)->labels, 3);
    assert_non_null(load);
    mohvit_close(m);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    head_load_destroy(load);
    leave_scratch(scratch_dir);
    return 0;
}

static figure last_block(const size_t *classes, size_t count, bool with_shared)
{
    return (figure){
        load, routing_layout_last_routed(&load->routing), classes, count, with_shared, WIDTH, MEASURE_LOAD};
}

static char *in_scratch(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", scratch_dir, name);
    return path;
}

// ---- Bars as numbers -------------------------------------------------------------------------------

typedef struct {
    double x, y, width, height;
} box;

/* "d="M x y L …": the corners of a filled path with four of them. */
static bool read_box(box *b, const char *path)
{
    double x[4], y[4];
    if (sscanf(path, "M %lf %lf L %lf %lf L %lf %lf L %lf %lf Z", &x[0], &y[0], &x[1], &y[1], &x[2], &y[2],
               &x[3], &y[3]) != 8)
        return false;
    *b = (box){fmin(x[0], x[2]), fmin(y[0], y[2]), fabs(x[2] - x[0]), fabs(y[2] - y[0])};
    return b->width > 0;
}

/* Every filled rectangle that stands on this line; returns how many. */
static size_t boxes_on(box *out, size_t most, const char *svg, double ground)
{
    size_t count = 0;
    for (const char *at = svg; (at = strstr(at, "<path style=\" stroke:none;")); at++) {
        const char *d = strstr(at, " d=\"");
        box b;
        if (d && read_box(&b, d + 4) && fabs(b.y + b.height - ground) < 0.01) {
            assert_true(count < most);
            out[count++] = b;
        }
    }
    return count;
}

static char *draw_svg(const figure *f)
{
    drawing d;
    mohvit_error err;
    char *path = in_scratch("figure.svg");
    expect_ok(drawing_begin(&d, path, DRAWING_SVG, f->width, figure_bars_height(f), 72, &err), &err);
    figure_bars(&d, f);
    expect_ok(drawing_finish(&d, &err), &err);
    blob b = blob_read(path);
    unlink(path);
    blob_add(&b, "", 1);
    return (char *)b.data;
}

/* Where the scale has 0, and where it has its top: the highest and the lowest grid line. */
static void read_scale(double *ground, double *top, const char *svg)
{
    *ground = 0;
    *top = INFINITY;
    for (const char *at = svg; (at = strstr(at, "stroke-width:0.5;")); at++) {
        double x0, y0, x1, y1;
        const char *d = strstr(at, " d=\"");
        if (!d || sscanf(d + 4, "M %lf %lf L %lf %lf", &x0, &y0, &x1, &y1) != 4 || fabs(y1 - y0) > 1e-6)
            continue;
        *ground = fmax(*ground, y0);
        *top = fmin(*top, y0);
    }
}

/* The lowest and the highest end of the next interval's line, behind *at; false where none follows. */
static bool next_interval(double *low, double *high, const char **at)
{
    double x, caps[2];
    if (!(*at = strstr(*at, "stroke-width:0.6;")))
        return false;
    const char *d = strstr(*at, " d=\"");
    assert_non_null(d);
    assert_int_equal(sscanf(d + 4, "M %lf %lf L %*f %*f M %*f %lf L %*f %*f M %*f %lf L %lf %lf", &x,
                            &caps[0], &caps[1], low, &x, high),
                     6);
    assert_true(caps[0] == *low && caps[1] == *high);
    *at += 1;
    return true;
}

static void check_bars(head_measure measure, bool with_shared)
{
    enum { MOST = 200 };
    const size_t classes[] = {7, 8, 3};
    figure f = last_block(classes, 3, with_shared);
    f.measure = measure;
    char *svg = draw_svg(&f);
    box boxes[MOST];
    double ground, top, most = measure == MEASURE_LOAD ? routing_balanced(f.block) : 0;
    read_scale(&ground, &top, svg);
    assert_true(ground > top);
    size_t shown = routing_candidates(f.block) + (with_shared ? f.block->shared : 0),
           first = f.block->heads - shown;
    size_t count = boxes_on(boxes, MOST, svg, ground);
    assert_int_equal(count, 3 * shown);
    interval intervals[MOST];
    double values[MOST];
    for (size_t i = 0; i < count; i++) {
        size_t c = classes[i / shown], head = i % shown + first;
        values[i] = measure_of(load, measure, c, f.block->index, head);
        intervals[i] = measure_interval(load, measure, c, f.block->index, head, interval_t(load->images[c]));
        most = fmax(fmax(most, values[i]), intervals[i].high);
    }
    double step = figure_step(most, 5), scale = step * ceil(most / step - 1e-9);
    const char *at = svg;
    for (size_t i = 0; i < count; i++) {
        double drawn = boxes[i].height / (ground - top) * scale, low, high;
        // An SVG of Cairo's has six digits.
        if (fabs(drawn - values[i]) > 2e-4 * scale)
            fail_msg("bar %zu: %g drawn, %g", i, drawn, values[i]);
        assert_true(!i || i % shown == 0 || boxes[i].x > boxes[i - 1].x + boxes[i - 1].width - 1e-6);
        if (!(intervals[i].high > intervals[i].low))
            continue;
        assert_true(next_interval(&low, &high, &at));
        assert_true(fabs((ground - low) / (ground - top) * scale - intervals[i].low) < 2e-4 * scale);
        assert_true(fabs((ground - high) / (ground - top) * scale - intervals[i].high) < 2e-4 * scale);
    }
    double low, high;
    assert_false(at && next_interval(&low, &high, &at));
    free(svg);
}

static void bars_are_as_high_as_what_they_measure(void **state)
{
    (void)state;
    for (head_measure m = MEASURE_LOAD; m <= MEASURE_GATE_SHARE; m++) {
        check_bars(m, false);
        check_bars(m, true);
    }
}

static void steps_are_round_and_few(void **state)
{
    (void)state;
    for (double span = 0.001; span < 2; span *= 1.07) {
        double step = figure_step(span, 5), digits = step / pow(10, floor(log10(step) + 1e-9));
        assert_true(span / step <= 5 + 1e-6 && span / step > 1.9);
        assert_true(fabs(digits - 1) < 1e-6 || fabs(digits - 2) < 1e-6 || fabs(digits - 2.5) < 1e-6 ||
                    fabs(digits - 5) < 1e-6);
    }
}

// ---- Looks -----------------------------------------------------------------------------------------

/* Fonts and Cairo's antialiasing differ a little between machines; a bar that is a point off does not pass.
 */
static void compare_pictures(const char *path, const char *reference)
{
    image a, b;
    mohvit_error err;
    expect_ok(image_read(&a, path, NULL, false, &err), &err);
    expect_ok(image_read(&b, reference, NULL, false, &err), &err);
    assert_int_equal(a.width, b.width);
    assert_int_equal(a.height, b.height);
    size_t count = a.width * a.height * 3, far = 0;
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        int difference = abs(a.rgb[i] - b.rgb[i]);
        sum += difference;
        far += difference > 48;
    }
    print_message("%s: %.3f mean difference of 255, %.3f %% by more than 48\n", strrchr(reference, '/') + 1,
                  sum / (double)count, 100 * (double)far / (double)count);
    assert_true(sum / (double)count <= 1);
    assert_true((double)far / (double)count <= 0.005);
    image_free(&a);
    image_free(&b);
}

static void the_ramp_ends_where_its_colours_end(void **state)
{
    (void)state;
    const double beyond[][2] = {{-0.5, 0}, {-1e9, 0}, {1.5, 1}, {1e9, 1}};
    for (size_t i = 0; i < 4; i++) {
        colour got = drawing_ramp(beyond[i][0]), end = drawing_ramp(beyond[i][1]);
        assert_memory_equal(&got, &end, sizeof got);
    }
    assert_true(drawing_ramp(0).r > drawing_ramp(1).r + 0.5);
}

/* Whose last sixty-fourth tells the ends from what is near them. */
static colour steep_end(double t)
{
    double end = t > 63.0 / 64 ? 64 * t - 63 : 0;
    return (colour){end, t, 1 - end};
}

static void a_scale_shows_all_of_its_ramp(void **state)
{
    (void)state;
    enum { LENGTH = 1280 };
    for (int upwards = 0; upwards < 2; upwards++) {
        int width = upwards ? 1 : LENGTH, height = upwards ? LENGTH : 1;
        cairo_surface_t *s = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
        cairo_t *cr = cairo_create(s);
        drawing_scale(cr, 0, 0, width, height, upwards, steep_end);
        cairo_surface_flush(s);
        for (int i = 0; i < LENGTH; i++) {
            const unsigned char *row = cairo_image_surface_get_data(s) +
                                       (upwards ? LENGTH - 1 - i : 0) * cairo_image_surface_get_stride(s);
            uint32_t pixel = ((const uint32_t *)(const void *)row)[upwards ? 0 : i];
            colour c = steep_end((i + 0.5) / LENGTH);
            assert_true(fabs(pixel % 256 - 255 * c.b) < 3);
            assert_true(fabs(pixel / 256 % 256 - 255 * c.g) < 3);
            assert_true(fabs(pixel / 65536 % 256 - 255 * c.r) < 3);
        }
        cairo_destroy(cr);
        cairo_surface_destroy(s);
    }
}

typedef void draw_function(drawing *d, const void *what);

static void check_looks(const char *name, draw_function *draw, const void *what, double width, double height)
{
    drawing d;
    mohvit_error err;
    char reference[1024], *path = in_scratch(name);
    snprintf(reference, sizeof reference, "%s/figures/%s", GOLDEN_DIR, name);
    bool update = getenv("UPDATE_FIGURES") != NULL;
    expect_ok(drawing_begin(&d, update ? reference : path, DRAWING_PNG, width, height, 120, &err), &err);
    draw(&d, what);
    expect_ok(drawing_finish(&d, &err), &err);
    if (update)
        return;
    compare_pictures(path, reference);
    unlink(path);
}

static void draw_bars_of(drawing *d, const void *f)
{
    figure_bars(d, f);
}

static void draw_heatmap_of(drawing *d, const void *f)
{
    figure_heatmap(d, f);
}

static void figures_look_as_they_did(void **state)
{
    (void)state;
    const size_t three[] = {7, 8, 3};
    size_t all[10], order[10];
    for (size_t i = 0; i < 10; i++)
        all[i] = i;
    figure f = last_block(three, 3, false);
    check_looks("bars.png", draw_bars_of, &f, f.width, figure_bars_height(&f));
    f.measure = MEASURE_GATE;
    check_looks("bars_gate.png", draw_bars_of, &f, f.width, figure_bars_height(&f));
    f = last_block(all, 10, true);
    check_looks("bars_shared.png", draw_bars_of, &f, f.width, figure_bars_height(&f));
    assert_int_equal(head_load_order(order, load, f.block->index, all, 10, NULL), MOHVIT_OK);
    f = last_block(order, 10, true);
    check_looks("heatmap.png", draw_heatmap_of, &f, f.width, figure_heatmap_height(&f));
}

static void any_number_of_classes_and_any_width_can_be_drawn(void **state)
{
    (void)state;
    enum { MANY = 3000 };
    size_t *classes = calloc(MANY, sizeof *classes);
    for (size_t i = 0; i < MANY; i++)
        classes[i] = i % 10;
    for (size_t count = 1; count <= MANY; count = count * 7 + 1) {
        for (double width = 113; width < 3000; width *= 2.5) {
            drawing d;
            mohvit_error err;
            figure f = last_block(classes, count, count % 2);
            f.width = width;
            char *path = in_scratch("any.pdf");
            expect_ok(drawing_begin(&d, path, DRAWING_PDF, width, figure_heatmap_height(&f), 72, &err), &err);
            figure_heatmap(&d, &f);
            if (count < 60)
                figure_bars(&d, &f);
            expect_ok(drawing_finish(&d, &err), &err);
            unlink(path);
        }
    }
    free(classes);
}

static void names_that_are_not_utf8_or_too_long_are_shown_as_far_as_they_can(void **state)
{
    (void)state;
    drawing d;
    mohvit_error err;
    char *path = in_scratch("names.png");
    expect_ok(drawing_begin(&d, path, DRAWING_PNG, 100, 40, 72, &err), &err);
    drawing_font(d.cr, 7, false);
    drawing_text(&d, 50, 10, 0.5, 20, "\xff\xfe not UTF-8");
    drawing_text(&d, 50, 20, 0.5, 20, "Ünïcödé that is far too long for so little room");
    drawing_text(&d, 50, 30, 0.5, 0.1, "no room at all");
    drawing_text(&d, 50, 30, 0.5, 10, "");
    expect_ok(drawing_finish(&d, &err), &err);
    unlink(path);
}

static void what_could_not_be_drawn_is_no_file(void **state)
{
    (void)state;
    drawing d;
    mohvit_error err;
    char *path = in_scratch("none.svg");
    expect_ok(drawing_begin(&d, path, DRAWING_SVG, 100, 40, 72, &err), &err);
    drawing_text(&d, 50, 10, 0.5, 20, NULL); // as where there is no memory for a title
    drawing_text(&d, 50, 20, 0.5, 20, "drawn");
    expect_error(drawing_finish(&d, &err), &err, MOHVIT_ERROR_MEMORY, "none.svg: drawing", "out of memory");
    assert_int_equal(access(path, F_OK), -1);
}

// ---- One head's picture ----------------------------------------------------------------------------

static void a_head_sees_what_it_selected(void **state)
{
    (void)state;
    enum { S = 8 };
    uint8_t crop[S * S * 3], out[S * S * 3], pick[] = {1, 0, 0, 1}; // two by two tokens, one head
    float gate[] = {2, 0, 0, 1};
    memset(crop, 200, sizeof crop);
    const routing_block b = {.heads = 1, .routed = 1};
    routes r = {.block = &b, .side = 2, .gate = gate, .pick = pick, .strong = 2};
    assert_true(fabs(route_load(&r, 0) - 0.5) < 1e-12);
    route_picture(out, crop, S, &r, 0);
    const uint8_t *strong = out, *dimmed = out + 3 * (S - 1), *weak = out + 3 * (S * S - 1);
    for (size_t y = 0; y < S; y++)
        for (size_t x = 0; x < S; x++) {
            const uint8_t *expected = x < S / 2 && y < S / 2     ? strong
                                      : x >= S / 2 && y >= S / 2 ? weak
                                                                 : dimmed;
            assert_memory_equal(out + 3 * (y * S + x), expected, 3);
        }
    assert_true(dimmed[0] == dimmed[1] && dimmed[1] == dimmed[2] && dimmed[0] < 70);
    assert_true(strong[2] < weak[2] && weak[2] < weak[0]); // the stronger, the less blue
    assert_true(strong[0] > 3 * dimmed[0] &&
                weak[0] > 3 * dimmed[0]); // dark is told from light without colour
}

static void heads_of_each_kind_are_numbered_from_one(void **state)
{
    (void)state;
    uint8_t pick[] = {1, 1, 1, 0}; // one token, four heads
    const routing_block b = {.heads = 4, .shared = 2, .routed = 1};
    const routes r = {.block = &b, .side = 1, .pick = pick};
    const char *expected[] = {"s1", "s2", "r1: 100 %", "r2: 0 %"};
    for (size_t head = 0; head < b.heads; head++) {
        char title[64];
        route_head_title(title, &r, head);
        assert_string_equal(title, expected[head]);
    }
}

static void draw_routes_of(drawing *d, const void *r)
{
    enum { S = 64 };
    uint8_t crop[S * S * 3];
    for (size_t i = 0; i < sizeof crop; i++)
        crop[i] = (uint8_t)(i / 3 % S * 4 / (1 + i % 3));
    route_figure(d, r, crop, S, WIDTH);
}

static void the_figure_of_routes_looks_as_it_did(void **state)
{
    (void)state;
    enum { SIDE = 4, HEADS = 6 };
    float gate[SIDE * SIDE * HEADS];
    uint8_t pick[SIDE * SIDE * HEADS];
    for (size_t i = 0; i < SIDE * SIDE * HEADS; i++) {
        pick[i] = i % HEADS == 0 || (i * 7 + i / HEADS) % 3 != 0;
        gate[i] = pick[i] ? 0.2f + (float)(i * 5 % 17) / 10 : 0;
    }
    const routing_block b = {.name = "3.1", .heads = HEADS, .shared = 1, .routed = 3};
    routes r = {.block = &b, .side = SIDE, .gate = gate, .pick = pick, .strong = 1.6f};
    check_looks("routes.png", draw_routes_of, &r, WIDTH, route_figure_height(&r, WIDTH));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bars_are_as_high_as_what_they_measure),
        cmocka_unit_test(steps_are_round_and_few),
        cmocka_unit_test(figures_look_as_they_did),
        cmocka_unit_test(any_number_of_classes_and_any_width_can_be_drawn),
        cmocka_unit_test(names_that_are_not_utf8_or_too_long_are_shown_as_far_as_they_can),
        cmocka_unit_test(what_could_not_be_drawn_is_no_file),
        cmocka_unit_test(a_head_sees_what_it_selected),
        cmocka_unit_test(heads_of_each_kind_are_numbered_from_one),
        cmocka_unit_test(the_figure_of_routes_looks_as_it_did),
        cmocka_unit_test(the_ramp_ends_where_its_colours_end),
        cmocka_unit_test(a_scale_shows_all_of_its_ramp),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

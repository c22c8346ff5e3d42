/* Figures: bars are as high as the loads, and cells as dark, read back from the SVG that is written; words
 * for those who cannot see them; colours for every kind of eye; pictures look as the stored ones do; what a
 * head sees of a picture, pixel by pixel. UPDATE_FIGURES=1 stores the pictures anew. */
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
    return (figure){.load = load,
                    .block = routing_layout_last_routed(&load->routing),
                    .classes = classes,
                    .count = count,
                    .with_shared = with_shared,
                    .width = WIDTH};
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

static char *draw_svg(const figure *f, const drawing_style *style)
{
    drawing d;
    mohvit_error err;
    char *path = in_scratch("figure.svg");
    expect_ok(drawing_begin(&d, path, DRAWING_SVG, style, f->width, figure_height(f), &err), &err);
    figure_draw(&d, f);
    expect_ok(drawing_finish(&d, &err), &err);
    blob b = blob_read(path);
    unlink(path);
    blob_add(&b, "", 1);
    return (char *)b.data;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Where the scales of `rows` rows of panels have 0, and where they have their top: of as many grid lines
 * each, the lowest and the highest. */
static void read_scales(double *grounds, double *tops, size_t rows, const char *svg)
{
    enum { MOST = 100 };
    double lines[MOST] = {0};
    size_t count = 0, distinct = 0;
    for (const char *at = svg; (at = strstr(at, "stroke-width:0.5;")); at++) {
        double x0, y0, x1, y1;
        const char *d = strstr(at, " d=\"");
        if (!d || sscanf(d + 4, "M %lf %lf L %lf %lf", &x0, &y0, &x1, &y1) != 4 || fabs(y1 - y0) > 1e-6)
            continue;
        assert_true(count < MOST);
        lines[count++] = y0;
    }
    qsort(lines, count, sizeof *lines, compare_doubles);
    for (size_t i = 0; i < count; i++)
        if (!distinct || lines[i] > lines[distinct - 1] + 1e-3)
            lines[distinct++] = lines[i];
    assert_true(distinct && distinct % rows == 0);
    for (size_t i = 0; i < rows; i++) {
        tops[i] = lines[i * (distinct / rows)];
        grounds[i] = lines[(i + 1) * (distinct / rows) - 1];
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

static void check_bars(figure_layout shape, head_measure measure, bool with_shared)
{
    enum { MOST = 200 };
    const size_t classes[] = {7, 8, 3};
    figure f = last_block(classes, 3, with_shared);
    f.measure = measure;
    f.layout = shape;
    char *svg = draw_svg(&f, &drawing_usual);
    box boxes[MOST] = {0};
    double most = measure == MEASURE_LOAD ? routing_balanced(f.block) : 0;
    size_t shown = routing_candidates(f.block) + (with_shared ? f.block->shared : 0),
           first = f.block->heads - shown;
    size_t panels_on_a_scale = shape == FIGURE_GRID ? 3 : 1, count = 0;
    double grounds[3], tops[3];
    read_scales(grounds, tops, 3 / panels_on_a_scale, svg);
    for (size_t i = 0; i < 3 / panels_on_a_scale; i++)
        count += boxes_on(boxes + count, MOST - count, svg, grounds[i]);
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
        double ground = grounds[i / shown / panels_on_a_scale], top = tops[i / shown / panels_on_a_scale];
        double drawn = boxes[i].height / (ground - top) * scale, low, high;
        // An SVG of Cairo's has six digits.
        if (fabs(drawn - values[i]) > 2e-4 * scale)
            fail_msg("bar %zu: %g drawn, %g", i, drawn, values[i]);
        assert_true(i % shown == 0 || boxes[i].x > boxes[i - 1].x + boxes[i - 1].width - 1e-6);
        assert_true(i < shown || shape == FIGURE_GRID || fabs(boxes[i].x - boxes[i - shown].x) < 1e-6);
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
        for (figure_layout shape = FIGURE_GRID; shape <= FIGURE_STACKED; shape++) {
            check_bars(shape, m, false);
            check_bars(shape, m, true);
        }
    }
}

// ---- Importance as numbers -------------------------------------------------------------------------

/* r1 and r2 cost and gain, r3 is not known, all others cost the same. */
static importance_table made_importance(const routing_block *b)
{
    importance_table t = {.images = 7, .max_heads = load->routing.max_heads};
    size_t count = load->routing.count * t.max_heads;
    t.heads = calloc(count, sizeof *t.heads);
    for (size_t i = 0; i < count; i++)
        t.heads[i].loss = (mean_change){.mean = NAN};
    importance *heads = t.heads + b->index * t.max_heads;
    for (size_t h = 0; h < b->heads; h++)
        heads[h].loss = (mean_change){.mean = 0.04, .low = 0.03, .high = 0.05};
    heads[b->shared].loss = (mean_change){.mean = 0.02, .low = -0.01, .high = 0.05};
    heads[b->shared + 1].loss = (mean_change){.mean = -0.01, .low = -0.02, .high = 0};
    heads[b->shared + 2].loss = (mean_change){.mean = NAN};
    return t;
}

/* Filled rectangles below y; returns how many. */
static size_t boxes_below(box *out, size_t most, const char *svg, double y)
{
    size_t count = 0;
    for (const char *at = svg; (at = strstr(at, "<path style=\" stroke:none;")); at++) {
        const char *d = strstr(at, " d=\"");
        box b;
        if (d && read_box(&b, d + 4) && b.y > y && b.width < WIDTH - 1) {
            assert_true(count < most);
            out[count++] = b;
        }
    }
    return count;
}

static void changes_of_loss_stand_below_the_heads_that_they_are_of(void **state)
{
    (void)state;
    const size_t classes[] = {8, 7};
    for (int with_shared = 0; with_shared < 2; with_shared++) {
        for (figure_layout shape = FIGURE_GRID; shape <= FIGURE_HEATMAP; shape++) {
            figure f = last_block(classes, 2, with_shared);
            f.layout = shape;
            importance_table t = made_importance(f.block);
            double without = figure_height(&f), low, high, each = 0;
            f.importance = &t;
            assert_true(figure_height(&f) > without + 60);
            char *svg = draw_svg(&f, &drawing_usual);
            box bars[ROUTING_MAX_HEADS];
            size_t count = boxes_below(bars, ROUTING_MAX_HEADS, svg, without - 2),
                   first = with_shared ? 2 : 0;
            assert_int_equal(count, routing_candidates(f.block) - 1 + first);
            const box *r = bars + first;
            double zero = r[0].y + r[0].height;
            each = r[0].height / 0.02;
            assert_true(fabs(r[1].y - zero) < 0.01 && fabs(r[1].height - 0.01 * each) < 0.02);
            for (size_t i = 2; i < count - first; i++)
                assert_true(fabs(r[i].y + r[i].height - zero) < 0.01 &&
                            fabs(r[i].height - 0.04 * each) < 0.02);
            // The last interval of the figure is of a head that costs 0.03 to 0.05.
            const char *at = svg;
            double last_low = 0, last_high = 0;
            while (next_interval(&low, &high, &at)) {
                last_low = low;
                last_high = high;
            }
            assert_true(fabs(zero - last_low - 0.03 * each) < 0.02 &&
                        fabs(zero - last_high - 0.05 * each) < 0.02);
            assert_non_null(strstr(svg, "Loss change without the head<"));
            assert_non_null(strstr(svg, "n = 7, all classes"));
            const char *said = with_shared ? "n = 7: most s1 0.0400 (0.0300 to 0.0500), s2 0.0400"
                                           : "n = 7: most r4 0.0400 (0.0300 to 0.0500), r5 0.0400";
            assert_non_null(strstr(svg, said));
            free(svg);
            for (size_t i = 0; i < load->routing.count * t.max_heads; i++) // small ones have short numbers
                t.heads[i].loss.mean /= 1000, t.heads[i].loss.low /= 1000, t.heads[i].loss.high /= 1000;
            svg = draw_svg(&f, &drawing_usual);
            assert_non_null(strstr(svg, "Loss change without the head × 1,000<"));
            free(svg);
            importance_table_free(&t);
        }
    }
}

// ---- Cells as numbers ------------------------------------------------------------------------------

/* The fill of the next path or rectangle behind *at that is not white. */
static bool next_fill(colour *c, const char **at)
{
    while ((*at = strstr(*at, "fill:rgb("))) {
        *at += 1;
        assert_int_equal(sscanf(*at, "ill:rgb(%lf%%,%lf%%,%lf%%)", &c->r, &c->g, &c->b), 3);
        *c = (colour){c->r / 100, c->g / 100, c->b / 100};
        if (c->r < 1 || c->g < 1 || c->b < 1)
            return true;
    }
    return false;
}

static bool same_colour(colour a, colour b)
{
    return fabs(a.r - b.r) < 1e-4 && fabs(a.g - b.g) < 1e-4 && fabs(a.b - b.b) < 1e-4;
}

/* One class is not shown, and counts for the mean all the same; another has no images, and does not. */
static void a_cell_tells_how_far_its_class_is_from_the_mean_of_all(void **state)
{
    (void)state;
    const size_t classes[] = {7, 8, 3, 9, 0, 1, 2, 4, 5};
    const ramp *colours = &drawing_themes[0].difference;
    figure f = last_block(classes, 9, false);
    double means[ROUTING_MAX_HEADS], high = 0.005, difference[9][ROUTING_MAX_HEADS];
    f.layout = FIGURE_HEATMAP;
    figure_means(means, &f);
    f.means = means;
    assert_int_equal(load->images[9], 0);
    for (size_t h = f.block->shared; h < f.block->heads; h++) {
        double mean = 0;
        for (size_t c = 0; c < 9; c++)
            mean += head_load_of(load, c, f.block->index, h) / 9;
        assert_true(fabs(means[h] - mean) < 1e-12);
        for (size_t i = 0; i < 9; i++)
            difference[i][h] = i == 3 ? 0 : head_load_of(load, classes[i], f.block->index, h) - mean;
        for (size_t i = 0; i < 9; i++)
            high = fmax(high, fabs(difference[i][h]));
    }
    double step = figure_step(2 * high, 5);
    high = step * ceil(high / step - 1e-9);
    char *svg = draw_svg(&f, &drawing_usual);
    const char *at = svg;
    colour drawn;
    for (size_t i = 0; i < 9; i++) {
        for (size_t h = f.block->shared; i != 3 && h < f.block->heads; h++) {
            assert_true(next_fill(&drawn, &at));
            assert_true(same_colour(drawn, ramp_at(colours, 0.5 + difference[i][h] / high / 2)));
        }
    }
    assert_non_null(strstr(svg, ">Load − head’s mean</text>"));
    assert_non_null(strstr(svg, ">no images</text>"));
    free(svg);
}

// ---- In words --------------------------------------------------------------------------------------

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)); at++)
        count++;
    return count;
}

/* What is between the first `opening` and the next "<". */
static void element(char *out, size_t size, const char *svg, const char *opening)
{
    const char *at = strstr(svg, opening);
    assert_non_null(at);
    at += strlen(opening);
    snprintf(out, size, "%.*s", (int)strcspn(at, "<"), at);
}

static void a_screen_reader_is_told_what_a_figure_shows(void **state)
{
    (void)state;
    const size_t classes[] = {7, 8, 9};
    char title[256], words[2048], expected[128];
    figure f = last_block(classes, 3, false);
    for (figure_layout shape = FIGURE_GRID; shape <= FIGURE_HEATMAP; shape++) {
        f.layout = shape;
        char *svg = draw_svg(&f, &drawing_usual);
        assert_int_equal(
            count_of(svg, "<svg role=\"img\" aria-labelledby=\"mohvit-title mohvit-description\" "), 1);
        element(title, sizeof title, svg, "<title id=\"mohvit-title\">");
        element(words, sizeof words, svg, "<desc id=\"mohvit-description\">");
        assert_string_equal(title, "Load of the routed heads of block 4.0");
        assert_non_null(strstr(words, "each token selects 6 of 14 routed heads. Balanced load: 0.429."));
        assert_non_null(strstr(words, "Ankle boot: no images."));
        size_t highest = f.block->shared;
        for (size_t h = highest; h < f.block->heads; h++)
            if (head_load_of(load, 7, f.block->index, h) > head_load_of(load, 7, f.block->index, highest))
                highest = h;
        snprintf(expected, sizeof expected, "Sneaker (n = %d): highest r%zu %.3f, ", (int)load->images[7],
                 highest - f.block->shared + 1, head_load_of(load, 7, f.block->index, highest));
        if (!strstr(words, expected))
            fail_msg("\"%s\" is not in \"%s\"", expected, words);
        free(svg);
    }
}

/* From a heading without the gate's share to one with it, and never one that runs into what stands at the
 * right. */
static void a_heading_says_as_much_as_there_is_room_for(void **state)
{
    (void)state;
    const size_t classes[] = {7};
    figure f = last_block(classes, 1, false);
    static const struct {
        double width;
        bool share, level;
    } cases[] = {{400, true, true}, {WIDTH, false, true}, {120, false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        f.width = cases[i].width;
        char *svg = draw_svg(&f, &drawing_usual);
        assert_int_equal(count_of(svg, ">Block 4.0, 6 of 14 routed heads"), 1);
        assert_int_equal(count_of(svg, " % of the gate</text>"), cases[i].share);
        assert_int_equal(count_of(svg, ">balanced load 0.43</text>"), cases[i].level);
        free(svg);
    }
}

static void text_is_text_or_paths(void **state)
{
    (void)state;
    const size_t classes[] = {7, 8, 3};
    figure f = last_block(classes, 3, false);
    drawing_style outlines = drawing_usual;
    outlines.outlines = true;
    for (figure_layout shape = FIGURE_GRID; shape <= FIGURE_HEATMAP; shape++) {
        f.layout = shape;
        char *text = draw_svg(&f, &drawing_usual), *paths = draw_svg(&f, &outlines);
        assert_non_null(strstr(text, "<g font-family=\"'Liberation Sans', Arial, "));
        assert_int_equal(count_of(text, ">Sneaker</text>"), 1);
        assert_int_equal(count_of(text, ">r1</text>") > 0, 1);
        assert_int_equal(count_of(paths, "<text") + count_of(paths, "font-family"), 0);
        assert_int_equal(count_of(text, "<symbol") + count_of(paths, "<symbol"), 0); // nor a font of Cairo's
        assert_true(count_of(paths, "<path") > count_of(text, "<path") + count_of(text, "</text>") / 2);
        free(text);
        free(paths);
    }
}

/* XML has no U+FFFE or U+FFFF, and no bytes that are not UTF-8. */
static void any_name_can_be_in_an_svg(void **state)
{
    (void)state;
    drawing d;
    mohvit_error err;
    char *path = in_scratch("names.svg");
    expect_ok(drawing_begin(&d, path, DRAWING_SVG, &drawing_usual, 400, 40, &err), &err);
    drawing_font(&d, 7, false);
    drawing_describe(&d, "<b>&", "\xff");
    drawing_text(&d, 0, 10, 0, 400, "</svg>&amp;\"\xef\xbf\xbe\xef\xbf\xbf\x1b");
    drawing_text_upwards(&d, 50, 20, 0.5, 400, "up");
    expect_ok(drawing_finish(&d, &err), &err);
    blob b = blob_read(path);
    blob_add(&b, "", 1);
    const char *svg = (char *)b.data;
    assert_non_null(strstr(svg, "<title id=\"mohvit-title\">&lt;b&gt;&amp;</title>"));
    assert_non_null(strstr(svg, "<desc id=\"mohvit-description\">?</desc>"));
    assert_non_null(strstr(svg, ">&lt;/svg&gt;&amp;amp;\"\xef\xbf\xbd\xef\xbf\xbd?</text>"));
    assert_non_null(strstr(svg, " text-anchor=\"middle\" transform=\"rotate(-90 50.00 20.00)\">up</text>"));
    assert_string_equal(strstr(svg, "</svg>"), "</svg>\n");
    unlink(path);
    free(b.data);
}

static void a_font_is_named_or_refused(void **state)
{
    (void)state;
    char found[128];
    assert_true(drawing_font_valid("Liberation Sans") && drawing_font_valid("Ünïcödé 7"));
    const char *const refused[] = {"", "a'b", "a\"b", "a<b", "a&b", "a\\b", "a,b", "a;b", "a\nb", "\xff"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_false(drawing_font_valid(refused[i]));
    drawing_font_found(found, "No Such Font");
    assert_string_not_equal(found, "No Such Font");
}

// ---- Colours ---------------------------------------------------------------------------------------

static double linear_light(double c)
{
    return c <= 0.04045 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4);
}

/* CIELAB, D65, of a colour as an eye sees it that lacks one kind of cone: matrices of Machado, Oliveira and
 * Fernandes 2009 for linear RGB. */
static void seen(double lab[3], colour c, int eye)
{
    static const double eyes[][9] = {
        {1, 0, 0, 0, 1, 0, 0, 0, 1},
        {0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998},
        {0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.011820, 0.042940, 0.968881},
        {1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.303900}};
    const double *m = eyes[eye], in[] = {linear_light(c.r), linear_light(c.g), linear_light(c.b)};
    double rgb[3], f[3];
    for (size_t i = 0; i < 3; i++)
        rgb[i] = fmin(1, fmax(0, m[3 * i] * in[0] + m[3 * i + 1] * in[1] + m[3 * i + 2] * in[2]));
    const double xyz[] = {(0.4124 * rgb[0] + 0.3576 * rgb[1] + 0.1805 * rgb[2]) / 0.9505,
                          0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2],
                          (0.0193 * rgb[0] + 0.1192 * rgb[1] + 0.9505 * rgb[2]) / 1.089};
    for (size_t i = 0; i < 3; i++)
        f[i] = xyz[i] > 0.008856 ? cbrt(xyz[i]) : 7.787 * xyz[i] + 16.0 / 116;
    lab[0] = 116 * f[1] - 16;
    lab[1] = 500 * (f[0] - f[1]);
    lab[2] = 200 * (f[1] - f[2]);
}

enum { EYES = 4 };

static double distance(colour a, colour b, int eye)
{
    double x[3], y[3];
    seen(x, a, eye);
    seen(y, b, eye);
    return sqrt(pow(x[0] - y[0], 2) + pow(x[1] - y[1], 2) + pow(x[2] - y[2], 2));
}

/* Lightness tells more from less on every ramp but that of differences, whose ends no eye takes for each
 * other, nor for the middle. */
static void colours_are_told_apart_by_every_kind_of_eye(void **state)
{
    (void)state;
    enum { STEPS = 20 };
    for (const theme *t = drawing_themes; t->name; t++) {
        for (int eye = 0; eye < EYES; eye++) {
            const ramp *ramps[] = {&t->load, &t->gate};
            for (size_t k = 0; k < 2; k++) {
                double first[3], before[3], at[3];
                seen(first, ramp_at(ramps[k], 0), eye);
                memcpy(before, first, sizeof before);
                seen(at, ramp_at(ramps[k], 1), eye);
                double direction = at[0] > first[0] ? 1 : -1;
                assert_true(fabs(at[0] - first[0]) > 30);
                for (int i = 1; i <= STEPS; i++) {
                    seen(at, ramp_at(ramps[k], (double)i / STEPS), eye);
                    assert_true(direction * (at[0] - before[0]) > 0);
                    memcpy(before, at, sizeof before);
                }
            }
            for (int i = 1; i <= STEPS; i++) {
                colour less = ramp_at(&t->difference, 0.5 - 0.5 * i / STEPS),
                       more = ramp_at(&t->difference, 0.5 + 0.5 * i / STEPS),
                       none = ramp_at(&t->difference, 0.5);
                if (distance(less, more, eye) < 40.0 * i / STEPS ||
                    distance(less, none, eye) < 20.0 * i / STEPS ||
                    distance(more, none, eye) < 20.0 * i / STEPS)
                    fail_msg("%s, eye %d, step %d: %g, %g, %g", t->name, eye, i, distance(less, more, eye),
                             distance(less, none, eye), distance(more, none, eye));
            }
            assert_true(distance(t->ink, t->paper, eye) > 70 && distance(t->accent, t->paper, eye) > 40);
        }
    }
}

static bool is_gray(colour c)
{
    return c.r == c.g && c.g == c.b;
}

static void print_is_black_and_gray_alone(void **state)
{
    (void)state;
    const size_t classes[] = {7, 8, 3, 9};
    double means[ROUTING_MAX_HEADS];
    drawing_style print = drawing_usual;
    print.theme = &drawing_themes[2];
    assert_string_equal(print.theme->name, "print");
    figure f = last_block(classes, 4, true);
    figure_means(means, &f);
    for (int i = 0; i < 4; i++) {
        f.layout = (figure_layout)(i < 3 ? i : FIGURE_HEATMAP);
        f.means = i < 3 ? NULL : means;
        char *svg = draw_svg(&f, &print);
        const char *at = svg;
        size_t count = 0;
        while ((at = strstr(at, "rgb("))) {
            colour c;
            assert_int_equal(sscanf(at++, "rgb(%lf%%,%lf%%,%lf%%)", &c.r, &c.g, &c.b), 3);
            assert_true(is_gray(c));
            count++;
        }
        assert_true(count > 30);
        assert_non_null(strstr(svg, " fill=\"#000000\""));
        free(svg);
    }
}

/* Where no hue tells less from more, a dash does: in each cell below the head's mean, and in the scale. */
static void a_dash_marks_less_in_print(void **state)
{
    (void)state;
    const size_t classes[] = {7, 8, 3, 9};
    double means[ROUTING_MAX_HEADS];
    drawing_style print = drawing_usual;
    print.theme = &drawing_themes[2];
    figure f = last_block(classes, 4, true);
    figure_means(means, &f);
    f.layout = FIGURE_HEATMAP;
    f.means = means;
    size_t less = 0;
    for (size_t i = 0; i < 4; i++)
        for (size_t h = f.block->shared; h < f.block->heads; h++)
            less += head_load_of(load, classes[i], f.block->index, h) < means[h];
    char *dashed = draw_svg(&f, &print), *plain = draw_svg(&f, &drawing_usual);
    assert_true(less > 10);
    assert_int_equal(count_of(dashed, "<path") - count_of(plain, "<path"), less + 1);
    assert_non_null(strstr(dashed, "A dash marks what is below the mean."));
    assert_null(strstr(plain, "A dash"));
    free(dashed);
    free(plain);
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
        const ramp *r = &drawing_usual.theme->load;
        colour got = ramp_at(r, beyond[i][0]), end = ramp_at(r, beyond[i][1]);
        assert_memory_equal(&got, &end, sizeof got);
    }
    colour first = ramp_at(&drawing_usual.theme->load, 0), last = ramp_at(&drawing_usual.theme->load, 1);
    assert_true(first.r > last.r + 0.5);
}

static void a_scale_shows_all_of_its_ramp(void **state)
{
    (void)state;
    enum { LENGTH = 1280 };
    const ramp *r = &drawing_usual.theme->difference;
    for (int upwards = 0; upwards < 2; upwards++) {
        int width = upwards ? 1 : LENGTH, height = upwards ? LENGTH : 1;
        cairo_surface_t *s = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
        cairo_t *cr = cairo_create(s);
        drawing_scale(cr, 0, 0, width, height, upwards, r);
        cairo_surface_flush(s);
        for (int i = 0; i < LENGTH; i++) {
            const unsigned char *row = cairo_image_surface_get_data(s) +
                                       (upwards ? LENGTH - 1 - i : 0) * cairo_image_surface_get_stride(s);
            uint32_t pixel = ((const uint32_t *)(const void *)row)[upwards ? 0 : i];
            colour c = ramp_at(r, (i + 0.5) / LENGTH);
            assert_true(fabs(pixel % 256 - 255 * c.b) < 3);
            assert_true(fabs(pixel / 256 % 256 - 255 * c.g) < 3);
            assert_true(fabs(pixel / 65536 % 256 - 255 * c.r) < 3);
        }
        cairo_destroy(cr);
        cairo_surface_destroy(s);
    }
}

typedef void draw_function(drawing *d, const void *what);

static const theme *shown_in = &drawing_themes[0];

static void check_looks(const char *name, draw_function *draw, const void *what, double width, double height)
{
    drawing d;
    mohvit_error err;
    char reference[1024], *path = in_scratch(name);
    snprintf(reference, sizeof reference, "%s/figures/%s", GOLDEN_DIR, name);
    bool update = getenv("UPDATE_FIGURES") != NULL;
    drawing_style style = drawing_usual;
    style.dpi = 120;
    style.theme = shown_in;
    expect_ok(drawing_begin(&d, update ? reference : path, DRAWING_PNG, &style, width, height, &err), &err);
    draw(&d, what);
    expect_ok(drawing_finish(&d, &err), &err);
    if (update)
        return;
    compare_pictures(path, reference);
    unlink(path);
}

static void draw_figure_of(drawing *d, const void *f)
{
    figure_draw(d, f);
}

static void check_figure(const char *name, const figure *f)
{
    check_looks(name, draw_figure_of, f, f->width, figure_height(f));
}

static void figures_look_as_they_did(void **state)
{
    (void)state;
    const size_t three[] = {7, 8, 3};
    size_t all[10], order[10];
    double means[ROUTING_MAX_HEADS];
    for (size_t i = 0; i < 10; i++)
        all[i] = i;
    figure f = last_block(three, 3, false);
    check_figure("bars.png", &f);
    f.measure = MEASURE_GATE;
    check_figure("bars_gate.png", &f);
    f.layout = FIGURE_STACKED;
    check_figure("bars_stacked.png", &f);
    f = last_block(all, 10, true);
    check_figure("bars_shared.png", &f);
    assert_int_equal(head_load_order(order, load, f.block->index, all, 10, NULL), MOHVIT_OK);
    f = last_block(order, 10, true);
    f.layout = FIGURE_HEATMAP;
    check_figure("heatmap.png", &f);
    figure_means(means, &f);
    f.means = means;
    f.with_shared = false;
    shown_in = &drawing_themes[1];
    check_figure("difference_dark.png", &f);
    shown_in = &drawing_themes[0];
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
            f.layout = FIGURE_HEATMAP;
            expect_ok(drawing_begin(&d, path, DRAWING_PDF, &drawing_usual, width, figure_height(&f), &err),
                      &err);
            figure_draw(&d, &f);
            for (f.layout = FIGURE_GRID; count < 60 && f.layout <= FIGURE_STACKED; f.layout++)
                figure_draw(&d, &f);
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
    expect_ok(drawing_begin(&d, path, DRAWING_PNG, &drawing_usual, 100, 40, &err), &err);
    drawing_font(&d, 7, false);
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
    expect_ok(drawing_begin(&d, path, DRAWING_SVG, &drawing_usual, 100, 40, &err), &err);
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
    const routes r = {.block = &b, .side = 2, .gate = gate, .pick = pick};
    route_look look = {.theme = &drawing_themes[0], .routed = {.high = 2}};
    assert_true(fabs(route_load(&r, 0) - 0.5) < 1e-12);
    route_picture(out, crop, S, &r, 0, &look);
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

static void an_overlay_leaves_what_was_not_selected_as_it_is(void **state)
{
    (void)state;
    enum { S = 8 };
    uint8_t crop[S * S * 3], out[S * S * 3], pick[] = {1, 0, 0, 1};
    float gate[] = {2, 0, 0, 1};
    for (size_t i = 0; i < sizeof crop; i++)
        crop[i] = (uint8_t)(i % 3 == 0 ? 40 : i % 3 == 1 ? 160 : 220);
    const routing_block b = {.heads = 1, .routed = 1};
    const routes r = {.block = &b, .side = 2, .gate = gate, .pick = pick};
    route_look look = {.theme = &drawing_themes[0], .routed = {.high = 2}, .overlay = true};
    route_picture(out, crop, S, &r, 0, &look);
    const uint8_t *strong = out, *as_it_is = out + 3 * (S - 1), *weak = out + 3 * (S * S - 1);
    assert_memory_equal(as_it_is, crop, 3);
    assert_true(crop[0] < weak[0] && weak[0] < strong[0]); // the more gate, the redder
    assert_true(crop[2] > weak[2] && weak[2] > strong[2]);
    look.theme = &drawing_themes[2];
    route_picture(out, crop, S, &r, 0, &look);
    for (size_t i = 0; i < S * S; i++)
        assert_true(out[3 * i] == out[3 * i + 1] && out[3 * i] == out[3 * i + 2]);
}

/* In grays alone what was not selected is darker than all that was, whatever the picture. */
static void grays_tell_the_selected_from_the_rest(void **state)
{
    (void)state;
    uint8_t crop[] = {255, 255, 255, 0, 0, 0, 255, 255, 255, 0, 0, 0}, out[12], pick[] = {0, 1, 0, 1};
    float gate[] = {0, 0.01f, 0, 0.01f};
    const routing_block b = {.heads = 1, .routed = 1};
    const routes r = {.block = &b, .side = 2, .gate = gate, .pick = pick};
    const route_look look = {.theme = &drawing_themes[2], .routed = {.high = 100}};
    route_picture(out, crop, 2, &r, 0, &look);
    assert_true(out[0] + 20 < out[3]);
}

static void tints_fit_the_gates_that_were_selected(void **state)
{
    (void)state;
    enum { SIDE = 10, HEADS = 2, COUNT = 2, N = SIDE * SIDE * HEADS };
    float gate[COUNT][N];
    uint8_t pick[COUNT][N];
    const routing_block b = {.heads = HEADS, .shared = 1, .routed = 1};
    routes r[COUNT];
    for (size_t p = 0; p < COUNT; p++) {
        r[p] = (routes){.block = &b, .side = SIDE, .gate = gate[p], .pick = pick[p]};
        for (size_t i = 0; i < SIDE * SIDE;
             i++) { // 1 … 100 of the shared one, a thousandth of it of the other
            gate[p][2 * i] = (float)(1 + i);
            gate[p][2 * i + 1] = (float)(1 + i) / 1000;
            pick[p][2 * i] = 1;
            pick[p][2 * i + 1] = p == 1; // which no token of the first picture selected
        }
    }
    route_look look = {.tint = TINT_LINEAR};
    assert_true(route_look_fit(&look, r, COUNT));
    assert_true(look.shared.low == 0 && look.shared.high == 97 && look.routed.high == 97); // 293rd of 300
    look.tint = TINT_KIND;
    assert_true(route_look_fit(&look, r, COUNT));
    assert_true(look.shared.high == 98 && fabs(look.routed.high - 0.098) < 1e-6);
    look.tint = TINT_LOG;
    assert_true(route_look_fit(&look, r, COUNT));
    assert_true(fabs(look.shared.low - 0.007) < 1e-6 && look.shared.high == 97 && look.routed.logarithmic);
    assert_true(route_look_fit(&look, r, 1));
    assert_true(look.shared.low == 3 && look.shared.high == 98);
}

/* Gates a factor apart are as far apart in tint wherever they are. */
static void a_logarithmic_tint_shows_factors(void **state)
{
    (void)state;
    float gate[] = {0.01f, 0.1f, 1, 10};
    uint8_t crop[12], out[12], pick[] = {1, 1, 1, 1};
    memset(crop, 255, sizeof crop);
    const routing_block b = {.heads = 1, .routed = 1};
    const routes r = {.block = &b, .side = 2, .gate = gate, .pick = pick};
    const route_look look = {.theme = &drawing_themes[0], .routed = {0.01, 10, true}};
    route_picture(out, crop, 2, &r, 0, &look);
    for (size_t i = 0; i < 4; i++) {
        colour c = ramp_at(&drawing_themes[0].gate, (double)i / 3);
        assert_true(fabs(out[3 * i] - 255 * c.r) <= 1 && fabs(out[3 * i + 2] - 255 * c.b) <= 1);
    }
}

static void draw_routes_of(drawing *d, const void *f)
{
    route_figure_draw(d, f);
}

static void the_figure_of_routes_looks_as_it_did(void **state)
{
    (void)state;
    enum { SIDE = 4, HEADS = 6, S = 64 };
    float gate[SIDE * SIDE * HEADS];
    uint8_t pick[SIDE * SIDE * HEADS], crop[S * S * 3];
    for (size_t i = 0; i < sizeof crop; i++)
        crop[i] = (uint8_t)(i / 3 % S * 4 / (1 + i % 3));
    for (size_t i = 0; i < SIDE * SIDE * HEADS; i++) {
        pick[i] = i % HEADS == 0 || (i * 7 + i / HEADS) % 3 != 0;
        gate[i] = pick[i] ? 0.2f + (float)(i * 5 % 17) / 10 : 0;
    }
    const routing_block b = {.name = "3.1", .heads = HEADS, .shared = 1, .routed = 3};
    const routes r[] = {{&b, SIDE, gate, pick}, {&b, SIDE, gate, pick}};
    const uint8_t *crops[] = {crop, crop};
    const char *titles[] = {"a.png: Bag, 91.0 %",
                            "a picture of a very long name that has no room.png: Dress"};
    route_figure f = {r, crops, titles, 1, S, WIDTH, {.theme = shown_in}};
    assert_true(route_look_fit(&f.look, r, 1));
    check_looks("routes.png", draw_routes_of, &f, WIDTH, route_figure_height(&f));
    f.count = 2;
    f.look.overlay = true;
    f.look.tint = TINT_KIND;
    assert_true(route_look_fit(&f.look, r, 2));
    check_looks("routes_overlay.png", draw_routes_of, &f, WIDTH, route_figure_height(&f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bars_are_as_high_as_what_they_measure),
        cmocka_unit_test(changes_of_loss_stand_below_the_heads_that_they_are_of),
        cmocka_unit_test(a_cell_tells_how_far_its_class_is_from_the_mean_of_all),
        cmocka_unit_test(a_screen_reader_is_told_what_a_figure_shows),
        cmocka_unit_test(a_heading_says_as_much_as_there_is_room_for),
        cmocka_unit_test(text_is_text_or_paths),
        cmocka_unit_test(any_name_can_be_in_an_svg),
        cmocka_unit_test(a_font_is_named_or_refused),
        cmocka_unit_test(colours_are_told_apart_by_every_kind_of_eye),
        cmocka_unit_test(print_is_black_and_gray_alone),
        cmocka_unit_test(a_dash_marks_less_in_print),
        cmocka_unit_test(steps_are_round_and_few),
        cmocka_unit_test(figures_look_as_they_did),
        cmocka_unit_test(any_number_of_classes_and_any_width_can_be_drawn),
        cmocka_unit_test(names_that_are_not_utf8_or_too_long_are_shown_as_far_as_they_can),
        cmocka_unit_test(what_could_not_be_drawn_is_no_file),
        cmocka_unit_test(a_head_sees_what_it_selected),
        cmocka_unit_test(an_overlay_leaves_what_was_not_selected_as_it_is),
        cmocka_unit_test(grays_tell_the_selected_from_the_rest),
        cmocka_unit_test(tints_fit_the_gates_that_were_selected),
        cmocka_unit_test(a_logarithmic_tint_shows_factors),
        cmocka_unit_test(heads_of_each_kind_are_numbered_from_one),
        cmocka_unit_test(the_figure_of_routes_looks_as_it_did),
        cmocka_unit_test(the_ramp_ends_where_its_colours_end),
        cmocka_unit_test(a_scale_shows_all_of_its_ramp),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

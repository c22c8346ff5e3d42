#include "tools/figures/figure.h"

#include "base/memory.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT  7.0  /* size of labels; the least that journals accept */
#define SMALL 6.0  /* of numbers at the axes */
#define LINE  13.0 /* what the first line takes */
#define MORE  8.0  /* and a second one */

#define BARS_LEFT 25.0 /* a scale with its numbers, left of bars */

static const char *const measure_titles[] = {
    [MEASURE_LOAD] = "Load", [MEASURE_GATE] = "Mean gate", [MEASURE_GATE_SHARE] = "Gate share"};

/* Bars without what bars have otherwise. */
static bool lacks_intervals(const figure *f)
{
    return f->measure == MEASURE_GATE_SHARE && f->layout != FIGURE_HEATMAP;
}

/* Of the lines above all else. */
static double head_height(const figure *f)
{
    return LINE + (f->without ? MORE : 0) + (lacks_intervals(f) ? MORE : 0);
}

// ---- Scales ----------------------------------------------------------------------------------------

static double value_of(const figure *f, size_t class_index, size_t head)
{
    double value = measure_of(f->load, f->measure, class_index, f->block->index, head);
    value = isnan(value) ? 0 : value; // a share of no gates at all
    return f->means ? value - f->means[head] : value;
}

void figure_means(double *means, const figure *f)
{
    figure measured = *f;
    measured.means = NULL;
    for (size_t h = 0; h < f->block->heads; h++) {
        double sum = 0, count = 0;
        for (size_t c = 0; c < f->load->names.count; c++) {
            bool has_images = f->load->images[c] > 0;
            sum += has_images ? value_of(&measured, c, h) : 0;
            count += has_images;
        }
        means[h] = count > 0 ? sum / count : 0;
    }
}

/* Where the line is; NaN: there is none, since gates do not add up to the same for every token, nor for
 * differences. */
static double level_of(const figure *f)
{
    const double levels[] = {
        [MEASURE_LOAD] = routing_balanced(f->block),
        [MEASURE_GATE] = NAN,
        [MEASURE_GATE_SHARE] = 1 / (double)f->block->heads,
    };
    return f->means ? NAN : levels[f->measure];
}

/* The lowest and highest value of a head that is shaded, a routed one, among the classes; false where no
 * class has images. */
static bool range(const figure *f, double *low, double *high)
{
    *low = INFINITY;
    *high = -INFINITY;
    for (size_t i = 0; i < f->count; i++) {
        for (size_t h = f->block->shared; f->load->images[f->classes[i]] && h < f->block->heads; h++) {
            double value = value_of(f, f->classes[i], h);
            *low = fmin(*low, value);
            *high = fmax(*high, value);
        }
    }
    return *low <= *high;
}

double figure_step(double span, size_t most)
{
    static const double round_ones[] = {1, 2, 2.5, 5, 10};
    double power = pow(10, floor(log10(span / (double)most)));
    for (size_t i = 0; i + 1 < sizeof round_ones / sizeof *round_ones; i++)
        if (span / (round_ones[i] * power) <= (double)most + 1e-9)
            return round_ones[i] * power;
    return 10 * power;
}

/* Columns of a panel or row: shared heads first, then a gap, then the routed ones. */
typedef struct {
    double pitch, shared_width; /* shared_width with its gap */
} columns;

static size_t shared_shown(const figure *f)
{
    return f->with_shared ? f->block->shared : 0;
}

static size_t first_shown(const figure *f)
{
    return f->with_shared ? 0 : f->block->shared;
}

static columns divide(const figure *f, double width)
{
    double shared = (double)shared_shown(f), gap = shared > 0 ? 0.75 : 0;
    columns c = {.pitch = width / ((double)routing_candidates(f->block) + shared + gap)};
    c.shared_width = c.pitch * (shared + gap);
    return c;
}

/* Left end of the column of a head. */
static double column_x(const figure *f, const columns *c, size_t head)
{
    return head < f->block->shared ? c->pitch * (double)head
                                   : c->shared_width + c->pitch * (double)(head - f->block->shared);
}

// ---- Text around -----------------------------------------------------------------------------------

static void print_number(char out[24], double value, double step)
{
    int decimals = (int)ceil(-log10(step) - 1e-9);
    if (fabs(step * pow(10, decimals) - round(step * pow(10, decimals))) > 1e-6)
        decimals++; // a step of 0.25
    snprintf(out, 24, "%s%.*f", value < -1e-9 ? "−" : "", decimals > 0 ? decimals : 0, fabs(value));
}

static void draw_line(cairo_t *cr, double width, double x, double y, double to_x, double to_y)
{
    cairo_set_line_width(cr, width);
    cairo_move_to(cr, x, y);
    cairo_line_to(cr, to_x, to_y);
    cairo_stroke(cr);
}

/* Where level_of is; y NaN: nowhere. */
static void draw_level(drawing *d, bool dashed, double x, double to_x, double y)
{
    cairo_t *cr = d->cr;
    if (isnan(y))
        return;
    drawing_colour(cr, d->theme->accent);
    if (dashed)
        cairo_set_dash(cr, (double[]){3, 2}, 2, 0);
    draw_line(cr, 1, x, y, to_x, y);
    cairo_set_dash(cr, NULL, 0, 0);
}

/* The routed heads' part of the gates, over the classes that are shown; NaN without images. */
static double routed_gate_share(const figure *f)
{
    double sum = 0, count = 0;
    for (size_t i = 0; i < f->count; i++) {
        double share = head_load_gate_share_of_routed(f->load, f->classes[i], f->block->index);
        sum += isnan(share) ? 0 : share;
        count += !isnan(share);
    }
    return sum / count;
}

/* Which block; and what the line is, which is dashed across bars and solid across a scale. */
static void draw_head(drawing *d, const figure *f, bool dashed)
{
    char text[128], short_text[96], level[64] = "";
    double share = routed_gate_share(f), x = f->width - 2;
    if (!isnan(level_of(f)))
        snprintf(level, sizeof level,
                 f->measure == MEASURE_LOAD ? "balanced load %.2f" : "even gate share %.3f", level_of(f));
    snprintf(short_text, sizeof short_text, "Block %s, %zu of %zu routed heads", f->block->name,
             f->block->routed, routing_candidates(f->block));
    snprintf(text, sizeof text, "%s with %.3g %% of the gate", short_text, 100 * share);
    drawing_font(d, SMALL, false);
    if (f->without)
        drawing_text(d, 2, 8.5 + MORE, 0, f->width - 4, f->without);
    if (lacks_intervals(f))
        drawing_text(d, 2, head_height(f) - LINE + 8.5, 0, f->width - 4, "gate shares have no intervals");
    drawing_font(d, TEXT, false);
    double right = drawing_text_width(d, level), room = f->width - right - 30;
    bool whole = !isnan(share) && drawing_text_width(d, text) <= room;
    drawing_text(d, 2, 8.5, 0, f->width, whole ? text : short_text);
    if (drawing_text_width(d, short_text) > room)
        return;
    drawing_text(d, x, 8.5, 1, f->width, level);
    draw_level(d, dashed, x - right - 18, x - right - 4, isnan(level_of(f)) ? NAN : 6);
}

/* Names below the columns, as many as there is room for. */
static void draw_head_names(drawing *d, const figure *f, const columns *c, double x, double y)
{
    static const size_t steps[] = {1, 2, 5, 10, 20, 50, 100};
    size_t shared = f->block->shared, n = routing_candidates(f->block), i = 0;
    char name[ROUTING_HEAD_NAME];
    drawing_font(d, SMALL, false);
    double room = drawing_text_width(d, n >= 100 ? "r888" : n >= 10 ? "r88" : "r8") + 2;
    while (i + 1 < sizeof steps / sizeof *steps && c->pitch * (double)steps[i] < room)
        i++;
    for (size_t h = first_shown(f); h < f->block->heads; h++) {
        size_t id = h < shared ? h + 1 : h - shared + 1;
        // From 1 in twos; in larger steps the round numbers, and 1.
        bool shown = steps[i] <= 2 ? (id - 1) % steps[i] == 0 : id == 1 || id % steps[i] == 0;
        if (h < shared && column_x(f, c, shared) - column_x(f, c, h) < SMALL + 2)
            shown = false; // r1 takes its place
        routing_head_name(name, f->block, h);
        if (shown)
            drawing_text(d, x + column_x(f, c, h) + c->pitch / 2, y, 0.5, 100, name);
    }
}

/* Below the columns, which are from left to right; where it is wider, it begins further left. */
static void draw_x_title(drawing *d, const figure *f, double left, double right, double y)
{
    const char *text = shared_shown(f) ? "Head (s: shared, r: routed)" : "Routed head";
    drawing_font(d, TEXT, false);
    if (drawing_text_width(d, text) > right)
        text = "Head";
    bool wider = drawing_text_width(d, text) > right - left;
    drawing_text(d, wider ? right : (left + right) / 2, y, wider ? 1 : 0.5, right, text);
}

// ---- Importance ------------------------------------------------------------------------------------

#define STRIP_TITLE  14.0 /* with what is between it and the heads' names above */
#define STRIP_HEIGHT 48.0
#define STRIP_FOOT   11.0 /* the names of the heads */

static double strip_height(const figure *f)
{
    return f->importance ? STRIP_TITLE + STRIP_HEIGHT + STRIP_FOOT : 0;
}

/* Scale of the changes of loss: all bars and intervals, and 0. */
typedef struct {
    double low, high, step;
    double factor; /* what small ones are multiplied with, so that their numbers are short */
    const char *factor_text;
} change_scale;

static change_scale scale_changes(const figure *f)
{
    change_scale s = {.factor = 1, .factor_text = ""};
    for (size_t h = first_shown(f); h < f->block->heads; h++) {
        const importance *i = importance_of(f->importance, f->block, h);
        if (i) { // fmin and fmax take the other where one is NaN
            s.low = fmin(s.low, fmin(i->loss.mean, i->loss.low));
            s.high = fmax(s.high, fmax(i->loss.mean, i->loss.high));
        }
    }
    double most = fmax(s.high, -s.low);
    if (most < 0.01) {
        s.factor = most < 1e-5 ? 1e6 : 1e3;
        s.factor_text = most < 1e-5 ? " × 1,000,000" : " × 1,000";
    }
    if (s.high - s.low < 1e-6)
        s.high = s.low + 1e-6;
    s.step = figure_step(s.high - s.low, 4);
    s.low = s.step * floor(s.low / s.step + 1e-9);
    s.high = s.step * ceil(s.high / s.step - 1e-9);
    return s;
}

/* Ends of an interval, at y and to_y; on a dark bar a line is seen by what is around it. */
static void draw_interval(drawing *d, double x, double pitch, double y, double to_y, bool reliable)
{
    cairo_t *cr = d->cr;
    double cap = fmin(pitch / 4, 2), around = fmin(1.6, 0.6 + pitch / 6);
    for (int over = 0; over < 2; over++) {
        drawing_colour(cr, !over ? d->theme->paper : reliable ? d->theme->ink : d->theme->shared);
        cairo_set_line_width(cr, over ? 0.6 : around);
        cairo_move_to(cr, x - cap, y);
        cairo_line_to(cr, x + cap, y);
        cairo_move_to(cr, x - cap, to_y);
        cairo_line_to(cr, x + cap, to_y);
        cairo_move_to(cr, x, y);
        cairo_line_to(cr, x, to_y);
        cairo_stroke(cr);
    }
}

/* Numbers stand at the left, as those of bars, or at the right, as those of a heatmap. */
static void draw_changes_scale(drawing *d, const change_scale *s, double x, double y, double width,
                               bool right)
{
    double scale = STRIP_HEIGHT / (s->high - s->low);
    for (size_t i = 0; s->low + (double)i * s->step <= s->high + 1e-9 * s->step; i++) {
        double value = s->low + (double)i * s->step, at = y + scale * (s->high - value);
        char text[24];
        drawing_colour(d->cr, fabs(value) < 1e-9 ? d->theme->ink : d->theme->faint);
        draw_line(d->cr, 0.5, x, at, x + width, at);
        print_number(text, s->factor * value, s->factor * s->step);
        drawing_font(d, SMALL, false);
        drawing_text(d, right ? x + width + 2.5 : x - 2.5, at + SMALL * 0.36, right ? 0 : 1, BARS_LEFT, text);
    }
}

/* What the absence of each head costs, over all classes; y: where the strip begins. */
static void draw_strip(drawing *d, const figure *f, double x, double width, double y, bool right)
{
    if (!f->importance)
        return;
    columns c = divide(f, width);
    change_scale s = scale_changes(f);
    double top = y + STRIP_TITLE, scale = STRIP_HEIGHT / (s.high - s.low), bar = c.pitch * 0.8, left;
    char title[64], images[64];
    snprintf(title, sizeof title, "Loss change without the head%s", s.factor_text);
    snprintf(images, sizeof images, "n = %llu, all classes%s", (unsigned long long)f->importance->images,
             f->importance->renormalise ? ", gates renormalised" : "");
    drawing_font(d, TEXT, true);
    left = drawing_text_width(d, title);
    drawing_text(d, x, top - 4, 0, width, title);
    drawing_font(d, SMALL, false);
    drawing_text(d, x + left + 4, top - 4, 0, f->width - x - left - 4, images);
    draw_changes_scale(d, &s, x, top, width, right);
    for (size_t h = first_shown(f); h < f->block->heads; h++) {
        const importance *i = importance_of(f->importance, f->block, h);
        double middle = x + column_x(f, &c, h) + c.pitch / 2;
        if (!i)
            continue;
        drawing_colour(d->cr, h < f->block->shared ? d->theme->shared : ramp_at(&d->theme->load, 0.6));
        cairo_rectangle(d->cr, middle - bar / 2, top + scale * s.high, bar, -scale * i->loss.mean);
        cairo_fill(d->cr);
        if (i->loss.high > i->loss.low) // not NaN
            draw_interval(d, middle, c.pitch, top + scale * (s.high - i->loss.low),
                          top + scale * (s.high - i->loss.high), true);
    }
    draw_head_names(d, f, &c, x, top + STRIP_HEIGHT + 7.5);
}

// ---- Bars ------------------------------------------------------------------------------------------

#define BARS_RIGHT  3.0
#define PANEL_GAP   8.0
#define PANEL_TITLE 10.0
#define PANEL_FOOT  11.0 /* the numbers of the heads */
#define X_TITLE     9.0

typedef struct {
    size_t across, down;
    double width, height; /* of a panel's bars */
    double top, step;     /* of the scale */
    double low, high;     /* of the shades */
} bars_layout;

/* What the scale has to reach: all bars, ends of intervals, and the line. */
static double highest(const figure *f)
{
    double most = isnan(level_of(f)) ? 1e-3 : level_of(f);
    for (size_t i = 0; i < f->count; i++) {
        double t = interval_t(f->load->images[f->classes[i]]);
        for (size_t h = first_shown(f); h < f->block->heads; h++) { // fmax takes the other where one is NaN
            most = fmax(most, value_of(f, f->classes[i], h));
            most =
                fmax(most, measure_interval(f->load, f->measure, f->classes[i], f->block->index, h, t).high);
        }
    }
    return most;
}

static bars_layout lay_out_bars(const figure *f)
{
    enum { NARROWEST = 62, ROWS = 5 }; // points of a panel; rows that a page has room for
    bars_layout b = {0};
    double inside = f->width - BARS_LEFT - BARS_RIGHT;
    size_t fit = (size_t)fmax(1, floor((inside + PANEL_GAP) / (NARROWEST + PANEL_GAP)));
    b.down = f->layout == FIGURE_STACKED ? f->count : divide_up(f->count, fit);
    b.across = divide_up(f->count, b.down);
    // Ten in rows of three leave one in the last; in rows of two they leave none.
    size_t fewer = b.across - 1;
    if (b.across * b.down - f->count > 1 && f->count % fewer == 0 && f->count <= ROWS * fewer) {
        b.across = fewer;
        b.down = f->count / fewer;
    }
    b.width = (inside - PANEL_GAP * (double)(b.across - 1)) / (double)b.across;
    bool stacked = f->layout == FIGURE_STACKED;
    b.height =
        fmin(fmax((stacked ? 0.22 : 0.72) * b.width, 46), b.down < (stacked ? 2 * ROWS : ROWS) ? 110 : 54);
    if (!range(f, &b.low, &b.high))
        b.low = b.high = isnan(level_of(f)) ? 1 : level_of(f);
    double most = highest(f);
    b.step = figure_step(most, 5);
    b.top = b.step * ceil(most / b.step - 1e-9);
    if (f->measure == MEASURE_LOAD)
        b.top = fmin(1, b.top);
    return b;
}

static double panel_pitch(const bars_layout *b)
{
    return PANEL_TITLE + b->height + PANEL_FOOT;
}

static double bars_height(const figure *f)
{
    bars_layout b = lay_out_bars(f);
    return head_height(f) + panel_pitch(&b) * (double)b.down + 3 * (double)(b.down - 1) + strip_height(f) +
           X_TITLE + 2;
}

static void draw_scale(drawing *d, const bars_layout *b, double x, double y, bool numbers)
{
    cairo_t *cr = d->cr;
    for (size_t i = 0; (double)i * b->step <= b->top + 1e-9; i++) {
        double value = (double)i * b->step, at = y + b->height * (1 - value / b->top);
        char text[24];
        drawing_colour(cr, i ? d->theme->faint : d->theme->ink);
        draw_line(cr, 0.5, x, at, x + b->width, at);
        if (!numbers)
            continue;
        print_number(text, value, b->step);
        drawing_font(d, SMALL, false);
        drawing_text(d, x - 2.5, at + SMALL * 0.36, 1, BARS_LEFT, text);
    }
}

static void draw_bars(drawing *d, const figure *f, const bars_layout *b, size_t class_index, double x,
                      double y)
{
    cairo_t *cr = d->cr;
    columns c = divide(f, b->width);
    double bar = c.pitch * (c.pitch > 3 ? 0.8 : 0.86), span = b->high - b->low, ground = y + b->height;
    double scale = b->height / b->top, t = interval_t(f->load->images[class_index]);
    for (size_t h = first_shown(f); h < f->block->heads; h++) {
        double value = value_of(f, class_index, h), middle = x + column_x(f, &c, h) + c.pitch / 2;
        double shade = span > 0 ? (value - b->low) / span : 0.5;
        drawing_colour(cr,
                       h < f->block->shared ? d->theme->shared : ramp_at(&d->theme->load, 0.2 + 0.8 * shade));
        cairo_rectangle(cr, middle - bar / 2, ground, bar, -scale * value);
        cairo_fill(cr);
        interval i = measure_interval(f->load, f->measure, class_index, f->block->index, h, t);
        if (i.high > i.low) // not of a head that is always on, and not NaN
            draw_interval(d, middle, c.pitch, ground - scale * i.low, ground - scale * i.high, i.reliable);
    }
}

/* Of a class, and of how many images it is. */
static void draw_title(drawing *d, const figure *f, size_t class_index, double centre, double y, double room)
{
    char images[32], *title = head_load_title(f->load, class_index);
    snprintf(images, sizeof images, "n = %lld", (long long)f->load->images[class_index]);
    drawing_font(d, SMALL, false);
    double gap = 4, right = f->load->images[class_index] ? gap + drawing_text_width(d, images) : 0;
    drawing_font(d, TEXT, true);
    double left = fmin(drawing_text_width(d, title), room - right), x = centre - (left + right) / 2;
    drawing_text(d, x, y, 0, room - right, title);
    free(title);
    drawing_font(d, SMALL, false);
    if (right > 0)
        drawing_text(d, x + left + gap, y, 0, right, images);
}

/* x, y: the corner above and left of the bars. */
static void draw_panel(drawing *d, const figure *f, const bars_layout *b, size_t i, double x, double y)
{
    cairo_t *cr = d->cr;
    columns c = divide(f, b->width);
    draw_scale(d, b, x, y, i % b->across == 0);
    draw_title(d, f, f->classes[i], x + b->width / 2, y - 3.5, b->width);
    if (f->load->images[f->classes[i]]) {
        draw_bars(d, f, b, f->classes[i], x, y);
        draw_level(d, true, x + c.shared_width, x + b->width, y + b->height * (1 - level_of(f) / b->top));
    } else {
        drawing_font(d, TEXT, false);
        drawing_text(d, x + b->width / 2, y + b->height / 2, 0.5, b->width, "no images");
    }
    drawing_colour(cr, d->theme->ink);
    draw_line(cr, 0.5, x, y + b->height, x + b->width, y + b->height);
    draw_head_names(d, f, &c, x, y + b->height + 7.5);
}

static void draw_all_bars(drawing *d, const figure *f)
{
    bars_layout b = lay_out_bars(f);
    double pitch = panel_pitch(&b) + 3, bottom = head_height(f) + pitch * (double)b.down - 3;
    draw_head(d, f, true);
    for (size_t i = 0; i < f->count; i++)
        draw_panel(d, f, &b, i, BARS_LEFT + (double)(i % b.across) * (b.width + PANEL_GAP),
                   head_height(f) + PANEL_TITLE + (double)(i / b.across) * pitch);
    draw_strip(d, f, BARS_LEFT, f->width - BARS_LEFT - BARS_RIGHT, bottom, false);
    draw_x_title(d, f, BARS_LEFT, f->width - BARS_RIGHT, bottom + strip_height(f) + 6.5);
    drawing_text_upwards(d, 8, head_height(f) + (bottom - head_height(f)) / 2, 0.5, bottom - head_height(f),
                         measure_titles[f->measure]);
}

// ---- Heatmap ---------------------------------------------------------------------------------------

#define LEGEND 48.0 /* width of the scale at the right, with its numbers and title */
#define SCALE  76.0 /* least height, which the longest title needs */

typedef struct {
    double row, left, width, height; /* height of a row; the cells' place */
    size_t every;                    /* so many rows have one name */
    double low, high, step;
} heatmap_layout;

/* What the names at the left take; long ones are cut. */
static double names_width(drawing *d, const figure *f)
{
    double widest = 0, most = 0.3 * f->width;
    drawing_font(d, TEXT, false);
    for (size_t i = 0; i < f->count && widest < most; i++) {
        char *title = head_load_title(f->load, f->classes[i]);
        widest = fmax(widest, drawing_text_width(d, title) + 7);
        free(title);
    }
    return fmin(widest, most);
}

/* d NULL: the height alone is asked for. */
static heatmap_layout lay_out_heatmap(drawing *d, const figure *f)
{
    enum { TALLEST = 520 };
    heatmap_layout m = {.row = fmin(9, TALLEST / (double)f->count)};
    m.every = (size_t)ceil((TEXT + 1) / m.row - 1e-9);
    m.left = d ? names_width(d, f) : 0;
    m.width = f->width - m.left - LEGEND;
    m.height = m.row * (double)f->count;
    if (!range(f, &m.low, &m.high))
        m.low = m.high = isnan(level_of(f)) ? 0 : level_of(f);
    if (f->means) { // none is in the middle
        m.high = fmax(fmax(m.high, -m.low), 0.005);
        m.low = -m.high;
    } else if (m.high - m.low < 0.01) {
        m.low = fmax(0, m.low - 0.005);
        m.high = m.low + 0.01;
    }
    m.step = figure_step(m.high - m.low, 5);
    m.low = m.step * floor(m.low / m.step + 1e-9);
    m.high = m.step * ceil(m.high / m.step - 1e-9);
    return m;
}

static double heatmap_height(const figure *f)
{
    return head_height(f) + fmax(lay_out_heatmap(NULL, f).height, SCALE) + PANEL_FOOT + strip_height(f) +
           X_TITLE + 2;
}

static double shade(const heatmap_layout *m, double value)
{
    return (value - m->low) / (m->high - m->low);
}

static const ramp *ramp_of(const theme *t, const figure *f)
{
    return f->means ? &t->difference : &t->load;
}

static colour cell_colour(const theme *t, const figure *f, const heatmap_layout *m, size_t row, size_t head)
{
    if (head < f->block->shared)
        return t->shared;
    return ramp_at(ramp_of(t, f), shade(m, value_of(f, f->classes[row], head)));
}

/* A line in place of the cells of a class without images. */
static void draw_absent(drawing *d, double x, double to_x, double y, double row)
{
    drawing_colour(d->cr, d->theme->shared);
    draw_line(d->cr, fmin(0.6, row / 2), x, y, to_x, y);
}

/* In grays alone what is below 0 is told by more than its shade. */
static bool marks_less(const double *means, const theme *t)
{
    return means && t->gray;
}

static void draw_dash(drawing *d, double x, double y, double width, double height)
{
    drawing_colour(d->cr, d->theme->ink);
    cairo_rectangle(d->cr, x + width * 0.3, y + height / 2 - 0.3, width * 0.4, 0.6);
    cairo_fill(d->cr);
}

static void draw_cells(drawing *d, const figure *f, const heatmap_layout *m)
{
    cairo_t *cr = d->cr;
    columns c = divide(f, m->width);
    double gap = m->row >= 4 ? 0.4 : 0; // thin rows touch
    for (size_t i = 0; i < f->count; i++) {
        bool absent = !f->load->images[f->classes[i]];
        if (absent)
            draw_absent(d, m->left, m->left + m->width, head_height(f) + m->row * ((double)i + 0.5), m->row);
        for (size_t h = first_shown(f); !absent && h < f->block->heads; h++) {
            drawing_colour(cr, cell_colour(d->theme, f, m, i, h));
            cairo_rectangle(cr, m->left + column_x(f, &c, h), head_height(f) + m->row * (double)i,
                            c.pitch - 0.4, m->row - gap);
            cairo_fill(cr);
            if (marks_less(f->means, d->theme) && gap > 0 && h >= f->block->shared &&
                value_of(f, f->classes[i], h) < 0)
                draw_dash(d, m->left + column_x(f, &c, h), head_height(f) + m->row * (double)i, c.pitch - 0.4,
                          m->row - gap);
        }
    }
}

static void draw_class_names(drawing *d, const figure *f, const heatmap_layout *m)
{
    cairo_t *cr = d->cr;
    drawing_font(d, TEXT, false);
    for (size_t i = m->every / 2; i < f->count; i += m->every) {
        char *title = head_load_title(f->load, f->classes[i]);
        double y = head_height(f) + m->row * ((double)i + 0.5);
        drawing_text(d, m->left - 4, y + TEXT * 0.36, 1, m->left - 6, title);
        free(title);
        if (m->every > 1)
            draw_line(cr, 0.5, m->left - 3, y, m->left - 0.5, y);
    }
}

/* What a row without cells is. */
static void draw_absent_key(drawing *d, const figure *f, double x, double y)
{
    bool any = false;
    for (size_t i = 0; i < f->count && !any; i++)
        any = !f->load->images[f->classes[i]];
    if (!any)
        return;
    draw_absent(d, x, x + 6, y + 3, 9);
    drawing_font(d, SMALL, false);
    drawing_text(d, x + 8.5, y + 5, 0, LEGEND - 16.5, "no images");
}

static void draw_legend(drawing *d, const figure *f, const heatmap_layout *m)
{
    double x = f->width - LEGEND + 8, width = 6, height = fmin(fmax(m->height, SCALE), 120), numbers = 0;
    char title[64];
    drawing_scale(d->cr, x, head_height(f), width, height, true, ramp_of(d->theme, f));
    if (marks_less(f->means, d->theme) && m->row >= 4)
        draw_dash(d, x, head_height(f) + height * 0.75, width, 0);
    drawing_font(d, SMALL, false);
    for (size_t i = 0; m->low + (double)i * m->step <= m->high + 1e-9; i++) {
        char text[24];
        double value = m->low + (double)i * m->step;
        print_number(text, value, m->step);
        drawing_text(d, x + width + 2.5, head_height(f) + height * (1 - shade(m, value)) + SMALL * 0.36, 0,
                     LEGEND, text);
        numbers = fmax(numbers, drawing_text_width(d, text));
    }
    snprintf(title, sizeof title, "%s%s", measure_titles[f->measure], f->means ? " − head’s mean" : "");
    drawing_text_upwards(d, x + width + 2.5 + numbers + SMALL + 1.5, head_height(f) + height / 2, 0.5, height,
                         title);
    draw_absent_key(d, f, x, head_height(f) + height + 8);
    double level = shade(m, level_of(f)); // of a load from 0 to 1, since it is the mean of each class's
    if (level >= 0 && level <= 1)
        draw_level(d, false, x - 3, x + width, head_height(f) + height * (1 - level));
}

static void draw_heatmap(drawing *d, const figure *f)
{
    heatmap_layout m = lay_out_heatmap(d, f);
    columns c = divide(f, m.width);
    draw_head(d, f, false);
    draw_cells(d, f, &m);
    draw_class_names(d, f, &m);
    draw_legend(d, f, &m);
    draw_head_names(d, f, &c, m.left, head_height(f) + m.height + 7.5);
    double bottom = head_height(f) + fmax(m.height, f->importance ? SCALE : 0) + PANEL_FOOT;
    draw_strip(d, f, m.left, m.width, bottom, true);
    draw_x_title(d, f, m.left, m.left + m.width, bottom + strip_height(f) + 6.5);
}

// ---- In words --------------------------------------------------------------------------------------

static void say(bytes *b, const char *format, ...) PRINTF_LIKE(2, 3);

static void say(bytes *b, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bytes_put(b, text, strlen(text));
}

static void say_class(bytes *b, const figure *f, size_t class_index)
{
    char *title = head_load_title(f->load, class_index);
    b->failed = b->failed || !title;
    if (title)
        bytes_put(b, title, strlen(title));
    free(title);
}

static void say_head(bytes *b, const figure *f, size_t class_index, size_t head)
{
    char name[ROUTING_HEAD_NAME];
    routing_head_name(name, f->block, head);
    say(b, " %s %.3f", name, value_of(f, class_index, head));
}

/* "Bag (n = 1000): highest r2 0.831, r9 0.745, r4 0.660; lowest r12 0.002." */
static void say_values(bytes *b, const figure *f, size_t class_index)
{
    enum { HIGHEST = 3 };
    size_t first = f->block->shared, said[HIGHEST], count = 0, lowest = first;
    say_class(b, f, class_index);
    if (!f->load->images[class_index]) {
        say(b, ": no images.");
        return;
    }
    say(b, " (n = %lld): highest", (long long)f->load->images[class_index]);
    while (count < HIGHEST && count < routing_candidates(f->block)) {
        size_t best = SIZE_MAX;
        for (size_t h = first; h < f->block->heads; h++) {
            bool fresh = true;
            for (size_t i = 0; i < count; i++)
                fresh = fresh && said[i] != h;
            if (fresh && (best == SIZE_MAX || value_of(f, class_index, h) > value_of(f, class_index, best)))
                best = h;
            if (value_of(f, class_index, h) < value_of(f, class_index, lowest))
                lowest = h;
        }
        if (count)
            say(b, ",");
        say_head(b, f, class_index, best);
        said[count++] = best;
    }
    say(b, "; lowest");
    say_head(b, f, class_index, lowest);
    say(b, ".");
}

/* " Loss change without the head, n = 300: most r14 0.030 (0.018 to 0.042), r2 …" */
static void say_importance(bytes *b, const figure *f)
{
    enum { MOST = 3 };
    const importance *last = NULL;
    if (!f->importance)
        return;
    say(b, " Loss change without the head, n = %llu: most", (unsigned long long)f->importance->images);
    for (size_t n = 0; n < MOST; n++) {
        const importance *best = NULL;
        size_t at = 0;
        for (size_t h = first_shown(f); h < f->block->heads; h++) {
            const importance *i = importance_of(f->importance, f->block, h);
            // Below the last one, or equal to it and behind it.
            bool left = i && (!last || i->loss.mean < last->loss.mean ||
                              (i->loss.mean <= last->loss.mean && i > last));
            if (left && (!best || i->loss.mean > best->loss.mean)) {
                best = i;
                at = h;
            }
        }
        if (!best)
            break;
        char name[ROUTING_HEAD_NAME];
        routing_head_name(name, f->block, at);
        say(b, "%s %s %.4f", n ? "," : "", name, change_shown(best->loss.mean));
        if (best->loss.high >= best->loss.low)
            say(b, " (%.4f to %.4f)", change_shown(best->loss.low), change_shown(best->loss.high));
        last = best;
    }
    say(b, ".");
}

static void describe(drawing *d, const figure *f)
{
    enum { MOST = 12 }; // classes; who wants all numbers asks `export`
    static const char *const forms[] = {
        [FIGURE_GRID] = "Bars in a panel for each class",
        [FIGURE_STACKED] = "Bars in a panel for each class, one panel below the other",
        [FIGURE_HEATMAP] = "Heatmap with a row for each class and a column for each head"};
    bytes title = {0}, text = {0};
    say(&title, "%s%s of the routed heads of block %s", measure_titles[f->measure],
        f->means ? " minus the head's mean over all classes" : "", f->block->name);
    say(&text, "%s; each token selects %zu of %zu routed heads.", forms[f->layout], f->block->routed,
        routing_candidates(f->block));
    if (!isnan(level_of(f)))
        say(&text, f->measure == MEASURE_LOAD ? " Balanced load: %.3f." : " Even gate share: %.3f.",
            level_of(f));
    if (lacks_intervals(f))
        say(&text, " Gate shares have no intervals.");
    if (marks_less(f->means, d->theme))
        say(&text, " A dash marks what is below the mean.");
    if (f->without) {
        say(&text, " All of it was ");
        bytes_put(&text, f->without, strlen(f->without));
        say(&text, ".");
    }
    if (f->count > MOST)
        say(&text, " %zu classes; the first %d:", f->count, MOST);
    for (size_t i = 0; i < f->count && i < MOST; i++) {
        say(&text, " ");
        say_values(&text, f, f->classes[i]);
    }
    say_importance(&text, f);
    bytes_put(&title, "", 1);
    bytes_put(&text, "", 1);
    drawing_describe(d, title.failed ? NULL : (char *)title.data, text.failed ? NULL : (char *)text.data);
    bytes_free(&title);
    bytes_free(&text);
}

// ---- Any layout ------------------------------------------------------------------------------------

double figure_height(const figure *f)
{
    return f->layout == FIGURE_HEATMAP ? heatmap_height(f) : bars_height(f);
}

void figure_draw(drawing *d, const figure *f)
{
    describe(d, f);
    (f->layout == FIGURE_HEATMAP ? draw_heatmap : draw_all_bars)(d, f);
}

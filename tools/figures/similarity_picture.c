#include "tools/figures/similarity_picture.h"

#include "base/memory.h"
#include "tools/figures/figure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT  7.0
#define SMALL 6.0
#define LINE  13.0 /* what the first line takes */
#define MORE  8.0  /* and a second one */
#define NAMES 0.28 /* of the width */
#define TREE  0.16
#define FOOT  22.0 /* the scale */

/* The matrix, its rows from top to bottom in the order of the leaves. */
typedef struct {
    double top, left, side, cell;
    double low, step; /* of the scale, which ends at 1 */
} layout;

static layout lay_out(const similarity_matrix *s, double width)
{
    layout m = {.top = LINE + (s->without ? MORE : 0),
                .left = NAMES * width,
                .side = (1 - NAMES - TREE) * width,
                .low = 1};
    for (size_t i = 0; i < s->count * s->count; i++)
        m.low = fmin(m.low, 1 - s->difference[i]);
    m.low = fmin(m.low, 0.99);
    m.cell = m.side / (double)s->count;
    m.step = figure_step(1 - m.low, 4);
    m.low = fmax(0, 1 - m.step * ceil((1 - m.low) / m.step - 1e-9));
    return m;
}

double similarity_figure_height(const similarity_matrix *s, double width)
{
    const layout m = lay_out(s, width);
    return m.top + m.side + FOOT;
}

static colour shade(const drawing *d, const layout *m, double similarity)
{
    return ramp_at(&d->theme->load, (similarity - m->low) / (1 - m->low));
}

static void draw_head(drawing *d, const similarity_matrix *s, double width)
{
    drawing_describe(d, s->title, s->description);
    drawing_font(d, TEXT, false);
    drawing_text(d, 2, 8.5, 0, width - 4, s->title);
    drawing_font(d, SMALL, false);
    if (s->without)
        drawing_text(d, 2, 8.5 + MORE, 0, width - 4, s->without);
}

static void draw_cells(const drawing *d, const similarity_matrix *s, const layout *m)
{
    cairo_t *cr = d->cr;
    double gap = m->cell >= 4 ? 0.4 : 0; // thin rows touch
    for (size_t i = 0; i < s->count; i++) {
        for (size_t j = 0; j < s->count; j++) {
            drawing_colour(cr, shade(d, m, similarity_of(s, s->order[i], s->order[j])));
            cairo_rectangle(cr, m->left + m->cell * (double)j, m->top + m->cell * (double)i, m->cell - gap,
                            m->cell - gap);
            cairo_fill(cr);
        }
    }
}

/* As many as there is room for. */
static void draw_names(drawing *d, const similarity_matrix *s, const layout *m)
{
    size_t every = (size_t)ceil((TEXT + 1) / m->cell - 1e-9);
    drawing_font(d, TEXT, false);
    for (size_t i = every / 2; i < s->count; i += every) {
        double y = m->top + m->cell * ((double)i + 0.5);
        drawing_text(d, m->left - 4, y + TEXT * 0.36, 1, m->left - 6, s->names[s->order[i]]);
    }
}

/* Where a cluster stands: the middle of its leaves, and how far to the right. */
typedef struct {
    double x, y;
} joint;

static void draw_tree(drawing *d, const similarity_matrix *s, const layout *m, double width)
{
    size_t n = s->count;
    joint *at = memory_alloc(2 * n, sizeof *at);
    if (!at) {
        d->no_memory = true;
        return;
    }
    double left = m->left + m->side + 2, room = width - left - 2, most = n > 1 ? s->steps[n - 2].distance : 0;
    for (size_t i = 0; i < n; i++)
        at[s->order[i]] = (joint){left, m->top + m->cell * ((double)i + 0.5)};
    drawing_colour(d->cr, d->theme->ink);
    cairo_set_line_width(d->cr, n > 200 ? 0.25 : 0.5);
    for (size_t i = 0; i + 1 < n; i++) {
        const joint a = at[s->steps[i].a], b = at[s->steps[i].b];
        joint *to = &at[n + i];
        *to = (joint){left + room * (most > 0 ? s->steps[i].distance / most : 0), (a.y + b.y) / 2};
        cairo_move_to(d->cr, a.x, a.y);
        cairo_line_to(d->cr, to->x, a.y);
        cairo_line_to(d->cr, to->x, b.y);
        cairo_line_to(d->cr, b.x, b.y);
        cairo_stroke(d->cr);
    }
    free(at);
}

static void draw_scale(drawing *d, const layout *m)
{
    double y = m->top + m->side + 5, height = 5;
    drawing_scale(d->cr, m->left, y, m->side, height, false, &d->theme->load);
    drawing_font(d, SMALL, false);
    for (size_t i = 0; m->low + (double)i * m->step < 1 + m->step / 2; i++) {
        char text[24];
        double value = m->low + (double)i * m->step;
        double part = fmin((value - m->low) / (1 - m->low), 1);
        snprintf(text, sizeof text, "%.3g", fmin(value, 1));
        drawing_text(d, m->left + m->side * part, y + height + 7,
                     part < 0.1   ? 0
                     : part > 0.9 ? 1
                                  : 0.5,
                     60, text);
    }
}

void similarity_figure(drawing *d, const similarity_matrix *s, double width)
{
    const layout m = lay_out(s, width);
    draw_head(d, s, width);
    draw_cells(d, s, &m);
    draw_names(d, s, &m);
    draw_tree(d, s, &m, width);
    draw_scale(d, &m);
}

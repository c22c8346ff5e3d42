#include "tools/figures/route_picture.h"

#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- One head --------------------------------------------------------------------------------------

double route_load(const routes *r, size_t head)
{
    size_t N = r->side * r->side, count = 0;
    for (size_t n = 0; n < N; n++)
        count += r->pick[n * r->block->heads + head];
    return (double)count / (double)N;
}

void route_head_title(char out[64], const routes *r, size_t head)
{
    char name[ROUTING_HEAD_NAME];
    routing_head_name(name, r->block, head);
    if (head < r->block->shared)
        snprintf(out, 64, "%s", name);
    else
        snprintf(out, 64, "%s: %.0f %%", name, 100 * route_load(r, head));
}

// ---- Tints -----------------------------------------------------------------------------------------

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Of the heads from first to end − 1. */
static bool fit_scale(tint_scale *s, const routes *r, size_t count, size_t first, size_t end)
{
    size_t tokens = r->side * r->side, heads = r->block->heads, n = 0;
    float *selected = memory_alloc(size_product(count, tokens * heads), sizeof *selected);
    if (!selected)
        return false;
    for (size_t i = 0; i < count * tokens; i++)
        for (size_t h = first; h < end; h++)
            if (r[i / tokens].pick[i % tokens * heads + h])
                selected[n++] = r[i / tokens].gate[i % tokens * heads + h];
    qsort(selected, n, sizeof *selected, compare_floats);
    s->high = n ? (double)selected[(n - 1) * 49 / 50] : 0;
    s->low = n && s->logarithmic ? (double)selected[n / 50] : 0;
    free(selected);
    return true;
}

bool route_look_fit(route_look *look, const routes *r, size_t count)
{
    size_t heads = r->block->heads, shared = look->tint == TINT_KIND ? r->block->shared : heads;
    look->shared.logarithmic = look->tint == TINT_LOG;
    if (!fit_scale(&look->shared, r, count, 0, shared))
        return false;
    look->routed = look->shared;
    return look->tint != TINT_KIND || fit_scale(&look->routed, r, count, shared, heads);
}

/* 0 … 1, of the strongest tint. */
static double strength(const tint_scale *s, double gate)
{
    double t = s->logarithmic ? log(gate / s->low) / log(s->high / s->low) : gate / s->high;
    return t > 0 ? t < 1 ? t : 1 : 0; // and 0 where it is NaN
}

/* Luma of ITU-R BT.601. */
static double luma(const uint8_t *rgb)
{
    return (0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]) / 255;
}

static void put_pixel(uint8_t *out, double r, double g, double b)
{
    const double values[] = {r, g, b};
    for (size_t k = 0; k < 3; k++)
        out[k] = (uint8_t)lround(255 * (values[k] > 0 ? values[k] < 1 ? values[k] : 1 : 0));
}

/* How much of an overlay is tint. */
static double cover(double t)
{
    return 0.2 + 0.6 * t;
}

/* `under` with the tint on it. */
static colour overlaid(const theme *t, colour under, double strength_of_tint)
{
    double a = cover(strength_of_tint);
    colour over = ramp_at(&t->gate, 1);
    return (colour){(1 - a) * under.r + a * over.r, (1 - a) * under.g + a * over.g,
                    (1 - a) * under.b + a * over.b};
}

void route_picture(uint8_t *out, const uint8_t *crop, size_t S, const routes *r, size_t head,
                   const route_look *look)
{
    const tint_scale *scale = head < r->block->shared ? &look->shared : &look->routed;
    for (size_t i = 0; i < S * S; i++) {
        size_t token = i / S * r->side / S * r->side + i % S * r->side / S;
        bool selected = r->pick[token * r->block->heads + head];
        double gray = luma(crop + 3 * i);
        double t = selected ? strength(scale, (double)r->gate[token * r->block->heads + head]) : 0;
        colour c = {0.05 + 0.22 * gray, 0.05 + 0.22 * gray, 0.05 + 0.22 * gray};
        if (look->overlay) {
            c = (colour){crop[3 * i] / 255.0, crop[3 * i + 1] / 255.0, crop[3 * i + 2] / 255.0};
            c = look->theme->gray ? (colour){gray, gray, gray} : c;
            c = selected ? overlaid(look->theme, c, t) : c;
        } else if (selected) {
            // The picture's light with the tint's hue; black parts keep some, or a dark picture would show no
            // gate. Grays need it darker than the weakest tint is, to be told from what is not selected.
            double light = look->theme->gray ? 0.75 + 0.25 * gray : 0.45 + 0.55 * gray;
            c = ramp_at(&look->theme->gate, t);
            c = (colour){light * c.r, light * c.g, light * c.b};
        }
        put_pixel(out + 3 * i, c.r, c.g, c.b);
    }
}

// ---- All heads -------------------------------------------------------------------------------------

#define TEXT   7.0
#define TOP    13.0
#define TITLE  9.5
#define GAP    5.0
#define MARGIN 2.0
#define KEY    19.0 /* of a line of the key */

typedef struct {
    size_t across, down;
    double side, picture; /* of a panel; height of all of one picture's, with its title */
} layout;

/* Of a picture's panels; it comes first itself. */
static layout lay_out(const route_figure *f)
{
    enum { SMALLEST = 50 }; // points of a panel
    size_t panels = f->routes->block->heads + 1,
           fit = (size_t)fmax(1, floor((f->width - 2 * MARGIN + GAP) / (SMALLEST + GAP)));
    layout l = {.down = divide_up(panels, fit)};
    l.across = divide_up(panels, l.down);
    l.side = (f->width - 2 * MARGIN - GAP * (double)(l.across - 1)) / (double)l.across;
    l.picture = (l.side + TITLE + 2) * (double)l.down + (f->count > 1 ? TITLE + 4 : 0);
    return l;
}

static void draw_image(drawing *d, const uint8_t *rgb, size_t S, double x, double y, double side)
{
    cairo_t *cr = d->cr;
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)S, (int)S);
    if (cairo_surface_status(surface)) {
        d->no_memory = true;
        return;
    }
    size_t stride = (size_t)cairo_image_surface_get_stride(surface);
    for (size_t row = 0; row < S; row++) {
        uint32_t *to = (uint32_t *)(void *)(cairo_image_surface_get_data(surface) + row * stride);
        for (size_t i = 0; i < S; i++) {
            const uint8_t *p = rgb + (row * S + i) * 3;
            to[i] = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        }
    }
    cairo_surface_mark_dirty(surface);
    cairo_save(cr);
    cairo_translate(cr, x, y);
    cairo_scale(cr, side / (double)S, side / (double)S);
    cairo_set_source_surface(cr, surface, 0, 0);
    cairo_pattern_set_extend(cairo_get_source(cr), CAIRO_EXTEND_PAD); // no blur into the paper
    cairo_rectangle(cr, 0, 0, (double)S, (double)S);
    cairo_fill(cr);
    cairo_restore(cr);
    cairo_surface_destroy(surface);
}

/* Dark and light, to be seen on both. */
static void stroke_border(cairo_t *cr, double thin)
{
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_SQUARE);
    drawing_colour(cr, (colour){1, 1, 1});
    cairo_set_line_width(cr, 2.4 * thin);
    cairo_stroke_preserve(cr);
    drawing_colour(cr, (colour){0, 0, 0});
    cairo_set_line_width(cr, thin);
    cairo_stroke(cr);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_BUTT);
}

/* Between tokens that selected the head and tokens that did not. */
static void draw_border(drawing *d, const routes *r, size_t head, double x, double y, double side)
{
    cairo_t *cr = d->cr;
    double token = side / (double)r->side, thin = fmin(0.5, token / 8);
    size_t heads = r->block->heads;
    for (size_t row = 0; row < r->side; row++) {
        for (size_t column = 0; column < r->side; column++) {
            const uint8_t *pick = r->pick + (row * r->side + column) * heads + head;
            double left = x + token * (double)column, top = y + token * (double)row;
            if (column && *pick != *(pick - heads)) {
                cairo_move_to(cr, left, top);
                cairo_line_to(cr, left, top + token);
            }
            if (row && *pick != *(pick - r->side * heads)) {
                cairo_move_to(cr, left, top);
                cairo_line_to(cr, left + token, top);
            }
        }
    }
    stroke_border(cr, thin);
}

/* x, y: the corner above and left of the first panel's title. */
static void draw_picture(drawing *d, const route_figure *f, const layout *l, size_t picture, double y,
                         uint8_t *scratch)
{
    const routes *r = &f->routes[picture];
    char text[64];
    if (f->count > 1) {
        drawing_font(d, TEXT, true);
        drawing_text(d, MARGIN, y + TITLE - 2, 0, f->width - 2 * MARGIN, f->titles[picture]);
        y += TITLE + 2;
    }
    for (size_t i = 0; i <= r->block->heads; i++) {
        double x = MARGIN + (double)(i % l->across) * (l->side + GAP);
        double top = y + (double)(i / l->across) * (l->side + TITLE + 2) + TITLE;
        if (i)
            route_picture(scratch, f->crops[picture], f->S, r, i - 1, &f->look);
        draw_image(d, i ? scratch : f->crops[picture], f->S, x, top, l->side);
        if (i && f->look.overlay)
            draw_border(d, r, i - 1, x, top, l->side);
        if (i)
            route_head_title(text, r, i - 1);
        else
            snprintf(text, sizeof text, "input");
        drawing_font(d, TEXT, !i);
        drawing_text(d, x + l->side / 2, top - 2.5, 0.5, l->side, text);
    }
}

// ---- The key ---------------------------------------------------------------------------------------

typedef struct {
    double x, y; /* of the next item */
} key;

/* Makes room for an item: on the next line where it does not fit into this one. */
static void make_room(key *k, double length, double width)
{
    if (k->x > MARGIN && k->x + length > width - MARGIN)
        *k = (key){MARGIN, k->y + KEY};
}

enum { BAR = 56, SWATCH = 12, LETTER = 4, SPACE = 8 }; // points; LETTER: wider than letters are on average

/* Around what may be as light, or as dark, as the paper. */
static void draw_frame(drawing *d, double x, double y, double width, double height)
{
    drawing_colour(d->cr, d->theme->shared);
    cairo_set_line_width(d->cr, 0.3);
    cairo_rectangle(d->cr, x, y, width, height);
    cairo_stroke(d->cr);
}

/* d NULL: to see how much room it takes. */
static void draw_scale(drawing *d, const route_figure *f, key *k, const tint_scale *s, const char *label)
{
    double length = BAR + 4 + LETTER * (double)strlen(label), height = 6;
    char low[32], high[32];
    make_room(k, length, f->width);
    if (d) {
        colour gray = {0.5, 0.5, 0.5}, ends[] = {overlaid(d->theme, gray, 0), overlaid(d->theme, gray, 1)};
        ramp shown = d->theme->gate;
        for (size_t i = 0; f->look.overlay && i < 2; i++) {
            shown.count = 2;
            put_pixel(shown.stops[i], ends[i].r, ends[i].g, ends[i].b);
        }
        drawing_scale(d->cr, k->x, k->y, BAR, height, false, &shown);
        draw_frame(d, k->x, k->y, BAR, height);
        drawing_font(d, TEXT, false);
        snprintf(low, sizeof low, s->logarithmic ? "≤ %.2g" : "%.0f", s->low);
        snprintf(high, sizeof high, "≥ %.2g", s->high);
        drawing_text(d, k->x, k->y + height + 7, 0, BAR, low);
        drawing_text(d, k->x + BAR, k->y + height + 7, 1, BAR, high);
        drawing_text(d, k->x + BAR + 4, k->y + height - 0.5, 0, f->width - k->x - BAR - 4, label);
    }
    k->x += length + SPACE;
}

/* What has no tint. */
static void draw_swatch(drawing *d, const route_figure *f, key *k)
{
    const char *label = f->look.overlay ? "border of selection" : "not selected";
    double length = SWATCH + 4 + LETTER * (double)strlen(label), height = 6;
    make_room(k, length, f->width);
    if (d && f->look.overlay) {
        cairo_move_to(d->cr, k->x, k->y + height / 2);
        cairo_line_to(d->cr, k->x + SWATCH, k->y + height / 2);
        stroke_border(d->cr, 0.5);
    } else if (d) {
        drawing_colour(d->cr, (colour){0.16, 0.16, 0.16});
        cairo_rectangle(d->cr, k->x, k->y, SWATCH, height);
        cairo_fill(d->cr);
        draw_frame(d, k->x, k->y, SWATCH, height);
    }
    if (d) {
        drawing_font(d, TEXT, false);
        drawing_text(d, k->x + SWATCH + 4, k->y + height - 0.5, 0, f->width - k->x - SWATCH - 4, label);
    }
}

/* Returns where it ends; d NULL: nothing is drawn. */
static double draw_key(drawing *d, const route_figure *f, double y)
{
    const routing_block *b = f->routes->block;
    key k = {MARGIN, y};
    if (f->look.tint != TINT_KIND) {
        draw_scale(d, f, &k, &f->look.routed, "gate");
    } else {
        if (b->shared)
            draw_scale(d, f, &k, &f->look.shared, "gate: shared");
        draw_scale(d, f, &k, &f->look.routed, "gate: routed");
    }
    draw_swatch(d, f, &k);
    return k.y + KEY;
}

// ---- The figure ------------------------------------------------------------------------------------

static double key_top(const route_figure *f, const layout *l)
{
    return TOP + l->picture * (double)f->count + 5;
}

double route_figure_height(const route_figure *f)
{
    layout l = lay_out(f);
    return draw_key(NULL, f, key_top(f, &l)) - 2;
}

/* What the figure is, and of each picture what part of its patches selected each routed head. */
static void describe(drawing *d, const route_figure *f)
{
    enum { MOST = 12 };
    bytes text = {0};
    char title[96], part[64];
    snprintf(title, sizeof title, "Patches that select each head of block %s", f->routes->block->name);
    for (size_t i = 0; i < f->count && i < MOST; i++) {
        bytes_put(&text, f->titles[i], strlen(f->titles[i]));
        bytes_put(&text, ". ", 2);
        for (size_t h = 0; h < f->routes->block->heads; h++) {
            bool last = h + 1 == f->routes->block->heads;
            route_head_title(part, &f->routes[i], h);
            bytes_put(&text, part, strlen(part));
            bytes_put(&text, last ? ". " : ", ", 2);
        }
    }
    if (f->count > MOST) {
        snprintf(part, sizeof part, "And %zu more pictures.", f->count - MOST);
        bytes_put(&text, part, strlen(part));
    }
    bytes_put(&text, "", 1);
    drawing_describe(d, title, text.failed ? NULL : (char *)text.data);
    bytes_free(&text);
}

void route_figure_draw(drawing *d, const route_figure *f)
{
    const routes *r = f->routes;
    layout l = lay_out(f);
    uint8_t *scratch = memory_alloc(f->S * f->S, 3);
    char text[160];
    if (!scratch) {
        d->no_memory = true;
        return;
    }
    describe(d, f);
    double room = f->width - 2 * MARGIN;
    int length = snprintf(text, sizeof text, "Block %s: %zu of %zu routed heads", r->block->name,
                          r->block->routed, routing_candidates(r->block));
    snprintf(text + length, sizeof text - (size_t)length, " for each of %zu x %zu patches", r->side, r->side);
    drawing_font(d, TEXT, false);
    if (drawing_text_width(d, text) > room)
        text[length] = 0;
    drawing_text(d, MARGIN, 8.5, 0, room, text);
    for (size_t i = 0; i < f->count; i++)
        draw_picture(d, f, &l, i, TOP + l.picture * (double)i, scratch);
    draw_key(d, f, key_top(f, &l));
    free(scratch);
}

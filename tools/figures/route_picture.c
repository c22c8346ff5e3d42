#include "tools/figures/route_picture.h"

#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

// ---- One head --------------------------------------------------------------------------------------

double route_load(const routes *r, size_t head)
{
    size_t N = r->side * r->side, count = 0;
    for (size_t n = 0; n < N; n++)
        count += r->pick[n * r->block->heads + head];
    return (double)count / (double)N;
}

/* Of a gate, 0 … 1 of the strong one: from cream to vermilion (Okabe and Ito 2008), which gets darker as it
 * gets redder. */
static colour tint_of(double gate)
{
    double t = gate > 0 ? gate < 1 ? gate : 1 : 0;
    return (colour){1 - 0.165 * t, 0.93 - 0.56 * t, 0.72 - 0.72 * t};
}

/* Luma of ITU-R BT.601. */
static double luma(const uint8_t *rgb)
{
    return (0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]) / 255;
}

static uint8_t byte(double value)
{
    return (uint8_t)lround(255 * (value > 0 ? value < 1 ? value : 1 : 0));
}

void route_picture(uint8_t *out, const uint8_t *crop, size_t S, const routes *r, size_t head)
{
    for (size_t i = 0; i < S * S; i++) {
        size_t token = i / S * r->side / S * r->side + i % S * r->side / S;
        double gray = luma(crop + 3 * i), gate = (double)r->gate[token * r->block->heads + head];
        if (!r->pick[token * r->block->heads + head]) {
            for (size_t k = 0; k < 3; k++)
                out[3 * i + k] = byte(0.05 + 0.22 * gray);
            continue;
        }
        // The picture's light with the tint's hue; black parts keep some, or a dark picture would show no
        // gate.
        colour tint = tint_of(r->strong > 0 ? gate / (double)r->strong : 0);
        double light = 0.45 + 0.55 * gray;
        out[3 * i] = byte(light * tint.r);
        out[3 * i + 1] = byte(light * tint.g);
        out[3 * i + 2] = byte(light * tint.b);
    }
}

// ---- All heads -------------------------------------------------------------------------------------

#define TEXT   7.0
#define TOP    13.0
#define TITLE  9.5
#define GAP    5.0
#define MARGIN 2.0
#define FOOT   22.0

typedef struct {
    size_t across, down;
    double side;
} layout;

/* The picture itself comes first. */
static layout lay_out(const routes *r, double width)
{
    enum { SMALLEST = 50 }; // points of a picture
    size_t panels = r->block->heads + 1,
           fit = (size_t)fmax(1, floor((width - 2 * MARGIN + GAP) / (SMALLEST + GAP)));
    layout l = {.down = divide_up(panels, fit)};
    l.across = divide_up(panels, l.down);
    l.side = (width - 2 * MARGIN - GAP * (double)(l.across - 1)) / (double)l.across;
    return l;
}

double route_figure_height(const routes *r, double width)
{
    layout l = lay_out(r, width);
    return TOP + (l.side + TITLE + 2) * (double)l.down + FOOT;
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

void route_head_title(char out[64], const routes *r, size_t head)
{
    char name[ROUTING_HEAD_NAME];
    routing_head_name(name, r->block, head);
    if (head < r->block->shared)
        snprintf(out, 64, "%s", name);
    else
        snprintf(out, 64, "%s: %.0f %%", name, 100 * route_load(r, head));
}

static void draw_scale(drawing *d, const routes *r, double y, double width)
{
    cairo_t *cr = d->cr;
    double x = MARGIN, length = fmin(70, width / 3), height = 6;
    char strong[32];
    drawing_scale(cr, x, y, length, height, false, tint_of);
    drawing_font(cr, TEXT, false);
    snprintf(strong, sizeof strong, "≥ %.2f", (double)r->strong);
    drawing_text(d, x, y + height + 7, 0, 20, "0");
    drawing_text(d, x + length / 2, y + height + 7, 0.5, length, "gate");
    drawing_text(d, x + length, y + height + 7, 1, length, strong);
    drawing_colour(cr, (colour){0.16, 0.16, 0.16});
    cairo_rectangle(cr, x + length + 16, y, 12, height);
    cairo_fill(cr);
    drawing_colour(cr, drawing_ink);
    drawing_text(d, x + length + 32, y + height, 0, width - length - 36, "not selected");
}

void route_figure(drawing *d, const routes *r, const uint8_t *crop, size_t S, double width)
{
    cairo_t *cr = d->cr;
    layout l = lay_out(r, width);
    uint8_t *picture = memory_alloc(S * S, 3);
    char text[160];
    if (!picture) {
        d->no_memory = true;
        return;
    }
    snprintf(text, sizeof text, "Block %s: %zu of %zu routed heads for each of %zu x %zu patches",
             r->block->name, r->block->routed, routing_candidates(r->block), r->side, r->side);
    drawing_font(cr, TEXT, false);
    drawing_text(d, MARGIN, 8.5, 0, width - 2 * MARGIN, text);
    for (size_t i = 0; i <= r->block->heads; i++) {
        double x = MARGIN + (double)(i % l.across) * (l.side + GAP);
        double y = TOP + (double)(i / l.across) * (l.side + TITLE + 2) + TITLE;
        if (i)
            route_picture(picture, crop, S, r, i - 1);
        draw_image(d, i ? picture : crop, S, x, y, l.side);
        if (i)
            route_head_title(text, r, i - 1);
        else
            snprintf(text, sizeof text, "input");
        drawing_font(cr, TEXT, !i);
        drawing_text(d, x + l.side / 2, y - 2.5, 0.5, l.side, text);
    }
    draw_scale(d, r, TOP + (l.side + TITLE + 2) * (double)l.down + 5, width);
    free(picture);
}

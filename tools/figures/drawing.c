#include "tools/figures/drawing.h"

#include "base/replace_file.h"
#include "base/utf8.h"

#include <cairo-pdf.h>
#include <cairo-svg.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Of one side of a PNG, with Cairo. */
#define MAX_DOTS 32767

// ---- The file --------------------------------------------------------------------------------------

bool drawing_format_of(drawing_format *out, const char *path)
{
    static const char *const endings[] = {".svg", ".png", ".pdf"};
    size_t length = strlen(path);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        if (length > 4 && !strcasecmp(path + length - 4, endings[i])) {
            *out = (drawing_format)i;
            return true;
        }
    }
    return false;
}

static cairo_status_t keep_bytes(void *closure, const unsigned char *data, unsigned length)
{
    bytes_put(closure, data, length);
    return ((bytes *)closure)->failed ? CAIRO_STATUS_NO_MEMORY : CAIRO_STATUS_SUCCESS;
}

static cairo_surface_t *create_surface(drawing *d, double width, double height, double dpi)
{
    double scale = dpi / 72;
    switch (d->format) {
    case DRAWING_SVG:
        return cairo_svg_surface_create_for_stream(keep_bytes, &d->file, width, height);
    case DRAWING_PDF:
        return cairo_pdf_surface_create_for_stream(keep_bytes, &d->file, width, height);
    default:
        return cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)lround(width * scale),
                                          (int)lround(height * scale));
    }
}

static mohvit_status check(const drawing *d, cairo_status_t code, mohvit_error *err)
{
    if (code == CAIRO_STATUS_SUCCESS)
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_MEMORY, "%s: drawing: %s", d->path, cairo_status_to_string(code));
}

static void release(drawing *d)
{
    if (d->cr)
        cairo_destroy(d->cr);
    if (d->surface)
        cairo_surface_destroy(d->surface);
    bytes_free(&d->file);
    *d = (drawing){0};
}

mohvit_status drawing_begin(drawing *d, const char *path, drawing_format format, double width, double height,
                            double dpi, mohvit_error *err)
{
    double dots = fmax(width, height) * dpi / 72;
    *d = (drawing){.path = path, .format = format};
    if (format == DRAWING_PNG && dots > MAX_DOTS)
        return error_set(
            err, MOHVIT_ERROR_LIMIT,
            "%s: a picture of %.0f dots on its longer side; a PNG may have %d: choose fewer classes, "
            "a lower --dpi, or .svg or .pdf",
            path, dots, MAX_DOTS);
    d->surface = create_surface(d, width, height, dpi);
    d->cr = cairo_create(d->surface);
    mohvit_status status = check(d, cairo_status(d->cr), err);
    if (status) {
        release(d);
        return status;
    }
    if (format == DRAWING_PNG)
        cairo_scale(d->cr, dpi / 72, dpi / 72);
    cairo_set_source_rgb(d->cr, 1, 1, 1);
    cairo_paint(d->cr);
    return MOHVIT_OK;
}

mohvit_status drawing_finish(drawing *d, mohvit_error *err)
{
    mohvit_status status = check(d, d->no_memory ? CAIRO_STATUS_NO_MEMORY : cairo_status(d->cr), err);
    if (!status && d->format == DRAWING_PNG)
        status = check(d, cairo_surface_write_to_png_stream(d->surface, keep_bytes, &d->file), err);
    cairo_surface_finish(d->surface);
    if (!status)
        status = check(d, cairo_surface_status(d->surface), err);
    if (!status)
        status = replace_with_bytes(d->path, d->file.data, d->file.size, err);
    release(d);
    return status;
}

// ---- Colours ---------------------------------------------------------------------------------------

/* The accent is vermilion of Okabe and Ito 2008, which is told from the blues by every kind of eye. */
const colour drawing_ink = {0.13, 0.13, 0.15}, drawing_faint = {0.87, 0.87, 0.88},
             drawing_accent = {0.835, 0.369, 0}, drawing_shared = {0.66, 0.66, 0.68},
             drawing_absent = {0.94, 0.94, 0.94};

void drawing_colour(cairo_t *cr, colour c)
{
    cairo_set_source_rgb(cr, c.r, c.g, c.b);
}

/* "Blues" of ColorBrewer (Brewer and Harrower 2003), without its nearly white end. */
colour drawing_ramp(double t)
{
    static const unsigned char stops[][3] = {{222, 235, 247}, {198, 219, 239}, {158, 202, 225},
                                             {107, 174, 214}, {66, 146, 198},  {33, 113, 181},
                                             {8, 81, 156},    {8, 48, 107}};
    enum { LAST = sizeof stops / sizeof *stops - 1 };
    double at = (t > 0 ? t < 1 ? t : 1 : 0) * LAST;
    size_t i = at < LAST ? (size_t)at : LAST - 1;
    double f = at - (double)i, c[3];
    for (size_t k = 0; k < 3; k++)
        c[k] = (stops[i][k] + f * (stops[i + 1][k] - stops[i][k])) / 255;
    return (colour){c[0], c[1], c[2]};
}

void drawing_scale(cairo_t *cr, double x, double y, double width, double height, bool upwards,
                   drawing_ramp_function *ramp)
{
    enum { SLICES = 64 }; // between which Cairo mixes
    cairo_pattern_t *pattern = upwards ? cairo_pattern_create_linear(0, y + height, 0, y)
                                       : cairo_pattern_create_linear(x, 0, x + width, 0);
    for (size_t i = 0; i <= SLICES; i++) {
        colour c = ramp((double)i / SLICES);
        cairo_pattern_add_color_stop_rgb(pattern, (double)i / SLICES, c.r, c.g, c.b);
    }
    cairo_set_source(cr, pattern);
    cairo_rectangle(cr, x, y, width, height);
    cairo_fill(cr);
    cairo_pattern_destroy(pattern);
}

// ---- Text ------------------------------------------------------------------------------------------

void drawing_font(cairo_t *cr, double size, bool bold)
{
    // Fontconfig finds the nearest to it that there is.
    cairo_select_font_face(cr, "Liberation Sans", CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cr, size);
    drawing_colour(cr, drawing_ink);
}

/* malloc'd, printable, with room for the dots; NULL without memory. */
static char *clean(drawing *d, const char *text)
{
    size_t size = text ? strlen(text) + 1 : 0;
    char *copy = text ? malloc(size + strlen("…")) : NULL;
    if (!copy) {
        d->no_memory = true;
        return NULL;
    }
    memcpy(copy, text, size);
    bool valid = utf8_valid(text, size - 1); // else Cairo fails for good
    for (unsigned char *p = (unsigned char *)copy; *p; p++)
        if (*p < 0x20 || *p == 0x7f || (!valid && *p >= 0x80))
            *p = '?';
    return copy;
}

/* Of clean text. */
static double width_of(cairo_t *cr, const char *text)
{
    cairo_text_extents_t e;
    cairo_text_extents(cr, text, &e);
    return e.x_advance;
}

double drawing_text_width(drawing *d, const char *text)
{
    char *safe = clean(d, text);
    double width = safe ? width_of(d->cr, safe) : 0;
    free(safe);
    return width;
}

/* Shortens text, whose buffer has room for the dots, to whole characters. */
static void fit(cairo_t *cr, char *text, double room)
{
    size_t length = strlen(text);
    if (width_of(cr, text) <= room)
        return;
    while (length) {
        do
            length--;
        while (length && ((unsigned char)text[length] & 0xC0) == 0x80);
        memcpy(text + length, "…", sizeof "…");
        if (width_of(cr, text) <= room)
            return;
    }
}

void drawing_text(drawing *d, double x, double y, double align, double room, const char *text)
{
    char *safe = clean(d, text);
    if (!safe)
        return;
    fit(d->cr, safe, room);
    cairo_move_to(d->cr, x - align * width_of(d->cr, safe), y);
    cairo_show_text(d->cr, safe);
    free(safe);
}

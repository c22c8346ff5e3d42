/* drawing.h - a picture drawn with Cairo, which appears under its name when all of it is on disk. */
#ifndef MOHVIT_DRAWING_H
#define MOHVIT_DRAWING_H

#include "base/bytes.h"

#include <cairo.h>

typedef enum drawing_format { DRAWING_SVG, DRAWING_PNG, DRAWING_PDF } drawing_format;

/* By the ending of the name; false where it is none of .svg, .png, .pdf. */
bool drawing_format_of(drawing_format *out, const char *path);

typedef struct drawing {
    cairo_t *cr; /* in points, 1/72 inch; white paper */
    const char *path;
    drawing_format format;
    cairo_surface_t *surface;
    bytes file;     /* what is to be written */
    bool no_memory; /* for a text or a picture that was drawn: drawing_finish says so */
} drawing;

/* A paper of width x height points; a PNG has dpi dots per inch. *d must stay where it is until
 * drawing_finish. */
mohvit_status drawing_begin(drawing *d, const char *path, drawing_format format, double width, double height,
                            double dpi, mohvit_error *err);

/* Writes it and frees, also on failure. Fails too where anything before it could not be drawn. */
mohvit_status drawing_finish(drawing *d, mohvit_error *err);

// ---- Colours ---------------------------------------------------------------------------------------

typedef struct colour {
    double r, g, b; /* 0 … 1 */
} colour;

void drawing_colour(cairo_t *cr, colour c);

/* Light to dark blue for 0 … 1: one hue whose lightness falls evenly, so that it reads the same to
 * colour-blind eyes and on a gray printer. */
colour drawing_ramp(double t);

/* A bar of all that ramp gives for 0 … 1, from left to right or from bottom to top. */
typedef colour drawing_ramp_function(double t);
void drawing_scale(cairo_t *cr, double x, double y, double width, double height, bool upwards,
                   drawing_ramp_function *ramp);

extern const colour drawing_ink, drawing_faint, drawing_accent, drawing_shared, drawing_absent;

// ---- Text ------------------------------------------------------------------------------------------

/* What text and lines look like from here on: of this size, in ink. */
void drawing_font(cairo_t *cr, double size, bool bold);

/* text NULL, here and below, is one for which there was no memory. */
double drawing_text_width(drawing *d, const char *text);

/* At x, with the baseline at y: align 0 starts there, 0.5 is centred on it, 1 ends there. What is not valid
 * UTF-8 is shown as '?'; what is wider than `room` points ends in "…". */
void drawing_text(drawing *d, double x, double y, double align, double room, const char *text);

#endif

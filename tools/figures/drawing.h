/* drawing.h - a picture drawn with Cairo, which appears under its name when all of it is on disk.
 *
 * Text of an SVG is text, with the name of its font: Cairo would draw its outlines. Title and description are
 * in SVG (for screen readers) and in PDF. */
#ifndef MOHVIT_DRAWING_H
#define MOHVIT_DRAWING_H

#include "base/bytes.h"

#include <cairo.h>

typedef enum drawing_format { DRAWING_SVG, DRAWING_PNG, DRAWING_PDF } drawing_format;

/* By the ending of the name; false where it is none of .svg, .png, .pdf. */
bool drawing_format_of(drawing_format *out, const char *path);

// ---- Colours ---------------------------------------------------------------------------------------

typedef struct colour {
    double r, g, b; /* 0 … 1 */
} colour;

/* Colours at even distances from 0 to 1, mixed between. */
typedef struct ramp {
    size_t count;
    unsigned char stops[9][3];
} ramp;

colour ramp_at(const ramp *r, double t);

/* What a figure is drawn in. On each ramp but `difference` lightness changes in one direction, so that it
 * reads the same to colour-blind eyes and on a gray printer. */
typedef struct theme {
    const char *name;
    bool gray; /* pictures, too */
    colour paper, ink, faint, accent, shared;
    ramp load, difference; /* difference has its 0 in the middle */
    ramp gate;             /* multiplied with a picture */
} theme;

/* light, dark and print, which is black, white and gray alone; ended by one without a name. */
extern const theme drawing_themes[];

// ---- Drawing ---------------------------------------------------------------------------------------

#define DRAWING_FONT "Liberation Sans" /* as wide as Arial and Helvetica, letter by letter */

typedef struct drawing_style {
    const theme *theme;
    const char *font; /* a family; drawing_font_valid */
    bool outlines;    /* text as filled paths */
    double dpi;       /* of a PNG */
} drawing_style;

/* light, DRAWING_FONT, text as text, 300 dpi. */
extern const drawing_style drawing_usual;

/* Whether an SVG can name such a font. */
bool drawing_font_valid(const char *family);

/* The family that is drawn and measured where this one is asked for: another one where it is not installed.
 * "" where no font is. */
void drawing_font_found(char out[128], const char *family);

typedef struct drawing {
    cairo_t *cr; /* in points, 1/72 inch */
    const theme *theme;
    drawing_style style;
    const char *path;
    drawing_format format;
    cairo_surface_t *surface;
    double font_size;
    bool bold;
    char *title, *description; /* owned */
    bytes file;                /* what is to be written */
    bytes texts;               /* of an SVG: its elements <text> */
    bool no_memory;            /* for a text or a picture that was drawn: drawing_finish says so */
} drawing;

/* A paper of width x height points. *d must stay where it is until drawing_finish. */
mohvit_status drawing_begin(drawing *d, const char *path, drawing_format format, const drawing_style *style,
                            double width, double height, mohvit_error *err);

/* What the picture is and what it shows, for those who cannot see it. NULL is a text for which there was no
 * memory, here and below. */
void drawing_describe(drawing *d, const char *title, const char *description);

/* Writes it and frees, also on failure. Fails too where anything before it could not be drawn. */
mohvit_status drawing_finish(drawing *d, mohvit_error *err);

void drawing_colour(cairo_t *cr, colour c);

/* A bar of the whole ramp, from left to right or from bottom to top. */
void drawing_scale(cairo_t *cr, double x, double y, double width, double height, bool upwards, const ramp *r);

// ---- Text ------------------------------------------------------------------------------------------

/* What text and lines look like from here on: of this size, in ink. */
void drawing_font(drawing *d, double size, bool bold);

double drawing_text_width(drawing *d, const char *text);

/* At x, with the baseline at y: align 0 starts there, 0.5 is centred on it, 1 ends there. What is not valid
 * UTF-8 is shown as '?'; what is wider than `room` points ends in "…". In an SVG, text is above all else. */
void drawing_text(drawing *d, double x, double y, double align, double room, const char *text);

/* The same from bottom to top. */
void drawing_text_upwards(drawing *d, double x, double y, double align, double room, const char *text);

#endif

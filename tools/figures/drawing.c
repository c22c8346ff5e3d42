#include "tools/figures/drawing.h"

#include "base/replace_file.h"
#include "base/utf8.h"

#include <cairo-ft.h>
#include <cairo-pdf.h>
#include <cairo-svg.h>
#include <math.h>
#include <stdio.h>
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

static cairo_surface_t *create_surface(drawing *d, double width, double height)
{
    double scale = d->style.dpi / 72;
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
    bytes_free(&d->texts);
    free(d->title);
    free(d->description);
    *d = (drawing){0};
}

mohvit_status drawing_begin(drawing *d, const char *path, drawing_format format, const drawing_style *style,
                            double width, double height, mohvit_error *err)
{
    double dots = fmax(width, height) * style->dpi / 72;
    *d = (drawing){.theme = style->theme, .style = *style, .path = path, .format = format};
    if (format == DRAWING_PNG && dots > MAX_DOTS)
        return error_set(
            err, MOHVIT_ERROR_LIMIT,
            "%s: a picture of %.0f dots on its longer side; a PNG may have %d: choose fewer classes, "
            "a lower --dpi, or .svg or .pdf",
            path, dots, MAX_DOTS);
    d->surface = create_surface(d, width, height);
    d->cr = cairo_create(d->surface);
    mohvit_status status = check(d, cairo_status(d->cr), err);
    if (status) {
        release(d);
        return status;
    }
    if (format == DRAWING_PNG)
        cairo_scale(d->cr, style->dpi / 72, style->dpi / 72);
    drawing_colour(d->cr, d->theme->paper);
    cairo_paint(d->cr);
    return MOHVIT_OK;
}

static void put(bytes *b, const char *text)
{
    bytes_put(b, text, strlen(text));
}

/* Clean text as XML. */
static void put_escaped(bytes *b, const char *text)
{
    for (; *text; text++) {
        if (*text == '&')
            put(b, "&amp;");
        else if (*text == '<')
            put(b, "&lt;");
        else if (*text == '>')
            put(b, "&gt;");
        else
            bytes_put(b, text, 1);
    }
}

static unsigned byte_of(double value)
{
    return (unsigned)lround(255 * value);
}

/* Adds what Cairo leaves out of an SVG: title and description at its beginning, the texts at its end. */
static void complete_svg(drawing *d)
{
    static const char opened[] = "<svg", closed[] = "</svg>";
    bytes svg = {0};
    const char *data = (const char *)d->file.data, *file_end = data + d->file.size;
    const char *start = memmem(data, d->file.size, opened, strlen(opened));
    const char *content = start ? memchr(start, '>', (size_t)(file_end - start)) : NULL;
    const char *end = content ? memmem(content, (size_t)(file_end - content), closed, strlen(closed)) : NULL;
    if (!end) {
        d->no_memory = true; // nothing else cuts it short
        return;
    }
    bytes_put(&svg, data, (size_t)(start - data) + strlen(opened));
    put(&svg, " role=\"img\" aria-labelledby=\"mohvit-title mohvit-description\"");
    bytes_put(&svg, start + strlen(opened), (size_t)(content + 1 - start) - strlen(opened));
    put(&svg, "\n<title id=\"mohvit-title\">");
    put_escaped(&svg, d->title ? d->title : "");
    put(&svg, "</title>\n<desc id=\"mohvit-description\">");
    put_escaped(&svg, d->description ? d->description : "");
    put(&svg, "</desc>");
    bytes_put(&svg, content + 1, (size_t)(end - content - 1));
    if (d->texts.size) {
        char colour_of_text[96];
        snprintf(colour_of_text, sizeof colour_of_text,
                 "', Arial, Helvetica, sans-serif\" fill=\"#%02x%02x%02x\" xml:space=\"preserve\">\n",
                 byte_of(d->theme->ink.r), byte_of(d->theme->ink.g), byte_of(d->theme->ink.b));
        put(&svg, "<g font-family=\"'");
        put(&svg, d->style.font);
        put(&svg, colour_of_text);
        bytes_put(&svg, d->texts.data, d->texts.size);
        put(&svg, "</g>\n");
    }
    put(&svg, closed);
    put(&svg, "\n");
    bytes_free(&d->file);
    d->file = svg;
    d->no_memory = d->no_memory || svg.failed || d->texts.failed;
}

mohvit_status drawing_finish(drawing *d, mohvit_error *err)
{
    mohvit_status status = check(d, cairo_status(d->cr), err);
    if (!status && d->format == DRAWING_PNG)
        status = check(d, cairo_surface_write_to_png_stream(d->surface, keep_bytes, &d->file), err);
    cairo_surface_finish(d->surface);
    if (!status)
        status = check(d, cairo_surface_status(d->surface), err);
    if (!status && d->format == DRAWING_SVG)
        complete_svg(d);
    if (!status && d->no_memory)
        status = check(d, CAIRO_STATUS_NO_MEMORY, err);
    if (!status)
        status = replace_with_bytes(d->path, d->file.data, d->file.size, err);
    release(d);
    return status;
}

// ---- Colours ---------------------------------------------------------------------------------------

/* Loads are "Blues", without its nearly white end, and differences "RdBu" of ColorBrewer (Brewer and Harrower
 * 2003), red where there is more; accent and gate are vermilion of Okabe and Ito 2008, which every kind of
 * eye tells from the blues. Grays have no hue for a sign: their differences go from light to dark. */
const theme drawing_themes[] = {
    {
        .name = "light",
        .paper = {1, 1, 1},
        .ink = {0.13, 0.13, 0.15},
        .faint = {0.87, 0.87, 0.88},
        .accent = {0.835, 0.369, 0},
        .shared = {0.66, 0.66, 0.68},
        .load = {8,
                 {{222, 235, 247},
                  {198, 219, 239},
                  {158, 202, 225},
                  {107, 174, 214},
                  {66, 146, 198},
                  {33, 113, 181},
                  {8, 81, 156},
                  {8, 48, 107}}},
        .difference = {9,
                       {{33, 102, 172},
                        {67, 147, 195},
                        {146, 197, 222},
                        {209, 229, 240},
                        {247, 247, 247},
                        {253, 219, 199},
                        {244, 165, 130},
                        {214, 96, 77},
                        {178, 24, 43}}},
        .gate = {2, {{255, 237, 184}, {213, 94, 0}}},
    },
    {
        .name = "dark",
        .paper = {0.07, 0.075, 0.09},
        .ink = {0.91, 0.91, 0.93},
        .faint = {0.22, 0.23, 0.25},
        .accent = {1, 0.6, 0.25},
        .shared = {0.45, 0.45, 0.47},
        .load = {8,
                 {{22, 46, 84},
                  {18, 66, 122},
                  {28, 92, 160},
                  {50, 122, 190},
                  {88, 154, 212},
                  {134, 186, 228},
                  {184, 214, 240},
                  {226, 238, 250}}},
        .difference = {9,
                       {{158, 208, 246},
                        {98, 168, 222},
                        {52, 118, 178},
                        {36, 66, 104},
                        {36, 38, 44},
                        {92, 52, 36},
                        {160, 84, 44},
                        {220, 128, 72},
                        {252, 188, 138}}},
        .gate = {2, {{255, 237, 184}, {213, 94, 0}}},
    },
    {
        .name = "print",
        .gray = true,
        .paper = {1, 1, 1},
        .ink = {0, 0, 0},
        .faint = {0.8, 0.8, 0.8},
        .accent = {0, 0, 0},
        .shared = {0.7, 0.7, 0.7},
        .load = {2, {{216, 216, 216}, {24, 24, 24}}},
        .difference = {2, {{232, 232, 232}, {8, 8, 8}}},
        .gate = {2, {{136, 136, 136}, {255, 255, 255}}},
    },
    {.name = NULL},
};

const drawing_style drawing_usual = {.theme = &drawing_themes[0], .font = DRAWING_FONT, .dpi = 300};

void drawing_colour(cairo_t *cr, colour c)
{
    cairo_set_source_rgb(cr, c.r, c.g, c.b);
}

colour ramp_at(const ramp *r, double t)
{
    size_t last = r->count - 1;
    double at = (t > 0 ? t < 1 ? t : 1 : 0) * (double)last;
    size_t i = at < (double)last ? (size_t)at : last - 1;
    double f = at - (double)i, c[3];
    for (size_t k = 0; k < 3; k++)
        c[k] = (r->stops[i][k] + f * (r->stops[i + 1][k] - r->stops[i][k])) / 255;
    return (colour){c[0], c[1], c[2]};
}

void drawing_scale(cairo_t *cr, double x, double y, double width, double height, bool upwards, const ramp *r)
{
    size_t last = r->count - 1;
    cairo_pattern_t *pattern = upwards ? cairo_pattern_create_linear(0, y + height, 0, y)
                                       : cairo_pattern_create_linear(x, 0, x + width, 0);
    for (size_t i = 0; i <= last; i++) { // between which Cairo mixes as ramp_at does
        colour c = ramp_at(r, (double)i / (double)last);
        cairo_pattern_add_color_stop_rgb(pattern, (double)i / (double)last, c.r, c.g, c.b);
    }
    cairo_set_source(cr, pattern);
    cairo_rectangle(cr, x, y, width, height);
    cairo_fill(cr);
    cairo_pattern_destroy(pattern);
}

// ---- Fonts -----------------------------------------------------------------------------------------

bool drawing_font_valid(const char *family)
{
    if (!*family || !utf8_valid(family, strlen(family)))
        return false;
    for (const unsigned char *p = (const unsigned char *)family; *p; p++)
        if (*p < 0x20 || *p == 0x7f || strchr("\"'\\<>&,:;", *p))
            return false;
    return true;
}

void drawing_font_found(char out[128], const char *family)
{
    cairo_matrix_t identity;
    cairo_font_options_t *options = cairo_font_options_create();
    cairo_font_face_t *face =
        cairo_toy_font_face_create(family, CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_matrix_init_identity(&identity);
    cairo_scaled_font_t *font = cairo_scaled_font_create(face, &identity, &identity, options);
    *out = 0;
    if (cairo_scaled_font_get_type(font) == CAIRO_FONT_TYPE_FT) {
        FT_Face ft = cairo_ft_scaled_font_lock_face(font);
        if (ft && ft->family_name)
            snprintf(out, 128, "%s", ft->family_name);
        if (ft)
            cairo_ft_scaled_font_unlock_face(font);
    }
    cairo_scaled_font_destroy(font);
    cairo_font_face_destroy(face);
    cairo_font_options_destroy(options);
}

void drawing_font(drawing *d, double size, bool bold)
{
    d->font_size = size;
    d->bold = bold;
    cairo_select_font_face(d->cr, d->style.font, CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(d->cr, size);
    drawing_colour(d->cr, d->theme->ink);
}

// ---- Text ------------------------------------------------------------------------------------------

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
    for (unsigned char *p = (unsigned char *)copy; *p; p++) {
        if (*p < 0x20 || *p == 0x7f || (!valid && *p >= 0x80))
            *p = '?';
        else if (!strncmp((char *)p, "\xef\xbf\xbe", 3) || !strncmp((char *)p, "\xef\xbf\xbf", 3))
            p[2] = 0xbd; // U+FFFE and U+FFFF, which XML may not have, as U+FFFD
    }
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

/* An element of an SVG, its coordinates those of the paper. */
static void put_text(drawing *d, double x, double y, double align, bool upwards, const char *text)
{
    char head[256], turn[64] = "";
    if (upwards)
        snprintf(turn, sizeof turn, " transform=\"rotate(-90 %.2f %.2f)\"", x, y);
    snprintf(head, sizeof head, "<text x=\"%.2f\" y=\"%.2f\" font-size=\"%g\"%s%s%s>", x, y, d->font_size,
             d->bold ? " font-weight=\"bold\"" : "",
             align <= 0  ? ""
             : align < 1 ? " text-anchor=\"middle\""
                         : " text-anchor=\"end\"",
             turn);
    put(&d->texts, head);
    put_escaped(&d->texts, text);
    put(&d->texts, "</text>\n");
}

static void draw_text(drawing *d, double x, double y, double align, double room, bool upwards,
                      const char *text)
{
    cairo_t *cr = d->cr;
    char *safe = clean(d, text);
    if (!safe)
        return;
    fit(cr, safe, room);
    if (d->format == DRAWING_SVG && !d->style.outlines) {
        put_text(d, x, y, align, upwards, safe);
    } else {
        cairo_save(cr);
        cairo_translate(cr, x, y);
        if (upwards)
            cairo_rotate(cr, -acos(-1) / 2);
        cairo_move_to(cr, -align * width_of(cr, safe), 0);
        if (d->style.outlines) {
            cairo_text_path(cr, safe);
            cairo_fill(cr);
        } else {
            cairo_show_text(cr, safe);
        }
        cairo_restore(cr);
    }
    free(safe);
}

void drawing_text(drawing *d, double x, double y, double align, double room, const char *text)
{
    draw_text(d, x, y, align, room, false, text);
}

void drawing_text_upwards(drawing *d, double x, double y, double align, double room, const char *text)
{
    draw_text(d, x, y, align, room, true, text);
}

void drawing_describe(drawing *d, const char *title, const char *description)
{
    free(d->title);
    free(d->description);
    d->title = clean(d, title);
    d->description = clean(d, description);
    if (d->format == DRAWING_PDF && d->title && d->description) {
        cairo_pdf_surface_set_metadata(d->surface, CAIRO_PDF_METADATA_TITLE, d->title);
        cairo_pdf_surface_set_metadata(d->surface, CAIRO_PDF_METADATA_SUBJECT, d->description);
    }
}

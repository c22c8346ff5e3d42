/* figure_options.h - what a figure looks like: the options that commands which draw share. */
#ifndef MOHVIT_FIGURE_OPTIONS_H
#define MOHVIT_FIGURE_OPTIONS_H

#include "tools/figures/drawing.h"
#include "tools/program/command.h"

enum { OPTION_WIDTH = OPTION_FIGURE, OPTION_DPI, OPTION_THEME, OPTION_FONT, OPTION_TEXT };

// clang-format off
#define FIGURE_OPTIONS                                             \
    {"width", required_argument, NULL, OPTION_WIDTH},              \
    {"dpi", required_argument, NULL, OPTION_DPI},                  \
    {"theme", required_argument, NULL, OPTION_THEME},              \
    {"font", required_argument, NULL, OPTION_FONT},                \
    {"text", required_argument, NULL, OPTION_TEXT}
// clang-format on

/* With the defaults of the command. */
#define FIGURE_OPTIONS_HELP(width, dpi)                                                                      \
    "\nFigure:\n"                                                                                            \
    "  --width MM         40 to 1000; default " width "\n"                                                   \
    "  --dpi N            dots per inch of a PNG: 36 to 1200; default " dpi "\n"                             \
    "  --theme NAME       light (default), dark, or print: black and grays alone, on white\n"                \
    "  --font NAME        family of the text; default Liberation Sans, as wide as Arial and Helvetica\n"     \
    "  --text KIND        text (default): SVG and PDF keep it as text; or outlines: paths, for journals\n"   \
    "                     that want no fonts\n"

typedef struct figure_options {
    size_t width; /* in mm */
    drawing_style style;
} figure_options;

figure_options figure_options_usual(size_t width, double dpi);

/* Takes one of FIGURE_OPTIONS; false where its value is wrong, which has been reported. */
bool figure_option(figure_options *o, int code, const char *value);

double figure_points(const figure_options *o);

/* Says so where another font takes the place of the one that was asked for. */
void figure_warn_font(const figure_options *o, drawing_format format);

#endif

#include "tools/program/figure_options.h"

#include <strings.h>

figure_options figure_options_usual(size_t width, double dpi)
{
    figure_options o = {width, drawing_usual};
    o.style.dpi = dpi;
    return o;
}

static bool choose_theme(const theme **out, const char *value)
{
    const char *names[8] = {0};
    for (size_t i = 0; drawing_themes[i].name; i++)
        names[i] = drawing_themes[i].name;
    int choice = parse_choice("--theme", value, names);
    if (choice >= 0)
        *out = &drawing_themes[choice];
    return choice >= 0;
}

bool figure_option(figure_options *o, int code, const char *value)
{
    static const char *const kinds[] = {"text", "outlines", NULL};
    size_t dpi;
    int kind;
    switch (code) {
    case OPTION_WIDTH:
        return parse_whole(&o->width, "--width", value, 40, 1000);
    case OPTION_DPI:
        if (!parse_whole(&dpi, "--dpi", value, 36, 1200))
            return false;
        o->style.dpi = (double)dpi;
        return true;
    case OPTION_THEME:
        return choose_theme(&o->style.theme, value);
    case OPTION_FONT:
        o->style.font = value;
        if (!drawing_font_valid(value))
            complain("--font %s: expected a family of fonts, such as Arial, without quotes or commas", value);
        return drawing_font_valid(value);
    default:
        kind = parse_choice("--text", value, kinds);
        o->style.outlines = kind == 1;
        return kind >= 0;
    }
}

double figure_points(const figure_options *o)
{
    return (double)o->width * 72 / 25.4;
}

void figure_warn_font(const figure_options *o, drawing_format format)
{
    char found[128];
    bool named = format == DRAWING_SVG && !o->style.outlines;
    drawing_font_found(found, o->style.font);
    if (strcasecmp(found, o->style.font) != 0)
        complain("warning: no font %s is installed; text is %s with %s", o->style.font,
                 named ? "measured" : "drawn", *found ? found : "one of Cairo's own");
}

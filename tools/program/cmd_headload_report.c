/* cmd_headload_report.c - a page to explore a head load: one file that needs nothing else. */
#include "base/replace_file.h"
#include "tools/figures/html.h"
#include "tools/figures/report.h"
#include "tools/program/command.h"
#include "tools/program/complain.h"
#include "tools/program/head_load_choice.h"
#include "tools/program/head_pictures.h"
#include "tools/program/output.h"
#include "tools/program/outputs_check.h"
#include "tools/program/pictures_again.h"

#include <stdlib.h>
#include <string.h>

static const char help[] =
    "FILE -o PAGE.html\n"
    "Makes a page to explore a head load in a browser: summary, heatmap of every block, classes side\n"
    "by side, statistics; load, gate or gate share, with 95 % intervals. The page can be printed, saves\n"
    "what it shows as SVG, PNG or CSV, and works by keyboard and with screen readers. Classes without\n"
    "pictures are in its CSV alone. It is one file that never uses the network, and needs a browser of\n"
    "2023 or later.\n\n"
    "  -o, --output FILE  the page to write\n"
    "  --importance FILE  also shows what each head's absence costs; FILE is what\n"
    "                     \"headload ablate --format json\" printed for the same model and data\n"
    "  --thumbnails FILE  also shows the pictures that use each head most, on a page PAGE.pictures.html\n"
    "                     that this one links to; FILE is what \"headload count --per-image\" wrote in\n"
    "                     the same run. The pictures are read again where they were: none may have\n"
    "                     changed, and no page may replace one\n"
    "  --pictures N       with --thumbnails: pictures for each head: 1 to 100; default 9\n"
    "  -h, --help         show this\n";

typedef struct report_options {
    const char *output, *importance, *thumbnails;
    char *pictures_output; /* owned; NULL: none */
    size_t pictures;       /* 0: not given */
} report_options;

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* A link to a file in the same folder: malloc'd. */
static char *link_to(const char *path)
{
    bytes link = {0};
    html_put(&link, "./");
    for (const char *at = file_name(path); *at; at++) {
        char code[4] = {*at};
        bool letter = (*at | 32) >= 'a' && (*at | 32) <= 'z';
        if (!letter && !strchr("-._~0123456789", *at))
            snprintf(code, sizeof code, "%%%02X", (unsigned char)*at);
        html_put(&link, code);
    }
    bytes_put_u8(&link, 0);
    return or_die(link.failed ? NULL : (char *)link.data);
}

static void announce_size(const bytes *page)
{
    bool large = page->size >= 1000000;
    output_printf("%.*f %s\n", large, (double)page->size / (large ? 1e6 : 1e3), large ? "MB" : "KB");
}

// ---- The pages -------------------------------------------------------------------------------------

static mohvit_status write_report(const report *r, const char *path, const char *output, mohvit_error *err)
{
    bytes page;
    mohvit_status status = report_build(&page, r, path, err);
    if (status)
        return status;
    status = replace_with_bytes(output, page.data, page.size, err);
    if (!status) {
        size_t blocks = r->load->routing.count;
        output_name(output);
        output_printf(": %zu class%s, %zu block%s, ", r->count, r->count == 1 ? "" : "es", blocks,
                      plural(blocks));
        announce_size(&page);
    }
    bytes_free(&page);
    return status;
}

static mohvit_status write_pictures(const per_image *p, const report_options *o, mohvit_error *err)
{
    bytes page = {0};
    char *back = link_to(o->output);
    const head_pictures pictures = {p, o->thumbnails, o->pictures ? o->pictures : 9, back};
    mohvit_status status = head_pictures_build(&page, &pictures, err);
    if (!status)
        status = replace_with_bytes(o->pictures_output, page.data, page.size, err);
    if (!status) {
        output_name(o->pictures_output);
        output_printf(": pictures, ");
        announce_size(&page);
    }
    bytes_free(&page);
    free(back);
    return status;
}

/* The page that links comes last. p and ablated may be NULL: there are none. */
static mohvit_status write_pages(const head_load *l, const class_choice *shown, const per_image *p,
                                 const importance_table *ablated, const char *path, const report_options *o,
                                 mohvit_error *err)
{
    char *title = escape(file_name(path), ESCAPE_NAME, NULL);
    char *link = o->thumbnails ? link_to(o->pictures_output) : NULL;
    const report r = {l, shown->classes, shown->count, title, ablated, link};
    mohvit_status status = p ? write_pictures(p, o, err) : MOHVIT_OK;
    if (!status)
        status = write_report(&r, path, o->output, err);
    free(title);
    free(link);
    return status;
}

static int make_pages(const head_load *l, const char *path, const report_options *o)
{
    mohvit_error err;
    per_image *p = NULL;
    mohvit_status status = MOHVIT_OK;
    if (o->thumbnails)
        status = per_image_open(&p, o->thumbnails, &err);
    if (!status && p)
        status = per_image_check_load(p, l, o->thumbnails, path, &err);
    int exit = fine_or_complain(status, &err) ? PARSED : EXIT_INPUT;
    class_choice shown = {0};
    choice_add_counted(&shown, l);
    if (exit == PARSED && !shown.count) {
        complain("%s: no class has pictures", path);
        exit = EXIT_INPUT;
    }
    if (exit == PARSED && p)
        pictures_again_warn(p, o->thumbnails);
    if (exit == PARSED && p)
        exit = pictures_again_check_outputs(p, "headload report");
    importance_table ablated = {0};
    if (exit == PARSED && o->importance && !importance_open_or_complain(&ablated, o->importance, l, path))
        exit = EXIT_INPUT;
    if (exit == PARSED) {
        choice_note_left_out(&shown, l);
        status = write_pages(l, &shown, p, o->importance ? &ablated : NULL, path, o, &err);
        exit = fine_or_complain(status, &err) ? EXIT_FINE : EXIT_INPUT;
    }
    free(shown.classes);
    importance_table_free(&ablated);
    per_image_free(p);
    return exit;
}

// ---- The command line ------------------------------------------------------------------------------

enum { OPTION_IMPORTANCE = OPTION_OWN, OPTION_THUMBNAILS, OPTION_PICTURES };

static bool take_option(void *options, int code, const char *value)
{
    report_options *o = options;
    switch (code) {
    case OPTION_IMPORTANCE:
        return takes_file(FILE_READ, "--importance", value, &o->importance);
    case OPTION_THUMBNAILS:
        return takes_file(FILE_READ, "--thumbnails", value, &o->thumbnails);
    case OPTION_PICTURES:
        return parse_whole(&o->pictures, "--pictures", value, 1, 100);
    default:
        return takes_file(FILE_OUTPUT, "-o", value, &o->output);
    }
}

/* "report.pictures.html" beside "report.html". */
static char *pictures_beside(const char *output)
{
    size_t length = strlen(output), ending = strlen(".html");
    bool html = length > ending && !strcmp(output + length - ending, ".html");
    char *path;
    int printed = asprintf(&path, "%.*s.pictures.html", (int)(length - (html ? ending : 0)), output);
    return or_die(printed < 0 ? NULL : path);
}

static int parse(report_options *o, int argc, char **argv)
{
    static const struct option table[] = {
        {"output", required_argument, NULL, 'o'},
        {"importance", required_argument, NULL, OPTION_IMPORTANCE},
        {"thumbnails", required_argument, NULL, OPTION_THUMBNAILS},
        {"pictures", required_argument, NULL, OPTION_PICTURES},
        LAST_OPTIONS,
    };
    int parsed = options_read(&command_headload_report, argc, argv, "o:", table, take_option, o);
    if (parsed != PARSED)
        return parsed;
    if (argc - optind != 1)
        return usage_error("headload report", "expected one head load");
    if (!o->output)
        return usage_error("headload report", "expected -o and the name of the page to write");
    if (o->pictures && !o->thumbnails)
        return usage_error("headload report", "--pictures: needs --thumbnails");
    o->pictures_output = o->thumbnails ? pictures_beside(o->output) : NULL;
    names_file(FILE_READ, NULL, argv[optind]);
    names_file(FILE_OUTPUT, "the pictures' page", o->pictures_output);
    return outputs_check("headload report");
}

static int run_report(int argc, char **argv)
{
    report_options o = {0};
    int exit = parse(&o, argc, argv);
    if (exit == PARSED && !outputs_possible_or_complain())
        exit = EXIT_INPUT;
    if (exit == PARSED) {
        head_load *l = head_load_open_or_complain(argv[optind]);
        exit = l ? make_pages(l, argv[optind], &o) : EXIT_INPUT;
        head_load_destroy(l);
    }
    free(o.pictures_output);
    return exit;
}

const command command_headload_report = {"headload report", "make a page to explore a head load", help,
                                         run_report};

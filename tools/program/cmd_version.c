/* cmd_version.c - which mohvit this is, what it stands on, and what of this machine it can use. */
#include "eval/ranks.h"
#include "tools/program/command.h"
#include "tools/program/complain.h"
#include "tools/program/json_build.h"
#include "tools/program/output.h"
#include "tools/program/provenance.h"

#include <archive.h>
#include <cairo.h>
#include <jansson.h>
#include <jpeglib.h>
#include <spng.h>
#include <stdlib.h>
#include <string.h>
#include <webp/decode.h>
#ifdef MOHVIT_HEIF
#include <libheif/heif_version.h>
#endif
#include <zlib.h>

static const char help[] =
    "[--format FORMAT]\n"
    "Shows the version, and what a bug report needs: the processor, the instruction set and the kernels\n"
    "in use, which backend multiplies matrices in which precision, the libraries underneath, and whether\n"
    "the module for MPI is there.\n\n"
    "  --format FORMAT  text (default) or json: one line\n"
    "  -h, --help       show this\n";

#define TEXT_OF(macro)  #macro
#define VALUE_OF(macro) TEXT_OF(macro)

/* What follows the library's own name. */
static const char *without_name(const char *version)
{
    const char *blank = strchr(version, ' ');
    return blank ? blank + 1 : version;
}

/* Of the libraries that say one: what is loaded now. libjpeg has but the header that it was built with, and
 * libheif is loaded by the first picture that needs it. */
static json_t *libraries(void)
{
    json_t *object = or_die(json_object());
    int webp = WebPGetDecoderVersion();
    const char *openblas = gemm_openblas_version();
#ifdef LIBJPEG_TURBO_VERSION
    json_put(object, "libjpeg-turbo", json_text(VALUE_OF(LIBJPEG_TURBO_VERSION)));
#else
    json_put(object, "libjpeg", json_text(VALUE_OF(JPEG_LIB_VERSION)));
#endif
    json_put(object, "libspng", json_text(spng_version_string()));
    json_put(object, "libwebp", or_die(json_sprintf("%d.%d.%d", webp >> 16, webp >> 8 & 255, webp & 255)));
#ifdef MOHVIT_HEIF
    json_put(object, "libheif", json_text(LIBHEIF_VERSION));
#endif
    json_put(object, "jansson", json_text(jansson_version_str()));
    json_put(object, "libarchive", json_text(without_name(archive_version_string())));
    json_put(object, "zlib", json_text(zlibVersion()));
    json_put(object, "cairo", json_text(cairo_version_string()));
    json_put(object, "OpenBLAS", openblas ? json_text(without_name(openblas)) : or_die(json_null()));
    return object;
}

/* What computes in each precision with these kernels. */
static json_t *products(const kernels *k)
{
    json_t *array = or_die(json_array());
    for (precision p = 0; p < PRECISIONS; p++)
        if (k->gemm[p].name)
            json_add(array, json_text(k->gemm[p].name));
    return array;
}

/* {backend: [precision …]}, of those that can be loaded. */
static json_t *backends(void)
{
    json_t *object = or_die(json_object());
    for (size_t i = 0; gemm_available(i); i++) {
        const gemm *g = gemm_available(i);
        if (!json_object_get(object, g->name))
            json_put(object, g->name, or_die(json_array()));
        json_add(json_object_get(object, g->name), json_text(precision_name(g->precision)));
    }
    return object;
}

/* What the processor has of what there are kernels for, whatever MOHVIT_ISA says. */
static json_t *features(void)
{
    json_t *array = or_die(json_array());
    for (size_t i = 1; kernels_layer(i); i++) // from the baseline on
        json_add(array, json_text(kernels_layer(i)->feature));
    return array;
}

static json_t *module_path(void)
{
    char *path = ranks_module();
    json_t *text = json_text(path);
    free(path);
    return text;
}

static void print_list(const char *title, const json_t *names)
{
    size_t i;
    json_t *name;
    output_printf("%-17s", title);
    json_array_foreach(names, i, name)
    {
        output_printf("%s%s", i ? ", " : "", json_string_value(name));
    }
    output_printf("%s\n", json_array_size(names) ? "" : "none of those that there are kernels for");
}

static void print_text(json_t *o)
{
    const char *key, *title = "backends";
    json_t *value;
    output_printf("mohvit %s\n", json_string_value(json_object_get(o, "version")));
    output_printf("%-17s%s\n", "processor", json_string_value(json_object_get(o, "cpu")));
    print_list("has", json_object_get(o, "cpu_features"));
    output_printf("%-17s%s\n", "instruction set", json_string_value(json_object_get(o, "instruction_set")));
    print_list("kernels", json_object_get(o, "kernels"));
    json_object_foreach(json_object_get(o, "backends"), key, value)
    {
        char name[32];
        snprintf(name, sizeof name, "  %s", key);
        if (title)
            output_printf("%s\n", title);
        title = NULL;
        print_list(name, value);
    }
    output_printf("libraries\n");
    json_object_foreach(json_object_get(o, "libraries"), key, value)
    {
        output_printf("  %-15s%s\n", key, json_is_string(value) ? json_string_value(value) : "not found");
    }
    const json_t *module = json_object_get(o, "mpi_module");
    output_printf("%-17s%s\n", "module for MPI",
                  json_is_string(module) ? json_string_value(module) : "not found");
    json_decref(o);
}

static bool take_option(void *format, UNUSED int code, const char *value)
{
    return parse_format(format, value, false);
}

static int run_version(int argc, char **argv)
{
    static const struct option table[] = {{"format", required_argument, NULL, OPTION_FORMAT}, LAST_OPTIONS};
    output_format format = FORMAT_TEXT;
    const kernels *k;
    mohvit_error err;
    int parsed = options_read(&command_version, argc, argv, "", table, take_option, &format);
    if (parsed != PARSED)
        return parsed;
    if (optind < argc)
        return usage_error("--version", "%s: expected no argument", argv[optind]);
    if (!fine_or_complain(kernels_choose(&k, &err), &err))
        return EXIT_MODEL;
    json_t *object = or_die(json_pack("{s:s, s:o, s:o, s:s, s:o, s:o, s:o, s:o}", "version", mohvit_version(),
                                      "cpu", cpu_name(), "cpu_features", features(), "instruction_set",
                                      k->isa, "kernels", products(k), "backends", backends(), "libraries",
                                      libraries(), "mpi_module", module_path()));
    if (format == FORMAT_JSON)
        output_json(object);
    else
        print_text(object);
    return EXIT_FINE;
}

const command command_version = {"--version", "show the version", help, run_version};

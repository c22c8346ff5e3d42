/* cmd_preprocess.c - what the network will see of a picture. */
#include "base/memory.h"
#include "base/replace_file.h"
#include "imgio/image.h"
#include "tools/program/complain.h"
#include "tools/program/model_options.h"
#include "tools/program/output.h"
#include "tools/program/outputs_check.h"
#include "weights/safetensors_writer.h"

#include <spng.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char help[] =
    "[OPTION ...] IMAGE -o crop.png|tensor.safetensors\n"
    "Writes what the network sees of a picture when classify gets the same options: the crop as a\n"
    "PNG, or the normalised values as tensor \"input\" (1, 3, S, S). \"-\" is a picture on standard\n"
    "input.\n\n"
    "  -o, --output FILE   ends in .png or .safetensors, which tells what is written\n"
    "  --weights FILE      the checkpoint whose preprocessing to use; default: what the environment\n"
    "                      variable MOHVIT_WEIGHTS names, else the built-in model\n"
    "  --variant NAME      a published variant instead of a checkpoint: ImageNet's preprocessing,\n"
    "                      224 pixels\n"
    "  --key NAME          which of several sets of weights in a file\n"
    "  --config FILE       JSON config in place of the checkpoint's own\n"
    "  --preprocess FILE   JSON preprocessing in place of all of the checkpoint's own\n"
    "  --size S            side of the crop: 64 to 2048, a multiple of 32\n"
    "  --exif-orientation  turn the picture as its EXIF says\n"
    "  -h, --help          show this\n";

typedef struct preprocess_options {
    model_options model;
    const char *output;
    int exif_orientation;
    bool png;
} preprocess_options;

/* The model that classify would open, without its weights; what it refuses is refused. */
static mohvit_status describe(description *d, const model_options *o, mohvit_error *err)
{
    if (o->variant)
        return model_describe_synthetic(d, o, err);
    checkpoint *cp;
    const warning_sink warn = {o->open.warn, o->open.user};
    const model_source source = model_source_choose(o);
    mohvit_status status = model_source_checkpoint(&cp, &source, o, err);
    if (status)
        return status;
    status = description_read(d, cp, NULL, &o->open, err);
    if (!status)
        status = checkpoint_check(cp, &d->config, &warn, err);
    checkpoint_close(cp);
    return status;
}

// ---- Writing ---------------------------------------------------------------------------------------

/* A malloc'd PNG of crop (size, size, 3). */
static mohvit_status encode_png(void **png, size_t *bytes, const uint8_t *crop, size_t size, const char *path,
                                mohvit_error *err)
{
    spng_ctx *ctx = or_die(spng_ctx_new(SPNG_CTX_ENCODER));
    struct spng_ihdr header = {.width = (uint32_t)size,
                               .height = (uint32_t)size,
                               .bit_depth = 8,
                               .color_type = SPNG_COLOR_TYPE_TRUECOLOR};
    int code = spng_set_option(ctx, SPNG_ENCODE_TO_BUFFER, 1);
    if (!code)
        code = spng_set_ihdr(ctx, &header);
    if (!code)
        code = spng_encode_image(ctx, crop, size * size * 3, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
    *png = code ? NULL : spng_get_png_buffer(ctx, bytes, &code);
    spng_ctx_free(ctx);
    if (!*png)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: encoding PNG: %s", path, spng_strerror(code));
    return MOHVIT_OK;
}

static mohvit_status write_png(const char *path, const uint8_t *crop, size_t size, mohvit_error *err)
{
    void *png;
    size_t bytes;
    mohvit_status status = encode_png(&png, &bytes, crop, size, path, err);
    if (status)
        return status;
    status = replace_with_bytes(path, png, bytes, err);
    free(png);
    return status;
}

static mohvit_status write_tensor(const char *path, const preprocess *p, const uint8_t *crop, size_t size,
                                  mohvit_error *err)
{
    const tensor_info info = {.name = "input",
                              .dtype = DTYPE_F32,
                              .rank = 4,
                              .shape = {1, 3, size, size},
                              .elements = 3 * size * size};
    float *pixels = or_die(memory_alloc(info.elements, sizeof *pixels)); // (size, size, 3)
    float *planes = or_die(memory_alloc(info.elements, sizeof *planes)); // (3, size, size)
    preprocess_normalise(p, crop, size, pixels);
    for (size_t channel = 0; channel < 3; channel++)
        for (size_t i = 0; i < size * size; i++)
            planes[channel * size * size + i] = pixels[i * 3 + channel];
    safetensors_writer *w = NULL;
    mohvit_status status = safetensors_writer_create(&w, path, &info, 1, NULL, 0, err);
    if (!status)
        status = safetensors_writer_add_f32(w, planes, err);
    free(pixels);
    free(planes);
    return safetensors_writer_finish(w, status, err);
}

static mohvit_status preprocess_file(const char *path, const preprocess_options *o, const description *d,
                                     mohvit_error *err)
{
    image img;
    size_t size = d->config.img_size;
    mohvit_status status = image_read(&img, path, NULL, o->exif_orientation, err);
    if (status)
        return status;
    uint8_t *crop = or_die(memory_alloc(size * size, 3));
    status = preprocess_crop(&d->preprocess, img.rgb, img.width, img.height, img.width * 3, size, crop, err);
    if (!status)
        status = o->png ? write_png(o->output, crop, size, err)
                        : write_tensor(o->output, &d->preprocess, crop, size, err);
    if (!status) {
        output_name(o->output);
        output_printf(": %zu x %zu of ", size, size);
        output_name(path);
        output_printf(" (%zu x %zu)\n", img.width, img.height);
    }
    free(crop);
    image_free(&img);
    return status;
}

// ---- The command line ------------------------------------------------------------------------------

static bool ends_in(const char *text, const char *ending)
{
    size_t length = strlen(text), n = strlen(ending);
    return length > n && strcasecmp(text + length - n, ending) == 0;
}

static bool take_option(void *options, int code, const char *value)
{
    preprocess_options *o = options;
    return code == 'o' ? takes_file(FILE_OUTPUT, "-o", value, &o->output)
                       : model_option(&o->model, code, value);
}

static int run_preprocess(int argc, char **argv)
{
    preprocess_options o = {0};
    const struct option table[] = {
        {"output", required_argument, NULL, 'o'},
        {"exif-orientation", no_argument, &o.exif_orientation, FLAG_SET},
        {"weights", required_argument, NULL, OPTION_WEIGHTS},
        {"variant", required_argument, NULL, OPTION_VARIANT},
        {"key", required_argument, NULL, OPTION_KEY},
        {"config", required_argument, NULL, OPTION_CONFIG},
        {"preprocess", required_argument, NULL, OPTION_PREPROCESS},
        {"size", required_argument, NULL, OPTION_SIZE},
        LAST_OPTIONS,
    };
    model_options_begin(&o.model);
    int parsed = options_read(&command_preprocess, argc, argv, "o:", table, take_option, &o);
    if (parsed != PARSED)
        return parsed;
    if (argc - optind != 1)
        return usage_error("preprocess", "expected one picture");
    if (o.model.variant && (o.model.weights || o.model.open.config))
        return usage_error("preprocess", "--variant stands for a config without weights; leave out --weights "
                                         "and --config");
    if (!o.output)
        return usage_error("preprocess", "expected -o and the name of the file to write");
    o.png = ends_in(o.output, ".png");
    if (!o.png && !ends_in(o.output, ".safetensors"))
        return usage_error("preprocess", "-o %s: expected a name that ends in .png or .safetensors",
                           o.output);
    names_file(FILE_READ, NULL, unless_stream(argv[optind]));
    if (!o.model.variant)
        model_names_weights(&o.model);
    parsed = outputs_check("preprocess");
    if (parsed != PARSED)
        return parsed;
    if (!outputs_possible_or_complain())
        return EXIT_INPUT;
    description d = {0};
    mohvit_error err;
    int status = EXIT_MODEL;
    if (fine_or_complain(describe(&d, &o.model, &err), &err))
        status = fine_or_complain(preprocess_file(argv[optind], &o, &d, &err), &err) ? EXIT_FINE : EXIT_INPUT;
    description_free(&d);
    return status;
}

const command command_preprocess = {"preprocess", "write what the network will see of a picture", help,
                                    run_preprocess};

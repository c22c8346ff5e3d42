/* cmd_convert.c - any checkpoint that can be read to safetensors, with all that describes it. */
#include "base/memory.h"
#include "base/replace_file.h"
#include "tools/program/complain.h"
#include "tools/program/interrupt.h"
#include "tools/program/model_options.h"
#include "tools/program/output.h"
#include "tools/program/outputs_check.h"
#include "weights/half.h"
#include "weights/safetensors_writer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const char help[] =
    "[OPTION ...] IN OUT.safetensors\n"
    "Converts a checkpoint (.pth, .safetensors or its index) to safetensors, with its config, preprocessing\n"
    "and labels in the metadata. OUT appears once all of it is on disk and has been read again\n"
    "and compared; it replaces a file of that name. Tensors that are not part of the model are\n"
    "left out, with a warning that names them. OUT may not end in .pth, .pt or .bin, as PyTorch's\n"
    "files do.\n\n"
    "  --dtype TYPE       f32 (default), f16 or bf16\n" KEY_HELP
    "  --config FILE      JSON config in place of the checkpoint's own\n"
    "  --preprocess FILE  JSON preprocessing in place of all of the checkpoint's own\n"
    "  --labels FILE      class names, one a line: a name, or WordNet id TAB names; or\n"
    "                     imagenet_class_index.json\n"
    "  -h, --help         show this\n";

typedef struct convert_options {
    model_options model;
    const char *in, *out;
    tensor_dtype dtype;
} convert_options;

/* What goes into the metadata; also what must come out of it again. */
typedef struct texts {
    char *config, *preprocess, *labels;
    char synthetic[24]; /* "": nothing to write */
} texts;

static texts describe(const description *d)
{
    texts t = {or_die(config_to_json(&d->config)), or_die(preprocess_to_json(&d->preprocess)),
               or_die(labels_to_json(&d->labels)), ""};
    memcpy(t.synthetic, d->synthetic, sizeof t.synthetic);
    return t;
}

static void texts_free(const texts *t)
{
    free(t->config);
    free(t->preprocess);
    free(t->labels);
}

typedef struct conversion {
    const convert_options *options;
    checkpoint *in;
    texts texts;
    tensor_list list;
    XXH128_hash_t *hashes; /* (list.count), of the bytes of each tensor as written */
} conversion;

// ---- Writing ---------------------------------------------------------------------------------------

/* Values that are finite in float32 and too large for dtype. */
static size_t count_overflows(const float *values, const uint16_t *half, size_t n, tensor_dtype dtype)
{
    uint16_t exponent = dtype == DTYPE_F16 ? 0x7c00 : 0x7f80;
    size_t overflows = 0;
    for (size_t i = 0; i < n; i++)
        overflows += (half[i] & exponent) == exponent && isfinite(values[i]);
    return overflows;
}

/* Converts in place of *values, which may be replaced by a smaller array. */
static void *to_dtype(float *values, const tensor_spec *spec, tensor_dtype dtype)
{
    if (dtype == DTYPE_F32)
        return values;
    uint16_t *half = or_die(memory_alloc(spec->elements, sizeof *half));
    (dtype == DTYPE_F16 ? half_to_f16 : half_to_bf16)(half, values, spec->elements);
    size_t overflows = count_overflows(values, half, spec->elements, dtype);
    if (overflows)
        complain("warning: %s: %zu value%s too large for %s became infinite", spec->name, overflows,
                 overflows == 1 ? "" : "s", tensor_dtype_name(dtype));
    free(values);
    return half;
}

static mohvit_status write_tensor(conversion *c, size_t index, const weight_source *source,
                                  safetensors_writer *w, mohvit_error *err)
{
    const tensor_spec *spec = &c->list.tensors[index];
    float *values = or_die(memory_alloc(spec->elements, sizeof *values));
    mohvit_status status = source->read(source->state, spec, values, err);
    if (!status) {
        void *bytes = to_dtype(values, spec, c->options->dtype);
        c->hashes[index] = XXH3_128bits(bytes, spec->elements * tensor_dtype_size(c->options->dtype));
        status = safetensors_writer_add_raw(w, bytes, err);
        values = bytes;
    }
    free(values);
    return status;
}

static mohvit_status write_checkpoint(conversion *c, const char *path, mohvit_error *err)
{
    const metadata_entry metadata[] = {
        {"config", c->texts.config},
        {"preprocess", c->texts.preprocess},
        {"labels", c->texts.labels},
        {"synthetic", c->texts.synthetic},
    };
    size_t entries = *c->texts.synthetic ? 4 : 3;
    tensor_info *infos = or_die(calloc(c->list.count, sizeof *infos));
    for (size_t i = 0; i < c->list.count; i++)
        infos[i] = tensor_of_spec(&c->list.tensors[i], c->options->dtype);
    checkpoint_reader reader = {.cp = c->in, .warn = {complain_warning, NULL}};
    weight_source source = checkpoint_source(&reader);
    safetensors_writer *w = NULL;
    mohvit_status status = safetensors_writer_create(&w, path, infos, c->list.count, metadata, entries, err);
    for (size_t i = 0; !status && i < c->list.count; i++) {
        status = interrupt_check(c->options->out, err);
        if (!status)
            status = write_tensor(c, i, &source, w, err);
    }
    free(infos);
    return safetensors_writer_finish(w, status, err);
}

// ---- Reading it again ------------------------------------------------------------------------------

static mohvit_status check_metadata(const conversion *c, checkpoint *cp, mohvit_error *err)
{
    static const mohvit_options as_written;
    description d;
    mohvit_status status = description_read(&d, cp, NULL, &as_written, err);
    if (status)
        return status;
    texts read = describe(&d);
    if (strcmp(read.config, c->texts.config) != 0 || strcmp(read.preprocess, c->texts.preprocess) != 0 ||
        strcmp(read.labels, c->texts.labels) != 0 || strcmp(read.synthetic, c->texts.synthetic) != 0)
        status = error_set(err, MOHVIT_ERROR_IO, "%s: config, preprocessing or labels read back differently",
                           c->options->out);
    texts_free(&read);
    description_free(&d);
    return status;
}

static mohvit_status check_tensor(const conversion *c, size_t index, checkpoint *cp, mohvit_error *err)
{
    const tensor_spec *spec = &c->list.tensors[index];
    const tensor_info *info = checkpoint_find(cp, spec->name);
    size_t bytes = spec->elements * tensor_dtype_size(c->options->dtype);
    if (!info || info->dtype != c->options->dtype || info->elements != spec->elements)
        return error_set(err, MOHVIT_ERROR_IO, "%s: tensor %s: reads back with another shape or type",
                         c->options->out, spec->name);
    void *data = or_die(memory_alloc(bytes, 1));
    mohvit_status status = checkpoint_read_raw(cp, info, data, err);
    if (!status && !XXH128_isEqual(XXH3_128bits(data, bytes), c->hashes[index]))
        status = error_set(err, MOHVIT_ERROR_IO, "%s: tensor %s: reads back with other values",
                           c->options->out, spec->name);
    free(data);
    return status;
}

static mohvit_status check_checkpoint(const conversion *c, const char *path, mohvit_error *err)
{
    checkpoint *cp;
    mohvit_status status = checkpoint_open(&cp, path, NULL, NULL, err);
    if (status)
        return status;
    status = check_metadata(c, cp, err);
    for (size_t i = 0; !status && i < c->list.count; i++) {
        status = interrupt_check(c->options->out, err);
        if (!status)
            status = check_tensor(c, i, cp, err);
    }
    checkpoint_close(cp);
    return status;
}

static mohvit_status write_and_check(conversion *c, mohvit_error *err)
{
    replace_file file;
    mohvit_status status = replace_begin(&file, c->options->out, err);
    if (status)
        return status;
    status = write_checkpoint(c, file.temporary, err);
    if (!status)
        status = check_checkpoint(c, file.temporary, err);
    if (status) {
        replace_blame(&file, err);
        replace_cancel(&file);
        return status;
    }
    return replace_commit(&file, err);
}

// ---- The command -----------------------------------------------------------------------------------

static void print_result(const conversion *c)
{
    output_name(c->options->out);
    output_printf(": %zu tensors, %.1f M parameters, %s, read back and compared\n", c->list.count,
                  (double)c->list.parameters / 1e6, tensor_dtype_name(c->options->dtype));
}

/* What is wrong with IN ends with EXIT_MODEL, what is wrong with OUT with EXIT_INPUT. */
static int convert(conversion *c, mohvit_error *err)
{
    const convert_options *o = c->options;
    warning_sink warn = {o->model.open.warn, o->model.open.user};
    description d;
    mohvit_status status = checkpoint_open(&c->in, o->in, o->model.open.key, &warn, err);
    if (!status)
        status = description_read(&d, c->in, NULL, &o->model.open, err);
    if (status)
        return EXIT_MODEL;
    c->texts = describe(&d);
    status = checkpoint_check(c->in, &d.config, &warn, err);
    if (!status)
        status = model_tensors(&c->list, &d.config, err);
    description_free(&d);
    if (status)
        return EXIT_MODEL;
    c->hashes = or_die(calloc(c->list.count, sizeof *c->hashes));
    interrupt_begin();
    if (write_and_check(c, err))
        return EXIT_INPUT;
    print_result(c);
    return EXIT_FINE;
}

enum { OPTION_DTYPE = OPTION_OWN };

static bool take_option(void *options, int code, const char *value)
{
    static const char *const names[] = {
        [DTYPE_F32] = "f32", [DTYPE_F16] = "f16", [DTYPE_BF16] = "bf16", NULL};
    convert_options *o = options;
    if (code != OPTION_DTYPE)
        return model_option(&o->model, code, value);
    int choice = parse_choice("--dtype", value, names);
    if (choice >= 0)
        o->dtype = (tensor_dtype)choice;
    return choice >= 0;
}

static int parse(convert_options *o, int argc, char **argv)
{
    static const struct option table[] = {
        {"dtype", required_argument, NULL, OPTION_DTYPE},
        DESCRIPTION_OPTIONS,
        LAST_OPTIONS,
    };
    *o = (convert_options){.dtype = DTYPE_F32};
    model_options_begin(&o->model);
    int parsed = options_read(&command_convert, argc, argv, "", table, take_option, o);
    if (parsed != PARSED)
        return parsed;
    if (argc - optind != 2)
        return usage_error("convert", "expected a checkpoint and the name of the file to write");
    o->in = argv[optind];
    o->out = argv[optind + 1];
    names_file(FILE_WEIGHTS, NULL, o->in);
    names_file(FILE_OUTPUT, NULL, o->out);
    parsed = safetensors_name_check("convert", o->out);
    return parsed == PARSED ? outputs_check("convert") : parsed;
}

static int run_convert(int argc, char **argv)
{
    convert_options o;
    int status = parse(&o, argc, argv);
    if (status != PARSED)
        return status;
    if (!outputs_possible_or_complain())
        return EXIT_INPUT;
    mohvit_error err;
    conversion c = {.options = &o};
    status = convert(&c, &err);
    if (status)
        complain("%s", err.message);
    texts_free(&c.texts);
    free(c.hashes);
    if (c.list.tensors)
        tensor_list_free(&c.list);
    checkpoint_close(c.in);
    interrupt_end();
    return status;
}

const command command_convert = {"convert", "convert a checkpoint to safetensors", help, run_convert};

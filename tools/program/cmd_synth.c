/* cmd_synth.c - a checkpoint of deterministic test weights (spec 6). */
#include "base/memory.h"
#include "tools/program/complain.h"
#include "tools/program/interrupt.h"
#include "tools/program/model_options.h"
#include "tools/program/output.h"
#include "tools/program/outputs_check.h"
#include "vit/network/synthetic.h"
#include "weights/safetensors_writer.h"

#include <stdio.h>
#include <stdlib.h>

static const char help[] =
    "--variant NAME|--config FILE [--seed N] OUT.safetensors\n"
    "Writes a checkpoint of deterministic weights, for tests and benchmarks without a download.\n"
    "Commands that read it say that its answers mean nothing. The file is safetensors; its name may not\n"
    "end in .pth, .pt or .bin, as PyTorch's files do.\n\n"
    "  --variant NAME  a published variant, such as moh_transnext_small_75\n"
    "  --config FILE   JSON config of any other model\n"
    "  --seed N        the same seed gives the same weights; default 0\n"
    "  --size S        side of the square input: 64 to 2048, a multiple of 32\n"
    "  -h, --help      show this\n";

static mohvit_status write_tensors(safetensors_writer *w, const tensor_list *list, uint64_t seed,
                                   const char *path, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    for (size_t i = 0; !status && i < list->count; i++) {
        const tensor_spec *spec = &list->tensors[i];
        float *values = or_die(memory_alloc(spec->elements, sizeof *values));
        synthetic_tensor(values, spec, seed);
        status = interrupt_check(path, err);
        if (!status)
            status = safetensors_writer_add_f32(w, values, err);
        free(values);
    }
    return status;
}

static mohvit_status write_checkpoint(const char *path, const config *c, uint64_t seed, mohvit_error *err)
{
    tensor_list list;
    mohvit_status status = model_tensors(&list, c, err);
    if (status)
        return status;
    char *config_text = or_die(config_to_json(c)), seed_text[24];
    snprintf(seed_text, sizeof seed_text, "%llu", (unsigned long long)seed);
    const metadata_entry metadata[] = {
        {"config", config_text}, {"seed", seed_text}, {"synthetic", seed_text}};
    tensor_info *infos = or_die(calloc(list.count, sizeof *infos));
    for (size_t i = 0; i < list.count; i++)
        infos[i] = tensor_of_spec(&list.tensors[i], DTYPE_F32);
    safetensors_writer *w = NULL;
    status = safetensors_writer_create(&w, path, infos, list.count, metadata, 3, err);
    if (!status)
        status = write_tensors(w, &list, seed, path, err);
    status = safetensors_writer_finish(w, status, err);
    if (!status) {
        output_name(path);
        output_printf(": %zu tensors, %.1f M parameters\n", list.count, (double)list.parameters / 1e6);
    }
    free(infos);
    free(config_text);
    tensor_list_free(&list);
    return status;
}

static int run_synth(int argc, char **argv)
{
    static const struct option table[] = {
        SYNTHETIC_OPTIONS,
        {"config", required_argument, NULL, OPTION_CONFIG},
        {"size", required_argument, NULL, OPTION_SIZE},
        LAST_OPTIONS,
    };
    model_options o;
    model_options_begin(&o);
    int parsed = options_read(&command_synth, argc, argv, "", table, model_option, &o);
    if (parsed != PARSED)
        return parsed;
    if (!o.variant == !o.open.config)
        return usage_error("synth", "expected --variant NAME or --config FILE");
    if (argc - optind != 1)
        return usage_error("synth", "expected the name of one file to write");
    names_file(FILE_OUTPUT, NULL, argv[optind]);
    parsed = safetensors_name_check("synth", argv[optind]);
    if (parsed == PARSED)
        parsed = outputs_check("synth");
    if (parsed != PARSED)
        return parsed;
    if (!outputs_possible_or_complain())
        return EXIT_INPUT;

    description d;
    mohvit_error err;
    if (!fine_or_complain(model_describe_synthetic(&d, &o, &err), &err))
        return EXIT_MODEL;
    interrupt_begin();
    bool fine = fine_or_complain(write_checkpoint(argv[optind], &d.config, o.seed, &err), &err);
    description_free(&d);
    interrupt_end();
    return fine ? EXIT_FINE : EXIT_INPUT;
}

const command command_synth = {"synth", "write a checkpoint of test weights", help, run_synth};

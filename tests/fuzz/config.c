/* A config in JSON, and what follows from one. */
#include "vit/network/config.h"

#include "vit/api/description.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* What is written must read back to the same. */
static void check_written(const config *c)
{
    config again;
    mohvit_error err;
    char *text = config_to_json(c);
    fuzz_require(text && !config_from_json(&again, text, strlen(text), "again", &err),
                 "what was written does not read back");
    fuzz_require(!memcmp(&c->embed_dims, &again.embed_dims, sizeof again.embed_dims) &&
                     c->num_classes == again.num_classes && c->dense == again.dense,
                 "what was written reads back to another config");
    free(text);
}

static void check_tensors(const config *c)
{
    tensor_list list;
    mohvit_error err;
    if (fuzz_checked(model_tensors(&list, c, &err), &err, NULL))
        return;
    fuzz_require(list.parameters <= CONFIG_MAX_PARAMETERS, "more parameters than the limit");
    tensor_list_free(&list);
}

/* As the file that an option names, beside labels and a preprocess. */
static void check_options(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(0, data, size);
    const mohvit_options config_alone = {.size = sizeof config_alone,
                                         .config = path,
                                         .img_size = 32 * (size % 80)},
                         preprocess_too = {.config = path, .preprocess = path},
                         labels_too = {.config = path, .labels = fuzz_file(1, (const uint8_t *)"a\nb\n", 4)};
    const mohvit_options *const options[] = {&config_alone, &preprocess_too, &labels_too};
    config c;
    description d;
    mohvit_error err;
    fuzz_require(synthetic_config(&c, "no variant", &(mohvit_options){0}, &err), "a variant that is none");
    if (fuzz_checked(synthetic_config(&c, NULL, &config_alone, &err), &err, path))
        return;
    for (size_t i = 0; i < 3; i++)
        if (!fuzz_checked(description_of_config(&d, &c, options[i], &err), &err, "/proc/self/fd/"))
            description_free(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const routed[] = {"0", "1", "100%", "1e9", "50 %", ""};
    config c;
    mohvit_error err;
    char *json = fuzz_copy(data, size);
    if (!fuzz_checked(config_from_json(&c, json, size, "c.json", &err), &err, "c.json")) {
        check_written(&c);
        check_tensors(&c);
        cost each;
        fuzz_require(config_name(&c), "no name");
        if (!fuzz_checked(model_cost(&each, &c, NULL, PRECISION_F32, &err), &err, NULL))
            fuzz_require(each.routed > 0 && each.all_heads >= each.routed, "absurd costs");
        fuzz_checked(config_set_routed(&c, routed[size % 6], &err), &err, NULL);
    }
    free(json);
    if (size % 4 == 0)
        check_options(data, size);
    return 0;
}

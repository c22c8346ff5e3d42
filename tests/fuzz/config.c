/* A config in JSON, and what follows from one. */
#include "config.h"

#include "fuzz.h"

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
    if (fuzz_checked(config_tensors(&list, c, &err), &err, NULL))
        return;
    fuzz_require(list.parameters <= CONFIG_MAX_PARAMETERS, "more parameters than the limit");
    tensor_list_free(&list);
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
        fuzz_require(config_name(&c) && config_macs(&c, true) >= config_macs(&c, false), "absurd costs");
        fuzz_checked(config_set_routed(&c, routed[size % 6], &err), &err, NULL);
    }
    free(json);
    return 0;
}

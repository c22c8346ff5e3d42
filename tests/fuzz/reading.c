#include "tests/fuzz/reading.h"

#include "vit/api/description.h"
#include "tests/fuzz/fuzz.h"

#define NAME "x.pth"

/* As stored, and as the network wants it. */
static void read_tensor(checkpoint *cp, const tensor_info *t)
{
    const size_t large = (size_t)1 << 20;
    mohvit_error err;
    if (t->elements > large)
        return;
    void *raw = malloc(t->elements * tensor_dtype_size(t->dtype) + 1);
    float *values = malloc(t->elements * sizeof *values + 1);
    fuzz_require(raw && values, "no memory for a tensor");
    fuzz_checked(checkpoint_read_raw(cp, t, raw, &err), &err, NAME);
    fuzz_checked(checkpoint_read_f32(cp, t, values, &err), &err, NAME);
    free(raw);
    free(values);
}

static void read_weights(checkpoint *cp, const config *c)
{
    tensor_list list;
    mohvit_error err;
    checkpoint_reader reader = {cp, {fuzz_warn, NULL}, 0};
    weight_source source = checkpoint_source(&reader);
    if (fuzz_checked(model_tensors(&list, c, &err), &err, NULL))
        return;
    for (size_t i = 0; i < list.count && list.parameters < (size_t)1 << 20; i++) {
        float *values = malloc(list.tensors[i].elements * sizeof *values);
        fuzz_require(values, "no memory for a tensor");
        fuzz_checked(source.read(source.state, &list.tensors[i], values, &err), &err, NAME);
        free(values);
    }
    tensor_list_free(&list);
}

/* Each of the names must find its own tensor. */
static void check_names(checkpoint *cp)
{
    for (size_t i = 0; i < checkpoint_count(cp); i++)
        fuzz_require(checkpoint_find(cp, checkpoint_tensor(cp, i)->name) == checkpoint_tensor(cp, i),
                     "a tensor that is not found by its name");
}

void fuzz_read_checkpoint(const uint8_t *data, size_t size, const char *key)
{
    const warning_sink warn = {fuzz_warn, NULL};
    const mohvit_options options = {.size = sizeof options, .warn = fuzz_warn};
    checkpoint *cp;
    description d;
    mohvit_error err;
    uint8_t *copy = fuzz_copy(data, size);
    if (size % 4 == 0) { // the same from a file
        const char *path = fuzz_file(0, data, size);
        if (!fuzz_checked(checkpoint_open(&cp, path, key, &warn, &err), &err, path))
            checkpoint_close(cp);
    }
    if (!fuzz_checked(checkpoint_open_memory(&cp, copy, size, NAME, key, &warn, &err), &err, NAME)) {
        check_names(cp);
        if (!fuzz_checked(description_read(&d, cp, NULL, &options, &err), &err, NULL)) {
            if (!fuzz_checked(checkpoint_check(cp, &d.config, &warn, &err), &err, NULL))
                read_weights(cp, &d.config);
            description_free(&d);
        }
        for (size_t i = 0; i < checkpoint_count(cp) && i < 64; i++)
            read_tensor(cp, checkpoint_tensor(cp, i));
        checkpoint_close(cp);
    }
    free(copy);
}

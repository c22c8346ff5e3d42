/* Files of head load, read and merged with themselves. */
#include "head_load.h"

#include "fuzz.h"
#include "mend.h"

FUZZ_MEND(mend_safetensors)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    head_load *a, *b;
    mohvit_error err;
    const char *path = fuzz_file(0, data, size);
    if (fuzz_checked(head_load_open(&a, path, &err), &err, NULL))
        return 0;
    fuzz_require(!head_load_open(&b, path, &err), "read once, and not again");
    size_t block;
    char missing[64];
    head_load_last_routed(a, &block);
    for (size_t i = 0; i < json_array_size(a->sources); i++)
        head_load_missing(a, i, i % 2, missing, sizeof missing);
    fuzz_checked(head_load_merge(a, b, "a", "b", true, &err), &err, NULL);
    head_load_destroy(a);
    head_load_destroy(b);
    return 0;
}

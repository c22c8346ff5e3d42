/* What each head did for each picture: read, and asked which pictures use a head most. */
#include "vit/headload/per_image.h"

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mend.h"

#include <stdlib.h>

FUZZ_MEND(mend_safetensors)

enum { TOP = 3 };

static void ask(const per_image *p, size_t block, size_t head)
{
    size_t top[TOP], count = per_image_top(top, TOP, p, block, head);
    for (size_t i = 0; i < count; i++) {
        fuzz_require(top[i] < p->count, "a picture that there is not");
        fuzz_require(per_image_active(p, top[i], block, head) > 0, "a picture that does not use the head");
        fuzz_require(!i || per_image_active(p, top[i - 1], block, head) >=
                               per_image_active(p, top[i], block, head),
                     "another order");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    per_image *p;
    mohvit_error err;
    if (fuzz_checked(per_image_open(&p, fuzz_file(0, data, size), &err), &err, NULL))
        return 0;
    for (size_t i = 0; i < p->count; i++) {
        char *name = per_image_name(p, i);
        fuzz_require(name, "no name");
        free(name);
        fuzz_require(p->class_of[i] < (int64_t)p->names.count, "a class that there is not");
    }
    for (size_t b = 0; b < p->routing.count; b++)
        for (size_t h = 0; h < p->routing.blocks[b].heads; h++)
            ask(p, b, h);
    per_image_free(p);
    return 0;
}

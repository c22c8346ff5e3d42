/* HEIC and AVIF: what libheif makes of strangers' bytes, within our limits. */
#include "tests/fuzz/picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const image_limits limits = {.max_pixels = 1 << 16, .max_file_bytes = 1 << 16};
    image picture;
    mohvit_error err;
    uint8_t *copy = fuzz_copy(data, size);
    if (!fuzz_checked(image_decode(&picture, copy, size, "x.heic", &limits, size % 2, &err), &err, "x.heic"))
        fuzz_look_at(&picture, &limits);
    free(copy);
    return 0;
}

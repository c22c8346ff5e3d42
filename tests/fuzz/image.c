/* Pictures of every kind, by content; small ones, so that decoding takes no time. */
#include "tests/fuzz/mend.h"
#include "tests/fuzz/picture.h"

FUZZ_MEND(mend_png)

/* From memory, or, where the size is a multiple of 4, from a file. */
static mohvit_status open_picture(image *out, const uint8_t *data, size_t size, const image_limits *limits)
{
    mohvit_error err;
    if (size % 4 == 0) {
        const char *path = fuzz_file(0, data, size);
        return fuzz_checked(image_read(out, path, limits, size % 8, &err), &err, path);
    }
    uint8_t *copy = fuzz_copy(data, size);
    mohvit_status status = image_decode(out, copy, size, "x.jpg", limits, size % 2, &err);
    free(copy);
    return fuzz_checked(status, &err, "x.jpg");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const image_limits limits = {.max_pixels = 1 << 14, .max_file_bytes = 1 << 13};
    image picture;
    if (!open_picture(&picture, data, size, &limits))
        fuzz_look_at(&picture, &limits);
    return 0;
}

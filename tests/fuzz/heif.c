/* HEIC and AVIF: what libheif makes of strangers' bytes, within our limits. */
#include "imgio/image.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const image_limits limits = {.max_pixels = 1 << 16, .max_file_bytes = 1 << 16};
    image picture;
    mohvit_error err;
    uint8_t *copy = fuzz_copy(data, size);
    if (!fuzz_checked(image_decode(&picture, copy, size, "x.heic", &limits, size % 2, &err), &err,
                      "x.heic")) {
        uint8_t sum = 0; // every pixel is there, and was written
        for (size_t i = 0; i < picture.width * picture.height * 3; i++)
            sum ^= picture.rgb[i];
        fuzz_require(picture.width * picture.height <= limits.max_pixels, "a picture above the limit");
        image_free(&picture);
        (void)*(volatile uint8_t *)&sum;
    }
    free(copy);
    return 0;
}

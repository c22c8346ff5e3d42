/* Pictures of every kind, by content; small ones, so that decoding takes no time. */
#include "fuzz.h"
#include "image.h"
#include "mend.h"

FUZZ_MEND(mend_png)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const image_limits limits = {.max_pixels = 1 << 14};
    mohvit_error err;
    image picture;
    uint8_t *copy = fuzz_copy(data, size);
    if (!fuzz_checked(image_decode(&picture, copy, size, "x.jpg", &limits, size % 2, &err), &err, "x.jpg")) {
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

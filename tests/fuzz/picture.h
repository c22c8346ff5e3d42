/* picture.h - what the targets do with a picture that was decoded. */
#ifndef MOHVIT_FUZZ_PICTURE_H
#define MOHVIT_FUZZ_PICTURE_H

#include "imgio/image.h"
#include "tests/fuzz/fuzz.h"

/* Reads every pixel, for a sanitizer to see that it is there and was written; frees the picture. */
static inline void fuzz_look_at(image *picture, const image_limits *limits)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < picture->width * picture->height * 3; i++)
        sum ^= picture->rgb[i];
    fuzz_require(picture->width * picture->height <= limits->max_pixels, "a picture above the limit");
    image_free(picture);
    (void)*(volatile uint8_t *)&sum;
}

#endif

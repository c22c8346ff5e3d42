/* stb_resize.h - stb_image_resize v1, set as spec 4 sets it to equal Pillow. */
#ifndef MOHVIT_STB_RESIZE_H
#define MOHVIT_STB_RESIZE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum resize_filter { RESIZE_BICUBIC, RESIZE_BILINEAR } resize_filter;

/* One axis: output pixel j shows the source around (j + 0.5 + shift) / scale. {n, n, 1, 0} copies it. */
typedef struct stb_axis {
    int in, out; /* pixels, at most IMAGE_MAX_SIDE and PREPROCESS_MAX_SIZE: stb counts bytes in int */
    float scale; /* new / old length of the whole picture */
    float shift; /* output pixels left out before the first */
} stb_axis;

/* in (y.in, x.in, 4), out (y.out, x.out, 4), rows without gaps, alpha 255 throughout. The alpha that comes
 * out is the kernel's sum inside the picture: to be ignored, or reset before another call. False without
 * memory. */
bool stb_resize(const uint8_t *in, stb_axis x, stb_axis y, resize_filter filter, uint8_t *out);

#endif

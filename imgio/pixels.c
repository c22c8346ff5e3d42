#include "imgio/pixels.h"

#include "base/memory.h"

#include <stdlib.h>

mohvit_status image_check_size(const char *name, const image_limits *limits, size_t width, size_t height,
                               mohvit_error *err)
{
    size_t pixels, most = limits->max_pixels ? limits->max_pixels : IMAGE_MAX_PIXELS;
    if (width == 0 || height == 0)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: a picture of %zu x %zu pixels", name, width, height);
    if (width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE)
        return error_set(err, MOHVIT_ERROR_LIMIT, "%s: %zu x %zu pixels exceed the limit of %zu a side", name,
                         width, height, IMAGE_MAX_SIDE);
    if (!size_mul(width, height, &pixels) || pixels > most)
        return error_set(err, MOHVIT_ERROR_LIMIT, "%s: %zu x %zu pixels exceed the limit of %zu pixels", name,
                         width, height, most);
    return MOHVIT_OK;
}

mohvit_status image_alloc(image *out, const char *name, const image_limits *limits, size_t width,
                          size_t height, mohvit_error *err)
{
    mohvit_status status = image_check_size(name, limits, width, height, err);
    if (status)
        return status;
    uint8_t *rgb = memory_alloc(width * height, 3);
    if (!rgb)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for %zu x %zu pixels", name, width, height);
    *out = (image){.width = width, .height = height, .rgb = rgb};
    return MOHVIT_OK;
}

void image_free(image *img)
{
    free(img->rgb);
    *img = (image){0};
}

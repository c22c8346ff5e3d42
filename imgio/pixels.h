/* pixels.h - a picture in memory, and what it may cost. */
#ifndef MOHVIT_PIXELS_H
#define MOHVIT_PIXELS_H

#include "base/error.h"

/* Checked on the header of a file, before anything is allocated. */
typedef struct image_limits {
    size_t max_file_bytes; /* 0: IMAGE_MAX_FILE_BYTES */
    size_t max_pixels;     /* 0: IMAGE_MAX_PIXELS */
} image_limits;

#define IMAGE_MAX_FILE_BYTES ((size_t)256 << 20)
#define IMAGE_MAX_PIXELS     ((size_t)128 << 20)
#define IMAGE_MAX_SIDE       ((size_t)65535) /* fixed: what a JPEG can hold, and what resizing in int can bear */

typedef struct image {
    size_t width, height;
    uint8_t *rgb; /* (height, width, 3), rows without gaps; owned, free with image_free */
    bool turned;  /* the EXIF of its file says that it is to be turned, whether that was done or not */
} image;

/* The one place where a picture's size meets the limits. name begins the message. */
mohvit_status image_check_size(const char *name, const image_limits *limits, size_t width, size_t height,
                               mohvit_error *err);

/* Checks the size, then gives *out that size and uncleared pixels. */
mohvit_status image_alloc(image *out, const char *name, const image_limits *limits, size_t width,
                          size_t height, mohvit_error *err);

/* Frees the pixels and leaves the picture empty; so freeing twice is fine. */
void image_free(image *img);

#endif

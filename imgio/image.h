/* image.h - a picture file as 8-bit RGB: JPEG, PNG or WebP, chosen by content (spec 4).
 *
 *     image img;
 *     mohvit_error err;
 *     if (image_read(&img, "cat.jpg", NULL, false, &err)) fatal(err.message);
 *     ... img.rgb ...
 *     image_free(&img);
 *
 * A damaged or truncated picture is an error, never a partly gray picture. */
#ifndef MOHVIT_IMAGE_H
#define MOHVIT_IMAGE_H

#include "base/error.h"

/* What a picture may cost. Checked on the header, before anything is allocated. */
typedef struct image_limits {
    size_t max_file_bytes; /* 0: IMAGE_MAX_FILE_BYTES */
    size_t max_pixels;     /* 0: IMAGE_MAX_PIXELS */
} image_limits;

#define IMAGE_MAX_FILE_BYTES ((size_t)256 << 20)
#define IMAGE_MAX_PIXELS     ((size_t)128 << 20)
#define IMAGE_MAX_SIDE       ((size_t)65535) /* fixed: what a JPEG can hold, and what resizing in int can bear */

typedef struct image {
    size_t width, height; /* of the decoded pixels, after any EXIF turn */
    uint8_t *rgb;         /* (height, width, 3), rows without gaps; owned, free with image_free */
} image;

/* Decodes size bytes at data. name is used in messages alone. limits may be NULL.
 * exif_orientation true turns the picture as its EXIF tag says. *out is set on success alone. */
mohvit_status image_decode(image *out, const void *data, size_t size, const char *name,
                           const image_limits *limits, bool exif_orientation, mohvit_error *err);

/* The same from a file; "-" is standard input. */
mohvit_status image_read(image *out, const char *path, const image_limits *limits, bool exif_orientation,
                         mohvit_error *err);

/* Frees the pixels and leaves the picture empty; so freeing twice is fine. */
void image_free(image *img);

#endif

/* decoder.h - what the formats share, inside imgio: one decode function each, and where their pixels come
 * from. */
#ifndef MOHVIT_DECODER_H
#define MOHVIT_DECODER_H

#include "imgio/image.h"

/* A picture as it lies in its file. */
typedef struct encoded {
    const uint8_t *data;
    size_t size;
    const char *name;    /* for messages */
    image_limits limits; /* both set */
} encoded;

/* Decodes *in into *out, which arrives empty; the caller frees it, on failure too.
 * *orientation is set where the file has an EXIF orientation tag; NULL: do not look. */
typedef mohvit_status decode_fn(image *out, unsigned *orientation, const encoded *in, mohvit_error *err);

decode_fn decode_jpeg, decode_png, decode_webp;

/* The one place where a picture's size meets the limits. */
mohvit_status image_check_size(const encoded *in, size_t width, size_t height, mohvit_error *err);

/* Checks the size, then gives *out that size and uncleared pixels: what a decoder does once it has read the
 * header. */
mohvit_status image_alloc(image *out, const encoded *in, size_t width, size_t height, mohvit_error *err);

/* The orientation (1 ... 8) in size bytes of EXIF, with or without their "Exif\0\0" header; 1 where there is
 * none or it makes no sense: a broken note about a picture is no reason to refuse the picture. 0 where memory
 * ran out. */
unsigned exif_read_orientation(const uint8_t *data, size_t size);

/* Turns the stored picture upright: 0 is an error, 1 as it is, 2 mirrored, 3 by 180 degrees, 4 upside down, 5
 * transposed, 6 by 90 degrees clockwise, 7 transversed, 8 by 90 degrees counterclockwise. */
mohvit_status exif_turn(image *img, unsigned orientation, const char *name, mohvit_error *err);

#endif

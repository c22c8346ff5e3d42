/* image.h - a picture file as 8-bit RGB, decoded by what it holds, whatever it is called (spec 4). formats.c
 * lists the formats.
 *
 * Of damaged JPEG and PNG files those are read which Pillow 9.4 reads with its defaults, to the same pixels,
 * and the others are an error: published scores count what Pillow reads. A 16-bit gray PNG gives its high
 * byte, where Pillow gives white. */
#ifndef MOHVIT_IMAGE_H
#define MOHVIT_IMAGE_H

#include "imgio/pixels.h"

/* Decodes size bytes at data. name is used in messages alone. limits may be NULL.
 * exif_orientation true turns the picture as its EXIF tag says. *out is set on success alone. */
mohvit_status image_decode(image *out, const void *data, size_t size, const char *name,
                           const image_limits *limits, bool exif_orientation, mohvit_error *err);

/* The same from a file; "-" is standard input. */
mohvit_status image_read(image *out, const char *path, const image_limits *limits, bool exif_orientation,
                         mohvit_error *err);

#endif

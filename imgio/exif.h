/* exif.h - which way up a picture was taken. */
#ifndef MOHVIT_EXIF_H
#define MOHVIT_EXIF_H

#include "imgio/pixels.h"

/* The orientation (1 ... 8) in size bytes of EXIF, with or without their "Exif\0\0" header; 1 where there is
 * none or it makes no sense: a broken note about a picture is no reason to refuse the picture. 0 where memory
 * ran out. */
unsigned exif_read_orientation(const uint8_t *data, size_t size);

/* Turns the stored picture upright: 0 is an error, 1 as it is, 2 mirrored, 3 by 180 degrees, 4 upside down, 5
 * transposed, 6 by 90 degrees clockwise, 7 transversed, 8 by 90 degrees counterclockwise. */
mohvit_status exif_turn(image *img, unsigned orientation, const char *name, mohvit_error *err);

#endif

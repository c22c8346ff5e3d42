/* decoder.h - what the decoders of all formats have in common: one function each, declared here and listed in
 * formats.c. */
#ifndef MOHVIT_DECODER_H
#define MOHVIT_DECODER_H

#include "imgio/pixels.h"

/* A picture as it lies in its file. */
typedef struct encoded {
    const uint8_t *data;
    size_t size;
    const char *name; /* for messages */
    image_limits limits;
    bool upright; /* turned as a format without EXIF says; who has EXIF tells its orientation anyway */
} encoded;

/* Decodes *in into *out, which arrives empty; the caller frees it, on failure too.
 * *orientation is set where the file has an EXIF orientation tag. */
typedef mohvit_status decode_fn(image *out, unsigned *orientation, const encoded *in, mohvit_error *err);

decode_fn decode_jpeg, decode_png, decode_webp, decode_heif;

#endif

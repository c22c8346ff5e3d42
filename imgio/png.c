#include "imgio/decoder.h"
#include "imgio/exif.h"

#include <errno.h>
#include <string.h>
#include <spng.h>

/* Text and colour profiles are inflated although nobody here reads them: more than this, and the file is a
 * bomb. */
#define MAX_CHUNK_BYTES ((size_t)64 << 20)

static mohvit_status error_png(mohvit_error *err, const encoded *in, int code)
{
    mohvit_status status = MOHVIT_ERROR_FORMAT;
    if (code == SPNG_EMEM)
        status = MOHVIT_ERROR_MEMORY;
    if (code == SPNG_ECHUNK_LIMITS || code == SPNG_EUSER_WIDTH || code == SPNG_EUSER_HEIGHT)
        status = MOHVIT_ERROR_LIMIT;
    return error_library(err, status, spng_strerror(code), "%s: PNG", in->name);
}

/* The file, read by spng bit by bit: which tells how far it came. */
typedef struct source {
    const encoded *in;
    size_t position;
} source;

static int read_bytes(spng_ctx *png, void *user, void *to, size_t length)
{
    (void)png;
    source *s = user;
    if (length > s->in->size - s->position)
        return SPNG_IO_EOF;
    memcpy(to, s->in->data + s->position, length);
    s->position += length;
    return 0;
}

/* Reads up to the end of IEND, without which a file was cut. spng overlooks that last checksum, and its
 * absence. */
static int read_to_end(spng_ctx *png, const source *s)
{
    static const uint8_t iend_crc[4] = {0xae, 0x42, 0x60, 0x82};
    int code = spng_decode_chunks(png);
    if (code)
        return code;
    return memcmp(s->in->data + s->position - 4, iend_crc, 4) ? SPNG_ECHUNK_CRC : 0;
}

static int configure(spng_ctx *png, source *s)
{
    int code = spng_set_png_stream(png, read_bytes, s);
    if (!code)
        code = spng_set_image_limits(png, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
    if (!code)
        code = spng_set_chunk_limits(png, MAX_CHUNK_BYTES, MAX_CHUNK_BYTES);
    if (!code)
        code = spng_set_crc_action(png, SPNG_CRC_ERROR, SPNG_CRC_ERROR);
    return code;
}

/* SPNG_FMT_RGB8 is spec 4's reading of every kind of PNG: gray and palette expanded, few bits scaled up, the
 * high byte of 16 bits, alpha and tRNS dropped. */
static int read_pixels(spng_ctx *png, const source *s, image *out, unsigned *orientation)
{
    int code = spng_decode_image(png, out->rgb, out->width * out->height * 3, SPNG_FMT_RGB8, 0);
    if (!code)
        code = read_to_end(png, s);
    struct spng_exif exif;
    if (!code && orientation && !spng_get_exif(png, &exif))
        *orientation = exif_read_orientation((const uint8_t *)exif.data, exif.length);
    return code;
}

static mohvit_status read_picture(spng_ctx *png, image *out, unsigned *orientation, const encoded *in,
                                  mohvit_error *err)
{
    struct spng_ihdr header;
    source s = {in, 0};
    int code = configure(png, &s);
    if (!code)
        code = spng_get_ihdr(png, &header);
    if (code)
        return error_png(err, in, code);
    mohvit_status status = image_alloc(out, in->name, &in->limits, header.width, header.height, err);
    if (status)
        return status;
    code = read_pixels(png, &s, out, orientation);
    return code ? error_png(err, in, code) : MOHVIT_OK;
}

mohvit_status decode_png(image *out, unsigned *orientation, const encoded *in, mohvit_error *err)
{
    errno = 0;
    spng_ctx *png = spng_ctx_new(0);
    if (!png)
        return error_png(err, in, SPNG_EMEM);
    mohvit_status status = read_picture(png, out, orientation, in, err);
    spng_ctx_free(png);
    return status;
}

/* picture_writing.h - JPEG, PNG, WebP and AVIF files of every kind, made in memory. Include after
 * weights_testing.h. There is no HEIC: x265 loses memory, which sanitizers report. */
#ifndef MOHVIT_PICTURE_WRITING_H
#define MOHVIT_PICTURE_WRITING_H

#include "tests/weights/weights_testing.h"

#include <jpeglib.h>
#include <spng.h>
#include <webp/encode.h>
#ifdef MOHVIT_HEIF
#include <libheif/heif.h>
#endif

static inline void blob_add_le(blob *b, size_t value, size_t count)
{
    for (size_t i = 0; i < count; i++)
        blob_add(b, &(uint8_t){(uint8_t)(value >> (8 * i))}, 1);
}

static inline void put_be(uint8_t *at, uint32_t value, size_t count)
{
    for (size_t i = 0; i < count; i++)
        at[i] = (uint8_t)(value >> (8 * (count - 1 - i)));
}

/* Where the marker stands, from `from` on. */
static inline size_t find(const blob *b, size_t from, const char *marker)
{
    while (from + 2 <= b->size && memcmp(b->data + from, marker, 2) != 0)
        from++;
    assert_true(from + 2 <= b->size);
    return from;
}

/* A smooth picture, that lossy codecs keep. */
static inline uint8_t smooth(size_t x, size_t y, size_t c)
{
    return (uint8_t)(40 + 2 * x + (c == 1 ? 3 * y : y) + 30 * c);
}

enum { W = 40, H = 30 };

static inline void fill_smooth(uint8_t *pixels, size_t channels)
{
    for (size_t i = 0; i < W * H * channels; i++)
        pixels[i] = smooth(i / channels % W, i / channels / W, i % channels);
}

/* TIFF structure with the one tag, in either byte order. */
static inline blob exif_of(unsigned orientation, bool big_endian)
{
    static const uint8_t big[] = "MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\0\0\0\0\0\0\0";
    static const uint8_t little[] = "II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\0\0\0\0\0\0\0\0";
    blob b = {0};
    blob_add(&b, big_endian ? big : little, 26);
    b.data[big_endian ? 19 : 18] = (uint8_t)orientation;
    return b;
}

typedef struct jpeg_kind {
    const char *name;
    J_COLOR_SPACE in, stored;
    int h_samples, v_samples;
    bool progressive, arithmetic, no_adobe, separate; /* separate: a scan for each component */
    int restart_rows, quality;                        /* 0: 95 */
} jpeg_kind;

static inline blob jpeg_encode(const jpeg_kind *kind, const uint8_t *pixels, size_t width, size_t height,
                               const blob *app1)
{
    struct jpeg_compress_struct cinfo;
    struct jpeg_error_mgr errors;
    unsigned char *data = NULL;
    unsigned long size = 0;
    cinfo.err = jpeg_std_error(&errors);
    jpeg_create_compress(&cinfo);
    jpeg_mem_dest(&cinfo, &data, &size);
    cinfo.image_width = (JDIMENSION)width;
    cinfo.image_height = (JDIMENSION)height;
    cinfo.in_color_space = kind->in;
    cinfo.input_components = kind->in == JCS_GRAYSCALE ? 1 : kind->in == JCS_RGB ? 3 : 4;
    jpeg_set_defaults(&cinfo);
    jpeg_set_colorspace(&cinfo, kind->stored);
    jpeg_set_quality(&cinfo, kind->quality ? kind->quality : 95, TRUE);
    if (kind->stored == JCS_YCbCr || kind->stored == JCS_YCCK) {
        cinfo.comp_info[0].h_samp_factor = kind->h_samples;
        cinfo.comp_info[0].v_samp_factor = kind->v_samples;
        if (kind->stored == JCS_YCCK) {
            cinfo.comp_info[3].h_samp_factor = kind->h_samples;
            cinfo.comp_info[3].v_samp_factor = kind->v_samples;
        }
    }
    if (kind->progressive)
        jpeg_simple_progression(&cinfo);
    static const jpeg_scan_info separate[] = {
        {1, {0}, 0, 63, 0, 0},
        {1, {1}, 0, 63, 0, 0},
        {1, {2}, 0, 63, 0, 0},
    };
    static const jpeg_scan_info separate_progressive[] = {
        {1, {0}, 0, 0, 0, 0},  {1, {1}, 0, 0, 0, 0},  {1, {2}, 0, 0, 0, 0},
        {1, {0}, 1, 63, 0, 0}, {1, {1}, 1, 63, 0, 0}, {1, {2}, 1, 63, 0, 0},
    };
    if (kind->separate) {
        cinfo.scan_info = kind->progressive ? separate_progressive : separate;
        cinfo.num_scans = kind->progressive ? 6 : 3;
    }
    cinfo.arith_code = kind->arithmetic;
    cinfo.restart_in_rows = kind->restart_rows;
    if (kind->no_adobe)
        cinfo.write_Adobe_marker = FALSE;
    jpeg_start_compress(&cinfo, TRUE);
    if (app1)
        jpeg_write_marker(&cinfo, JPEG_APP0 + 1, app1->data, (unsigned)app1->size);
    while (cinfo.next_scanline < cinfo.image_height) {
        JSAMPROW row =
            (JSAMPROW)(uintptr_t)(pixels + cinfo.next_scanline * width * (size_t)cinfo.input_components);
        jpeg_write_scanlines(&cinfo, &row, 1);
    }
    jpeg_finish_compress(&cinfo);
    jpeg_destroy_compress(&cinfo);
    blob b = {0};
    blob_add(&b, data, size);
    free(data);
    return b;
}

UNUSED static const jpeg_kind jpeg_kinds[] = {
    {"4:4:4", JCS_RGB, JCS_YCbCr, 1, 1, .progressive = false},
    {"4:2:2", JCS_RGB, JCS_YCbCr, 2, 1, .progressive = false},
    {"4:2:0", JCS_RGB, JCS_YCbCr, 2, 2, .progressive = false},
    {"4:4:0", JCS_RGB, JCS_YCbCr, 1, 2, .progressive = false},
    {"4:1:1", JCS_RGB, JCS_YCbCr, 4, 1, .progressive = false},
    {"progressive", JCS_RGB, JCS_YCbCr, 2, 2, .progressive = true},
    {"arithmetic", JCS_RGB, JCS_YCbCr, 2, 2, .arithmetic = true},
    {"restarts", JCS_RGB, JCS_YCbCr, 2, 2, .restart_rows = 1},
    {"RGB", JCS_RGB, JCS_RGB, 1, 1, .progressive = false},
    {"separate scans", JCS_RGB, JCS_YCbCr, 2, 2, .separate = true},
    {"separate progressive scans", JCS_RGB, JCS_YCbCr, 2, 2, .progressive = true, .separate = true},
    {"gray", JCS_GRAYSCALE, JCS_GRAYSCALE, 1, 1, .progressive = false},
    {"gray progressive", JCS_GRAYSCALE, JCS_GRAYSCALE, 1, 1, .progressive = true},
};

static inline blob png_encode(struct spng_ihdr header, const void *pixels, size_t size,
                              struct spng_plte *palette, struct spng_trns *transparent, const blob *exif)
{
    spng_ctx *png = spng_ctx_new(SPNG_CTX_ENCODER);
    assert_non_null(png);
    spng_set_option(png, SPNG_ENCODE_TO_BUFFER, 1);
    assert_int_equal(spng_set_ihdr(png, &header), 0);
    if (palette)
        assert_int_equal(spng_set_plte(png, palette), 0);
    if (transparent)
        assert_int_equal(spng_set_trns(png, transparent), 0);
    if (exif) {
        struct spng_exif chunk = {exif->size, (char *)exif->data};
        assert_int_equal(spng_set_exif(png, &chunk), 0);
    }
    int code = spng_encode_image(png, pixels, size, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
    if (code)
        fail_msg("spng: %s", spng_strerror(code));
    size_t length;
    uint8_t *data = spng_get_png_buffer(png, &length, &code);
    assert_non_null(data);
    blob b = {0};
    blob_add(&b, data, length);
    free(data);
    spng_ctx_free(png);
    return b;
}

static inline blob png_rgb(const uint8_t *pixels, size_t width, size_t height, uint8_t interlace,
                           const blob *exif)
{
    struct spng_ihdr header = {(uint32_t)width, (uint32_t)height, 8, SPNG_COLOR_TYPE_TRUECOLOR, 0, 0,
                               interlace};
    return png_encode(header, pixels, width * height * 3, NULL, NULL, exif);
}

static inline uint32_t crc32_of(const uint8_t *data, size_t size)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

/* The same PNG with one more chunk, before the pixels or behind them. */
static inline blob png_with_chunk(const blob *png, bool behind, const char *type, const void *data,
                                  size_t size)
{
    const size_t head = 8 + 12 + 13, end = 12;
    size_t at = behind ? png->size - end : head;
    blob chunk = {0}, b = {0};
    uint8_t number[4];
    blob_add(&chunk, type, 4);
    blob_add(&chunk, data, size);
    blob_add(&b, png->data, at);
    put_be(number, (uint32_t)size, 4);
    blob_add(&b, number, 4);
    blob_add(&b, chunk.data, chunk.size);
    put_be(number, crc32_of(chunk.data, chunk.size), 4);
    blob_add(&b, number, 4);
    blob_add(&b, png->data + at, png->size - at);
    free(chunk.data);
    return b;
}

typedef enum webp_kind { WEBP_LOSSY, WEBP_LOSSLESS, WEBP_LOSSY_ALPHA, WEBP_LOSSLESS_ALPHA } webp_kind;

static inline blob webp_encode(webp_kind kind, const uint8_t *pixels, int width, int height)
{
    uint8_t *data = NULL;
    size_t size = kind == WEBP_LOSSY      ? WebPEncodeRGB(pixels, width, height, width * 3, 95, &data)
                  : kind == WEBP_LOSSLESS ? WebPEncodeLosslessRGB(pixels, width, height, width * 3, &data)
                  : kind == WEBP_LOSSY_ALPHA
                      ? WebPEncodeRGBA(pixels, width, height, width * 4, 95, &data)
                      : WebPEncodeLosslessRGBA(pixels, width, height, width * 4, &data);
    assert_true(size > 0);
    blob b = {0};
    blob_add(&b, data, size);
    WebPFree(data);
    return b;
}

static inline void blob_add_chunk(blob *b, const char *fourcc, const void *data, size_t size)
{
    blob_add(b, fourcc, 4);
    blob_add_le(b, size, 4);
    blob_add(b, data, size);
    if (size % 2)
        blob_add(b, "", 1);
}

/* Of a WebP file, the chunks alone. */
static inline void blob_add_chunks_of(blob *b, const blob *webp)
{
    const size_t header = 12;
    assert_true(webp->size > header);
    blob_add(b, webp->data + header, webp->size - header);
}

/* An extended WebP: flags, canvas and the given chunks, which are freed. */
static inline blob webp_extended(uint8_t flags, size_t width, size_t height, blob chunks)
{
    blob header = {0}, b = {0};
    blob_add_le(&header, flags, 4);
    blob_add_le(&header, width - 1, 3);
    blob_add_le(&header, height - 1, 3);
    blob_add(&b, "RIFF", 4);
    blob_add_le(&b, 4 + 18 + chunks.size, 4);
    blob_add(&b, "WEBP", 4);
    blob_add_chunk(&b, "VP8X", header.data, header.size);
    blob_add(&b, chunks.data, chunks.size);
    free(header.data);
    free(chunks.data);
    return b;
}

/* Two lossless frames of 4 x 2 at (x, y), which are even, on a canvas; every byte of the first is 10, of the
 * second 90. */
static inline blob webp_frames(size_t x, size_t y, size_t width, size_t height)
{
    blob chunks = {0};
    blob_add_chunk(&chunks, "ANIM", "\xff\xff\xff\xff\0\0", 6); /* a white background, that nobody draws */
    for (int f = 0; f < 2; f++) {
        uint8_t pixels[4 * 2 * 3];
        memset(pixels, f ? 90 : 10, sizeof pixels);
        blob still = webp_encode(WEBP_LOSSLESS, pixels, 4, 2), frame = {0};
        blob_add_le(&frame, x / 2, 3);
        blob_add_le(&frame, y / 2, 3);
        blob_add_le(&frame, 4 - 1, 3);
        blob_add_le(&frame, 2 - 1, 3);
        blob_add_le(&frame, 100, 4);
        blob_add_chunks_of(&frame, &still);
        blob_add_chunk(&chunks, "ANMF", frame.data, frame.size);
        free(still.data);
        free(frame.data);
    }
    return webp_extended(0x02, width, height, chunks);
}

static inline blob webp_animated(void)
{
    return webp_frames(2, 4, 10, 8);
}

static inline blob webp_with_exif(webp_kind kind, unsigned orientation, const uint8_t *pixels, int width,
                                  int height)
{
    blob still = webp_encode(kind, pixels, width, height), exif = exif_of(orientation, false), chunks = {0};
    blob_add_chunks_of(&chunks, &still);
    blob_add_chunk(&chunks, "EXIF", exif.data, exif.size);
    free(still.data);
    free(exif.data);
    return webp_extended(0x08, (size_t)width, (size_t)height, chunks);
}

#ifdef MOHVIT_HEIF
static inline struct heif_error heif_take(UNUSED struct heif_context *file, const void *data, size_t size,
                                          void *user)
{
    blob_add(user, data, size);
    return (struct heif_error){heif_error_Ok, heif_suberror_Unspecified, "fine"};
}

static inline void heif_check(struct heif_error why)
{
    if (why.code)
        fail_msg("libheif: %s", why.message);
}

/* pixels (height, width, channels); 3 channels or, with alpha, 4. */
static inline blob avif_encode(unsigned orientation, const uint8_t *pixels, size_t channels, int width,
                               int height)
{
    blob b = {0};
    int stride;
    struct heif_image *img;
    struct heif_encoder *encoder;
    struct heif_writer writer = {1, heif_take};
    struct heif_context *file = heif_context_alloc();
    struct heif_encoding_options *options = heif_encoding_options_alloc();
    heif_check(heif_image_create(width, height, heif_colorspace_RGB,
                                 channels == 4 ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB,
                                 &img));
    heif_check(heif_image_add_plane(img, heif_channel_interleaved, width, height, 8));
    uint8_t *rows = heif_image_get_plane(img, heif_channel_interleaved, &stride);
    for (int y = 0; y < height; y++)
        memcpy(rows + y * stride, pixels + (size_t)y * (size_t)width * channels, (size_t)width * channels);
    heif_check(heif_context_get_encoder_for_format(file, heif_compression_AV1, &encoder));
    heif_check(heif_encoder_set_lossy_quality(encoder, 90));
    heif_check(heif_encoder_set_parameter(encoder, "speed", "9"));
    options->image_orientation = (enum heif_orientation)orientation;
    heif_check(heif_context_encode_image(file, img, encoder, options, NULL));
    heif_check(heif_context_write(file, &writer, &b));
    heif_encoding_options_free(options);
    heif_encoder_release(encoder);
    heif_image_release(img);
    heif_context_free(file);
    return b;
}
#endif

static inline void png_claim(blob *file, uint32_t width, uint32_t height)
{
    put_be(file->data + 16, width, 4);
    put_be(file->data + 20, height, 4);
    put_be(file->data + 29, crc32_of(file->data + 12, 17), 4);
}

#endif

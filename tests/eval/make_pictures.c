/* make_pictures.c - data sets for the tests:
 *
 *     make_pictures photos COUNT WIDTH HEIGHT FOLDER CLASS …
 *         COUNT JPEGs of about the size of photographs' in FOLDER/CLASS/NUMBER.jpg, by turns
 *     make_pictures unpack IMAGES LABELS FIRST COUNT png|jpeg FOLDER CLASS …
 *         pictures of idx files as FOLDER/CLASS/NUMBER.png or .jpg; FOLDER/NUMBER.… where no classes are
 * given */
#include <errno.h>
#include <spng.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include <jpeglib.h> // needs what stdio.h declares

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "make_pictures: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void write_jpeg(const char *path, const uint8_t *pixels, unsigned width, unsigned height, int channels,
                       int quality)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    FILE *f = fopen(path, "wb");
    if (!f)
        die(path);
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_stdio_dest(&c, f);
    c.image_width = width;
    c.image_height = height;
    c.input_components = channels;
    c.in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, quality, TRUE);
    jpeg_start_compress(&c, TRUE);
    while (c.next_scanline < height) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + (size_t)c.next_scanline * width * (size_t)channels);
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    if (fclose(f))
        die(path);
}

static void write_png(const char *path, const uint8_t *gray, unsigned width, unsigned height)
{
    FILE *f = fopen(path, "wb");
    spng_ctx *ctx = spng_ctx_new(SPNG_CTX_ENCODER);
    struct spng_ihdr header = {.width = width, .height = height, .bit_depth = 8};
    if (!f || !ctx)
        die(path);
    spng_set_png_file(ctx, f);
    spng_set_ihdr(ctx, &header);
    if (spng_encode_image(ctx, gray, (size_t)width * height, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE))
        die(path);
    spng_ctx_free(ctx);
    if (fclose(f))
        die(path);
}

static void make_folders(const char *folder, char **classes, size_t count)
{
    char path[4096];
    mkdir(folder, 0777);
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, classes[i]);
        if (mkdir(path, 0777) && errno != EEXIST)
            die(path);
    }
}

/* Soft shapes and a little grain: as hard to decode as a photograph. */
static void draw_photo(uint8_t *rgb, unsigned width, unsigned height, uint32_t seed)
{
    uint32_t noise = seed * 2654435761u + 1;
    for (unsigned y = 0; y < height; y++) {
        for (unsigned x = 0; x < width; x++) {
            uint8_t *p = rgb + 3 * ((size_t)y * width + x);
            for (unsigned c = 0; c < 3; c++) {
                noise = noise * 1664525u + 1013904223u;
                unsigned wave = (x * (3 + (seed + c) % 5) / 4 + y * (2 + seed % 3) / 3 + 37 * seed) % 256;
                unsigned soft = wave < 128 ? wave : 255 - wave;
                unsigned edge = (x / 40 + y / 30 + seed) % 7 == 0 ? 60 : 0;
                p[c] = (uint8_t)(40 + soft + edge / (c + 1) + (noise >> 27));
            }
        }
    }
}

static int photos(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    size_t count = (size_t)atol(argv[0]), classes = (size_t)argc - 4;
    unsigned width = (unsigned)atoi(argv[1]), height = (unsigned)atoi(argv[2]);
    uint8_t *rgb = malloc((size_t)width * height * 3);
    if (!rgb)
        die("photos");
    make_folders(argv[3], argv + 4, classes);
    for (size_t i = 0; i < count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s/%05zu.jpg", argv[3], argv[4 + i % classes], i);
        draw_photo(rgb, width, height, (uint32_t)i);
        write_jpeg(path, rgb, width, height, 3, 94);
    }
    free(rgb);
    return 0;
}

static void skip(gzFile f, size_t bytes)
{
    if (gzseek(f, (z_off_t)bytes, SEEK_CUR) < 0)
        die("idx");
}

static int unpack(int argc, char **argv)
{
    enum { SIDE = 28 };
    if (argc < 6)
        return 2;
    size_t first = (size_t)atol(argv[2]), count = (size_t)atol(argv[3]), classes = (size_t)argc - 6;
    bool png = strcmp(argv[4], "png") == 0;
    gzFile images = gzopen(argv[0], "rb"), labels = gzopen(argv[1], "rb");
    if (!images || !labels)
        die(argv[0]);
    make_folders(argv[5], argv + 6, classes);
    skip(images, 16 + first * SIDE * SIDE);
    skip(labels, 8 + first);
    for (size_t i = first; i < first + count; i++) {
        uint8_t pixels[SIDE * SIDE], label;
        char path[4096];
        if (gzread(images, pixels, sizeof pixels) != sizeof pixels || gzread(labels, &label, 1) != 1)
            die("idx");
        snprintf(path, sizeof path, "%s/%s/%05zu.%s", argv[5], label < classes ? argv[6 + label] : ".", i,
                 png ? "png" : "jpg");
        if (png)
            write_png(path, pixels, SIDE, SIDE);
        else
            write_jpeg(path, pixels, SIDE, SIDE, 1, 95);
    }
    gzclose(images);
    gzclose(labels);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "photos"))
        return photos(argc - 2, argv + 2);
    if (argc > 1 && !strcmp(argv[1], "unpack"))
        return unpack(argc - 2, argv + 2);
    return 2;
}

/* What test_pillow.py works with: "pictures write FOLDER" writes small pictures of every kind; "pictures
 * read" reads pictures as the program does. Of each path on standard input it writes, to standard output, a
 * line of width and height and then the pixels, or a line of 0, 0 and the message. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "imgio/image.h"
#include "tests/imgio/picture_writing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void write_as(const char *folder, const char *name, const char *ending, blob b)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.%s", folder, name, ending);
    blob_write(path, b.data, b.size);
    free(b.data);
}

/* Smooth, but not so smooth that a wrong byte could be overlooked. */
static void fill(uint8_t *pixels, size_t channels)
{
    fill_smooth(pixels, channels);
    for (size_t i = 0; i < W * H * channels; i++)
        pixels[i] = (uint8_t)(pixels[i] + i * i % 23);
}

static void write_pngs(const char *folder)
{
    static const struct {
        const char *name;
        uint8_t colour, depth, channels, interlace;
    } kinds[] = {{"gray_1", 0, 1, 1, 0},        {"gray", 0, 8, 1, 0},
                 {"rgb", 2, 8, 3, 0},           {"rgb_16", 2, 16, 3, 0},
                 {"palette", 3, 8, 1, 0},       {"palette_2", 3, 2, 1, 0},
                 {"rgba", 6, 8, 4, 0},          {"gray_alpha", 4, 8, 2, 0},
                 {"interlaced", 2, 8, 3, 1},    {"interlaced_palette", 3, 4, 1, 1},
                 {"interlaced_16", 2, 16, 3, 1}};
    uint8_t pixels[W * H * 6];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t stride = ((size_t)W * kinds[i].channels * kinds[i].depth + 7) / 8;
        struct spng_ihdr header = {W, H, kinds[i].depth, kinds[i].colour, 0, 0, kinds[i].interlace};
        struct spng_plte palette = {.n_entries = 1u << kinds[i].depth % 16};
        for (unsigned k = 0; k < 256; k++)
            palette.entries[k] =
                (struct spng_plte_entry){(uint8_t)(k + 3), (uint8_t)(250 - k), (uint8_t)(k * 7), 255};
        fill(pixels, 6);
        write_as(folder, kinds[i].name, "png",
                 png_encode(header, pixels, stride * H, kinds[i].colour == 3 ? &palette : NULL, NULL, NULL));
    }
}

static int write_all(const char *folder)
{
    static const jpeg_kind cmyk = {"CMYK", JCS_CMYK, JCS_YCCK, 2, 2, .progressive = false};
    static const char *const webps[] = {"lossy", "lossless", "lossy_alpha", "lossless_alpha"};
    uint8_t pixels[W * H * 4];
    fill(pixels, 3);
    for (size_t i = 0; i < sizeof jpeg_kinds / sizeof *jpeg_kinds; i++)
        write_as(folder, jpeg_kinds[i].name, "jpg", jpeg_encode(&jpeg_kinds[i], pixels, W, H, NULL));
    for (int kind = WEBP_LOSSY; kind <= WEBP_LOSSLESS_ALPHA; kind++) {
        fill(pixels, kind >= WEBP_LOSSY_ALPHA ? 4 : 3);
        write_as(folder, webps[kind], "webp", webp_encode((webp_kind)kind, pixels, W, H));
    }
    fill(pixels, 4);
    write_as(folder, "CMYK", "jpg", jpeg_encode(&cmyk, pixels, W, H, NULL));
    write_as(folder, "animated", "webp", webp_animated());
    write_as(folder, "exif", "webp", webp_with_exif(WEBP_LOSSLESS, 6, pixels, W, H));
    write_pngs(folder);
    return 0;
}

static int read_all(void)
{
    char path[4096];
    while (fgets(path, sizeof path, stdin)) {
        image img = {0};
        mohvit_error err = {0};
        path[strcspn(path, "\n")] = '\0';
        if (image_read(&img, path, NULL, false, &err)) {
            printf("0 0 %s\n", err.message);
        } else {
            printf("%zu %zu\n", img.width, img.height);
            fwrite(img.rgb, 1, img.width * img.height * 3, stdout);
        }
        fflush(stdout);
        image_free(&img);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "write"))
        return write_all(argv[2]);
    return argc == 2 && !strcmp(argv[1], "read") ? read_all() : 2;
}

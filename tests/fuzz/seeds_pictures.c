#include "tests/fuzz/seeds.h"

#include "tests/imgio/picture_writing.h"

enum { SIDE = 16 };

static void fill(uint8_t *pixels, size_t size)
{
    for (size_t i = 0; i < size; i++)
        pixels[i] = (uint8_t)(40 + i % 3 * 30 + i / 24);
}

static void seed_jpegs(void)
{
    uint8_t pixels[SIDE * SIDE * 4];
    const jpeg_kind cmyk = {"CMYK", JCS_CMYK, JCS_YCCK, 2, 2, .progressive = false};
    blob exif = {0}, tiff = exif_of(6, true);
    fill(pixels, sizeof pixels);
    blob_add(&exif, "Exif\0\0", 6);
    blob_add(&exif, tiff.data, tiff.size);
    for (size_t i = 0; i < sizeof jpeg_kinds / sizeof *jpeg_kinds; i++)
        seed("image", jpeg_encode(&jpeg_kinds[i], pixels, SIDE, SIDE, &exif));
    seed("image", jpeg_encode(&cmyk, pixels, SIDE, SIDE, NULL));
    free(tiff.data);
    free(exif.data);
}

static void seed_pngs(void)
{
    static const struct {
        uint8_t colour, depth, channels;
    } kinds[] = {{0, 1, 1}, {0, 16, 1}, {2, 8, 3}, {2, 16, 3}, {3, 4, 1}, {4, 8, 2}, {6, 8, 4}, {6, 16, 4}};
    enum { WIDTH = 8, HEIGHT = 5 };
    uint8_t pixels[WIDTH * HEIGHT * 8];
    struct spng_plte palette = {.n_entries = 16};
    struct spng_trns transparent = {.n_type3_entries = 1};
    blob exif = exif_of(5, false);
    memset(pixels, 0x11, sizeof pixels);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        bool indexed = kinds[i].colour == 3;
        struct spng_ihdr header = {WIDTH, HEIGHT, kinds[i].depth, kinds[i].colour, 0, 0, 0};
        size_t stride = ((size_t)WIDTH * kinds[i].channels * kinds[i].depth + 7) / 8;
        seed("image", png_encode(header, pixels, stride * HEIGHT, indexed ? &palette : NULL,
                                 indexed ? &transparent : NULL, &exif));
    }
    free(exif.data);
}

/* Turned each way. The target looks at the EXIF of pictures whose size is odd. */
static void seed_turned(void)
{
    uint8_t pixels[8 * 5 * 3];
    fill(pixels, sizeof pixels);
    for (unsigned orientation = 0; orientation <= 9; orientation++) {
        blob exif = exif_of(orientation, orientation % 2), picture = png_rgb(pixels, 8, 5, 0, &exif);
        if (picture.size % 2 == 0)
            blob_add(&picture, "", 1);
        seed("image", picture);
        free(exif.data);
    }
}

static void seed_webps(void)
{
    uint8_t pixels[8 * 8 * 4];
    fill(pixels, sizeof pixels);
    for (int kind = WEBP_LOSSY; kind <= WEBP_LOSSLESS_ALPHA; kind++)
        seed("image", webp_encode((webp_kind)kind, pixels, 8, 8));
    seed("image", webp_animated());
    seed("image", webp_with_exif(WEBP_LOSSLESS, 8, pixels, 8, 8));
}

#ifdef MOHVIT_HEIF
static void seed_heifs(void)
{
    uint8_t pixels[SIDE * SIDE * 4];
    fill(pixels, sizeof pixels);
    for (unsigned orientation = 1; orientation <= 8; orientation++)
        seed("heif", avif_encode(orientation, pixels, orientation < 7 ? 3 : 4, SIDE, SIDE));
    seed("heif", blob_read(GOLDEN_DIR "/images/cat_240.heic"));
}
#endif

void seed_pictures(void)
{
#ifdef MOHVIT_HEIF
    seed_heifs();
#endif
    seed_jpegs();
    seed_pngs();
    seed_turned();
    seed_webps();
    blob large = {0};
    for (int i = 0; i < 1 << 10; i++)
        blob_add(&large, "\xff\xd8\xff too large....", 16);
    seed("image", large);
    seed_text("image", "GIF89a");
    seed_text("image", "<svg xmlns=\"http://www.w3.org/2000/svg\"/>");
}

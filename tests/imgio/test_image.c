/* Picture files to pixels (imgio/image): every kind that JPEG, PNG and WebP have, whole, damaged and lying.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "imgio/formats.h"
#include "imgio/image.h"
#include "imgio/pixels.h"
#include "tests/imgio/picture_writing.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

static void decode_or_fail(image *img, const char *name, const blob *file, bool exif_orientation)
{
    mohvit_error err = {0};
    if (image_decode(img, file->data, file->size, name, NULL, exif_orientation, &err))
        fail_msg("%s", err.message);
}

/* The file must be refused, with that status, its name and that word in the message, and *out untouched. */
static void check_refused(const void *data, size_t size, const image_limits *limits, mohvit_status status,
                          const char *says)
{
    image img = {.width = 7, .height = 7};
    mohvit_error err = {0};
    if (image_decode(&img, data, size, "pic.xyz", limits, true, &err) != status)
        fail_msg("expected status %d, found %d: %s", status, err.status, err.message);
    if (err.status != status || !strstr(err.message, "pic.xyz: ") || !strstr(err.message, says))
        fail_msg("no \"%s\" in: %s", says, err.message);
    assert_true(img.width == 7 && img.height == 7 && !img.rgb);
}

static void check_near_smooth(const char *name, const image *img, const uint8_t *pixels, size_t channels,
                              int tolerance)
{
    assert_int_equal(img->width, W);
    assert_int_equal(img->height, H);
    for (size_t i = 0; i < W * H * 3; i++) {
        int expected = pixels[i / 3 * channels + (channels >= 3 ? i % 3 : 0)];
        if (abs(img->rgb[i] - expected) > tolerance)
            fail_msg("%s: value %zu is %d, expected about %d", name, i, img->rgb[i], expected);
    }
}

/* ---- Golden pictures ------------------------------------------------------------------------- */

static void golden_pictures_open_to_their_size(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t width, height;
    } pictures[] = {
        {"astronaut_rgba.png", 300, 260},
        {"astronaut_small_180.png", 180, 180},
#ifdef MOHVIT_HEIF
        {"cat_240.avif", 240, 160},
        {"cat_240.heic", 240, 160},
#endif
        {"cat_420.jpg", 451, 300},
        {"cat_444.jpg", 451, 300},
        {"cat_cmyk.jpg", 451, 300},
        {"cat_exif_orientation6.jpg", 451, 300},
        {"cat_gray.jpg", 451, 300},
        {"cat_gray.png", 301, 257},
        {"cat_palette.png", 451, 300},
        {"coffee.png", 600, 400},
        {"coffee_422_progressive.jpg", 600, 400},
        {"coffee_tall_33x400.png", 33, 400},
        {"rocket_wide_640x64.jpg", 640, 64},
    };
    for (size_t i = 0; i < sizeof pictures / sizeof *pictures; i++) {
        char path[4096];
        snprintf(path, sizeof path, GOLDEN_DIR "/images/%s", pictures[i].name);
        image img;
        mohvit_error err = {0};
        if (image_read(&img, path, NULL, false, &err))
            fail_msg("%s", err.message);
        assert_int_equal(img.width, pictures[i].width);
        assert_int_equal(img.height, pictures[i].height);
        image_free(&img);
        assert_true(!img.rgb && img.width == 0 && img.height == 0);
    }
}

static void exif_of_a_real_picture_turns_it_when_asked(void **state)
{
    (void)state;
    image stored, upright;
    const char *path = GOLDEN_DIR "/images/cat_exif_orientation6.jpg";
    assert_int_equal(image_read(&stored, path, NULL, false, NULL), MOHVIT_OK);
    assert_int_equal(image_read(&upright, path, NULL, true, NULL), MOHVIT_OK);
    assert_true(stored.turned && upright.turned); // what the file says
    assert_int_equal(upright.width, 300);
    assert_int_equal(upright.height, 451);
    /* 90 degrees clockwise: the top left corner comes from the bottom left one. */
    assert_memory_equal(upright.rgb, stored.rgb + 299 * 451 * 3, 3);
    image_free(&stored);
    image_free(&upright);
}

/* ---- JPEG ------------------------------------------------------------------------------------ */

static void jpeg_of_every_sampling_decodes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof jpeg_kinds / sizeof *jpeg_kinds; i++) {
        uint8_t pixels[W * H * 3];
        size_t channels = jpeg_kinds[i].in == JCS_GRAYSCALE ? 1 : 3;
        fill_smooth(pixels, channels);
        blob file = jpeg_encode(&jpeg_kinds[i], pixels, W, H, NULL);
        image img;
        decode_or_fail(&img, jpeg_kinds[i].name, &file, false);
        check_near_smooth(jpeg_kinds[i].name, &img, pixels, channels, 9);
        image_free(&img);
        free(file.data);
    }
}

/* Stored values are inverted: black ink 255 is none. */
static void jpeg_of_four_inks_is_read_as_adobe_writes_it(void **state)
{
    (void)state;
    static const jpeg_kind kinds[] = {
        {"CMYK", JCS_CMYK, JCS_CMYK, 1, 1, .no_adobe = false},
        {"CMYK without Adobe marker", JCS_CMYK, JCS_CMYK, 1, 1, .no_adobe = true},
        {"YCCK", JCS_CMYK, JCS_YCCK, 2, 2, .no_adobe = false},
    };
    uint8_t cmyk[W * H * 4], expected[W * H * 3];
    fill_smooth(cmyk, 4);
    for (size_t i = 0; i < W * H * 3; i++)
        expected[i] = (uint8_t)((cmyk[i / 3 * 4 + i % 3] * cmyk[i / 3 * 4 + 3] + 127) / 255);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        blob file = jpeg_encode(&kinds[i], cmyk, W, H, NULL);
        image img;
        decode_or_fail(&img, kinds[i].name, &file, false);
        check_near_smooth(kinds[i].name, &img, expected, 3, 9);
        image_free(&img);
        free(file.data);
    }
}

/* Blocks of one value each are kept to the bit at the best quality, so that R = C·K/255 is seen rounded: to
 * the nearest, which is never halfway. */
static void cmyk_is_multiplied_and_rounded_to_the_nearest(void **state)
{
    (void)state;
    static const jpeg_kind kind = {"flat CMYK", JCS_CMYK, JCS_CMYK, 1, 1, .quality = 100};
    static const struct {
        uint8_t ink[4], rgb[3];
    } blocks[] = {
        {{255, 128, 0, 255}, {255, 128, 0}}, {{255, 128, 0, 0}, {0, 0, 0}},
        {{127, 128, 129, 1}, {0, 1, 1}},     // 0.498, 0.502, 0.506
        {{200, 100, 50, 100}, {78, 39, 20}}, // 78.43, 39.2, 19.6
        {{254, 253, 3, 254}, {253, 252, 3}}, // 253.004, 252.008, 2.99
        {{85, 86, 84, 171}, {57, 58, 56}},   // 57, 57.67, 56.3
    };
    enum { COUNT = sizeof blocks / sizeof *blocks, WIDTH = 8 * COUNT };
    uint8_t cmyk[8 * WIDTH * 4];
    for (size_t i = 0; i < 8 * WIDTH; i++)
        memcpy(cmyk + 4 * i, blocks[i % WIDTH / 8].ink, 4);
    blob file = jpeg_encode(&kind, cmyk, WIDTH, 8, NULL);
    image img;
    decode_or_fail(&img, kind.name, &file, false);
    for (size_t i = 0; i < 8 * WIDTH; i++)
        assert_memory_equal(img.rgb + 3 * i, blocks[i % WIDTH / 8].rgb, 3);
    image_free(&img);
    free(file.data);
}

static void jpeg_with_stray_bytes_around_still_decodes(void **state)
{
    (void)state;
    uint8_t pixels[W * H * 3];
    fill_smooth(pixels, 3);
    blob file = jpeg_encode(&jpeg_kinds[0], pixels, W, H, NULL), stray = {0};
    blob_add(&stray, file.data, 20);
    blob_add(&stray, "stray", 5); /* between JFIF's segment and the next */
    blob_add(&stray, file.data + 20, file.size - 20);
    blob_add(&stray, "trailing", 8);
    image img;
    decode_or_fail(&img, "stray", &stray, false);
    check_near_smooth("stray", &img, pixels, 3, 9);
    image_free(&img);
    free(file.data);
    free(stray.data);
}

static void jpeg_with_too_many_scans_is_refused(void **state)
{
    (void)state;
    uint8_t pixels[W * H * 3];
    fill_smooth(pixels, 3);
    blob file = jpeg_encode(&jpeg_kinds[5], pixels, W, H, NULL), bomb = {0};
    size_t scan = find(&file, 0, "\xff\xda"),
           next = find(&file, scan + 2, "\xff\xc4"); /* its Huffman table */
    blob_add(&bomb, file.data, next);
    for (int i = 0; i < 200; i++)
        blob_add(&bomb, file.data + scan, next - scan);
    blob_add(&bomb, file.data + next, file.size - next);
    check_refused(bomb.data, bomb.size, NULL, MOHVIT_ERROR_LIMIT, "scans");
    free(file.data);
    free(bomb.data);
}

/* As Pillow has it: libjpeg fills in what an end marker cut off. test_pillow.py compares the pixels. */
static void jpeg_cut_and_closed_again_is_read(void **state)
{
    (void)state;
    uint8_t pixels[W * H * 3];
    fill_smooth(pixels, 3);
    static const size_t kinds[] = {0, 2, 7};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        blob file = jpeg_encode(&jpeg_kinds[kinds[i]], pixels, W, H, NULL);
        image whole, img;
        decode_or_fail(&whole, jpeg_kinds[kinds[i]].name, &file, false);
        put_be(file.data + file.size - 102, 0xffd9, 2); /* an end marker amid the data */
        file.size -= 100;
        decode_or_fail(&img, jpeg_kinds[kinds[i]].name, &file, false);
        assert_memory_equal(img.rgb, whole.rgb, 8 * 3);
        assert_true(memcmp(img.rgb, whole.rgb, W * H * 3) != 0);
        image_free(&img);
        image_free(&whole);
        free(file.data);
    }
}

static void jpeg_that_ends_before_some_component_is_read(void **state)
{
    (void)state;
    uint8_t pixels[W * H * 3];
    fill_smooth(pixels, 3);
    static const jpeg_kind kinds[] = {
        {"separate", JCS_RGB, JCS_YCbCr, 2, 2, .separate = true},
        {"progressive", JCS_RGB, JCS_YCbCr, 2, 2, .progressive = true, .separate = true},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        blob file = jpeg_encode(&kinds[i], pixels, W, H, NULL);
        size_t first = find(&file, 0, "\xff\xda"), second = find(&file, first + 2, "\xff\xda");
        put_be(file.data + second, 0xffd9, 2);
        image img;
        decode_or_fail(&img, kinds[i].name, &file, false);
        for (size_t k = 0; k < W * H * 3; k += 3) // gray, of the one component that is there
            assert_true(img.rgb[k] == img.rgb[k + 1] && img.rgb[k] == img.rgb[k + 2]);
        image_free(&img);
        free(file.data);
    }
}

/* ---- PNG ------------------------------------------------------------------------------------- */

/* Row bytes of the given bits per pixel. */
static size_t png_stride(size_t width, size_t bits)
{
    return (width * bits + 7) / 8;
}

/* Sample k of a row as stored: bit-packed, or 16 bits in host order. */
static unsigned png_sample(const uint8_t *row, size_t k, unsigned depth)
{
    if (depth == 16)
        return ((const uint16_t *)(const void *)row)[k];
    return (unsigned)(row[k * depth / 8] >> (8 - depth - k * depth % 8)) & ((1u << depth) - 1);
}

static void check_png_kind(uint8_t colour, uint8_t depth, uint8_t interlace)
{
    enum { PW = 13, PH = 11 };
    size_t channels = colour == 2 ? 3 : colour == 4 ? 2 : colour == 6 ? 4 : 1;
    size_t stride = png_stride(PW, channels * depth);
    _Alignas(2) uint8_t raw[PW * PH * 8];
    for (size_t i = 0; i < stride * PH; i++)
        raw[i] = (uint8_t)(i * 37 + i / 7);
    struct spng_plte palette = {.n_entries = 1u << (depth < 8 ? depth : 8)};
    for (unsigned i = 0; i < 256; i++)
        palette.entries[i] = (struct spng_plte_entry){(uint8_t)i, (uint8_t)(255 - i), (uint8_t)(i * 7), 255};
    /* What the samples of pixel 0 say is transparent: dropped, not blended. */
    struct spng_trns clear = {.gray = (uint16_t)png_sample(raw, 0, depth), .n_type3_entries = 1};
    struct spng_ihdr header = {PW, PH, depth, colour, 0, 0, interlace};
    blob file = png_encode(header, raw, stride * PH, colour == 3 ? &palette : NULL,
                           colour == 0 || colour == 3 ? &clear : NULL, NULL);
    image img;
    decode_or_fail(&img, "kind.png", &file, false);
    assert_true(img.width == PW && img.height == PH);
    for (size_t i = 0; i < PW * PH * 3; i++) {
        size_t x = i / 3 % PW, y = i / 3 / PW, c = i % 3;
        unsigned v = png_sample(raw + y * stride, x * channels + (channels >= 3 ? c : 0), depth),
                 expected = v;
        if (colour == 3)
            expected = c == 0   ? palette.entries[v].red
                       : c == 1 ? palette.entries[v].green
                                : palette.entries[v].blue;
        else if (depth == 16)
            expected = v >> 8;
        else if (depth < 8)
            expected = v * 255 / ((1u << depth) - 1);
        if (img.rgb[i] != expected)
            fail_msg("colour type %d, depth %d, interlace %d: value %zu is %d, expected %u", colour, depth,
                     interlace, i, img.rgb[i], expected);
    }
    image_free(&img);
    free(file.data);
}

static void png_of_every_kind_decodes_exactly(void **state)
{
    (void)state;
    static const uint8_t kinds[][2] = {{0, 1}, {0, 2}, {0, 4}, {0, 8}, {0, 16}, {2, 8}, {2, 16}, {3, 1},
                                       {3, 2}, {3, 4}, {3, 8}, {4, 8}, {4, 16}, {6, 8}, {6, 16}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (uint8_t interlace = 0; interlace <= 1; interlace++)
            check_png_kind(kinds[i][0], kinds[i][1], interlace);
}

/* Checksums count up to the pixels, as for Pillow. Behind these, a bit changes nothing; of their own data,
 * test_pillow.py compares what becomes. */
static void png_with_a_flipped_bit_is_refused_up_to_the_pixels(void **state)
{
    (void)state;
    uint8_t pixels[W * H * 3];
    fill_smooth(pixels, 3);
    blob exif = exif_of(1, true), file = png_rgb(pixels, W, H, 0, &exif);
    size_t data = find(&file, 0, "ID") - 4, end = file.size - 4 - 12; // IDAT up to its checksum
    for (size_t i = 0; i < file.size; i += i + 1 == data ? end - data + 1 : 1) {
        file.data[i] ^= 0x10;
        image img;
        mohvit_status status = image_decode(&img, file.data, file.size, "flipped", NULL, false, NULL);
        if (i < data ? !status : status || memcmp(img.rgb, pixels, sizeof pixels) != 0)
            fail_msg("byte %zu of %zu flipped: status %d", i, file.size, status);
        if (!status)
            image_free(&img);
        file.data[i] ^= 0x10;
    }
    free(exif.data);
    free(file.data);
}

/* ---- WebP ------------------------------------------------------------------------------------ */

static void webp_of_every_kind_decodes(void **state)
{
    (void)state;
    for (int kind = WEBP_LOSSY; kind <= WEBP_LOSSLESS_ALPHA; kind++) {
        size_t channels = kind >= WEBP_LOSSY_ALPHA ? 4 : 3;
        uint8_t pixels[W * H * 4];
        fill_smooth(pixels, channels);
        blob file = webp_encode((webp_kind)kind, pixels, W, H);
        image img;
        decode_or_fail(&img, "kind.webp", &file, false);
        check_near_smooth("kind.webp", &img, pixels, channels, kind % 2 ? 0 : 9);
        image_free(&img);
        free(file.data);
    }
}

static void animated_webp_gives_its_first_frame_on_black(void **state)
{
    (void)state;
    static const struct {
        size_t x, y, width, height;
    } cases[] = {{2, 4, 10, 8}, {2, 0, 8, 2}, {0, 4, 4, 8}, {0, 0, 4, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t left = cases[i].x, top = cases[i].y, width = cases[i].width, height = cases[i].height;
        blob file = webp_frames(left, top, width, height);
        image img;
        decode_or_fail(&img, "animated.webp", &file, false);
        assert_true(img.width == width && img.height == height);
        for (size_t y = 0; y < height; y++)
            for (size_t x = 0; x < width; x++)
                for (size_t c = 0; c < 3; c++)
                    assert_int_equal(img.rgb[(y * width + x) * 3 + c],
                                     x >= left && x < left + 4 && y >= top && y < top + 2 ? 10 : 0);
        image_free(&img);
        free(file.data);
    }
}

/* ---- HEIC and AVIF --------------------------------------------------------------------------- */

#ifdef MOHVIT_HEIF
static blob golden(const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, GOLDEN_DIR "/images/%s", name);
    return blob_read(path);
}

/* HEIC is told by golden crops. */
static void avif_of_every_kind_decodes(void **state)
{
    (void)state;
    for (size_t channels = 3; channels <= 4; channels++) {
        uint8_t pixels[W * H * 4];
        fill_smooth(pixels, channels);
        blob file = avif_encode(1, pixels, channels, W, H);
        image img;
        decode_or_fail(&img, "x.avif", &file, false);
        check_near_smooth("x.avif", &img, pixels, channels, 12);
        image_free(&img);
        free(file.data);
    }
}

/* A corner of the turned picture is the one of the stored picture that belongs there. */
static void avif_is_turned_when_asked(void **state)
{
    (void)state;
    uint8_t pixels[W * H * 3];
    fill_smooth(pixels, 3);
    static const size_t first[] = {[1] = 0, [3] = W * H - 1, [6] = (H - 1) * W, [8] = W - 1};
    static const unsigned orientations[] = {1, 3, 6, 8};
    for (size_t i = 0; i < sizeof orientations / sizeof *orientations; i++) {
        unsigned orientation = orientations[i];
        blob file = avif_encode(orientation, pixels, 3, W, H);
        image stored, upright;
        decode_or_fail(&stored, "turned.avif", &file, false);
        decode_or_fail(&upright, "turned.avif", &file, true);
        check_near_smooth("turned.avif", &stored, pixels, 3, 12);
        assert_int_equal(upright.width, orientation >= 5 ? H : W);
        assert_int_equal(upright.height, orientation >= 5 ? W : H);
        assert_memory_equal(upright.rgb, stored.rgb + 3 * first[orientation], 3);
        image_free(&stored);
        image_free(&upright);
        free(file.data);
    }
}
#endif

/* ---- EXIF ------------------------------------------------------------------------------------ */

static void check_turned(const char *name, const blob *file, unsigned orientation, const char *expected)
{
    image img;
    decode_or_fail(&img, name, file, true);
    assert_int_equal(img.width, orientation >= 5 ? 2 : 3);
    assert_int_equal(img.height, orientation >= 5 ? 3 : 2);
    for (size_t i = 0; i < 6; i++)
        if (img.rgb[3 * i] != (uint8_t)expected[i] || img.rgb[3 * i + 2] != (uint8_t)expected[i] + 2)
            fail_msg("%s: orientation %u: pixel %zu is '%c', expected '%c'", name, orientation, i,
                     img.rgb[3 * i], expected[i]);
    image_free(&img);
    decode_or_fail(&img, name, file, false);
    assert_true(img.width == 3 && img.rgb[0] == 'a' && img.rgb[9] == 'd');
    image_free(&img);
}

static void all_eight_orientations_are_turned_upright(void **state)
{
    (void)state;
    /* Stored: abc over def. */
    static const char *const upright[] = {"abcdef", "cbafed", "fedcba", "defabc",
                                          "adbecf", "daebfc", "fcebda", "cfbead"};
    uint8_t pixels[18];
    for (size_t i = 0; i < 18; i++)
        pixels[i] = (uint8_t)((size_t)'a' + i / 3 + i % 3);
    for (unsigned orientation = 1; orientation <= 8; orientation++) {
        blob exif = exif_of(orientation, orientation % 2);
        blob png = png_rgb(pixels, 3, 2, 0, &exif),
             webp = webp_with_exif(WEBP_LOSSLESS, orientation, pixels, 3, 2);
        check_turned("turn.png", &png, orientation, upright[orientation - 1]);
        check_turned("turn.webp", &webp, orientation, upright[orientation - 1]);
        free(exif.data);
        free(png.data);
        free(webp.data);
    }
}

/* EXIF as ImageMagick writes it: a text of lines with the bytes in hexadecimal. */
static blob raw_profile(unsigned orientation)
{
    blob exif = exif_of(orientation, true), b = {0};
    char line[64];
    snprintf(line, sizeof line, "\nexif\n%8zu\n", exif.size + 6);
    blob_add(&b, line, strlen(line));
    blob_add(&b, "457869660000", 12);
    for (size_t i = 0; i < exif.size; i++) {
        snprintf(line, sizeof line, "%02x%s", exif.data[i], i % 16 == 9 ? "\n" : "");
        blob_add(&b, line, strlen(line));
    }
    free(exif.data);
    return b;
}

static blob text_chunk(const char *start, size_t size, const blob *text, bool packed)
{
    blob b = {0};
    uint8_t room[1024];
    uLongf length = sizeof room;
    blob_add(&b, start, size);
    if (packed)
        assert_int_equal(compress(room, &length, text->data, text->size), Z_OK);
    blob_add(&b, packed ? room : text->data, packed ? length : text->size);
    return b;
}

static void exif_in_a_text_of_png_turns_it_when_asked(void **state)
{
    (void)state;
    enum { KEY = sizeof "Raw profile type exif" };
    static const struct {
        const char *type, *start;
        size_t size;
        bool packed;
    } kinds[] = {{"tEXt", "Raw profile type exif", KEY, false},
                 {"zTXt", "Raw profile type exif\0", KEY + 1, true},
                 {"iTXt", "Raw profile type exif\0\0\0en\0key", KEY + 9, false},
                 {"iTXt", "Raw profile type exif\0\1\0en\0key", KEY + 9, true}};
    uint8_t pixels[18];
    for (size_t i = 0; i < 18; i++)
        pixels[i] = (uint8_t)((size_t)'a' + i / 3 + i % 3);
    blob profile = raw_profile(6), other = exif_of(3, true);
    for (size_t i = 0; i < 2 * sizeof kinds / sizeof *kinds; i++) {
        blob text = text_chunk(kinds[i / 2].start, kinds[i / 2].size, &profile, kinds[i / 2].packed);
        blob plain = png_rgb(pixels, 3, 2, 0, NULL), both = png_rgb(pixels, 3, 2, 0, &other);
        blob noted = png_with_chunk(&plain, i % 2, kinds[i / 2].type, text.data, text.size);
        blob twice = png_with_chunk(&both, i % 2, kinds[i / 2].type, text.data, text.size);
        check_turned(kinds[i / 2].type, &noted, 6, "daebfc");
        check_turned("eXIf goes first", &twice, 3, "fedcba");
        free(text.data);
        free(plain.data);
        free(both.data);
        free(noted.data);
        free(twice.data);
    }
    profile.data[profile.size / 2] = 'x'; // no hexadecimal: a broken note
    blob text = text_chunk(kinds[0].start, kinds[0].size, &profile, false),
         plain = png_rgb(pixels, 3, 2, 0, NULL);
    blob noted = png_with_chunk(&plain, false, "tEXt", text.data, text.size);
    check_turned("broken", &noted, 1, "abcdef");
    free(text.data);
    free(plain.data);
    free(noted.data);
    free(profile.data);
    free(other.data);
}

static void broken_exif_leaves_the_picture_as_it_is(void **state)
{
    (void)state;
    uint8_t pixels[W * H * 3];
    fill_smooth(pixels, 3);
    blob whole = {0}, tiff = exif_of(6, true);
    blob_add(&whole, "Exif\0\0", 6);
    blob_add(&whole, tiff.data, tiff.size);
    for (size_t size = 0; size <= whole.size; size++) {
        for (int nonsense = 0; nonsense < 2; nonsense++) {
            blob exif = {0};
            blob_add(&exif, whole.data, size);
            if (nonsense && size > 25)
                exif.data[25] = 9; /* orientation 9 */
            blob file = jpeg_encode(&jpeg_kinds[0], pixels, W, H, &exif);
            image img;
            if (size >= 10 &&
                size < 14) { // TIFF's header is cut: Pillow refuses that, looking for a resolution
                check_refused(file.data, file.size, NULL, MOHVIT_ERROR_FORMAT, "EXIF");
                free(exif.data);
                free(file.data);
                continue;
            }
            decode_or_fail(&img, "exif.jpg", &file, true);
            if (size == whole.size)
                assert_int_equal(img.width, nonsense ? W : H);
            image_free(&img);
            free(exif.data);
            free(file.data);
        }
    }
    free(whole.data);
    free(tiff.data);
}

/* ---- Damage and lies ------------------------------------------------------------------------- */

/* The copy is as long as the cut file, so that a sanitizer sees a read beyond it. The last bytes, up to
 * `spare`, may say nothing of the pixels: then these have to be whole. */
static void check_every_cut(const char *kind, blob file, size_t spare)
{
    image img;
    decode_or_fail(&img, kind, &file, true);
    for (size_t size = 0; size < file.size; size += size + 80 < file.size ? 64 : 1) {
        uint8_t *cut = malloc(size + !size);
        assert_non_null(cut);
        memcpy(cut, file.data, size);
        image part = {0};
        mohvit_error err = {0};
        if (image_decode(&part, cut, size, "cut.file", NULL, true, &err)) {
            assert_non_null(strstr(err.message, "cut.file: "));
            assert_null(part.rgb);
        } else if (size + spare < file.size || memcmp(part.rgb, img.rgb, W * H * 3) != 0) {
            fail_msg("%s cut to %zu of %zu bytes passed", kind, size, file.size);
        }
        image_free(&part);
        free(cut);
    }
    image_free(&img);
    free(file.data);
}

static void every_truncated_file_is_refused_or_whole(void **state)
{
    (void)state;
    // The end of the data, two sums, IEND; the end marker, and as many bytes as libjpeg looks ahead.
    enum { PNG_SPARE = 2 + 4 + 4 + 12, JPEG_SPARE = 2 + 7 };
    uint8_t pixels[W * H * 4];
    fill_smooth(pixels, 3);
    for (size_t i = 0; i < sizeof jpeg_kinds / sizeof *jpeg_kinds; i++)
        check_every_cut(jpeg_kinds[i].name, jpeg_encode(&jpeg_kinds[i], pixels, W, H, NULL), JPEG_SPARE);
    check_every_cut("PNG", png_rgb(pixels, W, H, 0, NULL), PNG_SPARE);
    check_every_cut("interlaced PNG", png_rgb(pixels, W, H, 1, NULL), PNG_SPARE);
    check_every_cut("lossy WebP", webp_encode(WEBP_LOSSY, pixels, W, H), 0);
    check_every_cut("lossless WebP", webp_encode(WEBP_LOSSLESS, pixels, W, H), 0);
    check_every_cut("animated WebP", webp_animated(), 0);
    check_every_cut("WebP with EXIF", webp_with_exif(WEBP_LOSSLESS, 6, pixels, W, H), 0);
#ifdef MOHVIT_HEIF
    check_every_cut("HEIC", golden("cat_240.heic"), 0);
    check_every_cut("AVIF", avif_encode(6, pixels, 3, W, H), 0);
#endif
    fill_smooth(pixels, 4);
    check_every_cut("WebP with alpha", webp_encode(WEBP_LOSSY_ALPHA, pixels, W, H), 0);
}

static void header_that_claims_a_huge_picture_is_refused(void **state)
{
    (void)state;
    uint8_t pixels[W * H * 3];
    fill_smooth(pixels, 3);

    blob png = png_rgb(pixels, W, H, 0, NULL);
    static const uint32_t sides[][2] = {{60000, 60000}, {0x7fffffff, 1}, {1, 0x7fffffff}, {65536, 1}};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        png_claim(&png, sides[i][0], sides[i][1]);
        check_refused(png.data, png.size, NULL, MOHVIT_ERROR_LIMIT, "limit");
    }
    png_claim(&png, 0, 1);
    check_refused(png.data, png.size, NULL, MOHVIT_ERROR_FORMAT, "0 x 1");
    png_claim(&png, W + 1, H); /* fits, but the data end before */
    check_refused(png.data, png.size, NULL, MOHVIT_ERROR_FORMAT, "PNG");
    free(png.data);

    blob jpeg = jpeg_encode(&jpeg_kinds[2], pixels, W, H, NULL);
    size_t frame = find(&jpeg, 0, "\xff\xc0");
    put_be(jpeg.data + frame + 5, 65500, 2);
    put_be(jpeg.data + frame + 7, 65500, 2);
    check_refused(jpeg.data, jpeg.size, NULL, MOHVIT_ERROR_LIMIT, "65500 x 65500");
    free(jpeg.data);

    for (int still = 0; still < 2; still++) {
        blob webp = still ? webp_with_exif(WEBP_LOSSLESS, 1, pixels, W, H) : webp_animated();
        memset(webp.data + 24, 0xff, 6);
        check_refused(webp.data, webp.size, NULL, MOHVIT_ERROR_LIMIT, "16777216 x 16777216");
        free(webp.data);
    }
}

static void limits_of_the_caller_hold(void **state)
{
    (void)state;
    uint8_t pixels[W * H * 3];
    fill_smooth(pixels, 3);
    blob files[] = {
        png_rgb(pixels, W, H, 0, NULL),        jpeg_encode(&jpeg_kinds[2], pixels, W, H, NULL),
        webp_encode(WEBP_LOSSY, pixels, W, H), webp_encode(WEBP_LOSSLESS, pixels, W, H),
#ifdef MOHVIT_HEIF
        avif_encode(1, pixels, 3, W, H),
#endif
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        check_refused(files[i].data, files[i].size, &(image_limits){0, W * H - 1}, MOHVIT_ERROR_LIMIT,
                      "40 x 30");
        check_refused(files[i].data, files[i].size, &(image_limits){files[i].size - 1, 0}, MOHVIT_ERROR_LIMIT,
                      "bytes");
        image img;
        const image_limits exact = {files[i].size, W * H};
        assert_int_equal(image_decode(&img, files[i].data, files[i].size, "x", &exact, false, NULL),
                         MOHVIT_OK);
        image_free(&img);
        free(files[i].data);
    }
}

static void long_pictures_decode(void **state)
{
    (void)state;
    uint8_t *pixels = calloc(60000, 3);
    assert_non_null(pixels);
    pixels[59999 * 3] = 200;
    for (size_t tall = 0; tall < 2; tall++) {
        size_t width = tall ? 1 : 60000, height = tall ? 60000 : 1;
        blob png = png_rgb(pixels, width, height, 0, NULL);
        blob jpeg = jpeg_encode(&jpeg_kinds[2], pixels, width, height, NULL);
        image img;
        decode_or_fail(&img, "long.png", &png, false);
        assert_true(img.width == width && img.height == height && img.rgb[59999 * 3] == 200);
        image_free(&img);
        decode_or_fail(&img, "long.jpg", &jpeg, false);
        assert_true(img.width == width && img.height == height);
        image_free(&img);
        free(png.data);
        free(jpeg.data);
    }
    free(pixels);
}

static void other_formats_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *format, *start;
        size_t size;
    } files[] = {
        {"GIF", "GIF89a\1\0\1\0", 10},
        {"BMP", "BM\x3a\0\0\0\0\0\0\0", 10},
        {"TIFF", "II*\0\x08\0\0\0", 8},
#ifndef MOHVIT_HEIF
        {"AVIF",
         "\0\0\0\x1c"
         "ftypavif",
         12},
        {"HEIC",
         "\0\0\0\x18"
         "ftypheic",
         12},
#endif
        {"JPEG 2000", "\0\0\0\x0cjP  \r\n\x87\n", 12},
        {"JPEG XL", "\xff\x0a\0\0", 4},
        {"ICO", "\0\0\1\0\1\0", 6},
        {"PSD", "8BPS\0\1", 6},
        {"PNM", "P6\n1 1\n255\n", 11},
        {"SVG", "<svg xmlns=", 11},
        {"HTML", "<!DOCTYPE html>", 15},
        {"ZIP", "PK\x03\x04", 4},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char says[64];
        snprintf(says, sizeof says, "%s is not supported", files[i].format);
        check_refused(files[i].start, files[i].size, NULL, MOHVIT_ERROR_UNSUPPORTED, says);
    }
    static const char *const decoded[] = {
        "\xff\xd8\xff", "\x89PNG",      "RIFF....WEBP",
#ifdef MOHVIT_HEIF
        "....ftypheic", "....ftypavif",
#endif
    };
    for (size_t i = 0; i < sizeof decoded / sizeof *decoded; i++) {
        const picture_format *f = picture_format_find((const uint8_t *)decoded[i], strlen(decoded[i]));
        assert_true(f && f->decode && strstr(PICTURE_FORMATS, f->name));
    }
    check_refused("", 0, NULL, MOHVIT_ERROR_FORMAT, "empty");
    check_refused("hello, world", 12, NULL, MOHVIT_ERROR_FORMAT, "not a picture");
    check_refused("\xff\xd8", 2, NULL, MOHVIT_ERROR_FORMAT, "not a picture");
}

/* ---- Files ----------------------------------------------------------------------------------- */

static char scratch[] = "/tmp/mohvit_test_image.XXXXXX";

static int make_scratch(void **state)
{
    (void)state;
    return mkdtemp(scratch) ? 0 : -1;
}

static int remove_scratch(void **state)
{
    (void)state;
    return rmdir(scratch);
}

static void scratch_path(char path[256], const char *name)
{
    snprintf(path, 256, "%s/%s", scratch, name);
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static void check_unreadable(const char *path, const image_limits *limits, mohvit_status status,
                             const char *says)
{
    image img = {0};
    mohvit_error err = {0};
    assert_int_equal(image_read(&img, path, limits, false, &err), status);
    if (strncmp(err.message, path, strlen(path)) != 0 || !strstr(err.message, says))
        fail_msg("\"%s\" does not say \"%s\"", err.message, says);
    assert_null(img.rgb);
}

static void names_of_the_system_and_with_a_dot_in_front_are_hidden(void **state)
{
    (void)state;
    const char *const hidden[] = {
        ".git", "..a", "._a.jpg", "._", "__MACOSX", "lost+found", "System Volume Information"};
    const char *const seen[] = {"..", "", "a", "a.", "a..", "__MACOSX2", "__MACOS", "lost", "#recycled"};
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        assert_true(name_is_hidden(hidden[i], strlen(hidden[i])));
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++)
        assert_false(name_is_hidden(seen[i], strlen(seen[i])));
}

static void either_side_may_be_too_long(void **state)
{
    (void)state;
    const image_limits limits = {.max_pixels = SIZE_MAX};
    const size_t most = IMAGE_MAX_SIDE;
    mohvit_error err;
    assert_int_equal(image_check_size("some picture", &limits, most, most, NULL), MOHVIT_OK);
    for (int wide = 0; wide < 2; wide++) {
        size_t width = wide ? most + 1 : 1, height = wide ? 1 : most + 1;
        assert_int_equal(image_check_size("some picture", &limits, width, height, &err), MOHVIT_ERROR_LIMIT);
        assert_non_null(strstr(err.message, "some picture"));
        assert_non_null(strstr(err.message, "65536"));
        assert_non_null(strstr(err.message, "65535 a side"));
    }
}

static void what_cannot_be_read_is_said_with_its_name(void **state)
{
    (void)state;
    char path[256];
    scratch_path(path, "missing.jpg");
    check_unreadable(path, NULL, MOHVIT_ERROR_IO, "No such file");
    check_unreadable(scratch, NULL, MOHVIT_ERROR_IO, "directory");
    check_unreadable("/proc/self/mem", NULL, MOHVIT_ERROR_SYSTEM, "cannot be read"); /* opens, then EIO */
    scratch_path(path, "file.jpg");
    write_file(path, "", 0);
    check_unreadable(path, NULL, MOHVIT_ERROR_FORMAT, "empty");
    write_file(path, "hello", 5);
    check_unreadable(path, NULL, MOHVIT_ERROR_FORMAT, "not a picture");
    check_unreadable(path, &(image_limits){4, 0}, MOHVIT_ERROR_LIMIT, "limit of 4 bytes");
    if (geteuid() != 0) { /* root reads everything */
        assert_int_equal(chmod(path, 0), 0);
        check_unreadable(path, NULL, MOHVIT_ERROR_IO, "Permission denied");
    }
    assert_int_equal(unlink(path), 0);
}

/* To look into one would take its bytes from its reader, or wait for a writer. */
static void a_fifo_is_no_picture_and_keeps_its_bytes(void **state)
{
    (void)state;
    char path[256], byte = 0;
    const picture_format *format = NULL;
    scratch_path(path, "fifo");
    assert_int_equal(mkfifo(path, 0600), 0);
    for (int written = 0; written < 3; written++) { // nobody at the other end, somebody, and bytes
        int fd = written ? open(path, O_RDWR | O_NONBLOCK) : -1;
        if (written == 2)
            assert_int_equal(write(fd, "\x89PNG", 4), 4);
        mohvit_error err = {0};
        if (picture_format_of_file(&format, path, &err))
            fail_msg("%s", err.message);
        assert_null(format);
        if (written == 2)
            assert_true(read(fd, &byte, 1) == 1 && (uint8_t)byte == 0x89);
        if (fd >= 0)
            close(fd);
    }
    assert_int_equal(unlink(path), 0);
}

static void format_is_chosen_by_content_not_by_name(void **state)
{
    (void)state;
    uint8_t pixels[W * H * 3];
    fill_smooth(pixels, 3);
    blob png = png_rgb(pixels, W, H, 0, NULL);
    char path[256];
    scratch_path(path, "png.jpg");
    write_file(path, png.data, png.size);
    image img;
    assert_int_equal(image_read(&img, path, NULL, false, NULL), MOHVIT_OK);
    check_near_smooth("png.jpg", &img, pixels, 3, 0);
    image_free(&img);
    assert_int_equal(unlink(path), 0);
    free(png.data);
}

/* A child writes the file into a pipe, in small pieces. */
static pid_t feed_pipe(const char *path, const blob *file)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int fd = open(path, O_WRONLY);
        for (size_t i = 0; i < file->size; i += 1000) {
            size_t count = file->size - i < 1000 ? file->size - i : 1000;
            if (write(fd, file->data + i, count) < 0)
                break;
        }
        _exit(0);
    }
    return child;
}

static void pipes_are_read_to_their_end_or_the_limit(void **state)
{
    (void)state;
    enum { SIDE = 200 };
    uint8_t *pixels = malloc(SIDE * SIDE * 3);
    assert_non_null(pixels);
    uint32_t seed = 1;
    for (size_t i = 0; i < SIDE * SIDE * 3; i++)
        pixels[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
    blob png = png_rgb(pixels, SIDE, SIDE, 0, NULL); /* noise: longer than the first buffer */
    assert_true(png.size > 100000);
    char path[256];
    scratch_path(path, "pipe");
    assert_int_equal(mkfifo(path, 0600), 0);

    pid_t child = feed_pipe(path, &png);
    image img;
    mohvit_error err = {0};
    if (image_read(&img, path, NULL, false, &err))
        fail_msg("%s", err.message);
    assert_memory_equal(img.rgb, pixels, SIDE * SIDE * 3);
    image_free(&img);
    waitpid(child, NULL, 0);

    child = feed_pipe(path, &png);
    check_unreadable(path, &(image_limits){png.size - 1, 0}, MOHVIT_ERROR_LIMIT, "limit");
    waitpid(child, NULL, 0);

    assert_int_equal(unlink(path), 0);
    free(pixels);
    free(png.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_pictures_open_to_their_size),
        cmocka_unit_test(exif_of_a_real_picture_turns_it_when_asked),
        cmocka_unit_test(jpeg_of_every_sampling_decodes),
        cmocka_unit_test(jpeg_of_four_inks_is_read_as_adobe_writes_it),
        cmocka_unit_test(cmyk_is_multiplied_and_rounded_to_the_nearest),
        cmocka_unit_test(jpeg_with_stray_bytes_around_still_decodes),
        cmocka_unit_test(jpeg_with_too_many_scans_is_refused),
        cmocka_unit_test(jpeg_cut_and_closed_again_is_read),
        cmocka_unit_test(jpeg_that_ends_before_some_component_is_read),
        cmocka_unit_test(png_of_every_kind_decodes_exactly),
        cmocka_unit_test(png_with_a_flipped_bit_is_refused_up_to_the_pixels),
        cmocka_unit_test(webp_of_every_kind_decodes),
        cmocka_unit_test(animated_webp_gives_its_first_frame_on_black),
#ifdef MOHVIT_HEIF
        cmocka_unit_test(avif_of_every_kind_decodes),
        cmocka_unit_test(avif_is_turned_when_asked),
#endif
        cmocka_unit_test(all_eight_orientations_are_turned_upright),
        cmocka_unit_test(exif_in_a_text_of_png_turns_it_when_asked),
        cmocka_unit_test(broken_exif_leaves_the_picture_as_it_is),
        cmocka_unit_test(every_truncated_file_is_refused_or_whole),
        cmocka_unit_test(header_that_claims_a_huge_picture_is_refused),
        cmocka_unit_test(limits_of_the_caller_hold),
        cmocka_unit_test(long_pictures_decode),
        cmocka_unit_test(other_formats_are_named),
        cmocka_unit_test(names_of_the_system_and_with_a_dot_in_front_are_hidden),
        cmocka_unit_test(either_side_may_be_too_long),
        cmocka_unit_test(what_cannot_be_read_is_said_with_its_name),
        cmocka_unit_test(a_fifo_is_no_picture_and_keeps_its_bytes),
        cmocka_unit_test(format_is_chosen_by_content_not_by_name),
        cmocka_unit_test(pipes_are_read_to_their_end_or_the_limit),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}

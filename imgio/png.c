/* png.c - PNG, by the letter of Pillow 9.4, which scores published evaluations. It overlooks some damage:
 * wrong checksums of the pixels' chunks and of all behind them, a missing end. Who refused such a file, or
 * read one that Pillow refuses, would score other pictures.
 *
 * Three steps: the chunks before the pixels, whose checksums count; the pixels; the chunks behind them. */
#include "base/memory.h"
#include "imgio/decoder.h"
#include "imgio/exif.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define MAX_TEXT     ((size_t)1 << 20) /* bytes that one text or colour profile may inflate to, as in Pillow */
#define MAX_ALL_TEXT ((size_t)64 << 20) /* all of them */
#define PIECE        ((size_t)64 << 10)

typedef struct chunk {
    const uint8_t *type; /* four letters */
    const uint8_t *data;
    size_t size; /* as the chunk says: the file may end before */
} chunk;

typedef struct png {
    const encoded *in;
    mohvit_error *err;
    size_t at; /* of the file, what was read */

    size_t width, height;
    unsigned depth, colour; /* of IHDR; depth 0: there was none that Pillow knows */
    bool interlaced, animated, decoded;
    bool control;      /* an fcTL came, */
    uint32_t sequence; /* with this number */
    uint8_t palette[256][3];

    size_t idat; /* bytes that the current IDAT has left */
    z_stream z;

    const uint8_t *exif; /* eXIf's content */
    size_t exif_size;
    uint8_t *profile; /* EXIF as hexadecimal text has it; owned */
    size_t profile_size;
    uint8_t *text; /* (MAX_TEXT) room for inflating; owned */
    size_t texts;  /* bytes of all so far */
} png;

static mohvit_status refuse(const png *p, const char *why)
{
    return error_set(p->err, MOHVIT_ERROR_FORMAT, "%s: PNG: %s", p->in->name, why);
}

static mohvit_status no_memory(const png *p)
{
    return error_set(p->err, MOHVIT_ERROR_MEMORY, "%s: PNG: no memory", p->in->name);
}

static uint32_t big_endian_32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static bool is(const chunk *c, const char *type)
{
    return memcmp(c->type, type, 4) == 0;
}

/* ---- Chunks ---------------------------------------------------------------------------------- */

static size_t left(const png *p)
{
    return p->in->size - p->at;
}

static void skip(png *p, size_t size)
{
    p->at += size < left(p) ? size : left(p);
}

/* Reads size and type, and leaves the content; false at the end of the file, or of all that looks like
 * chunks. */
static bool next_chunk(png *p, chunk *c)
{
    const uint8_t *head = p->in->data + p->at;
    if (left(p) < 8)
        return false;
    for (size_t i = 4; i < 8; i++)
        if (!isalnum(head[i]) && head[i] != '_')
            return false;
    skip(p, 8);
    *c = (chunk){head + 4, head + 8, big_endian_32(head)};
    return true;
}

/* Passes over the content, which has to be whole. */
static mohvit_status take_content(png *p, const chunk *c)
{
    if (c->size > left(p))
        return refuse(p, "a chunk is cut short");
    skip(p, c->size);
    return MOHVIT_OK;
}

static mohvit_status check_sum(png *p, const chunk *c)
{
    if (left(p) < 4 || crc32_z(0, c->type, c->size + 4) != big_endian_32(p->in->data + p->at))
        return refuse(p, "wrong checksum of a chunk");
    skip(p, 4);
    return MOHVIT_OK;
}

static unsigned channels_of(unsigned colour)
{
    static const uint8_t channels[] = {1, 0, 3, 1, 2, 0, 4};
    return colour < sizeof channels ? channels[colour] : 0;
}

static bool depth_fits(unsigned depth, unsigned colour)
{
    switch (depth) {
    case 1:
    case 2:
    case 4:
        return colour == 0 || colour == 3;
    case 8:
        return channels_of(colour) > 0;
    case 16:
        return channels_of(colour) > 0 && colour != 3;
    default:
        return false;
    }
}

static mohvit_status take_header(png *p, const chunk *c)
{
    if (c->size < 13)
        return refuse(p, "IHDR is too short");
    if (c->data[11])
        return refuse(p, "unknown filter method");
    if (p->decoded)
        return MOHVIT_OK;
    p->width = big_endian_32(c->data);
    p->height = big_endian_32(c->data + 4);
    p->interlaced = p->interlaced || c->data[12];
    if (depth_fits(c->data[8], c->data[9])) {
        p->depth = c->data[8];
        p->colour = c->data[9];
    }
    return MOHVIT_OK;
}

/* A colour that the palette lacks is gray, as bright as its number. */
static mohvit_status take_palette(png *p, const uint8_t *colours, size_t size)
{
    const size_t most = sizeof p->palette / 3;
    if (size / 3 > most)
        return refuse(p, "a palette of more than 256 colours");
    for (size_t i = 0; i < most; i++)
        memset(p->palette[i], (int)i, 3);
    if (size)
        memcpy(p->palette, colours, size / 3 * 3);
    return MOHVIT_OK;
}

/* The frames of an animation are numbered. The first is the picture, of its size. */
static mohvit_status take_frame_control(png *p, const chunk *c)
{
    if (c->size < 26)
        return refuse(p, "fcTL is too short");
    uint32_t number = big_endian_32(c->data);
    if (number != (p->control ? p->sequence + 1 : 0))
        return refuse(p, "frames out of order");
    p->control = true;
    p->sequence = number;
    for (size_t i = 0; i < 2; i++) {
        uint64_t side = big_endian_32(c->data + 4 + 4 * i), from = big_endian_32(c->data + 12 + 4 * i);
        if (side + from > (i ? p->height : p->width))
            return refuse(p, "a frame that exceeds the picture");
    }
    return MOHVIT_OK;
}

/* ---- Texts and profiles ---------------------------------------------------------------------- */

static const uint8_t *find_zero(const uint8_t *data, size_t size)
{
    return size ? memchr(data, 0, size) : NULL;
}

/* What follows the first such byte; NULL: there is none. */
static const uint8_t *find_behind(const uint8_t *from, const uint8_t *end, int byte)
{
    const uint8_t *found = from < end ? memchr(from, byte, (size_t)(end - from)) : NULL;
    return found ? found + 1 : NULL;
}

static mohvit_status count_text(png *p, size_t size)
{
    p->texts += size;
    if (size <= MAX_ALL_TEXT && p->texts <= MAX_ALL_TEXT)
        return MOHVIT_OK;
    return error_set(p->err, MOHVIT_ERROR_LIMIT, "%s: PNG: texts exceed the limit of %zu bytes", p->in->name,
                     MAX_ALL_TEXT);
}

/* Inflates into p->text: *size bytes, none where the data are damaged. */
static mohvit_status inflate_text(png *p, const uint8_t *data, size_t packed, size_t *size)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)packed, .avail_out = MAX_TEXT};
    if (!p->text)
        p->text = malloc(MAX_TEXT);
    if (!p->text || inflateInit(&z) != Z_OK)
        return no_memory(p);
    z.next_out = p->text;
    int code = inflate(&z, Z_SYNC_FLUSH);
    bool more = code == Z_OK && z.avail_in;
    *size = MAX_TEXT - z.avail_out;
    inflateEnd(&z);
    if (code == Z_MEM_ERROR)
        return no_memory(p);
    if (more)
        return error_set(p->err, MOHVIT_ERROR_LIMIT,
                         "%s: PNG: a text or profile inflates beyond the limit of %zu bytes", p->in->name,
                         MAX_TEXT);
    mohvit_status status = count_text(p, *size);
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
        *size = 0;
    return status;
}

static int digit_of(uint8_t c)
{
    return isdigit(c) ? c - '0' : isxdigit(c) ? (c | 0x20) - 'a' + 10 : -1;
}

/* Whether it is hexadecimal digits in pairs, between which there may be white space; then *size is of the
 * bytes. */
static bool read_hexadecimal(uint8_t *to, size_t *size, const uint8_t *text, const uint8_t *end)
{
    *size = 0;
    while (text < end) {
        if (isspace(*text)) {
            text++;
            continue;
        }
        int high = digit_of(text[0]), low = end - text > 1 ? digit_of(text[1]) : -1;
        if (high < 0 || low < 0)
            return false;
        to[(*size)++] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    return true;
}

/* ImageMagick keeps EXIF as a text: an empty line, "exif", the number of bytes, and the bytes in hexadecimal.
 */
static mohvit_status take_text(png *p, const uint8_t *key, size_t key_size, const uint8_t *text, size_t size)
{
    static const char raw_exif[] = "Raw profile type exif";
    const uint8_t *end = text + size;
    if (key_size != sizeof raw_exif - 1 || memcmp(key, raw_exif, key_size) != 0)
        return MOHVIT_OK;
    for (int line = 0; text && line < 3; line++)
        text = find_behind(text, end, '\n');
    free(p->profile);
    p->profile_size = 0;
    p->profile = malloc(size / 2 + 1);
    if (!p->profile)
        return no_memory(p);
    if (!text || !read_hexadecimal(p->profile, &p->profile_size, text, end))
        p->profile_size = 0;
    return MOHVIT_OK;
}

static mohvit_status take_plain_text(png *p, const chunk *c)
{
    const uint8_t *zero = find_zero(c->data, c->size);
    if (!zero)
        return MOHVIT_OK;
    size_t key = (size_t)(zero - c->data), size = c->size - key - 1;
    mohvit_status status = count_text(p, size);
    return status ? status : take_text(p, c->data, key, zero + 1, size);
}

static mohvit_status take_packed_text(png *p, const chunk *c)
{
    const uint8_t *zero = find_zero(c->data, c->size);
    size_t key = zero ? (size_t)(zero - c->data) : c->size, rest = c->size - key, size;
    if (rest < 2)
        return MOHVIT_OK;
    if (zero[1])
        return refuse(p, "zTXt of an unknown compression");
    mohvit_status status = inflate_text(p, zero + 2, rest - 2, &size);
    return status ? status : take_text(p, c->data, key, p->text, size);
}

/* Key, 0, packed, method, language, 0, translated key, 0, text. */
static mohvit_status take_international_text(png *p, const chunk *c)
{
    const uint8_t *end = c->data + c->size, *key_end = find_zero(c->data, c->size);
    if (!key_end || end - key_end < 3)
        return MOHVIT_OK;
    const uint8_t *text = key_end + 3;
    for (int name = 0; text && name < 2; name++)
        text = find_behind(text, end, 0);
    if (!text || (key_end[1] && key_end[2]))
        return MOHVIT_OK;
    size_t size = (size_t)(end - text);
    mohvit_status status = key_end[1] ? inflate_text(p, text, size, &size) : count_text(p, size);
    if (status)
        return status;
    return take_text(p, c->data, (size_t)(key_end - c->data), key_end[1] ? p->text : text, size);
}

/* Nobody here uses the profile, but its name has to end, and it must not be a bomb. */
static mohvit_status take_colour_profile(png *p, const chunk *c)
{
    const uint8_t *zero = find_zero(c->data, c->size);
    size_t size;
    if (!zero)
        return refuse(p, "iCCP without an end of its name");
    size_t rest = c->size - (size_t)(zero - c->data);
    return rest < 2 ? MOHVIT_OK : inflate_text(p, zero + 2, rest - 2, &size);
}

/* ---- What a chunk says ----------------------------------------------------------------------- */

/* Chunks that mean nothing here, which Pillow refuses all the same where they are too short. */
static bool is_long_enough(const png *p, const chunk *c)
{
    if (is(c, "cHRM"))
        return c->size % 4 == 0;
    if (is(c, "tRNS"))
        return !p->depth || c->size >= (p->colour == 0 ? 2 : p->colour == 2 ? 6 : 0);
    return c->size >= (is(c, "gAMA") ? 4 : is(c, "sRGB") ? 1 : is(c, "pHYs") ? 9 : is(c, "acTL") ? 8 : 0);
}

/* A chunk whose content is whole, before the pixels or behind them. */
static mohvit_status take_chunk(png *p, const chunk *c)
{
    if (!is_long_enough(p, c))
        return refuse(p, "a chunk is too short");
    if (is(c, "IHDR"))
        return take_header(p, c);
    if (is(c, "PLTE") && p->depth && p->colour == 3 && !p->decoded)
        return take_palette(p, c->data, c->size);
    if (is(c, "fcTL"))
        return take_frame_control(p, c);
    if (is(c, "tEXt"))
        return take_plain_text(p, c);
    if (is(c, "zTXt"))
        return take_packed_text(p, c);
    if (is(c, "iTXt"))
        return take_international_text(p, c);
    if (is(c, "iCCP"))
        return take_colour_profile(p, c);
    if (is(c, "eXIf")) {
        p->exif = c->data;
        p->exif_size = c->size;
    }
    return MOHVIT_OK;
}

/* ---- Pixels ---------------------------------------------------------------------------------- */

/* The next part of the pixels' data, up to 64 KiB of a chunk; false where something else follows, or nothing.
 * Where parts end matters: zlib finds a wrong sum of its own only if that lies in one part with the last of
 * the pixels. */
static bool next_part(png *p)
{
    chunk c;
    while (!p->idat) {
        skip(p, 4); // the checksum, which nobody looks at
        if (!next_chunk(p, &c) || !is(&c, "IDAT"))
            return false;
        p->idat = c.size;
    }
    size_t size = p->idat < PIECE ? p->idat : PIECE;
    p->idat -= size;
    size = size < left(p) ? size : left(p);
    p->z.next_in = (Bytef *)(uintptr_t)(p->in->data + p->at);
    p->z.avail_in = (uInt)size;
    skip(p, size);
    return size > 0;
}

/* Inflates a row with its filter. *last: the data ended with it. */
static mohvit_status inflate_row(png *p, uint8_t *row, size_t size, bool *last)
{
    p->z.next_out = row;
    p->z.avail_out = (uInt)size;
    while (p->z.avail_out) {
        if (!p->z.avail_in && !next_part(p))
            return refuse(p, "the pixels are cut short");
        int code = inflate(&p->z, Z_NO_FLUSH);
        if (code == Z_MEM_ERROR)
            return no_memory(p);
        if (code != Z_OK && (code != Z_STREAM_END || p->z.avail_out))
            return refuse(p, p->z.msg ? p->z.msg : "the pixels are cut short");
        *last = code == Z_STREAM_END;
    }
    return MOHVIT_OK;
}

static uint8_t paeth(int a, int b, int c)
{
    int to_a = abs(b - c), to_b = abs(a - c), to_c = abs(a + b - 2 * c);
    return (uint8_t)(to_a <= to_b && to_a <= to_c ? a : to_b <= to_c ? b : c);
}

/* row (size) becomes what it was before filtering; above (size) is the row above; a pixel has `step` bytes,
 * or is a part of one. Inlined for the usual steps, which are then constants. */
static inline __attribute__((always_inline)) bool unfilter_by(uint8_t *row, const uint8_t *above, size_t size,
                                                              size_t step, unsigned filter)
{
    size_t first = step < size ? step : size;
    switch (filter) {
    case 0:
        return true;
    case 1:
        for (size_t i = step; i < size; i++)
            row[i] = (uint8_t)(row[i] + row[i - step]);
        return true;
    case 2:
        for (size_t i = 0; i < size; i++)
            row[i] = (uint8_t)(row[i] + above[i]);
        return true;
    case 3:
        for (size_t i = 0; i < first; i++)
            row[i] = (uint8_t)(row[i] + above[i] / 2);
        for (size_t i = step; i < size; i++)
            row[i] = (uint8_t)(row[i] + (row[i - step] + above[i]) / 2);
        return true;
    case 4:
        for (size_t i = 0; i < first; i++)
            row[i] = (uint8_t)(row[i] + above[i]);
        for (size_t i = step; i < size; i++)
            row[i] = (uint8_t)(row[i] + paeth(row[i - step], above[i], above[i - step]));
        return true;
    default:
        return false;
    }
}

static bool unfilter(uint8_t *row, const uint8_t *above, size_t size, size_t step, unsigned filter)
{
    switch (step) {
    case 3:
        return unfilter_by(row, above, size, 3, filter);
    case 4:
        return unfilter_by(row, above, size, 4, filter);
    default:
        return unfilter_by(row, above, size, step, filter);
    }
}

/* Spec 4's reading of every kind: gray and palette expanded, few bits scaled up, the high byte of 16 bits,
 * alpha and tRNS dropped. count pixels of a row go to rgb, `apart` bytes from one to the next. */
static void expand(const png *p, uint8_t *rgb, size_t apart, const uint8_t *row, size_t count)
{
    size_t bytes = p->depth == 16 ? 2 : 1, channels = channels_of(p->colour);
    bool coloured = channels >= 3;
    unsigned most = p->depth < 8 ? (1u << p->depth) - 1 : 255;
    if (p->colour == 2 && p->depth == 8 && apart == 3) {
        memcpy(rgb, row, count * apart);
        return;
    }
    for (size_t x = 0; x < count; x++, rgb += apart) {
        const uint8_t *at = row + x * channels * bytes;
        if (coloured) {
            for (size_t c = 0; c < 3; c++)
                rgb[c] = at[c * bytes];
            continue;
        }
        unsigned sample =
            p->depth < 8 ? (unsigned)row[x * p->depth / 8] >> (8 - p->depth - x * p->depth % 8) & most : *at;
        if (p->colour == 3)
            memcpy(rgb, p->palette[sample], 3);
        else
            memset(rgb, (int)(sample * 255 / most), 3);
    }
}

/* Where the pixels of a pass lie. An interlaced picture has seven, another is the last alone: all pixels. */
typedef struct pass {
    uint8_t x, y, dx, dy;
} pass;

static const pass whole = {0, 0, 1, 1};
static const pass adam7[] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                             {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};

/* rows (2, 1 + room) is for the row at hand and the one above, each behind its filter. Rows that the data do
 * not have, though they end in order, are zeros. */
static mohvit_status read_pass(png *p, image *out, pass at, uint8_t *rows, size_t room, bool *ended)
{
    size_t bits = (size_t)p->depth * channels_of(p->colour), count = divide_up(out->width - at.x, at.dx);
    size_t size = divide_up(count * bits, 8), step = divide_up(bits, 8);
    uint8_t *row = rows, *above = rows + 1 + room;
    memset(above, 0, 1 + size);
    for (size_t y = at.y; y < out->height; y += at.dy) {
        if (*ended) {
            memset(row, 0, 1 + size);
        } else {
            mohvit_status status = inflate_row(p, row, 1 + size, ended);
            if (status)
                return status;
        }
        if (!unfilter(row + 1, above + 1, size, step, row[0]))
            return refuse(p, "unknown filter of a row");
        expand(p, out->rgb + 3 * (y * out->width + at.x), (size_t)3 * at.dx, row + 1, count);
        uint8_t *spare = above;
        above = row;
        row = spare;
    }
    return MOHVIT_OK;
}

static mohvit_status read_passes(png *p, image *out)
{
    size_t room = divide_up(out->width * p->depth * channels_of(p->colour), 8);
    uint8_t *rows = malloc(2 * (1 + room));
    bool ended = false;
    mohvit_status status = rows && inflateInit(&p->z) == Z_OK ? MOHVIT_OK : no_memory(p);
    for (size_t i = 0; !status && i < (p->interlaced ? sizeof adam7 / sizeof *adam7 : 1); i++) {
        pass at = p->interlaced ? adam7[i] : whole;
        if (at.x < out->width && at.y < out->height)
            status = read_pass(p, out, at, rows, room, &ended);
    }
    inflateEnd(&p->z);
    free(rows);
    return status;
}

/* ---- The file -------------------------------------------------------------------------------- */

/* Up to the first chunk of pixels. */
static mohvit_status read_head(png *p)
{
    uint32_t frames = 0;
    chunk c;
    p->at = 8;
    take_palette(p, NULL, 0);
    for (;;) {
        if (!next_chunk(p, &c) || is(&c, "IEND"))
            return refuse(p, "no pixels");
        if (is(&c, "IDAT"))
            break;
        if (is(&c, "fdAT"))
            return refuse(p, "a frame before the picture");
        mohvit_status status = take_content(p, &c);
        if (!status)
            status = take_chunk(p, &c);
        if (!status)
            status = check_sum(p, &c);
        if (status)
            return status;
        if (is(&c, "acTL"))
            frames = frames ? 0 : big_endian_32(c.data);
    }
    p->idat = c.size;
    p->animated =
        frames > 1 || (frames && !p->control); // without a frame control, the picture is none of the frames
    return p->depth ? MOHVIT_OK : refuse(p, "no header, or of an unknown kind");
}

/* What follows the pixels can still be wrong, and hold EXIF. */
static mohvit_status read_tail(png *p)
{
    mohvit_status status = MOHVIT_OK;
    chunk c;
    p->decoded = true;
    skip(p, p->idat);
    while (!status) {
        skip(p, 4); // the checksum
        if (!next_chunk(p, &c) || is(&c, "IEND") || (is(&c, "fcTL") && p->animated))
            break;
        if (is(&c, "fdAT") &&
            (c.size < 4 || left(p) < 4 || !p->control || big_endian_32(c.data) != p->sequence + 1))
            return refuse(p, "frames out of order");
        if (is(&c, "fdAT"))
            p->sequence++;
        status = take_content(p, &c);
        if (!status)
            status = take_chunk(p, &c);
    }
    return status;
}

static unsigned orientation_of(const png *p)
{
    if (p->exif)
        return exif_read_orientation(p->exif, p->exif_size);
    return p->profile ? exif_read_orientation(p->profile, p->profile_size) : 1;
}

static mohvit_status read_picture(png *p, image *out, unsigned *orientation)
{
    if (p->in->size < 8 || memcmp(p->in->data, "\x89PNG\r\n\x1a\n", 8) != 0)
        return refuse(p, "does not begin like one");
    mohvit_status status = read_head(p);
    if (!status)
        status = image_alloc(out, p->in->name, &p->in->limits, p->width, p->height, p->err);
    if (!status)
        status = read_passes(p, out);
    if (!status)
        status = read_tail(p);
    if (!status)
        *orientation = orientation_of(p);
    return status;
}

mohvit_status decode_png(image *out, unsigned *orientation, const encoded *in, mohvit_error *err)
{
    png *p = calloc(1, sizeof *p);
    if (!p)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: PNG: no memory", in->name);
    p->in = in;
    p->err = err;
    mohvit_status status = read_picture(p, out, orientation);
    free(p->profile);
    free(p->text);
    free(p);
    return status;
}

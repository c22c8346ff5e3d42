#include "base/file_io.h"
#include "base/memory.h"
#include "imgio/decoder.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Which format ---------------------------------------------------------------------------- */

/* How a file of each format begins; '?' stands for any byte. Without a decoder, the format is known by name
 * so that the message can say what the file is rather than what it is not. */
typedef struct signature {
    const char *format;
    const char *pattern;
    size_t length;
    decode_fn *decode;
} signature;

#define PATTERN(literal) (literal), sizeof(literal) - 1

static const signature signatures[] = {
    {"JPEG", PATTERN("\xff\xd8\xff"), decode_jpeg},
    {"PNG", PATTERN("\x89PNG"), decode_png},
    {"WebP", PATTERN("RIFF????WEBP"), decode_webp},
    {"GIF", PATTERN("GIF8"), NULL},
    {"BMP", PATTERN("BM????\0\0\0\0"), NULL},
    {"TIFF", PATTERN("II*\0"), NULL},
    {"TIFF", PATTERN("MM\0*"), NULL},
    {"TIFF", PATTERN("II+\0"), NULL},
    {"TIFF", PATTERN("MM\0+"), NULL},
    {"AVIF", PATTERN("????ftypavif"), NULL},
    {"AVIF", PATTERN("????ftypavis"), NULL},
    {"HEIC", PATTERN("????ftyphei"), NULL},
    {"HEIC", PATTERN("????ftyphev"), NULL},
    {"HEIF", PATTERN("????ftypmif1"), NULL},
    {"HEIF", PATTERN("????ftypmsf1"), NULL},
    {"JPEG 2000", PATTERN("\0\0\0\x0cjP  "), NULL},
    {"JPEG 2000", PATTERN("\xff\x4f\xff\x51"), NULL},
    {"JPEG XL", PATTERN("\0\0\0\x0cJXL "), NULL},
    {"JPEG XL", PATTERN("\xff\x0a"), NULL},
    {"JPEG XR", PATTERN("II\xbc\x01"), NULL},
    {"ICO", PATTERN("\0\0\1\0"), NULL},
    {"PSD", PATTERN("8BPS"), NULL},
    {"PNM", PATTERN("P1\n"), NULL},
    {"PNM", PATTERN("P2\n"), NULL},
    {"PNM", PATTERN("P3\n"), NULL},
    {"PNM", PATTERN("P4\n"), NULL},
    {"PNM", PATTERN("P5\n"), NULL},
    {"PNM", PATTERN("P6\n"), NULL},
    {"PAM", PATTERN("P7\n"), NULL},
    {"QOI", PATTERN("qoif"), NULL},
    {"DDS", PATTERN("DDS "), NULL},
    {"OpenEXR", PATTERN("v/1\x01"), NULL},
    {"SVG", PATTERN("<svg"), NULL},
    {"XML", PATTERN("<?xml"), NULL},
    {"HTML", PATTERN("<!DOCTYPE html"), NULL},
    {"HTML", PATTERN("<!doctype html"), NULL},
    {"HTML", PATTERN("<html"), NULL},
    {"PDF", PATTERN("%PDF-"), NULL},
    {"ZIP", PATTERN("PK\x03\x04"), NULL},
};

static bool begins_like(const encoded *in, const signature *s)
{
    if (in->size < s->length)
        return false;
    for (size_t i = 0; i < s->length; i++)
        if (s->pattern[i] != '?' && (uint8_t)s->pattern[i] != in->data[i])
            return false;
    return true;
}

/* NULL: nothing that anyone would call a picture. */
static const signature *signature_find(const encoded *in)
{
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++)
        if (begins_like(in, &signatures[i]))
            return &signatures[i];
    return NULL;
}

/* ---- Decoding -------------------------------------------------------------------------------- */

static image_limits limits_or_defaults(const image_limits *limits)
{
    image_limits l = limits ? *limits : (image_limits){0};
    if (!l.max_file_bytes)
        l.max_file_bytes = IMAGE_MAX_FILE_BYTES;
    if (!l.max_pixels)
        l.max_pixels = IMAGE_MAX_PIXELS;
    return l;
}

static mohvit_status error_file_limit(mohvit_error *err, const char *name, size_t limit)
{
    return error_set(err, MOHVIT_ERROR_LIMIT, "%s: larger than the limit of %zu bytes", name, limit);
}

mohvit_status image_check_size(const encoded *in, size_t width, size_t height, mohvit_error *err)
{
    if (width == 0 || height == 0)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: a picture of %zu x %zu pixels", in->name, width,
                         height);
    if (width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE)
        return error_set(err, MOHVIT_ERROR_LIMIT, "%s: %zu x %zu pixels exceed the limit of %zu a side",
                         in->name, width, height, IMAGE_MAX_SIDE);
    size_t pixels;
    if (!size_mul(width, height, &pixels) || pixels > in->limits.max_pixels)
        return error_set(err, MOHVIT_ERROR_LIMIT, "%s: %zu x %zu pixels exceed the limit of %zu pixels",
                         in->name, width, height, in->limits.max_pixels);
    return MOHVIT_OK;
}

mohvit_status image_alloc(image *out, const encoded *in, size_t width, size_t height, mohvit_error *err)
{
    mohvit_status status = image_check_size(in, width, height, err);
    if (status)
        return status;
    uint8_t *rgb = memory_alloc(width * height, 3);
    if (!rgb)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for %zu x %zu pixels", in->name, width,
                         height);
    *out = (image){width, height, rgb};
    return MOHVIT_OK;
}

void image_free(image *img)
{
    free(img->rgb);
    *img = (image){0};
}

mohvit_status image_decode(image *out, const void *data, size_t size, const char *name,
                           const image_limits *limits, bool exif_orientation, mohvit_error *err)
{
    const encoded in = {data, size, name, limits_or_defaults(limits)};
    if (size == 0)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: empty file", name);
    if (size > in.limits.max_file_bytes)
        return error_file_limit(err, name, in.limits.max_file_bytes);
    const signature *s = signature_find(&in);
    if (!s)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: not a picture: it does not begin like a JPEG, PNG or WebP", name);
    if (!s->decode)
        return error_set(err, MOHVIT_ERROR_UNSUPPORTED, "%s: %s is not supported; JPEG, PNG and WebP are",
                         name, s->format);

    image img = {0};
    unsigned orientation = 1;
    mohvit_status status = s->decode(&img, exif_orientation ? &orientation : NULL, &in, err);
    if (!status)
        status = exif_turn(&img, orientation, name, err);
    if (status)
        image_free(&img);
    else
        *out = img;
    return status;
}

/* ---- Reading --------------------------------------------------------------------------------- */

typedef struct buffer {
    uint8_t *data;
    size_t size;
} buffer;

/* Reads fd to its end. The size that fstat gave is a hint alone: a pipe has none, and a file may grow. */
static mohvit_status read_all(buffer *b, int fd, size_t size_hint, const char *name, size_t max_bytes,
                              mohvit_error *err)
{
    /* One byte more than a file of the expected size or of the limit tells its end from a longer file. */
    size_t room = (size_hint ? size_hint : 65536) + 1;
    for (;; room = room > max_bytes / 2 ? max_bytes + 1 : room * 2) {
        uint8_t *data = realloc(b->data, room);
        if (!data)
            return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for %zu bytes", name, room);
        b->data = data;
        ssize_t n = file_read(fd, data + b->size, room - b->size);
        if (n < 0)
            return error_errno(err, "%s: cannot be read", name);
        b->size += (size_t)n;
        if (b->size > max_bytes)
            return error_file_limit(err, name, max_bytes);
        if (b->size < room)
            return MOHVIT_OK;
    }
}

static mohvit_status read_descriptor(buffer *b, int fd, const char *name, size_t max_bytes, mohvit_error *err)
{
    struct stat st;
    if (fstat(fd, &st))
        return error_errno(err, "%s: cannot be read", name);
    if (S_ISDIR(st.st_mode))
        return error_set(err, MOHVIT_ERROR_IO, "%s: is a directory, not a picture", name);
    size_t size = S_ISREG(st.st_mode) && st.st_size > 0 ? (size_t)st.st_size : 0;
    if (size > max_bytes)
        return error_file_limit(err, name, max_bytes);
    return read_all(b, fd, size, name, max_bytes, err);
}

mohvit_status image_read(image *out, const char *path, const image_limits *limits, bool exif_orientation,
                         mohvit_error *err)
{
    bool standard_input = strcmp(path, "-") == 0;
    const char *name = standard_input ? "standard input" : path;
    int fd = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, "%s: cannot be opened", name);
    buffer file = {0};
    mohvit_status status = read_descriptor(&file, fd, name, limits_or_defaults(limits).max_file_bytes, err);
    if (!status)
        status = image_decode(out, file.data, file.size, name, limits, exif_orientation, err);
    free(file.data);
    if (!standard_input)
        close(fd);
    return status;
}

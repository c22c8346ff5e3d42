#include "imgio/formats.h"

#include "base/file_io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define BEGIN(literal) (literal), sizeof(literal) - 1

#ifdef MOHVIT_HEIF
#define DECODE_HEIF decode_heif
#else
#define DECODE_HEIF NULL
#endif

static const picture_format formats[] = {
    {"JPEG", "jpg jpeg jpe jfif ", BEGIN("\xff\xd8\xff"), true, true, decode_jpeg},
    {"PNG", "png ", BEGIN("\x89PNG"), true, true, decode_png},
    {"WebP", "webp ", BEGIN("RIFF????WEBP"), true, true, decode_webp},
    {"GIF", "gif ", BEGIN("GIF8"), true, false, NULL},
    {"BMP", "bmp ", BEGIN("BM????\0\0\0\0"), false, true, NULL},
    {"TIFF", "tif tiff ", BEGIN("II*\0"), true, true, NULL},
    {"TIFF", NULL, BEGIN("MM\0*"), true, true, NULL},
    {"TIFF", NULL, BEGIN("II+\0"), false, true, NULL},
    {"TIFF", NULL, BEGIN("MM\0+"), false, true, NULL},
    {"AVIF", "avif ", BEGIN("????ftypavif"), true, false, DECODE_HEIF},
    {"AVIF", NULL, BEGIN("????ftypavis"), false, false, DECODE_HEIF},
    {"HEIC", "heic heif hif ", BEGIN("????ftyphei"), true, false, DECODE_HEIF},
    {"HEIC", NULL, BEGIN("????ftyphev"), false, false, DECODE_HEIF},
    {"HEIF", NULL, BEGIN("????ftypmif1"), true, false, DECODE_HEIF},
    {"HEIF", NULL, BEGIN("????ftypmsf1"), false, false, DECODE_HEIF},
    {"JPEG 2000", NULL, BEGIN("\0\0\0\x0cjP  "), false, false, NULL},
    {"JPEG 2000", NULL, BEGIN("\xff\x4f\xff\x51"), false, false, NULL},
    {"JPEG XL", NULL, BEGIN("\0\0\0\x0cJXL "), false, false, NULL},
    {"JPEG XL", NULL, BEGIN("\xff\x0a"), false, false, NULL},
    {"JPEG XR", NULL, BEGIN("II\xbc\x01"), false, false, NULL},
    {"ICO", NULL, BEGIN("\0\0\1\0"), false, false, NULL},
    {"PSD", NULL, BEGIN("8BPS"), false, false, NULL},
    {"PNM", "ppm pgm ", BEGIN("P1\n"), false, true, NULL},
    {"PNM", NULL, BEGIN("P2\n"), false, true, NULL},
    {"PNM", NULL, BEGIN("P3\n"), false, true, NULL},
    {"PNM", NULL, BEGIN("P4\n"), false, true, NULL},
    {"PNM", NULL, BEGIN("P5\n"), false, true, NULL},
    {"PNM", NULL, BEGIN("P6\n"), false, true, NULL},
    {"PAM", NULL, BEGIN("P7\n"), false, false, NULL},
    {"QOI", NULL, BEGIN("qoif"), false, false, NULL},
    {"DDS", NULL, BEGIN("DDS "), false, false, NULL},
    {"OpenEXR", NULL, BEGIN("v/1\x01"), false, false, NULL},
    {"SVG", NULL, BEGIN("<svg"), false, false, NULL},
    {"XML", NULL, BEGIN("<?xml"), false, false, NULL},
    {"HTML", NULL, BEGIN("<!DOCTYPE html"), false, false, NULL},
    {"HTML", NULL, BEGIN("<!doctype html"), false, false, NULL},
    {"HTML", NULL, BEGIN("<html"), false, false, NULL},
    {"PDF", NULL, BEGIN("%PDF-"), false, false, NULL},
    {"ZIP", NULL, BEGIN("PK\x03\x04"), false, false, NULL},
};
#define FORMATS (sizeof formats / sizeof *formats)

static bool begins_like(const uint8_t *data, size_t size, const picture_format *f)
{
    if (size < f->length)
        return false;
    for (size_t i = 0; i < f->length; i++)
        if (f->pattern[i] != '?' && (uint8_t)f->pattern[i] != data[i])
            return false;
    return true;
}

const picture_format *picture_format_find(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < FORMATS; i++)
        if (begins_like(data, size, &formats[i]))
            return &formats[i];
    return NULL;
}

static bool has_ending(const char *endings, const char *ending)
{
    size_t length;
    for (; endings && *endings; endings += length + 1) {
        length = strcspn(endings, " ");
        if (strlen(ending) == length && !strncasecmp(endings, ending, length))
            return true;
    }
    return false;
}

const picture_format *picture_format_named(const char *name)
{
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < FORMATS; i++)
        if (has_ending(formats[i].endings, dot + 1))
            return &formats[i];
    return NULL;
}

bool name_is_hidden(const char *name, size_t length)
{
    static const char *const systems[] = {"__MACOSX", "lost+found",   "@eaDir",
                                          "#recycle", "$RECYCLE.BIN", "System Volume Information"};
    if (length && *name == '.' && !(length == 2 && name[1] == '.'))
        return true;
    for (size_t i = 0; i < sizeof systems / sizeof *systems; i++)
        if (strlen(systems[i]) == length && !memcmp(name, systems[i], length))
            return true;
    return false;
}

const picture_format *picture_format_begun(const uint8_t *head, size_t size)
{
    const picture_format *f = picture_format_find(head, size);
    return f && f->tells ? f : NULL;
}

mohvit_status picture_format_of_file(const picture_format **format, const char *path, mohvit_error *err)
{
    uint8_t head[PICTURE_HEAD];
    struct stat st;
    *format = NULL;
    if (!stat(path, &st) && !S_ISREG(st.st_mode)) // a FIFO would lose bytes that are for its reader
        return MOHVIT_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : file_read(fd, head, sizeof head);
    bool empty = n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK); // some files of /proc wait for content
    mohvit_status status =
        n < 0 && !empty && errno_may_pass() ? error_errno(err, "%s: cannot be read", path) : MOHVIT_OK;
    if (fd >= 0)
        close(fd);
    if (n > 0)
        *format = picture_format_begun(head, (size_t)n);
    return status;
}

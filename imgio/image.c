#include "imgio/image.h"

#include "base/file_io.h"
#include "imgio/exif.h"
#include "imgio/formats.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Decoding -------------------------------------------------------------------------------- */

static size_t max_file_bytes(const image_limits *limits)
{
    return limits && limits->max_file_bytes ? limits->max_file_bytes : IMAGE_MAX_FILE_BYTES;
}

static mohvit_status error_file_limit(mohvit_error *err, const char *name, size_t limit)
{
    return error_set(err, MOHVIT_ERROR_LIMIT, "%s: larger than the limit of %zu bytes", name, limit);
}

mohvit_status image_decode(image *out, const void *data, size_t size, const char *name,
                           const image_limits *limits, bool exif_orientation, mohvit_error *err)
{
    const encoded in = {data, size, name, limits ? *limits : (image_limits){0}};
    if (size == 0)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: empty file", name);
    if (size > max_file_bytes(limits))
        return error_file_limit(err, name, max_file_bytes(limits));
    const picture_format *format = picture_format_find(data, size);
    if (!format)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: not a picture: it does not begin like " PICTURE_FORMATS, name);
    if (!format->decode)
        return error_set(err, MOHVIT_ERROR_UNSUPPORTED, "%s: %s is not supported; expected " PICTURE_FORMATS,
                         name, format->name);
    image img = {0};
    unsigned orientation = 1;
    mohvit_status status = format->decode(&img, exif_orientation ? &orientation : NULL, &in, err);
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
    mohvit_status status = read_descriptor(&file, fd, name, max_file_bytes(limits), err);
    if (!status)
        status = image_decode(out, file.data, file.size, name, limits, exif_orientation, err);
    free(file.data);
    if (!standard_input)
        close(fd);
    return status;
}

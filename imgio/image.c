#include "imgio/image.h"

#include "base/file_io.h"
#include "imgio/exif.h"
#include "imgio/formats.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t max_file_bytes(const image_limits *limits)
{
    return limits && limits->max_file_bytes ? limits->max_file_bytes : IMAGE_MAX_FILE_BYTES;
}

mohvit_status image_decode(image *out, const void *data, size_t size, const char *name,
                           const image_limits *limits, bool exif_orientation, mohvit_error *err)
{
    const encoded in = {data, size, name, limits ? *limits : (image_limits){0}, exif_orientation};
    if (size == 0)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: empty file", name);
    if (size > max_file_bytes(limits))
        return error_set(err, MOHVIT_ERROR_LIMIT, "%s: larger than the limit of %zu bytes", name,
                         max_file_bytes(limits));
    const picture_format *format = picture_format_find(data, size);
    if (!format)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: not a picture: it does not begin like a " PICTURE_FORMATS " file", name);
    if (!format->decode)
        return error_set(err, MOHVIT_ERROR_UNSUPPORTED,
                         "%s: %s is not supported; expected " PICTURE_FORMATS "%s", name, format->name,
                         format->tells || format->scored
                             ? ". ImageMagick makes one of it: convert \"FILE[0]\" FILE.png"
                             : "");
    image img = {0};
    unsigned orientation = 1;
    mohvit_status status = format->decode(&img, &orientation, &in, err);
    if (!status && (exif_orientation || !orientation))
        status = exif_turn(&img, orientation, name, err);
    img.turned = orientation != 1;
    if (status)
        image_free(&img);
    else
        *out = img;
    return status;
}

mohvit_status image_read(image *out, const char *path, const image_limits *limits, bool exif_orientation,
                         mohvit_error *err)
{
    bool standard_input = strcmp(path, "-") == 0;
    const char *name = standard_input ? "standard input" : path;
    int fd = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, "%s: cannot be opened", name);
    char *data = NULL;
    size_t size;
    mohvit_status status = file_load(&data, &size, fd, max_file_bytes(limits), name, err);
    if (!status)
        status = image_decode(out, data, size, name, limits, exif_orientation, err);
    free(data);
    if (!standard_input)
        close(fd);
    return status;
}

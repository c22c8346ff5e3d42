#include "imgio/dataset/picture_names.h"

#include "base/file_io.h"

#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

bool picture_named(const char *name)
{
    static const char *const endings[] = {"jpg", "jpeg", "jpe", "jfif", "png",  "webp",
                                          "gif", "bmp",  "tif", "tiff", "heic", "avif"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot + 1, endings[i]) == 0)
            return true;
    return false;
}

bool picture_begins(const uint8_t *head, size_t size)
{
    static const struct {
        size_t offset, length;
        const char *bytes;
    } signatures[] = {
        {0, 3, "\xff\xd8\xff"}, {0, 4, "\x89PNG"}, {8, 4, "WEBP"},     {0, 4, "GIF8"},
        {0, 4, "II*\0"},        {0, 4, "MM\0*"},   {4, 8, "ftypavif"}, {4, 7, "ftyphei"},
    };
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++)
        if (size >= signatures[i].offset + signatures[i].length &&
            !memcmp(head + signatures[i].offset, signatures[i].bytes, signatures[i].length))
            return true;
    return false;
}

mohvit_status picture_begins_file(bool *begins, const char *path, mohvit_error *err)
{
    uint8_t head[PICTURE_HEAD];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : file_read(fd, head, sizeof head);
    mohvit_status status =
        n < 0 && errno_may_pass() ? error_errno(err, "%s: cannot be read", path) : MOHVIT_OK;
    if (fd >= 0)
        close(fd);
    *begins = n > 0 && picture_begins(head, (size_t)n);
    return status;
}

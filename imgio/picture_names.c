#include "picture_names.h"

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

bool picture_begins_file(const char *path)
{
    uint8_t head[PICTURE_HEAD];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, head, sizeof head);
    close(fd);
    return n > 0 && picture_begins(head, (size_t)n);
}

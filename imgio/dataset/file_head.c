#include "imgio/dataset/file_head.h"

#include "imgio/formats.h"

#include <string.h>

const char *file_head_packer(const uint8_t *head, size_t size)
{
    static const struct {
        const char *name, *magic;
        size_t at;
    } packers[] = {{"gzip", "\x1f\x8b", 0},
                   {"zstd", "\x28\xb5\x2f\xfd", 0},
                   {"xz", "\3757zXZ", 0},
                   {"bzip2", "1AY&SY", 4}}; // behind "BZh9", which a path may begin with
    for (size_t i = 0; i < sizeof packers / sizeof *packers; i++) {
        size_t length = strlen(packers[i].magic), at = packers[i].at;
        if (size >= at + length && !memcmp(head + at, packers[i].magic, length))
            return packers[i].name;
    }
    return NULL;
}

/* Its header has a sum of its bytes, of which those of the sum itself count as blanks. */
bool file_head_is_tar(const uint8_t *head, size_t size)
{
    unsigned sum = 0, stored = 0;
    if (size < FILE_HEAD || !head[0])
        return false;
    for (size_t i = 0; i < FILE_HEAD; i++)
        sum += i >= 148 && i < 156 ? ' ' : head[i];
    for (size_t i = 148; i < 156; i++)
        if (head[i] >= '0' && head[i] <= '7')
            stored = stored * 8 + (unsigned)(head[i] - '0');
    return sum == stored;
}

/* Some formats begin as a path may: zero bytes tell those apart. */
const char *file_head_format(const uint8_t *head, size_t size)
{
    const picture_format *format = picture_format_find(head, size);
    if (size >= 4 && !head[0] && !head[1] && head[2] == 0x08 && head[3] >= 1 && head[3] <= 4)
        return "an idx file";
    return format && (format->tells || memchr(head, 0, size)) ? format->name : NULL;
}

#include "tools/program/head_load_collect.h"

#include "eval/head_load_record.h"
#include "vit/network/config.h"

#include <fcntl.h>
#include <unistd.h>

mohvit_status head_load_collect_to_file(const char *path, const record_set *s, const char *shard,
                                        int64_t *images, size_t *classes, mohvit_error *err)
{
    head_load *l = NULL;
    mohvit_status status = head_load_collect(&l, s, shard, config_routing_from_json, err);
    if (status)
        return status;
    if (images)
        *images = head_load_images(l, classes);
    status = head_load_save(l, path, err);
    head_load_destroy(l);
    return status;
}

/* The length of the header, of which the upper half is zero, and its first bracket. */
bool head_load_is_in(const char *path)
{
    unsigned char start[9];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, start, sizeof start);
    close(fd);
    return n == (ssize_t)sizeof start && !start[4] && !start[5] && !start[6] && !start[7] && start[8] == '{';
}

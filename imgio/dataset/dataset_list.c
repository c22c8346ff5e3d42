/* dataset_list.c - a file of paths, one a line, relative to the working directory. */
#include "imgio/dataset/dataset_source.h"
#include "base/file_io.h"
#include "base/lines.h"
#include "imgio/dataset/file_head.h"

#include <string.h>
#include <sys/stat.h>

static mohvit_status add_path(dataset_source *s, line_reader *r, mohvit_error *err)
{
    char *path = r->line;
    size_t length = strlen(path);
    mohvit_status status = lines_name(r, path, &length, err);
    if (status)
        return status;
    path[length] = '\0';
    struct stat st;
    bool scores = true;
    const picture_format *format = picture_format_named(path);
    if (format && format->scored) { // the rest is named on purpose: it is read, or fails
        status = source_scores(&scores, s, format, path, err);
        if (status || !scores)
            return status;
    }
    found_item item = {.class_index = CLASS_NONE};
    item.name = arena_copy(s->strings, path, strlen(path));
    if (!item.name)
        return source_no_memory(s, err);
    bool there = !stat(path, &st);
    if (!there && errno_may_pass())
        return error_errno(err, "%s", path);
    if (there && st.st_size > 0) // one that is missing fails when its turn comes
        item.size = (uint64_t)st.st_size;
    if (there)
        item.mtime = file_mtime(&st);
    status = source_parent(s, path, &item.folder, err);
    return status ? status : source_add(s, &item, err);
}

/* What else is given as a list, and often through a pipe. */
static mohvit_status refuse_others(line_reader *r, mohvit_error *err)
{
    size_t size = FILE_HEAD;
    const uint8_t *head = (const uint8_t *)lines_peek(r, &size);
    const char *is = file_head_is_tar(head, size) ? "a tar in a pipe" : file_head_packer(head, size);
    if (!is)
        is = file_head_format(head, size);
    if (!is)
        return MOHVIT_OK;
    return error_set(
        err, MOHVIT_ERROR_FORMAT,
        "%s: is %s; expected a folder, a tar, a list of paths, or idx:IMAGES,LABELS, of which a list "
        "alone may come through a pipe",
        r->path, is);
}

static mohvit_status scan_list(dataset_source *s, mohvit_error *err)
{
    line_reader r;
    bool more;
    mohvit_status status = lines_open(&r, s->argument, s->ends, err);
    s->argument = lines_title(s->argument);
    s->prefix = arena_copy(s->strings, "", 0);
    if (!status && !s->prefix)
        status = source_no_memory(s, err);
    if (!status)
        status = refuse_others(&r, err);
    while (!status && !(status = lines_next(&r, &more, err)) && more)
        status = add_path(s, &r, err);
    lines_close(&r);
    return status;
}

const source_kind source_list = {"name a PNG of each in the list (ImageMagick: convert \"FILE[0]\" FILE.png)",
                                 scan_list, source_read_item, NULL};

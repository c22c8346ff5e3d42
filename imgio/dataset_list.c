/* dataset_list.c - a file of paths, one a line, relative to the working directory. */
#include "dataset_source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static mohvit_status add_path(dataset_source *s, const char *path, mohvit_error *err)
{
    struct stat st;
    found_item item = {.class_index = CLASS_NONE};
    item.name = source_string(s, path, strlen(path));
    if (!item.name)
        return source_no_memory(s, err);
    if (!stat(path, &st) && st.st_size > 0) // one that is missing fails when its turn comes
        item.size = (uint64_t)st.st_size;
    mohvit_status status = source_parent(s, path, &item.folder, err);
    return status ? status : source_add(s, &item, err);
}

static mohvit_status scan_list(dataset_source *s, mohvit_error *err)
{
    char *line = NULL;
    size_t capacity = 0, number = 0;
    ssize_t length;
    FILE *f = fopen(s->argument, "re");
    if (!f)
        return error_errno(err, "%s", s->argument);
    s->prefix = source_string(s, "", 0);
    mohvit_status status = s->prefix ? MOHVIT_OK : source_no_memory(s, err);
    while (!status && (length = getline(&line, &capacity, f)) > 0) {
        number++;
        while (length && (line[length - 1] == '\n' || line[length - 1] == '\r'))
            line[--length] = '\0';
        if (strlen(line) != (size_t)length)
            status = error_set(err, MOHVIT_ERROR_FORMAT, "%s: line %zu: a zero byte; expected a path",
                               s->argument, number);
        else if (length)
            status = add_path(s, line, err);
    }
    if (!status && ferror(f))
        status = error_errno(err, "%s", s->argument);
    free(line);
    fclose(f);
    return status;
}

static mohvit_status read_list(const dataset_source *s, const dataset_item *item, sample *out,
                               mohvit_error *err)
{
    (void)s;
    return source_read_path(item->name, out, err);
}

const source_kind source_list = {scan_list, read_list, NULL};

#include "imgio/dataset/dataset_source.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

mohvit_status source_no_memory(const dataset_source *s, mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for %zu pictures", s->argument, s->count);
}

mohvit_status source_set_prefix(dataset_source *s, const char *between, mohvit_error *err)
{
    char *prefix;
    if (asprintf(&prefix, "%s%s", s->argument, between) < 0)
        return source_no_memory(s, err);
    s->prefix = arena_copy(s->strings, prefix, strlen(prefix));
    free(prefix);
    return s->prefix ? MOHVIT_OK : source_no_memory(s, err);
}

mohvit_status source_add_folder(dataset_source *s, const char *folder, mohvit_error *err)
{
    char *copy = arena_copy(s->strings, folder, strlen(folder));
    class_folder *folders = memory_grow(s->folders, s->folder_count, &s->folder_capacity, sizeof *folders);
    if (folders)
        s->folders = folders;
    if (!copy || !folders)
        return source_no_memory(s, err);
    s->folders[s->folder_count++] = (class_folder){copy, 0, CLASS_NONE};
    return MOHVIT_OK;
}

mohvit_status source_add(dataset_source *s, const found_item *item, mohvit_error *err)
{
    found_item *items = memory_grow(s->items, s->count, &s->capacity, sizeof *items);
    if (!items)
        return source_no_memory(s, err);
    s->items = items;
    s->items[s->count++] = *item;
    return MOHVIT_OK;
}

int source_compare_items(const void *a, const void *b)
{
    return strcmp(((const found_item *)a)->name, ((const found_item *)b)->name);
}

mohvit_status source_skip(dataset_source *s, const char *name, const char *ending, mohvit_error *err)
{
    const size_t most = sizeof s->skipped->kinds / sizeof *s->skipped->kinds;
    const char *slash = strrchr(name, '/'), *dot = strrchr(slash ? slash : name, '.');
    skipped *all = s->skipped;
    size_t i = 0;
    if (!ending)
        ending = dot ? dot + 1 : "";
    while (i < all->count && all->kinds[i].ending && strcasecmp(all->kinds[i].ending, ending) != 0)
        i++;
    if (i == all->count) {
        name = arena_copy(s->strings, name, strlen(name));
        ending = arena_copy(s->strings, ending, strlen(ending));
        if (!name || !ending)
            return source_no_memory(s, err);
        all->kinds[all->count++] = (struct skipped_kind){i == most - 1 ? NULL : ending, s->prefix, name, 0};
    }
    all->kinds[i].count++;
    return MOHVIT_OK;
}

mohvit_status source_note(struct skipped_kind *k, const dataset_source *s, const char *name,
                          mohvit_error *err)
{
    if (!k->count++) {
        k->prefix = s->prefix;
        k->name = arena_copy(s->strings, name, strlen(name));
    }
    return k->name ? MOHVIT_OK : source_no_memory(s, err);
}

static mohvit_status count_left_out(dataset_source *s, const char *format, const char *name,
                                    mohvit_error *err)
{
    left_out *l = s->left_out;
    size_t i = 0, most = sizeof l->kinds / sizeof *l->kinds;
    while (i < most && l->kinds[i].format && strcmp(l->kinds[i].format, format) != 0)
        i++;
    if (i == most)
        return MOHVIT_OK;
    if (!l->kinds[i].files++) {
        l->kinds[i].format = format;
        l->kinds[i].prefix = s->prefix;
        l->kinds[i].name = arena_copy(s->strings, name, strlen(name));
    }
    return l->kinds[i].name ? MOHVIT_OK : source_no_memory(s, err);
}

mohvit_status source_scores(bool *scores, dataset_source *s, const picture_format *format, const char *name,
                            mohvit_error *err)
{
    *scores = format->scored && format->decode;
    if (*scores)
        return MOHVIT_OK;
    if (format->scored && !s->left_out->others)
        return error_set(err, MOHVIT_ERROR_UNSUPPORTED,
                         "%s%s: %s is not supported, and published scores count such pictures; %s, or leave "
                         "them out with --skip-other-formats",
                         s->prefix, name, format->name, s->kind->conversion);
    return count_left_out(s, format->name, name, err);
}

void left_out_warn(const left_out *l, const warning_sink *warn)
{
    for (size_t i = 0; i < sizeof l->kinds / sizeof *l->kinds && l->kinds[i].format; i++)
        warning_send(warn, "left out %zu %s file%s: %s%s%s", l->kinds[i].files, l->kinds[i].format,
                     plural(l->kinds[i].files), l->kinds[i].prefix, l->kinds[i].name,
                     l->kinds[i].files == 1 ? "" : " ...");
}

mohvit_status source_parent(dataset_source *s, const char *path, const char **out, mohvit_error *err)
{
    const char *slash = strrchr(path, '/'), *start = slash;
    *out = NULL;
    if (!slash || slash == path)
        return MOHVIT_OK;
    while (start > path && start[-1] != '/')
        start--;
    *out = arena_copy(s->strings, start, (size_t)(slash - start));
    return *out ? MOHVIT_OK : source_no_memory(s, err);
}

mohvit_status source_read_item(const dataset_source *s, const dataset_item *item, sample *out,
                               mohvit_error *err)
{
    char *path;
    if (asprintf(&path, "%s%s", s->prefix, item->name) < 0)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a path");
    mohvit_status status = sample_read_path(path, out, err);
    free(path);
    return status;
}

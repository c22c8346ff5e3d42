#include "tools/program/outputs_check.h"

#include "base/memory.h"
#include "base/replace_file.h"
#include "imgio/dataset/dataset_source.h"
#include "imgio/formats.h"
#include "tools/program/command.h"
#include "tools/program/complain.h"
#include "weights/safetensors_index.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct named_file {
    const char *option, *path;
    file_use use;
} named_file;

/* (count), of the one command line that a process has. */
static named_file *files;
static size_t count, capacity;

// NOLINTNEXTLINE(misc-no-recursion): once, for the two files of an idx argument
void names_file(file_use use, const char *option, const char *path)
{
    char *images; // stays as long as the list does
    const char *labels;
    size_t at = option ? 0 : count;
    if (path && use == FILE_DATA && source_names_idx(path, &images, &labels)) {
        names_file(FILE_READ, option, or_die(images));
        names_file(FILE_READ, option, labels);
        return;
    }
    while (at < count && !(files[at].option && !strcmp(files[at].option, option)))
        at++;
    if (path && at == count)
        files = or_die(memory_grow(files, count++, &capacity, sizeof *files));
    if (path)
        files[at] =
            (named_file){option, path, use}; // of an option that is there twice, the last value counts
    else if (at < count)
        files[at] = files[--count]; // such as "-", which is a stream
}

bool takes_file(file_use use, const char *option, const char *value, const char **path)
{
    names_file(use, option, *path = value);
    return true;
}

bool takes_list(const char *option, const char *value, const char **path)
{
    names_file(FILE_READ, option, unless_stream(*path = value));
    return true;
}

const char *unless_stream(const char *path)
{
    return strcmp(path, "-") ? path : NULL;
}

// ---- Which file a name leads to --------------------------------------------------------------------

/* Length of the folder's part of path, with its slash; 0 for the current folder. */
static int folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (int)(slash - path) + 1 : 0;
}

/* malloc'd: what path leads to through links, the last of which may lead to nothing yet. */
static char *follow(const char *path)
{
    enum { MOST_LINKS = 40 }; // that Linux follows
    char *at = or_die(strdup(path)), *next, link[PATH_MAX];
    for (size_t i = 0; i < MOST_LINKS; i++) {
        ssize_t length = readlink(at, link, sizeof link - 1);
        if (length < 0)
            break;
        link[length] = '\0';
        if (asprintf(&next, "%.*s%s", *link == '/' ? 0 : folder_length(at), at, link) < 0)
            next = or_die(NULL);
        free(at);
        at = next;
    }
    return at;
}

static bool folder_stat(struct stat *st, const char *path)
{
    char folder[PATH_MAX];
    int length = folder_length(path);
    return snprintf(folder, sizeof folder, "%.*s.", length, path) < PATH_MAX && !stat(folder, st);
}

static bool same_inode(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Whether both names lead to one file, or would once it is there. */
static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    bool there = !stat(a, &x);
    if (there != !stat(b, &y))
        return false;
    if (there)
        return same_inode(&x, &y);
    char *to_a = follow(a), *to_b = follow(b);
    bool same = !strcmp(to_a + folder_length(to_a), to_b + folder_length(to_b)) && folder_stat(&x, to_a) &&
                folder_stat(&y, to_b) && same_inode(&x, &y);
    free(to_a);
    free(to_b);
    return same;
}

/* Whether a data set in that folder would take the file at path for one of its pictures. */
static bool is_picture_in(const char *folder, const char *path)
{
    char top[PATH_MAX], at[PATH_MAX], *to = follow(path), *slash = strrchr(to, '/');
    bool begins, picture = picture_named(to) || (!picture_begins_file(&begins, to, NULL) && begins);
    if (slash)
        slash[1] = '\0';
    bool found = picture && realpath(folder, top) && realpath(slash ? to : ".", at);
    size_t length = found ? strlen(top) : 0;
    free(to);
    return found && !strncmp(at, top, length) && (length == 1 || at[length] == '/' || !at[length]);
}

/* Whether the file at path is a shard of the checkpoint that `index` is the index of. */
static bool is_shard_of(const char *index, const char *path)
{
    char **shards;
    size_t shard_count;
    bool found = false;
    if (access(path, F_OK) || safetensors_index_shards(&shards, &shard_count, index, NULL) || !shard_count)
        return false; // what is wrong with an index is said when it is opened
    for (size_t i = 0; i < shard_count; i++) {
        found = found || same_file(shards[i], path);
        free(shards[i]);
    }
    free(shards);
    return found;
}

// ---- Checking --------------------------------------------------------------------------------------

static const char *name_of(const named_file *f)
{
    return f->option ? f->option : f->path;
}

static int check_pair(const char *name, const named_file *output, const named_file *other)
{
    const char *option = output->option ? output->option : "", *blank = output->option ? " " : "";
    if (same_file(output->path, other->path))
        return usage_error(name, "%s%s%s: would replace %s, which is the same file", option, blank,
                           output->path, name_of(other));
    if (other->use == FILE_WEIGHTS && is_shard_of(other->path, output->path))
        return usage_error(name, "%s%s%s: would replace a shard of %s", option, blank, output->path,
                           name_of(other));
    if (other->use == FILE_DATA && is_picture_in(other->path, output->path))
        return usage_error(name, "%s%s%s: would be one of the pictures in %s", option, blank, output->path,
                           name_of(other));
    return PARSED;
}

int outputs_check(const char *name)
{
    int status = PARSED;
    for (const named_file *a = files; a < files + count; a++)
        for (const named_file *b = files; a->use >= FILE_STATE && status == PARSED && b < files + count; b++)
            if (b->use < a->use || (b->use == a->use && b > a))
                status = check_pair(name, a, b);
    return status;
}

int outputs_check_file(const char *name, const char *path)
{
    int status = PARSED;
    for (size_t f = 0; f < count && status == PARSED; f++)
        if (files[f].use >= FILE_STATE)
            status = check_pair(name, &files[f], &(named_file){NULL, path, FILE_READ});
    return status;
}

int outputs_check_pictures(const char *name, const dataset *d)
{
    int status = PARSED;
    char path[PATH_MAX];
    for (size_t f = 0; f < count; f++) {
        struct stat st;
        bool there = !stat(files[f].path, &st);
        for (size_t i = 0; files[f].use >= FILE_STATE && i < dataset_candidates(d) && status == PARSED; i++) {
            const dataset_item *item = dataset_candidate_at(d, i);
            if (!dataset_has_files(d, item->source) || item->size != (there ? (uint64_t)st.st_size : 0))
                continue; // without asking the disk for each of a million pictures once more
            snprintf(path, sizeof path, "%s%s", dataset_prefix(d, item->source), item->name);
            status = check_pair(name, &files[f], &(named_file){NULL, path, FILE_STATE});
        }
    }
    return status;
}

int safetensors_name_check(const char *name, const char *path)
{
    static const char *const endings[] = {".pth", ".pt", ".bin"};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (!strcasecmp(dot, endings[i]))
            return usage_error(name, "%s: %s is PyTorch's ending; expected a name that ends in .safetensors",
                               path, endings[i]);
    return PARSED;
}

bool outputs_possible_or_complain(void)
{
    mohvit_error err;
    for (size_t i = 0; i < count; i++) {
        const named_file *f = &files[i];
        struct stat st;
        bool resumed = f->use == FILE_STATE && !stat(f->path, &st) && !S_ISDIR(st.st_mode);
        bool asked = f->use >= FILE_STATE && !resumed; // a state that is there is not replaced
        if (!asked || !replace_possible(f->path, &err))
            continue;
        complain("%s%s%s", f->option ? f->option : "", f->option ? " " : "", err.message);
        return false;
    }
    return true;
}

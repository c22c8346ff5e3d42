#include "tools/program/pictures_again.h"

#include "eval/picture.h"
#include "tools/program/command.h"
#include "tools/program/complain.h"
#include "tools/program/outputs_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct wanted {
    char *name; /* as results write it; owned */
    size_t picture;
    bool taken;
} wanted;

typedef struct search {
    const per_image *from;
    const char *from_name;
    picture_taker *take;
    void *user;
    wanted *all; /* (count), by name */
    size_t count;
    char *searched;       /* the last tar or idx file that was; owned */
    mohvit_status status; /* of take */
    mohvit_error *err;
} search;

static int by_name(const void *a, const void *b)
{
    const wanted *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->picture > y->picture) - (x->picture < y->picture);
}

/* found NULL: s->err says why. */
static void hand_over(search *s, wanted *w, const sample *found)
{
    uint64_t now = found ? picture_xxh64(found) : 0;
    uint64_t counted = s->from->xxh64 ? (uint64_t)s->from->xxh64[w->picture] : now;
    w->taken = true;
    if (found && now != counted) {
        error_set(s->err, MOHVIT_ERROR_MISMATCH,
                  "%s: %s is another picture now: its XXH64 is %016" PRIx64 ", expected %016" PRIx64,
                  s->from_name, w->name, now, counted);
        found = NULL;
    }
    s->status = s->take(s->user, w->picture, w->name, found, s->err);
}

// ---- Where they are --------------------------------------------------------------------------------

static void take_item(search *s, const dataset *d, size_t index)
{
    const dataset_item *item = dataset_item_at(d, index);
    char *before = escape(dataset_prefix(d, 0), ESCAPE_NAME, NULL), *name;
    char *behind = escape(item->name, ESCAPE_NAME, NULL);
    or_die(asprintf(&name, "%s%s", before, behind) < 0 ? NULL : name);
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(s->all[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; !s->status && low < s->count && !strcmp(s->all[low].name, name); low++) {
        if (s->all[low].taken)
            continue;
        sample pixels;
        mohvit_status status = dataset_read(d, index, &pixels, s->err);
        hand_over(s, &s->all[low], status ? NULL : &pixels);
        if (!status)
            sample_free(&pixels);
    }
    free(before);
    free(behind);
    free(name);
}

/* All that are wanted of a tar, or of MNIST's pictures. image_ext as of dataset_options. */
static mohvit_status take_source(search *s, char *argument, const char *image_ext, mohvit_error *err)
{
    const labels *names = &s->from->names;
    const class_names classes = {names->count, names->name, names->id};
    dataset_options options = {.unlabelled = true, .skip_other_formats = true, .image_ext = image_ext};
    class_table *table = NULL;
    dataset *d = NULL;
    mohvit_status status = class_table_create(&table, &classes, err);
    options.classes = table;
    if (!status)
        status = dataset_open(&d, &argument, 1, &options, err);
    for (size_t i = 0; !status && !s->status && i < dataset_count(d); i++)
        take_item(s, d, i);
    if (d)
        dataset_close(d);
    class_table_destroy(table);
    return status;
}

/* A backslash begins \\ or \xNN, as escape writes them. */
static void unescape(char *name)
{
    char *to = name;
    for (const char *from = name; *from; to++) {
        unsigned byte = 0;
        if (from[0] == '\\' && from[1] == 'x' && strspn(from + 2, "0123456789abcdef") >= 2) {
            sscanf(from + 2, "%2x", &byte);
            *to = (char)byte;
            from += 4;
        } else {
            from += from[0] == '\\' && from[1] == '\\';
            *to = *from++;
        }
    }
    *to = '\0';
}

/* Cuts a path at the end of what is a file, "val.tar/x.jpg" or "images.gz#7": whether any part of it is. */
static bool cut_at_file(char *path, char *mark)
{
    struct stat st;
    for (size_t n = strlen(path); n--;) {
        *mark = path[n];
        if (*mark != '/' && *mark != '#')
            continue;
        path[n] = '\0';
        if (!stat(path, &st) && S_ISREG(st.st_mode))
            return true;
    }
    return false;
}

static void take_file(search *s, wanted *w, const char *path)
{
    sample file;
    mohvit_error why;
    mohvit_status status = sample_read_path(path, &file, &why);
    if (status)
        error_set(s->err, status, "%s: %s", w->name, why.message);
    hand_over(s, w, status ? NULL : &file);
    if (!status)
        sample_free(&file);
}

/* What follows the first dot of the names of a tar's pictures, as --image-ext lists it: malloc'd. */
static char *extensions_in(const per_image *from, const char *tar)
{
    enum { MOST = 32 }; // as many as anyone gives
    size_t kinds = 0, length = strlen(tar);
    char *list = or_die(strdup(","));
    for (size_t i = 0; i < from->count && kinds < MOST; i++) {
        char *name = or_die(per_image_name(from, i)), *entry, *longer;
        unescape(name);
        bool inside = !strncmp(name, tar, length) && name[length] == '/';
        const char *dot = inside ? strchr(strrchr(name, '/'), '.') : NULL;
        or_die(asprintf(&entry, ",%s,", dot ? dot : "") < 0 ? NULL : entry);
        if (dot && !strstr(list, entry)) {
            or_die(asprintf(&longer, "%s%s", list, entry + 1) < 0 ? NULL : longer);
            free(list);
            list = longer;
            kinds++;
        }
        free(entry);
        free(name);
    }
    return list;
}

/* With --image-ext a tar's samples were counted whose pictures have other endings than the usual ones. */
static mohvit_status take_tar(search *s, const wanted *w, char *tar, mohvit_error *err)
{
    mohvit_error of_samples;
    mohvit_status status = take_source(s, tar, NULL, err);
    if (w->taken)
        return status;
    char *extensions = extensions_in(s->from, tar);
    if (!take_source(s, tar, extensions, &of_samples) && w->taken)
        status = MOHVIT_OK;
    free(extensions);
    return status;
}

/* Takes over argument. What was searched lacks all that have not been taken. */
static mohvit_status take_held(search *s, const wanted *w, char *argument, bool idx, mohvit_error *err)
{
    bool again = s->searched && !strcmp(s->searched, argument);
    free(s->searched);
    s->searched = argument;
    if (again)
        return MOHVIT_OK;
    return idx ? take_source(s, argument, NULL, err) : take_tar(s, w, argument, err);
}

static void take(search *s, wanted *w)
{
    struct stat st;
    char *path = or_die(strdup(w->name)), *argument, mark = 0;
    unescape(path);
    mohvit_error why;
    mohvit_status status = MOHVIT_OK;
    if (!stat(path, &st)) {
        take_file(s, w, path);
    } else if (cut_at_file(path, &mark)) {
        or_die(asprintf(&argument, "%s%s", mark == '#' ? "idx:" : "", path) < 0 ? NULL : argument);
        status = take_held(s, w, argument, mark == '#', &why);
    }
    free(path);
    if (s->status || w->taken)
        return;
    if (status)
        *s->err = why;
    else
        error_set(s->err, MOHVIT_ERROR_IO,
                  "%s: names %s, which is not there; expected the pictures where they were when it was made",
                  s->from_name, w->name);
    hand_over(s, w, NULL);
}

// ---- All of them -----------------------------------------------------------------------------------

mohvit_status pictures_again(const per_image *from, const char *from_name, const bool *asked,
                             picture_taker *taker, void *user, mohvit_error *err)
{
    search s = {.from = from,
                .from_name = from_name,
                .take = taker,
                .user = user,
                .all = or_die(calloc(from->count + 1, sizeof *s.all)),
                .err = err};
    for (size_t i = 0; i < from->count; i++)
        if (asked[i])
            s.all[s.count++] = (wanted){.name = or_die(per_image_name(from, i)), .picture = i};
    qsort(s.all, s.count, sizeof *s.all, by_name);
    for (size_t i = 0; !s.status && i < s.count; i++)
        if (!s.all[i].taken)
            take(&s, &s.all[i]);
    for (size_t i = 0; i < s.count; i++)
        free(s.all[i].name);
    free(s.all);
    free(s.searched);
    return s.status;
}

void pictures_again_warn(const per_image *from, const char *from_name)
{
    if (!from->xxh64)
        complain("warning: %s: has no hashes of its pictures: whether they have changed cannot be checked",
                 from_name);
}

int pictures_again_check_outputs(const per_image *from, const char *name)
{
    int status = PARSED;
    for (size_t i = 0; i < from->count && status == PARSED; i++) {
        struct stat st;
        char *path = or_die(per_image_name(from, i)), mark;
        unescape(path);
        if (!stat(path, &st) || cut_at_file(path, &mark))
            status = outputs_check_file(name, path);
        free(path);
    }
    return status;
}

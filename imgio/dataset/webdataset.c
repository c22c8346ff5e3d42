#include "imgio/dataset/webdataset.h"

#include "imgio/formats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_LABEL 256 /* bytes of a .cls */

/* A path up to the first dot of its last part. */
typedef struct sample_key {
    const char *text;
    size_t length;
} sample_key;

/* Neighbours with one key. */
typedef struct group {
    sample_key key;
    size_t first, end;                 /* indices of members */
    const tar_member *picture, *label; /* or NULL */
    bool odd_label;                    /* one with more dots in its name, which is no label of this key */
} group;

typedef struct grouping {
    dataset_source *s;
    const tar_member *members;
    group *groups; /* (count), in the order of the tar */
    size_t count;
} grouping;

// ---- Names -----------------------------------------------------------------------------------------

/* NULL where the name has no dot, or nothing before it: such a member belongs to no sample. */
static const char *extension_of(const char *name)
{
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name, *dot = strchr(base, '.');
    return dot && dot != base ? dot + 1 : NULL;
}

/* The next of extensions with commas between them; 0: no more. ".seg.png" is "seg.png", as some write it. */
static size_t next_extension(const char **at, size_t length)
{
    *at += length;
    *at += strspn(*at, ",.");
    return strcspn(*at, ",");
}

static bool is_picture(const dataset_source *s, const char *name, const char *extension)
{
    if (!s->image_ext)
        return !strchr(extension, '.') && picture_named(name);
    const char *at = s->image_ext;
    for (size_t n = 0; (n = next_extension(&at, n));)
        if (strlen(extension) == n && !strncasecmp(at, extension, n))
            return true;
    return false;
}

static bool ends_in_cls(const char *extension)
{
    const char *last = strrchr(extension, '.');
    return !strcasecmp(last ? last + 1 : extension, "cls");
}

/* "cls"; and "05.cls" where the user says that "05.jpg" is a picture. */
static bool is_label(const dataset_source *s, const char *extension)
{
    const char *last = strrchr(extension, '.'), *at = s->image_ext;
    size_t stem = last ? (size_t)(last - extension) : 0;
    bool label = !last;
    for (size_t n = 0; at && !label && (n = next_extension(&at, n));)
        label =
            stem < n && !strncasecmp(at, extension, stem + 1) && !memchr(at + stem + 1, '.', n - stem - 1);
    return label && ends_in_cls(extension);
}

// ---- Keys ------------------------------------------------------------------------------------------

static sample_key key_of(const char *name, const char *extension)
{
    return (sample_key){name, (size_t)(extension - 1 - name)};
}

static int compare_keys(const void *a, const void *b)
{
    const sample_key *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->length < y->length ? x->length : y->length);
    return order ? order : (x->length > y->length) - (x->length < y->length);
}

/* The keys of members that are called .cls; returns how many. keys NULL: counts them. */
static size_t list_label_keys(sample_key *keys, const tar_member *members, size_t count)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        const char *extension = members[i].folder ? NULL : extension_of(members[i].name);
        if (!extension || !ends_in_cls(extension))
            continue;
        if (keys)
            keys[found] = key_of(members[i].name, extension);
        found++;
    }
    return found;
}

/* "x.seg.png" counts here, whose picture --image-ext then has to name. */
static bool has_label(const dataset_source *s, const tar_member *m, const sample_key *labels, size_t count)
{
    const char *extension = m->folder ? NULL : extension_of(m->name);
    if (!extension || !(picture_named(m->name) || is_picture(s, m->name, extension)))
        return false;
    const sample_key key = key_of(m->name, extension);
    return bsearch(&key, labels, count, sizeof key, compare_keys) != NULL;
}

mohvit_status webdataset_find(bool *found, const dataset_source *s, const tar_member *members, size_t count,
                              mohvit_error *err)
{
    size_t labels = list_label_keys(NULL, members, count);
    *found = false;
    if (!labels)
        return MOHVIT_OK;
    sample_key *keys = calloc(labels, sizeof *keys);
    if (!keys)
        return source_no_memory(s, err);
    list_label_keys(keys, members, count);
    qsort(keys, labels, sizeof *keys, compare_keys);
    for (size_t i = 0; !*found && i < count; i++)
        *found = has_label(s, &members[i], keys, labels);
    free(keys);
    return MOHVIT_OK;
}

// ---- Groups ----------------------------------------------------------------------------------------

static int compare_groups(const void *a, const void *b)
{
    const group *x = *(group *const *)a, *y = *(group *const *)b;
    int order = compare_keys(&x->key, &y->key);
    return order ? order : (x->first > y->first) - (x->first < y->first);
}

static mohvit_status refuse_two(const grouping *w, const group *g, const tar_member *a, const tar_member *b,
                                mohvit_error *err)
{
    const char *x = extension_of(a->name), *y = extension_of(b->name);
    if (!strcasecmp(x, y))
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: key \"%.*s\": two files \".%s\" in one sample",
                         w->s->argument, (int)g->key.length, g->key.text, x);
    return error_set(
        err, MOHVIT_ERROR_FORMAT,
        "%s: key \"%.*s\": two pictures in one sample, \".%s\" and \".%s\"; --image-ext says which counts",
        w->s->argument, (int)g->key.length, g->key.text, x, y);
}

static mohvit_status add_part(grouping *w, group *g, const tar_member *m, const char *extension,
                              mohvit_error *err)
{
    const tar_member **part = is_label(w->s, extension)              ? &g->label
                              : is_picture(w->s, m->name, extension) ? &g->picture
                                                                     : NULL;
    g->odd_label = g->odd_label || (!part && ends_in_cls(extension));
    if (!part)
        return source_skip(w->s, m->name, extension, err);
    if (*part)
        return refuse_two(w, g, *part, m, err);
    *part = m;
    return MOHVIT_OK;
}

static mohvit_status make_groups(grouping *w, size_t members, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    for (size_t i = 0; !status && i < members; i++) {
        const tar_member *m = &w->members[i];
        const char *extension = m->folder ? NULL : extension_of(m->name);
        if (!extension) {
            status = m->folder ? MOHVIT_OK : source_skip(w->s, m->name, NULL, err);
            continue;
        }
        group g = {.key = key_of(m->name, extension), .first = i};
        if (!w->count || compare_keys(&w->groups[w->count - 1].key, &g.key) != 0)
            w->groups[w->count++] = g;
        w->groups[w->count - 1].end = i + 1;
        status = add_part(w, &w->groups[w->count - 1], m, extension, err);
    }
    return status;
}

// ---- Samples ---------------------------------------------------------------------------------------

/* A class without a picture: what else has its key may be called in another way than users think. */
static mohvit_status refuse_label(const grouping *w, const group *g, mohvit_error *err)
{
    char parts[256] = "";
    for (size_t i = g->first, used = 0; i < g->end && used < sizeof parts / 2; i++) {
        const char *extension = w->members[i].folder ? NULL : extension_of(w->members[i].name);
        if (extension)
            used += (size_t)snprintf(parts + used, sizeof parts - used, "%s\".%.60s\"", used ? ", " : "",
                                     extension);
    }
    return error_set(
        err, MOHVIT_ERROR_FORMAT,
        "%s: key \"%.*s\": a class without a picture; its parts are %s. What follows the first dot of a "
        "name is its extension; --image-ext says which extensions pictures have",
        w->s->argument, (int)g->key.length, g->key.text, parts);
}

/* Groups (count) of one key: each a sample of its own, or all together one. */
static mohvit_status match_parts(grouping *w, group *const *groups, size_t count, mohvit_error *err)
{
    size_t pictures = 0, labels = 0, whole = 0;
    group *picture = NULL, *label = NULL, *odd = NULL;
    for (size_t i = 0; i < count; i++) {
        whole += groups[i]->picture && groups[i]->label;
        pictures += groups[i]->picture != NULL;
        labels += groups[i]->label != NULL;
        picture = groups[i]->picture ? groups[i] : picture;
        label = groups[i]->label ? groups[i] : label;
        odd = groups[i]->odd_label ? groups[i] : odd;
    }
    if (!pictures && (label || odd))
        return refuse_label(w, label ? label : odd, err);
    if (whole == pictures && whole == labels)
        return MOHVIT_OK;
    if (pictures == 1 && labels <= 1) { // without a class: the data set knows whether it needs one
        w->s->joined += labels;
        picture->label = labels ? label->label : NULL;
        return MOHVIT_OK;
    }
    return error_set(
        err, MOHVIT_ERROR_FORMAT,
        "%s: key \"%.*s\": its pictures (%zu) and classes (%zu) lie apart, so that which belong together "
        "remains open; the parts of a sample are to be neighbours",
        w->s->argument, (int)picture->key.length, picture->key.text, pictures, labels);
}

static mohvit_status match_groups(grouping *w, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    group **sorted = calloc(w->count + 1, sizeof *sorted);
    if (!sorted)
        return source_no_memory(w->s, err);
    for (size_t i = 0; i < w->count; i++)
        sorted[i] = &w->groups[i];
    qsort(sorted, w->count, sizeof(group *), compare_groups);
    for (size_t i = 0, end; !status && i < w->count; i = end) {
        for (end = i + 1; end < w->count && !compare_keys(&sorted[i]->key, &sorted[end]->key);)
            end++;
        status = match_parts(w, sorted + i, end - i, err);
    }
    free(sorted);
    return status;
}

static mohvit_status read_label(const char **out, const dataset_source *s, const tar_member *m,
                                mohvit_error *err)
{
    char text[MAX_LABEL + 1];
    mohvit_error cause;
    size_t size = (size_t)m->size;
    if (m->size > MAX_LABEL)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s/%s: %llu bytes; expected a class of at most %d",
                         s->argument, m->name, (unsigned long long)m->size, MAX_LABEL);
    mohvit_status status = sample_read_bytes(s->fd, m->place, text, size, &cause);
    if (status)
        return error_set(err, status, "%s/%s: %s", s->argument, m->name, cause.message);
    while (size && memchr("\n\r\t ", text[size - 1], 4))
        size--;
    if (memchr(text, 0, size))
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s/%s: a zero byte; expected a class as text",
                         s->argument, m->name);
    if (!size)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s/%s: is empty; expected a class", s->argument, m->name);
    text[size] = '\0';
    *out = arena_copy(s->strings, text, size);
    return *out ? MOHVIT_OK : source_no_memory(s, err);
}

/* The same formats count as in folders, but for those that the user asks for by extension. */
static mohvit_status counts(bool *out, dataset_source *s, const char *name, mohvit_error *err)
{
    const picture_format *format = picture_format_named(name);
    *out = true;
    if (!format || (s->image_ext && !format->scored))
        return MOHVIT_OK;
    return source_scores(out, s, format, name, err);
}

static mohvit_status add_item(grouping *w, const group *g, mohvit_error *err)
{
    const tar_member *m = g->picture;
    found_item item = {.name = m->name, .size = m->size, .place = m->place, .class_index = CLASS_NONE};
    bool wanted;
    mohvit_status status = counts(&wanted, w->s, m->name, err);
    if (status || !wanted)
        return status;
    if (g->label) {
        item.labeller = g->label->name;
        status = read_label(&item.label, w->s, g->label, err);
    }
    return status ? status : source_add(w->s, &item, err);
}

static mohvit_status add_items(grouping *w, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    for (size_t i = 0; !status && i < w->count; i++)
        if (w->groups[i].picture)
            status = add_item(w, &w->groups[i], err);
    return status;
}

mohvit_status webdataset_add(dataset_source *s, const tar_member *members, size_t count, mohvit_error *err)
{
    grouping w = {.s = s, .members = members, .groups = calloc(count + 1, sizeof *w.groups)};
    mohvit_status status = w.groups ? make_groups(&w, count, err) : source_no_memory(s, err);
    if (!status)
        status = match_groups(&w, err);
    if (!status)
        status = add_items(&w, err);
    s->as_samples = true;
    free(w.groups);
    return status;
}

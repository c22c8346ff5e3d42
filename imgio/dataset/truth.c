#include "imgio/dataset/truth.h"

#include "base/json_bounded.h"
#include "base/lines.h"
#include "base/memory.h"
#include "base/search.h"
#include "imgio/dataset/sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Truth ----------------------------------------------------------------------------------- */

typedef struct truth_entry {
    const char *name;
    size_t class_index, line;
    bool used;
} truth_entry;

static mohvit_status add_entry(truth *t, const char *name, size_t length, size_t class_index, size_t line,
                               mohvit_error *err)
{
    truth_entry *entries = memory_grow(t->entries, t->count, &t->capacity, sizeof *entries);
    if (!entries)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for %zu classes of pictures", t->count);
    t->entries = entries;
    while (length > 2 && !strncmp(name, "./", 2)) {
        name += 2;
        length -= 2;
    }
    truth_entry *e = &t->entries[t->count++];
    *e = (truth_entry){arena_copy(&t->strings, name, length), class_index, line, false};
    return e->name ? MOHVIT_OK : error_set(err, MOHVIT_ERROR_MEMORY, "no memory for names of pictures");
}

/* A TAB parts name and class, both of which may then hold blanks; else the first blank does, unless only what
 * follows the last one is a class. */
static mohvit_status parse_line(const line_reader *r, const class_table *classes, size_t *name_length,
                                const char **class_text, size_t *class_index, mohvit_error *err)
{
    char where[512];
    const char *line = r->line, *tab = strchr(line, '\t'), *blank = tab ? tab : strchr(line, ' ');
    lines_where(r, where, sizeof where);
    if (!blank || blank == line)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: \"%s\"; expected a picture's name, a TAB or a blank, and its class", where,
                         line);
    const char *last = tab ? tab : strrchr(line, ' ');
    if (last != blank && !class_parse(classes, last + 1, where, class_index, NULL)) {
        size_t other;
        if (class_parse(classes, blank + 1 + strspn(blank + 1, " "), where, &other, NULL))
            blank = last;
    }
    *class_text = blank + 1 + strspn(blank + 1, "\t ");
    *name_length = (size_t)(blank - line);
    return class_parse(classes, *class_text, where, class_index, err);
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const truth_entry *)a)->name, ((const truth_entry *)b)->name);
}

/* Leaves one of each name. */
static mohvit_status sort_entries(truth *t, const char *path, mohvit_error *err)
{
    if (!t->count)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: is empty; expected lines of a name and a class",
                         path);
    qsort(t->entries, t->count, sizeof *t->entries, compare_entries);
    size_t kept = 1;
    for (size_t i = 1; i < t->count; i++) {
        const truth_entry *a = &t->entries[kept - 1], *b = &t->entries[i];
        if (strcmp(a->name, b->name) != 0)
            t->entries[kept++] = *b;
        else if (a->class_index != b->class_index)
            return error_set(err, MOHVIT_ERROR_FORMAT,
                             "%s: \"%s\" has class %zu in line %zu and %zu in line %zu", path, a->name,
                             a->class_index, a->line, b->class_index, b->line);
    }
    t->count = kept;
    return MOHVIT_OK;
}

static mohvit_status read_lines(truth *t, line_reader *r, const class_table *classes,
                                const warning_sink *warn, mohvit_error *err)
{
    bool more, zero = false;
    mohvit_status status;
    t->by_number = true;
    while (!(status = lines_next(r, &more, err)) && more) {
        const char *text;
        size_t length, class_index, index;
        if (!lines_trim(r))
            continue;
        status = parse_line(r, classes, &length, &text, &class_index, err);
        if (!status)
            status = add_entry(t, r->line, length, class_index, r->number, err);
        if (status)
            return status;
        t->by_number = t->by_number && class_is_index(text, &index);
        zero = zero || class_index == 0;
    }
    if (!status)
        status = sort_entries(t, r->path, err);
    if (!status && t->by_number && !zero)
        warning_send(
            warn,
            "%s: no picture has class 0: classes are counted from 0 here. ILSVRC's own ids run from 1 to "
            "1000 and in another order than the sorted WordNet ids, so that subtracting 1 does not help",
            r->path);
    return status;
}

mohvit_status truth_read(truth **out, const char *path, const class_table *classes, const warning_sink *warn,
                         mohvit_error *err)
{
    line_reader r;
    truth *t = calloc(1, sizeof *t);
    if (!t)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory to read it", path);
    mohvit_status status = lines_open(&r, path, LINES_NEWLINE, err);
    if (!status)
        status = read_lines(t, &r, classes, warn, err);
    lines_close(&r);
    if (status)
        truth_free(t);
    else
        *out = t;
    return status;
}

void truth_free(truth *t)
{
    if (!t)
        return;
    arena_free(&t->strings);
    free(t->entries);
    free(t);
}

typedef struct name_key {
    const char *name;
    size_t length;
} name_key;

static int compare_to_key(const void *entry, const void *key)
{
    const name_key *k = key;
    return strncmp(((const truth_entry *)entry)->name, k->name, k->length);
}

/* name with `length` bytes; CLASS_NONE where it is not there. */
static size_t find_name(truth *t, const char *name, size_t length)
{
    const name_key key = {name, length};
    size_t low = search_first(&key, t->entries, t->count, sizeof *t->entries, compare_to_key);
    truth_entry *e = t->entries + low; // the shortest that begins so comes first
    if (low == t->count || strncmp(e->name, name, length) != 0 || e->name[length])
        return CLASS_NONE;
    e->used = true;
    return e->class_index;
}

size_t truth_find(truth *t, const char *name)
{
    while (!strncmp(name, "./", 2))
        name += 2;
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name, *dot = strrchr(base, '.');
    size_t found = find_name(t, name, strlen(name));
    if (found == CLASS_NONE && dot)
        found = find_name(t, name, (size_t)(dot - name));
    if (found == CLASS_NONE && slash)
        found = find_name(t, base, strlen(base));
    if (found == CLASS_NONE && slash && dot)
        found = find_name(t, base, (size_t)(dot - base));
    return found;
}

size_t truth_unused(const truth *t)
{
    size_t unused = 0;
    for (size_t i = 0; i < t->count; i++)
        unused += !t->entries[i].used;
    return unused;
}

/* ---- ReaL ------------------------------------------------------------------------------------ */

/* The published file has 50,000 sets with 57,000 classes. */
#define MAX_REAL_SETS   1000000
#define MAX_REAL_VALUES 16000000

static mohvit_status add_classes(real_labels *r, size_t entry, const json_t *set, const char *path,
                                 const class_table *t, mohvit_error *err)
{
    char where[512];
    size_t first = r->first[entry], count = json_array_size(set);
    if (!json_is_array(set))
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: entry %zu is no array of classes", path, entry);
    for (size_t k = 0; k < count; k++) {
        const json_t *value = json_array_get(set, k);
        json_int_t class_index = json_integer_value(value);
        snprintf(where, sizeof where, "%.*s: entry %zu", (int)sizeof where - 40, path, entry);
        if (!json_is_integer(value) || class_index < 0)
            return error_set(err, MOHVIT_ERROR_FORMAT, "%s: expected indices of classes", where);
        if ((uint64_t)class_index >= class_count(t))
            return class_out_of_range(t, (size_t)class_index, where, err);
        r->classes[first + k] = (uint32_t)class_index;
    }
    r->first[entry + 1] = first + count;
    return MOHVIT_OK;
}

static mohvit_status take_entries(real_labels *r, const json_t *root, const char *path, const class_table *t,
                                  mohvit_error *err)
{
    size_t total = 0;
    if (!json_is_array(root) || !json_array_size(root))
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: expected a JSON array with an array of classes for each "
                         "picture",
                         path);
    r->count = json_array_size(root);
    for (size_t i = 0; i < r->count; i++)
        total += json_array_size(json_array_get(root, i));
    r->first = calloc(r->count + 1, sizeof *r->first);
    r->classes = calloc(total + 1, sizeof *r->classes);
    mohvit_status status = r->first && r->classes
                               ? MOHVIT_OK
                               : error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory to read it", path);
    for (size_t i = 0; !status && i < r->count; i++)
        status = add_classes(r, i, json_array_get(root, i), path, t, err);
    return status;
}

mohvit_status real_labels_read(real_labels *out, const char *path, const class_table *t, mohvit_error *err)
{
    sample file;
    json_error_t why;
    mohvit_error cause;
    real_labels r = {0};
    mohvit_status status = sample_read_path(path, &file, &cause);
    if (status)
        return error_set(err, status, "%s: %s", path, cause.message);
    json_t *root =
        json_load_bounded((const char *)file.bytes, file.size, MAX_REAL_SETS, MAX_REAL_VALUES, &why);
    sample_free(&file);
    if (!root)
        return error_library(err, MOHVIT_ERROR_FORMAT, why.text, "%s: line %d", path, why.line);
    status = take_entries(&r, root, path, t, err);
    json_decref(root);
    if (status)
        real_labels_free(&r);
    else
        *out = r;
    return status;
}

void real_labels_free(real_labels *r)
{
    free(r->first);
    free(r->classes);
    *r = (real_labels){0};
}

size_t real_labels_find(const real_labels *r, const char *name)
{
    static const char prefix[] = "ILSVRC2012_val_";
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    if (strncmp(base, prefix, sizeof prefix - 1) != 0)
        return CLASS_NONE;
    const char *digits = base + sizeof prefix - 1;
    if (strspn(digits, "0123456789") != 8 || (digits[8] && digits[8] != '.'))
        return CLASS_NONE;
    size_t number = strtoul(digits, NULL, 10);
    return number >= 1 && number <= r->count ? number - 1 : CLASS_NONE;
}

/* ---- Subset ---------------------------------------------------------------------------------- */

mohvit_status subset_read(bool *chosen, const char *path, const class_table *t, mohvit_error *err)
{
    line_reader r;
    bool more;
    size_t count = 0;
    memset(chosen, 0, class_count(t) * sizeof *chosen);
    mohvit_status status = lines_open(&r, path, LINES_NEWLINE, err);
    while (!status && !(status = lines_next(&r, &more, err)) && more) {
        char where[512];
        size_t class_index;
        if (!lines_trim(&r))
            continue;
        lines_where(&r, where, sizeof where);
        status = class_parse(t, r.line, where, &class_index, err);
        if (!status)
            chosen[class_index] = true;
        count++;
    }
    if (!status && !count)
        status = error_set(err, MOHVIT_ERROR_FORMAT, "%s: is empty; expected a class a line", path);
    lines_close(&r);
    return status;
}

#include "imgio/dataset/classes.h"

#include "base/memory.h"
#include "base/search.h"

#include <stdlib.h>
#include <string.h>

/* A key and the class that it stands for. */
typedef struct class_key {
    const char *text;
    size_t length;
    size_t class_index;
} class_key;

typedef struct key_list {
    class_key *keys;
    size_t count, capacity;
} key_list;

struct class_table {
    class_names names;
    key_list ids;    /* sorted by text */
    key_list labels; /* whole labels, sorted by text */
    key_list loose;  /* whole labels and each of their names, sorted as compare_loose has it */
};

/* ---- Keys ------------------------------------------------------------------------------------ */

/* What two spellings of a name have in common: letters and digits, and bytes beyond ASCII. */
static int fold(char c)
{
    unsigned char byte = (unsigned char)c;
    if (byte >= 'A' && byte <= 'Z')
        return byte - 'A' + 'a';
    bool letter = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte >= 0x80;
    return letter ? byte : '_';
}

static int compare_exact(const void *a, const void *b)
{
    const class_key *x = a, *y = b;
    size_t shorter = x->length < y->length ? x->length : y->length;
    int order = memcmp(x->text, y->text, shorter);
    return order ? order : (x->length > y->length) - (x->length < y->length);
}

static int compare_loose(const void *a, const void *b)
{
    const class_key *x = a, *y = b;
    for (size_t i = 0; i < x->length && i < y->length; i++)
        if (fold(x->text[i]) != fold(y->text[i]))
            return fold(x->text[i]) - fold(y->text[i]);
    return (x->length > y->length) - (x->length < y->length);
}

static bool add_key(key_list *list, const char *text, size_t length, size_t class_index)
{
    class_key *keys = memory_grow(list->keys, list->count, &list->capacity, sizeof *keys);
    if (!keys)
        return false;
    list->keys = keys;
    list->keys[list->count++] = (class_key){text, length, class_index};
    return true;
}

/* "crane, whooping crane" answers to the whole and to each part. */
static bool add_names(class_table *t, const char *label, size_t class_index)
{
    size_t length = strlen(label);
    if (!add_key(&t->labels, label, length, class_index) || !add_key(&t->loose, label, length, class_index))
        return false;
    if (!strstr(label, ", "))
        return true;
    for (const char *part = label; part;) {
        const char *end = strstr(part, ", ");
        if (!add_key(&t->loose, part, end ? (size_t)(end - part) : strlen(part), class_index))
            return false;
        part = end ? end + 2 : NULL;
    }
    return true;
}

typedef int compare_fn(const void *a, const void *b);

static void sort_keys(key_list *list, compare_fn *compare)
{
    if (list->count)
        qsort(list->keys, list->count, sizeof *list->keys, compare);
}

/* CLASS_AMBIGUOUS where equal keys stand for different classes. */
static size_t find_key(const key_list *list, const char *text, compare_fn *compare)
{
    const class_key wanted = {text, strlen(text), 0};
    size_t low = search_first(&wanted, list->keys, list->count, sizeof wanted, compare);
    size_t found = CLASS_NONE;
    for (size_t i = low; i < list->count && !compare(&list->keys[i], &wanted); i++) {
        if (found != CLASS_NONE && found != list->keys[i].class_index)
            return CLASS_AMBIGUOUS;
        found = list->keys[i].class_index;
    }
    return found;
}

mohvit_status class_table_create(class_table **out, const class_names *names, mohvit_error *err)
{
    class_table *t = calloc(1, sizeof *t);
    bool done = t != NULL;
    if (t)
        t->names = *names;
    for (size_t i = 0; done && i < names->count; i++) {
        done = add_names(t, names->name[i], i);
        if (done && names->id[i])
            done = add_key(&t->ids, names->id[i], strlen(names->id[i]), i);
    }
    if (!done) {
        class_table_destroy(t);
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for the names of %zu classes", names->count);
    }
    sort_keys(&t->ids, compare_exact);
    sort_keys(&t->labels, compare_exact);
    sort_keys(&t->loose, compare_loose);
    *out = t;
    return MOHVIT_OK;
}

void class_table_destroy(class_table *t)
{
    if (!t)
        return;
    free(t->ids.keys);
    free(t->labels.keys);
    free(t->loose.keys);
    free(t);
}

size_t class_count(const class_table *t)
{
    return t->names.count;
}

/* ---- One class ------------------------------------------------------------------------------- */

size_t class_by_id(const class_table *t, const char *id)
{
    return find_key(&t->ids, id, compare_exact);
}

size_t class_by_name(const class_table *t, const char *name)
{
    size_t exact = find_key(&t->labels, name, compare_exact);
    return exact != CLASS_NONE ? exact : find_key(&t->loose, name, compare_loose);
}

bool class_is_index(const char *text, size_t *out)
{
    if (!*text || text[strspn(text, "0123456789")])
        return false;
    *out = strtoul(text, NULL, 10); // the largest there is, where text is beyond it
    return true;
}

mohvit_status class_out_of_range(const class_table *t, size_t index, const char *where, mohvit_error *err)
{
    size_t classes = t->names.count;
    if (index == 1000 && classes == 1000)
        return error_set(
            err, MOHVIT_ERROR_FORMAT,
            "%s: class 1000; expected 0 to 999. ILSVRC's own ids run from 1 to 1000 and in another "
            "order (that of its devkit's meta.mat): give WordNet ids, or indices in the order of "
            "the sorted WordNet ids",
            where);
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: class %zu; expected 0 to %zu", where, index, classes - 1);
}

mohvit_status class_parse(const class_table *t, const char *text, const char *where, size_t *out,
                          mohvit_error *err)
{
    size_t index;
    if (class_is_index(text, &index)) {
        *out = index;
        return index < t->names.count ? MOHVIT_OK : class_out_of_range(t, index, where, err);
    }
    index = class_by_id(t, text);
    if (index >= CLASS_AMBIGUOUS)
        index = class_by_name(t, text);
    if (index == CLASS_AMBIGUOUS)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: \"%s\" is the name of several classes; give the index or the WordNet id", where,
                         text);
    if (index == CLASS_NONE)
        return error_set(
            err, MOHVIT_ERROR_FORMAT,
            "%s: \"%s\" is no class of this model: neither an index from 0 to %zu, nor a WordNet "
            "id, nor a name of its labels",
            where, text, t->names.count - 1);
    *out = index;
    return MOHVIT_OK;
}

/* ---- Folders --------------------------------------------------------------------------------- */

typedef size_t find_fn(const class_table *t, const char *text);

/* CLASS_NONE where every folder is found, else the first that is not. */
static size_t find_all(const class_table *t, const char *const *folders, size_t count, find_fn *find,
                       size_t *out)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = find(t, folders[i]);
        if (out[i] >= CLASS_AMBIGUOUS)
            return i;
    }
    return CLASS_NONE;
}

/* "10" sorts before "2": order and number would be two answers. */
static bool numbers_out_of_order(const char *const *folders, size_t count)
{
    bool differ = false;
    for (size_t i = 0; i < count; i++) {
        size_t index;
        if (!class_is_index(folders[i], &index))
            return false;
        differ = differ || index != i;
    }
    return differ;
}

/* Two folders for one class are one folder too many: whoever made them meant two classes. */
static mohvit_status check_distinct(const class_table *t, const char *const *folders, size_t count,
                                    const char *where, const size_t *out, mohvit_error *err)
{
    size_t *owner = malloc(t->names.count * sizeof *owner);
    mohvit_status status = MOHVIT_OK;
    if (!owner)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for %zu folders", where, count);
    memset(owner, 0xff, t->names.count * sizeof *owner);
    for (size_t i = 0; !status && i < count; i++) {
        if (owner[out[i]] != SIZE_MAX)
            status = error_set(err, MOHVIT_ERROR_FORMAT, "%s: folders \"%s\" and \"%s\" are both class %zu",
                               where, folders[owner[out[i]]], folders[i], out[i]);
        owner[out[i]] = i;
    }
    free(owner);
    return status;
}

mohvit_status classes_of_folders(const class_table *t, const char *const *folders, size_t count,
                                 const char *where, size_t *out, const warning_sink *warn, mohvit_error *err)
{
    if (find_all(t, folders, count, class_by_id, out) == CLASS_NONE)
        return check_distinct(t, folders, count, where, out, err);
    size_t stranger = find_all(t, folders, count, class_by_name, out);
    if (stranger == CLASS_NONE)
        return check_distinct(t, folders, count, where, out, err);
    const char *why = out[stranger] == CLASS_AMBIGUOUS ? "is the name of several classes"
                                                       : "is neither a WordNet id nor a label of this model";
    if (count != t->names.count)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: folder \"%s\" %s, and %zu folders cannot be taken in order for %zu classes; "
                         "rename them, or give --truth",
                         where, folders[stranger], why, count, t->names.count);
    if (numbers_out_of_order(folders, count))
        return error_set(
            err, MOHVIT_ERROR_FORMAT,
            "%s: the folders are numbers, but not those of their order (\"10\" sorts before \"2\"), "
            "so which class each is remains open; pad them with zeros to 0 ... %zu, or give --truth",
            where, t->names.count - 1);
    warning_send(
        warn,
        "%s: folder \"%s\" %s: the %zu folders are taken in the order of their names for classes 0 to "
        "%zu",
        where, folders[stranger], why, count, count - 1);
    for (size_t i = 0; i < count; i++)
        out[i] = i;
    return MOHVIT_OK;
}

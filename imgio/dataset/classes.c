#include "imgio/dataset/classes.h"

#include "base/memory.h"
#include "base/search.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
    bool made_up;    /* "class 0", "class 1" ...: as labels_numbered has it where no labels are known */
    bool numbers;    /* every label is a number */
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

static bool is_number(const char *text)
{
    return *text && !text[strspn(text, "0123456789")];
}

/* "007" and "7" are one number. */
static const char *without_zeros(const char *number)
{
    number += strspn(number, "0");
    return *number ? number : number - 1;
}

/* What the labels tell as a whole. */
static bool note_kind(class_table *t)
{
    bool done = true;
    t->made_up = t->numbers = t->names.count > 0;
    for (size_t i = 0; i < t->names.count; i++) {
        char made_up[32];
        snprintf(made_up, sizeof made_up, "class %zu", i);
        t->made_up = t->made_up && !t->names.id[i] && !strcmp(t->names.name[i], made_up);
        t->numbers = t->numbers && is_number(t->names.name[i]);
    }
    for (size_t i = 0; done && t->numbers && i < t->names.count; i++) {
        const char *number = without_zeros(t->names.name[i]);
        done = add_key(&t->loose, number, strlen(number), i);
    }
    return done;
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
    if (done)
        done = note_kind(t);
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
    if (!is_number(text))
        return false;
    *out = strtoul(text, NULL, 10); // the largest there is, where text is beyond it
    return true;
}

const char class_devkit_numbers[] =
    "ILSVRC's own ids run from 1 to 1000 and in another order (that of its devkit's meta.mat), so that "
    "subtracting 1 "
    "does not help: give WordNet ids, or indices in the order of the sorted WordNet ids";

mohvit_status class_out_of_range(const class_table *t, size_t index, const char *where, mohvit_error *err)
{
    size_t classes = t->names.count;
    if (index == SIZE_MAX) // or beyond, as class_is_index says: the file has another number
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: the class is too large; expected 0 to %zu", where,
                         classes - 1);
    if (index == classes)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: class %zu; expected 0 to %zu. %s", where, index,
                         classes - 1,
                         classes == 1000 ? class_devkit_numbers : "Classes are counted from 0 here");
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: class %zu; expected 0 to %zu", where, index, classes - 1);
}

mohvit_status class_parse(const class_table *t, const char *text, const char *where, size_t *out,
                          mohvit_error *err)
{
    size_t index;
    if (class_is_index(text, &index)) {
        size_t label = t->numbers ? find_key(&t->loose, without_zeros(text), compare_loose) : CLASS_NONE;
        if (label != CLASS_NONE && label != index)
            return error_set(
                err, MOHVIT_ERROR_FORMAT,
                "%s: \"%s\" is an index and the label of another class; take --labels whose names "
                "are not numbers",
                where, text);
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
            "%s: \"%s\" is not a class of this model: neither an index from 0 to %zu, nor a WordNet "
            "id, nor a name of its labels",
            where, text, t->names.count - 1);
    *out = index;
    return MOHVIT_OK;
}

/* ---- Folders --------------------------------------------------------------------------------- */

static size_t find_named(const class_table *t, const char *folder)
{
    size_t found = class_by_id(t, folder);
    return found < CLASS_AMBIGUOUS ? found : class_by_name(t, folder);
}

static size_t find_numbered(const class_table *t, const char *folder)
{
    size_t index;
    if (!class_is_index(folder, &index))
        return CLASS_NONE;
    if (t->numbers)
        return find_key(&t->loose, without_zeros(folder), compare_loose);
    return index < t->names.count ? index : CLASS_NONE;
}

typedef size_t find_fn(const class_table *t, const char *folder);

/* Two folders for one class are one folder too many: whoever made them meant two classes. */
static mohvit_status check_distinct(const class_table *t, const class_folder *folders, size_t count,
                                    const char *where, mohvit_error *err)
{
    size_t *owner = malloc(t->names.count * sizeof *owner);
    mohvit_status status = MOHVIT_OK;
    if (!owner)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for %zu folders", where, count);
    memset(owner, 0xff, t->names.count * sizeof *owner);
    for (size_t i = 0; !status && i < count; i++) {
        size_t index = folders[i].class_index;
        if (index == CLASS_NONE)
            continue;
        if (owner[index] != SIZE_MAX)
            status = error_set(err, MOHVIT_ERROR_FORMAT, "%s: folders \"%s\" and \"%s\" are both class %zu",
                               where, folders[owner[index]].name, folders[i].name, index);
        owner[index] = i;
    }
    free(owner);
    return status;
}

/* Folders with pictures that are no class. */
typedef struct strangers {
    size_t count;
    size_t known;  /* folders that are classes */
    bool in_range; /* all are numbers, and of classes */
} strangers;

#define GIVE_SPLIT "\"%s\" is called like a part of a data set: give that folder alone, or a tar of it"

/* A folder that is called like a part of a data set, such as the one for validation; NULL: none is. */
static const char *find_split(const class_folder *folders, size_t count)
{
    static const char *const words[] = {"val", "valid", "validation", "test", "train", "training"};
    for (size_t k = 0; k < sizeof words / sizeof *words; k++)
        for (size_t i = 0; i < count; i++)
            if (!strcasecmp(folders[i].name, words[k]))
                return folders[i].name;
    return NULL;
}

static strangers count_strangers(const class_table *t, const class_folder *folders, size_t count)
{
    strangers s = {.in_range = !t->numbers};
    for (size_t i = 0; i < count; i++) {
        size_t index = 0;
        s.known += folders[i].class_index < CLASS_AMBIGUOUS;
        if (!folders[i].pictures || folders[i].class_index < CLASS_AMBIGUOUS)
            continue;
        s.count++;
        s.in_range = s.in_range && class_is_index(folders[i].name, &index) && index < t->names.count;
    }
    return s;
}

/* Whether every class could have one of the folders. */
static bool order_fits(const class_table *t, const class_folder *folders, size_t count)
{
    bool fits = count == t->names.count;
    for (size_t i = 0; fits && i < count; i++)
        fits = folders[i].pictures > 0;
    return fits;
}

/* What helps against strangers; options only where they do not end in another error. */
static void advise(char *out, size_t size, const strangers *s, const char *split, folder_rule rule,
                   bool order)
{
    const char *them = s->count == 1 ? "it" : "them";
    if (split && !s->known) {
        snprintf(out, size, GIVE_SPLIT, split);
        return;
    }
    if (s->known)
        snprintf(out, size, "move %s away, rename %s, or give --truth", them, them);
    else
        snprintf(out, size, "rename %s, or give --labels or --truth", them);
    size_t used = strlen(out);
    if (rule == FOLDERS_BY_NAME && s->in_range && !s->known)
        used += (size_t)snprintf(out + used, size - used, "; --classes-by-number takes %s for indices", them);
    if (rule == FOLDERS_BY_NAME && order)
        snprintf(out + used, size - used,
                 "; --classes-by-order takes all folders for the classes in the order of "
                 "their names");
}

/* Names up to ten of them. */
static mohvit_status refuse_strangers(const class_table *t, const class_folder *folders, size_t count,
                                      folder_rule rule, const char *where, mohvit_error *err)
{
    enum { NAMED = 10 };
    char names[NAMED * 96] = "", advice[512];
    const strangers all = count_strangers(t, folders, count);
    for (size_t i = 0, named = 0, used = 0; i < count && named < NAMED; i++) {
        size_t index;
        if (!folders[i].pictures || folders[i].class_index < CLASS_AMBIGUOUS)
            continue;
        if (rule == FOLDERS_BY_NUMBER && class_is_index(folders[i].name, &index) && !t->numbers)
            return class_out_of_range(t, index, where, err);
        used += (size_t)snprintf(names + used, sizeof names - used, "%s\"%.60s\"%s", used ? ", " : "",
                                 folders[i].name,
                                 folders[i].class_index == CLASS_AMBIGUOUS ? " (several classes)" : "");
        named++;
    }
    const char *how = rule == FOLDERS_BY_NAME ? "WordNet id or label" : t->numbers ? "label" : "number";
    advise(advice, sizeof advice, &all, find_split(folders, count), rule, order_fits(t, folders, count));
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: %zu of %zu folder%s %s of this model by %s: %s%s; %s",
                     where, all.count, count, plural(count),
                     all.count == 1 ? "is not a class" : "are not classes", how, names,
                     all.count > NAMED ? " ..." : "", advice);
}

static mohvit_status match_folders(const class_table *t, class_folder *folders, size_t count,
                                   folder_rule rule, const char *where, const warning_sink *warn,
                                   mohvit_error *err)
{
    find_fn *find = rule == FOLDERS_BY_NUMBER ? find_numbered : find_named;
    const char *empty = NULL;
    size_t empties = 0;
    bool strange = false, zero = false;
    for (size_t i = 0; i < count; i++) {
        class_folder *f = &folders[i];
        f->class_index = f->pictures ? find(t, f->name) : CLASS_NONE;
        strange = strange || (f->pictures && f->class_index >= CLASS_AMBIGUOUS);
        zero = zero || f->class_index == 0;
        if (!f->pictures && !empties++)
            empty = f->name;
    }
    if (strange)
        return refuse_strangers(t, folders, count, rule, where, err);
    mohvit_status status = check_distinct(t, folders, count, where, err);
    if (!status && empties)
        warning_send(warn, "%s: skipped %zu %s without pictures: \"%s\"%s", where, empties,
                     empties == 1 ? "folder" : "folders", empty, empties == 1 ? "" : " ...");
    if (!status && rule == FOLDERS_BY_NUMBER && !t->numbers && !zero)
        warning_send(
            warn,
            "%s: no folder is class 0, which is wrong if they were counted from 1: they are from 0 here",
            where);
    return status;
}

static mohvit_status order_folders(const class_table *t, class_folder *folders, size_t count,
                                   folder_rule rule, const char *where, mohvit_error *err)
{
    const char *split = find_split(folders, count);
    // Labels would have names count, which they do not where order is asked for.
    const char *instead =
        rule == FOLDERS_BY_ORDER
            ? "leave --classes-by-order out, if they are WordNet ids or labels, or give --truth"
            : "give --labels or --truth";
    for (size_t i = 0; i < count; i++) {
        folders[i].class_index = i;
        if (!folders[i].pictures)
            return error_set(
                err, MOHVIT_ERROR_FORMAT,
                "%s: folder \"%s\" holds no pictures, and folders are classes in the order of their "
                "names, so that it may or may not count; remove it, or %s",
                where, folders[i].name, instead);
    }
    if (count == t->names.count)
        return MOHVIT_OK;
    if (split)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: %zu folder%s cannot be the %zu classes of this model in order; " GIVE_SPLIT,
                         where, count, plural(count), t->names.count, split);
    return error_set(err, MOHVIT_ERROR_FORMAT,
                     "%s: %zu folder%s cannot be the %zu classes of this model in order; %s", where, count,
                     plural(count), t->names.count, instead);
}

/* Whether the names number the folders in another order than that in which they stand: "10" sorts before "2".
 */
static bool numbered_otherwise(const class_table *t, const class_folder *folders, size_t count)
{
    bool otherwise = false;
    for (size_t i = 0; i < count; i++) {
        size_t index;
        if (!class_is_index(folders[i].name, &index))
            index = class_by_name(t, folders[i].name);
        if (index >= CLASS_AMBIGUOUS)
            return false;
        otherwise = otherwise || index != i;
    }
    return otherwise;
}

mohvit_status classes_of_folders(const class_table *t, class_folder *folders, size_t count, folder_rule rule,
                                 const char *where, const warning_sink *warn, mohvit_error *err)
{
    if (rule == FOLDERS_BY_ORDER)
        return order_folders(t, folders, count, rule, where, err);
    if (rule == FOLDERS_BY_NUMBER || !t->made_up)
        return match_folders(t, folders, count, rule, where, warn, err);
    if (numbered_otherwise(t, folders, count))
        return error_set(
            err, MOHVIT_ERROR_FORMAT,
            "%s: the folders are numbers, but not those of their order (\"10\" sorts before \"2\"), so "
            "which class each is remains open: --classes-by-number or --classes-by-order says",
            where);
    mohvit_status status = order_folders(t, folders, count, rule, where, err);
    if (!status)
        warning_send(
            warn,
            "%s: no labels are known: the %zu folders are taken in the order of their names for classes "
            "0 to %zu",
            where, count, count - 1);
    return status;
}

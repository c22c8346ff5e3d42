#include "imgio/dataset/truth.h"

#include "base/json_bounded.h"
#include "base/memory.h"
#include "base/search.h"
#include "imgio/dataset/csv.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Truth ----------------------------------------------------------------------------------- */

typedef struct truth_entry {
    const char *name;
    size_t class_index, line;
    const char *picture_prefix, *picture; /* that it was found for; NULL: none yet */
} truth_entry;

/* A file being read. */
typedef struct truth_reader {
    line_reader lines;
    const class_table *classes;
    truth *t;
    size_t smallest; /* class */
} truth_reader;

static mohvit_status add_entry(truth_reader *r, const char *name, size_t length, size_t class_index,
                               mohvit_error *err)
{
    truth *t = r->t;
    truth_entry *entries = memory_grow(t->entries, t->count, &t->capacity, sizeof *entries);
    if (!entries)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for %zu classes of pictures", t->count);
    t->entries = entries;
    while (name && length > 2 && !strncmp(name, "./", 2)) {
        name += 2;
        length -= 2;
    }
    truth_entry *e = &t->entries[t->count++];
    *e = (truth_entry){.class_index = class_index, .line = r->lines.number};
    r->smallest = class_index < r->smallest ? class_index : r->smallest;
    if (name && !(e->name = arena_copy(&t->strings, name, length)))
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for names of pictures");
    return MOHVIT_OK;
}

/* The class that text is, of a picture whose name has `length` bytes; name NULL: of the next one. */
static mohvit_status add_picture(truth_reader *r, char *name, size_t length, const char *text,
                                 mohvit_error *err)
{
    char where[512];
    size_t class_index, index;
    lines_where(&r->lines, where, sizeof where);
    mohvit_status status = class_parse(r->classes, text, where, &class_index, err);
    r->t->by_number = r->t->by_number && class_is_index(text, &index);
    if (!status && name)
        status = lines_name(&r->lines, name, &length, err);
    return status ? status : add_entry(r, name, length, class_index, err);
}

/* A TAB parts name and class, both of which may then hold blanks; else the first blank does, unless only what
 * follows the last one is a class. */
static mohvit_status take_line(truth_reader *r, mohvit_error *err)
{
    char where[512];
    char *line = r->lines.line, *tab = strchr(line, '\t'), *blank = tab ? tab : strchr(line, ' ');
    lines_where(&r->lines, where, sizeof where);
    if (!blank || blank == line)
        return error_set(
            err, MOHVIT_ERROR_FORMAT,
            "%s: \"%.200s\"; expected a picture's name, a TAB or a blank, and its class; or, as the first "
            "line, a CSV's header such as file_name,label. --truth-in-order reads a class a line",
            where, line);
    char *last = tab ? tab : strrchr(line, ' ');
    size_t any;
    if (last != blank && !class_parse(r->classes, last + 1, where, &any, NULL) &&
        class_parse(r->classes, blank + 1 + strspn(blank + 1, " "), where, &any, NULL))
        blank = last;
    return add_picture(r, line, (size_t)(blank - line), blank + 1 + strspn(blank + 1, "\t "), err);
}

static mohvit_status take_class(truth_reader *r, mohvit_error *err)
{
    return add_picture(r, NULL, 0, r->lines.line, err);
}

// ---- CSV -------------------------------------------------------------------------------------------

enum { MAX_COLUMNS = 256 };

typedef struct columns {
    size_t count, name, class_text;
    size_t names, classes; /* how many may be which */
    bool boxes;            /* Kaggle's PredictionString: a class and four numbers for each box of a picture */
} columns;

/* What their columns are called, as is_one_of compares. */
static const char *const name_words[] = {"filename",  "file",      "imageid", "image",     "id",
                                         "path",      "name",      "img",     "imagepath", "filepath",
                                         "imagename", "imagefile", NULL},
                         *const class_words[] = {"label",      "class",      "category",   "target",
                                                 "classid",    "labelid",    "classname",  "labelname",
                                                 "classindex", "classlabel", "categoryid", "predictionstring",
                                                 "synset",     "wnid",       "wordnetid",  NULL};

static bool is_header(const columns *c)
{
    return c->names && c->classes;
}

/* Whether a header's field is one of words (ended by NULL), whatever its case, blanks and underscores. */
static bool is_one_of(const char *field, const char *const *words)
{
    char plain[32];
    size_t length = 0;
    for (; *field && length + 1 < sizeof plain; field++)
        if (isalnum((unsigned char)*field))
            plain[length++] = (char)tolower((unsigned char)*field);
    plain[length] = '\0';
    while (*words && strcmp(*words, plain) != 0)
        words++;
    return !*field && *words;
}

/* The columns of the first line, if it is a CSV's header: those for a name and for a class are in it. */
static mohvit_status find_columns(columns *c, const line_reader *r, mohvit_error *err)
{
    char *fields[MAX_COLUMNS], *copy = strdup(r->line);
    if (!copy)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory to read it", r->path);
    *c = (columns){0};
    bool whole = csv_split(copy, fields, MAX_COLUMNS, &c->count);
    for (size_t i = 0; whole && i < c->count; i++) {
        if (is_one_of(fields[i], name_words)) {
            c->name = i;
            c->names++;
        } else if (is_one_of(fields[i], class_words)) {
            c->class_text = i;
            c->classes++;
            c->boxes = is_one_of(fields[i], (const char *const[]){"predictionstring", NULL});
        }
    }
    free(copy);
    if (is_header(c) && c->names + c->classes > 2)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: line %zu: the header has %zu column%s that may name a picture and %zu that may "
                         "be its class; leave one of each",
                         r->path, r->number, c->names, plural(c->names), c->classes);
    return MOHVIT_OK;
}

/* A first line that is nothing else, and may be meant as a header. */
static mohvit_status refuse_header(const columns *c, const line_reader *r, mohvit_error *err)
{
    char known[512] = "";
    const char *const *words = c->names ? class_words : name_words;
    for (size_t used = 0; *words; words++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", *words);
    return error_set(
        err, MOHVIT_ERROR_FORMAT,
        "%s: line %zu: \"%.200s\": a CSV's header without a column for %s; expected one called %s "
        "(case, blanks and underscores do not count)",
        r->path, r->number, r->line, c->names ? "the class" : "the name of a picture", known);
}

/* "n01978287 240 170 260 240 n01978287 24 180 230 250" is n01978287; false where it is not that of one class.
 */
static bool class_of_boxes(char *text)
{
    char *class_text = NULL, *rest = NULL;
    size_t i = 0;
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest), i++) {
        if (i % 5 == 0 && class_text && strcmp(class_text, word) != 0)
            return false;
        class_text = i ? class_text : word;
    }
    return i && i % 5 == 0;
}

static mohvit_status take_record(truth_reader *r, const columns *c, mohvit_error *err)
{
    char *fields[MAX_COLUMNS];
    size_t count;
    char where[512], boxes[128];
    bool whole = csv_split(r->lines.line, fields, MAX_COLUMNS, &count);
    lines_where(&r->lines, where, sizeof where);
    if (!whole && count < MAX_COLUMNS)
        return error_set(
            err, MOHVIT_ERROR_FORMAT,
            "%s: field %zu: a quote does not end, or something follows it; expected \"...\" with each "
            "quote within it doubled",
            where, count + 1);
    if (!whole || count != c->count)
        return error_set(
            err, MOHVIT_ERROR_FORMAT,
            "%s: %s%zu field%s; expected %zu, as in the header (a comma within a field wants quotes "
            "around it)",
            where, whole ? "" : "more than ", count, plural(count), c->count);
    if (!*fields[c->name])
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: field %zu is empty; expected the name of a picture",
                         where, c->name + 1);
    snprintf(boxes, sizeof boxes, "%s", fields[c->class_text]);
    if (c->boxes && !class_of_boxes(fields[c->class_text]))
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: \"%s\"; expected boxes of one class: a WordNet id and four numbers for each",
                         where, boxes);
    return add_picture(r, fields[c->name], strlen(fields[c->name]), fields[c->class_text], err);
}

// ---- Whole files -----------------------------------------------------------------------------------

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const truth_entry *)a)->name, ((const truth_entry *)b)->name);
}

/* Leaves one of each name. */
static mohvit_status sort_entries(truth *t, mohvit_error *err)
{
    qsort(t->entries, t->count, sizeof *t->entries, compare_entries);
    size_t kept = 1;
    for (size_t i = 1; i < t->count; i++) {
        const truth_entry *a = &t->entries[kept - 1], *b = &t->entries[i];
        if (strcmp(a->name, b->name) != 0)
            t->entries[kept++] = *b;
        else if (a->class_index != b->class_index)
            return error_set(err, MOHVIT_ERROR_FORMAT,
                             "%s: \"%s\" has class %zu in line %zu and %zu in line %zu", t->path, a->name,
                             a->class_index, a->line, b->class_index, b->line);
    }
    t->count = kept;
    return MOHVIT_OK;
}

/* 50,000 numbers from 1 on are the devkit's ILSVRC2012_validation_ground_truth.txt. */
static mohvit_status check_numbers(const truth_reader *r, const warning_sink *warn, mohvit_error *err)
{
    enum { VALIDATION_PICTURES = 50000 };
    const truth *t = r->t;
    if (!t->by_number || !r->smallest)
        return MOHVIT_OK;
    if (t->count == VALIDATION_PICTURES && r->smallest == 1)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: 50,000 numbers from 1 on. %s", t->path,
                         class_devkit_numbers);
    warning_send(
        warn,
        "%s: no picture has class 0, which is wrong if they were counted from 1: they are from 0 here%s%s",
        t->path, class_count(r->classes) == 1000 ? ". " : "",
        class_count(r->classes) == 1000 ? class_devkit_numbers : "");
    return MOHVIT_OK;
}

static mohvit_status read_lines(truth_reader *r, bool in_order, mohvit_error *err)
{
    bool more, first = true;
    columns c = {0};
    mohvit_status status;
    while (!(status = lines_next(&r->lines, &more, err)) && more) {
        if (!lines_trim(&r->lines))
            continue;
        bool may_be_header = first && !in_order;
        first = false;
        if (may_be_header && (status = find_columns(&c, &r->lines, err)))
            return status;
        if (may_be_header && is_header(&c))
            continue;
        status = is_header(&c) ? take_record(r, &c, err) : in_order ? take_class(r, err) : take_line(r, err);
        if (status == MOHVIT_ERROR_FORMAT && may_be_header && c.names + c.classes && c.count > 1)
            return refuse_header(&c, &r->lines, err);
        if (status)
            return status;
    }
    if (!status && !r->t->count)
        status = error_set(err, MOHVIT_ERROR_FORMAT, "%s: is empty; expected %s", r->lines.path,
                           in_order ? "a class a line" : "lines of a name and a class");
    return status;
}

static mohvit_status read_file(truth **out, const char *path, line_end ends, const class_table *classes,
                               bool in_order, const warning_sink *warn, mohvit_error *err)
{
    truth *t = calloc(1, sizeof *t);
    if (!t)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory to read it", path);
    truth_reader r = {.classes = classes, .t = t, .smallest = SIZE_MAX};
    t->by_number = true;
    mohvit_status status = lines_open(&r.lines, path, ends, err);
    t->path = r.lines.path;
    if (!status)
        status = read_lines(&r, in_order, err);
    if (!status)
        status = check_numbers(&r, warn, err);
    if (!status && !in_order)
        status = sort_entries(t, err);
    lines_close(&r.lines);
    if (status)
        truth_free(t);
    else
        *out = t;
    return status;
}

mohvit_status truth_read(truth **out, const char *path, line_end ends, const class_table *classes,
                         const warning_sink *warn, mohvit_error *err)
{
    return read_file(out, path, ends, classes, false, warn, err);
}

mohvit_status truth_read_in_order(truth **out, const char *path, line_end ends, const class_table *classes,
                                  const warning_sink *warn, mohvit_error *err)
{
    return read_file(out, path, ends, classes, true, warn, err);
}

void truth_free(truth *t)
{
    if (!t)
        return;
    arena_free(&t->strings);
    free(t->entries);
    free(t);
}

/* ---- Finding --------------------------------------------------------------------------------- */

typedef struct name_key {
    const char *name;
    size_t length;
} name_key;

static int compare_to_key(const void *entry, const void *key)
{
    const name_key *k = key;
    return strncmp(((const truth_entry *)entry)->name, k->name, k->length);
}

/* name with `length` bytes; NULL where it is not there. */
static truth_entry *find_name(truth *t, const char *name, size_t length)
{
    const name_key key = {name, length};
    size_t low = search_first(&key, t->entries, t->count, sizeof *t->entries, compare_to_key);
    truth_entry *e = t->entries + low; // the shortest that begins so comes first
    bool found = low < t->count && !strncmp(e->name, name, length) && !e->name[length];
    return found ? e : NULL;
}

/* The whole, else without its ending. */
static truth_entry *find_either(truth *t, const char *name)
{
    while (!strncmp(name, "./", 2))
        name += 2;
    const char *slash = strrchr(name, '/'), *dot = strrchr(slash ? slash : name, '.');
    truth_entry *e = find_name(t, name, strlen(name));
    return e || !dot ? e : find_name(t, name, (size_t)(dot - name));
}

static mohvit_status take_entry(const truth *t, truth_entry *e, const char *prefix, const char *name,
                                const char *path, mohvit_error *err)
{
    char *other = NULL;
    mohvit_status status = MOHVIT_OK;
    if (e->picture && asprintf(&other, "%s%s", e->picture_prefix, e->picture) < 0)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for a path", path);
    if (other && strcmp(other, path) != 0) // a list may name one picture twice
        status = error_set(
            err, MOHVIT_ERROR_FORMAT,
            "%s: line %zu, \"%s\", fits two pictures, %s and %s; expected their paths as they are here",
            t->path, e->line, e->name, other, path);
    free(other);
    e->picture_prefix = prefix;
    e->picture = name;
    return status;
}

mohvit_status truth_find(truth *t, const char *prefix, const char *name, size_t *class_index,
                         mohvit_error *err)
{
    char *path;
    const char *slash = strrchr(name, '/');
    *class_index = CLASS_NONE;
    if (asprintf(&path, "%s%s", prefix, name) < 0)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s%s: no memory for a path", prefix, name);
    truth_entry *e = find_either(t, path);
    if (!e)
        e = find_either(t, name);
    if (!e && slash)
        e = find_either(t, slash + 1);
    mohvit_status status = e ? take_entry(t, e, prefix, name, path, err) : MOHVIT_OK;
    if (e && !status)
        *class_index = e->class_index;
    free(path);
    return status;
}

size_t truth_class_at(const truth *t, size_t index)
{
    return t->entries[index].class_index;
}

size_t truth_unused(const truth *t)
{
    size_t unused = 0;
    for (size_t i = 0; i < t->count; i++)
        unused += !t->entries[i].picture;
    return unused;
}

/* ---- ReaL ------------------------------------------------------------------------------------ */

/* The published file has 50,000 sets with 57,000 classes. */
#define MAX_REAL_SETS   1000000
#define MAX_REAL_VALUES 16000000
#define MAX_REAL_BYTES  ((size_t)64 << 20)

static mohvit_status add_classes(real_labels *r, size_t entry, const json_t *set, const char *path,
                                 const class_table *t, mohvit_error *err)
{
    char where[512];
    size_t first = r->first[entry], count = json_array_size(set);
    if (!json_is_array(set))
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: entry %zu is %s; expected an array of classes", path,
                         entry, json_kind(set));
    for (size_t k = 0; k < count; k++) {
        const json_t *value = json_array_get(set, k);
        json_int_t class_index = json_integer_value(value);
        snprintf(where, sizeof where, "%.*s: entry %zu", (int)sizeof where - 40, path, entry);
        if (!json_is_integer(value) || class_index < 0)
            return error_set(err, MOHVIT_ERROR_FORMAT, "%s: value %zu is %s; expected indices of classes",
                             where, k, json_is_integer(value) ? "below 0" : json_kind(value));
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
                         "%s: is %s; expected a JSON array with an array of classes for each picture", path,
                         json_is_array(root) ? "an empty array" : json_kind(root));
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
    char *text;
    size_t size;
    const char *name;
    json_error_t why;
    real_labels r = {0};
    mohvit_status status = lines_load(&text, &size, path, MAX_REAL_BYTES, &name, err);
    if (status)
        return status;
    json_t *root = json_load_bounded(text, size, MAX_REAL_SETS, MAX_REAL_VALUES, &why);
    free(text);
    if (!root)
        return error_library(err, MOHVIT_ERROR_FORMAT, why.text, "%s: line %d", name, why.line);
    status = take_entries(&r, root, name, t, err);
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

mohvit_status subset_read(bool *chosen, const char *path, line_end ends, const class_table *t,
                          mohvit_error *err)
{
    line_reader r;
    bool more;
    size_t count = 0;
    memset(chosen, 0, class_count(t) * sizeof *chosen);
    mohvit_status status = lines_open(&r, path, ends, err);
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
        status = error_set(err, MOHVIT_ERROR_FORMAT, "%s: is empty; expected a class a line", r.path);
    lines_close(&r);
    return status;
}

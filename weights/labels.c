#include "weights/labels.h"

#include "base/json_bounded.h"
#include "base/lines.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "weights/embedded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LABELS ((size_t)1 << 20)
#define MAX_INDEX  ((size_t)1 << 16) /* of an index in JSON, where each costs more memory */

/* One block holds both arrays of pointers and, after them, text_bytes for the strings; labels_free frees name
 * alone. */
static char *alloc_labels(labels *out, size_t count, size_t text_bytes)
{
    size_t pointers, bytes;
    if (!size_mul(count, 2 * sizeof(char *), &pointers) ||
        __builtin_add_overflow(pointers, text_bytes, &bytes))
        return NULL;
    char **block = malloc(bytes ? bytes : 1);
    if (!block)
        return NULL;
    *out = (labels){.count = count, .name = block, .id = block + count};
    return (char *)block + pointers;
}

mohvit_status labels_copy(labels *out, const labels *from, mohvit_error *err)
{
    char *json = labels_to_json(from);
    if (!json)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for the names of %zu classes", from->count);
    mohvit_status status = labels_from_json(out, json, "labels", err);
    free(json);
    return status;
}

void labels_free(labels *l)
{
    free(l->name);
    *l = (labels){0};
}

// ---- One label -------------------------------------------------------------------------------------

/* n and eight digits. */
static bool is_wordnet_id(const char *text, size_t length)
{
    return length == 9 && text[0] == 'n' && strspn(text + 1, "0123456789") == 8;
}

/* What is wrong with a label `name` or `id TAB name`, or NULL. */
static const char *find_fault(const char *text, size_t length)
{
    if (length == 0)
        return "is empty";
    if (!utf8_valid(text, length))
        return "is not UTF-8";
    const char *tab = memchr(text, '\t', length);
    if (tab && !is_wordnet_id(text, (size_t)(tab - text)))
        return "has no WordNet id, such as n01440764, before its TAB";
    const char *name = tab ? tab + 1 : text;
    if (name == text + length)
        return "has an id but no name";
    for (const char *c = name; c < text + length; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return "has a control character";
    }
    return NULL;
}

/* Copies a label without faults to *text, which is advanced, as label i. */
static void set_label(labels *l, size_t i, const char *label, size_t length, char **text)
{
    char *copy = *text;
    memcpy(copy, label, length);
    copy[length] = '\0';
    *text += length + 1;
    char *tab = strchr(copy, '\t');
    if (tab)
        *tab = '\0';
    l->id[i] = tab ? copy : NULL;
    l->name[i] = tab ? tab + 1 : copy;
}

// ---- JSON ------------------------------------------------------------------------------------------

static mohvit_status check_json(const json_t *array, size_t *text_bytes, const char *name, mohvit_error *err)
{
    *text_bytes = 0;
    if (!json_is_array(array) || json_array_size(array) == 0)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: labels: expected a JSON array of at least one string",
                         name);
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *label = json_array_get(array, i);
        const char *fault = json_is_string(label)
                                ? find_fault(json_string_value(label), json_string_length(label))
                                : "is not a string";
        if (fault)
            return error_set(err, MOHVIT_ERROR_FORMAT, "%s: labels: entry %zu %s", name, i, fault);
        *text_bytes += json_string_length(label) + 1;
    }
    return MOHVIT_OK;
}

static mohvit_status labels_from_array(labels *out, const json_t *array, const char *name, mohvit_error *err)
{
    size_t text_bytes, count = json_array_size(array);
    mohvit_status status = check_json(array, &text_bytes, name, err);
    if (status)
        return status;
    char *to = alloc_labels(out, count, text_bytes);
    if (!to)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for %zu labels", name, count);
    for (size_t i = 0; i < count; i++) {
        const json_t *label = json_array_get(array, i);
        set_label(out, i, json_string_value(label), json_string_length(label), &to);
    }
    return MOHVIT_OK;
}

/* imagenet_class_index.json, {"0": ["n01440764", "tench"], ...}, as an array of labels. */
static mohvit_status index_to_array(json_t *array, const json_t *object, const char *name, mohvit_error *err)
{
    for (size_t i = 0; i < json_object_size(object); i++) {
        char key[24];
        snprintf(key, sizeof key, "%zu", i);
        const json_t *entry = json_object_get(object, key);
        const char *id = json_string_value(json_array_get(entry, 0)),
                   *label = json_string_value(json_array_get(entry, 1));
        if (!id || !label || json_array_size(entry) != 2)
            return error_set(
                err, MOHVIT_ERROR_FORMAT,
                "%s: labels: entry \"%s\" is not [\"WordNet id\", \"name\"]; %zu entries are to be "
                "called \"0\", \"1\" ...",
                name, key, json_object_size(object));
        if (json_array_append_new(array, json_sprintf("%s\t%s", id, label)))
            return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for its labels", name);
    }
    return MOHVIT_OK;
}

mohvit_status labels_from_json(labels *out, const char *json, const char *name, mohvit_error *err)
{
    json_error_t why;
    json_t *array = json_load_bounded(json, strlen(json), 1, MAX_LABELS, &why);
    if (!array)
        return error_library(err, MOHVIT_ERROR_FORMAT, why.text, "%s: labels", name);
    mohvit_status status = labels_from_array(out, array, name, err);
    json_decref(array);
    return status;
}

static mohvit_status labels_from_index(labels *out, const char *json, const char *name, mohvit_error *err)
{
    json_error_t why;
    json_t *array = json_array();
    json_t *object = json_load_bounded(json, strlen(json), MAX_INDEX + 1, 4 * MAX_INDEX, &why);
    mohvit_status status =
        object ? index_to_array(array, object, name, err)
               : error_library(err, MOHVIT_ERROR_FORMAT, why.text, "%s: line %d", name, why.line);
    if (!status)
        status = labels_from_array(out, array, name, err);
    json_decref(object);
    json_decref(array);
    return status;
}

char *labels_to_json(const labels *l)
{
    json_t *array = json_array();
    bool ok = array != NULL;
    for (size_t i = 0; ok && i < l->count; i++) {
        json_t *label = l->id[i] ? json_sprintf("%s\t%s", l->id[i], l->name[i]) : json_string(l->name[i]);
        ok = json_array_append_new(array, label) == 0;
    }
    char *text = ok ? json_dumps(array, JSON_COMPACT) : NULL;
    json_decref(array);
    return text;
}

// ---- Files -----------------------------------------------------------------------------------------

/* Kaggle's LOC_synset_mapping.txt has a blank where other lists have a TAB. */
static void blank_to_tab(char *line)
{
    if (strlen(line) > 9 && line[9] == ' ' && is_wordnet_id(line, 9))
        line[9] = '\t';
}

/* The next line, if it is a label without faults. */
static mohvit_status next_label(line_reader *r, size_t index, bool *more, mohvit_error *err)
{
    mohvit_status status = lines_next(r, more, err);
    if (status)
        return status;
    if (r->number != index + 1 && (*more || r->number > index + 1))
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: line %zu is empty", r->path, index + 1);
    if (!*more)
        return MOHVIT_OK;
    blank_to_tab(r->line);
    const char *fault = find_fault(r->line, strlen(r->line));
    if (fault)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: line %zu %s", r->path, r->number, fault);
    return index < MAX_LABELS
               ? MOHVIT_OK
               : error_set(err, MOHVIT_ERROR_LIMIT, "%s: more than %zu labels", r->path, MAX_LABELS);
}

/* Counts the labels, and checks them; where `out` has room for them, sets them, too. */
static mohvit_status walk_lines(labels *out, char *to, size_t *count, const char *text, size_t length,
                                const char *name, mohvit_error *err)
{
    line_reader r;
    bool more = true;
    mohvit_status status = lines_open_text(&r, text, length, name, err);
    for (*count = 0; !status && more; *count += more) {
        status = next_label(&r, *count, &more, err);
        if (!status && more && out)
            set_label(out, *count, r.line, strlen(r.line), &to);
    }
    lines_close(&r);
    return status;
}

mohvit_status labels_parse(labels *out, const char *text, size_t length, const char *name, mohvit_error *err)
{
    size_t count;
    mohvit_status status = walk_lines(NULL, NULL, &count, text, length, name, err);
    if (status)
        return status;
    if (!count)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: holds no labels", name);
    labels l;
    char *to = alloc_labels(&l, count, length + count); // the last may have no newline to give way to its NUL
    if (!to)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for %zu labels", name, count);
    status = walk_lines(&l, to, &count, text, length, name, err);
    if (status)
        labels_free(&l);
    else
        *out = l;
    return status;
}

/* Names in a file: lines, or one of the two forms that JSON lists of ImageNet's classes have. */
static mohvit_status parse_file(labels *out, const char *text, size_t size, const char *name,
                                mohvit_error *err)
{
    const char *json = text + strspn(text, " \t\r\n");
    if (*json == '{')
        return labels_from_index(out, json, name, err);
    if (*json == '[')
        return labels_from_json(out, json, name, err);
    return labels_parse(out, text, size, name, err);
}

mohvit_status labels_read(labels *out, const char *path, mohvit_error *err)
{
    char *text;
    size_t size;
    const char *name;
    mohvit_status status = lines_load(&text, &size, path, LABELS_MAX_BYTES, &name, err);
    if (status)
        return status;
    status = parse_file(out, text, size, name, err);
    free(text);
    return status;
}

mohvit_status labels_imagenet1k(labels *out, mohvit_error *err)
{
    return labels_parse(out, (const char *)embedded_imagenet1k, embedded_imagenet1k_size(),
                        "ImageNet-1K labels", err);
}

mohvit_status labels_numbered(labels *out, size_t count, mohvit_error *err)
{
    const size_t each = sizeof "class 18446744073709551615";
    size_t bytes;
    char *to = size_mul(count, each, &bytes) ? alloc_labels(out, count, bytes) : NULL;
    if (!to)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for %zu labels", count);
    for (size_t i = 0; i < count; i++, to += each) {
        snprintf(to, each, "class %zu", i);
        out->name[i] = to;
        out->id[i] = NULL;
    }
    return MOHVIT_OK;
}

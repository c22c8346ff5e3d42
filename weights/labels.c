#include "weights/labels.h"

#include "base/file_io.h"
#include "base/json_bounded.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "weights/embedded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LABELS ((size_t)1 << 20)

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

/* n and eight digits, with a TAB behind them. */
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

// ---- Lines -----------------------------------------------------------------------------------------

/* Length of the line at text, and of what ends it. */
static size_t line_length(const char *text, size_t left, size_t *ending)
{
    const char *newline = memchr(text, '\n', left);
    size_t length = newline ? (size_t)(newline - text) : left;
    *ending = newline ? 1 : 0;
    if (newline && length && text[length - 1] == '\r') {
        length--;
        *ending = 2;
    }
    return length;
}

/* Counts and checks the lines. */
static mohvit_status check_lines(const char *text, size_t length, size_t *count, const char *name,
                                 mohvit_error *err)
{
    size_t ending;
    *count = 0;
    for (size_t at = 0; at < length; at += ending) {
        size_t n = line_length(text + at, length - at, &ending);
        const char *fault = find_fault(text + at, n);
        ++*count;
        if (fault)
            return error_set(err, MOHVIT_ERROR_FORMAT, "%s: line %zu %s", name, *count, fault);
        at += n;
    }
    if (*count == 0)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: holds no labels", name);
    if (*count > MAX_LABELS)
        return error_set(err, MOHVIT_ERROR_LIMIT, "%s: %zu labels; at most %zu are read", name, *count,
                         MAX_LABELS);
    return MOHVIT_OK;
}

mohvit_status labels_parse(labels *out, const char *text, size_t length, const char *name, mohvit_error *err)
{
    if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { // the byte order mark of some editors
        text += 3;
        length -= 3;
    }
    size_t count, ending;
    mohvit_status status = check_lines(text, length, &count, name, err);
    if (status)
        return status;
    char *to =
        alloc_labels(out, count, length + count); // a terminator for each, where the last may have no newline
    if (!to)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for %zu labels", name, count);
    for (size_t at = 0, i = 0; i < count; i++, at += ending) {
        size_t n = line_length(text + at, length - at, &ending);
        set_label(out, i, text + at, n, &to);
        at += n;
    }
    return MOHVIT_OK;
}

mohvit_status labels_read(labels *out, const char *path, mohvit_error *err)
{
    char *text;
    size_t size;
    mohvit_status status = file_load_path(&text, &size, path, LABELS_MAX_BYTES, err);
    if (status)
        return status;
    status = labels_parse(out, text, size, path, err);
    free(text);
    return status;
}

mohvit_status labels_imagenet1k(labels *out, mohvit_error *err)
{
    return labels_parse(out, (const char *)embedded_imagenet1k, embedded_imagenet1k_size(),
                        "ImageNet-1K labels", err);
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

mohvit_status labels_from_json(labels *out, const char *json, const char *name, mohvit_error *err)
{
    json_error_t why;
    json_t *array = json_load_bounded(json, strlen(json), 1, MAX_LABELS, &why);
    if (!array)
        return error_library(err, MOHVIT_ERROR_FORMAT, why.text, "%s: labels", name);
    size_t text_bytes, count = json_array_size(array);
    mohvit_status status = check_json(array, &text_bytes, name, err);
    char *to = status ? NULL : alloc_labels(out, count, text_bytes);
    if (!status && !to)
        status = error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory for %zu labels", name, count);
    for (size_t i = 0; !status && i < count; i++) {
        const json_t *label = json_array_get(array, i);
        set_label(out, i, json_string_value(label), json_string_length(label), &to);
    }
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

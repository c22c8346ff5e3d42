#include "imgio/dataset/dataset.h"

#include "base/file_io.h"
#include "imgio/dataset/dataset_source.h"
#include "imgio/dataset/truth.h"
#include "imgio/formats.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct dataset {
    dataset_source *sources; /* (source_count) */
    size_t source_count;
    dataset_item *items; /* (count): the candidates, or those of them that a sample drew */
    size_t count;
    dataset_item *candidates; /* (candidate_count) */
    size_t candidate_count;
    real_labels real;
    arena strings;
};

/* ---- Kinds ----------------------------------------------------------------------------------- */

/* The name of a packer whose output head is, or NULL. */
static const char *packed_with(const uint8_t *head, size_t size)
{
    static const char *const packers[][2] = {
        {"gzip", "\x1f\x8b"}, {"zstd", "\x28\xb5\x2f\xfd"}, {"xz", "\3757zXZ"}, {"bzip2", "BZh"}};
    for (size_t i = 0; i < sizeof packers / sizeof *packers; i++) {
        size_t length = strlen(packers[i][1]);
        if (size >= length && !memcmp(head, packers[i][1], length))
            return packers[i][0];
    }
    return NULL;
}

/* Of a header's 512 bytes, with the checksum field taken for blanks: how every tar, however old, is told. */
static bool is_tar(const uint8_t *head, size_t size)
{
    unsigned sum = 0, stored = 0;
    if (size < 512 || !head[0])
        return false;
    for (size_t i = 0; i < 512; i++)
        sum += i >= 148 && i < 156 ? ' ' : head[i];
    for (size_t i = 148; i < 156; i++)
        if (head[i] >= '0' && head[i] <= '7')
            stored = stored * 8 + (unsigned)(head[i] - '0');
    return sum == stored;
}

static mohvit_status recognise_file(const source_kind **kind, const char *argument, mohvit_error *err)
{
    uint8_t head[512];
    int fd = open(argument, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, "%s", argument);
    ssize_t n = file_read(fd, head, sizeof head);
    close(fd);
    if (n < 0)
        return error_errno(err, "%s", argument);
    size_t size = (size_t)n, length = strlen(argument);
    bool named_tar = length > 4 && !strcmp(argument + length - 4, ".tar");
    const char *packer = packed_with(head, size);
    if (packer)
        return error_set(err, MOHVIT_ERROR_UNSUPPORTED,
                         "%s: is packed with %s, so that no picture in it can be read without all before it; "
                         "unpack it to a plain .tar (pictures do not shrink) or to idx",
                         argument, packer);
    if (is_tar(head, size) || named_tar) {
        *kind = &source_tar;
        return MOHVIT_OK;
    }
    if (memchr(head, 0, size) || picture_begins(head, size))
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: expected a folder, a tar, a list of paths, or idx:IMAGES,LABELS", argument);
    *kind = &source_list;
    return MOHVIT_OK;
}

static mohvit_status recognise(const source_kind **kind, const char *argument, mohvit_error *err)
{
    struct stat st;
    if (!strncmp(argument, "idx:", 4)) {
        *kind = &source_idx;
        return MOHVIT_OK;
    }
    if (stat(argument, &st))
        return error_errno(err, "%s", argument);
    if (S_ISDIR(st.st_mode)) {
        *kind = &source_folder;
        return MOHVIT_OK;
    }
    if (!S_ISREG(st.st_mode))
        return error_set(err, MOHVIT_ERROR_IO, "%s: is neither a folder nor a regular file", argument);
    return recognise_file(kind, argument, err);
}

/* ---- Classes --------------------------------------------------------------------------------- */

static mohvit_status classes_by_label(dataset_source *s, const class_table *t, mohvit_error *err)
{
    bool zero = false;
    char where[4096];
    s->by_number = true;
    for (size_t i = 0; i < s->count; i++) {
        found_item *item = &s->items[i];
        size_t index;
        if (!item->label)
            continue;
        snprintf(where, sizeof where, "%s%s", s->prefix, item->name);
        mohvit_status status = class_parse(t, item->label, where, &item->class_index, err);
        if (status)
            return status;
        s->by_number = s->by_number && class_is_index(item->label, &index);
        zero = zero || item->class_index == 0;
    }
    if (s->by_number && !zero)
        warning_send(s->warn, "%s: no picture has class 0: classes are counted from 0 here", s->argument);
    return MOHVIT_OK;
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorts the folders and leaves one of each. */
static void unique_folders(dataset_source *s)
{
    size_t kept = 0;
    qsort(s->folders, s->folder_count, sizeof *s->folders, compare_strings);
    for (size_t i = 0; i < s->folder_count; i++)
        if (!kept || strcmp(s->folders[kept - 1], s->folders[i]) != 0)
            s->folders[kept++] = s->folders[i];
    s->folder_count = kept;
}

/* Gives items the classes of their folders; *pictures counts for each folder. */
static void take_folders(dataset_source *s, const size_t *classes, size_t *pictures)
{
    for (size_t i = 0; i < s->count; i++) {
        const char *folder = s->items[i].folder;
        if (!folder)
            continue;
        const char **at = bsearch(&folder, s->folders, s->folder_count, sizeof folder, compare_strings);
        size_t index = (size_t)(at - s->folders);
        s->items[i].class_index = classes[index];
        pictures[index]++;
    }
}

static mohvit_status classes_by_folder(dataset_source *s, const class_table *t, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    for (size_t i = 0; !status && i < s->count; i++)
        if (s->items[i].folder && (!i || s->items[i].folder != s->items[i - 1].folder))
            status = source_add_folder(s, s->items[i].folder, err);
    if (status || !s->folder_count)
        return status;
    unique_folders(s);
    size_t *classes = calloc(s->folder_count, sizeof *classes);
    size_t *pictures = calloc(s->folder_count, sizeof *pictures);
    if (!classes || !pictures)
        status = source_no_memory(s, err);
    if (!status)
        status = classes_of_folders(t, s->folders, s->folder_count, s->argument, classes, s->warn, err);
    if (!status)
        take_folders(s, classes, pictures);
    for (size_t i = 0; !status && pictures && i < s->folder_count; i++)
        if (!pictures[i])
            warning_send(s->warn, "%s%s: no pictures in this folder", s->prefix, s->folders[i]);
    free(classes);
    free(pictures);
    return status;
}

/* By number (idx), which only has to be in range. */
static mohvit_status check_range(dataset_source *s, const class_table *t, mohvit_error *err)
{
    char where[4096];
    s->by_number = true;
    for (size_t i = 0; i < s->count; i++) {
        size_t index = s->items[i].class_index;
        if (index == CLASS_NONE || index < class_count(t))
            continue;
        snprintf(where, sizeof where, "%s%s", s->prefix, s->items[i].name);
        return class_out_of_range(t, index, where, err);
    }
    return MOHVIT_OK;
}

/* Of the places that may tell a class, the one that the user names goes first. Pictures that have no need of
 * one are not refused for the names of their folders. */
static mohvit_status find_classes(dataset_source *s, truth *given, const dataset_options *o,
                                  mohvit_error *err)
{
    bool labels = false, folders = false;
    for (size_t i = 0; i < s->count; i++) {
        labels = labels || s->items[i].label;
        folders = folders || s->items[i].folder;
        if (given)
            s->items[i].class_index = truth_find(given, s->items[i].name);
    }
    if (given) {
        s->by_number = given->by_number;
        return MOHVIT_OK;
    }
    if (labels)
        return classes_by_label(s, o->classes, err);
    if (folders && !o->unlabelled && !o->real_labels)
        return classes_by_folder(s, o->classes, err);
    if (folders) {
        mohvit_error unmatched;
        if (classes_by_folder(s, o->classes, &unmatched))
            warning_send(s->warn, "no classes from folders: %s", unmatched.message);
        return MOHVIT_OK;
    }
    return check_range(s, o->classes, err);
}

/* ---- Choosing -------------------------------------------------------------------------------- */

/* The classes of ReaL; false where the picture is not to be scored. */
static mohvit_status take_real(dataset *d, dataset_item *item, bool *keep, mohvit_error *err)
{
    size_t entry = real_labels_find(&d->real, item->name);
    if (entry == CLASS_NONE)
        return error_set(
            err, MOHVIT_ERROR_MISMATCH,
            "%s%s: is not one of the %zu pictures of the ReaL labels, ILSVRC2012_val_00000001 ...",
            d->sources[item->source].prefix, item->name, d->real.count);
    item->accepted = d->real.classes + d->real.first[entry];
    item->accepted_count = d->real.first[entry + 1] - d->real.first[entry];
    *keep = item->accepted_count != 0;
    if (*keep && item->class_index == CLASS_NONE)
        item->class_index = item->accepted[0];
    return MOHVIT_OK;
}

static bool in_subset(const dataset_item *item, const bool *subset)
{
    if (!subset)
        return true;
    for (size_t i = 0; i < item->accepted_count; i++)
        if (subset[item->accepted[i]])
            return true;
    return !item->accepted && (item->class_index == CLASS_NONE || subset[item->class_index]);
}

static mohvit_status gather(dataset *d, const dataset_options *o, mohvit_error *err)
{
    size_t total = 0, outside = 0;
    for (size_t k = 0; k < d->source_count; k++)
        total += d->sources[k].count;
    d->candidates = calloc(total + 1, sizeof *d->candidates);
    if (!d->candidates)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for %zu pictures", total);
    for (size_t k = 0; k < d->source_count; k++) {
        for (size_t i = 0; i < d->sources[k].count; i++) {
            const found_item *f = &d->sources[k].items[i];
            dataset_item item = {f->name, k, f->size, f->mtime, f->place, f->check, f->class_index, NULL, 0};
            bool keep = true;
            mohvit_status status = o->real_labels ? take_real(d, &item, &keep, err) : MOHVIT_OK;
            if (status)
                return status;
            if (!keep)
                continue;
            if (in_subset(&item, o->subset))
                d->candidates[d->candidate_count++] = item;
            else
                outside++;
        }
    }
    if (outside)
        warning_send(&o->warn, "%zu pictures of classes outside the subset are left out", outside);
    return MOHVIT_OK;
}

/* Classes that are called 0, 1, 2 ... and end before the model's may be another list's. */
static mohvit_status compare_numbers(const dataset *d, const dataset_options *o, mohvit_error *err)
{
    size_t count = 0, end = 0;
    bool by_number = o->classes && !o->subset && !o->real_labels;
    for (size_t k = 0; k < d->source_count; k++)
        by_number = by_number && d->sources[k].by_number;
    if (!by_number)
        return MOHVIT_OK;
    size_t classes = class_count(o->classes);
    bool *there = calloc(classes, sizeof *there);
    if (!there)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for %zu classes", classes);
    for (size_t i = 0; i < d->candidate_count; i++) {
        size_t index = d->candidates[i].class_index;
        if (index == CLASS_NONE || there[index])
            continue;
        there[index] = true;
        count++;
        end = index >= end ? index + 1 : end;
    }
    free(there);
    if (count > 1 && count == end && count < classes)
        warning_send(
            &o->warn,
            "the pictures are of %zu classes, 0 to %zu, and the model knows %zu: they are taken for its "
            "first %zu, and any other answer counts as wrong; --subset FILE lets only some compete",
            count, count - 1, classes, count);
    return MOHVIT_OK;
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* The upper half of a · b; where addresses have 32 bits there are no integers of 128. */
static uint64_t multiply_high(uint64_t a, uint64_t b)
{
    const uint64_t lower = UINT32_MAX;
    uint64_t low = (a & lower) * (b & lower), middle = (a >> 32) * (b & lower) + (low >> 32);
    return (a >> 32) * (b >> 32) + (middle >> 32) + (((middle & lower) + (a & lower) * (b >> 32)) >> 32);
}

/* Selection sampling (Knuth, algorithm S): every subset of the size is equally likely, and order stays. */
static mohvit_status choose(dataset *d, const dataset_options *o, mohvit_error *err)
{
    uint64_t state = o->seed;
    size_t total = d->candidate_count;
    d->items = d->candidates;
    d->count = o->limit && o->limit < total ? o->limit : total;
    if (!o->sample || o->sample >= total)
        return MOHVIT_OK;
    d->items = calloc(o->sample, sizeof *d->items);
    if (!d->items)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for %zu pictures", o->sample);
    d->count = 0;
    for (size_t i = 0; i < total; i++) {
        if (multiply_high(next_random(&state), total - i) < o->sample - d->count)
            d->items[d->count++] = d->candidates[i];
    }
    return MOHVIT_OK;
}

static mohvit_status check_classes(const dataset *d, const dataset_options *o, mohvit_error *err)
{
    for (size_t i = 0; !o->unlabelled && i < d->count; i++) {
        const dataset_item *item = &d->items[i];
        if (item->class_index != CLASS_NONE)
            continue;
        const char *prefix = d->sources[item->source].prefix;
        if (o->truth)
            return error_set(err, MOHVIT_ERROR_MISMATCH, "%s%s: has no class: %s does not name it", prefix,
                             item->name, o->truth);
        return error_set(err, MOHVIT_ERROR_MISMATCH,
                         "%s%s: has no class: it is in no class folder and has no label; give --truth FILE",
                         prefix, item->name);
    }
    if (!d->count)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: no pictures%s",
                         d->source_count == 1 ? d->sources[0].argument : "all arguments",
                         o->subset ? " of these classes" : "");
    return MOHVIT_OK;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static mohvit_status scan_sources(dataset *d, char *const *arguments, const dataset_options *o, truth *given,
                                  mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    for (size_t k = 0; !status && k < d->source_count; k++) {
        dataset_source *s = &d->sources[k];
        status = recognise(&s->kind, arguments[k], err);
        if (status)
            break;
        s->strings = &d->strings;
        s->warn = &o->warn;
        s->argument = arena_copy(&d->strings, arguments[k], strlen(arguments[k]));
        status = s->argument ? s->kind->scan(s, err)
                             : error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory", arguments[k]);
        if (!status)
            status = find_classes(s, given, o, err);
    }
    return status;
}

/* What was needed for opening alone. */
static void drop_findings(dataset *d)
{
    for (size_t k = 0; k < d->source_count; k++) {
        dataset_source *s = &d->sources[k];
        free(s->items);
        free(s->folders);
        s->items = NULL;
        s->folders = NULL;
        s->warn = NULL;
    }
}

static mohvit_status fill(dataset *d, char *const *arguments, const dataset_options *o, mohvit_error *err)
{
    truth *given = NULL;
    mohvit_status status = o->truth ? truth_read(&given, o->truth, o->classes, &o->warn, err) : MOHVIT_OK;
    if (!status && o->real_labels)
        status = real_labels_read(&d->real, o->real_labels, o->classes, err);
    if (!status)
        status = scan_sources(d, arguments, o, given, err);
    if (!status)
        status = gather(d, o, err);
    if (!status)
        status = compare_numbers(d, o, err);
    if (!status)
        status = choose(d, o, err);
    if (!status)
        status = check_classes(d, o, err);
    if (!status && given && truth_unused(given))
        warning_send(&o->warn, "%s: %zu of its names are not among the pictures", o->truth,
                     truth_unused(given));
    truth_free(given);
    drop_findings(d);
    return status;
}

mohvit_status dataset_open(dataset **out, char *const *arguments, size_t count, const dataset_options *o,
                           mohvit_error *err)
{
    dataset *d = calloc(1, sizeof *d);
    if (d)
        d->sources = calloc(count + 1, sizeof *d->sources);
    if (!d || !d->sources) {
        free(d);
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for %zu arguments", count);
    }
    d->source_count = count;
    for (size_t k = 0; k < count; k++)
        d->sources[k].fd = -1;
    mohvit_status status = fill(d, arguments, o, err);
    if (status)
        dataset_close(d);
    else
        *out = d;
    return status;
}

void dataset_close(dataset *d)
{
    if (!d)
        return;
    for (size_t k = 0; k < d->source_count; k++) {
        dataset_source *s = &d->sources[k];
        if (s->kind && s->kind->close)
            s->kind->close(s);
        if (s->fd >= 0)
            close(s->fd);
    }
    real_labels_free(&d->real);
    arena_free(&d->strings);
    free(d->sources);
    if (d->items != d->candidates)
        free(d->items);
    free(d->candidates);
    free(d);
}

size_t dataset_count(const dataset *d)
{
    return d->count;
}

const dataset_item *dataset_item_at(const dataset *d, size_t index)
{
    return &d->items[index];
}

size_t dataset_candidates(const dataset *d)
{
    return d->candidate_count;
}

const dataset_item *dataset_candidate_at(const dataset *d, size_t index)
{
    return &d->candidates[index];
}

size_t dataset_sources(const dataset *d)
{
    return d->source_count;
}

bool dataset_has_files(const dataset *d, size_t source)
{
    return d->sources[source].kind->read == source_read_item;
}

const char *dataset_prefix(const dataset *d, size_t source)
{
    return d->sources[source].prefix;
}

/* ---- Reading --------------------------------------------------------------------------------- */

mohvit_status dataset_read(const dataset *d, size_t index, sample *out, mohvit_error *err)
{
    const dataset_item *item = &d->items[index];
    const dataset_source *s = &d->sources[item->source];
    mohvit_error cause;
    mohvit_status status = s->kind->read(s, item, out, &cause);
    return status ? error_set(err, status, "%s%s: %s", s->prefix, item->name, cause.message) : MOHVIT_OK;
}

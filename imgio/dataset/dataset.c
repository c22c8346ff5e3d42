#include "imgio/dataset/dataset.h"

#include "base/file_io.h"
#include "imgio/dataset/dataset_source.h"
#include "imgio/dataset/file_head.h"
#include "imgio/dataset/truth.h"

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
    skipped skipped; /* while opening */
};

/* ---- Kinds ----------------------------------------------------------------------------------- */

static mohvit_status recognise_file(const source_kind **kind, const char *argument, mohvit_error *err)
{
    uint8_t head[FILE_HEAD];
    int fd = open(argument, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, "%s", argument);
    ssize_t n = file_read(fd, head, sizeof head);
    close(fd);
    if (n < 0)
        return error_errno(err, "%s", argument);
    size_t size = (size_t)n, length = strlen(argument);
    bool named_tar = length > 4 && !strcmp(argument + length - 4, ".tar");
    const char *packer = file_head_packer(head, size), *partner = source_idx_partner(argument);
    if (partner)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: is an idx file; expected idx:IMAGES,LABELS, %s",
                         argument, partner);
    if (packer)
        return error_set(err, MOHVIT_ERROR_UNSUPPORTED,
                         "%s: is packed with %s, so that no picture in it can be read without all before it; "
                         "unpack it to a plain .tar (pictures do not shrink)",
                         argument, packer);
    if (file_head_is_tar(head, size) || named_tar)
        *kind = &source_tar;
    return MOHVIT_OK;
}

static mohvit_status recognise(const source_kind **kind, const char *argument, mohvit_error *err)
{
    struct stat st;
    *kind = &source_list;
    if (!strcmp(argument, "-"))
        return MOHVIT_OK;
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
    if (S_ISFIFO(st.st_mode)) // what is read of it is gone
        return MOHVIT_OK;
    if (!S_ISREG(st.st_mode))
        return error_set(err, MOHVIT_ERROR_IO, "%s: is neither a folder nor a regular file nor a pipe",
                         argument);
    return recognise_file(kind, argument, err);
}

/* ---- Classes --------------------------------------------------------------------------------- */

static mohvit_status classes_by_label(dataset_source *s, const class_table *t, mohvit_error *err)
{
    char where[4096];
    s->by_number = true;
    for (size_t i = 0; i < s->count; i++) {
        found_item *item = &s->items[i];
        size_t index;
        if (!item->label)
            continue;
        snprintf(where, sizeof where, "%s%s", s->prefix, item->labeller);
        mohvit_status status = class_parse(t, item->label, where, &item->class_index, err);
        if (status)
            return status;
        s->by_number = s->by_number && class_is_index(item->label, &index);
    }
    return MOHVIT_OK;
}

static int compare_folders(const void *a, const void *b)
{
    return strcmp(((const class_folder *)a)->name, ((const class_folder *)b)->name);
}

/* Sorts the folders and leaves one of each. */
static void unique_folders(dataset_source *s)
{
    size_t kept = 0;
    qsort(s->folders, s->folder_count, sizeof *s->folders, compare_folders);
    for (size_t i = 0; i < s->folder_count; i++)
        if (!kept || strcmp(s->folders[kept - 1].name, s->folders[i].name) != 0)
            s->folders[kept++] = s->folders[i];
    s->folder_count = kept;
}

static class_folder *folder_of(const dataset_source *s, const found_item *item)
{
    const class_folder key = {.name = item->folder};
    return item->folder ? bsearch(&key, s->folders, s->folder_count, sizeof key, compare_folders) : NULL;
}

static mohvit_status classes_by_folder(dataset_source *s, const dataset_options *o, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    for (size_t i = 0; !status && i < s->count; i++)
        if (s->items[i].folder && (!i || s->items[i].folder != s->items[i - 1].folder))
            status = source_add_folder(s, s->items[i].folder, err);
    if (status || !s->folder_count)
        return status;
    unique_folders(s);
    for (size_t i = 0; i < s->count; i++) {
        class_folder *folder = folder_of(s, &s->items[i]);
        if (folder)
            folder->pictures++;
    }
    s->by_number = o->folders == FOLDERS_BY_NUMBER;
    status =
        classes_of_folders(o->classes, s->folders, s->folder_count, o->folders, s->argument, s->warn, err);
    for (size_t i = 0; !status && i < s->count; i++) {
        const class_folder *folder = folder_of(s, &s->items[i]);
        if (folder)
            s->items[i].class_index = folder->class_index;
    }
    return status;
}

/* The one WordNet id among the parts of a name that "_", "-", "." and blanks separate. */
static mohvit_status class_by_name_of(const dataset_source *s, found_item *item, const class_table *t,
                                      mohvit_error *err)
{
    char id[10] = "";
    const char *slash = strrchr(item->name, '/'), *at = slash ? slash + 1 : item->name;
    for (size_t n; *at; at += n + (at[n] != 0)) {
        n = strcspn(at, "_-. ");
        if (n != 9 || *at != 'n' || strspn(at + 1, "0123456789") != 8)
            continue;
        if (*id && strncmp(id, at, n) != 0)
            return error_set(err, MOHVIT_ERROR_FORMAT, "%s%s: has several WordNet ids in its name", s->prefix,
                             item->name);
        memcpy(id, at, n);
    }
    item->class_index = class_by_id(t, id);
    if (item->class_index < CLASS_AMBIGUOUS)
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_MISMATCH,
                     *id ? "%s%s: the WordNet id in its name is not a class of this model"
                         : "%s%s: has no WordNet id, such as n02123045, in its name",
                     s->prefix, item->name);
}

static mohvit_status classes_by_names(dataset_source *s, const class_table *t, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    for (size_t i = 0; !status && i < s->count; i++)
        status = class_by_name_of(s, &s->items[i], t, err);
    return status;
}

static mohvit_status classes_by_truth(dataset_source *s, truth *given, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    s->by_number = given->by_number;
    for (size_t i = 0; !status && i < s->count; i++)
        status = truth_find(given, s->prefix, s->items[i].name, &s->items[i].class_index, err);
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
        snprintf(where, sizeof where, "%s#%s", s->labels, s->items[i].name);
        return class_out_of_range(t, index, where, err);
    }
    return MOHVIT_OK;
}

/* Of the places that may tell a class, the one that the user names goes first. Pictures that have no need of
 * one are not refused for the names of their folders. */
static mohvit_status find_classes(dataset_source *s, truth *given, const dataset_options *o,
                                  mohvit_error *err)
{
    bool folders = false;
    if (o->truth_in_order)
        return MOHVIT_OK; // once all pictures are there
    if (o->from_names)
        return classes_by_names(s, o->classes, err);
    if (given)
        return classes_by_truth(s, given, err);
    for (size_t i = 0; i < s->count; i++)
        folders = folders || s->items[i].folder;
    if (s->as_samples)
        return classes_by_label(s, o->classes, err);
    if (folders && !o->unlabelled && !o->real_labels)
        return classes_by_folder(s, o, err);
    if (folders) {
        mohvit_error unmatched;
        if (classes_by_folder(s, o, &unmatched))
            warning_send(s->warn, "no classes from folders: %s", unmatched.message);
        return MOHVIT_OK;
    }
    return check_range(s, o->classes, err);
}

/* Lists and idx say what their order is. That of a folder or a tar has to be beyond doubt. */
static mohvit_status check_order(const dataset_source *s, mohvit_error *err)
{
    if (s->kind != &source_folder && s->kind != &source_tar)
        return MOHVIT_OK;
    for (size_t i = 1; i < s->count; i++) {
        const char *a = s->items[i - 1].name, *b = s->items[i].name;
        if (strcmp(a, b) > 0)
            return error_set(
                err, MOHVIT_ERROR_MISMATCH,
                "%s%s: stands behind %s, so the order of the pictures is unclear; give names with classes "
                "(--truth)",
                s->prefix, b, a);
        if (strverscmp(a, b) > 0)
            return error_set(
                err, MOHVIT_ERROR_MISMATCH,
                "%s%s: sorts before %s, whose number is smaller, so the order of the pictures is unclear; "
                "give names with classes (--truth), or a list of the pictures in order",
                s->prefix, a, b);
    }
    return MOHVIT_OK;
}

static mohvit_status take_in_order(dataset *d, const truth *given, mohvit_error *err)
{
    size_t total = 0, next = 0;
    for (size_t k = 0; k < d->source_count; k++) {
        mohvit_status status = check_order(&d->sources[k], err);
        if (status)
            return status;
        total += d->sources[k].count;
    }
    if (total != given->count)
        return error_set(err, MOHVIT_ERROR_MISMATCH, "%s: %zu class%s; expected %zu, one for each picture",
                         given->path, given->count, given->count == 1 ? "" : "es", total);
    for (size_t k = 0; k < d->source_count; k++) {
        d->sources[k].by_number = given->by_number;
        for (size_t i = 0; i < d->sources[k].count; i++)
            d->sources[k].items[i].class_index = truth_class_at(given, next++);
    }
    return MOHVIT_OK;
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
    size_t total = 0, found = 0, outside = 0, unsure = 0;
    for (size_t k = 0; k < d->source_count; k++)
        total += d->sources[k].count;
    d->candidates = calloc(total + 1, sizeof *d->candidates);
    if (!d->candidates)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for %zu pictures", total);
    for (size_t k = 0; k < d->source_count; k++) {
        for (size_t i = 0; i < d->sources[k].count; i++) {
            const found_item *f = &d->sources[k].items[i];
            uint64_t mtime = d->sources[k].mtime ? d->sources[k].mtime : f->mtime;
            dataset_item item = {f->name,  k,        found++,        f->size, mtime,
                                 f->place, f->check, f->class_index, NULL,    0};
            bool keep = true;
            mohvit_status status = o->real_labels ? take_real(d, &item, &keep, err) : MOHVIT_OK;
            if (status)
                return status;
            unsure += !keep;
            if (!keep)
                continue;
            if (in_subset(&item, o->subset))
                d->candidates[d->candidate_count++] = item;
            else
                outside++;
        }
    }
    if (unsure)
        warning_send(&o->warn, "%zu picture%s left out, for which the ReaL labels have no class", unsure,
                     unsure == 1 ? " is" : "s are");
    if (outside)
        warning_send(&o->warn, "%zu picture%s of classes outside the subset %s left out", outside,
                     plural(outside), outside == 1 ? "is" : "are");
    return MOHVIT_OK;
}

/* Classes that are called 0, 1, 2 ... and end before the model's may be another list's. */
static mohvit_status compare_numbers(const dataset *d, const dataset_options *o, mohvit_error *err)
{
    size_t count = 0, end = 0;
    bool by_number = o->classes && !o->subset && !o->real_labels, samples = false;
    for (size_t k = 0; k < d->source_count; k++) {
        by_number = by_number && d->sources[k].by_number;
        samples = samples || d->sources[k].as_samples;
    }
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
    if (samples && count && !there[0])
        warning_send(
            &o->warn,
            "no picture has class 0, which is wrong if they were counted from 1: they are from 0 here");
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

/* A picture without a class in a tar that was taken for samples, perhaps for a .cls that strayed into it. */
static mohvit_status refuse_unlabelled(const dataset_source *s, const char *name, mohvit_error *err)
{
    char first[512] = "of a format that is left out";
    size_t labelled = 0;
    for (size_t i = 0; i < s->count; i++)
        if (s->items[i].label && !labelled++)
            snprintf(first, sizeof first, "%s", s->items[i].labeller);
    return error_set(
        err, MOHVIT_ERROR_MISMATCH,
        "%s%s: has no class: %zu of %zu picture%s has a .cls of its key (the first: %s), which makes "
        "this a tar of samples, each with a .cls; give --truth FILE, or, for folders to count, "
        "delete what is called .cls from the tar",
        s->prefix, name, labelled, s->count, plural(s->count), first);
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
                             item->name, lines_title(o->truth));
        if (d->sources[item->source].as_samples)
            return refuse_unlabelled(&d->sources[item->source], item->name, err);
        return error_set(err, MOHVIT_ERROR_MISMATCH,
                         "%s%s: has no class: it is in no class folder and has no label; %sgive --truth FILE",
                         prefix, item->name,
                         d->sources[item->source].folder_count ? "move it away, or " : "");
    }
    if (!d->count)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: no pictures%s",
                         d->source_count == 1 ? d->sources[0].argument : "all arguments",
                         o->subset ? " of these classes" : "");
    return MOHVIT_OK;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static mohvit_status scan_source(dataset_source *s, const char *argument, const dataset_options *o,
                                 mohvit_error *err)
{
    mohvit_status status = recognise(&s->kind, argument, err);
    if (status)
        return status;
    s->warn = &o->warn;
    s->ends = o->null_lists ? LINES_ZERO : o->escaped ? LINES_ESCAPED : LINES_NEWLINE;
    s->find_samples = !o->truth && !o->truth_in_order && !o->from_names && o->folders == FOLDERS_BY_NAME;
    s->image_ext = o->image_ext;
    s->argument = arena_copy(s->strings, argument, strlen(argument));
    return s->argument ? s->kind->scan(s, err)
                       : error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory", argument);
}

static void warn_of_skipped(const skipped *all, const warning_sink *warn)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct skipped_kind *k = &all->kinds[i];
        bool named = k->ending && *k->ending;
        warning_send(warn, "skipped %zu %s%s%s%s: %s%s%s", k->count,
                     k->count == 1 ? "file that is not a picture" : "files that are not pictures",
                     named ? " (." : "", named ? k->ending : "", named ? ")" : "", k->prefix, k->name,
                     k->count == 1 ? "" : " ...");
    }
    const struct skipped_kind *k = &all->specials;
    if (k->count)
        warning_send(warn, "skipped %zu %s: %s%s%s", k->count,
                     k->count == 1 ? "FIFO, socket or device" : "FIFOs, sockets or devices", k->prefix,
                     k->name, k->count == 1 ? "" : " ...");
    k = &all->unnamed;
    if (k->count)
        warning_send(warn, "%zu file%s not called like a picture, but %s like one, and count%s: %s%s%s",
                     k->count, k->count == 1 ? " is" : "s are", k->count == 1 ? "begins" : "begin",
                     k->count == 1 ? "s" : "", k->prefix, k->name, k->count == 1 ? "" : " ...");
}

/* An argument, and what it leads to. */
typedef struct argument_file {
    const char *argument;
    dev_t device;
    ino_t inode;
} argument_file;

static int compare_files(const void *a, const void *b)
{
    const argument_file *x = a, *y = b;
    int order = (x->device > y->device) - (x->device < y->device);
    return order ? order : (x->inode > y->inode) - (x->inode < y->inode);
}

/* Of idx the files of pictures are compared. What comes through a pipe is never the same. */
static mohvit_status warn_of_repeats(char *const *arguments, size_t count, const warning_sink *warn,
                                     mohvit_error *err)
{
    argument_file *files = calloc(count + 1, sizeof *files);
    mohvit_status status =
        files ? MOHVIT_OK : error_set(err, MOHVIT_ERROR_MEMORY, "no memory for %zu arguments", count);
    size_t found = 0;
    for (size_t i = 0; !status && i < count; i++) {
        struct stat st;
        char *images = NULL;
        const char *labels;
        bool idx = source_names_idx(arguments[i], &images, &labels);
        if (idx && !images)
            status = error_set(err, MOHVIT_ERROR_MEMORY, "no memory for %zu arguments", count);
        else if (!stat(idx ? images : arguments[i], &st) && !S_ISFIFO(st.st_mode))
            files[found++] = (argument_file){arguments[i], st.st_dev, st.st_ino};
        free(images);
    }
    if (found)
        qsort(files, found, sizeof *files, compare_files);
    for (size_t i = 1; !status && i < found; i++)
        if (!compare_files(&files[i - 1], &files[i]))
            warning_send(warn, "%s and %s are the same data, which count twice", files[i - 1].argument,
                         files[i].argument);
    free(files);
    return status;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The pictures that lists name are compared by their paths as they stand there. */
static mohvit_status warn_of_repeated_pictures(const dataset *d, const warning_sink *warn, mohvit_error *err)
{
    const char **names = malloc((d->candidate_count + 1) * sizeof *names), *first = NULL;
    size_t found = 0, repeated = 0;
    if (!names)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for %zu pictures", d->candidate_count);
    for (size_t i = 0; i < d->candidate_count; i++)
        if (d->sources[d->candidates[i].source].kind == &source_list)
            names[found++] = d->candidates[i].name;
    qsort(names, found, sizeof *names, compare_names);
    for (size_t i = 1; i < found; i++) {
        bool again = !strcmp(names[i - 1], names[i]);
        repeated += again;
        if (again && !first)
            first = names[i];
    }
    if (repeated)
        warning_send(warn, "%zu line%s of lists repeat%s a picture, which counts again: %s%s", repeated,
                     plural(repeated), repeated == 1 ? "s" : "", first, repeated == 1 ? "" : " ...");
    free(names);
    return MOHVIT_OK;
}

static void warn_of_joined(const dataset *d, const warning_sink *warn)
{
    size_t samples = 0, tars = 0;
    const char *first = NULL;
    for (size_t k = 0; k < d->source_count; k++) {
        samples += d->sources[k].joined;
        tars += d->sources[k].joined != 0;
        if (!first && d->sources[k].joined)
            first = d->sources[k].argument;
    }
    if (samples)
        warning_send(warn,
                     "%s%s: of %zu sample%s, picture and class lie apart; they were joined by their keys",
                     first, tars > 1 ? " and others" : "", samples, plural(samples));
}

static mohvit_status scan_sources(dataset *d, char *const *arguments, const dataset_options *o, truth *given,
                                  left_out *rest, mohvit_error *err)
{
    mohvit_status status = MOHVIT_OK;
    bool samples = false;
    for (size_t k = 0; !status && k < d->source_count; k++) {
        dataset_source *s = &d->sources[k];
        s->strings = &d->strings;
        s->skipped = &d->skipped;
        s->left_out = rest;
        status = scan_source(s, arguments[k], o, err);
        if (!status)
            status = find_classes(s, given, o, err);
        samples = samples || s->as_samples;
    }
    if (!status) {
        warn_of_skipped(&d->skipped, &o->warn);
        warn_of_joined(d, &o->warn);
    }
    if (!status && o->image_ext && !samples)
        status =
            error_set(err, MOHVIT_ERROR_ARGUMENT,
                      "--image-ext %s: no tar of samples (x.cls beside x.jpg), whose pictures it names, is "
                      "among the data; elsewhere a LIST of paths reads pictures with other endings",
                      o->image_ext);
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
        s->skipped = NULL;
        s->left_out = NULL;
    }
}

static mohvit_status fill(dataset *d, char *const *arguments, const dataset_options *o, mohvit_error *err)
{
    truth *given = NULL;
    const line_end ends = o->null_lists ? LINES_EITHER : o->escaped ? LINES_ESCAPED : LINES_NEWLINE;
    left_out rest = {.others = o->skip_other_formats};
    mohvit_status status = MOHVIT_OK;
    if (o->truth)
        status = truth_read(&given, o->truth, ends, o->classes, &o->warn, err);
    else if (o->truth_in_order)
        status = truth_read_in_order(&given, o->truth_in_order, ends, o->classes, &o->warn, err);
    if (!status && o->real_labels)
        status = real_labels_read(&d->real, o->real_labels, o->classes, err);
    if (!status)
        status = warn_of_repeats(arguments, d->source_count, &o->warn, err);
    if (!status)
        status = scan_sources(d, arguments, o, given, &rest, err);
    left_out_warn(&rest, &o->warn);
    if (!status && given && o->truth_in_order)
        status = take_in_order(d, given, err);
    if (!status)
        status = gather(d, o, err);
    if (!status)
        status = warn_of_repeated_pictures(d, &o->warn, err);
    if (!status)
        status = compare_numbers(d, o, err);
    if (!status)
        status = choose(d, o, err);
    if (!status)
        status = check_classes(d, o, err);
    if (!status && o->truth && truth_unused(given))
        warning_send(&o->warn, "%s: %zu of its names %s not among the pictures", lines_title(o->truth),
                     truth_unused(given), truth_unused(given) == 1 ? "is" : "are");
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

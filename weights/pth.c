/* pth.c - reads what torch.save writes (spec 3): a zip whose data.pkl describes tensors as views of storages,
 * and whose entries data/<key> are those storages. */
#include "base/arena.h"
#include "base/memory.h"
#include "weights/container.h"
#include "weights/pickle.h"
#include "weights/pth_zip.h"
#include "weights/torch_objects.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A tensor's elements in its storage; strides and offset in elements. */
typedef struct view {
    const unzip_entry *entry;
    size_t item_size, offset, stride[TENSOR_MAX_RANK];
    bool contiguous;
} view;

typedef struct pth {
    container base;
    pth_zip zip;
    arena names; /* of weight sets and tensors */
    view *views; /* (count) */
    /* The tensor that seek chose: */
    const tensor_info *current;
    const view *current_view;
    unsigned char *window; /* not contiguous: the part of the storage from its first element to its last */
    size_t done;           /* elements of it that were given */
} pth;

/* An expanded tensor (stride 0) may have more elements than its storage, up to 1 GiB of float32. */
#define MAX_EXPANDED ((size_t)1 << 28)

/* Bytes of a storage that are kept while a strided tensor is gathered from them. */
#define MAX_WINDOW ((size_t)1 << 30)

/* Dicts at the top of the file that are searched for tensors. */
#define MAX_SETS ((size_t)256)

static mohvit_status no_memory(const pth *p, mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory", p->base.src->name);
}

// ---- Reading tensors -------------------------------------------------------------------------------

/* Reads the part of the storage that a strided tensor touches. The zip stands at its first element. */
static mohvit_status load_window(pth *p, mohvit_error *err)
{
    size_t last = 0;
    for (size_t i = 0; i < p->current->rank; i++)
        last += (p->current->shape[i] - 1) * p->current_view->stride[i];
    size_t bytes = (last + 1) * p->current_view->item_size;
    if (bytes > MAX_WINDOW)
        return error_set(err, MOHVIT_ERROR_LIMIT,
                         "%s: %s: its elements are spread over %zu bytes of a storage; at most %zu are read",
                         p->base.src->name, p->current->name, bytes, MAX_WINDOW);
    p->window = memory_alloc(bytes, 1);
    return p->window ? pth_zip_read(&p->zip, p->window, bytes, p->current->name, err) : no_memory(p, err);
}

static mohvit_status pth_seek(container *c, size_t index, mohvit_error *err)
{
    pth *p = (pth *)c;
    const tensor_info *t = &c->tensors[index];
    const view *v = &p->views[index];
    free(p->window);
    p->window = NULL;
    p->current = t;
    p->current_view = v;
    p->done = 0;
    if (t->elements == 0)
        return MOHVIT_OK;
    mohvit_status status = pth_zip_seek(&p->zip, v->entry, v->offset * v->item_size, t->name, err);
    return status || v->contiguous ? status : load_window(p, err);
}

/* Copies n elements that lie `stride` bytes apart. A constant size makes each memcpy a load and a store. */
static void gather_run(unsigned char *dst, const unsigned char *src, size_t n, size_t stride,
                       size_t item_size)
{
    switch (item_size) {
    case 2:
        for (size_t i = 0; i < n; i++)
            memcpy(dst + i * 2, src + i * stride, 2);
        break;
    case 4:
        for (size_t i = 0; i < n; i++)
            memcpy(dst + i * 4, src + i * stride, 4);
        break;
    default:
        for (size_t i = 0; i < n; i++)
            memcpy(dst + i * item_size, src + i * stride, item_size);
    }
}

/* The next `count` elements in row-major order out of the window, one run of the last dimension at a time. */
static void gather(pth *p, unsigned char *dst, size_t count)
{
    const tensor_info *t = p->current;
    const view *v = p->current_view;
    const size_t last = t->rank - 1; // a tensor of rank 0 is contiguous
    while (count) {
        size_t at = 0, rest = p->done / t->shape[last], column = p->done % t->shape[last];
        for (size_t i = last; i-- > 0; rest /= t->shape[i])
            at += rest % t->shape[i] * v->stride[i];
        size_t run = t->shape[last] - column;
        run = run < count ? run : count;
        gather_run(dst, p->window + (at + column * v->stride[last]) * v->item_size, run,
                   v->stride[last] * v->item_size, v->item_size);
        dst += run * v->item_size;
        p->done += run;
        count -= run;
    }
}

static mohvit_status pth_next(container *c, void *dst, size_t bytes, mohvit_error *err)
{
    pth *p = (pth *)c;
    if (bytes == 0)
        return MOHVIT_OK;
    if (p->current_view->contiguous)
        return pth_zip_read(&p->zip, dst, bytes, p->current->name, err);
    gather(p, dst, bytes / p->current_view->item_size);
    if (p->done == p->current->elements) {
        free(p->window);
        p->window = NULL;
    }
    return MOHVIT_OK;
}

// ---- From pickled tensors to views -----------------------------------------------------------------

static bool is_contiguous(const torch_tensor *t)
{
    size_t expected = 1;
    for (size_t i = t->info.rank; i-- > 0;) {
        if (t->info.shape[i] != 1 && t->stride[i] != expected)
            return false;
        expected *= t->info.shape[i]; // cannot overflow: the product was checked
    }
    return true;
}

/* Whether every element lies inside the storage. */
static bool fits_storage(const torch_tensor *t)
{
    size_t last = t->offset, step;
    for (size_t i = 0; i < t->info.rank; i++) {
        if (!size_mul(t->info.shape[i] - 1, t->stride[i], &step) || __builtin_add_overflow(last, step, &last))
            return false;
    }
    return last < t->storage_elements;
}

static mohvit_status make_view(pth *p, view *v, torch_tensor *t, mohvit_error *err)
{
    const char *file = p->base.src->name, *name = t->info.name;
    size_t bytes;
    mohvit_status status = tensor_count_elements(&t->info, t->item_size, file, err);
    if (status || t->info.elements == 0)
        return status;
    if (!fits_storage(t))
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: %s: reaches past the end of its storage of %zu elements", file, name,
                         t->storage_elements);
    if (t->info.elements > t->storage_elements && t->info.elements > MAX_EXPANDED)
        return error_set(err, MOHVIT_ERROR_LIMIT, "%s: %s: expands to %zu elements; at most %zu are read",
                         file, name, t->info.elements, MAX_EXPANDED);
    status = pth_zip_find(&p->zip, "data/", t->storage.bytes, t->storage.length, &v->entry, err);
    if (status)
        return status;
    if (!size_mul(t->storage_elements, t->item_size, &bytes) || bytes != v->entry->size)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: %s: its storage of %zu elements of %zu bytes has %llu bytes", file, name,
                         t->storage_elements, t->item_size, (unsigned long long)v->entry->size);
    v->item_size = t->item_size;
    v->offset = t->offset;
    v->contiguous = is_contiguous(t);
    memcpy(v->stride, t->stride, sizeof v->stride);
    return MOHVIT_OK;
}

/* A name as a string. One long string in memory can be the key of many entries, hence the arena's limit. */
static mohvit_status copy_name(const char **copy, pth *p, pickle_text name, mohvit_error *err)
{
    *copy = arena_copy(&p->names, name.bytes, name.length);
    if (*copy)
        return MOHVIT_OK;
    if (errno != EOVERFLOW)
        return no_memory(p, err);
    return error_set(err, MOHVIT_ERROR_LIMIT, "%s: the names of its entries take more than %zu bytes",
                     p->base.src->name, PICKLE_MAX_BYTES);
}

static mohvit_status add_tensor(pth *p, const char *name, const pickle_value *value, mohvit_error *err)
{
    torch_tensor t;
    char place[512];
    snprintf(place, sizeof place, "%s: %s", p->base.src->name, name);
    mohvit_status status = torch_parse_tensor(&t, value, place, err);
    if (status)
        return status;
    t.info.name = name;
    status = make_view(p, &p->views[p->base.count], &t, err);
    p->base.tensors[p->base.count++] = t.info;
    return status;
}

/* An entry that torch made, yet is no plain tensor (quantised, sparse), and an array of numpy's may be
 * weights that are missed. */
static void warn_skipped(const pth *p, const char *name, const pickle_value *value, const warning_sink *warn)
{
    char text[256];
    if (value->kind == PICKLE_CALL &&
        (strstr(torch_describe(text, sizeof text, value), " torch.") || torch_is_numpy(value)))
        warning_send(warn, "%s: %s: is %s, not a plain tensor; skipped", p->base.src->name, name, text);
}

static mohvit_status alloc_tensors(pth *p, const pickle_value *state, mohvit_error *err)
{
    size_t count = 0;
    for (size_t i = 1; i < state->items.count; i += 2)
        count += torch_is_tensor(state->items.at[i]);
    if (count > CONTAINER_MAX_TENSORS)
        return error_set(err, MOHVIT_ERROR_LIMIT, "%s: %zu tensors; at most %zu are read", p->base.src->name,
                         count, CONTAINER_MAX_TENSORS);
    p->base.tensors = calloc(count + 1, sizeof *p->base.tensors); // + 1: none at all is no lack of memory
    p->views = calloc(count + 1, sizeof *p->views);
    return p->base.tensors && p->views ? MOHVIT_OK : no_memory(p, err);
}

static mohvit_status add_tensors(pth *p, const pickle_value *state, const warning_sink *warn,
                                 mohvit_error *err)
{
    mohvit_status status = alloc_tensors(p, state, err);
    // NOLINTNEXTLINE(clang-analyzer-core.NullDereference): choose_set found it
    for (size_t i = 0; !status && i < state->items.count; i += 2) {
        const pickle_value *key = state->items.at[i], *value = state->items.at[i + 1];
        if (key->kind != PICKLE_STRING)
            continue;
        const char *name;
        status = copy_name(&name, p, key->text, err);
        if (status)
            break;
        if (!torch_is_tensor(value))
            warn_skipped(p, name, value, warn);
        else if (strlen(name) != key->text.length)
            status = error_set(err, MOHVIT_ERROR_FORMAT, "%s: %s: the name goes on after a NUL",
                               p->base.src->name, name);
        else
            status = add_tensor(p, name, value, err);
    }
    return status;
}

// ---- Weight sets -----------------------------------------------------------------------------------

/* Notes the weight sets among the values of the top dict: names in base.sets, dicts in states. */
static mohvit_status list_sets(pth *p, const pickle_value *top, const pickle_value *states[MAX_SETS],
                               mohvit_error *err)
{
    p->base.sets = calloc(MAX_SETS, sizeof *p->base.sets);
    if (!p->base.sets)
        return no_memory(p, err);
    mohvit_status status = MOHVIT_OK;
    size_t dicts = 0;
    for (size_t i = 0; !status && top->kind == PICKLE_DICT && i < top->items.count && dicts < MAX_SETS;
         i += 2) {
        const pickle_value *key = top->items.at[i], *value = top->items.at[i + 1];
        if (key->kind != PICKLE_STRING || value->kind != PICKLE_DICT)
            continue;
        dicts++;
        states[p->base.set_count] = torch_state_dict(value);
        if (states[p->base.set_count])
            status = copy_name(&p->base.sets[p->base.set_count++], p, key->text, err);
    }
    return status;
}

static bool choose_name(pth *p, const char *name)
{
    for (size_t i = 0; i < p->base.set_count; i++) {
        // NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): list_sets has set them
        if (strcmp(p->base.sets[i], name) == 0) {
            p->base.chosen = i;
            return true;
        }
    }
    return false;
}

/* Chooses SET by a key "SET.REST". */
static bool choose_beginning(pth *p, const char *key)
{
    for (size_t i = 0; i < p->base.set_count; i++) {
        // NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): list_sets has set them
        size_t length = strlen(p->base.sets[i]);
        if (strncmp(p->base.sets[i], key, length) == 0 && key[length] == '.') {
            p->base.chosen = i;
            p->base.rest = key + length + 1;
            return true;
        }
    }
    return false;
}

/* Picks the dict of tensors to read: the set named by the key or by its beginning, else the first of the
 * three usual names, else tensors that lie bare in the top dict, else a set that is alone. */
static mohvit_status choose_set(pth *p, const pickle_value *top, const pickle_value *states[MAX_SETS],
                                const char *key, const pickle_value **state, mohvit_error *err)
{
    bool bare = torch_state_dict(top) == top;
    if (!p->base.set_count && !bare) {
        char text[512];
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: holds %s", p->base.src->name,
                         torch_no_tensors(text, sizeof text, top));
    }
    bool named = key && (choose_name(p, key) || choose_beginning(p, key));
    if (key && !named)
        p->base.rest = key;
    if (!named)
        named = choose_name(p, "model") || choose_name(p, "model_ema") || choose_name(p, "state_dict");
    if (!named && bare) {
        p->base.set_count = 0; // dicts of tensors beside the tensors are no choice to offer
        *state = top;
        return MOHVIT_OK;
    }
    if (!named && p->base.set_count > 1)
        return container_no_such_set(&p->base, key, err);
    *state = states[p->base.chosen];
    return MOHVIT_OK;
}

// ---- The container ---------------------------------------------------------------------------------

static mohvit_status read_pickle(pth *p, unsigned char **bytes, size_t *size, mohvit_error *err)
{
    const unzip_entry *entry;
    mohvit_status status = pth_zip_find(&p->zip, "", "data.pkl", 8, &entry, err);
    if (!status && entry->size > PICKLE_MAX_BYTES)
        status = error_set(err, MOHVIT_ERROR_LIMIT, "%s: data.pkl has %llu bytes; at most %zu are read",
                           p->base.src->name, (unsigned long long)entry->size, PICKLE_MAX_BYTES);
    if (status)
        return status;
    *size = (size_t)entry->size;
    *bytes = memory_alloc(*size, 1);
    if (!*bytes)
        return no_memory(p, err);
    status = pth_zip_seek(&p->zip, entry, 0, "data.pkl", err);
    return status ? status : pth_zip_read(&p->zip, *bytes, *size, "data.pkl", err);
}

/* The pickle goes when its tensors are known: nothing of it is needed to read them. */
static mohvit_status read_directory(pth *p, const char *key, const warning_sink *warn, mohvit_error *err)
{
    unsigned char *bytes = NULL;
    size_t size = 0;
    pickle *parsed = NULL;
    const pickle_value *states[MAX_SETS] = {0}, *state = NULL;
    char name[512];
    snprintf(name, sizeof name, "%s: data.pkl", p->base.src->name);
    mohvit_status status = read_pickle(p, &bytes, &size, err);
    if (!status)
        status = unpickle(&parsed, bytes, size, name, err);
    if (!status)
        status = list_sets(p, parsed->root, states, err);
    if (!status)
        status = choose_set(p, parsed->root, states, key, &state, err);
    if (!status)
        status = add_tensors(p, state, warn, err);
    pickle_free(parsed);
    free(bytes);
    return status;
}

static void pth_close(container *c)
{
    pth *p = (pth *)c;
    pth_zip_close(&p->zip);
    free(p->window);
    free(p->views);
    arena_free(&p->names);
    free(c->sets);
    free(c->tensors);
    free(p);
}

static const container_ops pth_ops = {
    .format = "pth",
    .seek = pth_seek,
    .next = pth_next,
    .close = pth_close,
};

mohvit_status pth_open(container **out, const byte_source *src, const char *key, const warning_sink *warn,
                       mohvit_error *err)
{
    pth *p = calloc(1, sizeof *p);
    if (!p)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory", src->name);
    p->base.ops = &pth_ops;
    p->base.src = src;
    p->names.limit = PICKLE_MAX_BYTES;
    mohvit_status status = pth_zip_open(&p->zip, src, err);
    if (!status)
        status = read_directory(p, key, warn, err);
    if (status)
        pth_close(&p->base);
    else
        *out = &p->base;
    return status;
}

#include "head_load.h"

#include "checkpoint.h"
#include "json_bounded.h"
#include "safetensors.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION "1"

#define GATE_UNIT ((double)(1 << HEAD_LOAD_GATE_BITS))

// ---- Memory ----------------------------------------------------------------------------------------

static mohvit_status no_memory(mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for the head load of so many classes");
}

static mohvit_status copy_labels(labels *out, const labels *from, mohvit_error *err)
{
    char *text = labels_to_json(from);
    mohvit_status status = text ? labels_from_json(out, text, "class names", err) : no_memory(err);
    free(text);
    return status;
}

/* Zeroes, and −1 for the heads that a block does not have. */
static mohvit_status allocate(head_load *l, mohvit_error *err)
{
    size_t classes = l->config.num_classes, cells;
    if (!size_mul(classes, l->blocks * l->max_heads, &cells))
        return no_memory(err);
    l->images = calloc(classes, sizeof *l->images);
    l->active = calloc(cells, sizeof *l->active);
    l->gate = calloc(cells, sizeof *l->gate);
    l->sources = json_array();
    l->provenance = json_object();
    if (!l->images || !l->active || !l->gate || !l->sources || !l->provenance)
        return no_memory(err);
    for (size_t b = 0; b < l->blocks; b++)
        for (size_t c = 0; c < classes; c++)
            for (size_t h = head_load_describe(l, b).heads; h < l->max_heads; h++)
                l->active[head_load_at(l, c, b, h)] = -1;
    return MOHVIT_OK;
}

mohvit_status head_load_create(head_load **out, const config *c, const labels *names, mohvit_error *err)
{
    if (names->count != c->num_classes)
        return error_set(err, MOHVIT_ERROR_MISMATCH, "%zu class names for %zu classes", names->count,
                         c->num_classes);
    head_load *l = calloc(1, sizeof *l);
    if (!l)
        return no_memory(err);
    l->config = *c;
    l->blocks = config_blocks(c);
    l->max_heads = config_max_heads(c);
    mohvit_status status = copy_labels(&l->names, names, err);
    if (!status)
        status = allocate(l, err);
    if (status)
        head_load_destroy(l);
    else
        *out = l;
    return status;
}

void head_load_destroy(head_load *l)
{
    if (!l)
        return;
    json_decref(l->sources);
    json_decref(l->provenance);
    labels_free(&l->names);
    free(l->images);
    free(l->active);
    free(l->gate);
    free(l);
}

// ---- Asking ----------------------------------------------------------------------------------------

head_load_block head_load_describe(const head_load *l, size_t block)
{
    const config *c = &l->config;
    size_t s = 0, first = 0;
    while (s + 1 < STAGES && block >= first + c->depths[s])
        first += c->depths[s++];
    head_load_block b = {
        .index = block,
        .stage = s,
        .block = block - first,
        .heads = c->num_heads[s],
        .shared = c->shared_head[s],
        .routed = c->routed_head[s],
        .tokens = config_side(c, s) * config_side(c, s),
    };
    b.candidates = b.routed ? b.heads - b.shared : 0;
    b.balanced = b.routed ? (double)b.routed / (double)b.candidates : 0;
    return b;
}

bool head_load_last_routed(const head_load *l, size_t *block)
{
    for (size_t b = l->blocks; b--;) {
        if (head_load_describe(l, b).routed) {
            *block = b;
            return true;
        }
    }
    return false;
}

int64_t head_load_tokens(const head_load *l, size_t class_index, size_t block)
{
    return l->images[class_index] * (int64_t)head_load_describe(l, block).tokens;
}

double head_load_of(const head_load *l, size_t class_index, size_t block, size_t head)
{
    return (double)l->active[head_load_at(l, class_index, block, head)] /
           (double)head_load_tokens(l, class_index, block);
}

double head_load_gate_sum(const head_load *l, size_t class_index, size_t block, size_t head)
{
    return (double)l->gate[head_load_at(l, class_index, block, head)] / GATE_UNIT;
}

// ---- Counting --------------------------------------------------------------------------------------

/* Of a class; its tokens are then below 2^63 at any size of the input. */
#define MAX_IMAGES (INT64_MAX / (CONFIG_MAX_SIZE * CONFIG_MAX_SIZE))

static bool add_checked(int64_t *to, int64_t value)
{
    return !__builtin_add_overflow(*to, value, to);
}

static mohvit_status too_many(const head_load *l, size_t class_index, mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_LIMIT, "class %zu (%s): more tokens than 64 bits can count",
                     class_index, l->names.name[class_index]);
}

bool head_load_units(int64_t *units, double gate_sum)
{
    if (!(fabs(gate_sum) < 0x1p40)) // NaN too
        return false;
    *units = llrint(gate_sum * GATE_UNIT);
    return true;
}

mohvit_status head_load_add(head_load *l, size_t class_index, const int32_t *tokens, const double *gate_sum,
                            mohvit_error *err)
{
    size_t cells = l->blocks * l->max_heads;
    int64_t units = 0;
    if (class_index >= l->config.num_classes)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "class %zu of a model of %zu", class_index,
                         l->config.num_classes);
    for (size_t i = 0; i < cells; i++)
        if (!head_load_units(&units, gate_sum[i]))
            return error_set(err, MOHVIT_ERROR_NONFINITE, "head %zu of block %zu: its gates sum to %g",
                             i % l->max_heads, i / l->max_heads, gate_sum[i]);
    int64_t *active = l->active + class_index * cells, *gate = l->gate + class_index * cells;
    bool fits = add_checked(&l->images[class_index], 1) && l->images[class_index] <= MAX_IMAGES;
    for (size_t i = 0; i < cells; i++) {
        if (tokens[i] < 0) // no such head; active has the −1 already
            continue;
        head_load_units(&units, gate_sum[i]);
        fits &= add_checked(&active[i], tokens[i]);
        fits &= add_checked(&gate[i], units);
    }
    return fits ? MOHVIT_OK : too_many(l, class_index, err);
}

mohvit_status head_load_add_counts(head_load *l, size_t class_index, int64_t images, const int64_t *active,
                                   const int64_t *gate, mohvit_error *err)
{
    size_t cells = l->blocks * l->max_heads, first = class_index * cells;
    bool fits = add_checked(&l->images[class_index], images) && l->images[class_index] <= MAX_IMAGES;
    for (size_t i = 0; i < cells; i++) {
        if (active[i] < 0)
            continue;
        fits &= add_checked(&l->active[first + i], active[i]);
        fits &= add_checked(&l->gate[first + i], gate[i]);
    }
    return fits ? MOHVIT_OK : too_many(l, class_index, err);
}

// ---- Merging ---------------------------------------------------------------------------------------

static json_t *config_object(const config *c)
{
    char *text = config_to_json(c);
    json_t *object = text ? json_loads(text, 0, NULL) : NULL;
    free(text);
    return object;
}

static char *member_text(const json_t *object, const char *key)
{
    return json_dumps(json_object_get(object, key), JSON_COMPACT | JSON_ENCODE_ANY);
}

static mohvit_status report_difference(const char *how, const char *what, const json_t *a, const json_t *b,
                                       const char *a_name, const char *b_name, mohvit_error *err)
{
    char *expected = member_text(a, what), *found = member_text(b, what);
    error_set(err, MOHVIT_ERROR_MISMATCH, "%s: %s than %s: %s is %s, expected %s", b_name, how, a_name, what,
              found ? found : "absent", expected ? expected : "absent");
    free(expected);
    free(found);
    return MOHVIT_ERROR_MISMATCH;
}

static mohvit_status compare_configs(const head_load *a, const head_load *b, const char *a_name,
                                     const char *b_name, mohvit_error *err)
{
    static const char *const keys[] = {"embed_dims", "num_heads",     "depths",          "mlp_ratios",
                                       "sr_ratios",  "shared_head",   "routed_head",     "num_classes",
                                       "img_size",   "pretrain_size", "fixed_pool_size", "dense"};
    json_t *x = config_object(&a->config), *y = config_object(&b->config);
    mohvit_status status = x && y ? MOHVIT_OK : no_memory(err);
    for (size_t i = 0; !status && i < sizeof keys / sizeof *keys; i++) {
        const json_t *p = json_object_get(x, keys[i]), *q = json_object_get(y, keys[i]);
        if ((p || q) && !json_equal(p, q))
            status = report_difference("is of another model", keys[i], x, y, a_name, b_name, err);
    }
    json_decref(x);
    json_decref(y);
    return status;
}

static mohvit_status compare_names(const head_load *a, const head_load *b, const char *a_name,
                                   const char *b_name, mohvit_error *err)
{
    for (size_t i = 0; i < a->names.count; i++)
        if (strcmp(a->names.name[i], b->names.name[i]) != 0)
            return error_set(err, MOHVIT_ERROR_MISMATCH, "%s: class %zu is \"%s\", in %s it is \"%s\"",
                             b_name, i, b->names.name[i], a_name, a->names.name[i]);
    return MOHVIT_OK;
}

/* Which stretch of its data a source is: from `first` to `end` of `of` equal parts. */
typedef struct {
    uint64_t first, end, of;
} stretch;

/* Of "shard": "I/N"; all of the data where there is none. False where it is malformed. */
static bool read_stretch(stretch *s, const json_t *source)
{
    const json_t *shard = json_object_get(source, "shard");
    char tail;
    *s = (stretch){0, 1, 1};
    if (!shard)
        return true;
    if (!json_is_string(shard) || // nine digits: products of two fit
        sscanf(json_string_value(shard), "%9" SCNu64 "/%9" SCNu64 "%c", &s->end, &s->of, &tail) != 2)
        return false;
    s->first = s->end - 1;
    return s->end >= 1 && s->end <= s->of;
}

static bool equal_members(const json_t *a, const json_t *b, const char *key)
{
    const json_t *x = json_object_get(a, key), *y = json_object_get(b, key);
    return (!x && !y) || json_equal(x, y);
}

/* Where the data lie, and what called for them, does not matter. */
static bool same_data(const json_t *a, const json_t *b)
{
    return json_object_get(a, "fingerprint") && equal_members(a, b, "fingerprint") &&
           equal_members(a, b, "images");
}

/* All pictures of the data, where a source is some that were chosen from them. */
static const json_t *candidates(const json_t *source)
{
    const json_t *from = json_object_get(source, "chosen_from");
    return from ? from : source;
}

/* Sources that say nothing may be equal without being the same. Two choices from the same data, or one and
 * the whole, are taken to have pictures in common: the first N have them always. */
static bool overlap(const json_t *a, const json_t *b)
{
    stretch s, t;
    if (!same_data(a, b))
        return same_data(candidates(a), candidates(b)) || (json_object_size(a) && json_equal(a, b));
    return !read_stretch(&s, a) || !read_stretch(&t, b) ||
           (s.first * t.of < t.end * s.of && t.first * s.of < s.end * t.of);
}

static mohvit_status compare_sources(const head_load *a, const head_load *b, const char *a_name,
                                     const char *b_name, mohvit_error *err)
{
    size_t i, j;
    const json_t *p, *q;
    json_array_foreach(a->sources, i, p)
    {
        json_array_foreach(b->sources, j, q)
        {
            if (!overlap(p, q))
                continue;
            char *text = json_dumps(q, JSON_COMPACT);
            error_set(err, MOHVIT_ERROR_ARGUMENT,
                      same_data(p, q) || !json_object_get(q, "fingerprint")
                          ? "%s: has counted what %s has: %s"
                          : "%s: has counted pictures of the same data as %s, chosen in another way: %s",
                      b_name, a_name, text ? text : "");
            free(text);
            return MOHVIT_ERROR_ARGUMENT;
        }
    }
    return MOHVIT_OK;
}

static void name_missing(char *text, size_t size, uint64_t first, uint64_t first_of, uint64_t end,
                         uint64_t end_of)
{
    if (!first)
        first_of = end_of;
    if (end == end_of)
        end = end_of = first_of;
    if (first_of != end_of)
        snprintf(text, size,
                 "from %" PRIu64 "/%" PRIu64 " to %" PRIu64 "/%" PRIu64 " of the pictures are missing", first,
                 first_of, end, end_of);
    else if (first + 1 == end)
        snprintf(text, size, "shard %" PRIu64 "/%" PRIu64 " is missing", end, end_of);
    else
        snprintf(text, size, "shards %" PRIu64 "/%" PRIu64 " to %" PRIu64 "/%" PRIu64 " are missing",
                 first + 1, end_of, end, end_of);
}

bool head_load_missing(const head_load *l, size_t source, bool behind, char *text, size_t size)
{
    const json_t *mine = json_array_get(l->sources, source), *other;
    stretch s, t, before = {0, 0, 1};
    size_t i;
    if (!read_stretch(&s, mine))
        return false;
    json_array_foreach(l->sources, i, other)
    {
        if (!same_data(mine, other) || !read_stretch(&t, other))
            continue;
        if (behind && t.first * s.of >= s.end * t.of)
            return false; // names what is missing before itself
        if (t.end * s.of <= s.first * t.of && t.end * before.of > before.end * t.of)
            before = t;
    }
    if (behind && s.end < s.of)
        name_missing(text, size, s.end, s.of, 1, 1);
    else if (!behind && before.end * s.of < s.first * before.of)
        name_missing(text, size, before.end, before.of, s.first, s.of);
    else
        return false;
    return true;
}

/* Members of the provenance that all parts of a count have in common. */
static mohvit_status compare_provenance(const head_load *a, const head_load *b, const char *const *keys,
                                        const char *a_name, const char *b_name, mohvit_error *err)
{
    for (; *keys; keys++) {
        const json_t *x = json_object_get(a->provenance, *keys), *y = json_object_get(b->provenance, *keys);
        if ((x || y) && !json_equal(x, y))
            return report_difference("was counted otherwise", *keys, a->provenance, b->provenance, a_name,
                                     b_name, err);
    }
    return MOHVIT_OK;
}

static mohvit_status check_same_model(const head_load *a, const head_load *b, const char *a_name,
                                      const char *b_name, bool allow_mixed, mohvit_error *err)
{
    static const char *const model[] = {"weights_hash", "preprocess", "precision",
                                        "subset",       "counted_by", NULL};
    static const char *const hardware[] = {"backend", "instruction_set", NULL};
    mohvit_status status = compare_configs(a, b, a_name, b_name, err);
    if (!status)
        status = compare_provenance(a, b, model, a_name, b_name, err);
    if (!status && !allow_mixed)
        status = compare_provenance(a, b, hardware, a_name, b_name, err);
    return status ? status : compare_names(a, b, a_name, b_name, err);
}

mohvit_status head_load_merge(head_load *to, const head_load *from, const char *to_name,
                              const char *from_name, bool allow_mixed, mohvit_error *err)
{
    mohvit_status status = check_same_model(to, from, to_name, from_name, allow_mixed, err);
    if (!status)
        status = compare_sources(to, from, to_name, from_name, err);
    size_t cells = to->blocks * to->max_heads;
    for (size_t c = 0; !status && c < to->config.num_classes; c++)
        status = head_load_add_counts(to, c, from->images[c], from->active + c * cells,
                                      from->gate + c * cells, err);
    if (!status && json_array_extend(to->sources, from->sources))
        status = no_memory(err);
    return status;
}

// ---- Saving ----------------------------------------------------------------------------------------

enum { IMAGES, TOKENS, ACTIVE, GATE_SUM, TENSORS };

/* The tensors of the file of a model of this config. */
static void file_tensors(tensor_info t[TENSORS], const config *c)
{
    size_t classes = c->num_classes, blocks = config_blocks(c), max_heads = config_max_heads(c);
    t[IMAGES] = (tensor_info){.name = "images", .dtype = DTYPE_I64, .rank = 1, .shape = {classes}};
    t[TOKENS] = (tensor_info){.name = "tokens", .dtype = DTYPE_I64, .rank = 2, .shape = {classes, blocks}};
    t[ACTIVE] =
        (tensor_info){.name = "active", .dtype = DTYPE_I64, .rank = 3, .shape = {classes, blocks, max_heads}};
    t[GATE_SUM] = t[ACTIVE];
    t[GATE_SUM].name = "gate_sum";
    t[GATE_SUM].dtype = DTYPE_F64;
    for (size_t i = 0; i < TENSORS; i++) {
        t[i].elements = 1;
        for (size_t k = 0; k < t[i].rank; k++)
            t[i].elements *= t[i].shape[k];
    }
}

static char *block_names(const head_load *l)
{
    json_t *array = json_array();
    bool ok = array != NULL;
    for (size_t i = 0; ok && i < l->blocks; i++) {
        head_load_block b = head_load_describe(l, i);
        ok = !json_array_append_new(array, json_sprintf("%zu.%zu", b.stage + 1, b.block));
    }
    char *text = ok ? json_dumps(array, JSON_COMPACT) : NULL;
    json_decref(array);
    return text;
}

static mohvit_status create_writer(safetensors_writer **w, const head_load *l, const char *path,
                                   mohvit_error *err)
{
    tensor_info tensors[TENSORS];
    char percent[32], *shape = config_to_json(&l->config), *names = labels_to_json(&l->names);
    char *blocks = block_names(l), *data = json_dumps(l->sources, JSON_COMPACT);
    char *provenance = json_dumps(l->provenance, JSON_COMPACT);
    snprintf(percent, sizeof percent, "%.10g", config_active_percent(&l->config));
    const metadata_entry metadata[] = {
        {"head_load", VERSION},     {"config", shape}, {"class_names", names},
        {"block_names", blocks},    {"data", data},    {"active_heads_percent", percent},
        {"provenance", provenance},
    };
    file_tensors(tensors, &l->config);
    mohvit_status status = shape && names && blocks && data && provenance
                               ? safetensors_writer_create(w, path, tensors, TENSORS, metadata,
                                                           sizeof metadata / sizeof *metadata, err)
                               : no_memory(err);
    free(shape);
    free(names);
    free(blocks);
    free(data);
    free(provenance);
    return status;
}

/* Everything after the images, whose other tensors are not kept as the file has them. */
static mohvit_status add_derived(safetensors_writer *w, const head_load *l, mohvit_error *err)
{
    size_t classes = l->config.num_classes, cells = classes * l->blocks * l->max_heads;
    int64_t *tokens = memory_alloc(classes * l->blocks, sizeof *tokens);
    double *gate = memory_alloc(cells, sizeof *gate);
    mohvit_status status = tokens && gate ? MOHVIT_OK : no_memory(err);
    for (size_t b = 0; !status && b < l->blocks; b++)
        for (size_t c = 0; c < classes; c++)
            tokens[c * l->blocks + b] = head_load_tokens(l, c, b);
    for (size_t i = 0; !status && i < cells; i++)
        gate[i] = (double)l->gate[i] / GATE_UNIT;
    if (!status)
        status = safetensors_writer_add_raw(w, tokens, err);
    if (!status)
        status = safetensors_writer_add_raw(w, l->active, err);
    if (!status)
        status = safetensors_writer_add_raw(w, gate, err);
    free(tokens);
    free(gate);
    return status;
}

mohvit_status head_load_save(const head_load *l, const char *path, mohvit_error *err)
{
    safetensors_writer *w = NULL;
    mohvit_status status = create_writer(&w, l, path, err);
    if (!status)
        status = safetensors_writer_add_raw(w, l->images, err);
    if (!status)
        status = add_derived(w, l, err);
    if (!status)
        return safetensors_writer_finish(w, err);
    safetensors_writer_abort(w);
    return status;
}

// ---- Checking ------------------------------------------------------------------------------------

mohvit_status head_load_check(const head_load *l, size_t c, size_t block, const char *name, mohvit_error *err)
{
    const head_load_block described = head_load_describe(l, block), *b = &described;
    const int64_t *active = l->active + head_load_at(l, c, b->index, 0);
    int64_t tokens = head_load_tokens(l, c, b->index), routed = 0;
    for (size_t h = 0; h < l->max_heads; h++) {
        bool absent = h >= b->heads, shared = !b->routed || h < b->shared;
        bool right = absent   ? active[h] == -1
                     : shared ? active[h] == tokens
                              : active[h] >= 0 && active[h] <= tokens;
        if (!right)
            return error_set(
                err, MOHVIT_ERROR_FORMAT,
                "%s: active: class %zu, block %zu.%zu, head %zu: %lld of %lld tokens; expected %s", name, c,
                b->stage + 1, b->block, h, (long long)active[h], (long long)tokens,
                absent   ? "-1, since there is no such head"
                : shared ? "all, since the head is shared"
                         : "0 to that");
        routed += absent || shared ? 0 : active[h];
    }
    if (routed != tokens * (int64_t)b->routed)
        return error_set(
            err, MOHVIT_ERROR_FORMAT,
            "%s: active: class %zu, block %zu.%zu: routed heads add up to %lld; %lld tokens with %zu "
            "each make %lld",
            name, c, b->stage + 1, b->block, (long long)routed, (long long)tokens, b->routed,
            (long long)(tokens * (int64_t)b->routed));
    return MOHVIT_OK;
}

// ---- Reading ---------------------------------------------------------------------------------------

/* Of "data" and "provenance": a part of the data takes three values or so. */
#define MAX_CONTAINERS 100000
#define MAX_VALUES     1000000

typedef struct {
    checkpoint *cp;
    const char *path;
    mohvit_error *err;
} reader;

static mohvit_status damaged(const reader *r, const char *what)
{
    return error_set(r->err, MOHVIT_ERROR_FORMAT, "%s: %s", r->path, what);
}

static mohvit_status check_version(const reader *r)
{
    const char *version = checkpoint_metadata(r->cp, "head_load");
    if (!version && checkpoint_find(r->cp, "head.weight"))
        return damaged(r, "is a checkpoint; expected a head load, as \"mohvit headload count\" writes it");
    if (!version)
        return damaged(r, "is no head load: its metadata have no \"head_load\"");
    if (strcmp(version, VERSION) != 0)
        return error_set(r->err, MOHVIT_ERROR_UNSUPPORTED,
                         "%s: is a head load of version %s; expected " VERSION, r->path, version);
    return MOHVIT_OK;
}

/* The JSON of a key of the metadata, which must be of this type. */
static mohvit_status read_json(json_t **out, const reader *r, const char *key, json_type type)
{
    json_error_t why;
    const char *text = checkpoint_metadata(r->cp, key);
    json_t *value = text ? json_load_bounded(text, strlen(text), MAX_CONTAINERS, MAX_VALUES, &why) : NULL;
    if (!value || json_typeof(value) != type) {
        json_decref(value);
        return error_set(r->err, MOHVIT_ERROR_FORMAT, "%s: metadata \"%s\": %s", r->path, key,
                         !text   ? "is missing"
                         : value ? "is not of the expected type"
                                 : "is not JSON");
    }
    json_decref(*out);
    *out = value;
    return MOHVIT_OK;
}

static bool is_text(const json_t *value)
{
    return !value || json_is_string(value);
}

/* What is said of the data may be anything, except where the program itself goes by it. */
static mohvit_status check_sources(const reader *r, const head_load *l)
{
    size_t i, k;
    const json_t *source, *prefix;
    stretch part;
    json_array_foreach(l->sources, i, source)
    {
        const json_t *prefixes = json_object_get(source, "prefixes");
        const char *wrong = !json_is_object(source)                            ? "is no object"
                            : prefixes && !json_is_array(prefixes)             ? "its prefixes are no array"
                            : !is_text(json_object_get(source, "source"))      ? "its source is no text"
                            : !is_text(json_object_get(source, "fingerprint")) ? "its fingerprint is no text"
                            : !read_stretch(&part, source) ? "its shard is none; expected I/N"
                                                           : NULL;
        json_array_foreach(prefixes, k, prefix)
        {
            if (!wrong && !json_is_string(prefix))
                wrong = "one of its prefixes is no text";
        }
        if (wrong)
            return error_set(r->err, MOHVIT_ERROR_FORMAT, "%s: metadata \"data\": element %zu: %s", r->path,
                             i, wrong);
    }
    return MOHVIT_OK;
}

static mohvit_status check_tensor(const reader *r, const tensor_info *expected)
{
    const tensor_info *found = checkpoint_find(r->cp, expected->name);
    char is[128], should[128];
    if (!found)
        return error_set(r->err, MOHVIT_ERROR_FORMAT, "%s: %s: is missing", r->path, expected->name);
    if (found->dtype != expected->dtype)
        return error_set(r->err, MOHVIT_ERROR_FORMAT, "%s: %s: is %s, expected %s", r->path, expected->name,
                         tensor_dtype_name(found->dtype), tensor_dtype_name(expected->dtype));
    if (found->rank != expected->rank ||
        memcmp(found->shape, expected->shape, found->rank * sizeof *found->shape) != 0)
        return error_set(r->err, MOHVIT_ERROR_MISMATCH, "%s: %s: shape %s does not fit the config: %s",
                         r->path, expected->name, tensor_shape_text(is, sizeof is, found->rank, found->shape),
                         tensor_shape_text(should, sizeof should, expected->rank, expected->shape));
    return MOHVIT_OK;
}

/* The tensors against the config: before the memory for so many classes is asked for. */
static mohvit_status check_tensors(const reader *r, const config *c)
{
    tensor_info tensors[TENSORS];
    mohvit_status status = MOHVIT_OK;
    file_tensors(tensors, c);
    for (size_t i = 0; !status && i < TENSORS; i++)
        status = check_tensor(r, &tensors[i]);
    return status;
}

/* An empty head load of the file's config and class names. */
static mohvit_status read_description(head_load **out, const reader *r)
{
    config c;
    labels names;
    const char *text = checkpoint_metadata(r->cp, "config");
    const char *classes = checkpoint_metadata(r->cp, "class_names");
    if (!text || !classes)
        return damaged(r, text ? "metadata \"class_names\": is missing" : "metadata \"config\": is missing");
    mohvit_status status = config_from_json(&c, text, strlen(text), r->path, r->err);
    if (!status)
        status = check_tensors(r, &c);
    if (!status)
        status = labels_from_json(&names, classes, r->path, r->err);
    if (status)
        return status;
    if (names.count != c.num_classes)
        status = error_set(r->err, MOHVIT_ERROR_MISMATCH, "%s: %zu class names; its config has %zu classes",
                           r->path, names.count, c.num_classes);
    else
        status = head_load_create(out, &c, &names, r->err);
    labels_free(&names);
    return status;
}

static mohvit_status read_raw(const reader *r, const char *name, void *to)
{
    return checkpoint_read_raw(r->cp, checkpoint_find(r->cp, name), to, r->err);
}

/* gate_sum back into fixed point; a sum that no count can have made is damage. */
static mohvit_status read_gates(const reader *r, head_load *l)
{
    size_t cells = l->config.num_classes * l->blocks * l->max_heads;
    double *sums = memory_alloc(cells, sizeof *sums);
    mohvit_status status = sums ? read_raw(r, "gate_sum", sums) : no_memory(r->err);
    for (size_t i = 0; !status && i < cells; i++) {
        double units = sums[i] * GATE_UNIT;
        if (!(units >= 0 && units < 0x1p63) || units != floor(units))
            status = error_set(r->err, MOHVIT_ERROR_FORMAT,
                               "%s: gate_sum: element %zu is %g; expected a multiple of 2^-%d, at least 0",
                               r->path, i, sums[i], HEAD_LOAD_GATE_BITS);
        else
            l->gate[i] = (int64_t)units;
    }
    free(sums);
    return status;
}

static mohvit_status read_tokens(const reader *r, const head_load *l)
{
    size_t classes = l->config.num_classes;
    int64_t *tokens = memory_alloc(classes * l->blocks, sizeof *tokens);
    mohvit_status status = tokens ? read_raw(r, "tokens", tokens) : no_memory(r->err);
    for (size_t c = 0; !status && c < classes; c++) {
        if (l->images[c] < 0 || l->images[c] > MAX_IMAGES)
            status = error_set(r->err, MOHVIT_ERROR_FORMAT, "%s: images: class %zu has %lld", r->path, c,
                               (long long)l->images[c]);
        for (size_t b = 0; !status && b < l->blocks; b++)
            if (tokens[c * l->blocks + b] != head_load_tokens(l, c, b))
                status = error_set(r->err, MOHVIT_ERROR_FORMAT,
                                   "%s: tokens: class %zu, block %zu: %lld; its %lld images have %lld",
                                   r->path, c, b, (long long)tokens[c * l->blocks + b],
                                   (long long)l->images[c], (long long)head_load_tokens(l, c, b));
    }
    free(tokens);
    return status;
}

static mohvit_status check_counts(const reader *r, const head_load *l)
{
    mohvit_status status = MOHVIT_OK;
    for (size_t b = 0; !status && b < l->blocks; b++)
        for (size_t c = 0; !status && c < l->config.num_classes; c++)
            status = head_load_check(l, c, b, r->path, r->err);
    return status;
}

static mohvit_status read_all(head_load **out, const reader *r)
{
    mohvit_status status = check_version(r);
    if (!status)
        status = read_description(out, r);
    if (!status)
        status = read_json(&(*out)->sources, r, "data", JSON_ARRAY);
    if (!status)
        status = check_sources(r, *out);
    if (!status)
        status = read_json(&(*out)->provenance, r, "provenance", JSON_OBJECT);
    if (!status)
        status = read_raw(r, "images", (*out)->images);
    if (!status)
        status = read_tokens(r, *out);
    if (!status)
        status = read_raw(r, "active", (*out)->active);
    if (!status)
        status = check_counts(r, *out);
    return status ? status : read_gates(r, *out);
}

mohvit_status head_load_open(head_load **out, const char *path, mohvit_error *err)
{
    head_load *l = NULL;
    reader r = {.path = path, .err = err};
    mohvit_status status = checkpoint_open(&r.cp, path, NULL, NULL, err);
    if (status)
        return status;
    status = read_all(&l, &r);
    checkpoint_close(r.cp);
    if (status)
        head_load_destroy(l);
    else
        *out = l;
    return status;
}

#include "vit/headload/head_load.h"

#include "base/memory.h"
#include "weights/checkpoint.h"
#include "weights/safetensors_writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION "1"

// ---- Saving ----------------------------------------------------------------------------------------

enum {
    IMAGES,
    TOKENS,
    ACTIVE,
    GATE_SUM,
    ACTIVE_SQUARES, /* from here on only where there are squares; */
    GATE_SQUARES,
    HALF_IMAGES,
    HALF_ACTIVE,
    TOGETHER, /* only where there are pairs */
    TENSORS
};

/* All that a file may have. */
static void file_tensors(tensor_info t[TENSORS], const routing_layout *routing, size_t classes)
{
    size_t blocks = routing->count, max_heads = routing->max_heads;
    t[IMAGES] = (tensor_info){.name = "images", .dtype = DTYPE_I64, .rank = 1, .shape = {classes}};
    t[TOKENS] = (tensor_info){.name = "tokens", .dtype = DTYPE_I64, .rank = 2, .shape = {classes, blocks}};
    t[ACTIVE] =
        (tensor_info){.name = "active", .dtype = DTYPE_I64, .rank = 3, .shape = {classes, blocks, max_heads}};
    t[GATE_SUM] = t[ACTIVE];
    t[GATE_SUM].name = "gate_sum";
    t[GATE_SUM].dtype = DTYPE_F64;
    t[ACTIVE_SQUARES] = t[GATE_SQUARES] = t[HALF_ACTIVE] = t[ACTIVE];
    t[HALF_IMAGES] = t[IMAGES];
    t[HALF_IMAGES].name = "half_images";
    t[HALF_ACTIVE].name = "half_active";
    t[ACTIVE_SQUARES].name = "active_squares";
    t[GATE_SQUARES].name = "gate_squares";
    t[TOGETHER] = (tensor_info){
        .name = "together", .dtype = DTYPE_I64, .rank = 3, .shape = {blocks, max_heads, max_heads}};
    for (size_t i = 0; i < TENSORS; i++) {
        t[i].elements = 1;
        for (size_t k = 0; k < t[i].rank; k++)
            t[i].elements *= t[i].shape[k];
    }
}

static bool is_wanted(size_t tensor, bool squares, bool together)
{
    return tensor < ACTIVE_SQUARES || (tensor == TOGETHER ? together : squares);
}

static char *block_names(const head_load *l)
{
    json_t *array = json_array();
    bool ok = array != NULL;
    for (size_t i = 0; ok && i < l->routing.count; i++)
        ok = !json_array_append_new(array, json_string(l->routing.blocks[i].name));
    char *text = ok ? json_dumps(array, JSON_COMPACT) : NULL;
    json_decref(array);
    return text;
}

#define METADATA 8

/* What a file says, wherever it goes. */
typedef struct {
    tensor_info tensors[TENSORS];
    const void *data[TENSORS];
    size_t count; /* of tensors */
    metadata_entry metadata[METADATA];
    char percent[32], *texts[METADATA]; /* of the metadata, those that are malloc'd */
    int64_t *tokens, *pairs;            /* of the data, what a head load does not hold as it is */
    double *gate;
} file_content;

static void content_free(file_content *f)
{
    for (size_t i = 0; i < METADATA; i++)
        free(f->texts[i]);
    free(f->tokens);
    free(f->pairs);
    free(f->gate);
}

static mohvit_status make_metadata(file_content *f, const head_load *l, mohvit_error *err)
{
    static const char *const keys[METADATA] = {
        "head_load", "config", "routing", "class_names", "block_names", "data", "active_heads_percent",
        "provenance"};
    json_t *layout = routing_layout_to_json(&l->routing);
    snprintf(f->percent, sizeof f->percent, "%.10g", routing_layout_active_percent(&l->routing));
    f->texts[1] = json_dumps(l->config, JSON_COMPACT);
    f->texts[2] = json_dumps(layout, JSON_COMPACT);
    f->texts[3] = labels_to_json(&l->names);
    f->texts[4] = block_names(l);
    f->texts[5] = json_dumps(l->sources, JSON_COMPACT);
    f->texts[7] = json_dumps(l->provenance, JSON_COMPACT);
    json_decref(layout);
    for (size_t i = 0; i < METADATA; i++) {
        const char *value = i == 0 ? VERSION : i == 6 ? f->percent : f->texts[i];
        if (!value)
            return head_load_no_memory(err);
        f->metadata[i] = (metadata_entry){keys[i], value};
    }
    return MOHVIT_OK;
}

/* Element (block, i, j) of the file's tensor. */
static size_t pair_at(const head_load *l, size_t block, size_t i, size_t j)
{
    return (block * l->routing.max_heads + i) * l->routing.max_heads + j;
}

/* (blocks, max_heads, max_heads), of a head load that has pairs; NULL without memory. */
static int64_t *pairs_of_file(const head_load *l)
{
    size_t n = l->routing.max_heads, cells = l->routing.count * n * n;
    int64_t *pairs = memory_alloc(cells, sizeof *pairs);
    for (size_t i = 0; pairs && i < cells; i++)
        pairs[i] = -1;
    for (size_t b = 0; pairs && b < l->routing.count; b++) {
        const int64_t *together = head_load_together(l, b);
        size_t heads = l->routing.blocks[b].heads;
        for (size_t i = 0; i < heads; i++)
            memcpy(pairs + pair_at(l, b, i, 0), together + i * heads, heads * sizeof *pairs);
    }
    return pairs;
}

/* To be freed after a failure, too. */
static mohvit_status content_make(file_content *f, const head_load *l, mohvit_error *err)
{
    size_t classes = l->names.count, blocks = l->routing.count,
           cells = classes * blocks * l->routing.max_heads;
    *f = (file_content){
        .tokens = memory_alloc(classes * blocks, sizeof *f->tokens),
        .gate = memory_alloc(cells, sizeof *f->gate),
        .pairs = l->together ? pairs_of_file(l) : NULL,
    };
    if (!f->tokens || !f->gate || (l->together && !f->pairs))
        return head_load_no_memory(err);
    for (size_t b = 0; b < blocks; b++)
        for (size_t c = 0; c < classes; c++)
            f->tokens[c * blocks + b] = head_load_tokens(l, c, b);
    for (size_t i = 0; i < cells; i++)
        f->gate[i] = (double)l->gate[i] / HEAD_LOAD_GATE_UNIT;
    const void *const data[TENSORS] = {l->images,      f->tokens,         l->active,
                                       f->gate,        l->active_squares, l->gate_squares,
                                       l->half_images, l->half_active,    f->pairs};
    tensor_info tensors[TENSORS];
    file_tensors(tensors, &l->routing, classes);
    for (size_t i = 0; i < TENSORS; i++)
        if (is_wanted(i, l->has_squares, l->together)) {
            f->tensors[f->count] = tensors[i];
            f->data[f->count++] = data[i];
        }
    return make_metadata(f, l, err);
}

mohvit_status head_load_save(const head_load *l, const char *path, mohvit_error *err)
{
    file_content f;
    safetensors_writer *w = NULL;
    mohvit_status status = content_make(&f, l, err);
    if (!status)
        status = safetensors_writer_create(&w, path, f.tensors, f.count, f.metadata, METADATA, err);
    for (size_t i = 0; !status && i < f.count; i++)
        status = safetensors_writer_add_raw(w, f.data[i], err);
    content_free(&f);
    return safetensors_writer_finish(w, status, err);
}

static size_t tensor_bytes(const tensor_info *t)
{
    return t->elements * tensor_dtype_size(t->dtype);
}

mohvit_status head_load_save_memory(const head_load *l, void **data, size_t *size, mohvit_error *err)
{
    file_content f;
    unsigned char *header = NULL, *file = NULL;
    size_t end = 0, total;
    mohvit_status status = content_make(&f, l, err);
    if (!status)
        status = safetensors_header(&header, &end, f.tensors, f.count, f.metadata, METADATA, err);
    total = end;
    for (size_t i = 0; !status && i < f.count; i++)
        total += tensor_bytes(&f.tensors[i]); // safetensors_header has seen that they fit
    if (!status && !(file = realloc(header, total)))
        status = head_load_no_memory(err);
    for (size_t i = 0; file && i < f.count; i++) {
        memcpy(file + end, f.data[i], tensor_bytes(&f.tensors[i]));
        end += tensor_bytes(&f.tensors[i]);
    }
    content_free(&f);
    if (status) {
        free(header);
    } else {
        *data = file;
        *size = total;
    }
    return status;
}

// ---- Reading ---------------------------------------------------------------------------------------

typedef struct {
    checkpoint *cp;
    const char *path;
    layout_of_config *of_config;
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
        return damaged(r, "is not a head load: its metadata have no \"head_load\"");
    if (strcmp(version, VERSION) != 0)
        return error_set(r->err, MOHVIT_ERROR_UNSUPPORTED,
                         "%s: is a head load of version %s; expected " VERSION, r->path, version);
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
        const char *wrong = !json_is_object(source)                       ? "is not an object"
                            : prefixes && !json_is_array(prefixes)        ? "its prefixes are not an array"
                            : !is_text(json_object_get(source, "source")) ? "its source is not text"
                            : !is_text(json_object_get(source, "fingerprint")) ? "its fingerprint is not text"
                            : !stretch_of(&part, source) ? "its shard is none; expected I/N"
                                                         : NULL;
        json_array_foreach(prefixes, k, prefix)
        {
            if (!wrong && !json_is_string(prefix))
                wrong = "one of its prefixes is not text";
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
        return error_set(r->err, MOHVIT_ERROR_MISMATCH,
                         "%s: %s: shape %s does not fit its classes, blocks and heads: %s", r->path,
                         expected->name, tensor_shape_text(is, sizeof is, found->rank, found->shape),
                         tensor_shape_text(should, sizeof should, expected->rank, expected->shape));
    return MOHVIT_OK;
}

/* An empty head load of the file's model and class names. */
static mohvit_status read_description(head_load **out, const reader *r)
{
    json_t *config = NULL, *layout = NULL;
    routing_layout routing = {0};
    labels names = {0};
    tensor_info tensors[TENSORS];
    const char *classes = checkpoint_metadata(r->cp, "class_names");
    mohvit_status status = checkpoint_metadata_json(&config, r->cp, "config", JSON_OBJECT, r->err);
    if (!status && !classes)
        status = damaged(r, "metadata \"class_names\": is missing");
    if (!status && checkpoint_metadata(r->cp, "routing"))
        status = checkpoint_metadata_json(&layout, r->cp, "routing", JSON_OBJECT, r->err);
    if (!status)
        status = routing_layout_read(&routing, layout, config, r->of_config, r->path, r->err);
    if (!status)
        status = labels_from_json(&names, classes, r->path, r->err);
    bool squares = false, together = checkpoint_find(r->cp, "together");
    if (!status)
        file_tensors(tensors, &routing, names.count);
    for (size_t i = ACTIVE_SQUARES; !status && i < TOGETHER; i++)
        squares = squares || checkpoint_find(r->cp, tensors[i].name);
    for (size_t i = 0; !status && i < TENSORS; i++) // before the memory for so many is asked for
        if (is_wanted(i, squares, together))
            status = check_tensor(r, &tensors[i]);
    if (!status)
        status = head_load_create(out, &routing, config, &names, r->err);
    if (!status && together)
        status = head_load_begin_together(*out, r->err);
    if (!status)
        (*out)->has_squares = squares;
    json_decref(config);
    json_decref(layout);
    routing_layout_free(&routing);
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
    size_t cells = l->names.count * l->routing.count * l->routing.max_heads;
    double *sums = memory_alloc(cells, sizeof *sums);
    if (!sums)
        return head_load_no_memory(r->err);
    mohvit_status status = read_raw(r, "gate_sum", sums);
    for (size_t i = 0; !status && i < cells; i++) {
        double units = sums[i] * HEAD_LOAD_GATE_UNIT;
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
    size_t classes = l->names.count;
    int64_t *tokens = memory_alloc(classes * l->routing.count, sizeof *tokens);
    if (!tokens)
        return head_load_no_memory(r->err);
    mohvit_status status = read_raw(r, "tokens", tokens);
    for (size_t c = 0; !status && c < classes; c++) {
        if (l->images[c] < 0 || l->images[c] > HEAD_LOAD_MAX_IMAGES)
            status = error_set(r->err, MOHVIT_ERROR_FORMAT, "%s: images: class %zu has %lld", r->path, c,
                               (long long)l->images[c]);
        for (size_t b = 0; !status && b < l->routing.count; b++)
            if (tokens[c * l->routing.count + b] != head_load_tokens(l, c, b))
                status = error_set(r->err, MOHVIT_ERROR_FORMAT,
                                   "%s: tokens: class %zu, block %zu: %lld; its %lld images have %lld",
                                   r->path, c, b, (long long)tokens[c * l->routing.count + b],
                                   (long long)l->images[c], (long long)head_load_tokens(l, c, b));
    }
    free(tokens);
    return status;
}

/* And halves. */
static mohvit_status read_squares(const reader *r, head_load *l)
{
    mohvit_status status = read_raw(r, "active_squares", l->active_squares);
    if (!status)
        status = read_raw(r, "gate_squares", l->gate_squares);
    if (!status)
        status = read_raw(r, "half_images", l->half_images);
    return status ? status : read_raw(r, "half_active", l->half_active);
}

static mohvit_status read_together(const reader *r, head_load *l)
{
    size_t n = l->routing.max_heads;
    int64_t *pairs = memory_alloc(l->routing.count * n * n, sizeof *pairs);
    if (!pairs)
        return head_load_no_memory(r->err);
    mohvit_status status = read_raw(r, "together", pairs);
    for (size_t b = 0; !status && b < l->routing.count; b++) {
        int64_t *together = head_load_together(l, b);
        size_t heads = l->routing.blocks[b].heads;
        for (size_t i = 0; !status && i < n; i++) {
            for (size_t j = 0; !status && j < n; j++) {
                int64_t value = pairs[pair_at(l, b, i, j)];
                if (i < heads && j < heads)
                    together[i * heads + j] = value;
                else if (value != -1)
                    status = error_set(r->err, MOHVIT_ERROR_FORMAT,
                                       "%s: together: block %s, heads %zu and %zu: %lld; expected -1, since "
                                       "there are no such heads",
                                       r->path, l->routing.blocks[b].name, i, j, (long long)value);
            }
        }
    }
    free(pairs);
    return status;
}

static mohvit_status read_all(head_load **out, const reader *r)
{
    mohvit_status status = check_version(r);
    if (!status)
        status = read_description(out, r);
    if (!status)
        status = checkpoint_metadata_json(&(*out)->sources, r->cp, "data", JSON_ARRAY, r->err);
    if (!status)
        status = check_sources(r, *out);
    if (!status)
        status = checkpoint_metadata_json(&(*out)->provenance, r->cp, "provenance", JSON_OBJECT, r->err);
    if (!status)
        status = read_raw(r, "images", (*out)->images);
    if (!status)
        status = read_tokens(r, *out);
    if (!status)
        status = read_raw(r, "active", (*out)->active);
    if (!status)
        status = read_gates(r, *out);
    if (!status && (*out)->has_squares)
        status = read_squares(r, *out);
    if (!status && (*out)->together)
        status = read_together(r, *out);
    for (size_t b = 0; !status && b < (*out)->routing.count; b++)
        for (size_t c = 0; !status && c < (*out)->names.count; c++)
            status = head_load_check(*out, c, b, r->path, r->err);
    for (size_t b = 0; !status && (*out)->together && b < (*out)->routing.count; b++)
        status = head_load_check_together(*out, b, r->path, r->err);
    return status;
}

/* Closes the checkpoint. */
static mohvit_status read_and_close(head_load **out, const reader *r)
{
    head_load *l = NULL;
    mohvit_status status = read_all(&l, r);
    checkpoint_close(r->cp);
    if (status)
        head_load_destroy(l);
    else
        *out = l;
    return status;
}

mohvit_status head_load_open(head_load **out, const char *path, layout_of_config *of_config,
                             mohvit_error *err)
{
    reader r = {.path = path, .of_config = of_config, .err = err};
    mohvit_status status = checkpoint_open(&r.cp, path, NULL, NULL, err);
    return status ? status : read_and_close(out, &r);
}

mohvit_status head_load_open_memory(head_load **out, const void *data, size_t size,
                                    layout_of_config *of_config, mohvit_error *err)
{
    reader r = {.path = "head load in memory", .of_config = of_config, .err = err};
    mohvit_status status = checkpoint_open_memory(&r.cp, data, size, r.path, NULL, NULL, err);
    return status ? status : read_and_close(out, &r);
}

#include "config.h"

#include <jansson.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Published variants (spec 1) ------------------------------------------------------------- */

#define SMALL_DIMS                                                                                           \
    {72, 144, 288, 576},                                                                                     \
    {                                                                                                        \
        3, 6, 12, 24                                                                                         \
    }
#define BASE_DIMS                                                                                            \
    {96, 192, 384, 768},                                                                                     \
    {                                                                                                        \
        4, 8, 16, 32                                                                                         \
    }
#define SMALL_DEPTH                                                                                          \
    {                                                                                                        \
        5, 5, 22, 5                                                                                          \
    }
#define BASE_DEPTH                                                                                           \
    {                                                                                                        \
        5, 5, 23, 5                                                                                          \
    }
#define SHORT_DEPTH                                                                                          \
    {                                                                                                        \
        2, 2, 15, 2                                                                                          \
    }
#define RATIOS                                                                                               \
    {8, 8, 4, 4},                                                                                            \
    {                                                                                                        \
        8, 4, 2, 1                                                                                           \
    }
#define IMAGENET 1000, 224, 224, 0, ""
#define NONE                                                                                                 \
    {                                                                                                        \
        0, 0, 0, 0                                                                                           \
    }

static const struct {
    const char *name;
    config config;
} variants[] = {
    {"moh_transnext_small_80",
     {SMALL_DIMS, SMALL_DEPTH, RATIOS, {3, 6, 3, 8}, {0, 0, 6, 12}, IMAGENET, false}},
    {"moh_transnext_small_75",
     {SMALL_DIMS, SMALL_DEPTH, RATIOS, {3, 6, 3, 4}, {0, 0, 6, 12}, IMAGENET, false}},
    {"moh_transnext_base_75", {BASE_DIMS, BASE_DEPTH, RATIOS, {4, 8, 4, 5}, {0, 0, 8, 16}, IMAGENET, false}},
    {"moh_transnext_base_50", {BASE_DIMS, BASE_DEPTH, RATIOS, {2, 2, 2, 4}, {2, 4, 6, 8}, IMAGENET, false}},
    {"transnext_micro",
     {{48, 96, 192, 384}, {2, 4, 8, 16}, SHORT_DEPTH, RATIOS, {2, 4, 8, 16}, NONE, IMAGENET, true}},
    {"transnext_tiny", {SMALL_DIMS, SHORT_DEPTH, RATIOS, {3, 6, 12, 24}, NONE, IMAGENET, true}},
    {"transnext_small", {SMALL_DIMS, SMALL_DEPTH, RATIOS, {3, 6, 12, 24}, NONE, IMAGENET, true}},
    {"transnext_base", {BASE_DIMS, BASE_DEPTH, RATIOS, {4, 8, 16, 32}, NONE, IMAGENET, true}},
};

#define VARIANTS (sizeof variants / sizeof *variants)

const char *config_variant_name(size_t index)
{
    return index < VARIANTS ? variants[index].name : NULL;
}

bool config_variant(config *out, const char *name)
{
    for (size_t i = 0; i < VARIANTS; i++)
        if (!strcmp(variants[i].name, name)) {
            *out = variants[i].config;
            return true;
        }
    return false;
}

const char *config_name(const config *c)
{
    for (size_t i = 0; i < VARIANTS; i++) {
        config v = variants[i].config;
        bool same = v.dense == c->dense;
        for (size_t s = 0; s < STAGES; s++)
            same = same && v.embed_dims[s] == c->embed_dims[s] && v.num_heads[s] == c->num_heads[s] &&
                   v.depths[s] == c->depths[s] && fabs(v.mlp_ratios[s] - c->mlp_ratios[s]) < 1e-9 &&
                   v.sr_ratios[s] == c->sr_ratios[s] && v.shared_head[s] == c->shared_head[s] &&
                   !v.routed_head[s] == !c->routed_head[s];
        if (same)
            return variants[i].name;
    }
    return *c->name ? c->name : "custom";
}

mohvit_status config_set_routed(config *c, const char *routed_heads, mohvit_error *err)
{
    char *end;
    errno = 0;
    unsigned long number = isdigit((unsigned char)*routed_heads) ? strtoul(routed_heads, &end, 10) : 0;
    bool percent = number && *end == '%', routes = false;
    if (!number || errno || end[percent] || (percent && number > 100))
        return error_set(
            err, MOHVIT_ERROR_ARGUMENT,
            "routed heads \"%s\"; expected a number of heads from 1, or 1%% to 100%% of those that "
            "are routed",
            routed_heads);
    for (size_t s = 0; s < STAGES; s++) {
        size_t candidates = config_candidates(c, s), routed = number;
        if (!candidates)
            continue;
        routes = true;
        if (percent)
            routed = (number * candidates + 50) / 100;
        c->routed_head[s] = routed < 1 ? 1 : routed < candidates ? routed : candidates;
    }
    if (!routes)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "routed heads \"%s\": %s routes no heads", routed_heads,
                         c->dense ? "a dense model" : "this model");
    return MOHVIT_OK;
}

/* ---- Derived sizes --------------------------------------------------------------------------- */

size_t config_side(const config *c, size_t s)
{
    return c->img_size >> (s + 2); // patches of 4 pixels, then halved by each further stage
}

size_t config_hidden(const config *c, size_t s)
{
    return 2 * (size_t)((double)c->embed_dims[s] * c->mlp_ratios[s]) / 3;
}

bool config_global(const config *c, size_t s)
{
    return c->sr_ratios[s] == 1;
}

size_t config_pool(const config *c, size_t s)
{
    if (config_global(c, s))
        return 0;
    return c->fixed_pool_size ? c->fixed_pool_size : config_side(c, s) / c->sr_ratios[s];
}

size_t config_blocks(const config *c)
{
    size_t blocks = 0;
    for (size_t s = 0; s < STAGES; s++)
        blocks += c->depths[s];
    return blocks;
}

size_t config_max_heads(const config *c)
{
    size_t max = 0;
    for (size_t s = 0; s < STAGES; s++)
        max = c->num_heads[s] > max ? c->num_heads[s] : max;
    return max;
}

size_t config_candidates(const config *c, size_t s)
{
    return c->routed_head[s] ? c->num_heads[s] - c->shared_head[s] : 0;
}

size_t config_active_heads(const config *c, size_t s)
{
    return c->dense ? c->num_heads[s] : c->shared_head[s] + c->routed_head[s];
}

double config_active_percent(const config *c)
{
    size_t active = 0, heads = 0;
    for (size_t s = 0; s < STAGES; s++) {
        active += c->depths[s] * config_active_heads(c, s);
        heads += c->depths[s] * c->num_heads[s];
    }
    return 100.0 * (double)active / (double)heads;
}

/* Rows of the router's three matrices together; 0 where there is nothing to learn. */
static size_t router_rows(const config *c, size_t s)
{
    if (c->dense)
        return 0;
    size_t shared = c->shared_head[s], routed = c->routed_head[s];
    return config_candidates(c, s) + (routed && shared ? 2 : 0) + (shared > 1 ? shared : 0);
}

/* Multiply-adds of one block of stage s. */
static double block_macs(const config *c, size_t s, bool every_head)
{
    double side = (double)config_side(c, s), N = side * side, C = (double)c->embed_dims[s];
    double d = C / (double)c->num_heads[s], hidden = (double)config_hidden(c, s),
           P = (double)config_pool(c, s);
    double heads = (double)(every_head ? c->num_heads[s] : config_active_heads(c, s));
    double macs = 2 * N * C * C;                         // queries, proj
    macs += N * C * (2 * hidden) + N * hidden * (9 + C); // fc1, depthwise, fc2
    macs += N * C * (double)router_rows(c, s);
    if (config_global(c, s))
        return macs + N * C * 2 * C + 2 * N * N * d * heads; // kv; scores and weighted sums
    macs += N * C * 3 * C + P * P * C * 2 * C;               // kv, sr; kv of the pooled map
    return macs + N * d * heads * (2 * (9 + P * P) + 9);     // scores and sums, and q̂ · learnable tokens
}

double config_macs(const config *c, bool every_head)
{
    double macs = 0;
    for (size_t s = 0; s < STAGES; s++) {
        double side = (double)config_side(c, s);
        double window = s ? 9.0 * (double)c->embed_dims[s - 1] : 49.0 * 3;
        macs += side * side * window * (double)c->embed_dims[s];
        macs += (double)c->depths[s] * block_macs(c, s, every_head);
    }
    return macs + (double)c->embed_dims[STAGES - 1] * (double)c->num_classes;
}

/* ---- Validation ------------------------------------------------------------------------------ */

static mohvit_status check_range(const char *name, const char *key, size_t s, size_t value, size_t low,
                                 size_t high, mohvit_error *err)
{
    if (value >= low && value <= high)
        return MOHVIT_OK;
    char at[16] = "";
    if (s < STAGES)
        snprintf(at, sizeof at, "[%zu]", s);
    return error_set(err, MOHVIT_ERROR_ARGUMENT, "%s: config %s%s is %zu; expected %zu to %zu", name, key, at,
                     value, low, high);
}

static mohvit_status validate_heads(const config *c, size_t s, const char *name, mohvit_error *err)
{
    size_t heads = c->num_heads[s], shared = c->shared_head[s], routed = c->routed_head[s];
    if (c->embed_dims[s] % heads)
        return error_set(err, MOHVIT_ERROR_ARGUMENT,
                         "%s: config embed_dims[%zu] = %zu is not divisible by its %zu heads", name, s,
                         c->embed_dims[s], heads);
    if (c->dense)
        return MOHVIT_OK;
    if (shared > heads || routed > heads - shared)
        return error_set(err, MOHVIT_ERROR_ARGUMENT,
                         "%s: config stage %zu has %zu shared and %zu routed heads; expected at most its %zu "
                         "heads together",
                         name, s + 1, shared, routed, heads);
    if (!routed && shared != heads)
        return error_set(
            err, MOHVIT_ERROR_ARGUMENT,
            "%s: config stage %zu routes no head, so all its %zu heads must be shared; found %zu (or set "
            "\"dense\")",
            name, s + 1, heads, shared);
    return MOHVIT_OK;
}

static mohvit_status validate_stage(const config *c, size_t s, const char *name, mohvit_error *err)
{
    const struct {
        const char *key;
        size_t value, high;
    } ranges[] = {
        {"embed_dims", c->embed_dims[s], CONFIG_MAX_DIM},
        {"num_heads", c->num_heads[s], CONFIG_MAX_HEADS},
        {"depths", c->depths[s], CONFIG_MAX_DEPTH},
        {"sr_ratios", c->sr_ratios[s], CONFIG_MAX_SR_RATIO},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        mohvit_status status = check_range(name, ranges[i].key, s, ranges[i].value, 1, ranges[i].high, err);
        if (status)
            return status;
    }
    if (!(c->mlp_ratios[s] >= 1 && c->mlp_ratios[s] <= CONFIG_MAX_MLP_RATIO))
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "%s: config mlp_ratios[%zu] is %g; expected 1 to %d",
                         name, s, c->mlp_ratios[s], CONFIG_MAX_MLP_RATIO);
    if (!config_hidden(c, s))
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "%s: config stage %zu has an MLP of width 0", name,
                         s + 1);
    return validate_heads(c, s, name, err);
}

static mohvit_status validate_pool(const config *c, const char *name, mohvit_error *err)
{
    for (size_t s = 0; s < STAGES; s++) {
        if (config_global(c, s))
            continue;
        size_t side = config_side(c, s);
        if (!config_pool(c, s))
            return error_set(err, MOHVIT_ERROR_ARGUMENT,
                             "%s: config stage %zu pools its side of %zu by %zu, which leaves nothing", name,
                             s + 1, side, c->sr_ratios[s]);
        if (c->fixed_pool_size >= side)
            return error_set(err, MOHVIT_ERROR_ARGUMENT,
                             "%s: config fixed_pool_size is %zu; expected less than stage %zu's side of %zu",
                             name, c->fixed_pool_size, s + 1, side);
    }
    return MOHVIT_OK;
}

/* What a model of this config would allocate beyond its parameters. Every factor has been checked, so a
 * double holds the products. */
static mohvit_status validate_memory(const config *c, const char *name, mohvit_error *err)
{
    double tables = 0, activations = 0;
    for (size_t s = 0; s < STAGES; s++) {
        double side = (double)config_side(c, s), N = side * side, pool = (double)config_pool(c, s);
        double offsets = config_global(c, s) || (size_t)side % (size_t)pool == 0 ? 2 * side : 4 * side;
        double patch = s ? 9 * (double)c->embed_dims[s - 1] : 7 * 7 * 3;
        double width = fmax(3 * (double)config_hidden(c, s), patch);
        tables += (double)c->depths[s] * (double)c->num_heads[s] * offsets * offsets;
        activations = fmax(activations, N * (width + 12 * (double)c->embed_dims[s]));
    }
    if (tables > (double)CONFIG_MAX_TABLES)
        return error_set(err, MOHVIT_ERROR_LIMIT,
                         "%s: config needs %.3g numbers of position bias; expected at most %.3g", name,
                         tables, (double)CONFIG_MAX_TABLES);
    if (activations > (double)CONFIG_MAX_ACTIVATIONS)
        return error_set(err, MOHVIT_ERROR_LIMIT,
                         "%s: config needs %.3g activations for an image; expected at most %.3g", name,
                         activations, (double)CONFIG_MAX_ACTIVATIONS);
    return MOHVIT_OK;
}

mohvit_status config_validate(const config *c, const char *name, mohvit_error *err)
{
    mohvit_status status;
    for (size_t s = 0; s < STAGES; s++)
        if ((status = validate_stage(c, s, name, err)))
            return status;
    if ((status = check_range(name, "num_classes", STAGES, c->num_classes, 1, CONFIG_MAX_CLASSES, err)) ||
        (status =
             check_range(name, "img_size", STAGES, c->img_size, CONFIG_MIN_SIZE, CONFIG_MAX_SIZE, err)) ||
        (status = check_range(name, "pretrain_size", STAGES, c->pretrain_size, CONFIG_MIN_SIZE,
                              CONFIG_MAX_SIZE, err)))
        return status;
    if (c->img_size % 32)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "%s: config img_size is %zu; expected a multiple of 32",
                         name, c->img_size);
    status = validate_pool(c, name, err);
    return status ? status : validate_memory(c, name, err);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static const char *json_kind(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a fraction";
    case JSON_NULL:
        return "null";
    default:
        return "a boolean";
    }
}

static mohvit_status read_integer(const json_t *value, const char *name, const char *key, size_t *out,
                                  mohvit_error *err)
{
    if (!json_is_integer(value))
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: config %s is %s; expected an integer", name, key,
                         json_kind(value));
    json_int_t n = json_integer_value(value);
    if (n < 0 || n > INT32_MAX)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: config %s is %" JSON_INTEGER_FORMAT "; expected 0 to %d", name, key, n,
                         INT32_MAX);
    *out = (size_t)n;
    return MOHVIT_OK;
}

/* An array of four, one for each stage: whole numbers into size_t's, or any into doubles. */
static mohvit_status read_stages(const json_t *value, const char *name, const char *key, bool whole,
                                 void *stages, mohvit_error *err)
{
    if (!json_is_array(value) || json_array_size(value) != STAGES)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: config %s is %s; expected an array of %d numbers",
                         name, key, json_is_array(value) ? "an array of another length" : json_kind(value),
                         STAGES);
    for (size_t s = 0; s < STAGES; s++) {
        const json_t *item = json_array_get(value, s);
        if (whole) {
            mohvit_status status = read_integer(item, name, key, (size_t *)stages + s, err);
            if (status)
                return status;
        } else if (json_is_number(item)) {
            ((double *)stages)[s] = json_number_value(item);
        } else {
            return error_set(err, MOHVIT_ERROR_FORMAT, "%s: config %s[%zu] is %s; expected a number", name,
                             key, s, json_kind(item));
        }
    }
    return MOHVIT_OK;
}

/* Printed as it is, wherever a model is spoken of. */
static mohvit_status read_name(const json_t *value, const char *name, const char *key, char *out,
                               mohvit_error *err)
{
    const char *text = json_string_value(value);
    size_t length = text ? strlen(text) : 0;
    if (!length || length > CONFIG_MAX_NAME)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: config %s is %s; expected 1 to %d bytes of text",
                         name, key, text ? "text of another length" : json_kind(value), CONFIG_MAX_NAME);
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("_-.", text[i]))
            return error_set(err, MOHVIT_ERROR_FORMAT,
                             "%s: config %s: byte %zu; expected letters, digits, _ - and .", name, key, i);
    memcpy(out, text, length + 1);
    return MOHVIT_OK;
}

typedef enum { FIELD_STAGES, FIELD_RATIOS, FIELD_INTEGER, FIELD_BOOL, FIELD_NAME } field_kind;

typedef struct {
    const char *key;
    field_kind kind;
    size_t offset;
    enum { REQUIRED, ROUTING, OPTIONAL } need; // ROUTING: required unless dense
} field;

#define FIELD(kind, member, need)                                                                            \
    {                                                                                                        \
#member, kind, offsetof(config, member), need                                                        \
    }

static const field fields[] = {
    FIELD(FIELD_STAGES, embed_dims, REQUIRED),
    FIELD(FIELD_STAGES, num_heads, REQUIRED),
    FIELD(FIELD_STAGES, depths, REQUIRED),
    FIELD(FIELD_RATIOS, mlp_ratios, REQUIRED),
    FIELD(FIELD_STAGES, sr_ratios, REQUIRED),
    FIELD(FIELD_STAGES, shared_head, ROUTING),
    FIELD(FIELD_STAGES, routed_head, ROUTING),
    FIELD(FIELD_INTEGER, num_classes, REQUIRED),
    FIELD(FIELD_INTEGER, img_size, REQUIRED),
    FIELD(FIELD_INTEGER, pretrain_size, OPTIONAL),
    FIELD(FIELD_INTEGER, fixed_pool_size, OPTIONAL),
    FIELD(FIELD_BOOL, dense, OPTIONAL),
    FIELD(FIELD_NAME, name, OPTIONAL),
};

#define FIELDS (sizeof fields / sizeof *fields)

static const field *field_find(const char *key)
{
    for (size_t i = 0; i < FIELDS; i++)
        if (!strcmp(fields[i].key, key))
            return &fields[i];
    return NULL;
}

static mohvit_status read_field(config *c, const field *f, const json_t *value, const char *name,
                                mohvit_error *err)
{
    void *member = (char *)c + f->offset;
    switch (f->kind) {
    case FIELD_STAGES:
        return read_stages(value, name, f->key, true, member, err);
    case FIELD_RATIOS:
        return read_stages(value, name, f->key, false, member, err);
    case FIELD_INTEGER:
        return json_is_null(value) && f->need == OPTIONAL ? MOHVIT_OK
                                                          : read_integer(value, name, f->key, member, err);
    case FIELD_NAME:
        return read_name(value, name, f->key, member, err);
    case FIELD_BOOL:
        break;
    }
    if (!json_is_boolean(value))
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: config %s is %s; expected true or false", name,
                         f->key, json_kind(value));
    *(bool *)member = json_is_true(value);
    return MOHVIT_OK;
}

static mohvit_status read_object(config *c, json_t *object, const char *name, mohvit_error *err)
{
    if (!json_is_object(object))
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: config is %s; expected an object", name,
                         json_kind(object));
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        const field *f = field_find(key);
        if (!f)
            return error_set(err, MOHVIT_ERROR_FORMAT, "%s: config has an unknown key \"%s\"", name, key);
        mohvit_status status = read_field(c, f, value, name, err);
        if (status)
            return status;
    }
    for (size_t i = 0; i < FIELDS; i++) {
        bool needed = fields[i].need == REQUIRED || (fields[i].need == ROUTING && !c->dense);
        if (needed && !json_object_get(object, fields[i].key))
            return error_set(err, MOHVIT_ERROR_FORMAT, "%s: config lacks \"%s\"", name, fields[i].key);
    }
    if (json_is_integer(json_object_get(object, "fixed_pool_size")) && !c->fixed_pool_size)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "%s: config fixed_pool_size is 0; expected at least 1",
                         name);
    return MOHVIT_OK;
}

mohvit_status config_from_json(config *out, const char *json, size_t length, const char *name,
                               mohvit_error *err)
{
    json_error_t at;
    if (length > CONFIG_MAX_JSON)
        return error_set(err, MOHVIT_ERROR_LIMIT, "%s: config is %zu bytes; expected at most %zu", name,
                         length, CONFIG_MAX_JSON);
    errno = 0;
    json_t *object = json_loadb(json, length, JSON_REJECT_DUPLICATES, &at);
    if (!object)
        return error_library(err, MOHVIT_ERROR_FORMAT, at.text, "%s: config is not JSON: line %d, column %d",
                             name, at.line, at.column);
    config c = {0};
    mohvit_status status = read_object(&c, object, name, err);
    json_decref(object);
    if (status)
        return status;
    if (!c.pretrain_size)
        c.pretrain_size = c.img_size;
    for (size_t s = 0; c.dense && s < STAGES; s++) {
        c.shared_head[s] = c.num_heads[s];
        c.routed_head[s] = 0;
    }
    if ((status = config_validate(&c, name, err)))
        return status;
    *out = c;
    return MOHVIT_OK;
}

static json_t *write_field(const config *c, const field *f)
{
    const void *member = (const char *)c + f->offset;
    if (f->kind == FIELD_INTEGER)
        return json_integer((json_int_t) * (const size_t *)member);
    if (f->kind == FIELD_BOOL)
        return json_boolean(*(const bool *)member);
    if (f->kind == FIELD_NAME)
        return json_string(member);
    json_t *array = json_array();
    for (size_t s = 0; s < STAGES; s++) {
        double number =
            f->kind == FIELD_RATIOS ? ((const double *)member)[s] : (double)((const size_t *)member)[s];
        bool whole = f->kind == FIELD_STAGES || number == floor(number);
        json_array_append_new(array, whole ? json_integer((json_int_t)number) : json_real(number));
    }
    return array;
}

char *config_to_json(const config *c)
{
    json_t *object = json_object();
    for (size_t i = 0; i < FIELDS; i++) {
        const field *f = &fields[i];
        bool absent = (f->offset == offsetof(config, fixed_pool_size) && !c->fixed_pool_size) ||
                      (f->kind == FIELD_BOOL && !c->dense) || (f->kind == FIELD_NAME && !*c->name);
        if (!absent && json_object_set_new(object, f->key, write_field(c, f))) {
            json_decref(object);
            return NULL;
        }
    }
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return text;
}

/* ---- Tensors (spec 3, in the order of the state_dict) ------------------------------------------ */

typedef struct {
    tensor_spec *tensors; // NULL while counting
    size_t count, parameters;
    char prefix[TENSOR_NAME_MAX / 2];
} tensor_builder;

static void add(tensor_builder *b, const char *leaf, size_t rank, size_t s0, size_t s1, size_t s2, size_t s3)
{
    tensor_spec t = {.rank = rank, .shape = {s0, s1, s2, s3}, .elements = 1};
    for (size_t i = 0; i < rank; i++)
        t.elements *= t.shape[i];
    snprintf(t.name, sizeof t.name, "%s%s", b->prefix, leaf);
    if (b->tensors)
        b->tensors[b->count] = t;
    b->count++;
    b->parameters += t.elements;
}

static void add_vector(tensor_builder *b, const char *owner, const char *leaf, size_t n)
{
    char name[TENSOR_NAME_MAX / 2];
    snprintf(name, sizeof name, "%s.%s", owner, leaf);
    add(b, name, 1, n, 1, 1, 1);
}

static void add_norm(tensor_builder *b, const char *owner, size_t C)
{
    add_vector(b, owner, "weight", C);
    add_vector(b, owner, "bias", C);
}

/* weight (out, in, side, side) and bias (out); side 0: a linear layer's (out, in). */
static void add_layer(tensor_builder *b, const char *owner, size_t out, size_t in, size_t side)
{
    char name[TENSOR_NAME_MAX / 2];
    snprintf(name, sizeof name, "%s.weight", owner);
    add(b, name, side ? 4 : 2, out, in, side ? side : 1, side ? side : 1);
    add_vector(b, owner, "bias", out);
}

static void add_attention(tensor_builder *b, const config *c, size_t s)
{
    size_t C = c->embed_dims[s], h = c->num_heads[s], d = C / h;
    add(b, "attn.temperature", 3, h, 1, 1, 1);
    add(b, "attn.query_embedding", 3, h, 1, d, 1);
    if (config_global(c, s)) {
        add_layer(b, "attn.qkv", 3 * C, C, 0);
    } else {
        add(b, "attn.relative_pos_bias_local", 2, h, 9, 1, 1);
        add(b, "attn.learnable_tokens", 3, h, d, 9, 1);
        add(b, "attn.learnable_bias", 3, h, 1, 9, 1);
        add_layer(b, "attn.q", C, C, 0);
        add_layer(b, "attn.kv", 2 * C, C, 0);
    }
    add_layer(b, "attn.proj", C, C, 0);
    if (!config_global(c, s)) {
        add_layer(b, "attn.sr", C, C, 1);
        add_norm(b, "attn.norm", C);
    }
    add_layer(b, "attn.cpb_fc1", 512, 2, 0);
    add_layer(b, "attn.cpb_fc2", h, 512, 0);
    if (c->dense)
        return;
    if (c->routed_head[s])
        add(b, "attn.wg.weight", 2, config_candidates(c, s), C, 1, 1);
    if (c->routed_head[s] && c->shared_head[s])
        add(b, "attn.wg_0.weight", 2, 2, C, 1, 1);
    if (c->shared_head[s] > 1)
        add(b, "attn.wg_1.weight", 2, c->shared_head[s], C, 1, 1);
}

static void add_block(tensor_builder *b, const config *c, size_t s)
{
    size_t C = c->embed_dims[s], hidden = config_hidden(c, s);
    add_norm(b, "norm1", C);
    add_attention(b, c, s);
    add_norm(b, "norm2", C);
    add_layer(b, "mlp.fc1", 2 * hidden, C, 0);
    add_layer(b, "mlp.dwconv.dwconv", hidden, 1, 3);
    add_layer(b, "mlp.fc2", C, hidden, 0);
}

static void add_all(tensor_builder *b, const config *c)
{
    for (size_t s = 0; s < STAGES; s++) {
        snprintf(b->prefix, sizeof b->prefix, "patch_embed%zu.", s + 1);
        add_layer(b, "proj", c->embed_dims[s], s ? c->embed_dims[s - 1] : 3, s ? 3 : 7);
        add_norm(b, "norm", c->embed_dims[s]);
        for (size_t block = 0; block < c->depths[s]; block++) {
            snprintf(b->prefix, sizeof b->prefix, "block%zu.%zu.", s + 1, block);
            add_block(b, c, s);
        }
        snprintf(b->prefix, sizeof b->prefix, "norm%zu", s + 1);
        add_norm(b, "", c->embed_dims[s]);
    }
    snprintf(b->prefix, sizeof b->prefix, "head");
    add_layer(b, "", c->num_classes, c->embed_dims[STAGES - 1], 0);
}

mohvit_status config_tensors(tensor_list *out, const config *c, mohvit_error *err)
{
    tensor_builder count = {0};
    add_all(&count, c);
    if (count.parameters > CONFIG_MAX_PARAMETERS)
        return error_set(err, MOHVIT_ERROR_LIMIT, "config has %zu parameters; expected at most %zu",
                         count.parameters, CONFIG_MAX_PARAMETERS);
    tensor_builder fill = {.tensors = memory_alloc(count.count, sizeof(tensor_spec))};
    if (!fill.tensors)
        return error_set(err, MOHVIT_ERROR_MEMORY, "no memory for a list of %zu tensors", count.count);
    add_all(&fill, c);
    *out = (tensor_list){fill.count, fill.tensors, fill.parameters};
    return MOHVIT_OK;
}

void tensor_list_free(tensor_list *list)
{
    free(list->tensors);
    *list = (tensor_list){0};
}

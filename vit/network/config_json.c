/* config_json.c - the JSON of a config (spec 1), read and written. */
#include "vit/network/config.h"

#include "base/json_bounded.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

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

static mohvit_status read_name(const json_t *value, const char *name, const char *key, char *out,
                               mohvit_error *err)
{
    const char *text = json_string_value(value);
    size_t length = text ? strlen(text) : 0;
    if (!length || length > CONFIG_MAX_NAME)
        return error_set(err, MOHVIT_ERROR_FORMAT, "%s: config %s is %s; expected 1 to %d bytes of text",
                         name, key, text ? "text of another length" : json_kind(value), CONFIG_MAX_NAME);
    size_t plain = strspn(text, ROUTING_NAME_BYTES);
    if (plain < length)
        return error_set(err, MOHVIT_ERROR_FORMAT,
                         "%s: config %s: byte %zu; expected letters, digits, _ - and .", name, key, plain);
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

static mohvit_status unknown_key(const char *name, const char *key, mohvit_error *err)
{
    char known[256] = "";
    for (size_t i = 0, n = 0; i < FIELDS && n < sizeof known; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", fields[i].key);
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: config has an unknown key \"%s\"; known are %s", name,
                     key, known);
}

static mohvit_status read_object(config *c, json_t *object, const char *name, mohvit_error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        const field *f = fields, *end = fields + FIELDS;
        while (f < end && strcmp(f->key, key) != 0)
            f++;
        if (f == end)
            return unknown_key(name, key, err);
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
    json_t *object;
    config c = {0};
    mohvit_status status = json_load_object(&object, json, length, CONFIG_MAX_JSON, name, "config", err);
    if (status)
        return status;
    status = read_object(&c, object, name, err);
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

json_t *config_json(const config *c)
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
    return object;
}

char *config_to_json(const config *c)
{
    json_t *object = config_json(c);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return text;
}

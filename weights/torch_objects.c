#include "weights/torch_objects.h"

#include <stdio.h>
#include <string.h>

/* Element types by the storage class (torch.FloatStorage) and by the dtype (torch.float32). */
static const struct {
    const char *storage, *name;
    tensor_dtype dtype;
    size_t size;
} types[] = {
    {"FloatStorage", "float32", DTYPE_F32, 4},
    {"HalfStorage", "float16", DTYPE_F16, 2},
    {"BFloat16Storage", "bfloat16", DTYPE_BF16, 2},
    {"DoubleStorage", "float64", DTYPE_F64, 8},
    {"IntStorage", "int32", DTYPE_I32, 4},
    {"LongStorage", "int64", DTYPE_I64, 8},
    {"ByteStorage", "uint8", DTYPE_U8, 1},
    {"CharStorage", "int8", DTYPE_OTHER, 1},
    {"ShortStorage", "int16", DTYPE_OTHER, 2},
    {"BoolStorage", "bool", DTYPE_OTHER, 1},
    {"ComplexFloatStorage", "complex64", DTYPE_OTHER, 8},
    {"ComplexDoubleStorage", "complex128", DTYPE_OTHER, 16},
};

#define TYPE_COUNT (sizeof types / sizeof *types)

/* Functions of torch._utils that make a tensor from (storage, offset, size, stride, …). v3 has the dtype as
 * argument 6, over an untyped storage that counts bytes. */
static const char *const tensor_makers[] = {"_rebuild_tensor_v2", "_rebuild_tensor", "_rebuild_tensor_v3"};

/* Those that wrap one, given as their first argument. */
static const char *const tensor_wrappers[] = {"_rebuild_parameter", "_rebuild_parameter_with_state"};

static bool calls_one_of(const pickle_value *v, const char *const *names, size_t count)
{
    if (v->kind != PICKLE_CALL || v->call.args->kind != PICKLE_TUPLE)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (pickle_is_global(v->call.callable, "torch._utils", names[i]))
            return true;
    }
    return false;
}

/* The call of a tensor_maker inside v, or NULL. A parameter of a parameter does not occur, so one layer is
 * taken off. */
static const pickle_value *maker_call(const pickle_value *v)
{
    if (calls_one_of(v, tensor_wrappers, sizeof tensor_wrappers / sizeof *tensor_wrappers) &&
        v->call.args->items.count >= 1)
        v = v->call.args->items.at[0];
    return calls_one_of(v, tensor_makers, sizeof tensor_makers / sizeof *tensor_makers) ? v : NULL;
}

bool torch_is_tensor(const pickle_value *v)
{
    return maker_call(v) != NULL;
}

bool torch_is_numpy(const pickle_value *v)
{
    static const char module[] = "numpy", scalar[] = "scalar";
    const pickle_value *made_by = v->kind == PICKLE_CALL ? v->call.callable : v;
    return v->kind == PICKLE_CALL && made_by->kind == PICKLE_GLOBAL &&
           made_by->global.module.length >= sizeof module - 1 &&
           !memcmp(made_by->global.module.bytes, module, sizeof module - 1) &&
           !pickle_text_is(made_by->global.name, scalar);
}

static mohvit_status malformed(const char *place, const char *what, mohvit_error *err)
{
    return error_set(err, MOHVIT_ERROR_FORMAT, "%s: %s", place, what);
}

// ---- Storages --------------------------------------------------------------------------------------

/* Index into types of a dtype or a storage class, TYPE_COUNT if there is none. Old versions saved
 * torch.cuda.FloatStorage for tensors on a GPU. */
static size_t find_type(const pickle_value *v, bool is_dtype)
{
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        if (pickle_is_global(v, "torch", is_dtype ? types[i].name : types[i].storage) ||
            (!is_dtype && pickle_is_global(v, "torch.cuda", types[i].storage)))
            return i;
    }
    return TYPE_COUNT;
}

static bool read_size(size_t *out, const pickle_value *v)
{
    if (v->kind != PICKLE_INT || v->integer < 0)
        return false;
    *out = (size_t)v->integer;
    return true;
}

/* Reads the reference ('storage', class, key, device, elements); dtype is NULL unless the tensor brings its
 * own. */
static mohvit_status parse_storage(torch_tensor *out, const pickle_value *v, const pickle_value *dtype,
                                   const char *place, mohvit_error *err)
{
    const pickle_value *id = v->kind == PICKLE_PERSISTENT ? v->persistent : NULL;
    if (!id || id->kind != PICKLE_TUPLE || id->items.count < 5)
        return malformed(place, "is not made from a storage", err);
    pickle_value **part = id->items.at;
    if (part[0]->kind != PICKLE_STRING || !pickle_text_is(part[0]->text, "storage") ||
        part[2]->kind != PICKLE_STRING || !read_size(&out->storage_elements, part[4]))
        return malformed(place, "its storage is not ('storage', class, key, device, elements)", err);
    const pickle_value *named = dtype ? dtype : part[1];
    size_t type = find_type(named, dtype != NULL);
    if (type == TYPE_COUNT) {
        char text[128];
        return error_set(err, MOHVIT_ERROR_UNSUPPORTED, "%s: its elements are of unknown type: %s", place,
                         torch_describe(text, sizeof text, named));
    }
    out->info.dtype = types[type].dtype;
    out->item_size = types[type].size;
    out->storage = part[2]->text;
    if (dtype) { // an untyped storage counts bytes
        if (out->storage_elements % out->item_size)
            return malformed(place, "its storage does not hold a whole number of elements", err);
        out->storage_elements /= out->item_size;
    }
    return MOHVIT_OK;
}

// ---- Tensors ---------------------------------------------------------------------------------------

/* A tuple of sizes into out; *count becomes their number. torch.Size is a tuple in a pickle, or a call on
 * one. */
static bool read_sizes(size_t *out, size_t *count, const pickle_value *v)
{
    if (v->kind == PICKLE_CALL && pickle_is_global(v->call.callable, "torch", "Size") &&
        v->call.args->kind == PICKLE_TUPLE && v->call.args->items.count == 1)
        v = v->call.args->items.at[0];
    if ((v->kind != PICKLE_TUPLE && v->kind != PICKLE_LIST) || v->items.count > TENSOR_MAX_RANK)
        return false;
    *count = v->items.count;
    for (size_t i = 0; i < *count; i++) {
        if (!read_size(&out[i], v->items.at[i]))
            return false;
    }
    return true;
}

mohvit_status torch_parse_tensor(torch_tensor *out, const pickle_value *v, const char *place,
                                 mohvit_error *err)
{
    *out = (torch_tensor){0};
    const pickle_value *call = maker_call(v);
    const pickle_value *args = call->call.args;
    bool has_dtype = pickle_is_global(call->call.callable, "torch._utils", "_rebuild_tensor_v3");
    size_t strides;
    if (args->items.count < (has_dtype ? 7u : 4u))
        return malformed(place, "is made from too few arguments", err);
    pickle_value **arg = args->items.at;
    mohvit_status status = parse_storage(out, arg[0], has_dtype ? arg[6] : NULL, place, err);
    if (status)
        return status;
    if (!read_size(&out->offset, arg[1]))
        return malformed(place, "its storage offset is not an integer of at least 0", err);
    if (!read_sizes(out->info.shape, &out->info.rank, arg[2]))
        return malformed(place, "its shape is not a tuple of at most 8 integers of at least 0", err);
    if (!read_sizes(out->stride, &strides, arg[3]) || strides != out->info.rank)
        return malformed(place, "its strides are not integers of at least 0, one for each dimension", err);
    return MOHVIT_OK;
}

// ---- Weight sets -----------------------------------------------------------------------------------

static bool has_tensors(const pickle_value *v)
{
    for (size_t i = 1; v->kind == PICKLE_DICT && i < v->items.count; i += 2) {
        if (torch_is_tensor(v->items.at[i]))
            return true;
    }
    return false;
}

const pickle_value *torch_state_dict(const pickle_value *v)
{
    if (has_tensors(v))
        return v;
    const pickle_value *inner = pickle_dict_get(v, "state_dict");
    return inner && has_tensors(inner) ? inner : NULL;
}

char *torch_describe(char *out, size_t size, const pickle_value *v)
{
    static const char *const kinds[] = {
        [PICKLE_NONE] = "None",
        [PICKLE_BOOL] = "a bool",
        [PICKLE_INT] = "an integer",
        [PICKLE_STRING] = "a string",
        [PICKLE_TUPLE] = "a tuple",
        [PICKLE_LIST] = "a list",
        [PICKLE_DICT] = "a dict",
        [PICKLE_GLOBAL] = "a class or function",
        [PICKLE_CALL] = "an object",
        [PICKLE_PERSISTENT] = "a storage",
        [PICKLE_OPAQUE] = "a number, set or bytes",
    };
    const pickle_value *named = v->kind == PICKLE_CALL ? v->call.callable : v;
    if (named->kind != PICKLE_GLOBAL)
        snprintf(out, size, "%s", kinds[v->kind]);
    else
        snprintf(out, size, "%s%.*s.%.*s", v->kind == PICKLE_CALL ? "an object made by " : "",
                 (int)(named->global.module.length & 0xff), named->global.module.bytes,
                 (int)(named->global.name.length & 0xff), named->global.name.bytes);
    return out;
}

/* An entry of a dict that is a call: that of the key "model", else the first. *key is the key of it. */
static const pickle_value *find_object(const pickle_value *dict, pickle_text *key)
{
    const pickle_value *found = NULL;
    for (size_t i = 0; dict->kind == PICKLE_DICT && i < dict->items.count; i += 2) {
        const pickle_value *k = dict->items.at[i], *v = dict->items.at[i + 1];
        bool model = k->kind == PICKLE_STRING && pickle_text_is(k->text, "model");
        if (k->kind != PICKLE_STRING || v->kind != PICKLE_CALL || (found && !model))
            continue;
        found = v;
        *key = k->text;
    }
    return found;
}

static bool has_numpy(const pickle_value *dict)
{
    for (size_t i = 1; dict->kind == PICKLE_DICT && i < dict->items.count; i += 2)
        if (torch_is_numpy(dict->items.at[i]))
            return true;
    return false;
}

/* Whether numpy arrays are the values of this dict, or of one in it. */
static bool holds_numpy(const pickle_value *top)
{
    bool found = has_numpy(top);
    for (size_t i = 1; !found && top->kind == PICKLE_DICT && i < top->items.count; i += 2)
        found = has_numpy(top->items.at[i]);
    return found;
}

char *torch_no_tensors(char *out, size_t size, const pickle_value *top)
{
    char text[256];
    pickle_text key;
    const pickle_value *object = find_object(top, &key);
    torch_describe(text, sizeof text, object ? object : top);
    if (holds_numpy(top))
        snprintf(out, size,
                 "numpy arrays, not tensors; turn each into one with torch.from_numpy and save again");
    else if (object)
        snprintf(out, size,
                 "a dict without tensors, in which \"%.*s\" is %s; if that is the model, save its "
                 "state_dict() instead",
                 (int)(key.length & 0xff), key.bytes, text);
    else if (top->kind == PICKLE_CALL)
        snprintf(out, size, "%s, a whole module and not its tensors; save its state_dict() instead", text);
    else
        snprintf(out, size, "%s, not a dict of tensors; save model.state_dict()", text);
    return out;
}

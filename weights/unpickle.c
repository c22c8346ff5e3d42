/* unpickle.c - the pickle machine, restricted: a stack, marks, a memo, and opcodes that only build values. */
#include "weights/pickle.h"

#include "base/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// ---- The machine -----------------------------------------------------------------------------------

typedef struct machine {
    pickle *out;
    const unsigned char *bytes;
    size_t size, at; /* at: the next byte to read */
    size_t opcode_at;
    pickle_value **stack;
    size_t depth, stack_capacity;
    size_t *marks; /* depths of the stack at each open MARK */
    size_t mark_count, mark_capacity;
    pickle_value **memo; /* NULL where nothing was put */
    size_t memo_capacity, memo_count;
    const char *name;
    mohvit_error *err;
} machine;

/* The machine's steps return false when they have filled err. */
static bool fail(const machine *m, mohvit_status status, const char *what)
{
    unsigned opcode = 0;
    if (m->opcode_at < m->size)
        opcode = m->bytes[m->opcode_at]; // NOLINT(clang-analyzer-core.NullDereference): only size 0 is NULL
    error_set(m->err, status, "%s: byte %zu, opcode 0x%02x: %s", m->name, m->opcode_at, opcode, what);
    return false;
}

static bool damaged(const machine *m, const char *what)
{
    return fail(m, MOHVIT_ERROR_FORMAT, what);
}

static bool no_memory(const machine *m)
{
    if (errno == EOVERFLOW)
        return fail(m, MOHVIT_ERROR_LIMIT, "the values need more memory than a pickle may take (256 MiB)");
    return fail(m, MOHVIT_ERROR_MEMORY, "no memory");
}

/* The next n bytes of the pickle. */
static const unsigned char *take(machine *m, uint64_t n)
{
    if (n > m->size - m->at) {
        damaged(m, "the pickle ends inside an argument");
        return NULL;
    }
    const unsigned char *bytes = m->bytes + m->at;
    m->at += (size_t)n;
    return bytes;
}

/* A little-endian integer of n ≤ 8 bytes. */
static bool take_uint(machine *m, size_t n, uint64_t *value)
{
    const unsigned char *bytes = take(m, n);
    if (!bytes)
        return false;
    *value = 0;
    memcpy(value, bytes, n); // no other hosts, as compiler.h asserts
    return true;
}

/* Text up to a newline, which is taken too. */
static bool take_line(machine *m, pickle_text *line)
{
    const unsigned char *start = m->bytes + m->at, *end = memchr(start, '\n', m->size - m->at);
    if (!end)
        return damaged(m, "the pickle ends inside an argument");
    *line = (pickle_text){(const char *)start, (size_t)(end - start)};
    m->at += line->length + 1;
    return true;
}

/* memory_grow for the machine's own entries. */
static void *grow(machine *m, void *array, size_t count, size_t *capacity, size_t size)
{
    if (count >= PICKLE_MAX_STACK) {
        fail(m, MOHVIT_ERROR_LIMIT, "more than 1048576 values or marks wait on the stack");
        return NULL;
    }
    void *larger = memory_grow(array, count, capacity, size);
    if (!larger)
        no_memory(m);
    return larger;
}

static bool push(machine *m, pickle_value *v)
{
    pickle_value **stack = grow(m, m->stack, m->depth, &m->stack_capacity, sizeof(pickle_value *));
    if (!stack)
        return false;
    m->stack = stack;
    m->stack[m->depth++] = v;
    return true;
}

static pickle_value *make(machine *m, pickle_kind kind)
{
    pickle_value *v = arena_alloc(&m->out->values, sizeof *v);
    if (!v) {
        no_memory(m);
        return NULL;
    }
    memset(v, 0, sizeof *v);
    v->kind = kind;
    return v;
}

/* A new value that lies at the top; NULL after a failure. */
static pickle_value *push_new(machine *m, pickle_kind kind)
{
    pickle_value *v = make(m, kind);
    return v && push(m, v) ? v : NULL;
}

static bool push_int(machine *m, pickle_kind kind, int64_t integer)
{
    pickle_value *v = push_new(m, kind);
    if (v)
        v->integer = integer;
    return v != NULL;
}

/* The topmost n values, which stay below the last mark's reach; NULL if there are fewer. */
static pickle_value **top(machine *m, size_t n)
{
    size_t floor = m->mark_count ? m->marks[m->mark_count - 1] : 0;
    if (m->depth - floor < n) {
        damaged(m, "too few values on the stack");
        return NULL;
    }
    return m->stack + (m->depth - n);
}

/* For pop: the last mark, and all values above it. */
#define TO_MARK SIZE_MAX

/* Takes the topmost *count values, which stay readable until the next push. Of TO_MARK, *count becomes their
 * number. */
static bool pop(machine *m, size_t *count, pickle_value ***values)
{
    if (*count == TO_MARK) {
        if (!m->mark_count)
            return damaged(m, "there is no mark");
        *count = m->depth - m->marks[--m->mark_count];
    } else if (!top(m, *count)) {
        return false;
    }
    m->depth -= *count;
    *values = m->stack ? m->stack + m->depth : NULL; // nothing was pushed yet
    return true;
}

static bool push_mark(machine *m)
{
    size_t *marks = grow(m, m->marks, m->mark_count, &m->mark_capacity, sizeof *marks);
    if (!marks)
        return false;
    m->marks = marks;
    m->marks[m->mark_count++] = m->depth;
    return true;
}

// ---- Strings and numbers ---------------------------------------------------------------------------

/* Text or bytes with its length in the n bytes before it. */
static bool op_text(machine *m, size_t n, pickle_kind kind)
{
    uint64_t length;
    if (!take_uint(m, n, &length))
        return false;
    const unsigned char *bytes = take(m, length);
    pickle_value *v = bytes ? push_new(m, kind) : NULL;
    if (v && kind == PICKLE_STRING)
        v->text = (pickle_text){(const char *)bytes, (size_t)length};
    return v != NULL;
}

/* BININT, of 4 bytes, alone has a sign. */
static bool op_int(machine *m, size_t n)
{
    uint64_t value;
    return take_uint(m, n, &value) &&
           push_int(m, PICKLE_INT, n == 4 ? (int32_t)(uint32_t)value : (int64_t)value);
}

/* A two's complement integer with its length in the n bytes before it. */
static bool op_long(machine *m, size_t n)
{
    uint64_t length;
    if (!take_uint(m, n, &length))
        return false;
    const unsigned char *bytes = take(m, length);
    if (!bytes)
        return false;
    if (length > sizeof(int64_t))
        return push_new(m, PICKLE_OPAQUE) != NULL;
    uint64_t value = length && bytes[length - 1] & 0x80 ? UINT64_MAX : 0; // the sign fills what is not stored
    memcpy(&value, bytes, (size_t)length);
    return push_int(m, PICKLE_INT, (int64_t)value);
}

// ---- Containers ------------------------------------------------------------------------------------

/* Appends to a tuple, list or dict. Its array doubles inside the arena, and the old one is left to waste. */
static bool append(machine *m, pickle_value *to, pickle_value *const *values, size_t count)
{
    size_t wanted = to->items.count + count;
    if (to->kind == PICKLE_DICT && count % 2)
        return damaged(m, "a dict's key has no value");
    if (wanted > to->items.capacity) {
        size_t capacity = to->items.capacity ? 2 * to->items.capacity : count;
        capacity = capacity < wanted ? wanted : capacity;
        pickle_value **larger = arena_alloc(&m->out->values, capacity * sizeof *larger);
        if (!larger)
            return no_memory(m);
        if (to->items.at)
            memcpy(larger, to->items.at, to->items.count * sizeof *larger);
        to->items.at = larger;
        to->items.capacity = capacity;
    }
    if (values && to->items.at)
        memcpy(to->items.at + to->items.count, values, count * sizeof *values);
    to->items.count = wanted;
    return true;
}

/* Replaces `count` values at the top by one container of them. */
static bool op_collect(machine *m, pickle_kind kind, size_t count)
{
    pickle_value **values = NULL, *v;
    return pop(m, &count, &values) && (v = make(m, kind)) && append(m, v, values, count) && push(m, v);
}

/* APPEND(S), SETITEM(S), ADDITEMS: what the values go to lies below them. Objects that are only noted
 * (PICKLE_CALL) may be lists or dicts by inheritance; nobody reads their items. */
static bool op_extend(machine *m, pickle_kind kind, size_t count)
{
    pickle_value **values = NULL, **target;
    if (!pop(m, &count, &values) || !(target = top(m, 1)))
        return false;
    if ((*target)->kind == PICKLE_CALL || (*target)->kind == PICKLE_OPAQUE)
        return true;
    if ((*target)->kind != kind)
        return damaged(m, kind == PICKLE_DICT ? "sets items of what is not a dict"
                                              : "appends to what is not a list");
    return append(m, *target, values, count);
}

// ---- Stack and memo --------------------------------------------------------------------------------

static bool drop(machine *m, size_t count)
{
    pickle_value **values;
    return pop(m, &count, &values);
}

static bool op_pop(machine *m)
{
    if (m->mark_count && m->marks[m->mark_count - 1] == m->depth) { // POP also takes a mark
        m->mark_count--;
        return true;
    }
    return drop(m, 1);
}

static bool op_dup(machine *m)
{
    pickle_value **value = top(m, 1);
    return value && push(m, *value);
}

/* Picklers number what they remember from 0, and making and storing a value takes two bytes at least, so an
 * index far beyond half the bytes read so far is forged; that keeps the table in proportion to the pickle. */
static bool remember(machine *m, uint64_t index)
{
    pickle_value **value = top(m, 1);
    if (!value)
        return false;
    if (index > 65536 + (uint64_t)m->at / 2)
        return fail(m, MOHVIT_ERROR_LIMIT, "the memo index is far beyond what the pickle can have stored");
    if (index >= m->memo_capacity) {
        size_t capacity = (size_t)index + (size_t)index / 2 + 256;
        pickle_value **larger = realloc(m->memo, capacity * sizeof(pickle_value *));
        if (!larger)
            return no_memory(m);
        memset(larger + m->memo_capacity, 0, (capacity - m->memo_capacity) * sizeof *larger);
        m->memo = larger;
        m->memo_capacity = capacity;
    }
    m->memo_count += !m->memo[index];
    m->memo[index] = *value;
    return true;
}

/* A memo index of n bytes, or of n = 0: of decimal digits, as PUT and GET write it. */
static bool take_index(machine *m, size_t n, uint64_t *index)
{
    pickle_text line;
    if (n)
        return take_uint(m, n, index);
    if (!take_line(m, &line))
        return false;
    *index = 0;
    for (size_t i = 0; i < line.length; i++) {
        if (line.bytes[i] < '0' || line.bytes[i] > '9' || i == 10)
            return damaged(m, "the memo index is not a number");
        *index = *index * 10 + (uint64_t)(line.bytes[i] - '0');
    }
    return true;
}

static bool op_put(machine *m, size_t n)
{
    uint64_t index;
    return take_index(m, n, &index) && remember(m, index);
}

static bool op_get(machine *m, size_t n)
{
    uint64_t index;
    if (!take_index(m, n, &index))
        return false;
    if (index >= m->memo_capacity || !m->memo[index])
        return damaged(m, "nothing was stored under this memo index");
    return push(m, m->memo[index]);
}

// ---- Objects: noted, never made --------------------------------------------------------------------

static bool push_global(machine *m, pickle_text module, pickle_text name)
{
    pickle_value *v = push_new(m, PICKLE_GLOBAL);
    if (v) {
        v->global.module = module;
        v->global.name = name;
    }
    return v != NULL;
}

static bool op_global(machine *m)
{
    pickle_text module, name;
    return take_line(m, &module) && take_line(m, &name) && push_global(m, module, name);
}

static bool op_stack_global(machine *m)
{
    pickle_value **names = top(m, 2);
    if (!names)
        return false;
    if (names[0]->kind != PICKLE_STRING || names[1]->kind != PICKLE_STRING)
        return damaged(m, "a class or function is not named by strings");
    m->depth -= 2;
    return push_global(m, names[0]->text, names[1]->text);
}

static bool is_dict_class(const pickle_value *v)
{
    return pickle_is_global(v, "collections", "OrderedDict") ||
           pickle_is_global(v, "collections", "defaultdict");
}

/* REDUCE, NEWOBJ, NEWOBJ_EX: the lowest of the topmost n values is called, the one above has the arguments.
 * The classes that are dicts become dicts, which SETITEMS then fills. */
static bool op_call(machine *m, size_t n)
{
    pickle_value **values = top(m, n);
    if (!values)
        return false;
    const pickle_value *callable = values[0], *args = values[1];
    m->depth -= n;
    pickle_value *v = push_new(m, is_dict_class(callable) ? PICKLE_DICT : PICKLE_CALL);
    if (v && v->kind == PICKLE_CALL) {
        v->call.callable = callable;
        v->call.args = args;
    }
    return v != NULL;
}

/* BUILD gives the object below the state at the top. Only attributes of dicts (an OrderedDict's _metadata)
 * and of objects that are not made come this way, so it is dropped. */
static bool op_build(machine *m)
{
    return top(m, 2) && drop(m, 1);
}

static bool op_persistent(machine *m)
{
    pickle_value **id = top(m, 1);
    pickle_value *v = id ? make(m, PICKLE_PERSISTENT) : NULL;
    if (!v)
        return false;
    v->persistent = *id;
    *id = v;
    return true;
}

static bool op_protocol(machine *m)
{
    const unsigned char *protocol = take(m, 1);
    if (protocol && (*protocol < 2 || *protocol > 5))
        return fail(m, MOHVIT_ERROR_UNSUPPORTED, "pickle protocol; expected 2 to 5");
    return protocol != NULL;
}

// ---- Opcodes ---------------------------------------------------------------------------------------

// clang-format off
// NOLINTBEGIN(bugprone-branch-clone): a line for each opcode
static bool step(machine *m, unsigned char opcode)
{
    switch (opcode) {
    case 0x80: return op_protocol(m);
    case 0x95: return take(m, 8) != NULL; // FRAME: a hint for buffering
    case 'N': return push_new(m, PICKLE_NONE) != NULL;
    case 0x88: return push_int(m, PICKLE_BOOL, 1);
    case 0x89: return push_int(m, PICKLE_BOOL, 0);
    case 'K': return op_int(m, 1); // BININT1
    case 'M': return op_int(m, 2); // BININT2
    case 'J': return op_int(m, 4); // BININT
    case 0x8a: return op_long(m, 1);
    case 0x8b: return op_long(m, 4);
    case 'G': return take(m, 8) && push_new(m, PICKLE_OPAQUE); // BINFLOAT
    case 0x8c: return op_text(m, 1, PICKLE_STRING); // SHORT_BINUNICODE
    case 'X': return op_text(m, 4, PICKLE_STRING);  // BINUNICODE
    case 0x8d: return op_text(m, 8, PICKLE_STRING); // BINUNICODE8
    case 'U': return op_text(m, 1, PICKLE_STRING);  // SHORT_BINSTRING, Python 2's
    case 'T': return op_text(m, 4, PICKLE_STRING);  // BINSTRING
    case 'C': return op_text(m, 1, PICKLE_OPAQUE);  // SHORT_BINBYTES
    case 'B': return op_text(m, 4, PICKLE_OPAQUE);  // BINBYTES
    case 0x8e: return op_text(m, 8, PICKLE_OPAQUE); // BINBYTES8
    case 0x96: return op_text(m, 8, PICKLE_OPAQUE); // BYTEARRAY8
    case ']': return push_new(m, PICKLE_LIST) != NULL;
    case '}': return push_new(m, PICKLE_DICT) != NULL;
    case ')': return push_new(m, PICKLE_TUPLE) != NULL;
    case 0x8f: return push_new(m, PICKLE_OPAQUE) != NULL; // EMPTY_SET
    case 'l': return op_collect(m, PICKLE_LIST, TO_MARK);
    case 'd': return op_collect(m, PICKLE_DICT, TO_MARK);
    case 't': return op_collect(m, PICKLE_TUPLE, TO_MARK);
    case 0x85: return op_collect(m, PICKLE_TUPLE, 1);
    case 0x86: return op_collect(m, PICKLE_TUPLE, 2);
    case 0x87: return op_collect(m, PICKLE_TUPLE, 3);
    case 'a': return op_extend(m, PICKLE_LIST, 1);    // APPEND
    case 'e': return op_extend(m, PICKLE_LIST, TO_MARK); // APPENDS
    case 's': return op_extend(m, PICKLE_DICT, 2);    // SETITEM
    case 'u': return op_extend(m, PICKLE_DICT, TO_MARK); // SETITEMS
    case 0x90: return op_extend(m, PICKLE_OPAQUE, TO_MARK); // ADDITEMS, to a set
    case 0x91: return drop(m, TO_MARK) && push_new(m, PICKLE_OPAQUE);
    case '(': return push_mark(m);
    case '0': return op_pop(m);
    case '1': return drop(m, TO_MARK);
    case '2': return op_dup(m);
    case 'q': return op_put(m, 1); // BINPUT
    case 'r': return op_put(m, 4); // LONG_BINPUT
    case 'p': return op_put(m, 0);
    case 0x94: return remember(m, m->memo_count); // MEMOIZE
    case 'h': return op_get(m, 1);                // BINGET
    case 'j': return op_get(m, 4);                // LONG_BINGET
    case 'g': return op_get(m, 0);
    case 'c': return op_global(m);
    case 0x93: return op_stack_global(m);
    case 'R': return op_call(m, 2);  // REDUCE
    case 0x81: return op_call(m, 2); // NEWOBJ
    case 0x92: return op_call(m, 3); // NEWOBJ_EX
    case 'b': return op_build(m);
    case 'Q': return op_persistent(m); // BINPERSID
    default: return fail(m, MOHVIT_ERROR_UNSUPPORTED, "unknown opcode");
    }
}
// NOLINTEND(bugprone-branch-clone)
// clang-format on

/* Runs to STOP; the value at the top is then the pickle's. */
static bool run(machine *m)
{
    for (;;) {
        m->opcode_at = m->at;
        const unsigned char *opcode = m->at < m->size ? take(m, 1) : NULL;
        if (!opcode)
            return damaged(m, "the pickle ends without STOP");
        if (*opcode == '.')
            break;
        if (!step(m, *opcode))
            return false;
    }
    pickle_value **root = top(m, 1);
    if (!root)
        return false;
    m->out->root = *root;
    return true;
}

mohvit_status unpickle(pickle **out, const void *bytes, size_t size, const char *name, mohvit_error *err)
{
    mohvit_error local = {0};
    machine m = {.out = calloc(1, sizeof(pickle)), .bytes = bytes, .size = size, .name = name, .err = &local};
    if (!m.out)
        return error_set(err, MOHVIT_ERROR_MEMORY, "%s: no memory", name);
    m.out->values.limit = PICKLE_MAX_MEMORY;
    bool ok = run(&m);
    if (ok) {
        *out = m.out;
    } else {
        pickle_free(m.out);
        if (err)
            *err = local;
    }
    free(m.stack);
    free(m.marks);
    free(m.memo);
    return ok ? MOHVIT_OK : local.status;
}

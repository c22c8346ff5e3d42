/* pickle.h - the values that a pickle describes, as a tree of plain data. What pickle would have called or
 * imported is kept as a note of the call, for a reader to know by name or to pass over.
 *
 * All values of a pickle live in one arena and go at once, so they may be shared and may contain themselves;
 * a reader therefore follows no path deeper than it knows it to be. */
#ifndef MOHVIT_PICKLE_H
#define MOHVIT_PICKLE_H

#include "base/arena.h"
#include "base/error.h"

/* Of the values. They take some ten times the bytes of an honest pickle, in which an element of a weight has
 * no place: 0.8 MB for 207 parameters and their optimizer. */
#define PICKLE_MAX_MEMORY ((size_t)256 << 20)

#define PICKLE_MAX_BYTES ((size_t)64 << 20)
#define PICKLE_MAX_STACK ((size_t)1 << 20) /* values, and marks */

typedef enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,       /* integer */
    PICKLE_INT,        /* integer */
    PICKLE_STRING,     /* text */
    PICKLE_TUPLE,      /* items */
    PICKLE_LIST,       /* items */
    PICKLE_DICT,       /* items: key, value, key, value …; OrderedDict and defaultdict too */
    PICKLE_GLOBAL,     /* global: a class or function, by name */
    PICKLE_CALL,       /* call: what a function or class would have made */
    PICKLE_PERSISTENT, /* persistent: torch.save's reference to a storage */
    PICKLE_OPAQUE      /* floats, bytes, sets, integers beyond 64 bits */
} pickle_kind;

/* Not terminated; lies in the pickle's own bytes. */
typedef struct pickle_text {
    const char *bytes;
    size_t length;
} pickle_text;

typedef struct pickle_value pickle_value;
struct pickle_value {
    pickle_kind kind;
    union {
        int64_t integer;
        pickle_text text;
        struct {
            pickle_value **at;
            size_t count, capacity;
        } items;
        struct {
            pickle_text module, name;
        } global;
        struct {
            const pickle_value *callable, *args; /* args may be of any kind */
        } call;
        const pickle_value *persistent;
    };
};

typedef struct pickle {
    arena values;
    const pickle_value *root; /* the value that the pickle is of */
} pickle;

/* Reads a pickle of protocol 2 to 5, as torch.save writes them. Strings in *out point into bytes, which the
 * caller keeps until pickle_free. name begins every message, which gives the place and the opcode. */
mohvit_status unpickle(pickle **out, const void *bytes, size_t size, const char *name, mohvit_error *err);
void pickle_free(pickle *p);

bool pickle_text_is(pickle_text text, const char *expected);

/* Whether v is the class or function module.name. */
bool pickle_is_global(const pickle_value *v, const char *module, const char *name);

/* The value of a string key of a dict, the last where there are several; NULL if there is none. */
const pickle_value *pickle_dict_get(const pickle_value *dict, const char *key);

#endif

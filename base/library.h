/* library.h - libraries that are loaded where they are first needed. */
#ifndef MOHVIT_LIBRARY_H
#define MOHVIT_LIBRARY_H

#include <stddef.h>

/* A function that is wanted of a library, and the pointer to it that is to be set. */
typedef struct library_function {
    void *pointer;
    const char *name;
} library_function;

/* Loads the library and sets all pointers. NULL: why (size) says what is missing. It stays for good, since
 * threads and handlers of its own cannot be unloaded; but where it can have none yet, it may be. */
void *library_load(const char *name, const library_function *functions, size_t count, char *why, size_t size);
void library_unload(void *library);

#endif

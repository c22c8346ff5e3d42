#include "base/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

void *library_load(const char *name, const library_function *functions, size_t count, char *why, size_t size)
{
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *reason = dlerror();
        snprintf(why, size, "%s%s", reason ? reason : name, reason ? "" : " cannot be loaded");
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        void *found = dlsym(library, functions[i].name);
        if (!found) {
            snprintf(why, size, "%s has no %s", name, functions[i].name);
            return NULL;
        }
        memcpy(functions[i].pointer, &found, sizeof found);
    }
    return library;
}

void library_unload(void *library)
{
    dlclose(library);
}

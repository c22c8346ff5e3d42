#include "vit/api/sized.h"

#include "vit/mohvit.h"

#include <string.h>

static mohvit_status read_size(size_t *size, const void *given, size_t own_size, const char *name,
                               mohvit_error *err)
{
    memcpy(size, given, sizeof *size);
    if (*size >= sizeof *size && *size <= SIZED_MAX)
        return MOHVIT_OK;
    return error_set(err, MOHVIT_ERROR_ARGUMENT, "%s: its size is %zu; expected sizeof(%s), here %zu", name,
                     *size, name, own_size);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

mohvit_status sized_take(void *own, size_t own_size, const void *given, const char *name, mohvit_error *err)
{
    size_t size = own_size;
    memset(own, 0, own_size);
    mohvit_status status = given ? read_size(&size, given, own_size, name, err) : MOHVIT_OK;
    for (size_t at = own_size; !status && given && at < size; at++)
        if (((const unsigned char *)given)[at])
            status = error_set(err, MOHVIT_ERROR_ARGUMENT,
                               "%s: byte %zu of %zu is not zero; mohvit %s knows %zu bytes: the program was "
                               "built for a newer mohvit.h",
                               name, at, size, mohvit_version(), own_size);
    if (!status && given)
        memcpy(own, given, smaller(size, own_size));
    memcpy(own, &own_size, sizeof own_size);
    return status;
}

mohvit_status sized_give(void *given, const void *own, size_t own_size, const char *name, mohvit_error *err)
{
    size_t size, at = sizeof size;
    mohvit_status status = read_size(&size, given, own_size, name, err);
    if (status)
        return status;
    memset((char *)given + at, 0, size - at);
    memcpy((char *)given + at, (const char *)own + at, smaller(size, own_size) - at);
    return MOHVIT_OK;
}

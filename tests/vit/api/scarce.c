#include "tests/vit/api/scarce.h"

#include <dlfcn.h>
#include <errno.h>
#include <fts.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_bool counting, lasts;
static atomic_size_t calls, failing;

/* ---- Who is spared --------------------------------------------------------------------------------- */

typedef struct {
    uintptr_t begin, end;
} range;

static range spared[8];
static size_t spared_count;

static _Thread_local bool in_spared_call;

static bool is_spared(const void *caller)
{
    if (in_spared_call)
        return true;
    for (size_t i = 0; i < spared_count; i++)
        if ((uintptr_t)caller >= spared[i].begin && (uintptr_t)caller < spared[i].end)
            return true;
    return false;
}

static int note_library(struct dl_phdr_info *info, size_t size, void *user)
{
    static const char *const names[] = {"/libgomp.so", "/libopenblas", "/libjansson", "/libarchive",
                                        "/ld-linux"};
    (void)size;
    (void)user;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strstr(info->dlpi_name, names[i]) || spared_count == sizeof spared / sizeof *spared)
            continue;
        range r = {UINTPTR_MAX, 0};
        for (size_t p = 0; p < info->dlpi_phnum; p++) {
            const ElfW(Phdr) *segment = &info->dlpi_phdr[p];
            uintptr_t begin = info->dlpi_addr + segment->p_vaddr, end = begin + segment->p_memsz;
            if (segment->p_type != PT_LOAD)
                continue;
            r.begin = begin < r.begin ? begin : r.begin;
            r.end = end > r.end ? end : r.end;
        }
        if (!is_spared((const void *)r.begin)) // it was noted before
            spared[spared_count++] = r;
    }
    return 0;
}

/* Whether this allocation fails. */
static bool refuse(const void *caller)
{
    if (!atomic_load(&counting) || is_spared(caller))
        return false;
    size_t number = atomic_fetch_add(&calls, 1) + 1, nth = atomic_load(&failing);
    if (!nth || number < nth || (number > nth && !atomic_load(&lasts)))
        return false;
    errno = ENOMEM;
    return true;
}

void scarce_begin(size_t nth, bool lasting)
{
    if (!spared_count)
        dl_iterate_phdr(note_library, NULL);
    atomic_store(&calls, 0);
    atomic_store(&failing, nth);
    atomic_store(&lasts, lasting);
    atomic_store(&counting, true);
}

size_t scarce_end(void)
{
    atomic_store(&counting, false);
    return atomic_load(&calls);
}

/* ---- In place of the C library --------------------------------------------------------------------- */

#define CALLER __builtin_return_address(0)

/* The function of this name that comes next: the C library's, or a sanitizer's. */
#define REAL(type, name, ...)                                                                                \
    static type (*real)(__VA_ARGS__);                                                                        \
    if (!real)                                                                                               \
    *(void **)&real = dlsym(RTLD_NEXT, #name)

void *malloc(size_t size)
{
    REAL(void *, malloc, size_t);
    return refuse(CALLER) ? NULL : real(size);
}

void *calloc(size_t count, size_t size)
{
    REAL(void *, calloc, size_t, size_t);
    return refuse(CALLER) ? NULL : real(count, size);
}

void *realloc(void *block, size_t size)
{
    REAL(void *, realloc, void *, size_t);
    if (refuse(CALLER))
        return NULL;
    return real(block, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    REAL(void *, aligned_alloc, size_t, size_t);
    return refuse(CALLER) ? NULL : real(alignment, size);
}

void *memalign(size_t alignment, size_t size);
void *memalign(size_t alignment, size_t size)
{
    REAL(void *, memalign, size_t, size_t);
    return refuse(CALLER) ? NULL : real(alignment, size);
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    REAL(int, posix_memalign, void **, size_t, size_t);
    if (refuse(CALLER))
        return ENOMEM;
    return real(block, alignment, size);
}

/* The C library's own call malloc, a sanitizer's do not. */
char *strndup(const char *text, size_t size)
{
    size_t length = strnlen(text, size);
    char *copy = malloc(length + 1);
    if (!copy)
        return NULL;
    copy[length] = '\0';
    return memcpy(copy, text, length);
}

char *strdup(const char *text)
{
    return strndup(text, PTRDIFF_MAX);
}

FTS *fts_open(char *const *roots, int options, int (*compare)(const FTSENT **, const FTSENT **))
{
    REAL(FTS *, fts_open, char *const *, int, int (*)(const FTSENT **, const FTSENT **));
    in_spared_call = true;
    FTS *walk = real(roots, options, compare);
    in_spared_call = false;
    return walk;
}

/* What comes is spared on its way, and later. */
void *dlopen(const char *path, int mode)
{
    REAL(void *, dlopen, const char *, int);
    in_spared_call = true;
    void *library = real(path, mode);
    in_spared_call = false;
    dl_iterate_phdr(note_library, NULL);
    return library;
}

/* ---- Preloaded ------------------------------------------------------------------------------------- */

static void begin_as_told(void)
{
    const char *told = getenv("SCARCE");
    if (!told && !getenv("SCARCE_COUNT"))
        return;
    char *end = NULL;
    size_t nth = told ? strtoul(told, &end, 10) : 0;
    scarce_begin(nth, told && *end == '+');
}

__attribute__((destructor)) static void tell_count(void)
{
    const char *path = getenv("SCARCE_COUNT");
    size_t count = scarce_end();
    FILE *f = path ? fopen(path, "w") : NULL;
    if (f) {
        fprintf(f, "%zu\n", count);
        fclose(f);
    }
}

typedef int start(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void),
                  void (*fini)(void), void (*rtld_fini)(void), void *stack_end);

start __libc_start_main;
int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void),
                      void (*fini)(void), void (*rtld_fini)(void), void *stack_end)
{
    start *real;
    *(void **)&real = dlsym(RTLD_NEXT, "__libc_start_main");
    begin_as_told();
    return real(main, argc, argv, init, fini, rtld_fini, stack_end);
}

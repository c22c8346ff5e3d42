/* A program that loads the library, runs it on several threads and unloads it goes on: threads that wait for
 * a next run keep the code that they wait in. Linked with nothing that would keep it for them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/mohvit.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCH   12 /* work enough for several threads */
#define THREADS 3
#define SIDE    28

static bool find(void *library, const char *name, void *function)
{
    void *found = dlsym(library, name);
    memcpy(function, &found, sizeof found);
    return found != NULL;
}

/* 0, or which step failed. */
static int load_run_unload(void)
{
    __typeof__(mohvit_open) *open;
    __typeof__(mohvit_context_create) *create;
    __typeof__(mohvit_load_rgb) *load;
    __typeof__(mohvit_run) *run;
    mohvit_model *model;
    mohvit_context *ctx;
    static const uint8_t rgb[SIDE * SIDE * 3];
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return 1;
    if (!find(library, "mohvit_open", &open) || !find(library, "mohvit_context_create", &create) ||
        !find(library, "mohvit_load_rgb", &load) || !find(library, "mohvit_run", &run))
        return 2;
    if (open(&model, NULL, &(mohvit_options){.size = sizeof(mohvit_options), .threads = THREADS}, NULL) ||
        create(&ctx, model, BATCH, THREADS, NULL))
        return 3;
    for (size_t slot = 0; slot < BATCH; slot++)
        if (load(ctx, slot, rgb, SIDE, SIDE, (size_t)SIDE * 3, NULL))
            return 4;
    if (run(ctx, BATCH, NULL))
        return 5;
    // At once, with model and context still there: the others yet look about for more to do.
    if (dlclose(library))
        return 6;
    usleep(20000);
    return 0;
}

static void a_program_goes_on_when_it_unloads_the_library(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (!child)
            _exit(load_run_unload());
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_program_goes_on_when_it_unloads_the_library)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

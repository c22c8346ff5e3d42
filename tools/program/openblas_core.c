#include "tools/program/openblas_core.h"
#include "vit/kernels/gemm.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

/* Other threads may be reading the environment. */
static bool alone(void)
{
    size_t tasks = 0;
    DIR *threads = opendir("/proc/self/task");
    const struct dirent *entry;
    while (threads && (entry = readdir(threads))) // NOLINT(concurrency-mt-unsafe): nobody else reads it
        tasks += entry->d_name[0] != '.';
    if (threads)
        closedir(threads);
    return tasks == 1;
}

/* The widest set that this processor has, whatever MOHVIT_ISA says. */
static const char *widest_set(void)
{
    const char *set = NULL;
    for (size_t i = 0; kernels_layer(i); i++)
        set = kernels_layer(i)->isa;
    return set;
}

static bool rename_core(const char *core)
{
    static const char *const without_fma[] = {"Prescott",  "Core2",       "Penryn",  "Dunnington", "Nehalem",
                                              "Barcelona", "Sandybridge", "Opteron", "Bobcat"};
    static const struct {
        const char *set, *core;
    } fitting[] = {{"avx2", "Haswell"}, {"avx512", "SkylakeX"}};
    const char *asked = getenv("OPENBLAS_CORETYPE"), *fits = NULL;
    bool old = false;
    for (size_t i = 0; i < sizeof without_fma / sizeof *without_fma; i++)
        old = old || !strcmp(core, without_fma[i]);
    for (size_t i = 0; i < sizeof fitting / sizeof *fitting; i++)
        if (!strcmp(fitting[i].set, widest_set()))
            fits = fitting[i].core;
    return old && fits && !(asked && *asked) && alone() && !setenv("OPENBLAS_CORETYPE", fits, 1);
}

void openblas_core_begin(void)
{
    gemm_openblas_rename_core = rename_core;
}

/* In place of parallel.c, where OpenMP is left out (MOHVIT_OPENMP=OFF): the calling thread does everything.
 */
#include "base/parallel.h"

void parallel_run(UNUSED size_t threads, void (*body)(void *arg, team *t), void *arg)
{
    body(arg, NULL);
}

size_t parallel_size(UNUSED const team *t)
{
    return 1;
}

void parallel_for(UNUSED team *t, size_t tasks, parallel_task *run, void *arg)
{
    for (size_t task = 0; task < tasks; task++)
        run(arg, task, 0);
}

size_t parallel_default_threads(void)
{
    return 1;
}

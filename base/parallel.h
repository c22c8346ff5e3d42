/* parallel.h - the one place that starts threads: with OpenMP. Without it there are none, but in WebAssembly,
 * where JavaScript starts those that help. */
#ifndef MOHVIT_PARALLEL_H
#define MOHVIT_PARALLEL_H

#include "base/error.h"

/* Threads that wait for tasks while parallel_run lasts. NULL stands for the calling thread alone. */
typedef struct team team;

/* Calls body(arg, team) on this thread with a team of up to `threads` around it, and returns when body has.
 * It is one OpenMP region, so that the steps of a forward pass need not open one each. With one thread the
 * team is NULL. A forked child lacks its caller's threads: there body runs on another, with a new team.
 * Threads round, and treat denormal numbers, as the caller does: a task's result is its own, whoever does it.
 */
void parallel_run(size_t threads, void (*body)(void *arg, team *t), void *arg);

/* Threads of the team, the caller's included; 1 for NULL. */
size_t parallel_size(const team *t);

/* Does task number `task`; worker < threads numbers the thread that does it (0 is the caller). */
typedef void parallel_task(void *arg, size_t task, size_t worker);

/* Runs tasks 0 … tasks−1 (fewer than 2^32) on the team and returns when all are done; each runs once, in any
 * order, on any worker. Called by the thread that runs parallel_run's body. It waits for tasks that have
 * begun, never for threads: one that the system has taken off its core holds up nothing. Tasks may hold loops
 * of their own with team NULL. */
void parallel_for(team *t, size_t tasks, parallel_task *run, void *arg);

/* Threads that the affinity mask and the cgroup's CPU quota grant; at least 1. */
size_t parallel_default_threads(void);

/* What a thread does that JavaScript has started: it helps as worker 1 … threads−1 of every team, and does
 * not return. Of parallel_web.c alone. */
void parallel_help(size_t worker);

/* Called where parallel_help has ended, by a trap: the loop that waits for that thread, and every later one,
 * traps instead of waiting for ever. */
void parallel_help_failed(void);

#define PARALLEL_MAX_THREADS 1024

/* *threads = what a user asked for; 0 asks for the default. */
static inline mohvit_status parallel_threads(size_t *threads, int asked, mohvit_error *err)
{
    if (asked < 0 || asked > PARALLEL_MAX_THREADS)
        return error_set(err, MOHVIT_ERROR_ARGUMENT, "%d threads; expected 0 (the default) to %d", asked,
                         PARALLEL_MAX_THREADS);
    *threads = asked ? (size_t)asked : parallel_default_threads();
    return MOHVIT_OK;
}

#endif

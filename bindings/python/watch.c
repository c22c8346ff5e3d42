/* watch.c - the progress of a call, told to Python. Part of the extension module (make_binding.py). Each call into
 * Python waits for the interpreter's lock, for 5 ms where another thread computes: so there are 20 a second at
 * most, which is often enough for signals to be handled, and a short call does without. */
#include <stdint.h>
#include <time.h>

#define INTERVAL INT64_C(50000000) /* ns */

typedef struct watch {
    const int *stop; /* nonzero: cancel the call; may be NULL */
    void *told;      /* handle of what wants to know the progress; NULL: nobody, signals alone are looked for */
    int64_t next;    /* when to call Python again, ns */
} watch;

static int on_time(void *told, size_t done, size_t total); // Python's; nonzero cancels

/* A mohvit_progress. */
static int watch_progress(void *of, size_t done, size_t total)
{
    watch *w = of;
    if (w->stop && __atomic_load_n(w->stop, __ATOMIC_RELAXED))
        return 1;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t now = t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
    if (!w->told && !done)
        w->next = now + INTERVAL; // the call begins
    if (now < w->next && !(w->told && (!done || done == total)))
        return 0;
    w->next = now + INTERVAL;
    return on_time(w->told, done, total);
}

/* In place of parallel.c in WebAssembly, where JavaScript starts the threads (bindings/web/helper.js): each
 * calls parallel_help over the same memory. Without them the calling thread does everything. */
#include "base/parallel.h"

#include <stdatomic.h>
#include <stdbool.h>

struct team {
    size_t size;
};

/* A loop at work. Its fields change only while every task is done, so that a helper whose claim succeeded has
 * read those of the right loop. */
static struct {
    _Alignas(64) _Atomic uint64_t ticket; // the loop's number in the upper half, unclaimed tasks in the lower
    _Atomic(parallel_task *) run;
    _Atomic(void *) arg;
    atomic_uint tasks;
    _Alignas(64) atomic_uint loop; // its number, stored last: what helpers wait for
    atomic_uint sleeping;          // helpers
    _Alignas(64) atomic_uint done; // tasks: what the caller waits for
    atomic_bool caller_sleeps;
    atomic_bool failed; // a helper has
} work;

#define UNCLAIMED UINT64_C(0xFFFFFFFF)

/* Turns of waiting before a thread sleeps, some 0.1 ms: steps of a forward pass are microseconds apart, and
 * to be woken takes tens. There is no way to offer the core to others. */
#define SPIN_TURNS 100000

/* Until *word is not `seen`, as far as turns allow. */
static bool spin(atomic_uint *word, unsigned seen)
{
    for (size_t turn = 0; turn < SPIN_TURNS; turn++)
        if (atomic_load_explicit(word, memory_order_acquire) != seen)
            return true;
    return false;
}

/* Sleeps while *word is `seen`. */
static void sleep_on(atomic_uint *word, unsigned seen)
{
    __builtin_wasm_memory_atomic_wait32((int *)word, (int)seen, -1);
}

static void wake(atomic_uint *word)
{
    __builtin_wasm_memory_atomic_notify((int *)word, UINT32_MAX);
}

static void do_tasks(size_t worker)
{
    uint64_t ticket = atomic_load(&work.ticket);
    while (ticket & UNCLAIMED) {
        if (!atomic_compare_exchange_weak(&work.ticket, &ticket, ticket - 1))
            continue;
        unsigned tasks = atomic_load(&work.tasks);
        parallel_task *run = atomic_load(&work.run);
        run(atomic_load(&work.arg), tasks - (unsigned)(ticket & UNCLAIMED), worker);
        if (atomic_fetch_add(&work.done, 1) + 1 == tasks && atomic_load(&work.caller_sleeps))
            wake(&work.done);
        ticket = atomic_load(&work.ticket);
    }
}

void parallel_help(size_t worker)
{
    for (unsigned seen = 0;;) {
        if (!spin(&work.loop, seen)) {
            atomic_fetch_add(&work.sleeping, 1); // before the last look, as the caller looks after its store
            while (atomic_load(&work.loop) == seen)
                sleep_on(&work.loop, seen);
            atomic_fetch_sub(&work.sleeping, 1);
        }
        seen = atomic_load(&work.loop);
        do_tasks(worker);
    }
}

void parallel_help_failed(void)
{
    atomic_store(&work.failed, true);
    atomic_fetch_add(&work.done, 1); // the task that it failed in, so that the caller stops waiting
    wake(&work.done);
}

void parallel_run(size_t threads, void (*body)(void *arg, team *t), void *arg)
{
    team t = {threads};
    body(arg, threads > 1 ? &t : NULL);
}

size_t parallel_size(const team *t)
{
    return t ? t->size : 1;
}

void parallel_for(team *t, size_t tasks, parallel_task *run, void *arg)
{
    if (!t || tasks <= 1) {
        for (size_t task = 0; task < tasks; task++)
            run(arg, task, 0);
        return;
    }
    unsigned loop = atomic_load(&work.loop) + 1;
    atomic_store(&work.run, run);
    atomic_store(&work.arg, arg);
    atomic_store(&work.tasks, (unsigned)tasks);
    atomic_store(&work.done, 0);
    atomic_store(&work.ticket, (uint64_t)loop << 32 | tasks);
    atomic_store(&work.loop, loop);
    if (atomic_load(&work.sleeping))
        wake(&work.loop);
    do_tasks(0);
    for (unsigned done = atomic_load(&work.done); done < tasks; done = atomic_load(&work.done)) {
        if (spin(&work.done, done))
            continue;
        atomic_store(&work.caller_sleeps, true); // before the last look, as helpers look after they count
        sleep_on(&work.done, done);
        atomic_store(&work.caller_sleeps, false);
    }
    if (atomic_load(&work.failed))
        __builtin_trap();
}

size_t parallel_default_threads(void)
{
    return 1;
}

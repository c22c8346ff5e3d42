#include "base/parallel.h"
#include "base/clock.h"
#include "base/memory.h"

#include <fenv.h>
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#define SPIN_HINT() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define SPIN_HINT() __asm__ volatile("yield")
#else
#define SPIN_HINT() ((void)0)
#endif

/* A worker's share of a loop's tasks. `ticket` holds the loop's number in the upper half and how many of the
 * share are unclaimed in the lower; to claim one is to count that down. */
typedef struct {
    _Alignas(64) atomic_uint_fast64_t ticket;
} share;

#define SHARES_MAX 64
#define UNCLAIMED  UINT64_C(0xFFFFFFFF)

/* Threads that sleep until something has come. Each counts itself before it sleeps; who wakes takes the count
 * and gives as many permits. There is no lock, since a thread that loses its core would keep it. */
typedef struct {
    atomic_uint count;
    sem_t permits;
} sleepers;

/* A loop at work. Its fields change only while every ticket is at 0, so that a thread whose claim succeeded
 * has read those of the right loop. `loop` is stored last, and is what waiting threads watch. */
struct team {
    _Alignas(64) atomic_uint_fast64_t loop;
    _Atomic(parallel_task *) run;
    _Atomic(void *) arg;
    atomic_size_t tasks;
    _Alignas(64) atomic_size_t done;
    atomic_bool finished;
    atomic_size_t left; // workers that are through
    size_t size, shares;
    sleepers workers, caller;
    share share[SHARES_MAX];
};

/* ---- Waiting ------------------------------------------------------------------------------------- */

/* The steps of a forward pass are microseconds apart, and tasks take up to some hundreds of them: so long
 * waiting threads spin, since to be woken takes tens, but not without offering the core to others, who may be
 * what is waited for. After that they sleep: whoever is waited for has lost its core, and gets the one that
 * is left. With another process on one of two cores of Zen 3 (`taskset -c 1 sh -c 'while :; do :; done'`), an
 * image took 1.0 times as long on two threads as on one, 1.2 times without offering: `mohvit bench --variant
 * moh_transnext_small_75 --size 64`, with and without `--threads 1`, in turn. */
#define SPIN_NS    1000000
#define SPIN_TURNS 2048 // between two offers

typedef bool arrival(team *t, uint_fast64_t what);

static inline void wait_for(team *t, sleepers *s, arrival *has_come, uint_fast64_t what)
{
    uint64_t start = 0, now = 0;
    for (size_t turns = 1; now - start < SPIN_NS; turns++) {
        if (has_come(t, what))
            return;
        if (turns % SPIN_TURNS == 0)
            sched_yield();
        SPIN_HINT();
        if (turns % 64 == 0) {
            now = clock_ns();
            start = start ? start : now;
        }
    }
    for (;;) {
        atomic_fetch_add(&s->count, 1); // before the last look, as wake looks after its news was stored
        if (has_come(t, what))
            return;                   // a permit is left over: it wakes somebody early, who looks again
        while (sem_wait(&s->permits)) // a signal came
            ;
    }
}

/* After the store that makes has_come true. */
static void wake(sleepers *s)
{
    for (unsigned n = atomic_load(&s->count) ? atomic_exchange(&s->count, 0) : 0; n; n--)
        sem_post(&s->permits);
}

static bool is_called(team *t, uint_fast64_t seen)
{
    return atomic_load(&t->loop) != seen || atomic_load(&t->finished);
}

static bool are_done(team *t, uint_fast64_t tasks)
{
    return atomic_load(&t->done) >= tasks;
}

static bool have_left(team *t, uint_fast64_t workers)
{
    return atomic_load(&t->left) >= workers;
}

/* ---- Working ------------------------------------------------------------------------------------- */

static size_t share_end(size_t tasks, size_t shares, size_t index)
{
    return tasks * (index + 1) / shares; // tasks < 2^32
}

/* Does what is unclaimed of the current loop: the worker's own share, then the others'. A worker gets the
 * same part of every loop that way, and finds in its caches what it left there: in turn by turn order, where
 * cores are far apart, one image on two of them took 85 ms in place of 66. */
static void work(team *t, size_t worker)
{
    for (size_t i = 0; i < t->shares; i++) {
        size_t index = (worker + i) % t->shares;
        atomic_uint_fast64_t *at = &t->share[index].ticket;
        uint_fast64_t ticket = atomic_load_explicit(at, memory_order_acquire);
        size_t tasks = 0;
        size_t done = 0; // added up once: the counter is the one thing that all workers write
        while (ticket & UNCLAIMED) {
            parallel_task *run = atomic_load_explicit(&t->run, memory_order_relaxed);
            void *arg = atomic_load_explicit(&t->arg, memory_order_relaxed);
            tasks = atomic_load_explicit(&t->tasks, memory_order_relaxed);
            size_t task = share_end(tasks, t->shares, index) - (size_t)(ticket & UNCLAIMED);
            if (!atomic_compare_exchange_weak_explicit(at, &ticket, ticket - 1, memory_order_acq_rel,
                                                       memory_order_acquire))
                continue;
            run(arg, task, worker);
            done++;
            ticket = atomic_load_explicit(at, memory_order_acquire);
        }
        if (done && atomic_fetch_add(&t->done, done) + done == tasks)
            wake(&t->caller);
    }
}

static void serve(team *t, size_t worker)
{
    uint_fast64_t seen = 0;
    for (;;) {
        wait_for(t, &t->workers, is_called, seen);
        if (atomic_load_explicit(&t->finished, memory_order_acquire))
            break;
        seen = atomic_load_explicit(&t->loop, memory_order_acquire);
        work(t, worker);
    }
    atomic_fetch_add(&t->left, 1);
    wake(&t->caller);
}

/* ---- Forked children --------------------------------------------------------------------------- */

/* libgomp keeps the threads of a region for the next one of the same caller. A fork takes the caller along
 * and leaves them behind, and the child would wait for them for good. */
static _Thread_local bool threads_lost;

static void lose_threads(void)
{
    threads_lost = true;
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, lose_threads); // without memory: as if nobody watched
}

typedef struct call {
    size_t threads;
    void (*body)(void *arg, team *t);
    void *arg;
} call;

static void *make_call(void *arg)
{
    const call *c = arg;
    parallel_run(c->threads, c->body, c->arg);
    return NULL;
}

/* In a thread of its own, which has lost nothing. */
static void run_elsewhere(call *c)
{
    pthread_t other;
    if (pthread_create(&other, NULL, make_call, c))
        c->body(c->arg, NULL);
    else
        pthread_join(other, NULL);
}

/* ---- Room --------------------------------------------------------------------------------------- */

/* OpenMP ends the process where it cannot make a thread. So there are as many as have room for their stacks,
 * and for one more, since OpenMP itself needs memory. OMP_STACKSIZE is not known here. */
static size_t fit(size_t threads)
{
    pthread_attr_t usual;
    size_t stack = 0;
    if (pthread_getattr_default_np(&usual))
        return 1;
    pthread_attr_getstacksize(&usual, &stack);
    pthread_attr_destroy(&usual);
    while (threads > 1 && !memory_has_room(size_product(threads, stack)))
        threads--;
    return threads;
}

/* ---- Running ------------------------------------------------------------------------------------- */

void parallel_run(size_t threads, void (*body)(void *arg, team *t), void *arg)
{
    threads = threads > 1 ? fit(threads) : 1;
    if (threads == 1) {
        body(arg, NULL);
        return;
    }
    if (threads_lost) {
        run_elsewhere(&(call){threads, body, arg});
        return;
    }
    team t = {
        .size = threads,
        .shares = threads < SHARES_MAX ? threads : SHARES_MAX,
    };
    sem_init(&t.workers.permits, 0, 0);
    sem_init(&t.caller.permits, 0, 0);
    fenv_t callers;
    fegetenv(&callers);
#pragma omp parallel num_threads((int)threads)
    {
        if (omp_get_thread_num()) {
            fenv_t own; // the thread serves the caller's own OpenMP regions too
            fegetenv(&own);
            fesetenv(&callers);
            serve(&t, (size_t)omp_get_thread_num());
            fesetenv(&own);
        } else {
            body(arg, &t);
            atomic_store(&t.finished, true);
            wake(&t.workers);
            // Not in OpenMP's barrier, where waiting threads keep their cores for milliseconds: eight
            // pictures with the built-in model, measured as above (`mohvit bench --batch 8`), 8 ms in place
            // of 12.5.
            wait_for(&t, &t.caller, have_left, (uint_fast64_t)omp_get_num_threads() - 1);
        }
    }
    sem_destroy(&t.workers.permits);
    sem_destroy(&t.caller.permits);
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
    uint_fast64_t loop = atomic_load_explicit(&t->loop, memory_order_relaxed) + 1;
    atomic_store_explicit(&t->run, run, memory_order_relaxed);
    atomic_store_explicit(&t->arg, arg, memory_order_relaxed);
    atomic_store_explicit(&t->tasks, tasks, memory_order_relaxed);
    atomic_store_explicit(&t->done, 0, memory_order_relaxed);
    for (size_t i = 0, first = 0; i < t->shares; i++) {
        size_t end = share_end(tasks, t->shares, i);
        atomic_store_explicit(&t->share[i].ticket, loop << 32 | (end - first), memory_order_release);
        first = end;
    }
    atomic_store(&t->loop, loop);
    wake(&t->workers);
    work(t, 0);
    wait_for(t, &t->caller, are_done, tasks);
}

/* How many of two numbers a file of the directory begins with. */
static int read_numbers(const char *directory, const char *file, double *first, double *second)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, file);
    FILE *f = fopen(path, "re");
    int numbers = f ? fscanf(f, "%lf %lf", first, second) : 0;
    if (f)
        fclose(f);
    return numbers;
}

/* Reads "quota period" (cgroup v2) or two files (v1); false where there is no limit. */
static bool read_quota(const char *directory, double *cpus)
{
    double quota = 0, period = 0, none;
    if (read_numbers(directory, "cpu.max", &quota, &period) != 2 &&
        (read_numbers(directory, "cpu.cfs_quota_us", &quota, &none) != 1 ||
         read_numbers(directory, "cpu.cfs_period_us", &period, &none) != 1))
        return false;
    *cpus = quota / period;
    return quota > 0 && period > 0;
}

/* The tightest quota of cgroup v2's directories from this process up to the root, and of v1's controller. */
static double quota_cpus(void)
{
    double tightest = 1e9, cpus;
    if (read_quota("/sys/fs/cgroup", &cpus) && cpus < tightest)
        tightest = cpus;
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f)
        return tightest;
    char line[300];
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        controllers++;
        bool v2 = !*controllers;
        if (!v2 && !strstr(controllers, "cpu"))
            continue;
        for (;;) {
            char directory[400];
            snprintf(directory, sizeof directory, "/sys/fs/cgroup%s%s", v2 ? "" : "/cpu", path);
            if (read_quota(directory, &cpus) && cpus < tightest)
                tightest = cpus;
            char *slash = strrchr(path, '/');
            if (!slash || !*path)
                break;
            *slash = '\0';
        }
    }
    fclose(f);
    return tightest;
}

size_t parallel_default_threads(void)
{
    cpu_set_t set;
    size_t threads = 1;
    if (!sched_getaffinity(0, sizeof set, &set))
        threads = (size_t)CPU_COUNT(&set);
    size_t openmp = (size_t)omp_get_max_threads(); // OMP_NUM_THREADS, or what the caller has set
    if (openmp < threads)
        threads = openmp;
    double cpus = quota_cpus();
    if (cpus < (double)threads)
        threads = (size_t)(cpus + 0.5); // 1.5 CPUs keep two threads busier than one
    return threads ? threads : 1;
}

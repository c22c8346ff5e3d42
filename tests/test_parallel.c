/* Teams and their loops: every task once, whatever the threads, and only as many threads as there are cores
 * to have. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "mohvit.h"
#include "parallel.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_TASKS   5000
#define MAX_THREADS 32

typedef struct {
    size_t threads, tasks;
    atomic_uint done[MAX_TASKS];
    atomic_size_t total, worker_out_of_range;
} tally;

static void count_task(void *arg, size_t task, size_t worker)
{
    tally *t = arg;
    atomic_fetch_add(&t->done[task], 1);
    atomic_fetch_add(&t->total, 1);
    if (worker >= t->threads)
        atomic_fetch_add(&t->worker_out_of_range, 1);
}

static void assert_each_once(tally *t)
{
    assert_int_equal(atomic_load(&t->total), t->tasks);
    assert_int_equal(atomic_load(&t->worker_out_of_range), 0);
    for (size_t i = 0; i < t->tasks; i++)
        assert_int_equal(atomic_load(&t->done[i]), 1);
}

static tally *tally_new(size_t threads, size_t tasks)
{
    tally *t = calloc(1, sizeof *t);
    assert_non_null(t);
    t->threads = threads;
    t->tasks = tasks;
    return t;
}

static void one_loop(void *arg, team *members)
{
    tally *t = arg;
    assert_int_equal(parallel_size(members), t->threads);
    parallel_for(members, t->tasks, count_task, t);
    assert_int_equal(atomic_load(&t->total), t->tasks); // all done on return
}

static const size_t team_sizes[] = {1, 2, 3, 5, 8, 17};

static void every_task_runs_once(void **state)
{
    (void)state;
    const size_t tasks[] = {0, 1, 2, 3, 7, 100, MAX_TASKS};
    for (size_t i = 0; i < sizeof team_sizes / sizeof *team_sizes; i++)
        for (size_t j = 0; j < sizeof tasks / sizeof *tasks; j++) {
            tally *t = tally_new(team_sizes[i], tasks[j]);
            parallel_run(t->threads, one_loop, t);
            assert_each_once(t);
            free(t);
        }
}

static void without_a_team_the_caller_runs_them_in_order(void **state)
{
    (void)state;
    tally *t = tally_new(1, 50);
    parallel_for(NULL, t->tasks, count_task, t);
    assert_each_once(t);
    assert_int_equal(parallel_size(NULL), 1);
    free(t);
}

/* ---- Loops one after the other ----------------------------------------------------------------- */

/* Each loop adds its number to what the loop before left: a task that is late or early shows. */
typedef struct {
    size_t loop, tasks;
    size_t value[64];
    atomic_size_t wrong;
} chain;

static void chain_task(void *arg, size_t task, size_t worker)
{
    (void)worker;
    chain *c = arg;
    if (c->value[task] != c->loop)
        atomic_fetch_add(&c->wrong, 1);
    c->value[task]++;
}

static void many_loops(void *arg, team *members)
{
    chain *c = arg;
    for (c->loop = 0; c->loop < 3000; c->loop++) {
        for (size_t i = c->tasks; i < 64; i++)
            c->value[i] = c->loop + 1;
        parallel_for(members, c->tasks, chain_task, c);
        for (size_t i = 0; i < 64; i++) // what the tasks wrote is seen here
            c->wrong += c->value[i] != c->loop + 1;
        c->tasks = c->tasks % 64 + 1;
    }
}

static void loops_follow_one_another(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof team_sizes / sizeof *team_sizes; i++) {
        chain c = {.tasks = 1};
        parallel_run(team_sizes[i], many_loops, &c);
        assert_int_equal(atomic_load(&c.wrong), 0);
        assert_int_equal(c.loop, 3000);
    }
}

/* ---- Loops within tasks ------------------------------------------------------------------------ */

static void inner_task(void *arg, size_t task, size_t worker)
{
    size_t *sum = arg;
    *sum += task + worker; // worker 0: the thread of the outer task
}

static void outer_task(void *arg, size_t task, size_t worker)
{
    (void)worker;
    atomic_size_t *total = arg;
    size_t sum = 0;
    parallel_for(NULL, task, inner_task, &sum);
    atomic_fetch_add(total, sum);
}

static void nested_loops(void *arg, team *members)
{
    parallel_for(members, 100, outer_task, arg);
}

static void tasks_may_hold_loops_of_their_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof team_sizes / sizeof *team_sizes; i++) {
        atomic_size_t total = 0;
        parallel_run(team_sizes[i], nested_loops, &total);
        assert_int_equal(atomic_load(&total), 161700); // Σ n·(n − 1)/2 for n < 100
    }
}

/* ---- Workers ----------------------------------------------------------------------------------- */

typedef struct {
    atomic_uint inside[MAX_THREADS];
    atomic_uint shared, wrong_caller;
    pthread_t caller;
} worker_watch;

static void watched_task(void *arg, size_t task, size_t worker)
{
    (void)task;
    worker_watch *w = arg;
    if (atomic_fetch_add(&w->inside[worker], 1))
        atomic_fetch_add(&w->shared, 1);
    if (!worker != (pthread_equal(pthread_self(), w->caller) != 0))
        atomic_fetch_add(&w->wrong_caller, 1);
    sched_yield();
    atomic_fetch_sub(&w->inside[worker], 1);
}

static void watched_loop(void *arg, team *members)
{
    worker_watch *w = arg;
    w->caller = pthread_self();
    for (int i = 0; i < 20; i++)
        parallel_for(members, 100, watched_task, w);
}

static void a_worker_number_belongs_to_one_thread(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof team_sizes / sizeof *team_sizes; i++) {
        worker_watch w = {0};
        parallel_run(team_sizes[i], watched_loop, &w);
        assert_int_equal(atomic_load(&w.shared), 0);
        assert_int_equal(atomic_load(&w.wrong_caller), 0);
    }
}

static void *run_a_team(void *arg)
{
    parallel_run(3, one_loop, arg);
    return NULL;
}

static void teams_may_run_side_by_side(void **state)
{
    (void)state;
    pthread_t threads[4];
    tally *tallies[4];
    for (size_t i = 0; i < 4; i++) {
        tallies[i] = tally_new(3, 1000 + i);
        assert_int_equal(pthread_create(&threads[i], NULL, run_a_team, tallies[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_each_once(tallies[i]);
        free(tallies[i]);
    }
}

/* ---- How many ---------------------------------------------------------------------------------- */

static void the_default_is_at_least_one_thread(void **state)
{
    (void)state;
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    assert_true(parallel_default_threads() >= 1);
    assert_true(parallel_default_threads() <= (size_t)CPU_COUNT(&set));
    assert_int_equal(mohvit_default_threads(), (int)parallel_default_threads());
}

static void the_default_follows_the_affinity_mask(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        cpu_set_t set, one;
        size_t cpu = 0;
        if (sched_getaffinity(0, sizeof set, &set))
            _exit(100);
        while (!CPU_ISSET(cpu, &set))
            cpu++;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (sched_setaffinity(0, sizeof one, &one))
            _exit(101);
        _exit((int)parallel_default_threads());
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_follows_the_affinity_mask), // first: it forks, which threads do not like
        cmocka_unit_test(the_default_is_at_least_one_thread),
        cmocka_unit_test(every_task_runs_once),
        cmocka_unit_test(without_a_team_the_caller_runs_them_in_order),
        cmocka_unit_test(loops_follow_one_another),
        cmocka_unit_test(tasks_may_hold_loops_of_their_own),
        cmocka_unit_test(a_worker_number_belongs_to_one_thread),
        cmocka_unit_test(teams_may_run_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Teams and their loops: every task once, whatever the threads, and only as many threads as there are cores
 * to have. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/mohvit.h"
#include "base/clock.h"
#include "base/parallel.h"

#include <fenv.h>
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_TASKS   5000
#define MAX_THREADS 32
#define MANY        130 // threads: more than there are shares (64), twice over

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

static void more_threads_than_shares_do_every_task_once(void **state)
{
    (void)state;
    const size_t threads[] = {63, 64, 65, MANY}, tasks[] = {1, 2, 3, 63, 64, 65, 129, 1000};
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++)
        for (size_t j = 0; j < sizeof tasks / sizeof *tasks; j++) {
            tally *t = tally_new(threads[i], tasks[j]);
            parallel_run(t->threads, one_loop, t);
            assert_each_once(t);
            free(t);
        }
}

/* ---- Shares -------------------------------------------------------------------------------------- */

/* Long enough for any machine, short enough for a failure to be seen. */
#define PATIENCE 20.0

/* Waits until *count is at least so many; false where patience ends first. */
static bool wait_for(atomic_size_t *count, size_t many)
{
    double start = clock_seconds();
    while (atomic_load(count) < many) {
        if (clock_seconds() - start > PATIENCE)
            return false;
        sched_yield();
    }
    return true;
}

typedef struct {
    size_t threads, tasks;
    bool held[MAX_TASKS]; // tasks that end only when all others have
    size_t others;
    atomic_size_t done, in_vain;
} holding;

static void holding_task(void *arg, size_t task, size_t worker)
{
    (void)worker;
    holding *h = arg;
    if (!h->held[task])
        atomic_fetch_add(&h->done, 1);
    else if (!wait_for(&h->done, h->others))
        atomic_fetch_add(&h->in_vain, 1);
}

static void holding_loop(void *arg, team *members)
{
    holding *h = arg;
    parallel_for(members, h->tasks, holding_task, h);
}

/* One worker is held up in each of all the places that there are; then all workers but one at once, wherever
 * that one's share lies. */
static void what_a_held_up_worker_leaves_is_done_by_the_others(void **state)
{
    (void)state;
    for (size_t threads = 2; threads <= 5; threads++)
        for (size_t tasks = threads; tasks <= 40; tasks += 9)
            for (size_t trial = 0; trial < tasks + threads; trial++) {
                holding *h = calloc(1, sizeof *h);
                assert_non_null(h);
                h->threads = threads;
                h->tasks = tasks;
                if (trial < tasks)
                    h->held[trial] = true;
                for (size_t w = 0; trial >= tasks && w < threads; w++)
                    h->held[w * tasks / threads] = w != trial - tasks; // the first of its share
                for (size_t i = 0; i < tasks; i++)
                    h->others += !h->held[i];
                parallel_run(threads, holding_loop, h);
                assert_int_equal(atomic_load(&h->in_vain), 0);
                assert_int_equal(atomic_load(&h->done), h->others);
                free(h);
            }
}

typedef struct {
    size_t threads, tasks;
    atomic_size_t begun, in_vain;
    size_t first[MAX_THREADS]; // the first task that each worker took
    atomic_uint has[MAX_THREADS];
} beginning;

static void beginning_task(void *arg, size_t task, size_t worker)
{
    beginning *b = arg;
    if (atomic_exchange(&b->has[worker], 1))
        return;
    b->first[worker] = task;
    atomic_fetch_add(&b->begun, 1);
    if (!wait_for(&b->begun, b->threads)) // nobody goes on before all have begun
        atomic_fetch_add(&b->in_vain, 1);
}

static void beginning_loop(void *arg, team *members)
{
    beginning *b = arg;
    parallel_for(members, b->tasks, beginning_task, b);
}

/* So that it finds in its caches what it left there in the loop before. */
static void a_worker_begins_with_its_own_share(void **state)
{
    (void)state;
    for (size_t threads = 2; threads <= MAX_THREADS; threads += threads < 6 ? 1 : 13)
        for (size_t tasks = threads; tasks <= 3 * threads; tasks += threads - 1) {
            beginning b = {.threads = threads, .tasks = tasks};
            parallel_run(threads, beginning_loop, &b);
            assert_int_equal(atomic_load(&b.in_vain), 0);
            for (size_t worker = 0; worker < threads; worker++)
                assert_int_equal(b.first[worker], worker * tasks / threads);
        }
}

/* A worker that the system has taken off its core: a signal stops it between two loops, wherever it is. */
static atomic_size_t stopped, released;

static void stop(int number)
{
    (void)number;
    atomic_fetch_add(&stopped, 1);
    while (!atomic_load(&released))
        sched_yield();
}

typedef struct {
    pthread_t thread[3];
    atomic_size_t there;
    bool all_done;
    uint64_t body_ended;
} absence;

static void introduce(void *arg, size_t task, size_t worker)
{
    (void)task;
    absence *a = arg;
    a->thread[worker] = pthread_self();
    atomic_fetch_add(&a->there, 1);
    wait_for(&a->there, 3);
}

static void absent_body(void *arg, team *members)
{
    absence *a = arg;
    parallel_for(members, 3, introduce, a);
    // ThreadSanitizer keeps a signal that comes just before a thread sleeps: the next one makes it come
    // through.
    for (int attempt = 0; attempt < 2 && !a->all_done; attempt++) {
        for (size_t worker = 1; worker < 3; worker++)
            pthread_kill(a->thread[worker], SIGUSR1);
        a->all_done = wait_for(&stopped, 2);
    }
    for (size_t tasks = 1; tasks <= 100; tasks++) {
        tally *t = tally_new(1, tasks); // worker 0 alone
        parallel_for(members, tasks, count_task, t);
        a->all_done = a->all_done && atomic_load(&t->total) == tasks && !atomic_load(&t->worker_out_of_range);
        free(t);
    }
    atomic_store(&released, 1);
    tally *t = tally_new(3, 1000); // they come back to the loop of the day
    parallel_for(members, 1000, count_task, t);
    a->all_done = a->all_done && atomic_load(&t->total) == 1000;
    free(t);
}

static void workers_that_are_off_their_cores_hold_up_nothing(void **state)
{
    (void)state;
    struct sigaction stopping = {.sa_handler = stop}, before;
    assert_int_equal(sigaction(SIGUSR1, &stopping, &before), 0);
    for (int trial = 0; trial < 20; trial++) {
        absence a = {0};
        atomic_store(&stopped, 0);
        atomic_store(&released, 0);
        parallel_run(3, absent_body, &a);
        assert_true(a.all_done);
    }
    sigaction(SIGUSR1, &before, NULL);
}

/* ---- Waiting ------------------------------------------------------------------------------------- */

#define LONG_NS 50000000 // much longer than anybody spins

static void sleep_long(void)
{
    struct timespec left = {.tv_nsec = LONG_NS};
    while (nanosleep(&left, &left))
        ;
}

static void late_task(void *arg, size_t task, size_t worker)
{
    (void)task;
    atomic_size_t *begun = arg;
    atomic_fetch_add(begun, 1);
    wait_for(begun, 2); // so that each of two threads has a task
    if (worker)
        sleep_long();
}

static void sleep_in_handler(int number)
{
    (void)number;
    atomic_fetch_add(&stopped, 1);
    sleep_long();
}

static void introduce_two(void *arg, size_t task, size_t worker)
{
    (void)task;
    absence *a = arg;
    a->thread[worker] = pthread_self();
    atomic_fetch_add(&a->there, 1);
    wait_for(&a->there, 2);
}

static void late_worker(void *arg, team *members)
{
    absence *a = arg;
    parallel_for(members, 2, introduce_two, a);
    pthread_kill(a->thread[1], SIGUSR1);
    a->all_done = wait_for(&stopped, 1);
    a->body_ended = clock_thread_ns();
}

/* What a thread takes of its core while it waits for one that sleeps. Other threads are not counted: idle
 * ones of LLVM's OpenMP spin for 200 ms after the last region that had them. */
static void wait_for_late_task(void *arg, team *members)
{
    uint64_t *spent = arg;
    atomic_size_t begun = 0;
    uint64_t before = clock_thread_ns();
    parallel_for(members, 2, late_task, &begun);
    *spent += clock_thread_ns() - before;
}

static uint64_t thread_ns(clockid_t of)
{
    struct timespec t;
    assert_int_equal(clock_gettime(of, &t), 0);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void wait_for_late_caller(void *arg, team *members)
{
    uint64_t *spent = arg;
    absence a = {0};
    parallel_for(members, 2, introduce_two, &a);
    clockid_t of;
    assert_int_equal(pthread_getcpuclockid(a.thread[1], &of), 0);
    uint64_t before = thread_ns(of);
    sleep_long();
    *spent += thread_ns(of) - before;
}

#define TRIALS  5
#define MOST_MS 12.0 // of the 50 that spinning would take

static void threads_that_wait_for_long_sleep(void **state)
{
    (void)state;
    uint64_t task = 0, caller = 0;
    for (int trial = 0; trial < TRIALS; trial++) {
        parallel_run(2, wait_for_late_task, &task);
        parallel_run(2, wait_for_late_caller, &caller);
    }
    double task_ms = 1e-6 * (double)task / TRIALS, caller_ms = 1e-6 * (double)caller / TRIALS;
    if (task_ms > MOST_MS || caller_ms > MOST_MS)
        fail_msg("%.1f ms of processor in waiting for a task, %.1f for the caller", task_ms, caller_ms);
}

/* OpenMP's barrier would spin for some 5 ms, while no more threads than cores have been started. */
static void the_end_waits_for_its_workers_asleep(void **state)
{
    (void)state;
    struct sigaction sleeping = {.sa_handler = sleep_in_handler}, before;
    assert_int_equal(sigaction(SIGUSR1, &sleeping, &before), 0);
    double spent = 0, longest = 0; // which is left out: a busy machine makes one of them long
    for (int trial = 0; trial < TRIALS; trial++) {
        absence a = {0};
        atomic_store(&stopped, 0);
        parallel_run(2, late_worker, &a);
        double took = 1e-6 * (double)(clock_thread_ns() - a.body_ended);
        spent += took;
        longest = took > longest ? took : longest;
        assert_true(a.all_done);
    }
    sigaction(SIGUSR1, &before, NULL);
    if (spent - longest > (TRIALS - 1) * 3)
        fail_msg("the caller took %.1f ms of processor", (spent - longest) / (TRIALS - 1));
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

typedef struct {
    atomic_uint upwards, others; // tasks of workers beside the caller
} rounding_watch;

static void note_rounding(void *arg, size_t task, size_t worker)
{
    (void)task;
    rounding_watch *w = arg;
    if (worker)
        atomic_fetch_add(fegetround() == FE_UPWARD ? &w->upwards : &w->others, 1);
    else
        sched_yield();
}

/* Until a worker has had a task. */
static void rounding_loops(void *arg, team *members)
{
    const rounding_watch *w = arg;
    while (!atomic_load(&w->upwards) && !atomic_load(&w->others))
        parallel_for(members, 100, note_rounding, arg);
}

static void workers_round_as_their_caller_does(void **state)
{
    (void)state;
    rounding_watch usual = {0}, upwards = {0}, again = {0};
    parallel_run(3, rounding_loops, &usual);
    fesetround(FE_UPWARD);
    parallel_run(3, rounding_loops, &upwards);
    fesetround(FE_TONEAREST);
    parallel_run(3, rounding_loops, &again);
    assert_int_equal(atomic_load(&usual.upwards), 0);
    assert_int_equal(atomic_load(&upwards.others), 0);
    assert_int_equal(atomic_load(&again.upwards), 0);
}

static void their_own_rounding_is_left_to_threads(void **state)
{
    (void)state;
    rounding_watch upwards = {0};
    atomic_uint changed = 0;
    fesetround(FE_UPWARD);
    parallel_run(3, rounding_loops, &upwards);
    fesetround(FE_TONEAREST);
#pragma omp parallel num_threads(3) // the same threads
    atomic_fetch_add(&changed, fegetround() != FE_TONEAREST);
    assert_int_equal(atomic_load(&changed), 0);
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

static void the_default_follows_openmp(void **state)
{
    (void)state;
    int before = omp_get_max_threads();
    omp_set_num_threads(1); // as OMP_NUM_THREADS=1 does
    assert_int_equal(parallel_default_threads(), 1);
    omp_set_num_threads(1000);
    assert_true(parallel_default_threads() <= (size_t)omp_get_num_procs());
    omp_set_num_threads(before);
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
        cmocka_unit_test(the_end_waits_for_its_workers_asleep),  // before many threads have been started
        cmocka_unit_test(the_default_follows_openmp),
        cmocka_unit_test(the_default_is_at_least_one_thread),
        cmocka_unit_test(every_task_runs_once),
        cmocka_unit_test(more_threads_than_shares_do_every_task_once),
        cmocka_unit_test(what_a_held_up_worker_leaves_is_done_by_the_others),
        cmocka_unit_test(a_worker_begins_with_its_own_share),
        cmocka_unit_test(workers_that_are_off_their_cores_hold_up_nothing),
        cmocka_unit_test(threads_that_wait_for_long_sleep),
        cmocka_unit_test(without_a_team_the_caller_runs_them_in_order),
        cmocka_unit_test(loops_follow_one_another),
        cmocka_unit_test(tasks_may_hold_loops_of_their_own),
        cmocka_unit_test(a_worker_number_belongs_to_one_thread),
        cmocka_unit_test(workers_round_as_their_caller_does),
        cmocka_unit_test(their_own_rounding_is_left_to_threads),
        cmocka_unit_test(teams_may_run_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

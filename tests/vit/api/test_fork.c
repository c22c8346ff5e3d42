/* A forked child computes what its parent does, with a model of its own and with its parent's, whose threads
 * did not come along. ctest runs it for products of our own and under both flavours of OpenBLAS. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "vit/api/internal.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLASSES 10 /* of the model that is built in */
#define THREADS 2

/* Shared by a child and its parent. */
typedef struct answer {
    float logits[CLASSES];
} answer;

static answer *given;

static int share_answer(void **state)
{
    (void)state;
    given = mmap(NULL, sizeof *given, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return given == MAP_FAILED;
}

static int unshare_answer(void **state)
{
    (void)state;
    return munmap(given, sizeof *given);
}

static bool open_model(mohvit_model **opened, mohvit_context **ctx)
{
    const char *backend = getenv("BACKEND");
    mohvit_options options = {.size = sizeof options, .threads = THREADS};
    if (backend && mohvit_backend_by_name(&options.backend, backend, NULL))
        return false;
    if (mohvit_open(opened, NULL, &options, NULL) || mohvit_context_create(ctx, *opened, 1, THREADS, NULL))
        return false;
    mohvit_settings(*ctx)->team_macs = 0; // a team even for the built-in model
    return true;
}

static bool run(mohvit_context *ctx, answer *out)
{
    static uint8_t rgb[28 * 28 * 3];
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (uint8_t)(i * i);
    if (mohvit_load_rgb(ctx, 0, rgb, 28, 28, sizeof rgb / 28, NULL) || mohvit_run(ctx, 1, NULL))
        return false;
    memcpy(out->logits, mohvit_logits(ctx, 0), sizeof out->logits);
    return true;
}

static bool open_and_run(void *user)
{
    (void)user;
    mohvit_model *opened = NULL;
    mohvit_context *ctx = NULL;
    bool done = open_model(&opened, &ctx) && run(ctx, given);
    mohvit_context_destroy(ctx);
    mohvit_close(opened);
    return done;
}

static bool run_parents(void *ctx)
{
    return run(ctx, given);
}

/* Has a child do something: in a minute, or it is taken to hang. */
static bool in_child(bool (*task)(void *user), void *user)
{
    memset(given, 0, sizeof *given);
    fflush(NULL);
    pid_t child = fork();
    if (!child) {
        alarm(60);
        _exit(!task(user));
    }
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && !WEXITSTATUS(status);
}

static bool run_in_grandchild(void *ctx)
{
    return run_parents(ctx) && in_child(run_parents, ctx);
}

static void a_child_may_be_the_first_to_open_a_model(void **state)
{
    (void)state;
    answer expected;
    mohvit_model *opened = NULL;
    mohvit_context *ctx = NULL;
    assert_true(in_child(open_and_run, NULL));
    assert_true(open_model(&opened, &ctx));
    assert_true(run(ctx, &expected));
    assert_memory_equal(given, &expected, sizeof expected);
    mohvit_context_destroy(ctx);
    mohvit_close(opened);
}

static void a_child_goes_on_with_what_its_parent_has_run(void **state)
{
    (void)state;
    answer expected, after;
    mohvit_model *opened = NULL;
    mohvit_context *ctx = NULL;
    bool (*const tasks[])(void *) = {run_parents, open_and_run, run_in_grandchild};
    assert_true(open_model(&opened, &ctx));
    assert_true(run(ctx, &expected));
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++) {
        assert_true(in_child(tasks[i], ctx));
        assert_memory_equal(given, &expected, sizeof expected);
    }
    assert_true(run(ctx, &after));
    assert_memory_equal(&after, &expected, sizeof expected);
    mohvit_context_destroy(ctx);
    mohvit_close(opened);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_may_be_the_first_to_open_a_model), // the first: nothing has run yet
        cmocka_unit_test(a_child_goes_on_with_what_its_parent_has_run),
    };
    return cmocka_run_group_tests(tests, share_answer, unshare_answer);
}
